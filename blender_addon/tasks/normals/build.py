# SPDX-License-Identifier: GPL-3.0-or-later
"""Normals: a normal map, or a Normal Map node in the material, of a photo or a whole clip."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ...builders.images import image
from ...builders.materials import materials, normals
from ...core import roles
from ...work import Inferred, NormalsRequest
from ...work.clip_maps import NormalsClipRequest
from ..depth import build_clip
from ..shared.common import licence_of, mesh_object, shared

if TYPE_CHECKING:
    from bpy.types import Context, Image, Scene


def request(properties: Any, context: Context) -> NormalsRequest:
    """From `properties.NormalsSettings` and `PhotoInput`. Raises MaquetteError."""
    wanted = NormalsRequest(
        **shared(properties, context),
        a=properties.a,
        bg_threshold=properties.bg_threshold,
        resolution=properties.resolution,
        output=properties.output,
        strength=properties.strength,
        space=properties.space,
        green_down=properties.green_down and properties.output == "IMAGE",
        keep_preview=properties.keep_preview,
    )
    if properties.output == "MATERIAL":
        obj = mesh_object(wanted, "normal map")
        materials.check_material(obj)
        normals.check_mapping(obj, projected=properties.space == "CAMERA")
    if properties.frames == "CLIP" and wanted.source.is_clip:
        build_clip.check_directory(wanted.directory)
        given = {one.name: getattr(wanted, one.name) for one in fields(wanted)}
        return NormalsClipRequest(**given, start_frame=properties.start_frame)
    return wanted


def build(request: NormalsRequest, inferred: Inferred, scene: Scene) -> str:
    """The normal map, and its node where it is wanted."""
    if isinstance(request, NormalsClipRequest):
        made = build_clip.numbered(request, inferred, "normal")
        build_clip.set_timing(request, inferred, scene)
    else:
        made = normals.normal_image(f"{request.source.name}.normal", inferred.files["normal"], request.folder)
        roles.mark(made, "normal", inferred.photo.digest, licence_of(request, "normals"))
        if request.keep_preview:
            image.picture(f"{request.source.name}.normal.preview", inferred.result.preview)
    if request.output == "IMAGE":
        return f"Made the {'sequence' if made.source == 'SEQUENCE' else 'image'} {made.name}"
    return _add_to_material(request, inferred, made, scene)


def _add_to_material(request: NormalsRequest, inferred: Inferred, made: Image, scene: Scene) -> str:
    obj = mesh_object(request, "normal map")
    where = {}
    if request.space == "CAMERA":
        where = {
            "camera_object": build_clip.playing_camera(request, inferred, scene)[1],
            "camera": inferred.result.camera,
        }
    normals.add_normal_map(obj, made, strength=request.strength, **where)
    return f"Added {made.name} to the material of {obj.name}"
