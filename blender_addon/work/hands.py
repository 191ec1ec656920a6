# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands, as a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import inference
from .common import Inferred, Request, parsed_boxes
from .masks import MaskBuild

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ...inference.hands.parts import Part
    from ...inference.photo import Photo
    from ...inference.results import DepthMap, HandMaps
    from ..core.exchange import TracedMask
    from ..core.jobs import Report


@dataclass(frozen=True)
class HandBuild:
    """What to make of hands beside their masks; see the properties of the same name.

    depth : "NONE", "IMAGE", "RELIEF", "GRID" or "MATERIAL".
    cache : how meshes move, "VERTEX_CACHE" or "SHAPE_KEYS".
    """

    depth: str
    control: bool
    ids: bool
    meshes: bool
    cache: str = "VERTEX_CACHE"


@dataclass(frozen=True, kw_only=True)
class HandsRequest(Request):
    """scene_depth : (H, W) metres of the same photo, against which the hands are placed; None without.
    whole_clip : all frames of a clip, from `start_frame` of the scene on, rather than one.
    sequence_folder : takes the numbered pictures of a whole clip; "" where there is none.
    """

    mask_bbox_padding: int
    mask_type: str
    mask_expand: int
    rand_seed: int
    resolution: int
    boxes: str
    detect_thr: float
    presence_thr: float
    exact: bool
    masks: MaskBuild
    build: HandBuild
    scene_depth: NDArray[np.float32] | None = None
    whole_clip: bool = False
    start_frame: int = 1
    sequence_folder: str = ""

    def infer(self, report: Report) -> Inferred:
        if self.whole_clip:
            return self._infer_clip(report)
        photo = self.source.photo()
        result = inference.refine_hands(
            photo, self.model, scene_depth=self._scene(photo), **self._parameters(), **self._where(report)
        )
        report(0.95, "Shaping masks")
        masks, outlines = self.shaped_masks(result)
        maps, images = self._maps(photo, result)
        return Inferred(result, photo, masks=masks, outlines=outlines, maps=maps, **self._written(**images))

    def _infer_clip(self, report: Report) -> Inferred:
        from ...inference import batch
        from ...inference.hands.track import follow_hands
        from .hands_clip import Recorder

        clip, recorder = self.source.clip(), Recorder(self)
        frames = batch.refine_hands(clip, self.model, **self._parameters(), **self._where(report))
        try:
            for maps in follow_hands(frames, fps=clip.fps):
                recorder.add(maps)
            result = recorder.finish(clip.fps)
        except BaseException:
            recorder.discard()
            raise
        return Inferred(result, next(iter(clip)), result.length, scratch=recorder.scratch)

    def shaped_masks(
        self, maps: HandMaps, named: Sequence[Part] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, TracedMask]]:
        """The masks of one photo as they are to be split and shaped, and their outlines. The worker's part."""
        from ...inference.hands.parts import grouped

        if self.masks.output == "NONE" or not maps.hands:
            return {}, {}
        groups = grouped(
            maps,
            self.masks.split,
            named,
            mask_type=self.mask_type,
            mask_bbox_padding=self.mask_bbox_padding,
            mask_expand=self.mask_expand,
            resolution=self.resolution,
        )
        masks = self.masks.shaped({name: group.mask for name, group in groups.items()})
        return masks, self.masks.traced(masks, {name: group.distance for name, group in groups.items()})

    def _parameters(self) -> dict[str, Any]:
        """The keywords of `refine_hands`."""
        return {
            "mask_bbox_padding": self.mask_bbox_padding,
            "mask_type": self.mask_type,
            "mask_expand": self.mask_expand,
            "rand_seed": self.rand_seed,
            "resolution": self.resolution,
            "boxes": parsed_boxes(self.boxes, '[[x0, y0, x1, y1, "left"], ...]'),
            "detect_thr": self.detect_thr,
            "presence_thr": self.presence_thr,
            "exact": self.exact,
        }

    def _scene(self, photo: Photo) -> DepthMap | None:
        from ...inference.results import DepthMap

        depth = self.scene_depth
        if depth is None:
            return None
        valid = np.isfinite(depth) & (depth > 0)
        return DepthMap(depth, valid, None, photo.camera_or_default(), True, np.zeros((1, 1, 3), np.uint8))

    def _maps(self, photo: Photo, maps: HandMaps) -> tuple[dict[str, NDArray], dict[str, NDArray]]:
        """The numbers of the hands, and what becomes float images by the end of their names; nothing without hands."""
        from ...inference.hands import parts

        made: dict[str, NDArray] = {}
        images: dict[str, NDArray] = {}
        if not maps.hands:
            return made, images
        if self.build.ids:
            made["id"] = parts.identity(maps)
            images["hands.id"] = made["id"].astype(np.float32)
        if self.build.depth == "MATERIAL":
            images["hands.height"] = parts.heights(maps)
        elif self.build.depth != "NONE":
            images["hands.depth"] = maps.depth * np.float32(self.metre(photo))
        return made, images
