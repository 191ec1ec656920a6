# SPDX-License-Identifier: GPL-3.0-or-later
"""The body as the fit sees it: the joints that move, in groups that move together, and the points fixed to them.

A point of the skinned body is a sum over joints of rigidly carried parts (linear blend skinning, regrouped):

    x_k = sum over j of  G_j (m_kj - a_kj h_j) + a_kj p_j,
    a_kj = sum over vertices v of w_kv W_vj,  m_kj = sum over v of w_kv W_vj rest_v,

so landmarks that are means of many vertices cost as little as joints do, and derivatives need no vertices at all.
Fingers, toes and eyes ride on the hand, foot and head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
import torch
from scipy.sparse import csr_array
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
#: Where the pose network sees these, from where the regressors place them: metres to the left, down and back in the
#: rest pose, mirrored for the right side's. Measured on rendered people.
_OFF = {
    **dict.fromkeys((0, 2), (0.0, -0.008, 0.0)),
    11: (0.0, -0.013, 0.0),
    **dict.fromkeys((13, 15), (0.0, -0.005, 0.0)),
    23: (-0.006, -0.014, -0.018),
    25: (-0.007, -0.013, -0.008),
    27: (0.0, -0.011, -0.006),
    29: (-0.007, -0.006, 0.0),
    31: (0.009, -0.007, 0.028),
}
ATTRIBUTE_NAMES = tuple(builtin_body.ATTRIBUTES)
#: Of a point fixed to the body: its number, a joint, the share a_kj, the moment m_kj (3,), and its change (S, 3).
Part = tuple[int, int, float, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
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


@dataclass(frozen=True, eq=False)
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


def _offsets() -> np.ndarray:
    """(K, 3) metres in the rest pose, of `LANDMARKS` in their order."""
    left = {landmark: np.array(off) for landmark, off in _OFF.items()}
    right = {(5 if landmark == 2 else landmark + 1): off * (-1, 1, 1) for landmark, off in left.items() if landmark}
    return np.stack([(left | right).get(landmark, np.zeros(3)) for landmark in LANDMARKS])


@cache
def landmark_markers() -> Markers:
    """Markers of `LANDMARKS`, in its order."""
    body, skeleton, regressors = builtin_body.load_body(), load_skeleton(), builtin_body.load_landmarks()
    parts: list[Part] = []
    off = _offsets()
    for k, name in enumerate(LANDMARKS.values()):
        if name in regressors.names:
            number = regressors.names.index(name)
            parts += vertex_parts(k, regressors.indices[number], regressors.weights[number], body, skeleton)
        else:
            parts.append(joint_part(k, body.joint_names.index(name), body, skeleton))
    parts = [(k, j, share, moment + share * off[k], blend) for k, j, share, moment, blend in parts]
    return collected(len(LANDMARKS), parts)


@cache
def _coefficient_table() -> Tensor:
    return torch.from_numpy(builtin_body.attribute_coefficients().astype(np.float64))


def shape_of(attributes: Tensor) -> tuple[Tensor, Tensor]:
    """Attributes (B, A) 0..1 -> shape coefficients (B, S) and their derivatives (B, A, S): multilinear."""
    table = _coefficient_table()
    count = attributes.shape[1]
    weights, slopes = zip(*(_hats(attributes[:, a].clamp(0, 1), table.shape[a]) for a in range(count)), strict=True)
    flat = table.reshape(-1, table.shape[-1])
    changed = [_product([slopes[a] if a == b else weights[b] for b in range(count)]) for a in range(count)]
    return _product(weights) @ flat, torch.stack(changed, 1) @ flat


def _hats(place: Tensor, corners: int) -> tuple[Tensor, Tensor]:
    """What each of so many corners counts (B, C) at a place (B,) 0..1, and how that changes with the place."""
    place = place * (corners - 1)
    low = place.floor().clamp(max=corners - 2).long()[:, None]
    part = place[:, None] - low
    weight = part.new_zeros(len(place), corners).scatter_(1, low, 1 - part).scatter_(1, low + 1, part)
    step = torch.full_like(part, corners - 1)
    return weight, torch.zeros_like(weight).scatter_(1, low, -step).scatter_(1, low + 1, step)


def _product(factors: Sequence[Tensor]) -> Tensor:
    """(B, product of all C) of factors (B, C)."""
    whole = factors[0]
    for factor in factors[1:]:
        whole = (whole[:, :, None] * factor[:, None]).flatten(1)
    return whole


# ---------------------------------------------------------------- kinematics


@dataclass(frozen=True)
class PosedSkeleton:
    """B posed skeletons.

    rotations : (B, N, 3, 3) from rest.  places, rest : (B, N, 3).  shape : (B, S).
    rest_slope, place_slope : (B, N, 3, A), shape_slope : (B, A, S): how they change with the attributes.
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
    turned, partly = rotations[:, skeleton.group.clamp(min=0)], torch.nonzero(skeleton.share != 1)[:, 0]
    if len(partly):
        turned[:, partly] = exponential(logarithm(turned[:, partly]) * skeleton.share[partly, None])
    return turned


