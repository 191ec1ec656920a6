# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth of a photo."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from ..batch import single

if TYPE_CHECKING:
    from ..photo import PhotoLike
    from ..results import DepthMap
    from ..runtime.run import ProgressCallback


def estimate_depth(
    photo: PhotoLike,
    model: str = "auto",
    *,
    fx: float | None = None,
    fy: float | None = None,
    resolution: int = 512,
    tokens: int = 3600,
    steady: bool = True,
    invert: bool | None = None,
    detail: float = 0.5,
    largest_feature: float | None = None,
    light: float | None = None,
    tileable: bool = False,
    device: str | None = None,
    precision: str | None = None,
    progress: ProgressCallback = None,
    models_dir: str | PathLike[str] | None = None,
) -> DepthMap:
    """Estimate the depth of a photo.

    Parameters
    ----------
    photo : `Photo`, array (H, W, 3) uint8 sRGB, or path.
    model : "auto" (the best one installed; without one "builtin" or, where it finds nobody, "relief": `DepthMap.model`
        says which answered), "builtin" (metres, where there are people), "relief" (height of a material's surface,
        unitless),
        "metric3d-vit-small", "-large", "-giant2" (metres everywhere but in the sky; needs its file), "moge-2-small",
        "-base", "-large" (metres, and the lens of a photo that does not say its own; needs its file), "da3-metric"
        (metres everywhere but in the sky; needs its file), or another of docs/models.md: metres or, where
        `DepthMap.metric` is False, the relative inverse depth as a height.
    fx, fy : focal length in pixels, which metres are in proportion to (but those of Depth Anything V2 and ZoeDepth,
        which are of the lens they were trained with); one given stands for both. None takes the photo's own, else the
        lens that MoGe-2 or Depth Anything 3 finds, else the stated default; `DepthMap.camera.source` says which.
    resolution : short side of `preview` in pixels, up to 16384; 0 leaves it at the photo's size.
    tokens : of "moge-2-..." only: patches of the photo that the network sees, from 256 to 16384. Time grows with them.
    steady : of films (see `batch.estimate_depth`): metres of all frames on one scale.
    invert, detail, largest_feature, light, tileable : of "relief" only, see `relief.height`.

    Returns a `DepthMap` at the photo's size. Raises `MaquetteError` with a remedy.
    """
    return single("depth", locals())
