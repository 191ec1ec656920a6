# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands with what ships with the extension: the built-in body's hand fitted to BlazeHand's landmarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..camera import Camera
from ..geometry.previews import preview_size
from ..geometry.rasteriser import rasterise
from ..photo import Photo
from ..results import Hand, HandMaps
from ..runtime.run import Run
from ..shipped import hand as hand_network
from ..shipped.crops import Pyramid
from ..shipped.hand import HandLandmarks
from . import masks, preview
from .assemble import SIDES, assemble, check_boxes
from .find import find
from .fit import HandFit, fit_hands
from .scene import against_scene, camera_of, scene_of

#: What the fits' costs speak for one side against the other: little, since the landmarks in space follow the network's
#: own belief.
COST_WEIGHT = 0.1


def refine(photo: Photo, run: Run, options: Mapping[str, Any]) -> HandMaps:
    """See `inference.refine_hands`. A given box whose hand cannot be fitted is left out; the other hands stay."""
    boxes, scene = options["boxes"], scene_of(photo, options["scene_depth"])
    width, height = photo.size
    preview_size(height, width, options["resolution"])
    camera = camera_of(photo, scene)
    if boxes is None:
        found, sides = find(photo, run.part(0.0, 0.8), options), None
    else:
        sides = check_boxes(boxes, height, width)
        pyramid, part = Pyramid(photo.pixels), run.part(0.0, 0.8)
        found = hand_network.hands_in_boxes(pyramid, [box[:4] for box in boxes], part) if boxes else []
    run.report(0.8, "Fitting hands")
    fits = fitted(found, sides, camera)
    hands = [_drawn(landmarks, fit, camera) for landmarks, fit in zip(found, fits, strict=True) if fit is not None]
    hands = [hand for hand in hands if hand.depth.any()]
    if scene is not None:
        hands = [against_scene(hand, scene) for hand in hands]
    if boxes is None:
        hands.sort(key=lambda hand: -float(hand.joints[9, 2]))
    run.report(0.9, "Drawing hands")
    return _maps(hands, camera, (height, width), options)


def fitted(found: Sequence[HandLandmarks], sides: Sequence[str] | None, camera: Camera) -> list[HandFit | None]:
    """The mesh of each hand, None where none fits.

    Where the side is not given both are tried: a left hand does not bend like a right one.
    """
    if sides is not None:
        return fit_hands(found, sides, camera)
    both = [fit_hands(found, [side] * len(found), camera) for side in SIDES]
    chosen: list[HandFit | None] = []
    for landmarks, *pair in zip(found, *both, strict=True):
        fits = [fit for fit in pair if fit is not None]
        against = [COST_WEIGHT * fit.cost + landmarks.against(fit.side) for fit in fits]
        chosen.append(fits[int(np.argmin(against))] if fits else None)
    return chosen


def _drawn(landmarks: HandLandmarks, fit: HandFit, camera: Camera) -> Hand:
    depth, _ = rasterise(fit.vertices, fit.faces, camera)
    mask = np.zeros(depth.shape, np.float32)
    np.copyto(mask, 1.0, where=depth > 0)
    low = np.clip(landmarks.points.min(0), 0.0, (camera.width, camera.height))
    high = np.clip(landmarks.points.max(0), 0.0, (camera.width, camera.height))
    return Hand(
        side=fit.side,
        score=landmarks.score,
        box=(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
        vertices=fit.vertices,
        faces=fit.faces,
        joints=fit.joints,
        keypoints_2d=landmarks.points,
        depth=depth,
        mask=mask,
    )


def _maps(hands: Sequence[Hand], camera: Camera, shape: tuple[int, int], options: Mapping[str, Any]) -> HandMaps:
    """The photo's maps from its hands, which are in the order in which they are painted."""
    levels = preview.paint([hand.depth for hand in hands], shape)
    extents = [masks.extent_of(hand) for hand in hands]
    return assemble(hands, levels, extents, camera, options)
