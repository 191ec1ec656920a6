# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a person stands: from the network's scale and shift in the square crop to metres before a camera.

The reference takes a lens 20 times as long as the picture is wide, so its people are 40 to 80 metres away. With that
focal length the numbers here are the reference's; with the photo's own a person keeps the size in the picture, and the
position is solved for again, so that the body still covers the person.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .crops import SIDE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...camera import Camera
    from .crops import Crop

#: The focal length, in pixels of the square crop, that the network was trained with.
FOCAL = 5000.0
_TINY = 1e-9
#: No person is nearer to the camera than this (metres), whatever the network says.
NEAREST = 0.2


def reference_focal(width: int, height: int) -> float:
    """The focal length in pixels that the reference takes for a picture of this size."""
    return FOCAL / SIDE * max(width, height)


def reference_translation(answer: NDArray, crop: Crop, focal: float, centre: tuple[float, float]) -> NDArray:
    """SMPL's translation (3,) float64 before a camera of this focal length and principal point (pixels).

    answer : (3,) scale and shift.  Float32 as far as the reference's is.
    """
    scale, *shift = (np.float32(value) for value in answer)
    size = np.float32(crop.size) * scale + np.float32(_TINY)
    aside = [
        np.float32(2) * (np.float32(middle) - np.float32(origin)) / size + own
        for middle, origin, own in zip(crop.centre, centre, shift, strict=True)
    ]
    return np.array([*aside, np.float32(2) * np.float32(focal) / size], np.float64)


def crop_translation(answer: NDArray) -> NDArray[np.float32]:
    """Translation (..., 3) in the camera of the square crop, whose focal length is `FOCAL`."""
    answer = np.asarray(answer, np.float32)
    depth = np.float32(2 * FOCAL) / (np.float32(SIDE) * answer[..., :1] + np.float32(_TINY))
    return np.concatenate([answer[..., 1:], depth], -1)


def crop_keypoints(points: NDArray, answer: NDArray) -> NDArray[np.float32]:
    """Keypoints (..., K, 3) of a body without translation -> (..., K, 2) in sides of the square: 0 its middle."""
    placed = np.asarray(points, np.float32) + crop_translation(answer)[..., None, :]
    return placed[..., :2] / placed[..., 2:] * np.float32(FOCAL / SIDE)


def picture_keypoints(points: NDArray, crop: Crop) -> NDArray[np.float32]:
    """Keypoints (K, 2) in sides of the square -> pixels of the photo."""
    return (crop.centre + np.float32(crop.size) * points).astype(np.float32)


def translation(points: NDArray, answer: NDArray, crop: Crop, camera: Camera) -> NDArray[np.float64]:
    """SMPL's translation (3,) before the photo's camera.

    points : (K, 3) keypoints of the body without translation.  The distance is the reference's in proportion to the
    focal length; across the viewing ray the keypoints are brought where the reference's camera has them.
    """
    focal = reference_focal(camera.width, camera.height)
    middle = (camera.width / 2, camera.height / 2)
    reference = reference_translation(answer, crop, focal, middle)
    if camera.fx == camera.fy == focal and (camera.cx, camera.cy) == middle:
        return reference
    placed = points + reference
    seen = placed[:, :2] / placed[:, 2:] * focal + np.array(middle)
    return across(points, seen, camera, reference[2] * np.sqrt(camera.fx * camera.fy) / focal)


def across(points: NDArray, pixels: NDArray, camera: Camera, distance: float) -> NDArray[np.float64]:
    """The translation (3,) at a distance along z that brings points (K, 3) best to pixels (K, 2): least squares."""
    points = np.asarray(points, np.float64)
    distance = max(distance, NEAREST - points[:, 2].min())
    depth = distance + points[:, 2]
    rays = (pixels - (camera.cx, camera.cy)) / (camera.fx, camera.fy)
    # In pixels a metre weighs as much as the point is near.
    weights = (1 / depth**2)[:, None]
    aside = (weights * (rays * depth[:, None] - points[:, :2])).sum(0) / weights.sum()
    return np.array([*aside, distance])


def anywhere(points: NDArray, pixels: NDArray, camera: Camera, start: NDArray) -> NDArray[np.float64]:
    """The translation (3,) that brings points (K, 3) best to pixels (K, 2), the distance among it.

    start : (3,) where to begin.  Least squares in pixels, by Gauss and Newton.
    """
    points, place = np.asarray(points, np.float64), np.asarray(start, np.float64)
    focal = np.array([camera.fx, camera.fy])
    for _ in range(8):
        x = points + place
        depth = np.maximum(x[:, 2:], NEAREST / 2)
        ray = x[:, :2] / depth
        error = ray * focal + (camera.cx, camera.cy) - pixels
        slope = np.zeros((len(points), 2, 3))
        slope[:, [0, 1], [0, 1]] = focal / depth
        slope[:, :, 2] = -ray * focal / depth
        matrix = np.einsum("kri,krj->ij", slope, slope)
        matrix += 1e-9 * np.trace(matrix) * np.eye(3)
        step = np.linalg.solve(matrix, np.einsum("kri,kr->i", slope, error))
        place = place - step
        place[2] = max(place[2], NEAREST - points[:, 2].min())
        if np.abs(step).max() < 1e-6:
            break
    return place
