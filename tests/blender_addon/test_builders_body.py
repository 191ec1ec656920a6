# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies: what Blender shows at every frame are the recovered vertices, in the world."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import bpy
import numpy as np
import pytest
from maquette.blender_addon.builders.bodies import body as bodies
from maquette.blender_addon.builders.bodies import skin
from maquette.blender_addon.builders.bodies.body import BodyOptions
from maquette.blender_addon.core import axes, transaction
from maquette.inference.errors import BadInput, NothingFound
from maquette.inference.geometry import rotations, skinning
from maquette.inference.results import GUESSED, Body, People, Person
from mathutils import Vector

#: Metres. An armature rounds its weights and turns through float32 quaternions; the other two only store.
EXACT = {"ARMATURE": 5e-4, "VERTEX_CACHE": 2e-5, "SHAPE_KEYS": 2e-5}


def people_of(body, photo, *tracks, fps=None) -> People:
    count = 1 + max(frame for track in tracks for frame, _ in track)
    frames = tuple(tuple(person for track in tracks for at, person in track if at == frame) for frame in range(count))
    return People(frames, body, photo.camera, (photo.camera,) * count, fps)


def part(collection, kind):
    return next(obj for obj in collection.objects if obj.type == kind)


@pytest.mark.parametrize("mode", bodies.MODES)
def test_every_frame_is_the_recovered_body(mode, body, make_track, world, evaluated, reopened, tmp_path):
    track = make_track((0, 1, 2, 5, 6))
    options = BodyOptions(mode=mode, start_frame=11, world_from_camera=world, folder=tmp_path)
    bodies.build_person(body, track, options, name="street.person.1")
    reopened()
    obj = part(bpy.data.collections["street.person.1"], "MESH")
    for frame, person in track:
        truth = axes.transform(world, person.vertices)
        np.testing.assert_allclose(evaluated(obj, frame + 11), truth, atol=EXACT[mode])
        assert obj["maquette_licence"] == body.licence
    # Where a frame is missing the body moves on, and does not turn the long way round.
    between = evaluated(obj, 11 + 3)
    near = axes.transform(world, track[2][1].vertices), axes.transform(world, track[3][1].vertices)
    assert np.abs(between - (near[0] * 2 + near[1]) / 3).max() < 0.05


@pytest.mark.parametrize("mode", bodies.MODES)
def test_one_photo_is_one_pose(mode, body, make_track, evaluated, tmp_path):
    made = bodies.build_person(body, make_track(), BodyOptions(mode, folder=tmp_path), name="street.person.1")
    truth = axes.transform(axes.default_world_from_camera(), make_track()[0][1].vertices)
    for frame in (1, 40):
        np.testing.assert_allclose(evaluated(part(made, "MESH"), frame), truth, atol=EXACT[mode])


def test_a_world_of_another_scale(body, make_track, world, evaluated):
    """An artist who makes the camera twice as large makes the scene twice as large."""
    world = np.diag([2, 2, 2, 1]) @ world
    made = bodies.build_person(body, make_track(), BodyOptions(world_from_camera=world), name="street.person.1")
    truth = axes.transform(world, make_track()[0][1].vertices)
    np.testing.assert_allclose(evaluated(part(made, "MESH"), 1), truth, atol=1e-3)
    assert tuple(part(made, "ARMATURE").scale) == pytest.approx((2, 2, 2))


def test_turns_stay_on_one_side(body, make_track):
    """A person who turns on past half a turn: recovered quaternions change sign, keyed ones do not."""
    track = make_track(range(12))
    assert min((a.rotations[0] @ b.rotations[0]) for (_, a), (_, b) in pairwise(track)) < 0
    quaternions = rotations.align_hemisphere(np.stack([person.rotations for _, person in track]))
    assert (quaternions[1:] * quaternions[:-1]).sum(-1).min() > 0


def test_rest_pose_stands_on_the_ground(body, make_track):
    made = bodies.build_person(body, make_track(), BodyOptions(sliders=False), name="street.person.1")
    rig = part(made, "ARMATURE")
    heads = np.array([bone.head_local for bone in rig.data.bones])
    corners = np.array([v.co for v in part(made, "MESH").data.vertices])
    assert corners[:, 2].min() == pytest.approx(0, abs=1e-5) and 1.2 < corners[:, 2].max() < 2.2
    assert rig.data.bones["root"].head_local.xy.length < 1e-5
    assert heads[:, 2].min() > 0 and (heads.min(0) > corners.min(0)).all() and (heads.max(0) < corners.max(0)).all()
    assert corners[:, 1].min() < -0.1 < corners[:, 1].max()  # the toes point towards -y


