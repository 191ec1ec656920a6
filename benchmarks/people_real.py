# SPDX-License-Identifier: GPL-3.0-or-later
"""Real people before four calibrated cameras: each camera's clip recovered by itself and compared with all four.

    python benchmarks/people_real.py POINTS VIDEOS [--only single/cam01 ...] [--keep FOLDER] [--overlay FOLDER]

POINTS : the wheel of pose2sim 0.7.0, unpacked: calibration, and what OpenPose saw in every frame of every camera.
VIDEOS : the wheel of pose2sim 0.10.49, unpacked: the same shots, one man on a beam ("single") and a woman beside him
("multi"), 100 frames of 60 a second.  --keep : measurements are kept there, so that they are solved again in seconds.

The truth is 12 landmarks (shoulders, elbows, wrists, hips, knees, ankles), triangulated from OpenPose's points and
smoothed at 6 Hz. Four cameras agree to 7 pixels (2 cm) after each one's picture is shifted as a whole (by up to 22
pixels): so much the calibration is off. What is nearer than 2 cm is therefore not told. The figures:

    seen        frames in which the person is found, and tracks that he is found in
    PA          mean distance of the landmarks after the best similarity, mm
    knee ...    mean error of the angles of knees, hips (trunk to thigh) and elbows, degrees
    legs        frames in which both legs are exchanged: nearer to the other true leg, ankles over 15 cm apart
    turned      frames in which the trunk faces more than 90 degrees away
    distance    mean error of the distance to the hips, as a share of it, with the true lens and with the guessed one
    speed       mean speed of the hips' middle over the true one
    slide       mean speed of an ankle while the true one moves by less than 0.2 m/s, m/s; and the true one's
    acc         mean acceleration of the landmarks, m/s2, and the true one
    tilt        angle between the floor's normal and the true one, degrees
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from maquette import inference
from maquette.inference.people import measure_people, solve_people
from maquette.inference.people.clip import measured as files
from maquette.inference.results import People
from numpy.typing import NDArray
from people_score import acceleration, landmark_points
from scipy.signal import butter, filtfilt
from truth.measure import similarity_errors
from truth.overlay import contact_sheet, shaded

FPS = 60.0
#: OpenPose's BODY_25B: shoulders, elbows, wrists, hips, knees, ankles, left before right.
TWELVE = np.arange(5, 17)
#: Points off by more than so many pixels are another person's, or the other side's.
MOST_OFF = 30.0
DEMO = Path("Pose2Sim/S00_Demo_Session")
TRIALS = {"single": "Demo_SinglePerson", "multi": "Demo_MultiPerson"}


class View:
    """One calibrated camera: K (3, 3), lens distortion (5,), world -> camera R (3, 3) and t (3,), metres; and how many
    pixels its picture is off."""

    def __init__(self, camera: ET.Element) -> None:
        pose = {key: float(value) for key, value in camera.find("transform").attrib.items()}  # type: ignore[union-attr]
        lens = camera.find("intrinsic").attrib  # type: ignore[union-attr]
        fx, fy, cx, cy = (
            float(lens[name]) / 64 for name in ("focalLengthU", "focalLengthV", "centerPointU", "centerPointV")
        )
        self.matrix = np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])
        names = ("radialDistortion1", "radialDistortion2", "tangentalDistortion1", "tangentalDistortion2")
        self.lens = np.array([*(float(lens[name]) for name in names), 0.0])
        turn = np.array([[pose[f"r{row}{column}"] for column in "123"] for row in "123"])
        self.turn = np.diag([1.0, -1, -1]) @ turn  # Qualisys' cameras look along -z
        self.place = np.array([pose[axis] for axis in "xyz"]) / 1000
        self.off = np.zeros(2, np.float64)

    def seen_from(self, points: NDArray) -> NDArray[np.float64]:
        """Points (..., 3) in the world, in camera axes."""
        return (points - self.place) @ self.turn.T

    def project(self, points: NDArray) -> NDArray[np.float64]:
        return self.picture(self.seen_from(points).reshape(-1, 3), 0)

    def picture(self, own: NDArray, frame: int) -> NDArray[np.float64]:
        """Where points (N, 3) in camera axes are seen in a frame."""
        return cv2.projectPoints(own[:, None], np.zeros(3), np.zeros(3), self.matrix, self.lens)[0][:, 0] + self.off

    def rows(self, point: NDArray) -> NDArray[np.float64]:
        """(2, 4): what a point (x, y) in the picture says of the place of its landmark."""
        own = np.subtract(point[:2], self.off).reshape(1, 1, 2)
        x, y = np.asarray(cv2.undistortPoints(own, self.matrix, self.lens))[0, 0]
        pose = np.column_stack([self.turn, -(self.turn @ self.place)])
        return np.stack([x * pose[2] - pose[0], y * pose[2] - pose[1]])


def views_of(folder: Path) -> list[View]:
    calibration = ET.parse(folder / DEMO / "S00_Calibration/Calib.qca.txt")
    return [View(camera) for camera in calibration.iter("camera")]


def points_of(folder: Path) -> NDArray[np.float64]:
    """(C, T, 12, 3): pixels and confidence of the man."""

    def read(file: Path) -> NDArray[np.float64]:
        return np.reshape(json.loads(file.read_text())["people"][0]["pose_keypoints_2d"], (-1, 3))[TWELVE]

    pose = folder / DEMO / "S00_P00_SingleParticipant/S00_P00_T01_BalancingTrial/pose"
    return np.stack([[read(file) for file in sorted((pose / f"cam0{k}_json").glob("*.json"))] for k in range(1, 5)])


def solved(views: list[View], points: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The place (3,) that points (C, 3) of C views agree best on, and how many pixels each is off (C, 2)."""
    rows = np.concatenate([one.rows(point) for one, point in zip(views, points, strict=True)])
    place = np.linalg.svd(rows)[2][-1]
    place = place[:3] / place[3]
    return place, np.stack([one.project(place)[0] - point[:2] for one, point in zip(views, points, strict=True)])


