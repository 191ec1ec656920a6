# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of a clip: who is who, then the network over all of them, then one shape and a calm motion for each.

Where there is a detector, or the caller gave boxes, people are followed by boxes and colours (`identity`); else by the
landmarks of the built-in network (`people.track`), which needs a pass over the clip of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...camera import Camera
from ...errors import BadInput
from ...geometry import rotations as quaternion
from ...geometry.rotations import rotation_matrices
from ...geometry.skinning import chain
from ...results import People, Person
from ...shipped import pose
from ..boxes import separate_masks
from ..clip import NO_HANDS, USUAL_FPS, behind, one_by_one, posed
from ..clip import measure_clip as measure_landmarks
from ..clip.identify import identify, spells_of
from ..clip.motion import Motion, Spell, rest_joints
from ..clip.world import calmed, stand_behind, travel_behind, world_behind
from . import answers, placing
from .answers import CropQuery, NetworkOutput
from .crops import Crop, picture
from .find import Detection, found_person
from .hands import look_at_hands, turn_spells
from .identity import Follower
from .kept import Digests, Followed, draw_masks, followed, kept
from .persons import make_person
from .refine import refine_motion
from .stream import CropId, Search, people_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...photo import Clip
    from ...runtime.run import Run
    from ..clip.measured import Measured
    from ..clip.scenery import Background
    from ..clip.track import Track
    from ..clip.travel import Travel
    from .body import Template


@dataclass(frozen=True)
class Observation:
    """A person of one frame: where, in which square, and what the network says."""

    found: Detection
    crop: Crop
    answer: NetworkOutput


@dataclass(frozen=True)
class Moving:
    """People with their motions, how the camera moves, and the keypoints of each as the network sees them."""

    people: Followed
    spells: Sequence[Spell]
    travel: Travel
    keypoints: Sequence[Pixels]


#: A person over the frames of a clip.
TrackFrames = dict[int, Observation]
#: The keypoints (44, 2) that the network sees of a person, by frame, pixels.
Pixels = dict[int, "NDArray[np.float32]"]


def measure_clip(clip: Clip, run: Run, search: Search, options: Mapping[str, Any]) -> tuple[Measured, Moving]:
    """What the networks say of a clip, and the motions by which its hands were found.

    search : finds nobody where people are to be followed by landmarks.
    """
    digests, cameras = Digests(clip), list[Camera]()
    film = digests.read()
    follow = _tracks_by_landmarks if search.find is None and search.given is None else _tracks_by_boxes
    tracks, background = follow(film, run.part(0.0, 0.9), search, options, cameras)
    read = [{frame: (one.found, vars(one.answer)) for frame, one in track.items()} for track in tracks]
    people = Followed(clip.name, clip.fps, tuple(cameras), read, background)
    template = answers.template(run)
    moving = _moving(template, people, run.part(0.9, 0.95), options)
    if options["hands"] == "full":
        hands = look_at_hands(template, moving.spells, tracks, film, cameras, run.part(0.95, 1.0))
        people = replace(people, hands=hands)
    assert run.model is not None
    return kept(people, digests.found, run.model.id, options), replace(moving, people=people)


def solve_clip(measured: Measured, run: Run, options: Mapping[str, Any], moving: Moving | None = None) -> People:
    """The people of what was measured of a clip. moving : their motions, where they are known.

    A person out of sight for up to a second goes on, interpolated, with a confidence of 0 and without a mask.
    """
    template = answers.template(run)
    moving = moving or _moving(template, followed(measured), run.part(0.0, 0.4), options)
    people, spells, travel, keypoints = moving.people, moving.spells, moving.travel, moving.keypoints
    cameras, tracks, notes = people.cameras, people.tracks, travel.notes
    if options["hands"] == "full":
        if people.hands is None:
            notes = (*notes, NO_HANDS)
        else:
            spells = turn_spells(template, spells, people.hands, cameras, options["smoothing"])
    spells, ground = stand_behind(template.body, spells, travel, options, run.part(0.4, 0.5), cameras[0].up)

    def seen(person: Person, frame: int) -> Person:
        """In a gap the keypoints are those of the interpolated body."""
        points = template.keypoints(person.vertices, person.joints)
        pixels = keypoints[person.track_id].get(frame)
        pixels = cameras[frame].project(points).astype(np.float32) if pixels is None else pixels
        person = replace(person, keypoints_2d=pixels, keypoints_3d=points)
        if frame not in tracks[person.track_id]:
            return person
        found, said = tracks[person.track_id][frame]
        x0, y0, x1, y1 = found.box.tolist()
        return replace(person, box=(x0, y0, x1, y1), score=found.score, crop_camera=said["camera"])

    frames = posed(one_by_one(template.pose), spells, cameras, run.part(0.5, 0.9), seen)
    draw_masks(frames, tracks, template.body.faces, cameras, run.part(0.9, 1.0))
    run.report(1.0, ". ".join([f"{len(tracks)} people found", *notes]))
    return People(
        tuple(map(tuple, frames)), template.body, cameras[0], cameras, people.fps, notes,
        world=world_behind(ground, frames, travel), travel=travel.poses, measured=measured,
    )  # fmt: skip


