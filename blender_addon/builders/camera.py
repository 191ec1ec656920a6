# SPDX-License-Identifier: GPL-3.0-or-later
"""The matched camera: a Blender camera that sees the scene as the photo's camera saw it, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpy.types import Image, Object, Scene
    from numpy.typing import NDArray

    from ...inference.camera import Camera


def matched_camera(
    camera: Camera,
    photo_image: Image,
    world_from_camera: NDArray | None = None,
    *,
    scene: Scene | None = None,
    set_render_size: bool = False,
) -> Object:
    """A camera object with these intrinsics and the photo as its background at 50 %.

    A photo that has a matched camera already gets the same one back, so that its depth, people and hands share a place;
    `world_from_camera` (4, 4), where given, moves it only if no builder or artist has placed it before.
    It becomes the scene's camera if the scene has none. `set_render_size` makes the render the photo's size and shape.
    """


def camera_of(photo_image: Image) -> Object | None:
    """The matched camera of this photo, if it has one."""


def intrinsics_of(camera_object: Object, width: int, height: int, scene: Scene | None = None) -> Camera:
    """The pinhole camera, for pictures of width x height pixels, of a Blender camera: lens or field of view, sensor fit,
    shift, and the scene's pixel aspect are honoured. Raises BadInput for a camera without perspective."""
