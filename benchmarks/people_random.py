# SPDX-License-Identifier: GPL-3.0-or-later
"""Random people in random places, of known pose: the truth that nothing was tuned on by hand.

    python benchmarks/people_random.py [--seed 1] [--count 160] [--output .maquette/random]

Needs the environment of bpy 4.5. Picture n of a seed is the same whenever it is made. Develop on one seed and look at
another once. In the folder of the seed: NNNN.jpg, and NNNN.npz with the arrays of `truth/record.py` and

    in_view (P,)        share of the person's outline that the picture shows, 0..1
    tall (P,)           height of the whole figure in pixels, seen or not
    arrangement ()      what the people do together
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from maquette.inference.camera import Camera
from people_truth import seat_under
from truth.chance import Scene, draw, leaves
from truth.dress import Tailor
from truth.record import bodies_of, boxes_of, camera_numbers, in_camera, masks_of, visible_joints

if TYPE_CHECKING:
    from numpy.random import Generator
    from truth.stage import Stage

HERE = Path(__file__).resolve().parent
#: Masks are compared in a picture of about this many pixels across: shares, not outlines, are wanted.
ACROSS = 240


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Blender tells of every mesh that it draws."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def quick_stage(random: Generator, size: tuple[int, int]) -> Stage:
    """An empty stage whose pictures take a second."""
    from truth.stage import Stage

    stage = Stage(*size, 3, int(random.integers(1 << 30)), threads=1)
    cycles = stage.scene.cycles
    cycles.max_bounces = cycles.diffuse_bounces = 1
    cycles.denoising_quality, cycles.denoising_prefilter = "FAST", "NONE"
    cycles.use_light_tree = cycles.use_adaptive_sampling = False
    return stage


def make(number: int, seed: int, folder: Path, drawn: Callable[[Generator], Scene] = draw) -> str:
    """Render one picture and write its truth; what it shows, in words."""
    random = np.random.default_rng([seed, number])
    scene = drawn(random)
    width, height = scene.size
    stage = quick_stage(random, scene.size)
    stage.scene.render.image_settings.file_format = "JPEG"
    stage.scene.render.image_settings.quality = 88
    light(stage, random)
    surroundings(stage, random, scene)
    something_before(stage, random, scene)
    dressed = [Tailor(one.figure, outfit).dressed(one.vertices) for one, outfit, _ in scene.people]
    for pieces, (one, _, traits) in zip(dressed, scene.people, strict=True):
        stage.person(pieces)
        if traits["pose"] == "sit":
            centre, size = seat_under(one)
            stage.box(centre, size, material(random), turn=one.heading)
    world_to_camera = stage.camera(scene.at, scene.look, scene.focal)
    camera = Camera(scene.focal, scene.focal, width / 2, height / 2, width, height)
    with silent():
        stage.render(folder / f"{number:04d}.jpg")
    people = [one for one, _, _ in scene.people]
    shrink = ACROSS / max(width, height)
    small = Camera(
        scene.focal * shrink, scene.focal * shrink, width * shrink / 2, height * shrink / 2,
        round(width * shrink), round(height * shrink),
    )  # fmt: skip
    masks = masks_of(dressed, stage.solids, world_to_camera, small)
    whole, tall = whole_areas(people, dressed, world_to_camera, camera)
    placed = [in_camera(one, world_to_camera) for one in people]
    np.savez_compressed(
        folder / f"{number:04d}.npz",
        camera=camera_numbers(camera),
        world_to_camera=world_to_camera,
        attributes=np.array(json.dumps([traits for _, _, traits in scene.people])),
        arrangement=np.array(scene.arrangement),
        rotations=np.stack([one[0] for one in placed]).astype(np.float32),
        translation=np.stack([one[1] for one in placed]).astype(np.float32),
        joints=np.stack([one[2] for one in placed]).astype(np.float32),
        boxes=boxes_of(masks) / shrink,
        visible=visible_joints(people, stage.solids, world_to_camera, camera),
        in_view=np.minimum(masks.sum((1, 2)) / shrink**2 / whole, 1.0),
        tall=tall,
        **bodies_of(people),
    )
    return f"{scene.arrangement}, {len(people)} people of {', '.join(f'{h:.0f}' for h in tall)} px"


def whole_areas(people, dressed, world_to_camera, camera: Camera) -> tuple[Any, Any]:
    """Area (P,) and height (P,) in pixels of each person alone, in a picture large enough for all of them."""
    areas, heights = [], []
    for one, pieces in zip(people, dressed, strict=True):
        points = one.vertices @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
        places = camera.project(points[points[:, 2] > 0.1])
        low, high = places.min(0) - 4, places.max(0) + 4
        scale = 120 / max(high - low)
        wide, tall = np.ceil((high - low) * scale).astype(int)
        alone = replace(
            camera, fx=camera.fx * scale, fy=camera.fy * scale, cx=(camera.cx - low[0]) * scale,
            cy=(camera.cy - low[1]) * scale, width=int(wide), height=int(tall),
        )  # fmt: skip
        areas.append(masks_of([pieces], [], world_to_camera, alone).sum() / scale**2)
        heights.append(float(high[1] - low[1] - 8))
    return np.array(areas), np.array(heights)


def light(stage: Stage, random: Generator) -> None:
    """An even sky, and as often as not a sun or a lamp from somewhere in front."""
    import bpy

    tint = random.uniform(0.82, 1.0, 3)
    stage.overcast(random.uniform(0.5, 1.6), tuple(tint / tint.max()))
    if random.random() < 0.7:
        sun: Any = bpy.data.lights.new("sun", "SUN")
        sun.energy, sun.angle = random.uniform(1.0, 4.5), random.uniform(0.01, 0.3)
        item = bpy.data.objects.new("sun", sun)
        item.rotation_euler = (random.uniform(0.3, 1.2), 0.0, random.uniform(-1.8, 1.8))
        stage.scene.collection.objects.link(item)
    stage.scene.view_settings.exposure = random.normal(0, 0.35)


def material(random: Generator) -> Any:
    from truth.materials import surface

    colour = random.uniform(0.03, 0.6) * random.uniform(0.35, 1.0, 3)
    pattern = str(random.choice(["plain", "noise", "bricks", "tiles", "planks", "checks", "grass"]))
    name = str(random.choice(["wall", "thing"]))
    return surface(
        name, tuple(colour), pattern, scale=math.exp(random.uniform(0, 3.5)), roughness=random.uniform(0.2, 0.9)
    )


def surroundings(stage: Stage, random: Generator, scene: Scene) -> None:
    """Ground, a wall or none, things and leaves behind the people."""
    _, far = scene.reach
    distance = -scene.at[1]
    back = far + math.exp(random.uniform(math.log(0.5), math.log(12)))
    half = (distance + back) * scene.size[0] / scene.focal / 2
    stage.ground(material(random), extent=150.0)
    if random.random() < 0.7:
        tall = 2 * (distance + back) * scene.size[1] / scene.focal + 3
        stage.box((scene.look[0], back + 1, tall / 2), (2 * half + 6, 0.3, tall), material(random), solid=False)
    for _ in range(int(random.integers(2, 16))):
        size = np.exp(random.uniform(np.log(0.1), np.log(1.6), 3)) * (0.4 + half / 4)
        at = (scene.look[0] + random.uniform(-half, half), random.uniform(far + 0.3, back + 0.7) + size[1] / 2)
        lift = 0.0 if random.random() < 0.7 else random.uniform(0, 2.5)
        stage.box((*at, lift + size[2] / 2), size, material(random), random.uniform(0, 90), solid=False)
    for _ in range(int(random.integers(0, 5))):
        spread = np.exp(random.uniform(np.log(0.3), np.log(1.5), 3)) * (0.5 + half / 4)
        at = (scene.look[0] + random.uniform(-half, half), random.uniform(far + 0.3, back + 0.7) + spread[1])
        bush(stage, random, (*at, spread[2] * random.uniform(0.3, 1.5)), spread, False)


def something_before(stage: Stage, random: Generator, scene: Scene) -> None:
    """Now and then a box or a bush that hides part of somebody."""
    near, _ = scene.reach
    if random.random() < 0.22:
        before = scene.people[int(random.integers(len(scene.people)))][0].joints[0]
        at = (before[0] + random.uniform(-0.35, 0.35), near - random.uniform(0.15, 0.6))
        tall = random.uniform(0.25, 0.85)
        if random.random() < 0.5:
            stage.box((*at, tall / 2), (random.uniform(0.2, 0.9), 0.2, tall), material(random), random.uniform(-30, 30))
        else:
            bush(stage, random, (*at, tall / 2), np.array([random.uniform(0.2, 0.5), 0.1, tall / 2]), True)


def bush(stage: Stage, random: Generator, centre: Any, spread: Any, solid: bool) -> None:
    from truth.materials import surface

    size = float(np.prod(spread) ** (1 / 3)) * random.uniform(0.05, 0.2)
    vertices, faces = leaves(random, centre, spread, size, int(random.integers(300, 1500)))
    green = random.uniform(0.03, 0.2) * np.array([random.uniform(0.3, 1.0), 1.0, random.uniform(0.1, 0.5)])
    stage.mesh("leaves", vertices, faces, surface("leaf", tuple(green), "noise", scale=4))
    if solid:
        stage.solids.append((vertices, faces))


def main() -> int:
    parser = argparse.ArgumentParser(description="Render random people of known pose.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=160)
    parser.add_argument("--output", type=Path, default=HERE.parent / ".maquette" / "random")
    options = parser.parse_args()
    folder = options.output / str(options.seed)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(options.count):
        if (folder / f"{number:04d}.npz").exists():
            continue
        begin = time.perf_counter()
        told = make(number, options.seed, folder)
        print(f"{number}: {told}, {time.perf_counter() - begin:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
