# SPDX-License-Identifier: GPL-3.0-or-later
"""Inverse kinematics that keep to a motion: rigs with IK constraints, Rigify's two sets of controls, planted feet."""

from __future__ import annotations

import gc
import re

import bpy
import numpy as np
import pytest
from maquette.blender_addon.builders.bodies import body as bodies
from maquette.blender_addon.builders.bodies import reading, retarget
from maquette.blender_addon.builders.bodies.body import BodyOptions
from maquette.blender_addon.core import compat
from maquette.inference.geometry import rotations as quaternions
from maquette.inference.geometry.skinning import pose_body
from maquette.inference.results import People, Person
from maquette.inference.shipped.body import ATTRIBUTES, shape_from_attributes
from mathutils import Matrix, Vector
from test_rigs import FITTED, FRAMES, apart, camera, directions, foreign_rig, names_of, person, registered  # noqa: F401

LIMBS = (("Arm", "ForeArm", "Hand"), ("UpLeg", "Leg", "Foot"))


def ik_rig(kind: str):
    """A T-pose whose arms and legs reach for targets.

    kind : "bones" of the rig itself, with poles at odd angles; "empties", two of them on something that moves;
        "hinges", elbows and knees that bend about one axis; "stretch", limbs that can be longer.
    """
    rig = foreign_rig()
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    bones = rig.data.edit_bones
    for side in ("Left", "Right"):
        for first, second, last in LIMBS:
            upper, lower, end = (bones[f"mixamorig:{side}{part}"] for part in (first, second, last))
            lower.head.z += 1.5 if first == "UpLeg" else -1.5  # elbows and knees have a way to bend
            upper.tail, lower.tail = lower.head, end.head
            upper.align_roll((0, 1, 0) if first == "Arm" else (0, 0, 1))
            lower.align_roll((0, 1, 0) if first == "Arm" else (0, 0, 1))
            if kind == "empties":
                continue
            for name, place in (("target", end.head), ("pole", lower.head)):
                made = bones.new(f"{side}{last}.{name}")
                made.head = place
                if name == "pole":
                    made.head.z += 40 if first == "UpLeg" else -40
                made.tail, made.roll = made.head + end.vector, end.roll + 0.3
    bpy.ops.object.mode_set(mode="OBJECT")
    for side in ("Left", "Right"):
        for _, second, last in LIMBS:
            reach(rig, kind, side, second, last)
    bpy.context.view_layer.update()
    return rig


def reach(rig, kind, side, second, last):
    bone = rig.pose.bones[f"mixamorig:{side}{second}"]
    constraint = bone.constraints.new("IK")
    constraint.chain_count, constraint.use_stretch = 2, kind == "stretch"
    end = rig.pose.bones[f"mixamorig:{side}{last}"]
    if kind == "empties":
        goal, pole = (bpy.data.objects.new(f"{side}{last}.{name}", None) for name in ("target", "pole"))
        for obj in (goal, pole):
            bpy.context.scene.collection.objects.link(obj)
        goal.location = rig.matrix_world @ end.head
        pole.location = rig.matrix_world @ bone.head + (rig.matrix_world @ end.head - rig.matrix_world @ bone.head) / 3
        pole.location.y -= 0.5
        if side == "Left":
            horse = bpy.data.objects.new("horse", None)
            bpy.context.scene.collection.objects.link(horse)
            for frame in (3, 10):
                horse.rotation_euler.z = frame / 9
                horse.keyframe_insert("rotation_euler", frame=frame)
            goal.parent = horse
        constraint.target, constraint.pole_target = goal, pole
    else:
        constraint.target = constraint.pole_target = rig
        constraint.subtarget, constraint.pole_subtarget = f"{side}{last}.target", f"{side}{last}.pole"
    constraint.pole_angle = 0.7 if side == "Left" else -1.9
    if kind == "stretch":
        bone.ik_stretch = bone.parent.ik_stretch = 0.2
    if kind == "hinges":
        bone.lock_ik_y = True
        setattr(bone, "lock_ik_z" if second == "Leg" else "lock_ik_x", True)
    turned = end.constraints.new("COPY_ROTATION")
    turned.target, turned.subtarget = constraint.target, constraint.subtarget


