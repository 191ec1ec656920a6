# SPDX-License-Identifier: GPL-3.0-or-later
"""Poses to start from: the one the world landmarks show, and those that look the same from the camera.

What a single picture cannot tell is on which side of the picture's plane a bone points (Taylor, "Reconstruction of
Articulated Objects from Point Correspondences in a Single Uncalibrated Image", 2000), and which way a body seen from
its side faces. So each limb is also tried with its bones turned over in depth, and the trunk leaning and facing the
other way.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import torch
from torch import Tensor

from ...geometry.rotations_torch import exponential, logarithm
from .observe import INDEX, Observations
from .prior import attribute_prior
from .skeleton import GROUPS, landmark_markers, load_skeleton, place_markers, pose_skeleton
from .solve import State

#: Per limb: groups of its two bones, landmarks at the start, the middle and the end, and what hangs on the end.
LIMBS = {
    "left arm": (("shoulder.L", "elbow.L"), (11, 13, 15), (17, 19, 21)),
    "right arm": (("shoulder.R", "elbow.R"), (12, 14, 16), (18, 20, 22)),
    "left leg": (("hip.L", "knee.L"), (23, 25, 27), (29, 31)),
    "right leg": (("hip.R", "knee.R"), (24, 26, 28), (30, 32)),
}
#: Which of a limb's two bones to turn over.
FLIPS = ((True, False), (False, True), (True, True))
GROUP = {name: index for index, name in enumerate(GROUPS)}
_FACE = (0, 2, 5, 7, 8)
_UPPER = tuple(k for k in INDEX if k < 23)


def flip_limb(world: Tensor, limb: str, bones: tuple[bool, bool]) -> Tensor:
    """World landmarks (B, K, 3), in the ray's axes, with bones of a limb turned over in depth."""
    _, (start, middle, end), tail = LIMBS[limb]
    start, middle, end = INDEX[start], INDEX[middle], INDEX[end]
    carried = [end, *(INDEX[k] for k in tail)]
    flipped = world.clone()
    for do, upper, lower, moved in zip(
        bones, (start, middle), (middle, end), ([middle, *carried], carried), strict=True
    ):
        if do:
            flipped[:, moved, 2] -= 2 * (world[:, lower, 2] - world[:, upper, 2])[:, None]
    return flipped


def flip_lean(world: Tensor) -> Tensor:
    """With the trunk leaning the other way in depth."""
    flipped = world.clone()
    shoulders = world[:, [INDEX[11], INDEX[12]], 2].mean(1)
    flipped[:, [INDEX[k] for k in _UPPER], 2] -= 2 * shoulders[:, None]
    return flipped


def flip_facing(world: Tensor) -> Tensor:
    """With the lines through shoulders and hips turned over in depth, limbs and head going with them."""
    flipped = world.clone()
    for first, pair, chain in (
        (11, 12, (11, 13, 15, 17, 19, 21)),
        (12, 11, (12, 14, 16, 18, 20, 22)),
        (23, 24, (23, 25, 27, 29, 31)),
        (24, 23, (24, 26, 28, 30, 32)),
    ):
        offset = world[:, INDEX[first], 2] - world[:, INDEX[pair], 2]
        flipped[:, [INDEX[k] for k in chain], 2] -= offset[:, None]
    shoulders = world[:, [INDEX[11], INDEX[12]], 2].mean(1, keepdim=True)
    face = [INDEX[k] for k in _FACE]
    flipped[:, face, 2] = 2 * shoulders - world[:, face, 2]
    return flipped


def frame(first: Tensor, second: Tensor) -> Tensor:
    """Right-handed axes (..., 3, 3) in columns: along `first`, as near to `second` as can be, and square to both."""
    first = torch.nn.functional.normalize(first, dim=-1)
    second = second - (second * first).sum(-1, keepdim=True) * first
    second = torch.nn.functional.normalize(second, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second, dim=-1)], -1)


@cache
def _rest_landmarks() -> Tensor:
    """(K, 3) of the average adult at rest."""
    rotations = torch.eye(3, dtype=torch.float64).expand(1, len(GROUPS), 3, 3)
    mean, _ = attribute_prior()
    posed = pose_skeleton(rotations, torch.zeros(1, 3, dtype=torch.float64), mean[None])
    return place_markers(landmark_markers(), posed, slopes=False)[0][0]


