# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras by what they see of points that stay where they are; `travel` says what becomes of it.

One that only turns is solved for by the directions of the points; any other by structure from motion: two frames with
parallax (essential matrix, Nister 2004), the others one after the other by what is known of the points already, and all
of them together by bundle adjustment (Triggs et al. 1999; Gauss and Newton, the points eliminated).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

#: Fewest points that a frame is solved by.
LEAST = 15
#: Least angle (radians) between two views of a point whose place counts.
ANGLE = 0.01
ROUNDS = 12
#: The directions of the points and each frame's turn and zoom are solved for by turns, so many times.
ZOOM_ROUNDS = 6
#: New frames after which they are adjusted, the frames around them that take part, and how many of these hold still.
OFTEN, AROUND, HELD = 6, 24, 8
#: Points that err by so many times the usual are no part of the surroundings.
LOOSE = 2.5


@dataclass(frozen=True)
class Views:
    """Observations (N,): of which point, in which frame, and the ray's (N, 2) x, y at z = 1.  pixel : one, in them."""

    point: NDArray[np.int64]
    frame: NDArray[np.int64]
    at: NDArray[np.float64]
    pixel: float
    count: int
    points: int

    def through(self, share: float) -> Views:
        """The same through a lens of this share of the focal length."""
        return replace(self, at=self.at / share, pixel=self.pixel / share)

    def zoomed(self, shares: NDArray) -> Views:
        """The same through a lens of these shares (T,) of the focal length, one a frame."""
        return replace(self, at=self.at / shares[self.frame, None])

    def only(self, frames: NDArray) -> Views:
        """Some frames alone, rising."""
        kept = np.isin(self.frame, frames)
        number = np.searchsorted(frames, self.frame[kept])
        return replace(self, point=self.point[kept], frame=number, at=self.at[kept], count=len(frames))

    @cached_property
    def own(self) -> list[NDArray[np.int64]]:
        """Where the observations of each frame lie."""
        return by_frame(self.frame, self.count)

    @cached_property
    def ends(self) -> NDArray[np.int64]:
        """(points + 1,) where the observations of each point begin, and the last one's end: they are in its order."""
        return _starts(self.point, self.points)


def by_frame(frame: NDArray[np.int64], count: int) -> list[NDArray[np.int64]]:
    """Where each of so many frames stands in frame numbers (N,)."""
    return np.split(np.argsort(frame, kind="stable"), np.cumsum(np.bincount(frame, minlength=count))[:-1])


def turning(views: Views) -> tuple[NDArray[np.float64], float]:
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


def zooming(views: Views) -> tuple[NDArray[np.float64], float]:
    """Shares (T,) of the first frame's focal length by which a camera zooms that stays in its place, and the median
    error in pixels."""
    shares, turns = np.ones(views.count), np.tile(np.eye(3), (views.count, 1, 1))
    known = np.zeros((views.points, 3))
    for again in range(ZOOM_ROUNDS):
        before, sums = known, np.zeros((views.points, 3))
        for frame, some in enumerate(views.own):
            at, point = views.at[some], views.point[some]
            last = frame if again else max(0, frame - 1)
            turns[frame], shares[frame] = turns[last], shares[last]
            wanted = (before if again else sums)[point]
            told = np.linalg.norm(wanted, axis=1) > 0
            if frame and told.sum() >= LEAST:
                start = turns[frame], shares[frame]
                turns[frame], shares[frame] = _turn_and_zoom(at[told], wanted[told], *start, views.pixel)
            rays = np.concatenate([at / shares[frame], np.ones((len(at), 1))], 1)
            np.add.at(sums, point, rays / np.linalg.norm(rays, axis=1, keepdims=True) @ turns[frame].T)
        known = sums
    return shares, turning(views.zoomed(shares))[1]


def _turn_and_zoom(
    at: NDArray, wanted: NDArray, turn: NDArray, share: float, pixel: float
) -> tuple[NDArray[np.float64], float]:
    """The turn (3, 3) and the zoom with which directions (N, 3) are seen at (N, 2)."""
    for _ in range(6):
        local = wanted @ turn
        depth = np.maximum(local[:, 2], 1e-3)
        seen = local[:, :2] / depth[:, None]
        error = share * seen - at
        size = np.linalg.norm(error, axis=1)
        weights = np.repeat(1 / (1 + (size / max(2 * float(np.median(size)), pixel)) ** 2), 2)
        slope = share * np.concatenate([_slopes(local, depth, turn)[0], seen[..., None]], -1).reshape(-1, 4)
        change = -np.linalg.solve(slope.T @ (weights[:, None] * slope), slope.T @ (weights * error.ravel()))
        turn, share = turn @ _rotation(change[:3]), share * float(np.exp(np.clip(change[3], -0.2, 0.2)))
        if np.abs(change).max() < 1e-7:
            break
    return turn, share


class Structure:
    """Structure from motion: `turns` and `places` of cameras in the world, and points in it."""

    def __init__(self, views: Views, step: int, guess: NDArray) -> None:
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
        medians = [float(np.median(error[some])) for some in by_frame(frame, views.count) if len(some)]
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