@pytest.mark.parametrize("kind", ["bones", "empties", "hinges", "stretch"])
def test_onto_a_rig_that_reaches_for_targets(kind, person, blocks):  # noqa: F811
    source, _ = person(turning=FITTED if kind == "hinges" else "")
    target = ik_rig(kind)
    before = blocks()
    bpy.ops.maquette.retarget(source=source.name, target=target.name, plant_feet=False)
    assert apart(directions(source, names_of(source), FRAMES), directions(target, names_of(target), FRAMES)) < 2
    assert len(blocks()["actions"] - before["actions"]) == (9 if kind == "empties" else 1)
    assert blocks()["objects"] == before["objects"]


def walker(body, count: int) -> list[Person]:
    """One who walks: knees and elbows bend about one axis, forearms twist, and the lower foot stands still."""
    index = {name: number for number, name in enumerate(body.joint_names)}
    turns = np.full((count, len(body.parents), 3), 1e-6)
    turns[:, index["spine03"]] = 0.1, 0.1, 0.05
    for side, sign in (("L", 1), ("R", -1)):
        step = sign * np.sin(np.arange(count) / 5)
        lifted = np.maximum(0, sign * np.cos(np.arange(count) / 5))
        hip, knee = -0.25 - 0.35 * step, 0.4 + 0.7 * lifted
        wrist, elbow = (body.joints[index[f"{name}.{side}"]] for name in ("wrist", "lowerarm02"))
        for joint, x, rest in (
            ("upperleg01", hip, (0.05, 0.03 * sign)), ("lowerleg01", knee, (0.02, 0.01)), ("foot", -hip - knee, (0, 0)),
            ("upperarm01", -0.4 * step, (0.2, -0.3 * sign)), ("wrist", 0.2 * step, (0.1, 0.2)),
        ):  # fmt: skip
            turns[:, index[f"{joint}.{side}"]] = np.stack([x, *np.broadcast_to(np.array(rest)[:, None], (2, count))], 1)
        turns[:, index[f"lowerarm02.{side}"]] = 0.6 * (wrist - elbow) / np.linalg.norm(wrist - elbow)
    rotations = quaternions.from_rotation_vector(turns).astype(np.float32)
    shape = shape_from_attributes(ATTRIBUTES)
    feet = [index["foot.L"], index["foot.R"]]
    still = np.stack([pose_body(body, shape, one, np.zeros(3, np.float32))[1][feet] for one in rotations])
    lower = still[:, :, 1].argmax(axis=1)
    steps = -np.diff(still, axis=0)[np.arange(count - 1), lower[:-1]]
    path = np.cumsum([[0, 0.3, 5], *steps], axis=0)
    people = []
    for one, place in zip(rotations, path.astype(np.float32), strict=True):
        vertices, joints = pose_body(body, shape, one, place)
        people.append(
            Person(
                0,
                (0, 0, 9, 9),
                0.9,
                None,
                vertices,
                joints,
                np.zeros((1, 2), np.float32),
                one,
                shape,
                place,
                np.ones(len(body.parents), np.float32),
                ATTRIBUTES,
            )
        )
    return people


@pytest.fixture
def walk(body):
    """A function: options of the body, frames -> the armature of a walker from frame 1 on."""

    def build(options: dict | None = None, count: int = 12):
        found = People(tuple((one,) for one in walker(body, count)), body, camera(), (camera(),) * count, 25.0)
        made = bodies.build_people(found, BodyOptions(**options or {}), name="walk")[0]
        return next(obj for obj in made.objects if obj.type == "MESH").find_armature()

    return build


def switch(rig, fk: float, pole: bool = False) -> None:
    for bone in rig.pose.bones:
        if "IK_FK" in bone:
            bone["IK_FK"], bone["pole_vector"] = fk, pole
    rig.update_tag()


def jump(one, other) -> tuple[float, float]:
    """Metres and degrees between poses (T, J, 4, 4)."""
    turned = np.einsum("tjab,tjab->tj", one[..., :3, :3], other[..., :3, :3])
    places = np.linalg.norm(one[..., :3, 3] - other[..., :3, 3], axis=-1)
    return float(places.max()), float(np.degrees(np.arccos(np.clip((turned - 1) / 2, -1, 1))).max())


