# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who: identities through crossings, gaps, cuts and false sightings."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from maquette.demo.samples import sample_photo
from maquette.inference import load_photo, runtime
from maquette.inference.people import clip as clip_room
from maquette.inference.people.clip import follow, keypoints
from maquette.inference.people.clip.appearance import affinity, colours
from maquette.inference.people.clip.cuts import is_cut, thumbnail
from maquette.inference.people.clip.follow import _is_in_sight, _Shot
from maquette.inference.people.clip.follow import follow_people as follow_pieces
from maquette.inference.people.clip.identify import all_tracks, came_back, identify, join_tracks, spells_of
from maquette.inference.people.clip.pieces import PIECE, Piece, in_pieces
from maquette.inference.people.clip.sides import OTHER, exchanged, with_steady_sides
from maquette.inference.people.clip.track import (
    MOST_COST,
    TRUNK,
    Sighting,
    Track,
    assign,
    at_edge,
    distinct,
    match_cost,
    parted,
    similarity,
)
from maquette.inference.shipped import pose, search
from maquette.inference.shipped.crops import Region
from maquette.inference.shipped.pose import PoseLandmarks

FPS = 25.0
RED, BLUE = np.eye(2, 8, dtype=np.float32)
#: What somebody else wears, alike by 0.6.
OTHER_ONE = 0.36 * RED + 0.64 * BLUE
_figure = np.random.default_rng(0).normal(0, [20, 45], (39, 2))


def _landmarks(x: float, y: float = 240.0, size: float = 300.0, score: float = 0.99) -> PoseLandmarks:
    region = Region(x, y, size)
    zeros, ones = np.zeros(39, np.float32), np.ones(39, np.float32)
    return PoseLandmarks(
        points=(_figure * size / 300 + (x, y)).astype(np.float32),
        world=np.zeros((39, 3), np.float32),
        visibility=ones, presence=ones, score=score, score_min=score, sigma=zeros, world_sigma=zeros,
        agreement=ones, spread=0.0, region=region, matrix=region.matrix, mask_logits=np.zeros((256, 256), np.float32),
    )  # fmt: skip


def _sighting(x: float, colour=RED, **more) -> Sighting:
    return Sighting(_landmarks(x, **more), np.stack([colour, colour]))


def _track(places: dict[int, float], colour=RED) -> Track:
    track = Track()
    for frame, x in places.items():
        track.add(frame, _sighting(x, colour))
    return track


def follow_people(frames, count, fps, run, **options):
    return identify(list(follow_pieces(frames, count, fps, run, **options)), fps)


def test_a_person_is_foretold_at_constant_speed():
    track = _track({frame: 100.0 + 8 * frame for frame in range(6)})
    assert np.allclose(track.predict(8) - track.sightings[5].points, [24, 0], atol=1.5)


def test_people_who_cross_keep_their_names():
    right, left = Track(), Track()
    for frame in range(40):
        seen = [_sighting(100 + 5 * frame, RED), _sighting(295 - 5 * frame, BLUE)]
        if 17 <= frame <= 22:  # one body hides the other
            seen = seen[1:]
        for track, sighting in assign([right, left] if frame else [], seen[:: 1 if frame % 2 else -1], frame):
            (track or (right if sighting.colours[0, 0] else left)).add(frame, sighting)
    assert all(one.colours[0, 0] == 1 for one in right.sightings.values())
    assert all(one.colours[0, 1] == 1 for one in left.sightings.values())
    assert len(right.sightings) == 34
    assert len(left.sightings) == 40


def test_colours_decide_where_motion_cannot():
    tracks = [_track({0: 200.0, 1: 200.0}, RED), _track({0: 230.0, 1: 230.0}, BLUE)]
    owners = assign(tracks, [_sighting(214, BLUE), _sighting(216, RED)], 2)
    assert owners[0][0] is tracks[1]
    assert owners[1][0] is tracks[0]


def test_nobody_is_given_what_is_seen_in_the_clothes_of_whom_he_meets():
    met = [_track(dict.fromkeys(range(3), x), colour) for x, colour in ((200.0, RED), (240.0, BLUE))]
    alone = [met[0], _track(dict.fromkeys(range(3), 500.0), BLUE)]
    mixture = _sighting(202, OTHER_ONE.astype(np.float32))
    assert assign(alone, [mixture], 3, strictly=True)[0][0] is met[0], "light changes"
    assert assign(met, [mixture], 3)[0][0] is met[0]
    assert assign(met, [mixture], 3, strictly=True)[0][0] is None
    assert assign(met, [_sighting(202, RED)], 3, strictly=True)[0][0] is met[0]


