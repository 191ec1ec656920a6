# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a hole lies across the outline of something before a smooth background: the outline, carried on through it.

Patches alone mend such a hole badly: what is beside it on both sides is like its surroundings somewhere, so that the
one bulges into the other. Here the background is recognised around the hole, and where its outline enters the hole and
leaves it, both ends are joined by a smooth curve (a cubic with their directions).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Pixels = NDArray[np.float32]
    Hole = NDArray[np.bool_]

#: Longest side of the picture that is looked at, and how far from the hole its rim is judged, in its pixels.
_SIDE, _GAP = 256, 2
#: Slopes and differences of colour that a background may have, on the scale 0..1, the slopes a pixel.
_FLAT, _SMOOTH = 0.02, 0.06
#: By how much the colours on both sides of the outline differ at least, over so many pixels.
_STRONG, _BESIDE = 0.2, 9
#: Least share of the rim that is background, and that is not; and of the background that is broad.
_LEAST, _SOLID = 0.06, 0.7
#: More parts of the rim than this are a pattern. By how many radians the ends of a curve may turn away from it where
#: there are several.
_MOST_PARTS, _STRAIGHT = 3, 0.8
#: Of a larger share of the rim than this, one background leaves too little of a thing to know its form by.
_HIDDEN = 0.65
#: How far along the outline its direction is judged, as a share of the distance between the ends; and in pixels.
_ALONG, _LEAST_ALONG = 0.4, 6


def background(picture: Pixels, hole: Hole) -> Pixels | None:
    """(H, W) float32, 1 for the smooth background and 0 for what is before it, also within the hole (H, W) of the
    picture (H, W, 3); None where no outline of that kind runs into it."""
    scale = min(1.0, _SIDE / max(hole.shape))
    size = tuple(max(1, round(side * scale)) for side in hole.shape[::-1])
    known = cv2.resize((~hole).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    colours = cv2.resize(picture * ~hole[..., None], size, interpolation=cv2.INTER_AREA)
    soft = cv2.GaussianBlur(known, (0, 0), 1.0)
    colours = np.asarray(cv2.GaussianBlur(colours, (0, 0), 1.0) / np.maximum(soft, 1e-3)[..., None], np.float32)
    hole = known < 0.999
    rim = _rim(hole)
    if rim is None:
        return None
    outside = _background_outside(colours, hole, rim)
    if outside is None:
        return None
    inside = _carried_on(outside, hole, rim)
    if inside is None:
        return None
    both = np.where(hole, inside, outside).astype(np.float32)
    whole = picture.shape[1], picture.shape[0]
    return np.asarray(cv2.resize(both, whole, interpolation=cv2.INTER_LINEAR), np.float32)


def _rim(hole: Hole) -> NDArray[np.intp] | None:
    """The pixels (N, 2) around a hole in their order, rows and columns; None for several holes, or one at the edge."""
    wide = cv2.dilate(hole.astype(np.uint8), np.ones((2 * _GAP + 1,) * 2, np.uint8))
    contours, _ = cv2.findContours(wide, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    if len(contours) != 1:
        return None
    rim = contours[0][:, 0, ::-1].astype(np.intp)
    at_edge = (rim.min() <= _GAP) | (rim >= np.array(hole.shape) - 1 - _GAP).any()
    return None if at_edge or len(rim) < 24 else rim


def _background_outside(colours: Pixels, hole: Hole, rim: NDArray[np.intp]) -> Hole | None:
    """(H, W) the largest smooth region that a part of the rim lies in, and what is like it elsewhere on the rim."""
    slopes = [np.abs(cv2.Sobel(colours, cv2.CV_32F, *way, scale=0.125)).max(-1) for way in ((1, 0), (0, 1))]
    flat = (np.maximum(*slopes) < _FLAT) & ~hole
    number = cv2.connectedComponents(flat.astype(np.uint8), connectivity=4)[1]
    at_edge = {*number[0], *number[-1], *number[:, 0], *number[:, -1]} - {0}
    here, often = np.unique(number[tuple(rim.T)], return_counts=True)
    regions = [one for one, count in zip(here, often, strict=True) if one in at_edge and count >= _LEAST * len(rim)]
    largest = max(regions, key=lambda one: np.count_nonzero(number == one), default=0)
    if not largest or not _broad(number == largest, hole):
        return None
    background = number == largest
    colour, spread = colours[background].mean(0), colours[background].std(0)
    for one in regions:
        region = number == one
        off = np.abs(colours[region].mean(0) - colour)
        if one != largest and (off < _SMOOTH + 2 * spread).all() and _broad(region, hole):
            background = background | region
    # Up to the outline, where it is not flat.
    share = cv2.GaussianBlur(background.astype(np.float32), (0, 0), 3.0)
    told = cv2.GaussianBlur(colours * background[..., None], (0, 0), 3.0) / np.maximum(share, 1e-4)[..., None]
    background = background | ((np.abs(colours - told).max(-1) < _SMOOTH) & (share > 0.05) & ~hole)
    before, wide = ~background & ~hole, np.ones((_BESIDE, _BESIDE), np.uint8)
    sides = [cv2.dilate(one.astype(np.uint8), wide) > 0 for one in (background, before)]
    if not (sides[0] & before).any():
        return None
    contrast = np.abs(colours[sides[0] & before].mean(0) - colours[sides[1] & background].mean(0)).max()
    return background if contrast > _STRONG else None


def _broad(region: Hole, hole: Hole) -> bool:
    """Whether most of a region is at least half as broad as the hole is deep. The hole counts as part of it: what is
    narrow only because of the hole is not narrow."""
    depth = cv2.distanceTransform(hole.astype(np.uint8), cv2.DIST_L2, 3).max()
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * int(depth / 2) + 1,) * 2)
    solid = cv2.morphologyEx((region | hole).astype(np.uint8), cv2.MORPH_OPEN, kernel)
    return np.count_nonzero(solid[region]) > _SOLID * np.count_nonzero(region)


