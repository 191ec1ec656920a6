# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of a clip: one identity and one shape each, a smooth motion, feet that stand.

follow people over the frames -> steady their landmarks in time -> fit the body to all frames at once -> fill gaps and
smooth -> find the ground -> plant the feet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..builtin import pose
from ..builtin.body import load_body
from ..builtin.pose import PoseLandmarks
from ..camera import Camera
from ..mesh.skinning import pose_body
from ..photo import Clip
from ..results import Body, People, Person
from ..runtime.run import Run
from . import rotations as quaternion
from .contact import plant_feet
from .fit import Fit, fit_people
from .ground import fit_ground, gather_motion_evidence
from .motion import Motion
from .smooth import smooth_motion, smooth_values
from .track import Track, follow_people

#: Frame rate taken for numbered pictures, which do not say theirs.
USUAL_FPS = 25.0
#: How strongly landmarks are steadied before the fit; the motion is smoothed afterwards with strength 1.
STEADY = 0.35
#: Bytes of full-size masks that a result may hold; a longer clip comes without masks.
MASK_BYTES = 1 << 30


def recover_clip(
    clip: Clip,
    run: Run,
    *,
    det_confidence_thresh: float = 0.25,
    refine: bool = False,
    boxes: Sequence[Sequence[Sequence[float]]] | None = None,
    smoothing: float = 1.0,
    plant: float = 1.0,
) -> People:
    """Recover the people of a clip that a camera at rest has filmed.

    smoothing : 0 gives every frame's own fit, 1 is a low pass of 3.5 Hz without lag.
    plant : 0 leaves the feet to slide, 1 holds planted ones in place.
    A person out of sight for up to a second goes on, interpolated, with a confidence of 0 and without a mask.
    """
    fps = clip.fps or USUAL_FPS
    cameras: list[Camera] = []

    def frames() -> Iterator[NDArray[np.uint8]]:
        for photo in clip:
            cameras.append(photo.camera_or_default())
            yield photo.pixels

    tracks = follow_people(frames(), len(clip), fps, run.part(0.0, 0.5), boxes=boxes, min_score=det_confidence_thresh)
    body = load_body()
    motions = fit_tracks(tracks, cameras, fps, run.part(0.5, 0.85), refine=refine)
    run.report(0.87, "Smoothing the motion")
    motions = [smooth_motion(motion, smoothing) for motion in motions]
    if plant > 0 and motions:
        ground = fit_ground([gather_motion_evidence(body, motion) for motion in motions])
        motions = [plant_feet(body, motion, ground, plant) for motion in motions]
    people = assemble(body, tracks, motions, cameras, clip.fps, run.part(0.9, 1.0))
    run.report(1.0, f"{len(tracks)} people found")
    return people


def fit_tracks(
    tracks: Sequence[Track], cameras: Sequence[Camera], fps: float, run: Run, *, refine: bool = False
) -> list[Motion]:
    """A motion per track from its first to its last frame, its gaps filled; all frames fitted together."""
    observed: list[PoseLandmarks] = []
    persons: list[int] = []
    shots: list[Camera] = []
    for number, track in enumerate(tracks):
        frames = sorted(track.sightings)
        observed += steady_landmarks([track.sightings[frame].landmarks for frame in frames], frames, fps)
        persons += [number] * len(frames)
        shots += [cameras[frame] for frame in frames]
    if not observed:
        return []
    fits = fit_people(observed, shots, run, persons=persons, refine=refine)
    motions, start = [], 0
    for track in tracks:
        frames = sorted(track.sightings)
        motions.append(motion_from_fits(fits[start : start + len(frames)], frames, fps))
        start += len(frames)
    return motions


def steady_landmarks(
    landmarks: Sequence[PoseLandmarks], frames: Sequence[int], fps: float, strength: float = STEADY
) -> list[PoseLandmarks]:
    """One person's landmarks smoothed lightly in time, each weighted by how well it is seen; outliers drop out.

    Depths in the landmarks err from frame to frame far more than a body moves; what a fit averages over the frames
    need not be fought by its pose prior.
    """
    if len(landmarks) < 4:
        return list(landmarks)
    span = np.arange(frames[0], frames[-1] + 1)
    known = np.isin(span, frames)
    values = np.stack([np.concatenate([one.points, one.world], axis=1) for one in landmarks]).astype(np.float64)
    seen = np.stack([one.visibility * one.presence for one in landmarks])
    # Pixels and metres of one landmark are outliers together: both in metres, roughly.
    scale = np.median([one.region.size for one in landmarks]) / 2.2
    values[..., :2] /= scale
    full, weights = np.zeros((len(span), *values.shape[1:])), np.zeros((len(span), seen.shape[1]))
    full[known], weights[known] = values, 0.1 + 0.9 * seen
    for point in range(full.shape[1]):
        for part in (slice(0, 2), slice(2, 5)):
            full[:, point, part] = smooth_values(full[:, point, part], weights[:, point], fps, strength)
    full[..., :2] *= scale
    smoothed = full[known].astype(np.float32)
    return [
        replace(one, points=value[:, :2], world=value[:, 2:]) for one, value in zip(landmarks, smoothed, strict=True)
    ]


