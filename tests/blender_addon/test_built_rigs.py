# SPDX-License-Identifier: GPL-3.0-or-later
"""People built in the rigs of engines and avatars: their rest poses, motion that drops in both ways, root, units.

`reference_rigs.json` holds the rest poses of MPFB's rigs (parent, head, tail, roll), whose data is CC0.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import bpy
import numpy as np
import pytest
from maquette.blender_addon.builders.bodies import action, retarget, skin
from maquette.blender_addon.builders.bodies import body as bodies
from maquette.blender_addon.builders.bodies.body import BodyOptions
from maquette.blender_addon.core import compat
from maquette.inference import rigs
from maquette.inference.errors import BadInput
from maquette.inference.geometry.skinning import pose_body
from test_rigs import directions

FRAMES = range(1, 13, 3)
LIMBS = [
    (side + bone, side + after)
    for side in ("Left", "Right")
    for bone, after in (("Arm", "ForeArm"), ("ForeArm", "Hand"), ("UpLeg", "Leg"), ("Leg", "Foot"))
]


#: Joints that people are recovered with; the others are there for the skin.
FITTED = "root|spine03|neck01|head|clavicle|upperarm01|lowerarm01|wrist|upperleg01|lowerleg01|foot|finger"


@pytest.fixture(scope="module")
def track(make_track, body):
    """One person over twelve frames, whose joints swing as recovered ones do."""

    def swinging(person):
        stiff = [not re.match(FITTED, name) for name in body.joint_names]
        rotations = np.where(np.array(stiff)[:, None], np.float32([1, 0, 0, 0]), person.rotations)
        vertices, joints = pose_body(body, person.shape, rotations, person.translation)
        return replace(person, rotations=rotations, vertices=vertices, joints=joints)

    return [(frame, swinging(person)) for frame, person in make_track(range(0, 12, 3))]


@pytest.fixture
def built(track, body, world):
    """A function: rig, options -> (armature, mesh) of the person."""

    def build(rig: str, **options):
        made = bodies.build_person(
            body, track, BodyOptions(rig=rig, world_from_camera=world, **options), name=rig.lower()
        )
        return tuple(next(obj for obj in made.objects if obj.type == kind) for kind in ("ARMATURE", "MESH"))

    return build


def reference(which: str):
    """An armature with the rest pose of one of MPFB's rigs."""
    data = bpy.data.armatures.new(which)
    obj = bpy.data.objects.new(which, data)
    bpy.context.scene.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = obj
    bpy.ops.object.mode_set(mode="EDIT")
    bones = json.loads(Path(__file__).with_name("reference_rigs.json").read_text())[which]
    for name, (_, *place) in bones.items():
        bone = data.edit_bones.new(name)
        bone.head, bone.tail, bone.roll = place[:3], place[3:6], place[6]
    for name, (parent, *_) in bones.items():
        data.edit_bones[name].parent = data.edit_bones.get(parent)
    bpy.ops.object.mode_set(mode="OBJECT")
    for bone in obj.pose.bones:
        bone.rotation_mode = "QUATERNION"
    return obj


def heads(obj, frame: int | None = None) -> dict[str, np.ndarray]:
    """Where the bones begin, in the armature's space; at rest without a frame."""
    if frame is None:
        return {bone.name: np.array(bone.head_local) for bone in obj.data.bones}
    bpy.context.scene.frame_set(frame)
    posed = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    return {bone.name: np.array(bone.head) for bone in posed.pose.bones}


def limbs(obj) -> np.ndarray:
    """(T, 8, 3) directions."""
    found = [
        [places[f"mixamorig:{after}"] - places[f"mixamorig:{bone}"] for bone, after in LIMBS]
        for places in (heads(obj, frame) for frame in FRAMES)
    ]
    return np.array(found) / np.linalg.norm(found, axis=-1, keepdims=True)


def apart(one, other) -> float:
    """Degrees."""
    return float(np.degrees(np.arccos(np.clip((one * other).sum(-1), -1, 1))).max())


def plays(obj, action, like) -> None:
    """Assign an action as an artist does: with the slot of the one that it was made for."""
    obj.animation_data_create().action = action
    if compat.SLOTTED_ACTIONS:
        obj.animation_data.action_slot = like.animation_data.action_slot


