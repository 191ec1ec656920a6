# SPDX-License-Identifier: GPL-3.0-or-later
"""Cleaning up motion: what stays where it was, measured at the joints of rigs that Maquette and others made."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from maquette import blender_addon
from maquette.blender_addon.builders.bodies import action, motion, reading
from maquette.blender_addon.builders.bodies.channels import channels
from maquette.blender_addon.core import compat
from maquette.blender_addon.tasks.motion.panel import MotionPanel
from maquette.blender_addon.tasks.rigs.panel import PosePanel
from maquette.inference.errors import BadInput


@pytest.fixture(autouse=True)
def registered(empty_scene):
    blender_addon.register()
    yield
    blender_addon.unregister()


def places(obj, frames) -> np.ndarray:
    """(T, J, 3) of all joints in the world."""
    return reading.read_poses(obj, list(frames), bpy.context.scene)[..., :3, 3]


def apart(one, other) -> float:
    return float(np.linalg.norm(one - other, axis=-1).max())


def keys(obj) -> int:
    return sum(channel.count for channel in channels(obj))


def walker(frames: int = 49, name: str = "robot", order: str = "YZX"):
    """Nobody's rig: a root, hips in centimetres under a turned object, Euler angles; it walks 2.4 m in circles of 24
    frames, and bobs."""
    data = bpy.data.armatures.new(name)
    obj = bpy.data.objects.new(name, data)
    bpy.context.scene.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = obj
    bpy.ops.object.mode_set(mode="EDIT")
    above = None
    for bone, head, tail in (
        ("base", (0, 0, 0), (0, 30, 0)), ("hips", (0, 0, 100), (0, 5, 120)), ("leg", (0, 0, 98), (0, -2, 50)),
        ("foot", (0, -2, 50), (0, 0, 4)),
    ):  # fmt: skip
        made = data.edit_bones.new(bone)
        made.head, made.tail, made.roll, made.parent = head, tail, 0.4, above
        above = made
    bpy.ops.object.mode_set(mode="OBJECT")
    obj.scale, obj.rotation_euler, obj.location = (0.01,) * 3, (0, 0, 0.7), (1, 2, 0)
    turned = np.array(data.bones["hips"].matrix_local)[:3, :3].T
    for bone in obj.pose.bones:
        bone.rotation_mode = order
    for frame in range(frames):
        phase = 2 * np.pi * frame / 24
        obj.pose.bones["hips"].location = turned @ [5 * np.sin(phase), -5 * frame, 3 * np.cos(2 * phase)]
        obj.pose.bones["leg"].rotation_euler = (0.6 * np.sin(phase), 0.1, 0.05 * np.cos(phase))
        obj.pose.bones["foot"].rotation_euler = (0.4 + 0.3 * np.sin(phase + 1), 0, 0)
        for bone, path in (("hips", "location"), ("leg", "rotation_euler"), ("foot", "rotation_euler")):
            obj.pose.bones[bone].keyframe_insert(path, frame=frame + 1)
    bpy.context.view_layer.update()
    return obj


@pytest.mark.parametrize("rig", ["OWN", "RIGIFY", "robot"])
def test_fewer_keys_within_millimetres_of_every_joint(rig, recovered):
    """On a rig of ours, a control rig, and somebody else's."""
    obj = walker() if rig == "robot" else recovered(rig, range(24))[0][0]
    first, last = action.frames_of(obj)
    frames = range(first, last + 1)
    truth, before = places(obj, frames), keys(obj)
    assert bpy.ops.maquette.reduce_keys(armature=obj.name, tolerance=6.0) == {"FINISHED"}
    assert apart(places(obj, frames), truth) < 0.00601
    assert keys(obj) < before / 2.5
    middle = keys(obj)
    fine = motion.reduce_keys(obj, 1e-5, bpy.context.scene)  # of what is left, nothing is lost any more
    assert fine.before == middle and fine.worst <= 1e-5


def test_one_slot_alone_is_touched():
    """From Blender 4.4 on an action may move several datablocks, and a curve may be locked or noisy."""
    obj, other = walker(), walker(name="second")
    if compat.SLOTTED_ACTIONS:
        action = obj.animation_data.action
        slot = action.slots.new("OBJECT", "second")
        bag = action.layers[0].strips[0].channelbag(slot, ensure=True)
        bag.fcurves.new("location", index=0).keyframe_points.insert(400, 1.0)
        other.animation_data.action, other.animation_data.action_slot = action, slot
        before = len(bag.fcurves)
    locked = next(one for one in compat.channels_of(obj.animation_data.action, obj).fcurves if "foot" in one.data_path)
    locked.lock = True
    bpy.ops.maquette.reduce_keys(armature=obj.name)
    assert len(locked.keyframe_points) == 49 and keys(obj) < 200
    if compat.SLOTTED_ACTIONS:
        assert len(bag.fcurves) == before and obj.animation_data.action_slot != slot


