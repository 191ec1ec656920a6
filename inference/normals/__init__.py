# SPDX-License-Identifier: GPL-3.0-or-later
"""Surface normals of a photo."""

from __future__ import annotations

import math
from os import PathLike
from typing import TYPE_CHECKING

from ..batch import single

if TYPE_CHECKING:
    from ..photo import PhotoLike
    from ..results import NormalMap
    from ..runtime.run import ProgressCallback


def estimate_normals(
    photo: PhotoLike,
    model: str = "auto",
    *,
    a: float = 2 * math.pi,
    bg_threshold: float = 0.1,
    resolution: int = 512,
    tokens: int = 3600,
    invert: bool | None = None,
    detail: float = 0.5,
    largest_feature: float | None = None,
    light: float | None = None,
    tileable: bool = False,
    device: str | None = None,
    precision: str | None = None,
    progress: ProgressCallback = None,
    models_dir: str | PathLike[str] | None = None,
) -> NormalMap:
    """Estimate the surface normals of a photo.

    Parameters
    ----------
    photo : `Photo`, array (H, W, 3) uint8 sRGB, or path.
    model : "auto" (the best one installed, else the built-in way: `NormalMap.model` says which answered),
        "builtin" or "from-depth" (both: from the built-in depth, of people), "relief" (of a material's surface), or
        "metric3d-vit-small", "-large", "-giant2" (from the same pass of the network as that model's
        depth, which is computed once for either), "moge-2-small", "-base", "-large" (likewise), "midas" and "midas-384"
        (from the slopes of a relative depth), or "normalbae".
    a, bg_threshold : strength and background threshold of models that make normals from relative depth.
    resolution : short side of `preview` in pixels, up to 16384; 0 leaves it at the photo's size. It is also the size at
        which MiDaS works, 64 and up (less counts as 512), and NormalBae, and so changes their normals.
    tokens : of "moge-2-..." only: patches of the photo that the network sees, from 256 to 16384. Time grows with them.
    invert, detail, largest_feature, light, tileable : of "relief" only, see `depth.relief.height`.

    Returns a `NormalMap` at the photo's size. Raises `MaquetteError` with a remedy.
    """
    return single("normals", locals())
