# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion as F-curves of new actions: of bones in their own rotation modes, and of objects."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

import numpy as np
from bpy.types import Action, Object, Scene
from mathutils import Matrix
from numpy.typing import NDArray

from ....inference.geometry import rotations
from ...core import transaction
from . import action, reading


def take_over(target: Object, name: str) -> Action:
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


def key_bones(
    obj: Object, keyed: Action, names: Sequence[str], basis: NDArray, placed: Set[str], frames: Sequence[int]
) -> None:
    """Keys of the bones' turns in their own rotation modes, and of the places of `placed`. basis (T, N, 4, 4)."""
    bones: Any = obj.pose.bones  # type: ignore[union-attr]
    times = np.asarray(frames)
    for place, name in enumerate(names):
        bone = bones[name]
        attribute = action.rotation_property(bone.rotation_mode)
        values = rotation_keys(bone.rotation_mode, basis[:, place])
        setattr(bone, attribute, values[0].tolist())
        action.add_fcurves(keyed, obj, action.bone_path(name, attribute), times, values, name)
        if name in placed:
            bone.location = basis[0, place, :3, 3].tolist()
            places = basis[:, place, :3, 3]
            action.add_fcurves(keyed, obj, action.bone_path(name, "location"), times, places, name)


def key_object(obj: Object, matrices: NDArray, turned: bool, frames: Sequence[int], scene: Scene) -> None:
    """A new action for an object that inverse kinematics reach for, at these places in the world (T, 4, 4), and turned
    so where it is to turn. One that cannot be moved, because it is linked or has constraints, stays."""
    if obj.library is not None or any(not one.mute for one in obj.constraints):
        return
    above = np.empty_like(matrices)  # what it inherits from its parent
    with reading.alone(scene, obj) as stage:
        for number, frame in enumerate(frames):
            shown = reading.evaluated_at(stage, obj, frame)
            above[number] = np.array(shown.matrix_world @ shown.matrix_basis.inverted(), np.float64)
    basis, times = np.linalg.inv(above) @ matrices, np.asarray(frames)
    keyed = take_over(obj, f"{obj.name}.target")
    transaction.change(obj, location=basis[0, :3, 3].tolist())
    action.add_fcurves(keyed, obj, "location", times, basis[:, :3, 3])
    if turned:
        attribute = action.rotation_property(obj.rotation_mode)
        values = rotation_keys(obj.rotation_mode, basis / np.linalg.norm(basis, axis=1, keepdims=True))
        transaction.change(obj, **{attribute: values[0].tolist()})
        action.add_fcurves(keyed, obj, attribute, times, values)


def rotation_keys(mode: str, basis: NDArray) -> NDArray[np.float64]:
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
