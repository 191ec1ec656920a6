# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip in pieces that know nothing of each other, so that several machines can read it: each is read shot by shot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ...runtime.run import Run
from ...shipped.pose import PoseLandmarks
from .cuts import Cuts
from .scenery import Scenery
from .track import Track, parted

#: Frames that are read by themselves, and those before them that join them to the others.
PIECE, LEAD = 100, 10


@dataclass(frozen=True)
class Piece:
    """What is seen of people in some frames of a clip, read by itself.

    start, stop : its own frames; before them it has read up to `LEAD` more, by which it is joined to the piece before.
    tracks : everybody, for however short, none of them over a cut.  cuts : frames that begin another shot.
    scenery : (N, 4) float32, points of the background: see `scenery`.
    """

    start: int
    stop: int
    tracks: list[Track]
    cuts: tuple[int, ...] = ()
    scenery: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))


class Shot(Protocol):
    """An uncut piece of a clip while it is being read. start : its first frame.  tracks : of its people, so far."""

    start: int
    tracks: list[Track]

    def step(self, frame: int, pixels: NDArray[np.uint8], run: Run, told: Any, /) -> list[PoseLandmarks]:
        """Take up the next frame; returns whom its pixels show. told : what is known of its people, if anything."""
        ...


def in_pieces(
    frames: Iterator[NDArray[np.uint8]],
    count: int,
    run: Run,
    begin: Callable[[int], Shot],
    told: Mapping[int, Any] | Sequence | None,
    start: int,
) -> Iterator[Piece]:
    """The people of a clip, a `Piece` for every `PIECE` frames, by what takes up those of one shot.

    begin : makes it, of the shot's first frame.  told : what it is told of each frame.  The rest see `follow_people`.
    A piece depends on its own frames and its lead alone, so that the pieces of a clip can be read by several machines.
    """
    held: list[tuple[int, NDArray[np.uint8]]] = []
    reader: _Reader | None = None
    for frame, pixels in enumerate(frames, lead_of(start)):
        run.report(min(frame / max(count, 1), 1), f"Following people, frame {frame + 1} of {count}")
        if reader is not None and frame == reader.stop:
            yield reader.piece(frame)
            reader = None
        done, next_done = (min(one / max(count, 1), 1) for one in (frame, frame + 1))
        if reader is None:
            reader = _Reader(max(start, frame), begin)
            for earlier, seen in held:
                reader.step(earlier, seen, run.part(done, done), told)
        part = run.part(done, next_done)
        reader.step(frame, pixels, part, told)
        held = [*held[1 - LEAD :], (frame, pixels)]
    if reader is not None:
        yield reader.piece(held[-1][0] + 1)


def lead_of(start: int) -> int:
    """The frame from which a piece that begins at `start` is read."""
    return max(0, start - LEAD)


class _Reader:
    """One piece while it is being read: shot after shot."""

    def __init__(self, start: int, begin: Callable[[int], Shot]) -> None:
        self.start, self.stop, self.begin = start, start + PIECE, begin
        self.shots: list[Shot] = []
        self.scenery, self.cuts = Scenery(), Cuts()

    def step(self, frame: int, pixels: NDArray[np.uint8], run: Run, told: Any) -> None:
        change = self.cuts.step(frame, pixels)
        if change != "same":
            self.scenery.cut()
        if change == "back":
            self.shots.pop()
        elif change == "cut":
            self.shots.append(self.begin(frame))
        here = self.shots[-1].step(frame, pixels, run, None if told is None else told[frame])
        self.scenery.step(frame, pixels, here)

    def piece(self, stop: int) -> Piece:
        tracks = [part for shot in self.shots for track in shot.tracks for part in parted(track)]
        for track in tracks:
            firsts = {track.first, min((frame for frame in track.sightings if frame >= self.start), default=None)}
            track.sightings = {frame: one.packed(frame in firsts) for frame, one in track.sightings.items()}
        cuts = tuple(shot.start for shot in self.shots[1:])
        return Piece(self.start, stop, tracks, cuts, self.scenery.paths)
