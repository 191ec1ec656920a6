# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit the hand's mesh to its landmarks: all hands of a photo at once, in a few Gauss-Newton steps.

Unknown are every joint's rotation, the hand's translation and, within a few per cent, its size. The measurements are
the landmarks in the photo and in metres; anatomy settles what they leave open: finger joints are hinges with limits.
Joint by joint the derivative of a landmark is the cross product of its lever with the joint's axis (Buss,
"Introduction to Inverse Kinematics", 2004, section 2), so no automatic differentiation is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..geometry.rotations import (
    between,
    from_rotation_vector,
    quaternions_of,
    rotation_matrices,
    to_rotation_vector,
)
from ..geometry.rotations_torch import inverse_right_jacobian
from ..geometry.skinning import chain, pose_body
from ..shipped.hand_body import HandBody, load_hand_body

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..camera import Camera
    from ..shipped.hand import HandLandmarks

MAX_ITERATIONS = 25
#: A hand whose cost changes by less than this share twice in a row has settled.
SETTLED = 1e-4
#: Standard deviations: metres of the landmarks in space; metres of those in the photo, at the hand's distance; of the
#: logarithm of the hand's size (adults' hands differ by 5 to 7 %).
SIGMA_WORLD, SIGMA_PHOTO, SIGMA_SIZE = 0.012, 0.003, 0.06
#: Weight of a radian beyond a joint's limit.
LIMIT_WEIGHT = 15.0
#: A landmark this many standard deviations off has half its weight: a hidden finger is a guess.
ROBUST = 3.0


@dataclass(frozen=True)
class HandFit:
    """One fitted hand: metres, camera axes.

    vertices : (V, 3) float32.  faces : (F, 3) int32.  joints : (21, 3) float32, in the order of the landmarks.
    rotations : (J, 4) float32, of `HandBody.body`.  scale : of the adult hand.
    residual : metres, mean distance to the landmarks in space, centred.  reprojection : pixels, mean.
    cost : what the fit minimised; of two sides tried for one hand the true one has the lower.
    """

    side: str
    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]
    joints: NDArray[np.float32]
    rotations: NDArray[np.float32]
    scale: float
    residual: float
    reprojection: float
    cost: float


@dataclass
class _State:
    """rotations (B, J, 3, 3) relative to the parents, translation (B, 3) metres, size (B,) logarithm of the scale."""

    rotations: NDArray[np.float64]
    translation: NDArray[np.float64]
    size: NDArray[np.float64]

    def moved(self, step: NDArray) -> _State:
        count, joints = self.rotations.shape[:2]
        rotations = rotation_matrices(from_rotation_vector(step[:, 4:].reshape(count, joints, 3))) @ self.rotations
        size = np.clip(self.size + step[:, 3], -0.3, 0.3)
        return _State(rotations, self.translation + step[:, :3], size)

    def where(self, better: NDArray, other: _State) -> _State:
        """`other` for the hands marked in `better` (B,), this for the rest."""
        return _State(
            np.where(better[:, None, None, None], other.rotations, self.rotations),
            np.where(better[:, None], other.translation, self.translation),
            np.where(better, other.size, self.size),
        )

    def take(self, rows: NDArray) -> _State:
        return _State(self.rotations[rows], self.translation[rows], self.size[rows])

    def put(self, rows: NDArray, other: _State) -> None:
        self.rotations[rows], self.translation[rows], self.size[rows] = other.rotations, other.translation, other.size


@dataclass(frozen=True)
class _HandLandmarks:
    """points (B, 21, 2) pixels, world (B, 21, 3) metres in camera axes, sigma (B, 21) pixels."""

    points: NDArray[np.float64]
    world: NDArray[np.float64]
    sigma: NDArray[np.float64]
    camera: Camera

    def take(self, rows: NDArray) -> _HandLandmarks:
        return _HandLandmarks(self.points[rows], self.world[rows], self.sigma[rows], self.camera)


def fit_hands(hands: Sequence[HandLandmarks], sides: Sequence[str], camera: Camera) -> list[HandFit | None]:
    """Fit a hand of the given side ("left", "right") to each set of landmarks; None where that fails."""
    fits: list[HandFit | None] = [None] * len(hands)
    for side in ("left", "right"):
        chosen = [i for i, name in enumerate(sides) if name == side and np.isfinite(hands[i].points).all()]
        if chosen:
            for index, fit in zip(chosen, _fit_side([hands[i] for i in chosen], side, camera), strict=True):
                fits[index] = fit
    return fits