def _carried_on(outside: Hole, hole: Hole, rim: NDArray[np.intp]) -> Hole | None:
    """(H, W) what of the hole is background: its parts on the rim, each closed by a curve between its ends. None where
    several parts would have curves that bend: what comes in between them need not go on through the hole."""
    width = max(2, len(rim) // 40)
    on = outside[tuple(rim.T)].astype(np.uint8)
    on = cv2.morphologyEx(np.r_[on, on, on][None], cv2.MORPH_CLOSE, np.ones((1, width), np.uint8))
    on = cv2.morphologyEx(on, cv2.MORPH_OPEN, np.ones((1, width), np.uint8))[0, len(rim) : 2 * len(rim)]
    share = on.mean()
    if not _LEAST <= share <= 1 - _LEAST:
        return None
    first = int(np.flatnonzero((on == 0) & (np.roll(on, -1) == 1))[0]) + 1
    rim, on = np.roll(rim, -first, 0), np.roll(on, -first)
    starts = np.flatnonzero((on == 1) & (np.r_[0, on[:-1]] == 0))
    ends = np.flatnonzero((on == 1) & (np.r_[on[1:], 0] == 0))
    before = (~outside & ~hole).astype(np.uint8)
    outline = outside & (cv2.dilate(before, np.ones((3, 3), np.uint8)) > 0)
    if len(starts) > _MOST_PARTS or (len(starts) == 1 and share > _HIDDEN):
        return None
    inside = np.zeros(hole.shape, np.uint8)
    for start, end in zip(starts, ends, strict=True):
        curve, bend = _curve(outline, rim[start], rim[end])
        if len(starts) > 1 and bend > _STRAIGHT:
            return None
        around = np.r_[rim[start : end + 1], curve[::-1]]
        cv2.fillPoly(inside, [np.ascontiguousarray(np.rint(around[:, None, ::-1]), np.int32)], (1.0,))
    return inside > 0


def _curve(outline: Hole, start: NDArray[np.intp], end: NDArray[np.intp]) -> tuple[NDArray[np.float64], float]:
    """(M, 2) from one place of the rim to the other, as the outline runs at both; and by how much its ends turn away
    from the straight line, in radians."""
    length = max(float(np.hypot(*(end - start))), 1e-6)
    reach = max(_ALONG * length, _LEAST_ALONG)
    into, out = _direction(outline, start, end, reach), _direction(outline, end, start, reach)
    straight = (end - start) / length
    bend = float(np.arccos(np.clip([into @ straight, -out @ straight], -1, 1)).sum())
    t = np.linspace(0, 1, max(8, int(2 * length)))[:, None]
    curve = (
        (1 + 2 * t) * (1 - t) ** 2 * start
        + t * (1 - t) ** 2 * length * into
        + t**2 * (3 - 2 * t) * end
        + t**2 * (1 - t) * length * out
    )
    return curve, bend


def _direction(outline: Hole, place: NDArray[np.intp], other: NDArray[np.intp], reach: float) -> NDArray[np.float64]:
    """In which the outline enters the hole at a place of its rim, of length 1; straight to the other end where the
    outline is too short to tell."""
    straight = (other - place) / max(float(np.hypot(*(other - place))), 1e-6)
    first = np.maximum(place - int(reach), 0)
    number = cv2.connectedComponents(
        outline[first[0] : place[0] + int(reach) + 1, first[1] : place[1] + int(reach) + 1].astype(np.uint8)
    )[1]
    at = np.argwhere(number)
    if not len(at):
        return straight
    nearest = at[np.square(at + first - place).sum(1).argmin()]
    near = np.argwhere(number == number[tuple(nearest)]) + first
    away = place - near.mean(0)
    if len(near) < _LEAST_ALONG or np.hypot(*(nearest + first - place)) > _LEAST_ALONG:
        return straight
    axis = np.linalg.svd(near - near.mean(0), full_matrices=False)[2][0]
    axis = axis if axis @ away >= 0 else -axis
    return axis if axis @ straight > -0.5 else straight
