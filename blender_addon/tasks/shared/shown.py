# SPDX-License-Identifier: GPL-3.0-or-later
"""What was made is seen: selected, framed in the viewport, and pictures in an image editor that is in sight."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import bpy
from bpy.types import Image, Object, Scene
from mathutils import Quaternion, Vector

from ...core import roles

#: Of several pictures the first of these is shown; depths in metres are black and white in an editor.
_LAST = ("depth", "height", "hands.depth", "hands.id")
#: How far a view may look past a photo's camera before it is turned, and how far it looks past it then (radians).
_SIDEWAYS, _PAST = 0.7, 0.45
#: Height of a view's direction below which it sees the floor from its edge.
_LEVEL = 0.3
#: How often each picture was marked as changed, by its number in the session, and how much more often the next is than
#: any before it: builders change them a few times.
_changes: dict[int, int] = {}
_APART = 5


def select(made: Iterable[Any], scene: Scene) -> list[Object]:
    """Select what was made, the first of it active, where the artist is in Object Mode; returns it."""
    context: Any = bpy.context
    layer = context.view_layer
    layer.update()  # what was just put into a collection counts
    chosen = _chosen(made, layer)
    if not chosen or (layer.objects.active is not None and layer.objects.active.mode != "OBJECT"):
        return []
    for obj in layer.objects:
        obj.select_set(obj in chosen, view_layer=layer)
    layer.objects.active = chosen[0]
    return chosen


def _chosen(made: Iterable[Any], layer: Any) -> list[Object]:
    """Rigs before what they move, without cameras and what is hidden."""
    objects = [one for one in made if isinstance(one, Object) and one.name in layer.objects]
    objects = [one for one in objects if one.type != "CAMERA" and one.visible_get(view_layer=layer)]
    return [one for one in objects if not (one.type == "MESH" and one.find_armature() in objects)]


def frame(chosen: list[Object], scene: Scene, asked: bool = False) -> None:
    """Show what is selected in the largest viewport: through the photo's camera where that is the scene's, or else
    framed. A view through another camera is the artist's, who leaves it only where it was `asked` for."""
    found = _largest_viewport(scene)
    if found is None or not chosen:
        return
    window, area, region = found
    space: Any = area.spaces.active
    shading = space.shading
    if shading.type == "SOLID" and shading.color_type == "MATERIAL" and any(map(_has_picture, chosen)):
        shading.color_type = "TEXTURE"  # as Blender starts, the photo is not to be seen
    camera: Any = scene.camera
    if camera is not None and roles.IMAGE in camera and any(_belongs(obj, camera) for obj in chosen):
        _look_through(window, area, region)
    elif asked or space.region_3d.view_perspective != "CAMERA":
        if space.region_3d.view_perspective == "CAMERA":
            space.region_3d.view_perspective = "PERSP"
        _face(chosen, scene, space.region_3d)
        with bpy.context.temp_override(window=window, area=area, region=region):
            bpy.ops.view3d.view_selected()
        _clear_of_sidebar(area, region, space.region_3d)


def look_through_camera(scene: Scene) -> None:
    """Look through the scene's camera in the largest viewport, where there is one."""
    if (found := _largest_viewport(scene)) is not None:
        _look_through(*found)


def _largest_viewport(scene: Scene) -> tuple[Any, Any, Any] | None:
    """Its window, area and region."""
    found = max(_areas("VIEW_3D", scene), key=lambda one: one[1].width * one[1].height, default=None)
    return None if found is None else (*found, next(one for one in found[1].regions if one.type == "WINDOW"))


def _look_through(window: Any, area: Any, region: Any) -> None:
    area.spaces.active.region_3d.view_perspective = "CAMERA"
    with bpy.context.temp_override(window=window, area=area, region=region):
        bpy.ops.view3d.view_center_camera()


def _face(chosen: list[Object], scene: Scene, view: Any) -> None:
    """Turn a view that would show a photo's surface from its side or from behind towards it, and a little past the
    photo's camera, so that its depth is seen."""
    surfaces = [obj for obj in chosen if obj.type == "MESH" and obj.find_armature() is None]
    cameras = [obj for obj in scene.objects if obj.type == "CAMERA" and roles.IMAGE in obj]
    camera = next((one for one in cameras if any(_belongs(obj, one) for obj in surfaces)), None)
    ahead = Vector((0.0, 0.0, -1.0))
    if camera is None:  # a grid, which lies on the floor
        if surfaces and abs((view.view_rotation @ ahead).z) < _LEVEL:
            view.view_rotation = view.view_rotation @ Quaternion((1.0, 0.0, 0.0), -_SIDEWAYS)
        return
    turned = camera.matrix_world.to_quaternion()
    if (view.view_rotation @ ahead).angle(turned @ ahead) > _SIDEWAYS:
        view.view_rotation = Quaternion((0.0, 0.0, 1.0), _PAST) @ turned


