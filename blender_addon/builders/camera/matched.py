# SPDX-License-Identifier: GPL-3.0-or-later
"""The matched camera: a Blender camera that sees the scene as the photo's camera saw it, and the way back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.types import Image, Object, Scene
from mathutils import Matrix
from numpy.typing import NDArray

from ....inference.camera import Camera, Lens, level_world
from ....inference.errors import BadInput
from ....inference.geometry import rotations
from ...core import axes, compat, roles, transaction
from ...core.photo_links import camera_of
from ..bodies import action
from ..images import image
from . import scene as scenes

#: Custom property: the camera stands where the people's ground put it; without it, at the default place.
_PLACED = "maquette_placed"
#: Custom property: where the photo's straight edges put the camera, level at eye height: world from camera, row by row.
_LEVELLED = "maquette_levelled"
#: Custom property of a matched camera: fx, fy, cx, cy, width and height that its lens and shift were set to.
_INTRINSICS = "maquette_intrinsics"
#: Custom property: metres along x that a camera of which nothing is known stands beside what was in the scene already.
_ASIDE = "maquette_aside"
#: Custom property of an action: `animate` made it.
_WAY = "maquette_way"
_SENSOR = 36.0  # millimetres, full frame along the long side
_SHORTEST = 1.0  # millimetres, the shortest focal length that Blender takes


def matched_camera(
    camera: Camera,
    photo_image: Image,
    world_from_camera: NDArray | None = None,
    *,
    scene: Scene | None = None,
    set_render_size: bool = False,
    aside: bool = False,
) -> Object:
    """A camera object with these intrinsics and the photo as its background at 50 %.

    A photo that has a matched camera already gets the same one back, so that its depth, people and hands share a place.
    Its lens follows the newest intrinsics, but a guess never takes the place of a lens that is known, nor anything that
    of an artist who changed it. `world_from_camera` (4, 4) places it; a camera that was placed so before, or that the
    artist moved, stays where it is. Where straight edges tell the way up, it is turned so.
    It becomes the scene's camera if the scene has none. `set_render_size` makes the
    render the photo's size and shape. Blender keeps the pixel aspect in the scene: a camera whose fx and fy differ is
    exact with that size set. `aside` : a new camera stands beside what is in its way in the scene already.
    """
    target = scene or scenes.current()
    obj = camera_of(photo_image)
    if obj is None:
        obj = _new_camera(photo_image, target)
        if aside and (offset := scenes.free_aside(target)):
            obj[_ASIDE] = offset
        _show_background(obj, photo_image)
        _set_intrinsics(obj, camera)
        obj.data.clip_start = 0.01  # type: ignore[union-attr]
        _place(obj, world_from_camera)
    elif _may_follow(obj, camera, target):
        _set_intrinsics(obj, camera)
    if world_from_camera is None and camera.up is not None and not obj.get(_PLACED) and _at_default(obj):
        _level(obj, camera)
    if world_from_camera is not None and not obj.get(_PLACED) and _at_default(obj):
        before = obj.matrix_world.copy()
        transaction.on_failure(lambda: (setattr(obj, "matrix_world", before), obj.pop(_PLACED, None)))
        _place(obj, world_from_camera)
    if target.camera is None:
        transaction.change(target, camera=obj)
    if set_render_size:
        _set_render_size(target, camera)
    scenes.view_layer().update()  # children and users of matrix_world see the place at once
    return obj


def match_render(camera_object: Object, scene: Scene) -> str:
    """Give the scene's render the size and shape of a matched camera's photo, and the camera; returns what was done.
    Raises BadInput for another camera."""
    known = known_intrinsics(camera_object)
    if known is None:
        raise BadInput(f"{camera_object.name} is not a photo's camera.", "Build depth or people of a photo first.")
    _set_render_size(scene, known)
    scene.camera = camera_object
    return f"The render is {known.width} x {known.height} now, through {camera_object.name}"


def hold(obj: Object) -> None:
    """Stand a matched camera where `animate` made its way begin, and take the way from it."""
    camera: Any = obj.data
    for owner in (obj, camera):
        data = owner.animation_data
        if data is None or data.action is None or _WAY not in data.action:
            continue
        way = data.action
        transaction.on_failure(lambda owner=owner, way=way: compat.assign_action(owner, way))
        for curve in compat.channels_of(way, owner).fcurves:
            first = curve.evaluate(curve.keyframe_points[0].co.x)
            if owner is obj:
                getattr(obj, curve.data_path)[curve.array_index] = first
            else:
                setattr(owner, curve.data_path, first)
        owner.animation_data_clear()
    scenes.view_layer().update()


def stand_at(obj: Object, world_from_camera: NDArray) -> None:
    """Move a matched camera to where its people's floor puts it now; how the artist has moved it since they were built
    counts on. One that is animated stays."""
    data, now = obj.animation_data, axes.world_from_camera_of(obj)
    if data is not None and data.action is not None:
        return
    stood, before = obj.get(roles.STOOD), obj.matrix_world.copy()
    moved = np.eye(4) if stood is None else now @ np.linalg.inv(np.reshape(stood, (4, 4)))
    transaction.on_failure(lambda: setattr(obj, "matrix_world", before))
    obj.matrix_world = Matrix((moved @ world_from_camera @ axes.CAMERA_FLIP).tolist())
    obj[roles.STOOD], obj[_PLACED] = world_from_camera.ravel().tolist(), True
    scenes.view_layer().update()


def animate(obj: Object, travel: NDArray, frames: NDArray, zoom: NDArray | None = None) -> None:
    """Key the way of a matched camera, which stands where it saw the first frame.

    travel : (T, 4, 4) from the camera axes of each frame to those of the first.  frames : (T,) of the scene.
    zoom : (T,) shares of the first frame's focal length, of a camera that zooms.
    """
    if zoom is not None and np.ptp(zoom) > 0:
        _zoom(obj, zoom, frames)
    start = axes.world_from_camera_of(obj)
    scale = np.cbrt(np.linalg.det(start[:3, :3]))
    placed = start @ travel @ axes.CAMERA_FLIP
    turns = rotations.align_hemisphere(rotations.quaternions_of(placed[:, :3, :3] / scale))
    before = (obj.rotation_mode, obj.animation_data.action if obj.animation_data else None)
    obj.rotation_mode = "QUATERNION"
    keyed = action.new_action(obj, f"{obj.name}.way")
    keyed[_WAY] = True
    transaction.on_failure(lambda: (setattr(obj, "rotation_mode", before[0]), compat.assign_action(obj, before[1])))
    action.add_fcurves(keyed, obj, "location", frames, placed[:, :3, 3], "Camera")
    action.add_fcurves(keyed, obj, "rotation_quaternion", frames, turns, "Camera")
    obj.location, obj.rotation_quaternion = placed[0, :3, 3].tolist(), turns[0].tolist()


def _zoom(obj: Object, zoom: NDArray, frames: NDArray) -> None:
    data: Any = obj.data
    keyed, before = action.new_action(data, f"{obj.name}.zoom"), data.lens
    keyed[_WAY] = True
    transaction.on_failure(lambda: (data.animation_data_clear(), setattr(data, "lens", before)))
    action.add_fcurves(keyed, data, "lens", frames, before * zoom[:, None], "Camera")


def intrinsics_of(camera_object: Object, width: int, height: int, scene: Scene | None = None) -> Camera:
    """The pinhole camera, for photos of width x height pixels, of a Blender camera (see `lens_of`)."""
    return lens_of(camera_object, scene or scenes.current()).camera(width, height)


def lens_of(camera_object: Object, scene: Scene, photo_image: Image | None = None) -> Lens:
    """The lens of a Blender camera: focal length or field of view, sensor fit, shift, and the pixel aspect of the
    scene's render. A matched camera knows its photo's pixel aspect, whatever the render has.

    photo_image : a photo that the camera may show behind the scene; then it lies in the frame as the artist sees it.
    Raises BadInput for a camera without perspective.
    """
    data: Any = camera_object.data
    if not isinstance(data, bpy.types.Camera) or data.type != "PERSP":
        raise BadInput(f"{camera_object.name!r} is not a perspective camera.", "Choose another camera, or none.")
    render: Any = scene.render
    sensor = data.sensor_height if data.sensor_fit == "VERTICAL" else data.sensor_width
    lens = Lens(data.lens / sensor, data.sensor_fit, data.shift_x, data.shift_y)
    known = camera_object.get(_INTRINSICS)
    if known is not None:
        return replace(lens, aspect_x=known[1] / known[0], aspect_y=1.0)
    return replace(
        lens,
        aspect_x=render.pixel_aspect_x,
        aspect_y=render.pixel_aspect_y,
        render=(render.resolution_x, render.resolution_y),
        fill=_fill(data, photo_image),
    )


def _fill(data: Any, photo_image: Image | None) -> str:
    """How a photo lies in the frame of the camera that shows it; "" where it fills it or is not shown."""
    for background in data.background_images:
        if photo_image is not None and background.image == photo_image and data.show_background_images:
            moved = background.scale != 1.0 or any(background.offset) or background.rotation
            return "" if moved or background.frame_method == "STRETCH" else background.frame_method
    return ""


def known_intrinsics(camera_object: Object) -> Camera | None:
    """The intrinsics that a matched camera was set to; None for any other camera."""
    known: Any = camera_object.get(_INTRINSICS)
    if known is None:
        return None
    source = str(camera_object.get(roles.LENS, "given"))
    return Camera(known[0], known[1], known[2], known[3], int(known[4]), int(known[5]), source)


def by_lines(photo_image: Image) -> Camera | None:
    """The intrinsics of a photo as its straight lines give them, and the way up; None where its camera has others."""
    obj = camera_of(photo_image)
    if obj is None or obj.get(roles.LENS) != "lines":
        return None
    camera, levelled = known_intrinsics(obj), obj.get(_LEVELLED)
    if camera is None or levelled is None:
        return camera
    x, y, z = np.reshape(levelled, (4, 4))[2, :3].tolist()  # type: ignore[arg-type]
    return replace(camera, up=(x, y, z))


def adopt(obj: Object, camera_object: Object | None) -> None:
    """Make the object a child of the camera, in camera space; without one, stand it at the default camera's place."""
    if camera_object is None:
        obj.matrix_world = Matrix(axes.camera_matrix(None).tolist())
    else:
        obj.parent = camera_object
        obj.matrix_parent_inverse.identity()


