# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks of hands and people, put where the artist wants them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ...builders.images import image
from ...builders.masks import grease_pencil, mask_data
from ...builders.materials import paint
from ...builders.surfaces import projection
from ...core import roles
from ...work import MaskBuild
from .common import mesh_object

if TYPE_CHECKING:
    from bpy.types import Image, Object, Scene
    from numpy.typing import NDArray

    from ....inference import Camera
    from ...work import HandsRequest, Inferred, PeopleRequest


def mask_build(properties: Any, **own: Any) -> MaskBuild:
    """From `properties.MaskSettings` and the `masks` of the task; `own` : what only this task has."""
    return MaskBuild(
        properties.masks,
        properties.mask_mapping,
        tuple(properties.mask_colour),
        feather=properties.mask_feather,
        edge=properties.mask_edge,
        visible_only=properties.visible_only,
        **own,
    )


def check_target(request: HandsRequest | PeopleRequest) -> None:
    """Raise BadInput now, rather than after the work, where the active object cannot take the masks."""
    wanted = request.masks
    if not wanted.needs_object:
        return
    obj = mesh_object(request, "mask")
    mesh = projection.mesh_of(obj)
    if wanted.output in {"PAINT_SLOT", "STENCIL"}:
        paint.check_mapping(obj, mesh, projected=wanted.mapping == "CAMERA")


def build_masks(
    request: HandsRequest | PeopleRequest,
    inferred: Inferred,
    camera: Camera,
    camera_object: Object | None,
    scene: Scene,
    licence: str,
) -> str:
    """Build the worker's masks as `request.masks` says; returns what was made, for the closing line.

    `camera_object` may be None where the masks need no camera. licence : of what the model makes.
    """
    wanted, name = request.masks, request.source.name
    masks = {f"{name}.{suffix}": mask for suffix, mask in inferred.masks.items()}
    if wanted.output == "NONE" or not masks:
        return ""
    if wanted.output == "GREASE_PENCIL":
        outline = _outlines(request, inferred, camera, camera_object, scene)
        return f"the outlines {roles.mark(outline, 'mask.outline', licence=licence).name}"
    if wanted.output == "STENCIL":
        union = _image(f"{name}.mask", np.max(np.stack(list(masks.values())), axis=0), inferred, licence)
        return _stencil(request, union, camera, camera_object, scene)
    if wanted.output == "IMAGE":
        return _listed("image", [_image(full, mask, inferred, licence).name for full, mask in masks.items()])
    obj = mesh_object(request, "mask")
    for full, mask in masks.items():
        if wanted.output == "PAINT_SLOT":
            where = _from(camera, camera_object) if wanted.mapping == "CAMERA" else {}
            paint.add_mask_layer(obj, _image(full, mask, inferred, licence), wanted.colour, **where)
        elif wanted.output == "ATTRIBUTE":
            mask_data.mask_attribute(
                obj, mask, **_from(camera, camera_object), name=full, visible_only=wanted.visible_only
            )
        else:
            mask_data.mask_vertex_group(
                obj, mask, **_from(camera, camera_object), name=full, visible_only=wanted.visible_only
            )
    kind = {"PAINT_SLOT": "paint layer", "ATTRIBUTE": "attribute", "VERTEX_GROUP": "vertex group"}[wanted.output]
    return f"{_listed(kind, list(masks))} on {obj.name}"


def _image(name: str, mask: NDArray, inferred: Inferred, licence: str) -> Image:
    return roles.mark(image.mask_image(name, mask), "mask", inferred.photo.digest, licence)


def _stencil(
    request: HandsRequest | PeopleRequest,
    union: Image,
    camera: Camera,
    camera_object: Object | None,
    scene: Scene,
) -> str:
    """All masks in one, as the scene's stencil; on the active mesh object, where there is one, through a UV map."""
    projected = request.masks.mapping == "CAMERA"
    obj = bpy.data.objects.get(request.target.object)
    if projected or (obj is not None and isinstance(obj.data, bpy.types.Mesh)):
        obj = mesh_object(request, "stencil")
        paint.set_stencil(scene, union, obj, **(_from(camera, camera_object) if projected else {}))
        return f"the stencil {union.name} on {obj.name}"
    paint.set_stencil(scene, union)
    return f"the stencil {union.name}"


def _outlines(
    request: HandsRequest | PeopleRequest,
    inferred: Inferred,
    camera: Camera,
    camera_object: Object | None,
    scene: Scene,
) -> Object:
    first = min(scene.frame_start, scene.frame_current)
    layers = {name.removesuffix(".mask"): {first: traced} for name, traced in inferred.outlines.items()}
    return grease_pencil.outlines(
        layers,
        camera,
        name=f"{request.source.name}.outline",
        colour=request.masks.colour,
        camera_object=camera_object,
        parent=scene.collection,
    )


def _from(camera: Camera, camera_object: Object | None) -> dict[str, Any]:
    assert camera_object is not None
    return {"camera": camera, "camera_object": camera_object}


def _listed(kind: str, names: list[str]) -> str:
    return f"the {kind} {names[0]}" if len(names) == 1 else f"{len(names)} {kind}s"