def test_who_was_lost_may_have_stayed_where_he_was_last_seen():
    track = _track({frame: 100.0 + 20 * frame for frame in range(4)})
    stayed, went_on = _sighting(165), _sighting(345)
    assert match_cost(track, stayed, 13) == np.inf and match_cost(track, went_on, 13) < MOST_COST
    assert all(match_cost(track, one, 13, may_stay=True) < MOST_COST for one in (stayed, went_on))
    assert match_cost(track, _sighting(500), 4, may_stay=True) == np.inf, "not from one frame to the next"


def test_how_somebody_looks_is_known_from_where_nobody_is_near():
    track = Track()
    track.add(0, replace(_sighting(200, BLUE), clear=False))
    assert np.allclose(track.colours, BLUE) and not track.known
    for frame in range(1, 4):
        track.add(frame, _sighting(200, RED))
    assert np.allclose(track.colours, RED) and track.known


def test_a_far_sighting_is_somebody_new():
    track = _track({0: 100.0, 1: 102.0})
    assert assign([track], [_sighting(500)], 2)[0][0] is None


def test_nobody_leaps_further_in_a_frame_the_more_of_them_there_are():
    track = _track({0: 100.0, 1: 100.0})
    owners = [assign([track], [_sighting(150)], 2, fps)[0][0] for fps in (25.0, 60.0)]  # a sixth of the crop
    assert owners == [track, None]


def test_two_bodies_on_the_same_pixels_are_one():
    front, hidden = _track({0: 300.0, 1: 300.0}, BLUE), _track({0: 240.0, 1: 260.0}, RED)
    usurped = [_sighting(300, BLUE), _sighting(303, BLUE, score=0.95)]
    kept = distinct(usurped, [front, hidden], 2)
    assert len(kept) == 1
    assert assign([front, hidden], kept, 2)[0][0] is front
    apart = [_sighting(300, BLUE), _sighting(360, RED)]
    assert len(distinct(apart, [front, hidden], 2)) == 2


def test_pieces_of_one_track_are_joined_and_strangers_are_not():
    start = {frame: 100 + 4.0 * frame for frame in range(10)}
    later = {frame: 100 + 4.0 * frame for frame in range(18, 30)}
    far = dict.fromkeys(range(18, 30), 500.0)
    joined = join_tracks([_track(start), _track(later), _track(far, BLUE)], 25)
    assert sorted(len(track.sightings) for track in joined) == [12, 22]
    assert len(join_tracks([_track(start), _track({f + 40: x for f, x in later.items()})], 25)) == 2
    assert len(join_tracks([_track(start, RED), _track(later, BLUE)], 25)) == 2


def test_the_pieces_of_a_clip_hold_the_same_people():
    def seen(frames):
        return [_track({f: 100 + 2.0 * f for f in frames}), _track({f: 900 - 2.0 * f for f in frames}, BLUE)]

    lead = PIECE - 10
    pieces = [Piece(0, PIECE, seen(range(PIECE))), Piece(PIECE, 180, seen(range(lead, 180))[::-1])]
    people = identify(pieces, FPS)
    assert [(one.first, one.last, len(one.sightings)) for one in people] == [(0, 179, 180)] * 2
    assert all(len({one.colours[0, 0] for one in person.sightings.values()}) == 1 for person in people)
    cut = [pieces[0], Piece(PIECE, 180, seen(range(PIECE, 180)), cuts=(PIECE,))]
    assert [(one.first, one.last) for one in identify(cut, FPS)] == [(0, 99), (0, 99), (100, 179), (100, 179)]