def test_bones_are_the_bodys(body, make_track):
    rig = part(bodies.build_person(body, make_track(), name="street.person.1"), "ARMATURE")
    assert {bone.name for bone in rig.data.bones} == set(body.joint_names)
    for index, name in enumerate(body.joint_names):
        bone = rig.data.bones[name]
        parent = body.parents[index]
        assert (bone.parent.name if bone.parent else None) == (body.joint_names[parent] if parent >= 0 else None)
        confidence = float(index / (len(body.parents) - 1))
        assert rig.pose.bones[name]["confidence"] == pytest.approx(confidence, abs=1e-5)
        assert (rig.pose.bones[name].color.palette == bodies.GUESSED_COLOUR) == (confidence < GUESSED)
    # Bones point along the limbs, and elbows and knees bend about their x axes.
    for name, child in (("upperleg02.L", "lowerleg01.L"), ("lowerarm01.R", "lowerarm02.R"), ("spine03", "spine02")):
        assert (rig.data.bones[name].tail_local - rig.data.bones[child].head_local).length < 1e-4
    assert abs(rig.data.bones["lowerleg01.L"].matrix_local.col[0].x) > 0.9
    assert rig.data.bones["head"].tail_local.z > rig.data.bones["head"].head_local.z + 0.05
    assert {group.name for group in rig.data.collections} == {"Body", "Fingers", "Toes"}


def test_sliders_change_their_trait(body, make_track, evaluated):
    made = bodies.build_person(body, make_track(), name="street.person.1")
    obj = part(made, "MESH")
    keys = obj.data.shape_keys.key_blocks
    assert [key.name for key in keys] == ["Basis", "gender", "age", "muscle", "weight", "height", "proportions"]
    assert {(key.slider_min, key.slider_max, key.value) for key in list(keys)[1:]} == {(-1, 1, 0)}
    rest = np.array([point.co for point in keys["Basis"].data])
    heavy = np.array([point.co for point in keys["weight"].data])
    belly = (np.abs(rest[:, 2] - 1.0) < 0.1) & (np.abs(rest[:, 0]) < 0.25)
    assert np.ptp(heavy[belly, 1]) > np.ptp(rest[belly, 1]) + 0.02
    tall = np.array([point.co for point in keys["height"].data])
    assert np.ptp(tall[:, 2]) > np.ptp(rest[:, 2]) + 0.2


def test_a_body_without_traits_has_no_sliders(body, make_track):
    assert skin.trait_deltas(replace(body, name="another"), {}) == {}


def test_weights_are_the_bodys(body, make_track):
    obj = part(bodies.build_person(body, make_track(), name="street.person.1"), "MESH")
    random = np.random.default_rng(0).integers(0, len(body.vertices), 200)
    for index in random:
        groups = {obj.vertex_groups[g.group].name: g.weight for g in obj.data.vertices[index].groups}
        truth = {
            body.joint_names[joint]: body.skin_weights[index, joint]
            for joint in np.flatnonzero(body.skin_weights[index])
        }
        assert groups == pytest.approx(truth, abs=1e-5)


def test_people_of_a_clip(body, photo, make_track, evaluated):
    """Two people, one of whom comes later; one collection each, and the clip's own frame rate."""
    tracks = make_track(range(4), seed=0), make_track((2, 3), seed=3, track_id=7)
    people = people_of(body, photo, *tracks, fps=29.97)
    made = bodies.build_people(people, name="street")
    scene = bpy.context.scene
    assert scene.render.fps / scene.render.fps_base == pytest.approx(29.97)
    assert (scene.frame_start, scene.frame_end) == (1, 4)
    assert [collection.name for collection in made] == ["street.person.1", "street.person.2"]
    assert set(bpy.data.collections["street.people"].children) == set(made)
    for collection, track in zip(made, tracks, strict=True):
        for frame, person in track:
            truth = axes.transform(axes.default_world_from_camera(), person.vertices)
            np.testing.assert_allclose(evaluated(part(collection, "MESH"), frame + 1), truth, atol=5e-4)
    assert len(bpy.data.meshes) == 2 and len(bpy.data.actions) == 3  # the motions, and when the second one is there


