# SPDX-License-Identifier: GPL-3.0-or-later
"""The depth of the scene that hands are placed in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..errors import BadInput
from ..photo import Photo, exr
from ..results import DepthMap, Hand

#: The scene may say that a hand is so many times nearer or farther than its own size says: hands differ by a third,
#: guessed focal lengths by more. Beyond it the scene shows something else.
MOST_MOVED = 2.0
#: Last parts of the names of channels that hold depth, likeliest first; Blender writes Z or V, and images as R.
_CHANNELS = ("Z", "Y", "V", "R")
_FORMS = "Give a depth map, metres (height, width), or the path of an .exr or of an .npz written by the task depth."


def scene_of(photo: Photo, scene: object) -> DepthMap | None:
    """The scene's depth in metres as `inference.refine_hands` takes it. Raises `BadInput` for what is not this photo's.

    scene : a `DepthMap`, (H, W) metres, or a path; of floats without a camera, the camera is the photo's. None: none.
    """
    if scene is None:
        return None
    found = _read(Path(scene), photo) if isinstance(scene, (str, PathLike)) else scene
    if isinstance(found, np.ndarray) and found.ndim == 2 and found.dtype.kind == "f":
        found = _depth_map(found, np.isfinite(found) & (found > 0), photo.camera_or_default())
    if not isinstance(found, DepthMap):
        raise BadInput(f"A {type(scene).__name__} is not the depth of a scene.", _FORMS)
    if not found.metric:
        raise BadInput("Hands cannot be placed against a depth without metres.", "Give the depth of a metric model.")
    if found.depth.shape != photo.pixels.shape[:2]:
        width, height = photo.size
        raise BadInput(
            f"The scene's depth of {found.depth.shape[1]} x {found.depth.shape[0]} pixels is not of this photo of "
            f"{width} x {height}.",
            "Give the depth of the same photo.",
        )
    return found


def camera_of(photo: Photo, scene: DepthMap | None) -> Camera:
    """The camera that the hands are placed with: the scene's, where there is one."""
    return scene.camera if scene is not None else photo.camera_or_default()


def _read(path: Path, photo: Photo) -> object:
    """Metres (H, W) of an OpenEXR file, or the depth map of an .npz."""
    try:
        if path.suffix.lower() == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return _from_arrays(arrays, photo)
        channels = exr.read_exr(path.read_bytes())
    except (OSError, ValueError, KeyError) as error:
        raise BadInput(f"The depth {path} cannot be read: {error}.", _FORMS) from error
    named = {name.rpartition(".")[2].upper(): values for name, values in channels.items()}
    for name in _CHANNELS:
        if name in named:
            return named[name].astype(np.float32)
    raise BadInput(f"{path} has no channel of depth.", f"Name it {' or '.join(_CHANNELS)}.")


def _from_arrays(arrays: Mapping[str, Any], photo: Photo) -> DepthMap:
    depth = arrays["depth"].astype(np.float32)
    valid = arrays["valid"] if "valid" in arrays else np.isfinite(depth) & (depth > 0)
    camera = photo.camera_or_default()
    if "camera" in arrays:
        fx, fy, cx, cy, width, height = arrays["camera"].tolist()
        camera = Camera(fx, fy, cx, cy, round(width), round(height), "scene")
    return replace(_depth_map(depth, valid, camera), metric=bool(arrays.get("metric", True)))


def _depth_map(depth: NDArray[np.float32], valid: NDArray[np.bool_], camera: Camera) -> DepthMap:
    return DepthMap(depth, valid, None, camera, True, np.zeros((1, 1, 3), np.uint8))


def against_scene(hand: Hand, scene: DepthMap) -> Hand:
    """The hand moved along its line of sight to where the scene shows it, scaled so that it looks the same.

    Its median depth becomes the scene's over the same pixels; left as it is where the scene shows none of it, or
    something else.
    """
    there = (hand.depth > 0) & scene.valid & (scene.depth > 0)
    if not there.any():
        return hand
    factor = float(np.median(scene.depth[there]) / np.median(hand.depth[there]))
    if not 1 / MOST_MOVED <= factor <= MOST_MOVED:
        return hand
    scale = np.float32(factor)
    return replace(hand, vertices=hand.vertices * scale, joints=hand.joints * scale, depth=hand.depth * scale)
