# SPDX-License-Identifier: GPL-3.0-or-later
"""What the networks say of a clip, or of some of its frames, as data: solved again and again without them.

A clip is measured in pieces (`pieces.Piece`) that know nothing of each other; a file holds some of them, one after the
other. Files of all frames of a clip, from whatever machines, are merged into what a run in one piece would have.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...camera import Camera
from ...errors import BadInput
from ...options.people import SAM3D
from ...runtime.files import save_with
from ...shipped.crops import Region
from ...shipped.hand import HandLandmarks
from ...shipped.pose import PoseLandmarks
from ..fit.hands import SIDES
from .pieces import PIECE, Piece
from .track import Sighting, Track

#: What the files hold; raised whenever it, or what the networks are asked, changes.
VERSION = 10
#: The options that the measurements depend on.
DECIDING = ("det_confidence_thresh", "det_iou_thresh", "boxes", "detector", "hands", "mask_prompts")
_KIND = "maquette people"
_ARRAYS = ("points", "world", "visibility", "presence", "sigma", "world_sigma", "agreement", "matrix")
_NUMBERS = ("score", "score_min", "spread", "belief")
_HAND = ("points", "world", "right", "score", "sigma")
_ANSWER = "answer_"
_REGION = ("cx", "cy", "size", "rotation", "score")


@dataclass(frozen=True)
class Measured:
    """What is seen in the frames start .. stop - 1 of a clip of `count` frames.

    cameras : of these frames.  digests : (n, 20) uint8, SHA-1 of the pixels of these frames and the lead before them.
    options : those that were asked for (`DECIDING`).  model : whose measurements they are.
    """

    name: str
    count: int
    fps: float | None
    options: Mapping[str, Any]
    start: int
    stop: int
    cameras: tuple[Camera, ...]
    digests: NDArray[np.uint8]
    pieces: tuple[Piece, ...]
    model: str = "builtin"

    @property
    def lead(self) -> int:
        """Frames that were read before the first one."""
        return len(self.digests) - (self.stop - self.start)

    def with_focal(self, fx: float | None, fy: float | None) -> Measured:
        """The same as seen through another lens. Raises `BadInput` where the network was shown the lens."""
        return self.through([camera.with_focal(fx, fy) for camera in self.cameras])

    def through(self, cameras: Sequence[Camera]) -> Measured:
        """The same as seen through these lenses. Raises `BadInput` where the network was shown others."""
        if self.model in SAM3D and tuple(cameras) != self.cameras:
            raise BadInput(
                "SAM 3D Body has read these people through another lens.", "Recover them again, through this one."
            )
        return replace(self, cameras=tuple(cameras))


def asked_of(options: Mapping[str, Any]) -> dict[str, str]:
    """The options that measurements depend on, in words."""
    asked = {name: repr(options[name]) for name in DECIDING}
    detector = Path(options["detector"] or "")
    asked["detector"] = repr(detector.parent.name if detector.name == "model.safetensors" else detector.name)
    asked["boxes"] = hashlib.sha1(asked["boxes"].encode(), usedforsecurity=False).hexdigest()
    return asked


def first_piece(start: int) -> int:
    """Where the piece begins that holds a frame."""
    return start - start % PIECE


def cut(pieces: Sequence[Piece], start: int, stop: int) -> tuple[Piece, ...]:
    """The pieces of some frames: those of a piece that is cut keep its beginning as lead."""
    return tuple(
        replace(piece, start=max(piece.start, start), stop=min(piece.stop, stop))
        for piece in pieces
        if piece.stop > start and piece.start < stop
    )


def save(path: Path, measured: Measured) -> None:
    """Write an npz, which appears whole or not at all. Raises `BadInput` where it cannot be written."""
    arrays = {name: np.asarray(value) for name, value in _arrays_of(measured).items()}
    save_with(path, lambda file: np.savez_compressed(file, **arrays))


def files_in(path: Path) -> list[Path]:
    """The file, or those of a folder."""
    return sorted(path.glob("*.npz")) if path.is_dir() else [path]


def load(path: Path) -> Measured:
    """Read what `save` has written. Raises `BadInput` for anything else."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        why = "does not exist" if not path.exists() else "is broken or was not written to its end"
        raise BadInput(f"{path} {why}.", "Measure these frames again.") from error
    if str(arrays.get("kind", "")) != _KIND:
        raise BadInput(f"{path} holds no measurements of people.", "Choose a file that --measure wrote.")
    if int(arrays["version"]) != VERSION:
        raise BadInput(f"{path} was measured by another version of Maquette.", "Measure these frames again.")
    return _measured(arrays)


