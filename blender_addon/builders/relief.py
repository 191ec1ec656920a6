# SPDX-License-Identifier: GPL-3.0-or-later
"""The relief: a depth map unprojected into a mesh that coincides with the photo when seen from its camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpy.types import Image, Object
    from numpy.typing import NDArray

    from ...inference.results import DepthMap


def relief_mesh(
    depth_map: DepthMap,
    *,
    name: str,
    camera_object: Object | None = None,
    photo_image: Image | None = None,
    resolution: int | None = 1024,
    tear: float = 0.04,
    grazing: float = 85.0,
    confidence: NDArray | None = None,
) -> Object:
    """A mesh with one vertex a pixel (or fewer), a child of `camera_object`, UVs on the photo, the photo as its material.

    resolution : vertices along the long side; None for one a pixel.
    tear : a face is left out where its farthest corner is more than this part farther than its nearest.
    grazing : and where it is seen at more than this many degrees from its normal.
    confidence : (H, W), kept as point attribute `confidence`; `depth` (metres along the view) is always kept.

    Raises BadInput for a depth map that is not metric, NothingFound for one without a valid face.
    """
