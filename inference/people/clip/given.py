# SPDX-License-Identifier: GPL-3.0-or-later
"""A camera whose motion is given, by a tracker say: its world is the people's, z up with the floor at z = 0."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import BadInput
from ...results import Body
from .ground import LEANING, Evidence, Ground, gather_motion_evidence, lean
from .motion import Spell
from .travel import Travel

#: OpenCV camera axes from Blender's (x right, y up, looking along -z), and back.
_FLIP = np.diag([1.0, -1.0, -1.0, 1.0])
#: How far people may be off the usual stature, as a share, before the world is said to be off.
OFF = 0.2
#: Least height of a camera over the floor (m), and weight of feet that are seen.
_LOWEST, _SEEN = 0.3, 0.3
STANDS = "The given camera does not move"
#: Share of the frames that it may stand before it sets out, and after it has stopped, without a word.
HELD = 0.1
_REMEDY = "Give camera_poses (frames, 4, 4): world from camera for each frame, in metres, z up, the camera along -z."


def with_poses(options: Mapping[str, Any], count: int, *, tracked: bool = True) -> dict[str, Any]:
    """The options with `camera_poses` (T, 4, 4) float64, read, as world from camera with OpenCV axes.

    count : of the clip's frames.  tracked : its people are. Raises `BadInput` for poses that do not fit.
    """
    given = options["camera_poses"]
    if options["camera_motion"] != "scene":
        raise BadInput("camera_poses count only where the camera is the scene's.", 'Give camera_motion="scene" too.')
    if given is None:
        raise BadInput('camera_motion="scene" needs the camera\'s poses.', _REMEDY)
    if not tracked:
        raise BadInput("A given camera moves through a clip whose people are tracked.", "Give a clip, and track=True.")
    poses = _rigid(_read(given))
    if len(poses) != count:
        raise BadInput(f"The camera has {len(poses)} poses, the clip {count} frames.", "Give one for each frame.")
    return {**options, "camera_poses": poses @ _FLIP}


def _read(given: Any) -> NDArray[np.float64]:
    """Poses of an array, or of a file: .npy, .npz with one array, or .json (a list of matrices, or `frames` with
    `transform_matrix` each, as NeRF's files have them)."""
    told = given
    try:
        if isinstance(given, (str, PathLike)):
            path = Path(given)
            if path.suffix.lower() == ".json":
                told = json.loads(path.read_text(encoding="utf-8"))
                told = [one["transform_matrix"] for one in told["frames"]] if isinstance(told, dict) else told
            else:
                told = np.load(path, allow_pickle=False)
                if not isinstance(told, np.ndarray):
                    with told as file:
                        (told,) = (file[name] for name in file.files)
        return np.asarray(told, np.float64)
    except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise BadInput(f"The camera's poses cannot be read: {error}.", _REMEDY) from error


def _rigid(poses: NDArray) -> NDArray[np.float64]:
    """The matrices without their scale. Raises `BadInput` for what is no place of a camera."""
    if poses.ndim != 3 or poses.shape[1:] != (4, 4) or not np.isfinite(poses).all():
        raise BadInput(f"camera_poses {poses.shape} are not finite matrices (frames, 4, 4).", _REMEDY)
    turns = poses[:, :3, :3] / np.maximum(np.linalg.norm(poses[:, :3, :3], axis=1, keepdims=True), 1e-12)
    square = np.abs(np.swapaxes(turns, 1, 2) @ turns - np.eye(3)).max(axis=(1, 2)) < 1e-3
    good = square & (np.linalg.det(turns) > 0) & (np.abs(poses[:, 3] - [0, 0, 0, 1]) < 1e-6).all(axis=1)
    if not good.all():
        raise BadInput(f"The camera is sheared or mirrored in frame {int(np.argmin(good)) + 1}.", _REMEDY)
    rigid = poses.copy()
    rigid[:, :3, :3] = turns
    return rigid


def travel_given(poses: NDArray) -> Travel:
    """The way of a camera from world from camera (T, 4, 4), OpenCV axes."""
    ways, count = np.linalg.inv(poses[0]) @ poses, len(poses)
    rests = np.abs(np.diff(poses, axis=0)).max(axis=(1, 2)) < 1e-6
    if rests.all():
        return Travel(note=STANDS, world=poses[0])
    moving = np.flatnonzero(~rests)
    first, last = int(moving[0]), int(moving[-1]) + 1
    held = [f"{a + 1} to {b + 1}" for a, b in ((0, first), (last, count - 1)) if b - a > HELD * count]
    note = f"{STANDS} in the clip's frames {' and '.join(held)}: is it tracked there?" if held else ""
    return Travel(ways, bool(np.abs(ways[:, :3, 3]).max() < 1e-6), note, poses[0])


def floored(travel: Travel, body: Body, spells: Sequence[Spell]) -> Travel:
    """The way with the floor of its world: height 0, or where the people stand if those would be far off the usual
    stature there; that, and a world whose up is not theirs, is said. spells : in the world."""
    world = travel.world
    assert world is not None
    ground = Ground(world[2, :3], float(world[2, 3]))
    evidence = [gather_motion_evidence(body, spell.motion, ground.up) for spell in spells]
    off, notes = lean(evidence, ground), [travel.note] if travel.note else []
    if off > LEANING:
        notes.append(f"People lean by {np.degrees(off):.0f}° in the given camera's world: lay its floor and way up")
    larger, height = _larger(evidence, ground), _height(evidence, ground)
    if larger is not None and height is not None and abs(np.log(larger)) > np.log1p(OFF):
        notes.append(
            f"People would be {larger:.2g} times as tall on the floor of the given camera's world, so they stand at "
            f"height {ground.height - height:.2f} m: scale the camera's way by {1 / larger:.2g}, or lay its floor there"
        )
    if height is not None and (larger is None or abs(np.log(larger)) > np.log1p(OFF)):
        ground = replace(ground, height=height)
    return replace(travel, ground=ground, note=". ".join(notes))


def _larger(evidence: Sequence[Evidence], ground: Ground) -> float | None:
    """By how much the people would have to be larger for their feet to be on this ground, where they are seen; None
    where the camera is not above it, or no feet are seen."""
    found = []
    for one in evidence:
        heights = ground.heights(one.eyes)
        depths = heights - ground.heights(one.supports)
        usable = (one.support_weights > _SEEN) & (depths > _LOWEST) & (heights > _LOWEST)
        found.append(heights[usable] / depths[usable])
    known = np.concatenate([np.zeros(0), *found])
    return float(np.median(known)) if len(known) else None


def _height(evidence: Sequence[Evidence], ground: Ground) -> float | None:
    """How high (m) the first camera is over the feet of the people; None where no feet are seen."""
    known = [-one.supports[one.support_weights > _SEEN] @ ground.up for one in evidence]
    known = np.concatenate([np.zeros(0), *known])
    return float(np.median(known)) if len(known) else None
