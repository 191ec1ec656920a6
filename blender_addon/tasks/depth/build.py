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
from ...work.clip_maps import ClipMaps
from ...work.depth import DepthWork, EstimatedDepth
from ..shared.clips import sequence_image
from ..shared.gather import check_directory, gathered
from ..shared.target import mesh_object
from .settings import BUILD, PARAMETERS

if TYPE_CHECKING:
    from bpy.types import Context, Image, Object

    from ....inference.results import DepthMap
    from ...work.item import JobResult
    from ..shared.finish import Place


def work(properties: Any, context: Context) -> DepthWork:
    """What the worker is to do. Raises MaquetteError."""
    item = DepthWork(**gathered("depth", PARAMETERS, BUILD, properties, context))
    if item.build.output == "MATERIAL":
        obj = mesh_object(item, "displacement")
        materials.check_material(obj)
        if item.build.adaptive:
            displacement.check_adaptive(obj)
    if item.build.output == "RELIEF" and not find_model("depth", item.model).options.get("metres", True):
        what = "surface relief of a material" if item.model == "relief" else "relative depth of this model"
        raise BadInput(
            f"The {what} has no distances for a relief mesh.",
            "Build a displaced grid or a material displacement, or choose a model that gives metres.",
        )
    if item.clip is not None:
        check_directory(item.directory)
    return item


def build(item: DepthWork, found: JobResult[EstimatedDepth | ClipMaps[DepthMap]], place: Place) -> str:
    """The float image or the image sequence, and what is wanted made of it."""
    result = found.result
    if isinstance(result, ClipMaps):
        return _of_clip(item, found, result, place)
    ((what, file),) = found.files.items()
    picture = place.mark(image.float_image(f"{item.source.name}.{what}", file, item.folder), what)
    output = item.output(result.map.metric)
    if output == "IMAGE":
        if place.clicked and result.map.metric:  # metres are black and white in an editor
            place.mark(image.picture(f"{picture.name}.preview", result.map.preview), "preview")
        return f"Made the image {picture.name}"
    if output == "MATERIAL":
        return _displaced_material(item, picture, result.map.metric)
    obj = _object(item, result.map, picture, place, output, result)
    mesh: Any = obj.data
    if not len(mesh.vertices):
        return f"Made {obj.name}, which stays adjustable in its modifier {obj.modifiers[0].name}"
    return f"Made {mesh.name} with {len(mesh.vertices):,} vertices"


def _object(
    item: DepthWork, depth: DepthMap, picture: Image, place: Place, output: str, result: EstimatedDepth | None
) -> Object:
    """A mesh of the depth; what has metres stands before the photo's camera.

    depth : of a clip, the first frame's.  result : of a photo; None for a clip, whose mesh has to follow the sequence.
    """
    build = item.build
    common: dict[str, Any] = {
        "name": f"{item.source.name}.{output.lower()}",
        "photo_image": place.photo,
        "resolution": build.mesh_resolution,
        "parent": place.scene.collection,
    }
    before = {**common, "camera_object": place.camera}
    if result is not None and output == "RELIEF":
        return relief.relief_mesh(depth, confidence=depth.confidence, found=result.surface, **before)
    if result is not None and output == "GRID":
        return displacement.displaced_grid(
            depth, picture, method=build.grid_method, width=build.grid_width, max_distance=build.max_distance,
            strength=1.0 if depth.metric else build.strength, at_rest=result.surface, **before,
        )  # fmt: skip
    if not depth.metric:
        return live.live_grid(depth.camera, picture, width=build.grid_width, strength=build.strength, **common)
    limits: dict[str, Any] = {"tear": None, "grazing": 90.0}  # a grid stays whole
    if output != "GRID":
        limits = {"tear": build.tear, "grazing": math.degrees(build.grazing), "specks": build.specks}
    return live.live_relief(depth.camera, picture, max_distance=build.max_distance, **limits, **before)


def _of_clip(item: DepthWork, found: JobResult, clip: ClipMaps[DepthMap], place: Place) -> str:
    """The sequence, and what is wanted made of it."""
    metric = clip.first.metric
    what = "height" if item.build.output == "MATERIAL" and metric else "depth"
    sequence = place.mark(sequence_image(item, what, clip.files), what)
    output = item.output(metric)
    line = f"Made the sequence {sequence.name} of {found.length} frames"
    if clip.found < found.length:
        line += f", {found.length - clip.found} of them empty"
    if output == "IMAGE":
        return line
    if output == "MATERIAL":
        return f"{line}. {_displaced_material(item, sequence, metric)}"
    return f"{line}, which {_object(item, clip.first, sequence, place, output, None).name} follows"


def _displaced_material(item: DepthWork, picture: Image, metric: bool) -> str:
    """The image as displacement in the active object's material; says what was changed besides."""
    build, obj = item.build, mesh_object(item, "displacement")
    material = materials.active_material(obj)
    bumps = material.displacement_method == "BUMP"
    scale = 1.0 if metric else build.strength
    displacement.displace_material(material, picture, scale=scale, fine=build.adaptive)
    line = [f"Added {picture.name} to the material {material.name}"]
    if bumps:
        line.append("which displaces now" if build.adaptive else "which displaces and bumps now")
    if build.adaptive:
        changed = displacement.adaptive_subdivision(obj, pixels=build.dicing)
        line.append(f"and let Cycles subdivide {obj.name} to {build.dicing:g} px")
        line += [changed] * bool(changed)
    data: Any = obj.data
    if not data.uv_layers:
        line.append(f"but {obj.name} has no UV map for it yet")
    return ", ".join(line)
