# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip's people solved again: without networks, in the same objects, with all that the artist did to them."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from maquette import inference
from maquette.blender_addon import api
from maquette.blender_addon.builders.bodies import again, tracks
from maquette.blender_addon.builders.bodies.body import BodyOptions, build_people
from maquette.blender_addon.core import roles
from maquette.inference.options.people import SOLVING
from maquette.inference.people.clip import measured as files
from maquette.inference.results import People
from maquette.inference.shipped import pose
from mathutils import Matrix, Vector
from PIL import Image
from walkers import drawn_crossing, drawn_walk

pytestmark = pytest.mark.usefixtures("addon")


@pytest.fixture(scope="module")
def saved(addon, tmp_path_factory):
    """Two people of a clip, recovered in an unsaved file that is saved then; and where each rig was, frame by frame."""
    folder = tmp_path_factory.mktemp("again")
    pictures, _ = drawn_crossing(drawn_walk(75), range(6, 12))
    for number, picture in enumerate(pictures, 1):
        Image.fromarray(picture).save(folder / f"shot_{number:03d}.png")
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    made = api.recover_people(folder / "shot_###.png", model="builtin", fx=420, hands="none")
    (before,) = {json.loads(one.rig[roles.MEASURED])["file"] for one in made.people}
    assert Path(before).parent == Path(bpy.app.tempdir) and "until then" in made.line
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "shot.blend"))
    assert not Path(before).exists() and (folder / "maquette" / "shot.measured.npz").stat().st_size < 100_000
    return folder, {one.rig.name: api.joints(one.rig).places for one in api.people()}


@pytest.fixture
def scene(saved, tmp_path, monkeypatch):
    """That file, opened in a folder of its own, where a network that is loaded fails the test."""
    shutil.copytree(saved[0], tmp_path / "moved")
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "moved" / "shot.blend"))
    monkeypatch.setattr(pose, "load_network", lambda *_, **__: pytest.fail("a network was loaded"))
    monkeypatch.setattr(inference, "recover_people", lambda *_, **__: pytest.fail("the people were recovered anew"))
    return tmp_path / "moved"


def test_what_is_not_given_stays_as_it_was_and_so_does_what_the_artist_did(scene, saved, blocks) -> None:
    rig, other = (one.rig for one in api.people())
    body = api.people()[0].body
    hero = bpy.data.materials.new("Hero skin")
    body.data.materials[0] = hero
    body.modifiers.new("Smooth", "SUBSURF")
    body.shape_key_add(name="Smile", from_mix=False).data[7].co.z += 0.01
    cap = bpy.data.objects.new("Cap", None)
    cap.parent, cap.parent_type, cap.parent_bone = rig, "BONE", "head"
    bpy.context.scene.collection.objects.link(cap)
    rig.pose.bones["head"].constraints.new("DAMPED_TRACK")
    rig.name = "Hero"
    rig.location.x += 1
    other.hide_viewport = True
    bpy.context.scene.frame_end = 4
    before = blocks()
    made = api.solve_people_again(body)
    assert blocks() == before and made.line.startswith("Solved 2 people again over 6 frames")
    assert [one.rig.name for one in made.people] == ["Hero", other.name]
    for number, (person, places) in enumerate(zip(api.people(), saved[1].values(), strict=True)):
        moved = api.joints(person.rig, range(1, 7)).places - places
        np.testing.assert_allclose(moved, np.broadcast_to([1.0 - number, 0, 0], moved.shape), atol=2e-4)
    assert body.data.materials[0] == hero and [one.type for one in body.modifiers] == ["ARMATURE", "SUBSURF"]
    keys = body.data.shape_keys.key_blocks
    assert keys["Smile"].data[7].co.z - keys["Basis"].data[7].co.z == pytest.approx(0.01, abs=1e-5)
    assert cap.parent == rig and len(rig.pose.bones["head"].constraints) == 1
    assert other.hide_viewport and bpy.context.scene.frame_end == 4


