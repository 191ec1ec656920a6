# SPDX-License-Identifier: GPL-3.0-or-later
"""The most likely motion: all frames of one person fitted together, coupled in time.

What a frame tells about a pose is very uneven: a limb's place in the picture is sure, its depth nearly free. Smoothing
poses alike in all directions would blur the former and believe the latter. So the frames' own least-squares problems
are solved as one, with jerk (the third difference of every joint's rotation and of the path) as one more residual: each
direction is smoothed as much as its evidence is weak. Gauss-Newton with Levenberg's damping; the matrix is
block-banded, as in the smoother of Rauch, Tung and Striebel (1965), to which one step is equivalent.

How much jerk is to be expected of somebody is told by the motion itself (MacKay 1992, "Bayesian interpolation"): who
kicks is smoothed less than who stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, solveh_banded
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from ...geometry.rotations_torch import exponential, logarithm
from ...runtime.run import Run
from ..fit.observe import Observations
from ..fit.skeleton import GROUPS, load_skeleton, shape_of
from ..fit.solve import TURNS, Problem, State
from .smooth import ORDER, difference_bands

#: Standard deviation of the third difference from frame to frame at 25 fps: radians by group, metres for the path.
_JERK = {
    "root": 0.01,
    "waist": 0.006,
    "chest": 0.006,
    "neck": 0.01,
    "head": 0.0125,
    "clavicle": 0.005,
    "shoulder": 0.02,
    "elbow": 0.025,
    "forearm": 0.025,
    "wrist": 0.025,
    "hip": 0.015,
    "knee": 0.0225,
    "ankle": 0.0225,
}
_PATH_JERK = 0.003
#: Parameters of a frame: the groups' rotations and the translation. Build and scale are the whole track's.
SIZE = TURNS + 3
PATH = slice(TURNS, SIZE)
STEPS = 15
#: Where the robust function of the picture lets go, in standard deviations: those are of a mean over six crops, and who
#: is followed is read in two. Of limbs' landmarks that are well seen in one a quarter are off by more than 3 of them,
#: one of thirteen by more than 6. With less a quick limb, once the smooth motion lags behind it, is taken for one that
#: is read elsewhere.
CUT = 6.0
#: The jerk to be expected is estimated so many times, from so many seconds around each moment; at least and at most so
#: many times `_JERK`.
ROUNDS, MEANWHILE, CALMEST, LIVELIEST = 2, 1.0, 0.5, 4.0
#: Jerk is mostly small and now and then large, as in a blow or a step that lands: beyond this many standard deviations
#: its cost grows with the logarithm only (a Student's t of one degree of freedom). Real jerk has such a tail from 2 on,
#: but from below 4 a limb that is read elsewhere, or turned over in depth, for some frames may go there and back.
SUDDEN = 5.0
#: Standard deviation of the second difference across gaps, in those of the third.
RESTRAINT = 0.5
#: Frames linearised at once, and frames solved for at once: they bound the memory.
BATCH, WINDOW = 256, 1000
#: Seconds before and after a window that are solved for with it: what is beyond them tells nothing of it any more.
AROUND = 4.0


def fit_motion(
    observed: Observations, state: State, frames: Sequence[int] | NDArray, fps: float, run: Run, calm: float = 1.0,
    eyes: NDArray | None = None,
) -> State:  # fmt: skip
    """The motion of one person that its observations and smoothness make most likely.

    observed : B observations, in the frames (B,), rising.
    state : T poses to start from, one for every frame from the first to the last; attributes and scales stay.
    calm : above 1 smoother, below 1 nearer to each frame's own fit; the jerk's variance is divided by it.
    eyes : (T, 4, 4) one world from the camera axes of each of the T frames, for a camera that moves: it is there that
        people move smoothly.
    Returns T poses; frames without an observation are bridged by the smoothest motion.
    """
    rows = torch.as_tensor(np.asarray(frames) - frames[0])
    if len(state.rotations) <= ORDER:
        return state
    around, pace = round(AROUND * fps), np.ones((len(state.rotations) - ORDER, 1))
    poses = None if eyes is None else torch.from_numpy(np.ascontiguousarray(eyes, np.float64))
    state = state if poses is None else _carried(state, poses)
    for number, part in enumerate(run.parts(ROUNDS + 1)):
        spread = _spread(fps, calm if number == ROUNDS else 1.0)
        state, now = _settled(observed, state, rows, spread, pace, around, part, poses)
        if number < ROUNDS:
            pace = np.clip(pace * now.too_calm(around, MEANWHILE * fps), CALMEST, LIVELIEST)
    return state if poses is None else _carried(state, torch.linalg.inv(poses))


def _carried(state: State, poses: Tensor) -> State:
    """Poses carried by rigid transforms (T, 4, 4), about which the root turns and goes."""
    skeleton, turn = load_skeleton(), poses[:, :3, :3]
    rest = skeleton.rest[0] + shape_of(state.attributes)[0] @ skeleton.rest_blend[:, 0]
    rotations = torch.cat([turn[:, None] @ state.rotations[:, :1], state.rotations[:, 1:]], 1)
    places = (turn @ (state.translation + rest)[..., None])[..., 0] + poses[:, :3, 3] - rest
    return replace(state, rotations=rotations, translation=places)


def _settled(
    observed: Observations, state: State, rows: Tensor, spread: NDArray, pace: NDArray, around: int, run: Run,
    poses: Tensor | None = None,
) -> tuple[State, _Linear]:  # fmt: skip
    """The most likely motion, from one to start from, and its problem there."""
    damping, now = 1e-3, _Linear(observed, state, rows, spread, pace, poses)
    for step in range(STEPS):
        run.report(step / STEPS, "Fitting the motion")
        try:
            change = -now.solve(now.gradient, damping, around)
        except LinAlgError:  # rounding made the matrix indefinite: more damping mends it
            damping *= 100
            continue
        tried_state = _moved(state, change.clip(-0.5, 0.5))
        tried = _Linear(observed, tried_state, rows, spread, pace, poses)
        if tried.cost < now.cost:
            gain = (now.cost - tried.cost) / now.cost
            state, now, damping = tried_state, tried, damping * 0.2
            if gain < 1e-3:
                break
        else:
            damping *= 10
    return state, now


def _spread(fps: float, calm: float) -> NDArray[np.float64]:
    """Standard deviations (SIZE,) of third differences; white jerk's grows with the frame time to the power 2.5."""
    spread = [_JERK[group.partition(".")[0]] for group in GROUPS for _ in range(3)] + 3 * [_PATH_JERK]
    return np.array(spread) * (25 / fps) ** 2.5 / np.sqrt(calm)


