# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands on the worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ... import inference
from ...inference.errors import NothingFound
from ...inference.hands import parts
from .clip_maps import frames_of
from .hands_clip import HandClip, Recorder
from .item import JobResult
from .masks import MaskWork

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ...inference.hands.parts import Part
    from ...inference.photo import Clip
    from ...inference.results import HandMaps
    from ..core.exchange import TracedMask
    from ..core.jobs import Report

#: What is built of the depth before the photo's camera.
_OBJECTS = {"RELIEF", "GRID"}


@dataclass(frozen=True)
class RefinedHands:
    """ids : (H, W) the number of each pixel's hand, where the ID map is asked for."""

    maps: HandMaps
    ids: NDArray | None


@dataclass(frozen=True, kw_only=True)
class HandsWork(MaskWork["RefinedHands | HandClip"]):
    """The hands of a photo, or of all frames of a clip.

    scene_depth : (H, W) metres of the same photo, against which the hands are placed; None without.
    """

    scene_depth: NDArray[np.float32] | None = None

    def of_photo(self, report: Report) -> JobResult[RefinedHands]:
        """Raises NothingFound where there is no hand."""
        photo = self.source.photo()
        options = {"scene_depth": self.scene_depth, **self.options}
        maps = inference.refine_hands(photo, self.model, **options, **self.where(report))
        if not maps.hands:
            raise NothingFound("No hand was found in the photo.", "Choose another photo, or give the hands' boxes.")
        report(0.95, "Shaping masks")
        build = self.build
        masks, outlines = self.masks_of(maps)
        ids = parts.identity(maps) if build.id_map else None
        images = {} if ids is None else {"hands.id": ids.astype(np.float32)}
        if build.depth == "MATERIAL":
            images["hands.height"] = parts.heights(maps)
        elif build.depth != "NONE":
            images["hands.depth"] = maps.depth * np.float32(self.metre(photo))
        stands = build.build_meshes or build.depth in _OBJECTS or self.masks_need_camera
        return JobResult(
            RefinedHands(maps, ids),
            photo,
            camera=maps.camera if stands else None,
            lens=maps.camera,
            masks=masks,
            outlines=outlines,
            **self.written(**images),
        )

    def of_clip(self, report: Report) -> JobResult[HandClip]:
        """Raises NothingFound where no frame shows a hand."""
        from ...inference.hands.track import follow_hands

        clip, recorder = self.source.film(), Recorder(self)
        try:
            for maps in follow_hands(self._maps(clip, report), fps=clip.fps):
                recorder.add(maps)
            hands = recorder.finish()
        except BaseException:
            recorder.discard()
            raise
        if not hands.tracks:
            recorder.discard()
            raise NothingFound("No hand was found in the clip.", "Choose another clip, or give the hands' boxes.")
        return JobResult(
            hands, next(iter(clip)), hands.length, clip.fps, hands.camera, hands.camera, scratch=recorder.scratch
        )

    def masks_of(
        self, maps: HandMaps, named: Sequence[Part] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], dict[str, TracedMask]]:
        """The masks of one photo as they are to be split and shaped, and their outlines."""
        if self.build.masks == "NONE" or not maps.hands:
            return {}, {}
        shape = ("mask_type", "mask_bbox_padding", "mask_expand", "resolution")
        options = {name: self.options[name] for name in shape}
        groups = parts.grouped(maps, self.build.mask_split, named, **options)
        return self.shaped(
            {name: group.mask for name, group in groups.items()},
            {name: group.distance for name, group in groups.items()},
        )

    def _maps(self, clip: Clip, report: Report) -> Iterator[HandMaps]:
        for _, maps in frames_of(self, clip, report):
            if isinstance(maps, NothingFound):
                raise maps
            yield maps
