# SPDX-License-Identifier: GPL-3.0-or-later
"""People who move as real people were captured moving, in clips and stills: rendered, recovered and compared.

    python benchmarks/people_motions.py MOTIONS [--held] [--clips | --stills] [--only NAME ...] [--count 16]
                                        [--output .maquette/motions] [--sheets FOLDER] [--lens true]

MOTIONS : `pybullet_data/data/motions` of the package pybullet, unpacked: `humanoid3d_NAME.txt`, the motions of Peng et
al., "DeepMimic" (2018). Each frame: seconds, the place of the hips' middle, and quaternions w x y z (or one angle, of
knees and elbows) of the root, chest, neck, right hip, knee, ankle, shoulder, elbow and the left ones; x forward, y up,
z to the right, legs and arms hanging at rest.

Develop on `DEVELOPED`; the motions `HELD` (and stills of these, of another seed) are to be looked at once. The
directions of the limbs are the motion's, on bodies of any build; the lowest point of who touches the floor is on it.
Figures: see `people_score.py` (clips, with a guessed lens if not told otherwise) and `people_found.py` (stills), and

    legs     frames in which both legs are exchanged: nearer to the other true leg, ankles over 15 cm apart
    path     distance of the root over the ground, from frame to frame, recovered over true
    floor    median and 95th percentile of how far the lowest point of the body is off its true height, mm
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from maquette import inference
from maquette.inference.camera import Camera
from maquette.inference.geometry.rasteriser import rasterise
from maquette.inference.people import measure_people, solve_people
from maquette.inference.people.clip import measured as files
from maquette.inference.people.clip.ground import world_from_camera
from maquette.inference.results import People
from maquette.inference.shipped.body import load_body, shape_from_attributes
from people_found import score as score_still
from people_found import table
from people_moving import draw_over
from people_random import light, make, quick_stage, silent, surroundings
from people_score import clip_figures, clip_of, columns, followed
from PIL import Image
from scipy.ndimage import gaussian_filter, gaussian_filter1d
from scipy.spatial.transform import Rotation, Slerp
from truth.anatomy import LEFT, NECK, SPINE, UP, Figure, deepest_inside, finger_turns, outward, turn
from truth.chance import GIVES_WAY, SIZES, Scene, _outfit
from truth.dress import Piece, Tailor
from truth.overlay import contact_sheet, shaded
from truth.poses import leg_length
from truth.record import Standing, bodies_of, camera_numbers, in_camera, load, stand_in_walk, visible_joints
from truth.walk import Motion

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

HERE = Path(__file__).resolve().parent
DEVELOPED = ("walk", "jump", "kick", "dance_a", "getup_facedown", "spinkick", "crawl")
HELD = ("run", "spin", "punch", "dance_b", "getup_faceup", "cartwheel", "backflip", "roll")
FPS, FRAMES, MOST_WAY = 30, 75, 4.5
#: First column of a frame, of what turns by a quaternion and of hinges, by the name of the body's joint.
TURNS = {"upperleg01.R": 15, "foot.R": 20, "upperarm01.R": 24, "upperleg01.L": 29, "foot.L": 34, "upperarm01.L": 38}
HINGES = {"lowerleg01.R": 19, "lowerarm01.R": 28, "lowerleg01.L": 33, "lowerarm01.L": 42}
#: The motion's axes (forward, up, right) -> the body's own; metres from the hip to the ankle of the motion's figure.
TO_OWN, LEG = np.array([[0, 0, -1.0], [0, -1, 0], [-1, 0, 0]]), 0.8314
#: Of a still: whether it is held back.
SEEDS = {False: 1, True: 2}


def captured(file: Path) -> NDArray[np.float64]:
    """Frames (T, 43) at `FPS`, without their seconds; walks and runs go on for `FRAMES`, nobody beyond `MOST_WAY`."""
    frames = np.array(json.loads(file.read_text("utf-8"))["Frames"])
    times, rows = np.concatenate([[0], np.cumsum(frames[:-1, 0])]), frames[:, 1:]
    if file.stem.endswith(("walk", "run")):
        shift = np.where(np.arange(43) < 3, rows[-1] - rows[0], 0) * (np.arange(43) != 1)
        rows = np.concatenate([rows[:-1] + k * shift for k in range(4)])
        times = np.concatenate([times[:-1] + k * times[-1] for k in range(4)])
    wanted = np.arange(0, min(times[-1], (FRAMES - 0.5) / FPS), 1 / FPS)
    result = np.stack([np.interp(wanted, times, column) for column in rows.T], axis=1)
    for first in (3, 7, 11, *TURNS.values()):
        turns = Rotation.from_quat(rows[:, [first + 1, first + 2, first + 3, first]])
        result[:, [first + 1, first + 2, first + 3, first]] = Slerp(times, turns)(wanted).as_quat()
    way = np.linalg.norm(np.diff(result[:, [0, 2]], axis=0), axis=1).cumsum()
    return result[: 2 + int((way < MOST_WAY).sum())]


def turns_of(figure: Figure, row: NDArray) -> dict[str, NDArray]:
    """A frame (43,) in the turns of the body's joints, counted from standing with hanging arms."""

    def quaternion(first: int) -> NDArray[np.float64]:
        return TO_OWN @ Rotation.from_quat(row[[first + 1, first + 2, first + 3, first]]).as_matrix() @ TO_OWN.T

    turns = {"root": quaternion(3)}
    for first, shares in ((7, SPINE), (11, NECK)):
        vector = Rotation.from_matrix(quaternion(first)).as_rotvec()
        turns |= {name: Rotation.from_rotvec(share * vector).as_matrix() for name, share in shares.items()}
    turns |= {name: quaternion(first) for name, first in TURNS.items()}
    turns |= {name: turn(LEFT, -math.degrees(row[column])) for name, column in HINGES.items()}
    for side in "LR":  # part of a raised arm's turn happens in the collar bone
        raised = math.degrees(math.acos(np.clip(turns[f"upperarm01.{side}"][1, 1], -1, 1)))
        collar = turn(np.cross(outward(side), UP), 0.25 * max(0.0, raised - 60))
        turns |= {f"clavicle.{side}": collar, f"upperarm01.{side}": collar.T @ turns[f"upperarm01.{side}"]}
        turns |= finger_turns(figure, side, 1.0)
    return turns


