# SPDX-License-Identifier: GPL-3.0-or-later
"""The motion of a rig's bones without skin: the one on the ground that may carry it, and those that follow others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ..geometry.rotations import quaternions_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .template import Rigged


def helper_motion(
    rigged: Rigged, rest: Mapping[str, NDArray], turns: NDArray, on_root: bool
) -> dict[str, NDArray[np.float64]]:
    """Bone -> (T, 4, 4) what it adds to its rest matrix, for those helpers that move.

    rest : bone -> (4, 4) in the armature's space, z up.  turns (T, J, 4, 4) : what the bones with skin add to theirs.
    on_root : the bone on the ground goes where the hips do and turns with them; the hips are then among the result.
    """
    hips, helpers = rigged.body.joint_names[0], [bone for bone in rigged.helpers if bone.helper != "end"]
    posed = _posed(rigged, rest, turns)
    on_root = on_root and bool(rigged.root)
    ground = _ground(rest[hips], posed[hips]) if on_root else np.eye(4)[None]
    moved = {hips: np.linalg.inv(rest[hips]) @ np.linalg.inv(ground) @ posed[hips]} if on_root else {}
    for bone in helpers:
        posed[bone.name] = ground @ rest[bone.name] if bone.helper == "ground" else posed[bone.helper]
        above = posed[bone.parent] @ np.linalg.inv(rest[bone.parent]) if bone.parent else np.eye(4)
        own = np.linalg.inv(above @ rest[bone.name]) @ posed[bone.name]
        if not np.allclose(own, np.eye(4), atol=1e-6):
            moved[bone.name] = np.broadcast_to(own, (len(turns), 4, 4))
    return moved


def _posed(rigged: Rigged, rest: Mapping[str, NDArray], turns: NDArray) -> dict[str, NDArray[np.float64]]:
    """Bone -> (T, 4, 4) in the armature's space."""
    names, posed = rigged.body.joint_names, {}
    for number, name in enumerate(names):
        above = rigged.body.parents[number]
        inherited = posed[names[above]] @ np.linalg.inv(rest[names[above]]) if above >= 0 else np.eye(4)
        posed[name] = inherited @ rest[name] @ turns[:, number]
    return posed


def _ground(rest: NDArray, posed: NDArray) -> NDArray[np.float64]:
    """(T, 4, 4) how the ground under the hips moves: where they are, and which way they face."""
    turned = quaternions_of(posed[:, :3, :3] @ rest[:3, :3].T)
    heading = np.unwrap(2 * np.arctan2(turned[:, 3], turned[:, 0]))
    motion = np.tile(np.eye(4), (len(posed), 1, 1))
    motion[:, 0, 0] = motion[:, 1, 1] = np.cos(heading)
    motion[:, 1, 0], motion[:, 0, 1] = np.sin(heading), -np.sin(heading)
    motion[:, :2, 3] = posed[:, :2, 3] - motion[:, :2, :2] @ rest[:2, 3]
    return motion
