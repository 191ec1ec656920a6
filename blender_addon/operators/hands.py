# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands of a photo: depth image, mask and meshes."""

from typing import TYPE_CHECKING

import bpy

from ...inference.errors import NothingFound
from ..builders import hands, image
from ..properties import HandsSettings, PhotoInput
from ..requests import HandsRequest, Inferred
from .masks import build_masks, masks_need_camera
from .task import TaskOperator, mask_build, matched, require_object, shared

if TYPE_CHECKING:
    from bpy.types import Context, Scene


class MAQUETTE_OT_refine_hands(TaskOperator, PhotoInput, HandsSettings, bpy.types.Operator):
    """Find the hands in the photo: depth, mask, and a mesh of each"""

    bl_idname = "maquette.refine_hands"
    bl_label = "Refine Hands"

    def request(self, context: "Context") -> HandsRequest:
        request = HandsRequest(
            **shared(self, context),
            mask_bbox_padding=self.mask_bbox_padding,
            mask_type=self.mask_type,
            mask_expand=self.mask_expand,
            rand_seed=self.rand_seed,
            resolution=self.resolution,
            boxes=self.boxes,
            masks=mask_build(self),
            build_meshes=self.build_meshes,
        )
        if request.masks.needs_object:
            require_object(request, "mask")
        return request

    @staticmethod
    def build(request: HandsRequest, inferred: Inferred, scene: "Scene") -> str:
        maps, name = inferred.result, request.source.name
        if not maps.hands:
            raise NothingFound("No hand was found in the photo.", "Choose another photo, or give the hands' boxes.")
        depth = image.float_image(f"{name}.hands.depth", maps.depth, request.folder)
        made = [f"the image {depth.name}"]
        camera = matched(request, inferred, scene)[1] if request.build_meshes or masks_need_camera(request) else None
        if request.build_meshes:
            hands.hand_meshes(maps, name=name, camera_object=camera)
            made.append("a mesh of each")
        mask = build_masks(request, {f"{name}.hands.mask": maps.mask}, maps.camera, camera, scene)
        count = len(maps.hands)
        return f"Found {count} hand{'s' * (count > 1)}: made {', '.join([*made, *filter(None, [mask])])}"
