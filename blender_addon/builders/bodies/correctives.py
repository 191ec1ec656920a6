# SPDX-License-Identifier: GPL-3.0-or-later
"""Pose blend shapes as shape keys: what a body's skin does beyond following its bones (SMPL, Loper et al. 2015, eq. 9).

A body gives them over the elements of each joint's R - I in the axes of its rest pose. Here they are mixed so that
each belongs to one element in the bone's own axes, which a driver reads off the bone's quaternion in a few products.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ....inference.geometry import rotations
from ....inference.geometry.skinning import chain
from ...core import axes
from ..surfaces import meshes
from . import action

if TYPE_CHECKING:
    from bpy.types import Object
    from numpy.typing import NDArray

    from ....inference.results import Body, Person

MODES = ("LIVE", "BAKED", "OFF")

#: Keys that move no vertex farther than this (metres) at the most that their element can be are left out.
_UNSEEN = 1e-4
_REACH = 2.0
#: Frames of which directions are made, the most of these, and metres to which they are to be right.
_SAMPLED, _MOST, _CLOSE = 240, 64, 2e-5
#: Elements of R - I, by rows, from a unit quaternion.
_ELEMENTS = (
    "-2*(y*y+z*z)", "2*(x*y-w*z)", "2*(x*z+w*y)",
    "2*(x*y+w*z)", "-2*(x*x+z*z)", "2*(y*z-w*x)",
    "2*(x*z-w*y)", "2*(y*z+w*x)", "-2*(x*x+y*y)",
)  # fmt: skip


def add_correctives(
    obj: Object, rig: Object, body: Body, rest: NDArray, quaternions: NDArray, frames: NDArray, mode: str, name: str
) -> None:
    """Shape keys for the body's pose blend shapes.

    rest (J, 4, 4) : rest matrices of the bones in the armature's space.
    quaternions (T, J, 4) : rotations of the bones in their own axes.
    mode : "LIVE" drives each key by its bone, whatever poses it; "BAKED" keys the values of `frames`, which plays
        faster; "OFF" adds none. A body without pose blend shapes gets none.
    """
    if body.pose_blend_shapes is None or mode == "OFF":
        return
    deltas = _in_bone_axes(body, rest)
    visible = np.flatnonzero(np.abs(deltas).max(axis=(1, 2)) * _REACH > _UNSEEN)
    if not len(visible):
        return
    mesh: Any = obj.data
    if mesh.shape_keys is None:
        obj.shape_key_add(name="Basis", from_mix=False)
    base, blocks = meshes.positions(mesh), []
    for number in visible:
        bone, element = body.joint_names[number // 9 + 1], number % 9
        block: Any = obj.shape_key_add(name=f"pose.{bone}.{element // 3}{element % 3}", from_mix=False)
        block.slider_min, block.slider_max, block.value = -_REACH, _REACH, 0.0
        block.data.foreach_set("co", np.ascontiguousarray(base + deltas[number], np.float32).ravel())
        if mode == "LIVE":
            _drive(block, rig, bone, _ELEMENTS[element])
        blocks.append(block)
    if mode == "BAKED":
        values = rotations.rotation_matrices(quaternions[:, 1:]) - np.eye(3)
        _bake(mesh.shape_keys, blocks, frames, values.reshape(len(values), -1)[:, visible], f"{name}.pose")


def add_exact(
    obj: Object, body: Body, rest: NDArray, joints: NDArray, persons: Sequence[Person], frames: NDArray, unit: float,
    name: str,
) -> float:  # fmt: skip
    """Shape keys for all that the persons' own surfaces have beside their bones: what the pose adds (`pose.corrective`)
    and what skinning from somebody's own build leaves (`pose.build`). Each frame's are mixed of a few keys.

    rest (V, 3), joints (J, 3) : of the person's own rest pose, camera axes.  unit : of the rig a metre.
    Returns the metres by which vertices are off at most.
    """
    picked = np.unique(np.linspace(0, len(persons) - 1, min(len(persons), _SAMPLED)).astype(int))
    parts = {"pose.corrective": [], "pose.build": []}
    for index in picked:
        given, left = _beside_bones(body, rest, joints, persons[index])
        parts["pose.corrective"].append(given)
        parts["pose.build"].append(left)
    keys = {label: _basis(np.stack(values).reshape(len(picked), -1)) for label, values in parts.items()}
    values = {label: np.empty((len(persons), len(basis)), np.float32) for label, basis in keys.items()}
    worst = 0.0
    for index, person in enumerate(persons):
        for (label, basis), wanted in zip(keys.items(), _beside_bones(body, rest, joints, person), strict=True):
            values[label][index] = basis @ wanted.ravel()
            worst = max(worst, float(np.abs(values[label][index] @ basis - wanted.ravel()).max()))
    _add_mixed(obj, keys, values, frames, unit, name)
    return worst


def _add_mixed(
    obj: Object, keys: dict[str, NDArray], values: dict[str, NDArray], frames: NDArray, unit: float, name: str
) -> None:
    """Shape keys of directions (K, 3 V), each as large as it is at most, with their values (T, K) of the frames."""
    mesh: Any = obj.data
    if mesh.shape_keys is None:
        obj.shape_key_add(name="Basis", from_mix=False)
    base, blocks, amounts = meshes.positions(mesh), [], []
    for label, basis in keys.items():
        for number, (direction, amount) in enumerate(zip(basis, values[label].T, strict=True), 1):
            size = max(float(np.abs(amount).max()), 1e-9)
            moved = (size * direction).reshape(-1, 3) @ axes.Z_UP[:3, :3].T * unit
            block: Any = obj.shape_key_add(name=f"{label}.{number:02}", from_mix=False)
            block.slider_min, block.slider_max = -_REACH, _REACH
            block.data.foreach_set("co", np.ascontiguousarray(base + moved, np.float32).ravel())
            block.value = float(amount[0] / size)
            blocks.append(block)
            amounts.append(amount / size)
    if len(frames) > 1 and blocks:
        _bake(mesh.shape_keys, blocks, frames, np.stack(amounts, axis=1), f"{name}.pose")


def _beside_bones(
    body: Body, rest: NDArray, joints: NDArray, person: Person
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the pose adds to the rest surface (V, 3), and what else leads to the person's vertices, camera axes."""
    assert person.correctives is not None
    turns = rotations.rotation_matrices(person.rotations.astype(np.float64))[None]
    steps = None if person.offsets is None else person.offsets[None].astype(np.float64)
    world, places = chain(body.parents, joints[None], turns, person.translation[None], steps)
    start = places[0] - (world[0] @ joints[..., None])[..., 0]
    transforms = np.concatenate([world[0], start[..., None]], -1).reshape(len(joints), 12)
    blended = (body.skin_weights @ transforms).reshape(-1, 3, 4)
    back = np.linalg.solve(blended[..., :3], (person.vertices - blended[..., 3])[..., None])[..., 0]
    return person.correctives, (back - rest - person.correctives).astype(np.float32)


