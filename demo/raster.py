# SPDX-License-Identifier: GPL-3.0-or-later
"""Frames of a clip, shaded by Maquette's own rasteriser: a body on a floor under sun and sky, without noise.

A frame takes a tenth of a second, where Cycles takes one; the light is that of `render.light_scene`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bpy
import cv2
import numpy as np
from scipy.ndimage import map_coordinates

from ..inference.camera import Camera
from ..inference.geometry.rasteriser import rasterise
from ..inference.photo.colour import light_to_srgb, quantised
from . import render

if TYPE_CHECKING:
    from bpy.types import Object
    from numpy.typing import NDArray

    Floats = NDArray[np.floating]

#: Subpixels along each side of a pixel.
_FINE = 2
#: Metres per pixel of the maps that lie on the floor.
_TEXEL = 0.01
#: Body parts below this height, metres, darken the floor beneath them.
_CONTACT = 0.15
#: Metres at which half of the floor is lost in the haze.
_HAZE = 14.0


@dataclass(frozen=True)
class Body:
    """A mesh in one frame: vertices and normals (V, 3) in world space, triangles (F, 3), and its linear colour (3,)."""

    vertices: Floats
    normals: Floats
    faces: NDArray[np.int32]
    colour: Floats


def body_of(obj: Object) -> Body:
    """Of a mesh object in the current frame."""
    evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = evaluated.to_mesh()
    mesh.calc_loop_triangles()
    count, triangles = len(mesh.vertices), mesh.loop_triangles
    points, normals = np.empty(count * 3, np.float32), np.empty(count * 3, np.float32)
    faces = np.empty(len(triangles) * 3, np.int32)
    mesh.vertices.foreach_get("co", points)
    mesh.vertices.foreach_get("normal", normals)
    triangles.foreach_get("vertices", faces)
    matrix = np.array(evaluated.matrix_world, np.float32)
    evaluated.to_mesh_clear()
    points = points.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]
    normals = normals.reshape(-1, 3) @ np.linalg.inv(matrix[:3, :3])
    material: Any = obj.active_material
    colour = np.array(material.diffuse_color[:3], np.float32)
    return Body(points, _unit(normals), faces.reshape(-1, 3), colour)


@dataclass(frozen=True)
class FloorMap:
    """What stands above the floor, seen along light that shines in `direction`. height : (h, w) metres, -1 where
    nothing does.  low : x and y of the map's corner in world space."""

    height: Floats
    low: Floats
    direction: Floats

    @classmethod
    def of(cls, points: Floats, faces: NDArray, direction: Floats) -> FloorMap:
        flat = points[:, :2] - points[:, 2:] * (direction[:2] / direction[2])
        low = flat.min(0) - 0.5
        width, height = np.ceil((flat.max(0) + 0.5 - low) / _TEXEL).astype(int)
        # A rasteriser of perspective draws in parallel where x and y are multiplied by z first.
        z = 100 - points[:, 2:]
        seen = np.concatenate([(flat - low) * z, z], 1)
        depth, _ = rasterise(seen, faces, Camera(1 / _TEXEL, 1 / _TEXEL, 0, 0, int(width), int(height)))
        return cls(np.where(depth > 0, 100 - depth, -1).astype(np.float32), low.astype(np.float32), direction)

    def at(self, values: Floats, points: Floats) -> Floats:
        """A map's values (N,) where the light through the points (N, 3) meets the floor, 0 beyond it."""
        flat = points[:, :2] - points[:, 2:] * (self.direction[:2] / self.direction[2])
        return map_coordinates(values, ((flat - self.low) / _TEXEL - 0.5).T[::-1], order=1)

    def covers(self, points: Floats) -> NDArray[np.bool_]:
        """Whether points (N, 3) on the floor lie on the map."""
        place = (points[:, :2] - self.low) / _TEXEL
        return ((place >= 0) & (place < self.height.shape[::-1])).all(1)

    def soft(self, spread: float) -> tuple[list[Floats], Floats]:
        """The shadow (h, w) 0..1 at four softnesses, and which of them (0..3, fractions between) is right for each
        texel: penumbrae grow by `spread` with the height of what throws them."""
        hard = (self.height >= 0).astype(np.float32)
        near = cv2.GaussianBlur(hard, (0, 0), 8)
        height = cv2.GaussianBlur(self.height * hard, (0, 0), 8) / np.maximum(near, 1e-3)
        levels = [np.asarray(cv2.GaussianBlur(hard, (0, 0), 2.0**level), np.float32) for level in range(4)]
        return levels, np.clip(np.log2(np.maximum(height * spread / _TEXEL, 1)), 0, 3).astype(np.float32)


class Light:
    """The sun's shadows and the darkness beneath the body's feet, for one frame."""

    def __init__(self, body: Body, sun: Floats) -> None:
        self.sun, faces = sun, body.faces
        self.shadows = FloorMap.of(body.vertices, faces, sun)
        self.levels, self.softness = self.shadows.soft(math.tan(render.SUN_ANGLE / 2) / -sun[2])
        low = faces[(body.vertices[faces, 2] < _CONTACT).all(1)]
        self.contact = FloorMap.of(body.vertices, low, np.array([0, 0, -1], np.float32))
        self.dark = np.asarray(cv2.GaussianBlur((self.contact.height >= 0).astype(np.float32), (0, 0), 6), np.float32)

    def on_floor(self, points: Floats) -> tuple[Floats, Floats]:
        """Share of the sun (N,) and of the sky (N,) that reach points on the floor."""
        softness = self.shadows.at(self.softness, points)
        dark = np.zeros(len(points), np.float32)
        for number, level in enumerate(self.levels):
            dark += self.shadows.at(level, points) * np.clip(1 - np.abs(softness - number), 0, 1)
        return 1 - dark, 1 - 0.6 * self.contact.at(self.dark, points)

    def on_body(self, points: Floats) -> Floats:
        """Share of the sun (N,) that reaches points on the body."""
        lit = self.shadows.at(self.shadows.height, points) < points[:, 2] + 0.03
        return lit.astype(np.float32)


