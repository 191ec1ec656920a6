# SPDX-License-Identifier: GPL-3.0-or-later
"""One thing cut out of a photo or clip, on the worker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ... import inference
from ...inference.errors import NothingFound
from .item import JobResult
from .masks import MaskWork

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ...inference.camera import Camera
    from ..core.jobs import Report

#: Metres before the camera at which an outline is drawn.
_OUTLINE = 2.0


@dataclass(frozen=True)
class Cut:
    """mask : (H, W) float32 0..1 of the photo or first frame.  files : of a clip, a mask for each frame.
    camera : the photo's.  colours : (H, W, 3) uint8 sRGB, the photo with the thing's own colours at soft edges, for a
    card; None elsewhere.  notes : what the artist is to know, a sentence each."""

    mask: NDArray[np.float32]
    camera: Camera
    files: tuple[Path, ...] = ()
    found: int = 1
    colours: NDArray[np.uint8] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SegmentWork(MaskWork[Cut]):
    """The thing that clicks, a box or a rough mask stand for."""

    def of_photo(self, report: Report) -> JobResult[Cut]:
        from ...inference.segment.edges import foreground

        photo = self.source.photo()
        found = inference.cut_out(photo, self.model, **self.options, **self.where(report))
        masks, outlines = self.shaped({"mask": found.mask}, {"mask": _OUTLINE})
        stands = self.build.card or self.masks_need_camera
        mask = masks.get("mask", found.mask)
        colours = foreground(photo.pixels, mask) if self.build.card else None
        return JobResult(
            Cut(mask, found.camera, colours=colours, notes=found.notes),
            photo,
            camera=found.camera if stands else None,
            masks=masks,
            outlines=outlines,
            model=found.model,
        )

    def of_clip(self, report: Report) -> JobResult[Cut]:
        """Masks of all frames, those in which the thing is out of sight empty."""
        from ...inference.photo.colour import quantised
        from ...inference.photo.encode import png
        from ...inference.segment.track import follow
        from .scratch import Scratch

        clip, scratch = self.source.film(), Scratch(self.directory)
        files: list[Path] = []
        first, seen, photo, model = None, 0, None, ""
        told: dict[str, int] = {}

        def progress(fraction: float, message: str) -> None:
            report(min((len(files) + fraction) / len(clip), 1.0), f"Frame {len(files) + 1} of {len(clip)}: {message}")

        try:
            for frame, found in follow(clip, self.model, **self.options, **self.where(progress)):
                photo = photo or frame
                mask = np.zeros(frame.size[::-1], np.float32)
                if not isinstance(found, NothingFound):
                    first, seen, mask, model = first or found, seen + 1, found.mask, found.model
                    told |= {note: told.get(note, 0) + 1 for note in found.notes}
                shaped, _ = self.shaped({"mask": mask}, {"mask": _OUTLINE})
                files.append(scratch.write(f"mask.{len(files):06d}.png", png(quantised(shaped.get("mask", mask)))))
        except BaseException:
            scratch.discard()
            raise
        assert photo is not None
        if first is None:
            scratch.discard()
            raise NothingFound("Nothing stands out as the main thing in any frame.", "Click on it in the first frame.")
        notes = tuple(f"In {count} of {len(files)} frames: {note}" for note, count in told.items())
        result = Cut(first.mask, first.camera, tuple(files), seen, notes=notes)
        camera = first.camera if self.build.card else None
        return JobResult(result, photo, len(files), clip.fps, camera=camera, scratch=scratch, model=model)
