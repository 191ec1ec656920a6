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


@dataclass(frozen=True)
class _HandLandmarks:
    """points (B, 21, 2) pixels, world (B, 21, 3) metres in camera axes, sigma (B, 21) pixels."""

    points: NDArray[np.float64]
    world: NDArray[np.float64]
    sigma: NDArray[np.float64]
    camera: Camera


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
    damping: NDArray[np.float64] = np.full(len(hands), 1e-2)
    residuals, jacobian = _linearise(hand, measured, state)
    for _ in range(MAX_ITERATIONS):
        weight = _robust_weights(residuals)
        weighted = jacobian * weight[..., None]
        normal = weighted.transpose(0, 2, 1) @ weighted
        gradient = (weighted.transpose(0, 2, 1) @ (residuals * weight)[..., None])[..., 0]
        diagonal = np.einsum("bii->bi", normal)
        diagonal += damping[:, None] * diagonal + 1e-9
        tried = state.moved(-np.linalg.solve(normal, gradient[..., None])[..., 0])
        new_residuals, new_jacobian = _linearise(hand, measured, tried)
        cost, new_cost = _cost(residuals), _cost(new_residuals)
        better = new_cost < cost
        damping = np.clip(np.where(better, damping / 3.0, damping * 4.0), 1e-6, 1e4)
        state = state.where(better, tried)
        residuals = np.where(better[:, None], new_residuals, residuals)
        jacobian = np.where(better[:, None, None], new_jacobian, jacobian)
        if (abs(cost - new_cost) < 1e-3 * cost).all():
            break
    return _results(hand, side, measured, state, _cost(residuals))


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


def _linearise(hand: HandBody, measured: _HandLandmarks, state: _State) -> tuple[NDArray, NDArray]:
    """Residuals (B, R) in standard deviations and their derivatives (B, R, 4 + 3 J).

    The unknowns: translation, logarithm of the size, and each joint's rotation before its own, in its parent's axes.
    """
    places, world, joints = _landmark_positions(hand, state)
    scale = np.exp(state.size)[:, None, None]
    count, joint_count = state.rotations.shape[:2]
    parent_turn = world[:, np.maximum(hand.body.parents, 0)].copy()
    parent_turn[:, 0] = np.eye(3)
    lever = places[:, :, None] - joints[:, None]
    turning = np.cross(np.swapaxes(parent_turn, -1, -2)[:, None], lever[:, :, :, None])  # (B, 21, J, axis, 3)
    turning = np.where(_carries(hand)[None, :, :, None, None], turning, 0.0) * scale[..., None, None]
    moved = np.zeros((count, 21, 3, 4 + 3 * joint_count))
    moved[..., 3] = places * scale
    moved[..., 4:] = np.moveaxis(turning.reshape(count, 21, -1, 3), 2, 3)

    scaled = places * scale
    seen = measured.world
    in_space = (scaled - scaled.mean(1, keepdims=True)) - (seen - seen.mean(1, keepdims=True))
    space_derivative = moved - moved.mean(1, keepdims=True)

    moved[..., :3] += np.eye(3)
    in_photo, photo_derivative = _project(measured.camera, scaled + state.translation[:, None], moved)
    in_photo = (in_photo - measured.points) / measured.sigma[..., None]
    photo_derivative = photo_derivative / measured.sigma[..., None, None]

    size = np.zeros((count, 1, 4 + 3 * joint_count))
    size[:, 0, 3] = 1 / SIGMA_SIZE
    anatomy, anatomy_derivative = _anatomy_residuals(hand, state.rotations)
    residuals = [in_photo.reshape(count, -1), in_space.reshape(count, -1) / SIGMA_WORLD]
    derivatives = [photo_derivative.reshape(count, 42, -1), space_derivative.reshape(count, 63, -1) / SIGMA_WORLD]
    return (
        np.concatenate([*residuals, state.size[:, None] / SIGMA_SIZE, anatomy], 1),
        np.concatenate([*derivatives, size, anatomy_derivative], 1),
    )


def _carries(hand: HandBody) -> NDArray[np.bool_]:
    """(21, J): whether a joint moves a landmark."""
    parents = hand.body.parents
    carries = np.zeros((21, len(parents)), bool)
    for landmark, joint in enumerate(hand.landmark_joints):
        while joint >= 0:
            carries[landmark, joint] = True
            joint = parents[joint]
    return carries


def _project(camera: Camera, points: NDArray, moved: NDArray) -> tuple[NDArray, NDArray]:
    """Pixels (B, 21, 2) of points, and their derivatives (B, 21, 2, N) from the points' (B, 21, 3, N)."""
    depth = np.maximum(points[..., 2:], 0.02)
    focal = np.array([camera.fx, camera.fy])
    slope = points[..., :2] / depth
    derivative = moved[..., :2, :] - slope[..., None] * moved[..., 2:, :]
    return slope * focal + (camera.cx, camera.cy), derivative * (focal / depth)[..., None]


def _anatomy_residuals(hand: HandBody, rotations: NDArray) -> tuple[NDArray, NDArray]:
    """Residuals (B, 4 J) that prefer the rest pose about each joint's axes and keep flexion in its limits."""
    count, joint_count = rotations.shape[:2]
    angles = to_rotation_vector(quaternions_of(rotations))
    by_axis = (hand.axes @ angles[..., None])[..., 0]
    # The inverse of the left Jacobian, which is the right one's of the opposite rotation.
    derivative = hand.axes @ inverse_right_jacobian(torch.from_numpy(-angles)).numpy()
    low, high = hand.limits[:, 0], hand.limits[:, 1]
    flexion = by_axis[..., 0]
    beyond = flexion - np.clip(flexion, low, high)
    local = np.concatenate([derivative * hand.stiffness[..., None], derivative[:, :, :1] * LIMIT_WEIGHT], 2)
    local[:, :, 3] *= (beyond != 0)[..., None]
    full = np.zeros((count, joint_count, 4, 4 + 3 * joint_count))
    for joint in range(joint_count):
        full[:, joint, :, 4 + 3 * joint : 7 + 3 * joint] = local[:, joint]
    residuals = np.concatenate([by_axis * hand.stiffness, beyond[..., None] * LIMIT_WEIGHT], 2)
    return residuals.reshape(count, -1), full.reshape(count, 4 * joint_count, -1)


def _robust_weights(residuals: NDArray) -> NDArray:
    """Square roots of the Cauchy loss's weights for the 21 landmarks in photo and space; 1 for the rest."""
    weights = np.ones_like(residuals)
    for first, size in ((0, 2), (42, 3)):
        part = residuals[:, first : first + 21 * size].reshape(len(residuals), 21, size)
        weight = 1.0 / np.sqrt(1.0 + (part**2).sum(-1) / ROBUST**2)
        weights[:, first : first + 21 * size] = np.repeat(weight, size, axis=1)
    return weights


def _cost(residuals: NDArray) -> NDArray:
    """(B,) the sum that the steps lower: Cauchy loss of the landmarks, squares of the rest."""
    cost = (residuals[:, 105:] ** 2).sum(1)
    for first, size in ((0, 2), (42, 3)):
        part = residuals[:, first : first + 21 * size].reshape(len(residuals), 21, size)
        cost = cost + (ROBUST**2 * np.log1p((part**2).sum(-1) / ROBUST**2)).sum(1)
    return np.where(np.isfinite(cost), cost, np.inf)


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