def merge(files: Sequence[Path]) -> Measured:
    """The parts of a clip as one. Raises `BadInput`, which names what is missing, doubled, broken or of other clips."""
    if not files:
        raise BadInput("There are no measurements to merge.", "Give a folder of files that --measure wrote.")
    parts = sorted(((load(file), file) for file in files), key=lambda one: (one[0].start, one[0].stop))
    first, name = parts[0]
    for part, file in parts[1:]:
        if (part.name, part.count, part.fps, part.model) != (first.name, first.count, first.fps, first.model):
            raise BadInput(f"{file.name} is of another clip than {name.name}.", "Merge one clip at a time.")
        if part.options != first.options:
            raise BadInput(f"{file.name} was measured with other options than {name.name}.", "Measure it again.")
    for (one, file), (later, other) in pairwise(parts):
        if later.start < one.stop:
            raise BadInput(f"{file.name} and {other.name} hold the same frames.", "Leave one of them out.")
        shared = min(later.lead, one.stop - one.start)
        if later.start == one.stop and (one.digests[len(one.digests) - shared :] != _end_of_lead(later, shared)).any():
            raise BadInput(f"{other.name} is of other pictures than {file.name}.", "Measure one of them again.")
    missing = _missing([part for part, _ in parts])
    if missing:
        raise BadInput(f"The frames {', '.join(missing)} are missing.", "Measure them too.")
    last = parts[-1][0]
    return replace(
        first,
        stop=last.stop,
        cameras=tuple(camera for part, _ in parts for camera in part.cameras),
        digests=np.concatenate([part.digests[part.lead :] for part, _ in parts]),
        pieces=_whole([piece for part, _ in parts for piece in part.pieces]),
    )


def _end_of_lead(part: Measured, count: int) -> NDArray[np.uint8]:
    return part.digests[part.lead - count : part.lead]


def _missing(parts: Sequence[Measured]) -> list[str]:
    """The frames that no part has, counted from 1."""
    ends = [0, *(part.stop for part in parts)]
    starts = [*(part.start for part in parts), parts[0].count]
    return [f"{stop + 1} to {start}" for stop, start in zip(ends, starts, strict=True) if stop < start]