def test_motion_drops_in_both_ways(built):
    """What was recovered plays on Mixamo's own rig, and what was made on that plays on ours."""
    ours, _ = built("MIXAMO")
    theirs = reference("mixamo")
    recovered = ours.animation_data.action
    shown = limbs(ours)
    plays(theirs, recovered, ours)
    assert apart(shown, limbs(theirs)) < 3
    authored = bpy.data.actions.new("authored")
    theirs.animation_data.action = authored
    random = np.random.default_rng(5)
    for frame in FRAMES:
        for bone in theirs.pose.bones:
            bone.rotation_quaternion = [1, *random.normal(0, 0.2 if "Arm" in bone.name else 0.08, 3)]
            bone.keyframe_insert("rotation_quaternion", frame=frame)
    shown = limbs(theirs)
    plays(ours, authored, theirs)
    assert apart(shown, limbs(ours)) < 3 < apart(shown, shown[:1])


def test_mixamo_has_its_bones_where_it_has_them(built):
    ours, _ = built("MIXAMO")
    theirs = reference("mixamo")
    names = set(heads(ours))
    assert len(names) == 65 and set(heads(theirs)) < names
    ends = {name for name in names if name.endswith(("HeadTop_End", "Toe_End", "4"))}
    assert names - set(heads(theirs)) == ends and len(ends) == 13
    size = heads(ours)["mixamorig:Head"][2] / heads(theirs)["mixamorig:Head"][2]
    for name, place in heads(theirs).items():
        assert np.linalg.norm(heads(ours)[name] - place * size) < 0.09, name  # shoulders lie lower on this body
        if "Foot" in name or "Toe" in name or "Hand" in name:  # MPFB's two feet are rolled 20 degrees apart
            continue
        own, other = (obj.data.bones[name].matrix_local.to_3x3() for obj in (ours, theirs))
        assert apart(np.array(own).T, np.array(other).T) < 3, name
    hips = ours.data.bones["mixamorig:Hips"]
    assert hips.length == pytest.approx(0.1, rel=0.3)


@pytest.mark.parametrize("rig", ["MIXAMO", "UNREAL", "VRM-HUMANOID"])
def test_the_surface_follows_the_rig(rig, built, track, world, evaluated, reopened):
    """Posed it is the recovered body, but for what fewer joints cannot do; at rest it stands with its arms out."""
    made = built(rig)
    names = [obj.name for obj in made]
    reopened()
    armature, mesh = (bpy.data.objects[name] for name in names)
    assert max(len(vertex.groups) for vertex in mesh.data.vertices) == 4
    sums = [sum(group.weight for group in vertex.groups) for vertex in list(mesh.data.vertices)[::97]]
    assert sums == pytest.approx([1] * len(sums), abs=1e-4)
    for frame, person in track[::3]:
        truth = person.vertices @ world[:3, :3].T + world[:3, 3]
        distance = np.linalg.norm(evaluated(mesh, frame + 1) - truth, axis=1)
        assert distance.mean() < 0.006 and distance.max() < 0.05
    armature.data.pose_position = "REST"
    armature.matrix_world.identity()
    resting = evaluated(mesh)
    assert resting[:, 2].min() == pytest.approx(0, abs=1e-4)
    assert np.ptp(resting[:, 0]) > (1.1 if rig == "UNREAL" else 1.4)