@pytest.mark.parametrize("cut", [50, PIECE - 9, PIECE - 5, PIECE, PIECE + 2])
@pytest.mark.parametrize(("jump", "colour", "slowly", "people"), [
    (25, OTHER_ONE, False, 2), (25, RED, False, 1), (0, OTHER_ONE, False, 1), (25, OTHER_ONE, True, 1),
])  # fmt: skip
def test_somebody_else_at_the_same_place_is_somebody_else(cut, jump, colour, slowly, people):
    """A film that is cut before the same backdrop; but not somebody who jumps, and not where light changes."""

    def seen(frames):
        track = Track()
        for frame in frames:
            share = np.clip((frame - cut) / 20 + 0.5, 0, 1) if slowly else float(frame >= cut)
            track.add(frame, _sighting(300.0 + jump * (frame >= cut), (1 - share) * RED + share * colour))
        return parted(track)

    pieces = [Piece(0, PIECE, seen(range(PIECE))), Piece(PIECE, 180, seen(range(PIECE - 10, 180)))]
    found = identify(pieces, FPS)
    assert len(found) == people
    assert sum(len(one.sightings) for one in found) == 180
    if people == 2:
        assert abs(found[1].first - cut) <= 2, "what only one piece can tell it tells within two frames"


def test_who_leaves_the_picture_and_comes_back_is_the_same_person():
    def at(places, colour, edge):
        track = _track(places, colour)
        track.sightings = {frame: replace(one, at_edge=edge) for frame, one in track.sightings.items()}
        return track

    gone = at(dict.fromkeys(range(10), 100.0), RED, True)
    back = at(dict.fromkeys(range(90, 120), 600.0), RED, True)
    other = at(dict.fromkeys(range(60, 120), 300.0), BLUE, True)
    people = came_back([gone, other, back])
    assert [(one.first, one.last) for one in people] == [(0, 119), (60, 119)]
    assert [len(spell) for spell in spells_of(list(people[0].sightings), FPS)] == [10, 30]
    assert len(came_back([gone, at(dict.fromkeys(range(60, 120), 300.0), RED, False)])) == 2  # out of nowhere
    assert len(came_back([gone, back, at(dict.fromkeys(range(95, 120), 200.0), RED, True)])) == 3  # two in the same


def test_one_of_whom_only_an_arm_is_left_in_the_picture_is_gone():
    assert _is_in_sight(_landmarks(300.0), 640, 480)
    assert not _is_in_sight(_landmarks(760.0), 640, 480)
    speck = _landmarks(300.0)
    small = replace(speck, points=(speck.points - speck.points.mean(0)) * 0.05 + speck.points.mean(0))
    assert np.ptp(small.points, axis=0).max() < 20 and not _is_in_sight(small, 640, 480)
    assert at_edge(_landmarks(600.0).points, (640, 480))
    assert not at_edge(_landmarks(320.0).points, (640, 480))


def test_keypoints_of_a_gap_lie_between():
    track = _track({0: 100.0, 4: 140.0})
    assert np.allclose(keypoints(track, 1) - track.sightings[0].points[:33], [10, 0], atol=1e-4)
    assert np.array_equal(keypoints(track, 4), track.sightings[4].points[:33])


def test_similarity_falls_with_distance_and_counts_what_is_seen():
    points, weights = _landmarks(100).points, np.ones(39, np.float32)
    assert similarity(points, points, weights, 300) == pytest.approx(1)
    assert similarity(points, points + 15, weights, 300) > similarity(points, points + 30, weights, 300)
    moved = points.copy()
    moved[15:17] += 200
    hidden = weights.copy()
    hidden[15:17] = 0
    assert similarity(points, moved, hidden, 300) > similarity(points, moved, weights, 300)


def test_colours_tell_clothes_apart_and_not_light():
    def picture(top, legs, light=1.0):
        pixels = np.full((480, 640, 3), 128, np.uint8)
        pixels[:250], pixels[250:] = np.array(top) * light, np.array(legs) * light
        return pixels

    person = replace(_landmarks(320), mask_logits=np.full((256, 256), 5, np.float32))
    own, dimmed = (colours(picture((200, 40, 30), (40, 50, 110), light), person) for light in (1.0, 0.9))
    other = colours(picture((40, 140, 60), (150, 140, 110)), person)
    assert np.allclose(own.sum(axis=1), 1, atol=1e-5)
    assert affinity(own, dimmed) > affinity(own, other) + 0.3
    assert affinity(own, None) == 1.0


