# SPDX-License-Identifier: GPL-3.0-or-later
"""People: one collection a person with a rigged, animated body, or with the exact vertices of every frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import bpy
import numpy as np
from bpy.types import Collection, Mesh, Object, Scene
from mathutils import Matrix
from numpy.typing import NDArray

from ....inference.errors import BadInput, NothingFound
from ....inference.geometry import skinning
from ....inference.geometry.rotations import align_hemisphere, quaternions_of, rotation_matrices
from ....inference.results import GUESSED, Body, People, Person
from ....inference.rigs.helpers import helper_motion
from ....inference.rigs.template import Rigged, in_bones_of
from ....inference.shipped import body as shipped_body
from ...core import axes, roles
from ..camera import scene as scenes
from ..materials import materials
from ..surfaces import meshes
from . import action, armature, correctives, retarget, rigify, skin, vertex_cache
from .rig_choices import RIGS

MODES = ("ARMATURE", *vertex_cache.MODES)

#: Unit of rigs that have one -> how many of it are a metre.
UNITS = {"METRES": 1.0, "CENTIMETRES": 100.0}
ROOT_MOTIONS = ("HIPS", "ROOT")

#: The theme's colour set (yellow) of bones whose turn is a guess.
GUESSED_COLOUR = "THEME09"
_SKIN = (0.4, 0.4, 0.4)  # linear RGB
_Z_UP = axes.Z_UP[:3, :3]


@dataclass(frozen=True)
class BodyOptions:
    """How bodies are built. Raises BadInput for an unknown choice.

    mode : "ARMATURE": armature with the person's own rest joints, skinned mesh with the person's own rest shape, one
        action with quaternions for every joint and the root's location.
        "VERTEX_CACHE": mesh with the exact vertices of every frame in a PC2 file (in `folder`, by default `maquette`
        beside the .blend, or the temporary folder while that is unsaved) read by a Mesh Cache modifier.
        "SHAPE_KEYS": the same in absolute shape keys, inside the .blend.
    rig : which bones armatures have (see `rig_choices`): "OWN" the body's, or "RIGIFY", a generated control rig ...
    rig_unit : "METRES" or "CENTIMETRES", in which those of game engines and avatars are (the object's scale follows).
    root_motion : what moves a person through the scene, "HIPS" or "ROOT", the bone on the ground of rigs that have one.
    max_influences : in all but the body's own, the most bones that move a vertex; 0: as many as do.
    limbs : of a control rig; see `retarget.Options`.
    game_skeleton : beside a control rig, an armature of its deforming bones alone that follows it and moves the mesh.
    sliders : with an armature, shape keys for the body's shape; see `skin.shape_deltas`.
    correctives : with an armature, what becomes of a body's pose blend shapes (see `correctives`).
    start_frame : frame of the scene that shows the clip's first frame.
    world_from_camera : (4, 4) z-up world, metres, from the camera axes of the photo; None: `axes`' default.
    keep_timing : the scene's frame rate and range stay as they are, whoever set them.
    """

    mode: str = "ARMATURE"
    rig: str = "OWN"
    rig_unit: str = "METRES"
    root_motion: str = "HIPS"
    max_influences: int = 4
    limbs: str = "FK"
    game_skeleton: bool = False
    sliders: bool = True
    correctives: str = "LIVE"
    start_frame: int = 1
    world_from_camera: NDArray | None = None
    folder: str | Path | None = None
    keep_timing: bool = False

    def __post_init__(self) -> None:
        for what, chosen, known in (
            ("body mode", self.mode, MODES),
            ("rig", self.rig, [identifier for identifier, *_ in RIGS]),
            ("unit", self.rig_unit, UNITS),
            ("root motion", self.root_motion, ROOT_MOTIONS),
            ("choice of limbs", self.limbs, retarget.LIMBS),
            ("corrective mode", self.correctives, correctives.MODES),
        ):
            if chosen not in known:
                raise BadInput(f"Unknown {what} {chosen!r}.", f"Choose one of {', '.join(known)}.")
        if self.max_influences < 0:
            raise BadInput(f"{self.max_influences} bones cannot move a vertex.", "Choose 0 for no limit, or more.")

    @property
    def in_preset(self) -> bool:
        """Whether the rig is a preset's, with a rest pose, units and bones of its own."""
        return self.mode == "ARMATURE" and self.rig not in ("OWN", "RIGIFY")

    @property
    def world(self) -> NDArray[np.float64]:
        """(4, 4) world from camera axes."""
        chosen = self.world_from_camera
        return axes.default_world_from_camera() if chosen is None else np.asarray(chosen, np.float64)


_DEFAULTS = BodyOptions()


@dataclass(frozen=True)
class _Take:
    """One person over the frames (T,) of the scene in which it was recovered.

    rigged : in the bones of a preset's rig, whose body and persons these are then; or None.  unit : of them a metre.
    """

    name: str
    body: Body
    persons: Sequence[Person]
    frames: NDArray[np.int64]
    world: NDArray[np.float64]
    rigged: Rigged | None = None
    unit: float = 1.0

    @cached_property
    def place(self) -> NDArray[np.float64]:
        """(4, 4) of the person's objects: on the ground below the root joint, as large as the world's metre."""
        scale = np.cbrt(np.linalg.det(self.world[:3, :3]))
        place = np.diag([*[scale / self.unit] * 3, 1.0])
        place[:2, 3] = axes.transform(self.world, self.persons[0].joints[0])[:2]
        return place

    @cached_property
    def local(self) -> NDArray[np.float64]:
        """(4, 4) the objects' space from camera axes."""
        return np.linalg.inv(self.place) @ self.world

    @cached_property
    def rest(self) -> tuple[NDArray, NDArray]:
        """Vertices (V, 3) and joints (J, 3) of the person's own rest pose, in camera axes."""
        return skinning.rest_pose(self.body, np.mean([person.shape for person in self.persons], axis=0))


def build_people(
    people: People, options: BodyOptions = _DEFAULTS, *, name: str, scene: Scene | None = None
) -> list[Collection]:
    """Every track of `people` through `build_person`, in collections `<name>.person.<n>` inside one `<name>.people`.

    A clip (`people.fps`) sets the scene's frame rate, and its frame range from `options.start_frame` on; where the
    scene keeps its own (see `scene.set_timing`), the motion is brought to its rate. Who is not in all of a clip is
    hidden in the other frames.
    Raises NothingFound where there is nobody, BadInput for a rig that this body cannot have.
    """
    target = scene or scenes.current()
    rate, clip_rate = scenes.frame_rate(target), people.fps or 0.0
    keep = options.keep_timing or scenes.keeps_timing(target)
    if keep and abs(rate - clip_rate) > 1e-3 * clip_rate > 0:
        from ....inference.people.clip.retime import at_rate  # its package needs torch, which the worker imports first

        people = at_rate(people, rate)
    _check_rig(people.body, options)
    tracks = people.tracks()
    if not tracks:
        raise NothingFound("No person was found.", "Choose another photo, or draw a box around the person.")
    together = scenes.new_collection(f"{name}.people", target.collection)
    takes = [
        _take(people.body, track, options, f"{name}.person.{number}") for number, track in enumerate(tracks.values(), 1)
    ]
    template = skin.skinned_mesh(name, takes[0].body)
    made = [_build(take, options, together, template.copy()) for take in takes]
    bpy.data.meshes.remove(template)
    if people.fps:
        first, last = options.start_frame, options.start_frame + len(people.frames) - 1
        for collection, track in zip(made, tracks.values(), strict=True):
            _hide_absent(collection, np.array([frame for frame, _ in track]) + first, first, last, people.fps)
        if not options.keep_timing:
            scenes.set_timing(target, clip_rate, first, last, keep=keep)
    return made


def _hide_absent(collection: Collection, frames: NDArray[np.int64], first: int, last: int, fps: float) -> None:
    """Key the visibility of a person's body, and have its rig follow, where the person is not in all of first..last.
    Short gaps are crossed, so that a person who is lost for a moment does not blink."""
    from ....inference.people.clip.identify import spells_of

    keys = {first: bool(frames[0] > first)}
    for spell in spells_of(frames, fps):
        keys |= {int(spell[0]): False, **({int(spell[-1]) + 1: True} if spell[-1] < last else {})}
    if not any(keys.values()):
        return
    body = next(obj for obj in collection.objects if obj.type == "MESH")
    keyed = action.new_action(body, f"{body.name}.visibility")
    for path in ("hide_viewport", "hide_render"):
        action.add_switch(keyed, body, path, np.array([*keys]), np.array([*keys.values()]))
    for rig in (obj for obj in collection.objects if obj.type == "ARMATURE"):
        driver: Any = rig.driver_add("hide_viewport").driver  # type: ignore[union-attr]
        driver.type = "MAX"
        variable = driver.variables.new()
        variable.targets[0].id, variable.targets[0].data_path = body, "hide_viewport"


def build_person(
    body: Body,
    track: Sequence[tuple[int, Person]],
    options: BodyOptions = _DEFAULTS,
    *,
    name: str,
    parent: Collection | None = None,
) -> Collection:
    """One person as a collection.

    track : (frame index, Person) in order; index 0 lands on `options.start_frame`. One entry gives a pose with one key.

    The objects stand where the person's feet meet the ground in the first frame. Written on them: the body's licence,
    its height when it stands straight, on pose bones the joint's mean `confidence`; bones that are guesses are yellow.
    Raises BadInput for bad values.
    """
    if not track:
        raise BadInput("A person without frames cannot be built.", "Recover the person again.")
    _check_rig(body, options)
    take = _take(body, track, options, name)
    return _build(take, options, parent, skin.skinned_mesh(name, take.body))


def _take(body: Body, track: Sequence[tuple[int, Person]], options: BodyOptions, name: str) -> _Take:
    """One person in the bones of the rig that was asked for."""
    frames, persons = np.array([frame for frame, _ in track]) + options.start_frame, [person for _, person in track]
    if not options.in_preset:
        return _Take(name, body, persons, frames, options.world)
    rigged = in_bones_of(body, persons, options.rig.lower())
    body = replace(rigged.body, skin_weights=skin.limited(rigged.body.skin_weights, options.max_influences))
    return _Take(name, body, rigged.persons, frames, options.world, rigged, UNITS[options.rig_unit])


def _build(take: _Take, options: BodyOptions, parent: Collection | None, mesh: Mesh) -> Collection:
    """A person of this mesh, which becomes theirs."""
    name, licence = take.name, take.body.licence
    collection = scenes.new_collection(name, parent)
    mesh.name = f"{name}.body"
    mesh.materials.append(materials.plain_material(f"{name}.skin", _SKIN))
    obj = bpy.data.objects.new(mesh.name, mesh)
    collection.objects.link(obj)
    if options.mode == "ARMATURE":
        _add_rig(obj, take, options, collection)
    else:
        _add_vertices(obj, take, options)
    stature = float(np.ptp(take.rest[0][:, 1])) * take.unit
    for made in collection.objects:
        made[roles.LICENCE], made[roles.HEIGHT] = licence, stature
    mesh[roles.LICENCE] = licence
    _mark(collection, take)
    return collection


def _mark(collection: Collection, take: _Take) -> None:
    """Write on all that shows a person who it is."""
    first = take.persons[0]
    told = {
        roles.TRACK: int(first.track_id),
        roles.FRAMES: [int(take.frames[0]), int(take.frames[-1])],
        roles.SCORE: float(np.mean([person.score for person in take.persons])),
        roles.BOX: [float(edge) for edge in first.box],
    }
    actions = [obj.animation_data.action for obj in collection.objects if obj.animation_data]
    for block in (collection, *collection.objects, *filter(None, actions)):
        for name, value in told.items():
            block[name] = value


def _check_rig(body: Body, options: BodyOptions) -> None:
    """Raise BadInput for a rig that this body cannot have."""
    if options.rig == "OWN" or options.mode != "ARMATURE" or body.name == shipped_body.load_body().name:
        return
    raise BadInput(
        f"The body {body.name} can only have its own bones.",
        "Choose the body's own rig and retarget it onto yours, or recover the people with the built-in body.",
    )


def _add_vertices(obj: Object, take: _Take, options: BodyOptions) -> None:
    """The exact vertices of every frame."""
    mesh: Any = obj.data
    obj.matrix_world = Matrix(take.place.tolist())
    obj.vertex_groups.clear()  # weights without a rig would only make the file larger

    def vertices(index: int) -> NDArray:
        return axes.transform(take.local, take.persons[index].vertices)

    meshes.set_positions(mesh, vertices(0))
    vertex_cache.animate(obj, vertices, take.frames, options.mode, name=take.name, folder=options.folder)
    mesh.update()


def _add_rig(obj: Object, take: _Take, options: BodyOptions, collection: Collection) -> None:
    """Armature, skin and action of a person."""
    rest_vertices, rest_joints = take.rest
    # At rest the body stands on the armature's origin: its lowest point on the ground, its root above the origin.
    upright = rest_vertices @ _Z_UP.T
    stand = np.array([*-(_Z_UP @ rest_joints[0])[:2], -upright[:, 2].min()])
    vertices, joints = (upright + stand) * take.unit, (rest_joints @ _Z_UP.T + stand) * take.unit
    meshes.set_positions(obj.data, vertices)  # type: ignore[arg-type]
    if options.sliders:
        deltas, reach = skin.shape_deltas(take.body, take.persons[0].attributes)
        if deltas:
            own = take.persons[0].parameters.get("joint_scales")  # of a build that has other proportions
            size = 1.0 if own is None or take.body.expressions is None else (take.body.skin_weights @ own)[:, None]
            moved = {trait: (size * delta) @ _Z_UP.T * take.unit for trait, delta in deltas.items()}
            skin.add_sliders(obj, vertices, moved, reach)
    obj.data.update()  # type: ignore[union-attr]

    rig = armature.new_armature(f"{take.name}.rig", take.body, joints, vertices, collection, take.rigged)
    obj.parent = rig
    modifier: Any = obj.modifiers.new("Armature", "ARMATURE")
    modifier.object = rig
    rest = armature.rest_axes(rig, take.body.joint_names)
    rotations = np.stack([person.rotations for person in take.persons]).astype(np.float64)
    rotations /= np.linalg.norm(rotations, axis=-1, keepdims=True)
    roots = np.stack([_root_matrix(person, rest_joints[0], take, stand, rest[0]) for person in take.persons])
    quaternions = armature.bone_local(_upright(rotations), rest)
    quaternions[:, 0] = quaternions_of(roots[:, :3, :3])
    helpers = _helper_motion(rig, take, quaternions, roots, options) if take.rigged is not None else {}
    if take.body.joint_names[0] in helpers:
        roots = helpers.pop(take.body.joint_names[0])
        quaternions[:, 0] = quaternions_of(roots[:, :3, :3])
    quaternions = align_hemisphere(quaternions)
    _key_pose(rig, take, quaternions, _locations(take, roots, rest), helpers)
    if take.persons[0].correctives is None:
        correctives.add_correctives(obj, rig, take.body, rest, quaternions, take.frames, options.correctives, take.name)
    elif options.correctives != "OFF":
        correctives.add_exact(obj, take.body, *take.rest, take.persons, take.frames, take.unit, take.name)
    rig.matrix_world = Matrix(take.place.tolist())
    if options.rig == "RIGIFY":
        rigify.to_control_rig(
            rig, obj, take.body, take.frames.tolist(), name=take.name, collection=collection,
            limbs=options.limbs, root_motion=options.root_motion, max_influences=options.max_influences,
            game_skeleton=options.game_skeleton,
        )  # fmt: skip


def _upright(quaternions: NDArray) -> NDArray[np.float64]:
    """Quaternions (..., 4) about camera axes -> about z-up axes."""
    upright = quaternions.copy()
    upright[..., 1:] = quaternions[..., 1:] @ _Z_UP.T
    return upright


def _root_matrix(person: Person, root: NDArray, take: _Take, stand: NDArray, rest: NDArray) -> NDArray[np.float64]:
    """(4, 4) that the root bone adds to its rest matrix in one frame: rest^-1 @ pose.

    The body's skin transform at the root is x -> R (x - root) + root + translation in camera axes; the armature's rest
    pose is the body's, turned z up, moved by `stand` and in the rig's unit.
    """
    posed = np.eye(4)
    posed[:3, :3] = rotation_matrices(person.rotations[0].astype(np.float64))
    posed[:3, 3] = root + person.translation - posed[:3, :3] @ root
    from_rest = np.eye(4)
    from_rest[:3, :3] = _Z_UP.T / take.unit
    from_rest[:3, 3] = -_Z_UP.T @ stand
    return np.linalg.inv(rest) @ take.local @ posed @ from_rest @ rest


def _locations(take: _Take, roots: NDArray, rest: NDArray) -> dict[int, NDArray[np.float64]]:
    """Bone -> (T, 3) where it is moved in its own axes: the first one, whose matrices are `roots` (T, 4, 4), and those
    of joints that do not stay in their places."""
    found = {0: roots[:, :3, 3]}
    if any(person.offsets is not None for person in take.persons):
        none = np.zeros((len(take.body.parents), 3))
        steps = np.stack([none if one.offsets is None else one.offsets for one in take.persons]) @ _Z_UP.T * take.unit
        for joint in np.flatnonzero(steps.any(axis=(0, 2))):
            found.setdefault(int(joint), steps[:, joint] @ rest[joint, :3, :3])
    return found


def _helper_motion(
    rig: Any, take: _Take, quaternions: NDArray, roots: NDArray, options: BodyOptions
) -> dict[str, NDArray[np.float64]]:
    """Bone -> (T, 4, 4) what it adds to its rest matrix, for the bones of a preset's rig that have no skin."""
    assert take.rigged is not None
    rig[roles.RIG] = options.rig.lower()
    rest = {bone.name: np.array(bone.matrix_local, np.float64) for bone in rig.data.bones}
    turns = np.tile(np.eye(4), (*quaternions.shape[:2], 1, 1))
    turns[..., :3, :3] = rotation_matrices(quaternions)
    turns[:, 0] = roots
    return helper_motion(take.rigged, rest, turns, options.root_motion == "ROOT")


def _key_pose(
    rig: Object, take: _Take, quaternions: NDArray, locations: Mapping[int, NDArray], helpers: Mapping[str, NDArray]
) -> None:
    """One action: quaternions (T, J, 4) of every bone, locations (T, 3) of some, and helpers' (T, 4, 4)."""
    keyed = action.new_action(rig, take.name)
    confidence = np.mean([person.confidence for person in take.persons], axis=0)
    bones: Any = rig.pose.bones  # type: ignore[union-attr]
    for bone in bones:
        bone.rotation_mode = "QUATERNION"

    def key(name: str, turns: NDArray, places: NDArray | None) -> None:
        bones[name].rotation_quaternion = turns[0].tolist()
        action.add_fcurves(keyed, rig, action.bone_path(name, "rotation_quaternion"), take.frames, turns, name)
        if places is not None:
            bones[name].location = places[0].tolist()
            action.add_fcurves(keyed, rig, action.bone_path(name, "location"), take.frames, places, name)

    for index, joint in enumerate(take.body.joint_names):
        bones[joint]["confidence"] = float(confidence[index])
        if confidence[index] < GUESSED:
            bones[joint]["guessed"], bones[joint].color.palette = True, GUESSED_COLOUR
        key(joint, quaternions[:, index], locations.get(index))
    for name, basis in helpers.items():
        key(name, align_hemisphere(quaternions_of(basis[:, :3, :3])), basis[:, :3, 3])
