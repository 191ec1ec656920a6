# SPDX-License-Identifier: GPL-3.0-or-later
"""The scene that is being built in: where objects and collections go, and its timing."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import bpy

from ...core import transaction

if TYPE_CHECKING:
    from bpy.types import Collection, Object, Scene, ViewLayer

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


def set_timing(scene: Scene, fps: float, first: int, last: int) -> None:
    """The scene's frame rate, fractions included (29.97 becomes 30 / 1.001), and its frame range."""
    rate = max(1, math.ceil(fps - 1e-6))
    transaction.change(scene.render, fps=rate, fps_base=rate / fps)
    transaction.change(scene, frame_start=first, frame_end=last)
