# SPDX-License-Identifier: GPL-3.0-or-later
"""A walking cycle whose planted feet stand still: built from foot contacts, the legs follow by inverse kinematics.

One cycle of a foot runs over a phase of 0..1 that begins where the heel strikes (the phases are those of clinical gait
analysis: Perry & Burnfield, "Gait Analysis", chapters 1 and 4):

    0.00-0.10  the foot rolls down about its heel           0.10-0.36  it stands flat
    0.36-0.60  it rolls up about its ball                   0.60-1.00  it swings forward

The contact point (heel or ball) is fixed on the ground, so a planted foot does not slide. Lengths are metres in the
body's own axes (see `anatomy`), the walker moves along FORWARD, and the ground is the plane under the bare soles.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .anatomy import FORWARD, LEFT, NECK, SPINE, UP, Figure, arm_turns, finger_turns, outward, trunk_turns, turn
from .poses import leg_length, sole

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLAT, HEEL_OFF, TOE_OFF = 0.10, 0.36, 0.60


def ease(start: float, end: float, phase: NDArray | float) -> NDArray[np.float64]:
    """0 before `start`, 1 after `end`, between them the quintic without speed or acceleration at its ends."""
    t = np.clip((np.asarray(phase, np.float64) - start) / (end - start), 0, 1)
    return t**3 * (10 - 15 * t + 6 * t**2)


@dataclass(frozen=True)
class Gait:
    """How somebody walks: `speed` m/s, `cadence` in cycles (two steps) a second; angles in degrees."""

    speed: float = 1.22
    cadence: float = 0.95
    strike: float = 18.0
    push_off: float = 56.0
    arm_swing: float = 24.0
    lean: float = 3.0
    step_width: float = 0.085

    @property
    def stride(self) -> float:
        """Metres that a foot moves in one cycle."""
        return self.speed / self.cadence


@dataclass(frozen=True)
class Motion:
    """T frames of one person in the body's own axes.

    rotations (T, J, 3, 3) relative to the parents; move (T, 3) metres, added after skinning;
    planted (T, 2, 2) bool: left, right; heel, ball. `ground` is the height (y, down) of the floor.
    """

    rotations: NDArray[np.float64]
    move: NDArray[np.float64]
    planted: NDArray[np.bool_]
    ground: float


class Walker:
    """The walk of one figure."""

    def __init__(self, figure: Figure, gait: Gait) -> None:
        self.figure = figure
        self.gait = gait
        self.soles = {side: sole(figure, side) for side in "LR"}
        self.ground = float(max(point[1] for points in self.soles.values() for point in points))

    def pitch(self, phase: NDArray | float) -> NDArray[np.float64]:
        """Degrees of the foot, toes up."""
        gait = self.gait
        down = gait.strike * (1 - ease(0.0, FLAT, phase))
        up = -gait.push_off * ease(HEEL_OFF, 0.74, phase)
        back = (gait.push_off + gait.strike) * ease(0.66, 0.97, phase)
        return down + up + back

    def _ankle_from(self, contact: int, side: str, pitch: float) -> NDArray[np.float64]:
        """Ankle relative to where the heel (0) or ball (1) of the flat foot stands, after the foot has rolled on it."""
        point = self.soles[side][contact]
        return turn(LEFT, -pitch) @ (self.figure.rest(f"foot.{side}") - point) + point

    def _stance_ankle(self, side: str, phase: float) -> NDArray[np.float64]:
        """Ankle while the foot has contact, in the frame of the flat foot's rest place."""
        return self._ankle_from(0 if phase < 0.5 * (FLAT + HEEL_OFF) else 1, side, float(self.pitch(phase)))

    @cached_property
    def _swing(self) -> dict[str, NDArray[np.float64]]:
        """Per side the six coefficients (6, 3) of the quintic that carries the ankle from toe-off to heel strike."""
        step = 1e-4
        coefficients = {}
        for side in "LR":
            ends = []
            for phase, shift in ((TOE_OFF, 0.0), (0.0, self.gait.stride)):
                places = [self._stance_ankle(side, phase + k * step) + shift * FORWARD for k in (0, 1, 2)]
                if phase == TOE_OFF:
                    places = [self._stance_ankle(side, phase + k * step) for k in (-1, 0, 1)]
                    speed, change = (places[2] - places[0]) / (2 * step), places[2] - 2 * places[1] + places[0]
                    ends += [places[1], speed, change / step**2]
                else:
                    ends += [places[0], (places[1] - places[0]) / step, np.zeros(3)]
            span = 1 - TOE_OFF
            t = np.array([0.0, 1.0])
            powers = np.stack([t**k for k in range(6)], 1)
            slopes = np.stack([k * t ** max(k - 1, 0) for k in range(6)], 1)
            bends = np.stack([k * (k - 1) * t ** max(k - 2, 0) for k in range(6)], 1)
            rows = np.stack([powers[0], slopes[0], bends[0], powers[1], slopes[1], bends[1]])
            wanted = np.stack([e * span**order for e, order in zip(ends, (0, 1, 2, 0, 1, 2), strict=True)])
            coefficients[side] = np.linalg.solve(rows, wanted)
        return coefficients

    def foot(self, side: str, cycles: float) -> tuple[NDArray[np.float64], float]:
        """Ankle (3,) and pitch (degrees) at a time counted in cycles of this foot; planted places lie along FORWARD.

        Cycle n strikes the heel where the rest foot stands, moved by n strides.
        """
        number, phase = np.floor(cycles), float(cycles - np.floor(cycles))
        if phase <= TOE_OFF:
            ankle = self._stance_ankle(side, phase)
        else:
            t = (phase - TOE_OFF) / (1 - TOE_OFF)
            ankle = np.array([t**k for k in range(6)]) @ self._swing[side]
            ankle = ankle + UP * (0.055 * 199 * t**3 * (1 - t) ** 5)  # clearance of the toes
        sideways = self.gait.step_width - abs(self.figure.rest(f"foot.{side}")[0])
        ankle = ankle + number * self.gait.stride * FORWARD + sideways * outward(side)
        return ankle, float(self.pitch(phase))

    def _trunk(self, cycle: float) -> dict[str, NDArray[np.float64]]:
        """Turns of pelvis, spine, neck, arms and hands when the left foot is at phase `cycle`."""
        gait = self.gait
        swing = np.cos(2 * np.pi * cycle)  # 1: left leg in front
        lean = np.sin(2 * np.pi * (cycle - 0.05))  # 1: weight on the left leg
        turns = {"root": turn(UP, -5 * swing) @ turn(FORWARD, 2.5 * lean) @ turn(LEFT, gait.lean)}
        turns |= trunk_turns(SPINE, {"twist": 10 * swing, "side": 3 * lean, "flexion": 1})
        turns |= trunk_turns(NECK, {"twist": -5 * swing, "flexion": -gait.lean})
        for side, sign in (("L", -1.0), ("R", 1.0)):
            flexion = 2 + sign * gait.arm_swing * swing
            elbow = 24 + 0.5 * flexion
            turns |= arm_turns(
                side, {"flexion": flexion, "abduction": 7, "twist": 8}, {"flexion": elbow, "pronation": 15}
            )
            turns |= finger_turns(self.figure, side, 1.0)
        return turns

    @cached_property
    def _hip_height(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Phases (N,) and height (N,) of the root that leaves every leg a little bent: even harmonics up to 6 only.

        The reach of the legs allows a height at every moment; the smooth curve is lowered until it lies below it.
        """
        phases = np.arange(96) / 96
        allowed = np.full(len(phases), np.inf)
        reach = 0.994 * leg_length(self.figure)
        for row, cycle in enumerate(phases):
            root_forward = self._root_forward(cycle)
            rotations = self.figure.local(self._trunk(cycle))
            joints, _ = self.figure.placed(rotations)
            for side, shift in (("L", 0.0), ("R", 0.5)):
                hip = joints[self.figure.index(f"upperleg01.{side}")] + root_forward * FORWARD + self._sway(cycle)
                ankle, _ = self.foot(side, cycle + shift)
                ankle = ankle - shift * self.gait.stride * FORWARD
                if (cycle + shift) % 1 < TOE_OFF + 0.02:
                    across = (ankle - hip) - ((ankle - hip) @ UP) * UP
                    rise = np.sqrt(max(reach**2 - across @ across, 0.0)) + ankle @ UP - hip @ UP
                    allowed[row] = min(allowed[row], rise)
        waves = np.fft.rfft(allowed)
        keep = np.zeros(len(waves))
        keep[[0, 2, 4, 6]] = 1
        smooth = np.fft.irfft(waves * keep, len(allowed))
        return phases, smooth - max(0.0, float((smooth - allowed).max()) - 0.004)

    def _root_forward(self, cycle: float) -> float:
        """Metres that the root is ahead of its rest place; the heel strikes about 0.3 strides in front of it."""
        return (cycle - 0.24) * self.gait.stride

    def _sway(self, cycle: float) -> NDArray[np.float64]:
        return LEFT * (0.018 * np.sin(2 * np.pi * (cycle - 0.06)))

    def frame(self, cycle: float) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        """Rotations (J, 3, 3), move (3,) and contacts (2, 2) when the left foot is at `cycle` (any real number)."""
        figure = self.figure
        rotations = figure.local(self._trunk(cycle))
        phases, heights = self._hip_height
        height = float(np.interp(cycle % 1, phases, heights, period=1.0))
        move = self._root_forward(cycle) * FORWARD + self._sway(cycle) + height * UP
        planted = np.zeros((2, 2), bool)
        for number, (side, shift) in enumerate((("L", 0.0), ("R", 0.5))):
            ankle, pitch = self.foot(side, cycle + shift)
            ankle = ankle - shift * self.gait.stride * FORWARD - move
            figure.reach(rotations, side, ankle, turn(UP, 6 if side == "L" else -6) @ FORWARD)
            figure.set_global(rotations, f"foot.{side}", turn(LEFT, -pitch))
            phase = (cycle + shift) % 1
            planted[number] = phase < HEEL_OFF, FLAT <= phase < TOE_OFF
            # The toes lie on the ground while the ball carries, and straighten in the swing.
            bend = pitch * (1 - float(ease(TOE_OFF - 0.02, 0.78, phase))) if phase > HEEL_OFF else 0.0
            for toe in range(1, 6):
                rotations[figure.index(f"toe{toe}-1.{side}")] = turn(LEFT, max(bend, -45))
        return rotations, move, planted


def walk(figure: Figure, gait: Gait, frames: int, fps: float, start: float = 0.0) -> Motion:
    """`frames` frames of walking; `start` is the left foot's phase in the first one, which is at the rest place."""
    walker = Walker(figure, gait)
    cycles = start + np.arange(frames) * gait.cadence / fps
    made = [walker.frame(float(cycle)) for cycle in cycles]
    first = walker._root_forward(start) * FORWARD
    return Motion(
        np.stack([rotations for rotations, _, _ in made]),
        np.stack([move for _, move, _ in made]) - first,
        np.stack([planted for _, _, planted in made]),
        walker.ground,
    )
