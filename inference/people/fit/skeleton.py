# SPDX-License-Identifier: GPL-3.0-or-later
"""The body as the fit sees it: the joints that move, in groups that move together, and the points fixed to them.

A point of the skinned body is a sum over joints of rigidly carried parts (linear blend skinning, regrouped):

    x_k = sum over j of  G_j (m_kj - a_kj h_j) + a_kj p_j,
    a_kj = sum over vertices v of w_kv W_vj,  m_kj = sum over v of w_kv W_vj rest_v,

so landmarks that are means of many vertices cost as little as joints do, and derivatives need no vertices at all.
Fingers, toes and eyes ride on the hand, foot and head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor

from ...geometry.rotations_torch import exponential, logarithm
from ...results import Body
from ...shipped import body as builtin_body

#: Group of joints that turn together -> the share of the rotation that each takes. Sides ".L" and ".R" are added.
_MIDDLE = {
    "root": {"root": 1.0},
    "waist": {"spine05": 0.3, "spine04": 0.35, "spine03": 0.35},
    "chest": {"spine02": 0.5, "spine01": 0.5},
    "neck": {"neck01": 0.4, "neck02": 0.3, "neck03": 0.3},
    "head": {"head": 1.0},
}
_PAIRED = {
    "clavicle": {"clavicle": 1.0},
    "shoulder": {"upperarm01": 1.0},
    "elbow": {"lowerarm01": 1.0},
    "forearm": {"lowerarm02": 1.0},
    "wrist": {"wrist": 1.0},
    "hip": {"upperleg01": 1.0},
    "knee": {"lowerleg01": 1.0},
    "ankle": {"foot": 1.0},
}
GROUPS: dict[str, dict[str, float]] = _MIDDLE | {
    f"{group}.{side}": {f"{joint}.{side}": share for joint, share in members.items()}
    for group, members in _PAIRED.items()
    for side in "LR"
}
#: Joints that carry skin but do not turn by themselves.
_STIFF = ("pelvis", "upperleg02", "lowerleg02", "shoulder01", "upperarm02")

#: BlazePose landmark -> where it lies on the body: a COCO-style landmark, or a joint.
LANDMARKS: dict[int, str] = {
    0: "nose",
    2: "left_eye",
    5: "right_eye",
    7: "left_ear",
    8: "right_ear",
    11: "left_shoulder",
    12: "right_shoulder",
    13: "left_elbow",
    14: "right_elbow",
    15: "left_wrist",
    16: "right_wrist",
    17: "finger5-1.L",
    18: "finger5-1.R",
    19: "finger2-1.L",
    20: "finger2-1.R",
    21: "finger1-2.L",
    22: "finger1-2.R",
    23: "left_hip",
    24: "right_hip",
    25: "left_knee",
    26: "right_knee",
    27: "left_ankle",
    28: "right_ankle",
    29: "left_heel",
    30: "right_heel",
    31: "left_big_toe",
    32: "right_big_toe",
}
#: The pose network sees these higher on the body than the regressors place them: metres along y in the rest pose,
#: measured on rendered people.
_RAISED = {
    **dict.fromkeys((0, 2, 5), 0.008),
    **dict.fromkeys((11, 12), 0.013),
    **dict.fromkeys((13, 14, 15, 16), 0.005),
    **dict.fromkeys((23, 24, 25, 26, 29, 30), 0.024),
    **dict.fromkeys((27, 28, 31, 32), 0.021),
}
ATTRIBUTE_NAMES = tuple(builtin_body.ATTRIBUTES)
#: Of a point fixed to the body: its number, a joint, the share a_kj, the moment m_kj (3,), and its change (S, 3).
Part = tuple[int, int, float, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Markers:
    """K points fixed to the body, as P parts carried by joints.

    point, joint : (P,) long.  share : (P,) a_kj.  moment : (P, 3), moment_blend : (S, P, 3): m_kj and its change.
    """

    count: int
    point: Tensor
    joint: Tensor
    share: Tensor
    moment: Tensor
    moment_blend: Tensor


@dataclass(frozen=True)
class Skeleton:
    """The moving joints (N of them) of a body, float64 on the CPU.

    joints : index of each in `Body.joint_names`.  parents : (N,) among them.  levels : joints by depth.
    carrier : (J,) for every joint of the body, the moving joint that carries it.
    rest : (N, 3) and rest_blend : (S, N, 3).
    below : (N, N), below[i, j] = 1 where i is j or hangs on it.
    group : (N,) the group each joint turns with, -1 for the stiff ones.  share : (N,) of its rotation.
    """

    joints: np.ndarray
    parents: Tensor
    levels: tuple[Tensor, ...]
    carrier: np.ndarray
    rest: Tensor
    rest_blend: Tensor
    below: Tensor
    group: Tensor
    share: Tensor

    @classmethod
    def of(cls, body: Body, turning: Mapping[int, tuple[int, float]]) -> Skeleton:
        """turning : of the body's joints that move, the group and the share of its rotation; -1 for stiff ones."""
        kept = sorted(turning)
        place = {joint: i for i, joint in enumerate(kept)}
        carrier = np.empty(len(body.parents), int)
        for joint, parent in enumerate(body.parents):
            carrier[joint] = place.get(joint, carrier[parent] if parent >= 0 else 0)
        parents = [place.get(int(body.parents[joint]), -1) for joint in kept]
        below = np.eye(len(kept))
        depth = np.zeros(len(kept), int)
        for i, parent in enumerate(parents):
            if parent >= 0:
                below[i] += below[parent]
                depth[i] = depth[parent] + 1
        return cls(
            joints=np.array(kept),
            parents=torch.tensor(parents),
            levels=tuple(torch.from_numpy(np.flatnonzero(depth == level)) for level in range(1, depth.max() + 1)),
            carrier=carrier,
            rest=torch.from_numpy(body.joints[kept].astype(np.float64)),
            rest_blend=torch.from_numpy(body.joint_blend_shapes[:, kept].astype(np.float64)),
            below=torch.from_numpy(below),
            group=torch.tensor([turning[joint][0] for joint in kept]),
            share=torch.tensor([turning[joint][1] for joint in kept], dtype=torch.float64),
        )


