# SPDX-License-Identifier: GPL-3.0-or-later
"""From photos to a place in metres: what is compared, what tells the size, and the world that it is put into."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ..depth import estimate_depth
from ..errors import NothingFound
from ..photo import load_photo
from ..registry import answering
from ..results import Reconstruction
from . import upright
from .colmap import Solved, Taken, solve

if TYPE_CHECKING:
    from ..photo import Clip
    from ..runtime.run import Run

#: Photos that are asked for metres, and the points that one of them must share with its depth.
_ASKED, _LEAST_SHARED = 5, 30
#: What distances are guessed by: the height at which a camera is held, and how far off things are, in metres.
_HELD, _FAR = 1.6, 3.0
#: Pixels at a picture's corner from which on it is said that the lens bends straight lines.
_BENT = 2.0


def reconstructed(
    clip: Clip, model: str, most_photos: int, long_side: int, run: Run, where: dict[str, Any]
) -> Reconstruction:
    """See `reconstruct_photos`. where : its keywords that every task has."""
    with tempfile.TemporaryDirectory(prefix="maquette-") as folder:
        taken = list(_taken(clip, most_photos, long_side, Path(folder), run.part(0.0, 0.1)))
        solved = solve(taken, Path(folder), film=clip.fps is not None, run=run.part(0.1, 0.9))
        metres = _metres(solved, model, run.part(0.9, 1.0), where)
        return _in_metres(clip, taken, solved, *metres)


def _taken(clip: Clip, most: int, long_side: int, folder: Path, run: Run) -> Iterator[Taken]:
    """The photos that are compared, written as files that are no larger than need be."""
    count = min(len(clip), most)
    wanted = set(np.linspace(0, len(clip) - 1, count).round().astype(int).tolist())
    for index, photo in enumerate(islice(clip, max(wanted) + 1)):
        run.report(index / len(clip), f"Reading photo {index + 1} of {len(clip)}")
        if index not in wanted:
            continue
        width, height = photo.size
        scale = min(1.0, long_side / max(width, height))
        small = max(1, round(width * scale)), max(1, round(height * scale))
        file = folder / f"{index:06d}.png"
        pixels = cv2.resize(photo.pixels, small, interpolation=cv2.INTER_AREA) if scale < 1 else photo.pixels
        cv2.imwrite(str(file), pixels[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])
        known = photo.camera if photo.camera is not None and photo.camera.source != "default" else None
        yield Taken(index, file, photo.size, photo.digest, known.resized(*small) if known else None)


def _metres(solved: Solved, model: str, run: Run, where: dict[str, Any]) -> tuple[float | None, str, str]:
    """Metres a unit of the solution, what told them, and the model; None where nothing does."""
    first = answering("depth", model, run.models_dir)[0]
    people = first.id == "builtin" or not first.options.get("metres", True)
    name = "builtin" if people else first.id
    logs = []
    places = np.unique(np.linspace(0, len(solved.cameras) - 1, _ASKED).round().astype(int))
    for part, number in zip(run.parts(len(places)), places, strict=True):
        photo = replace(load_photo(solved.files[number]), camera=solved.cameras[number])
        try:
            depth = estimate_depth(photo, name, resolution=0, progress=part.report, **where)
        except NothingFound:
            continue
        seen, away = solved.seen_by(number)
        column, row = np.floor(seen).astype(int).T
        inside = (column >= 0) & (row >= 0) & (column < photo.size[0]) & (row < photo.size[1])
        column, row, away = column[inside], row[inside], away[inside]
        known = depth.valid[row, column] & (away > 0)
        if depth.metric and known.sum() >= _LEAST_SHARED:
            logs.append(float(np.median(np.log(depth.depth[row, column][known] / away[known]))))
    if not logs:
        return None, "", ""
    told = "the statures of people" if people else first.label
    spread = (
        f", the photos within {100 * (math.exp(np.ptp(logs) / 2) - 1):.0f} % of each other" if len(logs) > 1 else ""
    )
    return math.exp(float(np.median(logs))), told + spread, "" if people else first.id


def _in_metres(
    clip: Clip, taken: Sequence[Taken], solved: Solved, metres: float | None, measured: str, model: str
) -> Reconstruction:
    """The solution turned upright, onto the floor, and to its size."""
    poses = solved.world_from_camera
    up = upright.way_up(poses, solved.files, solved.cameras)
    floor = upright.floor_under(solved.points, poses[:, :3, 3], up)
    up, below = (up, None) if floor is None else floor
    notes = []
    if metres is None:
        heights = poses[:, :3, 3] @ up - below if below is not None else None
        metres = _HELD / float(np.median(heights)) if heights is not None else _FAR / solved.away
        guess = f"cameras held at {_HELD:g} m" if below is not None else f"things {_FAR:g} m away"
        notes.append(f"Nothing tells how large the place is: it was taken for {guess}; set one length that you know")
    else:
        notes.append(f"Metres by {measured}")
    if below is None:
        notes.append("No floor was seen")
    world = upright.world(poses[0], up, below, metres, _HELD)
    moved = np.tile(np.eye(4), (len(poses), 1, 1))
    moved[:, :3, :3] = world[:3, :3] / metres @ poses[:, :3, :3]
    moved[:, :3, 3] = poses[:, :3, 3] @ world[:3, :3].T + world[:3, 3]
    if len(solved.cameras) < len(taken):
        lost = len(taken) - len(solved.cameras)
        notes.insert(0, f"{lost} of {len(taken)} photos could not be joined to the others")
    if len(taken) < len(clip):
        notes.insert(0, f"{len(taken)} of {len(clip)} photos were compared")
    if solved.bent > _BENT:
        notes.append(
            f"The lens bends straight lines by up to {solved.bent:.0f} pixels, which no camera of Blender does"
        )
    by_index = {one.index: one for one in taken}
    shown = [by_index[index] for index in solved.indices.tolist()]
    return Reconstruction(
        solved.indices,
        tuple(camera.resized(*one.size) for camera, one in zip(solved.cameras, shown, strict=True)),
        moved,
        (solved.points @ world[:3, :3].T + world[:3, 3]).astype(np.float32),
        solved.colours,
        solved.errors,
        solved.views,
        tuple(one.digest for one in shown),
        below is not None,
        measured,
        model,
        len(clip),
        clip.fps,
        tuple(notes),
    )
