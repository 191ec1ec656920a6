# SPDX-License-Identifier: GPL-3.0-or-later
"""The scene that is being built in: where objects and collections go, and its timing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import bpy
from bpy.types import Collection, Object, Scene, ViewLayer
from mathutils import Vector

from ...core import roles, transaction
from ...core.transaction import note

#: `bpy.context`, whose members the type stubs take for methods.
_context: Any = bpy.context


def current() -> Scene:
    """The scene of the context."""
    return _context.scene


def view_layer() -> ViewLayer:
    """The view layer of the context."""
    return _context.view_layer


@contextmanager
def selection_kept() -> Iterator[ViewLayer]:
    """Object mode with nothing selected; the artist's active object, selection and mode come back."""
    layer = view_layer()
    before = layer.objects.active
    mode = before.mode if before is not None else "OBJECT"
    selected = [obj for obj in layer.objects if obj.select_get(view_layer=layer)]
    if mode != "OBJECT":
        bpy.ops.object.mode_set(mode="OBJECT")
    try:
        for obj in selected:
            obj.select_set(False, view_layer=layer)
        yield layer
    finally:
        for obj in layer.objects:
            obj.select_set(obj in selected, view_layer=layer)
        layer.objects.active = before
        if mode != "OBJECT":
            bpy.ops.object.mode_set(mode=mode)


def link(obj: Object, parent: Collection | None) -> None:
    """Put an object into a collection, by default the scene's own."""
    (parent or _context.scene.collection).objects.link(obj)


def new_collection(name: str, parent: Collection | None) -> Collection:
    """A new collection inside another one, by default the scene's own."""
    collection = bpy.data.collections.new(name)
    (parent or _context.scene.collection).children.link(collection)
    return collection


def move(obj: Object, collection: Collection, scene: Scene) -> None:
    """Into a collection, out of the scene's own; where the artist has put it elsewhere it stays there as well."""
    if obj.name not in collection.objects:
        collection.objects.link(obj)
    top: Any = scene.collection
    if obj.name in top.objects:
        top.objects.unlink(obj)


#: What a new photo takes up before its camera at the origin: metres to either side, and along and above the ground.
_ROOM = ((-2.0, -1.0, -0.5), (2.0, 8.0, 2.5))
#: Metres beyond which a photo does not step aside: what is that wide is a set to stand in.
_FARTHEST = 20.0


def boxes(scene: Scene, ignored: Iterable[Object] = ()) -> list[tuple[Any, Any]]:
    """Corners (3,) of the boxes, in the world, of all visible objects that have a surface."""
    solid = {"MESH", "CURVE", "SURFACE", "META", "FONT", "VOLUME", "POINTCLOUD", "CURVES"}
    skipped, found = set(ignored), []
    for obj in view_layer().objects:
        if obj.type in solid and obj not in skipped and obj.visible_get(view_layer=view_layer()):
            corners = [obj.matrix_world @ Vector(corner) for corner in obj.bound_box]
            found.append((tuple(map(min, zip(*corners, strict=True))), tuple(map(max, zip(*corners, strict=True)))))
    return found


def free_aside(scene: Scene, room: tuple[Any, Any] = _ROOM, ignored: Iterable[Object] = ()) -> float:
    """How far along x a room (its two corners, in metres) has to move until nothing visible lies in it; 0 for not at
    all, and where all is full of what is there."""
    known, aside = boxes(scene, ignored), 0.0
    for _ in range(len(known) + 1):
        low, high = ((room[0][0] + aside, *room[0][1:]), (room[1][0] + aside, *room[1][1:]))
        ends = [b[0] for a, b in known if all(a[k] < high[k] and b[k] > low[k] for k in range(3))]
        if not ends:
            return aside
        aside = max(ends) - room[0][0] + 0.5
        if aside > _FARTHEST:
            return 0.0
    return 0.0


@contextmanager
def at_frame(scene: Scene, frame: int | None) -> Iterator[None]:
    """The scene at this frame; None leaves it where it is."""
    before = scene.frame_current
    if frame is None or frame == before:
        yield
        return
    try:
        scene.frame_set(frame)
        yield
    finally:
        scene.frame_set(before)


def frame_rate(scene: Scene) -> float:
    """Frames per second, fractions included."""
    return scene.render.fps / scene.render.fps_base


def keeps_timing(scene: Scene) -> bool:
    """Whether the scene's timing is the artist's: something that was not built of a photo is animated in it."""
    for obj in scene.objects:
        if roles.PHOTO in obj or roles.DIGEST in obj or transaction.is_new(obj, "objects"):
            continue
        for block in (obj, obj.data, getattr(obj.data, "shape_keys", None)):
            data = getattr(block, "animation_data", None)
            if data is not None and (data.action is not None or data.nla_tracks):
                return True
    return False


def set_timing(scene: Scene, fps: float, first: int, last: int, *, keep: bool | None = None) -> None:
    """The scene's frame rate, fractions included (29.97 becomes 30 / 1.001), and its frame range. A scene with the
    artist's own animation keeps both (keep : None looks for it). Either way the closing line says so."""
    render: Any = scene.render
    own, range_ = frame_rate(scene), (scene.frame_start, scene.frame_end)
    if keeps_timing(scene) if keep is None else keep:
        differs = "" if abs(own - fps) < 1e-3 * fps else f", the clip has {fps:.5g}"
        note(f"The scene keeps its frame rate ({own:.5g} fps{differs}) and its frames {range_[0]} to {range_[1]}")
        return
    transaction.change(render, fps=max(1, math.ceil(fps - 1e-6)), fps_base=render.fps_base)
    transaction.change(render, fps_base=render.fps / fps)
    transaction.change(scene, frame_start=first, frame_end=last)
    if abs(own - fps) > 1e-3 * fps or range_ != (first, last):
        note(f"The scene now plays frames {first} to {last} at {fps:.5g} fps")
