# SPDX-License-Identifier: GPL-3.0-or-later
"""What armatures show: their rest in the world as a rig, and their bones in each frame, with nothing else evaluated."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import bpy
import numpy as np
from bpy.types import Object, Scene
from numpy.typing import NDArray

from ....inference import rigs
from ....inference.errors import BadInput
from ..camera import scene as scenes
from . import action

#: Objects may be scaled by this much more along one axis than along another.
_UNEVEN = 0.02


def rig_of(obj: Object, mapping: rigs.Mapping) -> rigs.Rig:
    """The armature object at rest in the world. Raises BadInput where the mapping lacks needed parts, and where the
    object is scaled so that its bones have no rotations."""
    mapping = mapping.checked(obj.name)
    names, parents, rest = at_rest(obj)
    roles = mapping.roles if mapping.switches else rigs.carried(mapping.roles, names, parents)
    place = np.array(obj.matrix_world, np.float64)
    return rigs.Rig(names, parents, rest, roles, place, mapping.shown_by).checked(obj.name)


def at_rest(obj: Object) -> tuple[tuple[str, ...], NDArray[np.int64], NDArray[np.float64]]:
    """The bones' names, the indices of their parents (J,), -1 for none, and their rest matrices (J, 4, 4) in the world,
    without scale in their axes. Raises BadInput where the object is scaled so that they have no rotations."""
    bones: Any = obj.data.bones  # type: ignore[union-attr]
    if not len(bones):
        raise BadInput(f"The armature {obj.name} has no bones.", "Choose another armature.")
    names = tuple(bone.name for bone in bones)
    index = {name: number for number, name in enumerate(names)}
    parents = np.array([index[bone.parent.name] if bone.parent else -1 for bone in bones])
    place = np.array(obj.matrix_world, np.float64)
    _check_scale(obj.name, place[:3, :3])
    return names, parents, _in_world(place, np.array([bone.matrix_local for bone in bones], np.float64))


def _check_scale(name: str, axes: NDArray) -> None:
    sizes = np.linalg.norm(axes, axis=0)
    if not sizes.min() > 1e-9:
        raise BadInput(f"The armature {name} has zero scale.", "Set a non-zero scale.")
    skew = np.abs((axes / sizes).T @ (axes / sizes) - np.eye(3)).max()
    if sizes.max() > (1 + _UNEVEN) * sizes.min() or skew > _UNEVEN:
        raise BadInput(f"The armature {name} has a non-uniform scale.", "Apply its scale first.")


def read_poses(
    obj: Object, frames: Sequence[int], scene: Scene, report: Callable[[float], object] = lambda _share: None
) -> NDArray[np.float64]:
    """(T, J, 4, 4) of all bones in the world at these frames, without scale in their axes."""
    poses = np.empty((len(frames), len(obj.pose.bones), 4, 4))  # type: ignore[union-attr]
    with alone(scene, obj) as stage:
        for number, frame in enumerate(frames):
            evaluated = evaluated_at(stage, obj, frame)
            report(0.5 * number / len(frames))
            poses[number] = bones_in_world(evaluated)
    return poses


def action_frames(obj: Object) -> list[int]:
    """The whole frames of the object's action; the scene's current frame where it has none."""
    frames = action.frames_of(obj)
    return list(range(frames[0], frames[1] + 1)) if frames else [scenes.current().frame_current]


def bones_in_world(evaluated: Object) -> NDArray[np.float64]:
    """(J, 4, 4) all bones of an evaluated armature in the world, without scale in their axes."""
    bones: Any = evaluated.pose.bones  # type: ignore[union-attr]
    values = np.empty(len(bones) * 16, np.float32)
    bones.foreach_get("matrix", values)
    matrices = np.asarray(values.reshape(-1, 4, 4).swapaxes(-1, -2), np.float64)  # Blender keeps matrices by columns
    return _in_world(np.array(evaluated.matrix_world, np.float64), matrices)


def _in_world(place: NDArray, matrices: NDArray) -> NDArray[np.float64]:
    world = place @ matrices
    world[..., :3, :3] /= np.linalg.norm(world[..., :3, :3], axis=-2, keepdims=True)
    return np.asarray(world, np.float64)


def evaluated_at(stage: Scene, obj: Object, frame: int) -> Object:
    stage.frame_set(frame)
    layer: Any = stage.view_layers[0]
    layer.update()
    return obj.evaluated_get(layer.depsgraph)


@contextmanager
def alone(scene: Scene, *objects: Object) -> Iterator[Scene]:
    """A scene of its own for these objects, so that a change of frame evaluates nothing else."""
    stage = bpy.data.scenes.new("Maquette stage")
    hidden = [obj for obj in objects if obj.hide_viewport]  # Blender evaluates no hidden objects
    resting: list[Any] = [obj.data for obj in objects if getattr(obj.data, "pose_position", "") == "REST"]
    try:
        for obj in hidden:
            obj.hide_viewport = False
        for data in resting:
            data.pose_position = "POSE"
        stage.render.fps, stage.render.fps_base = scene.render.fps, scene.render.fps_base
        stage.frame_start, stage.frame_end = scene.frame_start, scene.frame_end
        for obj in objects:
            stage.collection.objects.link(obj)
        yield stage
    finally:
        for obj in hidden:
            obj.hide_viewport = True
        for data in resting:
            data.pose_position = "REST"
        bpy.data.scenes.remove(stage)


@contextmanager
def out_of_edit_mode(*objects: Object) -> Iterator[None]:
    """In edit mode armatures are at rest, and the bones that are edited are not theirs yet."""
    if not any(obj.mode == "EDIT" for obj in objects):
        yield
        return
    with scenes.selection_kept():
        yield