def _cuts(frames) -> list[int]:
    """Where a film is cut, of whose frames nobody looks for people."""

    class Nobody:
        def __init__(self, start):
            self.start, self.tracks = start, []

        def step(self, frame, pixels, run, told):
            return []

    pieces = in_pieces(iter(frames), len(frames), runtime.start("cpu"), Nobody, None, 0)
    return [cut for piece in pieces for cut in piece.cuts]


@pytest.fixture(scope="module")
def photos():
    return [cv2.resize(load_photo(sample_photo(name)).pixels, (320, 240)) for name in ("bus", "astronaut")]


@pytest.mark.parametrize("light", [1.0, 0.1])
def test_cuts_are_seen(photos, light):
    bus, other = ((photo * light).astype(np.uint8) for photo in photos)
    assert is_cut(None, thumbnail(bus))
    assert _cuts([bus, bus, other, other]) == [2]
    within_bars = [np.pad(photo, ((60, 60), (0, 0), (0, 0))) for photo in (bus, other)]
    assert _cuts(within_bars) == [1]


def test_a_camera_that_moves_and_light_that_changes_are_no_cuts(photos):
    for photo in photos:
        panned = [photo[y : y + 200, x : x + 220] for x, y in ((10, 20), (24, 20), (38, 26), (52, 32), (60, 18))]
        nearer = [cv2.resize(photo[n : 240 - n, n : 320 - n], (320, 240)) for n in range(0, 40, 8)]
        dimmer = [(photo * light).astype(np.uint8) for light in (1, 0.3, 0.1, 0.3, 1)]
        assert not _cuts(panned) and not _cuts(nearer) and not _cuts(dimmer)


def test_a_shot_goes_on_after_a_flash(photos):
    bus, other = photos
    assert not _cuts([bus, bus, other, bus, bus, *[other] * 3, bus])
    assert _cuts([bus, bus, *[other] * 4, bus]) == [2, 6]


@pytest.mark.parametrize("end", [0, 255])
def test_a_fade_is_a_cut_if_another_shot_follows(photos, end):
    first, second = ([(photo * (1 - t) + end * t).astype(np.uint8) for t in np.linspace(0, 1, 9)] for photo in photos)
    cut = _cuts([*first, *second[::-1]])
    assert len(cut) == 1 and 9 <= cut[0] < 13
    assert not _cuts([*first, *first[::-1]])


@pytest.mark.parametrize("length", [8, 20])
def test_a_dissolve_is_a_cut(photos, length):
    first, second = photos
    shares = np.clip((np.arange(length + 24) - 12) / length, 0, 1)
    cut = _cuts([(first * (1 - share) + second * share).astype(np.uint8) for share in shares])
    assert len(cut) == 1 and 12 < cut[0] <= 12 + length
    turned = [cv2.getRotationMatrix2D((160, 120), 3 * turn, 2) for turn in range(40)]
    assert not _cuts([cv2.warpAffine(first, turn, (320, 240)) for turn in turned])


def test_two_people_crossing_stay_themselves(crossing):
    pictures, hips = crossing
    messages = []
    run = runtime.start("cpu", progress=lambda fraction, message: messages.append(fraction))
    tracks = follow_people(iter(pictures), len(pictures), 12.5, run)
    assert len(tracks) == 2
    owners = []
    for track in tracks:
        apart = [
            np.linalg.norm(hips[:, frame] - sighting.points[[23, 24]].mean(0), axis=1)
            for frame, sighting in track.sightings.items()
            if np.linalg.norm(hips[0, frame] - hips[1, frame]) > 35  # nearer, the network may see double
        ]
        assert {int(np.argmin(one)) for one in apart} == {int(np.argmin(apart[0]))}
        owners.append(int(np.argmin(apart[0])))
        frames = sorted(track.sightings)
        assert frames[0] == 0
        said = [track.sightings[frame].landmarks.region.score for frame in frames]  # by the detector, and kept
        assert 0.3 < min(said) <= max(said) < 1 and len(set(said)) < len(said) / 2
        assert frames[-1] == len(pictures) - 1
        assert max(np.diff(frames)) < 9
    assert sorted(owners) == [0, 1]
    assert messages == sorted(messages)
    assert len(messages) > len(pictures)


