# SPDX-License-Identifier: GPL-3.0-or-later
"""Normals of a photo as a normal map, or as a Normal Map node in the material."""

from typing import TYPE_CHECKING

import bpy

from ..builders import normals
from ..properties import NormalsSettings, PhotoInput
from ..requests import Inferred, NormalsRequest
from .task import TaskOperator, mesh_object, require_object, shared

if TYPE_CHECKING:
    from bpy.types import Context, Scene


class MAQUETTE_OT_estimate_normals(TaskOperator, PhotoInput, NormalsSettings, bpy.types.Operator):
    """Estimate the surface normals of the photo as a normal map"""

    bl_idname = "maquette.estimate_normals"
    bl_label = "Estimate Normals"

    def request(self, context: "Context") -> NormalsRequest:
        request = NormalsRequest(
            **shared(self, context),
            a=self.a,
            bg_threshold=self.bg_threshold,
            resolution=self.resolution,
            output=self.output,
            strength=self.strength,
        )
        if self.output == "MATERIAL":
            require_object(request, "normal map")
        return request

    @staticmethod
    def build(request: NormalsRequest, inferred: Inferred, scene: "Scene") -> str:
        normal_image = normals.normal_image(f"{request.source.name}.normal", inferred.result, request.folder)
        if request.output == "IMAGE":
            return f"Made the image {normal_image.name}"
        obj = mesh_object(request, "normal map")
        normals.add_normal_map(obj, normal_image, strength=request.strength)
        return f"Added {normal_image.name} to the material of {obj.name}"
