# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network that reads bodies says of the people of a clip, in the pieces of `clip.measured`.

It is asked of every frame by itself, so that a clip can be measured in parts; who is who is decided of all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ...shipped import pose
from ..boxes import separate_masks
from ..clip import MASK_BYTES, USUAL_FPS, behind, mask_bytes
from ..clip.identify import identify
from ..clip.measured import first_piece, landmarks_of, row_of
from ..clip.pieces import in_pieces
from ..clip.scenery import Background
from .find import Detection, found_person
from .identity import Boxes, who_is_who
from .persons import with_masks
from .stream import FOLLOWED, GIVEN, Search

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...camera import Camera
    from ...photo import Photo
    from ...results import Person
    from ...runtime.run import Run
    from ...shipped.hand import HandLandmarks
    from ..clip.film import Film
    from ..clip.measured import Measured
    from ..clip.pieces import Piece
    from ..clip.track import Sighting, Track

#: By track and frame: a person of a frame, and what the network says of it, by name.
Read = Sequence[Mapping[int, tuple[Detection, Mapping[str, "NDArray"]]]]
#: By track and frame: the hands as they are seen.
Hands = Sequence[Mapping[int, Mapping[str, "HandLandmarks"]]]
#: Frames whose people may share a batch, from one multiple to the next; chunks of farms are multiples of it.
STRETCH = 10
#: What comes before the names of the pose network's landmarks, where the network was asked about boxes.
_POSE = "pose_"


@dataclass(frozen=True)
class Followed:
    """The people of a clip with what is behind them. hands : None where they have not been looked at."""

    name: str
    fps: float | None
    cameras: tuple[Camera, ...]
    tracks: Read
    background: Background
    hands: Hands | None = None


@dataclass(frozen=True)
class Whose:
    """The `number`th person of a frame, who is to be read. track : has the sighting of this person."""

    frame: int
    number: int
    found: Detection
    photo: Photo
    track: Track

    @property
    def stretch(self) -> int:
        """People of different stretches of a clip are read apart: a part that ends there has the same batches, and so
        the same numbers to the last bit."""
        return self.frame // STRETCH

    def keep(self, said: Mapping[str, Any], hands: Mapping[str, HandLandmarks] | None = None) -> None:
        """Add what the network says to the sighting, and hands that were looked at afterwards."""
        found, one = self.found, self.track.sightings[self.frame]
        said = {"box": found.box, "mask": found.mask is not None, **said}
        if found.landmarks is not None:
            said |= {_POSE + name: value for name, value in row_of(found.landmarks).items()}
        hands = one.hands if hands is None else hands
        self.track.sightings[self.frame] = replace(one, said=said, hands=hands)


def look(film: Film, run: Run, search: Search) -> tuple[list[Piece], Mapping[int, list[Detection]]]:
    """The people of a clip by boxes: pieces in which each track is one person of one frame, and those of each frame."""
    found, total = dict[int, list[Detection]](), max(1, film.stop - film.first)

    def pictures() -> Iterator[NDArray[np.uint8]]:
        photos, done = film.photos(), 0
        while some := list(islice(photos, search.thresholds.batch)):
            frame, part = film.first + done, run.part(done / total, min(1.0, (done + len(some)) / total))
            part.report(0.0, f"Looking for people, frame {frame + 1} of {film.stop}")
            found.update(enumerate(search(some, frame, part), frame))
            done += len(some)
            yield from (photo.pixels for photo in some)

    silent = replace(run, progress=None)  # finding people takes the time
    pieces = in_pieces(pictures(), film.stop, silent, Boxes, found, first_piece(film.start))
    return list(pieces), found


def everybody(
    film: Film, run: Run, pieces: Sequence[Piece], found: Mapping[int, list[Detection]] | None
) -> Iterator[tuple[Whose, Run]]:
    """Who is to be read, frame by frame, and the share of the work that each is.

    found : the people of each frame; None where they are told by the landmarks of their sightings.
    """
    parts = run.parts(max(1, film.stop - film.start))
    for (frame, photo), part in zip(film.again(film.start), parts, strict=False):
        own = [piece for piece in pieces if piece.start <= frame < piece.stop]
        tracks = [track for piece in own for track in piece.tracks if frame in track.sightings]
        people = _shown([track.sightings[frame] for track in tracks], photo) if found is None else found[frame]
        for number, (track, one, share) in enumerate(zip(tracks, people, part.parts(len(people)), strict=True)):
            yield Whose(frame, number, one, photo, track), share


def _shown(sightings: Sequence[Sighting], photo: Photo) -> list[Detection]:
    width, height = photo.size
    masks = separate_masks([pose.person_mask(one.whole, height, width) for one in sightings])
    people = zip(sightings, masks, strict=True)
    return [found_person(one.whole, mask, photo.camera_or_default()) for one, mask in people]


def followed(measured: Measured) -> Followed:
    """Who is who of what was measured of a clip, and what the network says of each."""
    by, fps = measured.options["detector"], measured.fps or USUAL_FPS
    by_landmarks = by == repr(FOLLOWED)
    known = (
        identify(measured.pieces, fps) if by_landmarks else who_is_who(measured.pieces, fps, keep_all=by == repr(GIVEN))
    )
    seen = [{frame: one for frame, one in sorted(track.sightings.items()) if one.said} for track in known]
    seen = [own for own in seen if own]
    return Followed(
        measured.name, measured.fps, measured.cameras,
        [{frame: (_detection(one, by_landmarks), one.said) for frame, one in own.items()} for own in seen],
        behind(measured.pieces),
        None if measured.options["hands"] == repr("none")
        else [{frame: one.hands for frame, one in own.items()} for own in seen],
    )  # fmt: skip


def _detection(one: Sighting, by_landmarks: bool) -> Detection:
    def mask(height: int, width: int) -> NDArray[np.float32]:
        return pose.person_mask(one.whole, height, width)

    said = one.said
    landmarks = one.landmarks if by_landmarks else None
    if _POSE + "points" in said:
        landmarks = landmarks_of({name.removeprefix(_POSE): said[name] for name in said if name.startswith(_POSE)})
    return Detection(said["box"], float(one.landmarks.score), mask if said["mask"] else None, landmarks)


def draw_masks(frames: list[list[Person]], tracks: Read, faces: NDArray, cameras: Sequence[Camera], run: Run) -> None:
    """Masks of those who are seen, where there is room for them."""
    if sum(mask_bytes(len(ones), camera) for ones, camera in zip(frames, cameras, strict=True)) > MASK_BYTES:
        return
    for frame, (ones, part) in enumerate(zip(frames, run.parts(len(frames)), strict=True)):
        known: list[tuple[Detection | None, Person]] = [
            (tracks[one.track_id][frame][0], one) for one in ones if frame in tracks[one.track_id]
        ]
        drawn = {one.track_id: one for one in with_masks(known, faces, cameras[frame], part)}
        frames[frame] = [drawn.get(one.track_id, one) for one in ones]