def pose_skeleton(rotations: Tensor, translation: Tensor, attributes: Tensor, build: bool = True) -> PosedSkeleton:
    """The built-in body: rotations (B, G, 3, 3), translation (B, 3), attributes (B, A) -> `PosedSkeleton`.

    build : False for somebody whose attributes stay; the slopes then leave them out.
    """
    shape, slope = shape_of(attributes)
    return posed_by_shape(load_skeleton(), rotations, translation, shape, slope if build else slope[:, :0])


def posed_by_shape(
    skeleton: Skeleton, rotations: Tensor, translation: Tensor, shape: Tensor, shape_slope: Tensor
) -> PosedSkeleton:
    """Any body, of a shape (B, S) that changes with A parameters by shape_slope (B, A, S)."""
    rest = skeleton.rest + (shape @ skeleton.rest_blend.flatten(1)).unflatten(1, skeleton.rest.shape)
    rest_slope = (shape_slope @ skeleton.rest_blend.flatten(1)).transpose(1, 2).unflatten(1, skeleton.rest.shape)
    local = joint_rotations(rotations, skeleton)
    world = local.clone()
    for level in skeleton.levels:
        world[:, level] = world[:, skeleton.parents[level]] @ local[:, level]
    parent = skeleton.parents.clamp(min=0)
    carried = world[:, parent]
    carried[:, 0] = torch.eye(3, dtype=world.dtype)
    step = rest - rest[:, parent]
    step[:, 0] = rest[:, 0]
    places = skeleton.below @ (carried * step[:, :, None]).sum(-1) + translation[:, None]
    slope = rest_slope - rest_slope[:, parent]
    slope[:, 0] = rest_slope[:, 0]
    place_slope = (skeleton.below @ (carried @ slope).flatten(2)).unflatten(2, slope.shape[2:])
    return PosedSkeleton(skeleton, world, places, rest, rest_slope, place_slope, shape, shape_slope)


@dataclass(frozen=True)
class _Levers:
    """What turns which markers: Q pairs of a marker and a joint that turns above some of its parts. Of a marker and a
    group the first R pairs hold one joint each, the pairs after them the group's further joints.

    joint : (Q,).  below : (Q, P), 1 for the parts that the joint carries.  mass, share : (Q,) of these parts, and of
    the group's turn.  point, group : (R,).  further : (Q - R,) the pair among the first that each adds to.
    """

    joint: Tensor
    below: csr_array
    mass: Tensor
    share: Tensor
    point: Tensor
    group: Tensor
    further: Tensor

    def turned(self, parts: Tensor, posed: PosedSkeleton) -> Tensor:
        """(R, B, 3, 3): how the markers move with the turns of the groups, which are in columns."""
        batch = len(parts)
        sums = torch.from_numpy(self.below @ parts.transpose(0, 1).flatten(1).numpy())
        lever = sums.unflatten(1, (batch, 3)).transpose(0, 1)
        lever = lever - self.mass[:, None] * posed.places[:, self.joint]
        # A rotation about column c of G_j moves the lever r by (G_j e_c) x r.
        x, y, z = (lever * self.share[:, None])[..., None].unbind(2)
        right, down, ahead = posed.rotations[:, self.joint].unbind(2)
        moved = torch.stack([down * z - ahead * y, ahead * x - right * z, right * y - down * x], 2).transpose(0, 1)
        first = len(self.point)
        return moved[:first].index_add(0, self.further, moved[first:]) if len(self.further) else moved


