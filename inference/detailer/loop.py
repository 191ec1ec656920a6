# SPDX-License-Identifier: GPL-3.0-or-later
"""The way of every crop: cut out, enlarged, repainted, brought back to its size, and laid over the photo."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ..errors import BadInput, MaquetteError
from ..results import Detailed, DetailedSegment
from ..runtime.memory import is_out_of_memory, release_unused
from .blending import pasted, resized_mask
from .fill.fillings import filled, recoloured
from .hooks import asked
from .job import TOO_SMALL
from .segments import Segment

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .job import Engine, Settings

    Pixels = NDArray[np.float32]

#: Least size of the crop of an engine that takes everything from the surroundings, in sizes of the part.
_SURROUNDINGS = 2.0


@dataclass(frozen=True)
class Layout:
    """How the mask becomes crops; the parameters are those of `detail_mask`. manner : `careful` or `reference`."""

    manner: ModuleType
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


@dataclass(frozen=True)
class Placed:
    """A segment with its final crop, and the size (width, height) at which the model sees it."""

    segment: Segment
    work: tuple[int, int]

    @property
    def scale(self) -> float:
        """Work pixels a photo pixel."""
        return self.work[0] / (self.segment.crop[2] - self.segment.crop[0])


def is_native(engine: Any) -> bool:
    """Whether an engine takes the photo's own pixels and joins what it paints to its surroundings by itself."""
    return bool(getattr(engine, "native", engine == "builtin"))


def segments_for(
    mask: Pixels, size: tuple[int, int], layout: Layout, engine: Any
) -> tuple[list[Segment], list[tuple[Segment, str]]]:
    """The segments to work on, and those left out with the reason."""
    if is_native(engine):
        layout = replace(layout, crop_factor=max(layout.crop_factor, _SURROUNDINGS))
    return layout.manner.segments_of(mask, size, layout)


def placed(segment: Segment, size: tuple[int, int], layout: Layout, hook: Any, engine: Any) -> Placed:
    """size : width and height of the photo."""
    segment, work = layout.manner.fitted(segment, size, layout.guide_size, layout.guide_by_box, layout.max_size)
    crop = segment.crop[2] - segment.crop[0], segment.crop[3] - segment.crop[1]
    if is_native(engine) and work[0] > crop[0]:
        work = crop
    work = asked(hook, "touch_scaled_size", work, *work)
    if not isinstance(work, tuple) or len(work) != 2 or not all(isinstance(side, int) and side >= 8 for side in work):
        raise BadInput(f"The hook's touch_scaled_size answered {work!r}.", "Return (width, height), each at least 8.")
    return Placed(segment, work)


def detail(
    photo: Pixels,
    mask: Pixels,
    engine: Engine,
    layout: Layout,
    settings: Settings,
    *,
    seed: int,
    batch_size: int,
    control: Pixels | None,
) -> Iterator[Detailed]:
    """Work on all segments, batch after batch, and yield what stands after each segment; at least once.

    photo : (H, W, 3) float32.  mask : (h, w) float32 0..1.  control : (H, W, 3) float32 0..1 or None.
    """
    size = photo.shape[1], photo.shape[0]
    kept, dropped = segments_for(mask, size, layout, engine)
    records = [DetailedSegment(one.box, one.crop, skipped=reason) for one, reason in dropped]
    if dropped:
        settings.course.note(f"{len(dropped)} of {len(kept) + len(dropped)} {TOO_SMALL}")
    pictures = [photo] * batch_size
    masked = _masked(kept, size) if is_native(engine) and layout.mask_mode else None

    def so_far() -> Detailed:
        return Detailed(np.stack(pictures), tuple(records), tuple(settings.course.notes))

    yield so_far()
    share = 1 / max(1, len(kept) * batch_size)
    for batch in range(batch_size):
        for number, segment in enumerate(kept):
            done = batch * len(kept) + number
            part = replace(settings, run=settings.run.part(done * share, (done + 1) * share))
            part.run.report(0.0, f"Detailing part {number + 1} of {len(kept)}")
            seeds = [layout.manner.seed_of(seed, batch, number, segment, cycle) for cycle in range(settings.cycles)]
            record, pictures[batch] = _detail_segment(
                pictures[batch], segment, engine, layout, part, seeds, control, masked
            )
            records.append(replace(record, batch=batch))
            yield so_far()


def _masked(segments: Sequence[Segment], size: tuple[int, int]) -> Pixels:
    """(H, W) 1 where any of the segments masks anything, else 0."""
    width, height = size
    masked = np.zeros((height, width), np.float32)
    for segment in segments:
        left, top, right, bottom = segment.crop
        inside = slice(max(0, top), min(height, bottom)), slice(max(0, left), min(width, right))
        part = segment.mask[
            inside[0].start - top : inside[0].stop - top, inside[1].start - left : inside[1].stop - left
        ]
        masked[inside][part > 0] = 1
    return masked


