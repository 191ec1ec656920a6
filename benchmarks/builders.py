# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds from arrays to Blender data: 1 M vertices of relief, a 2048 x 2048 float image, 300 frames of a body.

    python benchmarks/builders.py [--repeat 3] [--json FILE]

Run it with the Python of each environment that has `bpy`. Each figure is the best of the repeats, beside the time of
Blender's own plain way in the same run where there is one (`from_pydata`, a Python list of pixels, `keyframe_insert`).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from maquette.blender_addon.builders.bodies import body as bodies
from maquette.blender_addon.builders.bodies.body import BodyOptions
from maquette.blender_addon.builders.camera import matched, scene
from maquette.blender_addon.builders.images import image
from maquette.blender_addon.builders.masks import grease_pencil, mask_data
from maquette.blender_addon.builders.surfaces import live, meshes, relief
from maquette.blender_addon.core.exchange import TracedMask
from maquette.inference.camera import Camera
from maquette.inference.geometry import mask_shape
from maquette.inference.geometry.relief_grid import unprojected
from maquette.inference.geometry.skinning import pose_body
from maquette.inference.photo import Photo
from maquette.inference.results import DepthMap, Person
from maquette.inference.shipped.body import ATTRIBUTES, load_body, shape_from_attributes

_SIDE = 2048
_FRAMES = 300


def wall(side: int) -> DepthMap:
    """A slowly waving wall: one vertex a pixel, no edge."""
    rows, columns = np.mgrid[:side, :side]
    depth = (3 + 0.1 * np.sin(columns / 40) + rows / (2 * side)).astype(np.float32)
    black = np.zeros((side, side, 3), np.uint8)
    return DepthMap(depth, np.ones((side, side), bool), None, Camera.default(side, side), True, black)


def disc(side: int) -> np.ndarray:
    """A mask (side, side) that is white on half of its area."""
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    return (rows**2 + columns**2 < 0.5 / np.pi).astype(np.float32)


def walk(frames: int) -> list[tuple[int, Person]]:
    """A person of whom every joint swings."""
    body = load_body()
    random = np.random.default_rng(0)
    swing, phase = random.normal(0, 0.2, (len(body.parents), 3)), random.uniform(0, 6, (len(body.parents), 1))
    angles = swing * np.sin(np.arange(frames)[:, None, None] / 8 + phase) + 1e-6
    size = np.linalg.norm(angles, axis=-1, keepdims=True)
    turns = np.concatenate([np.cos(size / 2), angles / size * np.sin(size / 2)], axis=-1).astype(np.float32)
    shape, place = shape_from_attributes(ATTRIBUTES), np.array([0, 0, 4], np.float32)
    vertices, joints = pose_body(body, shape, turns, place)
    confidence = np.ones(len(body.parents), np.float32)
    points = np.zeros((1, 2), np.float32)
    return [
        (frame, Person(0, (0, 0, 1, 1), 1.0, None, vertices[frame], joints[frame], points, turns[frame], shape, place,
                       confidence))
        for frame in range(frames)
    ]  # fmt: skip


def seconds(work: Callable[[], Any], repeat: int) -> float:
    """The best of `repeat` runs, each in an empty file."""
    best = float("inf")
    for _ in range(repeat):
        bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


def measure(repeat: int) -> dict[str, float]:
    """Name -> seconds."""
    million = wall(1024)
    with tempfile.TemporaryDirectory(prefix="maquette ") as folder:
        return {
            **_reliefs(million, repeat),
            **_images(folder, repeat),
            **_masks(million, repeat),
            **_bodies(folder, repeat),
        }


def _before_camera(depth_map: DepthMap) -> tuple[bpy.types.Object, bpy.types.Object]:
    """The relief of a depth map with its photo, and its matched camera."""
    camera = depth_map.camera
    picture = image.photo_image(Photo(np.zeros((camera.height, camera.width, 3), np.uint8), camera, "wall"))
    eye = matched.matched_camera(camera, picture)
    made = relief.relief_mesh(depth_map, name="wall", camera_object=eye, photo_image=picture, resolution=None)
    return made, eye


