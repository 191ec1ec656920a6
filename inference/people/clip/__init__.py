# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of a clip: one identity and one shape each, a smooth motion, feet that stand.

follow people over the frames -> fit the body to key frames -> the most likely motion through all frames -> find the
ground -> plant the feet.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...camera import Camera
from ...geometry import rotations as quaternion
from ...geometry.skinning import pose_body
from ...results import SURFACE_BYTES, Body, People, Person
from ...runtime.run import Run
from ...shipped import pose
from ...shipped.body import load_body
from ...shipped.mannequin import body_named
from ...shipped.pose import PoseLandmarks
from ..fit.fitting import body_rotations, fit_landmarks, joint_confidence, share_shape
from ..fit.observe import observe
from ..fit.skeleton import ATTRIBUTE_NAMES, shape_of
from ..fit.solve import State, concatenated
from .backdrop import in_crop, partly_hidden
from .children import said
from .cover import covered_said
from .film import Film
from .floor import apart_said, far_off
from .follow import follow_people
from .ground import Ground
from .hands import TrackHands, fitted_hands, read_hands, set_hands
from .identify import all_tracks, is_somebody, spells_of
from .measured import Measured, first_piece
from .motion import Motion, Spell
from .pieces import Piece
from .retime import as_filmed
from .scenery import Background, joined
from .sides import with_steady_sides
from .temporal import bridge, fit_motion
from .track import Track
from .travel import through_lens
from .world import camera_way, in_metres, in_world, stand_behind, way_up, world_behind

#: Frame rate taken for numbered pictures, which do not say theirs.
USUAL_FPS = 25.0
#: Seconds between the frames that are fitted by themselves.
KEY_TIME = 0.12
#: Bytes of full-size masks that a result may hold; a longer clip comes without masks.
MASK_BYTES = 1 << 30
#: What is said where hands are asked for that were not measured.
NO_HANDS = "The hands of this clip were not looked at: recover its people again for them"
#: What is said of those who are no `is_somebody`, and of figures where nobody is.
MORE = "{} more may be there, too uncertain to fit: choose a detector of your own"
#: Who is far off everybody's floor is nobody if he is believed in less, over all frames: brackets and pillars with
#: cables 0.82 to 0.93, people 0.98 and more; but also, on the floor, 0.64 of somebody of 25 pixels.
SURE = 0.95
#: Poses that are skinned at once.
_AT_ONCE = 32


def measure_clip(
    film: Film, run: Run, options: Mapping[str, Any], boxes: Sequence[Sequence[Sequence[float]]] | None = None
) -> Measured:
    """What the networks say of a clip, or of some of its frames. boxes : of the people of each frame, if known."""
    pieces = follow_people(
        film.pictures(),
        film.stop,
        film.clip.fps or USUAL_FPS,
        run.part(0.0, 0.8),
        boxes=boxes,
        min_score=options["det_confidence_thresh"],
        most_overlap=options["det_iou_thresh"],
        batch=options["det_batch_size"],
        start=first_piece(film.start),
    )
    pieces = list(pieces)
    if options["hands"] == "full":
        read_hands(pieces, film.again(film.first), run.part(0.8, 1.0).parts(max(1, film.stop - film.first)))
    return film.measured(pieces, options)


@as_filmed
def solve_clip(measured: Measured, run: Run, options: Mapping[str, Any]) -> People:
    """The people of a whole clip, of what is seen in it: one problem over all frames, without a network.

    A person out of sight for up to a second goes on, interpolated, with a confidence of 0 and without a mask.
    """
    fps, cameras, body = measured.fps or USUAL_FPS, measured.cameras, load_body()
    surroundings = behind(measured.pieces)
    if options["camera_motion"] == "auto":
        cameras = through_lens(surroundings.paths, cameras, fps, run.part(0.0, 0.05), surroundings.cuts)
    everybody = all_tracks(measured.pieces, fps)
    tracks = [with_steady_sides(track, fps) for track in everybody if is_somebody(track)]
    looked = options["hands"] == "full"
    seen_hands = [fitted_hands(track, cameras) if looked else {} for track in tracks]
    told = camera_way(surroundings, cameras, fps, options)
    spells = fit_tracks(tracks, cameras, fps, run.part(0.05, 0.76), options, seen_hands, told.eyes)
    if looked:
        spells = [set_hands(body, spell, seen_hands[spell.track], options["smoothing"]) for spell in spells]
    travel = in_metres(body, spells, told, fps)
    (part, again), up = run.part(0.76, 0.8).parts(2), way_up(cameras, travel)
    standing, ground = stand_behind(body, spells, travel, options, part, up)
    if unreal := figures_off(body, tracks, in_world(body, standing, travel), ground):
        spells = [spell for spell in spells if spell.track not in unreal]  # the others keep their numbers
        standing, ground = stand_behind(body, spells, travel, options, again, up)
    spells = standing
    wanted = sum(mask_bytes(1, cameras[frame]) for track in tracks for frame in track.sightings)

    def seen(person: Person, frame: int) -> Person:
        track, camera = tracks[person.track_id], cameras[frame]
        person = replace(person, keypoints_2d=keypoints(track, frame))
        if frame not in track.sightings:
            return person
        sighting = track.sightings[frame]
        mask = pose.person_mask(sighting.whole, camera.height, camera.width) if wanted <= MASK_BYTES else None
        return replace(person, score=float(sighting.landmarks.score), mask=mask)

    given = body_named(options["body"])
    frames = posed(partial(pose_body, given), spells, cameras, run.part(0.8, 1.0), seen)
    world = world_behind(ground, frames, travel)
    apart = apart_said(body, in_world(body, spells, travel), ground) if options["plant"] > 0 else ()
    children = said({spell.track: spell.motion.attributes for spell in spells}.values())
    notes = (*travel.notes, *apart, *children, *covered_said(tracks, fps, unreal))
    found = len(tracks) - len(unreal)
    if doubtful := len(everybody) - found:
        notes = (*notes, MORE.format("Somebody" if doubtful == 1 else f"{doubtful} people"))
    if looked and measured.options["hands"] == repr("none"):
        notes = (*notes, NO_HANDS)
    run.report(1.0, ". ".join([f"{found} people found", *notes]))
    return People(
        tuple(map(tuple, frames)), given, cameras[0], cameras, measured.fps, notes, world=world, travel=travel.poses,
        measured=measured,
    )  # fmt: skip