def _new_camera(photo_image: Image, scene: Scene) -> Object:
    name = f"{Path(photo_image.name).stem or photo_image.name}.camera"
    obj = bpy.data.objects.new(name, bpy.data.cameras.new(name))
    obj[roles.IMAGE] = photo_image
    scene.collection.objects.link(obj)
    return obj


def _set_intrinsics(obj: Object, camera: Camera) -> None:
    """Lens, fit and shift, and the numbers that they stand for."""
    data: Any = obj.data
    lens = Lens.of(camera)
    data.sensor_fit = lens.fit
    data.sensor_width = data.sensor_height = max(_SENSOR, _SHORTEST / lens.focal)
    data.lens = lens.focal * data.sensor_width
    data.shift_x, data.shift_y = lens.shift_x, lens.shift_y
    obj[_INTRINSICS] = [camera.fx, camera.fy, camera.cx, camera.cy, float(camera.width), float(camera.height)]
    obj[roles.LENS], obj[roles.LENS_TEXT] = camera.source, camera.lens
    _fit_background(obj, lens, camera)


#: Blender's numbers of the ways in which a background lies in the frame.
_FRAMINGS: Any = {
    item.identifier: item.value
    for item in bpy.types.CameraBackgroundImage.bl_rna.properties["frame_method"].enum_items  # type: ignore[attr-defined]
}