def test_a_failure_leaves_the_action_as_it_was(monkeypatch):
    obj = walker()
    truth, named = places(obj, range(1, 50)), obj.animation_data.action.name
    monkeypatch.setattr(motion, "_ROUNDS", 1)
    reads = iter([motion.worlds_of])

    def worlds(*given):
        if next(reads, None) is None:
            raise KeyboardInterrupt
        return original(*given)

    original = motion.worlds_of
    monkeypatch.setattr(motion, "worlds_of", worlds)
    with pytest.raises(KeyboardInterrupt):
        motion.reduce_keys(obj, 0.1, bpy.context.scene)
    assert obj.animation_data.action.name == named and len(bpy.data.actions) == 1
    assert keys(obj) == 9 * 49 and apart(places(obj, range(1, 50)), truth) < 1e-6


@pytest.mark.parametrize("find", [True, False])
def test_a_loop_goes_on_for_ever(find):
    obj = walker(40)
    kept = obj.animation_data.action
    if find:
        assert bpy.ops.maquette.make_loop(blend=4) == {"FINISHED"}
    else:
        bpy.ops.maquette.make_loop(first=3, last=30, blend=6)
    made = obj.animation_data.action
    assert made != kept and kept.use_fake_user and made.use_cyclic
    first, last = int(made.frame_start), int(made.frame_end)
    if find:
        assert last - first == 24  # one step of the walk
    length = last - first
    seen = places(obj, range(first, first + 3 * length + 1))
    rounds = [seen[number * length : (number + 1) * length + 1] for number in range(3)]
    gone = rounds[0][-1, 1] - rounds[0][0, 1]
    assert abs(gone[2]) < 1e-5 and np.linalg.norm(gone) == pytest.approx(0.05 * length, abs=0.05)
    for number in (1, 2):  # the walk goes on, each time as far
        moved = rounds[number][:, 1:] - rounds[0][:, 1:]
        np.testing.assert_allclose(moved, np.broadcast_to(number * gone, moved.shape), atol=2e-4)
    steps = np.linalg.norm(np.diff(seen[:, 1:], axis=0), axis=-1).max(axis=1)
    assert steps[length - 1 : length + 1].max() < 1.6 * steps[: length - 8].max()  # no jerk at the seam


@pytest.mark.parametrize("repeat", [1, 3])
def test_strips_go_on_too(repeat):
    obj = walker(49)
    if repeat > 1:
        with pytest.raises(RuntimeError, match=r"does not repeat\. Make it a loop first"):
            bpy.ops.maquette.push_to_nla(repeat=repeat)
        bpy.ops.maquette.make_loop(first=1, last=25)
    truth = places(obj, range(1, 25 + 24 * (repeat - 1)))
    assert bpy.ops.maquette.push_to_nla(repeat=repeat, start=101) == {"FINISHED"}
    assert obj.animation_data.action is None
    (strip,) = obj.animation_data.nla_tracks[0].strips
    assert strip.frame_end == (149 if repeat == 1 else 101 + 24 * repeat)
    assert apart(places(obj, range(101, 125 + 24 * (repeat - 1))), truth) < 1e-4


@pytest.mark.parametrize("turn", [False, True])
@pytest.mark.parametrize("to", ["IN_PLACE", "ROOT", "OBJECT"])
def test_root_motion(to, turn, recovered):
    obj = walker() if to == "ROOT" else recovered()[0][0]
    frames = range(1, 50) if to == "ROOT" else range(3, 11)
    hips = 1 if to == "ROOT" else 0
    before = places(obj, frames)
    assert bpy.ops.maquette.move_root(armature=obj.name, to=to, turn=turn) == {"FINISHED"}
    after = places(obj, frames)
    if to == "IN_PLACE":
        assert np.ptp(after[:, hips, :2], axis=0).max() < 1e-5
        np.testing.assert_allclose(after[..., 2], before[..., 2], atol=1e-5)
        if not turn:
            np.testing.assert_allclose(after - after[:, :1], before - before[:, :1], atol=1e-5)
        return
    assert apart(after[:, 1:], before[:, 1:]) < 1e-4  # it looks as before
    if to == "ROOT":
        way = after[:, 0] - after[0, 0]
        np.testing.assert_allclose(way[:, :2], (before[:, 1] - before[0, 1])[:, :2], atol=1e-4)
        assert np.abs(way[:, 2]).max() < 1e-5
        return
    obj.location = 0, 0, 0
    bpy.context.scene.frame_set(10)
    assert np.linalg.norm(np.array(obj.matrix_world.translation)[:2] - after[0, 0, :2]) > 0.05
    spot = [channel for channel in channels(obj) if not channel.bone]
    assert {channel.kind for channel in spot} == {"location", *(["rotation_euler"] if turn else [])}


