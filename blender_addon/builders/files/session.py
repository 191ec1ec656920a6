# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of an unsaved .blend: they lie in Blender's temporary folder, and move beside it when it is saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bpy
from bpy.app.handlers import persistent

from ...core import roles, transaction


def warn() -> None:
    """Say in the closing line where a file of an unsaved .blend lies."""
    if not bpy.data.filepath:
        transaction.note("Save the .blend file: until then its caches lie in Blender's temporary folder")


@persistent
def take_along(filepath: str = "", *_arguments: object) -> None:
    """The .blend is about to be saved: vertex caches and sequences come out of the temporary folder, which is deleted
    when Blender ends, to `maquette` beside it."""
    import shutil

    from . import paths

    temporary = Path(bpy.app.tempdir)
    for owner in () if not filepath else _owners():
        path = Path(bpy.path.abspath(owner.filepath))
        if not path.is_relative_to(temporary) or not path.exists():
            continue
        folder = paths.output_folder(Path(filepath).absolute().parent / "maquette")
        if path.parent == temporary:
            target = paths.unused_file(folder, path.stem, path.suffix)
            shutil.move(path, target)
        else:  # a sequence has a folder of its own
            target = paths.unused_file(folder, path.parent.name, "") / path.name
            shutil.move(path.parent, target.parent)
        owner.filepath = str(target)
    if filepath:
        _take_measurements(temporary, Path(filepath).absolute().parent / "maquette")


def _take_measurements(temporary: Path, folder: Path) -> None:
    """The same for what was measured of clips: all people of one share a file."""
    import shutil

    from . import paths

    moved: dict[Path, Path] = {}
    for obj in bpy.data.objects:
        told = json.loads(str(obj.get(roles.MEASURED, "{}")))
        path = Path(told.get("file", ""))
        if path not in moved and path.parent == temporary and path.exists():
            moved[path] = paths.unused_file(paths.output_folder(folder), path.stem, path.suffix)
            shutil.move(path, moved[path])
        if path in moved:
            obj[roles.MEASURED] = json.dumps({**told, "file": str(moved[path])})


def _owners() -> list[Any]:
    """What refers to files that Maquette has made, whatever object shows them."""
    from ..images.image import START

    caches = [one for obj in bpy.data.objects for one in obj.modifiers if one.type == "MESH_CACHE"]
    return [*caches, *(image for image in bpy.data.images if image.source == "SEQUENCE" and START in image)]


def register() -> None:
    bpy.app.handlers.save_pre.append(take_along)


def unregister() -> None:
    bpy.app.handlers.save_pre.remove(take_along)
