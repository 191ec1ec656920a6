# SPDX-License-Identifier: GPL-3.0-or-later
"""The network's answer, fitted to what another network sees: the landmarks of the built-in pose network.

Turns, place and shape move from the answer so far that the keypoints lie on the landmarks, as hard as the answer holds
them back: it is the prior of the pose. Levenberg and Marquardt's method, with Geman and McClure's function for
landmarks that are wrong. In a clip the prior is, alternately, the motion smoothed: the half-quadratic splitting of one
problem over all frames into frames and a smoother (Geman and Yang 1995). What does not lower the reprojection error is
not taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...geometry import rotations as quaternion
from ...geometry.rotations import quaternions_of, rotation_matrices
from ..clip.smooth import smooth_motion
from .body import JOINT_NAMES
from .markers import KEYPOINTS, SOURCES, Markers, landmark_markers
from .persons import in_sight

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...camera import Camera
    from ...results import Person
    from ...runtime.run import Run
    from ...shipped.pose import PoseLandmarks
    from ..clip.motion import Motion
    from .body import Template
    from .find import Detection

#: Steps of the solver, and rounds of frames and smoother in a clip.
STEPS, ROUNDS = 20, 3
#: Where the robust function lets go, in standard deviations.
_CUT = 4.0
#: Standard deviation of a landmark, in sides of the crop, beside what the network itself says.
_SPREAD = 0.012
#: Radians that a joint may be rotated off the answer: limbs more than the trunk; the body as a whole.
_LIMBS, _TRUNK, _WHOLE = 0.35, 0.12, 0.2
_STIFF = ("spine1", "spine2", "spine3", "neck", "left_collar", "right_collar", "left_foot", "right_foot")
#: Share of the distance, and coefficients of the shape, that the answer may be off by.
_DISTANCE, _SHAPE = 0.08, 0.6
#: No keypoint is taken to be nearer to the camera than this (metres).
_NEAR = 0.1


@dataclass(frozen=True)
class Evidence:
    """Landmarks of T frames.

    pixels : (T, K, 2).  spread : (T, K) pixels.  weights : (T, K) 0..1, 0 for a frame without.
    focal, centre : (T, 2) of the cameras.
    """

    pixels: NDArray[np.float64]
    spread: NDArray[np.float64]
    weights: NDArray[np.float64]
    focal: NDArray[np.float64]
    centre: NDArray[np.float64]

    def errors(self, points: NDArray) -> NDArray[np.float64]:
        """Distances (T, K) in pixels of points (T, K, 3) from their landmarks."""
        rays = points[..., :2] / np.maximum(points[..., 2:], _NEAR)
        return np.linalg.norm(rays * self.focal[:, None] + self.centre[:, None] - self.pixels, axis=-1)

    def mean_error(self, points: NDArray) -> float:
        """Reprojection error in pixels over all frames, each landmark counted as far as it is seen."""
        return float((self.errors(points) * self.weights).sum() / max(self.weights.sum(), 1e-9))


def gather(seen: Sequence[PoseLandmarks | None], cameras: Sequence[Camera]) -> Evidence:
    """What landmarks say of the keypoints, frame by frame."""
    count = len(SOURCES)
    pixels, spread, weights = np.zeros((len(seen), count, 2)), np.ones((len(seen), count)), np.zeros((len(seen), count))
    for index, (one, camera) in enumerate(zip(seen, cameras, strict=True)):
        if one is None:
            continue
        pixels[index] = one.points[SOURCES]
        spread[index] = np.hypot(one.sigma[SOURCES], _SPREAD * one.region.size)
        sure = (one.visibility * one.presence * one.agreement)[SOURCES]
        weights[index] = one.score * sure * in_sight(pixels[index], one.region.size, camera)
    focal = np.array([(camera.fx, camera.fy) for camera in cameras], np.float64)
    centre = np.array([(camera.cx, camera.cy) for camera in cameras], np.float64)
    return Evidence(pixels, spread, weights, focal, centre)


@dataclass(frozen=True)
class Pose:
    """T poses. matrices : (T, J, 3, 3).  translation : (T, 3).  shape : (T, S)."""

    matrices: NDArray[np.float64]
    translation: NDArray[np.float64]
    shape: NDArray[np.float64]

    def moved(self, step: NDArray) -> Pose:
        """step : (T, size), as `Markers.place` counts; without a shape it stays."""
        count = 3 * self.matrices.shape[1]
        delta = quaternion.from_rotation_vector(step[:, :count].reshape(*self.matrices.shape[:2], 3))
        return Pose(
            self.matrices @ rotation_matrices(delta),
            self.translation + step[:, count : count + 3],
            self.shape + step[:, count + 3 :] if step.shape[1] > count + 3 else self.shape,
        )

    def where(self, condition: NDArray, other: Pose) -> Pose:
        """Frame by frame, this where the condition (T,) holds, else the other."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Pose(*(np.where(condition.reshape(-1, *[1] * (a.ndim - 1)), a, b) for a, b in pairs))


