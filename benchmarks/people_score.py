# SPDX-License-Identifier: GPL-3.0-or-later
"""Recovers the rendered people of known pose and says how far off the answer is.

    python benchmarks/people_score.py [--truth .maquette/truth] [--stills | --clip] [--only NAME ...] [--refine]
                                      [--json FILE] [--overlay FOLDER]

The truth comes from `people_truth.py`. What the figures mean (metres; J: the 17 joints of `truth.record.BODY_JOINTS`):

    found, missed, invented   recovered bodies are matched with true people where the boxes of their joints overlap by
                              more than 0.3 (intersection over union), best total first; what has no partner on the
                              other side is missed or invented
    turned                    found people whose trunk faces more than 90 degrees away from the true direction
    root-aligned              mean distance of the joints J after the middle of the hips was moved onto the true one
    PA                        the same after the best similarity (turn, move, scale): the pose alone
    ... visible               the same over those joints that the picture shows
    landmarks PA              the same over 12 landmarks (shoulders, elbows, wrists, hips, knees, ankles) of the fitted
                              body, and of the pose network alone: the fit must gain, not lose
    distance                  error of the distance from the camera to the middle of the hips, as a share of it, with
                              the camera that a photo without one gets (guessed) and with the true one
    stature                   error of the height of the upright body
    seconds                   of the wall clock and, in brackets, of the processor: the fair one on a busy machine
    confidence                mean of `Person.confidence` over visible and over hidden joints J

Of the clip, with the true camera, smoothed (`track=True`) and raw (`track=False`):

    lost                      frames in which a person of whom four joints J or more are visible was not found
    switches                  changes of the track that a person is found in (raw people are not followed)
    acceleration              mean length of the second difference of the joints J in camera axes, m/s2
    slide                     mean speed of the ankle while the true foot stands flat, m/s; `across`: without the part
                              along the viewing ray
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from maquette import inference
from maquette.inference.camera import Camera
from maquette.inference.geometry.skinning import pose_body
from maquette.inference.photo import Clip, Photo
from maquette.inference.results import Body, People, Person
from maquette.inference.shipped.body import load_landmarks
from numpy.typing import NDArray
from truth.measure import (
    best_pairs,
    facing_error,
    joint_box,
    root_aligned_errors,
    similarity_errors,
    speed_of_planted_feet,
)
from truth.overlay import contact_sheet, overlay
from truth.record import BODY_JOINTS, camera_of, load

HERE = Path(__file__).resolve().parent
LANDMARKS = ("shoulder", "elbow", "wrist", "hip", "knee", "ankle")
#: Where the 12 landmarks lie in the pose network's 39.
NETWORK_LANDMARKS = (11, 12, 13, 14, 15, 16, 23, 24, 25, 26, 27, 28)


@dataclass
class Tally:
    """The rows of all people and the counts of one run."""

    missed: list[str] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0


def columns(body: Body) -> NDArray[np.int64]:
    return np.array([body.joint_names.index(name) for name in BODY_JOINTS])


def landmark_points(vertices: NDArray) -> NDArray[np.float64]:
    """(12, 3) of the body's vertices, left before right, in the order of `LANDMARKS`."""
    landmarks = load_landmarks()
    wanted = [landmarks.names.index(f"{side}_{name}") for name in LANDMARKS for side in ("left", "right")]
    return np.einsum("kn,knc->kc", landmarks.weights[wanted], vertices[landmarks.indices[wanted]])


def stature_of(body: Body, shape: NDArray) -> float:
    return float(np.ptp((body.vertices + np.tensordot(shape, body.shape_blend_shapes, 1))[:, 1]))


