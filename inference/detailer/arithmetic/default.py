# SPDX-License-Identifier: GPL-3.0-or-later
"""The arithmetic of Maquette's own; see `Arithmetic`.

Where it differs from the Impact Pack's: the crop, not the picture, is fitted to multiples of 8, so that nothing is
stretched; a crop larger than `max_size` is worked on smaller; soft masks stay soft; no seam is left at the edge of a
crop; seeds follow the place of a segment instead of its number; values are rounded, not cut off.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..blending import GRID, resized_mask
from ..segments import Segment, crop_region, fill_box, find_segments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..loop import Layout

    Mask = NDArray[np.float32]


def split_mask(mask: Mask, size: tuple[int, int], layout: Layout) -> tuple[list[Segment], list[tuple[Segment, str]]]:
    """In reading order; left out is an area of no more than `drop_size` squared, so that a thin stroke stays. The mask
    is resized to the photo first. `contour_fill` fills holes with 1; elsewhere soft values stay."""
    drop_size = layout.drop_size
    mask = resized_mask(mask, *size)
    kept, dropped = [], []
    found = find_segments(mask, crop_factor=layout.crop_factor, contour_fill=layout.contour_fill)
    for segment in sorted(found, key=lambda one: (one.box[1], one.box[0])):
        x0, y0, x1, y1 = segment.crop
        own = mask[y0:y1, x0:x1]
        soft = replace(segment, mask=np.where((own > 0) & (segment.mask > 0), own, segment.mask))
        area = np.count_nonzero(soft.mask)
        if area > drop_size**2:
            kept.append(soft)
        else:
            dropped.append((soft, f"its area of {area} pixels is not more than {drop_size} x {drop_size}"))
    if layout.combined and len(kept) > 1:
        kept = [_merged(kept, size, layout.crop_factor)]
    return [fill_box(segment) for segment in kept] if layout.bbox_fill else kept, dropped


def _merged(parts: list[Segment], size: tuple[int, int], crop_factor: float) -> Segment:
    """One segment of several."""
    ends = np.array([part.box for part in parts])
    (x0, y0), (x1, y1) = ends[:, :2].min(0).tolist(), ends[:, 2:].max(0).tolist()
    whole = np.zeros((size[1], size[0]), np.float32)
    for part in parts:
        left, top, right, bottom = part.crop
        np.maximum(whole[top:bottom, left:right], part.mask, out=whole[top:bottom, left:right])
    crop = crop_region((x0, y0, x1, y1), size, crop_factor)
    return Segment((x0, y0, x1, y1), crop, whole[crop[1] : crop[3], crop[0] : crop[2]])


def fit_crop(segment: Segment, size: tuple[int, int], layout: Layout) -> tuple[Segment, tuple[int, int]]:
    """The crop is widened so that both sides of its work size are multiples of 8.

    The scale brings the shorter side of the box (or crop) up to `guide_size`, and the longer side of the crop to no
    more than `max_size`. A crop that becomes wider than the photo reaches out of it, to where the photo is mirrored.
    """
    x0, y0, x1, y1 = segment.crop
    sides = (x1 - x0, y1 - y0)
    most = max(int(layout.max_size) // GRID, 1) * GRID
    scale = max(layout.guide_size / min(segment.size if layout.guide_by_box else sides), 1.0)
    scale = min(scale, most / max(sides))
    work = [min(max(math.ceil(side * scale / GRID - 1e-6), 1) * GRID, most) for side in sides]
    ends = []
    for low, side, wanted, limit in zip((x0, y0), sides, work, size, strict=True):
        length = max(side, round(wanted / scale))
        start = low - (length - side) // 2
        start = min(max(start, 0), limit - length) if length <= limit else (limit - length) // 2
        ends.append((start, start + length))
    crop = ends[0][0], ends[1][0], ends[0][1], ends[1][1]
    inside = max(crop[0], 0), max(crop[1], 0), min(crop[2], size[0]), min(crop[3], size[1])
    mask = np.zeros((inside[3] - inside[1], inside[2] - inside[0]), np.float32)
    mask[y0 - inside[1] : y1 - inside[1], x0 - inside[0] : x1 - inside[0]] = segment.mask
    # Outside of the photo the mask goes on as it is at its edge, so that the feather sees no end of it there.
    outside = [(inside[axis] - crop[axis], crop[axis + 2] - inside[axis + 2]) for axis in (1, 0)]
    mask = np.pad(mask, outside, mode="edge")
    return replace(segment, crop=crop, mask=mask), (work[0], work[1])


def soften(mask: Mask, amount: int) -> Mask:
    """Blurred by a Gaussian of sigma = amount / 2 that is lowered to 0 just beyond `amount` pixels, so that it
    reaches no further."""
    if amount == 0:
        return mask
    place = np.arange(-amount - 1, amount + 2) / amount
    bell = np.exp(-2 * place**2)
    kernel = ((bell - bell[0]) / (bell - bell[0]).sum())[1:-1]
    blurred = cv2.sepFilter2D(mask, cv2.CV_32F, kernel, kernel, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32)


def grow(segment: Segment, feather: int) -> tuple[Segment, int]:
    """The segment grown by half of the feather, and the other half, over which it fades: so what is under the mask does
    not show through."""
    if feather == 0:
        return segment, 0
    spread = (feather + 1) // 2
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * spread + 1,) * 2)
    return replace(segment, mask=np.asarray(cv2.dilate(segment.mask, disc), np.float32)), feather - spread


def paste_mask(segment: Segment, size: tuple[int, int], feather: int) -> Mask:
    """Falls to 0 at crop edges that lie inside the photo."""
    x0, y0, x1, y1 = segment.crop
    rows, columns = _ramp(y0, y1, size[1], feather), _ramp(x0, x1, size[0], feather)
    return soften(segment.mask, feather) * np.minimum(rows[:, None], columns)


def _ramp(low: int, high: int, limit: int, feather: int) -> Mask:
    place = np.arange(high - low, dtype=np.float32) + 0.5
    reach = max(min(feather, (high - low) // 4), 0.5)
    inner = np.minimum(place if low > 0 else np.inf, place[::-1] if high < limit else np.inf)
    return np.clip(inner / reach, 0, 1).astype(np.float32) * np.ones_like(place)


def resize(pixels: Mask, width: int, height: int) -> Mask:
    """In float32, antialiased where it gets smaller."""
    from PIL import Image

    if pixels.shape[:2] == (height, width):
        return pixels
    channels = [Image.fromarray(np.ascontiguousarray(channel)) for channel in np.moveaxis(pixels, -1, 0)]
    return np.stack([np.asarray(one.resize((width, height), Image.Resampling.LANCZOS)) for one in channels], -1)


def seed_for(seed: int, batch: int, number: int, segment: Segment, cycle: int) -> int:
    """The same for a segment at the same place, whatever other segments there are."""
    x, y = (segment.box[0] + segment.box[2]) // 2, (segment.box[1] + segment.box[3]) // 2
    words = f"{seed} {batch} {x} {y} {cycle}".encode()
    return int.from_bytes(hashlib.blake2b(words, digest_size=8).digest(), "little") % 2**63
