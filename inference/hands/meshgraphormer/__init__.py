# SPDX-License-Identifier: GPL-3.0-or-later
"""MeshGraphormer: hands as the reference node draws them, and as meshes in metres before the photo's own camera.

The pictures (preview, mask) are the reference's to the pixel, where it gives any. The depth beside them has the same
outlines; its metres are those of the meshes. Of a photo's hands, one that cannot be drawn does not take the others with
it, and there may be any number of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...camera import Camera
from ...geometry.previews import preview_size
from ...photo import Photo
from ...results import DepthMap, Hand, HandMaps
from ...runtime.run import Run
from .. import masks, preview
from ..assemble import assemble, check_boxes
from ..blazehand import fitted
from ..find import find
from ..scene import against_scene, camera_of, scene_of
from .answers import NetworkOutput, predict, ready
from .crop import Crop
from .lens import DepthWindow, Lens, draw, translation_for

Box = tuple[float, float, float, float, str]


@dataclass(frozen=True)
class _Detection:
    """Where a hand was seen, and how surely."""

    crop: Crop
    score: float


def refine_batch(photos: Sequence[Photo], run: Run, options: Mapping[str, Any]) -> list[HandMaps]:
    """See `inference.refine_hands`; the hands of all photos pass the network together."""
    for photo in photos:
        preview_size(photo.size[1], photo.size[0], options["resolution"])
    boxes, scenes = options["boxes"], [scene_of(photo, options["scene_depth"]) for photo in photos]
    given = None if boxes is None else [_given(photo, boxes) for photo in photos]
    ready(run)
    seen = _find(photos, run.part(0.0, 0.3), options) if given is None else given
    crops = [(photo, one.crop) for photo, hands in zip(photos, seen, strict=True) for one in hands]
    predicted = iter(predict(crops, run.part(0.3 if given is None else 0.0, 0.9), options["exact"]))
    maps = []
    for photo, hands, scene, part in zip(photos, seen, scenes, run.part(0.9, 1.0).parts(len(photos)), strict=True):
        drawn = _draw_all(hands, predicted, camera_of(photo, scene), part)
        maps.append(_maps(photo, drawn, scene, options, sort=given is None))
    return maps


def _given(photo: Photo, boxes: Sequence[Box]) -> list[_Detection]:
    width, height = photo.size
    sides = check_boxes(boxes, height, width)
    return [
        _Detection(Crop.around(_in_reach(box[:4], height, width), side), 1.0)
        for box, side in zip(boxes, sides, strict=True)
    ]


def _in_reach(box: Sequence[float], height: int, width: int) -> tuple[float, float, float, float]:
    """The box, cut where it reaches out of the photo by more than the photo's size: the reference has no more room."""
    x0, y0, x1, y1 = (float(edge) for edge in box)
    return max(x0, -width), max(y0, -height), min(x1, 2 * width), min(y1, 2 * height)


def _find(photos: Sequence[Photo], run: Run, options: Mapping[str, Any]) -> list[list[_Detection]]:
    seen = []
    for photo, part in zip(photos, run.parts(len(photos)), strict=True):
        found = find(photo, part, options)
        # Of which side a hand is, its shape tells better than the landmark network does.
        fits = fitted(found, None, photo.camera_or_default())
        sides = [one.likely_side if fit is None else fit.side for one, fit in zip(found, fits, strict=True)]
        seen.append(
            [
                _Detection(Crop.around(_extremes(one.points), side), one.score)
                for one, side in zip(found, sides, strict=True)
            ]
        )
    return seen


def _extremes(points: NDArray) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = points.min(0).tolist(), points.max(0).tolist()
    return x0, y0, x1, y1


@dataclass(frozen=True)
class _RenderedHand:
    """A hand with what the reference's pictures need of it.  levels : (h, w) uint8 in the window of `drawn`."""

    hand: Hand
    drawn: DepthWindow
    levels: NDArray[np.uint8]
    extent: masks.Extent


def _draw_all(
    seen: Sequence[_Detection], answers: Iterator[NetworkOutput], camera: Camera, run: Run
) -> list[_RenderedHand]:
    """The hands of a photo that can be drawn."""
    made = []
    for number, one in enumerate(seen):
        run.report(number / len(seen), "Drawing hands")
        drawn = _draw(one, next(answers), camera)
        if drawn is not None:
            made.append(drawn)
    return made


def _maps(
    photo: Photo, made: list[_RenderedHand], scene: DepthMap | None, options: Mapping[str, Any], *, sort: bool
) -> HandMaps:
    if scene is not None:
        made = [replace(one, hand=against_scene(one.hand, scene)) for one in made]
    if sort:
        made = sorted(made, key=lambda one: -float(one.hand.joints[9, 2]))
    levels = np.zeros(photo.pixels.shape[:2], np.uint8)
    for one in made:
        one.drawn.paste(one.levels, levels)
    extents = [one.extent for one in made]
    return assemble([one.hand for one in made], levels, extents, camera_of(photo, scene), options)


def _draw(seen: _Detection, answer: NetworkOutput, camera: Camera) -> _RenderedHand | None:
    """The hand placed and drawn; None where nothing of it can be drawn. It may be drawn outside of the photo."""
    crop, shape = seen.crop, (camera.height, camera.width)
    if not answer.is_finite:
        return None
    lens = Lens.of(crop, answer.camera)
    drawn = draw(answer.vertices, answer.faces, lens, crop, shape)
    origin = translation_for(answer.vertices, lens, camera) if drawn.z.any() else None
    if origin is None:
        return None
    depth, mask = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    # Metres in front of the photo's camera: the reference's, from one camera to the other.
    drawn.paste(drawn.z + (lens.translation[2] + origin[2]), depth)
    drawn.paste(np.ones(drawn.z.shape), mask)
    x0, y0, x1, y1 = crop.box
    hand = Hand(
        side=crop.side,
        score=seen.score,
        box=(float(max(x0, 0)), float(max(y0, 0)), float(min(x1, camera.width)), float(min(y1, camera.height))),
        vertices=(answer.vertices + origin).astype(np.float32),
        faces=answer.faces,
        joints=(answer.joints + origin).astype(np.float32),
        keypoints_2d=lens.project(answer.joints).astype(np.float32),
        depth=depth,
        mask=mask,
        landmark_box=crop.box,
    )
    extent = masks.Extent(crop.box, drawn.box)
    return _RenderedHand(hand, drawn, preview.depth_levels(drawn.z), extent)