def pair(persons: tuple[Person, ...], truth: dict[str, NDArray], joints: NDArray, guess: Camera, which: NDArray):
    """Matches [(recovered, true), ...]; the boxes of the joints J in the picture are compared."""
    camera = camera_of(truth)
    mine = np.stack(
        [joint_box(guess.project(p.joints[which].astype(np.float64)), camera) for p in persons] or [np.zeros(4)]
    )
    true = np.stack([joint_box(camera.project(j[which].astype(np.float64)), camera) for j in joints])
    return best_pairs(mine[: len(persons)], true)


def person_row(body: Body, person: Person, truth: dict[str, NDArray], number: int, name: str) -> dict[str, Any]:
    """All figures of one found person, with the true camera."""
    which = columns(body)
    mine = person.joints[which].astype(np.float64)
    true = truth["joints"][number][which].astype(np.float64)
    visible = truth["visible"][number][which]
    aligned, similar = root_aligned_errors(mine, true), similarity_errors(mine, true)
    seen_similar = similarity_errors(mine[visible], true[visible]) if visible.sum() >= 4 else np.array([np.nan])
    vertices, _ = pose_body(body, truth["shape"][number], truth["rotations"][number], truth["translation"][number])
    traits = json.loads(str(truth["attributes"]))[number]
    confidence = person.confidence[which]
    return {
        "name": name,
        "pose": traits["pose"],
        "facing": facing_error(mine, true),
        "root_aligned": float(aligned.mean()),
        "root_aligned_visible": float(aligned[visible].mean()) if visible.any() else float("nan"),
        "pa": float(similar.mean()),
        "pa_visible": float(np.mean(seen_similar)),
        "landmarks_pa": float(similarity_errors(landmark_points(person.vertices), landmark_points(vertices)).mean()),
        "true_landmarks": landmark_points(vertices).tolist(),
        "distance": float(np.linalg.norm(_hips(mine)) / np.linalg.norm(_hips(true)) - 1),
        "stature": stature_of(body, person.shape) - float(truth["stature"][number]),
        "confidence_visible": confidence[visible].tolist(),
        "confidence_hidden": confidence[~visible].tolist(),
        "worst": BODY_JOINTS[int(similar.argmax())],
    }


def _hips(joints: NDArray) -> NDArray[np.float64]:
    return 0.5 * (joints[BODY_JOINTS.index("upperleg01.L")] + joints[BODY_JOINTS.index("upperleg01.R")])


def network_errors(pixels: NDArray, rows: list[dict[str, Any]], truth: dict[str, NDArray]) -> None:
    """Add to the rows of one picture how far the pose network's own world landmarks are off; in place."""
    from maquette.inference import runtime
    from maquette.inference.shipped import search

    found = search.find_people(pixels, runtime.start())
    if not found:
        return
    camera = camera_of(truth)
    for row in rows:
        true = np.array(row["true_landmarks"])
        pixels_true = camera.project(true)
        picks = [one.points[list(NETWORK_LANDMARKS), :2] for one in found]
        near = int(np.argmin([np.linalg.norm(points - pixels_true, axis=1).mean() for points in picks]))
        world = np.asarray(found[near].world, np.float64)[list(NETWORK_LANDMARKS)]
        row["network_pa"] = float(similarity_errors(world, true).mean())


