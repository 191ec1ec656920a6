# SPDX-License-Identifier: GPL-3.0-or-later
"""What was built of a photo before: what the same task made is replaced, what lies in the result's place hidden.

Every datablock that a task makes carries the mark of its run: task, photo and name. A second run takes the first one's
names, and with them its place. What the second did not make, and what the artist uses elsewhere or has painted on,
stays; what is built again in another way leaves nothing behind that only the first had, a mask or an outline.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import bpy
from bpy.types import Collection, Image, Object, Scene, ViewLayer

from ...core import roles
from ...core.transaction import KINDS

#: Custom property of what a task has made: task, digest of the photo, and its name.
RUN = "maquette_run"
#: Custom property of a photo's collection: the image of the photo or clip; where it has none, its name.
_OF = "maquette_collection_of"
#: Tasks whose bodies and surfaces of one photo would lie in each other.
_TOGETHER = {"depth", "people", "scene"}


def mark(made: Iterable[Any], run: str) -> None:
    """Write on what a task has made of which run it is; photos and their cameras belong to all tasks."""
    for block in made:
        if roles.DIGEST not in block and not isinstance(block, bpy.types.Camera) and RUN not in block:
            block[RUN] = run


@contextmanager
def replaced(run: str, target: str, *, wanted: bool, all_of_it: bool = False) -> Iterator[None]:
    """Let what is built inside take the names and places of what the same run built before, which then goes; where the
    building fails all is as before. target : the object that is built on, which stays.  all_of_it : what is not built
    again goes too."""
    old = list(_made_by(run, target)) if wanted else []
    for number, (_, block, _) in enumerate(old):
        block.name = f"~{number}"
    try:
        yield
    except BaseException:
        for _, block, name in old:
            block.name = name
        raise
    left = [found for found in old if _successor(*found) is None]
    kept = left if not all_of_it else _used(left, run)
    gone = [found for found in old if found not in kept]
    _remove(gone)
    for _, block, name in _there(old):
        block.name = name


def _made_by(run: str, target: str) -> Iterator[tuple[str, Any, str]]:
    """Kind, datablock and name of what a run has made."""
    for kind in KINDS:
        for block in getattr(bpy.data, kind):
            mine = block.get(RUN) == run and block.library is None and (kind, block.name) != ("objects", target)
            if mine and not (kind == "images" and block.is_dirty):
                yield kind, block, block.name


def _successor(kind: str, _block: Any, name: str) -> Any:
    """What has taken the name of something older."""
    return getattr(bpy.data, kind).get(name)


def _used(left: list[tuple[str, Any, str]], run: str) -> list[tuple[str, Any, str]]:
    """Those of what the run made, and does not make any more, that the artist uses, and the collections they lie in."""
    objects = [block for kind, block, _ in left if kind == "objects"]
    own = (bpy.types.Scene, Collection, bpy.types.Screen)
    users = bpy.data.user_map(subset=objects) if objects else {}
    used = {one for one in objects if any(not isinstance(user, own) and user.get(RUN) != run for user in users[one])}
    homes = {block for kind, block, _ in left if kind == "collections" and used.intersection(block.all_objects)}
    return [found for found in left if found[1] in used or found[1] in homes]


def _there(old: Iterable[tuple[str, Any, str]]) -> Iterator[tuple[str, Any, str]]:
    """Those that have not been removed."""
    for kind, block, name in old:
        try:
            if block.name.startswith("~"):
                yield kind, block, name
        except ReferenceError:
            continue


def _remove(gone: list[tuple[str, Any, str]]) -> None:
    """Remove objects and collections with what was made in them, and then what nothing uses any more."""
    collections = [block for kind, block, _ in gone if kind == "collections"]
    objects = {block: _successor(kind, block, name) for kind, block, name in gone if kind == "objects"}
    for collection in collections:
        for obj in collection.all_objects:
            if obj.get(RUN) == collection.get(RUN):
                objects.setdefault(obj, None)
    data = {obj.data for obj in objects if obj.data is not None and obj.data.get(RUN) == obj.get(RUN)}
    for obj, new in objects.items():
        for collection in obj.users_collection:
            collection.objects.unlink(obj)
        if new is not None:
            if obj.parent is None is new.parent and str(obj.get(RUN, "")).startswith("depth/"):
                new.matrix_basis = obj.matrix_basis  # where the artist has put the grid
            obj.user_remap(new)  # the artist's children, constraints and modifiers follow
    bpy.data.batch_remove([*objects, *collections])
    rest = [block for kind, block, _ in gone if kind not in ("collections", "objects")]
    rest = [block for block in {*rest, *data} if _is_there(block)]
    users = bpy.data.user_map(subset=rest) if rest else {}
    unused = [one for one in rest if not {user for user in users[one] if not isinstance(user, bpy.types.Screen)}]
    while unused:
        bpy.data.batch_remove(unused)
        rest = [one for one in rest if _is_there(one)]
        users = bpy.data.user_map(subset=rest) if rest else {}
        unused = [one for one in rest if not {user for user in users[one] if not isinstance(user, bpy.types.Screen)}]


def _is_there(block: Any) -> bool:
    try:
        return bool(block.name)
    except ReferenceError:
        return False


def hide(task: str, digest: str, made: Iterable[Any], layer: ViewLayer) -> list[str]:
    """Hide what lies where the bodies or surfaces of the same photo were built now: those of the other tasks, and the
    surfaces that the same one built in another way. Grids that belong to no place stand elsewhere. Returns what is to
    be said of it."""
    new = {block for block in made if isinstance(block, Object)}
    if task not in _TOGETHER or not any(obj.type in {"MESH", "ARMATURE"} for obj in new):
        return []
    others = tuple(f"{one}/{digest}/" for one in _TOGETHER if one != task or one == "depth")
    hidden = [  # a layer may list an object twice while it is being sorted into collections
        obj
        for obj in dict.fromkeys(layer.objects)
        if str(obj.get(RUN, "")).startswith(others) and obj.type in {"MESH", "ARMATURE"} and obj not in new
        if (obj.parent is not None or not str(obj[RUN]).startswith("depth/")) and obj.visible_get(view_layer=layer)
    ]
    for obj in hidden:
        obj.hide_set(True, view_layer=layer)
        obj.hide_render = True
    if not hidden:
        return []
    named = hidden[0].name if len(hidden) == 1 else f"{len(hidden)} objects of the same photo"
    return [f"{named} {'is' if len(hidden) == 1 else 'are'} hidden, which would lie in the same place"]


def gather(made: Iterable[Any], scene: Scene, photo: Image | None, name: str) -> None:
    """Move what was made into its photo's own collection, where it lies in the scene's. photo, name : of what is not
    marked with its photo; of several photos each has a collection."""
    root = scene.collection
    for block in list(made):
        objects = block.all_objects[:] if isinstance(block, Collection) else [block]
        if isinstance(block, Object) and root in block.users_collection:
            into = _collection_of(_photo_of(objects, photo), name, scene).objects
            if block.name not in into:
                into.link(block)
            root.objects.unlink(block)
        elif isinstance(block, Collection) and block in root.children[:]:
            root.children.unlink(block)
            if not any(block in one.children_recursive for one in bpy.data.collections):
                _collection_of(_photo_of(objects, photo), name, scene).children.link(block)


def _photo_of(objects: Iterable[Any], photo: Image | None) -> Image | None:
    """The photo that objects are marked with, else `photo`; None where they are of several, which go by one name."""
    marks = (obj.get(name) for obj in objects for name in (roles.OF_IMAGE, roles.IMAGE))
    photos = {mark for mark in marks if isinstance(mark, Image)} or {photo}
    return photos.pop() if len(photos) == 1 else None


def _collection_of(photo: Image | None, name: str, scene: Scene) -> Collection:
    """The collection of a photo in a scene, made where there is none."""
    for one in scene.collection.children_recursive:
        if _OF in one and one[_OF] == (photo or name):
            return one
    own = bpy.data.collections.new(Path(photo.name).stem or photo.name if photo is not None else name)
    own[_OF] = photo or name
    scene.collection.children.link(own)
    return own