def acted(figure: Figure, rows: NDArray) -> Motion:
    """The captured frames (T, 43) by this figure, in its own axes; the middle of its way at rest place, floor at 0."""
    rotations = np.stack([figure.local(turns_of(figure, row)) for row in rows])
    hips = [figure.index(f"upperleg01.{side}") for side in "LR"]
    placed = np.stack([figure.placed(one)[0] for one in rotations])
    way = rows[:, :3] @ TO_OWN.T * (leg_length(figure) / LEG)
    way[:, [0, 2]] -= 0.5 * (way[:, [0, 2]].min(0) + way[:, [0, 2]].max(0))
    move = way - placed[:, hips].mean(1)
    lowest = np.array([-figure.skin(one, at)[0][:, 1].max() for one, at in zip(rotations, move, strict=True)])
    touching = lowest < np.percentile(lowest, 20) + 0.06
    lift = np.interp(np.arange(len(rows)), np.flatnonzero(touching), -lowest[touching])
    move[:, 1] -= gaussian_filter1d(lift, 1.0, mode="nearest")
    ankles = [figure.index(f"foot.{side}") for side in "LR"]
    feet = placed[:, ankles] + move[:, None]
    still = np.linalg.norm(np.gradient(feet, axis=0), axis=-1) * FPS < 0.2
    low = -feet[..., 1] < -figure.rest("foot.L")[1] + figure.rest_vertices[:, 1].max() + 0.06
    return Motion(rotations, move, np.repeat((still & low)[..., None], 2, axis=-1), 0.0)


