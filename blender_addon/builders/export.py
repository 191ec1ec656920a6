# SPDX-License-Identifier: GPL-3.0-or-later
"""People into files of other programs, through Blender's own exporters."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import addon_utils
import bpy
from mathutils import Matrix

from ...inference.errors import BadInput
from . import action
from . import scene as scenes

if TYPE_CHECKING:
    from bpy.types import Object, Scene

#: Format -> the add-on that writes it, where it is one; all ship with Blender.
_ADDONS = {"FBX": "io_scene_fbx", "GLTF": "io_scene_gltf2", "BVH": "io_anim_bvh"}


def export_person(
    obj: Object, path: Path, kind: str, *, animation: bool = True, overwrite: bool = False, scene: Scene
) -> None:
    """Write an armature with its meshes, or a mesh alone, as "FBX", "GLTF", "BVH", "USD" or "ALEMBIC".

    Frames are the object's action's, else the scene's. The file appears whole or not at all. Raises BadInput where it
    exists and is not to be overwritten, where the folder cannot be written, and where this kind cannot hold the object.
    """
    if path.exists() and not overwrite:
        raise BadInput(f"The file {path} exists already.", "Choose another name, or allow it to be overwritten.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise BadInput(f"The folder {path.parent} cannot be written.", "Choose another folder.")
    if kind == "BVH" and obj.type != "ARMATURE":
        raise BadInput(f"{obj.name} has no skeleton, which is all that BVH holds.", "Choose another format.")
    _enable(kind)
    first = last = scene.frame_current
    if animation:
        first, last = action.frames_of(obj) or (scene.frame_start, scene.frame_end)
    unfinished = path.with_name(f".{path.stem}.unfinished{path.suffix}")
    try:
        with _selected([obj, *_moved_by(obj)], obj):
            _WRITERS[kind](str(unfinished), first, last, animation)
        unfinished.replace(path)
    except (RuntimeError, OSError) as error:
        raise BadInput(f"Blender could not write {path}: {error}", "Choose another folder or format.") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _write_fbx(path: str, _first: int, _last: int, animation: bool) -> None:
    # Leaf bones and Blender's own bone axes are what other programs stumble over. Units are metres, applied.
    bpy.ops.export_scene.fbx(
        filepath=path, use_selection=True, object_types={"ARMATURE", "MESH"}, add_leaf_bones=False,
        primary_bone_axis="Y", secondary_bone_axis="X", apply_scale_options="FBX_SCALE_UNITS",
        bake_anim=animation, bake_anim_use_all_actions=False, bake_anim_use_nla_strips=False,
        bake_anim_force_startend_keying=True, bake_anim_simplify_factor=0.0, mesh_smooth_type="FACE",
    )  # fmt: skip


def _write_gltf(path: str, _first: int, _last: int, animation: bool) -> None:
    bpy.ops.export_scene.gltf(
        filepath=path, export_format="GLB", use_selection=True, export_animations=animation,
        export_animation_mode="ACTIVE_ACTIONS", export_frame_range=False, export_force_sampling=True,
        export_current_frame=not animation, export_extras=True,
    )  # fmt: skip


def _write_bvh(path: str, first: int, last: int, _animation: bool) -> None:
    # BVH has y up by custom, but Blender writes its own axes: a copy that lies on its back is written instead.
    layer = scenes.view_layer()
    obj: Any = layer.objects.active
    turned = obj.copy()
    turned.data = obj.data.copy()
    turned.data.transform(Matrix.Rotation(-math.pi / 2, 4, "X"))
    try:
        scenes.link(turned, None)
        layer.objects.active = turned
        bpy.ops.export_anim.bvh(
            filepath=path, frame_start=first, frame_end=last, root_transform_only=False, rotate_mode="NATIVE"
        )
    finally:
        data = turned.data
        bpy.data.objects.remove(turned)
        bpy.data.armatures.remove(data)
        layer.objects.active = obj


def _write_usd(path: str, _first: int, _last: int, animation: bool) -> None:
    bpy.ops.wm.usd_export(
        filepath=path, selected_objects_only=True, export_animation=animation, export_armatures=True,
        export_shapekeys=True, root_prim_path="/root",
    )  # fmt: skip


def _write_alembic(path: str, first: int, last: int, _animation: bool) -> None:
    bpy.ops.wm.alembic_export(
        filepath=path,
        selected=True,
        start=first,
        end=last,
        uvs=True,
        as_background_job=False,
        evaluation_mode="VIEWPORT",
    )


_WRITERS = {"FBX": _write_fbx, "GLTF": _write_gltf, "BVH": _write_bvh, "USD": _write_usd, "ALEMBIC": _write_alembic}


def _enable(kind: str) -> None:
    addon = _ADDONS.get(kind)
    if addon is None or addon_utils.check(addon)[1]:  # type: ignore[index]
        return
    if addon_utils.enable(addon) is None:
        raise BadInput(f"This Blender cannot write {kind}: its add-on {addon} is missing.", "Choose another format.")


def _moved_by(armature: Object) -> list[Object]:
    """The meshes that an armature moves."""
    meshes = [obj for obj in scenes.view_layer().objects if obj.type == "MESH"]
    return [
        mesh
        for mesh in meshes
        if any(
            modifier.type == "ARMATURE" and getattr(modifier, "object", None) == armature for modifier in mesh.modifiers
        )
    ]


@contextmanager
def _selected(objects: list[Object], active: Object) -> Iterator[None]:
    """These objects selected and visible in object mode, the scene's frame range that of their motion; all of it
    comes back."""
    with scenes.selection_kept() as layer:
        hidden = [obj for obj in objects if obj.hide_get(view_layer=layer)]
        scene = scenes.current()
        frames, current = (scene.frame_start, scene.frame_end), scene.frame_current
        try:
            for obj in hidden:
                obj.hide_set(False, view_layer=layer)
            for obj in objects:
                obj.select_set(True, view_layer=layer)
            layer.objects.active = active
            scene.frame_start, scene.frame_end = action.frames_of(active) or frames
            yield
        finally:
            scene.frame_start, scene.frame_end = frames
            scene.frame_set(current)
            for obj in hidden:
                obj.hide_set(True, view_layer=layer)