@cache
def load_skeleton() -> Skeleton:
    """The skeleton of the built-in body."""
    body = builtin_body.load_body()
    turning = {joint: (g, share) for g, members in enumerate(GROUPS.values()) for joint, share in members.items()}
    moving = {
        joint: turning.get(name, (-1, 0.0))
        for joint, name in enumerate(body.joint_names)
        if name in turning or name.split(".")[0] in _STIFF
    }
    return Skeleton.of(body, moving)


def vertex_parts(point: int, indices: np.ndarray, weights: np.ndarray, body: Body, skeleton: Skeleton) -> list[Part]:
    """The parts of a point that is the mean of vertices (N,) with weights (N,)."""
    carried = np.zeros((len(skeleton.joints), len(body.joint_names)))
    carried[skeleton.carrier, np.arange(len(skeleton.carrier))] = 1
    skin = (body.skin_weights[indices] @ carried.T) * weights[:, None]
    skin[skin < 0.002 * weights[:, None]] = 0
    skin *= weights[:, None] / skin.sum(1, keepdims=True)
    pulls = {int(joint): skin[:, joint] for joint in np.flatnonzero(skin.sum(0) > 0)}
    vertices, blend = body.vertices[indices], body.shape_blend_shapes[:, indices]
    return [(point, j, float(p.sum()), p @ vertices, np.einsum("n,snd->sd", p, blend)) for j, p in pulls.items()]


def joint_part(point: int, joint: int, body: Body, skeleton: Skeleton) -> Part:
    """A point that is a joint of the body."""
    return point, int(skeleton.carrier[joint]), 1.0, body.joints[joint], body.joint_blend_shapes[:, joint]


def collected(count: int, parts: list[Part]) -> Markers:
    """The parts of `count` points as arrays."""
    points, joints, shares, moments, blends = zip(*parts, strict=True)
    return Markers(
        count,
        torch.tensor(points),
        torch.tensor(joints),
        torch.tensor(shares, dtype=torch.float64),
        torch.from_numpy(np.stack(moments).astype(np.float64)),
        torch.from_numpy(np.stack(blends, 1).astype(np.float64)),
    )


