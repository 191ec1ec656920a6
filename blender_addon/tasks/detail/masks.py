# SPDX-License-Identifier: GPL-3.0-or-later
"""From the mask that an artist names to what the worker draws it from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import bpy
from bpy.types import Image, Object, Scene

from ....inference.errors import BadInput
from ....inference.photo.decode import upright
from ...builders.images.image import image_array
from ...builders.masks import splines
from ...builders.materials import paint_slots
from ...builders.surfaces import projection, surface_values
from ...core import roles
from ...core.exchange import TexturedSurface
from ...core.photo_links import made_of_photos
from ...work.detail.masks import FoundMask, ImageMask, Mask, MaskSource, SurfaceMask, TextureMask
from ...work.detail.splines import SplineMask
from .source import check_single, file_orientation, image_of_file

#: Words in the names of masks that tell whose they are.
_WORDS = {"HANDS": ".hand", "PEOPLE": ".person."}


@dataclass(frozen=True)
class MaskContext:
    """What masks are gathered from. picture : the image that is repainted, or None.

    surface : called for the active object as the picture shows it; raises BadInput where it does not.
    on_surface : the picture is a texture of the object, or a view of it, rather than a photo or render.
    """

    scene: Scene
    obj: Object | None
    picture: Image | None
    surface: Any
    on_surface: bool


def mask_of(properties: Any, context: MaskContext) -> Mask:
    """The mask that `properties` name. Raises BadInput."""
    gathered = _GATHER[properties.mask](properties, context)
    if isinstance(gathered, ImageMask):
        gathered = replace(gathered, on_surface=context.on_surface)
    return Mask(gathered, properties.mask_invert, properties.mask_grow)


def _image(properties: Any, _context: MaskContext) -> MaskSource:
    name = properties.mask_name
    if not name:
        raise BadInput("No mask is chosen.", "Choose an image in which the part to repaint is white.")
    return image_mask(name, properties.mask_channel)


def image_mask(name: str, channel: str) -> ImageMask:
    """The mask that an image holds, by its name or path. Raises BadInput."""
    image = bpy.data.images.get(name)
    if image is not None:
        return _of_image(image, channel)
    path = Path(bpy.path.abspath(name))
    if not path.is_file():
        raise BadInput(f"There is no image called {name!r}, and no such file.", "Choose another image.")
    turned = file_orientation(path)
    with image_of_file(str(path)) as (image, _):
        mask = _of_image(image, channel)
    return replace(mask, pixels=upright(mask.pixels, turned), upright=True) if turned > 1 else mask


def _paint_slot(properties: Any, context: MaskContext) -> MaskSource:
    slot = paint_slots.active_slot(context.obj, context.scene)
    if slot.image == context.picture:
        raise BadInput(
            f"The active paint slot {slot.image.name} is both the picture and its mask.",
            "Choose the mask's image, or make another slot the active one.",
        )
    mask = _of_image(slot.image, properties.mask_channel)
    if not context.on_surface or slot.node is None:
        return mask
    return _on_surface(mask, context, paint_slots.uv_name(slot))


def _stencil(properties: Any, context: MaskContext) -> MaskSource:
    paint: Any = context.scene.tool_settings.image_paint
    if paint.stencil_image is None:
        raise BadInput("Texture painting has no stencil.", "Make one of a mask, or choose another kind of mask.")
    mask = _of_image(paint.stencil_image, properties.mask_channel, inverted=not paint.invert_stencil)
    if not context.on_surface or context.obj is None:
        return mask
    layer: Any = projection.mesh_of(context.obj).uv_layer_stencil
    return _on_surface(mask, context, layer.name if layer is not None else "")


def _on_surface(mask: ImageMask, context: MaskContext, uv_name: str) -> MaskSource:
    """The mask through its UV map; as it is where it lies through that of the picture, which it then covers."""
    surface: TexturedSurface = context.surface()
    uvs = surface_values.triangle_uvs(_object(context), uv_name)
    if surface.camera is None and (uvs == surface.uvs).all():
        return mask
    return TextureMask(mask, surface, uvs)


def _values(read: Callable[[Any, str], Any], properties: Any, context: MaskContext) -> MaskSource:
    """The vertex group or attribute of the object that is named."""
    return SurfaceMask(context.surface(), read(_object(context), properties.mask_name))


def _found(properties: Any, _context: MaskContext) -> MaskSource:
    """Masks that the other tasks have made; of which photo, is written on them."""
    word = _WORDS.get(properties.mask, ".face.")
    named = {
        digest: [image_array(image)[..., 0].copy() for image in images if word in image.name]
        for digest, images in made_of_photos("mask").items()
    }
    return FoundMask(properties.mask, named)


def _splines(properties: Any, context: MaskContext) -> MaskSource:
    masks = bpy.data.masks
    name = properties.mask_name or (masks[0].name if len(masks) == 1 else "")
    if not name:
        raise BadInput("No mask of the Mask editor is chosen.", "Choose the mask that is drawn on the picture.")
    return SplineMask(splines.mask_layers(name))


def _of_image(image: Image, channel: str, *, inverted: bool = False) -> ImageMask:
    check_single(image)
    if not image.size[0]:
        raise BadInput(f"The image {image.name} has no pixels.", "Choose another mask.")
    photo = str(image.get(roles.PHOTO, "")) if image.get(roles.ROLE) == "mask" else ""
    return ImageMask(image_array(image), channel, inverted, photo)


def _object(context: MaskContext) -> Object:
    if context.obj is None:
        raise BadInput("No object is active to take the mask from.", "Select the mesh object that has it.")
    return context.obj


_GATHER = {
    "IMAGE": _image,
    "PAINT_SLOT": _paint_slot,
    "STENCIL": _stencil,
    "VERTEX_GROUP": partial(_values, surface_values.group_values),
    "ATTRIBUTE": partial(_values, surface_values.attribute_values),
    "HANDS": _found,
    "PEOPLE": _found,
    "FACES": _found,
    "SPLINES": _splines,
}