def test_photos_leave_the_frame_rate_alone(body, photo, make_track):
    scene = bpy.context.scene
    scene.render.fps, scene.frame_end = 25, 77
    bodies.build_people(people_of(body, photo, make_track()), name="street")
    assert (scene.render.fps, scene.frame_end) == (25, 77)


@pytest.mark.parametrize("fps", [23.976, 24, 29.97, 30, 59.94, 12.5, 120])
def test_frame_rates(fps):
    from maquette.blender_addon.builders.camera import scene

    scene.set_timing(bpy.context.scene, fps, 1, 9)
    render = bpy.context.scene.render
    assert render.fps / render.fps_base == pytest.approx(fps, rel=1e-6) and render.fps - fps < 1


def test_the_artists_mode_and_selection_come_back(body, make_track):
    mesh = bpy.data.objects.new("sculpture", bpy.data.meshes.new("sculpture"))
    other = bpy.data.objects.new("other", None)
    for obj in (mesh, other):
        bpy.context.scene.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = mesh
    other.select_set(True)
    bpy.ops.object.mode_set(mode="EDIT")
    bodies.build_person(body, make_track(), name="street.person.1")
    assert bpy.context.view_layer.objects.active == mesh and mesh.mode == "EDIT"
    assert [obj.name for obj in bpy.context.view_layer.objects if obj.select_get()] == ["other"]


@pytest.mark.parametrize("mode", bodies.MODES)
def test_a_failed_job_leaves_nothing(mode, body, photo, make_track, blocks, tmp_path):
    scene = bpy.context.scene
    before = blocks(), scene.render.fps, scene.frame_end
    with pytest.raises(RuntimeError), transaction.transaction():
        people = people_of(body, photo, make_track(range(3)), fps=50)
        bodies.build_people(people, BodyOptions(mode, folder=tmp_path), name="street")
        raise RuntimeError
    assert (blocks(), scene.render.fps, scene.frame_end) == before
    assert not list(tmp_path.iterdir())


def test_bad_requests(body, photo, make_track):
    with pytest.raises(BadInput, match="PUPPET"):
        BodyOptions("PUPPET")
    with pytest.raises(BadInput, match="without frames"):
        bodies.build_person(body, [], name="street.person.1")
    with pytest.raises(NothingFound, match="No person"):
        bodies.build_people(replace(people_of(body, photo, make_track()), frames=((),)), name="street")


def test_cache_lies_beside_the_file(body, make_track, tmp_path):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "my scène.blend"))
    made = bodies.build_person(body, make_track(range(2)), BodyOptions("VERTEX_CACHE"), name="street.person.1")
    modifier = part(made, "MESH").modifiers[0]
    assert modifier.filepath == "//maquette/street.person.1.pc2"
    assert (tmp_path / "maquette" / "street.person.1.pc2").stat().st_size == 32 + 2 * len(body.vertices) * 12


def test_bone_axes_look_forward(body, make_track):
    rig = part(bodies.build_person(body, make_track(), name="street.person.1"), "ARMATURE")
    for name in ("upperleg02.L", "lowerarm01.R", "spine03", "head"):
        assert rig.data.bones[name].matrix_local.col[2].xyz.dot(Vector((0, -1, 0))) > 0.5, name


