# SPDX-License-Identifier: GPL-3.0-or-later
"""The body fit on landmarks of known people, and the people of real photographs."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from maquette.demo.samples import sample_photo
from maquette.inference import BadInput, Camera, Photo, load_photo, recover_people, runtime
from maquette.inference.geometry.rasteriser import rasterise
from maquette.inference.geometry.rotations_torch import exponential
from maquette.inference.geometry.skinning import pose_body
from maquette.inference.people import blazepose_anny
from maquette.inference.people.boxes import separate_masks
from maquette.inference.people.clip.cover import behind_others
from maquette.inference.people.fit import hypotheses, outline, skeleton, solve
from maquette.inference.people.fit.fitting import fit_landmarks, fit_people, results, share_shape
from maquette.inference.people.fit.observe import INDEX, observe, viewing_ray
from maquette.inference.people.fit.relaxed_fingers import relaxed_rotations
from maquette.inference.people.turned import turned_notes
from maquette.inference.shipped.body import load_body, load_landmarks, shape_from_attributes
from maquette.inference.shipped.crops import Region
from maquette.inference.shipped.pose import PoseLandmarks

CAMERA = Camera(1300.0, 1300.0, 540.0, 540.0, 1080, 1080)


def turned(group_turns):
    """Quaternions (J, 4) with named joints turned by rotation vectors."""
    body = load_body()
    rotations = np.tile([1.0, 0, 0, 0], (len(body.parents), 1))
    for name, vector in group_turns.items():
        angle = np.linalg.norm(vector)
        axis = np.asarray(vector, float) / max(angle, 1e-9)
        rotations[body.joint_names.index(name)] = [np.cos(angle / 2), *(np.sin(angle / 2) * axis)]
    return rotations


def person(heading=0.0, translation=(0.1, 0.1, 4.0), attributes=None, **turns):
    """A posed body: vertices, joints."""
    named = {"root": (0, heading, 0), **{name.replace("_", "."): vector for name, vector in turns.items()}}
    shape = shape_from_attributes(attributes or {})
    return pose_body(load_body(), shape, turned(named), np.array(translation))


def true_points(vertices, joints):
    """The fit's landmarks (K, 3) of a body."""
    regressors, names = load_landmarks(), load_body().joint_names
    points = np.einsum("kn,knd->kd", regressors.weights, vertices[regressors.indices])
    return np.array(
        [
            points[regressors.names.index(name)] if name in regressors.names else joints[names.index(name)]
            for name in skeleton.LANDMARKS.values()
        ]
    )


def landmarks_of(vertices, joints, camera=CAMERA, hidden=(), noise=0.0, seed=0):
    """What a perfect pose network would say of a body, or one that errs by `noise` pixels."""
    points = true_points(vertices, joints)
    middle = points[list(solve.HIPS)].mean(0)
    pixels = camera.project(points) + np.random.default_rng(seed).normal(size=(len(points), 2)) * noise
    ray = viewing_ray(middle[:2] / middle[2])
    image, world, seen = np.zeros((39, 2)), np.zeros((39, 3)), np.full(39, 0.98)
    order = list(skeleton.LANDMARKS)
    image[order], world[order] = pixels, (points - middle) @ ray
    image[33] = camera.project(middle)
    seen[list(hidden)] = 0.02
    size = 2.2 * camera.fx / middle[2]
    return PoseLandmarks(
        points=image.astype(np.float32),
        world=world.astype(np.float32),
        visibility=seen.astype(np.float32),
        presence=np.full(39, 0.99, np.float32),
        score=0.99,
        score_min=0.98,
        sigma=np.full(39, 2.0, np.float32),
        world_sigma=np.full(39, 0.03, np.float32),
        agreement=np.ones(39, np.float32),
        spread=0.005,
        region=Region(float(image[33, 0]), float(image[33, 1]), size),
        matrix=np.eye(3)[:2],
        mask_logits=np.zeros((256, 256), np.float32),
    )


@pytest.fixture(scope="module")
def run():
    return runtime.start("cpu")


@pytest.fixture(scope="module")
def arms_down():
    return {"upperarm01_L": (0, 0, 0.6), "upperarm01_R": (0, 0, -0.6)}