def test_root_motion_of_a_control_rig(recovered):
    """Its root carries by constraints: what deforms stays where it was, and fewer keys keep it there."""
    obj = recovered("RIGIFY", range(6))[0][0]
    names = [bone.name for bone in obj.data.bones]
    skin, frames = [bone.use_deform for bone in obj.data.bones], range(3, 9)
    before = places(obj, frames)
    bpy.ops.maquette.move_root(armature=obj.name, to="ROOT", turn=True)
    after = places(obj, frames)
    assert apart(after[:, skin], before[:, skin]) < 1e-4
    root, hips = names.index("root"), names.index("torso")
    np.testing.assert_allclose(np.ptp(after[:, root, :2], axis=0), np.ptp(before[:, hips, :2], axis=0), atol=0.05)
    assert np.abs(after[:, root, 2]).max() < 1e-5
    motion.reduce_keys(obj, 0.004, bpy.context.scene)
    assert apart(places(obj, frames)[:, skin], before[:, skin]) < 0.0041


def test_a_steady_way_leaves_the_sway_to_the_hips():
    obj = walker()
    bpy.ops.maquette.move_root(to="ROOT", steady=True)
    after = places(obj, range(1, 50))
    assert np.abs(np.diff(after[:, 0], n=2, axis=0)).max() < 1e-5
    assert np.ptp((after[:, 1] - after[:, 0])[:, :2], axis=0).max() > 0.04
    with pytest.raises(BadInput, match="no bone above its hips"):
        obj.pose.bones["hips"].bone.name = "pelvis"
        bpy.context.view_layer.objects.active = obj
        bpy.ops.object.mode_set(mode="EDIT")
        obj.data.edit_bones.remove(obj.data.edit_bones["base"])
        bpy.ops.object.mode_set(mode="OBJECT")
        motion.move_root(obj, "ROOT", bpy.context.scene)


def test_a_range_is_smoothed_and_the_rest_is_left():
    obj = walker()
    noise = np.random.default_rng(4).normal(0, 0.1, 49)
    leg = next(channel for channel in channels(obj) if channel.bone == "leg")
    values = leg.values(np.arange(1, 50))
    clean = places(obj, range(1, 50))
    values[:, 0] += noise
    leg.write(np.arange(1, 50), values)
    rough = places(obj, range(1, 50))
    motion.reduce_keys(obj, 1e-4, bpy.context.scene)
    assert bpy.ops.maquette.smooth_motion(first=12, last=36, width=1.5) == {"FINISHED"}
    soft = places(obj, range(1, 50))
    outside = np.r_[0:11, 36:49]
    assert apart(soft[outside], rough[outside]) < 2e-4
    inside = slice(16, 32)
    assert apart(soft[inside], clean[inside]) < 0.7 * apart(rough[inside], clean[inside])
    assert np.abs(np.diff(soft[inside], n=2, axis=0)).max() < 0.6 * np.abs(np.diff(rough[inside], n=2, axis=0)).max()