@pytest.fixture(scope="module")
def folding_body():
    """A body of a few joints and 60 points whose skin bulges as joints turn, as SMPL's does."""
    random = np.random.default_rng(11)
    joints = np.float32([[0, 0, 0], [0, -0.3, 0.02], [0.2, -0.5, 0], [0.45, -0.52, 0.05], [-0.2, -0.5, 0]])
    vertices = (joints[random.integers(0, 5, 60)] + random.normal(0, 0.08, (60, 3))).astype(np.float32)
    weights = np.exp(-((vertices[:, None] - joints) ** 2).sum(-1) * 20)
    return Body(
        "folding", "licence of the folding body", vertices, random.integers(0, 60, (90, 3)).astype(np.int32),
        ("hips", "spine", "arm.L", "hand.L", "arm.R"), np.int32([-1, 0, 1, 2, 1]), joints,
        (weights / weights.sum(1, keepdims=True)).astype(np.float32),
        random.normal(0, 0.01, (12, 60, 3)).astype(np.float32), random.normal(0, 0.003, (12, 5, 3)).astype(np.float32),
        random.normal(0, 0.02, (36, 60, 3)).astype(np.float32),
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["LIVE", "BAKED", "OFF"])
def test_correctives_make_an_armature_exact(mode, folding_body, world, evaluated, reopened):
    random, track = np.random.default_rng(1), []
    shape = random.normal(0, 1, 12).astype(np.float32)
    for frame in range(4):
        rotations = random.normal(0, 1, (5, 4)).astype(np.float32)
        rotations[:, 0] += 2
        rotations /= np.linalg.norm(rotations, axis=1, keepdims=True)
        place = np.float32([0.1 * frame, 0.2, 3])
        vertices, joints = skinning.pose_body(folding_body, shape, rotations, place)
        track.append((frame, Person(
            0, (0, 0, 9, 9), 0.9, None, vertices, joints, joints[:, :2], rotations, shape, place, np.ones(5, np.float32)
        )))  # fmt: skip
    made = bodies.build_person(folding_body, track, BodyOptions(correctives=mode, world_from_camera=world), name="x")
    names = [block.name for block in part(made, "MESH").data.shape_keys.key_blocks]
    assert names[:11] == ["Basis", *(f"beta.{number}" for number in range(10))]
    assert len(names) == (11 if mode == "OFF" else 11 + 36)
    reopened()
    obj = part(bpy.data.collections["x"], "MESH")
    worst = 0.0
    for frame, person in track:
        truth = axes.transform(world, person.vertices)
        worst = max(worst, float(np.abs(evaluated(obj, frame + 1) - truth).max()))
    assert worst < 1e-4 if mode != "OFF" else worst > 0.02
    if mode == "LIVE":  # they follow the artist's own poses as well
        rig = obj.parent
        rig.animation_data_clear()
        before = evaluated(obj, 1)
        rig.pose.bones["arm.L"].rotation_quaternion = (0.8, 0.6, 0, 0)
        assert np.abs(evaluated(obj, 1) - before).max() > 0.01


def test_who_is_not_in_all_of_a_clip_is_hidden_elsewhere(body, photo, make_track):
    people = people_of(body, photo, make_track(range(2, 8)), fps=25.0)
    clip = replace(people, frames=(*people.frames, ()), cameras=people.cameras[:1] * 9)
    (collection,) = bodies.build_people(clip, BodyOptions(start_frame=101), name="street")
    mesh, rig = part(collection, "MESH"), part(collection, "ARMATURE")
    seen = {}
    for frame in range(101, 110):
        bpy.context.scene.frame_set(frame)
        evaluated = rig.evaluated_get(bpy.context.evaluated_depsgraph_get())
        seen[frame] = not mesh.hide_render
        assert mesh.hide_viewport == mesh.hide_render == evaluated.hide_viewport
    assert [frame for frame, there in seen.items() if there] == [103, 104, 105, 106, 107, 108]


def test_who_comes_back_is_hidden_while_away(body, photo, make_track):
    people = people_of(body, photo, make_track([0, 1, 2, 60, 61]), fps=25.0)
    frames = [()] * 62
    for frame, person in zip((0, 1, 2, 60, 61), (one[0] for one in people.frames if one), strict=True):
        frames[frame] = (person,)
    clip = replace(people, frames=tuple(frames), cameras=people.cameras[:1] * 62)
    (collection,) = bodies.build_people(clip, BodyOptions(start_frame=1), name="street")
    mesh, there = part(collection, "MESH"), []
    for frame in (1, 3, 4, 30, 60, 61, 62):
        bpy.context.scene.frame_set(frame)
        there += [frame] * (not mesh.hide_render)
    assert there == [1, 3, 61, 62]


def test_a_scene_with_an_animation_keeps_its_timing(body, photo, make_track):
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base, scene.frame_start, scene.frame_end = 24, 1.001, 1001, 1100
    lamp = bpy.data.objects.new("lamp", None)
    scene.collection.objects.link(lamp)
    lamp.keyframe_insert("location", frame=1001)
    people = people_of(body, photo, make_track(range(51)), fps=50.0)
    with transaction.transaction() as opened:
        bodies.build_people(people, BodyOptions(start_frame=1010), name="street")
    assert (scene.frame_start, scene.frame_end) == (1001, 1100) and scene.render.fps == 24
    assert "keeps its frame rate (23.976 fps, the clip has 50)" in opened.notes[0]
    keyed = next(action for action in bpy.data.actions if action.name.startswith("street"))
    assert tuple(keyed.frame_range) == (1010, 1033)  # 1 s at 50 fps is 23.976 frames: the last whole one