def triangulated(views: list[View], points: NDArray) -> NDArray[np.float64]:
    """(3,) of as many views as agree, two at least; NaN where none do.  points : (C, 3)."""
    usable = [k for k, point in enumerate(points) if point[2] > 0.2]
    for count in range(len(usable), 1, -1):
        tries = [solved([views[k] for k in some], points[list(some)]) for some in itertools.combinations(usable, count)]
        place, off = min(tries, key=lambda one: np.abs(one[1]).max())
        if np.linalg.norm(off, axis=1).max() < MOST_OFF:
            return place
    return np.full(3, np.nan)


def settle(views: list[View], points: NDArray) -> None:
    """Shift each view's picture so that all agree; in place."""
    for _ in range(3):
        some = points[:, ::7].reshape(len(views), -1, 3)
        sure = np.flatnonzero(some[..., 2].min(axis=0) > 0.5)
        off = np.median([solved(views, some[:, k])[1] for k in sure], axis=0)
        for view, mine in zip(views, off, strict=True):
            view.off -= mine


def truth_of(views: list[View], points: NDArray) -> NDArray[np.float64]:
    """(T, 12, 3) in the world.  points : (C, T, 12, 3)."""
    frames, landmarks = points.shape[1:3]
    return smoothed(np.stack([[triangulated(views, points[:, t, k]) for k in range(landmarks)] for t in range(frames)]))


def smoothed(path: NDArray) -> NDArray[np.float64]:
    """(T, 12, 3), gaps bridged."""
    frames = np.arange(len(path))
    flat = path.reshape(len(path), -1).copy()
    for column in flat.T:
        known = np.isfinite(column)
        column[:] = np.interp(frames, frames[known], column[known]) if known.any() else np.nan
    top, bottom = np.array(butter(2, 6 / (FPS / 2)))
    return filtfilt(top, bottom, flat, axis=0).reshape(path.shape)