def _moving(template: Template, people: Followed, run: Run, options: Mapping[str, Any]) -> Moving:
    """The motions of the people as the network sees them, calmed in the world. Raises `BadInput` where they are to be
    refined, and nobody's landmarks are known."""
    fps, spells, keypoints = people.fps or USUAL_FPS, list[Spell](), list[Pixels]()
    tracks = [{frame: _observation(*one) for frame, one in track.items()} for track in people.tracks]
    if options["refine"] and any(one.found.landmarks is None for track in tracks for one in track.values()):
        raise BadInput("These people were measured without Refine.", "Recover them again, or leave Refine out.")
    for number, (track, part) in enumerate(zip(tracks, run.parts(len(tracks)), strict=True)):
        own, pixels = _motions(template, number, track, people.cameras, fps, part, options)
        spells += own
        keypoints.append(pixels)
    smoothing = 0.0 if options["refine"] else options["smoothing"]  # the refined motion is smooth
    travel = travel_behind(template.body, spells, people.background, people.cameras, fps, options, smoothing)
    return Moving(people, calmed(template.body, spells, travel, smoothing), travel, keypoints)


def _observation(found: Detection, said: Mapping[str, NDArray]) -> Observation:
    answer = NetworkOutput(**{name: said[name] for name in ("matrices", "shape", "camera")})
    return Observation(found, Crop.around(found.box), answer)


def _tracks_by_boxes(
    clip: Clip, run: Run, search: Search, options: Mapping[str, Any], cameras: list[Camera]
) -> tuple[list[TrackFrames], Background]:
    """The people that a detector finds, or that the caller marked, and what is behind them."""
    look, fps = options["camera_motion"] != "still", clip.fps or USUAL_FPS
    follower = Follower(fps, keep_all=search.given is not None, look_behind=look)
    stream = people_of(clip, run, search, cameras, follower.see)
    seen: dict[tuple[int, int], Observation] = {}
    for place, answer in answers.predict(stream, run, options["hmr_batch_size"]):
        seen[place.frame, place.number] = Observation(place.found, place.crop, answer)
    tracks = [{frame: seen[frame, number] for frame, number in one.items()} for one in follower.finish(len(cameras))]
    return _usable(tracks), follower.behind


def _tracks_by_landmarks(
    clip: Clip, run: Run, _search: Search, options: Mapping[str, Any], cameras: list[Camera]
) -> tuple[list[TrackFrames], Background]:
    """The people that the built-in network follows, and what is behind them."""
    measured = measure_landmarks(clip, run.part(0.0, 0.45), {**options, "boxes": None, "hands": "none"})
    cameras += measured.cameras
    tracks = identify(measured.pieces, clip.fps or USUAL_FPS)
    followed: list[TrackFrames] = [{} for _ in tracks]
    stream = _squares(clip, run.part(0.45, 1.0), tracks)
    for place, answer in answers.predict(stream, run, options["hmr_batch_size"]):
        followed[place.number][place.frame] = Observation(place.found, place.crop, answer)
    return _usable(followed), behind(measured.pieces)


def _squares(clip: Clip, run: Run, tracks: Sequence[Track]) -> Iterator[CropQuery[CropId]]:
    """The squares around people whose landmarks are known; the number of each is that of the track."""
    count = len(clip)
    for frame, photo in enumerate(clip):
        own = run.part(min(1.0, frame / count), min(1.0, (frame + 1) / count))
        here = [(number, track.sightings[frame]) for number, track in enumerate(tracks) if frame in track.sightings]
        width, height = photo.size
        masks = separate_masks([pose.person_mask(one.whole, height, width) for _, one in here])
        for (number, sighting), mask in zip(here, masks, strict=True):
            found = found_person(sighting.whole, mask, photo.camera_or_default())
            crop = Crop.around(found.box)
            yield CropQuery(picture(photo.pixels, crop), CropId(frame, number, found, crop), own)