def fit(markers: Markers, evidence: Evidence, prior: Pose, start: Pose, with_shape: bool, steps: int = STEPS) -> Pose:
    """The poses that explain the evidence best, not far from the prior; each frame for itself."""
    pose = start
    spread = _prior_spread(prior, markers.size(with_shape))
    cost, gradient, matrix = _linear(markers, evidence, prior, pose, spread)
    damping = np.full(len(cost), 1e-2)
    own = np.arange(spread.shape[1])
    for _ in range(steps):
        system = matrix.copy()
        system[:, own, own] *= 1 + damping[:, None]
        step = -np.linalg.solve(system, gradient[..., None])[..., 0]
        tried = pose.moved(step.clip(-0.5, 0.5))
        new_cost, new_gradient, new_matrix = _linear(markers, evidence, prior, tried, spread)
        better = new_cost < cost
        pose, cost = tried.where(better, pose), np.where(better, new_cost, cost)
        gradient = np.where(better[:, None], new_gradient, gradient)
        matrix = np.where(better[:, None, None], new_matrix, matrix)
        damping = np.where(better, damping * 0.3, damping * 5).clip(1e-6, 1e6)
    return pose


def _prior_spread(prior: Pose, size: int) -> NDArray[np.float64]:
    """Standard deviations (T, size) of the parameters about the prior."""
    spread = np.full((len(prior.matrices), size), _LIMBS)
    stiff = np.array([3 * JOINT_NAMES.index(name) + axis for name in _STIFF for axis in range(3)])
    spread[:, stiff] = _TRUNK
    spread[:, :3] = _WHOLE
    count = 3 * prior.matrices.shape[1]
    # Across the viewing ray the picture alone decides.
    spread[:, count : count + 2] = np.abs(prior.translation[:, 2:])
    spread[:, count + 2] = _DISTANCE * np.abs(prior.translation[:, 2])
    spread[:, count + 3 :] = _SHAPE
    return spread


