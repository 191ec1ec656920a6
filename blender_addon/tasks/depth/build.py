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
        return f"Made the image {picture.name}"
    if output == "MATERIAL":
        return _displaced_material(item, picture, result.map.metric)
    obj = _object(item, result, picture, place, output)
    mesh: Any = obj.data
    if not len(mesh.vertices):
        return f"Made {obj.name}, which stays adjustable in its modifier {obj.modifiers[0].name}"
    return f"Made {mesh.name} with {len(mesh.vertices):,} vertices"


def _object(item: DepthWork, result: EstimatedDepth, picture: Image, place: Place, output: str) -> Object:
    """A mesh of the depth; what has metres stands before the photo's camera."""
    depth, build, name = result.map, item.build, item.source.name
    common: dict[str, Any] = {
        "photo_image": place.photo,
        "resolution": build.mesh_resolution,
        "parent": place.scene.collection,
    }
    if output == "RELIEF":
        return relief.relief_mesh(
            depth, name=f"{name}.relief", camera_object=place.camera, confidence=depth.confidence,
            found=result.surface, **common,
        )  # fmt: skip
    if output == "LIVE" and depth.metric:
        return live.live_relief(
            depth.camera, picture, name=f"{name}.live", camera_object=place.camera, tear=build.tear,
            grazing=math.degrees(build.grazing), max_distance=build.max_distance, specks=build.specks, **common,
        )  # fmt: skip
    if output == "LIVE":
        return live.live_grid(
            depth.camera, picture, name=f"{name}.live", width=build.grid_width, strength=build.strength, **common
        )
    return displacement.displaced_grid(
        depth,
        picture,
        name=f"{name}.grid",
        camera_object=place.camera,
        method=build.grid_method,
        width=build.grid_width,
        strength=1.0 if depth.metric else build.strength,
        max_distance=build.max_distance,
        at_rest=result.surface,
        **common,
    )


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
    return f"{line}, which {_moving_object(item, clip, sequence, place, output).name} follows"


def _moving_object(item: DepthWork, clip: ClipMaps[DepthMap], sequence: Image, place: Place, output: str) -> Object:
    build, camera = item.build, clip.first.camera
    common: dict[str, Any] = {
        "name": f"{item.source.name}.{output.lower()}",
        "resolution": build.mesh_resolution,
        "parent": place.scene.collection,
        "photo_image": place.photo,
    }
    if not clip.first.metric:
        return live.live_grid(camera, sequence, width=build.grid_width, strength=build.strength, **common)
    cut = output != "GRID"
    return live.live_relief(
        camera,
        sequence,
        camera_object=place.camera,
        tear=build.tear if cut else None,
        grazing=math.degrees(build.grazing) if cut else 90.0,
        max_distance=build.max_distance,
        specks=build.specks if cut else 0,
        **common,
    )


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
