# SPDX-License-Identifier: GPL-3.0-or-later
"""Armatures: bones at a body's rest joints, and its rotations in the bones' own axes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import bpy
import numpy as np
from bpy.types import Collection, Object
from mathutils import Matrix, Vector
from numpy.typing import NDArray

from ....inference.errors import BadInput
from ....inference.results import Body
from ....inference.rigs.template import Rigged, axes_of
from ...core.axes import Z_UP
from ..camera import scene

_SHORTEST = 0.01  # metres: Blender deletes bones without length; in rigs with units of their own, of the hips' height
_ROOT_LENGTH = 0.12
#: Joints nearer than this to their parent (metres) say nothing about its direction.
_SAME_PLACE = 0.005
#: Bone collections that can be hidden to leave the large bones; joints by their names.
_DETAILS = {"Fingers": re.compile("finger|metacarpal|thumb|index|middle|ring|pinky|hand"), "Toes": re.compile("toe")}


def new_armature(
    name: str, body: Body, joints: NDArray, vertices: NDArray, collection: Collection, rigged: Rigged | None = None
) -> Object:
    """An armature object in the collection, one bone a joint, at rest.

    joints (J, 3), vertices (V, 3) : the rest pose, z up, in the object's space and units.
    rigged : of a preset's rig, which has axes of its own and bones without skin.
    A body whose joints have axes gives them to its bones.
    The bones' z axes otherwise look forward (feet's and toes' upward), so that knees and elbows bend about x.
    """
    data = bpy.data.armatures.new(name)
    data.display_type = "OCTAHEDRAL"
    obj = bpy.data.objects.new(name, data)
    obj.show_in_front = True
    collection.objects.link(obj)
    skinned = body if rigged is None else rigged.body
    axes = rigged.axes if rigged is not None else None if body.joint_axes is None else Z_UP[:3, :3] @ body.joint_axes
    tails = _tails(body, joints, vertices) if axes is None else _tails_along(skinned, axes, joints, vertices)
    with _edit_mode(obj):
        bones: list[Any] = []
        for index, joint_name in enumerate(body.joint_names):
            bone = data.edit_bones.new(joint_name)
            bone.head, bone.tail = Vector(joints[index]), Vector(tails[index])
            direction = (bone.tail - bone.head).normalized()
            forward = Vector((0, 0, 1)) if abs(direction.y) > 0.7 else Vector((0, -1, 0))
            bone.align_roll(forward if axes is None else Vector(axes[index, :, 2].tolist()))
            if body.parents[index] >= 0:
                bone.parent = bones[body.parents[index]]
            bones.append(bone)
        if rigged is not None:
            _add_helpers(data.edit_bones, rigged)
    _sort_into_collections(data, [bone.name for bone in data.bones])
    return obj


def _add_helpers(bones: Any, rigged: Rigged) -> None:
    """The bones of a rig that have no skin, and what hangs on them."""
    for helper in rigged.helpers:
        bone = bones.new(helper.name)
        above, model = bones.get(helper.parent), bones.get(helper.helper)
        if model is not None:
            bone.head, bone.tail, bone.roll = model.head, model.tail, model.roll
        else:
            along, facing = (Vector(column) for column in axes_of(helper)[:, 1:].T)
            length = above.length / 2 if helper.helper == "end" else bones[rigged.body.joint_names[0]].head.z / 5
            start = above.tail if helper.helper == "end" else Vector((0, 0, 0))
            if helper.helper == "end":
                along, facing = above.y_axis, above.z_axis
            bone.head, bone.tail = start, start + along * length
            bone.align_roll(facing)
        bone.parent = above
        bone.use_deform = helper.helper == "end"
    if rigged.root:
        bones[rigged.body.joint_names[0]].parent = bones[rigged.root]


def lay_bones(obj: Any, model: Any) -> None:
    """Lay an armature's bones as those of the same names lie in another one; the others stay as they are."""
    stand_in = bpy.data.objects.new("~bones", obj.data)  # the armature itself may be hidden
    scene.current().collection.objects.link(stand_in)
    try:
        with _edit_mode(stand_in):
            for bone in obj.data.edit_bones:
                other = model.bones.get(bone.name)
                if other is not None:
                    bone.head, bone.tail = other.head_local, other.tail_local
                    bone.align_roll(other.matrix_local.col[2].to_3d())
    finally:
        bpy.data.objects.remove(stand_in)


def free_bones(name: str, names: Sequence[str], rest: NDArray, collection: Collection) -> Object:
    """An armature object in the collection whose bones have no parents; rest (N, 4, 4) in the object's space."""
    data = bpy.data.armatures.new(name)
    obj = bpy.data.objects.new(name, data)
    collection.objects.link(obj)
    with _edit_mode(obj):
        for bone_name, matrix in zip(names, rest, strict=True):
            bone = data.edit_bones.new(bone_name)
            bone.tail = (0.0, 0.1, 0.0)
            bone.matrix = Matrix(matrix.tolist())
    return obj


def deforming_bones(rig: Any, name: str, parents: Mapping[str, str], collection: Collection) -> Object:
    """A second armature where the rig is, of these of its bones (see `deforming_parents`) alone, at rest as there."""
    made: Any = free_bones(name, list(parents), rest_axes(rig, list(parents)), collection)
    made.matrix_world = rig.matrix_world
    with _edit_mode(made):
        for bone, above in parents.items():
            made.data.edit_bones[bone].parent = made.data.edit_bones.get(above)
            made.data.edit_bones[bone].length = rig.data.bones[bone].length
    return made


