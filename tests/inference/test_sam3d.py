# SPDX-License-Identifier: GPL-3.0-or-later
"""SAM 3D Body with small networks in the published layout, and MHR against its own numbers."""

import copy
import io
import pickle
import shutil
import sys
import zipfile
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from maquette.demo.samples import sample_photo
from maquette.inference import Camera, Clip, Photo, load_photo, recover_people
from maquette.inference.camera import level_world
from maquette.inference.errors import BadInput, BadModelFile, MissingModel
from maquette.inference.export import arrays_of
from maquette.inference.models.mhr import rig as mhr
from maquette.inference.models.mhr.names import JOINT_NAMES, KEYPOINT_NAMES
from maquette.inference.people.clip.motion import in_first_camera
from maquette.inference.people.sam3d import clip as sam3d_clip
from maquette.inference.people.sam3d import hands, passes
from maquette.inference.people.sam3d.body import Build, People3D
from maquette.inference.people.sam3d.crops import Square, squares_of
from maquette.inference.people.sam3d.model import Model, Pose, Sight, load_model
from maquette.inference.registry import find_model
from maquette.inference.rigs import on_builtin_body
from maquette.inference.runtime.run import start
from maquette.inference.weights.checkpoint import read_tensors
from maquette.installer.models import catalogue, licences, sniff

HERE = Path(__file__).parent
BOXES = [(222, 406, 344, 857), (50, 398, 246, 904)]


@pytest.fixture(scope="module")
def photo():
    return load_photo(sample_photo("bus"))


@pytest.fixture(scope="module")
def whole_rig():
    """The whole made-up rig, whose correctives are nothing."""
    sys.path.insert(0, str(HERE / "synth"))
    import synth_sam3d

    tensors = synth_sam3d.rig(correctives=False)
    tensors["pose_correctives_model.pose_dirs_predictor.2.weight"] = torch.zeros(3 * synth_sam3d.V, 1)
    for name in ("sparse_indices", "sparse_weight"):
        key = f"pose_correctives_model.pose_dirs_predictor.0.{name}"
        tensors[key] = tensors[key][..., :1]
    return mhr.rig_of(mhr._converted(tensors))


def test_mhrs_joints_and_skin_are_its_own(whole_rig):
    golden = np.load(HERE / "golden" / "mhr.npz")
    shape, parameters, expression = (torch.from_numpy(golden[k]) for k in ("shape", "model_params", "expression"))
    values = whole_rig.joint_parameters(parameters)
    np.testing.assert_allclose(values, golden["joint_parameters"], atol=1e-6)
    vertices, state = whole_rig.posed(shape, parameters, expression, correctives=False)
    np.testing.assert_allclose(state.places, golden["skeleton_state"][..., :3], atol=5e-5)
    np.testing.assert_allclose(
        state.turns, mhr.quaternion_matrices(torch.from_numpy(golden["skeleton_state"][..., 3:7])), atol=2e-6
    )
    np.testing.assert_allclose(state.scales, golden["skeleton_state"][..., 7], atol=1e-6)
    np.testing.assert_allclose(whole_rig.rest(shape, expression)[:, ::32], golden["rest_sample"], atol=5e-5)
    np.testing.assert_allclose(vertices[:, ::32], golden["vertices_no_correctives_sample"], atol=1.5e-4)
    few = torch.tensor([5, 18000, 77])
    part, _ = whole_rig.part(few).posed(shape, parameters, expression)
    np.testing.assert_allclose(part, vertices[:, few], atol=1e-5)
    assert len(JOINT_NAMES) == 127 and len(KEYPOINT_NAMES) == 70


def test_the_square_is_the_references(photo):
    golden = np.load(HERE / "golden" / "sam3d_bus1.npz")
    square = Square.around(golden["boxes_xyxy"][0])
    picture = square.picture(photo.pixels)
    assert (np.moveaxis(picture, 2, 0)[:, ::3, ::3] != golden["body_crop"][0]).mean() < 1e-3
    camera = Camera(1350, 1350, 405, 540, 810, 1080)
    squares = squares_of([picture], [square], [camera], [None], torch.device("cpu"))
    np.testing.assert_allclose(squares.affine, golden["body_affine"], atol=1e-6)
    np.testing.assert_allclose(squares.condition, golden["body_condition"], atol=1e-6)
    np.testing.assert_allclose(squares.rays()[:, :, ::64, ::64], golden["body_rays"], atol=1e-6)