def angles(points: NDArray) -> dict[str, NDArray[np.float64]]:
    """Degrees (T, 2) of the joints of landmarks (T, 12, 3), left and right."""

    def bend(first: NDArray, middle: NDArray, last: NDArray) -> NDArray[np.float64]:
        a, b = first - middle, last - middle
        cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
        return np.degrees(np.arccos(np.clip(cosine, -1, 1)))

    shoulder, elbow, wrist, hip, knee, ankle = (points[:, k : k + 2] for k in range(0, 12, 2))
    return {"knee": bend(hip, knee, ankle), "hip": bend(shoulder, hip, knee), "elbow": bend(shoulder, elbow, wrist)}


def facing(points: NDArray) -> NDArray[np.float64]:
    """Unit vectors (T, 3) of landmarks (T, 12, 3)."""
    left = points[:, 0] - points[:, 1] + points[:, 6] - points[:, 7]
    forward = np.cross(left, points[:, :2].mean(1) - points[:, 6:8].mean(1))
    return forward / np.linalg.norm(forward, axis=-1, keepdims=True)


def in_first(points: NDArray, poses: NDArray | None) -> NDArray[np.float64]:
    """Points (T, N, 3) in the axes of the first frame's camera; poses : (T, 4, 4) into them."""
    return points if poses is None else np.einsum("tij,tnj->tni", poses[:, :3, :3], points) + poses[:, None, :3, 3]


def score(
    people: People, view: Any, true: NDArray, guessed: People | None = None, poses: NDArray | None = None
) -> dict[str, Any]:
    """The figures of one true person (T, 12, 3, in camera axes) in one camera's clip. poses : of a camera that moves,
    first from frame."""
    mine, tracks = matched(people, view, true)
    seen = tracks >= 0
    result: dict[str, Any] = {"seen": int(seen.sum()), "tracks": len(set(tracks[seen].tolist()))}
    if seen.sum() < 5:
        return result
    a, b = mine[seen], true[seen]
    result["PA"] = 1000 * float(np.mean([similarity_errors(x, y).mean() for x, y in zip(a, b, strict=True)]))
    result["root"] = 1000 * float(
        np.linalg.norm((a - a[:, 6:8].mean(1, keepdims=True)) - (b - b[:, 6:8].mean(1, keepdims=True)), axis=-1).mean()
    )
    for name, error in angles(a).items():
        result[name] = float(np.abs(error - angles(b)[name]).mean())
    legs, other = [8, 9, 10, 11], [9, 8, 11, 10]
    own, them = a - a[:, 6:8].mean(1, keepdims=True), b - b[:, 6:8].mean(1, keepdims=True)
    straight, crossed = (np.linalg.norm(own[:, legs] - them[:, k], axis=-1).sum(1) for k in (legs, other))
    result["legs"] = int(((crossed < straight) & (np.linalg.norm(b[:, 10] - b[:, 11], axis=-1) > 0.15)).sum())
    result["turned"] = int(((facing(a) * facing(b)).sum(-1) < 0).sum())
    off = a[..., :2] / a[..., 2:] - b[..., :2] / b[..., 2:]  # the lens' middle is about the picture's
    scale = 100 * b[:, 6:8, 2].mean(1)[:, None]
    result["beside"], result["below"] = (float((scale * off[..., k]).mean()) for k in (0, 1))
    far = [np.linalg.norm(one[:, 6:8].mean(1), axis=-1) for one in (a, b)]
    result["distance"] = 100 * float(np.abs(far[0] / far[1] - 1).mean())
    if guessed is not None:
        other_way, found = matched(guessed, view, true)
        near = np.linalg.norm(other_way[found >= 0][:, 6:8].mean(1), axis=-1)
        result["guessed"] = 100 * float(
            np.abs(near / np.linalg.norm(true[found >= 0][:, 6:8].mean(1), axis=-1) - 1).mean()
        )
    mine, true = in_first(mine, people.travel), in_first(true, poses)
    speeds = [np.linalg.norm(np.diff(one[:, 6:8].mean(1), axis=0), axis=-1) * FPS for one in (mine, true)]
    result["speed"] = float(np.nanmean(speeds[0]) / np.nanmean(speeds[1][np.isfinite(speeds[0])]))
    steps = [np.linalg.norm(np.diff(one[:, 10:12], axis=0), axis=-1) * FPS for one in (mine, true)]
    flat = (steps[1] < 0.2) & np.isfinite(steps[0])
    result["planted"] = int(flat.sum())
    result["slide"], result["slide_true"] = (float(one[flat].mean()) if flat.any() else float("nan") for one in steps)
    result["acc"], result["acc_true"] = (acceleration(one[None], FPS) for one in (mine, true))
    if people.world is not None:
        up = view.turn @ np.array([0, 0, 1.0])
        result["tilt"] = float(np.degrees(np.arccos(np.clip(people.world[2, :3] @ up, -1, 1))))
        result["eye"] = float(people.world[2, 3])
        result["eye_true"] = float(view.place[2])
    return result