def _reliefs(million: DepthMap, repeat: int) -> dict[str, float]:
    surface = unprojected(million, resolution=None)
    prepared = replace(surface, uvs=surface.uvs[surface.quads]), surface.edges()

    def plain_mesh() -> None:
        mesh = bpy.data.meshes.new("plain")
        mesh.from_pydata(surface.vertices, [], surface.quads)
        mesh.update()

    return {
        "relief of 1,048,576 vertices, from the depth map": seconds(lambda: _before_camera(million) and None, repeat),
        "  of that on the main thread, its arrays made by the worker": seconds(
            lambda: relief.relief_mesh(million, name="wall", found=prepared), repeat
        ),
        "  the same mesh, its edges looked for by Blender": seconds(
            lambda: meshes.new_mesh("wall", surface.vertices, surface.quads, prepared[0].uvs), repeat
        ),
        "  the same mesh through from_pydata, without UVs": seconds(plain_mesh, 1),
        "live relief of 1,048,576 vertices, one evaluation": _evaluation(million, repeat, specks=0),
        "  specks looked for": _evaluation(million, repeat, specks=16),
    }


def _images(folder: str, repeat: int) -> dict[str, float]:
    depth = wall(_SIDE).depth
    return {
        "float image 2048 x 2048, in memory": seconds(
            lambda: image.new_image("wall", depth, is_float=True, is_data=True), repeat
        ),
        "float image 2048 x 2048, packed": seconds(lambda: image.float_image("wall", depth), repeat),
        "float image 2048 x 2048, OpenEXR file": seconds(lambda: image.float_image("wall", depth, folder), repeat),
        "  the same pixels as a Python list": seconds(lambda: _plain_image(depth), 1),
    }


def _masks(million: DepthMap, repeat: int) -> dict[str, float]:
    def on_points(visible_only: bool) -> float:
        obj, eye = _before_camera(million)
        scene.view_layer().update()
        started = time.perf_counter()
        mask_data.mask_attribute(obj, disc(1024), million.camera, eye, visible_only=visible_only)
        return time.perf_counter() - started

    def outline() -> float:
        mask = disc(_SIDE)
        started = time.perf_counter()
        traced = TracedMask(tuple(mask_shape.outlines(mask)), 2.0)
        grease_pencil.outlines({"disc": {1: traced}}, Camera.default(_SIDE, _SIDE), name="disc")
        return time.perf_counter() - started

    def best(part: Callable[[], float]) -> float:
        """Of a part of the work alone, each time in an empty file."""
        taken: list[float] = []
        seconds(lambda: taken.append(part()), repeat)
        return min(taken)

    return {
        "mask on the points of 1,048,576 vertices, hidden ones too": best(lambda: on_points(False)),
        "mask on the points of 1,048,576 vertices, those in view": best(lambda: on_points(True)),
        "outline of a disc in 2048 x 2048 as Grease Pencil": best(outline),
    }


def _bodies(folder: str, repeat: int) -> dict[str, float]:
    track, body = walk(_FRAMES), load_body()

    def person(mode: str) -> Callable[[], None]:
        return lambda: bodies.build_person(body, track, BodyOptions(mode, folder=folder), name="walker") and None

    return {
        "body, 300 frames, armature and action": seconds(person("ARMATURE"), repeat),
        "  its 419 F-curves through keyframe_insert": seconds(lambda: _plain_keys(len(body.parents)), 1),
        "body, 300 frames, vertex cache": seconds(person("VERTEX_CACHE"), repeat),
        "body, 300 frames, shape keys": seconds(person("SHAPE_KEYS"), repeat),
    }


def _evaluation(depth_map: DepthMap, repeat: int, *, specks: int) -> float:
    """The best time in which Blender evaluates the modifier of a live relief again."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    picture = image.new_image("wall", depth_map.depth, is_float=True, is_data=True)
    obj = live.live_relief(depth_map.camera, picture, name="wall", resolution=None, specks=specks)
    best = float("inf")
    for _ in range(repeat + 1):  # the first reads the image
        obj.update_tag()
        started = time.perf_counter()
        scene.view_layer().update()
        best = min(best, time.perf_counter() - started)
    return best


def _plain_image(depth: np.ndarray) -> None:
    picture = bpy.data.images.new("plain", depth.shape[1], depth.shape[0], float_buffer=True, is_data=True)
    picture.pixels = np.repeat(depth.ravel(), 4).tolist()


def _plain_keys(joints: int) -> None:
    holders = [bpy.data.objects.new("bone", None) for _ in range(joints)]
    for holder in holders:
        holder.rotation_mode = "QUATERNION"
        for frame in range(_FRAMES):
            holder.keyframe_insert("rotation_quaternion", frame=frame)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    chosen = parser.parse_args()
    figures = measure(chosen.repeat)
    print(f"Blender {bpy.app.version_string}, numpy {np.__version__}")
    for name, value in figures.items():
        print(f"{value:8.3f} s  {name}")
    if chosen.json:
        chosen.json.write_text(json.dumps({"blender": bpy.app.version_string, "seconds": figures}, indent=1))


if __name__ == "__main__":
    main()