def markers(weights: list[tuple[np.ndarray, np.ndarray]]) -> Markers:
    """Markers of the built-in body that are weighted means: one (indices (N,), weights (N,)) a marker."""
    body, skeleton = builtin_body.load_body(), load_skeleton()
    return collected(
        len(weights), [part for k, one in enumerate(weights) for part in vertex_parts(k, *one, body, skeleton)]
    )


@cache
def landmark_markers() -> Markers:
    """Markers of `LANDMARKS`, in its order."""
    body, skeleton, regressors = builtin_body.load_body(), load_skeleton(), builtin_body.load_landmarks()
    parts: list[Part] = []
    for k, name in enumerate(LANDMARKS.values()):
        if name in regressors.names:
            number = regressors.names.index(name)
            parts += vertex_parts(k, regressors.indices[number], regressors.weights[number], body, skeleton)
        else:
            parts.append(joint_part(k, body.joint_names.index(name), body, skeleton))
    raised = [_RAISED.get(landmark, 0.0) for landmark in LANDMARKS]
    parts = [(k, j, share, moment - share * np.array([0, raised[k], 0]), blend) for k, j, share, moment, blend in parts]
    return collected(len(LANDMARKS), parts)


@cache
def _coefficient_table() -> Tensor:
    return torch.from_numpy(builtin_body.attribute_coefficients().astype(np.float64))


def shape_of(attributes: Tensor) -> tuple[Tensor, Tensor]:
    """Attributes (B, A) 0..1 -> shape coefficients (B, S) and their derivatives (B, A, S): multilinear."""
    table = _coefficient_table()
    batch, count = attributes.shape
    value = table.expand(batch, *table.shape)
    slopes: list[Tensor] = []
    for a in range(count):
        corners = value.shape[1]
        place = attributes[:, a].clamp(0, 1) * (corners - 1)
        low = place.floor().clamp(max=corners - 2).long()
        rows = torch.arange(batch)
        below, above = value[rows, low], value[rows, low + 1]
        part = (place - low).reshape(-1, *[1] * (below.ndim - 1))
        slopes = [_interpolated(slope, low, part, rows) for slope in slopes]
        slopes.append((above - below) * (corners - 1))
        value = below + part * (above - below)
    return value, torch.stack(slopes, 1)


def _interpolated(values: Tensor, low: Tensor, part: Tensor, rows: Tensor) -> Tensor:
    below, above = values[rows, low], values[rows, low + 1]
    return below + part * (above - below)


# ---------------------------------------------------------------- kinematics


@dataclass(frozen=True)
class PosedSkeleton:
    """B posed skeletons.

    rotations : (B, N, 3, 3) from rest.  places, rest : (B, N, 3).  shape : (B, S).
    rest_slope, place_slope : (B, A, N, 3), shape_slope : (B, A, S): how they change with the attributes.
    """

    skeleton: Skeleton
    rotations: Tensor
    places: Tensor
    rest: Tensor
    rest_slope: Tensor
    place_slope: Tensor
    shape: Tensor
    shape_slope: Tensor


def joint_rotations(rotations: Tensor, skeleton: Skeleton | None = None) -> Tensor:
    """Rotations of the groups (B, G, 3, 3) -> rotations of the moving joints (B, N, 3, 3), of the built-in body's."""
    skeleton = skeleton or load_skeleton()
    whole, own = skeleton.share == 1, rotations[:, skeleton.group.clamp(min=0)]
    if whole.all():
        return own
    return torch.where(whole[:, None, None], own, exponential(logarithm(own) * skeleton.share[:, None]))


def pose_skeleton(rotations: Tensor, translation: Tensor, attributes: Tensor) -> PosedSkeleton:
    """The built-in body: rotations (B, G, 3, 3), translation (B, 3), attributes (B, A) -> `PosedSkeleton`."""
    return posed_by_shape(load_skeleton(), rotations, translation, *shape_of(attributes))