def _linear(
    markers: Markers, evidence: Evidence, prior: Pose, pose: Pose, spread: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Cost (T,), gradient (T, size) and Gauss-Newton matrix (T, size, size)."""
    size = spread.shape[1]
    points, slopes = markers.place(pose.matrices, pose.translation, pose.shape, size == markers.size(with_shape=True))
    depth = np.maximum(points[..., 2:], _NEAR)
    ray = points[..., :2] / depth
    scale = evidence.focal[:, None] / evidence.spread[..., None]
    error = (ray * evidence.focal[:, None] + evidence.centre[:, None] - evidence.pixels) / evidence.spread[..., None]
    slope = (slopes[:, :, :2] - ray[..., None] * slopes[:, :, 2:]) * (scale / depth)[..., None]
    squares = (error**2).sum(-1)
    share = 1 / (1 + squares / _CUT**2)
    weights = evidence.weights * share**2
    # Behind the camera there is no picture: such a point pulls at nothing.
    weights = np.where(points[..., 2] > _NEAR, weights, 0.0)
    weighted = slope * weights[..., None, None]
    flat, weighted = (part.reshape(len(slope), -1, size) for part in (slope, weighted))
    matrix = weighted.transpose(0, 2, 1) @ flat
    gradient = (weighted.transpose(0, 2, 1) @ error.reshape(len(error), -1, 1))[..., 0]
    offset = _offset(prior, pose)[:, :size]
    own = np.arange(size)
    gradient += offset / spread**2
    matrix[:, own, own] += 1 / spread**2
    cost = (evidence.weights * squares * share).sum(1) + ((offset / spread) ** 2).sum(1)
    return cost, gradient, matrix


def _offset(prior: Pose, pose: Pose) -> NDArray[np.float64]:
    """How far (T, size) a pose is from the prior; of rotations the vector, whose slope is near one."""
    rotated = quaternions_of(np.swapaxes(prior.matrices, -1, -2) @ pose.matrices)
    vectors = quaternion.to_rotation_vector(rotated).reshape(len(pose.matrices), -1)
    return np.concatenate([vectors, pose.translation - prior.translation, pose.shape - prior.shape], 1)


def refine_person(template: Template, person: Person, found: Detection, camera: Camera, run: Run) -> Person:
    """A person of a photo, nearer to the landmarks of `found`; the same where that cannot be had."""
    run.report(0.0, "Refining poses")
    if found.landmarks is None:
        return person
    evidence = gather([found.landmarks], [camera])
    start = Pose(
        rotation_matrices(person.rotations[None].astype(np.float64)),
        person.translation[None].astype(np.float64),
        person.shape[None].astype(np.float64),
    )
    pose = fit(landmark_markers(template), evidence, start, start, with_shape=True)
    rotations = quaternions_of(pose.matrices)[0].astype(np.float32)
    shape, place = pose.shape[0].astype(np.float32), pose.translation[0].astype(np.float32)
    vertices, joints = template.pose(shape, rotations, place)
    keypoints = template.keypoints(vertices, joints)
    assert person.keypoints_3d is not None
    before, after = (evidence.mean_error(points[None, KEYPOINTS]) for points in (person.keypoints_3d, keypoints))
    if not after < before:
        return person
    return replace(
        person,
        vertices=vertices,
        joints=joints,
        keypoints_2d=camera.project(keypoints).astype(np.float32),
        keypoints_3d=keypoints,
        rotations=rotations,
        shape=shape,
        translation=place,
    )


def refine_motion(
    template: Template,
    motion: Motion,
    landmarks: Mapping[int, PoseLandmarks | None],
    cameras: Sequence[Camera],
    run: Run,
    smoothing: float,
) -> Motion:
    """A person's motion nearer to the landmarks, and as smooth; the smoothed motion where that cannot be had.

    landmarks : of frames, counted as the cameras are.  cameras : of the motion's frames begin at the first landmark.
    """
    first = min(landmarks)
    evidence = gather([landmarks.get(first + index) for index in range(len(motion))], cameras[first:][: len(motion)])
    usual = smooth_motion(motion, smoothing)
    markers = landmark_markers(template)
    shapes = np.broadcast_to(motion.shape, (len(motion), len(motion.shape))).astype(np.float64)
    best, least = usual, evidence.mean_error(_keypoints(template, usual))
    calm = usual
    for number in range(ROUNDS):
        run.report(number / ROUNDS, "Refining the motion")
        prior = Pose(rotation_matrices(calm.rotations), calm.translation, shapes)
        pose = fit(markers, evidence, prior, prior, with_shape=False, steps=STEPS if number == 0 else STEPS // 2)
        rotated = quaternion.align_hemisphere(quaternions_of(pose.matrices))
        calm = smooth_motion(replace(motion, rotations=rotated, translation=pose.translation), smoothing)
        error = evidence.mean_error(_keypoints(template, calm))
        if error < least:
            best, least = calm, error
    return best


def _keypoints(template: Template, motion: Motion) -> NDArray[np.float32]:
    """The keypoints (T, K, 3) of all frames, some at a time."""
    found = []
    for start in range(0, len(motion), 16):
        some = slice(start, start + 16)
        vertices, joints = template.pose(motion.shape, motion.rotations[some], motion.translation[some])
        found.append(template.keypoints(vertices, joints)[:, KEYPOINTS])
    return np.concatenate(found)