def figures_off(body: Body, tracks: Sequence[Track], spells: Sequence[Spell], ground: Ground | None) -> set[int]:
    """The tracks that are hardly believed to be somebody, in a place where hardly anybody is."""
    return {track for track in far_off(body, spells, ground) if tracks[track].belief < SURE}


def behind(pieces: Sequence[Piece]) -> Background:
    """What is behind the people of all pieces of a clip."""
    cuts = tuple(sorted({cut for piece in pieces for cut in piece.cuts}))
    return Background(joined([(piece.start, piece.scenery) for piece in pieces]), cuts)


def one_by_one(pose_one: Callable[..., tuple[NDArray, ...]]) -> Callable[..., tuple[NDArray, ...]]:
    """What `posed` needs, of what poses a body once."""

    def some(shape: NDArray, *rows: NDArray) -> tuple[NDArray, ...]:
        every = [pose_one(shape, *own) for own in zip(*rows, strict=True)]
        return tuple(np.stack(part) for part in zip(*every, strict=True))

    return some


def posed(
    pose_some: Callable[..., tuple[NDArray, ...]],
    spells: Sequence[Spell],
    cameras: Sequence[Camera],
    run: Run,
    seen: Callable[[Person, int], Person],
) -> list[list[Person]]:
    """Every person of every frame, posed and placed. Surfaces of more than `SURFACE_BYTES` are made whenever they are
    asked for.

    pose_some : shape (S,), rotations (T, J, 4), translations (T, 3) and, where a motion has them, offsets -> vertices,
        joints and, of a body that has them, correctives.
    seen : adds what was seen of a person in a frame to one of whom nothing was.
    """
    frames: list[list[Person]] = [[] for _ in cameras]
    total, done, kept = sum(len(spell.motion) for spell in spells), 0, True
    for spell in spells:
        motion = spell.motion
        shape, confidence = motion.shape.astype(np.float32), motion.confidence.astype(np.float32)
        rows = [motion.rotations, motion.translation, *([] if motion.offsets is None else [motion.offsets])]
        for start in range(0, len(motion), _AT_ONCE):
            run.report(done / total, "Posing bodies")
            own = [part[start : start + _AT_ONCE].astype(np.float32) for part in rows]
            vertices, joints, *added = pose_some(shape, *own)
            kept = kept and total * vertices[0].nbytes <= SURFACE_BYTES
            for index, frame in enumerate(range(spell.first + start, spell.first + start + len(joints))):
                places = cameras[frame].project(vertices[index])
                (x0, y0), (x1, y1) = places.min(axis=0).tolist(), places.max(axis=0).tolist()
                person = Person(
                    track_id=spell.track,
                    box=(x0, y0, x1, y1),
                    score=0.0,
                    mask=None,
                    vertices=vertices[index],
                    joints=joints[index],
                    keypoints_2d=cameras[frame].project(joints[index]),
                    rotations=own[0][index],
                    shape=shape,
                    translation=own[1][index],
                    confidence=confidence[start + index],
                    attributes=motion.attributes,
                    offsets=own[2][index] if len(own) > 2 else None,
                    correctives=added[0][index] if added else None,
                )
                person = seen(person, frame)
                if not kept:
                    later = partial(_surface, pose_some, shape, *(part[index : index + 1] for part in own))
                    person = replace(person, vertices=later)
                frames[frame].append(person)
            done += len(joints)
    return frames


def _surface(pose_some: Callable[..., tuple[NDArray, ...]], *pose: NDArray) -> NDArray[np.float32]:
    return pose_some(*pose)[0][0]


