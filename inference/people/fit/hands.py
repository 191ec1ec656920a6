# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands in bodies: forearms, wrists and fingers as the hand networks see them.

At the wrists of those who were found the hand networks read landmarks, and the hand's mesh is fitted to them. Its wrist
is turned from the same rest pose as the body's: its palm is evidence for the arm (`hanging`), its fingers are
taken over as they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

from ...geometry import rotations as quaternion
from ...geometry.rotations import from_rotation_vector, rotation_matrices, to_rotation_vector
from ...hands.fit import fit_hands
from ...shipped import hand
from ...shipped.body import load_body
from ...shipped.crops import Pyramid, Region
from ...shipped.hand_body import load_hand_body
from . import fingers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...camera import Camera
    from ...results import Body
    from ...runtime.run import Run
    from ...shipped.hand import HandLandmarks
    from ...shipped.pose import PoseLandmarks

SIDES = ("left", "right")
#: The pose network's landmarks of a hand, and the hand network's there: knuckles of little finger, index and thumb.
KNUCKLES = {"left": (17, 19, 21), "right": (18, 20, 22)}
_KNUCKLES = [17, 5, 2]
#: Metres between a wrist and its hand at most; how likely the hand must be of that side by the network, which the wrist
#: overrules; and about one half, where the crops disagree and the hand's back may be its palm.
_REACH, _LIKELY, _UNDECIDED = 0.16, 0.1, 0.1
#: Sides of the windows at the wrists in which the palm detector looks, metres.
_WINDOW = 0.5
#: A hand whose palm is fewer pixels long says nothing of fingers.
_LEAST_PALM = 5.0
#: How far a forearm twists and a wrist bends at most, radians.
_MOST_TWIST, _MOST_BEND = 1.9, 1.45
#: Of a landmark that spreads by this share of the palm over the crops half the confidence is left.
_SPREAD = 0.15
#: How sure relaxed fingers are against the wrist that they hang on.
_RELAXED = 0.3
#: elbow, twisting and wrist joint of the bodies that we know; where none twists, the elbow takes this share of it.
_ARMS = {
    "left": (("lowerarm01.L", "lowerarm02.L", "wrist.L"), ("left_elbow", "", "left_wrist")),
    "right": (("lowerarm01.R", "lowerarm02.R", "wrist.R"), ("right_elbow", "", "right_wrist")),
}
_ELBOW_SHARE = 0.5


@dataclass(frozen=True)
class SeenHand:
    """rotations : (20, 4) of `HandBody.body`: the wrist's from rest to camera axes, others relative to their parents.
    confidence : (20,) 0..1.  points : (3, 2) pixels of the joints in `KNUCKLES`."""

    rotations: NDArray[np.float64]
    confidence: NDArray[np.float64]
    points: NDArray[np.float64]


#: A person's hands by their side; one that was not seen is missing.
BodyHands = Mapping[str, SeenHand]


def read_hands(pyramid: Pyramid, people: Sequence[PoseLandmarks], camera: Camera, run: Run) -> list[BodyHands]:
    """The hands of the people of a photo, in their order."""
    if not people:
        return []
    windows = [window for person in people for window in _windows(person)]
    regions = hand.detect_hands(pyramid, run.part(0.0, 0.2), windows=windows) if windows else []
    regions += [region for person in people for region in hand.wrist_regions(person)]
    return fitted(owned(hand.hands_in_regions(pyramid, regions, run.part(0.2, 0.9)), people), camera)


def follow_hands(
    pixels: NDArray[np.uint8], people: Sequence[PoseLandmarks], before: Sequence[Mapping[str, HandLandmarks]], run: Run
) -> list[dict[str, HandLandmarks]]:
    """The hands of people in a frame of a clip.  before : the same people's in the frame before."""
    if not people:
        return []
    pyramid = Pyramid(pixels)
    wrists = [
        region
        for person, own in zip(people, before, strict=True)
        for region in (hand.wrist_regions(person) if len(own) < len(SIDES) else ())
    ]
    rough = [one.points for one in hand.landmarks(pyramid, wrists, run.part(0.0, 0.5)) if one.score > hand.MIN_SCORE]
    followed = [one.points for own in before for one in own.values()]
    found = hand.landmarks(
        pyramid, [hand.region_from_points(points) for points in (*followed, *rough)], run.part(0.5, 1.0)
    )
    return owned([one for one in found if one.score > hand.MIN_SCORE], people)