def somebody(random: Generator) -> tuple[Figure, dict[str, Any]]:
    """An adult of any build."""
    traits = {
        "gender": random.uniform(), "age": random.uniform(0.55, 0.85), "muscle": random.uniform(0.3, 0.8),
        "weight": random.uniform(0.2, 0.7), "height": random.uniform(0.3, 0.6), "proportions": random.uniform(0.3, 0.8),
    }  # fmt: skip
    return Figure(load_body(), shape_from_attributes(traits)), traits


def view_of(random: Generator, size: tuple[int, int], points: NDArray, share: float) -> tuple[float, Any, Any]:
    """Focal length in pixels, place and aim of a camera before whom all points (N, 3) take `share` of the picture."""
    focal = math.exp(random.uniform(math.log(28), math.log(70))) / 36 * max(size)
    low, high = points.min(0), points.max(0)
    middle, extent = 0.5 * (low + high), high - low
    distance = max(extent[0] * focal / (share * size[0]), max(extent[2], 1.6) * focal / (share * size[1]))
    place = (middle[0] + random.normal(0, 0.2), low[1] - distance, float(np.clip(random.normal(1.4, 0.35), 0.5, 2.3)))
    return focal, place, (middle[0], middle[1], middle[2] + random.normal(0, 0.05))


def drawn(empty: NDArray, pieces: list[Piece], view: NDArray, camera: Camera) -> NDArray[np.float64]:
    """Somebody and his shadow in an empty place: linear colours (H, W, 3). Cycles would take 4 seconds a frame."""
    height, width = empty.shape[:2]
    fine = Camera(2 * camera.fx, 2 * camera.fy, 2 * camera.cx, 2 * camera.cy, 2 * width, 2 * height)
    shade = np.zeros((height, width))
    for piece in pieces:
        fallen = piece.vertices * [1, 1, 0] + piece.vertices[:, 2:] * [0.25, 0.35, 0] + [0, 0, 0.002]
        shade[rasterise(fallen @ view[:3, :3].T + view[:3, 3], piece.faces, camera)[0] > 0] = 1
    dimmed = empty * (1 - 0.5 * gaussian_filter(shade, 1.5)[..., None])
    picture, nearest = cv2.resize(dimmed, (2 * width, 2 * height)), np.full((2 * height, 2 * width), np.inf)
    for piece in pieces:
        draw_over(picture, nearest, piece.vertices, piece.faces, piece.colours, view, fine)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.float64)


def make_clip(folder: Path, name: str, rows: NDArray, number: int) -> None:
    """Render `name/clip/0000.png ...` and the truth `name/clip.npz`."""
    random, size = np.random.default_rng([77, number]), (640, 480)
    figure, traits = somebody(random)
    motion, heading = acted(figure, rows), float(random.uniform(-180, 180))
    people = [stand_in_walk(figure, motion, frame, (0, 0), heading) for frame in range(len(rows))]
    tailor = Tailor(figure, _outfit(random))
    focal, at, look = view_of(random, size, np.concatenate([one.joints for one in people]), 0.72)
    scene = Scene(size, focal, at, look, "motion", [(one, {}, {}) for one in people[::5]])
    stage = quick_stage(random, size)
    light(stage, random)
    surroundings(stage, random, scene)
    view = stage.camera(at, look, focal)
    camera = Camera(focal, focal, size[0] / 2, size[1] / 2, *size)
    (folder / name / "clip").mkdir(parents=True, exist_ok=True)
    with silent():
        stage.render(folder / name / "empty.png")
    empty = (inference.load_photo(folder / name / "empty.png").pixels / 255.0) ** 2.2
    for frame, one in enumerate(people):
        picture = drawn(empty, tailor.dressed(one.vertices), view, camera)
        picture = np.clip(picture ** (1 / 2.2) + random.normal(0, 0.01, picture.shape), 0, 1)
        Image.fromarray((255 * picture).astype(np.uint8)).save(folder / name / "clip" / f"{frame:04d}.png")
    placed = [in_camera(one, view) for one in people]
    np.savez_compressed(
        folder / name / "clip.npz", camera=camera_numbers(camera), world_to_camera=view, fps=np.array(FPS),
        attributes=np.array(json.dumps([{**traits, "pose": name, "heading": heading}])),
        rotations=np.stack([one[0] for one in placed])[:, None], planted=motion.planted[:, None],
        translation=np.stack([one[1] for one in placed])[:, None], joints=np.stack([one[2] for one in placed])[:, None],
        visible=np.stack([visible_joints([one], [], view, camera) for one in people]),
        lowest=np.array([one.vertices[:, 2].min() for one in people]), **bodies_of([people[0]]),
    )  # fmt: skip