def _fit_side(hands: Sequence[HandLandmarks], side: str, camera: Camera) -> list[HandFit | None]:
    hand = load_hand_body(side)
    measured = _measure(hands, camera)
    state = _start(hand, measured)
    # Who has settled is taken out: the others' steps are theirs alone, whoever they are fitted together with.
    left, going, seen = np.arange(len(hands)), state, measured
    damping: NDArray[np.float64] = np.full(len(hands), 1e-2)
    settled = np.zeros(len(hands), int)
    cost, gradient, normal = _equations(hand, seen, going)
    final = cost.copy()
    for _ in range(MAX_ITERATIONS):
        damped = normal.copy()
        diagonal = np.einsum("bii->bi", damped)
        diagonal += damping[:, None] * diagonal + 1e-9
        tried = going.moved(-np.linalg.solve(damped, gradient[..., None])[..., 0])
        new_cost, new_gradient, new_normal = _equations(hand, seen, tried)
        better = new_cost < cost
        damping = np.clip(np.where(better, damping / 3.0, damping * 4.0), 1e-6, 1e4)
        settled = np.where(abs(cost - new_cost) < SETTLED * cost, settled + 1, 0)
        going, cost = going.where(better, tried), np.where(better, new_cost, cost)
        state.put(left, going)
        final[left] = cost
        on = settled < 2
        if not on.any():
            break
        gradient = np.where(better[:, None], new_gradient, gradient)[on]
        normal = np.where(better[:, None, None], new_normal, normal)[on]
        left, going, seen = left[on], going.take(on), seen.take(on)
        damping, settled, cost = damping[on], settled[on], cost[on]
    return _results(hand, side, measured, state, final)


def _measure(hands: Sequence[HandLandmarks], camera: Camera) -> _HandLandmarks:
    """The landmarks as the fit wants them: those in space turned from the crop's viewing direction to the camera's."""
    points = np.stack([one.points for one in hands]).astype(np.float64)
    world = np.stack([one.world for one in hands]).astype(np.float64)
    middle = points.mean(1)
    rays = np.column_stack(
        [(middle[:, 0] - camera.cx) / camera.fx, (middle[:, 1] - camera.cy) / camera.fy, np.ones(len(hands))]
    )
    world = world @ rotation_matrices(between(np.array([0.0, 0.0, 1.0]), rays)).transpose(0, 2, 1)
    spread = [np.sqrt(((v - v.mean(1, keepdims=True)) ** 2).sum((1, 2))) for v in (points, world[..., :2])]
    scale = spread[0] / np.maximum(spread[1], 1e-4)
    own = np.stack([one.sigma for one in hands]).astype(np.float64)
    return _HandLandmarks(points, world, np.sqrt((SIGMA_PHOTO * scale[:, None]) ** 2 + own**2 + 0.25), camera)


def _start(hand: HandBody, measured: _HandLandmarks) -> _State:
    """The palm rotated onto the landmarks' (Kabsch 1976), each finger bone after it; least squares place it."""
    count, body = len(measured.points), hand.body
    rotations = np.tile(np.eye(3), (count, len(body.parents), 1, 1))
    palm = [0, 1, 5, 9, 13, 17]
    at_rest = hand.landmarks[palm] - hand.landmarks[palm].mean(0)
    seen = measured.world[:, palm] - measured.world[:, palm].mean(1, keepdims=True)
    left, _, right = np.linalg.svd(seen.transpose(0, 2, 1) @ at_rest)
    handed = np.sign(np.linalg.det(left @ right))
    left[:, :, 2] *= handed[:, None]
    rotations[:, 0] = left @ right
    for finger in range(5):
        parent = rotations[:, 0]
        for bone in range(3):
            landmark = 1 + 4 * finger + bone
            bone_at_rest = hand.landmarks[landmark + 1] - hand.landmarks[landmark]
            target = (measured.world[:, landmark + 1] - measured.world[:, landmark])[:, None] @ parent
            rotations[:, 5 + 3 * finger + bone] = rotation_matrices(between(bone_at_rest, target[:, 0]))
            parent = parent @ rotations[:, 5 + 3 * finger + bone]
    state = _State(rotations, np.zeros((count, 3)), np.zeros(count))
    state.translation = _translation(_landmark_positions(hand, state)[0], measured)
    return state


