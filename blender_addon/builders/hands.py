# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands: depth and mask images, and the hands' meshes in the matched camera's space."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpy.types import Collection, Image, Object

    from ...inference.results import HandMaps


def hand_images(maps: HandMaps, *, name: str, folder: str | Path | None = None) -> tuple[Image, Image]:
    """(`<name>.hands.depth` float metres, `<name>.hands.mask` 0..1)."""


def hand_meshes(
    maps: HandMaps, *, name: str, camera_object: Object | None = None, parent: Collection | None = None
) -> Collection:
    """A collection `<name>.hands` with one mesh object `<name>.hand.<side>` a hand, children of `camera_object`."""