@lru_cache(maxsize=8)
def _levers(markers: Markers, skeleton: Skeleton) -> _Levers:
    own = torch.nn.functional.one_hot(markers.point, markers.count).to(markers.share.dtype)
    carried = skeleton.below[markers.joint]
    point, joint = ((own.T @ carried > 0) & (skeleton.group >= 0)).nonzero(as_tuple=True)
    slot = point * len(skeleton.group) + skeleton.group[joint]
    names, number = slot.unique(return_inverse=True)
    first = torch.full_like(names, len(slot)).scatter_reduce_(0, number, torch.arange(len(slot)), "amin")
    order = torch.cat([first, torch.from_numpy(np.setdiff1d(np.arange(len(slot)), first.numpy()))])
    point, joint = point[order], joint[order]
    below = own[:, point] * carried[:, joint]
    some = slice(len(names))
    return _Levers(
        joint, csr_array(below.T.numpy()), markers.share @ below, skeleton.share[joint], point[some],
        skeleton.group[joint[some]], number[order[len(names) :]],
    )  # fmt: skip


def place_markers(markers: Markers, posed: PosedSkeleton, slopes: bool = True) -> tuple[Tensor, Tensor | None]:
    """Where the markers are (B, K, 3), and how they move (B, K, 3, D): D = 3 G rotations, 3 translation, A attributes.

    A group's rotation changes by R <- R exp(delta), and joints of the group by their shares of delta.
    """
    joint, share = markers.joint, markers.share
    moment = markers.moment + (posed.shape @ markers.moment_blend.flatten(1)).unflatten(-1, markers.moment.shape)
    arm = moment - share[:, None] * posed.rest[:, joint]
    rotations = posed.rotations[:, joint]
    parts = (rotations * arm[:, :, None]).sum(-1) + share[:, None] * posed.places[:, joint]
    batch, count = len(parts), markers.count
    places = parts.new_zeros(batch, count, 3).index_add_(1, markers.point, parts)
    if not slopes:
        return places, None
    skeleton = posed.skeleton
    groups, attributes = int(skeleton.group.max()) + 1, posed.shape_slope.shape[1]
    whole = parts.new_zeros(batch, count, 3, 3 * groups + 3 + attributes)
    levers = _levers(markers, skeleton)
    by_group = whole[..., : 3 * groups].unflatten(-1, (groups, 3)).permute(1, 3, 0, 2, 4)
    by_group[levers.point, levers.group] = levers.turned(parts, posed)
    torch.diagonal(whole[..., 3 * groups : 3 * groups + 3], dim1=-2, dim2=-1).fill_(1)
    if attributes:
        moment_slope = (posed.shape_slope @ markers.moment_blend.flatten(1)).transpose(1, 2)
        moment_slope = moment_slope.unflatten(1, markers.moment.shape)
        arm_slope = moment_slope - share[:, None, None] * posed.rest_slope[:, joint]
        part_slope = rotations @ arm_slope + share[:, None, None] * posed.place_slope[:, joint]
        whole[..., 3 * groups + 3 :] = parts.new_zeros(batch, count, 3, attributes).index_add_(
            1, markers.point, part_slope
        )
    return places, whole
