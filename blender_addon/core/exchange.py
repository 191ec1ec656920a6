# SPDX-License-Identifier: GPL-3.0-or-later
"""What the worker thread and the builders hand each other: plain arrays. Nothing here imports bpy."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...inference.camera import Camera
    from ...inference.geometry.mask_shape import Outline
    from ...inference.photo import Photo

#: JPEG decoders round differently; more than this (of 255) on average is another picture.
_SAME_PICTURE = 4.0
#: Rows and columns that are compared, at most.
_COMPARED = 512


@dataclass(frozen=True)
class ShownPicture:
    """How Blender shows a picture. size : (width, height).  pixels : some of them, (h, w, 3) float32 0..1 sRGB."""

    size: tuple[int, int]
    pixels: NDArray[np.float32]

    @staticmethod
    def some(size: tuple[int, int]) -> tuple[slice, slice]:
        """The rows and columns that are compared."""
        return slice(None, None, 1 + size[1] // _COMPARED), slice(None, None, 1 + size[0] // _COMPARED)

    def is_of(self, photo: Photo) -> bool:
        """Whether this is what the photo shows, in its place."""
        if self.size != photo.size:
            return False
        return bool(np.abs(self.pixels * 255.0 - photo.pixels[self.some(self.size)]).mean() < _SAME_PICTURE)


@dataclass(frozen=True)
class TracedMask:
    """The outlines of a mask (see `inference.geometry.mask_shape`), and the distance in metres from the camera at which
    they are drawn."""

    outlines: tuple[Outline, ...]
    distance: float


@dataclass(frozen=True)
class HandTrack:
    """One hand over the frames of a clip.

    name : "L.1", by the side it was mostly taken for, numbered as the hands of that side appear.
    number : from 1 on, over both sides; the value in the ID map.  score : the mean over its frames.
    frames : (T,) frame indices, increasing.  vertices : (T, V, 3) float32 metres, camera axes.
    """

    name: str
    number: int
    side: str
    score: float
    faces: NDArray[np.int32]
    frames: NDArray[np.int64]
    vertices: NDArray[np.float32]


@dataclass(frozen=True)
class TexturedSurface:
    """The triangles of a mesh. uvs (T, 3, 2) : in the texture.

    corners (T, 3, 3) float64 : in camera axes (metres), or None where no camera looks at it.  camera : that camera.
    """

    uvs: NDArray[np.float64]
    corners: NDArray[np.float64] | None = None
    camera: Camera | None = None


@dataclass(frozen=True)
class MaskSpline:
    """A spline of Blender's Mask editor.

    points, left, right (P, 2) : control points and their handles.  weights (P,) : width of the feather there.
    between : of each point the further feather weights (N, 2) behind it: the place on the way to the next, the factor.
    """

    points: NDArray[np.float64]
    left: NDArray[np.float64]
    right: NDArray[np.float64]
    weights: NDArray[np.float64]
    between: tuple[NDArray[np.float64], ...]
    cyclic: bool
    fill: bool
    ease: bool


@dataclass(frozen=True)
class MaskLayer:
    """A layer of the Mask editor. opacity : 0..1.  blend, falloff : as Blender names them.  holes : splines inside
    others are holes."""

    splines: tuple[MaskSpline, ...]
    opacity: float
    blend: str
    falloff: str
    invert: bool
    holes: bool


def clean_name(name: str) -> str:
    """The name without the characters that no file system takes."""
    return re.sub(r'[/\\:*?"<>|]', "_", name)
