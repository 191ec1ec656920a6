# SPDX-License-Identifier: GPL-3.0-or-later
"""From the network's 519 numbers of a person to MHR's parameters.

Angles of a joint are those of Rz Ry Rx. The turn of the whole body is a quirk that the network has learned: its angles
are written z, y, x and read as x, y, z.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...geometry.rotations_torch import orthonormal
from ..mhr.rig import PARAMETERS, SHAPES, euler_matrices

#: How many numbers there are of each part, in their order.
GLOBAL, BODY, SHAPE, SCALE, HANDS, FACE = 6, 260, SHAPES, 28, 108, 72
NUMBERS = GLOBAL + BODY + SHAPE + SCALE + HANDS + FACE
#: Where the x, y and z of joints that turn freely stand among the body's 133 values.
FREE = torch.tensor([
    (0, 2, 4), (6, 8, 10), (12, 13, 14), (15, 16, 17), (18, 19, 20), (21, 22, 23), (24, 25, 26), (27, 28, 29),
    (34, 35, 36), (37, 38, 39), (44, 45, 46), (53, 54, 55), (64, 65, 66), (85, 69, 73), (86, 70, 79), (87, 71, 82),
    (88, 72, 76), (91, 92, 93), (112, 96, 100), (113, 97, 106), (114, 98, 109), (115, 99, 103), (130, 131, 132),
])  # fmt: skip
#: Values of the body, and those of them that are used; steps of six joints are the last of these.
VALUES, USED = 133, 130
STEPS = slice(124, 130)
#: What the body's head does not decide: fingers and jaw.
_UNDECIDED = [*range(62, 116), *range(130, 133)]
_FREE = set(FREE.flatten().tolist())
_HINGES = torch.tensor([index for index in range(124) if index not in _FREE])
#: Angles of each joint of a hand; of three the six numbers are a matrix's, of others each is a sine and a cosine.
_FINGERS = (3, 1, 1, 3, 1, 1, 3, 1, 1, 3, 1, 1, 2, 3, 1, 1)
#: Values before the scales: three of the place, three of the whole turn, the body's.
BEFORE = 6 + USED
#: Coefficients of the scales, and scales.
SCALES = PARAMETERS - BEFORE


class Numbers(NamedTuple):
    """The network's numbers, part by part (B, n)."""

    whole: Tensor
    body: Tensor
    shape: Tensor
    scale: Tensor
    hands: Tensor
    face: Tensor

    @classmethod
    def of(cls, numbers: Tensor) -> Numbers:
        """Of (B, 519). Faces are never predicted: 0."""
        parts = numbers.split([GLOBAL, BODY, SHAPE, SCALE, HANDS, FACE], -1)
        whole, body, shape, scale, hands, face = parts
        return cls(whole, body, shape, scale, hands, torch.zeros_like(face))


