# SPDX-License-Identifier: GPL-3.0-or-later
"""Pose blend shapes as shape keys: what a body's skin does beyond following its bones (SMPL, Loper et al. 2015, eq. 9).

A body gives them over the elements of each joint's R - I in the axes of its rest pose. Here they are mixed so that
each belongs to one element in the bone's own axes, which a driver reads off the bone's quaternion in a few products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ....inference.geometry import rotations
from ...core import axes
from ..surfaces import meshes
from . import action

if TYPE_CHECKING:
    from bpy.types import Object
    from numpy.typing import NDArray

    from ....inference.results import Body

MODES = ("LIVE", "BAKED", "OFF")

#: Keys that move no vertex farther than this (metres) at the most that their element can be are left out.
_UNSEEN = 1e-4
_REACH = 2.0
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