def _fit_background(obj: Object, lens: Lens, camera: Camera) -> None:
    """Let the photo lie on what is built of it in a frame of any shape: it always fills the side that the sensor is
    fitted to, which is fitting the frame in one that is longer the other way, and cropping in the others."""
    data: Any = obj.data
    shown: Any = next((one for one in data.background_images if one.image == obj.get(roles.IMAGE)), None)
    if shown is None:
        return
    if abs(lens.aspect_x / lens.aspect_y - 1) > 1e-6:
        transaction.change(shown.image, display_aspect=(lens.aspect_x, lens.aspect_y))
    shape = camera.width * lens.aspect_x / (camera.height * lens.aspect_y)
    sign = "<=" if lens.fit == "HORIZONTAL" else ">="
    path = f"background_images[{data.background_images[:].index(shown)}].frame_method"
    data.driver_remove(path)
    driver = data.driver_add(path).driver
    driver.type = "SCRIPTED"
    for name, what in (("w", "resolution_x"), ("h", "resolution_y"), ("u", "pixel_aspect_x"), ("v", "pixel_aspect_y")):
        variable = driver.variables.new()
        variable.name, variable.type = name, "CONTEXT_PROP"
        variable.targets[0].context_property, variable.targets[0].data_path = "ACTIVE_SCENE", f"render.{what}"
    driver.expression = f"{_FRAMINGS['FIT']} if w*u {sign} {shape:.9g}*h*v else {_FRAMINGS['CROP']}"


