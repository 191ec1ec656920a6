# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is who over all pieces of a clip: tracks joined over pieces and gaps, and people who come back.

The pieces of a clip are read each by itself (`follow.follow_people`). They overlap by some frames, in which the same
bodies are the same people. Who was lost for a moment goes on where he was expected; who left the picture and comes
back is known by what he wears, if nobody else in the shot could be meant. What is no person is left out: the landmark
network goes on with whatever it was once shown, the detector does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from ...shipped.pose import BELIEVED
from ...shipped.search import SEPARATE
from .appearance import affinity
from .backdrop import covered_share
from .pieces import Piece
from .track import COVERED, LONGEST_GAP, MOST_COST, SAME, Track, match_cost, others, sighting_similarity

#: A track seen for less than this time (seconds), or in less than this share of a shorter shot, is a false one.
SHORTEST, LEAST_SHARE = 0.25, 0.4
#: Who comes back wears what one who left did, this much alike, and by this much more so than anybody else.
SAME_CLOTHES, CLEARLY = 0.9, 0.03


def identify(pieces: Sequence[Piece], fps: float) -> list[Track]:
    """The people of a clip in the order of their first frames; a track never spans a cut of the film.

    A track with a gap of more than `longest_gap(fps)` frames is of somebody who went and came back.
    """
    return [track for track in all_tracks(pieces, fps) if is_somebody(track)]


def is_somebody(track: Track) -> bool:
    """Whether the detector sees somebody there, over all frames, and as much is believed in him as in a photo."""
    return track.detected >= SEPARATE and track.belief >= BELIEVED


def all_tracks(pieces: Sequence[Piece], fps: float) -> list[Track]:
    """As `identify`, with those who are hardly seen by the detector or hardly believed."""
    tracks = _stitched(pieces)
    people: list[Track] = []
    for start, stop in shots(pieces):
        shot = [track for track in tracks if start <= track.first < stop]
        shot = without_ghosts(join_tracks(shot, longest_gap(fps)))
        people += came_back([track for track in shot if len(track.sightings) >= least_seen(fps, stop - start)])
    return sorted(people, key=lambda track: track.first)


def shots(pieces: Sequence[Piece]) -> Iterator[tuple[int, int]]:
    """First frame and last + 1 of what lies between the cuts of a clip."""
    cuts = sorted({cut for piece in pieces for cut in piece.cuts})
    return pairwise([0, *cuts, max((one.stop for one in pieces), default=0)])


def longest_gap(fps: float) -> int:
    """Frames that a person may be out of sight for and still be the same track."""
    return max(1, round(LONGEST_GAP * fps))


def spells_of(frames: Sequence[int] | NDArray, fps: float) -> list[NDArray[np.int64]]:
    """The frames of somebody, rising, cut where he is away for longer than he can be followed."""
    frames = np.asarray(frames)
    return np.split(frames, np.flatnonzero(np.diff(frames) > 1.5 * longest_gap(fps)) + 1)


def least_seen(fps: float, length: int) -> int:
    """Frames that somebody is seen for in a shot of this length."""
    return min(max(2, round(SHORTEST * fps)), max(1, round(LEAST_SHARE * length)))


def _stitched(pieces: Sequence[Piece]) -> list[Track]:
    """The tracks of all pieces, those that are one body in the frames that two pieces have read joined."""
    tracks: list[Track] = []
    going: list[Track] = []
    for piece in pieces:
        alike = np.array([[_likeness(one, later) for later in piece.tracks] for one in going]).reshape(
            len(going), len(piece.tracks)
        )
        # Of two that a piece has parted the one that shares more frames goes on.
        shared = np.array(
            [[len(one.sightings.keys() & later.sightings.keys()) for later in piece.tracks] for one in going]
        )
        rows, columns = linear_sum_assignment(-alike - 1e-3 * shared.reshape(alike.shape))
        before = {int(c): going[r] for r, c in zip(rows, columns, strict=True) if alike[r, c] > SAME}
        going = []
        for number, later in enumerate(piece.tracks):
            own = {frame: one for frame, one in later.sightings.items() if frame >= piece.start}
            if not own:
                continue
            track = before.get(number) or Track()
            if not track.sightings:
                tracks.append(track)
            track.sightings |= own
            track.colours, track.velocity = later.colours, later.velocity
            going.append(track)
    return tracks