class View:
    """What a camera that stands still sees. over : only the body and its shadow, the rest transparent."""

    def __init__(self, camera: Object, width: int, height: int, sun: Floats, *, over: bool = False) -> None:
        self.size, self.over = (width, height), over
        self.lens, self.axes, self.place = _lens(camera, width * _FINE, height * _FINE)
        u, v = np.meshgrid(np.arange(self.lens.width) + 0.5, np.arange(self.lens.height) + 0.5)
        flat = np.stack([(u - self.lens.cx) / self.lens.fx, (v - self.lens.cy) / self.lens.fy, np.ones_like(u)], -1)
        self.rays = flat.astype(np.float32).reshape(-1, 3) @ self.axes
        self.down = np.flatnonzero(self.rays[:, 2] < -1e-3)
        far = -self.place[2] / self.rays[self.down, 2]
        self.floor = self.place + self.rays[self.down] * far[:, None]
        self.checks = np.array(render.CHECKS, np.float32)[np.floor(self.floor[:, :2]).sum(1).astype(int) % 2]
        self.clear = (1 / (1 + (far / _HAZE) ** 2))[:, None]
        self.empty = np.zeros((len(self.rays), 4), np.float32)
        if not over:
            self.empty[:] = (*render.SKY, 1)
            self.empty[self.down, :3] = self._floor(np.s_[:], -sun[2], np.ones(1, np.float32))

    def _floor(self, part: Any, sun: Floats, sky: Floats) -> Floats:
        """Colours of a part of the floor, lost in the haze far away."""
        return render.SKY + (self.checks[part] * _irradiance(sun, sky) - render.SKY) * self.clear[part]

    def picture(self, body: Body, light: Light) -> NDArray[np.uint8]:
        """(height, width, 4) uint8 sRGB."""
        drawn = rasterise((body.vertices - self.place) @ self.axes.T, body.faces, self.lens, cull=True)
        depth, face = (one.reshape(-1) for one in drawn)
        colours = self.empty.copy()
        near = np.flatnonzero(light.shadows.covers(self.floor))
        sun, sky = light.on_floor(self.floor[near])
        if self.over:
            colours[self.down[near], 3] = 1 - (1 + sun) / 2 * sky
        else:
            colours[self.down[near], :3] = self._floor(near, -light.sun[2] * sun, sky)
        seen = np.flatnonzero(face >= 0)
        points = self.place + self.rays[seen] * depth[seen, None]
        normals = _normals(body, face[seen], points)
        direct = np.clip(-normals @ light.sun, 0, 1) * light.on_body(points)
        colours[seen, :3] = body.colour * _irradiance(direct, 0.9 + 0.2 * normals[:, 2])
        colours[seen, 3] = 1
        colours[:, :3] *= colours[:, 3:]
        whole = colours.reshape(self.lens.height, self.lens.width, 4)
        whole = cv2.resize(whole, self.size, interpolation=cv2.INTER_AREA)
        whole[..., :3] = light_to_srgb(whole[..., :3] / np.maximum(whole[..., 3:], 1e-6))
        return quantised(whole)


def _irradiance(sun: Floats, sky: Floats) -> Floats:
    """(N, 3) of a surface, as the brightness of white. sun : cosine times share that arrives.  sky : share seen."""
    return np.reshape(sun, (-1, 1)) * (render.SUN / math.pi) + sky[:, None] * np.array(render.SKY, np.float32)


def _normals(body: Body, face: NDArray, points: Floats) -> Floats:
    """Smooth normals (N, 3) at points of faces."""
    a, b, c = (body.vertices[body.faces[face, corner]] for corner in range(3))
    areas = [np.linalg.norm(np.cross(one - points, two - points), axis=1) for one, two in ((b, c), (c, a), (a, b))]
    return _unit(sum(area[:, None] * body.normals[body.faces[face, corner]] for corner, area in enumerate(areas)))


def _unit(vectors: Any) -> Floats:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


def _lens(camera: Object, width: int, height: int) -> tuple[Camera, Floats, Floats]:
    """Of a camera object: intrinsics, its axes as rows (x right, y down, z forward) in world space, and its place."""
    matrix = camera.calc_matrix_camera(bpy.context.evaluated_depsgraph_get(), x=width, y=height)
    (fx, _, skew_x, _), (_, fy, skew_y, _) = matrix[0], matrix[1]
    lens = Camera(fx * width / 2, fy * height / 2, width / 2 * (1 - skew_x), height / 2 * (1 + skew_y), width, height)
    world = np.array(camera.matrix_world, np.float32)
    axes = world[:3, :3].T * np.array([[1], [-1], [-1]], np.float32)
    return lens, _unit(axes), world[:3, 3]
