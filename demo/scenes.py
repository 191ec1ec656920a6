# SPDX-License-Identifier: GPL-3.0-or-later
"""One Blender scene a photograph, and one for the clip, built by Maquette's operators."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from .samples import sample_photo

if TYPE_CHECKING:
    from bpy.types import Collection, Image, Mesh, Object, Scene

CLIP = Path(__file__).with_name("clip.mp4")
#: Colour of the mask's paint layer, thin enough to see the photo through.
_LAYER = (0.05, 0.35, 0.8, 0.35)


@dataclass(frozen=True)
class PhotoScene:
    """What became of a photograph. found : what report.json tells about it."""

    scene: Scene
    camera: Object
    photo: Image
    relief: Object
    grid: Object
    people: Collection
    found: dict[str, Any]


@dataclass(frozen=True)
class ClipScene:
    """What became of the clip."""

    scene: Scene
    camera: Object
    path: Path
    people: Collection
    found: dict[str, Any]


def start(blend: Path) -> None:
    """An empty file, saved, so that the float images lie beside it."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    preferences: Any = bpy.context.preferences
    preferences.filepaths.save_version = 0  # no demo.blend1 beside it
    _remove_earlier(blend.parent / "maquette")
    bpy.ops.wm.save_as_mainfile(filepath=str(blend))


def photo_scene(name: str) -> PhotoScene:
    """Relief, displaced grid, rigged bodies, and the people's masks as paint layers on the relief."""
    path, operators = str(sample_photo(name)), _operators()
    scene = _new_scene(name)
    operators.estimate_depth(filepath=path, model="builtin", output="RELIEF")
    relief = bpy.data.objects[f"{name}.relief"]
    operators.estimate_depth(filepath=path, model="builtin", output="GRID", grid_method="NODES")
    _make_active(relief)
    operators.recover_people(filepath=path, model="builtin", bodies="ARMATURE", masks="PAINT_SLOT", mask_colour=_LAYER)
    people = bpy.data.collections[f"{name}.people"]
    found = {
        "people": len(people.children),
        "bodies": [_bounds(child) for child in people.children],
        "relief vertices": len(_mesh(relief).vertices),
    }
    photo = next(image for image in bpy.data.images if Path(bpy.path.abspath(image.filepath)) == Path(path))
    assert scene.camera is not None
    return PhotoScene(scene, scene.camera, photo, relief, bpy.data.objects[f"{name}.grid"], people, found)


def clip_scene() -> ClipScene:
    """The animated body of the clip."""
    scene = _new_scene("clip")
    _operators().recover_people(filepath=str(CLIP), model="builtin", bodies="ARMATURE")
    people = bpy.data.collections["clip.people"]
    found = {
        "people": len(people.children),
        "frames": scene.frame_end - scene.frame_start + 1,
        "frames per second": scene.render.fps / scene.render.fps_base,
    }
    assert scene.camera is not None
    return ClipScene(scene, scene.camera, CLIP, people, found)


def _operators() -> Any:
    """`bpy.ops.maquette`, which the type stubs of Blender cannot know."""
    return bpy.ops.maquette  # type: ignore[attr-defined]


def _mesh(obj: Object) -> Mesh:
    assert isinstance(obj.data, bpy.types.Mesh)
    return obj.data


def _new_scene(name: str) -> Scene:
    """A scene of its own, made the current one; the empty scene of the new file is used up first."""
    scene = bpy.data.scenes[0] if bpy.data.scenes[0].name == "Scene" else bpy.data.scenes.new(name)
    scene.name = name
    bpy.context.window.scene = scene  # type: ignore[union-attr]
    return scene


def _make_active(obj: Object) -> None:
    bpy.context.view_layer.objects.active = obj  # type: ignore[union-attr]
    obj.select_set(True)


def _remove_earlier(folder: Path) -> None:
    """The float images of an earlier demo, so that this one's are not numbered after them."""
    for file in folder.glob("*.exr"):
        file.unlink()


def _bounds(collection: Collection) -> dict[str, float]:
    """Where a body stands and from where to where it reaches, metres."""
    obj = next(obj for obj in collection.objects if obj.type == "MESH")
    evaluated = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    mesh = evaluated.to_mesh()
    points = np.empty(len(mesh.vertices) * 3, np.float32)
    mesh.vertices.foreach_get("co", points)
    matrix = np.array(evaluated.matrix_world)
    evaluated.to_mesh_clear()
    points = points.reshape(-1, 3) @ matrix[:3, :3].T + matrix[:3, 3]
    centre, low, high = points.mean(axis=0), points[:, 2].min(), points[:, 2].max()
    named = {"x": centre[0], "y": centre[1], "lowest": low, "highest": high}
    return {name: round(float(value), 3) for name, value in named.items()}