def initial_state(observed: Observations, world: Tensor, attributes: Tensor | None = None) -> State:
    """Poses whose bones point as those of the world landmarks (B, K, 3), in the ray's axes, placed by the picture."""
    batch = len(world)
    points = (observed.ray[:, None] @ world[..., None])[..., 0]
    rotations = torch.eye(3, dtype=torch.float64).expand(batch, len(GROUPS), 3, 3).clone()
    rest = _rest_landmarks()

    def at(source: Tensor, landmark: int) -> Tensor:
        return source[..., INDEX[landmark], :]

    down = (at(points, 23) + at(points, 24) - at(points, 11) - at(points, 12)) / 2
    left = at(points, 11) - at(points, 12) + at(points, 23) - at(points, 24)
    trunk = frame(down, left)
    rest_trunk = frame((at(rest, 23) + at(rest, 24) - at(rest, 11) - at(rest, 12)) / 2, at(rest, 11) - at(rest, 12))
    root = trunk @ rest_trunk.T
    rotations[:, GROUP["root"]] = root
    for (upper, lower), landmarks, _ in LIMBS.values():
        bones, rest_bones = (
            [at(source, b) - at(source, a) for a, b in pairwise(landmarks)] for source in (points, rest)
        )
        first, second = _hinged(bones, rest_bones, root)
        rotations[:, GROUP[upper]] = root.transpose(1, 2) @ first
        rotations[:, GROUP[lower]] = first.transpose(1, 2) @ second
    face, rest_face = (
        frame(at(source, 7) - at(source, 8), at(source, 0) - (at(source, 7) + at(source, 8)) / 2)
        for source in (points, rest)
    )
    nod = logarithm(root.transpose(1, 2) @ face @ rest_face.T)
    nod = 0.5 * nod * (1.2 / nod.norm(dim=-1, keepdim=True).clamp(min=1.2))
    rotations[:, GROUP["neck"]] = rotations[:, GROUP["head"]] = exponential(nod)
    if attributes is None:
        attributes = attribute_prior()[0].expand(batch, -1)
    state = State(
        rotations,
        torch.zeros(batch, 3, dtype=torch.float64),
        attributes.clone(),
        torch.zeros(batch, dtype=torch.float64),
    )
    return place(observed, state)


def _hinged(bones: list[Tensor], rest: list[Tensor], carry: Tensor) -> tuple[Tensor, Tensor]:
    """Rotations from rest of two bones joined by a hinge, whose axis is square to both where they are bent."""
    rest_axis = torch.linalg.cross(rest[0], rest[1], dim=-1)
    rest_axis = rest_axis / rest_axis.norm()
    upper, lower = (torch.nn.functional.normalize(bone, dim=-1) for bone in bones)
    bent = torch.linalg.cross(upper, lower, dim=-1)
    carried = (
        _shortest(carry @ torch.nn.functional.normalize(rest[0], dim=-1), upper) @ (carry @ rest_axis)[..., None]
    )[..., 0]
    # Where the limb is nearly straight its plane is noise; the trunk then says where the hinge lies.
    axis = bent + 0.2 * carried
    return frame(upper, axis) @ frame(rest[0], rest_axis).T, frame(lower, axis) @ frame(rest[1], rest_axis).T


def _shortest(start: Tensor, end: Tensor) -> Tensor:
    """The smallest rotations (B, 3, 3) from unit vectors (B, 3) to others."""
    axis = torch.linalg.cross(start, end, dim=-1)
    sine = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, (start * end).sum(-1, keepdim=True))
    return exponential(axis / sine.clamp(min=1e-9) * angle)


def place(observed: Observations, state: State) -> State:
    """The state, moved to where its landmarks project nearest to the picture's: linear least squares."""
    posed = pose_skeleton(state.rotations, torch.zeros_like(state.translation), state.attributes)
    points, _ = place_markers(landmark_markers(), posed, slopes=False)
    direction = (observed.points - observed.centre[:, None]) / observed.focal[:, None]
    weight = (observed.seen * observed.inside + 1e-3)[..., None, None]
    zero, one = torch.zeros_like(direction[..., 0]), torch.ones_like(direction[..., 0])
    rows = torch.stack(
        [torch.stack([one, zero, -direction[..., 0]], -1), torch.stack([zero, one, -direction[..., 1]], -1)], -2
    )
    right = direction * points[..., 2:] - points[..., :2]
    normal = (rows.transpose(-1, -2) @ (weight * rows)).sum(1)
    vector = (rows.transpose(-1, -2) @ (weight * right[..., None])).sum(1)[..., 0]
    translation = torch.linalg.solve(normal + 1e-6 * torch.eye(3, dtype=torch.float64), vector)
    # The root must lie in front of the camera, whatever the landmarks say.
    root = load_skeleton().rest[0, 2]
    translation[:, 2] = translation[:, 2].clamp(min=0.4 - float(root))
    return State(state.rotations, translation, state.attributes, state.log_scale)


def starting_worlds(observed: Observations) -> tuple[list[Tensor], list[str | None]]:
    """World landmarks to start from, each (N, K, 3), and the limb that differs from the first (or None: the trunk)."""
    world = observed.world
    worlds: list[Tensor] = [world, flip_lean(world), flip_facing(world)]
    limbs: list[str | None] = [None, None, None]
    for limb in LIMBS:
        for bones in FLIPS:
            worlds.append(flip_limb(world, limb, bones))
            limbs.append(limb)
    return worlds, limbs


def combine(state: State, costs: Tensor, limbs: list[str | None]) -> State:
    """From hypotheses (rows h N + n, costs (H, N)) the first of each n, with the limbs of better ones put in."""
    count = costs.shape[1]
    rotations = state.rotations[:count].clone()
    for limb, (groups, _, _) in LIMBS.items():
        of_limb = [h for h, name in enumerate(limbs) if name == limb]
        best, which = costs[of_limb].min(0)
        rows = torch.tensor(of_limb)[which] * count + torch.arange(count)
        side = groups[0].partition(".")[2]
        hanging = ("forearm", "wrist") if "shoulder" in groups[0] else ("ankle",)
        taken = [GROUP[group] for group in (*groups, *(f"{name}.{side}" for name in hanging))]
        better = (best < costs[0])[:, None, None, None]
        rotations[:, taken] = torch.where(better, state.rotations[rows][:, taken], rotations[:, taken])
    return State(rotations, state.translation[:count], state.attributes[:count], state.log_scale[:count])
