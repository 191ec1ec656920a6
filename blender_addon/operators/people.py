# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of a photo or clip as rigged, animated bodies."""

from typing import TYPE_CHECKING

import bpy

from ...inference.errors import NothingFound
from ..builders import axes, body
from ..properties import PeopleSettings, PhotoInput
from ..requests import Inferred, PeopleRequest
from .masks import build_masks
from .task import TaskOperator, mask_build, matched, require_object, shared

if TYPE_CHECKING:
    from bpy.types import Context, Scene


class MAQUETTE_OT_recover_people(TaskOperator, PhotoInput, PeopleSettings, bpy.types.Operator):
    """Recover the people of the photo or clip as posed bodies"""

    bl_idname = "maquette.recover_people"
    bl_label = "Recover People"

    def request(self, context: "Context") -> PeopleRequest:
        request = PeopleRequest(
            **shared(self, context),
            det_confidence_thresh=self.det_confidence_thresh,
            det_iou_thresh=self.det_iou_thresh,
            det_batch_size=self.det_batch_size,
            hmr_batch_size=self.hmr_batch_size,
            refine=self.refine,
            track=self.track,
            boxes=self.boxes,
            bodies=self.bodies,
            start_frame=self.start_frame,
            masks=mask_build(self),
        )
        if request.masks.needs_object:
            require_object(request, "mask")
        return request

    @staticmethod
    def build(request: PeopleRequest, inferred: Inferred, scene: "Scene") -> str:
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
            name=name,
            world_from_camera=axes.world_from_camera_of(camera),
            mode=request.bodies,
            start_frame=request.start_frame,
            scene=scene,
            folder=request.folder,
        )
        masks = {
            f"{name}.person.{number}.mask": person.mask
            for number, person in enumerate(people.frames[0], 1)
            if person.mask is not None
        }
        made = build_masks(request, masks, people.cameras[0], camera, scene)
        found = f"Recovered {len(tracks)} {'person' if len(tracks) == 1 else 'people'}"
        frames = f" over {len(people.frames)} frames" if len(people.frames) > 1 else ""
        return f"{found}{frames}{', made ' + made if made else ''}"