def deforming_parents(rig: Any) -> dict[str, str]:
    """Deforming bone, parents first -> the nearest one above, "" for none. Control rigs hang them on bones that only
    carry the name of another one (ORG-hand.L beside DEF-hand.L). Raises BadInput for a rig without such bones."""
    bones = rig.data.bones
    twins = {bone.name.removeprefix("DEF-"): bone.name for bone in bones if bone.use_deform}
    above: dict[str, str] = {}
    for bone in bones:
        parent = bone.parent if bone.use_deform else None
        while parent is not None and not parent.use_deform:
            twin = twins.get(parent.name.removeprefix("ORG-"))
            parent = bones[twin] if twin and twin != bone.name else parent.parent
        if bone.use_deform:
            above[bone.name] = parent.name if parent is not None else ""
    ordered: dict[str, str] = {}

    def add(name: str) -> None:
        if name and name not in ordered:
            add(above[name])
            ordered[name] = above[name]

    for name in above:
        add(name)
    if not ordered:
        raise BadInput(f"The armature {rig.name} has no deforming bones.", "Keep all of its bones.")
    return ordered


def rest_axes(obj: Object, names: Sequence[str]) -> NDArray[np.float64]:
    """(J, 4, 4) rest matrices of the bones of these names, in the armature's space."""
    bones: Any = obj.data.bones  # type: ignore[union-attr]
    return np.array([bones[name].matrix_local for name in names], np.float64)


def bone_local(quaternions: NDArray, rest: NDArray) -> NDArray[np.float64]:
    """Rotations (T, J, 4) wxyz about the armature's axes -> about the bones' own: B^-1 R B, with B the rest matrix.

    Conjugation turns the axis and keeps the angle, so only the vector part changes.
    """
    local = np.array(quaternions, np.float64)
    local[..., 1:] = np.einsum("jki,tjk->tji", rest[:, :3, :3], local[..., 1:])
    return local


def _tails(body: Body, joints: NDArray, vertices: NDArray) -> NDArray[np.float64]:
    """(J, 3): where each bone ends. At the next joints where the chain goes on; at the end of a chain it runs on in its
    parent's direction as far as what it moves (finger tips, the crown of the head)."""
    tails = np.array(joints, np.float64)
    children = [np.flatnonzero(body.parents == index) for index in range(len(joints))]
    for index, own in enumerate(children):
        # Eyes do not continue the head: where there are several children, those count that have children.
        following = own if len(own) == 1 else [child for child in own if len(children[child])]
        far = [child for child in following if np.linalg.norm(joints[child] - joints[index]) > _SAME_PLACE]
        if far:
            tails[index] = joints[far].mean(axis=0)
        elif len(following) or body.parents[index] < 0:  # all at the same place: the root of the body
            tails[index] = joints[index] + [0, 0, _ROOT_LENGTH]
        else:
            direction = joints[index] - joints[body.parents[index]]
            direction = direction / max(float(np.linalg.norm(direction)), 1e-6)
            moved = vertices[body.skin_weights[:, index] > 0.5]
            reach = float(((moved - joints[index]) @ direction).max()) if len(moved) else 0.0
            tails[index] = joints[index] + max(reach, _SHORTEST) * direction
    return tails


def _tails_along(body: Body, axes: NDArray, joints: NDArray, vertices: NDArray) -> NDArray[np.float64]:
    """(J, 3): where bones end whose directions are given. At the farthest bone that hangs on them, or as far as what
    they move where that goes much farther (heads, beyond the eyes)."""
    along, parents = axes[:, :, 1], body.parents
    lengths = np.full(len(joints), _SHORTEST * max(joints[0, 2], np.ptp(joints[:, 2]) / 2))
    for index, direction in enumerate(along):
        following = (joints[parents == index] - joints[index]) @ direction
        moved = (vertices[body.skin_weights[:, index] > 0.5] - joints[index]) @ direction
        next_bone, reach = following.max(initial=0.0), moved.max(initial=0.0)
        lengths[index] = max(lengths[index], next_bone if next_bone > 0.3 * reach else reach)
    return joints + lengths[:, None] * np.asarray(along, np.float64)


def _sort_into_collections(data: bpy.types.Armature, names: Sequence[str]) -> None:
    """Large bones apart from fingers and toes, so that these can be hidden."""
    collections: dict[str, Any] = {}
    for name in names:
        group = next((group for group, pattern in _DETAILS.items() if pattern.search(name.lower())), "Body")
        if group not in collections:
            collections[group] = data.collections.new(group)
        collections[group].assign(data.bones[name])


@contextmanager
def _edit_mode(obj: Object) -> Iterator[None]:
    """Edit mode of this object, the only way to make bones."""
    with scene.selection_kept() as layer:
        layer.objects.active = obj
        # Named, because a scene that no window shows has no active object in the context.
        with bpy.context.temp_override(active_object=obj, object=obj):
            bpy.ops.object.mode_set(mode="EDIT")
            try:
                yield
            finally:
                bpy.ops.object.mode_set(mode="OBJECT")