def test_the_archive_is_read_and_its_program_is_not_run(sam3d_models, tmp_path):
    path = sam3d_models / "sam-3d-body" / "mhr_model.pt"
    tensors = read_tensors(path, script=True)
    theirs = torch.jit.load(str(path)).state_dict()
    assert tensors.keys() == theirs.keys()
    assert all(torch.equal(tensors[name], theirs[name]) for name in tensors)
    with pytest.raises(BadModelFile, match="TorchScript"):
        read_tensors(path)  # where a checkpoint is expected
    hostile = tmp_path / "mhr_model.pt"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(hostile, "w") as copy:
        for entry in source.infolist():
            data = source.read(entry)
            if entry.filename.endswith("/data.pkl"):
                file = io.BytesIO()
                pickle._Pickler(file, 2).dump(Path.unlink)
                data = file.getvalue()
            copy.writestr(entry, data)
    with pytest.raises(BadModelFile, match="none of it was run"):
        read_tensors(hostile, script=True)
    cut = tmp_path / "cut.pt"
    cut.write_bytes(path.read_bytes()[:-5000])
    with pytest.raises(BadModelFile):
        read_tensors(cut, script=True)


@pytest.mark.parametrize("model", ["sam3d-body", "sam3d-body-vith"])
def test_people_do_not_depend_on_each_other(small_sam3d, photo, model):
    people = recover_people(photo, model, boxes=BOXES, models_dir=small_sam3d, device="cpu")
    alone = recover_people(photo, model, boxes=BOXES[1:], models_dir=small_sam3d, device="cpu")
    first, second = people.frames[0]
    np.testing.assert_allclose(second.vertices, alone.frames[0][0].vertices, atol=2e-5)
    assert people.camera.fx == pytest.approx(np.hypot(*photo.size)) and people.camera.source == "default"
    assert first.parameters["mhr_model_params"].shape == (204,) and first.keypoints_3d.shape == (70, 3)
    np.testing.assert_allclose(first.keypoints_2d, people.camera.project(first.keypoints_3d), atol=1e-2)
    assert first.mask is not None and first.mask.any()
    lens = Camera(900, 900, 300, 500, *photo.size)
    own = recover_people(Photo(photo.pixels, lens, "bus"), model, boxes=BOXES[:1], models_dir=small_sam3d, device="cpu")
    assert own.camera == lens and not np.allclose(own.frames[0][0].translation, first.translation, atol=1e-2)


def test_masks_and_hands_are_told(small_sam3d, photo):
    def found(**options):
        people = recover_people(
            photo, "sam3d-body", boxes=BOXES, models_dir=small_sam3d, device="cpu", hands="none", **options
        )
        return people.frames[0]

    mask = np.zeros(photo.pixels.shape[:2], np.uint8)
    mask[420:850, 230:330] = 1
    plain, told = found(), found(masks=[mask, None])
    assert not np.allclose(plain[0].vertices, told[0].vertices, atol=1e-6)
    np.testing.assert_allclose(plain[1].vertices, told[1].vertices, atol=1e-5)
    assert "hand_boxes" not in plain[0].parameters
    for one, same in zip(found(masks=np.stack([mask, 0 * mask]))[:2], told, strict=True):  # of nobody: not told
        np.testing.assert_allclose(one.vertices, same.vertices, atol=1e-5)
    for wrong in ([mask], [[mask], [None]], [[mask, None, None]], 3):
        with pytest.raises(BadInput, match="masks"):
            found(masks=wrong)
    with pytest.raises(BadInput, match="405 x 540"):
        found(masks=[None, mask[::2, ::2]])
    with pytest.raises(BadInput, match="boxes"):
        recover_people(photo, "sam3d-body", masks=[mask], models_dir=small_sam3d, device="cpu")


def test_the_left_hand_is_the_mirrored_right_one(small_sam3d, photo):
    """In the mirrored photo the two hands change places, and so does what is read of them."""
    run = start("cpu", None, None, small_sam3d, find_model("people", "sam3d-body"))
    model = load_model(run)
    camera = Camera(1350, 1350, 380, 540, 810, 1080)
    sides = []
    square = Square(np.array([400.0, 540.0], np.float32), np.float32(500))
    boxes = np.array([[0.3, 0.5, 0.2, 0.2], [0.6, 0.4, 0.25, 0.2]], np.float32)
    for pixels, lens, swapped in ((photo.pixels, camera, False), (photo.pixels[:, ::-1], hands.mirrored(camera), True)):
        own = square if not swapped else Square(np.array([810 - 400 - 1, 540.0], np.float32), square.side)
        given = boxes if not swapped else (boxes * [1, 1, 1, 1])[::-1] * [-1, 1, 1, 1] + [1, 0, 0, 0]
        seen = hands.views(np.asarray(given, np.float32), own, 810)
        sight = Sight(np.ascontiguousarray(pixels), lens, np.zeros(4, np.float32))
        with torch.inference_mode():
            sides.append(passes._read_hands([sight], [seen], [0], model, run)[0])
    for left, right in ((0, 1), (1, 0)):
        one, other = sides[0][left], sides[1][right]
        torch.testing.assert_close(one.fingers, other.fingers, atol=2e-4, rtol=0)
        torch.testing.assert_close(one.turn, other.turn * torch.tensor([1.0, -1, -1])[:, None], atol=2e-4, rtol=0)


