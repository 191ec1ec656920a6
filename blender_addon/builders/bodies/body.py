# SPDX-License-Identifier: GPL-3.0-or-later
"""People: one collection a person with a rigged, animated body, or with the exact vertices of every frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np
from mathutils import Matrix

from ....inference.errors import BadInput, NothingFound
from ....inference.geometry import skinning
from ....inference.rigs.template import in_bones_of
from ....inference.shipped import body as builtin
from ...core import axes, roles
from ..camera import scene as scenes
from ..materials import materials
from ..surfaces import meshes
from . import action, armature, rigify, skin, vertex_cache
from .correctives import add_correctives

if TYPE_CHECKING:
    from bpy.types import Collection, Mesh, Object, Scene
    from numpy.typing import NDArray

    from ....inference.results import Body, People, Person

MODES = ("ARMATURE", "VERTEX_CACHE", "SHAPE_KEYS")
#: Whose bones an armature has; all but the body's own are made for the built-in body.
RIGS = ("OWN", "MIXAMO", "UNREAL", "RIGIFY")

#: Custom property: the licence of the body and of what is made with it.
LICENCE = "maquette_licence"
_SKIN = (0.55, 0.31, 0.21)  # linear RGB
_TURN = axes.Z_UP[:3, :3]


def build_people(
    people: People,
    *,
    name: str,
    world_from_camera: NDArray | None = None,
    mode: str = "ARMATURE",
    start_frame: int = 1,
    scene: Scene | None = None,
    folder: str | Path | None = None,
    sliders: bool = True,
    rig: str = "OWN",
    correctives: str = "LIVE",
) -> list[Collection]:
    """Every track of `people` through `build_person`, in collections `<name>.person.<n>` inside one `<name>.people`.

    A clip (`people.fps`) sets the scene's frame rate, and its frame range from `start_frame` on.
    rig : whose bones armatures have: "OWN" the body's, "MIXAMO", "UNREAL", or "RIGIFY", a generated control rig.
    Raises NothingFound where there is nobody, BadInput for a rig that this body cannot have.
    """
    people = _in_bones(people, rig, mode)
    tracks = people.tracks()
    if not tracks:
        raise NothingFound("No person was found.", "Choose another photo, or draw a box around the person.")
    target = scene or scenes.current()
    together = scenes.new_collection(f"{name}.people", target.collection)
    template = skin.skinned_mesh(name, people.body)
    made = [
        build_person(
            people.body,
            track,
            name=f"{name}.person.{number}",
            world_from_camera=world_from_camera,
            mode=mode,
            start_frame=start_frame,
            parent=together,
            folder=folder,
            sliders=sliders,
            template=template,
            control_rig=rig == "RIGIFY" and mode == "ARMATURE",
            correctives=correctives,
        )
        for number, track in enumerate(tracks.values(), start=1)
    ]
    bpy.data.meshes.remove(template)
    if people.fps:
        scenes.set_timing(target, people.fps, start_frame, start_frame + len(people.frames) - 1)
    return made


def build_person(
    body: Body,
    track: Sequence[tuple[int, Person]],
    *,
    name: str,
    world_from_camera: NDArray | None = None,
    mode: str = "ARMATURE",
    start_frame: int = 1,
    parent: Collection | None = None,
    folder: str | Path | None = None,
    sliders: bool = True,
    template: Mesh | None = None,
    control_rig: bool = False,
    correctives: str = "LIVE",
) -> Collection:
    """One person as a collection.

    track : (frame index, Person) in order; index 0 lands on `start_frame`. One entry gives a pose with one key.
    world_from_camera : (4, 4) z-up world, metres, from the camera axes of the photo; None: `axes`' default.
    mode : "ARMATURE": armature with the person's own rest joints, skinned mesh with the person's own rest shape, one
        action with quaternions for every joint and the root's location.
        "VERTEX_CACHE": mesh with the exact vertices of every frame in a PC2 file (in `folder`, by default `maquette`
        beside the .blend, or the temporary folder while that is unsaved) read by a Mesh Cache modifier.
        "SHAPE_KEYS": the same in absolute shape keys, inside the .blend.
    sliders : with an armature, shape keys for the body's shape; see `skin.shape_deltas`.
    correctives : with an armature, what becomes of a body's pose blend shapes (see `correctives`).
    control_rig : replace the armature by a generated Rigify rig whose controls have the motion.
    template : mesh from `skin.skinned_mesh` to copy, when several bodies are built.

    The objects stand where the person's feet meet the ground in the first frame. Written on them: the body's licence,
    its height when it stands straight, on pose bones the joint's mean `confidence`. Raises BadInput for bad values.
    """
    if mode not in MODES:
        raise BadInput(f"There is no way {mode!r} to build a body.", f"Choose one of {', '.join(MODES)}.")
    if not track:
        raise BadInput("A person without frames cannot be built.", "Recover the person again.")
    collection = scenes.new_collection(name, parent)
    frames = np.array([frame for frame, _ in track])
    persons = [person for _, person in track]
    world = axes.default_world_from_camera() if world_from_camera is None else np.asarray(world_from_camera, np.float64)
    place = _place(world, persons[0])
    mesh = template.copy() if template is not None else skin.skinned_mesh(name, body)
    mesh.name = f"{name}.body"
    mesh.materials.append(materials.plain_material(f"{name}.skin", _SKIN))
    obj = bpy.data.objects.new(mesh.name, mesh)
    collection.objects.link(obj)
    local = np.linalg.inv(place) @ world
    if mode == "ARMATURE":
        rig = _add_rig(obj, body, persons, frames + start_frame, local, name, collection, sliders, correctives)
        rig.matrix_world = Matrix(place.tolist())
        if control_rig:
            rigify.to_control_rig(rig, obj, body, (frames + start_frame).tolist(), name=name, collection=collection)
    else:
        obj.matrix_world = Matrix(place.tolist())
        obj.vertex_groups.clear()  # weights without a rig would only make the file larger

        def vertices(index: int) -> NDArray:
            return axes.transform(local, persons[index].vertices)

        meshes.set_positions(mesh, vertices(0))
        if mode == "VERTEX_CACHE":
            vertex_cache.add_point_cache(obj, vertices, frames, name=name, start_frame=start_frame, folder=folder)
        else:
            vertex_cache.add_absolute_keys(obj, vertices, frames, name=name, start_frame=start_frame)
        mesh.update()
    stature = _stature(body, persons)
    for made in collection.objects:
        made[LICENCE], made[roles.HEIGHT] = body.licence, stature
    mesh[LICENCE] = body.licence
    return collection


def _stature(body: Body, persons: Sequence[Person]) -> float:
    """Height in metres of the body at rest, where it stands straight."""
    vertices, _ = skinning.rest_pose(body, np.mean([person.shape for person in persons], axis=0))
    return float(np.ptp(vertices[:, 1]))


def _in_bones(people: People, rig: str, mode: str) -> People:
    """The people in the bones of the rig that was asked for."""
    if rig not in RIGS:
        raise BadInput(f"There is no rig {rig!r}.", f"Choose one of {', '.join(RIGS)}.")
    if rig == "OWN" or mode != "ARMATURE":
        return people
    if people.body.name != builtin.load_body().name:
        raise BadInput(
            f"The body {people.body.name} has its own bones only.",
            "Choose its own rig and retarget it onto yours, or recover the people with the built-in body.",
        )
    return people if rig == "RIGIFY" else in_bones_of(people, rig.lower())


def _place(world: NDArray, person: Person) -> NDArray[np.float64]:
    """(4, 4) of the person's objects: on the ground below the root joint, as large as the world's metre."""
    scale = np.cbrt(np.linalg.det(world[:3, :3]))
    place = np.diag([scale, scale, scale, 1.0])
    place[:2, 3] = axes.transform(world, person.joints[0])[:2]
    return place


def _add_rig(
    obj: Object,
    body: Body,
    persons: Sequence[Person],
    frames: NDArray,
    local: NDArray,
    name: str,
    collection: Collection,
    sliders: bool,
    correctives: str,
) -> Object:
    """Armature, skin and action of a person. local (4, 4): the armature's space from camera axes."""
    shape = np.mean([person.shape for person in persons], axis=0)
    rest_vertices, rest_joints = skinning.rest_pose(body, shape)
    # At rest the body stands on the armature's origin: its lowest point on the ground, its root above the origin.
    turned = rest_vertices @ _TURN.T
    stand = np.array([*-(_TURN @ rest_joints[0])[:2], -turned[:, 2].min()])
    vertices, joints = turned + stand, rest_joints @ _TURN.T + stand
    meshes.set_positions(obj.data, vertices)  # type: ignore[arg-type]
    if sliders:
        deltas, reach = skin.shape_deltas(body, persons[0].attributes)
        if deltas:
            turned_deltas = {trait: delta @ _TURN.T for trait, delta in deltas.items()}
            skin.add_sliders(obj, vertices, turned_deltas, reach)
    obj.data.update()  # type: ignore[union-attr]

    rig = armature.new_armature(f"{name}.rig", body, joints, vertices, collection)
    obj.parent = rig
    modifier: Any = obj.modifiers.new("Armature", "ARMATURE")
    modifier.object = rig
    rest = armature.rest_axes(rig, body.joint_names)
    rotations = np.stack([person.rotations for person in persons]).astype(np.float64)
    rotations /= np.linalg.norm(rotations, axis=-1, keepdims=True)
    roots = np.stack([_root_matrix(person, rest_joints[0], local, stand, rest[0]) for person in persons])
    quaternions = armature.bone_local(_turned(rotations), rest)
    quaternions[:, 0] = skinning.quaternions_of(roots[:, :3, :3])
    confidence = np.mean([person.confidence for person in persons], axis=0)
    quaternions = armature.aligned(quaternions)
    _key_pose(rig, body.joint_names, frames, quaternions, roots[:, :3, 3], confidence, name)
    add_correctives(obj, rig, body, rest, quaternions, frames, correctives, name)
    return rig


