# SPDX-License-Identifier: GPL-3.0-or-later
"""People, as a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ... import inference
from .common import Inferred, Request, parsed_boxes
from .masks import MaskBuild

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...inference.results import People
    from ..core.jobs import Report


@dataclass(frozen=True, kw_only=True)
class PeopleRequest(Request):
    det_confidence_thresh: float
    det_iou_thresh: float
    det_batch_size: int
    hmr_batch_size: int
    refine: bool
    track: bool
    smoothing: float
    plant: float
    detector: str
    boxes: str
    bodies: str
    rig: str
    correctives: str
    start_frame: int
    skeleton_image: str
    masks: MaskBuild

    def infer(self, report: Report) -> Inferred:
        from ...inference.people.clip.ground import world_from_camera

        clip = self.source.clip()
        boxes = parsed_boxes(self.boxes, "[[x0, y0, x1, y1], ...]")
        result = inference.recover_people(
            clip,
            self.model,
            det_confidence_thresh=self.det_confidence_thresh,
            det_iou_thresh=self.det_iou_thresh,
            det_batch_size=self.det_batch_size,
            hmr_batch_size=self.hmr_batch_size,
            refine=self.refine,
            boxes=boxes if boxes is None or self.source.is_clip else [boxes],
            track=self.track,
            smoothing=self.smoothing,
            plant=self.plant,
            detector=self.detector or None,
            **self._where(report),
        )
        world = world_from_camera(result) if result.tracks() else None
        first = result.frames[0] if result.frames else ()
        found = {f"person.{number}.mask": person for number, person in enumerate(first, 1)}
        masks = self.masks.shaped({name: one.mask for name, one in found.items() if one.mask is not None})
        distances = {name: float(np.median(one.vertices[:, 2])) for name, one in found.items()}
        return Inferred(
            result,
            next(iter(clip)),
            len(clip),
            world,
            masks=masks,
            outlines=self.masks.traced(masks, distances),
            maps=self._skeletons(result),
        )

    def _skeletons(self, people: People) -> dict[str, NDArray]:
        """The skeletons of the first frame as OpenPose paints them, (H, W, 3) 0..1, where they are asked for."""
        if self.skeleton_image == "NONE" or not people.frames:
            return {}
        from ...inference.people import skeleton_picture

        return {"skeletons": skeleton_picture(people, layout=self.skeleton_image).astype(np.float32) / 255}
