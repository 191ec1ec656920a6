# SPDX-License-Identifier: GPL-3.0-or-later
"""A pose as an asset: an action of one frame, with a picture of the body in that pose."""

from __future__ import annotations

import re
from typing import Any

import bpy
import numpy as np
from bpy.types import Action, Object, Scene
from numpy.typing import NDArray

from ....inference import rigs
from ....inference.camera import Camera
from ....inference.geometry import rasteriser
from ...core import axes, roles
from ..surfaces import meshes
from . import action

#: Bones of a control rig that no animator poses.
_MACHINERY = re.compile("DEF-|MCH-|ORG-|VIS_")
_SIZE = 256
_FIELD = 2.2  # the picture's focal length over its width: a long lens, so that nearer hands are not giants
_INK, _PAPER = np.array([0.80, 0.62, 0.52]), np.array([0.16, 0.16, 0.17])


def save_pose(rig: Object, name: str, scene: Scene) -> Action:
    """A new action with the present pose of an armature, marked as an asset of this file: of all its bones, or of a
    control rig's controls alone, with what switches them between FK and IK.

    What the armature does stays as it is. The licence of its body is written on the asset. Raises BadInput.
    """
    action.check_free(rig)
    data: Any = rig.animation_data or rig.animation_data_create()
    before, slot = data.action, getattr(data, "action_slot", None)
    made = action.new_action(rig, name)
    try:
        bones: Any = rig.pose.bones  # type: ignore[union-attr]
        switches = rigs.map_bones([bone.name for bone in bones]).switches
        for bone in bones:
            if switches and _MACHINERY.match(bone.name):
                continue
            kept = ("location", action.rotation_property(bone.rotation_mode), "scale")
            kept = {attribute: getattr(bone, attribute) for attribute in kept}
            kept |= {f"[{switch}]": [bone[switch]] for switch in switches if switch in bone}
            for attribute, value in kept.items():
                values, path = np.array(value, np.float64)[None], action.bone_path(bone.name, attribute)
                action.add_fcurves(made, rig, path, np.array([1]), values, bone.name)
    finally:
        data.action = before
        if before is not None and slot is not None:
            data.action_slot = slot
    made.asset_mark()
    made.use_fake_user = True
    licence = rig.get(roles.LICENCE)
    if licence:
        made[roles.LICENCE] = licence
        made.asset_data.license = str(licence)  # type: ignore[union-attr]
    made.asset_data.description = f"Pose of {rig.name}"  # type: ignore[union-attr]
    _set_preview(made, _picture(rig, scene))
    return made


def _picture(rig: Object, scene: Scene) -> NDArray[np.float32] | None:
    """(256, 256, 4) of what the armature moves, seen from its front; None where it moves nothing."""
    surfaces = [_surface(obj) for obj in scene.objects if obj.type == "MESH" and action.controls_of(obj) == rig]
    if not surfaces:
        return None
    counts = np.cumsum([0, *(len(points) for points, _ in surfaces)])
    points = np.concatenate([points for points, _ in surfaces])
    faces = np.concatenate([faces + start for (_, faces), start in zip(surfaces, counts, strict=False)])
    across = np.array(rig.matrix_world.to_3x3().normalized(), np.float64)
    # Camera axes: x to the right of the picture, y down, z away from a viewer who stands before the figure.
    seen = (points - points.mean(axis=0)) @ np.stack([across[:, 0], -across[:, 2], across[:, 1]], axis=1)
    low, high = seen.min(axis=0), seen.max(axis=0)
    seen -= [*((low + high)[:2] / 2), low[2]]
    reach = max(float((high - low)[:2].max()), 1e-3)
    seen[:, 2] += reach * _FIELD * 1.12
    camera = Camera(_SIZE * _FIELD, _SIZE * _FIELD, _SIZE / 2, _SIZE / 2, _SIZE, _SIZE)
    _, face = rasteriser.rasterise(seen, faces, camera)
    return _shaded(seen, faces, face)


def _surface(obj: Any) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Points (V, 3) in the world and triangles (F, 3) of an object as it is posed now."""
    evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = evaluated.to_mesh()
    try:
        points, (faces, _) = meshes.positions(mesh), meshes.triangles(mesh)
    finally:
        evaluated.to_mesh_clear()
    return axes.transform(np.array(obj.matrix_world, np.float64), points), faces.astype(np.int64)


def _shaded(points: NDArray, faces: NDArray, face: NDArray) -> NDArray[np.float32]:
    """Colours of the faces seen (H, W), -1 where there is none, in light from above the viewer's shoulder."""
    corners = points[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    light = np.array([-0.45, -0.65, -0.61])
    bright = 0.35 + 0.65 * np.clip(np.abs(normals @ light), 0, 1)
    picture = np.broadcast_to(_PAPER, (*face.shape, 3)).copy()
    picture[face >= 0] = bright[face[face >= 0], None] * _INK
    return np.concatenate([picture, np.ones((*face.shape, 1))], axis=-1).astype(np.float32)


def _set_preview(made: Action, picture: NDArray[np.float32] | None) -> None:
    if picture is None:
        return
    preview: Any = made.preview_ensure()
    preview.image_size = picture.shape[1::-1]
    preview.image_pixels_float.foreach_set(np.ascontiguousarray(picture[::-1]).ravel())
