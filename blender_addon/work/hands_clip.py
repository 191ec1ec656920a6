# SPDX-License-Identifier: GPL-3.0-or-later
"""The hands of a clip on the worker: pictures go to files frame by frame, meshes and outlines are kept by hand.

Memory does not grow with the length but by the vertices and outlines of the hands.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...inference.hands import parts
from ..core.exchange import HandTrack, TracedMask
from .scratch import Scratch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...inference.camera import Camera
    from ...inference.hands.parts import Part
    from ...inference.results import HandMaps
    from .hands import HandsWork


class Sighting(NamedTuple):
    """A hand in one frame."""

    frame: int
    side: str
    score: float
    vertices: NDArray[np.float32]
    faces: NDArray[np.int32]


@dataclass(frozen=True)
class Sequence:
    """Numbered pictures of one kind: `files` written so far, frame index -> file; `suffix` ".png" or ".exr"."""

    suffix: str
    files: dict[int, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class HandClip:
    """What the worker hands over of a clip's hands.

    sequences : name (after the clip's) -> its pictures, one for every frame.
    outlines : name -> frame index -> outlines; an empty entry where the hand goes out of sight.
    """

    camera: Camera
    length: int
    tracks: list[HandTrack]
    sequences: dict[str, Sequence]
    outlines: dict[str, dict[int, TracedMask]]


class Recorder:
    """Takes the maps of one frame after the other; `finish` gives the clip, whose pictures lie in `scratch` (None where
    there are none); `discard` takes them back."""

    def __init__(self, item: HandsWork) -> None:
        self._item = item
        self._seen: dict[str, list[Sighting]] = {}
        self._sequences: dict[str, Sequence] = {}
        self._outlines: dict[str, dict[int, TracedMask]] = {}
        self._camera: Camera | None = None
        self._shapes: list[tuple[int, int]] = []
        self.scratch: Scratch | None = None

    def add(self, maps: HandMaps) -> None:
        """The maps of the next frame."""
        index = len(self._shapes)
        self._camera = self._camera or maps.camera
        self._shapes.append((maps.camera.height, maps.camera.width))
        hands = self._parts(index, maps)
        build = self._item.build
        if build.depth == "IMAGE":
            self._write("hands.depth", ".exr", index, maps.depth * np.float32(self._item.metre()))
        if build.control_image:
            self._write("hands.control", ".png", index, maps.preview)
        if build.id_map:
            self._write("hands.id", ".exr", index, parts.identity(maps, hands).astype(np.float32))
        masks, outlines = self._item.masks_of(maps, hands)
        if build.masks in {"IMAGE", "PAINT_SLOT"}:
            for name, mask in masks.items():
                self._write(name, ".png", index, np.rint(mask * 255).astype(np.uint8))
        for name, traced in outlines.items():
            self._outlines.setdefault(name, {})[index] = traced

    def finish(self) -> HandClip:
        """All frames; pictures are added where a mask's hand was not in sight."""
        length = len(self._shapes)
        for name, sequence in self._sequences.items():
            for index in set(range(length)) - set(sequence.files):
                self._write(name, sequence.suffix, index, np.zeros(self._shapes[index], np.uint8))
        tracks = dict(self._tracks())
        final = {f"hand.{key}.mask": f"hand.{track.name}.mask" for key, track in tracks.items()}
        assert self._camera is not None
        return HandClip(
            self._camera,
            length,
            list(tracks.values()),
            {final.get(name, name): sequence for name, sequence in self._sequences.items()},
            {final.get(name, name): _closed(frames, length) for name, frames in self._outlines.items()},
        )

    def discard(self) -> None:
        """Remove the files that are still where they were written."""
        if self.scratch is not None:
            self.scratch.discard()

    def _parts(self, index: int, maps: HandMaps) -> list[Part]:
        """The hands under the names of their tracks, which hold until their sides are certain, numbered as they
        appear."""
        named = []
        for part in parts.parts(maps.hands):
            hand = maps.hands[part.index]
            key = str(hand.track_id)
            self._seen.setdefault(key, []).append(Sighting(index, hand.side, hand.score, hand.vertices, hand.faces))
            named.append(replace(part, name=key, number=list(self._seen).index(key) + 1))
        return named

    def _tracks(self) -> Iterator[tuple[str, HandTrack]]:
        """Each track under the name that it had while it was recorded."""
        count: Counter[str] = Counter()
        for number, (key, sights) in enumerate(self._seen.items(), 1):
            side = Counter(sight.side for sight in sights).most_common(1)[0][0]
            count[side] += 1
            track = HandTrack(
                name=f"{side[0].upper()}.{count[side]}",
                number=number,
                side=side,
                score=float(np.mean([sight.score for sight in sights])),
                faces=sights[0].faces,
                frames=np.array([sight.frame for sight in sights]),
                vertices=np.stack([sight.vertices for sight in sights]),
            )
            yield key, track

    def _write(self, name: str, suffix: str, index: int, values: NDArray) -> None:
        if self.scratch is None:
            self.scratch = Scratch(self._item.directory)
        sequence = self._sequences.setdefault(name, Sequence(suffix))
        sequence.files[index] = self.scratch.write(f"{name}.{index:06d}{suffix}", values)


def _closed(frames: Mapping[int, TracedMask], length: int) -> dict[int, TracedMask]:
    """With an empty entry where the hand goes out of sight, so that its last outline does not stay."""
    gone = {index + 1 for index in frames if index + 1 < length} - set(frames)
    distance = next(iter(frames.values())).distance
    return {**frames, **{index: TracedMask((), distance) for index in sorted(gone)}}
