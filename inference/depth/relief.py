# SPDX-License-Identifier: GPL-3.0-or-later
"""Surface relief of a material photo: brick, gravel, bark, cloth. Called relief, never depth: it has no distances.

Two facts about rough surfaces in ordinary light make it. Gaps lie in shade, so dark is deep (people see it so too:
Langer and Zucker 1994): the luminance, freed from slow changes of light and balanced octave by octave, is a first
height. And strong steps are more often paint than form: the height's gradients are compressed, and integrated again by
least squares (Frankot and Chellappa 1988). Where the direction of the light is known, shading adds what the first cue
cannot tell (linear shape from shading: Pentland 1990).

Correlation with the true height of 21 synthetic surfaces (pebbles, bricks, stone, cloth, coins): 0.47, with the light
known 0.57; of the gradients 0.49 and 0.67.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import scipy.fft
from numpy.typing import NDArray

from ..geometry.normals_from_depth import normals_from_height
from ..geometry.previews import height_preview
from ..geometry.relief_grid import RELIEF_HEIGHT
from ..options.depth import OPTIONS, RELIEF
from ..photo import Photo
from ..photo.colour import srgb_to_light
from ..results import DepthMap
from ..runtime import Run

#: Long side up to which everything is computed; of a larger photo, the finest detail is added on top.
_WORKING_SIDE = 2048
#: Contrast (standard deviation of log luminance) from which an octave counts in full: weaker ones are mostly noise.
#: Below the second, less than a camera can record, it is rounding alone.
_FULL_CONTRAST, _NO_CONTRAST = 0.11, 1e-4
#: Skewness of the fine luminance above which the gaps are taken to be the bright part, as light mortar between bricks.
#: Measured: brick 1.2; coins 0.3, weave 0.1, grass -0.8, gravel -0.9 (all dark in the gaps).
_BRIGHT_GAPS = 0.75


def estimate(photo: Photo, run: Run, options: Mapping[str, Any]) -> DepthMap:
    """Relief of the whole photo: height 0..1 in `depth`, unitless, 1 nearest the viewer. Options as for `height`."""
    camera = photo.camera_or_default(options["fx"], options["fy"])
    relief = height(photo.pixels, run=run, **{name: options[name] for name in RELIEF})
    normals = normals_from_height(relief, RELIEF_HEIGHT * relief.shape[1])
    run.report(1.0, "Relief ready")
    return DepthMap(
        relief, np.ones(relief.shape, bool), normals, camera, False, height_preview(relief, options["resolution"])
    )


def height(
    pixels: NDArray[np.uint8],
    *,
    invert: bool | None = None,
    detail: float = 0.5,
    largest_feature: float | None = None,
    light: float | None = None,
    tileable: bool = False,
    run: Run | None = None,
) -> NDArray[np.float32]:
    """Height (H, W) float32, 0..1, of the surface in a photo (H, W, 3) uint8 sRGB that was taken from straight above.

    invert : whether bright is deep; None decides by `bright_gaps`.
    detail : 0..1, from broad forms (0) to fine grain (1).
    largest_feature : pixels; slower changes are light, not form. None: a sixth of the long side.
    light : degrees, from where the light comes, counter-clockwise from the right (90: from above); None: not used.
    tileable : the photo repeats seamlessly, and so shall the height.
    """
    OPTIONS.checked(locals())
    rows, columns = pixels.shape[:2]
    largest = largest_feature if largest_feature is not None else max(2.0, max(rows, columns) / 6)
    if tileable:
        margin = [min(side, math.ceil(2 * largest)) for side in (rows, columns)]
        around = np.pad(pixels, ((margin[0],) * 2, (margin[1],) * 2, (0, 0)), "wrap")
        relief = height(around, invert=invert, detail=detail, largest_feature=largest, light=light, run=run)
        return _to_unit(relief[margin[0] : margin[0] + rows, margin[1] : margin[1] + columns])
    return _to_unit(_raw_height(log_luminance(pixels), invert, 0.9 - detail, largest, light, run))


def log_luminance(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Natural logarithm of the linear luminance (Rec. 709), (H, W) float32; shade and paint multiply light."""
    light = srgb_to_light(np.arange(256) / 255)
    tables = (light[:, None] * (0.2126, 0.7152, 0.0722)).astype(np.float32)
    luminance = tables[pixels[..., 0], 0]
    luminance += tables[pixels[..., 1], 1]
    luminance += tables[pixels[..., 2], 2]
    luminance += 0.004  # about sRGB code 13: below it a camera records noise
    return np.log(luminance, out=luminance)