def test_limbs_are_straight_and_twisted_in_thirds(built):
    ours, mesh = built("UNREAL")
    places = heads(ours)
    assert len(places) == 89 and not ours.data.bones["root"].parent
    for side in "lr":
        for limb, end, order in (
            ("upperarm", "lowerarm", (1, 2)),
            ("lowerarm", "hand", (2, 1)),
            ("thigh", "calf", (1, 2)),
            ("calf", "foot", (2, 1)),
        ):
            start, stop = places[f"{limb}_{side}"], places[f"{end}_{side}"]
            for number, twist in enumerate(order, start=1):
                expected = start + (stop - start) * number / 3
                np.testing.assert_allclose(places[f"{limb}_twist_0{twist}_{side}"], expected, atol=1e-3)
        arm, fore = (
            places[f"{b}_{side}"] - places[f"{a}_{side}"] for a, b in (("upperarm", "lowerarm"), ("lowerarm", "hand"))
        )
        assert apart(arm / np.linalg.norm(arm), fore / np.linalg.norm(fore)) < 1
        twisted = mesh.vertex_groups[f"lowerarm_twist_01_{side}"].index
        assert any(group.group == twisted for vertex in mesh.data.vertices for group in vertex.groups)
    bpy.context.scene.frame_set(10)
    posed = ours.evaluated_get(bpy.context.evaluated_depsgraph_get()).pose.bones
    for one, other in (("ik_hand_gun", "hand_r"), ("ik_hand_l", "hand_l"), ("ik_foot_r", "foot_r")):
        np.testing.assert_allclose(posed[one].matrix, posed[other].matrix, atol=1e-4)
    angles = [twist_of(posed, f"lowerarm_twist_0{n}_l", "lowerarm_l") for n in (2, 1)]
    whole = twist_of(posed, "hand_l", "lowerarm_l")
    np.testing.assert_allclose(angles, [whole / 3, whole * 2 / 3], atol=0.5)


def twist_of(posed, bone: str, limb: str) -> float:
    """Degrees that a bone has turned from rest about the limb that it hangs on."""
    rest = posed[limb].bone.matrix_local.inverted() @ posed[bone].bone.matrix_local
    turn = ((posed[limb].matrix.inverted() @ posed[bone].matrix) @ rest.inverted()).to_quaternion()
    return float(np.degrees(2 * np.arctan2(turn.y, turn.w)))


def test_the_root_carries_the_motion_where_it_is_to(built, evaluated):
    """The same body at the same place, with the ground under it or the armature's origin as root."""
    _, mesh = built("UNREAL")
    armature, moving = built("UNREAL", root_motion="ROOT")
    for frame in FRAMES:
        np.testing.assert_allclose(evaluated(mesh, frame), evaluated(moving, frame), atol=1e-4)
        posed = armature.evaluated_get(bpy.context.evaluated_depsgraph_get()).pose.bones
        root, hips = posed["root"], posed["pelvis"]
        assert root.head.z == pytest.approx(0, abs=1e-5)
        np.testing.assert_allclose(root.head.xy, hips.head.xy, atol=1e-4)
        np.testing.assert_allclose(posed["ik_foot_l"].matrix, posed["foot_l"].matrix, atol=1e-4)
    paths = {path for path in (curve.data_path for curve in curves(armature)) if "location" in path}
    assert 'pose.bones["root"].location' in paths


def curves(obj):
    return compat.channels_of(obj.animation_data.action, obj).fcurves


def test_centimetres_look_the_same(built, evaluated):
    _, mesh = built("MIXAMO")
    small, other = built("MIXAMO", rig_unit="CENTIMETRES")
    assert tuple(small.scale) == pytest.approx((0.01,) * 3)
    assert 80 < small.data.bones["mixamorig:Hips"].head_local.z < 110
    assert other["maquette_height"] > 100
    for frame in (1, 10):
        np.testing.assert_allclose(evaluated(mesh, frame), evaluated(other, frame), atol=1e-4)
    other.data.shape_keys.key_blocks["height"].value = 1
    mesh.data.shape_keys.key_blocks["height"].value = 1
    np.testing.assert_allclose(evaluated(mesh, 1), evaluated(other, 1), atol=1e-4)


def test_avatars_can_move_jaw_and_eyes(built):
    ours, _ = built("VRM-HUMANOID")
    places = heads(ours)
    assert {"jaw", "leftEye", "rightEye"} < set(places) and len(places) == 55
    assert places["leftEye"][0] > 0 > places["rightEye"][0] and places["jaw"][1] > places["leftEye"][1]
    for side in ("left", "right"):  # a T-pose: arms along x, legs straight down
        joints = [places[f"{side}{name}"] for name in ("UpperArm", "LowerArm", "Hand")]
        assert all(np.ptp([a[axis], b[axis]]) < 2e-3 for a, b in pairwise(joints) for axis in (1, 2))
        joints = [places[f"{side}{name}"] for name in ("UpperLeg", "LowerLeg", "Foot")]
        assert all(np.ptp([a[axis], b[axis]]) < 2e-3 for a, b in pairwise(joints) for axis in (0, 1))


