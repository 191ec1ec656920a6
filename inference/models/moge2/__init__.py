# SPDX-License-Identifier: GPL-3.0-or-later
"""MoGe-2: points in metres, normals, mask and lens of a photo; the pass that depth and normals share.

The network is kept in memory between requests, and its results are cached for the next task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from ...geometry.normals_from_depth import normalise
from ...geometry.previews import preview_size
from ...geometry.resample import at_photo_size, resize
from ...runtime.memory import keep
from ...runtime.passes import outputs
from ...runtime.result_cache import cached_results
from ...weights import Published, load_network
from .. import IMAGENET
from .lens import solve
from .network import BACKBONES, MoGe2, network_picture

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from ...camera import Camera
    from ...photo import Photo
    from ...runtime import Run

#: Part of the time that the network takes.
NETWORK_SHARE = 0.9
#: Pixels of the photo to one of the answer up to which edges are left as interpolated: ramps as narrow as those
#: in the photo itself. Beyond, each pixel takes one side of its edge.
WIDEST_RAMP = 2.5


@dataclass(frozen=True)
class Answer:
    """What the network says of a photo, at 16 cells along each side of a patch. float32.

    points : (h, w, 3), x / z, y / z and log z of each point.  normals : (h, w, 3), of any length.
    mask : (h, w), log odds that there is a surface.  scale : log of the metres of one unit.
    """

    points: NDArray[np.float32]
    normals: NDArray[np.float32]
    mask: NDArray[np.float32]
    scale: float


@dataclass(frozen=True)
class Surface:
    """A photo's surface at its own size: depth (H, W) in metres, 0 where not valid; unit normals (H, W, 3)."""

    depth: NDArray[np.float32]
    valid: NDArray[np.bool_]
    normals: NDArray[np.float32]
    camera: Camera


def surfaces(photos: Sequence[Photo], run: Run, options: Mapping[str, int]) -> list[tuple[Photo, Answer]]:
    """Every photo with the network's answer, in one pass over those that are not in the cache.

    options : `tokens` and `resolution`. Raises `MissingModel`, `BadModelFile`, and `BadInput` for a preview that cannot
    be made.
    """
    for photo in photos:
        preview_size(photo.pixels.shape[0], photo.pixels.shape[1], options["resolution"])
    tokens, pixels = options["tokens"], [photo.pixels for photo in photos]
    answers = cached_results(pixels, (*run.model_key, str(tokens)), lambda unknown: _compute(unknown, tokens, run))
    return list(zip(photos, answers, strict=True))


def surface(photo: Photo, answer: Answer, fx: float | None = None, fy: float | None = None) -> Surface:
    """The surface in metres. The photo's own or a given focal length decides; else the points tell it."""
    height, width = photo.pixels.shape[:2]
    maps = [answer.points, answer.normals, answer.mask]
    points, normals, mask = (resize(one, height, width) for one in maps)
    points, valid = _points(points), mask > 0
    half = 0.5 * float(np.hypot(height, width))
    camera = photo.camera_or_default(fx, fy)
    known = camera.source != "default"
    focal, shift = solve(points, valid, (camera.fx + camera.fy) / 2 / half if known else None)
    if not known:
        camera = replace(camera, fx=focal * half, fy=focal * half, source="model")
    if max(height / answer.mask.shape[0], width / answer.mask.shape[1]) > WIDEST_RAMP:
        _, (points, normals, mask) = at_photo_size(np.exp(answer.points[..., 2]), maps, height, width)
        points, valid = _points(points), mask > 0
    normalise(normals)
    depth = points[..., 2] + np.float32(shift)
    valid &= depth > 0
    depth = np.where(valid, depth * np.float32(np.exp(answer.scale)), np.float32(0))
    return Surface(depth, valid, normals, camera)


def _points(answer: NDArray[np.float32]) -> NDArray[np.float32]:
    """x, y, z of an answer (H, W, 3), in place."""
    answer[..., 2] = np.exp(answer[..., 2])
    answer[..., :2] *= answer[..., 2:]
    return answer


def kept_network(run: Run) -> MoGe2:
    """The run's network, loaded when it is not in memory."""
    assert run.model is not None
    size = BACKBONES[str(run.model.options["backbone"])]
    published = Published(run.model.files[0].path, _converted, ("model",))
    return keep(run.model_key, lambda: load_network(run, published, lambda: MoGe2(size)))


def _converted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our names are the published ones; what training hid patches with, and the colours' mean and spread, go."""
    unused = ("encoder.backbone.mask_token", "encoder.image_mean", "encoder.image_std")
    return {name: tensor for name, tensor in tensors.items() if name not in unused}


def _compute(pixels: list[NDArray[np.uint8]], tokens: int, run: Run) -> list[Answer]:
    assert run.model is not None
    run.report(0.0, f"Loading {run.model.label}")
    net = kept_network(run)
    answers = []
    for number, photo in enumerate(pixels):
        part = run.part(number / len(pixels), (number + 1) / len(pixels))
        aspect = photo.shape[1] / photo.shape[0]
        message = "Estimating depth and normals"
        ((points, normals, mask, scale),) = outputs(
            net, [_picture(photo, tokens)], part, message, lambda stack, aspect=aspect: net(stack, aspect)
        )
        points, normals = (one.permute(1, 2, 0).contiguous().numpy() for one in (points, normals))
        answers.append(Answer(points, normals, mask[0].numpy(), float(scale)))
    return answers


def _picture(pixels: NDArray[np.uint8], tokens: int) -> Tensor:
    photo = torch.from_numpy(np.ascontiguousarray(pixels)).permute(2, 0, 1).float() / 255
    mean, spread = (torch.tensor(values)[:, None, None] for values in IMAGENET)
    return (network_picture(photo, tokens) - mean) / spread
