# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network that reads bodies says of the people of a clip, as data: in the files of `clip.measured`, to be solved
again without it. Who is who has been decided by then, so that a clip is kept as a whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import BadInput
from ...photo import Clip
from ...shipped import pose
from ..clip import MASK_BYTES, behind, mask_bytes
from ..clip.measured import Measured, asked_of
from ..clip.scenery import Background
from ..clip.track import LOGIT, MASK, Piece, Sighting, Track
from .find import Detection
from .identity import mask_logits, stand_in
from .persons import with_masks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...camera import Camera
    from ...photo import Photo
    from ...results import Person
    from ...runtime.run import Run
    from ...shipped.hand import HandLandmarks

#: By track and frame: a person of a frame, and what the network says of it, by name.
Read = Sequence[Mapping[int, tuple[Detection, Mapping[str, "NDArray"]]]]
#: By track and frame: the hands as they are seen.
Hands = Sequence[Mapping[int, Mapping[str, "HandLandmarks"]]]


@dataclass(frozen=True)
class Followed:
    """The people of a clip with what is behind them. hands : None where they have not been looked at."""

    name: str
    fps: float | None
    cameras: tuple[Camera, ...]
    tracks: Read
    background: Background
    hands: Hands | None = None


@dataclass
class Digests:
    """Notes the digests of a clip's pictures while they are read."""

    clip: Clip
    found: list[bytes] = field(default_factory=list)

    def read(self) -> Clip:
        return Clip(self.clip.name, len(self.clip), self.clip.fps, self._photos, self.clip.notes)

    def _photos(self) -> Iterator[Photo]:
        for number, photo in enumerate(self.clip):
            if number == len(self.found):
                self.found.append(bytes.fromhex(photo.digest))
            yield photo


def whole_clip(clip: Clip, run: Run, frames: tuple[int, int] | None) -> None:
    """Raise `BadInput` where only some of a clip's frames are asked for."""
    if frames is not None and frames != (0, len(clip)):
        label = run.model.label if run.model is not None else "This model"
        raise BadInput(f"{label} measures whole clips only.", "Leave the frames out, or use the built-in people.")


def kept(people: Followed, digests: Sequence[bytes], model: str, options: Mapping[str, Any]) -> Measured:
    """All of it as measurements. Raises `BadInput` where there was no picture."""
    if not people.cameras:
        raise BadInput("There are no photos.", "Give at least one.")
    count, rows, tracks = len(people.cameras), list[dict[str, Any]](), []
    for number, track in enumerate(people.tracks):
        own = {}
        for frame, (found, said) in track.items():
            hands = people.hands[number].get(frame, {}) if people.hands is not None else {}
            own[frame] = replace(_sighting(found, people.cameras[frame]), hands=hands)
            whose = {"box": found.box, "score": found.score, "landmarks": found.landmarks is not None}
            rows.append({**whose, "mask": found.mask is not None, **said})
        tracks.append(Track(own))
    said = {name: np.array([row[name] for row in rows]) for name in (rows[0] if rows else ())}
    scenery = np.asarray(people.background.paths, np.float32)
    piece = Piece(0, count, tracks, people.background.cuts, scenery)
    told = np.frombuffer(b"".join(digests[:count]), np.uint8).reshape(-1, 20)
    return Measured(
        people.name, count, people.fps, asked_of(options), 0, count, people.cameras, told, (piece,), model, said
    )


def followed(measured: Measured) -> Followed:
    """What `kept` has made measurements of."""
    rows, tracks, hands = count(), [], []
    for track in measured.pieces[0].tracks:
        own = {}
        for frame, one in track.sightings.items():
            row = next(rows)
            said = {name: values[row] for name, values in measured.answers.items()}
            own[frame] = _detection(one, said), said
        tracks.append(own)
        hands.append({frame: one.hands for frame, one in track.sightings.items()})
    return Followed(
        measured.name, measured.fps, measured.cameras, tracks, behind(measured.pieces),
        None if measured.options["hands"] == repr("none") else hands,
    )  # fmt: skip


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


def _sighting(found: Detection, camera: Camera) -> Sighting:
    shape = camera.height, camera.width
    landmarks = stand_in(found, shape) if found.landmarks is None else found.landmarks
    if found.mask is not None and landmarks.mask_logits.shape != (MASK, MASK):
        landmarks = replace(landmarks, mask_logits=mask_logits(found, shape, landmarks.region))
    if found.landmarks is None:
        landmarks = replace(landmarks, mask_logits=LOGIT * landmarks.mask_logits)
    return Sighting(landmarks, None).packed(keep=False)


def _detection(one: Sighting, said: Mapping[str, NDArray]) -> Detection:
    def mask(height: int, width: int) -> NDArray[np.float32]:
        return pose.person_mask(one.whole, height, width)

    landmarks = one.landmarks if said["landmarks"] else None
    return Detection(said["box"], float(said["score"]), mask if said["mask"] else None, landmarks)
