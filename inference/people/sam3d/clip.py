# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of a clip: who is who by boxes and colours, then one build and a calm motion for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...camera import Camera
from ...geometry import rotations as quaternion
from ...results import People, Person
from ..clip import NO_HANDS, USUAL_FPS, one_by_one, posed
from ..clip.identify import spells_of
from ..clip.motion import Motion, Spell
from ..clip.retime import as_filmed
from ..clip.world import calmed, stand_behind, travel_behind, way_up, world_behind
from ..hmr2.clip import filled
from ..hmr2.kept import Whose, draw_masks, everybody, followed, look
from ..hmr2.persons import in_sight
from ..hmr2.stream import FINDING
from .body import Build, People3D, on_build
from .crops import Square
from .model import Sight
from .passes import Query, read
from .stream import mask_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...runtime.run import Run
    from ..clip.film import Film
    from ..clip.measured import Measured
    from ..hmr2.find import Detection
    from ..hmr2.stream import Search
    from .model import Model, Reading

#: What is kept of a reading.
_KEPT = ("parameters", "whole", "body", "shape", "scale", "hands", "camera", "place", "joints", "accepted")
#: A person over the frames of a clip.
Track = dict[int, "tuple[Detection, Reading]"]


def measure_clip(
    film: Film, run: Run, model: Model, search: Search, masks: Sequence | None, options: Mapping[str, Any]
) -> Measured:
    """What the network says of a clip, or of some of its frames."""
    assert run.model is not None
    pieces, found = look(film, run.part(0.0, FINDING), search)

    def stream() -> Iterator[Query[Whose]]:
        for who, share in everybody(film, run.part(FINDING, 1.0), pieces, found):
            mask = mask_of(
                who.photo, who.found, masks[who.frame][who.number] if masks else None, options["mask_prompts"]
            )
            camera = film.cameras[who.frame - film.first]
            yield Query(Sight(who.photo.pixels, camera, who.found.box, mask), who, share, who.stretch)

    for who, reading in read(stream(), model, options["hmr_batch_size"], options["hands"] == "full"):
        if reading.is_usable:
            who.keep({name: np.asarray(getattr(reading, name)) for name in _KEPT})
    return film.measured(pieces, {**options, "detector": search.by}, run.model.id)


@as_filmed
def solve_clip(measured: Measured, run: Run, model: Model, options: Mapping[str, Any]) -> People:
    """The people of what was measured of a clip, by the model's rig alone.

    A person out of sight for up to a second goes on, interpolated, with a confidence of 0 and without a mask.
    """
    found = followed(measured)
    fps, cameras = found.fps or USUAL_FPS, found.cameras
    tracks: list[Track] = [
        {frame: (one, _reading(said)) for frame, (one, said) in track.items()} for track in found.tracks
    ]
    people = People3D(model, [Build.typical([one for _, one in track.values()]) for track in tracks])
    spells: list[Spell] = []
    for number, (track, part) in enumerate(zip(tracks, run.part(0.0, 0.4).parts(len(tracks)), strict=True)):
        for frames in spells_of(list(track), fps):
            part.report(0.0, "Fitting the motion")
            own = {int(frame): track[int(frame)] for frame in frames}
            spells.append(Spell(number, int(frames[0]), _motion(people, number, own, cameras, fps)))
    body, smoothing = people.body, options["smoothing"]
    travel = travel_behind(body, spells, found.background, cameras, fps, options, smoothing)
    spells = calmed(body, spells, travel, smoothing)
    spells, ground = stand_behind(body, spells, travel, options, run.part(0.4, 0.5), way_up(cameras, travel))

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
        one, reading = tracks[person.track_id][frame]
        x0, y0, x1, y1 = one.box.tolist()
        return replace(person, box=(x0, y0, x1, y1), score=one.score, crop_camera=reading.camera)

    frames = posed(one_by_one(people.pose), spells, cameras, run.part(0.5, 0.95), seen)
    draw_masks(frames, found.tracks, body.faces, cameras, run.part(0.95, 1.0))
    notes = travel.notes
    if options["hands"] == "full" and measured.options["hands"] == repr("none"):
        notes = (*notes, NO_HANDS)
    run.report(1.0, ". ".join([f"{len(tracks)} people found", *notes]))
    return People(
        tuple(map(tuple, frames)), body, cameras[0], cameras, found.fps, notes,
        world=world_behind(ground, frames, travel), travel=travel.poses, measured=measured,
    )  # fmt: skip


def _reading(said: Mapping[str, NDArray]) -> Reading:
    """A reading of which only what the motion needs is kept; surface and turns follow from the numbers."""
    from .model import Reading

    none = np.zeros((0, 3), np.float32)
    kept_of = {name: said[name] for name in _KEPT if name != "accepted"}
    return Reading(**kept_of, vertices=none, keypoints=none, turns=none, accepted=tuple(map(bool, said["accepted"])))  # type: ignore[arg-type]


def _motion(people: People3D, number: int, track: Track, cameras: Sequence[Camera], fps: float) -> Motion:
    """One build and one motion for all frames from first to last. The body keeps its root where the frame had it."""
    frames, turned, places, steps, sure = np.array(list(track)), [], [], [], []
    for frame, (one, reading) in track.items():
        own = on_build(reading, people.builds[number], people.model)
        rotations, translation, offsets = people.motion(own, number)
        translation = translation + (reading.joints[1] - own.joints[1])
        seen = in_sight(
            cameras[frame].project(own.joints + reading.place),
            float(Square.around(one.box).side),
            cameras[frame],
        )
        turned.append(rotations)
        places.append(translation)
        steps.append(offsets)
        sure.append(one.score * seen)
    rotations = quaternion.align_hemisphere(np.stack(turned))
    certain, shape = np.stack(sure).astype(np.float64), people.shape(number)
    return filled(frames, rotations, np.stack(places), certain, shape, fps, np.stack(steps))