def owned(found: Sequence[HandLandmarks], people: Sequence[PoseLandmarks]) -> list[dict[str, HandLandmarks]]:
    """Whose hand is which: each is at one wrist at most, the sum of the distances and doubts being least."""
    hands: list[dict[str, HandLandmarks]] = [{} for _ in people]
    wrists = [(number, side) for number in range(len(people)) for side in SIDES]
    costs = np.array([[_cost(one, people[number], side) for number, side in wrists] for one in found])
    if costs.size:
        for row, column in zip(*linear_sum_assignment(np.minimum(costs, 10)), strict=True):
            number, side = wrists[column]
            if costs[row, column] <= 1:
                hands[number][side] = found[row]
    return hands


def fitted(hands: Sequence[Mapping[str, HandLandmarks]], camera: Camera) -> list[BodyHands]:
    """The mesh fitted to each hand, all at once."""
    keys = [(number, side) for number, own in enumerate(hands) for side in own]
    fits = fit_hands([hands[number][side] for number, side in keys], [side for _, side in keys], camera)
    bodies: list[dict[str, SeenHand]] = [{} for _ in hands]
    for (number, side), fit in zip(keys, fits, strict=True):
        if fit is not None:
            own = hands[number][side]
            at = own.points[_KNUCKLES].astype(np.float64)
            bodies[number][side] = SeenHand(fit.rotations.astype(np.float64), _confidence(own), at)
    return list(bodies)


def _windows(person: PoseLandmarks) -> list[Region]:
    size = _WINDOW * hand.pixels_per_metre(person)
    at = [person.points[wrist].tolist() for wrist in (15, 16) if person.visibility[wrist] > 0.2]
    return [Region(x, y, size) for x, y in at]


def _cost(one: HandLandmarks, person: PoseLandmarks, side: str) -> float:
    """How far (0 best, 1 the most) a hand is from being the one of `side`; infinite where it cannot."""
    wrist, palm = person.points[15 if side == "left" else 16], np.linalg.norm(one.points[9] - one.points[0])
    apart = float(np.linalg.norm(one.points[0] - wrist)) / max(_REACH * hand.pixels_per_metre(person), 1e-6)
    likely = one.right if side == "right" else 1 - one.right
    believed = palm >= _LEAST_PALM and likely > _LIKELY and abs(likely - 0.5) > _UNDECIDED
    return apart if believed else np.inf


def _confidence(one: HandLandmarks) -> NDArray[np.float64]:
    """(20,) of the joints of a `HandBody`: each is shown by the landmark that it moves first."""
    palm = max(float(np.linalg.norm(one.points[9] - one.points[0])), 1.0)
    sure = one.score / (1 + (one.sigma.astype(np.float64) / (_SPREAD * palm)) ** 2)
    fingers = [sure[2 + 4 * finger + bone] for finger in range(5) for bone in range(3)]
    return np.array([*[sure[[0, 5, 9, 17]].mean()] * 5, *fingers])


@cache
def _rest_palm(side: str) -> NDArray[np.float64]:
    """(2, 3) unit directions at rest of `hanging.PALMS`: along the hand, and across it towards the thumb."""
    return fingers.palm_axes(
        load_body(), *(f"{name}.{side[0].upper()}" for name in ("wrist", "finger2-1", "finger5-1"))
    )


def palm_directions(hands: BodyHands) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(4, 3) unit directions, camera axes, and how sure they are (4,): the left hand's two, and the right one's."""
    directions, sure = np.tile([0.0, 0.0, 1.0], (4, 1)), np.zeros(4)
    for row, side in enumerate(SIDES):
        if side in hands:
            turn = rotation_matrices(hands[side].rotations[0])
            directions[2 * row : 2 * row + 2] = _rest_palm(side) @ turn.T
            sure[2 * row : 2 * row + 2] = hands[side].confidence[0]
    return directions, sure


def with_hands(
    body: Body, rotations: NDArray, confidence: NDArray, hands: Sequence[BodyHands]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Rotations (T, J, 4) and confidence (T, J) of people with their hands; those without one keep their own.

    The forearm twists as the palm asks, the wrist bends by the rest; neither further than people can.
    """
    rotations, confidence = np.array(rotations, np.float64), np.array(confidence, np.float32)
    for side in SIDES:
        rows = [row for row, own in enumerate(hands) if side in own]
        arm, joints = _arm(body, side), finger_joints(body, side)
        confidence[:, joints] *= _RELAXED
        if arm is None or not rows:
            continue
        seen = [hands[row][side] for row in rows]
        turns = np.stack([one.rotations for one in seen])
        sure = np.stack([one.confidence for one in seen])
        some, palm = rotations[rows], to_ours(body, side)
        _turn_wrist(body, some, arm, quaternion.multiply(turns[:, 0], palm))
        if joints:
            own = len(joints) == turns.shape[1] - 1
            some[:, joints] = turns[:, 1:] if own else fingers.finger_turns(body, side, palm, turns[:, 1:])
            confidence[np.ix_(rows, joints)] = sure[:, -len(joints) :]
        rotations[rows] = some
        where = np.ix_(rows, [joint for joint in arm[1:] if joint >= 0])
        confidence[where] = np.maximum(confidence[where], sure[:, :1])
    return rotations, confidence


