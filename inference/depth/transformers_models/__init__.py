# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth by networks of the library transformers: Depth Anything V2, DPT and ZoeDepth.

A model is an entry of the catalogue: its file, `family`, `size` and, where it gives metres, `most`, its farthest. The
lens is not asked for: the metres are those of the cameras that a model was trained with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ...geometry.normals_from_depth import normals_from_depth
from ...geometry.previews import preview_size
from ...geometry.relative import inverse_at_photo_size, near_is_bright, relative_map
from ...geometry.resample import at_photo_size
from ...models import IMAGENET
from ...results import DepthMap
from ...runtime.memory import keep
from ...runtime.passes import finished, outputs
from ...runtime.result_cache import cached_results
from ...weights import load_network
from . import networks, picture

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ...camera import Camera
    from ...photo import Photo
    from ...runtime import Run
    from .networks import Network

#: Part of the time that the network takes.
_NETWORK_SHARE = 0.9
#: Part of a model's farthest depth from which on it says no more than "far": no surface.
_FAR = 0.99
#: Least metres, where a network may answer 0.
_NEAR = 1e-3


@dataclass(frozen=True)
class Family:
    """How one kind of network is used.

    network : from the catalogue's options.  see : a photo's pixels -> the network's picture (3, h, w).
    draw : depth or inverse depth (H, W), and a resolution -> the node's picture.
    border : a photo's height and width -> rows and columns that the network's picture shows beyond it on each side.
    half : whether the network may compute in half precision.  alone : photos must not pass it together.
    """

    network: Callable[[Mapping[str, Any]], Network]
    see: Callable[[NDArray[np.uint8]], Tensor]
    draw: Callable[[NDArray[np.float32], int], NDArray[np.uint8]]
    border: Callable[[int, int], tuple[int, int]] = lambda _height, _width: (0, 0)
    half: bool = True
    alone: bool = False


def _see_anything(pixels: NDArray[np.uint8]) -> Tensor:
    height, width = pixels.shape[:2]
    size = picture.fitted(height, width, (518, 518), 14, longest=4)
    return picture.resized(pixels, size, "bicubic", IMAGENET)


_ANYTHING = Family(
    lambda options: networks.depth_anything(options["size"], options.get("most", 0)), _see_anything, near_is_bright
)
FAMILIES: dict[str, Family] = {
    "depth-anything": _ANYTHING,
    "depth-anything-metric": replace(_ANYTHING, draw=picture.far_is_dark),
    "dpt": Family(
        lambda options: networks.dpt(options["size"]),
        lambda pixels: picture.resized(pixels, (384, 384), "bilinear", picture.HALF),
        near_is_bright,
    ),
    # Not in half precision: its bins are told apart by logarithms of what that rounds to nothing. Alone: the network of
    # two places asks all photos of a batch which one it is, and takes the same for all of them.
    "zoedepth": Family(
        lambda options: networks.zoedepth(options["size"]),
        lambda pixels: picture.widened(pixels, (384, 512), longest=2),
        picture.zoe_picture,
        picture.zoe_border,
        half=False,
        alone=True,
    ),
}


def estimate_batch(photos: Sequence[Photo], run: Run, options: Mapping[str, Any]) -> list[DepthMap]:
    """Metres along z, or the height of a relative model, of whole photos. See `inference.estimate_depth`.

    Photos whose pictures have one size pass the network together.
    """
    resolution = options["resolution"]
    cameras = [photo.camera_or_default(options["fx"], options["fy"]) for photo in photos]
    for photo in photos:
        preview_size(photo.pixels.shape[0], photo.pixels.shape[1], resolution)
    pixels, network_run = [photo.pixels for photo in photos], run.part(0.0, _NETWORK_SHARE)
    predicted = cached_results(pixels, ("depth", *run.model_key), lambda unknown: _predict(unknown, network_run))
    make = partial(_depth_map, run=run, resolution=resolution)
    return finished(run, _NETWORK_SHARE, "Depth", make, predicted, cameras)


def _depth_map(answer: NDArray[np.float32], camera: Camera, run: Run, resolution: int) -> DepthMap:
    options, family = _model(run)
    rows, columns = family.border(camera.height, camera.width)
    size = camera.height + 2 * rows, camera.width + 2 * columns
    inside = np.s_[rows : rows + camera.height, columns : columns + camera.width]
    if "most" not in options:
        inverse = np.ascontiguousarray(inverse_at_photo_size(answer, *size)[inside])
        return relative_map(inverse, camera, family.draw(inverse, resolution))
    depth, _ = at_photo_size(np.maximum(answer, _NEAR), [], *size)
    depth = np.ascontiguousarray(depth[inside])
    preview = family.draw(depth, resolution)
    valid = depth < _FAR * options["most"]
    depth[~valid] = 0
    normals, _ = normals_from_depth(depth, valid, camera)
    return DepthMap(depth, valid, normals, camera, True, preview)


def _predict(pixels: list[NDArray[np.uint8]], run: Run) -> list[NDArray[np.float32]]:
    """What the network says of each photo (h, w), at the size of its picture."""
    assert run.model is not None
    options, family = _model(run)
    path = run.model.files[0].path
    run.report(0.0, f"Loading {run.model.label}")
    if not family.half:
        run = replace(run, precision="float32")
    wanted = family.network(options)
    published = wanted.published(path)
    network = keep(("depth", *run.model_key), lambda: load_network(run, published, wanted.build))
    found = outputs(
        network,
        [family.see(one) for one in pixels],
        run,
        "Estimating depth",
        lambda stack: network(pixel_values=stack).predicted_depth,
        one_by_one=family.alone,
    )
    return [depth.numpy() for (depth,) in found]


def _model(run: Run) -> tuple[Mapping[str, Any], Family]:
    assert run.model is not None
    return run.model.options, FAMILIES[str(run.model.options["family"])]
