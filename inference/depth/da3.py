# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth by Depth Anything 3: metres through a known lens, or a relative depth and, of some, the lens of the photo.

The metric model answers as if a lens of 300 pixels had taken every picture that it sees: metres are in proportion to
the focal length in these pixels. The lens of a photo that does not say its own is that which a model of any views sees
in it, where one is installed, as in their authors' nested models.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ...installer.models import catalogue, store
from ..geometry.normals_from_depth import normals_from_depth
from ..geometry.previews import preview_size
from ..geometry.relative import near_is_bright, relative_map
from ..geometry.resample import at_photo_size
from ..models.da3 import Answer, answers
from ..results import DepthMap
from ..runtime.passes import finished

if TYPE_CHECKING:
    from ..camera import Camera
    from ..photo import Photo
    from ..runtime import Run

#: Parts of the time by whose end a smaller network has found the lens, and the network is done.
_LENS_SHARE, _NETWORK_SHARE = 0.1, 0.9
#: Focal length in the network's pixels of the lens of the metric depth.
_FOCAL = 300.0
#: From here on it is sky, as published.
_SKY = 0.3
#: Ratio of the depth that sky gets, while maps are resized, to the farthest: its outlines are edges.
_BEYOND = 4.0
#: Least depth, so that its inverse is a number.
_LEAST = 1e-6
#: Degrees that a lens may see down or across, to be believed.
_SEEN = 2.0, 160.0


def estimate_batch(photos: Sequence[Photo], run: Run, options: Mapping[str, Any]) -> list[DepthMap]:
    """Metres along z, or the height of a relative model, of whole photos, of any sizes. See
    `inference.estimate_depth`."""
    resolution = options["resolution"]
    cameras = [photo.camera_or_default(options["fx"], options["fy"]) for photo in photos]
    for camera in cameras:
        preview_size(camera.height, camera.width, resolution)
    assert run.model is not None
    metric = bool(run.model.options.get("metres", True))
    if metric:
        cameras = _found_lenses(photos, cameras, run.part(0.0, _LENS_SHARE))
    make = partial(_depth_map, metric=metric, resolution=resolution)
    answered = answers(photos, run.part(_LENS_SHARE if metric else 0.0, _NETWORK_SHARE))
    return finished(run, _NETWORK_SHARE, "Depth", make, answered, cameras)


def _found_lenses(photos: Sequence[Photo], cameras: list[Camera], run: Run) -> list[Camera]:
    """The cameras, those that are guessed through the lenses that an installed model of any views sees."""
    unknown = [number for number, camera in enumerate(cameras) if camera.source == "default"]
    finder = next(
        (
            model
            for model in catalogue.models("depth")
            if run.model is not None and model.code == run.model.code and not model.options.get("metres", True)
            if model.options.get("lens") and store.is_installed(model, run.models_dir)
        ),
        None,
    )
    if not unknown or finder is None:
        return cameras
    found = answers([photos[number] for number in unknown], replace(run, model=finder))
    for number, answer in zip(unknown, found, strict=True):
        cameras[number] = _through_found_lens(cameras[number], answer)
    return cameras


def _depth_map(answer: Answer, camera: Camera, *, metric: bool, resolution: int) -> DepthMap:
    depth, valid = _at_photo_size(answer, camera.height, camera.width)
    inverse = np.divide(1, depth, out=np.zeros_like(depth), where=valid)
    preview = near_is_bright(inverse, resolution)
    if not metric:
        return relative_map(inverse, _through_found_lens(camera, answer), preview)
    seen = camera.resized(answer.depth.shape[1], answer.depth.shape[0])
    depth = np.where(valid, depth * np.float32((seen.fx + seen.fy) / 2 / _FOCAL), np.float32(0))
    normals, _ = normals_from_depth(depth, valid, camera)
    return DepthMap(depth, valid, normals, camera, True, preview)


def _at_photo_size(answer: Answer, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Depth (height, width) float32 > 0, and (height, width) bool where it is not sky."""
    depth = np.maximum(answer.depth, np.float32(_LEAST))
    if answer.sky is None:
        return at_photo_size(depth, [], height, width)[0], np.ones((height, width), bool)
    ground = answer.sky < _SKY
    depth = np.where(ground, depth, np.float32(_BEYOND) * depth.max(where=ground, initial=_LEAST))
    depth, (sky,) = at_photo_size(depth, [answer.sky], height, width)
    return depth, sky < _SKY


def _through_found_lens(camera: Camera, answer: Answer) -> Camera:
    """The photo's camera, through the lens that the network finds where the photo does not say its own."""
    if camera.source != "default" or answer.angles is None:
        return camera
    if not all(math.radians(_SEEN[0]) < angle < math.radians(_SEEN[1]) for angle in answer.angles):
        return camera
    focals = [
        side / 2 / math.tan(angle / 2) for side, angle in zip((camera.height, camera.width), answer.angles, strict=True)
    ]
    focal = float(sum(focals) / 2)
    return replace(camera, fx=focal, fy=focal, source="model")