def _turn_wrist(body: Body, rotations: NDArray, arm: tuple[int, int, int], wrist: NDArray) -> None:
    """Set forearm and wrist of rotations (T, J, 4) so that the wrist is turned as `wrist` (T, 4) from rest says."""
    elbow, twisting, end = arm
    above = np.broadcast_to([1.0, 0, 0, 0], (len(rotations), 4))
    joint, path = elbow, []
    while joint >= 0:
        path.append(joint)
        joint = int(body.parents[joint])
    for joint in reversed(path):
        above = quaternion.multiply(above, rotations[:, joint])
    local = quaternion.multiply(quaternion.conjugate(above), wrist)
    bone = (body.joints[end] - body.joints[elbow if twisting < 0 else twisting]).astype(np.float64)
    bone /= np.linalg.norm(bone)
    local = np.where(local[:, :1] < 0, -local, local)
    twist = np.clip(2 * np.arctan2(local[:, 1:] @ bone, local[:, 0]), -_MOST_TWIST, _MOST_TWIST)
    turned = from_rotation_vector(twist[:, None] * bone)
    bend = to_rotation_vector(quaternion.multiply(quaternion.conjugate(turned), local))
    angle = np.linalg.norm(bend, axis=1, keepdims=True)
    bent = from_rotation_vector(bend * np.minimum(1, _MOST_BEND / np.maximum(angle, 1e-6)))
    if twisting >= 0:
        rotations[:, twisting], rotations[:, end] = turned, bent
        return
    half = from_rotation_vector((1 - _ELBOW_SHARE) * twist[:, None] * bone)
    rotations[:, elbow] = quaternion.multiply(
        rotations[:, elbow], from_rotation_vector(_ELBOW_SHARE * twist[:, None] * bone)
    )
    rotations[:, end] = quaternion.multiply(half, bent)


def _arm(body: Body, side: str) -> tuple[int, int, int] | None:
    """Elbow, twisting (-1 where there is none) and wrist joint of a body, None where it has no such names."""
    index = {name: number for number, name in enumerate(body.joint_names)}
    for elbow, twisting, wrist in _ARMS[side]:
        if elbow in index:
            return index[elbow], index.get(twisting, -1), index[wrist]
    return None


def finger_joints(body: Body, side: str) -> list[int]:
    """The joints of a body's hand after the wrist: those of `SeenHand.rotations` of ours, the fingers' of SMPL+H's and
    SMPL-X's; none for a body without."""
    names = load_hand_body(side).body.joint_names[1:]
    own = [body.joint_names.index(name) for name in names] if names[0] in body.joint_names else []
    return own or fingers.finger_joints(body, side)


def hand_joints(body: Body, side: str) -> list[int]:
    """All joints of a body that `with_hands` sets on a side."""
    arm = _arm(body, side)
    return (
        [joint for joint in arm if joint >= 0 and (joint != arm[0] or arm[1] < 0)] + finger_joints(body, side)
        if arm
        else []
    )


def to_ours(body: Body, side: str) -> NDArray[np.float64]:
    """(4,) from a body's hand at rest to ours.

    SMPL's arms at rest point sideways, the palms down, the thumbs forward (-z); where a body has fingers they tell.
    """
    if body.name == load_body().name:
        return np.array([1.0, 0, 0, 0])
    theirs = np.array([[1.0 if side == "left" else -1.0, 0, 0], [0.0, 0, -1]])
    if fingers.finger_joints(body, side):
        theirs = fingers.palm_axes(body, *(f"{side}_{name}" for name in ("wrist", "index1", "pinky1")))
    return fingers.between_palms(theirs, _rest_palm(side))