def score_stills(folder: Path, only: list[str] | None, refine: bool, sheets: Path | None) -> dict[str, Any]:
    tally, guessed, pictures = Tally(), [], []
    for path in sorted((folder / "stills").glob("*.npz")):
        if only and path.stem not in only:
            continue
        truth = load(path)
        pixels = inference.load_photo(path.with_suffix(".png")).pixels
        camera = camera_of(truth)
        begin, begin_cpu = time.perf_counter(), time.process_time()
        people = inference.recover_people(Photo(pixels, camera, path.stem), refine=refine)
        tally.seconds += time.perf_counter() - begin
        tally.cpu_seconds += time.process_time() - begin_cpu
        persons = people.frames[0]
        which = columns(people.body)
        pairs = pair(persons, truth, truth["joints"], people.cameras[0], which)
        rows = [person_row(people.body, persons[mine], truth, true, path.stem) for mine, true in pairs]
        network_errors(pixels, rows, truth)
        tally.rows += rows
        count = len(truth["joints"])
        tally.missed += [path.stem] * (count - len(pairs))
        tally.invented += [path.stem] * (len(persons) - len(pairs))
        again = inference.recover_people(Photo(pixels, None, path.stem), refine=refine)
        for mine, true in pair(again.frames[0], truth, truth["joints"], again.cameras[0], which):
            error = np.linalg.norm(_hips(again.frames[0][mine].joints[which])) / np.linalg.norm(
                _hips(truth["joints"][true][which])
            )
            guessed.append(float(error - 1))
        print(
            f"{path.stem}: {len(pairs)} of {count} found, "
            + ", ".join(f"{row['pose']} PA {1000 * row['pa']:.0f} mm facing {row['facing']:.0f}" for row in rows),
            flush=True,
        )
        if sheets is not None:
            order = [mine for mine, _ in sorted(pairs, key=lambda both: both[1])]
            order += [number for number in range(len(persons)) if number not in order]
            drawn = tuple(persons[number] for number in order)
            pictures.append(overlay(pixels, people.body, drawn, people.cameras[0], truth, _caption(path.stem, rows)))
    if sheets is not None and pictures:
        contact_sheet(pictures, sheets / "stills.jpg")
    return summary(tally, guessed)


def _caption(name: str, rows: list[dict[str, Any]]) -> str:
    return f"{name}: " + ", ".join(f"{1000 * row['pa']:.0f}/{1000 * row['root_aligned']:.0f}" for row in rows)


def summary(tally: Tally, guessed: list[float]) -> dict[str, Any]:
    rows = tally.rows

    def values(key: str) -> NDArray[np.float64]:
        return np.array([row[key] for row in rows if key in row], np.float64)

    def both(key: str, unit: float = 1000.0) -> dict[str, float]:
        return {"mean": unit * float(np.nanmean(values(key))), "median": unit * float(np.nanmedian(values(key)))}

    flat = {
        key: np.concatenate([row[key] for row in rows] or [[]]) for key in ("confidence_visible", "confidence_hidden")
    }
    for row in rows:
        row.pop("true_landmarks")
    return {
        "found": len(rows),
        "missed": tally.missed,
        "invented": tally.invented,
        "turned": [row["name"] for row in rows if row["facing"] > 90],
        "root_aligned_mm": both("root_aligned"),
        "root_aligned_visible_mm": both("root_aligned_visible"),
        "pa_mm": both("pa"),
        "pa_visible_mm": both("pa_visible"),
        "landmarks_pa_mm": both("landmarks_pa"),
        "network_pa_mm": both("network_pa"),
        "distance_true_focal": float(np.mean(np.abs(values("distance")))),
        "distance_guessed_focal": float(np.mean(np.abs(guessed))),
        "stature_cm": 100 * float(np.mean(np.abs(values("stature")))),
        "confidence_visible": float(np.mean(flat["confidence_visible"])),
        "confidence_hidden": float(np.mean(flat["confidence_hidden"])),
        "seconds_per_person": tally.seconds / max(len(rows) + len(tally.invented), 1),
        "cpu_seconds_per_person": tally.cpu_seconds / max(len(rows) + len(tally.invented), 1),
        "people": rows,
    }


def clip_of(folder: Path, truth: dict[str, NDArray], with_camera: bool) -> Clip:
    files = sorted((folder / "clip").glob("*.png"))
    camera = camera_of(truth) if with_camera else None
    fps = float(truth["fps"])
    return Clip("clip", len(files), fps, lambda: (Photo(inference.load_photo(f).pixels, camera, f.stem) for f in files))