def bridge(state: State, frames: Sequence[int] | NDArray, first: int, last: int) -> State:
    """Poses for all frames from `first` to `last`: those of the given frames (rising), and between them the shortest
    way; before the first and after the last given frame theirs."""
    rows, places = torch.as_tensor(np.asarray(frames)), torch.arange(first, last + 1)
    after = torch.searchsorted(rows, places).clamp(max=len(rows) - 1)
    before = torch.where(rows[after] <= places, after, after - 1).clamp(min=0)
    gap = (rows[after] - rows[before]).clamp(min=1)
    amount = ((places - rows[before]) / gap).to(state.rotations.dtype).clamp(0, 1)
    start, end = state.take(before), state.take(after)
    step = logarithm(start.rotations.transpose(-1, -2) @ end.rotations)
    return State(
        start.rotations @ exponential(step * amount[:, None, None]),
        start.translation + amount[:, None] * (end.translation - start.translation),
        start.attributes,
        start.log_scale,
    )


def _moved(state: State, step: NDArray) -> State:
    """step : (T, SIZE)."""
    delta = torch.from_numpy(step)
    still = delta.new_zeros(len(delta), state.attributes.shape[1] + 1)
    return state.moved(torch.cat([delta, still], 1))


def _acceleration(state: State) -> NDArray[np.float64]:
    """Second differences (T - 2, SIZE) of the rotations (of those from frame to frame) and of the path."""
    turning = logarithm(state.rotations[:-1].transpose(-1, -2) @ state.rotations[1:]).flatten(1)
    speed = torch.cat([turning, state.translation[1:] - state.translation[:-1]], 1)
    return torch.diff(speed, dim=0).numpy()


def _spread_out(pulls: NDArray) -> NDArray[np.float64]:
    """Pulls (T - 3, SIZE) on third differences, as pulls (T, SIZE) on what they are differences of."""
    return -np.diff(np.pad(pulls, ((ORDER, ORDER), (0, 0))), ORDER, axis=0)


