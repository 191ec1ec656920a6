# SPDX-License-Identifier: GPL-3.0-or-later
"""How well camera, floor, people and depth of *Scene from Photo* agree, on rendered people of known depth.

    python benchmarks/scene_truth.py [--output .maquette/truth] [--only NAME ...]

Cycles' own depth, multiplied by a wrong scale and with 2 % of noise a pixel, stands in for a depth network; the people
are recovered from the picture by what ships. Needs the environment of bpy 4.5. Of each picture and scale:

    depth      what the scene's metres are of the true ones
    up         degrees between the found way up and the true one
    floor      height of the camera over the found floor, as the depth has it: of the true height, over `depth`
    people     how far each person's body is where the picture shows it: of what Cycles sees there, over `depth`
    feet       height of the lowest point of each person over the found floor, as a share of the camera's height
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from maquette.inference import Camera, load_photo, reconstruct_scene
from maquette.inference.geometry.rasteriser import rasterise
from maquette.inference.results import DepthMap
from people_truth import HERE, make_still

NAMES = ("standing_front", "contrapposto_three_quarter", "walking_left_side", "two_side_by_side", "three_people")
SCALES = 0.9, 1.12


def noisy(depth: np.ndarray, scale: float, camera: Camera) -> DepthMap:
    """What a network that errs so would say; the sky is no surface."""
    random = np.random.default_rng(5)
    known = np.isfinite(depth) & (depth < 200)
    said = np.where(known, depth * scale * np.exp(random.normal(0, 0.02, depth.shape)), 0).astype(np.float32)
    return DepthMap(said, known, None, camera, True, np.zeros((2, 2, 3), np.uint8), model="moge-2-small")


def measured(folder: Path, name: str, scale: float) -> dict[str, Any]:
    """The figures of one picture."""
    from dataclasses import replace

    truth, depth = np.load(folder / f"{name}.npz"), np.load(folder / f"{name}.depth.npy")
    fx, fy, cx, cy, width, height = truth["camera"].tolist()
    camera = Camera(fx, fy, cx, cy, int(width), int(height))
    photo = replace(load_photo(folder / f"{name}.png"), camera=camera)
    found = reconstruct_scene(photo, scene_depth=noisy(depth, scale, camera))
    assert found.depth is not None
    seen = found.depth.valid & np.isfinite(depth) & (depth < 200) & ~np.any(truth["masks"], 0)
    whole = float(np.median(found.depth.depth[seen] / depth[seen]))
    up, own_height = found.world_from_camera[2, :3], found.world_from_camera[2, 3]
    true = truth["world_to_camera"]
    true_height = float(-(true[:3, :3].T @ true[:3, 3])[2])
    people, feet, body = [], [], found.people.body
    for person in found.people.frames[0]:
        drawn = rasterise(person.vertices, body.faces, camera)[0]
        mask = max(truth["masks"], key=lambda one: (one & (drawn > 0)).sum()) & (drawn > 0)
        people.append(float(np.median(drawn[mask] / depth[mask])) / whole)
        feet.append(float(np.percentile(person.vertices @ up + own_height, 0.5)) / own_height)
    degrees = float(np.degrees(np.arccos(np.clip(up @ true[:3, 2], -1, 1))))
    return {"depth": whole, "up": degrees, "floor": own_height / true_height / whole, "people": people, "feet": feet}


def main() -> int:
    parser = argparse.ArgumentParser(description="Agreement of a scene's camera, floor, people and depth.")
    parser.add_argument("--output", type=Path, default=HERE.parent / ".maquette" / "truth")
    parser.add_argument("--only", nargs="*", default=NAMES, help="names of stills")
    parser.add_argument("--samples", type=int, default=16)
    options = parser.parse_args()
    folder = options.output / "depth"
    folder.mkdir(parents=True, exist_ok=True)
    pictures = tomllib.loads((HERE / "truth" / "stills.toml").read_text("utf-8"))["picture"]
    for number, picture in enumerate(pictures):
        name = picture["name"]
        if name not in options.only:
            continue
        if not (folder / f"{name}.depth.npy").exists():
            make_still(picture, folder, options.samples, number, depth=True)
        for scale in SCALES:
            figures = measured(folder, name, scale)
            told = "  ".join(f"{key} {np.round(value, 3)}" for key, value in figures.items())
            print(f"{name:28} depth network x {scale:4}: {told}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
