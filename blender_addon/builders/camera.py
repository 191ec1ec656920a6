# SPDX-License-Identifier: GPL-3.0-or-later
"""The matched camera: a Blender camera that sees the scene as the photo's camera saw it, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
import numpy as np
from mathutils import Matrix

from ...inference.camera import Camera
from ...inference.errors import BadInput
from . import axes, image, transaction
from . import scene as scenes

if TYPE_CHECKING:
    from bpy.types import Image, Object, Scene
    from numpy.typing import NDArray

#: Custom property of a matched camera object: its photo's image.
PHOTO = "maquette_photo"
#: Custom property: the camera stands where the people's ground put it; without it, at the default place.
_PLACED = "maquette_placed"
_SENSOR = 36.0  # millimetres, full frame along the long side


def matched_camera(
    camera: Camera,
    photo_image: Image,
    world_from_camera: NDArray | None = None,
    *,
    scene: Scene | None = None,
    set_render_size: bool = False,
) -> Object:
    """A camera object with these intrinsics and the photo as its background at 50 %.

    A photo that has a matched camera already gets the same one back, so that its depth, people and hands share a place.
    `world_from_camera` (4, 4) places it; a camera that was placed so before, or that the artist moved, stays where it
    is. It becomes the scene's camera if the scene has none. `set_render_size` makes the render the photo's size and
    shape. Blender keeps the pixel aspect in the scene: a camera whose fx and fy differ is exact with that size set.
    """
    target = scene or scenes.current()
    obj = camera_of(photo_image)
    if obj is None:
        obj = _new_camera(photo_image, target)
        _set_intrinsics(obj, camera)
        _show_background(obj, photo_image)
        _place(obj, world_from_camera)
    elif world_from_camera is not None and not obj.get(_PLACED) and _at_default(obj):
        before = obj.matrix_world.copy()
        transaction.on_failure(lambda: (setattr(obj, "matrix_world", before), obj.pop(_PLACED, None)))
        _place(obj, world_from_camera)
    if target.camera is None:
        target.camera = obj
        transaction.on_failure(lambda: setattr(target, "camera", None))
    if set_render_size:
        _set_render_size(target, camera)
    scenes.view_layer().update()  # children and users of matrix_world see the place at once
    return obj


def camera_of(photo_image: Image) -> Object | None:
    """The matched camera of this photo, if it has one."""
    for obj in bpy.data.objects:
        if obj.type == "CAMERA" and obj.get(PHOTO) == photo_image:
            return obj
    return None


def intrinsics_of(camera_object: Object, width: int, height: int, scene: Scene | None = None) -> Camera:
    """The pinhole camera, for pictures of width x height pixels, of a Blender camera: lens or field of view, sensor
    fit, shift, and the scene's pixel aspect are honoured. Raises BadInput for a camera without perspective."""
    data = camera_object.data
    if not isinstance(data, bpy.types.Camera) or data.type != "PERSP":
        raise BadInput(f"{camera_object.name} is no perspective camera.", "Choose a camera of type Perspective.")
    render = (scene or scenes.current()).render
    aspect_x, aspect_y = render.pixel_aspect_x, render.pixel_aspect_y
    # Blender fits the sensor to the picture's side in display units, where a pixel is aspect_x by aspect_y.
    wide = width * aspect_x >= height * aspect_y
    horizontal = data.sensor_fit == "HORIZONTAL" or (data.sensor_fit == "AUTO" and wide)
    sensor = data.sensor_height if data.sensor_fit == "VERTICAL" else data.sensor_width
    fitted = width * aspect_x if horizontal else height * aspect_y
    focal = data.lens / sensor * fitted
    return Camera(
        fx=focal / aspect_x,
        fy=focal / aspect_y,
        cx=width / 2 - data.shift_x * fitted / aspect_x,
        cy=height / 2 + data.shift_y * fitted / aspect_y,
        width=width,
        height=height,
        source="scene",
    )


def adopt(obj: Object, camera_object: Object | None) -> None:
    """Make the object a child of the camera, in camera space; without one, stand it at the default camera's place."""
    if camera_object is None:
        obj.matrix_world = Matrix(axes.camera_matrix(None).tolist())
    else:
        obj.parent = camera_object
        obj.matrix_parent_inverse.identity()


def _new_camera(photo_image: Image, scene: Scene) -> Object:
    name = f"{photo_image.name}.camera"
    obj = bpy.data.objects.new(name, bpy.data.cameras.new(name))
    obj[PHOTO] = photo_image
    scene.collection.objects.link(obj)
    return obj


def _set_intrinsics(obj: Object, camera: Camera) -> None:
    """Lens, fit and shift. Shifts count in the fitted side; Blender's y goes up, the photo's down."""
    data: Any = obj.data
    aspect_x, aspect_y = _pixel_aspect(camera)
    wide = camera.width * aspect_x >= camera.height * aspect_y
    fitted = camera.width * aspect_x if wide else camera.height * aspect_y
    data.sensor_fit = "HORIZONTAL" if wide else "VERTICAL"
    data.sensor_width = data.sensor_height = _SENSOR
    data.lens = camera.fx * aspect_x / fitted * _SENSOR
    data.shift_x = (camera.width / 2 - camera.cx) * aspect_x / fitted
    data.shift_y = (camera.cy - camera.height / 2) * aspect_y / fitted
    data.clip_start = 0.01


def _pixel_aspect(camera: Camera) -> tuple[float, float]:
    """The scene's pixel aspect that makes fx and fy one focal length; both at least 1, as Blender wants them."""
    ratio = camera.fy / camera.fx  # a pixel is this many times as wide as high
    return max(ratio, 1.0), max(1.0 / ratio, 1.0)


def _set_render_size(scene: Scene, camera: Camera) -> None:
    render: Any = scene.render
    names = ("resolution_x", "resolution_y", "resolution_percentage", "pixel_aspect_x", "pixel_aspect_y")
    before = {name: getattr(render, name) for name in names}
    transaction.on_failure(lambda: [setattr(render, name, value) for name, value in before.items()])
    render.resolution_x, render.resolution_y, render.resolution_percentage = camera.width, camera.height, 100
    render.pixel_aspect_x, render.pixel_aspect_y = _pixel_aspect(camera)


def _show_background(obj: Object, photo_image: Image) -> None:
    data: Any = obj.data
    background = data.background_images.new()
    background.image = photo_image
    background.alpha = 0.5
    background.frame_method = "STRETCH"
    if photo_image.source in {"MOVIE", "SEQUENCE"}:
        image.play(background.image_user, photo_image)
    data.show_background_images = True


def _place(obj: Object, world_from_camera: NDArray | None) -> None:
    obj.matrix_world = Matrix(axes.camera_matrix(world_from_camera).tolist())
    if world_from_camera is not None:
        obj[_PLACED] = True


def _at_default(obj: Object) -> bool:
    return bool(np.allclose(np.array(obj.matrix_world), axes.camera_matrix(None), atol=1e-5))
