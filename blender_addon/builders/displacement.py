# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth and height as displacement: a grid with a modifier, or a Displacement node in the material."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpy.types import Image, Material, Object, ShaderNodeDisplacement

    from ...inference.results import DepthMap


def displaced_grid(
    depth_map: DepthMap,
    depth_image: Image,
    *,
    name: str,
    camera_object: Object | None = None,
    photo_image: Image | None = None,
    method: str = "DISPLACE",
    resolution: int = 512,
    width: float = 2.0,
    strength: float = 1.0,
) -> Object:
    """A grid with the photo's shape that `depth_image` displaces live, mid-level 0.

    Metric depth: a child of `camera_object`, pushed along the view by metres. "DISPLACE" (the Displace modifier) pushes
    all points in parallel, the grid being as wide as the view is at the median depth: right at that depth, stretched
    before and behind it. "NODES" (Geometry Nodes) pushes each point along its own ray: exact everywhere.
    Relief (not metric): a flat grid `width` metres wide on the ground, lifted by height x `strength` metres.

    resolution : vertices along the long side.  Faces that touch invalid pixels are left out.
    """


def displace_material(
    material: Material,
    height_image: Image,
    *,
    scale: float = 1.0,
    midlevel: float = 0.0,
    space: str = "OBJECT",
) -> ShaderNodeDisplacement:
    """Add Image Texture -> Displacement to the material's output; every node and link that is there stays.

    An existing displacement is added to, not replaced. Sets the material to bump and displacement.
    """


def adaptive_subdivision(obj: Object, *, pixels: float = 1.0) -> None:
    """Let Cycles subdivide the object as finely as the render needs (adds a Subdivision Surface modifier)."""
