# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds of depth, relief and normals, part by part, and how well the relief fits surfaces of known height.

    python3 -m installer run benchmarks/depth.py [--repeat 3] [--pictures FOLDER]

Every figure is the best of the repeats. --pictures writes one sheet a photo: photo, depth or relief, normals, lit.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from maquette import inference
from maquette.demo.samples import sample_photo
from maquette.inference.depth import relief
from maquette.inference.geometry import relief_grid
from maquette.inference.geometry.normals_from_depth import normals_from_depth
from maquette.inference.geometry.previews import normal_preview, to_resolution
from maquette.inference.geometry.rasteriser import rasterise
from maquette.inference.shipped.body import load_body
from numpy.typing import NDArray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--pictures", type=Path)
    options = parser.parse_args()
    photos(options.repeat, options.pictures)
    parts(options.repeat)
    known_surfaces()


def seconds(work: Callable[[], object], repeat: int) -> float:
    """The least time that `work` took."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def photos(repeat: int, pictures: Path | None) -> None:
    for name, model in [
        ("bus", "builtin"),
        ("zidane", "builtin"),
        ("astronaut", "builtin"),
        ("brick", "relief"),
        ("gravel", "relief"),
        ("coins", "relief"),
    ]:
        photo = inference.load_photo(sample_photo(name))
        result = inference.estimate_depth(photo, model, resolution=0)
        taken = seconds(lambda photo=photo, model=model: inference.estimate_depth(photo, model), repeat)
        known = result.depth[result.valid]
        told = (
            f"{known.min():.2f} to {known.max():.2f} m on {result.valid.mean():.0%} of the photo"
            if result.metric
            else ""
        )
        print(f"{model:8} {name:10} {photo.size[0]:4} x {photo.size[1]:<4} {taken:6.2f} s  {told}")
        if pictures is not None:
            pictures.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(pictures / f"{model}_{name}.png"), sheet(photo, result)[..., ::-1])


def sheet(photo: inference.Photo, result: inference.DepthMap) -> NDArray[np.uint8]:
    """Photo, preview, normals and the surface lit from the upper left, side by side."""
    assert result.normals is not None
    light = np.array([-0.55, -0.55, -0.63], np.float32)
    lit = (255 * np.clip(result.normals @ light, 0, 1) * result.valid).astype(np.uint8)
    panels = (photo.pixels, result.preview, normal_preview(result.normals, 0), np.repeat(lit[..., None], 3, -1))
    return np.hstack([to_resolution(panel, 480) for panel in panels])


def parts(repeat: int) -> None:
    """The steps after the people are found, on one body 2.5 m away in a photo of 1080 x 810."""
    body, camera = load_body(), inference.Camera.default(1080, 810)
    middle = (body.vertices.max(0) + body.vertices.min(0)) / 2
    vertices = body.vertices - middle + np.array([0, 0, 2.5], np.float32)
    depth, _ = rasterise(vertices, body.faces, camera)
    wall = np.full((810, 1080), 2.0, np.float32)
    wall_map = inference.DepthMap(wall, wall > 0, None, camera, True, np.zeros((8, 8, 3), np.uint8))
    gravel = inference.load_photo(sample_photo("gravel")).pixels
    large = np.asarray(cv2.resize(gravel, (2048, 2048)), np.uint8)
    for name, work in {
        f"z-buffer, {len(body.vertices)} vertices": lambda: rasterise(vertices, body.faces, camera),
        "normals of the body": lambda: normals_from_depth(depth, depth > 0, camera),
        "normals, every pixel": lambda: normals_from_depth(wall, wall > 0, camera),
        "torn mesh, a vertex a pixel": lambda: relief_grid.unprojected(wall_map, resolution=None),
        "relief, 512 x 512": lambda: relief.height(gravel),
        "relief, 2048 x 2048": lambda: relief.height(large),
    }.items():
        print(f"{name:30} {seconds(work, repeat):7.3f} s")


def known_surfaces(size: int = 320) -> None:
    """Correlation of relief and true height, over pebbles lit from three sides, with the light unknown and known."""
    rng = np.random.default_rng(3)
    rows, columns = np.mgrid[:size, :size]
    places = rng.uniform(0, size, (120, 2))
    nearest = np.sort([np.hypot(columns - x, rows - y) for x, y in places], 0)
    truth = np.sqrt(np.clip((nearest[1] - nearest[0]) * 1.5 * np.sqrt(len(places)) / size, 0, 1)).astype(np.float32)
    truth = cv2.GaussianBlur(truth, (0, 0), 1.5)
    paint = 1 + 0.25 * rng.normal(size=len(places))[np.argmin([np.hypot(columns - x, rows - y) for x, y in places], 0)]
    down, across = np.gradient(truth * 14)
    normal = np.stack([-across, -down, np.ones_like(truth)], -1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    scores: dict[bool, list[float]] = {False: [], True: []}
    for azimuth in (20, 140, 250):
        turn = np.radians(azimuth)
        shade = np.clip(normal @ (0.7 * np.cos(turn), -0.7 * np.sin(turn), 0.7), 0, 1)
        light = 0.5 * np.clip(paint, 0.3, 2) * (0.65 * shade + 0.35 * (0.3 + 0.7 * truth))
        grey = (255 * np.clip(light, 0, 1) ** (1 / 2.2)).astype(np.uint8)
        for known, found in scores.items():
            height = relief.height(np.repeat(grey[..., None], 3, -1), light=azimuth if known else None)
            found.append(float(np.corrcoef(height.ravel(), truth.ravel())[0, 1]))
    for known, found in scores.items():
        print(f"relief of painted pebbles, light {'known' if known else 'unknown':8} correlation {np.mean(found):.2f}")


if __name__ == "__main__":
    main()