def score_clip(folder: Path, track: bool, with_camera: bool, sheets: Path | None) -> dict[str, Any]:
    truth = load(folder / "clip.npz")
    clip = clip_of(folder, truth, with_camera)
    begin, begin_cpu = time.perf_counter(), time.process_time()
    people = inference.recover_people(clip, track=track)
    seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - begin_cpu
    if sheets is not None:
        _clip_sheet(folder, people, truth, sheets / f"clip_{'smooth' if track else 'raw'}.jpg")
    count = max(sum(map(len, people.frames)), 1)
    return {
        "track": track,
        "camera": "true" if with_camera else "guessed",
        **clip_figures(people, truth, track),
        "seconds_per_person": seconds / count,
        "cpu_seconds_per_person": cpu_seconds / count,
    }


def followed(people: People, truth: dict[str, NDArray]) -> tuple[NDArray[np.float64], NDArray[np.int64], int]:
    """Joints (P, T, J, 3) of who is where each true person is, NaN where nobody is; tracks (P, T); and who is over."""
    which, body = columns(people.body), people.body
    frames, count = truth["joints"].shape[:2]
    path = np.full((count, frames, len(body.joint_names), 3), np.nan)
    tracks = np.full((count, frames), -1)
    invented = 0
    for frame, persons in enumerate(people.frames):
        pairs = pair(persons, truth, truth["joints"][frame], people.cameras[frame], which)
        invented += len(persons) - len(pairs)
        for mine, true in pairs:
            path[true, frame] = persons[mine].joints
            tracks[true, frame] = persons[mine].track_id
    return path, tracks, invented


def clip_figures(people: People, truth: dict[str, NDArray], track: bool) -> dict[str, Any]:
    """The figures of a clip's people."""
    path, tracks, invented = followed(people, truth)
    body, fps = people.body, float(truth["fps"])
    which = columns(body)
    count, frames = tracks.shape
    true_path = np.moveaxis(truth["joints"].astype(np.float64), 1, 0)
    seen = np.moveaxis(truth["visible"][..., which].sum(-1) >= 4, 1, 0)
    errors = [
        similarity_errors(path[p, t][which], true_path[p, t][which]).mean()
        for p in range(count) for t in range(frames) if tracks[p, t] >= 0
    ]  # fmt: skip
    facing = [
        facing_error(path[p, t][which], true_path[p, t][which])
        for p in range(count) for t in range(frames) if tracks[p, t] >= 0
    ]  # fmt: skip
    ankles = [body.joint_names.index(f"foot.{side}") for side in "LR"]
    flat = np.moveaxis(truth["planted"].all(-1), 1, 0)
    return {
        "lost": int((seen & (tracks < 0)).sum()),
        "invented": invented,
        "switches": int(sum(_changes(row) for row in tracks)) if track else None,
        "tracks": len(np.unique(tracks[tracks >= 0])) if track else None,
        "pa_mm": 1000 * float(np.mean(errors)),
        "turned": int(np.sum(np.array(facing) > 90)),
        "acceleration": acceleration(path[:, :, which], fps),
        "acceleration_true": acceleration(true_path[:, :, which], fps),
        "slide": speed_of_planted_feet(path[:, :, ankles], flat, fps, along_ray=True),
        "slide_across": speed_of_planted_feet(path[:, :, ankles], flat, fps, along_ray=False),
        "slide_true": speed_of_planted_feet(true_path[:, :, ankles], flat, fps, along_ray=True),
        "distance": float(
            np.nanmean(np.abs(np.linalg.norm(path[:, :, 0], axis=-1) / np.linalg.norm(true_path[:, :, 0], axis=-1) - 1))
        ),
    }


def _changes(row: NDArray) -> int:
    found = row[row >= 0]
    return int((found[1:] != found[:-1]).sum())


def acceleration(paths: NDArray, fps: float) -> float:
    """Mean m/s2 over people, frames and joints of paths (P, T, K, 3); frames without a person are NaN."""
    return float(np.nanmean(np.linalg.norm(np.diff(paths, 2, axis=1), axis=-1)) * fps**2)


