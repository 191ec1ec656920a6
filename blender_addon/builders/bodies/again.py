# SPDX-License-Identifier: GPL-3.0-or-later
"""A person's objects shown again, in place: bones, vertices and motion change, and all that the artist did stays."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import bpy
import numpy as np
from bpy.types import Collection, Object, Scene
from mathutils import Matrix
from numpy.typing import NDArray

from ....inference.results import People
from ...core import compat, roles
from ...core.transaction import Transaction, note
from ..surfaces import meshes
from . import action, body
from .armature import lay_bones

#: What is written on a person's objects of the motion and the build.
_TOLD = (roles.LICENCE, roles.HEIGHT, roles.FRAMES, roles.SCORE, roles.BOX)


@dataclass(frozen=True)
class Shown:
    """A person in the scene. tracks : who it is, of the clip.  parts : the objects by what they are (`parts_of`)."""

    tracks: tuple[int, ...]
    parts: Mapping[str, Object]

    @property
    def objects(self) -> list[Object]:
        return list(self.parts.values())


def parts_of(collection: Collection) -> dict[str, Object]:
    """The objects of a person as `body.build_people` made them: "body" the mesh, "rig" what moves it, and beside a
    Rigify rig its "metarig" and the skeleton for a "game"."""
    mesh = next(obj for obj in collection.objects if obj.type == "MESH")
    found = {"body": mesh}
    for obj in collection.objects:
        if obj.type == "ARMATURE":
            game = obj.get(roles.RIG) == roles.GAME_SKELETON
            found["rig" if obj == action.controls_of(mesh) else "game" if game else "metarig"] = obj
    return found


def write(parts: Mapping[str, Object], told: Mapping[str, Any]) -> None:
    """Write on a person's objects how they are solved again, and where each was put."""
    for part, obj in parts.items():
        own = json.loads(str(obj.get(roles.MEASURED, "{}"))).get("place")
        placed = own or np.array(obj.matrix_world).ravel().tolist()
        obj[roles.MEASURED] = json.dumps({**told, "part": part, "place": placed})


def people_of(file: str) -> list[Shown]:
    """Who of the people of a clip is there, by the file of what was measured of it."""
    found: dict[tuple[int, ...], dict[str, Object]] = {}
    for obj in bpy.data.objects:
        told = json.loads(str(obj.get(roles.MEASURED, "{}")))
        if told.get("file") == file and obj.library is None:
            tracks = tuple(int(one) for one in obj.get(roles.JOINED, [obj[roles.TRACK]]))
            found.setdefault(tracks, {}).setdefault(told["part"], obj)  # a copy of the artist's comes later
    return [Shown(tracks, parts) for tracks, parts in found.items()]


def of_tracks(people: People, wanted: Sequence[tuple[int, ...]]) -> People:
    """The people of these tracks alone, in their order; of several tracks of one person the first counts."""
    frames = []
    for persons in people.frames:
        own = {person.track_id: person for person in persons}
        first = [next((own[track] for track in tracks if track in own), None) for tracks in wanted]
        frames.append(tuple(replace(one, track_id=number) for number, one in enumerate(first) if one is not None))
    return replace(people, frames=tuple(frames))


def rebuild(people: People, options: body.BodyOptions, shown: Sequence[Shown], scene: Scene) -> None:
    """Build people (whose track ids are their places in `shown`) and hand what shows them over to the objects that are
    there; nothing else of it stays."""
    fresh, texts = Transaction(), set(bpy.data.texts)
    built = dict(zip(people.tracks(), body.build_people(people, options, name="~again", scene=scene), strict=True))
    handed: set[Any] = set()
    for number, one in enumerate(shown):
        if number in built:
            new = parts_of(built[number])
            for part, obj in one.parts.items():
                if part in new:
                    handed |= _hand_over(new[part], obj)
            _tell(built[number], one.objects)
        else:
            note(f"{one.objects[0].name} is not found any more, and stays as it was")
    bpy.data.batch_remove([block for block in fresh.made() if block not in handed])
    for text in set(bpy.data.texts) - texts:
        bpy.data.texts.remove(text)


