# SPDX-License-Identifier: GPL-3.0-or-later
"""Which photo is chosen in a scene, as a panel may ask at every move of the mouse.

Nothing that needs numpy is imported for that: the worker may be importing it, and the two would wait for each other.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import bpy

from ...core import roles

if TYPE_CHECKING:
    from bpy.types import Image, Object


def chosen_name(settings: Any) -> str:
    """The chosen photo as an operator names it: its image, or the path of its file; "" for none."""
    if settings.source == "FILE":
        return settings.filepath
    return settings.image.name if settings.image else ""


def matched_camera(settings: Any) -> Object | None:
    """The matched camera of the chosen photo, if it has one. Looks only at names and marks: see `is_clip`."""
    for obj in bpy.data.objects:
        image = obj.get(roles.IMAGE) if obj.type == "CAMERA" else None
        if isinstance(image, bpy.types.Image) and _is_chosen(image, settings):
            return obj
    return None


def _is_chosen(image: Image, settings: Any) -> bool:
    if settings.source == "IMAGE" and settings.image == image:
        return True
    chosen = settings.image if settings.source == "IMAGE" else None
    path = chosen.filepath if chosen else settings.filepath
    if not path:
        return False
    if image.filepath:
        return bpy.path.abspath(image.filepath) == bpy.path.abspath(path)
    return image.packed_file is not None and image.name == Path(path).stem  # a photo that EXIF data turn


def is_clip(settings: Any) -> bool:
    """Whether the chosen photo is likely a movie, an image sequence, or the pattern of one.

    Nothing that needs numpy is imported while a panel is drawn: the worker may be importing it, and the two would wait
    for each other.
    """
    if settings.source == "IMAGE":
        return settings.image is not None and settings.image.source in {"MOVIE", "SEQUENCE"}
    file, known = Path(settings.filepath), cast("Any", bpy.path)
    suffix = file.suffix.lower()
    return suffix in known.extensions_movie or suffix in {".gif", ".webp"} or "%" in file.name or "#" in file.name


def chosen_path(settings: Any) -> str:
    """The whole path of the chosen photo's file, "" where it has none."""
    image = settings.image if settings.source == "IMAGE" else None
    path = image.filepath if image is not None else settings.filepath if settings.source == "FILE" else ""
    return bpy.path.abspath(path, library=image.library if image is not None else None)


def has_layers(settings: Any) -> bool:
    """Whether the chosen photo is a file that may have layers."""
    return chosen_path(settings).lower().endswith(".exr")
