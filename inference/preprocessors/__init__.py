# SPDX-License-Identifier: GPL-3.0-or-later
"""Image passes of a photo: edges, lines and what else ControlNets take, as pictures."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING

from ..batch import single

if TYPE_CHECKING:
    from ..photo import PhotoLike
    from ..results import MapImage
    from ..runtime.run import ProgressCallback


def make_map(
    photo: PhotoLike,
    model: str = "canny",
    *,
    resolution: int = 512,
    thresholds: tuple[float, float] | None = None,
    safe: bool | None = None,
    scribble: bool = False,
    seed: int = 0,
    device: str | None = None,
    precision: str | None = None,
    progress: ProgressCallback = None,
    models_dir: str | PathLike[str] | None = None,
) -> MapImage:
    """Make an image pass of a photo: bright lines on black, or shuffled content.

    Parameters
    ----------
    photo : `Photo`, array (H, W, 3) uint8 sRGB, or path.
    model : "canny", "lineart-standard", "content-shuffle" (need no file), or "hed", "pidinet", "teed", "anyline",
        "lineart", "lineart-coarse", "lineart-anime", "mlsd".
    resolution : short side of the picture in pixels, up to 16384; 0 leaves it at the photo's size. Models see the photo
        at this size, so it changes what they find.
    thresholds : two numbers; None takes the model's own. canny: levels at which an edge goes on and begins (100, 200).
        mlsd: least score and least length of a line (0.1, 0.1). lineart-standard: blur in pixels, and levels by which a
        line is darker (6, 8); anyline: the same of the lines it adds (2, 3).
    safe : edges in three grey levels only (hed, pidinet, teed, anyline); None takes the model's own.
    scribble : only the ridges of the edges, with a broad pen (hed, pidinet, teed).
    seed : of the noise by which content is shuffled.

    Returns a `MapImage`. Raises `MaquetteError` with a remedy.
    """
    return single("maps", locals())