def _hand_over(new: Any, obj: Any) -> set[Any]:
    """Give an object bones or vertices, motion and place of a new one; returns the new datablocks that it has now."""
    moved = _own_move(obj)
    if obj.type == "ARMATURE":
        lay_bones(obj, new.data)
        _pose(new, obj)
    else:
        _reshape(new, obj)
    handed = _take_action(new, obj)
    if obj.type == "MESH" and obj.data.shape_keys and new.data.shape_keys:
        handed |= _take_action(new.data.shape_keys, obj.data.shape_keys)
    for modifier in new.modifiers:
        cache = next((one for one in obj.modifiers if one.type == modifier.type == "MESH_CACHE"), None)
        if cache is not None:
            cache.filepath, cache.frame_start = modifier.filepath, modifier.frame_start
    if new.parent is None:
        told = json.loads(obj[roles.MEASURED])
        placed = np.array(new.matrix_world)
        obj.matrix_world = Matrix((moved @ placed).tolist())
        obj[roles.MEASURED] = json.dumps({**told, "place": placed.ravel().tolist()})
    return handed


def _own_move(obj: Any) -> NDArray[np.float64]:
    """(4, 4) how the artist has moved an object since it was put into its place; not where its own keys move it."""
    data = obj.animation_data
    curves = compat.channels_of(data.action, obj).fcurves if data is not None and data.action is not None else ()
    if any(curve.data_path.startswith(("location", "rotation", "scale")) for curve in curves):
        return np.eye(4)
    placed = np.reshape(json.loads(obj[roles.MEASURED])["place"], (4, 4))
    return np.array(obj.matrix_world) @ np.linalg.inv(placed)


def _pose(new: Any, obj: Any) -> None:
    """What a bone tells of how it was seen, and constraints' lengths at rest."""
    for bone in new.pose.bones:
        old = obj.pose.bones.get(bone.name)
        if old is None:
            continue
        for name in ("confidence", "guessed"):
            if name in bone:
                old[name] = bone[name]
            elif name in old:
                del old[name]
        if old.color.palette in ("DEFAULT", body.GUESSED_COLOUR):
            old.color.palette = bone.color.palette
        for constraint in bone.constraints:
            mine = old.constraints.get(constraint.name)
            if mine is not None and mine.type == constraint.type == "STRETCH_TO":
                mine.rest_length = constraint.rest_length


def _reshape(new: Any, obj: Any) -> None:
    """The vertices, and those of the shape keys; the artist's own keys add to them what they did."""
    mesh, other = obj.data, new.data
    if len(mesh.vertices) != len(other.vertices):
        note(f"{obj.name} keeps its shape, because its mesh has other vertices now")
        return
    keys, others = mesh.shape_keys, other.shape_keys
    if keys is not None and others is not None:
        base, wanted = _places(keys.reference_key), {key.name: _places(key) for key in others.key_blocks}
        step = wanted[others.reference_key.name] - base
        for key in list(keys.key_blocks):
            if key.name not in wanted and key.name.startswith(("pose.", "Frame ")):
                obj.shape_key_remove(key)
            else:
                _set(key, wanted.pop(key.name) if key.name in wanted else _places(key) + step)
        for name, places in wanted.items():
            key, model = obj.shape_key_add(name=name, from_mix=False), others.key_blocks[name]
            key.slider_min, key.slider_max, key.value = model.slider_min, model.slider_max, model.value
            key.interpolation = model.interpolation
            _set(key, places)
    meshes.set_positions(mesh, meshes.positions(other))
    mesh.update()


def _places(key: Any) -> NDArray[np.float32]:
    found = np.empty(3 * len(key.data), np.float32)
    key.data.foreach_get("co", found)
    return found


def _set(key: Any, places: NDArray) -> None:
    key.data.foreach_set("co", np.ascontiguousarray(places, np.float32))


def _take_action(new: Any, block: Any) -> set[Any]:
    """The new datablock's action, under the name of the one whose place it takes."""
    made = new.animation_data.action if new.animation_data is not None else None
    if made is None:
        return set()
    before = block.animation_data.action if block.animation_data is not None else None
    new.animation_data_clear()
    compat.assign_action(block, made)
    if before is not None and before.users - before.use_fake_user == 0:
        name = before.name
        bpy.data.actions.remove(before)
        made.name = name
    return {made}


def _tell(collection: Collection, objects: Sequence[Object]) -> None:
    """Write on what shows a person what is known of the new motion; of a joined one the frames of all of it."""
    moved = [one.animation_data.action for one in objects if one.animation_data]
    homes = {home for one in objects for home in one.users_collection if roles.TRACK in home}
    track = objects[0][roles.TRACK]
    for block in (*objects, *homes, *filter(None, moved)):
        block[roles.TRACK] = track
        for name in _TOLD:
            source: Any = collection if name in collection else next(iter(collection.objects))
            if name in source:
                block[name] = source[name]
