# SPDX-License-Identifier: GPL-3.0-or-later
"""Shots whose camera moves, of somebody who walks with feet that do not slide: drawn, recovered and compared.

    python benchmarks/people_moving.py [--output .maquette/moving] [--only NAME ...]

The surroundings are textured planes, the body is drawn by our rasteriser: half a second a frame. In the output folder
NAME/0000.png ... and NAME.npz: camera (6,), world_to_camera (T, 4, 4), joints (T, J, 3) in the world, planted
(T, 2, 2), fps. What lies there is not made again. The figures, with the true lens:

    turn      largest angle between the recovered and the true camera's turn since the first frame, degrees
    path      distance of the root over the ground from first to last frame, recovered over true
    slide     mean speed of the ankle in the world while the true foot stands flat, m/s
    lowest    median over the frames of the height of the body's lowest point, mm
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from maquette import inference
from maquette.inference.camera import Camera
from maquette.inference.geometry.rasteriser import rasterise
from maquette.inference.people.clip.ground import world_from_camera
from maquette.inference.people.clip.motion import in_first_camera
from maquette.inference.photo import Clip, Photo
from maquette.inference.results import Body, People
from numpy.typing import NDArray
from people_truth import figure_of
from PIL import Image
from truth.record import camera_numbers, camera_of, load, stand_in_walk
from truth.walk import Gait, walk

HERE = Path(__file__).resolve().parent
WIDTH, HEIGHT, FOCAL, FPS, FRAMES = 480, 360, 560.0, 24, 60


def _time(frame: int) -> float:
    return frame / FPS


def _wobble(frame: int, seed: int, size: float) -> NDArray[np.float64]:
    """What a hand does to a camera: three slow waves an axis."""
    random = np.random.default_rng(seed)
    rates, phases = random.uniform(0.3, 1.6, (3, 3)), random.uniform(0, 2 * np.pi, (3, 3))
    return size * np.sin(2 * np.pi * rates * _time(frame) + phases).sum(axis=1) / 2


def _dolly(frame: int) -> tuple[Any, Any]:
    x = -1.4 + 1.15 * _time(frame)
    return (x, -4.6, 1.45), (x, 0, 0.95)


def _pan(frame: int) -> tuple[Any, Any]:
    return (0, -4.6, 1.45), (-1.4 + 1.15 * _time(frame), 0, 0.95)


def _handheld(frame: int) -> tuple[Any, Any]:
    return np.array([0.0, -5.4, 1.5]) + _wobble(frame, 1, 0.04), np.array([0, 0, 0.95]) + _wobble(frame, 2, 0.12)


def _orbit(frame: int) -> tuple[Any, Any]:
    angle = np.radians(-25 + 50 * frame / FRAMES)
    return (4.6 * np.sin(angle), -4.6 * np.cos(angle), 1.45), (0, 0, 0.95)


def _still(frame: int) -> tuple[Any, Any]:
    return (0, -5.4, 1.5), (0, 0, 0.95)


#: Name -> the camera's way, and where the walker begins, the heading and the gait.
SHOTS: dict[str, tuple[Any, tuple[float, float], float, Gait]] = {
    "still": (_still, (-1.4, 0.2), 94, Gait(speed=1.2)),
    "dolly": (_dolly, (-1.5, 0.1), 90, Gait(speed=1.2)),
    "pan": (_pan, (-1.5, 0.0), 88, Gait(speed=1.2)),
    "handheld": (_handheld, (1.4, 0.4), -100, Gait(speed=1.15)),
    "orbit": (_orbit, (-0.9, 0.3), 80, Gait(speed=0.8, cadence=0.8)),
}


@dataclass(frozen=True)
class Panel:
    """A textured rectangle: a corner (3,), its two sides (2, 3) in metres, and a picture (h, w, 3) float over it."""

    corner: NDArray[np.float64]
    sides: NDArray[np.float64]
    picture: NDArray[np.float32]


def _texture(random: np.random.Generator, height: int, width: int, tint: Any) -> NDArray[np.float32]:
    """Blotches of all sizes."""
    grey = np.zeros((height, width), np.float32)
    for size in (4, 9, 20, 45):
        small = random.normal(0, 1, (max(2, height // size), max(2, width // size))).astype(np.float32)
        grey += cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC) * np.float32(0.05 + 0.001 * size)
    return np.clip(np.asarray(tint, np.float32) * (1 + grey[..., None]), 0.02, 1)


def surroundings(seed: int = 3) -> list[Panel]:
    """A street: floor, house front, and boxes before it."""
    random = np.random.default_rng(seed)
    x, y, z = np.eye(3)
    panels = [
        Panel(np.array([-20.0, -8, 0]), np.stack([40 * x, 14 * y]), _texture(random, 700, 2000, (0.34, 0.33, 0.32))),
        Panel(np.array([-20.0, 4.5, 0]), np.stack([40 * x, 9 * z]), _texture(random, 450, 2000, (0.5, 0.36, 0.28))),
    ]
    for left, front, size, tint in (
        (-3.4, 2.2, (1.1, 0.8, 1.2), (0.25, 0.4, 0.3)), (1.9, 2.9, (0.9, 0.9, 0.9), (0.5, 0.45, 0.2)),
        (-0.6, 3.6, (1.4, 0.6, 2.1), (0.3, 0.3, 0.45)), (4.2, 1.6, (0.8, 0.8, 1.4), (0.45, 0.3, 0.35)),
    ):  # fmt: skip
        corner, (w, d, h) = np.array([left, front, 0.0]), size
        for start, sides in (
            (corner, (w * x, h * z)), (corner, (d * y, h * z)), (corner + w * x, (d * y, h * z)),
            (corner + h * z, (w * x, d * y)),
        ):  # fmt: skip
            panels.append(Panel(start, np.stack(sides), _texture(random, 150, 150, tint)))
    return panels


def background(panels: list[Panel], world_to_camera: NDArray, camera: Camera) -> tuple[NDArray, NDArray]:
    """The picture (H, W, 3) float of the panels and its depth (H, W)."""
    place = -world_to_camera[:3, :3].T @ world_to_camera[:3, 3]
    rays = camera.rays().reshape(-1, 3).astype(np.float64) @ world_to_camera[:3, :3]
    colours = np.full((len(rays), 3), (0.72, 0.78, 0.86), np.float32)
    nearest = np.full(len(rays), np.inf)
    for panel in panels:
        normal = np.cross(*panel.sides)
        with np.errstate(divide="ignore", invalid="ignore"):
            far = ((panel.corner - place) @ normal) / (rays @ normal)
            at = place + far[:, None] * rays - panel.corner
        u, v = (at @ (panel.sides / (panel.sides**2).sum(axis=1, keepdims=True)).T).T
        hit = np.flatnonzero((far > 0.05) & (far < nearest) & (u >= 0) & (u < 1) & (v >= 0) & (v < 1))
        height, width = panel.picture.shape[:2]
        across, down = (u[hit] * width - 0.5).astype(np.float32), (v[hit] * height - 0.5).astype(np.float32)
        for start in range(0, len(hit), 30000):
            some = slice(start, start + 30000)
            picked = cv2.remap(panel.picture, across[some, None], down[some, None], cv2.INTER_LINEAR)
            colours[hit[some]] = picked[:, 0]
        nearest[hit] = far[hit]
    return colours.reshape(camera.height, camera.width, 3), nearest.reshape(camera.height, camera.width)


def look_at(eye: Any, look: Any) -> NDArray[np.float64]:
    """World -> camera (4, 4), OpenCV axes, of a level camera."""
    eye, forward = np.asarray(eye, np.float64), np.asarray(look, np.float64) - eye
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0, 0, 1.0])
    right /= np.linalg.norm(right)
    turned = np.eye(4)
    turned[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    turned[:3, 3] = -turned[:3, :3] @ eye
    return turned


def painted(body: Body, above: Any, below: Any) -> NDArray[np.float32]:
    """Colours (V, 3) of somebody in a shirt and trousers of these colours."""
    owner = np.array(body.joint_names)[body.skin_weights.argmax(1)]
    paint = np.full((len(owner), 3), (0.75, 0.55, 0.45), np.float32)
    for words, colour in (
        (("spine", "upperarm", "clav", "shoulder"), above),
        (("upperleg", "lowerleg", "pelvis", "root"), below),
        (("foot", "toe"), (0.08, 0.07, 0.07)),
    ):
        paint[np.array([one.startswith(words) for one in owner])] = colour
    return paint


def draw_over(
    picture: NDArray, nearest: NDArray, vertices: NDArray, faces: NDArray, paint: NDArray, view: NDArray, camera: Camera
) -> None:
    """Somebody, whose vertices are in the world, into a picture (H, W, 3) and its depth (H, W)."""
    depth, face = rasterise(vertices @ view[:3, :3].T + view[:3, 3], faces, camera)
    corners = vertices[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    light = 0.45 + 0.65 * np.clip(-normals @ np.array([0.4, 0.5, -0.75]), 0, 1)
    hit = (depth > 0) & (depth < nearest)
    picture[hit], nearest[hit] = (paint[faces[:, 0]] * light[:, None])[face[hit]], depth[hit]


def render(name: str, folder: Path) -> None:
    """The frames of a shot and its truth."""
    way, at, heading, gait = SHOTS[name]
    figure, _ = figure_of(1.74, {"gender": 0.2})
    motion = walk(figure, gait, FRAMES, FPS, 0.2)
    paint = painted(figure.body, (0.6, 0.14, 0.1), (0.1, 0.14, 0.3))
    panels, views, joints = surroundings(), [], []
    fine = Camera(2 * FOCAL, 2 * FOCAL, WIDTH, HEIGHT, 2 * WIDTH, 2 * HEIGHT)
    (folder / name).mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(0)
    for frame in range(FRAMES):
        person = stand_in_walk(figure, motion, frame, at, heading)
        views.append(look_at(*way(frame)))
        joints.append(person.joints)
        picture, nearest = background(panels, views[-1], fine)
        draw_over(picture, nearest, person.vertices, figure.body.faces, paint, views[-1], fine)
        picture = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) ** 0.6
        picture = np.clip(picture + noise.normal(0, 0.012, picture.shape), 0, 1)
        Image.fromarray((255 * picture).astype(np.uint8)).save(folder / name / f"{frame:04d}.png")
    camera = Camera(FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT)
    np.savez_compressed(
        folder / f"{name}.npz", camera=camera_numbers(camera), world_to_camera=np.stack(views), joints=np.stack(joints),
        planted=motion.planted, fps=np.array(FPS),
    )  # fmt: skip


def clip_of(folder: Path, name: str, truth: dict[str, NDArray]) -> Clip:
    files, camera = sorted((folder / name).glob("*.png")), camera_of(truth)
    return Clip(name, len(files), FPS, lambda: (Photo(inference.load_photo(f).pixels, camera, f.stem) for f in files))


def score(people: People, truth: dict[str, NDArray]) -> dict[str, float]:
    """The figures of one shot."""
    views = truth["world_to_camera"]
    true = np.array([views[0] @ np.linalg.inv(view) for view in views])
    travel = np.tile(np.eye(4), (len(views), 1, 1)) if people.travel is None else people.travel
    turned = np.trace(np.swapaxes(travel[:, :3, :3], 1, 2) @ true[:, :3, :3], axis1=1, axis2=2)
    track = max(in_first_camera(people).tracks().values(), key=len)
    frames = np.array([frame for frame, _ in track])
    world = world_from_camera(people)
    mine = np.stack([person.joints for _, person in track]) @ world[:3, :3].T + world[:3, 3]
    feet = [people.body.joint_names.index(f"foot.{side}") for side in "LR"]
    flat = truth["planted"].all(-1)[frames]
    speed = np.linalg.norm(np.diff(mine[:, feet], axis=0), axis=-1) * float(truth["fps"])
    soles = np.stack([person.vertices for _, person in track]) @ world[2, :3] + world[2, 3]
    way, real = (float(np.linalg.norm(one[-1, 0, :2] - one[0, 0, :2])) for one in (mine, truth["joints"][frames]))
    return {
        "frames": len(frames),
        "turn": float(np.degrees(np.arccos(np.clip((turned - 1) / 2, -1, 1))).max()),
        "path": way / real,
        "slide": float(speed[flat[1:] & flat[:-1]].mean()),
        "lowest_mm": 1000 * float(np.median(soles.min(axis=1))),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Render shots with moving cameras and recover who walks there.")
    parser.add_argument("--output", type=Path, default=HERE.parent / ".maquette" / "moving")
    parser.add_argument("--only", nargs="*", help="names of shots")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for name in options.only or SHOTS:
        if not (options.output / f"{name}.npz").exists():
            render(name, options.output)
        truth = load(options.output / f"{name}.npz")
        people = inference.recover_people(clip_of(options.output, name, truth), "builtin")
        figures = ", ".join(f"{key} {value:.3g}" for key, value in score(people, truth).items())
        print(f"{name}: {figures}. {' '.join(people.notes)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