def _clip_sheet(folder: Path, people: Any, truth: dict[str, NDArray], path: Path) -> None:
    pictures = []
    files = sorted((folder / "clip").glob("*.png"))
    for frame in range(0, len(files), 3):
        still = {**truth, **{key: truth[key][frame] for key in ("joints", "rotations", "translation")}}
        pixels = inference.load_photo(files[frame]).pixels
        persons = people.frames[frame]
        caption = f"{frame}: tracks {[person.track_id for person in persons]}"
        pictures.append(overlay(pixels, people.body, persons, people.cameras[frame], still, caption))
    contact_sheet(pictures, path)


def table(result: dict[str, Any]) -> str:
    """The figures as text."""
    lines = []
    if "stills" in result:
        s = result["stills"]
        lines += [
            f"found / missed / invented        {s['found']} / {len(s['missed'])} / {len(s['invented'])}"
            f"   missed: {', '.join(s['missed']) or '-'}; invented: {', '.join(s['invented']) or '-'}",
            f"turned bodies                    {len(s['turned'])}   {', '.join(s['turned'])}",
        ]
        for key, word in (
            ("root_aligned_mm", "root-aligned, mm"),
            ("root_aligned_visible_mm", "  visible joints"),
            ("pa_mm", "PA, mm"),
            ("pa_visible_mm", "  visible joints"),
            ("landmarks_pa_mm", "landmarks PA, mm: the fit"),
            ("network_pa_mm", "  the network alone"),
        ):
            lines.append(f"{word:<33}{s[key]['mean']:.1f} (median {s[key]['median']:.1f})")
        lines += [
            f"distance, guessed / true focal   {100 * s['distance_guessed_focal']:.1f} % / "
            f"{100 * s['distance_true_focal']:.1f} %",
            f"stature                          {s['stature_cm']:.1f} cm",
            f"confidence, visible / hidden     {s['confidence_visible']:.2f} / {s['confidence_hidden']:.2f}",
            f"seconds a person (of processor)  {s['seconds_per_person']:.2f} ({s['cpu_seconds_per_person']:.2f})",
        ]
    for c in result.get("clip", []):
        lines += [
            "",
            f"clip, {'smoothed' if c['track'] else 'raw'}, {c['camera']} focal",
            f"lost / invented / switches       {c['lost']} / {c['invented']} / "
            + (f"{c['switches']} ({c['tracks']} tracks)" if c["track"] else "not followed"),
            f"PA, mm                           {c['pa_mm']:.1f}   turned frames {c['turned']}",
            f"acceleration / true, m/s2        {c['acceleration']:.1f} / {c['acceleration_true']:.1f}",
            f"slide (across) / true, m/s       {c['slide']:.2f} ({c['slide_across']:.2f}) / {c['slide_true']:.2f}",
            f"distance                         {100 * c['distance']:.1f} %",
            f"seconds a person and frame       {c['seconds_per_person']:.2f} ({c['cpu_seconds_per_person']:.2f})",
        ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Score recovered people against the rendered truth.")
    parser.add_argument("--truth", type=Path, default=HERE.parent / ".maquette" / "truth")
    parser.add_argument("--stills", action="store_true", help="only the stills")
    parser.add_argument("--clip", action="store_true", help="only the clip")
    parser.add_argument("--only", nargs="*", help="names of stills")
    parser.add_argument("--refine", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--overlay", type=Path, help="folder for contact sheets")
    options = parser.parse_args()
    if options.overlay is not None:
        options.overlay.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {}
    if not options.clip:
        result["stills"] = score_stills(options.truth, options.only, options.refine, options.overlay)
    if not options.stills and not options.only:
        runs = ((True, True), (False, True), (True, False))
        result["clip"] = [score_clip(options.truth, track, camera, options.overlay) for track, camera in runs]
    print("\n" + table(result))
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=1), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
