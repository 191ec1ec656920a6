# SPDX-License-Identifier: GPL-3.0-or-later
"""People of a clip solved again, from what was measured of it, into the objects that show them.

Each of a person's objects has in `roles.MEASURED` the JSON of
file : with what was measured.
name, path, sequence, fps, layer, origin, stamp : of the clip (see `work.source.Source`).
model, options, build, folder : what its people were last made with.
lens : how its focal length was asked for, or None.
anchor : (4, 4) the scene's world from the people's, row by row.
camera : name of the scene's camera whose motion was given, or "".
part, place : of the object (see `builders.bodies.again`).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ....inference.errors import BadInput
from ....inference.options.people import OPTIONS
from ...builders.bodies import action, again
from ...builders.camera import matched
from ...builders.camera import scene as scenes
from ...core import roles
from ...core.bpy_settings import chosen
from ...core.choices import preferred_device, preferred_precision
from ...work.item import ClipSpan, Target
from ...work.people import PeopleWork, RecoveredPeople
from ...work.source import Focal, Source
from ..shared.clips import as_played, first_shown, playing_image
from ..shared.gather import focal_of
from .build import SOURCE, before_scene_camera, body_options, follow
from .settings import BUILD, LENS, SOLVED

if TYPE_CHECKING:
    from ...work.item import JobResult
    from ..shared.finish import Place


def work(properties: Any, given: Sequence[str], context: Any) -> PeopleWork:
    """The clip of a person solved with other options. given : those that count; the others stay as they were.
    Raises BadInput."""
    obj = bpy.data.objects.get(properties.armature) if properties.armature else context.view_layer.objects.active
    if obj is None or roles.MEASURED not in obj or obj.library is not None:
        name = obj.name if obj is not None else properties.armature or "Nothing"
        raise BadInput(
            f"{name} is not a person whose clip's measurements were kept.",
            "Select a person who was recovered of a clip, or recover the clip's people again.",
        )
    told = json.loads(obj[roles.MEASURED])
    for one in again.people_of(told["file"]):
        for part in one.objects:
            action.check_free(part)
    played: Any = obj.get(roles.OF_IMAGE)
    source = as_played(Source(**{name: told[name] for name in SOURCE}, is_clip=True), played)
    scene, options = context.scene, chosen(SOLVED, properties)
    lens = told["lens"]
    if any(name in given for name in LENS.names):
        lens = {name: getattr(properties, name) for name in LENS.names}
    focal = Focal() if lens is None else focal_of(SimpleNamespace(**lens), scene, playing_image(source))
    options = {**told["options"], **{name: value for name, value in options.items() if name in given}}
    if told["model"] == "hmr2" and options.get("smpl_body", "smpl") != told["options"].get("smpl_body", "smpl"):
        raise BadInput(
            "The bones of another SMPL body cannot take the place of these.",
            "Recover the clip's people again with the SMPL Body that you want.",
        )
    item = PeopleWork(
        task="people", source=replace(source, focal=focal, shown=first_shown(source)), target=Target(scene.name),
        model=told["model"], options={**OPTIONS.defaults(), **options},
        build=SimpleNamespace(**{**BUILD.defaults(), **told["build"]}),
        clip=ClipSpan(told["build"]["start_frame"]), folder=told["folder"],
        directory=told["folder"] or (str(Path(bpy.data.filepath).parent / "maquette") if bpy.data.filepath else ""),
        device=preferred_device(), precision=preferred_precision(),
        measured=Path(told["file"]), measured_at=_file_of(told), stamp=told["stamp"], lens=lens,
    )  # fmt: skip
    if item.options["camera_motion"] != "scene":
        return item
    typed = lens is not None and any(lens[number] for number in ("fx", "fy", "lens_mm"))
    item = item if typed else replace(item, lens=None)
    name = properties.camera if "camera" in given else told.get("camera", "")
    return before_scene_camera(item, name, scene, typed=typed)


def _file_of(told: dict[str, Any]) -> Path:
    """The file with what was measured, also where the .blend has been moved together with it."""
    file, saved = Path(told["file"]), bpy.data.filepath
    beside = Path(saved).parent / "maquette" / file.name
    return beside if saved and not file.exists() and beside.exists() else file


def build(item: PeopleWork, found: JobResult[RecoveredPeople], place: Place) -> str:
    """The people as they are now, in the objects that showed them; who has been deleted stays away."""
    shown = again.people_of(str(item.measured))
    if not shown:
        raise BadInput(f"The people of {item.source.name} are gone.", "Recover the clip's people again.")
    people = again.of_tracks(found.result.people, [one.tracks for one in shown])
    told = json.loads(shown[0].objects[0][roles.MEASURED])
    assert place.camera is not None and found.world_from_camera is not None
    world = found.world_from_camera
    if not item.camera:
        world = np.reshape(told["anchor"], (4, 4)) @ world
        matched.hold(place.camera)
        matched.stand_at(place.camera, world)
    options = replace(body_options(item), world_from_camera=world, keep_timing=True)
    again.rebuild(people, options, shown, place.scene)
    follow(item, found, place, scenes.frame_rate(place.scene))
    told |= {
        "path": item.source.path, "sequence": item.source.sequence, "stamp": found.result.stamp,
        "options": {name: item.options[name] for name in SOLVED.names}, "lens": item.lens,
        "camera": item.camera,
    }  # fmt: skip
    for one in shown:
        again.write(one.parts, told)
        for obj in one.objects:
            obj[roles.LENS] = people.camera.source
    place.kept += [obj for one in shown for obj in one.objects]
    count = len(people.tracks())
    line = f"Solved {count} {'person' if count == 1 else 'people'} again over {len(people.frames)} frames"
    return ". ".join([line, *people.notes])
