# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion from one armature onto another: read, carried over by `inference.rigs`, keyed in a new action.

Rigs whose bones only inherit from their parents are solved in arrays. Control rigs (constraints, drivers) are posed by
Blender itself: the controls follow a hidden armature, and their own values are read back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np
from mathutils import Matrix

from ....inference import rigs
from ....inference.errors import BadInput
from ....inference.geometry import rotations
from ...core import transaction
from ..camera import scene as scenes
from . import action, armature

if TYPE_CHECKING:
    from bpy.types import Action, Object, Scene
    from numpy.typing import NDArray

#: Objects may be scaled by this much more along one axis than along another.
_UNEVEN = 0.02
#: Hips that come out this near to where they are to be (of the legs' length) are left so.
_STILL = 1e-4


def rig_of(obj: Object, mapping: rigs.Mapping) -> rigs.Rig:
    """The armature object at rest in the world. Raises BadInput where the mapping lacks needed parts, and where the
    object is scaled so that its bones have no rotations."""
    mapping = mapping.checked(obj.name)
    names, parents, rest = at_rest(obj)
    roles = mapping.roles if mapping.switches else rigs.carried(mapping.roles, names, parents)
    place = np.array(obj.matrix_world, np.float64)
    return rigs.Rig(names, parents, rest, roles, place, mapping.shown_by).checked(obj.name)


def at_rest(obj: Object) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.float64]]:
    """The bones' names, the indices of their parents (J,), -1 for none, and their rest matrices (J, 4, 4) in the world,
    without scale in their axes. Raises BadInput where the object is scaled so that they have no rotations."""
    bones: Any = obj.data.bones  # type: ignore[union-attr]
    if not len(bones):
        raise BadInput(f"The armature {obj.name} has no bones.", "Choose another armature.")
    names = tuple(bone.name for bone in bones)
    index = {name: number for number, name in enumerate(names)}
    parents = np.array([index[bone.parent.name] if bone.parent else -1 for bone in bones])
    place = np.array(obj.matrix_world, np.float64)
    _check_scale(obj.name, place[:3, :3])
    return names, parents, _in_world(place, np.array([bone.matrix_local for bone in bones], np.float64))


def _check_scale(name: str, axes: NDArray) -> None:
    sizes = np.linalg.norm(axes, axis=0)
    if not sizes.min() > 1e-9:
        raise BadInput(f"The armature {name} has zero scale.", "Set a non-zero scale.")
    skew = np.abs((axes / sizes).T @ (axes / sizes) - np.eye(3)).max()
    if sizes.max() > (1 + _UNEVEN) * sizes.min() or skew > _UNEVEN:
        raise BadInput(f"The armature {name} has a non-uniform scale.", "Apply its scale first.")


def read_poses(
    obj: Object, frames: Sequence[int], scene: Scene, report: Callable[[float], object] = lambda _share: None
) -> NDArray[np.float64]:
    """(T, J, 4, 4) of all bones in the world at these frames, without scale in their axes."""
    poses = np.empty((len(frames), len(obj.pose.bones), 4, 4))  # type: ignore[union-attr]
    with _alone(scene, obj) as stage:
        for number, frame in enumerate(frames):
            evaluated = _evaluated(stage, obj, frame)
            report(0.5 * number / len(frames))
            poses[number] = _in_world(np.array(evaluated.matrix_world, np.float64), _pose_matrices(evaluated))
    return poses


def retarget(
    source: Object,
    source_bones: rigs.Mapping,
    target: Object,
    target_bones: rigs.Mapping,
    frames: Sequence[int],
    *,
    placement: rigs.Placement = "WORLD",
    scene: Scene,
    name: str,
    report: Callable[[float], object] = lambda _share: None,
) -> Action:
    """A new action on `target` that shows what `source` does at these frames (increasing).

    The action that the target had stays in the file (with a fake user); bones keep their rotation modes; bones without
    a part keep their pose. `report` gets the share that is done. Raises BadInput where a mapping lacks needed parts,
    and for rigs that cannot be posed.
    """
    with _out_of_edit_mode(source, target):
        own, other = rig_of(source, source_bones), rig_of(target, target_bones)
        rotations, hips = rigs.retarget(own, read_poses(source, frames, scene, report), other, placement=placement)
        keyed = _take_over(target, name)
        _key_switches(target, target_bones, keyed, frames[0])
        motion = _Motion(other, rotations, hips, frames)
        plain = _is_plain(target, motion.moved)
        if plain == (placement == "WORLD"):
            motion = _without_drift(target, motion, scene, plain)
        if plain:
            bones = [other.index[bone] for bone in motion.moved]
            basis = rigs.apply_turns(other, motion.rotations, motion.hips)[:, bones]
        else:
            basis = _posed_by_blender(target, motion, scene, report)
        _key(target, keyed, motion.moved, basis, motion.root, frames)
    return keyed