def matched(people: People, view: Any, true: NDArray) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The landmarks (T, 12, 3) of who is where the true person is in the picture, NaN where nobody is; and tracks."""
    mine, tracks = np.full(true.shape, np.nan), np.full(len(true), -1)
    for frame, persons in enumerate(people.frames[: len(true)]):
        wanted = view.picture(true[frame], frame)
        best = 0.2 * np.ptp(wanted, axis=0).max()
        for person in persons:
            points = landmark_points(person.vertices.astype(np.float64))
            off = np.linalg.norm(people.cameras[frame].project(points) - wanted, axis=1).mean()
            if off < best:
                mine[frame], tracks[frame], best = points, person.track_id, off
    return mine, tracks


def sheet(video: Path, people: People, path: Path, columns: int = 8) -> None:
    """Frames with who was found."""
    frames = np.linspace(0, len(people.frames) - 1, columns).astype(int)
    pictures = []
    for frame, photo in enumerate(inference.load_clip(video)):
        if frame in frames:
            bodies = [person.vertices for person in people.frames[frame]]
            pictures += [photo.pixels, shaded(bodies, people.body.faces, people.cameras[frame], photo.pixels, 0.8)]
    contact_sheet(pictures, path, 360, 8)


def main() -> int:
    parser = argparse.ArgumentParser(description="Score recovered people against four cameras.")
    parser.add_argument("points", type=Path)
    parser.add_argument("videos", type=Path)
    parser.add_argument("--only", nargs="*", help="as single/cam01")
    parser.add_argument("--keep", type=Path, help="folder for measurements")
    parser.add_argument("--overlay", type=Path, help="folder for contact sheets")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    views, rows = views_of(options.points), {}
    points = points_of(options.points)
    settle(views, points)
    true = truth_of(views, points)
    for trial, folder in TRIALS.items():
        for number, view in enumerate(views, 1):
            name = f"{trial}/cam0{number}"
            if options.only and name not in options.only:
                continue
            video = options.videos / "Pose2Sim" / folder / "videos" / f"cam0{number}.mp4"
            kept = None if options.keep is None else options.keep / f"{trial}{number}.npz"
            if kept is None or not kept.exists():
                measured = measure_people(video, "builtin")
                if kept is not None:
                    files.save(kept, measured)
            else:
                measured = files.load(kept)
            focal = float(view.matrix[0, 0])
            people, guessed = solve_people(measured, fx=focal), solve_people(measured)
            rows[name] = row = score(people, view, view.seen_from(true), guessed)
            told = ", ".join(f"{key} {value:.3g}" for key, value in row.items())
            print(f"{name}: {told}. {len(people.tracks())} tracks. {' '.join(people.notes)}", flush=True)
            if options.overlay is not None:
                sheet(video, people, options.overlay / f"{trial}{number}.png")
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