@pytest.mark.parametrize("count", [1, 12])
def test_switching_between_fk_and_ik_moves_nothing(count, walk):
    rig = walk({"rig": "RIGIFY"}, count)
    frames, scene = range(1, count + 1, 4), bpy.context.scene
    shown = [number for number, bone in enumerate(rig.data.bones) if bone.name.startswith(("DEF-", "ORG-"))]
    fk = reading.read_poses(rig, frames, scene)[:, shown]
    for pole in (False, True):
        switch(rig, 0.0, pole)
        metres, degrees = jump(fk, reading.read_poses(rig, frames, scene)[:, shown])
        assert metres < 1e-3 and degrees < 1
    assert not any("IK_FK" in curve.data_path for curve in curves(rig))
    # And it is the IK controls that have the say now.
    scene.frame_set(1)
    hand, foot = rig.pose.bones["hand_ik.L"], rig.pose.bones["foot_ik.R"]
    before = [rig.pose.bones[f"DEF-{name}"].head.copy() for name in ("hand.L", "foot.R")]
    for bone in (hand, foot):
        bone.matrix = Matrix.Translation((0, -0.04, 0.06)) @ bone.matrix
    bpy.context.view_layer.update()
    for name, place in zip(("hand.L", "foot.R"), before, strict=True):
        moved = rig.pose.bones[f"DEF-{name}"].head - place
        assert (moved - Vector((0, -0.04, 0.06))).length < 2e-3


def curves(obj) -> list:
    return list(compat.channels_of(obj.animation_data.action, obj).fcurves)


@pytest.mark.parametrize(("limbs", "arms", "legs"), [("LEGS", 1.0, 0.0), ("IK", 0.0, 0.0)])
def test_limbs_and_root_by_choice(limbs, arms, legs, walk):
    plain = walk({"rig": "RIGIFY"})
    rig = walk({"rig": "RIGIFY", "limbs": limbs, "root_motion": "ROOT"})
    assert (rig.pose.bones["upper_arm_parent.L"]["IK_FK"], rig.pose.bones["thigh_parent.R"]["IK_FK"]) == (arms, legs)
    frames, scene = [1, 6, 11], bpy.context.scene
    poses, same = (reading.read_poses(one, frames, scene) for one in (rig, plain))
    index = [bone.name for bone in rig.data.bones].index
    shown = [index(bone.name) for bone in rig.data.bones if bone.name.startswith("DEF-")]
    metres, degrees = jump(poses[:, shown], same[:, shown])
    assert metres < 1e-3 and degrees < 1
    hips = poses[:, [index("ORG-thigh.L"), index("ORG-thigh.R")]][..., :3, 3].mean(axis=1)
    np.testing.assert_allclose(poses[:, index("root"), :2, 3], hips[:, :2], atol=2e-3)
    assert np.ptp(hips[:, :2], axis=0).max() > 0.2 and np.ptp(poses[:, index("root"), 2, 3]) < 1e-3
    np.testing.assert_allclose(same[:, index("root")], same[:1, index("root")].repeat(3, 0), atol=1e-6)


def test_what_rigify_leaves_in_the_file(walk, reopened):
    rig = walk({"rig": "RIGIFY"}, 3)
    names = [block.name for kind in ("objects", "armatures", "actions", "texts", "collections", "meshes")
             for block in getattr(bpy.data, kind) if not block.name.startswith("WGT-")]  # fmt: skip
    assert not [name for name in names if re.search(r"\.\d\d\d", name)]
    assert rig.name == rig.data.name == "walk.person.1.rig" and rig.animation_data.action.name == "walk.person.1"
    assert not any(obj.name.startswith("WGT") for scene in bpy.data.scenes for obj in scene.collection.all_objects)
    reopened()
    rig = bpy.data.objects["walk.person.1.rig"]
    home = bpy.data.objects["walk.person.1.metarig"].data.rigify_widgets_collection
    assert rig.pose.bones["hand_ik.L"].custom_shape in list(home.objects) and home.hide_render
    # Generated again, it keeps its shapes, and its action stays in the file.
    metarig = bpy.data.objects["walk.person.1.metarig"]
    metarig.hide_set(False)
    bpy.context.view_layer.objects.active = metarig
    bpy.ops.pose.rigify_generate()
    gc.collect()
    assert bpy.data.actions["walk.person.1"].use_fake_user
    assert rig.pose.bones["hand_ik.L"].custom_shape in list(home.objects)