@dataclass(frozen=True)
class _Motion:
    """What a target's bones are to do: name -> rotations (T, 3, 3), and the place (T, 3) of the root, in the world."""

    rig: rigs.Rig
    rotations: Mapping[str, NDArray]
    hips: NDArray
    frames: Sequence[int]

    @property
    def root(self) -> str:
        return self.rig.names[self.rig.chain("hips")[0]]

    @property
    def moved(self) -> list[str]:
        """The bones that move, parents first."""
        return [bone for bone in self.rig.names if bone in self.rotations]

    def middle(self) -> NDArray[np.float64]:
        """(T, 3) where the middle between the hip joints is to be."""
        rest = self.rig.rest[self.rig.index[self.root]]
        turned = self.rotations[self.root] @ rest[:3, :3].T
        return self.hips + turned @ (self.rig.middle - rest[:3, 3])


def _without_drift(target: Object, motion: _Motion, scene: Scene, plain: bool) -> _Motion:
    """The motion for a target that hangs on something that moves: in arrays it stands still, under Blender it goes
    along."""
    drift = _drift(target, motion.frames, scene)
    if drift is None:
        return motion
    away = np.linalg.inv(drift) if plain else drift
    turned = away[:, :3, :3] / np.cbrt(np.linalg.det(away[:, :3, :3]))[:, None, None]
    hips = np.einsum("tij,tj->ti", away[:, :3, :3], motion.hips) + away[:, :3, 3]
    return replace(motion, rotations={bone: turned @ one for bone, one in motion.rotations.items()}, hips=hips)


def _drift(target: Object, frames: Sequence[int], scene: Scene) -> NDArray[np.float64] | None:
    """(T, 4, 4) how what the target hangs on moves it from where it stands now; None where nothing does."""
    animated = target.animation_data
    if not (target.parent or target.constraints or (animated and (animated.drivers or animated.nla_tracks))):
        return None
    now = np.linalg.inv(np.array(target.matrix_world, np.float64))
    with _alone(scene, target) as stage:
        places = [np.array(_evaluated(stage, target, frame).matrix_world, np.float64) for frame in frames]
    moved = np.stack(places) @ now
    return None if np.abs(moved - np.eye(4)).max() < 1e-6 else moved


def action_frames(obj: Object) -> list[int]:
    """The whole frames of the object's action; the scene's current frame where it has none."""
    frames = action.frames_of(obj)
    return list(range(frames[0], frames[1] + 1)) if frames else [scenes.current().frame_current]


def _in_world(place: NDArray, matrices: NDArray) -> NDArray[np.float64]:
    world = place @ matrices
    world[..., :3, :3] /= np.linalg.norm(world[..., :3, :3], axis=-2, keepdims=True)
    return np.asarray(world, np.float64)


def _pose_matrices(evaluated: Object) -> NDArray[np.float64]:
    """(J, 4, 4) in the armature's space."""
    bones: Any = evaluated.pose.bones  # type: ignore[union-attr]
    values = np.empty(len(bones) * 16, np.float32)
    bones.foreach_get("matrix", values)
    return np.asarray(values.reshape(-1, 4, 4).swapaxes(-1, -2), np.float64)  # Blender keeps matrices by columns


def _evaluated(stage: Scene, obj: Object, frame: int) -> Object:
    stage.frame_set(frame)
    layer: Any = stage.view_layers[0]
    layer.update()
    return obj.evaluated_get(layer.depsgraph)


