# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth as displacement in the material of the active object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...builders.materials import materials
from ...builders.surfaces import displacement
from ..shared.common import mesh_object

if TYPE_CHECKING:
    from bpy.types import Image

    from ...work import DepthRequest


def displaced_material(request: DepthRequest, picture: Image, metric: bool) -> str:
    """The image as displacement in the active object's material; tells what was changed beside."""
    wanted, obj = request.build, mesh_object(request, "displacement")
    material = materials.active_material(obj)
    bumps = material.displacement_method == "BUMP"
    scale = 1.0 if metric else wanted.strength
    displacement.displace_material(material, picture, scale=scale, fine=wanted.adaptive)
    told = [f"Added {picture.name} to the material {material.name}"]
    if bumps:
        told.append("which displaces now" if wanted.adaptive else "which displaces and bumps now")
    if wanted.adaptive:
        changed = displacement.adaptive_subdivision(obj, pixels=wanted.dicing)
        told.append(f"and let Cycles subdivide {obj.name} to {wanted.dicing:g} px")
        told += [changed] * bool(changed)
    data: Any = obj.data
    if not data.uv_layers:
        told.append(f"but {obj.name} has no UV map for it yet")
    return ", ".join(told)
