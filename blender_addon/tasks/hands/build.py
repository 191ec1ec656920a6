# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands: depth, control image, ID map, masks and meshes of a photo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ....inference.errors import BadInput
from ....inference.results import DepthMap
from ...builders.bodies import hands
from ...builders.camera import scale
from ...builders.images import idmap, image
from ...builders.materials import materials
from ...builders.surfaces import displacement, relief
from ...core import roles
from ...work.hands import HandsWork, RefinedHands
from ..shared.gather import gathered
from ..shared.masks import build_masks, check_target
from ..shared.target import mesh_object
from . import build_clip
from .settings import BUILD, PARAMETERS

if TYPE_CHECKING:
    from bpy.types import Context
    from numpy.typing import NDArray

    from ...work.hands_clip import HandClip
    from ...work.item import JobResult
    from ..shared.finish import Place


def work(properties: Any, context: Context) -> HandsWork:
    """What the worker is to do. Raises MaquetteError."""
    item = HandsWork(
        **gathered("hands", PARAMETERS, BUILD, properties, context),
        scene_depth=_scene_depth(properties.scene_depth),
    )
    check_target(item)
    if item.build.depth == "MATERIAL":
        mesh_object(item, "displacement")
    if item.clip is not None:
        build_clip.check(item)
    return item


def build(item: HandsWork, found: JobResult[RefinedHands | HandClip], place: Place) -> str:
    """What is wanted made of the hands."""
    result = found.result
    if not isinstance(result, RefinedHands):
        return build_clip.build(item, result, found, place)
    maps, name = result.maps, item.source.name
    made = [_depth(item, result, found, place), *_pictures(item, result, found, place)]
    if item.build.build_meshes:
        hands.hand_meshes(
            maps, name=name, camera_object=place.camera, parent=place.scene.collection, licence=place.licence
        )
        made.append("a mesh of each")
    made.append(build_masks(item, found, place, place.licence))
    count = len(maps.hands)
    return ": made ".join([f"Found {count} hand{'s' * (count > 1)}", *filter(None, [", ".join(filter(None, made))])])


def _scene_depth(name: str) -> NDArray[np.float32] | None:
    """The metres (H, W) of the depth image of that name; None for no name. Raises BadInput where there is none."""
    if not name:
        return None
    picture = bpy.data.images.get(name)
    if picture is None or not picture.is_float or not picture.size[0]:
        raise BadInput(f"{name!r} is not a float image of depth.", "Choose a depth image made by Estimate Depth.")
    # The model's own metres: what is placed by them takes the photo's scale over from its camera.
    return image.image_array(picture)[..., 0] / np.float32(scale.metres_of(picture))


def _pictures(item: HandsWork, result: RefinedHands, found: JobResult, place: Place) -> list[str]:
    """The control image and the ID map, as they are asked for."""
    name, made = item.source.name, []
    if item.build.control_image:
        control = place.mark(hands.control_image(result.maps, name=name), "hands.control")
        made.append(f"the control image {control.name}")
    if result.ids is not None:
        exact, picture = idmap.id_images(
            result.ids, name=f"{name}.hands.id", folder=item.folder, file=found.files["hands.id"]
        )
        place.mark(exact, "hands.id")
        place.mark(picture, "hands.id.colour")
        made.append(f"the ID map {exact.name}")
    return made


def _depth(item: HandsWork, result: RefinedHands, found: JobResult, place: Place) -> str:
    """What is wanted made of the depth."""
    output, name = item.build.depth, f"{item.source.name}.hands"
    if output == "NONE":
        return ""
    role = "hands.height" if output == "MATERIAL" else "hands.depth"
    picture = place.mark(image.float_image(f"{item.source.name}.{role}", found.files[role], item.folder), role)
    if output == "MATERIAL":
        material = materials.active_material(mesh_object(item, "displacement"))
        displacement.displace_material(material, picture)
        return f"{picture.name} in the material {material.name}"
    if output == "IMAGE":
        return f"the image {picture.name}"
    maps = result.maps
    alone = DepthMap(maps.depth, maps.depth > 0, None, maps.camera, True, maps.preview)
    where = {"camera_object": place.camera, "photo_image": place.photo, "parent": place.scene.collection}
    if output == "RELIEF":
        obj = relief.relief_mesh(alone, name=f"{name}.relief", **where)
    else:
        obj = displacement.displaced_grid(alone, picture, name=f"{name}.grid", method="NODES", resolution=1024, **where)
    roles.mark(obj, "hands.surface", licence=place.licence)
    return f"the mesh {obj.name}"
