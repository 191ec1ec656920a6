# SPDX-License-Identifier: GPL-3.0-or-later
"""Normals: a normal map, or a Normal Map node in the material."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..builders import normals
from ..requests import Inferred, NormalsRequest
from .common import mesh_object, shared

if TYPE_CHECKING:
    from bpy.types import Context, Scene


def request(properties: Any, context: Context) -> NormalsRequest:
    """From `properties.NormalsSettings` and `PhotoInput`. Raises MaquetteError."""
    wanted = NormalsRequest(
        **shared(properties, context),
        a=properties.a,
        bg_threshold=properties.bg_threshold,
        resolution=properties.resolution,
        output=properties.output,
        strength=properties.strength,
    )
    if properties.output == "MATERIAL":
        mesh_object(wanted, "normal map")
    return wanted


def build(request: NormalsRequest, inferred: Inferred, _scene: Scene) -> str:
    """The normal map, and its node where it is wanted."""
    normal_image = normals.normal_image(f"{request.source.name}.normal", inferred.result, request.folder)
    if request.output == "IMAGE":
        return f"Made the image {normal_image.name}"
    obj = mesh_object(request, "normal map")
    normals.add_normal_map(obj, normal_image, strength=request.strength)
    return f"Added {normal_image.name} to the material of {obj.name}"
