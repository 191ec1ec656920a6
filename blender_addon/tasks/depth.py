# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth: an image, a displaced grid, a displacement in the material, or a relief mesh."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ...inference.errors import BadInput
from ..builders import displacement, image, materials, relief
from ..clip_maps import DepthClipRequest
from ..requests import DepthBuild, DepthRequest, Inferred
from . import depth_clip
from .common import matched, mesh_object, photo_image, shared

if TYPE_CHECKING:
    from bpy.types import Context, Image, Object, Scene


def request(properties: Any, context: Context) -> DepthRequest:
    """From `properties.DepthSettings` and `PhotoInput`. Raises MaquetteError."""
    wanted = DepthRequest(
        **shared(properties, context),
        resolution=properties.resolution,
        build=DepthBuild(
            output=properties.output,
            mesh_resolution=properties.mesh_resolution,
            tear=properties.tear,
            grazing=math.degrees(properties.grazing),
            grid_method=properties.grid_method,
            grid_width=properties.grid_width,
            strength=properties.strength,
        ),
    )
    if properties.output == "MATERIAL":
        mesh_object(wanted, "displacement")
    if properties.output == "RELIEF" and properties.model == "relief":
        raise BadInput(
            "The surface relief of a material has no distances for a relief mesh.",
            "Build a displaced grid or a material displacement.",
        )
    if properties.frames == "CLIP" and wanted.source.is_clip:
        return depth_clip.request(wanted, properties.start_frame)
    return wanted


def build(request: DepthRequest, inferred: Inferred, scene: Scene) -> str:
    """The float image, and what the request wants made of it."""
    if isinstance(request, DepthClipRequest):
        return depth_clip.build(request, inferred, scene)
    depth_map, wanted = inferred.result, request.build
    depth_image = image.float_image(f"{request.source.name}.depth", inferred.files["depth"], request.folder)
    output = wanted.output
    if output == "AUTO":
        output = "RELIEF" if depth_map.metric else "GRID"
    if output == "IMAGE":
        return f"Made the image {depth_image.name}"
    if output == "MATERIAL":
        material = materials.active_material(mesh_object(request, "displacement"))
        displacement.displace_material(material, depth_image, scale=_scale(depth_map.metric, wanted))
        return f"Added {depth_image.name} to the material {material.name}"
    mesh: Any = _build_object(request, inferred, depth_image, scene, output).data
    return f"Made {mesh.name} with {len(mesh.vertices):,} vertices"


def _build_object(request: DepthRequest, inferred: Inferred, depth_image: Image, scene: Scene, output: str) -> Object:
    """A displaced grid or a relief mesh; what has metres stands before the photo's camera."""
    depth_map, wanted, name = inferred.result, request.build, request.source.name
    if depth_map.metric:
        photo, camera = matched(request, inferred, scene)
    else:
        photo, camera = photo_image(request, inferred), None
    if output == "RELIEF":
        return relief.relief_mesh(
            depth_map,
            name=f"{name}.relief",
            camera_object=camera,
            photo_image=photo,
            resolution=wanted.mesh_resolution,
            tear=wanted.tear,
            grazing=wanted.grazing,
            parent=scene.collection,
        )
    return displacement.displaced_grid(
        depth_map,
        depth_image,
        name=f"{name}.grid",
        camera_object=camera,
        photo_image=photo,
        method=wanted.grid_method,
        resolution=wanted.mesh_resolution,
        width=wanted.grid_width,
        strength=_scale(depth_map.metric, wanted),
    )


def _scale(metric: bool, wanted: DepthBuild) -> float:
    """Metres are metres; only a relief without unit has a strength."""
    return 1.0 if metric else wanted.strength
