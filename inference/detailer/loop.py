# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of every crop: cut out, enlarged, repainted, brought back to its size, and pasted into the photo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..errors import BadInput, MaquetteError
from ..results import Detailed, DetailedSegment
from ..runtime.memory import is_out_of_memory, release_unused
from .blending import pasted, resized_mask
from .fill.masked_content import filled, grained, match_colours
from .hooks import call_hook
from .segments import Segment
from .settings import TOO_SMALL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .arithmetic import Arithmetic
    from .engines import Engine
    from .settings import Settings
    from .source import Source

    Pixels = NDArray[np.float32]

#: Smallest crop factor for an engine that copies everything from the surroundings.
_SURROUNDINGS = 2.0


@dataclass(frozen=True)
class Layout:
    """How the mask becomes crops; the other parameters are those of `detail_mask`."""

    arithmetic: Arithmetic
    guide_size: float
    guide_by_box: bool
    max_size: float
    mask_mode: bool
    feather: int
    crop_factor: float
    drop_size: int
    noise_mask_feather: int
    contour_fill: bool
    bbox_fill: bool = False
    combined: bool = False
    fill: str = "original"
    match_colours: bool = False
    grain: float = 0.0


@dataclass(frozen=True)
class FittedSegment:
    """A segment with its final crop, and the size (width, height) at which the model sees the crop."""

    segment: Segment
    work: tuple[int, int]

    @property
    def scale(self) -> float:
        """Work pixels per photo pixel."""
        return self.work[0] / (self.segment.crop[2] - self.segment.crop[0])


