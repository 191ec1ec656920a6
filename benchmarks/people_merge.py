# SPDX-License-Identifier: GPL-3.0-or-later
"""How the merge of a long clip grows: made-up measurements of people who walk up and down, merged in a child process.

    python benchmarks/people_merge.py [--frames 250 500 1000] [--people 3] [--moving] [--output .maquette/merge]
        [--json FILE]

The landmarks, hands and outlines are those of posed bodies before a camera that stands still, or with --moving is
carried to and fro, with noise that is drawn anew for every frame; files of 500 frames are written by `measured.save`,
as `--measure` does. One row a length:

    wall, cpu   seconds of `people --merge`, from start to file, and of all its threads
    peak        most memory that it held, GB
    file        what it wrote, MB
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from maquette.inference.camera import Camera
from maquette.inference.geometry.rasteriser import rasterise
from maquette.inference.people.clip import measured as files
from maquette.inference.people.clip.pieces import LEAD, PIECE, Piece
from maquette.inference.people.clip.track import MASK, Sighting, Track
from maquette.inference.people.fit.observe import viewing_ray
from maquette.inference.people.fit.skeleton import LANDMARKS
from maquette.inference.shipped.body import load_landmarks
from maquette.inference.shipped.crops import Region
from maquette.inference.shipped.hand import HandLandmarks
from maquette.inference.shipped.hand_body import load_hand_body
from maquette.inference.shipped.pose import PoseLandmarks, region_from_points
from numpy.typing import NDArray
from people_moving import look_at
from people_truth import figure_of
from truth.anatomy import FORWARD, UP, Figure, turn
from truth.record import TO_WORLD
from truth.walk import Gait, walk

HERE = Path(__file__).resolve().parent
FPS, PERIOD, PART = 25.0, 250, 500
CAMERA = Camera(1100.0, 1100.0, 640.0, 360.0, 1280, 720)
VIEW = look_at((0.0, -6.5, 1.5), (0.0, 0.0, 1.0))
#: Stature, traits, cycles a second (a whole number of them in `PERIOD`), where the way begins and its heading.
WALKERS = (
    (1.74, {"gender": 0.2}, 0.9, (-2.2, -0.6), 90.0),
    (1.66, {"gender": 0.9, "weight": 0.6}, 1.0, (2.4, 0.9), -85.0),
    (1.82, {"gender": 0.1, "muscle": 0.7}, 0.8, (-0.8, 2.2), 120.0),
)
#: Frames that turning round takes; noise of landmarks in the picture (px) and in space (m), of hands and of scenery.
TURNING, PIXELS, METRES, HAND_PIXELS, DRIFT = 18, 2.0, 0.035, 0.7, 0.08
SCENERY = 250
#: Of a moving camera: metres that it is carried sideways, up and ahead, and the seconds of each to and fro; the radians
#: that it turns meanwhile; the frames that a point of the background is followed for.
CARRIED, SWINGS, TURNED, LIFE = (1.2, 0.15, 0.8), (17.0, 5.0, 23.0), 0.15, 60
_FACE, _HANDS = (1, 3, 4, 6, 9, 10), {35: 15, 36: 15, 37: 16, 38: 16}


@dataclass(frozen=True)
class Walker:
    """`PERIOD` frames of a person in camera axes: places (T, 39, 3), wrists' turns and places by side, outlines."""

    places: NDArray[np.float64]
    hands: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]
    outlines: list[bytes]
    colours: NDArray[np.float32]


def walker(number: int) -> Walker:
    stature, traits, cadence, at, heading = WALKERS[number % len(WALKERS)]
    figure, _ = figure_of(stature, traits)
    motion = walk(figure, Gait(speed=1.0, cadence=cadence), PERIOD, FPS, 0.0)
    way = motion.move @ FORWARD
    half = PERIOD // 2
    along = np.where(np.arange(PERIOD) < half, way, 2 * way[half] - way)
    places, outlines = [], []
    hands: dict[str, list] = {"left": [], "right": []}
    ahead = turn(np.array([0.0, 0, 1]), heading) @ TO_WORLD @ FORWARD
    for frame in range(PERIOD):
        spin = turn(np.array([0.0, 0, 1]), heading + 180 * _turned(frame)) @ TO_WORLD
        vertices, joints = figure.skin(motion.rotations[frame], np.zeros(3))
        still = motion.move[frame] - (motion.move[frame] @ FORWARD) * FORWARD
        root = figure.rest("root")
        move = still - root + (root @ UP) * UP + motion.ground * UP
        place = np.array([*at, 0.0]) + along[frame] * ahead
        turned = VIEW[:3, :3] @ spin
        shift = VIEW[:3, :3] @ (spin @ move + place) + VIEW[:3, 3]
        vertices, joints = vertices @ turned.T + shift, joints @ turned.T + shift
        places.append(_landmarks(figure, vertices, joints))
        outlines.append(_outline(vertices, figure, CAMERA.project(places[-1])))
        _, turns = figure.placed(motion.rotations[frame])
        for side in hands:
            wrist = figure.index(f"wrist.{side[0].upper()}")
            hands[side].append((turned @ turns[wrist], joints[wrist]))
    random = np.random.default_rng(number)
    colours = random.dirichlet(np.full(384, 0.05), 2).astype(np.float32)
    split = {side: tuple(map(np.stack, zip(*own, strict=True))) for side, own in hands.items()}
    return Walker(np.stack(places), split, outlines, colours)  # type: ignore[arg-type]


