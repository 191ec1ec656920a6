# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands: whether what a hand's own square shows fits the body, and how it becomes part of it.

A left hand is looked at in the mirrored photo, as a right one. Lists here are of the left hand, then the right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...camera import Camera
from ...models.mhr.rig import euler_matrices
from ...models.sam3d_body.backbone import SIDE
from ...models.sam3d_body.network import Estimate, Squares
from ...models.sam3d_body.pose import Head
from .crops import HAND, Square
from .model import Model, Pose

LEFT, RIGHT = 0, 1
#: Joints of the forearms, of what twists at the wrists, and of the wrists.
_FOREARM, _TWIST, _WRIST = (76, 40), (77, 41), (78, 42)
#: Where the wrists' x, z and y stand among the body's values, and the angles that wrists have.
_ANGLES = ([41, 43, 42], [31, 33, 32])
_LOW, _HIGH = torch.tensor([-2.2, -2.2, -1.2]), torch.tensor([1.0, 1.5, 1.5])
#: Keypoints of the wrists and elbows.
WRISTS, ELBOWS = (62, 41), (7, 8)
#: A hand counts when its wrist is turned by less than this (radians) from the body's, its box is larger than this
#: (pixels), and its wrist no farther from the body's than this share of the box.
_TURNED, _SMALLEST, _APART = 1.4, 64.0, 0.25
#: The scale of each hand, and the scales and shapes that both share.
_SCALE, _SHARED_SCALES, _SHARED_SHAPES = (9, 8), slice(18, None), slice(40, None)
_HALF = (slice(0, 54), slice(54, 108))
_MIRROR = torch.tensor([1.0, -1.0, -1.0])


@dataclass(frozen=True)
class HandView:
    """A hand of somebody: its box (4,) in the photo, pixels, and its square in the photo that is looked at, which for
    the left hand is the mirrored one."""

    box: NDArray[np.float32]
    square: Square

    @property
    def side(self) -> float:
        """Pixels of the box."""
        return float(self.box[2] - self.box[0])


@dataclass(frozen=True)
class HandReading:
    """A hand as part of the body. scale (28,), shape (45,).  fingers (54,).  turn (3, 3) of the wrist, body's axes.

    wrist (2,) pixels of the photo.  inside : all of it lies in its square.
    """

    scale: Tensor
    shape: Tensor
    fingers: Tensor
    turn: Tensor
    wrist: Tensor
    inside: bool


def views(boxes: NDArray[np.float32], square: Square, width: int) -> list[HandView]:
    """The hands of a person whose network gives boxes (2, 4) in their square, in a photo of this width."""
    matrix = square.matrix
    found = []
    for hand, (x, y, w, h) in enumerate(boxes.astype(np.float64) * SIDE):
        centre = (np.array([x, y]) - matrix[:, 2]) / matrix[[0, 1], [0, 1]]
        half = max(w, h) / matrix[0, 0] / 2
        box = np.concatenate([centre - half, centre + half]).astype(np.float32)
        own = box.copy()
        if hand == LEFT:
            own[[0, 2]] = width - box[[2, 0]] - 1
        found.append(HandView(box, Square.around(own, HAND)))
    return found


def large_enough(hands: list[HandView]) -> bool:
    """Whether any of the hands can count."""
    return any(one.side > _SMALLEST for one in hands)


def mirrored(camera: Camera) -> Camera:
    """The lens of the mirrored photo."""
    return replace(camera, cx=camera.width - camera.cx)


def hand_reading(estimate: Estimate, turns: Tensor, number: int, hand: int, head: Head, width: int) -> HandReading:
    """One of the hands of an estimate, whose joints are turned so (B, 127, 3, 3)."""
    numbers = estimate.numbers
    scale, wrist = numbers.scale[number].clone(), estimate.pixels[number, WRISTS[RIGHT]].clone()
    turn = turns[number, _WRIST[RIGHT]].float()
    if hand == LEFT:
        mean, comps = head.scale_mean, head.scale_comps
        scale[9] = (mean[8] + comps[8, 8] * scale[8] - mean[9]) / comps[9, 9]
        turn = _MIRROR.to(turn)[:, None] * turn
        wrist[0] = width - wrist[0] - 1
    inside = bool((estimate.seen[number].abs() <= 0.5).all())
    return HandReading(scale, numbers.shape[number], numbers.hands[number, _HALF[RIGHT]], turn, wrist, inside)


def counts(
    estimate: Estimate, turns: Tensor, hands: list[HandReading], seen: list[HandView], head: Head, number: int
) -> tuple[bool, bool]:
    """Which hands fit the body of an estimate, whose joints are turned so (B, 127, 3, 3)."""
    fit = []
    for hand, (own, view) in enumerate(zip(hands, seen, strict=True)):
        turned = _angle(_wrist(estimate.body[number], hand), _local(own, turns[number], head, hand))
        apart = torch.linalg.norm(own.wrist - estimate.pixels[number, WRISTS[hand]]) / view.side
        fit.append(own.inside and view.side > _SMALLEST and turned < _TURNED and bool(apart < _APART))
    return fit[LEFT], fit[RIGHT]


