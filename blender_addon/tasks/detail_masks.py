# SPDX-License-Identifier: GPL-3.0-or-later
"""From the mask that an artist names to what the worker draws it from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from ...inference.errors import BadInput
from ..builders import paint_slots
from ..builders.image import image_array
from ..requests.detail_masks import ImageMask, Mask
from .detail_source import active_object, check_single, image_of_file

if TYPE_CHECKING:
    from bpy.types import Image

    from ..requests.detail_masks import Drawn


def mask_of(properties: Any, context: Any, picture: Image | None) -> Mask:
    """The mask that `properties` name. picture : the image that is repainted. Raises BadInput."""
    return Mask(_drawn(properties, context, picture), properties.mask_invert, properties.mask_grow)


def _drawn(properties: Any, context: Any, picture: Image | None) -> Drawn:
    if properties.mask == "PAINT_SLOT":
        image = paint_slots.active_slot(active_object(context), context.scene).image
        if image == picture:
            raise BadInput(
                f"The active paint slot {image.name} is both the picture and its mask.",
                "Choose the mask's image, or make another slot the active one.",
            )
        return _image_mask(image, properties.mask_channel)
    return _named_image(properties)


def _named_image(properties: Any) -> ImageMask:
    name = properties.mask_name
    if not name:
        raise BadInput("No mask is chosen.", "Choose an image in which the part to repaint is white.")
    image = bpy.data.images.get(name)
    if image is not None:
        return _image_mask(image, properties.mask_channel)
    path = Path(bpy.path.abspath(name))
    if not path.is_file():
        raise BadInput(f"There is no image called {name!r}, and no such file.", "Choose another mask.")
    with image_of_file(str(path)) as (image, _):
        return _image_mask(image, properties.mask_channel)


def _image_mask(image: Image, channel: str) -> ImageMask:
    check_single(image)
    if not image.size[0]:
        raise BadInput(f"The image {image.name} has no pixels.", "Choose another mask.")
    return ImageMask(image_array(image), channel)
