# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of a clip: the network over everybody, then who is who, one shape and a calm motion for each.

Where there is a detector, or the caller gave boxes, people are told by boxes and colours (`identity`); else they are
followed by the landmarks of the built-in network (`clip.follow`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from ...camera import Camera
from ...errors import BadInput
from ...geometry import rotations as quaternion
from ...geometry.rotations import rotation_matrices
from ...geometry.skinning import chain
from ...results import People, Person
from ..clip import NO_HANDS, USUAL_FPS, one_by_one, posed
from ..clip import measure_clip as measure_landmarks
from ..clip.identify import spells_of
from ..clip.motion import Motion, Spell, rest_joints
from ..clip.retime import as_filmed
from ..clip.world import calmed, stand_behind, travel_behind, way_up, world_behind
from . import answers, placing
from .answers import CropQuery, NetworkOutput
from .crops import Crop, picture
from .find import Detection
from .hands import look_at_hands, turn_spells
from .kept import Followed, draw_masks, everybody, followed, look
from .persons import make_person
from .refine import refine_motion
from .stream import FINDING, FOLLOWED, Search

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...runtime.run import Run
    from ...shipped.hand import HandLandmarks
    from ..clip.film import Film
    from ..clip.measured import Measured
    from ..clip.travel import Travel
    from .body import Template


@dataclass(frozen=True)
class Observation:
    """A person of one frame: where, in which square, and what the network says."""

    found: Detection
    crop: Crop
    answer: NetworkOutput


#: A person over the frames of a clip.
TrackFrames = dict[int, Observation]
#: The keypoints (44, 2) that the network sees of a person, by frame, pixels.
Pixels = dict[int, "NDArray[np.float32]"]


def measure_clip(film: Film, run: Run, search: Search, options: Mapping[str, Any]) -> Measured:
    """What the networks say of a clip, or of some of its frames.

    search : finds nobody where people are to be followed by landmarks.
    """
    assert run.model is not None
    template, found = answers.template(run), None
    if search.by == FOLLOWED:
        pieces, reading = measure_landmarks(film, run.part(0.0, 0.45), options).pieces, run.part(0.45, 1.0)
    else:
        (pieces, found), reading = look(film, run.part(0.0, FINDING), search), run.part(FINDING, 1.0)
    stream = (
        CropQuery(picture(who.photo.pixels, Crop.around(who.found.box)), who, share, who.stretch)
        for who, share in everybody(film, reading, pieces, found)
    )
    said = answers.predict(stream, run, options["hmr_batch_size"])
    silent = replace(run, progress=None)  # the network takes the time
    for frame, group in groupby(said, key=lambda pair: pair[0].frame):
        ones = list(group)
        bodies = [(who, answer) for who, answer in ones if answer.is_usable]
        hands: Sequence[Mapping[str, HandLandmarks] | None] = [None] * len(bodies)
        if options["hands"] == "full" and search.by != FOLLOWED:
            camera = film.cameras[frame - film.first]
            people = [
                make_person(template, who.found, Crop.around(who.found.box), answer, camera) for who, answer in bodies
            ]
            hands = look_at_hands(template, people, ones[0][0].photo, camera, silent)
        for (who, answer), own in zip(bodies, hands, strict=True):
            who.keep(vars(answer), own)
    return film.measured(pieces, {**options, "detector": search.by}, run.model.id)


@as_filmed
def solve_clip(measured: Measured, run: Run, options: Mapping[str, Any]) -> People:
    """The people of what was measured of a clip: who is who, their builds and motions.

    A person out of sight for up to a second goes on, interpolated, with a confidence of 0 and without a mask.
    """
    template, people = answers.template(run), followed(measured)
    spells, travel, keypoints = _moving(template, people, run.part(0.0, 0.4), options)
    cameras, tracks, notes = people.cameras, people.tracks, travel.notes
    fingered = answers.fingered(run, options["smpl_body"])
    if fingered is not None:
        template, spells = fingered.target, [fingered.spell(spell) for spell in spells]
    if options["hands"] == "full":
        if people.hands is None:
            notes = (*notes, NO_HANDS)
        else:
            spells = turn_spells(template, spells, people.hands, cameras, options["smoothing"])
    spells, ground = stand_behind(template.body, spells, travel, options, run.part(0.4, 0.5), way_up(cameras, travel))

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


def _moving(
    template: Template, people: Followed, run: Run, options: Mapping[str, Any]
) -> tuple[list[Spell], Travel, list[Pixels]]:
    """The motions of the people as the network sees them, calmed in the world, how the camera moves, and the keypoints
    of each as the network sees them. Raises `BadInput` where they are to be refined, and nobody's landmarks are known.
    """
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
    return calmed(template.body, spells, travel, smoothing), travel, keypoints


def _observation(found: Detection, said: Mapping[str, NDArray]) -> Observation:
    answer = NetworkOutput(**{name: said[name] for name in ("matrices", "shape", "camera")})
    return Observation(found, Crop.around(found.box), answer)


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
