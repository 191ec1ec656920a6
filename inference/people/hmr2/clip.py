# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of a clip: who is who, then the network over all of them, then one shape and a calm motion for each.

Where there is a detector, or the caller gave boxes, people are followed by boxes and colours (`identity`); else by the
landmarks of the built-in network (`people.track`), which needs a pass over the clip of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...errors import BadInput
from ...geometry import rotations as quaternion
from ...geometry.rotations import rotation_matrices
from ...geometry.skinning import chain
from ...results import People, Person
from ...shipped import pose
from ..blazepose_anny import separate_masks
from ..clip import USUAL_FPS
from ..clip.contact import plant_feet
from ..clip.ground import fit_ground, gather_motion_evidence, snap_motions
from ..clip.motion import Motion, rest_joints
from ..clip.smooth import smooth_motion
from ..clip.track import follow_people
from . import answers, placing
from .answers import CropQuery, NetworkOutput
from .crops import Crop, picture
from .find import Detection, found_person
from .identity import Follower
from .persons import MASK_BYTES, make_person, mask_bytes, with_masks
from .refine import refine_motion
from .stream import CropId, Search, people_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...camera import Camera
    from ...photo import Clip
    from ...runtime.run import Run
    from ..clip.track import Track
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


@dataclass(frozen=True)
class MotionOptions:
    """smoothing : 0 gives every frame's own pose; above 1 the motion is calmer than usual.  plant : 0 leaves the feet
    to slide, 1 holds planted ones in place.  refine : fit the motion to what the built-in pose network sees."""

    smoothing: float = 1.0
    plant: float = 1.0
    refine: bool = False


def recover_clip(clip: Clip, run: Run, search: Search, batch: int, options: MotionOptions) -> People:
    """Recover the people of a clip that a camera at rest has filmed.

    search : finds nobody where people are to be followed by landmarks.  batch : people in the network at once.
    A person out of sight for up to a second goes on, interpolated, with a confidence of 0 and without a mask.
    """
    cameras: list[Camera] = []
    follow = _tracks_by_landmarks if search.find is None and search.given is None else _tracks_by_boxes
    tracks = follow(clip, run.part(0.0, 0.85), search, batch, cameras)
    template = answers.template(run)
    fps = clip.fps or USUAL_FPS
    motions, keypoints = [], []
    for number, track in enumerate(tracks):
        part = run.part(0.85 + 0.07 * number / len(tracks), 0.85 + 0.07 * (number + 1) / len(tracks))
        motion, pixels = _motion(template, track, cameras, fps, part, options)
        motions.append(motion)
        keypoints.append(pixels)
    if options.plant > 0 and motions:
        run.report(0.92, "Planting the feet")
        ground = fit_ground([gather_motion_evidence(template.body, motion) for motion in motions])
        motions = [plant_feet(template.body, motion, ground, options.plant) for motion in motions]
        motions = snap_motions(template.body, motions, ground) if len(motions) > 1 else motions
    people = _assemble(template, tracks, motions, keypoints, cameras, clip.fps, run.part(0.94, 1.0))
    run.report(1.0, f"{len(tracks)} people found")
    return people


def _tracks_by_boxes(clip: Clip, run: Run, search: Search, batch: int, cameras: list[Camera]) -> list[TrackFrames]:
    """The people that a detector finds, or that the caller marked."""
    follower = Follower(clip.fps or USUAL_FPS, keep_all=search.given is not None)
    stream = people_of(clip, run, search, cameras, follower.see)
    seen: dict[tuple[int, int], Observation] = {}
    for place, answer in answers.predict(stream, run, batch):
        seen[place.frame, place.number] = Observation(place.found, place.crop, answer)
    if not cameras:
        raise BadInput("There are no photos.", "Give at least one.")
    tracks = follower.finish(len(cameras))
    return _usable([{frame: seen[frame, number] for frame, number in track.items()} for track in tracks])


def _tracks_by_landmarks(clip: Clip, run: Run, search: Search, batch: int, cameras: list[Camera]) -> list[TrackFrames]:
    """The people that the built-in network follows."""

    def frames() -> Iterator[NDArray[np.uint8]]:
        for photo in clip:
            cameras.append(photo.camera_or_default())
            yield photo.pixels

    fps = clip.fps or USUAL_FPS
    following = run.part(0.0, 0.45)
    asked = search.thresholds
    found = {"min_score": asked.confidence, "most_overlap": asked.overlap, "batch": asked.batch}
    tracks = follow_people(frames(), len(clip), fps, following, **found)
    if not cameras:
        raise BadInput("There are no photos.", "Give at least one.")
    followed: list[TrackFrames] = [{} for _ in tracks]
    for place, answer in answers.predict(_squares(clip, run.part(0.45, 1.0), tracks), run, batch):
        followed[place.number][place.frame] = Observation(place.found, place.crop, answer)
    return _usable(followed)


def _squares(clip: Clip, run: Run, tracks: Sequence[Track]) -> Iterator[CropQuery[CropId]]:
    """The squares around people whose landmarks are known; the number of each is that of the track."""
    count = len(clip)
    for frame, photo in enumerate(clip):
        own = run.part(min(1.0, frame / count), min(1.0, (frame + 1) / count))
        here = [(number, track.sightings[frame]) for number, track in enumerate(tracks) if frame in track.sightings]
        width, height = photo.size
        masks = separate_masks([pose.person_mask(one.landmarks, height, width) for _, one in here])
        for (number, sighting), mask in zip(here, masks, strict=True):
            found = found_person(sighting.landmarks, mask, photo.camera_or_default())
            crop = Crop.around(found.box)
            yield CropQuery(picture(photo.pixels, crop), CropId(frame, number, found, crop), own)


