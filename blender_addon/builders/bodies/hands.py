# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands: their images, and their meshes in the matched camera's space."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ....inference.errors import BadInput, NothingFound
from ....inference.hands.parts import parts
from ...core import axes, roles
from ..camera import matched, scene
from ..images import image
from ..materials import materials
from ..surfaces import meshes
from . import action, vertex_cache

if TYPE_CHECKING:
    from bpy.types import Collection, Image, Object
    from numpy.typing import NDArray

    from ....inference.results import Hand, HandMaps
    from ...core.exchange import HandTrack

#: How the meshes of a clip are kept.
MODES = ("VERTEX_CACHE", "SHAPE_KEYS")
_SKIN = (0.6, 0.36, 0.26)  # linear RGB


def hand_images(maps: HandMaps, *, name: str, folder: str | Path | None = None) -> tuple[Image, Image]:
    """(`<name>.hands.depth` float metres, 0 where there is no hand; `<name>.hands.mask` 0..1)."""
    return (
        image.float_image(f"{name}.hands.depth", maps.depth, folder),
        image.mask_image(f"{name}.hands.mask", maps.mask),
    )


def control_image(maps: HandMaps, *, name: str) -> Image:
    """`<name>.hands.control`: the reference node's picture of the depth, for a ControlNet or the detailer.

    Non-Color, 8 bits, packed: its grey levels are read and saved as they are, through no colour curve.
    """
    return image.control_image(f"{name}.hands.control", maps.preview.astype(np.float32) / 255.0)


def hand_meshes(
    maps: HandMaps,
    *,
    name: str,
    camera_object: Object | None = None,
    parent: Collection | None = None,
    licence: str = "",
) -> Collection:
    """A collection `<name>.hands` with a smooth mesh object `<name>.hand.L.1.mesh` a hand, a child of `camera_object`.

    The number of the hand (see `inference.hands.parts`) is the object's pass index; `side`, `score` and the licence
    of the hand model are custom properties. Raises NothingFound where there is no hand.
    """
    if not maps.hands:
        raise NothingFound("No hand was found.", "Choose another photo, or draw a box around the hand.")
    collection, material = _collection(name, parent)
    for part in parts(maps.hands):
        hand = maps.hands[part.index]
        _hand_object(f"{name}.hand.{part.name}.mesh", hand, part.number, material, collection, camera_object, licence)
    return collection


def animated_meshes(
    tracks: list[HandTrack],
    length: int,
    *,
    name: str,
    camera_object: Object | None = None,
    parent: Collection | None = None,
    mode: str = "VERTEX_CACHE",
    start_frame: int = 1,
    folder: str | Path | None = None,
    licence: str = "",
) -> Collection:
    """As `hand_meshes`, for a clip of `length` frames: one object a hand, its exact vertices in every frame.

    mode : "VERTEX_CACHE", a PC2 file in `folder` (by default `maquette` beside the .blend) read by a Mesh Cache
        modifier; "SHAPE_KEYS", absolute shape keys inside the .blend.
    A hand is hidden in the frames of the clip in which it was not seen.
    Raises NothingFound for a clip without hands, BadInput for an unknown mode.
    """
    if mode not in MODES:
        raise BadInput(f"There is no way {mode!r} to keep moving hands.", f"Choose one of {', '.join(MODES)}.")
    if not tracks:
        raise NothingFound("No hand was found.", "Choose another clip.")
    collection, material = _collection(name, parent)
    for track in tracks:
        obj = _hand_object(
            f"{name}.hand.{track.name}.mesh", track, track.number, material, collection, camera_object, licence
        )
        vertices = _vertices_of(track)
        if mode == "VERTEX_CACHE":
            vertex_cache.add_point_cache(
                obj, vertices, track.frames, name=obj.name, start_frame=start_frame, folder=folder
            )
        else:
            vertex_cache.add_absolute_keys(obj, vertices, track.frames, name=obj.name, start_frame=start_frame)
        _hide_gaps(obj, track, length, start_frame)
    return collection


def _vertices_of(track: HandTrack) -> Callable[[int], NDArray]:
    return lambda index: axes.to_camera_space(track.vertices[index])


def _collection(name: str, parent: Collection | None) -> tuple[Collection, Any]:
    return scene.new_collection(f"{name}.hands", parent), materials.plain_material(f"{name}.hands", _SKIN)


def _hand_object(
    name: str,
    hand: Hand | HandTrack,
    number: int,
    material: Any,
    collection: Collection,
    camera_object: Object | None,
    licence: str,
) -> Object:
    vertices = hand.vertices if hand.vertices.ndim == 2 else hand.vertices[0]
    mesh = meshes.new_mesh(name, axes.to_camera_space(vertices), hand.faces)
    mesh.materials.append(material)
    obj = bpy.data.objects.new(name, mesh)
    obj["side"], obj["score"] = hand.side, float(hand.score)
    obj.pass_index = number
    for made in (obj, mesh):
        roles.mark(made, "hands.mesh", licence=licence)
    matched.adopt(obj, camera_object)
    collection.objects.link(obj)
    return obj


def _hide_gaps(obj: Object, track: HandTrack, length: int, start_frame: int) -> None:
    """Keys that hide the object in the frames of the clip in which the hand was not seen."""
    seen = np.zeros(length, bool)
    seen[track.frames] = True
    if seen.all():
        return
    changes = np.flatnonzero(np.diff(seen, prepend=~seen[:1]))
    keyed = action.new_action(obj, obj.name)
    for path in ("hide_viewport", "hide_render"):
        action.add_switch(keyed, obj, path, changes + start_frame, ~seen[changes])
