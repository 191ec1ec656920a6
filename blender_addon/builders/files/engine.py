# SPDX-License-Identifier: GPL-3.0-or-later
"""What engines take of a rig: its deforming bones in one hierarchy, few bones a vertex. Made for a file, then gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import bpy
import numpy as np
from bpy.types import Object
from numpy.typing import NDArray

from ....inference.geometry.rotations import align_hemisphere, quaternions_of
from ..bodies import action, armature, reading
from ..camera import scene as scenes


@contextmanager
def few_influences(objects: Sequence[Any], most: int) -> Iterator[None]:
    """Of the meshes among selected objects, at most this many bones move a vertex, with weights that sum to 1; 0
    changes nothing."""
    kept = [(obj, obj.data) for obj in objects if most and obj.type == "MESH" and obj.find_armature()]
    try:
        for mesh, data in kept:
            name = data.name
            mesh.data = data.copy()
            data.name, mesh.data.name = f"{name[:50]}.aside", name
            scenes.view_layer().update()
            with bpy.context.temp_override(object=mesh, active_object=mesh, selected_editable_objects=[mesh]):
                bpy.ops.object.vertex_group_limit_total(group_select_mode="ALL", limit=most)
                bpy.ops.object.vertex_group_normalize_all(group_select_mode="ALL", lock_active=False)
        yield
    finally:
        for mesh, data in kept:
            made, mesh.data = mesh.data, data
            name = made.name
            bpy.data.meshes.remove(made)
            data.name = name


@contextmanager
def deforming_rig(rig: Any, meshes: Sequence[Any], frames: Sequence[int]) -> Iterator[Object]:
    """An armature of the rig's deforming bones alone, each on the nearest of them above it, that moves as the rig does
    at these frames, has its name and carries its meshes meanwhile. Raises BadInput for a rig without such bones."""
    names, parents, scene = [bone.name for bone in rig.data.bones], armature.deforming_parents(rig), scenes.current()
    poses = reading.read_poses(rig, frames, scene)[:, [names.index(name) for name in parents]]
    held = [(mesh, mesh.parent, mesh.matrix_parent_inverse.copy(), mesh.matrix_world.copy()) for mesh in meshes]
    modifiers = [m for mesh in meshes for m in mesh.modifiers if m.type == "ARMATURE" and m.object == rig]
    rest = armature.rest_axes(rig, list(parents))
    name, rig.name = rig.name, f"{rig.name[:50]}.aside"
    made: Any = armature.deforming_bones(rig, name, parents, (rig.users_collection or [scene.collection])[0])
    try:
        _key(made, action.name_of(rig), parents, rest, poses, frames)
        for mesh, above, *_ in held:
            if above == rig:
                place = mesh.matrix_world.copy()
                mesh.parent = made
                mesh.matrix_world = place
        for modifier in modifiers:
            modifier.object = made
        yield made
    finally:
        for modifier in modifiers:
            modifier.object = rig
        for mesh, above, inverse, place in held:
            mesh.parent, mesh.matrix_parent_inverse = above, inverse
            mesh.matrix_world = place
        data, keyed = made.data, made.animation_data and made.animation_data.action
        bpy.data.objects.remove(made)
        bpy.data.armatures.remove(data)
        if keyed:
            bpy.data.actions.remove(keyed)
        rig.name = name


def _key(obj: Any, name: str, parents: dict[str, str], rest: NDArray, poses: NDArray, frames: Sequence[int]) -> None:
    """Key what bones with these rest matrices (J, 4, 4) do to stand at poses (T, J, 4, 4) in the world."""
    place = np.array(obj.matrix_world, np.float64)
    size = np.cbrt(np.linalg.det(place[:3, :3]))
    turned = np.linalg.inv(place) @ poses
    turned[..., :3, :3] *= size
    index = {bone: number for number, bone in enumerate(parents)}
    keyed = action.new_action(obj, name)
    for bone, number in index.items():
        above = index.get(parents[bone])
        inherited = turned[:, above] @ np.linalg.inv(rest[above]) @ rest[number] if above is not None else rest[number]
        basis = np.linalg.inv(inherited) @ turned[:, number]
        obj.pose.bones[bone].rotation_mode = "QUATERNION"
        turns = align_hemisphere(quaternions_of(basis[:, :3, :3]))
        for attribute, values in (("rotation_quaternion", turns), ("location", basis[:, :3, 3])):
            action.add_fcurves(keyed, obj, action.bone_path(bone, attribute), np.array(frames), values, bone)
        obj.pose.bones[bone].rotation_quaternion = turns[0].tolist()
        obj.pose.bones[bone].location = basis[0, :3, 3].tolist()