def test_who_is_in_the_first_frame_is_no_backdrop(crossing):
    shot = _Shot(0, 12.5, 0.4, 1.0, 8)
    shot.step(0, crossing[0][0], runtime.start("cpu"), None)
    known = shot.backdrop.known
    assert known is not None and len(shot.tracks) == 2 and known.mean() > 0.6
    for track in shot.tracks:
        column, row = track.sightings[0].points[[11, 12, 23, 24]].mean(0).astype(int)
        assert not known[row, column]


def test_unrelated_photos_are_no_film():
    bus, astronaut = (load_photo(sample_photo(name)).pixels for name in ("bus", "astronaut"))
    tracks = follow_people(iter([bus, astronaut]), 2, FPS, runtime.start("cpu"))
    assert all(len(track.sightings) == 1 for track in tracks)
    assert sum(1 in track.sightings for track in tracks) == 1


def test_of_new_people_who_overlap_the_less_certain_is_left_out(crossing):
    picture = crossing[0][20]  # their boxes share a sixth
    counts = {}
    for most in (1.0, 0.05):
        tracks = follow_people(iter([picture] * 2), 2, FPS, runtime.start("cpu"), most_overlap=most)
        counts[most] = [len(track.sightings) for track in tracks]
    assert counts == {1.0: [2, 2], 0.05: [2]}


def test_given_boxes_replace_the_detector(monkeypatch):
    monkeypatch.setattr(search, "search_people", lambda *_: pytest.fail("the whole picture was searched"))
    astronaut = load_photo(sample_photo("astronaut")).pixels
    boxes = [[(80, 0, 400, 512)]] * 2
    (track,) = follow_people(iter([astronaut] * 2), 2, FPS, runtime.start("cpu"), boxes=boxes)
    assert all(one.landmarks.sigma.max() > 0 for one in track.sightings.values()), "read in two crops each"
    assert len(track.sightings) == 2


def test_somebody_new_may_stand_before_another_who_is_seen(crossing_clip):
    clip, boxes, hips = crossing_clip
    picture, order = list(clip)[14].pixels, np.argsort(hips[:, 14, 0])
    both = sorted(boxes[14])
    assert both[0][2] > both[1][0], "their boxes overlap"
    tracks = follow_people(iter([picture] * 2), 2, FPS, runtime.start("cpu"), boxes=[both[:1], both])
    assert [sorted(track.sightings) for track in tracks] == [[0, 1], [1]]
    assert abs(tracks[1].sightings[1].points[TRUNK].mean(0)[0] - hips[order[1], 14, 0]) < 20


def test_who_is_first_seen_where_two_part_is_followed_back(crossing):
    pictures = crossing[0][18:33]  # one stands before the other in the first of them
    tracks = follow_people(iter(pictures), len(pictures), 12.5, runtime.start("cpu"))
    assert [(track.first, track.last) for track in tracks] == [(0, 14), (0, 14)]


def _behind_another(monkeypatch, ways, reads, fps):
    """The tracks of somebody in red, and of somebody in blue who passes behind him, of whose crops the network makes
    what it may.

    ways : where they are in each frame, red first.  reads : (place looked at, place of each) -> where somebody is seen.
    """
    place, mask = _figure[33, 0], np.full((256, 256), -10.0, np.float32)
    mask[64:192, 118:138] = 10.0

    def seen_at(x):
        return replace(_landmarks(float(x)), mask_logits=mask)

    def there(pixels):
        return ways[int(pixels[0, 0, 0])]

    def read(pyramid, regions, run, **_):
        return [seen_at(reads(one.cx - place, *there(pyramid.level(0)))) for one in regions]

    def worn(pixels, one):
        red, blue = (abs(one.points[33, 0] - place - x) < 1 for x in there(pixels))
        colour = RED if red else BLUE if blue else OTHER_ONE
        return np.stack([colour, colour])

    def find(pyramid, run, least, known, *rest, **more):
        red, blue = there(pyramid.level(0))
        seen = [red, blue] if abs(red - blue) > 75 else [red]
        missing = [seen_at(x) for x in seen if all(abs(one.points[33, 0] - place - x) > 1 for one in known)]
        return [replace(one, region=replace(one.region, score=1.0)) for one in missing], 0

    monkeypatch.setattr(pose, "landmarks", read)
    monkeypatch.setattr(pose, "read_again", lambda pyramid, people, *_: list(people))
    monkeypatch.setattr(follow, "colours", worn)
    monkeypatch.setattr(follow, "detect_people", lambda *_: [])
    monkeypatch.setattr(follow, "vouched", lambda one, _: float(worn(now[0], one)[0, 0] in (0, 1)))
    monkeypatch.setattr(search, "search_people", find)
    shot, now = _Shot(0, fps, 0.4, 1.0, 8), [np.zeros((480, 640, 3), np.uint8)]
    for frame in range(len(ways)):
        now[0] = np.full((480, 640, 3), frame, np.uint8)
        shot.step(frame, now[0], runtime.start("cpu"), None)
    return sorted(shot.tracks, key=lambda track: float(track.colours[0, 1]))


