# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth of a photo as an image, a displaced grid, a displacement in the material, or a relief mesh."""

import math
from pathlib import Path
from typing import TYPE_CHECKING

import bpy

from ...inference.errors import BadInput
from ..builders import displacement, image, materials, relief
from ..properties import DepthSettings, PhotoInput
from ..requests import DepthBuild, DepthRequest, Inferred
from .task import TaskOperator, matched, mesh_object, require_object, shared

if TYPE_CHECKING:
    from bpy.types import Context, Image, Scene


class MAQUETTE_OT_estimate_depth(TaskOperator, PhotoInput, DepthSettings, bpy.types.Operator):
    """Estimate the depth of the photo and build it into the scene"""

    bl_idname = "maquette.estimate_depth"
    bl_label = "Estimate Depth"

    def request(self, context: "Context") -> DepthRequest:
        request = DepthRequest(
            **shared(self, context),
            resolution=self.resolution,
            build=DepthBuild(
                output=self.output,
                mesh_resolution=self.mesh_resolution,
                tear=self.tear,
                grazing=math.degrees(self.grazing),
                grid_method=self.grid_method,
                grid_width=self.grid_width,
                strength=self.strength,
            ),
        )
        if self.output == "MATERIAL":
            require_object(request, "displacement")
        if self.output == "RELIEF" and self.model == "relief":
            raise BadInput(
                "The surface relief of a material has no distances for a relief mesh.",
                "Build a displaced grid or a material displacement.",
            )
        return request

    @staticmethod
    def build(request: DepthRequest, inferred: Inferred, scene: "Scene") -> str:
        depth_map, wanted = inferred.result, request.build
        depth_image = image.float_image(f"{request.source.name}.depth", depth_map.depth, request.folder)
        output = wanted.output
        if output == "AUTO":
            output = "RELIEF" if depth_map.metric else "GRID"
        if output == "IMAGE":
            return f"Made the image {depth_image.name}"
        if output == "MATERIAL":
            obj = mesh_object(request, "displacement")
            material = materials.active_material(obj)
            displacement.displace_material(material, depth_image, scale=_scale(depth_map.metric, wanted))
            return f"Added {depth_image.name} to the material {material.name}"
        return _build_object(request, inferred, depth_image, scene, output)


def _build_object(request: DepthRequest, inferred: Inferred, depth_image: "Image", scene: "Scene", output: str) -> str:
    """A displaced grid or a relief mesh; what has metres stands before the photo's camera."""
    depth_map, wanted, name = inferred.result, request.build, request.source.name
    if depth_map.metric:
        photo, camera = matched(request, inferred, scene)
    else:
        photo, camera = image.photo_image(inferred.photo, _file_of(request)), None
    if output == "RELIEF":
        obj = relief.relief_mesh(
            depth_map,
            name=f"{name}.relief",
            camera_object=camera,
            photo_image=photo,
            resolution=wanted.mesh_resolution,
            tear=wanted.tear,
            grazing=wanted.grazing,
        )
    else:
        obj = displacement.displaced_grid(
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
    return f"Made {obj.name} with {len(obj.data.vertices):,} vertices"


def _scale(metric: bool, wanted: DepthBuild) -> float:
    """Metres are metres; only a relief without unit has a strength."""
    return 1.0 if metric else wanted.strength


def _file_of(request: DepthRequest) -> Path | None:
    return Path(request.source.path) if request.source.path and not request.source.is_clip else None
