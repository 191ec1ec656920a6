# SPDX-License-Identifier: GPL-3.0-or-later
"""The one conversion between OpenCV camera axes (x right, y down, z forward) and Blender's.

Blender's cameras look along -z with y up; Blender's world has z up. Matrices act on column vectors; metres.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from bpy.types import Object
    from numpy.typing import NDArray

    from ...inference.results import NormalMap

#: Blender camera axes from OpenCV camera axes, and its own inverse (4, 4).
CAMERA_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])

#: A z-up frame from a level camera's axes (4, 4): forward becomes +y, and who faces the camera faces -y.
Z_UP = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]])

#: Height of a camera of which nothing is known: the eyes of a standing photographer, metres.
EYE_HEIGHT = 1.6


def default_world_from_camera() -> NDArray[np.float64]:
    """(4, 4) world (z up, metres) from camera axes, for a level camera at eye height that looks along +y."""
    placed = Z_UP.copy()
    placed[2, 3] = EYE_HEIGHT
    return placed


def camera_matrix(world_from_camera: NDArray | None) -> NDArray[np.float64]:
    """`matrix_world` (4, 4) of the Blender camera that stands where the photo was taken."""
    placed = default_world_from_camera() if world_from_camera is None else np.asarray(world_from_camera, np.float64)
    return placed @ CAMERA_FLIP


def world_from_camera_of(camera_object: Object) -> NDArray[np.float64]:
    """(4, 4) world from OpenCV camera axes of a camera in the scene, as it stands now: the artist may have moved it."""
    return np.array(camera_object.matrix_world, np.float64) @ CAMERA_FLIP


def to_camera_space(points: NDArray) -> NDArray[np.float32]:
    """Points or directions (..., 3) in OpenCV camera axes -> the local space of a Blender camera."""
    return points.astype(np.float32, copy=False) * np.array([1, -1, -1], np.float32)


def normal_vectors(normal_map: NormalMap) -> NDArray[np.float32]:
    """Unit vectors (H, W, 3) in the local space of a Blender camera; pixels that are not valid face the viewer."""
    facing = np.array([0, 0, 1], np.float32)
    return np.where(normal_map.valid[..., None], to_camera_space(normal_map.normals), facing)


def normal_colours(normal_map: NormalMap, *, green_down: bool = False) -> NDArray[np.float32]:
    """(H, W, 3) float32 colours 0..1 of the normals: red = right, green = up (OpenGL; `green_down` as DirectX has it),
    blue = towards the viewer."""
    half = np.array([0.5, -0.5 if green_down else 0.5, 0.5], np.float32)
    return normal_vectors(normal_map) * half + np.float32(0.5)


def transform(matrix: NDArray, points: NDArray) -> NDArray[np.float64]:
    """Points (..., 3) through an affine matrix (4, 4)."""
    return np.asarray(points, np.float64) @ matrix[:3, :3].T + matrix[:3, 3]
