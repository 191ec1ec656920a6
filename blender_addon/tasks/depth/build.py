# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth: an image, a displaced grid, a displacement in the material, a relief mesh, or a live relief."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ....inference.errors import BadInput
from ....inference.registry import find_model
from ...builders.images import image
from ...builders.materials import materials
from ...builders.surfaces import displacement, live, relief
from ...core import roles
from ...work import DepthBuild, DepthRequest, Inferred
from ...work.clip_maps import DepthClipRequest
from ..shared.common import licence_of, matched, mesh_object, photo_image, shared
from . import build_clip
from .material import displaced_material

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
            max_distance=properties.max_distance,
            specks=properties.specks,
            adaptive=properties.adaptive,
            dicing=properties.dicing,
        ),
    )
    if properties.output == "MATERIAL":
        obj = mesh_object(wanted, "displacement")
        materials.check_material(obj)
        if properties.adaptive:
            displacement.check_adaptive(obj)
    if properties.output == "RELIEF" and not find_model("depth", properties.model).options.get("metres", True):
        what = "surface relief of a material" if properties.model == "relief" else "relative depth of this model"
        raise BadInput(
            f"The {what} has no distances for a relief mesh.",
            "Build a displaced grid or a material displacement, or choose a model that gives metres.",
        )
    if properties.frames == "CLIP" and wanted.source.is_clip:
        return build_clip.request(wanted, properties.start_frame)
    return wanted


def build(request: DepthRequest, inferred: Inferred, scene: Scene) -> str:
    """The float image, and what the request wants made of it."""
    if isinstance(request, DepthClipRequest):
        return build_clip.build(request, inferred, scene)
    depth_map, wanted = inferred.result, request.build
    ((what, file),) = inferred.files.items()
    picture = image.float_image(f"{request.source.name}.{what}", file, request.folder)
    roles.mark(picture, what, inferred.photo.digest, licence_of(request, "depth"))
    output = wanted.chosen(depth_map.metric)
    if output == "IMAGE":
        return f"Made the image {picture.name}"
    if output == "MATERIAL":
        return displaced_material(request, picture, depth_map.metric)
    obj = _build_object(request, inferred, picture, scene, output)
    mesh: Any = obj.data
    if not len(mesh.vertices):
        return f"Made {obj.name}, which stays adjustable in its modifier {obj.modifiers[0].name}"
    return f"Made {mesh.name} with {len(mesh.vertices):,} vertices"


def _build_object(request: DepthRequest, inferred: Inferred, picture: Image, scene: Scene, output: str) -> Object:
    """A mesh of the depth; what has metres stands before the photo's camera."""
    depth_map, wanted, name = inferred.result, request.build, request.source.name
    if depth_map.metric:
        photo, camera = matched(request, inferred, scene)
    else:
        photo, camera = photo_image(request, inferred), None
    common: dict[str, Any] = {
        "photo_image": photo,
        "resolution": wanted.mesh_resolution,
        "parent": scene.collection,
    }
    found = getattr(inferred, "surface", None)
    if output == "RELIEF":
        confidence = depth_map.confidence
        return relief.relief_mesh(
            depth_map, name=f"{name}.relief", camera_object=camera, confidence=confidence, found=found, **common
        )
    if output == "LIVE" and depth_map.metric:
        return live.live_relief(
            depth_map.camera, picture, name=f"{name}.live", camera_object=camera, tear=wanted.tear,
            grazing=wanted.grazing, max_distance=wanted.max_distance, specks=wanted.specks, **common,
        )  # fmt: skip
    if output == "LIVE":
        return live.live_grid(
            depth_map.camera, picture, name=f"{name}.live", width=wanted.grid_width, strength=wanted.strength, **common
        )
    return displacement.displaced_grid(
        depth_map,
        picture,
        name=f"{name}.grid",
        camera_object=camera,
        method=wanted.grid_method,
        width=wanted.grid_width,
        strength=1.0 if depth_map.metric else wanted.strength,
        max_distance=wanted.max_distance,
        at_rest=found,
        **common,
    )