def test_another_floor_is_at_height_0_and_the_camera_moves_to_where_it_sees_it(scene, evaluated) -> None:
    rig, camera = api.people()[0].rig, api.people()[0].camera
    before = np.array(camera.matrix_world)
    away = np.mean([one.rig.matrix_world.translation.y for one in api.people()]) - before[1, 3]
    bpy.context.view_layer.objects.active = rig
    made = api.run("solve_people_again", floor_height=0.15, floor_pitch=0.05, hands="full")
    after = np.array(camera.matrix_world)
    assert after[2, 3] == pytest.approx(before[2, 3] - 0.15 + 0.05 * away, abs=0.03)
    assert after[2, 2] - before[2, 2] == pytest.approx(0.05, abs=0.01), "it looks down on a floor that rises"
    lowest = [evaluated(one.body, frame)[:, 2].min() for one in made.people for frame in range(1, 7)]
    # Toes of who walks dip by 5 to 7 cm, as each OpenCV reads these pictures; above the floor before they were by 15.
    assert np.abs(lowest).max() < 0.1 and abs(np.median(lowest)) < 0.01
    told = json.loads(rig[roles.MEASURED])["options"]
    assert (told["floor_height"], told["smoothing"]) == (0.15, 1.0)
    assert "hands of this clip were not looked at" in made.line


def test_the_lens_is_the_one_asked_for_and_else_stays(scene, monkeypatch) -> None:
    rig, seen = api.people()[0].rig, []

    def solve(measured, **_):
        seen.append(measured.cameras[-1].fx)
        raise inference.NothingFound("It came as far as this.")

    monkeypatch.setattr(inference, "solve_people", solve)
    told = json.loads(rig[roles.MEASURED])
    for given, lens in (
        ({}, None),
        ({"fx": 840}, None),
        ({"lens_mm": 72.0}, None),
        ({}, {"fx": 500.0}),
        ({"fx": 0.0}, None),
    ):
        kept = {"fx": 0.0, "fy": 0.0, "lens_mm": 0.0, "camera": "", **lens} if lens else None
        rig[roles.MEASURED] = json.dumps({**told, "lens": kept})
        with pytest.raises(inference.NothingFound, match="as far as this"):
            api.solve_people_again(rig, **given)
    assert seen == pytest.approx([420, 840, 768, 500, 420])


@pytest.fixture
def tracked(scene):
    """An animated camera of the artist's, on something that is scaled and moves, with a lens that zooms; and its matrix
    without scale in each frame."""
    track, eye = bpy.data.objects.new("Track", None), bpy.data.objects.new("Eye", bpy.data.cameras.new("Eye"))
    for obj in (track, eye):
        bpy.context.scene.collection.objects.link(obj)
    eye.parent, track.scale, eye.rotation_euler = track, (2, 2, 2), (1.5, 0, 0.4)
    eye.location.z = 0.7
    for frame in range(1, 7):
        track.location = (0.3 * frame, -2, 0)
        track.keyframe_insert("location", frame=frame)
        eye.data.lens = 30 + frame
        eye.data.keyframe_insert("lens", frame=frame)
    places = []
    for frame in range(1, 7):
        bpy.context.scene.frame_set(frame)
        place, turn, _ = eye.matrix_world.decompose()
        places.append(np.array(Matrix.LocRotScale(place, turn, None)))
    bpy.context.scene.frame_set(3)
    bpy.context.scene.camera = eye
    return eye, np.array(places)


def _before(person, places):
    """(T, J, 3) the joints of somebody in the axes of cameras (T, 4, 4)."""
    places, joints = np.broadcast_to(places, (6, 4, 4)), api.joints(person.rig, range(1, 7)).places
    return np.einsum("tij,tnj->tni", np.linalg.inv(places)[:, :3, :3], joints - places[:, None, :3, 3])


def test_a_camera_of_the_scene_is_taken_as_it_moves(tracked) -> None:
    eye, places = tracked
    api.solve_people_again(api.people()[0].rig, plant=0.0)
    matched = api.people()[0].camera
    wanted = [_before(one, np.array(matched.matrix_world)) for one in api.people()]
    stood, kept = np.array(matched.matrix_world), np.array(eye.matrix_world)
    objects = len(bpy.data.objects)
    for given in ({"camera_motion": "scene"}, {"smoothing": 1.0}):  # it stays the scene's
        api.solve_people_again(api.people()[0].rig, **given)
        for one, right in zip(api.people(), wanted, strict=True):
            np.testing.assert_allclose(_before(one, places), right, atol=2e-3)
    assert len(bpy.data.objects) == objects and np.array_equal(np.array(matched.matrix_world), stood)
    assert bpy.context.scene.frame_current == 3 and np.array_equal(np.array(eye.matrix_world), kept)
    api.solve_people_again(api.people()[0].rig, camera_motion="still")
    np.testing.assert_allclose(_before(api.people()[0], stood), wanted[0], atol=2e-3)
    api.solve_people_again(api.people()[0].rig, camera_motion="scene")
    bpy.data.objects.remove(eye)
    with pytest.raises(inference.BadInput, match="no camera Eye"):
        api.solve_people_again(api.people()[0].rig)


