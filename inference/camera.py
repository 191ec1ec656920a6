# SPDX-License-Identifier: GPL-3.0-or-later
"""The pinhole camera. The only place that converts between camera conventions.

Arrays in `inference` use OpenCV camera axes: x right, y down, z forward, in metres. Pixel centres lie at +0.5, so
the picture's left edge is u = 0 and its right edge is u = width.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .errors import BadInput

#: Field of view of the long side for a photo that says nothing about its lens (a 35 mm lens on full frame is 54.4).
DEFAULT_FIELD_OF_VIEW = math.radians(55.0)

#: Least and greatest focal length in pixels. Beyond, depths are 0 or infinite as 32-bit floats.
_FOCAL_RANGE = 1e-3, 1e9
_FOCAL_REMEDY = "Give fx and fy in pixels, or leave them empty to use the photo's own."


@dataclass(frozen=True)
class Camera:
    """Pinhole intrinsics in pixels.

    `source` says where the focal length came from: "given", "exif", "scene", "lines" (straight edges, found or drawn),
    "photos" (several of one place), "motion" (of the camera of a clip), "model" or "default".
    up : the way up as a unit vector in camera axes, where straight edges tell it.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    width: int
    height: int
    source: str = "given"
    up: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        finite = all(math.isfinite(value) for value in (self.fx, self.fy, self.cx, self.cy))
        if not finite or self.fx <= 0 or self.fy <= 0:
            raise BadInput(
                f"The focal length ({self.fx:g}, {self.fy:g}) is not a positive number of pixels.",
                _FOCAL_REMEDY,
            )
        least, most = _FOCAL_RANGE
        if not least <= min(self.fx, self.fy) <= max(self.fx, self.fy) <= most:
            raise BadInput(f"No lens has a focal length of {self.fx:g} and {self.fy:g} pixels.", _FOCAL_REMEDY)
        if self.width < 1 or self.height < 1:
            raise BadInput(
                f"A picture cannot have {self.width} x {self.height} pixels.",
                "Choose another photo.",
            )

    @classmethod
    def default(cls, width: int, height: int) -> Camera:
        """A camera of `DEFAULT_FIELD_OF_VIEW` on the long side, principal point in the middle."""
        focal = 0.5 * max(width, height) / math.tan(0.5 * DEFAULT_FIELD_OF_VIEW)
        return cls(focal, focal, width / 2, height / 2, width, height, "default")

    @classmethod
    def from_focal_35mm(cls, focal_35mm: float, width: int, height: int, source: str = "exif") -> Camera:
        """A camera from the 35 mm equivalent focal length, which by the EXIF standard compares the diagonals."""
        focal = focal_35mm / math.hypot(36.0, 24.0) * math.hypot(width, height)
        return cls(focal, focal, width / 2, height / 2, width, height, source)

    @property
    def field_of_view(self) -> float:
        """Radians that the long side sees, the principal point taken as its middle."""
        side, focal = (self.width, self.fx) if self.width >= self.height else (self.height, self.fy)
        return 2 * math.atan(0.5 * side / focal)

    @property
    def lens(self) -> str:
        """The focal length and where it came from, to be read: "35 mm from EXIF", "55° guessed".

        Millimetres are those of full frame: from EXIF they compare the diagonals as its standard has it, else the long
        sides, so that they are what Blender's own cameras say.
        """
        if self.source == "default":
            return f"{math.degrees(self.field_of_view):.3g}° guessed"
        diagonals = self.fx / math.hypot(self.width, self.height) * math.hypot(36.0, 24.0)
        long_sides = 18.0 / math.tan(0.5 * self.field_of_view)
        told = {
            "exif": "from EXIF", "scene": "from the scene's camera", "model": "found by the model",
            "lines": "by straight lines", "photos": "by several photos", "motion": "by how the camera moves",
        }.get(self.source, "as given")  # fmt: skip
        return f"{diagonals if self.source == 'exif' else long_sides:.3g} mm {told}"

    def with_focal(self, fx: float | None, fy: float | None) -> Camera:
        """The same camera with another focal length (pixels); one value given stands for both. Where in the picture
        upright lines meet stays, and so the way up, where it is known, is that of the other lens.

        Raises `BadInput` for what is not a positive number.
        """
        given = [_pixels(name, focal) for name, focal in (("fx", fx), ("fy", fy)) if focal is not None]
        if not given:
            return self
        fx, fy, up = given[0], given[-1], self.up
        if up is not None:
            turned = up[0] * self.fx / fx, up[1] * self.fy / fy, up[2]
            up = turned[0] / math.hypot(*turned), turned[1] / math.hypot(*turned), turned[2] / math.hypot(*turned)
        return replace(self, fx=fx, fy=fy, source="given", up=up)

    def resized(self, width: int, height: int) -> Camera:
        """The camera of the same picture scaled to width x height."""
        sx, sy = width / self.width, height / self.height
        return replace(
            self, fx=self.fx * sx, fy=self.fy * sy, cx=self.cx * sx, cy=self.cy * sy, width=width, height=height
        )

    def cropped(self, rows: slice, columns: slice) -> Camera:
        """The camera of a part of the picture."""
        top, bottom, _ = rows.indices(self.height)
        left, right, _ = columns.indices(self.width)
        return replace(self, cx=self.cx - left, cy=self.cy - top, width=right - left, height=bottom - top)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Intrinsic matrix (3, 3) float64."""
        return np.array([[self.fx, 0, self.cx], [0, self.fy, self.cy], [0, 0, 1]], np.float64)

    def project(self, points: NDArray) -> NDArray:
        """Points (..., 3) in metres, camera axes -> pixels (..., 2)."""
        scale = np.array([self.fx, self.fy], points.dtype)
        centre = np.array([self.cx, self.cy], points.dtype)
        return points[..., :2] / points[..., 2:] * scale + centre

    def project_seen(self, points: NDArray) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Pixels (..., 2) of points (..., 3), and which of them (...) lie in front of the camera; -1 for the others."""
        in_front = points[..., 2] > 1e-6
        pixels = np.full((*points.shape[:-1], 2), -1.0)
        pixels[in_front] = self.project(points[in_front])
        return pixels, in_front

    def rays(self) -> NDArray[np.float32]:
        """Directions (H, W, 3) float32 through the pixel centres, with z = 1: point = ray * depth."""
        u = ((np.arange(self.width) + 0.5 - self.cx) / self.fx).astype(np.float32)
        v = ((np.arange(self.height) + 0.5 - self.cy) / self.fy).astype(np.float32)
        rays = np.ones((self.height, self.width, 3), np.float32)
        rays[..., 0] = u
        rays[..., 1] = v[:, None]
        return rays

    def unproject(self, depth: NDArray) -> NDArray[np.float32]:
        """Depth (H, W) in metres along z -> points (H, W, 3) float32 in camera axes."""
        return self.rays() * depth[..., None].astype(np.float32)