def _usable(tracks: Sequence[TrackFrames]) -> list[TrackFrames]:
    """Without the outputs that are not bodies, and the tracks that have no others."""
    cleaned = ({frame: seen for frame, seen in sorted(track.items()) if seen.answer.is_usable} for track in tracks)
    return [track for track in cleaned if track]


def _motion(
    template: Template, track: TrackFrames, cameras: Sequence[Camera], fps: float, run: Run, options: MotionOptions
) -> tuple[Motion, Pixels]:
    """One shape and one motion for all frames from first to last, and the keypoints as the network sees them."""
    frames = np.array(list(track))
    seen = list(track.values())
    # The network's shapes scatter from frame to frame: the middle one is not pulled aside by a few bad frames.
    shape = np.median([one.answer.shape for one in seen], axis=0).astype(np.float32)
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
    motion = _filled(frames, rotations, places, confidence, shape, fps)
    if options.refine:
        landmarks = {frame: one.found.landmarks for frame, one in track.items()}
        return refine_motion(template, motion, landmarks, cameras, run.part(0.5, 1.0), options.smoothing), pixels
    return smooth_motion(motion, options.smoothing), pixels


def _placed(template: Template, person: Person, shape: NDArray, camera: Camera) -> NDArray[np.float64]:
    """The translation of the person with another shape: the joints stay on their pixels."""
    if np.array_equal(shape, person.shape):
        return person.translation.astype(np.float64)
    matrices = rotation_matrices(person.rotations.astype(np.float64))[None]
    _, joints = chain(template.body.parents, rest_joints(template.body, shape)[None], matrices, np.zeros((1, 3)))
    return placing.anywhere(joints[0], camera.project(person.joints), camera, person.translation)


def _filled(
    frames: NDArray, rotations: NDArray, places: NDArray, confidence: NDArray, shape: NDArray, fps: float
) -> Motion:
    """The motion over all frames; where the person was not seen it goes the shortest way, with a confidence of 0."""
    every = np.arange(frames[0], frames[-1] + 1)
    after = np.searchsorted(frames, every)
    before = np.where(frames[after] == every, after, after - 1)
    amount = (every - frames[before]) / np.maximum(frames[after] - frames[before], 1)
    turned = quaternion.slerp(rotations[before], rotations[after], amount[:, None])
    path = places[before] + amount[:, None] * (places[after] - places[before])
    sure = np.where(amount[:, None] == 0, confidence[before], 0.0)
    return Motion(quaternion.align_hemisphere(quaternion.normalise(turned)), path, shape.astype(np.float64), sure, fps)


def _assemble(
    template: Template,
    tracks: Sequence[TrackFrames],
    motions: Sequence[Motion],
    keypoints: Sequence[Pixels],
    cameras: Sequence[Camera],
    fps: float | None,
    run: Run,
) -> People:
    """The result: every person of every frame, posed and placed."""
    frames: list[list[tuple[Detection | None, Person]]] = [[] for _ in cameras]
    for number, (track, motion) in enumerate(zip(tracks, motions, strict=True)):
        first = next(iter(track))
        for index in range(len(motion)):
            run.report(0.7 * (number + index / len(motion)) / len(motions), "Posing bodies")
            frame = first + index
            seen = track.get(frame)
            person = _person(template, seen, keypoints[number].get(frame), motion, index, cameras[frame])
            frames[frame].append((seen.found if seen else None, replace(person, track_id=number)))
    wanted = sum(mask_bytes(len(people), camera) for people, camera in zip(frames, cameras, strict=True))
    whole = []
    for number, (people, camera) in enumerate(zip(frames, cameras, strict=True)):
        part = run.part(0.7 + 0.3 * number / len(frames), 0.7 + 0.3 * (number + 1) / len(frames))
        whole.append(
            tuple(_with_masks(people, template, camera, part) if wanted <= MASK_BYTES else _without_masks(people))
        )
    return People(tuple(whole), template.body, cameras[0], tuple(cameras), fps)


def _with_masks(
    people: Sequence[tuple[Detection | None, Person]], template: Template, camera: Camera, run: Run
) -> list[Person]:
    """With masks for those who were seen."""
    drawn = iter(with_masks([entry for entry in people if entry[0] is not None], template.body.faces, camera, run))
    return [person if found is None else next(drawn) for found, person in people]


def _without_masks(people: Sequence[tuple[Detection | None, Person]]) -> list[Person]:
    return [person for _, person in people]


def _person(
    template: Template,
    seen: Observation | None,
    pixels: NDArray[np.float32] | None,
    motion: Motion,
    index: int,
    camera: Camera,
) -> Person:
    """One person of one frame; in a gap the keypoints and the box are those of the interpolated body."""
    rotations = motion.rotations[index].astype(np.float32)
    path, shape = motion.translation[index].astype(np.float32), motion.shape.astype(np.float32)
    vertices, joints = template.pose(shape, rotations, path)
    keypoints = template.keypoints(vertices, joints)
    if seen is None:
        outline = camera.project(vertices)
        box, score, crop_camera = (*outline.min(0), *outline.max(0)), 0.0, None
    else:
        box, score, crop_camera = seen.found.box, seen.found.score, seen.answer.camera
    return Person(
        track_id=-1,
        box=tuple(float(edge) for edge in box),  # type: ignore[arg-type]
        score=score,
        mask=None,
        vertices=vertices,
        joints=joints,
        keypoints_2d=camera.project(keypoints).astype(np.float32) if pixels is None else pixels,
        rotations=rotations,
        shape=shape,
        translation=path,
        confidence=motion.confidence[index].astype(np.float32),
        keypoints_3d=keypoints,
        crop_camera=crop_camera,
    )