def test_people_are_recovered_before_a_camera_of_the_scene(scene, tracked, monkeypatch) -> None:
    eye, places = tracked
    told, seen = json.loads(api.people()[0].rig[roles.MEASURED]), []
    measured = files.load(Path(told["file"]))

    def recover(clip, _model, **options):
        cameras = tuple(photo.camera for photo in clip)
        seen.extend([[camera.fx for camera in cameras], options["camera_poses"], clip.fps])
        own = {name: options[name] for name in (*SOLVING, "camera_poses")}
        return inference.solve_people(replace(measured, cameras=cameras, fps=clip.fps), **own)

    monkeypatch.setattr(inference, "recover_people", recover)
    cameras = len(bpy.data.cameras)
    made = api.recover_people(scene / "shot_###.png", model="builtin", hands="none", camera_motion="scene", plant=0.0)
    assert seen[0] == pytest.approx([384 * (30 + frame) / 36 for frame in range(1, 7)])
    np.testing.assert_allclose(seen[1][:, :3, 3], places[:, :3, 3], atol=1e-5)
    assert seen[2] == bpy.context.scene.render.fps and len(bpy.data.cameras) == cameras
    heads = [api.joints(one.rig, range(1, 7)).places for one in made.people]
    for frame in (1, 6):
        bpy.context.scene.frame_set(frame)
        for person, joints in zip(made.people, heads, strict=True):
            view = world_to_camera_view(bpy.context.scene, eye, Vector(joints[frame - 1, 0]))
            shown = measured.pieces[0].tracks[person.track_id].sightings[frame - 1].points[[23, 24]].mean(axis=0)
            assert np.hypot(view.x * 384 - shown[0], (1 - view.y) * 288 - shown[1]) < 20
    bpy.context.scene.camera = None
    with pytest.raises(inference.BadInput, match="scene has no camera"):
        api.recover_people(scene / "shot_###.png", model="builtin", hands="none", camera_motion="scene")


def test_other_clips_versions_and_objects_are_refused(scene, monkeypatch) -> None:
    rig = api.people()[0].rig
    told = json.loads(rig[roles.MEASURED])
    picture, kept = scene / "shot_004.png", (scene / "shot_004.png").read_bytes()
    os.utime(picture, (0, 0))  # copied, and the same pictures
    with monkeypatch.context() as patch, pytest.raises(inference.NothingFound, match="as far as this"):
        patch.setattr(inference, "solve_people", _here)
        api.solve_people_again(rig)
    shutil.copy(scene / "shot_002.png", picture)
    with pytest.raises(inference.BadInput, match="shot has other pictures than it had when"):
        api.solve_people_again(rig)
    (scene / "shot_006.png").unlink()
    with pytest.raises(inference.BadInput, match="shot has other pictures than it had when"):
        api.solve_people_again(rig)
    picture.write_bytes(kept)
    shutil.copy(scene / "shot_005.png", scene / "shot_006.png")
    with pytest.raises(inference.BadInput, match="shot has other pictures than it had when"):
        api.solve_people_again(rig)
    with monkeypatch.context() as patch, pytest.raises(inference.BadInput, match="by another version of Maquette"):
        patch.setattr(files, "VERSION", files.VERSION + 1)
        api.solve_people_again(rig)
    with pytest.raises(inference.BadInput, match=r"camera is not a person whose clip's measurements were kept"):
        api.solve_people_again(api.people()[0].camera)
    rig[roles.MEASURED] = json.dumps({**told, "model": "hmr2"})
    with pytest.raises(inference.BadInput, match="bones of another SMPL body"):
        api.solve_people_again(rig, smpl_body="smplh")
    shutil.copy(Path(told["path"]).with_name("shot_006.png"), scene / "shot_006.png")
    shutil.rmtree(scene / "maquette")
    rig[roles.MEASURED] = json.dumps({**told, "file": str(scene / "gone.npz")})
    with pytest.raises(inference.BadInput, match=r"gone\.npz does not exist"):
        api.solve_people_again(rig)