def test_a_mixture_with_somebody_in_front_is_nobody(monkeypatch):
    ways = [(300, 100 + 10 * frame) for frame in range(40)]

    def reads(looked_at, red, blue):
        own = red if abs(looked_at - red) < abs(looked_at - blue) else blue
        return own if own == red or abs(red - blue) > 100 else (red + blue) / 2

    red, blue = _behind_another(monkeypatch, ways, reads, 25.0)
    assert list(red.sightings) == list(range(40))
    assert {*range(10), *range(31, 40)} <= blue.sightings.keys()
    assert all(one.colours[0, 1] == 1 for one in blue.sightings.values())


def test_who_was_lost_behind_somebody_is_followed_back(monkeypatch):
    turns = 25  # and comes out where he went in, while he is looked for on the other side
    ways = [(300, 215 + 2 * (frame if frame < turns else 2 * turns - frame)) for frame in range(60)]

    def reads(looked_at, red, blue):
        return blue if abs(red - blue) >= 60 and abs(looked_at - blue) < 30 else red

    red, blue = _behind_another(monkeypatch, ways, reads, 50.0)
    assert list(red.sightings) == list(range(60))
    assert list(blue.sightings) == [*range(13), *range(38, 60)]


@pytest.mark.parametrize(("fps", "every", "missing"), [(60.0, 18, 6), (30.0, 9, 3), (10.0, 3, 1)])
def test_the_detector_looks_as_often_in_a_second_however_many_frames_it_has(monkeypatch, fps, every, missing):
    end = round(1.2 * fps)
    lost, back = end // 2 + 1, end  # out of sight in between, and where he was before
    looks, now = [], [0]

    def read(pyramid, regions, run, **_):
        hidden = lost <= pyramid.level(0)[0, 0, 0] < back
        return [_landmarks(300.0, score=0.1 if hidden else 0.99) for _ in regions]

    def find(pyramid, run, *rest, **more):
        looks.append(now[0])
        return ([_landmarks(300.0)] if now[0] == 0 else []), 0

    monkeypatch.setattr(pose, "landmarks", read)
    monkeypatch.setattr(follow, "detect_people", lambda *_: [])
    monkeypatch.setattr(search, "search_people", find)
    shot = _Shot(0, fps, 0.4, 1.0, 8)
    for now[0] in range(2 * end):
        shot.step(now[0], np.full((480, 640, 3), now[0], np.uint8), runtime.start("cpu"), None)
    (track,) = shot.tracks
    assert list(track.sightings) == [*range(lost), *range(back, 2 * end)]
    calm = [looks[number + 1] - one for number, one in enumerate(looks[:-1]) if looks[number + 1] < lost]
    assert set(calm) == {every}
    gaps = np.diff([one for one in looks if lost <= one < back])
    assert len(gaps) >= 4 and set(gaps) == {missing}


def test_whom_the_detector_hardly_sees_and_who_is_hardly_believed_is_nobody():
    person, cable, mixture = (
        _track(dict.fromkeys(range(40), x), colour) for x, colour in ((100.0, RED), (600.0, BLUE), (1100.0, BLUE))
    )
    for frame in range(40):
        one, other = cable.sightings[frame], mixture.sightings[frame]
        region = replace(one.landmarks.region, score=0.5 if frame < 10 else 0.1)
        cable.sightings[frame] = replace(one, landmarks=replace(one.landmarks, region=region))
        mixture.sightings[frame] = replace(other, landmarks=replace(other.landmarks, belief=0.9 if frame < 10 else 0.3))
        hidden = replace(person.sightings[frame].landmarks, belief=0.3 if frame < 10 else 0.9)
        person.sightings[frame] = replace(person.sightings[frame], landmarks=hidden)
    pieces = [Piece(0, 40, [cable, person, mixture])]
    assert [track.colours[0, 0] for track in identify(pieces, FPS)] == [1]
    assert len(all_tracks(pieces, FPS)) == 3


