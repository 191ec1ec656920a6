# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands: depth and mask images, and the hands' meshes in the matched camera's space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import bpy

from ...inference.errors import NothingFound
from . import axes, camera, image, materials, meshes, scene

if TYPE_CHECKING:
    from bpy.types import Collection, Image, Object

    from ...inference.results import HandMaps

_SKIN = (0.6, 0.36, 0.26)  # linear RGB


def hand_images(maps: HandMaps, *, name: str, folder: str | Path | None = None) -> tuple[Image, Image]:
    """(`<name>.hands.depth` float metres, 0 where there is no hand; `<name>.hands.mask` 0..1)."""
    return (
        image.float_image(f"{name}.hands.depth", maps.depth, folder),
        image.mask_image(f"{name}.hands.mask", maps.mask),
    )


def hand_meshes(
    maps: HandMaps, *, name: str, camera_object: Object | None = None, parent: Collection | None = None
) -> Collection:
    """A collection `<name>.hands` with one mesh object `<name>.hand.<side>` a hand, children of `camera_object`.

    The detection's `score` and `side` are custom properties of the objects. Raises NothingFound where there is no hand.
    """
    if not maps.hands:
        raise NothingFound("No hand was found.", "Choose another photo, or draw a box around the hand.")
    collection = scene.new_collection(f"{name}.hands", parent)
    material = materials.plain_material(f"{name}.hands", _SKIN)
    for hand in maps.hands:
        hand_name = f"{name}.hand.{hand.side}"
        mesh = meshes.new_mesh(hand_name, axes.to_camera_space(hand.vertices), hand.faces)
        mesh.materials.append(material)
        obj = bpy.data.objects.new(hand_name, mesh)
        obj["side"], obj["score"] = hand.side, float(hand.score)
        camera.adopt(obj, camera_object)
        collection.objects.link(obj)
    return collection
