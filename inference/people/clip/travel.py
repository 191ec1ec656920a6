# SPDX-License-Identifier: GPL-3.0-or-later
"""How the camera of a clip moves, from points of the background that were followed (`scenery`).

A camera that stands still is told by points that stay. One that only turns is solved for by the directions of the
points; any other by structure from motion: two frames with parallax (essential matrix, Nister 2004), the others one
after the other by what is known of the points already, and all of them together by bundle adjustment (Triggs et al.
1999; Gauss and Newton, the points eliminated). The scale is that of the people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize_scalar
from scipy.sparse.linalg import spsolve

from ...camera import Camera
from ...geometry import planted
from ...runtime.run import Run
from .ground import Ground

#: Points stay where they are within this share of the picture's width: noise of following them.
STILL = 0.0012
#: Median error of a solution, as a share of the width, up to which it is one; of small pictures (pixels), since points
#: in compressed films are followed no better.
GOOD, FOLLOWED = 0.0012, 0.6
#: Fewest points that a frame is solved by; frames between those that are adjusted together, at 25 a second.
LEAST, STEP = 15, 4
#: Least angle (radians) between two views of a point whose place counts.
ANGLE = 0.01
ROUNDS = 12
#: New frames after which they are adjusted, the frames around them that take part, and how many of these hold still.
OFTEN, AROUND, HELD = 6, 24, 8
#: Focal lengths that are tried where it is a guess, as shares of that, and frames that are looked at for it.
SHARES, LOOKED_AT = np.geomspace(0.5, 4.0, 13), 120
#: Points that err by so many times the usual are no part of the surroundings.
LOOSE = 2.5
#: Speed of the fastest camera, and of feet that do not stand (m/s).
FASTEST, SLIDING = 15.0, 0.6
#: Points of the ground around a foot, and feet, that tell how far away it is; within these quartiles of the logarithm.
AROUND_FOOT, FEET, AGREED = 5, 5, 0.3
#: Share of the frames that may have too few points behind the people.
BARE = 0.1
BLIND = (
    "The camera is taken as still, because too little behind the people can be followed: take the motion of a camera of"
    " the scene, or choose Still if it stood"
)
UNSOLVED = (
    "The camera moves, but how it does could not be found: the people fit the picture, but no feet are planted, and the"
    " matched camera stands still"
)
TURNS, MOVES = "The camera turns; it is animated", "The camera moves; it is animated"


@dataclass(frozen=True)
class Travel:
    """poses : (T, 4, 4) from each frame's camera axes to the first one's, the way without a unit until it is `scaled`;
    None for a camera that stands still, or whose motion is unknown.  turns : it stays in its place.  note : what is to
    be said.
    world, ground : of a camera whose motion is given: (4, 4) its world from the axes of the first frame, and the floor.
    lost : it moves, nobody knows how.  points : (P, 3) of the surroundings, in the axes of the first frame and the unit
    of the way.
    """

    poses: NDArray[np.float64] | None = None
    turns: bool = False
    note: str = ""
    world: NDArray[np.float64] | None = None
    ground: Ground | None = None
    lost: bool = False
    points: NDArray[np.float64] | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """As `results.People` has them."""
        return (self.note,) if self.note else ()


@dataclass(frozen=True)
class _Views:
    """Observations (N,): of which point, in which frame, and the ray's (N, 2) x, y at z = 1.  pixel : one, in them."""

    point: NDArray[np.int64]
    frame: NDArray[np.int64]
    at: NDArray[np.float64]
    pixel: float
    count: int
    points: int

    def through(self, share: float) -> _Views:
        """The same through a lens of this share of the focal length."""
        return replace(self, at=self.at / share, pixel=self.pixel / share)

    def every(self, step: int) -> _Views:
        """Every so many frames alone."""
        kept = self.frame % step == 0
        count = (self.count - 1) // step + 1
        return replace(self, point=self.point[kept], frame=self.frame[kept] // step, at=self.at[kept], count=count)

    @cached_property
    def own(self) -> list[NDArray[np.int64]]:
        """Where the observations of each frame lie."""
        return _by_frame(self.frame, self.count)

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """(points + 1,) where the observations of each point begin, and the last one's end: they are in its order."""
        return _starts(self.point, self.points)


def _by_frame(frame: NDArray[np.int64], count: int) -> list[NDArray[np.int64]]:
    """Where each of so many frames stands in frame numbers (N,)."""
    return np.split(np.argsort(frame, kind="stable"), np.cumsum(np.bincount(frame, minlength=count))[:-1])


def travel_of(paths: NDArray, cameras: tuple[Camera, ...], fps: float, cuts: tuple[int, ...] = ()) -> Travel:
    """The motion of the camera. paths : see `scenery.joined`."""
    views, note = _views_of(paths, cameras)
    if views is None:
        return Travel(note=note)
    if cuts:
        return Travel(lost=True, note=f"{UNSOLVED}, for it is cut; recover its shots one by one")
    return _solved(views, _good(cameras[0]), max(1, round(STEP * fps / 25)))[0]


def through_lens(
    paths: NDArray, cameras: tuple[Camera, ...], fps: float, run: Run, cuts: tuple[int, ...] = ()
) -> tuple[Camera, ...]:
    """The cameras, with the focal length that explains how the surroundings move, where theirs is a guess that does not
    explain it, or takes a camera that turns for one that travels.

    The other arguments are those of `travel_of`.
    """
    views, _ = _views_of(paths, cameras)
    if cameras[0].source != "default" or views is None or cuts:
        return cameras
    good, apart = _good(cameras[0]), -(-len(cameras) // LOOKED_AT)
    views, step = views.every(apart), max(1, round(STEP * fps / 25 / apart))
    travel, error = _solved(views, good, step)
    if travel.turns:
        return cameras
    share, left = _turning_lens(views)
    if left >= min(good, error):
        if not travel.lost:
            return cameras
        errors = []
        for number, share in enumerate(SHARES):
            run.report(number / len(SHARES), "Looking for the focal length")
            errors.append(_solved(views.through(share), good, step)[1])
        share, left = SHARES[int(np.argmin(errors))], min(errors)
    if left >= good:
        return cameras
    return tuple(replace(one.with_focal(share * one.fx, share * one.fy), source="motion") for one in cameras)


def _turning_lens(views: _Views) -> tuple[float, float]:
    """The share of the focal length with which a camera that only turns explains most, and the error in pixels."""
    errors = [_turning(views.through(share))[1] for share in SHARES]
    best = int(np.clip(np.argmin(errors), 1, len(SHARES) - 2))
    found = minimize_scalar(
        lambda share: _turning(views.through(np.exp(share)))[1],
        bounds=np.log(SHARES[[best - 1, best + 1]]), method="bounded", options={"xatol": 0.01},
    )  # fmt: skip
    return float(np.exp(found.x)), float(found.fun)


def _good(camera: Camera) -> float:
    """The error in pixels up to which a solution is one."""
    return max(GOOD * max(camera.width, camera.height), FOLLOWED)


def _views_of(paths: NDArray, cameras: tuple[Camera, ...]) -> tuple[_Views | None, str]:
    """What is seen of the surroundings; None for a camera that stands still, or where nobody can tell (a note)."""
    count = len(cameras)
    if count < 3:
        return None, ""
    seen = np.bincount(paths[:, 1].astype(int), minlength=count)
    if (seen < LEAST).mean() > BARE:
        return None, BLIND
    order = np.lexsort((paths[:, 1], paths[:, 0]))
    names, point = np.unique(paths[order, 0], return_inverse=True)
    paths = paths[order]
    firsts = np.searchsorted(point, np.arange(len(names)))
    moved = np.linalg.norm(paths[:, 2:] - paths[firsts[point], 2:], axis=1)
    frame = paths[:, 1].astype(int)
    middle = np.array([np.median(moved[some]) if len(some) else 0.0 for some in _by_frame(frame, count)])
    if np.percentile(middle, 95) < STILL * max(cameras[0].width, cameras[0].height):
        return None, ""
    focal = np.array([[camera.fx, camera.fy] for camera in cameras])
    centre = np.array([[camera.cx, camera.cy] for camera in cameras])
    at = (paths[:, 2:] - centre[frame]) / focal[frame]
    return _Views(point, frame, at, 1 / cameras[0].fx, count, len(names)), ""


def _solved(views: _Views, good: float, step: int) -> tuple[Travel, float]:
    """The motion that explains the views to `good` pixels, and the error, infinite where there is none.

    step : frames between key frames.
    """
    turns, error = _turning(views)
    if error < good:
        return Travel(_matrices(turns, np.zeros((views.count, 3))), True, TURNS), error
    try:
        solved = _Structure(views, step, turns).solve()
    except (np.linalg.LinAlgError, cv2.error):  # points that lie so that nothing follows from them
        solved = None
    if solved is None or not solved[2] <= good:
        return Travel(lost=True, note=UNSOLVED), np.inf
    turns, places, error, points = solved
    return Travel(_matrices(turns, places), False, MOVES, points=(points - places[0]) @ turns[0]), error


def scaled(travel: Travel, feet: Sequence[tuple[NDArray, NDArray]], fps: float) -> Travel:
    """The way in metres, told by the ground that is seen around the feet, or by feet that stand on it.

    feet : per person the frames (T,) and the feet (T, F, 3) in the axes of those frames' cameras, metres.
    """
    if travel.poses is None or travel.turns:
        return travel
    scale = _by_ground(travel, feet) or _by_standing(travel.poses, feet, fps)
    if scale is None:
        return Travel(lost=True, note=f"{UNSOLVED} (nothing tells how far it goes)")
    poses = travel.poses.copy()
    poses[:, :3, 3] *= scale
    return replace(travel, poses=poses)


def _by_ground(travel: Travel, feet: Sequence[tuple[NDArray, NDArray]]) -> float | None:
    """The scale at which the ground that is seen around a foot is as far away as the foot; None where too little of it
    is seen, or where it tells too many scales."""
    if travel.poses is None or travel.points is None:
        return None
    told = []
    for frames, own in feet:
        for frame, both in zip(frames[::STEP], own[::STEP], strict=True):
            foot = both[int(np.argmax(both[:, 1] / both[:, 2]))]
            local = (travel.points - travel.poses[frame, :3, 3]) @ travel.poses[frame, :3, :3]
            local = local[local[:, 2] > 0]
            # In metres at the foot's distance, from the foot. What lies below it in the picture is ground before it.
            aside = (local[:, :2] / local[:, 2:] - foot[:2] / foot[2]) * foot[2]
            near = ((aside > (-1.5, -0.1)) & (aside < (1.5, 0.8))).all(axis=1)
            if near.sum() >= AROUND_FOOT:
                told.append(foot[2] * _inverse_at(aside[near], 1 / local[near, 2]))
    scales = np.log([one for one in told if one > 0])
    if len(scales) < FEET or np.subtract(*np.percentile(scales, (75, 25))) > AGREED:
        return None
    return float(np.exp(np.median(scales)))


def _inverse_at(aside: NDArray, inverse: NDArray) -> float:
    """1 / z of a plane at the middle of points (N, 2) in the picture, where it is linear. Some may lie elsewhere."""
    slopes, weights, values = np.c_[np.ones(len(aside)), aside], np.ones(len(aside)), np.zeros(3)
    for _ in range(8):
        values = np.linalg.lstsq(weights[:, None] * slopes, weights * inverse, rcond=None)[0]
        off = np.abs(slopes @ values - inverse)
        weights = 1 / (1 + (off / max(2 * float(np.median(off)), 1e-9)) ** 2)
    return float(values[0])


def _by_standing(poses: NDArray, feet: Sequence[tuple[NDArray, NDArray]], fps: float) -> float | None:
    """The scale that lets the slower foot of each person stand, in most frames."""
    turned = [(np.einsum("tij,tfj->tfi", poses[f, :3, :3], one), poses[f, None, :3, 3]) for f, one in feet]
    longest = float(np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1).max()) * fps

    def slide(scale: float) -> float:
        """Speed (m/s) of the slower foot, in the median."""
        slow = [
            np.linalg.norm(
                planted.velocities((foot + scale * way).reshape(len(way), -1), fps).reshape(foot.shape), axis=-1
            )
            for foot, way in turned
            if len(way) > 4
        ]
        return float(np.median(np.concatenate([one.min(axis=1) for one in slow]))) if slow else np.inf

    # The unit of a solved way is arbitrary: no camera is carried faster than a car drives.
    scales = np.geomspace(1e-3, FASTEST / max(longest, 1e-12), 160)
    slides = [slide(scale) for scale in scales]
    first = int(np.argmin(slides))
    if slides[first] > SLIDING or first == 0:  # who keeps up with the camera would have it stand still
        return None
    best = scales[first]
    finer = np.linspace(0.9 * best, 1.1 * best, 41)
    return float(finer[int(np.argmin([slide(scale) for scale in finer]))])


def _matrices(turns: NDArray, places: NDArray) -> NDArray[np.float64]:
    """(T, 4, 4) first from frame, of turns (T, 3, 3) world from camera and places (T, 3); the first is the identity."""
    poses = np.tile(np.eye(4), (len(turns), 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = turns, places
    return np.linalg.inv(poses[0]) @ poses


def _turning(views: _Views) -> tuple[NDArray[np.float64], float]:
    """Turns (T, 3, 3) of a camera that stays in its place, and the median error in pixels."""
    rays = np.concatenate([views.at, np.ones((len(views.at), 1))], 1)
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    turns = np.tile(np.eye(3), (views.count, 1, 1))
    own = views.own
    sums, seen = np.zeros((views.points, 3)), np.zeros(views.points)
    for frame, some in enumerate(own):
        if frame:
            known = some[seen[views.point[some]] > 0]
            turns[frame] = _turn(rays[known], sums[views.point[known]], turns[frame - 1], views.pixel)
        np.add.at(sums, views.point[some], rays[some] @ turns[frame].T)
        seen[views.point[some]] += 1
    errors = np.zeros(len(rays))
    for _ in range(3):
        turned = np.einsum("nij,nj->ni", turns[views.frame], rays)
        sums = np.stack([np.bincount(views.point, turned[:, axis], views.points) for axis in range(3)], 1)
        sums /= np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
        errors = np.linalg.norm(turned - sums[views.point], axis=1) / views.pixel
        for frame, some in enumerate(own):
            if len(some) >= 3:
                turns[frame] = _turn(rays[some], sums[views.point[some]], turns[frame], views.pixel)
    worst = [float(np.median(errors[some])) for some in own if len(some)]
    return turns, float(np.percentile(worst, 90))


def _turn(rays: NDArray, wanted: NDArray, start: NDArray, pixel: float) -> NDArray[np.float64]:
    """The turn (3, 3) that brings rays (N, 3) to directions (N, 3), of any length; `start` where there are too few."""
    if len(rays) < 3:
        return start
    turn, wanted = start, wanted / np.maximum(np.linalg.norm(wanted, axis=1, keepdims=True), 1e-12)
    for _ in range(4):
        errors = np.linalg.norm(rays @ turn.T - wanted, axis=1)
        weights = 1 / (1 + (errors / max(2 * float(np.median(errors)), pixel)) ** 2)
        left, _, right = np.linalg.svd((weights[:, None] * wanted).T @ rays)
        turn = left @ np.diag([1, 1, np.linalg.det(left @ right)]) @ right
    return turn


class _Structure:
    """Structure from motion: `turns` and `places` of cameras in the world, and points in it."""

    def __init__(self, views: _Views, step: int, guess: NDArray) -> None:
        self.views, self.guess = views, guess
        self.keys = sorted({*range(0, views.count, step), views.count - 1})
        self.turns, self.places = guess.copy(), np.zeros((views.count, 3))
        self.solved = np.zeros(views.count, bool)
        self.points = np.full((views.points, 3), np.nan)

    def solve(self) -> tuple[NDArray, NDArray, float, NDArray] | None:
        """Turns, places, median error (pixels) and the points; None where nothing follows from what is seen."""
        if not self._begin():
            return None
        if not self._grow():
            return None
        for _ in range(2):
            self._adjust(ROUNDS)
            self._drop()
            self._triangulate()
        self._adjust(ROUNDS)
        for frame in range(self.views.count):
            near = self.keys[int(np.abs(np.array(self.keys) - frame).argmin())]
            if not self.solved[frame] and not self._place(frame, near):
                return None
        return self.turns, self.places, self._error(), self.points[np.isfinite(self.points[:, 0])]

    def _grow(self) -> bool:
        """Place the other key frames, the nearest to those that are known first. What is new is adjusted among its
        neighbours, so that the time grows with the frames; drift is left to the adjustment of all."""
        left = np.setdiff1d(self.keys, np.flatnonzero(self.solved))
        known = np.flatnonzero(self.solved)
        near = known[np.abs(left[:, None] - known).argmin(axis=1)]
        fresh: list[int] = []
        while len(left):
            first = int(np.abs(left - near).argmin())
            frame = int(left[first])
            if not self._place(frame, int(near[first])):
                return False
            self._triangulate(self._seen(frame)[0])
            left, near = np.delete(left, first), np.delete(near, first)
            near = np.where(np.abs(left - frame) < np.abs(left - near), frame, near)
            fresh.append(frame)
            if len(fresh) == OFTEN:
                for end in {min(fresh), max(fresh)}:
                    self._adjust(4, end)
                fresh = []
        return True

    def _begin(self) -> bool:
        """Place the two frames that see most parallax of enough points."""
        views, best = self.views, (0.0, -1, -1)
        own = {frame: dict(zip(*self._seen(frame), strict=True)) for frame in self.keys}
        starts = self.keys[:: max(1, len(self.keys) // 4)]
        for a in starts:
            for b in self.keys:
                shared = [name for name in own[a] if name in own[b]] if b > a else []
                if len(shared) < 3 * LEAST:
                    continue
                first, second = (np.array([views.at[own[f][name]] for name in shared]) for f in (a, b))
                turned = np.c_[first, np.ones(len(first))] @ (self.guess[b].T @ self.guess[a]).T
                parallax = float(np.median(np.linalg.norm(turned[:, :2] / turned[:, 2:] - second, axis=1)))
                best = max(best, (min(parallax, 0.15) * min(1.0, len(shared) / 80), a, b))
        _, a, b = best
        if a < 0:
            return False
        shared = [name for name in own[a] if name in own[b]]
        first, second = (np.array([views.at[own[f][name]] for name in shared]) for f in (a, b))
        cv2.setRNGSeed(0)
        matrix, inside = cv2.findEssentialMat(first, second, np.eye(3), cv2.RANSAC, 0.999, 1.5 * views.pixel)
        if matrix is None or matrix.shape != (3, 3):
            return False
        count, turn, way, _ = cv2.recoverPose(matrix, first, second, np.eye(3), mask=inside)
        if count < LEAST:
            return False
        self.turns[a], self.places[a] = np.eye(3), 0.0
        self.turns[b], self.places[b] = turn.T, (-turn.T @ way)[:, 0]
        self.solved[[a, b]] = True
        self._triangulate()
        self._adjust(ROUNDS)
        return bool(np.isfinite(self.points[:, 0]).sum() >= LEAST)

    def _seen(self, frame: int) -> tuple[NDArray, NDArray]:
        """Points of a frame, and where their observations lie."""
        some = self.views.own[frame]
        return self.views.point[some], some

    def _place(self, frame: int, near: int) -> bool:
        """Solve one frame by the points that are known, beginning at a neighbour."""
        names, some = self._seen(frame)
        known = np.isfinite(self.points[names, 0])
        if known.sum() < LEAST:
            return False
        world, seen = self.points[names[known]], self.views.at[some[known]]
        turn = (
            self.turns[near] @ (self.guess[near].T @ self.guess[frame]) if not self.solved[frame] else self.turns[frame]
        )
        place = self.places[near].copy()
        for _ in range(15):
            local = (world - place) @ turn
            depth = np.maximum(local[:, 2], 1e-3)
            error = local[:, :2] / depth[:, None] - seen
            turned, moved = _slopes(local, depth, turn)
            size = np.linalg.norm(error, axis=1) / (2 * self.views.pixel)
            weights = np.repeat(1 / (1 + size**2), 2)
            slope = np.concatenate([turned, moved], -1).reshape(-1, 6)
            matrix = slope.T @ (weights[:, None] * slope)
            change = -np.linalg.solve(matrix + 1e-9 * np.trace(matrix) * np.eye(6), slope.T @ (weights * error.ravel()))
            turn, place = turn @ _rotation(change[:3]), place + change[3:]
            if np.abs(change).max() < 1e-8:
                break
        self.turns[frame], self.places[frame], self.solved[frame] = turn, place, True
        return True

    def _triangulate(self, names: NDArray | None = None) -> None:
        """Places of points by all solved frames that see them, where these see them from two sides.

        names : of the points; None for all.
        """
        views = self.views
        names = np.arange(views.points) if names is None else names
        some = np.concatenate([np.zeros(0, int), *(np.arange(*views.ends[name : name + 2]) for name in names)])
        some = some[self.solved[views.frame[some]]]
        turn, place = self.turns[views.frame[some]], self.places[views.frame[some]]
        rays = np.concatenate([views.at[some], np.ones((len(some), 1))], 1)
        rays = np.einsum("nij,nj->ni", turn, rays)
        rays /= np.linalg.norm(rays, axis=1, keepdims=True)
        across = np.eye(3) - rays[:, :, None] * rays[:, None]
        row = np.searchsorted(names, views.point[some])
        matrix = _sums(across, row, len(names))
        right = _sums(np.einsum("nij,nj->ni", across, place), row, len(names))
        spread, often = np.linalg.eigvalsh(matrix), np.bincount(row, minlength=len(names))
        usable = (spread[:, 0] > ANGLE**2 / 2) & (often >= 2) & ~np.isfinite(self.points[names, 0])
        self.points[names[usable]] = np.linalg.solve(matrix[usable], right[usable][..., None])[..., 0]
        local = np.einsum("nji,nj->ni", turn, self.points[views.point[some]] - place)
        behind = np.unique(views.point[some][np.isfinite(local[:, 2]) & (local[:, 2] < 1e-3)])
        self.points[behind] = np.nan

    def _adjust(self, rounds: int, end: int | None = None) -> None:
        """Bundle adjustment of the solved frames and their points. The first frame holds the world.

        end : of the frames around this one alone, in the world that those of them hold that are farther from it.
        """
        frames = np.flatnonzero(self.solved)
        held = np.arange(len(frames)) == 0
        if end is not None and len(frames) > AROUND:
            frames = np.sort(frames[np.argsort(np.abs(frames - end), kind="stable")[:AROUND]])
            held = np.argsort(np.argsort(np.abs(frames - end), kind="stable")) >= AROUND - HELD
        damping, cost = 1e-4, np.inf
        for _ in range(rounds):
            now, names, blocks, inner, crossed, down, inside = self._equations(frames)
            if now >= cost * (1 - 1e-5):
                break
            cost = now
            inner += damping * np.einsum("nii->n", inner)[:, None, None] * np.eye(3) + 1e-12 * np.eye(3)
            blocks += damping * np.einsum("nii->n", blocks)[:, None, None] * np.eye(6)
            blocks[held] += 1e9 * np.einsum("nii->n", blocks[held])[:, None, None] * np.eye(6)
            cross, back = crossed
            solve = np.linalg.inv(inner)
            weighed = cross.copy()
            weighed.data = cross.data @ solve[cross.indices]
            reduced = _diagonal(blocks) - weighed @ back
            change = np.asarray(spsolve(reduced.tocsc(), -(down - weighed @ inside)))
            shift = -(solve @ (inside + back @ change).reshape(-1, 3, 1))[..., 0]
            change = change.reshape(-1, 6)
            self.turns[frames] = self.turns[frames] @ np.stack([_rotation(one) for one in change[:, :3]])
            self.places[frames] += change[:, 3:]
            self.points[names] += shift

    def _equations(self, frames: NDArray) -> tuple[float, NDArray, NDArray, NDArray, tuple[Any, Any], NDArray, NDArray]:
        """Cost, the points (P,) that the frames see, blocks (F, 6, 6) of the frames and (P, 3, 3) of the points, what
        lies between them (6F, 3P) with its transpose, and the gradients (6F,) and (3P,); errors count by the logarithm
        (Cauchy)."""
        views = self.views
        own = [views.own[frame] for frame in frames]
        some = np.concatenate(own)
        known = np.isfinite(self.points[views.point[some], 0])
        some, at = some[known], np.repeat(np.arange(len(frames)), [len(one) for one in own])[known]
        names, point = np.unique(views.point[some], return_inverse=True)
        turn = self.turns[views.frame[some]]
        local = np.einsum("nji,nj->ni", turn, self.points[names[point]] - self.places[views.frame[some]])
        depth = np.maximum(local[:, 2], 1e-3)
        error = local[:, :2] / depth[:, None] - views.at[some]
        size = (error**2).sum(axis=1) / (2 * views.pixel) ** 2
        weight = 1 / (1 + size)
        turned, moved = _slopes(local, depth, turn)
        pose, heavy = np.concatenate([turned, moved], -1), weight[:, None, None]
        flat, error = np.swapaxes(heavy * pose, 1, 2), error[..., None]
        near = np.swapaxes(heavy * moved, 1, 2)
        mixed = -flat @ moved
        shape = 6 * len(frames), 3 * len(names)
        cross = sparse.bsr_matrix((mixed, point, _starts(at, len(frames))), shape=shape)
        by_point = np.argsort(point, kind="stable")
        back = sparse.bsr_matrix(
            (np.swapaxes(mixed, 1, 2)[by_point], at[by_point], _starts(point, len(names))), shape=shape[::-1]
        )
        return (
            float(np.log1p(size).sum()), names, _sums(flat @ pose, at, len(frames)),
            _sums(near @ moved, point, len(names)), (cross, back), _sums(flat @ error, at, len(frames)).ravel(),
            -_sums(near @ error, point, len(names)).ravel(),
        )  # fmt: skip

    def _errors(self) -> tuple[NDArray, NDArray, NDArray]:
        """Point, frame and error (pixels) of all that is known."""
        views = self.views
        some = np.flatnonzero(np.isfinite(self.points[views.point, 0]) & self.solved[views.frame])
        frame, name = views.frame[some], views.point[some]
        local = np.einsum("nji,nj->ni", self.turns[frame], self.points[name] - self.places[frame])
        error = np.linalg.norm(local[:, :2] / np.maximum(local[:, 2:], 1e-3) - views.at[some], axis=1) / views.pixel
        return name, frame, error

    def _drop(self) -> None:
        """Leave out points that do not stay where they are: what moves by itself, and edges of what hides others."""
        name, _, error = self._errors()
        often = np.bincount(name, minlength=self.views.points)
        mean = np.sqrt(np.bincount(name, error**2, self.views.points) / np.maximum(often, 1))
        loose = np.flatnonzero((often > 0) & (mean > max(1.0, LOOSE * float(np.median(mean[often > 0])))))
        kept = ~np.isin(self.views.point, loose)
        views = self.views
        self.views = replace(views, point=views.point[kept], frame=views.frame[kept], at=views.at[kept])
        self.points[loose] = np.nan

    def _error(self) -> float:
        """Median error in pixels of the worse frames."""
        views = self.views
        _, frame, error = self._errors()
        medians = [float(np.median(error[some])) for some in _by_frame(frame, views.count) if len(some)]
        return float(np.percentile(medians, 90)) if len(medians) == views.count else np.inf


def _slopes(local: NDArray, depth: NDArray, turn: NDArray) -> tuple[NDArray, NDArray]:
    """Derivatives (N, 2, 3) of where points, `local` in camera axes, are seen: by the camera's turn in its own axes,
    and by its place. turn : (3, 3) or (N, 3, 3) world from camera."""
    slope = np.zeros((len(local), 2, 3))
    slope[:, 0, 0] = slope[:, 1, 1] = 1 / depth
    slope[:, :, 2] = -local[:, :2] / depth[:, None] ** 2
    x, y, z = local.T
    zero = np.zeros_like(x)
    turned = np.stack([np.stack([zero, -z, y], 1), np.stack([z, zero, -x], 1), np.stack([-y, x, zero], 1)], 1)
    return slope @ turned, -slope @ np.swapaxes(turn, -1, -2)


def _rotation(vector: NDArray) -> NDArray[np.float64]:
    return np.asarray(cv2.Rodrigues(np.asarray(vector, np.float64))[0], np.float64)


def _diagonal(blocks: NDArray) -> Any:
    """A block diagonal matrix of blocks (N, S, S)."""
    count, size = blocks.shape[:2]
    return sparse.bsr_matrix((blocks, np.arange(count), np.arange(count + 1)), shape=(count * size, count * size))


def _starts(rows: NDArray, count: int) -> NDArray[np.int64]:
    """Where each of so many rows begins, and the last one ends, among numbers of rows (N,) once they are sorted."""
    return np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=count))])


def _sums(values: NDArray, rows: NDArray, count: int) -> NDArray[np.float64]:
    """(count, ...) the sum of the values (N, ...) of each row (N,)."""
    picked = sparse.csr_matrix((np.ones(len(rows)), (rows, np.arange(len(rows)))), shape=(count, len(rows)))
    return (picked @ values.reshape(len(rows), int(np.prod(values.shape[1:])))).reshape(count, *values.shape[1:])