@pytest.mark.parametrize("rig", ["OWN", "MIXAMO", "RIGIFY"])
@pytest.mark.parametrize("turned_round", [False, True])
def test_two_tracks_become_one(rig, turned_round, body, make_track, world):
    """One who was lost: seen in frames 1-6 and again, as another track, in 10-15."""
    from maquette.blender_addon.builders.bodies.body import BodyOptions, build_people
    from maquette.inference.camera import Camera
    from maquette.inference.results import People

    tracks = make_track(range(15), track_id=0), make_track(range(15), seed=0, track_id=1)
    rows = tuple(
        tuple(track[frame][1] for track, seen in zip(tracks, (range(6), range(9, 15)), strict=True) if frame in seen)
        for frame in range(15)
    )
    camera = Camera(500.0, 500.0, 320.0, 240.0, 640, 480)
    people = People(rows, body, camera, (camera,) * 15, 25.0)
    made = build_people(people, BodyOptions(rig=rig, world_from_camera=world), name="street")
    rigs = [next(obj.find_armature() for obj in one.objects if obj.type == "MESH") for one in made]
    skin = [bone.use_deform for bone in rigs[0].data.bones]
    truth = [places(rigs[0], range(1, 7))[:, skin], places(rigs[1], range(10, 16))[:, skin]]
    if turned_round:
        rigs.reverse()
    keep, other = rigs[0].name, rigs[1].name
    assert bpy.ops.maquette.join_tracks(armature=keep, other=other) == {"FINISHED"}
    assert other not in bpy.data.objects
    gone = other.removesuffix(".rig")
    assert not [one.name for kind in (bpy.data.objects, bpy.data.collections) for one in kind if gone in one.name]
    obj = bpy.data.objects[keep]
    assert action.frames_of(obj) == (1, 15)
    assert apart(places(obj, range(1, 7))[:, skin], truth[0]) < 0.01
    assert apart(places(obj, range(10, 16))[:, skin], truth[1]) < 0.01
    (mesh,) = (one for one in bpy.data.objects if one.type == "MESH" and one.find_armature())
    hidden = []
    for frame in (1, 6, 8, 10, 15):
        bpy.context.scene.frame_set(frame)
        hidden.append(mesh.hide_viewport)
    assert hidden == [False, False, True, False, False]
    with pytest.raises(RuntimeError, match="Both are the same armature"):
        bpy.ops.maquette.join_tracks(armature=keep, other=keep)


def test_what_has_no_motion_is_told(recovered):
    (first, _), (second, _) = recovered(tracks=(0, 1), frames=range(3))
    with pytest.raises(RuntimeError, match=r"in sight at the same time\. Choose two tracks of one person"):
        bpy.ops.maquette.join_tracks(armature=first.name, other=second.name)
    with pytest.raises(RuntimeError, match=r"no bone above its hips\. Move the motion onto the object"):
        bpy.ops.maquette.move_root(armature=first.name, to="ROOT")
    with pytest.raises(RuntimeError, match="three frames at least"):
        bpy.ops.maquette.make_loop(armature=first.name, first=3, last=4)
    with pytest.raises(RuntimeError, match="Frames 3 to 90 are not all in the action, which has 3 to 5"):
        bpy.ops.maquette.smooth_motion(armature=first.name, first=3, last=90)
    first.animation_data_clear()
    for name in ("reduce_keys", "make_loop", "move_root", "smooth_motion", "push_to_nla"):
        with pytest.raises(RuntimeError, match="has no action"):
            getattr(bpy.ops.maquette, name)(armature=first.name)


class Drawn:
    """Stands where Blender's layout does, and notes what is drawn."""

    def __init__(self) -> None:
        self.shown, self.buttons = [], {}

    def prop(self, settings, name: str, **_) -> None:
        assert name in settings.bl_rna.properties
        self.shown.append(name)

    def operator(self, name: str, **_):
        self.buttons[name] = bpy.context.window_manager.operator_properties_last(name)
        return self.buttons[name]

    def label(self, **_) -> None: ...

    separator = label

    def column(self, **_):
        return self

    row = column


def test_the_panels_hand_their_settings_to_the_buttons(recovered):
    bpy.context.view_layer.objects.active = recovered(frames=range(2))[0][0]
    settings, layout = bpy.context.scene.maquette, Drawn()
    settings.motion.tolerance, settings.motion.to, settings.motion.repeat = 12.0, "OBJECT", 4
    settings.rigs.format, settings.rigs.objects, settings.rigs.centimetres = "BVH", "SELECTED", True
    for panel in (MotionPanel, PosePanel):
        panel.draw_into(type("Panel", (panel,), {})(), layout, settings)
    assert len(layout.shown) == len(set(layout.shown)) and {"width", "find", "other", "centimetres"} <= set(
        layout.shown
    )
    buttons = {name.split(".")[1]: button for name, button in layout.buttons.items()}
    assert buttons["reduce_keys"].tolerance == 12.0 and buttons["move_root"].to == "OBJECT"
    assert buttons["push_to_nla"].repeat == 4 and buttons["join_tracks"].other == ""
    assert buttons["export_person"].objects == "SELECTED" and buttons["export_person"].centimetres
    assert "from_zero" not in layout.shown