def test_wrists_take_the_angles_that_wrists_have():
    for angles in ([0.3, -0.4, 0.9], [-0.8, 1.1, 0.2]):
        given = torch.tensor(angles)
        body = torch.zeros(133)
        body[hands._ANGLES[1]] = given
        turn = hands._wrist(body, 1)
        torch.testing.assert_close(hands._xzy(turn), given, atol=1e-5, rtol=0)
    strange = torch.tensor([2.9, 0.4, -3.0])
    body[hands._ANGLES[1]] = hands._usual(strange)
    again = hands._wrist(body, 1)
    body[hands._ANGLES[1]] = strange
    torch.testing.assert_close(again, hands._wrist(body, 1), atol=1e-5, rtol=0)
    assert hands._usual(strange).abs().max() < strange.abs().max()


def test_a_person_stands_by_itself(small_sam3d, photo):
    """From turns, place and offsets, body and skin come out again; and twice as large, about the same point."""
    run = start("cpu", None, None, small_sam3d, find_model("people", "sam3d-body"))
    model = load_model(run)
    people = recover_people(photo, "sam3d-body", boxes=BOXES, models_dir=small_sam3d, device="cpu", hands="none")
    builds = [Build(one.parameters["shape"], one.parameters["scale"]) for one in people.frames[0]]
    bodies = People3D(model, builds)
    for person in people.frames[0]:
        vertices, joints, correctives = bodies.pose(person.shape, person.rotations, person.translation, person.offsets)
        np.testing.assert_allclose(joints, person.joints, atol=2e-5)
        np.testing.assert_allclose(vertices, person.vertices, atol=3e-5)
        np.testing.assert_allclose(correctives, person.correctives, atol=2e-5)
        np.testing.assert_allclose(
            bodies.keypoints(vertices, joints, person.translation), person.keypoints_3d, atol=5e-3
        )
        grown = person.shape * 2 + np.eye(len(person.shape), dtype=np.float32)[0]
        larger, _, _ = bodies.pose(grown, person.rotations, person.translation, person.offsets)
        np.testing.assert_allclose(larger - person.translation, 2 * (vertices - person.translation), atol=1e-4)


@pytest.mark.parametrize("name", ["sam3d-body", "sam3d-body-vith"])
def test_a_backbone_in_bfloat16_stays_close(small_sam3d, photo, name):
    """As on a GPU: the backbone alone computes so, what asks it in float32."""
    run = start("cpu", None, None, small_sam3d, find_model("people", name))
    model = load_model(run)
    short = replace(model, net=copy.deepcopy(model.net))
    short.net.seen.computing_in(torch.bfloat16, whole=True)
    kinds = [{part.dtype for part in one.parameters()} for one in (short.net.seen, short.net.decoder)]
    assert kinds == [{torch.bfloat16}, {torch.float32}]
    sight = Sight(photo.pixels, Camera(1350, 1350, 405, 540, 810, 1080), np.array(BOXES[0], np.float32))
    readings = [passes.read_batch([sight], one, run, hands=False) for one in (model, short)]
    for exact, close in zip(*readings, strict=True):
        off = np.abs(close.vertices - exact.vertices).max()
        assert 0 < off < 0.01 and np.abs(close.place / exact.place - 1).max() < 0.005


def test_a_clip_has_one_build_a_person_and_a_calm_motion(small_sam3d, crossing_clip, monkeypatch):
    whole, boxes, _ = crossing_clip
    clip, boxes = Clip("crossing", 24, whole.fps, lambda: islice(whole, 24)), boxes[:24]
    looked, look = [], Model.look
    monkeypatch.setattr(Model, "look", lambda *given: looked.append(len(given[1].pictures)) or look(*given))
    people = recover_people(
        clip, "sam3d-body", boxes=boxes, models_dir=small_sam3d, device="cpu", hands="none", hmr_batch_size=6
    )
    tracks = people.tracks()
    assert len(tracks) == 2 and len(people.frames) == len(clip)
    assert looked[:4] == [6, 6, 6, 2] and sum(looked) == 2 * len(clip)  # people of up to ten frames share a pass
    for number, track in tracks.items():
        assert all(np.argmax(one.shape[1:]) == number for _, one in track)
        steps = np.diff(np.stack([one.joints[1] for _, one in track]), axis=0)
        assert np.abs(np.diff(steps, axis=0)).max() < 0.2
        assert all(one.correctives is not None and one.keypoints_3d is not None for _, one in track)
        assert {"shape", "scale", "joint_scales"} <= track[0][1].parameters.keys()
    saved = arrays_of(people)
    assert saved["parameter_joint_scales"].shape == (sum(map(len, people.frames)), 127)


