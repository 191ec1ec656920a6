# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures to judge an answer by eye: recovered bodies over the photo, seen again from the side, beside the truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from maquette.inference.camera import Camera
from maquette.inference.geometry.rasteriser import rasterise
from maquette.inference.geometry.skinning import pose_body

if TYPE_CHECKING:
    from maquette.inference.results import Body, Person
    from numpy.typing import NDArray

COLOURS = ((255, 140, 60), (80, 200, 255), (160, 255, 110), (255, 110, 220), (255, 240, 90), (190, 150, 255))


def shaded(
    bodies: list[NDArray], faces: NDArray, camera: Camera, background: NDArray, opacity: float
) -> NDArray[np.uint8]:
    """Bodies (V, 3) in camera axes drawn over a picture (H, W, 3) uint8."""
    if not bodies:
        return background
    vertices = np.concatenate(bodies)
    triangles = np.concatenate([faces + number * len(bodies[0]) for number in range(len(bodies))])
    _, index = rasterise(vertices, triangles, camera)
    corners = vertices[triangles]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    light = 0.25 + 0.75 * np.clip(normals @ np.array([0.35, -0.5, -0.79]), 0, 1)
    tint = np.array([COLOURS[(number // len(faces)) % len(COLOURS)] for number in range(0, len(triangles), len(faces))])
    colour = np.repeat(tint, len(faces), axis=0) * light[:, None]
    drawn = index >= 0
    picture = background.astype(np.float64)
    picture[drawn] = (1 - opacity) * picture[drawn] + opacity * colour[index[drawn]]
    return picture.astype(np.uint8)


def overlay(
    pixels: NDArray, body: Body, persons: tuple[Person, ...], camera: Camera, truth: dict[str, NDArray], caption: str
) -> NDArray[np.uint8]:
    """The photo with the recovered bodies, and from the right-hand side the recovered and, below, the true ones."""
    import cv2

    height, width = pixels.shape[:2]
    front = shaded([person.vertices for person in persons], body.faces, camera, pixels, 0.75)
    true = list(pose_body(body, truth["shape"], truth["rotations"], truth["translation"])[0])
    side_height = height // 2
    dark = np.full((side_height, width // 2, 3), 40, np.uint8)
    recovered = _from_the_side([person.vertices for person in persons], body.faces, dark)
    sides = np.concatenate([recovered, _from_the_side(true, body.faces, dark)])
    sides = np.concatenate([sides, np.zeros((height - len(sides), sides.shape[1], 3), np.uint8)])
    sheet = np.concatenate([front, sides], axis=1)
    cv2.putText(sheet, caption, (6, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (255, 255, 255), 1, cv2.LINE_AA)
    return sheet


def _from_the_side(bodies: list[NDArray], faces: NDArray, background: NDArray) -> NDArray[np.uint8]:
    """Bodies seen along the x axis of the camera, from its right, drawn to fill the picture."""
    if not bodies:
        return background
    height, width = background.shape[:2]
    points = np.concatenate(bodies).astype(np.float64)
    low, high = points.min(0), points.max(0)
    middle = 0.5 * (low + high)
    size = max(high[1] - low[1], (high[2] - low[2]) * height / width, 0.5)
    away = 12.0
    focal = 0.9 * height * away / size
    camera = Camera(focal, focal, width / 2, height / 2, width, height)
    turned = [np.stack([b[:, 2] - middle[2], b[:, 1] - middle[1], away - (b[:, 0] - middle[0])], 1) for b in bodies]
    return shaded(turned, faces, camera, background, 1.0)


def contact_sheet(pictures: list[NDArray], path: Path, height: int = 300, columns: int = 5) -> None:
    """Pictures of any size in rows of equal height, as JPEG or PNG."""
    import cv2

    small = [
        cv2.resize(p, (round(p.shape[1] * height / p.shape[0]), height), interpolation=cv2.INTER_AREA) for p in pictures
    ]
    rows = [np.concatenate(small[start : start + columns], axis=1) for start in range(0, len(small), columns)]
    width = max(row.shape[1] for row in rows)
    padded = [np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows]
    cv2.imwrite(str(path), np.concatenate(padded)[..., ::-1])
