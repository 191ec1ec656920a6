# SPDX-License-Identifier: GPL-3.0-or-later
"""Normals: a normal map, or a Normal Map node in the material, of a photo or a whole clip."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...builders.images import image
from ...builders.materials import materials, normals
from ...work.clip_maps import ClipMaps
from ...work.normals import NormalsWork
from ..shared.clips import sequence_image
from ..shared.gather import check_directory, gathered
from ..shared.target import mesh_object
from .settings import BUILD, PARAMETERS

if TYPE_CHECKING:
    from bpy.types import Context

    from ....inference.results import NormalMap
    from ...work.item import JobResult
    from ..shared.finish import Place


def work(properties: Any, context: Context) -> NormalsWork:
    """What the worker is to do. Raises MaquetteError."""
    item = NormalsWork(**gathered("normals", PARAMETERS, BUILD, properties, context))
    if item.build.output == "MATERIAL":
        obj = mesh_object(item, "normal map")
        materials.check_material(obj)
        normals.check_mapping(obj, projected=item.build.space == "CAMERA")
    if item.clip is not None:
        check_directory(item.directory)
    return item


def build(item: NormalsWork, found: JobResult[NormalMap | ClipMaps[NormalMap]], place: Place) -> str:
    """The normal map, and its node where it is wanted."""
    result, name = found.result, f"{item.source.name}.normal"
    if isinstance(result, ClipMaps):
        made = sequence_image(item, "normal", result.files)
    else:
        made = normals.normal_image(name, found.files["normal"], item.folder)
        if item.build.keep_preview:
            image.picture(f"{name}.preview", result.preview)
    place.mark(made, "normal")
    if item.build.output == "IMAGE":
        return f"Made the {'sequence' if made.source == 'SEQUENCE' else 'image'} {made.name}"
    obj = mesh_object(item, "normal map")
    where: Any = {} if found.camera is None else {"camera_object": place.camera, "camera": found.camera}
    normals.add_normal_map(obj, made, strength=item.build.strength, **where)
    return f"Added {made.name} to the material of {obj.name}"