def bright_gaps(flat: NDArray[np.float32]) -> bool:
    """Whether the bright part of a surface is the small, sharp part: joints rather than stones.

    flat : log luminance without its slow changes. The third moment tells, at the scale of 1/256 of the long side.
    """
    sigma = max(flat.shape) / 256
    fine = blur(flat, sigma) - blur(flat, max(flat.shape) / 8)
    fine -= fine.mean()
    deviation = float(fine.std())
    return deviation > 1e-6 and float((fine**3).mean()) / deviation**3 > _BRIGHT_GAPS


def blur(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Gaussian blur; a wide one is made on a smaller picture, which takes the same time for every sigma."""
    shrink = max(1, int(sigma / 4))
    if shrink == 1:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)
    size = [max(1, side // shrink) for side in values.shape[::-1]]
    small = cv2.GaussianBlur(cv2.resize(values, size, interpolation=cv2.INTER_AREA), (0, 0), sigma / shrink)
    return np.asarray(cv2.resize(small, values.shape[::-1], interpolation=cv2.INTER_CUBIC), np.float32)


def integrate(across: NDArray, down: NDArray, largest: float) -> NDArray[np.float32]:
    """The height (H, W) whose steps to the next column and row fit `across` and `down` best, in least squares.

    The cosine transform solves it for a free border; `largest` (pixels) damps what is wider than that.
    """
    divergence = np.zeros(across.shape, np.float32)
    for steps, target in ((across, divergence), (down.T, divergence.T)):
        target[:, :-1] += steps[:, :-1]
        target[:, 1:] -= steps[:, :-1]
    rows, columns = divergence.shape
    eigen = [2 * np.cos(np.pi * np.arange(count, dtype=np.float32) / count) - 2 for count in (rows, columns)]
    spectrum = np.asarray(scipy.fft.dctn(divergence, norm="ortho", overwrite_x=True))
    spectrum /= eigen[0][:, None] + eigen[1] - np.float32((math.pi / largest) ** 2)
    return np.asarray(scipy.fft.idctn(spectrum, norm="ortho", overwrite_x=True), np.float32)


def _raw_height(
    luminance: NDArray[np.float32],
    invert: bool | None,
    exponent: float,
    largest: float,
    light: float | None,
    run: Run | None,
) -> NDArray[np.float32]:
    """Height in arbitrary units; features of width s are weighted by s ** exponent."""
    shrink = max(1.0, max(luminance.shape) / _WORKING_SIDE)
    size = [max(1, round(side / shrink)) for side in luminance.shape[::-1]]
    small = luminance if shrink == 1 else cv2.resize(luminance, size, interpolation=cv2.INTER_AREA)
    _report(run, 0.1)
    flat = small - blur(np.asarray(small, np.float32), largest / shrink)
    deep_if_bright = bright_gaps(flat) if invert is None else invert
    _report(run, 0.2)
    relief, gain = _octaves(flat, largest / shrink, exponent, run)
    if deep_if_bright:
        relief, gain = -relief, -gain
    relief = integrate(*_compressed_steps(relief), largest / shrink)
    _report(run, 0.7)
    if light is not None:
        relief = _standard(relief) + _standard(_shading(flat, math.radians(light), largest / shrink))
        gain /= max(float(np.std(relief)), 1e-6)
    if shrink == 1:
        return relief
    finest = luminance - cv2.resize(small, luminance.shape[::-1], interpolation=cv2.INTER_CUBIC)
    finest *= gain * 0.5**exponent
    finest += cv2.resize(relief, luminance.shape[::-1], interpolation=cv2.INTER_CUBIC)
    return finest


def _octaves(
    flat: NDArray[np.float32], largest: float, exponent: float, run: Run | None
) -> tuple[NDArray[np.float32], float]:
    """Sum of the octaves of `flat`, each brought to the same contrast and weighted by its width ** exponent.

    Returns it with the factor that the finest octave got.
    """
    relief = np.zeros_like(flat)
    finer, sigma, finest_gain = flat, 1.0, 0.0
    while sigma < max(largest, 2.0):
        coarser = blur(flat, sigma)
        octave = finer - coarser
        deviation = float(octave.std())
        if deviation > _NO_CONTRAST:
            weight = min(deviation / _FULL_CONTRAST, 1.0) * sigma**exponent
            finest_gain = finest_gain or weight / deviation
            octave /= 2.5 * deviation  # glints and holes beyond 2.5 deviations level off
            relief += (2.5 * weight) * np.tanh(octave, out=octave)
        finer, sigma = coarser, 2 * sigma
        _report(run, 0.2 + 0.3 * math.log(sigma) / math.log(2 * max(largest, 2.0)))
    return relief, finest_gain


def _compressed_steps(relief: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Steps to the next column and row; those far beyond the usual ones are more likely paint, and level off."""
    across, down = np.zeros_like(relief), np.zeros_like(relief)
    np.subtract(relief[:, 1:], relief[:, :-1], out=across[:, :-1])
    np.subtract(relief[1:], relief[:-1], out=down[:-1])
    size = np.hypot(across, down)
    usual = float(np.percentile(size[:: max(1, size.shape[0] // 1024)], 90))
    keep = 1 / (1 + size / (3 * usual + 1e-9))
    return across * keep, down * keep


def _shading(flat: NDArray[np.float32], azimuth: float, largest: float) -> NDArray[np.float32]:
    """Height by linear shape from shading: brightness is the slope towards the light.

    Solved in the Fourier domain; what runs along the light leaves no shading, so it is damped there.
    """
    rows, columns = flat.shape
    mirrored = np.pad(blur(flat, 0.7), ((0, rows), (0, columns)), "symmetric")
    u = (2 * np.pi * scipy.fft.rfftfreq(2 * columns)).astype(np.float32)
    v = (2 * np.pi * scipy.fft.fftfreq(2 * rows)).astype(np.float32)[:, None]
    slope = 1j * (-math.cos(azimuth) * u + math.sin(azimuth) * v)  # rises towards the light: v runs downwards
    damping = 0.04 * (u**2 + v**2) + np.float32((math.pi / largest) ** 2)
    spectrum = np.asarray(scipy.fft.rfft2(mirrored)) * np.conj(slope) / (np.abs(slope) ** 2 + damping)
    return np.asarray(scipy.fft.irfft2(spectrum, s=mirrored.shape), np.float32)[:rows, :columns]


def _standard(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return (values - values.mean()) / max(float(values.std()), 1e-4)


def _to_unit(relief: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stretch the middle 99 % to 0..1; a surface without any relief is 0.5 everywhere."""
    step = max(1, relief.size // 1_000_000)
    low, high = np.percentile(relief.ravel()[::step], [0.5, 99.5])
    if high - low < 1e-6:
        return np.full(relief.shape, 0.5, np.float32)
    return np.clip((relief - np.float32(low)) / np.float32(high - low), 0, 1)


def _report(run: Run | None, fraction: float) -> None:
    if run is not None:
        run.report(fraction, "Computing the relief")
