# SPDX-License-Identifier: GPL-3.0-or-later
"""Anything of a photo cut out, by clicks, a box, or a rough mask."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from ..batch import single

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..photo import PhotoLike
    from ..results import CutOut
    from ..runtime.run import ProgressCallback


def cut_out(
    photo: PhotoLike,
    model: str = "auto",
    *,
    points: Sequence[Sequence[float]] | None = None,
    box: Sequence[float] | None = None,
    mask: NDArray | str | PathLike[str] | None = None,
    edges: str = "model",
    resolution: int = 512,
    device: str | None = None,
    precision: str | None = None,
    progress: ProgressCallback = None,
    models_dir: str | PathLike[str] | None = None,
) -> CutOut:
    """Cut one thing out of a photo.

    Parameters
    ----------
    photo : `Photo`, array (H, W, 3) uint8 sRGB, or path.
    model : "auto" (the best one installed), "builtin" (GrabCut: colours and edges), "sam2.1-tiny" and "-small", or
        "birefnet" and "birefnet-lite", "-matting", "-portrait", "-hr", "-hr-matting", which need nothing to be said.
    points : (u, v) or (u, v, 1) in pixels on what is wanted, (u, v, 0) on what is not.
    box : (u0, v0, u1, v1) in pixels around it.
    mask : (H, W) of the photo's size, or the path of such a picture, where it is at least half as bright as white.
    edges : "model" as it is found, or "fine": by the best BiRefNet that is installed, with hair and soft edges.
    resolution : short side of `preview` in pixels; 0 leaves it at the photo's size.

    Without points, box and mask a BiRefNet finds the main thing of the photo; every other model needs one of them. With
    points or a mask, a BiRefNet draws the edges of what the best other model finds.

    Returns a `CutOut` at the photo's size. Raises `MaquetteError`.
    Through a film: `segment.track.follow`.
    """
    return single("segment", locals())
