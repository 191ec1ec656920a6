# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to one photo: everything that was built of it, wherever the artist has put it since."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import bpy

from . import roles

if TYPE_CHECKING:
    from bpy.types import Image, Object

#: Kinds of datablock that are marked with their photo and its lens.
_MARKED = (bpy.types.Object, bpy.types.Image, bpy.types.Mesh)


def mark(made: Iterable[Any], digest: str, lens: str, photo_image: Image | None) -> None:
    """Write on what a job has made which photo it is of, and where the focal length came from ("" for nowhere)."""
    for block in made:
        if not isinstance(block, _MARKED) or block == photo_image:
            continue
        if roles.PHOTO not in block:
            block[roles.PHOTO] = digest
        if lens and roles.LENS not in block:
            block[roles.LENS] = lens
        if photo_image is not None and isinstance(block, bpy.types.Object) and roles.IMAGE not in block:
            block[roles.IMAGE] = photo_image


def objects_of(camera_object: Object) -> list[Object]:
    """The objects of a matched camera's photo that hang on nothing else of it, without the camera itself and what
    hangs on it: to move these is to move all that stands beside the camera."""
    photo: Any = camera_object
    photo = photo.get(roles.IMAGE)
    found = [obj for obj in bpy.data.objects if obj != camera_object and photo is not None and _is_of(obj, photo)]
    own = {camera_object, *found}
    return [obj for obj in found if not any(above in own for above in _above(obj))]


def all_of(camera_object: Object) -> list[Object]:
    """Every object of a matched camera's photo: those, what hangs on them, and what hangs on the camera."""
    roots = {camera_object, *objects_of(camera_object)}
    return [
        obj
        for obj in bpy.data.objects
        if obj != camera_object and (obj in roots or any(above in roots for above in _above(obj)))
    ]


def _is_of(obj: Any, photo: Image) -> bool:
    return obj.type != "CAMERA" and obj.get(roles.IMAGE) == photo


def _above(obj: Object) -> Iterable[Object]:
    parent = obj.parent
    while parent is not None:
        yield parent
        parent = parent.parent