def _likeness(one: Track, later: Track) -> float:
    """How much (0..1) two tracks are one body in the frames that both have."""
    shared = one.sightings.keys() & later.sightings.keys()
    alike = [sighting_similarity(one.sightings[frame], later.sightings[frame]) for frame in sorted(shared)]
    return float(np.mean(alike)) if alike else 0.0


def without_ghosts(tracks: Sequence[Track]) -> list[Track]:
    """Without tracks that live inside another one's outline: a second body read into the legs of a first."""

    def is_ghost(track: Track, other: Track) -> bool:
        shared = track.sightings.keys() & other.sightings.keys()
        if other is track or len(other.sightings) <= len(track.sightings) or 2 * len(shared) < len(track.sightings):
            return False
        covered = [covered_share(track.sightings[f].whole, other.sightings[f].whole) for f in shared]
        return float(np.mean(np.array(covered) > COVERED)) > 0.5

    return [track for track in tracks if not any(is_ghost(track, other) for other in tracks)]


def join_tracks(tracks: Sequence[Track], longest: int) -> list[Track]:
    """Join pieces of one person's track: the end of one goes on in the start of another, soon and near enough."""
    tracks = list(tracks)
    ends = [(track.first, track.last) for track in tracks]
    costs = {
        (a, b): match_cost(tracks[a], tracks[b].sightings[ends[b][0]], ends[b][0])
        for a in range(len(tracks))
        for b in range(len(tracks))
        if 0 < ends[b][0] - ends[a][1] <= 1.5 * longest and not _is_cut(tracks[a], tracks[b])
    }
    before, after = dict[int, int](), dict[int, int]()
    for (a, b), cost in sorted(costs.items(), key=lambda entry: entry[1]):
        if cost < MOST_COST and a not in after and b not in before:
            before[b], after[a] = a, b
    joined = []
    for number, track in enumerate(tracks):
        if number in before:
            continue
        while number in after:
            number = after[number]
            later = tracks[number]
            track = Track(track.sightings | later.sightings, later.colours, later.velocity)
        joined.append(track)
    return joined


def _is_cut(one: Track, later: Track) -> bool:
    """Whether somebody else takes a track's place over in the next frame, see `track.parted`."""
    last, first = one.sightings[one.last], later.sightings[later.first]
    return later.first == one.last + 1 and last.clear and first.clear and others(one.colours, first.colours)


def came_back(tracks: Sequence[Track]) -> list[Track]:
    """The tracks of a shot, with those joined who left it and came back in the same clothes."""
    tracks = sorted(tracks, key=lambda track: track.first)
    while True:
        alike = np.zeros((len(tracks), len(tracks)))
        for a, one in enumerate(tracks):
            for b, later in enumerate(tracks):
                if later.first > one.last and one.colours is not None and later.colours is not None:
                    alike[a, b] = affinity(one.colours, later.colours)
        if not alike.size:
            return tracks
        a, b = np.unravel_index(int(alike.argmax()), alike.shape)
        others = np.append(np.delete(alike[a], b), np.delete(alike[:, b], a))
        if alike[a, b] < SAME_CLOTHES or alike[a, b] < others.max(initial=0.0) + CLEARLY:
            return tracks
        one, later = tracks[a], tracks[b]
        if not (one.sightings[one.last].at_edge and later.sightings[later.first].at_edge):
            return tracks
        one = Track(one.sightings | later.sightings, later.colours, later.velocity)
        tracks = sorted([*(t for n, t in enumerate(tracks) if n not in (a, b)), one], key=lambda track: track.first)