@contextmanager
def _alone(scene: Scene, *objects: Object) -> Iterator[Scene]:
    """A scene of its own for these objects, so that a change of frame evaluates nothing else."""
    stage = bpy.data.scenes.new("Maquette stage")
    hidden = [obj for obj in objects if obj.hide_viewport]  # Blender evaluates no hidden objects
    resting: list[Any] = [obj.data for obj in objects if obj.data.pose_position == "REST"]  # type: ignore[union-attr]
    try:
        for obj in hidden:
            obj.hide_viewport = False
        for data in resting:
            data.pose_position = "POSE"
        stage.render.fps, stage.render.fps_base = scene.render.fps, scene.render.fps_base
        stage.frame_start, stage.frame_end = scene.frame_start, scene.frame_end
        for obj in objects:
            stage.collection.objects.link(obj)
        yield stage
    finally:
        for obj in hidden:
            obj.hide_viewport = True
        for data in resting:
            data.pose_position = "REST"
        bpy.data.scenes.remove(stage)


@contextmanager
def _out_of_edit_mode(*objects: Object) -> Iterator[None]:
    """In edit mode armatures are at rest, and the bones that are edited are not theirs yet."""
    if not any(obj.mode == "EDIT" for obj in objects):
        yield
        return
    with scenes.selection_kept():
        yield


def _take_over(target: Object, name: str) -> Action:
    """A new action on the target. The old one is kept, and taken up again if the job fails."""
    data: Any = target.animation_data or target.animation_data_create()
    action.check_free(target)
    before, slot = data.action, getattr(data, "action_slot", None)
    # Whatever strips lie below it: the new action says how the bones turn.
    transaction.change(data, action_blend_type="REPLACE", action_influence=1.0)
    if before is not None:
        kept = before.use_fake_user
        before.use_fake_user = True

        def back() -> None:
            data.action, before.use_fake_user = before, kept
            if slot is not None:
                data.action_slot = slot

        transaction.on_failure(back)
    return action.new_action(target, name)


def _key_switches(target: Object, mapping: rigs.Mapping, keyed: Action, frame: int) -> None:
    """Switch a control rig to the bones of this mapping (FK rather than IK)."""
    bones: Any = target.pose.bones  # type: ignore[union-attr]
    for bone in bones:
        for switch, value in mapping.switches.items():
            if switch in bone:
                path = action.bone_path(bone.name, f"[{switch}]")
                action.add_switch(keyed, target, path, np.array([frame]), np.array([value]))


def _is_plain(target: Object, moved: Sequence[str]) -> bool:
    """Whether the bones and those above them only inherit from their parents."""
    bones: Any = target.pose.bones  # type: ignore[union-attr]
    seen: set[str] = set()
    for name in moved:
        bone = bones[name]
        while bone is not None and bone.name not in seen:
            seen.add(bone.name)
            posed = name != bone.name and bone.name not in moved and bone.matrix_basis != Matrix.Identity(4)
            inherits = bone.bone.use_inherit_rotation and bone.bone.use_local_location
            if any(not one.mute for one in bone.constraints) or not inherits or posed:
                return False
            bone = bone.parent
    drivers = target.animation_data.drivers if target.animation_data else ()
    return not any(f'"{bpy.utils.escape_identifier(name)}"' in curve.data_path for curve in drivers for name in seen)


def _posed_by_blender(
    target: Object, motion: _Motion, scene: Scene, report: Callable[[float], object]
) -> NDArray[np.float64]:
    """(T, N, 4, 4) matrix_basis of the moved bones under everything that acts on them.

    In some rigs the spine's controls move the hips as well (Rigify turns the lower spine about a pivot above them). How
    far off the hips come out is seen in a first pass and taken away in a second.
    """
    basis, middle = _one_pass(target, motion, scene, lambda share: report(0.5 + share / 4))
    off = motion.middle() - middle
    if np.abs(off).max() < _STILL * motion.rig.leg:
        return basis
    return _one_pass(target, replace(motion, hips=motion.hips + off), scene, lambda share: report(0.75 + share / 4))[0]