@dataclass(frozen=True)
class Lens:
    """A lens before a sensor, as 3D programs describe it, for pictures of any size. The words are Blender's.

    focal : focal length as a share of the sensor's fitted side.
    fit : "AUTO" (the side of the picture that is longer as it is shown), "HORIZONTAL" or "VERTICAL".
    shift_x, shift_y : of the picture's middle against the line of sight, as shares of the fitted side; right and up.
    aspect_x, aspect_y : a pixel's width and height as it is shown; only their ratio counts.
    render : pixels of the renders that the aspect belongs to, where that is known.
    fill : "FIT" or "CROP": photos of another shape lie in the middle of such a render, wholly in it or filling it,
        their pixels square; "" where the photo is the whole picture.
    """

    focal: float
    fit: str = "AUTO"
    shift_x: float = 0.0
    shift_y: float = 0.0
    aspect_x: float = 1.0
    aspect_y: float = 1.0
    render: tuple[int, int] | None = None
    fill: str = ""

    @classmethod
    def of(cls, camera: Camera) -> Lens:
        """The lens whose `camera(width, height)` is this camera, fitted to the longer side. Aspects are 1 or more."""
        ratio = camera.fy / camera.fx  # a pixel is this many times as wide as high
        aspect_x, aspect_y = max(ratio, 1.0), max(1.0 / ratio, 1.0)
        shown = camera.width * aspect_x, camera.height * aspect_y
        wide = shown[0] >= shown[1]
        fitted = shown[0] if wide else shown[1]
        return cls(
            focal=camera.fx * aspect_x / fitted,
            fit="HORIZONTAL" if wide else "VERTICAL",
            shift_x=(camera.width / 2 - camera.cx) * aspect_x / fitted,
            shift_y=(camera.cy - camera.height / 2) * aspect_y / fitted,
            aspect_x=aspect_x,
            aspect_y=aspect_y,
        )

    def camera(self, width: int, height: int, source: str = "scene") -> Camera:
        """The pinhole camera of a picture of width x height pixels taken through this lens."""
        pixel_x, pixel_y, shown_width, shown_height = self._shown(width, height)
        wide = shown_width >= shown_height if self.fit == "AUTO" else self.fit == "HORIZONTAL"
        fitted = shown_width if wide else shown_height
        return Camera(
            fx=self.focal * fitted / pixel_x,
            fy=self.focal * fitted / pixel_y,
            cx=width / 2 - self.shift_x * fitted / pixel_x,
            cy=height / 2 + self.shift_y * fitted / pixel_y,
            width=width,
            height=height,
            source=source,
        )

    def _shown(self, width: int, height: int) -> tuple[float, float, float, float]:
        """A pixel's width and height, and those of the picture that the sensor takes, in one unit.

        A photo of the render's own pixels has pixels of its shape. One that looks as the render does, but in other
        pixels, is the same picture in square ones. Any other photo is taken as a render of its own size.
        """
        whole = self.aspect_x, self.aspect_y, width * self.aspect_x, height * self.aspect_y
        if self.render is None or _alike(width / height, self.render[0] / self.render[1]):
            return whole
        shown = self.render[0] * self.aspect_x, self.render[1] * self.aspect_y
        across, down = shown[0] / width, shown[1] / height
        if _alike(across, down):
            return across, down, *shown
        if self.fill:
            pixel = min(across, down) if self.fill == "FIT" else max(across, down)
            return pixel, pixel, *shown
        return whole