def posed_by_shape(
    skeleton: Skeleton, rotations: Tensor, translation: Tensor, shape: Tensor, shape_slope: Tensor
) -> PosedSkeleton:
    """Any body, of a shape (B, S) that changes with A parameters by shape_slope (B, A, S)."""
    rest = skeleton.rest + torch.einsum("bs,snd->bnd", shape, skeleton.rest_blend)
    rest_slope = torch.einsum("bas,snd->band", shape_slope, skeleton.rest_blend)
    local = joint_rotations(rotations, skeleton)
    world = local.clone()
    for level in skeleton.levels:
        world[:, level] = world[:, skeleton.parents[level]] @ local[:, level]
    parent = skeleton.parents.clamp(min=0)
    carried = world[:, parent]
    carried[:, 0] = torch.eye(3, dtype=world.dtype)
    step = rest - rest[:, parent]
    step[:, 0] = rest[:, 0]
    places = skeleton.below @ (carried @ step[..., None])[..., 0] + translation[:, None]
    slope = rest_slope - rest_slope[:, :, parent]
    slope[:, :, 0] = rest_slope[:, :, 0]
    place_slope = skeleton.below @ torch.einsum("bnij,banj->bani", carried, slope)
    return PosedSkeleton(skeleton, world, places, rest, rest_slope, place_slope, shape, shape_slope)


def place_markers(markers: Markers, posed: PosedSkeleton, slopes: bool = True) -> tuple[Tensor, Tensor | None]:
    """Where the markers are (B, K, 3), and how they move (B, K, 3, D): D = 3 G rotations, 3 translation, A attributes.

    A group's rotation changes by R <- R exp(delta), and joints of the group by their shares of delta.
    """
    joint, share = markers.joint, markers.share
    moment = markers.moment + torch.einsum("bs,spd->bpd", posed.shape, markers.moment_blend)
    arm = moment - share[:, None] * posed.rest[:, joint]
    rotations = posed.rotations[:, joint]
    parts = (rotations @ arm[..., None])[..., 0] + share[:, None] * posed.places[:, joint]
    batch, count = len(parts), markers.count
    places = parts.new_zeros(batch, count, 3).index_add_(1, markers.point, parts)
    if not slopes:
        return places, None
    skeleton = posed.skeleton
    size = len(skeleton.rest)
    flat = markers.point * size + joint
    by_joint = parts.new_zeros(batch, count * size, 3).index_add_(1, flat, parts).reshape(batch, count, size, 3)
    mass = parts.new_zeros(count * size).index_add_(0, flat, share).reshape(count, size) @ skeleton.below
    lever = torch.einsum("bkid,ij->bkjd", by_joint, skeleton.below) - mass[:, :, None] * posed.places[:, None]
    # A rotation about column c of G_j moves the lever r by (G_j e_c) x r.
    axes = posed.rotations.transpose(-1, -2)
    moved = torch.linalg.cross(axes[:, None], lever[:, :, :, None, :], dim=-1) * skeleton.share[:, None, None]
    groups = int(skeleton.group.max()) + 1
    turning = skeleton.group >= 0
    by_group = parts.new_zeros(batch, count, groups, 3, 3)
    by_group.index_add_(2, skeleton.group[turning], moved[:, :, turning])
    turned = by_group.reshape(batch, count, groups * 3, 3).transpose(-1, -2)
    moment_slope = torch.einsum("bas,spd->bapd", posed.shape_slope, markers.moment_blend)
    arm_slope = moment_slope - share[:, None] * posed.rest_slope[:, :, joint]
    part_slope = torch.einsum("bpij,bapj->bapi", rotations, arm_slope) + share[:, None] * posed.place_slope[:, :, joint]
    attribute = parts.new_zeros(batch, part_slope.shape[1], count, 3).index_add_(2, markers.point, part_slope)
    still = torch.eye(3, dtype=parts.dtype).expand(batch, count, 3, 3)
    return places, torch.cat([turned, still, attribute.permute(0, 2, 3, 1)], -1)
