# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands: their images, and their meshes in the matched camera's space."""

from __future__ import annotations

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

_SKIN = (0.6, 0.36, 0.26)  # linear RGB


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
    made = [
        _hand_object(name, part.name, part.number, hand, hand.vertices)
        for part in parts(maps.hands)
        for hand in (maps.hands[part.index],)
    ]
    return _collected(made, name, parent, camera_object, licence)


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

    mode : see `vertex_cache.animate`. A hand is hidden in the frames of the clip in which it was not seen.
    Raises NothingFound for a clip without hands, BadInput for an unknown mode.
    """
    if mode not in vertex_cache.MODES:
        raise BadInput(f"Unknown mode {mode!r} for animated hands.", f"Choose one of {', '.join(vertex_cache.MODES)}.")
    if not tracks:
        raise NothingFound("No hand was found.", "Choose another clip.")
    made = []
    for track in tracks:
        obj = _hand_object(name, track.name, track.number, track, track.vertices[0])
        vertex_cache.animate(
            obj, lambda index, track=track: axes.to_camera_space(track.vertices[index]), track.frames + start_frame,
            mode, name=obj.name, folder=folder,
        )  # fmt: skip
        _hide_gaps(obj, track, length, start_frame)
        made.append(obj)
    return _collected(made, name, parent, camera_object, licence)


def _hand_object(name: str, hand_name: str, number: int, hand: Hand | HandTrack, vertices: NDArray) -> Object:
    mesh_name = f"{name}.hand.{hand_name}.mesh"
    obj = bpy.data.objects.new(mesh_name, meshes.new_mesh(mesh_name, axes.to_camera_space(vertices), hand.faces))
    obj["side"], obj["score"] = hand.side, float(hand.score)
    obj.pass_index = number
    return obj


def _collected(
    made: list[Object], name: str, parent: Collection | None, camera_object: Object | None, licence: str
) -> Collection:
    """The hands in a collection of their own, of one material, in the camera's space."""
    collection = scene.new_collection(f"{name}.hands", parent)
    material = materials.plain_material(f"{name}.hands", _SKIN)
    for obj in made:
        mesh: Any = obj.data
        mesh.materials.append(material)
        for block in (obj, mesh):
            roles.mark(block, "hands.mesh", licence=licence)
        matched.adopt(obj, camera_object)
        collection.objects.link(obj)
    return collection


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
