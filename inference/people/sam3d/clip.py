# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of a clip: who is who by boxes and colours, then one build and a calm motion for each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...errors import BadInput
from ...geometry import rotations as quaternion
from ...results import People, Person
from ..clip import MASK_BYTES, USUAL_FPS, mask_bytes, posed
from ..clip.ground import world_of
from ..clip.identify import spells_of
from ..clip.motion import Motion, Spell
from ..clip.world import calmed, stand_behind, travel_behind
from ..hmr2.clip import filled
from ..hmr2.find import Detection, builtin_finder
from ..hmr2.identity import Follower
from ..hmr2.persons import in_sight, with_masks
from .body import Build, People3D, on_build
from .crops import Square
from .passes import read
from .stream import Place, queries

if TYPE_CHECKING:
    from ...camera import Camera
    from ...photo import Clip
    from ...runtime.run import Run
    from ..clip.scenery import Background
    from ..hmr2.stream import Search
    from .model import Model, Reading

#: A person over the frames of a clip.
Track = dict[int, "tuple[Place, Reading]"]


def recover_clip(
    clip: Clip, run: Run, model: Model, search: Search, masks: Sequence | None, options: Mapping[str, Any]
) -> People:
    """Recover the people of a clip.

    A person out of sight for up to a second goes on, interpolated, with a confidence of 0 and without a mask.
    """
    if search.find is None and search.given is None:
        search = replace(search, find=builtin_finder(search.thresholds))
    fps = clip.fps or USUAL_FPS
    cameras: list[Camera] = []
    tracks, background = _tracks(clip, run.part(0.0, 0.85), model, search, masks, options, cameras)
    if not cameras:
        raise BadInput("There are no photos.", "Give at least one.")
    people = People3D(model, [Build.typical([one for _, one in track.values()]) for track in tracks])
    spells: list[Spell] = []
    for number, (track, part) in enumerate(zip(tracks, run.part(0.85, 0.9).parts(len(tracks)), strict=True)):
        for frames in spells_of(list(track), fps):
            part.report(0.0, "Fitting the motion")
            own = {int(frame): track[int(frame)] for frame in frames}
            spells.append(Spell(number, int(frames[0]), _motion(people, number, own, cameras, fps)))
    body, smoothing = people.body, options["smoothing"]
    travel = travel_behind(body, spells, background, cameras, fps, options, smoothing)
    spells = calmed(body, spells, travel, smoothing)
    spells, ground = stand_behind(body, spells, travel, options["plant"], run.part(0.9, 0.92), cameras[0].up)

    def seen(person: Person, frame: int) -> Person:
        """What was seen in a frame; in a gap nothing."""
        camera = cameras[frame]
        keypoints = people.keypoints(person.vertices, person.joints, person.translation)
        build = people.builds[person.track_id]
        told = {"shape": build.shape, "scale": build.scale, "joint_scales": people.rests[person.track_id].scales}
        person = replace(
            person, keypoints_2d=camera.project(keypoints), keypoints_3d=keypoints,
            parameters={name: np.asarray(value, np.float32) for name, value in told.items()},
        )  # fmt: skip
        if frame not in tracks[person.track_id]:
            return person
        place, reading = tracks[person.track_id][frame]
        x0, y0, x1, y1 = place.found.box.tolist()
        return replace(person, box=(x0, y0, x1, y1), score=place.found.score, crop_camera=reading.camera)

    frames = posed(people.pose, spells, cameras, run.part(0.92, 0.98), seen)
    _draw_masks(frames, tracks, people, cameras, run.part(0.98, 1.0))
    run.report(1.0, ". ".join([f"{len(tracks)} people found", *travel.notes]))
    return People(
        tuple(map(tuple, frames)), body, cameras[0], tuple(cameras), clip.fps, travel.notes,
        world=world_of(ground, frames, travel.poses), travel=travel.poses,
    )  # fmt: skip


def _tracks(
    clip: Clip, run: Run, model: Model, search: Search, masks: Sequence | None, options: Mapping[str, Any],
    cameras: list[Camera],
) -> tuple[list[Track], Background]:  # fmt: skip
    """Who is seen in which frames, without what is no body; and what is behind them."""
    look, fps = options["camera_motion"] == "auto", clip.fps or USUAL_FPS
    follower = Follower(fps, keep_all=search.given is not None, look_behind=look)
    stream = queries(clip, run, search, masks, options["mask_prompts"], cameras, follower.see)
    seen = {
        (place.frame, place.number): (place, reading)
        for place, reading in read(stream, model, options["hmr_batch_size"], options["hands"] == "full")
    }
    found = []
    for track in follower.finish(len(cameras)):
        known = {frame: seen[frame, number] for frame, number in sorted(track.items())}
        found.append({frame: one for frame, one in known.items() if one[1].is_usable})
    return [track for track in found if track], follower.behind


def _motion(people: People3D, number: int, track: Track, cameras: Sequence[Camera], fps: float) -> Motion:
    """One build and one motion for all frames from first to last. The body keeps its root where the frame had it."""
    frames, turned, places, steps, sure = np.array(list(track)), [], [], [], []
    for frame, (place, reading) in track.items():
        own = on_build(reading, people.builds[number], people.model)
        rotations, translation, offsets = people.motion(own, number)
        translation = translation + (reading.joints[1] - own.joints[1])
        seen = in_sight(
            cameras[frame].project(own.joints + reading.place),
            float(Square.around(place.found.box).side),
            cameras[frame],
        )
        turned.append(rotations)
        places.append(translation)
        steps.append(offsets)
        sure.append(place.found.score * seen)
    rotations = quaternion.align_hemisphere(np.stack(turned))
    certain, shape = np.stack(sure).astype(np.float64), people.shape(number)
    return filled(frames, rotations, np.stack(places), certain, shape, fps, np.stack(steps))


def _draw_masks(
    frames: list[list[Person]], tracks: Sequence[Track], people: People3D, cameras: Sequence[Camera], run: Run
) -> None:
    """Masks of those who are seen, where there is room for them."""
    if sum(mask_bytes(len(ones), camera) for ones, camera in zip(frames, cameras, strict=True)) > MASK_BYTES:
        return
    for frame, (ones, part) in enumerate(zip(frames, run.parts(len(frames)), strict=True)):
        known: list[tuple[Detection | None, Person]] = [
            (tracks[one.track_id][frame][0].found, one) for one in ones if frame in tracks[one.track_id]
        ]
        drawn = {one.track_id: one for one in with_masks(known, people.body.faces, cameras[frame], part)}
        frames[frame] = [drawn.get(one.track_id, one) for one in ones]
