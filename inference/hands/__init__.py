# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands of a photo: float depth, masks and meshes."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING

from ..batch import single
from ..options import hands

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..photo import PhotoLike
    from ..results import DepthMap, HandMaps
    from ..runtime.run import ProgressCallback

#: What the mask of a hand may cover.
MASK_TYPES: tuple[str, ...] = tuple(name for name, _, _ in hands.MASK_TYPES)


def refine_hands(
    photo: PhotoLike,
    model: str = "auto",
    *,
    mask_bbox_padding: int = 30,
    mask_type: str = "based_on_depth",
    mask_expand: int = 5,
    rand_seed: int = 88,
    resolution: int = 512,
    boxes: Sequence[tuple[float, float, float, float, str]] | None = None,
    detect_thr: float = 0.5,
    presence_thr: float = 0.5,
    scene_depth: DepthMap | NDArray | str | PathLike[str] | None = None,
    exact: bool = True,
    device: str | None = None,
    precision: str | None = None,
    progress: ProgressCallback = None,
    models_dir: str | PathLike[str] | None = None,
) -> HandMaps:
    """Find the hands of a photo and fit a mesh to each.

    Parameters
    ----------
    photo : `Photo`, array (H, W, 3) uint8 sRGB, or path.
    model : "auto" (the best one installed whose results are free), "builtin", or
        "meshgraphormer" (the reference node's; needs its files and the registered MANO_RIGHT.pkl).
    mask_type : "based_on_depth" (silhouette), "tight_bboxes" (landmark boxes) or "original" (padded boxes).
    mask_bbox_padding : 0..100 pixels, the least padding of "original".
    mask_expand : -16384..16384; grows (or shrinks, negative) the mask by so many pixels of city-block distance.
    rand_seed : accepted for the reference's sake; nothing here is random.
    resolution : short side of `preview` in pixels; 0 leaves it at the photo's size.
    boxes : (x0, y0, x1, y1, "left" or "right") per hand around its landmarks, far to near; bypasses the detector.
    detect_thr, presence_thr : above 0, up to 1: how sure the palm detector and the landmark network must be. There is
        no limit to the number of hands.
    scene_depth : depth of the same photo in metres: a metric `DepthMap`, (H, W), or the path of an .exr, or of an .npz
        that `estimate_depth`'s was saved as. Each hand is moved along its line of sight to the scene's median depth
        over its pixels, unless that is more than twice too near or too far to be the hand's; the camera is the scene's.
    exact : "meshgraphormer" sees small hands as the reference does, which enlarges them such that the brightest and
        darkest edges wrap around 8 bits; False cuts them off, and differs a little from the reference.

    Returns `HandMaps` at the photo's size; without hands it is empty, its pictures black. Raises `MaquetteError`.
    """
    return single("hands", locals())
