# SPDX-License-Identifier: GPL-3.0-or-later
"""The relief: a depth map unprojected into a mesh that coincides with the photo when seen from its camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    resolution: int | None = 1024,
    tear: float = 0.04,
    grazing: float = 87.0,
    max_distance: float = 0.0,
    specks: int = 0,
    confidence: NDArray | None = None,
    found: tuple[Surface, Edges] | None = None,
    parent: Collection | None = None,
) -> Object:
    """A mesh with one vertex a pixel (or fewer), a child of `camera_object`, with UVs on the photo and its colours.

    resolution : vertices along the long side; None for one a pixel.
    tear : a face is left out where neighbouring depths differ by more than this part and neither continues the surface
        on its side; a floor that runs away from the viewer is not torn.
    grazing : a face is left out where it is seen at more than this many degrees from its normal.
    max_distance : metres along the view beyond which there is no surface; 0 for no limit.
    specks : pieces of fewer faces than this are left out.
    confidence : (H, W), kept as point attribute `confidence`; `depth` (metres along the view) is always kept.
    found : the surface and its edges, where a worker has unprojected it already.
    parent : collection of the object, by default the scene's own.

    Raises BadInput for a depth map that is not metric, NothingFound for one without a valid face.
    """
    if not depth_map.metric:
        raise BadInput("A surface's height map has no distances to unproject.", "Build a displaced grid instead.")
    if found is None:
        seen = relief_grid.unprojected(
            depth_map, resolution=resolution, tear=tear, grazing=grazing, max_distance=max_distance, specks=specks
        )
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