def joint_error(fit, joints):
    names = load_body().joint_names
    which = [i for i, name in enumerate(names) if name.split(".")[0] in ("upperarm01", "lowerarm01", "wrist", "foot")]
    which += [i for i, name in enumerate(names) if name.split(".")[0] in ("upperleg01", "lowerleg01", "neck01")]
    hips = [names.index("upperleg01.L"), names.index("upperleg01.R")]
    mine, true = fit.joints - fit.joints[hips].mean(0), joints - joints[hips].mean(0)
    return np.linalg.norm(mine - true, axis=1)[which].mean()


def test_derivatives_are_those_of_finite_differences():
    generator = torch.Generator().manual_seed(0)
    groups = len(skeleton.GROUPS)
    # Joints that share a turn are linearised about small angles: keep them very small here.
    turns = exponential(0.004 * torch.randn(2, groups, 3, generator=generator, dtype=torch.float64))
    turns[:, 0] = exponential(torch.tensor([[0.3, 2.0, 0.1], [0.2, -1.0, 0.4]], dtype=torch.float64))
    attributes = torch.rand(2, 6, generator=generator, dtype=torch.float64) * 0.3 + 0.35
    state = solve.State(turns, torch.zeros(2, 3, dtype=torch.float64), attributes, torch.zeros(2, dtype=torch.float64))

    def places(moved):
        posed = skeleton.pose_skeleton(moved.rotations, moved.translation, moved.attributes)
        return skeleton.place_markers(skeleton.landmark_markers(), posed)

    start, slopes = places(state)
    for parameter in range(slopes.shape[-1]):
        step = torch.zeros(2, slopes.shape[-1] + 1, dtype=torch.float64)
        step[:, parameter] = 1e-6
        numeric = (places(state.moved(step))[0] - start) / 1e-6
        torch.testing.assert_close(slopes[..., parameter], numeric, atol=5e-3, rtol=0)


def test_points_of_the_chain_are_those_of_the_skinned_body():
    skeleton_ = skeleton.load_skeleton()
    generator = torch.Generator().manual_seed(1)
    turns = exponential(0.3 * torch.randn(1, len(skeleton.GROUPS), 3, generator=generator, dtype=torch.float64))
    attributes = torch.full((1, 6), 0.6, dtype=torch.float64)
    posed = skeleton.pose_skeleton(turns, torch.ones(1, 3, dtype=torch.float64), attributes)
    points, _ = skeleton.place_markers(outline.skin_markers(), posed, slopes=False)
    rotations = np.tile(np.eye(3), (104, 1, 1))
    rotations[skeleton_.joints] = skeleton.joint_rotations(turns)[0].numpy()
    from maquette.inference.geometry.rotations import quaternions_of

    vertices, joints = pose_body(load_body(), posed.shape[0].numpy(), quaternions_of(rotations), np.ones(3))
    np.testing.assert_allclose(posed.places[0].numpy(), joints[skeleton_.joints], atol=1e-5)
    nearest = torch.cdist(points[0], torch.from_numpy(vertices.astype(np.float64))).min(1)[0]
    assert nearest.max() < 2e-3


@pytest.mark.parametrize("heading", [0.0, 1.5, 3.1, -1.6])
def test_no_heading_is_turned_round(run, arms_down, heading):
    vertices, joints = person(heading, **arms_down)
    (fit,) = fit_people([landmarks_of(vertices, joints, noise=2.0)], [CAMERA], run)
    left = load_body().joint_names.index("upperarm01.L")
    right = load_body().joint_names.index("upperarm01.R")
    mine, true = fit.joints[left] - fit.joints[right], joints[left] - joints[right]
    assert mine @ true > 0.9 * np.linalg.norm(mine) * np.linalg.norm(true)
    assert joint_error(fit, joints) < 0.07


@pytest.mark.parametrize(
    "turns",
    [
        {"lowerarm01_L": (-1.0, 0.9, 0.0), "upperleg01_R": (-1.2, 0, 0), "lowerleg01_R": (1.4, 0, 0)},
        {f"{bone}_{side}": (turn, 0, 0) for bone, turn in (("upperleg01", -1.5), ("lowerleg01", 1.5)) for side in "LR"},
    ],
    ids=["kicking", "sitting"],
)  # fmt: skip
def test_bent_limbs_are_found(run, turns):
    vertices, joints = person(0.7, **turns)
    (fit,) = fit_people([landmarks_of(vertices, joints)], [CAMERA], run)
    assert joint_error(fit, joints) < 0.09
    assert abs(np.linalg.norm(fit.joints[0]) / np.linalg.norm(joints[0]) - 1) < 0.06
    assert fit.reprojection < 12


