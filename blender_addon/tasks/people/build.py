# SPDX-License-Identifier: GPL-3.0-or-later
"""People: posed or animated bodies, and their masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...builders.bodies import body
from ...builders.images import image
from ...core import axes
from ...work.people import PeopleWork
from ..shared.gather import gathered
from ..shared.masks import build_masks, check_target
from .settings import BUILD, PARAMETERS

if TYPE_CHECKING:
    from bpy.types import Context

    from ...work.item import JobResult
    from ...work.people import RecoveredPeople
    from ..shared.finish import Place


def work(properties: Any, context: Context) -> PeopleWork:
    """What the worker is to do. Raises MaquetteError."""
    item = PeopleWork(**gathered("people", PARAMETERS, BUILD, properties, context))
    check_target(item)
    return item


def build(item: PeopleWork, found: JobResult[RecoveredPeople], place: Place) -> str:
    """The bodies before the matched camera, and the masks of the first frame."""
    people, wanted = found.result.people, item.build
    assert place.camera is not None
    options = body.BodyOptions(
        wanted.bodies,
        wanted.rig,
        correctives=wanted.correctives,
        start_frame=wanted.start_frame,
        world_from_camera=axes.world_from_camera_of(place.camera),
        folder=item.folder,
    )
    body.build_people(people, options, name=item.source.name, scene=place.scene)
    made = [build_masks(item, found, place, people.body.licence)]
    if found.result.skeletons is not None:
        skeletons = image.control_image(f"{item.source.name}.people.control", found.result.skeletons)
        made.append(f"the skeletons {place.mark(skeletons, 'people.control').name}")
    count, frames = len(people.tracks()), len(people.frames)
    line = f"Recovered {count} {'person' if count == 1 else 'people'}{f' over {frames} frames' * (frames > 1)}"
    return f"{line}{', made ' + ' and '.join(filter(None, made)) if any(made) else ''}"
