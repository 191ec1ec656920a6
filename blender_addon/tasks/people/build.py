# SPDX-License-Identifier: GPL-3.0-or-later
"""People: posed or animated bodies, and their masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ....inference.errors import NothingFound
from ...builders.bodies import body
from ...builders.images import image
from ...core import axes, roles
from ...work import Inferred, PeopleRequest
from ..shared.common import licence_of, matched, shared
from ..shared.masks import build_masks, check_target, mask_build

if TYPE_CHECKING:
    from bpy.types import Context, Scene


def request(properties: Any, context: Context) -> PeopleRequest:
    """From `properties.PeopleSettings` and `PhotoInput`. Raises MaquetteError."""
    wanted = PeopleRequest(
        **shared(properties, context),
        det_confidence_thresh=properties.det_confidence_thresh,
        det_iou_thresh=properties.det_iou_thresh,
        det_batch_size=properties.det_batch_size,
        hmr_batch_size=properties.hmr_batch_size,
        refine=properties.refine,
        track=properties.track,
        smoothing=properties.smoothing,
        plant=properties.plant,
        detector=properties.detector,
        boxes=properties.boxes,
        bodies=properties.bodies,
        rig=properties.rig,
        correctives=properties.correctives,
        start_frame=properties.start_frame,
        skeleton_image=properties.skeleton_image,
        masks=mask_build(properties, grow=properties.mask_grow),
    )
    check_target(wanted)
    return wanted


def build(request: PeopleRequest, inferred: Inferred, scene: Scene) -> str:
    """The bodies before the matched camera, and the masks of the first frame. Raises NothingFound."""
    people, name = inferred.result, request.source.name
    tracks = people.tracks()
    if not tracks:
        where = "clip" if request.source.is_clip else "photo"
        raise NothingFound(
            f"No person was found in the {where}.", "Choose another one, lower the confidence, or give the boxes."
        )
    _, camera = matched(request, inferred, scene)
    body.build_people(
        people,
        body.BodyOptions(
            request.bodies,
            request.rig,
            correctives=request.correctives,
            start_frame=request.start_frame,
            world_from_camera=axes.world_from_camera_of(camera),
            folder=request.folder,
        ),
        name=name,
        scene=scene,
    )
    made = [
        build_masks(request, inferred, people.cameras[0], camera, scene, people.body.licence),
        _skeletons(request, inferred),
    ]
    found = f"Recovered {len(tracks)} {'person' if len(tracks) == 1 else 'people'}"
    frames = f" over {len(people.frames)} frames" if len(people.frames) > 1 else ""
    return f"{found}{frames}{', made ' + ' and '.join(filter(None, made)) if any(made) else ''}"


def _skeletons(request: PeopleRequest, inferred: Inferred) -> str:
    """The picture of the skeletons, where it was asked for."""
    picture = inferred.maps.get("skeletons")
    if picture is None:
        return ""
    made = image.control_image(f"{request.source.name}.people.control", picture)
    roles.mark(made, "people.control", inferred.photo.digest, licence_of(request, "people"))
    return f"the skeletons {made.name}"
