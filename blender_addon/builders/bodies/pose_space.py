# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an armature's bones and joints are in the world over its action, and what each bone adds to that of its own."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Any

import numpy as np
from bpy.types import Object, Scene
from mathutils import Euler
from numpy.typing import NDArray

from ....inference import rigs
from ....inference.errors import BadInput
from ....inference.geometry.rotations import from_rotation_vector, rotation_matrices
from . import action, keying, reading
from .channels import Channel, action_of, channels, ensured


def frames_of(obj: Object) -> NDArray[np.int64]:
    """The whole frames (T,) of the object's action."""
    action_of(obj)
    first, last = action.frames_of(obj) or (0, 0)
    return np.arange(first, last + 1)


def frames_in(obj: Object, first: int, last: int) -> NDArray[np.int64]:
    """The frames from first to last, of the whole action where both are 0. Raises BadInput for less than three, and for
    those that lie outside the action."""
    whole = frames_of(obj)
    chosen = np.arange(first, last + 1) if first or last else whole
    if len(chosen) < 3:
        raise BadInput("A range needs three frames at least.", "Choose a longer one.")
    if chosen[0] < whole[0] or chosen[-1] > whole[-1]:
        raise BadInput(
            f"Frames {first} to {last} are not all in the action, which has {whole[0]} to {whole[-1]}.",
            "Choose a range inside it.",
        )
    return chosen


def moving_bones(found: Sequence[Channel], frames: NDArray) -> list[str]:
    """The bones, and "" for the object, whose place changes."""
    placed = [channel for channel in found if channel.kind == "location"]
    return [channel.bone for channel in placed if np.ptp(channel.values(frames), axis=0).max() > 1e-4]


def hips_of(obj: Object) -> str:
    """The bone whose way over the ground is the figure's."""
    bones: Any = obj.data.bones  # type: ignore[union-attr]
    chain = rigs.map_bones([bone.name for bone in bones]).roles.get("hips")
    moving = [bone for bone in moving_bones(channels(obj), frames_of(obj)) if bone]
    if not (chain or moving):
        raise BadInput(f"{obj.name} does not move from its place.", "Choose an armature that walks.")
    return chain[0] if chain else moving[0]


def above(obj: Object, bone: str) -> set[str]:
    """What carries a bone: the bones above it, and "" for the object; nothing for the object."""
    bones: Any = obj.data.bones  # type: ignore[union-attr]
    return {"", *(one.name for one in bones[bone].parent_recursive)} if bone else set()


def topmost(obj: Object, bone: str) -> str:
    """The bone that carries the whole rig: the one above all, or "root", which carries a control rig by constraints."""
    bones: Any = obj.data.bones  # type: ignore[union-attr]
    root = bones.get("root")
    if root is not None and root.parent is None and bones[bone].parent_recursive:
        return "root"
    return [bone, *(one.name for one in bones[bone].parent_recursive)][-1]


def unit_of(obj: Object, bone: str) -> float:
    """World units in one of the lengths in which a bone, or ("") the object, moves."""
    return float(np.cbrt(abs(np.linalg.det(np.array(obj.matrix_world)[:3, :3])))) if bone else 1.0


def worlds_of(obj: Object, frames: NDArray, scene: Scene) -> dict[str, NDArray[np.float64]]:
    """(T, 4, 4) of each bone in the world, without scale in its axes, and under "" of the object, whose parent is taken
    to stand still."""
    poses = reading.read_poses(obj, frames.tolist(), scene)
    place = np.array(obj.matrix_world @ obj.matrix_basis.inverted_safe(), np.float64)
    named = {bone.name: poses[:, number] for number, bone in enumerate(obj.data.bones)}  # type: ignore[union-attr]
    return {"": place @ basis_of(obj, "", channels(obj), frames), **named}


def joints_of(obj: Object, worlds: dict[str, NDArray]) -> NDArray[np.float64]:
    """(T, 2 J, 3) heads and tails of the bones in the world."""
    bones: Any = obj.data.bones  # type: ignore[union-attr]
    posed = np.stack([worlds[bone.name] for bone in bones], axis=1)
    lengths = np.array([bone.length for bone in bones]) * unit_of(obj, "bone")
    heads = posed[..., :3, 3]
    return np.concatenate([heads, heads + posed[..., :3, 1] * lengths[:, None]], axis=1)


def seen_joints(obj: Object, animated: Set[str] = frozenset()) -> NDArray[np.bool_]:
    """(2 J,) the joints, as in `joints_of`, of bones that deform or are animated; all where no bone deforms."""
    bones: Any = obj.data.bones  # type: ignore[union-attr]
    chosen = np.array([bone.use_deform or bone.name in animated for bone in bones])
    return np.tile(chosen | (not any(bone.use_deform for bone in bones)), 2)


def basis_of(obj: Object, bone: str, found: Sequence[Channel], frames: NDArray) -> NDArray[np.float64]:
    """(T, 4, 4) what a bone, or the object, adds to its place at rest; lengths in the world's units."""
    owner: Any = obj.pose.bones[bone] if bone else obj  # type: ignore[union-attr]
    known = {channel.kind: channel for channel in found if channel.bone == bone}

    def values(kind: str) -> NDArray:
        set_so = np.tile(np.array(getattr(owner, kind), np.float64), (len(frames), 1))
        return known[kind].values(frames) if kind in known else set_so

    basis = np.tile(np.eye(4), (len(frames), 1, 1))
    basis[:, :3, 3] = values("location") * unit_of(obj, bone)
    mode = owner.rotation_mode
    turns = values(action.rotation_property(mode))
    if mode == "QUATERNION":
        basis[:, :3, :3] = rotation_matrices(turns)
    elif mode == "AXIS_ANGLE":
        axes = turns[:, 1:] / np.maximum(np.linalg.norm(turns[:, 1:], axis=1, keepdims=True), 1e-9)
        basis[:, :3, :3] = rotation_matrices(from_rotation_vector(axes * turns[:, :1]))
    else:
        basis[:, :3, :3] = [Euler(turn, mode).to_matrix() for turn in turns.tolist()]
    return basis


def set_basis(obj: Object, bone: str, found: list[Channel], frames: NDArray, before: NDArray, basis: NDArray) -> None:
    """Key what `basis_of` reads; a rotation that stays as it was is not keyed."""
    ensured(obj, found, bone, "location").write(frames, basis[:, :3, 3] / unit_of(obj, bone))
    if np.abs(basis[:, :3, :3] - before[:, :3, :3]).max() > 1e-5:
        owner: Any = obj.pose.bones[bone] if bone else obj  # type: ignore[union-attr]
        mode = owner.rotation_mode
        ensured(obj, found, bone, action.rotation_property(mode)).write(frames, keying.rotation_keys(mode, basis))