def _turned(frame: int) -> float:
    """How far round (0 .. 1) somebody is who turns at the middle and at the end of a period."""

    def ease(value: float) -> float:
        value = min(max(value, 0.0), 1.0)
        return value * value * (3 - 2 * value)

    return (
        ease((frame - PERIOD // 2) / TURNING + 0.5)
        - ease((frame - PERIOD) / TURNING + 0.5)
        - (ease(frame / TURNING + 0.5) - 1)
    )


def _landmarks(figure: Figure, vertices: NDArray, joints: NDArray) -> NDArray[np.float64]:
    """(39, 3) of a posed body; those that the fit does not read are near enough."""
    places, regressors = np.zeros((39, 3)), load_landmarks()
    for landmark, name in LANDMARKS.items():
        if name in regressors.names:
            row = regressors.names.index(name)
            places[landmark] = regressors.weights[row] @ vertices[regressors.indices[row]]
        else:
            places[landmark] = joints[figure.index(name)]
    places[list(_FACE)] = places[0]
    places[list(_HANDS)] = places[list(_HANDS.values())]
    places[33] = places[[23, 24]].mean(0)
    places[34] = places[33] + 1.35 * (places[[11, 12]].mean(0) - places[33])
    return places


def _outline(vertices: NDArray, figure: Figure, points: NDArray) -> bytes:
    region = region_from_points(points)
    # The crop stands nearly upright: a camera that sees just it draws the mask.
    scale = MASK / region.size
    x, y = region.cx - region.size / 2, region.cy - region.size / 2
    lens = Camera(CAMERA.fx * scale, CAMERA.fy * scale, (CAMERA.cx - x) * scale, (CAMERA.cy - y) * scale, MASK, MASK)
    depth, _ = rasterise(vertices, figure.body.faces, lens, cull=True)
    logits = np.asarray(cv2.GaussianBlur(np.where(depth > 0, 8, -8).astype(np.float32), (0, 0), 2.0), np.float32)
    none = np.zeros(0, np.float32)
    bare = PoseLandmarks(none, none, none, none, 1, 1, none, none, none, 0, region, region.matrix, logits)
    return Sighting(bare, None).packed(False).outline


def carried(frame: int) -> NDArray[np.float64]:
    """(4, 4) from the axes of a moving camera to those in which the walkers are known."""
    swing = np.sin(2 * np.pi * frame / FPS / np.array(SWINGS))
    pose = np.eye(4)
    pose[:3, :3] = cv2.Rodrigues(np.array([0.0, TURNED * swing[0], 0.0]))[0]
    pose[:3, 3] = CARRIED * swing
    return pose


class Maker:
    """Sightings of the walkers; the same frame is always the same, whichever piece asks for it."""

    def __init__(self, people: int, moving: bool = False) -> None:
        self.walkers, self.moving = [walker(number) for number in range(people)], moving

    def piece(self, start: int, stop: int) -> Piece:
        first = max(0, start - LEAD)
        tracks = []
        for number, one in enumerate(self.walkers):
            seen = {frame: self._sighting(number, frame, frame in (first, start)) for frame in range(first, stop)}
            tracks.append(Track(seen, one.colours, np.zeros(3)))
        scenery = np.concatenate([_scenery(frame, self.moving) for frame in range(first, stop)])
        return Piece(start, stop, tracks, (), scenery)

    @cache  # noqa: B019  (the lead of a piece is read again)
    def _sighting(self, number: int, frame: int, coloured: bool) -> Sighting:
        one, at = self.walkers[number], frame % PERIOD
        random = np.random.default_rng((number, frame))
        pose = carried(frame) if self.moving else np.eye(4)
        turned, move = pose[:3, :3], pose[:3, 3]
        places = (one.places[at] - move) @ turned
        points = CAMERA.project(places) + random.normal(0, PIXELS, (39, 2))
        ray = viewing_ray((points[33] - [CAMERA.cx, CAMERA.cy]) / CAMERA.fx)
        world = (places - places[[23, 24]].mean(0)) @ ray * [1, 1, 0.6] + random.normal(0, METRES, (39, 3))
        ones, zeros = np.ones(39, np.float32), np.zeros(39, np.float32)
        region = region_from_points(points)
        landmarks = PoseLandmarks(
            points.astype(np.float32), world.astype(np.float32), 0.95 * ones, ones, 0.95, 0.9, zeros, zeros, ones,
            0.0, region, region.matrix, np.zeros((0, 0), np.float32),
        )  # fmt: skip
        hands = {
            side: _hand(side, turned.T @ turns[at], (wrists[at] - move) @ turned, random)
            for side, (turns, wrists) in one.hands.items()
        }
        return Sighting(landmarks, one.colours if coloured else None, outline=one.outlines[at], hands=hands)


def _hand(side: str, turned: NDArray, wrist: NDArray, random: np.random.Generator) -> HandLandmarks:
    hand = load_hand_body(side)
    local = (hand.landmarks - hand.body.joints[0]) @ turned.T
    points = CAMERA.project(local + wrist) + random.normal(0, HAND_PIXELS, (21, 2))
    middle = points.mean(0)
    ray = viewing_ray((middle - [CAMERA.cx, CAMERA.cy]) / CAMERA.fx)
    world = (local - local.mean(0)) @ ray + random.normal(0, 0.004, (21, 3))
    return HandLandmarks(
        points.astype(np.float32), world.astype(np.float32), 0.95 if side == "right" else 0.05, 0.95, 0.9,
        np.full(21, 0.8, np.float32), Region(float(middle[0]), float(middle[1]), 60.0),
    )  # fmt: skip


def _scenery(frame: int, moving: bool) -> NDArray[np.float32]:
    random = np.random.default_rng(0)
    places = random.uniform((20, 20), (CAMERA.width - 20, CAMERA.height - 20), (SCENERY, 2))
    names = np.arange(SCENERY)
    if moving:
        pose, depth = carried(frame), random.uniform(4.0, 12.0, (SCENERY, 1))
        lens = np.array([CAMERA.fx, CAMERA.fy])
        rays = np.concatenate([(places - [CAMERA.cx, CAMERA.cy]) / lens, np.ones((SCENERY, 1))], 1)
        places = CAMERA.project((depth * rays - pose[:3, 3]) @ pose[:3, :3])
        names = names + SCENERY * ((frame + random.integers(0, LIFE, SCENERY)) // LIFE)  # found anew when it is lost
    rows = np.full((SCENERY, 4), frame, np.float32)
    rows[:, 0] = names
    rows[:, 2:] = places + np.random.default_rng((9, frame)).normal(0, DRIFT, (SCENERY, 2))
    return rows[(rows[:, 2:] > 0).all(1) & (rows[:, 2:] < (CAMERA.width, CAMERA.height)).all(1)]


def parts(maker: Maker, count: int) -> Iterator[files.Measured]:
    """What `--measure` of `PART` frames each would say of a clip."""
    for start in range(0, count, PART):
        stop, lead = min(start + PART, count), min(LEAD, start)
        told = [hashlib.sha1(b"%d" % frame).digest() for frame in range(start - lead, stop)]
        pieces = tuple(maker.piece(at, min(at + PIECE, stop)) for at in range(start, stop, PIECE))
        yield files.Measured(
            "walkers", count, FPS, dict.fromkeys(files.DECIDING, "''"), start, stop, (CAMERA,) * (stop - start),
            np.frombuffer(b"".join(told), np.uint8).reshape(-1, 20), pieces,
        )  # fmt: skip


def made(folder: Path, people: int, count: int, moving: bool) -> Path:
    """The folder of a clip's measurements; what lies there is not made again."""
    own = folder / f"{people}x{count}{'-moving' * moving}-{files.VERSION}"
    if not own.is_dir():
        maker, unfinished = Maker(people, moving), folder / f"{own.name}.part"
        unfinished.mkdir(parents=True, exist_ok=True)
        for number, part in enumerate(parts(maker, count)):
            files.save(unfinished / f"{number:03d}.npz", part)
            maker._sighting.cache_clear()
        unfinished.rename(own)
    return own


def merged(folder: Path) -> dict[str, float]:
    """Merge in a child process, and what that took."""
    output = folder.with_suffix(".npz")
    output.unlink(missing_ok=True)
    command = [sys.executable, "-m", "maquette.inference", "people", "--merge", str(folder), "--output", str(output)]
    started = time.monotonic()
    child = subprocess.Popen([*command, "--device", "cpu"], stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"the merge ended with {child.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "wall": time.monotonic() - started,
        "cpu": used.ru_utime + used.ru_stime,
        "peak": used.ru_maxrss * unit / 2**30,
        "file": output.stat().st_size / 2**20,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Merge made-up measurements of long clips.")
    parser.add_argument("--frames", type=int, nargs="+", default=[250, 500, 1000])
    parser.add_argument("--people", type=int, default=3)
    parser.add_argument("--moving", action="store_true", help="the camera is carried to and fro")
    parser.add_argument("--output", type=Path, default=HERE.parent / ".maquette" / "merge")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = []
    for count in options.frames:
        rows.append({"frames": count, **merged(made(options.output, options.people, count, options.moving))})
        print(", ".join(f"{name} {value:.4g}" for name, value in rows[-1].items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