def _one_pass(
    target: Object, motion: _Motion, scene: Scene, report: Callable[[float], object]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """matrix_basis (T, N, 4, 4) of the moved bones, and the middle (T, 3) between the hip joints as it came out."""
    basis = np.empty((len(motion.frames), len(motion.moved), 4, 4))
    middle = np.empty((len(motion.frames), 3))
    thighs = [motion.rig.roles[f"thigh.{side}"][0] for side in "LR"]
    with _shown(target, motion, scene) as guide, _alone(scene, target, guide) as stage:
        for number, frame in enumerate(motion.frames):
            evaluated: Any = _evaluated(stage, target, frame)
            report(number / len(motion.frames))
            bones = evaluated.pose.bones
            middle[number] = evaluated.matrix_world @ ((bones[thighs[0]].head + bones[thighs[1]].head) / 2)
            for place, name in enumerate(motion.moved):
                basis[number, place] = evaluated.convert_space(
                    pose_bone=bones[name], matrix=bones[name].matrix, from_space="POSE", to_space="LOCAL"
                )
    return basis, middle


@contextmanager
def _shown(target: Object, motion: _Motion, scene: Scene) -> Iterator[Object]:
    """A hidden armature whose free bones perform the motion, and constraints that make the target's bones copy them."""
    rest = np.stack([motion.rig.rest[motion.rig.index[name]] for name in motion.moved])
    guide = armature.free_bones("Maquette guide", motion.moved, rest, scene.collection)
    constraints = []
    try:
        keyed = action.new_action(guide, "Maquette guide")
        for place, name in enumerate(motion.moved):
            posed = np.broadcast_to(rest[place], (len(motion.frames), 4, 4)).copy()
            posed[:, :3, :3] = motion.rotations[name]
            posed[:, :3, 3] = motion.hips if name == motion.root else rest[place, :3, 3]
            _key(guide, keyed, [name], (np.linalg.inv(rest[place]) @ posed)[:, None], motion.root, motion.frames)
            bone: Any = target.pose.bones[name]  # type: ignore[union-attr]
            for kind in ("COPY_ROTATION", *(("COPY_LOCATION",) if name == motion.root else ())):
                constraint = bone.constraints.new(kind)
                constraint.target, constraint.subtarget = guide, name
                constraints.append((bone, constraint))
        yield guide
    finally:
        for bone, constraint in constraints:
            bone.constraints.remove(constraint)
        data, made = guide.data, guide.animation_data.action if guide.animation_data else None
        bpy.data.objects.remove(guide)
        bpy.data.armatures.remove(data)  # type: ignore[arg-type]
        if made is not None:
            bpy.data.actions.remove(made)


def _key(obj: Object, keyed: Action, names: Sequence[str], basis: NDArray, root: str, frames: Sequence[int]) -> None:
    """Keys of the bones' turns in their own rotation modes, and of the root's place. basis (T, N, 4, 4)."""
    bones: Any = obj.pose.bones  # type: ignore[union-attr]
    times = np.asarray(frames)
    for place, name in enumerate(names):
        bone = bones[name]
        attribute = action.rotation_property(bone.rotation_mode)
        values = _rotation_keys(bone.rotation_mode, basis[:, place])
        setattr(bone, attribute, values[0].tolist())
        action.add_fcurves(keyed, obj, action.bone_path(name, attribute), times, values, name)
        if name == root:
            bone.location = basis[0, place, :3, 3].tolist()
            places = basis[:, place, :3, 3]
            action.add_fcurves(keyed, obj, action.bone_path(name, "location"), times, places, name)


def _rotation_keys(mode: str, basis: NDArray) -> NDArray[np.float64]:
    """The values (T, C) that turn a bone of this rotation mode so, each next to the one before."""
    aligned = rotations.align_hemisphere(rotations.quaternions_of(basis[:, :3, :3]))
    if mode == "QUATERNION":
        return aligned
    if mode == "AXIS_ANGLE":
        angles = 2 * np.arctan2(np.linalg.norm(aligned[:, 1:], axis=1), aligned[:, 0])
        axes = aligned[:, 1:] / np.maximum(np.linalg.norm(aligned[:, 1:], axis=1, keepdims=True), 1e-9)
        axes[angles < 1e-6] = (0, 1, 0)
        return np.asarray(np.column_stack([angles, axes]), np.float64)
    eulers = []
    for matrix in basis[:, :3, :3]:
        turned = Matrix(matrix.tolist())
        eulers.append(turned.to_euler(mode, eulers[-1]) if eulers else turned.to_euler(mode))
    return np.array(eulers, np.float64)