def _basis(values: NDArray) -> NDArray[np.float32]:
    """Orthonormal directions (K, N), as few as bring all rows of values (T, N) back to within `_CLOSE`."""
    squares, mixed = np.linalg.eigh(values.astype(np.float64) @ values.T)
    order = np.argsort(squares)[::-1][:_MOST]
    order = order[squares[order] > 1e-12]
    basis = ((mixed[:, order] / np.sqrt(squares[order])).T @ values).astype(np.float32)
    left = values.copy()
    for count, direction in enumerate(basis):
        if np.abs(left).max() < _CLOSE:
            return basis[:count]
        left -= np.outer(left @ direction, direction)
    return basis


def _bake(keys: Any, blocks: list[Any], frames: NDArray, values: NDArray, name: str) -> None:
    """Key the values (T, K) of the blocks at these frames (T,)."""
    keyed = action.new_action(keys, name)
    for block, column in zip(blocks, values.T, strict=True):
        path = f'key_blocks["{bpy.utils.escape_identifier(block.name)}"].value'
        action.add_fcurves(keyed, keys, path, frames, column[:, None])


def _in_bone_axes(body: Body, rest: NDArray) -> NDArray[np.float32]:
    """(9 * (J - 1), V, 3) z up, over the elements of R - I in the bones' own axes.

    With M the bone's axes in those of the body, R of the body is M L M^T, so its blend shapes P_ij become the sum over
    i, j of M_ik M_jl P_ij for the element L_kl.
    """
    assert body.pose_blend_shapes is not None
    turn = axes.Z_UP[:3, :3]
    shapes = body.pose_blend_shapes.reshape(len(rest) - 1, 3, 3, -1)
    own = np.einsum("ba,jbk->jak", turn, rest[1:, :3, :3])
    half = np.einsum("nik,nijv->nkjv", own, shapes)
    mixed = np.einsum("njl,nkjv->nklv", own, half)
    return (mixed.reshape(len(body.pose_blend_shapes), -1, 3) @ turn.T).astype(np.float32)


def _drive(block: Any, rig: Object, bone: str, expression: str) -> None:
    driver = block.driver_add("value").driver
    driver.type = "SCRIPTED"
    for letter, index in zip("wxyz", range(4), strict=True):
        if letter not in expression:
            continue
        variable = driver.variables.new()
        variable.name, variable.type = letter, "SINGLE_PROP"
        variable.targets[0].id = rig
        variable.targets[0].data_path = action.bone_path(bone, f"rotation_quaternion[{index}]")
    driver.expression = expression
