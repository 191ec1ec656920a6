# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks of hands and people, put where the artist wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..builders import image, mask_data, paint
from ..requests import MaskBuild
from .common import mesh_object

if TYPE_CHECKING:
    from bpy.types import Object, Scene
    from numpy.typing import NDArray

    from ...inference import Camera
    from ..requests import HandsRequest, PeopleRequest


def mask_build(properties: Any) -> MaskBuild:
    """From `properties.MaskSettings` and the `masks` of the task."""
    return MaskBuild(properties.masks, properties.mask_mapping, tuple(properties.mask_colour))


def build_masks(
    request: HandsRequest | PeopleRequest,
    masks: dict[str, NDArray],
    camera: Camera,
    camera_object: Object | None,
    scene: Scene,
) -> str:
    """Build name -> mask (H, W) 0..1 as `request.masks` says; returns what was made, for the closing line.

    `camera_object` may be None where `masks_need_camera` says so.
    """
    wanted = request.masks
    if wanted.output == "NONE" or not masks:
        return ""
    if wanted.output == "STENCIL":
        union = image.mask_image(f"{request.source.name}.mask", np.max(np.stack(list(masks.values())), axis=0))
        paint.set_stencil(scene, union)
        return f"the stencil {union.name}"
    if wanted.output == "IMAGE":
        return _listed("image", [image.mask_image(name, mask).name for name, mask in masks.items()])
    obj = mesh_object(request, "mask")
    for name, mask in masks.items():
        if wanted.output == "PAINT_SLOT":
            layer = image.mask_image(name, mask)
            projected = wanted.mapping == "CAMERA"
            paint.add_mask_layer(
                obj,
                layer,
                wanted.colour,
                camera=camera if projected else None,
                camera_object=camera_object if projected else None,
            )
        elif wanted.output == "ATTRIBUTE":
            mask_data.mask_attribute(obj, mask, camera, _camera(camera_object), name)
        else:
            mask_data.mask_vertex_group(obj, mask, camera, _camera(camera_object), name)
    kind = {"PAINT_SLOT": "paint layer", "ATTRIBUTE": "attribute", "VERTEX_GROUP": "vertex group"}[wanted.output]
    return f"{_listed(kind, list(masks))} on {obj.name}"


def masks_need_camera(request: HandsRequest | PeopleRequest) -> bool:
    """Whether the masks are projected from the photo's camera."""
    wanted = request.masks
    return wanted.output in {"ATTRIBUTE", "VERTEX_GROUP"} or (
        wanted.output == "PAINT_SLOT" and wanted.mapping == "CAMERA"
    )


def _camera(camera_object: Object | None) -> Object:
    assert camera_object is not None
    return camera_object


def _listed(kind: str, names: list[str]) -> str:
    return f"the {kind} {names[0]}" if len(names) == 1 else f"{len(names)} {kind}s"