def _usable(tracks: Sequence[TrackFrames]) -> list[TrackFrames]:
    """Without the outputs that are not bodies, and the tracks that have no others."""
    cleaned = ({frame: seen for frame, seen in sorted(track.items()) if seen.answer.is_usable} for track in tracks)
    return [track for track in cleaned if track]


def _motions(
    template: Template,
    number: int,
    track: TrackFrames,
    cameras: Sequence[Camera],
    fps: float,
    run: Run,
    options: Mapping[str, Any],
) -> tuple[list[Spell], Pixels]:
    """One shape, and a motion for each time that the person is there; and the keypoints as the network sees them."""
    # The network's shapes scatter from frame to frame: the middle one is not pulled aside by a few bad frames.
    shape = np.median([one.answer.shape for one in track.values()], axis=0).astype(np.float32)
    spells, pixels = spells_of(list(track), fps), Pixels()
    motions = []
    for frames, part in zip(spells, run.parts(len(spells)), strict=True):
        own = {int(frame): track[int(frame)] for frame in frames}
        motion, seen = _motion(template, own, shape, cameras, fps, part, options)
        motions.append(Spell(number, int(frames[0]), motion))
        pixels |= seen
    return motions, pixels


def _motion(
    template: Template,
    track: TrackFrames,
    shape: NDArray[np.float32],
    cameras: Sequence[Camera],
    fps: float,
    run: Run,
    options: Mapping[str, Any],
) -> tuple[Motion, Pixels]:
    """The motion for all frames from first to last, and the keypoints as the network sees them."""
    frames = np.array(list(track))
    own = []
    for number, (frame, one) in enumerate(track.items()):
        run.report(0.5 * number / len(track), "Fitting the motion")
        own.append(make_person(template, one.found, one.crop, one.answer, cameras[frame]))
    pixels = {frame: person.keypoints_2d for frame, person in zip(track, own, strict=True)}
    rotations = quaternion.align_hemisphere(np.stack([person.rotations for person in own]).astype(np.float64))
    places = np.stack(
        [_placed(template, person, shape, cameras[frame]) for frame, person in zip(frames, own, strict=True)]
    )
    confidence = np.stack([person.confidence for person in own]).astype(np.float64)
    motion = filled(frames, rotations, places, confidence, shape, fps)
    if options["refine"]:
        landmarks, part = {frame: one.found.landmarks for frame, one in track.items()}, run.part(0.5, 1.0)
        return refine_motion(template, motion, landmarks, cameras, part, options["smoothing"]), pixels
    return motion, pixels


def _placed(template: Template, person: Person, shape: NDArray, camera: Camera) -> NDArray[np.float64]:
    """The translation of the person with another shape: the joints stay on their pixels."""
    if np.array_equal(shape, person.shape):
        return person.translation.astype(np.float64)
    matrices = rotation_matrices(person.rotations.astype(np.float64))[None]
    _, joints = chain(template.body.parents, rest_joints(template.body, shape)[None], matrices, np.zeros((1, 3)))
    return placing.anywhere(joints[0], camera.project(person.joints), camera, person.translation)


def filled(
    frames: NDArray, rotations: NDArray, places: NDArray, confidence: NDArray, shape: NDArray, fps: float,
    offsets: NDArray | None = None,
) -> Motion:  # fmt: skip
    """The motion over all frames; where the person was not seen it goes the shortest way, with a confidence of 0.

    offsets (T, J, 3) : see `Motion`.
    """
    every = np.arange(frames[0], frames[-1] + 1)
    after = np.searchsorted(frames, every)
    before = np.where(frames[after] == every, after, after - 1)
    amount = (every - frames[before]) / np.maximum(frames[after] - frames[before], 1)
    turned = quaternion.slerp(rotations[before], rotations[after], amount[:, None])
    path = places[before] + amount[:, None] * (places[after] - places[before])
    sure = np.where(amount[:, None] == 0, confidence[before], 0.0)
    steps = None
    if offsets is not None and offsets.any():
        steps = offsets[before] + amount[:, None, None] * (offsets[after] - offsets[before])
    rotated = quaternion.align_hemisphere(quaternion.normalise(turned))
    return Motion(rotated, path, shape.astype(np.float64), sure, fps, offsets=steps)