def prompts(
    estimate: Estimate, hands: list[HandReading], fit: tuple[bool, bool], squares: Squares, number: int
) -> Tensor | None:
    """(1, P, 3) wrists as their hands show them, and elbows, of the hands that count; None where there are none."""
    affine = squares.affine[number]
    points = [(WRISTS[hand], hand, hands[hand].wrist) for hand in (RIGHT, LEFT)]
    points += [(ELBOWS[hand], hand, estimate.pixels[number, ELBOWS[hand]]) for hand in (RIGHT, LEFT)]
    known = []
    for label, hand, pixel in points:
        place = (pixel * affine[[0, 1], [0, 1]] + affine[:, 2]) / SIDE
        if fit[hand] and bool(((place >= 0) & (place <= 1)).all()):
            known.append(torch.cat([place, place.new_tensor([float(label)])]))
    return torch.stack(known)[None] if known else None


def joined(
    model: Model, pose: Pose, hands: list[HandReading], fit: tuple[bool, bool]
) -> tuple[Pose, tuple[bool, bool]]:
    """One person's pose (B = 1) with the hands that fit, and which these are."""
    head = model.head()
    trial = _with(pose, hands, [LEFT, RIGHT])
    place = torch.zeros_like(pose.whole)
    parameters = head.mhr(trial.whole, trial.body, trial.scale, trial.hands, place)
    state, _ = model.rig.state(model.rig.joint_parameters(parameters))
    locals_ = [_local(own, state.turns[0], head, hand) for hand, own in enumerate(hands)]
    accepted = [
        hand for hand in (LEFT, RIGHT) if fit[hand] and _angle(_wrist(pose.body[0], hand), locals_[hand]) < _TURNED
    ]
    made = _with(pose, hands, accepted) if accepted else pose
    body = made.body.clone()
    for hand in accepted:
        body[0, _ANGLES[hand]] = _usual(_xzy(locals_[hand]))
    return replace(made, body=body), (LEFT in accepted, RIGHT in accepted)


def _with(pose: Pose, hands: list[HandReading], chosen: list[int]) -> Pose:
    """The pose with the fingers and scales of some hands, and what these say together of scales and shape."""
    scale, shape, fingers = pose.scale.clone(), pose.shape.clone(), pose.hands.clone()
    for hand in chosen:
        fingers[0, _HALF[hand]] = hands[hand].fingers
        scale[0, _SCALE[hand]] = hands[hand].scale[_SCALE[hand]]
    own = [hands[hand] for hand in chosen]
    scale[0, _SHARED_SCALES] = torch.stack([one.scale[_SHARED_SCALES] for one in own]).mean(0)
    shape[0, _SHARED_SHAPES] = torch.stack([one.shape[_SHARED_SHAPES] for one in own]).mean(0)
    return replace(pose, scale=scale, shape=shape, hands=fingers)


def _wrist(body: Tensor, hand: int) -> Tensor:
    """(3, 3) by which the body's values (133,) turn a wrist."""
    x, z, y = body[_ANGLES[hand]]
    none = torch.zeros_like(x)
    steps = (torch.stack(angles) for angles in ((x, none, none), (none, none, z), (none, y, none)))
    first, second, third = (euler_matrices(angles) for angles in steps)
    return first @ second @ third


def _local(hand: HandReading, turns: Tensor, head: Head, which: int) -> Tensor:
    """(3, 3) by which the wrist is turned on its forearm, of joints that are turned so (127, 3, 3)."""
    forearm = turns[_FOREARM[which]].float() @ head.joint_rotation[_TWIST[which]]
    return forearm.T @ hand.turn


def _angle(first: Tensor, second: Tensor) -> float:
    """Radians between two turns (3, 3)."""
    return math.acos(min(max((float(torch.trace(first.T @ second)) - 1) / 2, -1.0), 1.0))


def _xzy(turn: Tensor) -> Tensor:
    """x, z, y of Rx Rz Ry (3, 3)."""
    return torch.stack([
        torch.atan2(turn[2, 1], turn[1, 1]),
        torch.atan2(-turn[0, 1], torch.hypot(turn[1, 1], turn[2, 1])),
        torch.atan2(turn[0, 2], turn[0, 0]),
    ])  # fmt: skip


def _usual(angles: Tensor) -> Tensor:
    """The angles (3,), or the others of the same turn where these are more what wrists can do."""
    x, z, y = angles + math.pi
    other = torch.stack([x, -z, y])
    other = torch.atan2(other.sin(), other.cos())

    def beyond(values: Tensor) -> Tensor:
        low, high = _LOW.to(values), _HIGH.to(values)
        return ((low - values).clamp(min=0) ** 2 + (values - high).clamp(min=0) ** 2).sum()

    return other if beyond(other) < beyond(angles) else angles