def _whole(pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """Pieces that were cut put together again: the later part of one has read all of it up to there, but for what a
    network that reads bodies says, which was asked of each part's own frames. Raises `BadInput`."""
    whole: list[Piece] = []
    for piece in pieces:
        if whole and first_piece(piece.start) == first_piece(whole[-1].start):
            before = whole.pop()
            for number, track in enumerate(before.tracks):
                later = piece.tracks[number].sightings if number < len(piece.tracks) else {}
                if not track.sightings.keys() <= later.keys():
                    raise BadInput(
                        f"The frames up to {piece.start} and those after them were not seen alike.",
                        "Measure both again, with the same models.",
                    )
                later.update(track.sightings)
            piece = replace(piece, start=before.start)
        whole.append(piece)
    return tuple(whole)


def _arrays_of(measured: Measured) -> dict[str, Any]:
    cameras = measured.cameras
    tracks = [track for piece in measured.pieces for track in piece.tracks]
    seen = [one for track in tracks for one in track.sightings.values()]
    told, rows = [one for one in seen if one.said], [row_of(one.landmarks) for one in seen]
    outlines = [np.frombuffer(one.outline, np.uint8) for one in seen]
    hands = [one.hands[side] for one in seen for side in SIDES if side in one.hands]
    known = [one.colours for track in tracks for one in (*track.sightings.values(), track) if one.colours is not None]
    return {
        "kind": _KIND,
        "model": measured.model,
        "answered": [bool(one.said) for one in seen],
        **{f"{_ANSWER}{name}": np.array([one.said[name] for one in told]) for name in (told[0].said if told else ())},
        "version": VERSION,
        "name": measured.name,
        "frames": [measured.start, measured.stop, measured.count],
        "fps": np.nan if measured.fps is None else measured.fps,
        "options": json.dumps(dict(measured.options), sort_keys=True),
        "digests": measured.digests,
        "cameras": [(c.fx, c.fy, c.cx, c.cy, c.width, c.height, *(c.up or [np.nan] * 3)) for c in cameras],
        "camera_sources": [camera.source for camera in cameras],
        "piece_frames": [(piece.start, piece.stop, len(piece.tracks)) for piece in measured.pieces],
        "cuts": [cut for piece in measured.pieces for cut in piece.cuts],
        "scenery": np.concatenate([np.zeros((0, 4), np.float32), *(piece.scenery for piece in measured.pieces)]),
        "scenery_lengths": [len(piece.scenery) for piece in measured.pieces],
        "piece_cuts": [len(piece.cuts) for piece in measured.pieces],
        "track_lengths": [len(track.sightings) for track in tracks],
        "velocities": np.array([track.velocity for track in tracks]).reshape(-1, 3),
        "seen_in": [frame for track in tracks for frame in track.sightings],
        "flags": [(one.clear, one.at_edge, one.colours is not None) for one in seen],
        "covered": [one.covered for one in seen],
        "has_colours": [track.colours is not None for track in tracks],
        "colours": np.array(known, np.float32),
        "outline_lengths": [len(outline) for outline in outlines],
        "outlines": np.concatenate([np.zeros(0, np.uint8), *outlines]),
        "hand_sides": np.array([[side in one.hands for side in SIDES] for one in seen]).reshape(-1, 2),
        **{f"hand_{name}": np.array([getattr(one, name) for one in hands]) for name in _HAND},
        **{name: np.array([row[name] for row in rows]) for name in (*_ARRAYS, *_NUMBERS, "regions")},
    }


def row_of(one: PoseLandmarks) -> dict[str, Any]:
    """Landmarks without their mask, as numbers and arrays by name."""
    own = {name: getattr(one, name) for name in (*_ARRAYS, *_NUMBERS)}
    return {**own, "regions": np.array([getattr(one.region, name) for name in _REGION])}


def landmarks_of(row: Mapping[str, Any]) -> PoseLandmarks:
    """What `row_of` has made numbers of."""
    own: dict[str, Any] = {name: row[name] for name in _ARRAYS}
    own |= {name: float(row[name]) for name in _NUMBERS}
    return PoseLandmarks(**own, region=Region(*row["regions"].tolist()), mask_logits=np.zeros((0, 0), np.float32))


def _measured(arrays: Mapping[str, NDArray]) -> Measured:
    start, stop, count = (int(frame) for frame in arrays["frames"])
    sightings, tracks = _sightings(arrays), []
    colours = iter(arrays["colours"])
    frames = iter(arrays["seen_in"].astype(int).tolist())
    flags = iter(arrays["flags"])
    for number, length in enumerate(arrays["track_lengths"].astype(int)):
        own = {}
        for _ in range(length):
            clear, edge, coloured = (bool(flag) for flag in next(flags))
            worn = next(colours) if coloured else None
            own[next(frames)] = replace(next(sightings), clear=clear, at_edge=edge, colours=worn)
        worn = next(colours) if arrays["has_colours"][number] else None
        tracks.append(Track(own, worn, arrays["velocities"][number]))
    rest, cuts, pieces = iter(tracks), iter(arrays["cuts"].astype(int).tolist()), []
    lengths = arrays["scenery_lengths"].astype(int)
    sceneries = np.split(arrays["scenery"], np.cumsum(lengths)[:-1]) if len(lengths) else []
    whole = zip(arrays["piece_frames"].astype(int).tolist(), arrays["piece_cuts"].astype(int), sceneries, strict=True)
    for (first, last, some), split, scenery in whole:
        own = [next(rest) for _ in range(some)]
        pieces.append(Piece(first, last, own, tuple(next(cuts) for _ in range(split)), scenery))
    fps = float(arrays["fps"])
    return Measured(
        str(arrays["name"]), count, None if np.isnan(fps) else fps, json.loads(str(arrays["options"])), start, stop,
        tuple(_cameras(arrays)), arrays["digests"], tuple(pieces), str(arrays["model"]),
    )  # fmt: skip


def _cameras(arrays: Mapping[str, NDArray]) -> Iterator[Camera]:
    for row, source in zip(arrays["cameras"].tolist(), arrays["camera_sources"].tolist(), strict=True):
        fx, fy, cx, cy, width, height, *up = row
        way = None if np.isnan(up[0]) else (up[0], up[1], up[2])
        yield Camera(fx, fy, cx, cy, int(width), int(height), source, way)


def _sightings(arrays: Mapping[str, NDArray]) -> Iterator[Sighting]:
    ends = np.cumsum(arrays["outline_lengths"].astype(int))
    hands = _hands(arrays)
    answers = {name.removeprefix(_ANSWER): values for name, values in arrays.items() if name.startswith(_ANSWER)}
    rows = count()
    for number, (length, end) in enumerate(zip(arrays["outline_lengths"].astype(int), ends, strict=True)):
        landmarks = landmarks_of({name: arrays[name][number] for name in (*_ARRAYS, *_NUMBERS, "regions")})
        shown = {side: next(hands) for side, there in zip(SIDES, arrays["hand_sides"][number], strict=True) if there}
        row = next(rows) if arrays["answered"][number] else None
        said = {} if row is None else {name: values[row] for name, values in answers.items()}
        outline = arrays["outlines"][end - length : end].tobytes()
        yield Sighting(
            landmarks, None, covered=float(arrays["covered"][number]), outline=outline, hands=shown, said=said
        )


def _hands(arrays: Mapping[str, NDArray]) -> Iterator[HandLandmarks]:
    nowhere = Region(0.0, 0.0, 1.0)
    for points, world, right, score, sigma in zip(*(arrays[f"hand_{name}"] for name in _HAND), strict=True):
        yield HandLandmarks(points, world, float(right), float(score), float(score), sigma, nowhere)
