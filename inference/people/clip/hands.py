# SPDX-License-Identifier: GPL-3.0-or-later
"""The hands of the people of a clip: looked for from frame to frame at the wrists that are followed, then smoothed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, islice
from typing import TYPE_CHECKING

import numpy as np

from ...geometry import rotations as quaternion
from ..fit.hands import SIDES, fitted, follow_hands, hand_joints, with_hands
from .smooth import smooth_values

if TYPE_CHECKING:
    from ...camera import Camera
    from ...photo import Photo
    from ...results import Body
    from ...runtime.run import Run
    from ...shipped.hand import HandLandmarks
    from ..fit.hands import BodyHands
    from .motion import Spell
    from .pieces import Piece
    from .track import Track

#: Hands of a track by frame.
TrackHands = Mapping[int, "BodyHands"]
#: A hand that is seen in less than this share of the frames so many before and after flickers, and is none.
LEAST, AROUND = 0.6, 5
#: How much the pose of a frame without a hand counts against one with.
UNSEEN = 0.05
#: Hands are read from one crop a frame, and are smoothed by so much more than bodies.
CALM = 4.0
#: Frames whose hands are fitted at once: bounds the memory.
BATCH = 64


def read_hands(pieces: Sequence[Piece], photos: Iterable[tuple[int, Photo]], parts: Iterable[Run]) -> None:
    """Give the sightings of each piece's own frames their hands.  photos : with their frame numbers, rising."""
    for (frame, photo), run in zip(photos, parts, strict=False):
        for piece in pieces:
            if piece.start <= frame < piece.stop:
                tracks = [track for track in piece.tracks if frame in track.sightings]
                before = [track.sightings.get(frame - 1) if frame > piece.start else None for track in tracks]
                known = [{} if one is None else one.hands for one in before]
                people = [track.sightings[frame].landmarks for track in tracks]
                for track, own in zip(tracks, follow_hands(photo.pixels, people, known, run), strict=True):
                    track.sightings[frame] = replace(track.sightings[frame], hands=own)


def fitted_hands(track: Track, cameras: Sequence[Camera]) -> TrackHands:
    """The hands of a track, in the frames that show them."""
    return fitted_to({frame: one.hands for frame, one in sorted(track.sightings.items())}, cameras)


def fitted_to(seen: Mapping[int, Mapping[str, HandLandmarks]], cameras: Sequence[Camera]) -> TrackHands:
    """Meshes for hands by frame, without those that flicker."""
    seen, fits = _lasting(seen), dict[int, "BodyHands"]()
    for camera, shot in groupby((frame for frame, own in seen.items() if own), lambda frame: cameras[frame]):
        while some := list(islice(shot, BATCH)):
            fits |= zip(some, fitted([seen[frame] for frame in some], camera), strict=True)
    return fits


def _lasting(seen: Mapping[int, Mapping[str, HandLandmarks]]) -> dict[int, dict[str, HandLandmarks]]:
    """Without hands that flicker."""

    def lasts(frame: int, side: str) -> bool:
        around = [side in seen[near] for near in range(frame - AROUND, frame + AROUND + 1) if near in seen]
        return sum(around) >= LEAST * len(around)

    return {frame: {side: one for side, one in own.items() if lasts(frame, side)} for frame, own in seen.items()}


def set_hands(body: Body, spell: Spell, hands: TrackHands, strength: float) -> Spell:
    """A person's spell with these hands, smoothed and led back to where they rest."""
    motion = spell.motion
    own = [hands.get(spell.first + index, {}) for index in range(len(motion))]
    rotations, confidence = with_hands(body, motion.rotations, motion.confidence, own)
    rotations = quaternion.align_hemisphere(rotations)
    for side in SIDES:
        seen = np.array([side in one for one in own])
        for joint in hand_joints(body, side) if seen.any() and strength > 0 else ():
            weights = np.where(seen, np.maximum(confidence[:, joint], UNSEEN), UNSEEN)
            rotations[:, joint] = smooth_values(rotations[:, joint], weights, motion.fps, CALM * strength)
    return replace(spell, motion=replace(motion, rotations=quaternion.normalise(rotations), confidence=confidence))
