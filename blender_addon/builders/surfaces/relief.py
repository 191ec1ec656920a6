# SPDX-License-Identifier: GPL-3.0-or-later
"""The relief: a depth map unprojected into a mesh that coincides with the photo when seen from its camera."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy

from ....inference.errors import BadInput, NothingFound
from ....inference.geometry import relief_grid
from ...core import axes
from ..camera import matched, scene
from ..materials import materials
from . import meshes

if TYPE_CHECKING:
    from bpy.types import Collection, Image, Object
    from numpy.typing import NDArray

    from ....inference.geometry.relief_grid import Edges, Surface
    from ....inference.results import DepthMap


def relief_mesh(
    depth_map: DepthMap,
    *,
    name: str,
    camera_object: Object | None = None,
    photo_image: Image | None = None,
    confidence: NDArray | None = None,
    found: tuple[Surface, Edges] | None = None,
    parent: Collection | None = None,
    **limits: Any,
) -> Object:
    """A mesh with one vertex a pixel (or fewer), a child of `camera_object`, with UVs on the photo and its colours.

    confidence : (H, W), kept as point attribute `confidence`; `depth` (metres along the view) is always kept.
    found : the surface and its edges, where a worker has unprojected it already.
    parent : collection of the object, by default the scene's own.
    limits : resolution, tear, grazing, max_distance and specks, as `relief_grid.unprojected` takes them.

    Raises BadInput for a depth map that is not metric, NothingFound for one without a valid face.
    """
    if not depth_map.metric:
        raise BadInput("A surface's height map has no distances to unproject.", "Build a displaced grid instead.")
    if found is None:
        seen = relief_grid.unprojected(depth_map, **limits)
        found = seen, seen.edges()
    seen, edges = found
    if len(seen.quads) == 0:
        raise NothingFound(
            "The depth map has no surface within these limits.",
            "Choose another photo, or a larger Tear or maximum distance.",
        )
    mesh = meshes.new_mesh(name, axes.to_camera_space(seen.vertices), seen.quads, seen.uvs, edges)
    meshes.set_point_attribute(mesh, "depth", seen.vertices[:, 2])
    if confidence is not None:
        meshes.set_point_attribute(mesh, "confidence", confidence.ravel()[seen.pixels])
    if photo_image is not None:
        mesh.materials.append(materials.photo_material(name, photo_image))
    obj = bpy.data.objects.new(name, mesh)
    matched.adopt(obj, camera_object)
    scene.link(obj, parent)
    return obj