def _translation(places: NDArray, measured: _HandLandmarks) -> NDArray[np.float64]:
    """Translations (B, 3) that best put points (B, 21, 3) on their pixels, by linear least squares across the rays."""
    camera = measured.camera
    slope = (measured.points - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
    rows = np.zeros((*slope.shape, 3))
    rows[..., 0, 0] = rows[..., 1, 1] = 1.0
    rows[..., 2] = -slope
    right = slope * places[..., 2:] - places[..., :2]
    rows, right = rows.reshape(len(rows), -1, 3), right.reshape(len(rows), -1, 1)
    translation = (np.linalg.pinv(rows) @ right)[..., 0]
    # Landmarks too close together to tell the distance: an arm's length.
    translation[translation[:, 2] < 0.1] = (0.0, 0.0, 0.6)
    return translation


def _landmark_positions(hand: HandBody, state: _State) -> tuple[NDArray, NDArray, NDArray]:
    """Landmarks (B, 21, 3) about the wrist joint, and every joint's rotation (B, J, 3, 3) and position (B, J, 3)."""
    body = hand.body
    count = len(state.rotations)
    rest = np.broadcast_to((body.joints - body.joints[0]).astype(np.float64), (count, *body.joints.shape))
    world, joints = chain(body.parents, rest, state.rotations, np.zeros((count, 3)))
    lever = hand.landmarks - body.joints[hand.landmark_joints]
    places = joints[:, hand.landmark_joints] + (world[:, hand.landmark_joints] @ lever[..., None])[..., 0]
    return places, world, joints


def _equations(hand: HandBody, measured: _HandLandmarks, state: _State) -> tuple[NDArray, NDArray, NDArray]:
    """Cost (B,), gradient (B, N) and Gauss-Newton matrix (B, N, N), N = 4 + 3 J.

    The unknowns: translation, logarithm of the size, each joint's rotation before its own, in its parent's axes. The
    squares of residuals are gathered by landmark, 3 x 3, before the slopes of the landmarks come in.
    """
    scaled, slopes = _slopes(hand, state)
    count, size = len(scaled), slopes.shape[-1]
    error, steep = _in_photo(measured, scaled + state.translation[:, None])
    apart = scaled - measured.world
    apart = (apart - apart.mean(1, keepdims=True)) / SIGMA_WORLD
    squares = (error**2).sum(-1), (apart**2).sum(-1)
    weights = [1 / (1 + one / ROBUST**2) for one in squares]
    cost = sum((ROBUST**2 * np.log1p(one / ROBUST**2)).sum(1) for one in squares)
    weighted, stiff = steep * weights[0][..., None, None], weights[1] / SIGMA_WORLD**2
    inner = np.swapaxes(weighted, -1, -2) @ steep + stiff[..., None, None] * np.eye(3)
    in_space = weights[1][..., None] * apart / SIGMA_WORLD
    pull = (weighted * error[..., None]).sum(-2) + in_space - in_space.mean(1, keepdims=True)
    flat = slopes.reshape(count, -1, size).transpose(0, 2, 1)
    gradient = (flat @ pull.reshape(count, -1, 1))[..., 0]
    normal = flat @ (inner @ slopes).reshape(count, -1, size)
    # In space the landmarks are counted from their middle, which moves too.
    middle, all_of_them = slopes.mean(1), (stiff[:, None] @ slopes.reshape(count, 21, -1)).reshape(count, 3, size)
    rows = np.concatenate([middle, all_of_them], 1).transpose(0, 2, 1)
    normal += rows @ np.concatenate([stiff.sum(1)[:, None, None] * middle - all_of_them, -middle], 1)
    gradient[:, 3] += state.size / SIGMA_SIZE**2
    normal[:, 3, 3] += SIGMA_SIZE**-2
    residuals, local = _anatomy(hand, state.rotations)
    gradient[:, 4:] += (np.swapaxes(local, -1, -2) @ residuals[..., None]).reshape(count, -1)
    for joint, block in enumerate((np.swapaxes(local, -1, -2) @ local).swapaxes(0, 1)):
        at = slice(4 + 3 * joint, 7 + 3 * joint)
        normal[:, at, at] += block
    cost = cost + (residuals**2).sum((1, 2)) + (state.size / SIGMA_SIZE) ** 2
    return np.where(np.isfinite(cost), cost, np.inf), gradient, normal


@cache
def _carries(carriers: tuple[int, ...], parents: tuple[int, ...]) -> tuple[NDArray, NDArray]:
    """Q pairs of a landmark and a joint that moves it."""
    pairs = []
    for landmark, joint in enumerate(carriers):
        while joint >= 0:
            pairs.append((landmark, joint))
            joint = parents[joint]
    return tuple(np.array(pairs).T)  # type: ignore[return-value]


def _slopes(hand: HandBody, state: _State) -> tuple[NDArray, NDArray]:
    """Landmarks (B, 21, 3) about the wrist, of the hand's size, and how they move (B, 21, 3, N)."""
    places, world, joints = _landmark_positions(hand, state)
    scale = np.exp(state.size)[:, None, None]
    landmark, joint = _carries(tuple(hand.landmark_joints.tolist()), tuple(hand.body.parents.tolist()))
    parent = hand.body.parents[joint]
    axes = np.where((parent < 0)[:, None, None], np.eye(3), world[:, np.maximum(parent, 0)])
    right, down, ahead = np.moveaxis(axes, 2, 0)
    x, y, z = np.moveaxis((places[:, landmark] - joints[:, joint]) * scale, 2, 0)[..., None]
    slopes = np.zeros((len(places), 21, 3, 4 + 3 * state.rotations.shape[1]))
    slopes[..., :3], slopes[..., 3] = np.eye(3), places * scale
    rows, columns = np.arange(3)[:, None], 4 + 3 * joint[:, None, None] + np.arange(3)
    slopes[:, landmark[:, None, None], rows, columns] = np.stack(
        [down * z - ahead * y, ahead * x - right * z, right * y - down * x], 2
    )
    return places * scale, slopes


def _in_photo(measured: _HandLandmarks, points: NDArray) -> tuple[NDArray, NDArray]:
    """How far (B, 21, 2) points are from their pixels, in standard deviations, and how that changes with their places
    (B, 21, 2, 3)."""
    camera = measured.camera
    depth, focal = np.maximum(points[..., 2:], 0.02), np.array([camera.fx, camera.fy])
    slope = points[..., :2] / depth
    error = (slope * focal + (camera.cx, camera.cy) - measured.points) / measured.sigma[..., None]
    steep = focal / (depth * measured.sigma[..., None])
    return error, np.concatenate([steep[..., None] * np.eye(2), (-steep * slope)[..., None]], -1)


def _anatomy(hand: HandBody, rotations: NDArray) -> tuple[NDArray, NDArray]:
    """Residuals (B, J, 4) that prefer the rest pose about each joint's axes and keep flexion in its limits, and their
    derivatives (B, J, 4, 3)."""
    angles = to_rotation_vector(quaternions_of(rotations))
    by_axis = (hand.axes @ angles[..., None])[..., 0]
    # The inverse of the left Jacobian, which is the right one's of the opposite rotation.
    derivative = hand.axes @ inverse_right_jacobian(torch.from_numpy(-angles)).numpy()
    low, high = hand.limits[:, 0], hand.limits[:, 1]
    flexion = by_axis[..., 0]
    beyond = flexion - np.clip(flexion, low, high)
    local = np.concatenate([derivative * hand.stiffness[..., None], derivative[:, :, :1] * LIMIT_WEIGHT], 2)
    local[:, :, 3] *= (beyond != 0)[..., None]
    return np.concatenate([by_axis * hand.stiffness, beyond[..., None] * LIMIT_WEIGHT], 2), local


def _results(hand: HandBody, side: str, measured: _HandLandmarks, state: _State, cost: NDArray) -> list[HandFit | None]:
    body = hand.body
    places, _, _ = _landmark_positions(hand, state)
    scale = np.exp(state.size)
    rotations = quaternions_of(state.rotations).astype(np.float32)
    vertices, _ = pose_body(body, np.zeros(len(body.shape_blend_shapes)), rotations, -body.joints[0])
    vertices = vertices * scale[:, None, None] + state.translation[:, None]
    joints = places * scale[:, None, None] + state.translation[:, None]
    space = (places * scale[:, None, None]) - measured.world
    residual = np.linalg.norm(space - space.mean(1, keepdims=True), axis=-1).mean(1)
    fits: list[HandFit | None] = []
    for i in range(len(scale)):
        off = np.linalg.norm(measured.camera.project(joints[i]) - measured.points[i], axis=-1).mean()
        reach = np.ptp(measured.points[i], axis=0).max()
        if not np.isfinite(cost[i]) or vertices[i, :, 2].min() <= 0.02 or off > 0.25 * reach + 2.0:
            fits.append(None)
            continue
        mesh = vertices[i].astype(np.float32), body.faces, joints[i].astype(np.float32), rotations[i]
        fits.append(HandFit(side, *mesh, float(scale[i]), float(residual[i]), float(off), float(cost[i])))
    return fits
