# SPDX-License-Identifier: GPL-3.0-or-later
"""People into files of other programs, through Blender's own exporters."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import addon_utils
import bpy
import numpy as np
from bpy.types import Object, Scene

from ....inference import rigs
from ....inference.errors import BadInput
from ....inference.rigs.bvh import write_bvh
from ....inference.rigs.glb import retime
from ....inference.rigs.smplx import smplx_arrays
from ....installer.shared.disk import whole_file
from ...core import roles
from ..bodies import action, reading
from ..camera import scene as scenes
from . import engine

#: Format -> the add-on that writes it, where it is one; all ship with Blender.
_ADDONS = {"FBX": "io_scene_fbx", "GLTF": "io_scene_gltf2"}
#: Formats that hold the motion of one skeleton.
_SKELETONS = {"BVH", "AMASS"}
#: Formats that hold skin weights.
_SKINS = {"FBX", "GLTF", "USD"}


@dataclass(frozen=True)
class _Take:
    """What is written: the objects, of which the rest hangs on the first ones, over these frames, under this name."""

    roots: Sequence[Object]
    first: int
    last: int
    animation: bool
    name: str
    centimetres: bool
    from_zero: bool
    bones: Callable[[Object], rigs.Mapping]

    @property
    def objects(self) -> list[Object]:
        return list(dict.fromkeys(each for root in self.roots for each in (root, *_moved_by(root))))


def export_people(
    roots: Sequence[Object],
    path: Path,
    kind: str,
    *,
    animation: bool = True,
    overwrite: bool = False,
    centimetres: bool = False,
    from_zero: bool = False,
    deform_only: bool = False,
    max_influences: int = 0,
    bones: Callable[[Object], rigs.Mapping] = lambda obj: rigs.map_bones([bone.name for bone in obj.data.bones]),  # type: ignore[union-attr]
    scene: Scene,
) -> None:
    """Write armatures with their meshes, or meshes alone, as "FBX", "GLTF", "BVH", "USD", "ALEMBIC" or "AMASS".

    Frames are those of the objects' actions, else the scene's. The take is called as the one action, or, of several
    people, as the file. centimetres : of a BVH; else metres.  from_zero : the first key of a glTF comes at 0 s.
    deform_only : armatures with their deforming bones alone, in one hierarchy.  max_influences : the most bones that
    move a vertex, 0 for no limit. Both where the format holds skin.
    bones : an armature -> its bone map, for AMASS.
    The file appears whole or not at all. Raises BadInput where it exists and is not to be overwritten, where the folder
    cannot be written, and where this kind cannot hold the objects.
    """
    if not roots:
        raise BadInput("Nothing is chosen to be exported.", "Choose a person's armature or mesh.")
    for obj in roots:
        _check_object(obj, kind, animation)
    if len(roots) > 1 and kind in _SKELETONS:
        raise BadInput(f"{kind} stores one skeleton, and {len(roots)} are chosen.", "Choose one, or another format.")
    _check_path(path, overwrite)
    _enable(kind)
    movers = [action.controls_of(obj) or obj for obj in roots]
    ranges = [action.frames_of(obj) for obj in movers] if animation else []
    known = [frames for frames in ranges if frames] or [(scene.frame_start, scene.frame_end)]
    first, last = min(low for low, _ in known), max(high for _, high in known)
    if not animation:
        first = last = scene.frame_current
    name = action.name_of(movers[0]) if len(roots) == 1 else path.stem
    if kind not in _SKELETONS:
        roots = list(dict.fromkeys(each for root in roots for each in _skinned(root)))
    take = _Take(roots, first, last, animation, name, centimetres, from_zero, bones)
    try:
        with ExitStack() as stack:
            unfinished = stack.enter_context(whole_file(path))
            if kind in _SKINS and deform_only:
                frames = range(first, last + 1)
                plain = [
                    stack.enter_context(engine.deforming_rig(root, _moved_by(root), frames))
                    if root.type == "ARMATURE"
                    and roles.RIG not in root  # which has no controls, but a root and IK bones
                    else root
                    for root in roots
                ]
                take = replace(take, roots=plain)
            stack.enter_context(_selected(take))
            if kind in _SKINS:
                stack.enter_context(engine.few_influences(take.objects, max_influences))
            _WRITERS[kind](str(unfinished), take)
    except (RuntimeError, OSError) as error:
        raise BadInput(
            f"Blender could not write {path}: {_message(error)}", "Choose another folder or format."
        ) from error


def _check_object(obj: Object, kind: str, animation: bool) -> None:
    """Raise BadInput for what this format cannot hold."""
    if obj.type not in {"ARMATURE", "MESH"}:
        raise BadInput(f"{obj.name} is neither an armature nor a mesh.", "Choose a person's armature or mesh.")
    if kind in _SKELETONS and obj.type != "ARMATURE":
        raise BadInput(f"{kind} stores skeletons only, and {obj.name} has none.", "Choose another format.")
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


def _write_fbx(path: str, take: _Take) -> None:
    # Leaf bones and Blender's own bone axes are what other programs stumble over. Units are applied: metres, or the
    # centimetres that a rig is in. Unreal has x along the bones, and makes no bone of a node that is called Armature.
    root = take.roots[0]
    unreal = root.get(roles.RIG) == "unreal"
    small = root.type == "ARMATURE" and abs(root.matrix_world.median_scale - 0.01) < 1e-4
    with ExitStack() as stack:
        stack.enter_context(_named(bpy.data.scenes, scenes.current(), take.name))  # its take is called as the scene
        if unreal and len(take.roots) == 1:
            stack.enter_context(_named(bpy.data.objects, root, "Armature"))
        bpy.ops.export_scene.fbx(
            filepath=path, use_selection=True, object_types={"ARMATURE", "MESH"}, add_leaf_bones=False,
            primary_bone_axis="X" if unreal else "Y", secondary_bone_axis="Z" if unreal else "X",
            apply_scale_options="FBX_SCALE_NONE" if small else "FBX_SCALE_UNITS",
            bake_anim=take.animation, bake_anim_use_all_actions=False, bake_anim_use_nla_strips=False,
            bake_anim_force_startend_keying=True, bake_anim_simplify_factor=0.0, mesh_smooth_type="FACE",
        )  # fmt: skip


@contextmanager
def _named(family: Any, block: Any, name: str) -> Iterator[None]:
    """A datablock of a family such as `bpy.data.scenes` under another name; one that is called so steps aside."""
    before, other = block.name, family.get(name)
    if other is not None and other != block:
        other.name = f"{name[:50]}.aside"
    try:
        block.name = name
        yield
    finally:
        block.name = before
        if other is not None and other != block:
            other.name = name


def _write_gltf(path: str, take: _Take) -> None:
    # Without an active action, with strips alone, the scene is exported as it moves.
    active = all(obj.animation_data and obj.animation_data.action for obj in take.roots)
    render = scenes.current().render
    base, rate = render.fps_base, render.fps / render.fps_base
    render.fps_base = 1.0  # some of the exporter multiplies by it, some leaves it out
    try:
        bpy.ops.export_scene.gltf(
            filepath=path, export_format="GLB", use_selection=True, export_animations=take.animation,
            export_animation_mode="ACTIVE_ACTIONS" if active else "SCENE", export_frame_range=not active,
            export_force_sampling=True, export_current_frame=not take.animation,
            export_rest_position_armature=take.animation, export_extras=True,
        )  # fmt: skip
        retime(Path(path), take.name, factor=render.fps / rate, from_zero=take.from_zero)
    finally:
        render.fps_base = base


def _write_bvh(path: str, take: _Take) -> None:
    # Blender's own writer leaves the object's place, turn and scale out.
    obj: Any = take.roots[0]
    names, parents, rest = reading.at_rest(obj)
    tails = np.array([(*bone.tail_local, 1.0) for bone in obj.data.bones], np.float64)
    write_bvh(
        Path(path),
        names,
        parents,
        rest,
        (tails @ np.array(obj.matrix_world, np.float64).T)[:, :3],
        reading.read_poses(obj, range(take.first, take.last + 1), scenes.current()),
        seconds=1 / scenes.frame_rate(scenes.current()),
        title=obj.name,
        scale=100.0 if take.centimetres else 1.0,
    )


def _write_amass(path: str, take: _Take) -> None:
    obj, scene = take.roots[0], scenes.current()
    frames = np.arange(take.first, take.last + 1)
    rig = reading.rig_of(obj, take.bones(obj))
    rate = np.array(scenes.frame_rate(scene))
    arrays = smplx_arrays(rig, reading.read_poses(obj, frames.tolist(), scene))
    told = {"gender": "neutral", "mocap_framerate": rate, "mocap_frame_rate": rate, "frames": frames}
    with Path(path).open("wb") as file:
        np.savez_compressed(file, **arrays, **told, licence=str(obj.get(roles.LICENCE, "")))


def _write_usd(path: str, take: _Take) -> None:
    bpy.ops.wm.usd_export(
        filepath=path, selected_objects_only=True, export_animation=take.animation, export_armatures=True,
        export_shapekeys=True, root_prim_path="/root",
    )  # fmt: skip


def _write_alembic(path: str, take: _Take) -> None:
    bpy.ops.wm.alembic_export(
        filepath=path, selected=True, start=take.first, end=take.last, uvs=True, as_background_job=False,
        evaluation_mode="VIEWPORT",
    )  # fmt: skip


_WRITERS = {
    "FBX": _write_fbx, "GLTF": _write_gltf, "BVH": _write_bvh, "USD": _write_usd, "ALEMBIC": _write_alembic,
    "AMASS": _write_amass,
}  # fmt: skip


def _enable(kind: str) -> None:
    addon = _ADDONS.get(kind)
    if addon is None or addon_utils.check(addon)[1]:  # type: ignore[index]
        return
    if addon_utils.enable(addon) is None:
        raise BadInput(f"This Blender cannot export {kind}: the add-on {addon} is missing.", "Choose another format.")


def _skinned(root: Object) -> list[Object]:
    """What carries the skin of what a root moves: of a control rig with a skeleton for engines that skeleton."""
    rigs = [obj for obj in scenes.view_layer().objects if obj.type == "ARMATURE" and action.controls_of(obj) == root]
    return [rig for rig in rigs if _moved_by(rig)] or [root]


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
def _selected(take: _Take) -> Iterator[None]:
    """The objects selected and visible in object mode, the scene's frame range that of their motion; all of it
    comes back."""
    objects, active = take.objects, take.roots[0]
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
            if take.animation:
                scene.frame_start, scene.frame_end = take.first, take.last
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