def _clear_of_sidebar(area: Any, region: Any, view: Any) -> None:
    """Bring what is framed in the middle of a viewport into the middle of what its sidebar leaves free."""
    from bpy_extras import view3d_utils

    sidebar = next(one for one in area.regions if one.type == "UI")
    covered = region.x + region.width - sidebar.x if sidebar.width > 1 and sidebar.x > region.x else 0
    if not 0 < covered < region.width / 2:
        return
    view.view_distance *= region.width / (region.width - covered)
    view.update()
    middle = (region.width + covered) / 2, region.height / 2
    view.view_location = view3d_utils.region_2d_to_location_3d(region, view, middle, view.view_location)


def open_picture(made: Iterable[Any], scene: Scene) -> Image | None:
    """Show the most telling of the pictures in an image editor that is in sight and shows no render; returns it."""
    pictures = [one for one in made if isinstance(one, Image) and roles.DIGEST not in one]
    pictures.sort(key=lambda one: one.get(roles.ROLE) in _LAST)
    return pictures[0] if pictures and _in_sight(pictures[0], scene) is not None else None


def _in_sight(image: Image, scene: Scene) -> tuple[Any, Any] | None:
    """Show an image in an editor that is in sight; returns its window and area, None where there is none."""
    for window, area in _areas("IMAGE_EDITOR", scene):
        space: Any = area.spaces.active
        render = space.image is not None and space.image.type == "RENDER_RESULT"
        if space.ui_mode == "VIEW" and not space.use_image_pin and not render:
            space.image = image
            _draw_afresh(image)
            return window, area
    return None


def _draw_afresh(image: Image) -> None:
    """Have an editor draw a picture from its pixels. It tells pictures apart by where they lie in memory and by how
    often they have changed: after an undo Blender 4.3 showed one that was gone in place of the next that was made."""
    wanted = max(_changes.values(), default=0) + _APART
    with suppress(RuntimeError):  # its file is gone
        for _ in range(wanted - _changes.get(image.session_uid, 0)):
            image.update()
    _changes[image.session_uid] = wanted


def open_image(image: Image, scene: Scene, then: str = "") -> None:
    """Show an image in an editor that is in sight, or else in a window of its own, with the sidebar.
    then : operator that is started there."""
    # Not while the click is handled: the window copies the area of the pressed button, and Blender 4.3 crashes.
    bpy.app.timers.register(partial(_open, image.name, scene.name, then), first_interval=0.2)


def show(made: list[Any], context: Any) -> None:
    """Show again what was made: what was hidden comes back, and a window opens where no image editor is in sight."""
    layer = context.view_layer
    for obj in made:
        if isinstance(obj, Object) and obj.name in layer.objects:
            obj.hide_set(False, view_layer=layer)
            obj.hide_viewport = obj.hide_render = False
    frame(select(made, context.scene), context.scene, asked=True)
    pictures = [one for one in made if isinstance(one, Image)]
    if open_picture(made, context.scene) is None and pictures and len(pictures) == len(made):
        open_image(pictures[0], context.scene)


def _open(name: str, scene_name: str, then: str) -> None:
    """Show a picture that is still there, and start the operator in its editor."""
    image, scene = bpy.data.images.get(name), bpy.data.scenes.get(scene_name)
    found = (_in_sight(image, scene) or _open_window(image)) if image is not None and scene is not None else None
    if found is None or not then:
        return
    window, area = found
    region = next(one for one in area.regions if one.type == "WINDOW")
    operators: Any = bpy.ops
    with bpy.context.temp_override(window=window, area=area, region=region):
        getattr(operators.maquette, then)("INVOKE_DEFAULT")


def _open_window(image: Image) -> tuple[Any, Any] | None:
    """A window of its own for a picture; returns it and its area."""
    manager: Any = bpy.context.window_manager
    if not manager.windows:
        return None
    with bpy.context.temp_override(window=manager.windows[0]):
        bpy.ops.wm.window_new()
    window = manager.windows[-1]
    area = window.screen.areas[0]
    area.ui_type = "IMAGE_EDITOR"
    area.spaces.active.image, area.spaces.active.show_region_ui = image, True
    return window, area


def _areas(kind: str, scene: Scene) -> Iterator[tuple[Any, Any]]:
    """Window and area of each editor of this kind that shows the scene."""
    manager: Any = bpy.context.window_manager
    for window in manager.windows if not bpy.app.background else ():
        if window.scene == scene:
            yield from ((window, area) for area in window.screen.areas if area.type == kind)


def _has_picture(obj: Any) -> bool:
    trees = [slot.material.node_tree for slot in obj.material_slots if slot.material is not None]
    return any(node.type == "TEX_IMAGE" for tree in trees if tree is not None for node in tree.nodes)


def _belongs(obj: Any, camera: Any) -> bool:
    return obj.parent == camera or obj.get(roles.OF_IMAGE) == camera.get(roles.IMAGE)