def test_a_pose_of_a_control_rig_is_its_controls(walk):
    rig = walk({"rig": "RIGIFY"}, 1)
    switch(rig, 0.25)
    bpy.ops.maquette.save_pose(armature=rig.name, name="Step")
    made = bpy.data.actions["Step"]
    rig.animation_data.action = None
    compat.assign_action(rig, made)
    paths = [curve.data_path for curve in curves(rig)]
    bones = {path.split('"')[1] for path in paths}
    assert not [name for name in bones if name.startswith(("DEF-", "ORG-", "MCH-", "VIS_"))]
    assert {"torso", "hand_ik.L", "foot_fk.R", "f_index.02.L"} <= bones and len(paths) < 2000
    switch(rig, 1.0)
    bpy.context.scene.frame_set(1)
    assert rig.pose.bones["thigh_parent.L"]["IK_FK"] == 0.25


def test_what_does_not_follow_is_said(person, capfd):  # noqa: F811
    source, _ = person()
    target = foreign_rig()
    held = target.pose.bones["mixamorig:LeftForeArm"].constraints.new("LIMIT_ROTATION")
    held.use_limit_x = held.use_limit_y = held.use_limit_z = True
    held.owner_space = "LOCAL"
    options = retarget.Options(plant_feet=False)
    made = retarget.retarget(
        source, names_of(source), target, names_of(target), FRAMES, options, scene=bpy.context.scene, name="x"
    )
    assert {one.bone for one in made.astray} == {"mixamorig:LeftForeArm"}
    (worst,) = made.astray
    wanted, shown = (directions(obj, names_of(obj), FRAMES)[2] for obj in (source, target))
    assert worst.degrees > 5 and worst.frame in FRAMES and apart(wanted, shown) > 5
    assert made.action["maquette_astray"][worst.bone][1] == worst.frame
    bpy.ops.maquette.retarget(source=source.name, target=target.name, plant_feet=False)
    said = capfd.readouterr().out
    assert f"does not follow: mixamorig:LeftForeArm by {worst.degrees:.0f} degrees at frame {worst.frame}" in said


def lengthened(share: float):
    """`foreign_rig` with legs as long as this share of theirs, its feet on the ground."""
    rig = foreign_rig()
    bpy.context.view_layer.objects.active = rig
    bpy.ops.object.mode_set(mode="EDIT")
    longer = 85 * (share - 1)
    for bone in rig.data.edit_bones:
        below = next((height for part, height in (("Leg", 42), ("Foot", 85), ("Toe", 85)) if part in bone.name), 0)
        below = 0 if "UpLeg" in bone.name else below
        bone.head.y, bone.tail.y = (end.y + longer - below * (share - 1) for end in (bone.head, bone.tail))
    bpy.ops.object.mode_set(mode="OBJECT")
    return rig


@pytest.mark.parametrize("share", [0.8, 1.0, 1.2])
def test_planted_feet_stay_on_other_legs(share, walk):
    source = walk(count=40)
    leg = reading.rig_of(source, names_of(source)).leg
    target = lengthened(share * leg / 0.85)
    own = reading.rig_of(target, names_of(target))
    assert own.leg == pytest.approx(share * leg, rel=0.01)
    slides = []
    for plant in (False, True):
        bpy.ops.maquette.retarget(source=source.name, target=target.name, plant_feet=plant)
        slides.append(slide(source, target, range(1, 41)))
    assert slides[1] < 0.05
    assert slides[0] > 0.2 or share == 1.0


def slide(source, target, frames) -> float:
    """Metres a second by which the feet of a target move while those of the source stand, at most."""
    speeds = []
    for obj in (source, target):
        rig, poses = reading.rig_of(obj, names_of(obj)), reading.read_poses(obj, frames, bpy.context.scene)
        toes = poses[:, [rig.chain(f"toe.{side}")[0] for side in "LR"]][..., :3, 3]
        speeds.append(np.linalg.norm(np.diff(toes, axis=0), axis=-1) * 25)
    standing = speeds[0] < 0.03
    standing[1:-1] &= standing[2:] & standing[:-2]  # where it lands and leaves it may be on its way
    assert standing.sum() > 15
    return float(speeds[1][standing].max())
