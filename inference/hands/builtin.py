# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands with what ships with the extension: the built-in body's hand fitted to BlazeHand's landmarks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..builtin import hand as hand_network
from ..builtin import pose
from ..builtin.crops import Pyramid, clip_box
from ..errors import BadInput
from ..mesh.raster import rasterise
from ..preview import preview_size
from ..results import Hand, HandMaps
from . import masks, preview
from .fit import HandFit, fit_hands

if TYPE_CHECKING:
    from ..builtin.hand import HandLandmarks
    from ..camera import Camera
    from ..photo import Photo
    from ..runtime.run import Run

SIDES = ("left", "right")
#: What speaks for one side against the other: the fits' costs (little: the landmarks in space follow the network's own
#: belief), the network's word, and the body's, which errs where arms cross or people stand close.
COST_WEIGHT, NETWORK_WEIGHT, BODY_WEIGHT = 0.1, 2.0, 7.5


def refine(
    photo: Photo,
    run: Run,
    *,
    mask_bbox_padding: int,
    mask_type: str,
    mask_expand: int,
    resolution: int,
    boxes: Sequence[tuple[float, float, float, float, str]] | None,
) -> HandMaps:
    """See `inference.refine_hands`. A given box whose hand cannot be fitted is left out; the other hands stay."""
    masks.check_parameters(mask_type, mask_bbox_padding, mask_expand, resolution)
    width, height = photo.size
    preview_size(height, width, resolution)
    camera = photo.camera_or_default()
    pyramid = Pyramid(photo.pixels)
    if boxes is None:
        people = pose.find_people(pyramid, run.part(0.0, 0.3), augment=False)
        found = hand_network.find_hands(pyramid, run.part(0.3, 0.8), people)
        sides = None
    else:
        sides = _check_boxes(boxes, height, width)
        found = hand_network.hands_in_boxes(pyramid, [box[:4] for box in boxes], run.part(0.0, 0.8)) if boxes else []
    run.report(0.8, "Fitting hands")
    fits = _fit(found, sides, camera)
    hands = [_drawn(landmarks, fit, camera) for landmarks, fit in zip(found, fits, strict=True) if fit is not None]
    hands = [hand for hand in hands if hand.depth.any()]
    if boxes is None:
        hands.sort(key=lambda hand: -float(hand.joints[9, 2]))
    run.report(0.9, "Drawing hands")
    return _maps(hands, camera, (height, width), mask_type, mask_bbox_padding, mask_expand, resolution)


def _check_boxes(boxes: Sequence[tuple[float, float, float, float, str]], height: int, width: int) -> list[str]:
    """The sides of the given boxes. Raises `BadInput` for what is no box or no side."""
    sides = []
    for box in boxes:
        if isinstance(box, str) or not hasattr(box, "__len__") or len(box) != 5 or box[4] not in SIDES:
            raise BadInput(
                f"The hand box {box!r} cannot be used.",
                'Give (x0, y0, x1, y1, "left" or "right") in pixels of the photo.',
            )
        clip_box(box[:4], height, width, "hand")
        sides.append(box[4])
    return sides


def _fit(found: Sequence[HandLandmarks], sides: Sequence[str] | None, camera: Camera) -> list[HandFit | None]:
    """The mesh of each hand. Where the side is not given both are tried: a left hand does not bend like a right one."""
    if sides is not None:
        return fit_hands(found, sides, camera)
    both = [fit_hands(found, [side] * len(found), camera) for side in SIDES]
    chosen: list[HandFit | None] = []
    for landmarks, *pair in zip(found, *both, strict=True):
        fits = [fit for fit in pair if fit is not None]
        chosen.append(min(fits, key=lambda fit: _against(fit, landmarks)) if fits else None)
    return chosen


def _against(fit: HandFit, landmarks: HandLandmarks) -> float:
    """How much speaks against the side of a fit."""
    likely = np.clip(landmarks.right if fit.side == "right" else 1.0 - landmarks.right, 0.01, 0.99)
    against_body = landmarks.body_side is not None and landmarks.body_side != fit.side
    return float(COST_WEIGHT * fit.cost - NETWORK_WEIGHT * np.log(likely) + BODY_WEIGHT * against_body)


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


def _maps(
    hands: Sequence[Hand],
    camera: Camera,
    shape: tuple[int, int],
    mask_type: str,
    padding: int,
    mask_expand: int,
    resolution: int,
) -> HandMaps:
    """The photo's maps from its hands, which are in the order in which they are painted."""
    depth = np.zeros(shape, np.float32)
    for hand in hands:
        nearer = (hand.depth > 0) & ((depth == 0) | (hand.depth < depth))
        np.copyto(depth, hand.depth, where=nearer)
    picture = preview.resize(preview.paint([hand.depth for hand in hands], shape), resolution)
    extents = [masks.extent(hand.keypoints_2d, hand.depth > 0) for hand in hands]
    mask = masks.expand(masks.hand_mask(mask_type, picture, extents, padding, shape), mask_expand)
    return HandMaps(depth, mask.astype(np.float32), picture, tuple(hands), camera)