def drawn_still(random: Generator, motions: dict[str, NDArray]) -> Scene:
    """One or two people in the midst of any of the motions."""
    size = SIZES[random.integers(len(SIZES))]
    people: list[tuple[Standing, dict[str, Any], dict[str, Any]]] = []
    for number in range(1 + int(random.random() < 0.4)):
        side = number * random.choice([-1, 1]) * random.uniform(0.9, 1.4)
        while len(people) == number:
            figure, traits = somebody(random)
            name = str(random.choice(list(motions)))
            frame, heading = int(random.integers(len(motions[name]))), float(random.uniform(-180, 180))
            motion = acted(figure, motions[name])
            one = stand_in_walk(figure, motion, frame, (0, 0), heading)
            off = np.array([side, number * random.uniform(-0.3, 0.5), 0]) - one.joints[0] * [1, 1, 0]
            one = Standing(figure, one.rotations, one.vertices + off, one.joints + off, heading)
            if deepest_inside(figure, one.vertices, one.joints) < GIVES_WAY:
                people.append((one, _outfit(random), {**traits, "pose": f"{name} {frame}", "heading": heading}))
    points = np.concatenate([one.joints for one, _, _ in people])
    focal, at, look = view_of(random, size, points, random.uniform(0.4, 0.75))
    return Scene(size, focal, at, look, "motion", people)


def legs_exchanged(mine: NDArray, true: NDArray) -> int:
    """Frames in which both legs of the joints J (T, 17, 3) are nearer to the other true one."""
    hips, other = [11, 14], [14, 15, 16, 11, 12, 13]
    own, them = (one - one[:, hips].mean(1, keepdims=True) for one in (mine, true))
    straight, crossed = (np.linalg.norm(own[:, 11:17] - them[:, k], axis=-1).sum(1) for k in (range(11, 17), other))
    return int(((crossed < straight) & (np.linalg.norm(true[:, 13] - true[:, 16], axis=-1) > 0.15)).sum())


def score(people: People, truth: dict[str, NDArray]) -> dict[str, float]:
    """The figures of one clip of one person."""
    path, tracks, _ = followed(people, truth)
    every = clip_figures(people, truth, True)
    kept = ("lost", "invented", "switches", "turned", "slide", "slide_true", "distance")
    result = {key: every[key] for key in kept}
    result |= {"PA": every["pa_mm"], "acc": every["acceleration"] / every["acceleration_true"]}
    seen, which = np.flatnonzero(tracks[0] >= 0), columns(people.body)
    mine, true = path[0, seen][:, which], truth["joints"][seen, 0][:, which]
    result["legs"] = legs_exchanged(mine, true)
    world = world_from_camera(people)
    ground = mine[:, 0] @ world[:3, :3].T
    real = true[:, 0] @ np.linalg.inv(truth["world_to_camera"])[:3, :3].T
    way, true_way = (float(np.linalg.norm(np.diff(one[:, :2], axis=0), axis=1).sum()) for one in (ground, real))
    result["path"] = way / true_way
    number = np.bincount(tracks[0, seen]).argmax()
    own = [(k, one) for k, persons in enumerate(people.frames) for one in persons if one.track_id == number]
    low = np.array([(one.vertices @ world[2, :3] + world[2, 3]).min() - truth["lowest"][k] for k, one in own])
    return result | {
        "floor": 1000 * float(np.median(np.abs(low))),
        "floor95": 1000 * float(np.percentile(abs(low), 95)),
    }