def level_world(up: Sequence[float] | NDArray, height: float) -> NDArray[np.float64]:
    """The rigid transform (4, 4) from camera axes to a world in metres with z up, the camera above its origin.

    The camera looks along +y, so that x is to its right. up : (3,) the way up, in camera axes.
    height : metres of the camera over z = 0.
    """
    up = np.asarray(up, np.float64)
    forward = np.array([0.0, 0.0, 1.0]) - up[2] * up
    if np.linalg.norm(forward) < 1e-3:  # looking straight down: the picture's top is ahead
        forward = np.array([0.0, -1.0, 0.0]) + up[1] * up
    forward /= np.linalg.norm(forward)
    world = np.eye(4)
    world[:3, :3] = np.stack([np.cross(forward, up), forward, up])
    world[2, 3] = height
    return world


def y_up(points: NDArray) -> NDArray:
    """Points or directions (..., 3) from camera axes to those of glTF and OpenGL: x right, y up, z to the viewer."""
    return points * np.array([1, -1, -1], points.dtype)


def _alike(first: float, second: float) -> bool:
    """Whether two ratios differ by no more than what rounding to pixels does to the shape of a picture."""
    return abs(first / second - 1) < 0.005


def _pixels(name: str, focal: object) -> float:
    """A focal length that the caller gave, checked."""
    try:
        pixels = math.nan if isinstance(focal, bool) else float(focal)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        pixels = math.nan
    if not (math.isfinite(pixels) and pixels > 0):
        raise BadInput(
            f"The focal length {name} = {reprlib.repr(focal)} is not a positive number of pixels.", _FOCAL_REMEDY
        )
    return pixels
