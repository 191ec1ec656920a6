# SPDX-License-Identifier: GPL-3.0-or-later
"""An arm stretched out before another person: the pose network gives its hand to the one behind.

The hand network tells left hands from right ones. Where a hand of the one side lies at the other side's wrist of
somebody, and a person within reach misses just that hand, it is given to that person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...shipped import hand

if TYPE_CHECKING:
    from ...runtime.run import Run
    from ...shipped.crops import Pyramid
    from ...shipped.hand import HandLandmarks
    from ...shipped.pose import PoseLandmarks

#: Shoulder, elbow, wrist, and the fingers' landmarks with those of the hand that they are.
_ARMS = {
    "left": (11, 13, 15, {17: 17, 19: 5, 21: 2}),
    "right": (12, 14, 16, {18: 17, 20: 5, 22: 2}),
}
#: A wrist is missed below the first and seen above the second certainty, though crops may disagree whose wrist lies
#: there; a shoulder must be seen.
MISSED, SEEN, SHOULDER = 0.5, 0.6, 0.8
#: Metres from shoulder to wrist at most, and from a wrist to the hand that is looked at there.
REACH, NEAR = 0.65, 0.2
#: How sure the hand network must be of a hand, and of its side, both in the mean over several crops.
HAND_SCORE, SIDE = 0.9, 0.7


def give_hands_back(pyramid: Pyramid, people: Sequence[PoseLandmarks], run: Run) -> list[PoseLandmarks]:
    """The people of a photo, with hands given to those whose they are. Costs nothing where nobody could miss one."""
    corrected = list(people)
    for taker, person in enumerate(people):
        for side, other_side in (("left", "right"), ("right", "left")):
            if not _misses(person, side):
                continue
            for holder, other in enumerate(people):
                if holder == taker or not _within_reach(person, side, other, other_side):
                    continue
                found = _hand_at(pyramid, other, other_side, side, run)
                if found is not None:
                    corrected[taker] = _with_hand(corrected[taker], side, found)
                    corrected[holder] = _without_hand(corrected[holder], other_side)
    return corrected


def _seen(person: PoseLandmarks, landmark: int) -> float:
    return float(person.visibility[landmark] * person.presence[landmark])


def _certainty(person: PoseLandmarks, landmark: int) -> float:
    return _seen(person, landmark) * float(person.agreement[landmark])


def _misses(person: PoseLandmarks, side: str) -> bool:
    shoulder, _, wrist, _ = _ARMS[side]
    return _certainty(person, shoulder) > SHOULDER and _certainty(person, wrist) < MISSED


def _within_reach(person: PoseLandmarks, side: str, other: PoseLandmarks, other_side: str) -> bool:
    wrist = _ARMS[other_side][2]
    apart = np.linalg.norm(other.points[wrist] - person.points[_ARMS[side][0]])
    return _seen(other, wrist) > SEEN and bool(apart < REACH * hand.pixels_per_metre(person))


def _hand_at(pyramid: Pyramid, other: PoseLandmarks, at: str, side: str, run: Run) -> HandLandmarks | None:
    """The hand of `side` at the wrist `at` of somebody, or None."""
    wrist = other.points[_ARMS[at][2]]
    near = NEAR * hand.pixels_per_metre(other)
    regions = [r for r in hand.wrist_regions(other) if np.hypot(r.cx - wrist[0], r.cy - wrist[1]) < near]
    found = hand.landmarks(pyramid, regions, run)
    again = hand.landmarks(pyramid, [hand.region_from_points(one.points) for one in found], run, augment=True)
    sure = [
        one
        for one in again
        if one.score > HAND_SCORE
        and (one.right if side == "right" else 1 - one.right) > SIDE
        and np.linalg.norm(one.points[0] - wrist) < near
    ]
    return max(sure, key=lambda one: one.score, default=None)


def _with_hand(person: PoseLandmarks, side: str, found: HandLandmarks) -> PoseLandmarks:
    """The person with this hand: wrist and fingers are certain, the elbow that led elsewhere is not."""
    shoulder, elbow, wrist, fingers = _ARMS[side]
    scale = hand.pixels_per_metre(person)
    points, world = person.points.copy(), person.world.copy()
    visibility, presence, agreement = person.visibility.copy(), person.presence.copy(), person.agreement.copy()
    sigma = person.sigma.copy()
    for landmark, source in {wrist: 0, **fingers}.items():
        points[landmark] = found.points[source]
        world[landmark, :2] = world[shoulder, :2] + (points[landmark] - points[shoulder]) / scale
        world[landmark, 2] = world[shoulder, 2]
        visibility[landmark] = presence[landmark] = agreement[landmark] = 0.97
        sigma[landmark] = 0.02 * scale
    points[elbow] = (points[shoulder] + points[wrist]) / 2
    world[elbow] = (world[shoulder] + world[wrist]) / 2
    visibility[elbow] = min(visibility[elbow], 0.1)
    return replace(
        person,
        points=points,
        world=world,
        visibility=visibility,
        presence=presence,
        agreement=agreement,
        sigma=sigma,
    )


def _without_hand(person: PoseLandmarks, side: str) -> PoseLandmarks:
    """The person whose hand this was not: where it is, nobody saw."""
    _, _, wrist, fingers = _ARMS[side]
    visibility = person.visibility.copy()
    visibility[[wrist, *fingers]] *= 0.2
    return replace(person, visibility=visibility)