def sheet(folder: Path, people: People, path: Path, columns: int = 8) -> None:
    """Frames with who was found."""
    chosen, pictures = np.linspace(0, len(people.frames) - 1, columns).astype(int), []
    files = sorted((folder / "clip").glob("*.png"))
    for frame in chosen:
        pixels = inference.load_photo(files[frame]).pixels
        bodies = [person.vertices for person in people.frames[frame]]
        pictures += [pixels, shaded(bodies, people.body.faces, people.cameras[frame], pixels, 0.8)]
    contact_sheet(pictures, path, 240, 8)


def clips(options: argparse.Namespace, motions: dict[str, NDArray]) -> None:
    rows = {}
    for number, name in enumerate((*DEVELOPED, *HELD)):
        if name not in motions:
            continue
        folder = options.output / name
        if not (folder / "clip.npz").exists():
            make_clip(options.output, name, motions[name], number)
        truth = load(folder / "clip.npz")
        if not (folder / "measured.npz").exists():
            files.save(folder / "measured.npz", measure_people(clip_of(folder, truth, False), "builtin"))
        focal = float(truth["camera"][0]) if options.lens == "true" else None
        people = solve_people(files.load(folder / "measured.npz"), fx=focal)
        rows[name] = score(people, truth)
        told = ", ".join(f"{key} {value:.3g}" for key, value in rows[name].items())
        print(f"{name} ({len(people.frames)} frames): {told}. {' '.join(people.notes)}", flush=True)
        if options.sheets is not None:
            sheet(folder, people, options.sheets / f"{name}.png")
    for key in next(iter(rows.values())):
        print(f"{key}: mean {np.mean([row[key] for row in rows.values()]):.3g}")


def stills(options: argparse.Namespace, motions: dict[str, NDArray]) -> None:
    folder, seed = options.output / f"stills{SEEDS[options.held]}", SEEDS[options.held]
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(options.count):
        if not (folder / f"{number:04d}.npz").exists():
            make(number, seed, folder, lambda random: drawn_still(random, motions))
        rows.append(score_still(folder / f"{number:04d}.npz"))
        poses = [one["pose"] for one in json.loads(str(load(folder / f"{number:04d}.npz")["attributes"]))]
        found = f"{len(rows[-1]['found'])} of {len(poses)}, {rows[-1]['invented']} invented"
        print(f"{number:04d} ({', '.join(poses)}): {found}, PA {[round(1000 * x) for x in rows[-1]['pa']]}", flush=True)
    print(table(rows))


def main() -> int:
    parser = argparse.ArgumentParser(description="Score recovered people who move as real people moved.")
    parser.add_argument("motions", type=Path)
    parser.add_argument("--held", action="store_true", help="those that are not developed on")
    parser.add_argument("--clips", action="store_true", help="only the clips")
    parser.add_argument("--stills", action="store_true", help="only the stills")
    parser.add_argument("--only", nargs="*", help="names of motions")
    parser.add_argument("--count", type=int, default=16, help="stills")
    parser.add_argument("--lens", choices=["guessed", "true"], default="guessed")
    parser.add_argument("--output", type=Path, default=HERE.parent / ".maquette" / "motions")
    parser.add_argument("--sheets", type=Path, help="folder for contact sheets")
    options = parser.parse_args()
    names = HELD if options.held else DEVELOPED
    motions = {name: captured(options.motions / f"humanoid3d_{name}.txt") for name in names}
    if not options.stills:
        clips(options, {name: rows for name, rows in motions.items() if not options.only or name in options.only})
    if not options.clips:
        stills(options, motions)
    return 0


if __name__ == "__main__":
    sys.exit(main())
