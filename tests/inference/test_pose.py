# SPDX-License-Identifier: GPL-3.0-or-later
"""People found in real photos: how many, where and how certain; large, small, turned, mirrored, and in given boxes."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from maquette.demo.samples import sample_photo
from maquette.inference import BadInput, Cancelled, load_photo
from maquette.inference.runtime.run import start
from maquette.inference.shipped import crops, detect, pose, search

RUN = start("cpu")
#: Left edge, scale and shape of views of bus.jpg from row 380 on, as the detector sees them.
VIEWS = ((-80.0, 256 / 560, (256, 448)), (0.0, 0.6, (352, 512)), (100.0, 0.55, (320, 320)))


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return load_photo(sample_photo("astronaut")).pixels


@pytest.fixture(scope="module")
def bus() -> np.ndarray:
    return load_photo(sample_photo("bus")).pixels


@pytest.fixture(scope="module")
def found(bus) -> list[pose.PoseLandmarks]:
    return sorted(search.find_people(bus, RUN), key=lambda one: one.points[0, 0])


@pytest.fixture(scope="module")
def pedestrians(found) -> list[pose.PoseLandmarks]:
    """The two who are whole."""
    return found[:2]


def test_the_two_whole_pedestrians_are_found_and_the_one_cut_by_the_edge(found, pedestrians):
    assert len(found) == 3 and np.linalg.norm(found[2].points[[11, 12]].mean(0) - (806, 485)) < 30
    for person, nose in zip(pedestrians, [(141, 440), (288, 447)], strict=True):
        assert np.linalg.norm(person.points[0] - nose) < 15
        assert person.score_min > 0.8 and person.spread < pose.MAX_SPREAD


def test_a_row_of_people_who_touch_is_found_whole(bus):
    pair = cv2.resize(bus[380:920, 40:350], None, fx=0.42, fy=0.42, interpolation=cv2.INTER_AREA)
    canvas = np.full((400, 3 * pair.shape[1] + 160, 3), 150, np.uint8)
    for number in range(3):
        left = 80 + number * pair.shape[1]
        canvas[90 : 90 + pair.shape[0], left : left + pair.shape[1]] = pair
    found = search.find_people(canvas, RUN)
    noses = [(80 + n * pair.shape[1] + x * 0.42, 90 + y * 0.42) for n in range(3) for x, y in ((101, 60), (248, 67))]
    near = [min(np.linalg.norm(one.points[0] - nose) for one in found) for nose in noses]
    assert sum(distance < 8 for distance in near) >= 5 and len(found) <= 6


def test_who_has_the_legs_of_another_is_nobody(pedestrians):
    one, other = pedestrians
    mixed = other.points.copy()
    mixed[23:33] = one.points[23:33]
    assert not search._share_limbs(one, other)
    assert search._share_limbs(one, replace(other, points=mixed))
    assert search._without_nested([one, replace(other, points=mixed)]) == [one]


@pytest.mark.parametrize("height, width", [(480, 640), (3000, 400), (60, 5000), (30, 4000)])
def test_what_is_cut_by_the_edge_lies_within_a_view(height, width):
    whole, *views = crops.views_of(height, width, (1.0, 0.35), 224, 0.25)
    assert whole.size == pytest.approx(max(height, width)) and whole.shape == (224, 224)
    assert bool(views) == (height >= crops.SMALLEST_WINDOW)
    for scale in {view.scale for view in views}:
        own = sorted((view for view in views if view.scale == scale), key=lambda view: (view.top, view.left))
        lefts, rights = [view.left for view in own], [view.left + view.size for view in own]
        tops, bottoms = [view.top for view in own], [view.top + view.shape[0] / scale for view in own]
        window = 224 / scale
        assert min(lefts) <= -0.24 * window and max(rights) >= width + 0.24 * window
        assert min(tops) <= -0.24 * window and max(bottoms) >= height + 0.24 * window
        for starts, ends in ((lefts, rights), (tops, bottoms)):  # whoever fills a window is whole in one of them
            for low in sorted(set(starts))[1:]:
                assert max(end for other, end in zip(starts, ends, strict=True) if other < low) > low + 0.9 * window
        assert all(max(view.shape) <= 1312 and not view.shape[0] % 32 and not view.shape[1] % 32 for view in own)


def test_a_person_has_the_same_keypoints_at_every_size(bus):
    pyramid = crops.Pyramid(bus)
    views = [crops.View(left, 380.0, scale, shape) for left, scale, shape in VIEWS]
    seen = [detect.detect_people(pyramid, RUN, 0.5, [view]) for view in views]
    middle = [min(found, key=lambda one: abs(one.centre[0] - 286)) for found in seen]
    for one in middle[1:]:
        apart = np.linalg.norm(one.keypoints - middle[0].keypoints, axis=1)
        assert np.median(apart) < 0.03 * middle[0].size.max()
        assert np.abs(one.size - middle[0].size).max() < 0.06 * middle[0].size.max()
    assert detect.distinct([one for found in seen for one in found]) != []
    assert len(detect.distinct(middle)) == 1


def test_landmarks_vouch_for_nobody_but_their_own(bus, pedestrians):
    seen = detect.detect_people(crops.Pyramid(bus), RUN)
    for person in pedestrians:
        assert detect.vouched(person, seen) > 0.5
        assert detect.vouched(replace(person, points=person.points + 0.15 * person.region.size), seen) < 0.05
    assert detect.vouched(pedestrians[0], []) == 0


def test_whom_the_detector_alone_sees_is_counted(bus, monkeypatch):
    monkeypatch.setattr(search, "_people_in", lambda *_, **__: [])
    assert search.search_people(crops.Pyramid(bus), RUN, 0.3, closely=False) == ([], 3)
    people, missed = search.search_people(crops.Pyramid(bus), RUN, 0.3)
    assert (len(people), missed) == (3, 0), "each is found by his own crops"


def test_two_whom_the_detector_tells_apart_are_two_wherever_they_lie(bus, pedestrians, monkeypatch):
    monkeypatch.setattr(search, "_is_nested", lambda *_: True)
    assert search._without_nested(pedestrians) == pedestrians[:1]
    assert search._without_nested(pedestrians, detect.detect_people(crops.Pyramid(bus), RUN)) == pedestrians


def test_two_half_figures_and_one_portrait(astronaut):
    assert len(search.find_people(load_photo(sample_photo("zidane")).pixels, RUN)) == 2
    assert len(search.find_people(astronaut, RUN)) == 1


@pytest.mark.parametrize("augment", [False, True])
def test_a_half_figure_is_no_whole_one_squeezed_into_a_smaller_crop(astronaut, augment):
    """The network is surer of the smaller: hips at her chest, 150 pixels higher than the true ones."""
    (one,) = search.find_people(astronaut, RUN, augment=augment)
    assert one.points[[23, 24], 1].min() > 430 and one.region.size > 1000


@pytest.mark.parametrize("name", ["coins", "brick", "gravel"])
def test_nobody_is_seen_in_materials(name):
    assert search.find_people(load_photo(sample_photo(name)).pixels, RUN) == []


def test_landmarks_have_the_agreed_shapes(pedestrians):
    person = pedestrians[0]
    assert person.points.shape == (39, 2) and person.world.shape == (39, 3)
    for array in (person.visibility, person.presence, person.sigma, person.world_sigma, person.agreement):
        assert array.shape == (39,) and array.dtype == np.float32 and (array >= 0).all()
    assert person.points.dtype == person.world.dtype == np.float32
    assert person.mask_logits.shape == (256, 256) and person.matrix.shape == (2, 3)
    assert 0 < np.median(person.sigma[:33]) < 0.02 * person.region.size


def test_world_landmarks_are_metres_with_the_head_up(pedestrians):
    for person in pedestrians:
        assert person.world[0, 1] < person.world[[11, 12], 1].mean() < 0 < person.world[[27, 28], 1].mean()
        assert 1.2 < person.world[[27, 28], 1].mean() - person.world[0, 1] < 1.9
        assert np.abs(person.world[[23, 24]].mean(0)).max() < 0.03


def test_a_turned_photo_gives_the_same_people_turned(bus, pedestrians):
    person = pedestrians[1]
    height = bus.shape[0]
    turned = np.ascontiguousarray(np.rot90(bus, -1))  # clockwise: (x, y) -> (height - y, x)
    region = replace(
        person.region, cx=height - person.region.cy, cy=person.region.cx, rotation=person.region.rotation + np.pi / 2
    )
    again = pose.landmarks(turned, [region], RUN)[0]
    upright = pose.landmarks(bus, [person.region], RUN)[0]
    expected = np.column_stack([height - upright.points[:, 1], upright.points[:, 0]])
    seen = upright.visibility > 0.5
    assert np.linalg.norm(again.points - expected, axis=1)[seen].max() < 3
    expected_world = np.column_stack([-upright.world[:, 1], upright.world[:, 0], upright.world[:, 2]])
    assert np.abs(again.world - expected_world)[seen].max() < 0.03


def test_mirrored_crops_name_the_persons_own_sides(astronaut):
    person = search.find_people(astronaut, RUN, augment=False)[0]
    pyramid = crops.Pyramid(astronaut)
    plain, mirrored = pose._read(pyramid, [person.region] * 2, [False, True], RUN, masks=False)
    sure = plain.visibility > 0.9
    assert sure.sum() > 12
    assert np.linalg.norm(plain.points - mirrored.points, axis=1)[sure].max() < 0.03 * person.region.size, (
        "shoulders are 0.2 apart"
    )
    assert np.abs(plain.world - mirrored.world)[sure].max() < 0.12
    assert plain.points[11, 0] > plain.points[12, 0], "she faces us, so her left shoulder is on our right"


def test_each_frame_of_a_clip_is_read_in_another_second_crop(astronaut):
    pyramid = crops.Pyramid(astronaut)
    person = search.find_people(astronaut, RUN, augment=False)[0]
    read = [pose.read_again(pyramid, [person], frame, RUN)[0] for frame in range(len(pose.IN_TURN))]
    sure = (person.visibility > 0.9) & np.all([one.agreement == 1 for one in read], axis=0)
    assert sure.sum() > 12
    away = np.array([one.points - person.points for one in read])[:, sure] / person.region.size
    assert np.linalg.norm(away, axis=-1).max() < 0.02
    assert min(np.abs(a - b).max() for i, a in enumerate(away) for b in away[:i]) > 1e-4, "no crop is read twice"
    for one in read:
        assert one.sigma[sure].max() > 0 and one.mask_logits is person.mask_logits
        assert np.abs(one.world - person.world)[sure].max() < 0.08


def test_averaging_keeps_the_opinion_of_most_crops():
    points = np.random.default_rng(0).random((8, 39, 2)) * 0.01
    points[5:, 13:23] += 0.3
    agreeing = pose._agreeing(points, np.ones(8))
    assert agreeing[:5].all()
    assert not agreeing[5:, 13:23].any() and agreeing[5:, :13].all() and agreeing[5:, 25:33].all()


def test_small_people_are_found_in_a_large_photo(bus):
    small = cv2.resize(bus, None, fx=0.45, fy=0.45, interpolation=cv2.INTER_AREA)
    canvas = np.full((1400, 1500, 3), 128, np.uint8)
    canvas[700 : 700 + small.shape[0], 900 : 900 + small.shape[1]] = small
    found = sorted(search.find_people(canvas, RUN, augment=False), key=lambda one: one.points[0, 0])
    assert len(found) == 3
    assert np.linalg.norm(found[0].points[0] - (900 + 141 * 0.45, 700 + 440 * 0.45)) < 8


def test_boxes_give_one_person_each_in_their_order(bus, pedestrians):
    boxes = [(232, 400, 340, 862), (50, 395, 245, 905)]
    found = search.find_people(bus, RUN, boxes=boxes)
    assert len(found) == 2
    for one, expected in zip(found, pedestrians[::-1], strict=True):
        seen = expected.visibility[:33] > 0.7
        assert np.median(np.linalg.norm(one.points[:33] - expected.points[:33], axis=1)[seen]) < 12


@pytest.mark.parametrize(
    "box", [(10, 10, 10, 50), (50, 50, 10, 10), (900, 900, 950, 990), (np.nan, 0, 5, 5), (1, 2, 3), ("a", 0, 1, 2)]
)
def test_boxes_without_a_pixel_are_refused(astronaut, box):
    with pytest.raises(BadInput, match="box"):
        search.find_people(astronaut, RUN, boxes=[box])


def test_the_mask_covers_the_person_and_not_the_other(bus, pedestrians):
    masks = [pose.person_mask(one, *bus.shape[:2]) for one in pedestrians]
    for mask, person, other in zip(masks, pedestrians, pedestrians[::-1], strict=True):
        assert mask.shape == bus.shape[:2] and mask.dtype == np.float32
        assert mask.min() >= 0 and mask.max() <= 1
        hips, elsewhere = (p.points[[11, 12, 23, 24]].mean(0).astype(int) for p in (person, other))
        assert mask[hips[1], hips[0]] > 0.9 and mask[elsewhere[1], elsewhere[0]] < 0.1
        assert 0.01 < (mask > 0.5).mean() < 0.15


def test_one_pixel_and_thin_photos_hold_nobody():
    for shape in ((1, 1, 3), (1, 300, 3), (300, 2, 3), (3, 5000, 3)):
        assert search.find_people(np.full(shape, 90, np.uint8), RUN) == []


def test_a_search_can_be_cancelled(astronaut):
    def cancel(fraction: float, message: str) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        search.find_people(astronaut, start("cpu", progress=cancel))


def test_progress_only_rises(astronaut):
    told: list[float] = []
    search.find_people(astronaut, start("cpu", progress=lambda fraction, message: told.append(fraction)))
    assert len(told) > 3 and told == sorted(told) and told[-1] <= 1


def test_tiles_cover_the_photo():
    for height, width in ((300, 1000), (1000, 300), (512, 512)):
        covered = np.zeros((height, width), bool)
        for tile in crops.tile_regions(height, width, (0.6,))[1:]:
            half = tile.size / 2
            assert tile.cx - half > -1 and tile.cy - half > -1
            assert tile.cx + half < width + 1 and tile.cy + half < height + 1
            rows, columns = np.s_[int(tile.cy - half) : int(tile.cy + half) + 1], np.s_[int(tile.cx - half) :]
            covered[rows, columns.start : int(tile.cx + half) + 1] = True
        assert covered.all()


def test_crops_of_a_reduced_photo_lie_where_those_of_the_photo_do():
    ramp = np.tile(np.linspace(0, 255, 2048), (2048, 1)).astype(np.uint8)
    pyramid = crops.Pyramid(np.stack([ramp, ramp.T, ramp], -1))
    for size in (200.0, 450.0, 900.0, 1300.0):
        crop = pyramid.crop(crops.Region(1000.0, 1040.0, size, 0.3), 100).astype(float)
        assert abs(crop[..., 0].mean() - 1000 / 2048 * 255) < 1
        assert abs(crop[..., 1].mean() - 1040 / 2048 * 255) < 1


def test_crops_end_black_or_with_the_edge_repeated():
    pyramid = crops.Pyramid(np.full((50, 50, 3), 200, np.uint8))
    outside = crops.Region(0.0, 0.0, 80.0)
    assert pyramid.crop(outside, 40).min() == 0
    assert pyramid.crop(outside, 40, replicate=True).min() == 200


def test_a_detection_made_of_others_is_a_mixture(bus):
    first, second = sorted(detect.detect_people(crops.Pyramid(bus), RUN, 0.9), key=lambda one: one.centre[0])
    keypoints = np.where(np.arange(17)[:, None] < 9, first.keypoints, second.keypoints)
    assert search._is_mixture(replace(first, keypoints=keypoints), [first, second])
    assert not search._is_mixture(first, [second]) and not search._is_mixture(first, [])


def test_only_crops_that_are_vouched_for_count_and_mirrored_masks_are_turned_back(bus, pedestrians):
    pyramid, (one, _) = crops.Pyramid(bus), pedestrians
    assert pose.landmarks_where(pyramid, one.region, lambda _: 0.0, 0, RUN) is None
    asked = []

    def mirrored(read):
        asked.append(read)
        return 0.5 if len(asked) in (2, 4, 5) else 0.0

    assert pose.landmarks_where(pyramid, one.region, mirrored, 4, RUN) is None
    asked.clear()
    person = pose.landmarks_where(pyramid, one.region, mirrored, 3, RUN)
    assert person is not None and person.region.score == 0.5 and person.belief > pose.BELIEVED
    assert np.median(np.linalg.norm(person.points - one.points, axis=1)) < 0.02 * one.region.size
    mine, other = (pose.person_mask(each, *bus.shape[:2]) > 0.5 for each in (person, one))
    assert (mine & other).sum() > 0.9 * (mine | other).sum()


def test_who_is_half_behind_another_is_found_and_read_by_the_crops_that_show_him(bus, pedestrians):
    """One of the two is put before both; then one of those behind him is forgotten, as if no crop had shown him."""
    front, size = pose.person_mask(pedestrians[1], *bus.shape[:2]), bus.shape[1::-1]
    for right, down in ((-90, 0), (-90, 40), (-60, 40)):
        move = np.array([[1.0, 0, right], [0, 1, down]])
        mask = cv2.warpAffine(front, move, size)[..., None]
        three = crops.Pyramid((mask * cv2.warpAffine(bus, move, size) + (1 - mask) * bus).astype(np.uint8))
        seen = detect.detect_people(three, RUN)
        people = search.search_people(three, RUN, pose.BELIEVED, (), seen)[0]
        # A sleeve and a leg at the left edge may be somebody, as rounding will have it; the one at the right edge is.
        people = [one for one in people if one.points[11:13].mean(0)[0] > 90]
        first, _, last, _ = sorted(people, key=lambda one: one.points[11:13].mean(0)[0])
        for hidden in (first, last):
            others = [one for one in people if one is not hidden]
            again = search._read_closely(three, others, seen, RUN)
            assert len(again) == 4
            shown = hidden.visibility > 0.5
            near = [np.median(np.linalg.norm(one.points - hidden.points, axis=1)[shown]) for one in again]
            assert min(near) < 0.04 * hidden.region.size, "the next one is a tenth of the crop away"


def test_a_sure_detection_that_is_nobody_elses_backs_who_lies_on_it(bus, pedestrians):
    seen = detect.detect_people(crops.Pyramid(bus), RUN, 0.7)
    doubted = [replace(pedestrians[0], belief=0.45), pedestrians[1]]
    assert search._backed(doubted, seen)[0].belief == pose.BELIEVED
    for doubtful in (replace(doubted[0], belief=0.35), replace(doubted[0], points=doubted[0].points + 300)):
        assert search._backed([doubtful, pedestrians[1]], seen)[0] is doubtful
    assert search._backed([doubted[0], pedestrians[0]], seen)[0] is doubted[0], "somebody is that one already"


def test_heat_maps_tell_of_a_person_by_what_lies_in_the_photo_below_the_head(bus, pedestrians):
    photo, points = crops.Pyramid(np.zeros((100, 80, 3), np.uint8)), np.full((39, 2), 50.0)
    peaks = np.where(np.arange(39) < 11, 1.0, 0.9)
    peaks[25:] = 0.0
    whole = pose._peak(peaks, points, photo)
    points[25:] = (50.0, 150.0)
    assert whole < 0.65 < pose._peak(peaks, points, photo), "legs below the edge are not missed"
    assert pose._peak(peaks, points + 200, photo) == 0.5
    crop = pedestrians[0].region
    (seen,) = pose.landmarks(crops.Pyramid(bus), [crop], RUN, augment=True)
    empty = crops.Pyramid(np.full_like(bus, 127))
    (nobody,) = pose.landmarks(empty, [crop], RUN, augment=True)
    assert seen.peak > 0.6 > 0.4 > nobody.peak and seen.belief > pose.BELIEVED > nobody.belief