def motion_from_fits(fits: Sequence[Fit], frames: Sequence[int], fps: float) -> Motion:
    """One person's fits as a motion over all frames from the first to the last; gaps interpolated, confidence 0."""
    span = np.arange(frames[0], frames[-1] + 1)
    places = np.searchsorted(frames, span)
    known = np.isin(span, frames)
    after, before = places, np.where(known, places, places - 1)
    gap = np.maximum(np.take(frames, after) - np.take(frames, before), 1)
    amount = (span - np.take(frames, before)) / gap
    turns = quaternion.align_hemisphere(np.stack([fit.rotations for fit in fits]).astype(np.float64))
    paths = np.stack([fit.translation for fit in fits]).astype(np.float64)
    confidence = np.stack([fit.confidence for fit in fits]).astype(np.float64)
    return Motion(
        rotations=quaternion.slerp(turns[before], turns[after], np.tile(amount[:, None], turns.shape[1])),
        translation=paths[before] + amount[:, None] * (paths[after] - paths[before]),
        shape=np.asarray(fits[0].shape, np.float64),
        confidence=np.where(known[:, None], confidence[before], 0.0),
        fps=fps,
        attributes=fits[0].attributes,
    )


def assemble(
    body: Body,
    tracks: Sequence[Track],
    motions: Sequence[Motion],
    cameras: Sequence[Camera],
    fps: float | None,
    run: Run,
) -> People:
    """The result: every person of every frame, posed and placed; keypoints and mask are those of the picture."""
    frames: list[list[Person]] = [[] for _ in cameras]
    wanted = sum(cameras[frame].width * cameras[frame].height * 4 for track in tracks for frame in track.sightings)
    for number, (track, motion) in enumerate(zip(tracks, motions, strict=True)):
        for index in range(len(motion)):
            run.report((number + index / len(motion)) / len(motions), "Posing bodies")
            frame = track.first + index
            person = _person(body, number, track, motion, index, cameras[frame], wanted <= MASK_BYTES)
            frames[frame].append(person)
    return People(tuple(map(tuple, frames)), body, cameras[0], tuple(cameras), fps)


def _person(
    body: Body, number: int, track: Track, motion: Motion, index: int, camera: Camera, with_mask: bool
) -> Person:
    """One person of one frame; in a gap the keypoints are where the neighbouring frames' lead to."""
    turns = motion.rotations[index].astype(np.float32)
    path = motion.translation[index].astype(np.float32)
    shape = motion.shape.astype(np.float32)
    vertices, joints = pose_body(body, shape, turns, path)
    sighting = track.sightings.get(track.first + index)
    mask = None
    if sighting is not None and with_mask:
        mask = pose.person_mask(sighting.landmarks, camera.height, camera.width)
    places = camera.project(vertices)
    low, high = places.min(axis=0), places.max(axis=0)
    return Person(
        track_id=number,
        box=(float(low[0]), float(low[1]), float(high[0]), float(high[1])),
        score=float(sighting.landmarks.score) if sighting is not None else 0.0,
        mask=mask,
        vertices=vertices,
        joints=joints,
        keypoints_2d=keypoints(track, track.first + index),
        rotations=turns,
        shape=shape,
        translation=path,
        confidence=motion.confidence[index].astype(np.float32),
        attributes=motion.attributes,
    )


def keypoints(track: Track, frame: int) -> NDArray[np.float32]:
    """The landmarks (33, 2) seen in a frame; in a gap between those before and after it."""
    if frame in track.sightings:
        return track.sightings[frame].points[:33].astype(np.float32)
    before = max(seen for seen in track.sightings if seen < frame)
    after = min(seen for seen in track.sightings if seen > frame)
    amount = (frame - before) / (after - before)
    first, second = track.sightings[before].points, track.sightings[after].points
    return (first + amount * (second - first))[:33].astype(np.float32)
