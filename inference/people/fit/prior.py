# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a body before a photo is seen: how far joints turn, and how people are built.

Rotations are rotation vectors in the rest pose's axes (x = the person's left, y down, z backward), counted from rest,
where the arms are spread by 45 degrees and the elbows bent by 41. Ranges follow the tables of joint motion in clinical
use (Norkin and White, "Measurement of Joint Motion"), a little widened because limits here are soft.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ...shipped.body import ATTRIBUTES, load_body
from .skeleton import GROUPS

#: Standard deviations of the attributes; none of them is well seen in one photo but height, proportions and weight, and
#: a person's sex is not guessed: random people are posed no better with it (PA 103 mm with and without).
ATTRIBUTE_SPREAD = {"gender": 0.02, "age": 0.02, "muscle": 0.15, "weight": 0.15, "height": 0.06, "proportions": 0.15}


@dataclass(frozen=True)
class _Joint:
    """Rotations about three axes: mean, standard deviation, lowest and highest angle in radians.

    axes : "rest" for x, y, z; "bone" for (bend, twist, third): the bone's own.
    """

    mean: tuple[float, float, float]
    spread: tuple[float, float, float]
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    axes: str = "rest"


#: The left side's, for pairs. x bends trunk and neck forward; a thigh forward by -x, sideways by -z; a knee by +x.
_JOINTS = {
    "waist": _Joint((0.05, 0, 0), (0.28, 0.2, 0.16), (-0.45, -0.6, -0.5), (1.1, 0.6, 0.5)),
    "chest": _Joint((0.05, 0, 0), (0.18, 0.22, 0.12), (-0.35, -0.6, -0.35), (0.6, 0.6, 0.35)),
    "neck": _Joint((0.05, 0, 0), (0.25, 0.3, 0.18), (-0.6, -0.8, -0.5), (0.6, 0.8, 0.5)),
    "head": _Joint((0, 0, 0), (0.25, 0.35, 0.2), (-0.6, -0.8, -0.5), (0.6, 0.8, 0.5)),
    "clavicle": _Joint((0, 0, 0), (0.06, 0.12, 0.14), (-0.2, -0.35, -0.5), (0.2, 0.35, 0.3)),
    "shoulder": _Joint((0, 0, 0), (0.9, 0.6, 0.9), (-2.6, -1.4, -2.6), (2.6, 1.4, 2.6), "bone"),
    "elbow": _Joint((-0.2, 0, 0), (0.7, 0.06, 0.06), (-0.72, -0.1, -0.1), (1.85, 0.1, 0.1), "bone"),
    "forearm": _Joint((0, 0, 0), (0.05, 0.6, 0.05), (-0.1, -1.5, -0.1), (0.1, 1.5, 0.1), "bone"),
    "wrist": _Joint((0, 0, 0), (0.3, 0.1, 0.2), (-1.1, -0.3, -0.5), (1.1, 0.3, 0.5), "bone"),
    "hip": _Joint((-0.15, 0, 0), (0.7, 0.3, 0.3), (-2.3, -0.8, -1.0), (0.5, 0.8, 0.5)),
    "knee": _Joint((0.15, 0, 0), (0.7, 0.12, 0.06), (-0.16, -0.3, -0.1), (2.5, 0.3, 0.1), "bone"),
    "ankle": _Joint((0.0, 0, 0), (0.3, 0.2, 0.2), (-0.7, -0.5, -0.5), (0.7, 0.5, 0.5)),
}
_BONE_END = {"shoulder": "lowerarm01", "elbow": "wrist", "forearm": "wrist", "wrist": "finger3-1", "knee": "foot"}
_BONE_START = {"shoulder": "upperarm01", "elbow": "lowerarm01", "forearm": "lowerarm02", "wrist": "wrist"}
_BONE_START["knee"] = "lowerleg01"


@dataclass(frozen=True)
class PosePrior:
    """axes : (G, 3, 3), rows.  mean, spread, low, high : (G, 3) radians about them; spread is infinite at the root."""

    axes: Tensor
    mean: Tensor
    spread: Tensor
    low: Tensor
    high: Tensor


@cache
def pose_prior() -> PosePrior:
    """The prior of all groups of joints, the right side mirrored from the left."""
    rows = [_of_group(group) for group in GROUPS]
    stacked = [torch.from_numpy(np.stack(values)) for values in zip(*rows, strict=True)]
    return PosePrior(*stacked)


def _of_group(group: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    name, _, side = group.partition(".")
    if name not in _JOINTS:
        free = np.full(3, np.inf)
        return np.eye(3), np.zeros(3), free, -free, free
    joint = _JOINTS[name]
    axes = np.eye(3) if joint.axes == "rest" else _bone_axes(name)
    if side == "R":
        # A mirror turns rotation vectors (x, y, z) into (x, -y, -z).
        axes = axes * (1.0, -1.0, -1.0)
    return axes, np.array(joint.mean), np.array(joint.spread), np.array(joint.low), np.array(joint.high)


def _bone_axes(name: str) -> np.ndarray:
    """Bend axis (positive flexes), bone, and the third axis, in rows, of a joint on the left."""
    body = load_body()

    def place(joint: str) -> np.ndarray:
        return body.joints[body.joint_names.index(f"{joint}.L")].astype(np.float64)

    along = place(_BONE_END[name]) - place(_BONE_START[name])
    along /= np.linalg.norm(along)
    if name == "knee":
        bend = np.array([1.0, 0, 0])
    elif name == "wrist":
        bend = place("finger2-1") - place("finger5-1")
    else:
        upper = place("lowerarm01") - place("upperarm01")
        bend = np.cross(upper, place("wrist") - place("lowerarm01"))
    bend = bend - (bend @ along) * along
    bend /= np.linalg.norm(bend)
    return np.stack([bend, along, np.cross(bend, along)])


@cache
def attribute_prior() -> tuple[Tensor, Tensor]:
    """Means and standard deviations (A,) of the attributes."""
    mean = torch.tensor(list(ATTRIBUTES.values()), dtype=torch.float64)
    return mean, torch.tensor([ATTRIBUTE_SPREAD[name] for name in ATTRIBUTES], dtype=torch.float64)