def _turned(quaternions: NDArray) -> NDArray[np.float64]:
    """Quaternions (..., 4) about camera axes -> about z-up axes."""
    turned = quaternions.copy()
    turned[..., 1:] = quaternions[..., 1:] @ _TURN.T
    return turned


def _root_matrix(person: Person, root: NDArray, local: NDArray, stand: NDArray, rest: NDArray) -> NDArray[np.float64]:
    """(4, 4) that the root bone adds to its rest matrix in one frame: rest^-1 @ pose.

    The body's skin transform at the root is x -> R (x - root) + root + translation in camera axes; the armature's rest
    pose is the body's, turned z up and moved by `stand`.
    """
    posed = np.eye(4)
    posed[:3, :3] = skinning.rotation_matrices(person.rotations[0].astype(np.float64))
    posed[:3, 3] = root + person.translation - posed[:3, :3] @ root
    from_rest = np.eye(4)
    from_rest[:3, :3] = _TURN.T
    from_rest[:3, 3] = -_TURN.T @ stand
    return np.linalg.inv(rest) @ local @ posed @ from_rest @ rest


def _key_pose(
    rig: Object,
    names: Sequence[str],
    frames: NDArray,
    quaternions: NDArray,
    locations: NDArray,
    confidence: NDArray,
    name: str,
) -> None:
    """One action: quaternions (T, J, 4) of every bone and locations (T, 3) of the first."""
    keyed = action.new_action(rig, name)
    bones: Any = rig.pose.bones  # type: ignore[union-attr]
    for index, joint in enumerate(names):
        bone = bones[joint]
        bone.rotation_mode = "QUATERNION"
        bone.rotation_quaternion = quaternions[0, index].tolist()
        bone["confidence"] = float(confidence[index])
        path = f'pose.bones["{bpy.utils.escape_identifier(joint)}"].'
        action.add_fcurves(keyed, rig, path + "rotation_quaternion", frames, quaternions[:, index], joint)
        if index == 0:
            bone.location = locations[0].tolist()
            action.add_fcurves(keyed, rig, path + "location", frames, locations, joint)
