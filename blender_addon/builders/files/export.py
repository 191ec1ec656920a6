# SPDX-License-Identifier: GPL-3.0-or-later
"""People into files of other programs, through Blender's own exporters."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import addon_utils
import bpy
import numpy as np

from ....inference.errors import BadInput
from ....inference.rigs.bvh import write_bvh
from ....installer.shared.disk import whole_file
from ..bodies import action, retarget
from ..camera import scene as scenes

if TYPE_CHECKING:
    from bpy.types import Object, Scene

#: Format -> the add-on that writes it, where it is one; all ship with Blender.
_ADDONS = {"FBX": "io_scene_fbx", "GLTF": "io_scene_gltf2"}


def export_person(
    obj: Object, path: Path, kind: str, *, animation: bool = True, overwrite: bool = False, scene: Scene
) -> None:
    """Write an armature with its meshes, or a mesh alone, as "FBX", "GLTF", "BVH", "USD" or "ALEMBIC".

    Frames are the object's action's, else the scene's. The file appears whole or not at all. Raises BadInput where it
    exists and is not to be overwritten, where the folder cannot be written, and where this kind cannot hold the object.
    """
    _check_object(obj, kind, animation)
    _check_path(path, overwrite)
    _enable(kind)
    first = last = scene.frame_current
    if animation:
        first, last = action.frames_of(obj) or (scene.frame_start, scene.frame_end)
    try:
        with whole_file(path) as unfinished, _selected([obj, *_moved_by(obj)], obj):
            _WRITERS[kind](str(unfinished), obj, first, last, animation)
    except (RuntimeError, OSError) as error:
        raise BadInput(
            f"Blender could not write {path}: {_message(error)}", "Choose another folder or format."
        ) from error


def _check_object(obj: Object, kind: str, animation: bool) -> None:
    """Raise BadInput for what this format cannot hold."""
    if obj.type not in {"ARMATURE", "MESH"}:
        raise BadInput(f"{obj.name} is neither an armature nor a mesh.", "Choose a person's armature or mesh.")
    if kind == "BVH" and obj.type != "ARMATURE":
        raise BadInput(f"BVH stores skeletons only, and {obj.name} has none.", "Choose another format.")
    if obj.type == "MESH" and animation and kind in _ADDONS and _moves_by_itself(obj):
        raise BadInput(
            f"{kind} cannot store the vertex animation of {obj.name}.",
            "Choose Alembic or USD, or export without animation.",
        )


def _moves_by_itself(obj: Any) -> bool:
    """Whether a mesh moves by absolute shape keys or a cache of its vertices."""
    keys = obj.data.shape_keys
    cached = any(modifier.type in {"MESH_CACHE", "MESH_SEQUENCE_CACHE"} for modifier in obj.modifiers)
    return cached or (keys is not None and not keys.use_relative)


def _check_path(path: Path, overwrite: bool) -> None:
    try:
        exists, is_folder = path.exists(), path.is_dir()
    except OSError as error:  # a name that no file can have
        raise BadInput(
            f"{path.name[:40]} is not a valid file name: {error.strerror}.", "Choose another name."
        ) from error
    if is_folder:
        raise BadInput(f"{path} is a folder.", "Choose a file name inside it.")
    if exists and not overwrite:
        raise BadInput(f"The file {path} already exists.", "Choose another name, or enable Overwrite.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise BadInput(f"The folder {path.parent} cannot be written.", "Choose another folder.")


def _message(error: Exception) -> str:
    """An exporter's message, without its traceback."""
    text = str(error).strip()
    if "Traceback" not in text:
        return text
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith((" ", "Location:"))]
    return lines[-1] if lines else text


def _write_fbx(path: str, _obj: Object, _first: int, _last: int, animation: bool) -> None:
    # Leaf bones and Blender's own bone axes are what other programs stumble over. Units are metres, applied.
    bpy.ops.export_scene.fbx(
        filepath=path, use_selection=True, object_types={"ARMATURE", "MESH"}, add_leaf_bones=False,
        primary_bone_axis="Y", secondary_bone_axis="X", apply_scale_options="FBX_SCALE_UNITS",
        bake_anim=animation, bake_anim_use_all_actions=False, bake_anim_use_nla_strips=False,
        bake_anim_force_startend_keying=True, bake_anim_simplify_factor=0.0, mesh_smooth_type="FACE",
    )  # fmt: skip


def _write_gltf(path: str, obj: Any, _first: int, _last: int, animation: bool) -> None:
    # Without an active action, with strips alone, the scene is exported as it moves.
    mode = "ACTIVE_ACTIONS" if obj.animation_data and obj.animation_data.action else "SCENE"
    bpy.ops.export_scene.gltf(
        filepath=path, export_format="GLB", use_selection=True, export_animations=animation,
        export_animation_mode=mode, export_frame_range=mode == "SCENE", export_force_sampling=True,
        export_current_frame=not animation, export_rest_position_armature=animation, export_extras=True,
    )  # fmt: skip


def _write_bvh(path: str, obj: Any, first: int, last: int, _animation: bool) -> None:
    # Blender's own writer leaves the object's place, turn and scale out.
    scene: Any = scenes.current()
    names, parents, rest = retarget.at_rest(obj)
    tails = np.array([(*bone.tail_local, 1.0) for bone in obj.data.bones], np.float64)
    write_bvh(
        Path(path),
        names,
        parents,
        rest,
        (tails @ np.array(obj.matrix_world, np.float64).T)[:, :3],
        retarget.read_poses(obj, range(first, last + 1), scene),
        seconds=scene.render.fps_base / scene.render.fps,
        title=obj.name,
    )


def _write_usd(path: str, _obj: Object, _first: int, _last: int, animation: bool) -> None:
    bpy.ops.wm.usd_export(
        filepath=path, selected_objects_only=True, export_animation=animation, export_armatures=True,
        export_shapekeys=True, root_prim_path="/root",
    )  # fmt: skip


def _write_alembic(path: str, _obj: Object, first: int, last: int, _animation: bool) -> None:
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
        raise BadInput(f"This Blender cannot export {kind}: the add-on {addon} is missing.", "Choose another format.")


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
        kept = [(obj, name, getattr(obj, name)) for obj in objects for name in ("hide_viewport", "hide_select")]
        scene = scenes.current()
        frames, current = (scene.frame_start, scene.frame_end), scene.frame_current
        try:
            for obj, name, before in kept:
                if before:
                    setattr(obj, name, False)
            for obj in hidden:
                obj.hide_set(False, view_layer=layer)
            for obj in objects:
                _select(obj, layer)
            layer.objects.active = active
            scene.frame_start, scene.frame_end = action.frames_of(active) or frames
            yield
        finally:
            scene.frame_start, scene.frame_end = frames
            scene.frame_set(current)
            for obj in hidden:
                obj.hide_set(True, view_layer=layer)
            for obj, name, before in kept:
                if before:
                    setattr(obj, name, before)


def _select(obj: Object, layer: Any) -> None:
    """Raise BadInput where the object cannot be selected: exporters would leave it out."""
    if layer.objects.get(obj.name) == obj:
        obj.select_set(True, view_layer=layer)
        if obj.select_get(view_layer=layer) and obj.visible_get(view_layer=layer):
            return
    raise BadInput(f"{obj.name} is in a hidden or excluded collection.", "Show its collection in the Outliner.")