def _detail_segment(
    picture: Pixels,
    segment: Segment,
    engine: Engine,
    layout: Layout,
    settings: Settings,
    seeds: list[int],
    control: Pixels | None,
    masked: Pixels | None,
) -> tuple[DetailedSegment, Pixels]:
    size = picture.shape[1], picture.shape[0]
    manner = layout.manner
    place = placed(segment, size, layout, settings.hook, engine)
    segment, work = place.segment, place.work
    feather = layout.feather
    if is_native(engine):
        segment, feather = manner.grown(segment, feather)
    width, height = segment.crop[2] - segment.crop[0], segment.crop[3] - segment.crop[1]
    # Clipped once more: Lanczos swings over at edges.
    seen = np.clip(manner.resized(np.clip(cut(picture, segment.crop), 0, 1), *work), 0, 1)
    if control is not None:
        settings = replace(settings, control=np.clip(manner.resized(cut(control, segment.crop), *work), 0, 1))
    if masked is not None:
        settings = replace(settings, masked=cut(masked, segment.crop) > 0)
    noise_mask, pixels = None, seen
    if layout.mask_mode:
        soften = 0 if is_native(engine) else layout.noise_mask_feather
        noise_mask = manner.softened(segment.mask, soften)
        settings = replace(settings, differential=layout.noise_mask_feather > 0)
        pixels = filled(seen, resized_mask(noise_mask, *work), layout.fill, seeds[0])
    repainted = _repainted(pixels, noise_mask, engine, settings, seeds)
    if layout.match_colours:
        repainted = recoloured(repainted, seen, resized_mask(segment.mask, *work))
    refined = manner.resized(repainted, width, height)
    strength = manner.strength_of(segment, size, feather)
    result = asked(settings.hook, "post_paste", paste(picture, refined, strength, segment.crop))
    if getattr(result, "shape", None) != picture.shape:
        raise BadInput("The hook's post_paste gave back no picture of the same size.", "Return the picture.")
    alpha = np.dstack([refined, strength])
    return DetailedSegment(segment.box, segment.crop, place.scale, seeds[0], refined, alpha, work=work), result


def _repainted(
    pixels: Pixels, noise_mask: Pixels | None, engine: Engine, settings: Settings, seeds: list[int]
) -> Pixels:
    """The crop after all cycles. Where memory runs out, once more with less of it."""
    try:
        result = _all_cycles(pixels, noise_mask, engine, settings, seeds)
    except Exception as error:
        if settings.course.tiled or not is_out_of_memory(error):
            raise
        settings.course.tiled = True
        settings.course.note("Memory ran out, so pictures went through the model in tiles, which may show faintly.")
        result = None
    if result is None:  # outside of the handler, which would hold the failed attempt's tensors
        release_unused()
        result = _all_cycles(pixels, noise_mask, engine, settings, seeds)
    try:
        result = np.asarray(result, np.float32)
    except (TypeError, ValueError):
        result = np.empty(0, np.float32)
    if result.ndim != 3 or result.shape[2] != 3 or not result.size:
        raise MaquetteError(
            f"The model answered with an array of shape {result.shape} instead of a picture.",
            "Choose another model, or return (height, width, 3).",
        )
    if not np.isfinite(result).all():
        raise MaquetteError(
            "The model answered with values that are not finite.", "Choose float32 precision, or another model."
        )
    return result


def _all_cycles(
    pixels: Pixels, noise_mask: Pixels | None, engine: Engine, settings: Settings, seeds: list[int]
) -> Pixels:
    """An engine that keeps its own state between cycles takes all seeds at once."""
    at_once = getattr(engine, "repaint_cycles", None)
    if at_once is not None:
        return at_once(pixels, noise_mask, seeds=seeds, settings=settings)
    return _in_cycles(pixels, noise_mask, engine, settings, seeds)


def _in_cycles(
    pixels: Pixels, noise_mask: Pixels | None, engine: Engine, settings: Settings, seeds: list[int]
) -> Pixels:
    hook = settings.hook
    result = asked(hook, "post_encode", pixels)
    for cycle, seed in enumerate(seeds):
        asked(hook, "set_steps", None, (cycle, len(seeds)))
        result = asked(hook, "cycle_latent", result)
        part = replace(settings, cycle=cycle)
        part, seed = asked(hook, "pre_ksample", (part, seed), part, seed)
        result = engine.repaint(result, noise_mask, seed=seed, settings=part)
    return asked(hook, "post_decode", asked(hook, "pre_decode", result))


def cut(picture: Pixels, crop: tuple[int, int, int, int]) -> Pixels:
    """A part (h, w, C) of a picture; where it reaches out, the picture is mirrored."""
    x0, y0, x1, y1 = crop
    height, width = picture.shape[:2]
    inside = picture[max(y0, 0) : y1, max(x0, 0) : x1]
    outside = (max(-y0, 0), max(y1 - height, 0), max(-x0, 0), max(x1 - width, 0))
    if not any(outside):
        return inside
    one_pixel = min(inside.shape[:2]) == 1
    border = cv2.BORDER_REPLICATE if one_pixel else cv2.BORDER_REFLECT_101
    return np.asarray(cv2.copyMakeBorder(inside, *outside, border), np.float32)


def paste(picture: Pixels, patch: Pixels, strength: Pixels, crop: tuple[int, int, int, int]) -> Pixels:
    """The picture with the patch laid over its crop; what reaches out of the picture is left away."""
    left, top = max(-crop[0], 0), max(-crop[1], 0)
    return pasted(picture, patch[top:, left:], strength[top:, left:], (max(crop[0], 0), max(crop[1], 0)))
