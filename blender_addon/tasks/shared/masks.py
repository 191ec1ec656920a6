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
from ...core.transaction import note
from .target import mesh_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bpy.types import Image, Object
    from numpy.typing import NDArray

    from ....inference import Camera
    from ...core.exchange import TracedMask
    from ...work.item import JobResult
    from ...work.masks import MaskWork
    from .finish import Place


def check_target(item: MaskWork) -> None:
    """Raise BadInput now, rather than after the work, where the active object cannot take the masks."""
    if not item.needs_object:
        return
    obj = mesh_object(item, "mask")
    mesh = projection.mesh_of(obj)
    if item.build.masks in {"PAINT_SLOT", "STENCIL"}:
        paint.check_mapping(obj, mesh, projected=item.projected)


def build_masks(item: MaskWork, found: JobResult, place: Place, licence: str) -> str:
    """Build the worker's masks as the item asks for; returns what was made, for the closing line.

    licence : of what the model makes.
    """
    build, output = item.build, item.build.masks
    masks = {f"{item.source.name}.{suffix}": mask for suffix, mask in found.masks.items()}
    if output == "NONE" or not masks:
        return ""
    if output == "GREASE_PENCIL":
        first = min(place.scene.frame_start, place.scene.frame_current)
        frames = {name: {first: traced} for name, traced in found.outlines.items()}
        return f"the outlines {draw_outlines(item, frames, found.camera, place, licence).name}"
    if output == "STENCIL":
        union = _image(f"{item.source.name}.mask", np.max(np.stack(list(masks.values())), axis=0), found, licence)
        return _stencil(item, union, found, place)
    if output == "IMAGE":
        return _listed("image", [_image(name, mask, found, licence).name for name, mask in masks.items()])
    if item.target.object and item.target.object not in bpy.data.objects:  # what else was made stays
        note(f"The object {item.target.object} is gone, so the masks were put on nothing")
        return ""
    obj = mesh_object(item, "mask")
    seen_from = {"camera": found.camera, "camera_object": place.camera}
    for name, mask in masks.items():
        if output == "PAINT_SLOT":
            where: dict[str, Any] = seen_from if item.projected else {}
            paint.add_mask_layer(obj, _image(name, mask, found, licence), build.mask_colour, **where)
        else:
            add: Any = mask_data.mask_attribute if output == "ATTRIBUTE" else mask_data.mask_vertex_group
            add(obj, mask, **seen_from, name=name, visible_only=build.visible_only)
    kind = {"PAINT_SLOT": "paint layer", "ATTRIBUTE": "attribute", "VERTEX_GROUP": "vertex group"}[output]
    return f"{_listed(kind, list(masks))} on {obj.name}"


def draw_outlines(
    item: MaskWork,
    frames: Mapping[str, Mapping[int, TracedMask]],
    camera: Camera | None,
    place: Place,
    licence: str,
) -> Object:
    """A Grease Pencil object with the outlines of masks. frames : mask's name -> frame of the scene -> outlines."""
    assert camera is not None
    outline = grease_pencil.outlines(
        {name.removesuffix(".mask"): traced for name, traced in frames.items()},
        camera,
        name=f"{item.source.name}.outline",
        colour=item.build.mask_colour,
        camera_object=place.camera,
        parent=place.scene.collection,
    )
    return roles.mark(outline, "mask.outline", licence=licence)


def _image(name: str, mask: NDArray, found: JobResult, licence: str) -> Image:
    return roles.mark(image.mask_image(name, mask), "mask", found.photo.digest, licence)


def _stencil(item: MaskWork, union: Image, found: JobResult, place: Place) -> str:
    """All masks in one, as the scene's stencil; on the active mesh object, where there is one, through a UV map."""
    obj = bpy.data.objects.get(item.target.object)
    if item.projected or (obj is not None and isinstance(obj.data, bpy.types.Mesh)):
        obj = mesh_object(item, "stencil")
        where: Any = {"camera": found.camera, "camera_object": place.camera} if item.projected else {}
        paint.set_stencil(place.scene, union, obj, **where)
        return f"the stencil {union.name} on {obj.name}"
    paint.set_stencil(place.scene, union)
    return f"the stencil {union.name}"


def _listed(kind: str, names: list[str]) -> str:
    return f"the {kind} {names[0]}" if len(names) == 1 else f"{len(names)} {kind}s"
