# SPDX-License-Identifier: GPL-3.0-or-later
"""How the camera of a clip moves, from points of the background that were followed (`scenery`).

A camera that stands still is told by points that stay; one that moves is solved for by `structure`. The scale is that
of the people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import minimize_scalar
from scipy.spatial.transform import Rotation, Slerp

from ...camera import Camera
from ...geometry import planted
from ...runtime.run import Run
from .ground import Ground
from .structure import LEAST, Structure, Views, by_frame, turning, zooming

#: Points stay where they are within this share of the picture's width: noise of following them.
STILL = 0.0012
#: Median error of a solution, as a share of the width, up to which it is one; of small pictures (pixels), since points
#: in compressed films are followed no better.
GOOD, FOLLOWED = 0.0012, 0.6
#: Frames between those that are adjusted together, at 25 a second.
STEP = 4
#: Focal lengths that are tried where it is a guess, as shares of that, and frames that are looked at for it.
SHARES, LOOKED_AT = np.geomspace(0.5, 4.0, 13), 120
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
TURNS, MOVES, ZOOMS = (f"The camera {what}; it is animated" for what in ("turns", "moves", "zooms"))
#: A picture that shifts as a whole, by this share of its width and more, is no camera's that turns or is carried.
SHIFTED = 0.15
SHIFTS = (
    "The picture shifts as a whole, as if it was reframed or stabilised afterwards, or the lens is very long: distances"
    " and ways are uncertain, so bring the film as it was shot, or give its focal length"
)
#: A zoom leaves less than this share of the error that turns alone leave, and at most so many times what is left by a
#: camera that is carried: nearly all that a zoom does could be the way of one.
ZOOMED, CARRIED = 0.5, 1.3


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
    def eyes(self) -> NDArray[np.float64] | None:
        """(T, 4, 4) first from frame as far as it is known in metres: of a way that is to be scaled the turns alone."""
        if self.poses is None or self.turns or self.world is not None:
            return self.poses
        turned = self.poses.copy()
        turned[:, :3, 3] = 0
        return turned

    @property
    def notes(self) -> tuple[str, ...]:
        """As `results.People` has them."""
        return (self.note,) if self.note else ()


def travel_of(paths: NDArray, cameras: tuple[Camera, ...], fps: float, cuts: tuple[int, ...] = ()) -> Travel:
    """The motion of the camera. paths : see `scenery.joined`."""
    views, note = _views_of(paths, cameras)
    if views is None:
        return Travel(note=note)
    if cuts:
        return Travel(lost=True, note=f"{UNSOLVED}, for it is cut; recover its shots one by one")
    good, step = _good(cameras[0]), max(1, round(STEP * fps / 25))
    travel, _ = _solved(views, good, step)
    if not travel.turns and _zoom(*_fewer(views, step), good, guessed=False) is not None:
        return Travel(lost=True, note=f"{UNSOLVED} (it zooms)")
    if travel.turns and len({camera.fx for camera in cameras}) > 1:
        return replace(travel, note=ZOOMS)
    if travel.poses is not None and _shifts(views, good, cameras[0].width):
        return replace(travel, note=f"{travel.note}. {SHIFTS}")
    return travel


def _shifts(views: Views, good: float, width: int) -> bool:
    """Whether all points go the same way at the same time, wherever they are in the picture and in depth. They lie
    point by point, frame by frame."""
    points, frames = np.arange(views.points), np.arange(views.count)
    next_one = np.flatnonzero((np.diff(views.point) == 0) & (np.diff(views.frame) == 1))
    steps, own = views.at[next_one + 1] - views.at[next_one], views.frame[next_one + 1]
    shifts = np.stack([np.nan_to_num(ndimage.median(steps[:, k], own, frames)).cumsum() for k in (0, 1)], 1)
    left = views.at - shifts[views.frame]
    places = np.stack([ndimage.median(left[:, k], views.point, points) for k in (0, 1)], 1)
    off = np.linalg.norm(left - places[views.point], axis=1)
    error = np.percentile(ndimage.median(off, views.frame, np.unique(views.frame)), 95)
    return bool(error < good * views.pixel and np.ptp(shifts, axis=0).max() > SHIFTED * width * views.pixel)


def through_lens(
    paths: NDArray, cameras: tuple[Camera, ...], fps: float, run: Run, cuts: tuple[int, ...] = ()
) -> tuple[Camera, ...]:
    """The cameras, with the focal lengths that explain how the surroundings move: one for each frame of a camera that
    zooms, and another one where theirs is a guess that does not explain it, or takes a camera that turns for one that
    travels.

    The other arguments are those of `travel_of`.
    """
    everything, _ = _views_of(paths, cameras)
    if everything is None or cuts:
        return cameras
    guessed, good = cameras[0].source == "default", _good(cameras[0])
    views, step = _fewer(everything, max(1, round(STEP * fps / 25)))
    share = _zoom(views, step, good, guessed)
    if share is not None:
        return _through(cameras, share * zooming(everything.through(share))[0])
    if not guessed:
        return cameras
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
    return cameras if left >= good else _through(cameras, np.full(len(cameras), share))


def _fewer(views: Views, step: int) -> tuple[Views, int]:
    """So many frames as a lens is looked for in, and the frames between key frames of them."""
    apart = -(-views.count // LOOKED_AT)
    return views.only(np.arange(0, views.count, apart)), max(1, round(step / apart))


def _through(cameras: tuple[Camera, ...], shares: NDArray) -> tuple[Camera, ...]:
    """The cameras with these shares (T,) of their focal lengths; a lens that was known is one in the first frame."""
    source = cameras[0].source if shares[0] == 1 else "motion"
    pairs = zip(cameras, shares.tolist(), strict=True)
    return tuple(replace(one.with_focal(share * one.fx, share * one.fy), source=source) for one, share in pairs)


def _zoom(views: Views, step: int, good: float, guessed: bool) -> float | None:
    """The share of the focal length with which a zoom explains what is seen, and a way does not much better; None where
    that is not so. guessed : other shares than 1 may do.
    """
    turned = turning(views)[1]
    if turned < good:
        return None
    share, error = 1.0, zooming(views)[1]
    if error > ZOOMED * turned:
        return None
    if guessed:
        bounds = np.log(SHARES[[0, -1]])
        found: Any = minimize_scalar(
            lambda log: zooming(views.through(np.exp(log)))[1],
            bounds=bounds, method="bounded", options={"xatol": 0.02},
        )  # fmt: skip
        if found.fun < ZOOMED * error:
            share, error = float(np.exp(found.x)), float(found.fun)
    if error >= good or error > CARRIED * _solved(views.through(share), good, step)[1]:
        return None
    return share


def _turning_lens(views: Views) -> tuple[float, float]:
    """The share of the focal length with which a camera that only turns explains most, and the error in pixels."""
    errors = [turning(views.through(share))[1] for share in SHARES]
    best = int(np.clip(np.argmin(errors), 1, len(SHARES) - 2))
    found: Any = minimize_scalar(
        lambda share: turning(views.through(np.exp(share)))[1],
        bounds=np.log(SHARES[[best - 1, best + 1]]), method="bounded", options={"xatol": 0.01},
    )  # fmt: skip
    return float(np.exp(found.x)), float(found.fun)


def _good(camera: Camera) -> float:
    """The error in pixels up to which a solution is one."""
    return max(GOOD * max(camera.width, camera.height), FOLLOWED)


def _views_of(paths: NDArray, cameras: tuple[Camera, ...]) -> tuple[Views | None, str]:
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
    middle = np.array([np.median(moved[some]) if len(some) else 0.0 for some in by_frame(frame, count)])
    if np.percentile(middle, 95) < STILL * max(cameras[0].width, cameras[0].height):
        return None, ""
    focal = np.array([[camera.fx, camera.fy] for camera in cameras])
    centre = np.array([[camera.cx, camera.cy] for camera in cameras])
    at = (paths[:, 2:] - centre[frame]) / focal[frame]
    return Views(point, frame, at, 1 / cameras[0].fx, count, len(names)), ""


def _solved(views: Views, good: float, step: int) -> tuple[Travel, float]:
    """The motion that explains the views to `good` pixels, and the error, infinite where there is none.

    step : frames between key frames. Gaps of up to two of them, a flash, are bridged.
    """
    told = np.flatnonzero([len(own) >= LEAST for own in views.own])
    if 2 < len(told) < views.count and np.diff(told, prepend=-1, append=views.count).max() <= 2 * step + 1:
        travel, error = _solved(views.only(told), good, step)
        poses = None if travel.poses is None else _bridged(travel.poses, told, views.count)
        return replace(travel, poses=poses), error
    turns, error = turning(views)
    if error < good:
        return Travel(_matrices(turns, np.zeros((views.count, 3))), True, TURNS), error
    try:
        solved = Structure(views, step, turns).solve()
    except (np.linalg.LinAlgError, cv2.error):  # points that lie so that nothing follows from them
        solved = None
    if solved is None or not solved[2] <= good:
        return Travel(lost=True, note=UNSOLVED), np.inf
    turns, places, error, points = solved
    return Travel(_matrices(turns, places), False, MOVES, points=(points - places[0]) @ turns[0]), error


def _bridged(poses: NDArray, told: NDArray, count: int) -> NDArray[np.float64]:
    """Poses (T, 4, 4) of all frames by those of some of them, which lie between."""
    frames, whole = np.clip(np.arange(count), told[0], told[-1]), np.tile(np.eye(4), (count, 1, 1))
    whole[:, :3, :3] = Slerp(told, Rotation.from_matrix(poses[:, :3, :3]))(frames).as_matrix()
    whole[:, :3, 3] = np.stack([np.interp(frames, told, poses[:, axis, 3]) for axis in range(3)], 1)
    return whole


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