def mask_bytes(count: int, camera: Camera) -> int:
    """Bytes of the masks of so many people in one picture."""
    return 4 * count * camera.width * camera.height


def fit_tracks(
    tracks: Sequence[Track],
    cameras: Sequence[Camera],
    fps: float,
    run: Run,
    options: Mapping[str, Any],
    hands: Sequence[TrackHands],
    eyes: NDArray | None = None,
) -> list[Spell]:
    """The motions of each track over all frames that it is there; of the hands only the palms count. eyes : (T, 4, 4)
    of all frames, see `fit_motion`.

    Key frames are fitted one by one, of all tracks at once; the frames between start from there, and one problem over
    all frames of a spell ends it (`temporal.fit_motion`). A track has one shape.
    """
    if not tracks:
        return []
    smoothing, batch = options["smoothing"], options["hmr_batch_size"]
    spells = [(number, own) for number, track in enumerate(tracks) for own in spells_of(sorted(track.sightings), fps)]
    present = _present(tracks)
    seen = [
        observe(
            [seen_of(tracks[number], frame, present[frame]) for frame in own],
            [cameras[frame] for frame in own],
            [hands[number].get(frame, {}) for frame in own],
        )
        for number, own in spells
    ]
    keys = [key_frames(own, fps if smoothing > 0 else 0.0) for _, own in spells]
    persons = [number for (number, _), own in zip(spells, keys, strict=True) for _ in own]
    chosen = concatenated([one.take(own.tolist()) for one, own in zip(seen, keys, strict=True)])
    # A frame whose limbs are turned over by themselves is one that the motion around it does not get right again.
    fitted = fit_landmarks(chosen, run.part(0.0, 0.6), options["refine"], batch, alternatives=smoothing <= 0)
    state = share_shape(chosen, fitted, persons)
    motions, start = [], 0
    for one, (number, own), picked, part in zip(seen, spells, keys, run.part(0.6, 1.0).parts(len(spells)), strict=True):
        poses = state.take(range(start, start + len(picked)))
        start += len(picked)
        poses = bridge(poses, own[picked], own[0], own[-1])
        if smoothing > 0:
            way = None if eyes is None else eyes[own[0] : own[-1] + 1]
            poses = fit_motion(one, with_typical_scale(poses), own, fps, part, smoothing, way)
        motions.append(Spell(number, int(own[0]), motion_of(poses, own, joint_confidence(one), fps)))
    return motions


def _present(tracks: Sequence[Track]) -> dict[int, list[Track]]:
    """Who is seen in each frame."""
    present: dict[int, list[Track]] = {}
    for track in tracks:
        for frame in track.sightings:
            present.setdefault(frame, []).append(track)
    return present


def seen_of(track: Track, frame: int, present: Sequence[Track]) -> PoseLandmarks:
    """A track's landmarks in a frame; those on people in front, who have their feet lower, are as good as unseen."""
    own = track.sightings[frame].landmarks
    others = [other.sightings[frame] for other in present if other is not track]
    foot = own.points[27:33, 1].max()
    front = [other for other in others if other.points[27:33, 1].max() > foot]
    return partly_hidden(own, [one.whole for one in front if in_crop(own.points, one.landmarks)[1].any()])


def key_frames(frames: NDArray[np.int64], fps: float) -> NDArray[np.int64]:
    """Which of a track's frames are `KEY_TIME` apart, the first and the last among them; all of them at fps 0."""
    keys = [0]
    for number in range(1, len(frames)):
        if frames[number] - frames[keys[-1]] >= KEY_TIME * fps or number == len(frames) - 1:
            keys.append(number)
    return np.array(keys)


def with_typical_scale(state: State) -> State:
    """One scale of the world landmarks for all frames of a person: the build does not change."""
    return replace(state, log_scale=state.log_scale.median().expand_as(state.log_scale).clone())


def motion_of(state: State, seen: NDArray, confidence: NDArray, fps: float) -> Motion:
    """The motion of poses for all frames; confidence (B, J) of the frames that the person was seen in, else 0."""
    full = np.zeros((len(state.rotations), confidence.shape[1]))
    full[seen - seen[0]] = confidence
    shape, _ = shape_of(state.attributes[:1])
    return Motion(
        rotations=quaternion.align_hemisphere(body_rotations(state)),
        translation=state.translation.numpy(),
        shape=shape[0].numpy(),
        confidence=full,
        fps=fps,
        attributes={name: float(value) for name, value in zip(ATTRIBUTE_NAMES, state.attributes[0], strict=True)},
    )


def keypoints(track: Track, frame: int) -> NDArray[np.float32]:
    """The landmarks (33, 2) seen in a frame; in a gap between those before and after it."""
    if frame in track.sightings:
        return track.sightings[frame].points[:33].astype(np.float32)
    before, after = frame - 1, frame + 1
    while before not in track.sightings:
        before -= 1
    while after not in track.sightings:
        after += 1
    amount = (frame - before) / (after - before)
    first, second = track.sightings[before].points, track.sightings[after].points
    return (first + amount * (second - first))[:33].astype(np.float32)