def _here(*_, **__):
    raise inference.NothingFound("It came as far as this.")


def test_the_operator_takes_what_is_solved_by() -> None:
    import inspect

    properties = bpy.ops.maquette.solve_people_again.get_rna_type().properties
    keywords = set(inspect.signature(inference.solve_people).parameters)
    assert set(SOLVING) <= keywords and keywords - set(SOLVING) == {
        "measured",
        "fx",
        "fy",
        "camera_poses",
        "device",
        "progress",
        "models_dir",
    }
    assert {*SOLVING, "armature", "fx", "fy", "lens_mm", "camera"} == set(properties.keys()) - {"rna_type"}


WAYS = [
    *[{"rig": "OWN"}, {"rig": "MIXAMO", "rig_unit": "CENTIMETRES"}, {"mode": "VERTEX_CACHE"}, {"mode": "SHAPE_KEYS"}],
    pytest.param({"rig": "RIGIFY", "game_skeleton": True}, marks=pytest.mark.full),
]


def _people(body, make_track, seeds) -> People:
    found = [make_track(range(5), seed=seed, track_id=number) for number, seed in enumerate(seeds)]
    rows = tuple(tuple(track[row][1] for track in found) for row in range(5))
    camera = inference.Camera(500.0, 500.0, 320.0, 240.0, 640, 480)
    return People(rows, body, camera, (camera,) * 5, 25.0)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: "-".join(map(str, way.values())))
def test_bodies_of_all_kinds_become_those_that_would_be_built_anew(
    way, body, make_track, world, evaluated, blocks, tmp_path
) -> None:
    options = BodyOptions(world_from_camera=world, folder=tmp_path, **way)
    made = build_people(_people(body, make_track, (0, 1)), options, name="street")
    for collection in made:
        again.write(again.parts_of(collection), {"file": "x.npz"})
    shown, before = again.people_of("x.npz"), blocks()
    assert [one.tracks for one in shown] == [(0,), (1,)]
    second = make_track(range(5), seed=3, track_id=1)  # of another build, elsewhere, and turned otherwise
    people = _people(body, make_track, (0, 1))
    people = replace(people, frames=tuple((one, second[row][1]) for row, (one, _) in enumerate(people.frames)))
    again.rebuild(again.of_tracks(people, [one.tracks for one in shown]), options, shown, bpy.context.scene)
    assert blocks() == before
    fresh = build_people(people, options, name="fresh")
    for one, collection in zip(shown, fresh, strict=True):
        for frame in (1, 3, 5):
            ours = evaluated(one.parts["body"], frame)
            np.testing.assert_allclose(ours, evaluated(again.parts_of(collection)["body"], frame), atol=2e-4)
        assert one.parts["body"][roles.HEIGHT] == again.parts_of(collection)["body"][roles.HEIGHT]


def test_joined_tracks_stay_one_person_and_who_was_deleted_stays_away(body, make_track, world) -> None:
    people = _people(body, make_track, (0, 1, 2))
    lost = [tuple(one for one in row if one.track_id != int(number > 2)) for number, row in enumerate(people.frames)]
    made = build_people(replace(people, frames=tuple(lost)), BodyOptions(world_from_camera=world), name="street")
    for collection in made:
        again.write(again.parts_of(collection), {"file": "x.npz"})
    rigs = {obj[roles.TRACK]: obj for obj in bpy.data.objects if obj.type == "ARMATURE"}
    tracks.join_tracks(rigs[1], rigs[0], bpy.context.scene)
    for obj in [one for one in bpy.data.objects if one[roles.TRACK] == 2]:
        bpy.data.objects.remove(obj)
    (shown,) = again.people_of("x.npz")
    assert shown.tracks == (1, 0)
    of = again.of_tracks(people, [shown.tracks])
    assert [[one.track_id for one in row] for row in of.frames] == [[0]] * 5
    assert of.frames[0][0].translation[0] == people.frames[0][1].translation[0]
