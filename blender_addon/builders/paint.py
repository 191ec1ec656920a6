# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks as paint: a layer in the material, the stencil, a point attribute, a vertex group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpy.types import Attribute, Image, Object, Scene, ShaderNodeTexImage, VertexGroup
    from numpy.typing import NDArray

    from ...inference.camera import Camera


def add_mask_layer(
    obj: Object,
    mask_image: Image,
    colour: Sequence[float] = (0.8, 0.1, 0.05, 1.0),
    *,
    camera: Camera | None = None,
    camera_object: Object | None = None,
) -> ShaderNodeTexImage:
    """Add the mask as a texture paint slot of the active material: colour shows where the mask is white.

    Every node and link of the material survives: what fed the base colour becomes the lower input of a Mix node whose
    factor is the mask. Works on an object without material, with an empty slot, and on an output that no Principled
    BSDF feeds. With `camera` and `camera_object` the mask is projected onto the object from there through a UV map of
    its own; otherwise the active UV map is used. Returns the mask's Image Texture node, selected as the paint slot.
    """


def set_stencil(scene: Scene, image: Image) -> None:
    """Make the image the stencil of texture painting: strokes reach only where the mask is white."""


def project_uvs(obj: Object, camera: Camera, camera_object: Object, name: str = "photo") -> str:
    """A UV map of the photo, projected from its camera onto the object as it stands; returns the map's name."""


def mask_attribute(obj: Object, mask: NDArray, camera: Camera, camera_object: Object, name: str = "mask") -> Attribute:
    """The mask (H, W) 0..1 as FLOAT point attribute: each vertex takes the value of the photo's pixel it falls on,
    0 outside the picture and behind the camera."""


def mask_vertex_group(
    obj: Object, mask: NDArray, camera: Camera, camera_object: Object, name: str = "mask"
) -> VertexGroup:
    """The mask as a vertex group, weights in 255 steps (Blender has no bulk access to single weights)."""
