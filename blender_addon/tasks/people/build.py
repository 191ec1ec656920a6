# SPDX-License-Identifier: GPL-3.0-or-later
"""People: posed or animated bodies, and their masks."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ....inference import load_photo
from ....inference.errors import BadInput
from ....inference.options.people import OPTIONS, SOLVING
from ...builders.bodies import again, body
from ...builders.camera import matched
from ...builders.camera import scene as scenes
from ...builders.camera.given import way_of
from ...builders.files import paths, session
from ...builders.images import image
from ...core import axes, photo_links, roles
from ...work.people import PeopleWork, RecoveredPeople
from ...work.source import Focal
from ..shared.clips import most_frames, playing_image
from ..shared.gather import gathered
from ..shared.masks import build_masks, check_target
from .settings import BUILD, PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpy.types import Collection, Scene
    from numpy.typing import NDArray

    from ...work.item import JobResult
    from ..shared.finish import Place

#: What is kept of a clip's source, for its people to be solved again.
SOURCE = ("name", "path", "sequence", "fps", "layer", "origin")


def work(properties: Any, context: Any) -> PeopleWork:
    """What the worker is to do. Raises MaquetteError."""
    given = gathered("people", PARAMETERS, BUILD, properties, context)
    item = PeopleWork(**{**given, "options": {**OPTIONS.defaults(), **given["options"]}})
    check_target(item)
    if item.options["camera_motion"] != "scene":
        return item
    if item.clip is None:  # what a photo's camera does at other times is no matter
        return replace(item, options={**item.options, "camera_motion": "auto"})
    typed = properties.fx or properties.fy or properties.lens_mm
    return before_scene_camera(item, properties.camera, context.scene, typed=bool(typed))


def before_scene_camera(item: PeopleWork, name: str, scene: Scene, *, typed: bool = False) -> PeopleWork:
    """The work with the motion and lens of a camera of the scene, read frame by frame: a tracker solves one for each
    frame of the clip, whatever their rates. name : "" for the scene's active one.  typed : the lens was. Raises
    BadInput."""
    assert item.clip is not None
    camera = bpy.data.objects.get(name) if name else scene.camera
    if camera is None:
        raise BadInput(
            f"There is no camera {name}." if name else "The scene has no camera.",
            "Choose the animated one, or let Camera Motion be found from the background.",
        )
    source, start = item.source, item.clip.start_frame
    lenses, poses = way_of(camera, range(start, start + most_frames(source)), scene, playing_image(source))
    focal = source.focal if typed else Focal(lenses=lenses)
    source = replace(source, focal=focal, fps=scenes.frame_rate(scene))
    return replace(item, source=source, camera=camera.name, poses=poses)


def _of_photos(found: RecoveredPeople, options: body.BodyOptions, place: Place) -> str:
    """Separate photos: each has a collection of its people, before a matched camera of its own."""
    for file, people, world in found.photos:
        photo = load_photo(file)
        shown = image.photo_image(photo, file, file.name)
        camera = matched.matched_camera(people.camera, shown, world, scene=place.scene)
        own = replace(options, world_from_camera=axes.world_from_camera_of(camera))
        for made in body.build_people(people, own, name=file.stem, scene=place.scene):
            photo_links.mark((*made.objects, camera), photo.digest, "", shown)
    count = sum(len(people.frames[0]) for _, people, _ in found.photos)
    return f"Recovered {count} {'person' if count == 1 else 'people'} of {len(found.photos)} separate photos"


def body_options(item: PeopleWork) -> body.BodyOptions:
    """How the item's bodies are built."""
    wanted = item.build
    return body.BodyOptions(
        wanted.bodies if wanted.bodies != "NONE" else "ARMATURE",
        wanted.rig,
        rig_unit=wanted.rig_unit,
        root_motion=wanted.root_motion,
        max_influences=wanted.max_influences,
        limbs=wanted.limbs,
        game_skeleton=wanted.game_skeleton,
        correctives=wanted.correctives,
        start_frame=wanted.start_frame,
        folder=item.folder,
    )


def follow(item: PeopleWork, found: JobResult[RecoveredPeople], place: Place, rate: float) -> None:
    """Animate the matched camera of a clip whose camera moves. rate : frames a second at which the people move."""
    people, travel = found.result.people, found.result.travel
    if travel is not None and not item.camera:
        assert place.camera is not None
        step = rate / people.fps if people.fps else 1.0
        zoom = np.array([camera.fx for camera in people.cameras]) / people.cameras[0].fx
        matched.animate(place.camera, travel, item.build.start_frame + step * np.arange(len(travel)), zoom)


def _keep(item: PeopleWork, found: JobResult[RecoveredPeople], made: Sequence[Collection], place: Place) -> None:
    """Keep what was measured of a clip beside the other files, and write on its people how they are solved again."""
    if "measured" not in found.files:
        return
    file = paths.moved_file(f"{item.source.name}.measured", found.files["measured"], item.folder)
    if item.folder is None:
        session.warn()
    world = world_of(item, found, place)
    told = {
        "file": str(file),
        **{name: getattr(item.source, name) for name in SOURCE},
        "stamp": found.result.stamp,
        "model": found.model or item.model,
        "options": {name: item.options[name] for name in SOLVING},
        "build": {**vars(item.build), "masks": "NONE", "skeleton_image": "NONE"},
        "folder": item.folder,
        "lens": None,
        "camera": item.camera,
        "anchor": (world @ np.linalg.inv(found.world_from_camera)).ravel().tolist(),  # type: ignore[arg-type]
    }
    for collection in made:
        again.write(again.parts_of(collection), told)
    if not item.camera:
        place.camera[roles.STOOD] = world.ravel().tolist()  # type: ignore[index]


def world_of(item: PeopleWork, found: JobResult[RecoveredPeople], place: Place) -> NDArray[np.float64]:
    """(4, 4) the scene's world from the axes of the camera, as it saw the first frame."""
    assert place.camera is not None
    if item.camera:
        assert found.world_from_camera is not None
        return found.world_from_camera
    matched.hold(place.camera)
    return axes.world_from_camera_of(place.camera)


def build(item: PeopleWork, found: JobResult[RecoveredPeople], place: Place) -> str:
    """The bodies before the matched camera, and the masks of the first frame."""
    people, wanted = found.result.people, item.build
    options = replace(body_options(item), world_from_camera=world_of(item, found, place))
    if found.result.photos:
        return _of_photos(found.result, options, place)
    rate, keep = scenes.frame_rate(place.scene), scenes.keeps_timing(place.scene)
    if wanted.bodies != "NONE":
        built = body.build_people(people, options, name=item.source.name, scene=place.scene)
        _keep(item, found, built, place)
    follow(item, found, place, rate if keep else people.fps or rate)
    with scenes.at_frame(place.scene, wanted.start_frame if item.camera else None):
        made = [build_masks(item, found, place, people.body.licence)]
    if found.result.skeletons is not None:
        skeletons = image.control_image(f"{item.source.name}.people.control", found.result.skeletons)
        made.append(f"the skeletons {place.mark(skeletons, 'people.control').name}")
    count, frames = len(people.tracks()), len(people.frames)
    line = f"Recovered {count} {'person' if count == 1 else 'people'}{f' over {frames} frames' * (frames > 1)}"
    line += f", made {' and '.join(filter(None, made))}" if any(made) else ""
    return ". ".join([line, *people.notes])