class _Linear:
    """Cost, gradient and matrix of the whole motion at one state.

    spread : (SIZE,) standard deviations of third differences, to be multiplied by pace : (T - 3, 1).
    poses : (T, 4, 4) the state's world from each frame's camera, where that moves.
    """

    def __init__(
        self, observed: Observations, state: State, rows: Tensor, spread: NDArray, pace: NDArray | float = 1.0,
        poses: Tensor | None = None,
    ) -> None:  # fmt: skip
        length = len(state.rotations)
        self.gradient, self.blocks = np.zeros((length, SIZE)), np.zeros((length, SIZE, SIZE))
        self.cost = 0.0
        for start in range(0, len(rows), BATCH):
            some = torch.arange(start, min(start + BATCH, len(rows)))
            own, here = state.take(rows[some]), None if poses is None else poses[rows[some]]
            own = own if here is None else _carried(own, torch.linalg.inv(here))
            cost, gradient, matrix = Problem(observed.take(some), CUT)(own, build=False)
            self.cost += float(cost.sum())
            if here is not None:  # the root turns in its own axes, but goes along the world's
                turn = here[:, :3, :3]
                gradient[:, PATH] = (turn @ gradient[:, PATH, None])[..., 0]
                matrix[:, PATH] = turn @ matrix[:, PATH]
                matrix[:, :, PATH] = matrix[:, :, PATH] @ turn.transpose(1, 2)
            self.gradient[rows[some].numpy()] = gradient[:, :SIZE].numpy()
            self.blocks[rows[some].numpy()] = matrix[:, :SIZE, :SIZE].numpy()
        acceleration = _acceleration(state)
        self.jerk = np.diff(acceleration, axis=0)
        squares = ((self.jerk / (pace * spread)).reshape(length - ORDER, -1, 3) ** 2).sum(axis=2)
        self.cost += float((SUDDEN**2 * np.log1p(squares / SUDDEN**2)).sum())
        self.stiffness = np.repeat(1 / (1 + squares / SUDDEN**2), 3, axis=1) / (pace * spread) ** 2
        self.gradient += _spread_out(self.stiffness * self.jerk)
        # Across a gap the smoothest curve would swing out as far as its ends' noise points: it is held back there.
        blind = np.isin(np.arange(length), rows.numpy(), invert=True)
        near = blind[2:] | blind[1:-1] | blind[:-2]
        self.blind = near[1:] | near[:-1]
        self.restraint = near[:, None] / (RESTRAINT * spread) ** 2
        self.cost += float((self.restraint * acceleration**2).sum())
        for lag, coefficient in enumerate((1.0, -2.0, 1.0)):
            self.gradient[lag : lag + length - 2] += coefficient * self.restraint * acceleration

    def too_calm(self, around: int, near: float) -> NDArray[np.float64]:
        """How many times (T - 3, 1) as much jerk as was expected makes what is seen most likely, from `near` frames
        around each moment: the squares of the jerk in standard deviations over the number of its components that the
        picture tells. The number is what the evidence takes from their variance, estimated by one random probe
        (Hutchinson 1990)."""
        root = np.sqrt(self.stiffness)
        probe = np.random.default_rng(0).choice([-1.0, 1.0], root.shape)
        left = probe * root * np.diff(self.solve(_spread_out(root * probe), 1e-4, around), ORDER, axis=0)
        sums = np.stack([(self.stiffness * self.jerk**2).sum(axis=1), (1 - left).sum(axis=1)])
        squares, told = gaussian_filter1d(np.where(self.blind, 0.0, sums), near, mode="nearest")
        return np.sqrt((squares + 1e-3) / (told.clip(0) + 1e-3))[:, None]

    def solve(self, right: NDArray, damping: float, around: int) -> NDArray[np.float64]:
        """The damped matrix's solution (T, SIZE) for a right side.

        Of a long motion it is solved for a window at a time, with `around` more frames on both sides of it. The
        influence of frames falls by e every few of them: the steps are those of the whole to the last digits.
        """
        length = len(self.blocks)
        coupling = np.empty((ORDER + 1, length, SIZE))
        for number in range(0, SIZE, 3):
            bands = difference_bands(length, ORDER, self.stiffness[:, number])
            bands[1:] += difference_bands(length, 2, self.restraint[:, number])
            coupling[:, :, number : number + 3] = bands[::-1, :, None]
        own, solution = np.arange(SIZE), np.empty_like(right)
        for start in range(0, length, WINDOW):
            low, stop = max(0, start - around), min(length, start + WINDOW)
            some = slice(low, min(length, stop + around))
            blocks = self.blocks[some].copy()
            blocks[:, own, own] += coupling[0, some]
            blocks[:, own, own] += damping * blocks[:, own, own] + 1e-6
            solved = solve_coupled(blocks, coupling[1:, some], right[some])
            solution[start:stop] = solved[start - low : stop - low]
        return solution


def solve_coupled(blocks: NDArray, coupling: NDArray, right: NDArray) -> NDArray[np.float64]:
    """Solve a symmetric positive definite system over T frames of S parameters, each coupled to the next few frames'
    same parameter.

    blocks : (T, S, S).  coupling : (ORDER, T, S), [lag - 1, t] couples frame t - lag to t.  right : (T, S).
    Raises `LinAlgError` where it is not positive definite.
    """
    length, size = right.shape
    bands = np.zeros((length, size, ORDER * size + 1))  # as LAPACK wants it, so that it is not copied
    for column in range(size):
        bands[:, column, : size - column] = blocks[:, column:, column]
    for lag in range(1, ORDER + 1):
        bands[:-lag, :, lag * size] += coupling[lag - 1, lag:]
    solved = solveh_banded(bands.reshape(length * size, -1).T, right.ravel(), overwrite_ab=True, lower=True)
    return solved.reshape(length, size)
