# SPDX-License-Identifier: GPL-3.0-or-later
"""Real shots of cameras that turn and zoom, with known truth: made of the still cameras' of `people_real.py`.

    python benchmarks/people_turned.py POINTS VIDEOS [--only single1/pan ...] [--keep FOLDER]

A camera that stays in its place sees the same rays however it turns, so each frame is warped by exactly known turns and
focal lengths (K' R K^-1, the lens' distortion taken out), and a smaller picture is cut out, so that no border is seen;
it is compressed again. The shots:

    still      the smaller picture alone: what the others are compared with
    pan        10 degrees sideways, 4 up and 5 about the axis, in the hand
    shake      a hand that walks: 0.7 to 9 times a second, 0.8 degrees
    zoom       1.3 times as near, from a tripod
    panzoom    pan and zoom
    shutter    the pan, read row by row in 1/50 second
    flash      the pan, with flashes of one, two and three frames

The figures are those of `people_real.py`, with paths and speeds in the axes of the first frame's camera, and

    turn       largest angle between the recovered and the true turn since the first frame, degrees
    path       distance of the hips' middle from first to last frame, recovered over true
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np
from maquette.inference.people import measure_people, solve_people
from maquette.inference.people.clip import measured as files
from maquette.inference.results import People
from numpy.typing import NDArray
from people_real import FPS, TRIALS, View, in_first, matched, points_of, score, settle, truth_of, views_of

WIDTH, HEIGHT = 656, 1120
#: Seconds that a picture takes to be read with "shutter"; first frames of the flashes, and how long each is.
READ, FLASHES = 0.02, ((25, 1), (50, 2), (75, 3))
#: The middle of the smaller picture in the still camera's, pixels.
LOOK = (540, 830)
SHOTS = ("still", "pan", "shake", "zoom", "panzoom", "shutter", "flash")


class Turned:
    """A view whose camera turns and zooms. turn (3, 3), place (3,): of the first frame, as `View` has them."""

    def __init__(self, view: View, shot: str, side: int) -> None:
        self.still, self.shot, self.side, self.place = view, shot, side, view.place
        ray = np.append(self.ray(np.array([LOOK]))[0], 1)
        yaw, pitch = np.arctan2(ray[0], 1.0), -np.arctan2(ray[1], np.hypot(ray[0], 1.0))
        self.ahead = _turn(pitch, yaw, 0.0)
        self.turn = self.at(0.0)[0].T @ view.turn

    def ray(self, pixels: NDArray) -> NDArray[np.float64]:
        """(N, 2) at z = 1, in the still camera's axes."""
        own = np.asarray(pixels - self.still.off, np.float64)[:, None]
        return np.asarray(cv2.undistortPoints(own, self.still.matrix, self.still.lens)[:, 0], np.float64)

    def at(self, frame: float) -> tuple[NDArray[np.float64], float]:
        """The turn (3, 3) from the frame's axes to the still camera's, and the focal length."""
        share, seconds = frame / 99, frame / FPS
        eased, angles, focal = share * share * (3 - 2 * share), np.zeros(3), float(self.still.matrix[0, 0])
        if self.shot in ("pan", "panzoom", "shutter", "flash"):
            angles += (eased - 0.5) * np.array([4.0, 10.0 * self.side, 5.0]) + _shaken(seconds, 0.25)
        if self.shot == "shake":
            angles += _shaken(seconds, 0.8)
        if self.shot in ("zoom", "panzoom"):
            focal *= 0.9 * (1 + 0.3 * eased)
        return self.ahead @ _turn(*np.radians(angles)), focal

    def poses(self, count: int) -> NDArray[np.float64]:
        """(T, 4, 4) first from frame."""
        poses = np.tile(np.eye(4), (count, 1, 1))
        poses[:, :3, :3] = [self.at(0.0)[0].T @ self.at(frame)[0] for frame in range(count)]
        return poses

    def seen_from(self, points: NDArray) -> NDArray[np.float64]:
        """Points (T, ..., 3) in the world, in the axes of each frame's camera."""
        return np.stack([one @ self.at(frame)[0] for frame, one in enumerate(self.still.seen_from(points))])

    def picture(self, own: NDArray, frame: int) -> NDArray[np.float64]:
        """Where points (N, 3) in the axes of a frame's camera are seen."""
        return self.at(frame)[1] * own[:, :2] / own[:, 2:] + (WIDTH / 2, HEIGHT / 2)

    def warped(self, pixels: NDArray, frame: int) -> NDArray[np.uint8]:
        """A frame of the still camera as the turned one sees it."""
        rows, lens = 1 if self.shot == "shutter" else HEIGHT, self.still.matrix.copy()
        lens[:2, 2] += self.still.off - 0.5
        places = []
        for row in range(0, HEIGHT, rows):
            turn, focal = self.at(frame + (row / HEIGHT - 0.5) * READ * FPS * (rows == 1))
            own = np.array([[focal, 0, WIDTH / 2 - 0.5], [0, focal, HEIGHT / 2 - 0.5 - row], [0, 0, 1]])
            size = WIDTH, rows
            places.append(cv2.initUndistortRectifyMap(lens, self.still.lens, turn.T, own, size, cv2.CV_32FC2)[0])
        x, y = np.moveaxis(np.concatenate(places), -1, 0).copy()
        picture = cv2.remap(pixels, x, y, cv2.INTER_CUBIC)
        if self.shot == "flash" and any(start <= frame < start + length for start, length in FLASHES):
            picture = 255 - 0.15 * (255 - picture)
        return np.asarray(picture, np.uint8)

    def make(self, source: Path, target: Path) -> None:
        """The shot as a film."""
        film, frame = cv2.VideoCapture(str(source)), 0
        made = cv2.VideoWriter(str(target), cv2.VideoWriter.fourcc(*"mp4v"), FPS, (WIDTH, HEIGHT))
        while (read := film.read())[0]:
            made.write(self.warped(read[1], frame))
            frame += 1
        made.release()


