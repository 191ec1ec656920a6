# SPDX-License-Identifier: GPL-3.0-or-later
"""The fingers of bodies of the SMPL family that have some, turned as our hand's are.

Our hand rests slightly bent, theirs flat. Palms are laid on each other, then each bone along ours by the shortest turn;
from there it turns as ours does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...geometry import rotations as quaternion
from ...geometry.rotations import quaternions_of, rotation_matrices
from ...shipped.body import load_body
from ...shipped.hand_body import finger_tip, load_hand_body
from .relaxed_fingers import relaxed_rotations

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...results import Body

#: Thumb to little finger, as our hand counts them.
_FINGERS = ("thumb", "index", "middle", "ring", "pinky")
#: Of our hand's joints after the wrist the first four are the palm's.
PALM = 4


def finger_joints(body: Body, side: str) -> list[int]:
    """The 15 finger joints of a body of the SMPL family, thumb to little finger; none where it has no such names."""
    names = [f"{side}_{finger}{bone}" for finger in _FINGERS for bone in (1, 2, 3)]
    return [body.joint_names.index(name) for name in names] if set(names) <= set(body.joint_names) else []


def palm_axes(body: Body, wrist: str, index: str, little: str) -> NDArray[np.float64]:
    """(2, 3) unit directions at rest: along the hand, and across it towards the thumb."""
    at, first, last = (body.joints[body.joint_names.index(name)].astype(np.float64) for name in (wrist, index, little))
    axes = np.stack([(first + last) / 2 - at, first - last])
    return axes / np.linalg.norm(axes, axis=1, keepdims=True)


def finger_turns(body: Body, side: str, palm: NDArray, ours: NDArray) -> NDArray[np.float64]:
    """Rotations (T, 15, 4) of `finger_joints` that show what our hand's joints after the wrist (T, 19, 4) show.

    palm : (4,) from the body's hand at rest to ours.
    """
    own, joints = load_hand_body(side), finger_joints(body, side)
    laid = _laid(body, joints, own.landmarks, palm)
    turned = np.empty((len(ours), 1 + ours.shape[1], 4))
    turned[:, 0] = quaternion.IDENTITY
    for joint in range(1, turned.shape[1]):
        turned[:, joint] = quaternion.multiply(turned[:, own.body.parents[joint]], ours[:, joint - 1])
    # As seen from their wrist, which `palm` lays on ours.
    shown = quaternion.multiply(turned[:, 1 + PALM :], laid)
    shown = quaternion.multiply(quaternion.conjugate(palm), shown)
    local = shown.copy()
    for bone in (1, 2):
        local[:, bone::3] = quaternion.multiply(quaternion.conjugate(shown[:, bone - 1 :: 3]), shown[:, bone::3])
    return local


def relaxed_turns(body: Body, side: str, palm: NDArray) -> NDArray[np.float64]:
    """Rotations (15, 4) of `finger_joints` of a hand that nobody looks at closely."""
    relaxed, index = relaxed_rotations(), load_body().joint_names.index
    ours = [relaxed.get(index(name), quaternion.IDENTITY) for name in load_hand_body(side).body.joint_names[1:]]
    return finger_turns(body, side, palm, np.stack(ours)[None])[0]


def _laid(body: Body, joints: list[int], landmarks: NDArray, palm: NDArray) -> NDArray[np.float64]:
    """(15, 4) from the body's finger bones at rest to ours, whose landmarks are (21, 3)."""
    theirs, matrix = [], rotation_matrices(palm)
    for first in range(0, len(joints), 3):
        chain = joints[first : first + 3]
        theirs.append([*body.joints[chain].astype(np.float64), finger_tip(body, chain[-1])])
    own, other = (
        np.diff(points, axis=1).reshape(-1, 3) for points in (landmarks[1:].reshape(5, 4, 3), np.array(theirs))
    )
    return quaternion.multiply(quaternion.between(other @ matrix.T, own), palm)


def between_palms(theirs: NDArray, ours: NDArray) -> NDArray[np.float64]:
    """(4,) from one hand at rest to another, by `palm_axes` (2, 3) of each."""
    return quaternions_of(_frame(*ours) @ _frame(*theirs).T)


def _frame(along: NDArray, across: NDArray) -> NDArray[np.float64]:
    """(3, 3) right-handed, in columns: along, across at right angles to it, and the palm's normal."""
    across = across - (across @ along) * along
    across = across / np.linalg.norm(across)
    return np.stack([along, across, np.cross(along, across)], 1)