def test_the_result_is_posed_by_its_own_parameters(run):
    vertices, joints = person(0.4)
    (fit,) = fit_people([landmarks_of(vertices, joints)], [CAMERA], run)
    again, joints_again = pose_body(load_body(), fit.shape, fit.rotations, fit.translation)
    np.testing.assert_allclose(fit.vertices, again, atol=1e-5)
    np.testing.assert_allclose(fit.joints, joints_again, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(fit.rotations, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(fit.shape, shape_from_attributes(fit.attributes), atol=1e-5)


def test_limbs_out_of_sight_have_no_confidence(run):
    vertices, joints = person(0.0)
    (fit,) = fit_people([landmarks_of(vertices, joints, hidden=range(25, 33))], [CAMERA], run)
    names = load_body().joint_names
    assert fit.confidence[names.index("lowerleg01.L")] < 0.05 > fit.confidence[names.index("toe1-1.R")]
    assert fit.confidence[names.index("lowerarm01.L")] > 0.8
    assert fit.confidence[names.index("finger2-2.R")] > 0.6


@pytest.mark.parametrize("out", [False, True], ids=["hidden", "below the frame"])
def test_legs_and_arms_that_nobody_sees_hang_plumb(run, out):
    vertices, joints = person(0.2)
    seen = landmarks_of(vertices, joints, hidden=(*range(25, 33), 13, 15, 17, 19, 21))
    # The network has the person kneel in the air, an arm stretched forward.
    world, points = seen.world.copy(), seen.points.copy()
    world[25:33, 1:], world[[13, 15, 17, 19, 21], 1:] = [0.1, -0.5], [-0.4, -0.5]
    if out:
        points[25:33, 1] += 2000
    (fit,) = fit_people([replace(seen, world=world, points=points)], [CAMERA], run)
    names = load_body().joint_names
    for upper, lower in (("upperleg01", "lowerleg01"), ("lowerleg01", "foot")):
        for side in "LR":
            bone = fit.joints[names.index(f"{lower}.{side}")] - fit.joints[names.index(f"{upper}.{side}")]
            assert bone[1] > 0.95 * np.linalg.norm(bone)
    arm = fit.joints[names.index("wrist.L")] - fit.joints[names.index("upperarm01.L")]
    assert arm[1] > 0.85 * np.linalg.norm(arm)


def test_a_half_figures_legs_are_not_believed_where_the_picture_ends_below_the_hips(run):
    """The network puts its knees into the picture, a little surer than nothing."""
    vertices, joints = person(0.2)
    seen = landmarks_of(vertices, joints)
    cut = replace(CAMERA, height=int(seen.points[[23, 24], 1].mean()) + 16)
    points, visibility, world = seen.points.copy(), seen.visibility.copy(), seen.world.copy()
    points[25:33, 1] = np.linspace(cut.height - 15, cut.height - 7, 8)
    visibility[25:33], world[25:33, 1:] = 0.12, [0.05, -0.4]
    one = replace(seen, points=points, visibility=visibility, world=world)
    (fit,) = fit_people([one], [replace(cut, cy=cut.height / 2)], run)
    names = load_body().joint_names
    for side in "LR":
        thigh = fit.joints[names.index(f"lowerleg01.{side}")] - fit.joints[names.index(f"upperleg01.{side}")]
        assert thigh[1] > 0.93 * np.linalg.norm(thigh)


SITTING = {
    f"{bone}_{side}": (turn, 0, 0) for side in "LR" for bone, turn in (("upperleg01", -1.5), ("lowerleg01", 1.4))
}


@pytest.mark.parametrize(("below", "seen_knees"), [(0.25, 0.15), (0.12, 0.1)], ids=["knees in it", "cut off before"])
@pytest.mark.parametrize("heading", [0.0, 0.7])
def test_who_sits_with_legs_that_the_picture_cuts_does_not_stand(run, heading, below, seen_knees):
    """The network sees the lap, and is not sure of the knees."""
    vertices, joints = person(heading, **SITTING)
    seen = landmarks_of(vertices, joints)
    cut = replace(CAMERA, height=int(seen.points[[23, 24], 1].mean() + below * 1300 / 4))
    visibility = seen.visibility.copy()
    visibility[25:33] = seen_knees
    (fit,) = fit_people([replace(seen, visibility=visibility)], [cut], run)
    names = load_body().joint_names
    for side in "LR":
        hip, knee, ankle = (names.index(f"{bone}.{side}") for bone in ("upperleg01", "lowerleg01", "foot"))
        mine, true, shin = (
            fit.joints[knee] - fit.joints[hip], joints[knee] - joints[hip], fit.joints[ankle] - fit.joints[knee]
        )  # fmt: skip
        assert mine @ true > 0.85 * np.linalg.norm(mine) * np.linalg.norm(true)
        assert shin[1] > 0.9 * np.linalg.norm(shin), "shins that nobody sees hang from the knees"


def test_legs_that_the_network_draws_backward_are_no_lap():
    vertices, joints = person(0.0, **SITTING)
    seen = landmarks_of(vertices, joints)
    cut = replace(CAMERA, height=int(seen.points[[23, 24], 1].mean() + 0.25 * 1300 / 4))
    world, visibility = seen.world.copy(), seen.visibility.copy()
    visibility[25:33] = 0.15
    world[25:33, 2] *= -1
    shots = [replace(seen, world=one, visibility=visibility) for one in (seen.world, world)]
    assert observe(shots, [cut] * 2).sits.tolist() == pytest.approx([0.97, 0.0], abs=0.03)


@pytest.mark.parametrize("heading", [0.2, 2.5])
def test_the_trunk_of_a_half_figure_stays_plumb_where_the_network_bends_it(run, heading):
    """Hips drawn up into the picture that ends at them, shoulders too far: what the network says of half figures."""
    vertices, joints = person(heading)
    seen = landmarks_of(vertices, joints)
    cut = replace(CAMERA, height=int(seen.points[[23, 24], 1].mean()) + 20)
    points, visibility, world = seen.points.copy(), seen.visibility.copy(), seen.world.copy()
    points[[23, 24], 1] -= 0.04 * 1300 / 4
    visibility[25:33], world[:23, 1:] = 0.05, world[:23, 1:] + [0.01, 0.03]
    (fit,) = fit_people([replace(seen, points=points, visibility=visibility, world=world)], [cut], run)
    names = load_body().joint_names
    ends = [[names.index(f"{bone}.{side}") for side in "LR"] for bone in ("upperleg01", "upperarm01")]
    hips, shoulders = (fit.joints[end].mean(0) for end in ends)
    true_hips, true_shoulders = (joints[end].mean(0) for end in ends)
    lean, true_lean = (np.arctan2(v[2], -v[1]) for v in (shoulders - hips, true_shoulders - true_hips))
    assert abs(np.degrees(lean - true_lean)) < 4


def test_who_lies_is_no_half_figure(run):
    """The photo turned on its side: hips at the lower edge, legs unseen, the trunk still across the picture."""
    vertices, joints = person(0.0)
    seen = landmarks_of(vertices, joints)
    lying = np.stack([seen.points[:, 1], 1080 - seen.points[:, 0]], 1)
    world = np.stack([seen.world[:, 1], -seen.world[:, 0], seen.world[:, 2]], 1)
    visibility = seen.visibility.copy()
    visibility[25:33] = 0.05
    cut = replace(CAMERA, height=int(lying[[23, 24], 1].max()) + 60)
    (fit,) = fit_people([replace(seen, points=lying, world=world, visibility=visibility)], [cut], run)
    names = load_body().joint_names
    hip, shoulder = (fit.joints[names.index(f"{bone}.L")] for bone in ("upperleg01", "upperarm01"))
    assert abs(hip - shoulder)[0] > 0.9 * np.linalg.norm(hip - shoulder)


def test_observations_of_one_person_share_a_shape(run):
    shots = [landmarks_of(*person(heading, attributes={"height": 0.5})) for heading in (0.0, 0.4, 0.8)]
    observed = observe(shots, [CAMERA] * 3)
    fits = results(observed, share_shape(observed, fit_landmarks(observed, run), [0, 0, 0]))
    np.testing.assert_array_equal(fits[0].shape, fits[1].shape)
    np.testing.assert_array_equal(fits[0].shape, fits[2].shape)
    assert not np.array_equal(fits[0].rotations, fits[1].rotations)


def test_the_outline_tells_how_stout_a_person_is(run):
    fitted = {}
    for weight in (0.1, 0.9):
        vertices, joints = person(0.0, attributes={"weight": weight})
        mask = (rasterise(vertices, load_body().faces, CAMERA)[0] > 0).astype(np.float32)
        (fit,) = fit_people([landmarks_of(vertices, joints)], [CAMERA], run, masks=[mask])
        fitted[weight] = fit.attributes["weight"]
        assert blazepose_anny.filled(fit, mask, CAMERA) > 0.8
    # Clothes make everyone look stouter: the outline moves the attribute by part of the truth only.
    assert fitted[0.9] > fitted[0.1] + 0.03


def test_a_mask_that_spills_over_a_neighbour_does_not_move_the_body(run, arms_down):
    half, behind = (person(translation=place, **arms_down) for place in ((0.1, 0.5, 2.0), (0.4, 0.3, 2.3)))
    both = [rasterise(vertices, load_body().faces, CAMERA)[0] > 0 for vertices, _ in (half, behind)]
    shot = landmarks_of(*half, noise=4.0)
    (alone,) = fit_people([shot], [CAMERA], run)
    (fit,) = fit_people([shot], [CAMERA], run, masks=[np.logical_or(*both).astype(np.float32)])
    assert fit.reprojection < 1.31 * alone.reprojection


def test_refining_never_worsens_the_reprojection(run):
    shots = [landmarks_of(*person(heading), noise=6.0, seed=seed) for seed, heading in enumerate((0.0, 1.2, 2.6))]
    plain = fit_people(shots, [CAMERA] * 3, run)
    refined = fit_people(shots, [CAMERA] * 3, run, refine=True)
    assert all(b.reprojection <= a.reprojection + 1e-4 for a, b in zip(plain, refined, strict=True))


def test_flipped_limbs_look_the_same_from_the_camera():
    vertices, joints = person(0.3)
    observed = observe([landmarks_of(vertices, joints)], [CAMERA])
    flipped = hypotheses.flip_limb(observed.world, "left arm", (True, True))
    torch.testing.assert_close(flipped[..., :2], observed.world[..., :2])
    moved = (flipped - observed.world)[0, :, 2].abs() > 1e-6
    assert {landmark for landmark, k in INDEX.items() if moved[k]} <= {13, 15, 17, 19, 21}
    back = hypotheses.flip_limb(flipped, "left arm", (True, True))
    torch.testing.assert_close(back, observed.world)


def test_relaxed_fingers_bend_towards_the_palm():
    body = load_body()
    rotations = np.tile([1.0, 0, 0, 0], (len(body.parents), 1))
    for joint, turn in relaxed_rotations().items():
        rotations[joint] = turn
    _, joints = pose_body(body, np.zeros(40), rotations, np.zeros(3))
    for side in "LR":
        tip, thumb = (body.joint_names.index(f"{name}.{side}") for name in ("finger3-3", "finger1-3"))
        before = np.linalg.norm(body.joints[tip] - body.joints[thumb])
        assert np.linalg.norm(joints[tip] - joints[thumb]) < before


# ---------------------------------------------------------------- photographs


@pytest.fixture(scope="module")
def astronaut():
    return load_photo(sample_photo("astronaut"))


@pytest.fixture(scope="module")
def found(astronaut):
    return recover_people(astronaut, device="cpu")


def test_the_astronaut_is_one_person_with_every_field(astronaut, found):
    (one,) = found.frames[0]
    height, width = astronaut.pixels.shape[:2]
    assert one.mask.shape == (height, width) and 0.2 < (one.mask > 0.5).mean() < 0.7
    assert one.keypoints_2d.shape == (33, 2)
    nose = found.camera.project(true_points(one.vertices, one.joints)[INDEX[0]])
    assert np.linalg.norm(nose - one.keypoints_2d[0]) < 0.05 * height
    assert one.translation[2] > 0.3 and one.score > 0.8
    assert one.confidence.shape == (104,)
    knee, neck = (found.body.joint_names.index(name) for name in ("lowerleg01.L", "neck01"))
    assert one.confidence[knee] < 0.05
    assert one.guessed[knee] and not one.guessed[neck]
    assert found.notes == ()
    assert set(one.attributes) == set(skeleton.ATTRIBUTE_NAMES)
    assert 0 <= one.box[0] < one.box[2] <= width and 0 <= one.box[1] < one.box[3] <= height


@pytest.mark.parametrize(("name", "count"), [("bus", 3), ("zidane", 2)])
def test_several_people_and_nobody_invented(name, count):
    try:
        photo = load_photo(sample_photo(name))
    except FileNotFoundError:
        pytest.skip("the ultralytics wheel, which holds the photograph, is not installed")
    people = recover_people(photo, device="cpu")
    persons = people.frames[0]
    assert len(persons) == count
    assert [one.track_id for one in persons] == list(range(count))
    claimed = sum((one.mask > 0.5).astype(int) for one in persons)
    assert claimed.max() == 1
    for one in persons:
        x0, y0, x1, y1 = one.box
        assert x1 - x0 > 0.05 * photo.pixels.shape[1] and y1 - y0 > 0.3 * photo.pixels.shape[0]


@pytest.mark.parametrize("name", ["brick", "coins", "chelsea"])
def test_nobody_is_seen_where_nobody_is_nor_is_a_cat_somebody(name):
    people = recover_people(sample_photo(name), device="cpu")
    assert people.frames == ((),)


def test_photos_of_different_sizes_have_their_own_cameras(astronaut):
    small = Photo(np.ascontiguousarray(astronaut.pixels[::2, ::2]))
    blank = Photo(np.zeros((90, 120, 3), np.uint8))
    people = recover_people([small, blank], device="cpu", boxes=[[(0, 0, 256, 256)], []])
    assert [(camera.width, camera.height) for camera in people.cameras] == [(256, 256), (120, 90)]
    assert len(people.frames[0]) == 1 and people.frames[1] == ()


def test_people_of_photos_that_are_no_clip_have_numbers_of_their_own(astronaut):
    boxes = [[(0, 0, 512, 512)], [(0, 0, 512, 512)]]
    people = recover_people([astronaut, astronaut], device="cpu", boxes=boxes)
    assert {number: [frame for frame, _ in track] for number, track in people.tracks().items()} == {0: [0], 1: [1]}


def test_a_box_bypasses_the_detector_and_batches_do_not_matter(astronaut, found):
    box = found.frames[0][0].box
    people = recover_people(astronaut, device="cpu", boxes=[box], det_batch_size=1, hmr_batch_size=1)
    (one,) = people.frames[0]
    assert np.linalg.norm(one.keypoints_2d[11] - found.frames[0][0].keypoints_2d[11]) < 60


def test_a_threshold_of_one_leaves_nobody(astronaut):
    assert recover_people(astronaut, device="cpu", det_confidence_thresh=1.0).frames == ((),)


@pytest.mark.parametrize(
    "bad",
    [
        {"det_confidence_thresh": 1.5},
        {"det_iou_thresh": -0.1},
        {"det_batch_size": 0},
        {"hmr_batch_size": 2.5},
        {"boxes": [(10, 10, 5, 5)]},
        {"boxes": [(0, 0, "wide", 3)]},
        {"boxes": [[(0, 0, 9, 9)], [(0, 0, 9, 9)]]},
        {"boxes": 7},
        {"refine": "yes"},
        {"refine": []},
        {"track": None},
        {"track": np.array([1, 2])},
        {"detector": 5},
        {"detector": np.array([1, 2])},
    ],
)
def test_bad_input_is_one_clear_error(astronaut, bad):
    with pytest.raises(BadInput) as caught:
        recover_people(astronaut, device="cpu", **bad)
    assert caught.value.remedy


def test_who_may_be_nobody_is_told(astronaut, found, monkeypatch):
    find = blazepose_anny.search.search_people
    doubted = lambda *given: ([replace(one, belief=0.7) for one in find(*given)[0]], 0)  # noqa: E731
    monkeypatch.setattr(blazepose_anny.search, "search_people", doubted)
    monkeypatch.setattr(blazepose_anny, "cached_result", lambda _pixels, _key, make: make())
    people = recover_people(astronaut, device="cpu", hands="none")
    assert len(people.frames[0]) == 1
    assert [note.split(" may be ")[0] for note in people.notes] == ["One of the figures"]
    assert found.notes == ()


def test_who_is_seen_but_not_fitted_is_told(astronaut, monkeypatch):
    monkeypatch.setattr(blazepose_anny, "doubt", lambda *_: 2.0)
    monkeypatch.setattr(blazepose_anny, "cached_result", lambda _pixels, _key, make: make())
    people = recover_people(astronaut, device="cpu")
    assert people.frames == ((),) and people.notes[0].startswith("Somebody more may be there")


def test_who_is_left_out_since_he_lies_over_another_is_told(astronaut, monkeypatch):
    monkeypatch.setattr(blazepose_anny, "without_overlaps", lambda *_: [])
    monkeypatch.setattr(blazepose_anny, "cached_result", lambda _pixels, _key, make: make())
    people = recover_people(astronaut, device="cpu", hands="none")
    assert people.frames == ((),) and [note.split(", over ")[0] for note in people.notes] == ["One figure is left out"]


def test_a_photo_on_its_side_is_told(found):
    try:
        photo = load_photo(sample_photo("bus"))
    except FileNotFoundError:
        pytest.skip("the ultralytics wheel, which holds the photograph, is not installed")
    people = recover_people(np.rot90(photo.pixels).copy(), device="cpu")
    assert len(people.frames[0]) >= 2
    assert "to the left" in people.notes[-1] and " clockwise by 90" in people.notes[-1]
    assert found.notes == ()


@pytest.mark.parametrize(("degrees", "told"), [(80, "to the right.*counterclockwise"), (-170, "down.*180"), (45, None)])
def test_heads_that_are_not_up_are_told_unless_somebody_stands(found, degrees, told):
    turn = exponential(torch.tensor([0.0, 0.0, np.radians(degrees)])).numpy()
    upright = found.frames[0][0]
    lying = replace(upright, joints=upright.joints @ turn.T)
    notes = turned_notes(replace(found, frames=((lying,), (), (lying, lying))))
    assert len(notes) == (told is not None)
    assert told is None or re.search(told, notes[0])
    assert turned_notes(replace(found, frames=((lying, upright),))) == ()


def test_who_kicks_in_a_turned_clip_leans_all_ways_but_up(found):
    def leaning(degrees):
        turn = exponential(torch.tensor([0.0, 0.0, np.radians(degrees)])).numpy()
        return (replace(found.frames[0][0], joints=found.frames[0][0].joints @ turn.T),)

    kick = [leaning(degrees) for degrees in (90, 95, 85, 130, 165, 120)]
    assert "Heads point to the right" in turned_notes(replace(found, frames=tuple(kick)))[0]
    assert turned_notes(replace(found, frames=(*kick, leaning(20)))) == (), "somebody gets up"
    assert turned_notes(replace(found, frames=((), ()))) == ()


def test_a_detector_of_the_users_finds_the_built_in_people(astronaut, monkeypatch, tmp_path):
    from maquette.inference.people.hmr2 import find, yolo

    (tmp_path / "mine.pt").write_bytes(b"")
    box = np.array([20, -10, 480, 600], np.float32)
    finder = lambda photos, part: [[find.Detection(box, 0.9)] for _ in photos]  # noqa: E731
    monkeypatch.setattr(yolo, "yolo_finder", lambda *_: finder)
    people = recover_people([astronaut, astronaut], device="cpu", detector=str(tmp_path / "mine.pt"))
    assert [len(persons) for persons in people.frames] == [1, 1]


def test_a_face_without_shoulders_and_hips_is_nobodys(run):
    vertices, joints = person(0.0)
    one, mask = landmarks_of(vertices, joints), np.zeros((CAMERA.height, CAMERA.width), np.float32)
    (fit,) = fit_people([one], [CAMERA], run)
    depth, _ = rasterise(fit.vertices, load_body().faces, CAMERA)
    mask[depth > 0] = 1
    face = landmarks_of(vertices, joints, hidden=range(11, 33))
    assert blazepose_anny.doubt(face, fit, mask, CAMERA) < 0.5, "the detector sees a body"
    face = replace(face, region=replace(face.region, score=0.1))
    assert blazepose_anny.doubt(one, fit, mask, CAMERA) < 0.5
    assert blazepose_anny.doubt(face, fit, mask, CAMERA) >= 1
    assert blazepose_anny.doubt(landmarks_of(vertices, joints, hidden=range(13, 33)), fit, mask, CAMERA) < 0.5


def test_a_whole_body_in_what_the_edge_has_cut_off_is_nobodys(run):
    """All landmarks in the picture, half of the crop outside: a leg at the edge, or a head, not a small person."""
    vertices, joints = person(0.0)
    one, mask = landmarks_of(vertices, joints), np.zeros((CAMERA.height, CAMERA.width), np.float32)
    (fit,) = fit_people([one], [CAMERA], run)
    depth, _ = rasterise(fit.vertices, load_body().faces, CAMERA)
    mask[depth > 0] = 1
    low, high = one.points[:33].min(0), one.points[:33].max(0)
    whole = replace(one, belief=0.93, region=Region(0.0, (low[1] + high[1]) / 2, 560.0))
    assert blazepose_anny.doubt(whole, fit, mask, CAMERA) < 0.5, "what fills the picture is a half figure"
    squeezed = replace(one, belief=0.93, region=Region(0.0, (low[1] + high[1]) / 2, 530.0))
    assert blazepose_anny.doubt(squeezed, fit, mask, CAMERA) >= 1
    assert blazepose_anny.doubt(replace(squeezed, belief=0.97), fit, mask, CAMERA) < 0.5
    cut = squeezed.points - np.array([(low[0] + high[0]) / 2, 0], np.float32)
    assert blazepose_anny.doubt(replace(squeezed, points=cut), fit, mask, CAMERA) < 0.5
    tiny = one.points[0] + 40 * (one.points - one.points[0]) / (high[1] - low[1])
    assert blazepose_anny.doubt(replace(one, belief=0.93, points=tiny), fit, mask, CAMERA) >= 1


def test_overlapping_people_are_thinned_by_the_threshold(run):
    one = landmarks_of(*person(0.0))
    near = landmarks_of(*person(0.0, translation=(0.13, 0.1, 4.0)))
    candidates = [(one, None, None), (near, None, None)]
    assert len(blazepose_anny.without_overlaps(candidates, 0.5)) == 1
    assert len(blazepose_anny.without_overlaps(candidates, 1.0)) == 2


def test_masks_of_two_people_share_no_pixel():
    first, second = np.zeros((4, 6), np.float32), np.zeros((4, 6), np.float32)
    first[:, :4], second[:, 2:] = 0.9, 0.7
    a, b = separate_masks([first, second])
    assert not ((a > 0.5) & (b > 0.5)).any()
    assert (a[:, :4] > 0.5).all() and (b[:, 4:] > 0.5).all()


def test_an_arm_behind_somebody_else_hangs_instead_of_following_his(run, arms_down):
    """The network draws it along the arm of him who hides it, and is unsure of it."""
    before = person(0.0, (0.15, 0.1, 3.6), **arms_down)
    behind = person(0.0, (-0.35, 0.1, 4.2), upperarm01_L=(0, 0, -0.7), upperarm01_R=(0, 0, -0.6))
    seen = [landmarks_of(*one) for one in (before, behind)]
    seen[1].visibility[[13, 15, 17, 19, 21]] = 0.2
    faces = load_body().faces
    masks = separate_masks([(rasterise(one[0], faces, CAMERA)[0] > 0).astype(np.float32) for one in (before, behind)])
    shown = behind_others(seen, masks)
    np.testing.assert_array_equal(shown[0].visibility, seen[0].visibility)
    names = load_body().joint_names
    elbow, shoulder = (names.index(f"{name}.L") for name in ("lowerarm01", "upperarm01"))
    for one, hangs in ((seen[1], False), (shown[1], True)):
        (fit,) = fit_people([one], [CAMERA], run)
        upper = fit.joints[elbow] - fit.joints[shoulder]
        assert (upper[1] > 0.9 * np.linalg.norm(upper)) == hangs
        assert (fit.confidence[elbow] < 0.01) == hangs


def test_an_arm_stretched_out_before_somebody_is_given_its_hand():
    try:
        photo = load_photo(sample_photo("zidane"))
    except FileNotFoundError:
        pytest.skip("the ultralytics wheel, which holds the photograph, is not installed")
    people = recover_people(photo, device="cpu")
    left_man = min(people.frames[0], key=lambda one: one.box[0])
    wrist = people.body.joint_names.index("wrist.L")
    # The hand that points is at (1000, 460); without it the arm ends 300 pixels short of it.
    place = people.camera.project(left_man.joints[wrist])
    assert np.linalg.norm(place - np.array([1000, 460])) < 100
    assert left_man.confidence[wrist] > 0.5
