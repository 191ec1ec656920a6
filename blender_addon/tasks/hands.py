# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands: depth image, mask and meshes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...inference.errors import NothingFound
from ..builders import hands, image
from ..requests import HandsRequest, Inferred
from .common import matched, mesh_object, shared
from .masks import build_masks, mask_build, masks_need_camera

if TYPE_CHECKING:
    from bpy.types import Context, Scene


def request(properties: Any, context: Context) -> HandsRequest:
    """From `properties.HandsSettings` and `PhotoInput`. Raises MaquetteError."""
    wanted = HandsRequest(
        **shared(properties, context),
        mask_bbox_padding=properties.mask_bbox_padding,
        mask_type=properties.mask_type,
        mask_expand=properties.mask_expand,
        rand_seed=properties.rand_seed,
        resolution=properties.resolution,
        boxes=properties.boxes,
        masks=mask_build(properties),
        build_meshes=properties.build_meshes,
    )
    if wanted.masks.needs_object:
        mesh_object(wanted, "mask")
    return wanted


def build(request: HandsRequest, inferred: Inferred, scene: Scene) -> str:
    """The depth image, the meshes and the mask. Raises NothingFound where there is no hand."""
    maps, name = inferred.result, request.source.name
    if not maps.hands:
        raise NothingFound("No hand was found in the photo.", "Choose another photo, or give the hands' boxes.")
    depth = image.float_image(f"{name}.hands.depth", maps.depth, request.folder)
    made = [f"the image {depth.name}"]
    camera = matched(request, inferred, scene)[1] if request.build_meshes or masks_need_camera(request) else None
    if request.build_meshes:
        hands.hand_meshes(maps, name=name, camera_object=camera, parent=scene.collection)
        made.append("a mesh of each")
    mask = build_masks(request, {f"{name}.hands.mask": maps.mask}, maps.camera, camera, scene)
    count = len(maps.hands)
    return f"Found {count} hand{'s' * (count > 1)}: made {', '.join([*made, *filter(None, [mask])])}"