def _turn(pitch: float, yaw: float, roll: float) -> NDArray[np.float64]:
    """Radians: up, to the right, clockwise."""
    x, y, z = (
        cv2.Rodrigues(np.array(axis) * angle)[0] for axis, angle in zip(np.eye(3), (pitch, yaw, roll), strict=True)
    )
    return np.asarray(y @ x @ z, np.float64)


def _shaken(seconds: float, size: float) -> NDArray[np.float64]:
    """What a hand does to a camera (3,), degrees: slow sways and a fast tremor."""
    random = np.random.default_rng(5)
    rates, phases = np.array([0.7, 1.9, 4.3, 9.0]), random.uniform(0, 2 * np.pi, (3, 4))
    return size * (np.array([0.7, 0.45, 0.2, 0.06]) * np.sin(2 * np.pi * rates * seconds + phases)).sum(axis=1)


def moved(people: People, view: Turned, true: NDArray) -> dict[str, float]:
    """What is added to the figures. true : in the axes of each frame's camera."""
    poses = view.poses(len(people.frames))
    travel = np.tile(np.eye(4), (len(poses), 1, 1)) if people.travel is None else people.travel
    turned = np.trace(np.swapaxes(travel[:, :3, :3], 1, 2) @ poses[:, :3, :3], axis1=1, axis2=2)
    mine, tracks = matched(people, view, true)
    seen = np.flatnonzero(tracks >= 0)
    ways = [in_first(one, own)[seen, 6:8].mean(1) for one, own in ((mine, travel), (true, poses))]
    path, real = (float(np.linalg.norm(one[-1] - one[0])) for one in ways)
    return {"turn": float(np.degrees(np.arccos(np.clip((turned - 1) / 2, -1, 1))).max()), "path": path / real}


def main() -> int:
    parser = argparse.ArgumentParser(description="Turn and zoom real still shots, and recover who is in them.")
    parser.add_argument("points", type=Path)
    parser.add_argument("videos", type=Path)
    parser.add_argument("--only", nargs="*", help="as single1/pan")
    parser.add_argument("--keep", type=Path, default=Path(__file__).resolve().parent.parent / ".maquette" / "turned")
    options = parser.parse_args()
    options.keep.mkdir(parents=True, exist_ok=True)
    views, points = views_of(options.points), points_of(options.points)
    settle(views, points)
    world = truth_of(views, points)
    for number, still in enumerate(views, 1):
        for shot in SHOTS:
            name = f"single{number}/{shot}"
            if options.only and name not in options.only:
                continue
            view, film = Turned(still, shot, 1 if number == 1 else -1), options.keep / f"single{number}_{shot}.mp4"
            if not film.exists():
                view.make(options.videos / "Pose2Sim" / TRIALS["single"] / "videos" / f"cam0{number}.mp4", film)
            kept = film.with_suffix(".npz")
            if not kept.exists():
                files.save(kept, measure_people(film, "builtin", hands="none"))
            people, true = solve_people(files.load(kept), fx=view.at(0.0)[1]), view.seen_from(world)
            row = score(people, view, true, poses=view.poses(len(world))) | moved(people, view, true)
            told = ", ".join(f"{key} {value:.3g}" for key, value in row.items())
            print(f"{name}: {told}. {len(people.tracks())} tracks. {' '.join(people.notes)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