@pytest.mark.parametrize("most", [1, 2, 4, 0])
def test_influences_are_limited_and_sum_to_one(most):
    random = np.random.default_rng(0)
    weights = random.random((500, 9)) * (random.random((500, 9)) > 0.3)
    weights[:20] = 0.125  # ties
    weights[:, 0] += 1e-3
    weights /= weights.sum(1, keepdims=True)
    kept = skin.limited(weights, most)
    np.testing.assert_allclose(kept.sum(1), 1, atol=1e-6)
    assert (kept > 0).sum(1).max() == (most or 9)
    if most:
        least = np.where(kept > 0, weights, np.inf).min(1)
        assert (least >= np.where(kept > 0, 0, weights).max(1) - 1e-12).all()
    else:
        np.testing.assert_allclose(kept, weights, atol=1e-6)


@pytest.mark.parametrize("wrong", [{"rig_unit": "INCHES"}, {"root_motion": "FEET"}, {"max_influences": -1}])
def test_what_no_rig_has(wrong):
    with pytest.raises(BadInput, match=re.escape(str(*wrong.values()))):
        BodyOptions(rig="UNREAL", **wrong)


@pytest.mark.parametrize("rig", ["MIXAMO", "UNREAL", "VRM-HUMANOID"])
def test_motion_goes_onto_and_off_these_rigs(rig, built):
    """Found by names, in centimetres and with the motion on the root."""
    target, _ = built(rig, rig_unit="CENTIMETRES", root_motion="ROOT")
    again, _ = built(rig)
    maps = [rigs.map_bones([bone.name for bone in obj.data.bones]) for obj in (target, again)]
    assert maps[0].preset == rig.lower() and set(maps[0].roles) == set(rigs.ROLES)
    source, _ = built("OWN")
    own = rigs.map_bones([bone.name for bone in source.data.bones])
    frames = list(FRAMES)
    retarget.retarget(source, own, target, maps[0], frames, scene=bpy.context.scene, name="onto")
    retarget.retarget(target, maps[0], again, maps[1], frames, scene=bpy.context.scene, name="off")
    shown = [directions(obj, names, frames) for obj, names in zip((source, target, again), (own, *maps), strict=True)]
    assert apart(shown[0], shown[1]) < 0.1 and apart(shown[1], shown[2]) < 0.1


def test_a_control_rig_with_a_skeleton_for_engines(built, evaluated):
    """One hierarchy of deforming bones beside the controls, few a vertex; the surface is the control rig's."""
    _, mesh = built("RIGIFY", game_skeleton=True, max_influences=3)
    skeleton, control = mesh.find_armature(), action.controls_of(mesh)
    assert (skeleton.name, control.name) == ("rigify.game", "rigify.rig") and mesh.parent == skeleton
    bones = skeleton.data.bones
    assert len(bones) == 69 and {bone.name[:4] for bone in bones} == {"DEF-"} and not skeleton.animation_data
    assert [bone.name for bone in bones if not bone.parent] == ["DEF-spine"]
    assert bones["DEF-hand.L"].parent.name == "DEF-forearm.L.001"
    weights = [[group.weight for group in vertex.groups] for vertex in mesh.data.vertices]
    assert max(map(len, weights)) == 3
    np.testing.assert_allclose([sum(row) for row in weights], 1, atol=1e-4)
    frames = range(1, 11)
    control.location.x += 0.5  # moved by the artist, it takes the skeleton along
    shown = np.stack([evaluated(mesh, frame) for frame in frames])
    mesh.modifiers["Armature"].object = mesh.parent = control
    apart = np.linalg.norm(np.stack([evaluated(mesh, frame) for frame in frames]) - shown, axis=-1)
    assert apart.max() < 1e-3
    assert np.linalg.norm(shown[-1] - shown[0], axis=-1).max() > 0.1


def test_a_control_rig_has_all_influences_on_request(built):
    most = [max(len(vertex.groups) for vertex in built("RIGIFY", max_influences=n)[1].data.vertices) for n in (0, 4)]
    assert most[0] > 4 == most[1]