@dataclass(frozen=True)
class Job:
    """mask : (h, w) float32 0..1.  control : (H, W, 3) float32 0..1, or None."""

    source: Source
    mask: Pixels
    control: Pixels | None
    layout: Layout
    settings: Settings
    seed: int
    batch_size: int

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the photo."""
        return self.source.pixels.shape[1], self.source.pixels.shape[0]

    def refined_by(self, engine: Engine) -> Job:
        """The job with a second model for its last steps."""
        return replace(self, settings=replace(self.settings, refiner=engine))

    def segments(self, native: bool) -> tuple[list[Segment], list[tuple[Segment, str]]]:
        """The segments to work on, and those left out with the reason. native : see `engines.Engine`."""
        layout = self.layout
        if native:
            layout = replace(layout, crop_factor=max(layout.crop_factor, _SURROUNDINGS))
        return layout.arithmetic.split_mask(self.mask, self.size, layout)

    def fitted(self, segment: Segment, native: bool) -> FittedSegment:
        """native : see `engines.Engine`."""
        segment, work = self.layout.arithmetic.fit_crop(segment, self.size, self.layout)
        crop = segment.crop[2] - segment.crop[0], segment.crop[3] - segment.crop[1]
        if native and work[0] > crop[0]:
            work = crop
        work = call_hook(self.settings.hook, "touch_scaled_size", work, *work)
        if not isinstance(work, tuple) or len(work) != 2 or not all(isinstance(one, int) and one >= 8 for one in work):
            raise BadInput(
                f"The hook's touch_scaled_size returned {work!r}.", "Return (width, height), each at least 8."
            )
        return FittedSegment(segment, work)

    def steps(self, engine: Engine) -> Iterator[Detailed]:
        """Work on all segments, batch after batch, and yield the result so far after each segment; at least once."""
        kept, dropped = self.segments(engine.native)
        records = [DetailedSegment(one.box, one.crop, skipped=reason) for one, reason in dropped]
        state, seed_for = self.settings.state, self.layout.arithmetic.seed_for
        if dropped:
            state.note(f"{len(dropped)} of {len(kept) + len(dropped)} {TOO_SMALL}")
        pictures = [self.source.pixels] * self.batch_size
        masked = _union(kept, self.size) if engine.native and self.layout.mask_mode else None

        def so_far() -> Detailed:
            return self.source.finished(Detailed(np.stack(pictures), tuple(records), tuple(state.notes)))

        yield so_far()
        parts = self.settings.run.parts(len(kept) * self.batch_size)
        for batch in range(self.batch_size):
            for number, segment in enumerate(kept):
                settings = replace(self.settings, run=next(parts))
                settings.run.report(0.0, f"Detailing part {number + 1} of {len(kept)}")
                seeds = [seed_for(self.seed, batch, number, segment, cycle) for cycle in range(settings.cycles)]
                record, pictures[batch] = self._detailed(pictures[batch], segment, engine, settings, seeds, masked)
                records.append(replace(record, batch=batch))
                yield so_far()

    def _detailed(
        self,
        picture: Pixels,
        segment: Segment,
        engine: Engine,
        settings: Settings,
        seeds: list[int],
        masked: NDArray[np.uint8] | None,
    ) -> tuple[DetailedSegment, Pixels]:
        """One segment repainted, and the picture with it. masked : (H, W), 1 where any segment masks anything."""
        layout, arithmetic = self.layout, self.layout.arithmetic
        fit = self.fitted(segment, engine.native)
        segment, work, feather = fit.segment, fit.work, layout.feather
        if engine.native:
            segment, feather = arithmetic.grow(segment, feather)
        x0, y0, x1, y1 = segment.crop
        # Clipped once more, as Lanczos overshoots at edges.
        seen = np.clip(arithmetic.resize(np.clip(cut(picture, segment.crop), 0, 1), *work), 0, 1)
        if self.control is not None:
            control = np.clip(arithmetic.resize(cut(self.control, segment.crop), *work), 0, 1)
            settings = replace(settings, control=control)
        if masked is not None:
            settings = replace(settings, masked=cut(masked, segment.crop) > 0)
        noise_mask, pixels = None, seen
        if layout.mask_mode:
            noise_mask = arithmetic.soften(segment.mask, 0 if engine.native else layout.noise_mask_feather)
            settings = replace(settings, differential=layout.noise_mask_feather > 0)
            pixels = filled(seen, resized_mask(noise_mask, *work), layout.fill, seeds[0])
        repainted = _repainted(pixels, noise_mask, engine, settings, seeds)
        if layout.match_colours:
            repainted = match_colours(repainted, seen, resized_mask(segment.mask, *work))
        refined = arithmetic.resize(repainted, x1 - x0, y1 - y0)
        strength = arithmetic.paste_mask(segment, self.size, feather)
        if layout.grain > 0:
            refined = grained(refined, cut(picture, segment.crop), strength, layout.grain, seeds[0])
        result = call_hook(settings.hook, "post_paste", pasted(picture, refined, strength, (x0, y0)))
        if getattr(result, "shape", None) != picture.shape:
            raise BadInput("The hook's post_paste did not return a picture of the same size.", "Return the picture.")
        alpha = np.dstack([refined, strength])
        return DetailedSegment(segment.box, segment.crop, fit.scale, seeds[0], refined, alpha, work=work), result


def _union(segments: Sequence[Segment], size: tuple[int, int]) -> NDArray[np.uint8]:
    """(H, W) 1 where any of the segments masks anything, else 0."""
    union = np.zeros(size[::-1], np.uint8)
    for segment in segments:
        x0, y0, x1, y1 = segment.crop
        union[y0:y1, x0:x1] |= segment.mask > 0
    return union


def _repainted(
    pixels: Pixels, noise_mask: Pixels | None, engine: Engine, settings: Settings, seeds: list[int]
) -> Pixels:
    """The crop after all cycles. When memory runs out, it is tried once more in tiles."""
    try:
        result = engine.repaint_cycles(pixels, noise_mask, seeds=seeds, settings=settings)
    except Exception as error:
        if settings.state.tiled or not is_out_of_memory(error):
            raise
        settings.state.tiled = True
        settings.state.note("Memory ran out, so the model worked in tiles, which may leave faint seams.")
        result = None
    if result is None:  # outside of the handler, which would hold the failed attempt's tensors
        release_unused()
        result = engine.repaint_cycles(pixels, noise_mask, seeds=seeds, settings=settings)
    try:
        result = np.asarray(result, np.float32)
    except (TypeError, ValueError):
        result = np.empty(0, np.float32)
    if result.ndim != 3 or result.shape[2] != 3 or not result.size:
        raise MaquetteError(
            f"The model returned an array of shape {result.shape} instead of a picture.",
            "Choose another model, or return (height, width, 3).",
        )
    if not np.isfinite(result).all():
        raise MaquetteError(
            "The model returned values that are not finite.", "Choose float32 precision, or another model."
        )
    return result


def cut(picture: NDArray, crop: tuple[int, int, int, int]) -> Pixels:
    """A part (h, w[, C]) of a picture; where it reaches out, the picture is mirrored."""
    x0, y0, x1, y1 = crop
    height, width = picture.shape[:2]
    inside = picture[max(y0, 0) : y1, max(x0, 0) : x1]
    outside = (max(-y0, 0), max(y1 - height, 0), max(-x0, 0), max(x1 - width, 0))
    if not any(outside):
        return inside
    one_pixel = min(inside.shape[:2]) == 1
    border = cv2.BORDER_REPLICATE if one_pixel else cv2.BORDER_REFLECT_101
    return np.asarray(cv2.copyMakeBorder(inside, *outside, border), np.float32)
