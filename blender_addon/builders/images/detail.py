# SPDX-License-Identifier: GPL-3.0-or-later
"""Detailed pictures as image datablocks that know how they were made, and what they looked like before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import bpy
from bpy.types import Image

from ....inference.errors import BadInput
from ...core import compat
from ...core.exchange import clean_name
from ...core.picture_settings import KEY, parsed, settings_in
from ..files import paths
from .image import pack_file

#: Custom property: the image as it was before.
BEFORE = "maquette_before"


def result_image(
    name: str, file: Path, folder: str | Path | None, *, settings: Mapping[str, Any], before: Image | None
) -> Image:
    """The picture that a worker has written to `file`, as an image with what its settings were.

    The file is moved to `folder`, by default `maquette` beside the .blend, or packed where that has never been saved;
    no file is overwritten. Colour space and alpha are those of `before`. Raises BadInput where it cannot be written.
    """
    path, packed = paths.kept_file(name, file, folder)
    image = bpy.data.images.load(str(path))
    image.name = name
    if before is not None:
        _take_after(image, before)
        image[BEFORE] = before
    elif image.is_float:
        _as_light(image)
    image[KEY] = json.dumps(settings)
    image.use_fake_user = True  # a result is kept with the file, used or not
    if packed:
        pack_file(image, path, f"{clean_name(image.name)}{file.suffix}")
    return image


def settings_of(image: Image) -> dict[str, Any]:
    """How an image was detailed: by its custom property, its packed file, or its file. Raises BadInput."""
    if image.get(KEY):
        return parsed(image[KEY])
    if image.packed_file is not None:
        packed: Any = image.packed_file
        return settings_in(packed.data)
    if not image.filepath:
        return parsed(None)
    return settings_in_file(bpy.path.abspath(image.filepath, library=image.library))


def settings_in_file(path: str) -> dict[str, Any]:
    """How the picture of a file was detailed. Raises BadInput."""
    try:
        return settings_in(Path(path).read_bytes())
    except OSError as error:
        raise BadInput(f"The file {path} cannot be read.", "Choose another file.") from error


def _take_after(image: Any, before: Any) -> None:
    """Give the image what the other one's pixels mean: numbers stay numbers, and alpha is read as it was."""
    data = before.colorspace_settings.is_data
    if data or not image.is_float:
        image.colorspace_settings.name = before.colorspace_settings.name
    else:
        _as_light(image)
    if image.is_float:
        image.alpha_mode = "CHANNEL_PACKED" if before.alpha_mode == "CHANNEL_PACKED" else "PREMUL"
    else:
        # PNG holds colours that are not multiplied by alpha, as Blender holds bytes whatever their file did.
        image.alpha_mode = "STRAIGHT" if before.alpha_mode == "PREMUL" else before.alpha_mode


def _as_light(image: Any) -> None:
    """The file holds light as Blender does, so that nothing is converted when it is read."""
    space = compat.working_space()
    if space is not None and image.colorspace_settings.name != space:
        image.colorspace_settings.name = space