def _set_render_size(scene: Scene, camera: Camera) -> None:
    lens = Lens.of(camera)
    transaction.change(
        scene.render,
        resolution_x=camera.width,
        resolution_y=camera.height,
        resolution_percentage=100,
        pixel_aspect_x=lens.aspect_x,
        pixel_aspect_y=lens.aspect_y,
    )


def _may_follow(obj: Object, camera: Camera, scene: Scene) -> bool:
    """Whether a matched camera that is there takes these intrinsics; if so, a failing job puts the old ones back."""
    before = known_intrinsics(obj)
    if before is None or (camera.source == "default" and before.source != "default"):
        return False
    now = intrinsics_of(obj, before.width, before.height, scene)
    if not np.allclose(_numbers(now), _numbers(before), rtol=1e-4, atol=0.01):
        return False  # the artist's
    if np.allclose(_numbers(camera), _numbers(before), rtol=1e-9):
        return camera.source != before.source
    transaction.on_failure(lambda: _set_intrinsics(obj, before))
    return True


def _numbers(camera: Camera) -> list[float]:
    return [camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height]


def _show_background(obj: Object, photo_image: Image) -> None:
    data: Any = obj.data
    background = data.background_images.new()
    background.image = photo_image
    background.alpha = 0.5
    if photo_image.source in {"MOVIE", "SEQUENCE"}:
        image.play(background.image_user, photo_image)
    data.show_background_images = True


def _place(obj: Object, world_from_camera: NDArray | None) -> None:
    obj.matrix_world = Matrix(_rescaled_place(obj, world_from_camera).tolist())
    if world_from_camera is not None:
        obj[_PLACED] = True


def _level(obj: Object, camera: Camera) -> None:
    """Turn a camera of which nobody knows the place as straight edges say; people may still place it."""
    before, levelled = obj.matrix_world.copy(), obj.get(_LEVELLED)

    def restore() -> None:
        obj.matrix_world = before
        if levelled is None:
            obj.pop(_LEVELLED, None)

    transaction.on_failure(restore)
    obj[_LEVELLED] = level_world(camera.up or (0, -1, 0), axes.EYE_HEIGHT).ravel().tolist()
    obj.matrix_world = Matrix(_rescaled_place(obj, None).tolist())


def _rescaled_place(obj: Object, world_from_camera: NDArray | None) -> NDArray:
    """Matrix of the camera at a place that was found before its photo was rescaled: as large, and as high up."""
    scale: Any = obj.get(roles.SCALE, 1.0)
    levelled: Any = obj.get(_LEVELLED)
    if world_from_camera is None and levelled is not None:
        world_from_camera = np.reshape(levelled, (4, 4))
    placed = axes.camera_matrix(world_from_camera)
    placed[:3, :3] *= scale
    placed[2, 3] *= scale
    placed[0, 3] += obj.get(_ASIDE, 0.0)  # type: ignore[operator]
    return placed


def _at_default(obj: Object) -> bool:
    """Whether nobody has moved the camera from where one of which nothing is known stands, but to rescale its photo."""
    now, placed = np.array(obj.matrix_world), _rescaled_place(obj, None)
    heights = (placed[2, 3], axes.EYE_HEIGHT)  # it rose with the floor kept, or stayed itself
    placed[2, 3] = min(heights, key=lambda height: abs(height - now[2, 3]))
    return bool(np.allclose(now, placed, atol=1e-5 * max(1.0, placed[2, 3])))
