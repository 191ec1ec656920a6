# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit the body to what the pose network saw of people: pose, shape, place, and how far each joint can be trusted.

Everything given at once is solved at once. A fit takes three steps: several starting poses each (`hypotheses`), the
landmarks (`solve`), and the person's outline (`outline`). Computed on the CPU in double precision whatever the
device: the matrices are small, and a GPU would only wait for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ...geometry.rotations import quaternions_of
from ...geometry.skinning import pose_body
from ...shipped.body import load_body
from . import hypotheses, outline, solve
from .hands import with_hands
from .observe import INDEX, Observations, observe
from .relaxed_fingers import relaxed_rotations
from .skeleton import ATTRIBUTE_NAMES, GROUPS, joint_rotations, load_skeleton, place_markers, pose_skeleton, shape_of
from .solve import HIPS, Problem, State, concatenated, minimise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...camera import Camera
    from ...runtime.run import Run
    from ...shipped.pose import PoseLandmarks
    from .hands import BodyHands

#: Poses solved for at once: bounds the memory of a long clip.
BATCH = 128
#: Levenberg-Marquardt steps: to compare starting poses, and to finish.
COMPARE, FINISH = 6, 8
#: A limb turned over in depth, or a trunk, must lower the cost by this much to be taken: the landmarks know their depth
#: badly, but not that badly.
MARGIN, TRUNK_MARGIN = 0.5, 4.0
#: The outline is left out where it takes a body so many times as far off its landmarks, in space and in the picture:
#: the mask is then not his alone, or not all of him.
OFF_LANDMARKS = torch.tensor([1.7, 1.3], dtype=torch.float64)
#: The landmarks that show how a group of joints is turned.
_SHOWN_BY = {
    "root": (11, 12, 23, 24),
    "waist": (11, 12, 23, 24),
    "chest": (11, 12),
    "neck": (0, 7, 8, 11, 12),
    "head": (0, 2, 5, 7, 8),
    "clavicle": (11,),
    "shoulder": (13,),
    "elbow": (15,),
    "forearm": (17, 19),
    "wrist": (17, 19),
    "hip": (25,),
    "knee": (27,),
    "ankle": (29, 31),
}
_BODY = [INDEX[k] for k in (11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)]


@dataclass(frozen=True)
class Fit:
    """One fitted body.

    shape : (S,) float32.  attributes : the same as named traits.
    rotations : (J, 4) float32 unit quaternions (w, x, y, z), rest-pose axes.  translation : (3,) float32 metres.
    vertices : (V, 3), joints : (J, 3), float32 metres, camera axes.
    confidence : (J,) float32 0..1.
    residual : metres, mean distance of the seen body landmarks to the fitted ones, both from the hips (3D).
    reprojection : pixels, mean over the seen body landmarks.
    """

    shape: NDArray[np.float32]
    attributes: Mapping[str, float]
    rotations: NDArray[np.float32]
    translation: NDArray[np.float32]
    vertices: NDArray[np.float32]
    joints: NDArray[np.float32]
    confidence: NDArray[np.float32]
    residual: float
    reprojection: float


def fit_people(
    landmarks: Sequence[PoseLandmarks],
    cameras: Sequence[Camera],
    run: Run,
    *,
    masks: Sequence[NDArray | None] | None = None,
    hands: Sequence[BodyHands] | None = None,
    refine: bool = False,
) -> list[Fit]:
    """Fit one body to each person seen; everything given at once is optimised together.

    landmarks : one entry an observation (a person in a frame).  cameras : its frame's camera, one an observation.
    masks : (H, W) float32 person mask of each observation, or None to leave its outline out.
    hands : of each observation, as the hand networks see them; None leaves wrists to the landmarks, fingers relaxed.
    refine : more steps; the reprojection error never grows.

    Returns the fits in the order of the observations.
    """
    if not landmarks:
        return []
    observed = observe(landmarks, cameras, hands)
    state = _fit_all(observed, cameras, run.part(0.0, 0.5 if refine else 0.95), masks, False)
    if refine:
        longer = _fit_all(observed, cameras, run.part(0.5, 0.95), masks, True)
        better = residuals(observed, longer)[1] <= residuals(observed, state)[1]
        state = solve.choose(better, longer, state)
    run.report(0.97, "Posing bodies")
    return results(observed, state, hands)


