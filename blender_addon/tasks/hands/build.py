# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands: depth, control image, ID map, masks and meshes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ....inference.errors import BadInput, NothingFound
from ....inference.results import DepthMap
from ...builders.bodies import hands
from ...builders.camera import scale
from ...builders.images import idmap, image
from ...builders.materials import materials
from ...builders.surfaces import displacement, relief
from ...core import roles
from ...work import HandBuild, HandsRequest, Inferred
from ..shared.common import licence_of, matched, mesh_object, shared
from ..shared.masks import build_masks, check_target, mask_build
from . import build_clip

if TYPE_CHECKING:
    from bpy.types import Context, Image, Object, Scene
    from numpy.typing import NDArray

    from ....inference.results import HandMaps

_OBJECTS = {"RELIEF", "GRID"}


def request(properties: Any, context: Context) -> HandsRequest:
    """From `properties.HandsSettings` and `PhotoInput`. Raises MaquetteError."""
    wanted = HandsRequest(
        **shared(properties, context),
        mask_bbox_padding=properties.mask_bbox_padding,
        mask_type=properties.mask_type,
        mask_expand=properties.mask_expand,
        rand_seed=properties.rand_seed,
        resolution=properties.resolution,
        boxes=properties.boxes,
        detect_thr=properties.detect_thr,
        presence_thr=properties.presence_thr,
        exact=properties.exact,
        scene_depth=_scene_depth(properties.scene_depth),
        masks=mask_build(properties, split=properties.mask_split),
        build=HandBuild(
            properties.depth,
            properties.control_image,
            properties.id_map,
            properties.build_meshes,
            properties.mesh_cache,
        ),
    )
    check_target(wanted)
    if wanted.build.depth == "MATERIAL":
        mesh_object(wanted, "displacement")
    if wanted.source.is_clip and properties.frames == "CLIP":
        return build_clip.request(wanted, properties.start_frame)
    return wanted


def build(request: HandsRequest, inferred: Inferred, scene: Scene) -> str:
    """What the request wants made of the hands. Raises NothingFound where there is no hand."""
    if request.whole_clip:
        return build_clip.build(request, inferred, scene)
    maps, name = inferred.result, request.source.name
    if not maps.hands:
        raise NothingFound("No hand was found in the photo.", "Choose another photo, or give the hands' boxes.")
    wanted = request.build
    photo, camera = matched(request, inferred, scene) if _needs_camera(request) else (None, None)
    made = [_depth(request, inferred, photo, camera, scene), *_pictures(request, inferred)]
    if wanted.meshes:
        hands.hand_meshes(maps, name=name, camera_object=camera, parent=scene.collection, licence=licence_of(request))
        made.append("a mesh of each")
    made.append(build_masks(request, inferred, maps.camera, camera, scene, licence_of(request)))
    count = len(maps.hands)
    found = f"Found {count} hand{'s' * (count > 1)}"
    return ": made ".join([found, *filter(None, [", ".join(filter(None, made))])])


def _scene_depth(name: str) -> NDArray[np.float32] | None:
    """The metres (H, W) of the depth image of that name; None for no name. Raises BadInput where there is none."""
    if not name:
        return None
    picture = bpy.data.images.get(name)
    if picture is None or not picture.is_float or not picture.size[0]:
        raise BadInput(f"{name!r} is no float image of depth.", "Choose the depth image that Estimate Depth has made.")
    # The model's own metres: what is placed by them takes the photo's scale over from its camera.
    return image.image_array(picture)[..., 0] / np.float32(scale.metres_of(picture))


def _needs_camera(request: HandsRequest) -> bool:
    wanted = request.build
    return wanted.meshes or wanted.depth in _OBJECTS or request.masks.needs_camera


def _pictures(request: HandsRequest, inferred: Inferred) -> list[str]:
    """The control image and the ID map, as they are asked for."""
    maps, name, made = inferred.result, request.source.name, []
    digest, licence = inferred.photo.digest, licence_of(request)
    if request.build.control:
        control = roles.mark(hands.control_image(maps, name=name), "hands.control", digest, licence)
        made.append(f"the control image {control.name}")
    if request.build.ids:
        ids, file = inferred.maps["id"], inferred.files["hands.id"]
        exact, picture = idmap.id_images(ids, name=f"{name}.hands.id", folder=request.folder, file=file)
        for part, role in ((exact, "hands.id"), (picture, "hands.id.colour")):
            roles.mark(part, role, digest, licence)
        made.append(f"the ID map {exact.name}")
    return made


def _depth(request: HandsRequest, inferred: Inferred, photo: Image | None, camera: Object | None, scene: Scene) -> str:
    """What the request wants made of the depth."""
    maps, name, output = inferred.result, f"{request.source.name}.hands", request.build.depth
    if output == "NONE":
        return ""
    if output == "MATERIAL":
        height = _float_image(request, inferred, "height")
        material = materials.active_material(mesh_object(request, "displacement"))
        displacement.displace_material(material, height)
        return f"{height.name} in the material {material.name}"
    depth = _float_image(request, inferred, "depth")
    if output == "IMAGE":
        return f"the image {depth.name}"
    where = {"camera_object": camera, "photo_image": photo, "parent": scene.collection}
    if output == "RELIEF":
        obj = relief.relief_mesh(_depth_map(maps), name=f"{name}.relief", **where)
    else:
        obj = displacement.displaced_grid(
            _depth_map(maps), depth, name=f"{name}.grid", method="NODES", resolution=1024, **where
        )
    roles.mark(obj, "hands.surface", licence=licence_of(request))
    return f"the mesh {obj.name}"


def _float_image(request: HandsRequest, inferred: Inferred, what: str) -> Image:
    made = image.float_image(f"{request.source.name}.hands.{what}", inferred.files[f"hands.{what}"], request.folder)
    return roles.mark(made, f"hands.{what}", inferred.photo.digest, licence_of(request))


def _depth_map(maps: HandMaps) -> DepthMap:
    """The hands alone as a depth map in metres."""
    return DepthMap(maps.depth, maps.depth > 0, None, maps.camera, True, maps.preview)