def test_a_camera_goes_past_somebody_who_stands(small_sam3d, surroundings, monkeypatch):
    """How far it goes is told by the feet; the body stays in its place, on MHR and on the neutral body."""
    run = start("cpu", None, None, small_sam3d, find_model("people", "sam3d-body"))
    model, lens, poses = load_model(run), Camera(300, 300, 160, 90, 320, 180), np.tile(np.eye(4), (30, 1, 1))
    poses[:, 0, 3] = np.linspace(0, 1.2, 30)
    rest, one = Pose(*(torch.zeros(1, n) for n in (3, 133, 45, 28, 108))), torch.ones(1, 3)
    (still,) = model.readings(rest, one, one, [(False, False)], [None])
    place = np.array([0.6, 1.4, 4.0], np.float32) - still.vertices.max(0) * [0, 1, 0]
    where = [place - pose[:3, 3].astype(np.float32) for pose in poses]

    def told(queries, *_):
        for one in queries:
            yield one.tag, replace(still, place=where[one.tag.frame].astype(np.float32))

    monkeypatch.setattr(sam3d_clip, "read", told)
    seen = [lens.project(still.vertices + one) for one in where]
    boxes = [[tuple(np.concatenate([one.min(0), one.max(0)]))] for one in seen]

    def pictures():
        for frame, pose in enumerate(poses):
            pixels = surroundings(pose, lens)
            x0, y0, x1, y1 = np.clip(boxes[frame][0], 0, [320, 180] * 2).astype(int)
            pixels[y0:y1, x0:x1] = (200, 60, 40)
            yield Photo(pixels, lens, str(frame))

    clip = Clip("dolly", len(poses), 25.0, pictures)

    def found(**options):
        return recover_people(
            clip, "sam3d-body", boxes=boxes, hands="none", models_dir=small_sam3d, device="cpu", **options
        )

    people = found()
    assert people.travel is not None and "moves" in people.notes[0]
    np.testing.assert_allclose(people.travel[:, :3, 3], poses[:, :3, 3], atol=0.05)
    for one in (people, on_builtin_body(people, people.world)):
        (track,) = in_first_camera(one).tracks().values()
        joints = np.stack([person.joints for _, person in track])
        assert np.abs(joints - joints[0]).max() < 0.02
    assert found(camera_motion="still").travel is None
    world = level_world((0.0, -1.0, 0.0), 1.4)
    people = found(camera_motion="scene", camera_poses=world @ poses @ np.diag([1.0, -1, -1, 1]))
    np.testing.assert_allclose(people.world, world, atol=1e-9)
    np.testing.assert_allclose(people.travel, poses, atol=1e-9)
    (track,) = in_first_camera(people).tracks().values()
    soles = np.stack([person.vertices for _, person in track]) @ world[2, :3] + world[2, 3]
    assert not people.notes and np.abs(soles.min(axis=1)).max() < 0.03


def test_what_is_missing_is_named(small_sam3d, photo, tmp_path):
    for path in ("sam-3d-body/dinov3/model.ckpt", "sam-3d-body/mhr_model.pt"):
        root = tmp_path / Path(path).stem
        shutil.copytree(small_sam3d, root)
        for file in (root / path).parent.glob(f"{Path(path).stem}.*"):
            file.unlink()
        with pytest.raises(MissingModel, match=Path(path).name) as told:
            recover_people(photo, "sam3d-body", boxes=BOXES, models_dir=root)
        assert catalogue.files() and "licence" in str(told.value.remedy).lower()
    assert "assets.zip" in told.value.remedy and "Register" not in told.value.remedy
    with pytest.raises(MissingModel, match=r"model\.ckpt is missing.*mhr_model\.pt is missing") as told:
        recover_people(photo, "sam3d-body", boxes=BOXES, models_dir=tmp_path)
    assert all(word in told.value.remedy for word in ("Register", "assets.zip"))
    shutil.copy(small_sam3d / "sam-3d-body/vith/model.ckpt", root / "sam-3d-body/dinov3/model.ckpt")
    shutil.copy(small_sam3d / "sam-3d-body/mhr_model.pt", root / "sam-3d-body/mhr_model.pt")
    with pytest.raises(BadModelFile, match="with ViT-H"):
        recover_people(photo, "sam3d-body", boxes=BOXES, models_dir=root)


def test_the_catalogue_knows_the_files_and_asks_first(sam3d_models):
    model = find_model("people", "sam3d-body")
    assert model.ask_first and licences.is_needed(model) and all(file.reported for file in model.files)
    small = sniff.look(sam3d_models / "sam-3d-body" / "mhr_model.pt")  # not of the published size
    assert small.damage == "it is a TorchScript program, not a checkpoint"
