# SPDX-License-Identifier: GPL-3.0-or-later
"""Normal maps. OpenGL convention: red = right, green = up, blue = towards the viewer, 0..1 for -1..1."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from bpy.types import Image, Material, Object, ShaderNodeNormalMap

    from ...inference.results import NormalMap


def normal_image(name: str, normal_map: NormalMap, folder: str | Path | None = None, *, signed: bool = False) -> Image:
    """The normals as a Non-Color float image `<photo>.normal`: colours 0..1 in the OpenGL convention, or, `signed`, the
    vectors themselves in Blender camera space. Pixels that are not valid face the viewer."""


def add_normal_map(
    obj: Object,
    image: Image,
    *,
    strength: float = 1.0,
    camera_object: Object | None = None,
) -> ShaderNodeNormalMap:
    """Put the image through a Normal Map node into the active material; all that is there stays.

    Without `camera_object` the normals are read in tangent space (for a flat surface that the photo shows straight on).
    With it they are camera-space normals, turned with that camera, right on a relief or a projection.
    A normal that is already connected is combined with the new one.
    """
