# SPDX-License-Identifier: GPL-3.0-or-later
"""From what an artist wants repainted to its exact pixels."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.types import Image

from ....inference.errors import BadInput
from ....inference.photo import layers_of
from ....inference.photo.decode import orientation_of, upright
from ....inference.photo.exr import read_colours
from ....installer.packages import manager
from ...builders.images.image import image_array, known_photo
from ...builders.materials import paint_slots
from ...work.detail.canvas import Picture
from ...work.source import Focal, Source
from ..shared.gather import focal_of, source_of
from . import projection

#: Files that Blender does not open.
_UNOPENED = (".heic", ".heif", ".hif", ".avif")
_CHOOSE = "Choose another image."


def picture_of(properties: Any, context: Any) -> tuple[Source, Picture, Image | None]:
    """The picture that `properties.source` names, as the tasks know it and exactly as Blender holds it, and its image
    datablock where it has one. Raises BadInput."""
    if properties.source == "RENDER":
        return _render(properties, context)
    if properties.source == "VIEW":
        return _view(properties, context)
    if properties.source == "PAINT_SLOT":
        image = paint_slots.active_slot(active_object(context), context.scene).image
        check_single(image)
        source = Source(stem_of(image), pixels=image_array(image), linear=is_linear(image), focal=focal_of(properties))
        return source, picture_from(image, source.pixels), image
    source = source_of(properties, context.scene)
    image = bpy.data.images.get(properties.image) if properties.image else None
    if source.is_clip:
        return source, Picture(None), image
    turned = file_orientation(Path(source.path)) if source.path else 1
    if _is_other_in_blender(source):
        return source, _as_read(source), None
    if image is not None:
        return source, replace(picture_from(image, source.pixels), orientation=turned, upright=turned == 1), image
    with image_of_file(source.path) as (image, kept):
        picture = picture_from(image)
        if turned == 1:
            return source, picture, image if kept else None
    pixels = upright(picture.pixels, turned)  # type: ignore[arg-type]
    picture = replace(picture, pixels=pixels, orientation=turned, as_shown=False)
    return source, picture, known_photo(source.photo(), source.origin)


def _is_other_in_blender(source: Source) -> bool:
    """Whether Blender does not open the file, or not the layer that is asked for."""
    suffix = Path(source.path).suffix.lower()
    return suffix in _UNOPENED or (suffix == ".exr" and (source.layer is not None or len(layers_of(source.path)) > 1))


def _as_read(source: Source) -> Picture:
    """A picture as the tasks read it."""
    if not source.path.lower().endswith(".exr"):
        return Picture(None, as_shown=False)
    colours = read_colours(Path(source.path), source.layer)
    pixels = colours if colours.shape[2] == 4 else np.dstack([colours, np.ones_like(colours[..., :1])])
    return Picture(pixels, eight_bits=False, linear=True, premultiplied=True, as_shown=False)


def picture_from(image: Image, pixels: Any = None) -> Picture:
    """The pixels of an image datablock, with what they mean. Raises BadInput where it has none."""
    width, height = image.size
    if not width or not height:
        raise BadInput(f"The image {image.name} has no pixels.", _CHOOSE)
    pixels = image_array(image) if pixels is None else pixels
    return Picture(
        pixels,
        eight_bits=not image.is_float,
        linear=is_linear(image),
        premultiplied=image.is_float and image.alpha_mode not in {"NONE", "CHANNEL_PACKED"},
    )


def file_orientation(path: Path) -> int:
    """How a picture file is to be turned (EXIF, 1..8); Blender shows all of them as they are stored."""
    manager.activate()
    return orientation_of(path)


def is_linear(image: Image) -> bool:
    """Whether its pixels are light, rather than colours for the eye or plain numbers: Blender holds floats so."""
    space: Any = image.colorspace_settings
    return image.is_float and not space.is_data


def check_single(image: Image) -> None:
    """Raise BadInput for an image of several pictures."""
    if image.source == "TILED":
        raise BadInput(f"The image {image.name} is made of UDIM tiles.", "Choose an image of one picture.")


def stem_of(image: Image) -> str:
    """The name of an image without its file's ending."""
    return Path(image.name).stem or image.name


def active_object(context: Any) -> Any:
    layer: Any = context.view_layer
    return layer.objects.active if layer else None


@contextlib.contextmanager
def image_of_file(path: str) -> Iterator[tuple[Image, bool]]:
    """The datablock of a file, and whether it was there already; otherwise it goes again. Raises BadInput."""
    known = {image.session_uid for image in bpy.data.images}
    try:
        image = bpy.data.images.load(path, check_existing=True)
    except RuntimeError as error:
        raise BadInput(f"The file {path} cannot be opened as an image.", "Choose another file.") from error
    kept = image.session_uid in known
    try:
        if not image.size[0]:
            raise BadInput(f"The file {path} cannot be opened as an image.", "Choose another file.")
        yield image, kept
    finally:
        if not kept:
            bpy.data.images.remove(image)


def _view(properties: Any, context: Any) -> tuple[Source, Picture, Image | None]:
    """The active object's texture as the camera sees it: drawn on the worker, from what is gathered here."""
    obj, scene = active_object(context), context.scene
    slot = paint_slots.active_slot(obj, scene)
    check_single(slot.image)
    photo = bpy.data.images.get(properties.image) if properties.image else None
    camera_object = projection.camera_for(properties, scene, photo)
    size = projection.view_size(camera_object, scene)
    surface, camera = projection.seen_surface(obj, scene, camera_object, size, slot)
    picture = replace(picture_from(slot.image), view=surface)
    focal = Focal(fx=camera.fx, fy=camera.fy)
    return (
        Source(stem_of(slot.image), pixels=picture.pixels, linear=is_linear(slot.image), focal=focal),
        picture,
        slot.image,
    )


def _render(properties: Any, context: Any) -> tuple[Source, Picture, Image | None]:
    from .render_result import render_pixels

    pixels = render_pixels(context.scene)
    source = Source("render", pixels=pixels, linear=True, focal=focal_of(properties))
    return source, Picture(pixels, eight_bits=False, linear=True, premultiplied=True), None
