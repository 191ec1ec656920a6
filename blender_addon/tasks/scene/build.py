# SPDX-License-Identifier: GPL-3.0-or-later
"""A scene from a photo: one collection with matched camera, relief without people, floor, and people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
import numpy as np

from ....inference.errors import BadInput
from ...builders.bodies import body
from ...builders.camera import scale
from ...builders.camera import scene as scenes
from ...builders.images import image
from ...builders.materials import materials
from ...builders.surfaces import card, meshes, relief
from ...core import axes
from ...work.scene import BuiltScene, SceneWork
from ..shared.gather import gathered
from .settings import BUILD, PARAMETERS

if TYPE_CHECKING:
    from bpy.types import Collection, Context
    from numpy.typing import NDArray

    from ....inference.scene import Scene
    from ...work.item import JobResult
    from ..shared.finish import Place

#: Metres from the people to the edge of a floor that nothing else shows.
_AROUND = 2.0
#: Metres from the people to the photo behind them, and from the camera to it where there is nobody.
_BEHIND, _ALONE = 2.0, 5.0


def work(properties: Any, context: Context) -> SceneWork:
    """What the worker is to do. Raises MaquetteError."""
    given = gathered("depth", PARAMETERS, BUILD, properties, context)
    depth = _scene_depth(properties.scene_depth)
    if depth is not None:
        given["model"] = "builtin"  # none is asked, and none is said to have answered
    return SceneWork(**given, scene_depth=depth)


def _scene_depth(name: str) -> NDArray[np.float32] | None:
    """The metres of the depth image that was chosen. Raises BadInput for what is none."""
    if not name:
        return None
    picture = bpy.data.images.get(name)
    if picture is None or not picture.is_float or not picture.size[0]:
        raise BadInput(f"{name!r} is not a float image of depth.", "Choose the photo's depth image, or none.")
    # The model's own metres: what is placed by them takes the photo's scale over from its camera.
    return image.image_array(picture)[..., 0] / np.float32(scale.metres_of(picture))


def build(item: SceneWork, found: JobResult[BuiltScene], place: Place) -> str:
    """The collection and what is in it; returns the closing line."""
    made, name = found.result.scene, item.source.name
    assert place.camera is not None
    collection = scenes.new_collection(f"{name}.scene", place.scene.collection)
    scenes.move(place.camera, collection, place.scene)
    told = []
    if made.depth is not None and found.result.surface is not None:
        told.append(_surroundings(item, found, place, collection))
    else:
        told.append(_backdrop(item, made, place, collection))
    persons = made.people.frames[0]
    if persons:
        _people(item, made, place, collection)
        told.append(f"{len(persons)} {'person' if len(persons) == 1 else 'people'}")
        if made.depth is None:
            told.append(_floor(made, place, collection, name).name)
    if item.build.person_masks:
        for number, mask in enumerate(made.masks, 1):
            picture = image.mask_image(f"{name}.person.{number}.mask", mask.astype(np.float32))
            place.mark(picture, "mask")
    return ". ".join([f"Built {collection.name}: {place.camera.name}, {', '.join(told)}", *made.notes])


def _surroundings(item: SceneWork, found: JobResult[BuiltScene], place: Place, collection: Collection) -> str:
    """The relief of everything but the people, in the colours behind the people; returns its name."""
    made, name = found.result.scene, item.source.name
    assert made.depth is not None
    place.mark(image.float_image(f"{name}.depth", found.files["depth"], item.folder), "depth")
    shown = place.photo
    if made.picture is not None:
        shown = place.mark(image.picture(f"{name}.background", made.picture), "background")
    obj = relief.relief_mesh(
        made.depth,
        name=f"{name}.relief",
        camera_object=place.camera,
        photo_image=shown,
        found=found.result.surface,
        parent=collection,
    )
    return place.mark(obj, "relief").name


def _backdrop(item: SceneWork, made: Scene, place: Place, collection: Collection) -> str:
    """The photo without its people as a card behind them, down to the floor; returns its name."""
    camera, world = made.camera, made.world_from_camera
    farthest = max((float(person.vertices[:, 2].max()) for person in made.people.frames[0]), default=0.0)
    depth = farthest + _BEHIND if farthest else _ALONE
    low = camera.height
    if farthest and world[2, 1] < -0.1:  # where the camera sees the floor at this depth
        v = -(world[2, 3] / depth + world[2, 2]) / world[2, 1] * camera.fy + camera.cy
        low = int(np.clip(v, 0.25 * camera.height, camera.height))
    name, shown = f"{item.source.name}.backdrop", place.photo
    if made.picture is not None:
        shown = place.mark(image.picture(f"{item.source.name}.background", made.picture), "background")
    bounds = (0, 0, camera.width, low)
    obj = card.photo_card(camera, depth, shown, place.camera, name=name, bounds=bounds, parent=collection)  # type: ignore[arg-type]
    return place.mark(obj, "card").name


def _people(item: SceneWork, made: Scene, place: Place, collection: Collection) -> None:
    assert place.camera is not None
    world = axes.world_from_camera_of(place.camera)
    options = body.BodyOptions(rig=item.build.rig, world_from_camera=world, folder=item.folder)
    persons = body.build_people(made.people, options, name=item.source.name, scene=place.scene)
    top: Any = place.scene.collection
    together = next(one for one in top.children if persons[0].name in one.children)
    collection.children.link(together)
    top.children.unlink(together)


def _floor(made: Scene, place: Place, collection: Collection, name: str) -> Any:
    """A plane at height 0 under the people, where no relief shows the floor."""
    world = made.world_from_camera
    feet = np.concatenate([person.joints for person in made.people.frames[0]]) @ world[:3, :3].T + world[:3, 3]
    (x0, y0), (x1, y1) = feet[:, :2].min(0) - _AROUND, feet[:, :2].max(0) + _AROUND
    corners = np.array([(x0, y0, 0), (x1, y0, 0), (x1, y1, 0), (x0, y1, 0)], np.float32)
    mesh = meshes.new_mesh(f"{name}.floor", corners, np.array([[0, 1, 2, 3]]))
    mesh.materials.append(materials.plain_material(f"{name}.floor", (0.35, 0.35, 0.35)))
    obj = bpy.data.objects.new(f"{name}.floor", mesh)
    scenes.link(obj, collection)
    return place.mark(obj, "floor")