def test_what_is_believed_of_who_is_followed_is_told_by_one_crop():
    one = _landmarks(300.0)
    sure = replace(one, region=replace(one.region, score=0.8), peak=0.7)
    upside_down = replace(sure, region=replace(sure.region, rotation=np.pi))
    unseen = replace(sure, region=replace(sure.region, score=0.2), peak=0.4)
    said = [pose.believed(each).belief for each in (sure, upside_down, unseen)]
    assert said == sorted(said, reverse=True) and said[1] > clip_room.SURE > said[2]
    track = Track({frame: Sighting(pose.believed(unseen if frame < 4 else sure), None) for frame in range(16)})
    assert track.belief > clip_room.SURE  # who is hidden for a while
    assert Track({0: Sighting(one, None)}).belief > clip_room.SURE  # of a given box


def _walker(frames: int) -> Track:
    """Somebody who faces the camera and swings arms and legs; the left side is to the right in the picture."""
    names = np.arange(39)
    left, right = (names > 10) & (names < 33) & (names % 2 == 1), (names > 10) & (names < 33) & (names % 2 == 0)
    track = Track()
    for frame in range(frames):
        swing = np.sin(0.4 * frame + np.pi * right) * (left | right)
        points = np.stack([240 + 40.0 * left - 40.0 * right + 12 * swing, 100 + 8.0 * names], axis=1)
        world = np.stack([0.2 * left - 0.2 * right, 0.05 * names, 0.3 * swing], axis=1)
        one = replace(_landmarks(240), points=points.astype(np.float32), world=world.astype(np.float32))
        track.add(frame, Sighting(one, None, hands={"left": None}))
    return track


@pytest.mark.parametrize(
    "way, frames", [((True, True), (0, 9, 10, 11, 12)), ((True, False), (9, 10, 14)), ((False, False), ())]
)
def test_left_and_right_that_were_exchanged_are_put_right(way, frames):
    true = _walker(24)
    read = replace(true, sightings=dict(true.sightings))
    for frame in frames:
        wrong = exchanged(true.sightings[frame], way)
        landmarks = replace(wrong.landmarks, world=wrong.landmarks.world * [1, 1, -1])
        read.sightings[frame] = replace(wrong, landmarks=landmarks, hands={"left": None})
    mended = with_steady_sides(read, 24.0)
    for frame, one in mended.sightings.items():
        np.testing.assert_array_equal(one.points, true.sightings[frame].points)
        apart = np.abs(one.landmarks.world - true.sightings[frame].landmarks.world)
        assert apart[:, :2].max() == 0
        if way[1]:
            assert apart[:, 2].max() < 0.35  # depths of the frames around, which it has moved since
            assert bool(one.hands) == (frame not in frames)
    assert (OTHER[OTHER] == np.arange(39)).all()


def test_an_exchange_does_not_hide_behind_readings_that_go_with_nothing():
    true = _walker(40)
    read = replace(true, sightings=dict(true.sightings))
    for frame in range(10, 29):
        other = exchanged(true.sightings[frame], (True, True))
        if frame > 26:
            landmarks = replace(other.landmarks, points=(true.sightings[frame].points + other.points) / 2 + (50, 0))
            other = replace(other, landmarks=landmarks)
        read.sightings[frame] = other
    mended = with_steady_sides(read, 24.0)
    for frame in set(range(40)) - {27, 28}:
        np.testing.assert_array_equal(mended.sightings[frame].points, true.sightings[frame].points)


def test_a_landmark_that_jumps_away_and_back_counts_little():
    track = _walker(12)
    one = track.sightings[6]
    points = one.points.copy()
    points[15] += (60, 0)
    track.sightings[6] = replace(one, landmarks=replace(one.landmarks, points=points))
    mended = with_steady_sides(track, 24.0)
    seen = np.stack([one.landmarks.visibility for one in mended.sightings.values()])
    assert seen[6, 15] < 0.1
    seen[6, 15] = 1
    assert (seen == 1).all()