class Head(nn.Module):
    """Decides on the numbers, and holds the constants by which they are read. Names as published.

    keypoint_mapping : (70, V + 127), of vertices, then joints.
    """

    joint_rotation: Tensor
    scale_mean: Tensor
    scale_comps: Tensor
    hand_pose_mean: Tensor
    hand_pose_comps: Tensor
    hand_joint_idxs_left: Tensor
    hand_joint_idxs_right: Tensor
    keypoint_mapping: Tensor
    right_wrist_coords: Tensor
    root_coords: Tensor
    local_to_world_wrist: Tensor
    nonhand_param_idxs: Tensor

    def __init__(self, proj: nn.Module, columns: int, nonhand: int) -> None:
        super().__init__()
        self.proj = proj
        floats = {
            "joint_rotation": (127, 3, 3), "scale_mean": (SCALES,), "scale_comps": (SCALE, SCALES),
            "hand_pose_mean": (54,), "hand_pose_comps": (54, 54), "keypoint_mapping": (70, columns),
            "right_wrist_coords": (3,), "root_coords": (3,), "local_to_world_wrist": (3, 3),
        }  # fmt: skip
        for name, shape in floats.items():
            self.register_buffer(name, torch.empty(shape))
        lists = {"hand_joint_idxs_left": 27, "hand_joint_idxs_right": 27, "nonhand_param_idxs": nonhand}
        for name, count in lists.items():
            self.register_buffer(name, torch.empty(count, dtype=torch.int64))

    def scales(self, coefficients: Tensor) -> Tensor:
        """(B, 68) of (B, 28)."""
        return self.scale_mean + coefficients @ self.scale_comps

    def fingers(self, hands: Tensor) -> Tensor:
        """The angles (B, 2, 27) of both hands' numbers (B, 108), the left one's first."""
        return finger_angles(self.hand_pose_mean + hands.unflatten(-1, (2, 54)) @ self.hand_pose_comps)

    def mhr(self, whole: Tensor, body: Tensor, scale: Tensor, hands: Tensor, place: Tensor) -> Tensor:
        """MHR's (B, 204) of the whole turn (B, 3), the body (B, 133), 28 scales, 108 numbers of hands, and a place
        (B, 3) in metres, which MHR takes in tenths."""
        pose = torch.cat([10 * place, whole, body[:, :USED]], -1)
        left, right = self.fingers(hands).unbind(1)
        pose[:, self.hand_joint_idxs_left] = left
        pose[:, self.hand_joint_idxs_right] = right
        return torch.cat([pose, self.scales(scale)], -1)

    def of_body(self, numbers: Numbers) -> tuple[Tensor, Tensor, Tensor]:
        """MHR's parameters, the whole turn (B, 3) and the body's values (B, 133)."""
        whole, body = whole_turn(numbers.whole), body_values(numbers.body)
        body[:, _UNDECIDED] = 0
        place = torch.zeros_like(whole)
        return self.mhr(whole, body, numbers.scale, numbers.hands, place), whole, body

    def of_hand(self, numbers: Numbers) -> tuple[Tensor, Tensor, Tensor]:
        """The same of a right hand's square: of the body only the hand counts, and the whole turn is the wrist's."""
        body = body_values(numbers.body)
        body[:, _UNDECIDED] = 0
        whole = whole_turn(numbers.whole)
        turn = euler_matrices(whole) @ self.local_to_world_wrist
        place = -(turn @ (self.right_wrist_coords - self.root_coords) + self.root_coords)
        made = self.mhr(angles_of(turn), body, numbers.scale, numbers.hands, place)
        made[:, self.nonhand_param_idxs] = 0
        return made, whole, body


def angles_of(turns: Tensor) -> Tensor:
    """x, y and z (..., 3) of matrices Rz Ry Rx (..., 3, 3)."""
    r = turns
    return torch.stack([
        torch.atan2(r[..., 2, 1], r[..., 2, 2]),
        torch.atan2(-r[..., 2, 0], torch.hypot(r[..., 0, 0], r[..., 1, 0])),
        torch.atan2(r[..., 1, 0], r[..., 0, 0]),
    ], -1)  # fmt: skip


def whole_turn(numbers: Tensor) -> Tensor:
    """(B, 3) of (B, 6): the angles about z, y, x, which MHR takes as those about x, y, z."""
    return angles_of(orthonormal(numbers)).flip(-1)


def body_values(numbers: Tensor) -> Tensor:
    """(B, 133) of (B, 260): matrices of 23 joints, sines and cosines of 58 angles, six steps."""
    free, hinges, steps = numbers.split([6 * len(FREE), 2 * len(_HINGES), 6], -1)
    values = numbers.new_zeros(len(numbers), VALUES)
    values[:, FREE.flatten()] = angles_of(orthonormal(free.unflatten(-1, (-1, 6)))).flatten(1)
    values[:, _HINGES] = torch.atan2(*hinges.unflatten(-1, (-1, 2)).unbind(-1))
    values[:, STEPS] = steps
    return values


def finger_angles(numbers: Tensor) -> Tensor:
    """(..., 27) of a hand's (..., 54)."""
    parts, start = [], 0
    for count in _FINGERS:
        own = numbers[..., start : start + 2 * count]
        start += 2 * count
        turned = angles_of(orthonormal(own)) if count == 3 else torch.atan2(*own.unflatten(-1, (-1, 2)).unbind(-1))
        parts.append(turned)
    return torch.cat(parts, -1)