def _fit_all(
    observed: Observations,
    cameras: Sequence[Camera],
    run: Run,
    masks: Sequence[NDArray | None] | None,
    refine: bool,
) -> State:
    """Landmarks, then outlines."""
    state = fit_landmarks(observed, run.part(0.0, 0.5), refine)
    if masks is not None and any(mask is not None for mask in masks):
        steps = outline.STEPS * (3 if refine else 1)
        outlined = outline.fit_outlines(observed, state, masks, cameras, run.part(0.5, 1.0), steps)
        before, after = (torch.stack(residuals(observed, one), 1) for one in (state, outlined))
        state = solve.choose((after <= OFF_LANDMARKS * before).all(1), outlined, state)
        if refine:
            # The outline's compromise first, then the landmarks from there: closer in both than either alone.
            fixed = solve.attribute_parameters()
            state, _ = minimise(Problem(observed), state, FINISH, fixed=fixed)
    return state


def fit_landmarks(
    observed: Observations, run: Run, refine: bool = False, batch: int = 0, alternatives: bool = True
) -> State:
    """The poses that explain the landmarks best, of all the starting poses, or from the one that they show.

    batch : observations solved for at once; 0 takes as many as `BATCH` allows with all their starting poses.
    """
    chunk = batch or max(1, BATCH // len(hypotheses.starting_worlds(observed.take([0]))[0]))
    parts = []
    for start in range(0, len(observed), chunk):
        run.report(start / len(observed), "Fitting bodies")
        some = observed.take(range(start, min(start + chunk, len(observed))))
        parts.append(_fit_some(some, 3 * FINISH if refine else FINISH, alternatives))
    return concatenated(parts)


def _fit_some(observed: Observations, finish: int, alternatives: bool) -> State:
    if not alternatives:
        return minimise(Problem(observed), hypotheses.initial_state(observed, observed.world), COMPARE + finish)[0]
    count = len(observed)
    worlds, limbs = hypotheses.starting_worlds(observed)
    several = len(worlds)
    rows = torch.arange(count).repeat(several)
    repeated = observed.take(rows)
    state = hypotheses.initial_state(repeated, torch.cat(worlds))
    state, cost = minimise(Problem(repeated), state, COMPARE)
    margins = [0.0] + [TRUNK_MARGIN if limb is None else MARGIN for limb in limbs[1:]]
    costs = cost.reshape(several, count) + torch.tensor(margins, dtype=cost.dtype)[:, None]
    mixed = hypotheses.combine(state, costs, limbs)
    candidates = concatenated([_best(state, costs), mixed])
    doubled = observed.take(torch.arange(count).repeat(2))
    candidates, cost = minimise(Problem(doubled), candidates, finish)
    return _best(candidates, cost.reshape(2, count))


def _best(state: State, costs: Tensor) -> State:
    """Of hypotheses (H, N) in rows h N + n, the cheapest of each n."""
    count = costs.shape[1]
    return state.take(costs.argmin(0) * count + torch.arange(count))


def share_shape(observed: Observations, state: State, persons: Sequence[int]) -> State:
    """One shape for all observations of a person: their mean, weighted by how much is seen; then the poses again."""
    weight = (observed.seen * observed.inside).mean(1)
    attributes = state.attributes.clone()
    for person in set(persons):
        rows = torch.tensor([i for i, other in enumerate(persons) if other == person])
        share = weight[rows] / weight[rows].sum()
        attributes[rows] = (share[:, None] * state.attributes[rows]).sum(0)
    state = State(state.rotations, state.translation, attributes, state.log_scale)
    parts = []
    for start in range(0, len(observed), BATCH):
        rows = range(start, min(start + BATCH, len(observed)))
        parts.append(minimise(Problem(observed.take(rows)), state.take(rows), 5, fixed=solve.attribute_parameters())[0])
    return concatenated(parts)


def results(observed: Observations, state: State, hands: Sequence[BodyHands] | None = None) -> list[Fit]:
    """Fits from the solved poses and the hands of each."""
    shape, _ = shape_of(state.attributes)
    turns, confidence = body_rotations(state), joint_confidence(observed)
    if hands is not None:
        turns, confidence = with_hands(load_body(), turns, confidence, hands)
    rotations = turns.astype(np.float32)
    vertices, joints = pose_body(load_body(), shape.numpy(), rotations, state.translation.numpy())
    residual, reprojection = residuals(observed, state)
    return [
        Fit(
            shape=shape[i].numpy().astype(np.float32),
            attributes={name: float(value) for name, value in zip(ATTRIBUTE_NAMES, state.attributes[i], strict=True)},
            rotations=rotations[i],
            translation=state.translation[i].numpy().astype(np.float32),
            vertices=vertices[i],
            joints=joints[i],
            confidence=confidence[i],
            residual=float(residual[i]),
            reprojection=float(reprojection[i]),
        )
        for i in range(len(observed))
    ]


def body_rotations(state: State) -> NDArray[np.float64]:
    """Rotations (N, J, 4) of all of the body's joints, the fingers relaxed."""
    matrices = np.tile(np.eye(3), (len(state.rotations), len(load_body().joint_names), 1, 1))
    matrices[:, load_skeleton().joints] = joint_rotations(state.rotations).numpy()
    rotations, relaxed = quaternions_of(matrices), relaxed_rotations()
    rotations[:, list(relaxed)] = np.stack(list(relaxed.values()))
    return rotations


def residuals(observed: Observations, state: State) -> tuple[Tensor, Tensor]:
    """Mean 3D (m) and 2D (px) distance (N,) of the body's landmarks, weighted by how well they are seen."""
    posed = pose_skeleton(state.rotations, state.translation, state.attributes)
    places, _ = place_markers(solve.landmark_markers(), posed, slopes=False)
    pixels = places[..., :2] / places[..., 2:].clamp(min=0.1) * observed.focal[:, None] + observed.centre[:, None]
    weight = (observed.seen * observed.inside)[:, _BODY] + 1e-6
    weight = weight / weight.sum(1, keepdim=True)
    flat = (pixels - observed.points).norm(dim=-1)[:, _BODY]
    centred = places - places[:, HIPS].mean(1, keepdim=True)
    world = (observed.ray[:, None] @ (observed.world * state.log_scale.exp()[:, None, None])[..., None])[..., 0]
    deep = (centred - world).norm(dim=-1)[:, _BODY]
    return (deep * weight).sum(1), (flat * weight).sum(1)


def joint_confidence(observed: Observations) -> NDArray[np.float32]:
    """(N, J) 0..1: how well the landmarks that show a joint's rotation are seen; about 0 for limbs out of sight."""
    skeleton = load_skeleton()
    certain = ((observed.seen * observed.inside) ** 2).numpy()
    # Landmarks that jump about under augmentation are no evidence, however visible the network thinks they are.
    certain = certain / (1 + (observed.spread / (0.12 * observed.scale[:, None])).numpy() ** 2)
    groups = np.zeros((len(observed), len(GROUPS)))
    for number, group in enumerate(GROUPS):
        name, _, side = group.partition(".")
        shown = [INDEX[k + (1 if side == "R" else 0)] for k in _SHOWN_BY[name]]
        groups[:, number] = certain[:, shown].mean(1)
    group = skeleton.group.numpy().copy()
    for joint, parent in enumerate(skeleton.parents.tolist()):
        if group[joint] < 0:
            group[joint] = group[parent]
    return groups[:, group[skeleton.carrier]].astype(np.float32)
