# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to one photo: everything that was built of it, wherever the artist has put it since."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import bpy
from bpy.types import Image, Object

from . import roles

#: Kinds of datablock that are marked with their photo and its lens.
_MARKED = (bpy.types.Object, bpy.types.Image, bpy.types.Mesh)


def mark(made: Iterable[Any], digest: str, lens: str, photo_image: Image | None) -> None:
    """Write on what a job has made which photo it is of, and where the focal length came from ("" for nowhere).

    photo_image : the image whose matched camera it belongs to, where there is one.
    """
    for block in made:
        if not isinstance(block, _MARKED):
            continue
        if roles.PHOTO not in block and roles.DIGEST not in block:
            block[roles.PHOTO] = digest
        if lens and roles.LENS not in block:
            block[roles.LENS] = lens
        others = photo_image is None or block == photo_image or isinstance(block, bpy.types.Mesh)
        if not others and roles.OF_IMAGE not in block:  # of several photos each has been marked with its own
            block[roles.OF_IMAGE] = photo_image


def camera_of(photo_image: Image) -> Object | None:
    """The matched camera of this photo, if it has one."""
    for obj in bpy.data.objects:
        if obj.type == "CAMERA" and obj.get(roles.IMAGE) == photo_image:
            return obj
    return None


def matched_camera_of(obj: Object) -> Object | None:
    """The matched camera that an object belongs to: itself, one above it, or that of its photo."""
    for own in (obj, *_above(obj)):
        if own.type == "CAMERA" and roles.IMAGE in own:
            return own
        photo: Any = own
        photo = photo.get(roles.OF_IMAGE)
        if photo is not None:
            return camera_of(photo)
    return None


def objects_of(camera_object: Object) -> list[Object]:
    """The objects of a matched camera's photo that hang on nothing else of it, without the camera itself and what
    hangs on it: to move these is to move all that stands beside the camera."""
    photo: Any = camera_object
    photo = photo.get(roles.IMAGE)
    found = {obj for obj in bpy.data.objects if photo is not None and _is_of(obj, photo)} - {camera_object}
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


def metres_of(camera_object: Object) -> list[Image]:
    """The images of metres of a matched camera's photo, also those that were made before it had a camera."""
    photo: Any = camera_object
    photo = photo.get(roles.IMAGE)
    if photo is None:
        return []
    digest = photo.get(roles.DIGEST) or photo.get(roles.PHOTO)
    return [
        picture
        for picture in bpy.data.images
        if roles.METRES in picture
        and (picture.get(roles.OF_IMAGE) == photo or (digest and picture.get(roles.PHOTO) == digest))
    ]


def made_of_photos(role: str) -> dict[str, list[Any]]:
    """The images, with pixels, that the tasks have marked as this, by the digest of their photo."""
    made: dict[str, list[Any]] = {}
    for picture in bpy.data.images:
        if picture.get(roles.ROLE) == role and picture.size[0]:
            made.setdefault(str(picture.get(roles.PHOTO, "")), []).append(picture)
    return made


def _is_of(obj: Any, photo: Image) -> bool:
    return obj.get(roles.OF_IMAGE) == photo and roles.IMAGE not in obj and obj.library is None


def _above(obj: Object) -> Iterable[Object]:
    parent = obj.parent
    while parent is not None:
        yield parent
        parent = parent.parent
