# SPDX-License-Identifier: GPL-3.0-or-later
"""People of SAM 3D Body in Blender: MHR's bones and skin are what was recovered, and the neutral body moves as it."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
import torch
from maquette.blender_addon.builders.bodies import body as bodies
from maquette.blender_addon.builders.bodies import retarget
from maquette.blender_addon.builders.bodies.body import BodyOptions
from maquette.blender_addon.core import axes
from maquette.inference import Camera, Clip, Photo, recover_people
from maquette.inference.geometry.rotations import rotation_matrices
from maquette.inference.models.mhr import load_rig
from maquette.inference.people.clip.ground import world_from_camera
from maquette.inference.registry import find_model
from maquette.inference.rigs import map_bones, on_builtin_body
from maquette.inference.runtime.run import start

#: Metres. What is asked for is a tenth of a millimetre.
EXACT = 1e-4
BOXES = [(30.0, 20.0, 90.0, 140.0)]


@pytest.fixture
def recovered(small_sam3d):
    """A function: number of frames -> people of noise, whom the network takes for somebody in changing poses."""

    def make(count):
        noise = np.random.default_rng(7).integers(0, 256, (13, 160, 120, 3))
        noise = (0.6 * noise[0] + 0.4 * noise[1:]).astype(np.uint8)  # one shot: of nothing but noise each is another
        camera = Camera(150, 150, 60, 80, 120, 160)
        photos = [Photo(picture, camera, str(number)) for number, picture in enumerate(noise[:count])]
        clip = Clip("noise", count, 25.0 if count > 1 else None, lambda: iter(photos))
        return recover_people(
            clip, "sam3d-body", boxes=[BOXES] * count, models_dir=small_sam3d, device="cpu", hands="none",
            smoothing=0.0, plant=0.0,
        )  # fmt: skip

    return make


def mesh_of(collection):
    return next(obj for obj in collection.objects if obj.type == "MESH")


@pytest.mark.parametrize("count", [1, 7])
def test_bones_and_keys_are_the_recovered_person(count, recovered, world, evaluated, reopened, small_sam3d):
    people = recovered(count)
    (track,) = people.tracks().values()
    bodies.build_person(people.body, track, BodyOptions(world_from_camera=world), name="x")
    reopened()
    obj = mesh_of(bpy.data.collections["x"])
    rig = obj.parent
    assert len(rig.data.bones) == 127 and rig.data.bones["root"].parent.name == "body_world"
    assert max(len(vertex.groups) for vertex in obj.data.vertices) <= 4 and obj.data.uv_layers
    keys = obj.data.shape_keys.key_blocks
    assert sum(key.name.startswith("face.") for key in keys) == 72
    shown = [evaluated(obj, frame + 1) for frame, _ in track]
    for (_, person), points in zip(track, shown, strict=True):
        np.testing.assert_allclose(points, axes.transform(world, person.vertices), atol=EXACT)
    for key in keys:
        key.mute = key.mute or key.name.startswith("pose.corrective")
    mhr = load_rig(start("cpu", None, None, small_sam3d, find_model("people", "sam3d-body")))
    if count == 1:  # MHR without its correctives
        person = track[0][1]
        numbers = (torch.from_numpy(person.parameters[name])[None] for name in ("shape", "mhr_model_params"))
        plain, _ = mhr.posed(*numbers, correctives=False)
        placed = plain[0].numpy() / 100 * [1, -1, -1] + person.parameters["pred_cam_t"]
        points = evaluated(obj, 1)
        np.testing.assert_allclose(points, axes.transform(world, placed), atol=EXACT)
        assert np.abs(points - shown[0]).max() > 2 * EXACT


def test_bones_stand_where_joints_are_and_face_keys_are_mhrs(recovered, world, evaluated, small_sam3d):
    people = recovered(1)
    (person,) = people.frames[0]
    made = bodies.build_person(people.body, [(0, person)], BodyOptions(world_from_camera=world), name="x")
    obj = mesh_of(made)
    rig = obj.parent
    bpy.context.view_layer.update()
    heads = np.array([rig.matrix_world @ rig.pose.bones[name].head for name in people.body.joint_names])
    np.testing.assert_allclose(heads, axes.transform(world, person.joints), atol=EXACT)
    # A bone's y axis is the joint's x axis on the left, against it on the right.
    turns = world[:3, :3] @ (np.array([1, -1, -1])[:, None] * person.parameters["joint_turns"].astype(np.float64))
    for name, sign in (("l_lowarm", 1), ("r_lowarm", -1), ("c_spine1", 1)):
        along = np.array((rig.matrix_world @ rig.pose.bones[name].matrix).to_3x3())[:, 1]
        joint = turns[people.body.joint_names.index(name)][:, 0] * sign
        assert along @ joint / np.linalg.norm(along) / np.linalg.norm(joint) > 0.9999
    mhr = load_rig(start("cpu", None, None, small_sam3d, find_model("people", "sam3d-body")))
    shape = torch.from_numpy(person.parameters["shape"])[None]
    still = torch.from_numpy(person.parameters["mhr_model_params"])[None].clone()
    still[:, :136] = 0
    face = torch.zeros(1, 72)
    face[0, 4] = 1
    moved = (mhr.posed(shape, still, face, correctives=False)[0] - mhr.posed(shape, still, correctives=False)[0])[0]
    keys = obj.data.shape_keys.key_blocks
    points = [np.empty((len(obj.data.vertices), 3), np.float32) for _ in range(2)]
    for key, values in zip((keys["Basis"], keys["face.05"]), points, strict=True):
        flat = values.ravel()
        key.data.foreach_get("co", flat)
        values[:] = flat.reshape(values.shape)
    wanted = moved.numpy() @ np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]) / 100
    np.testing.assert_allclose(points[1] - points[0], wanted, atol=EXACT)


@pytest.mark.parametrize("count", [1, 3])
def test_the_neutral_body_takes_the_pose_and_every_rig(count, recovered, world):
    people = recovered(count)
    assert not map_bones(people.body.joint_names).missing
    neutral = on_builtin_body(people, world_from_camera(people))
    assert neutral.body.name == "anny" and [len(frame) for frame in neutral.frames] == [1] * count
    own, other = people.frames[0][0], neutral.frames[0][0]
    for left, right in (("l_uparm", "upperarm01.L"), ("r_lowleg", "lowerleg01.R")):
        end = {"l_uparm": ("l_lowarm", "lowerarm01.L"), "r_lowleg": ("r_foot", "foot.R")}[left]
        ways = []
        for person, body, names in ((own, people.body, (left, end[0])), (other, neutral.body, (right, end[1]))):
            first, last = (person.joints[body.joint_names.index(name)] for name in names)
            ways.append((last - first) / np.linalg.norm(last - first))
        assert ways[0] @ ways[1] > 0.995
    made = bodies.build_people(neutral, BodyOptions(rig="MIXAMO", world_from_camera=world), name="walk")
    assert any(obj.type == "ARMATURE" for obj in made[0].objects)
    with pytest.raises(Exception, match="own bones"):
        bodies.build_people(people, BodyOptions(rig="MIXAMO"), name="walk")
    assert rotation_matrices(other.rotations).shape == (len(neutral.body.joint_names), 3, 3)


def test_its_motion_goes_onto_other_rigs(recovered, world):
    people = recovered(3)
    (track,) = people.tracks().values()
    made = bodies.build_person(people.body, track, BodyOptions(world_from_camera=world), name="x")
    source = mesh_of(made).parent
    neutral = on_builtin_body(people, world_from_camera(people))
    (other,) = neutral.tracks().values()
    target = mesh_of(
        bodies.build_person(neutral.body, other, BodyOptions(rig="UNREAL", world_from_camera=world), name="y")
    ).parent
    target.animation_data_clear()
    own, theirs = (map_bones([bone.name for bone in rig.data.bones]) for rig in (source, target))
    retarget.retarget(source, own, target, theirs, [1, 2, 3], scene=bpy.context.scene, name="moved")
    bpy.context.scene.frame_set(2)
    ways = []
    for rig, names in ((source, ("l_uparm", "l_lowarm")), (target, ("upperarm_l", "lowerarm_l"))):
        first, last = (np.array(rig.matrix_world @ rig.pose.bones[name].head) for name in names)
        ways.append((last - first) / np.linalg.norm(last - first))
    assert ways[0] @ ways[1] > 0.99
