# SPDX-License-Identifier: GPL-3.0-or-later
"""What SAM 3D Body reads of people: a pass over each body, passes over the hands, and the body again, told where these
are. People are read each for themselves: who else is in the photo, or in the batch, changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch

from ...models.sam3d_body.network import BODY, HAND, Context, Estimate, Squares, answered
from ...runtime.run import Run
from ..hmr2.answers import batches
from . import hands as hand_parts
from .crops import Square, squares_of
from .hands import LEFT, RIGHT, HandReading, HandView
from .model import Model, Pose, Reading, Sight

Tag = TypeVar("Tag")
#: Shares of the work: bodies, then hands.
_BODIES = 0.35


@dataclass(frozen=True)
class Query(Generic[Tag]):
    """Somebody to be read. tag : whatever tells who it is.  run : the part of the work that this person is.
    stretch : of a clip; people of different ones are read apart."""

    sight: Sight
    tag: Tag
    run: Run
    stretch: int = 0


def read(queries: Iterable[Query[Tag]], model: Model, batch: int, hands: bool) -> Iterator[tuple[Tag, Reading]]:
    """What is read of people, in order, `batch` of them at a time, whichever photos they are from.

    queries : read no further than the next batch needs, so that a long clip streams.
    """
    for some in batches(queries, batch):
        yield from _tagged(some, model, hands)


def _tagged(queries: Sequence[Query[Tag]], model: Model, hands: bool) -> Iterator[tuple[Tag, Reading]]:
    readings = read_batch([one.sight for one in queries], model, queries[-1].run, hands)
    return iter(list(zip((one.tag for one in queries), readings, strict=True)))


@torch.inference_mode()
def read_batch(sights: Sequence[Sight], model: Model, run: Run, hands: bool) -> list[Reading]:
    """What is read of some people together; with `hands` their hands are looked at too."""
    own = [Square.around(one.box) for one in sights]
    squares = squares_of(
        [square.picture(one.pixels) for square, one in zip(own, sights, strict=True)], own,
        [one.camera for one in sights],
        [None if one.mask is None else square.mask(one.mask) for square, one in zip(own, sights, strict=True)],
        model.device,
    )  # fmt: skip
    net, surface = model.net, model.surfaces[BODY]
    features = model.look(squares, run.part(0.0, _BODIES if hands else 0.95), "Reading bodies")
    context = net.context(features, squares, BODY)
    estimate, boxes = net.ask(context, squares, surface)
    pose, count = Pose.of(estimate), len(sights)
    if not hands:
        return model.readings(pose, estimate.camera, estimate.place, [(False, False)] * count, [None] * count)
    seen = [
        hand_parts.views(box, square, one.camera.width)
        for box, square, one in zip(boxes.cpu().numpy(), own, sights, strict=True)
    ]
    looked = [number for number in range(count) if hand_parts.large_enough(seen[number])]
    found = _read_hands(sights, seen, looked, model, run.part(_BODIES, 0.95))
    turns = model.rig.state(model.rig.joint_parameters(estimate.parameters))[0].turns
    readings: list[Reading] = []
    for number in range(count):
        run.report(0.95 + 0.05 * number / count, "Joining hands and bodies")
        one = _Person(squares, context, estimate, number)
        drawn = np.stack([view.square.corners for view in seen[number]])
        drawn[LEFT, [0, 2]] = sights[number].camera.width - drawn[LEFT, [2, 0]] - 1
        fit, prompts = (False, False), None
        if number in found:
            fit = hand_parts.counts(estimate, turns, found[number], seen[number], model.head(), number)
            prompts = hand_parts.prompts(estimate, found[number], fit, squares, number)
        own_pose, camera, place = (
            one.of(pose),
            estimate.camera[number : number + 1],
            estimate.place[number : number + 1],
        )
        if prompts is not None:
            again, _ = net.ask(
                one.context, one.squares, surface, BODY, prompts, answered(estimate)[number : number + 1]
            )
            own_pose, camera, place = Pose.of(again), again.camera, again.place
        if any(fit):
            own_pose, fit = hand_parts.joined(model, own_pose, found[number], fit)
        readings += model.readings(own_pose, camera, place, [fit], [drawn])
    return readings


@dataclass(frozen=True)
class _Person:
    """One of a batch."""

    whole: Squares
    seen: Context
    estimate: Estimate
    number: int

    @property
    def squares(self) -> Squares:
        some = slice(self.number, self.number + 1)
        return Squares(*(None if part is None else part[some] for part in self.whole))  # type: ignore[arg-type]

    @property
    def context(self) -> Context:
        return Context(self.seen.features[self.number : self.number + 1], self.seen.places)

    def of(self, pose: Pose) -> Pose:
        return Pose(*(part[self.number : self.number + 1] for part in vars(pose).values()))


def _read_hands(
    sights: Sequence[Sight], seen: list[list[HandView]], looked: list[int], model: Model, run: Run
) -> dict[int, list[HandReading]]:
    """Both hands of the people with these numbers; all left ones pass together, then all right ones."""
    found: dict[int, list[HandReading]] = {number: [] for number in looked}
    if not looked:
        return found
    net = model.net
    for hand, part, what in ((LEFT, run.part(0.0, 0.5), "left"), (RIGHT, run.part(0.5, 1.0), "right")):
        pictures, cameras, own = [], [], [seen[number][hand].square for number in looked]
        for number, square in zip(looked, own, strict=True):
            sight = sights[number]
            flipped = hand == LEFT
            pictures.append(square.picture(sight.pixels[:, ::-1] if flipped else sight.pixels))
            cameras.append(hand_parts.mirrored(sight.camera) if flipped else sight.camera)
        squares = squares_of(pictures, own, cameras, [None] * len(own), model.device)
        features = model.look(squares, part, f"Reading {what} hands")
        estimate, _ = net.ask(net.context(features, squares, HAND), squares, model.surfaces[HAND], HAND)
        turns = model.rig.state(model.rig.joint_parameters(estimate.parameters))[0].turns
        for place, number in enumerate(looked):
            width = sights[number].camera.width
            found[number].append(hand_parts.hand_reading(estimate, turns, place, hand, model.head(HAND), width))
    return found
