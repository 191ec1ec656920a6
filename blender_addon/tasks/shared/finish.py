# SPDX-License-Identifier: GPL-3.0-or-later
"""From what comes back from the worker to datablocks, as one undo step: what does not depend on the task."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
from mathutils import Vector

from ....inference.errors import BadInput
from ....inference.options.common import AUTO
from ....inference.photo.decode import orientation_of
from ....inference.registry import find_model
from ...builders.camera import matched, scale
from ...builders.camera import scene as scenes
from ...builders.images import image
from ...core import jobs, last_result, photo_links, roles
from ...core.transaction import note, transaction
from . import earlier, lens, shown
from .clips import clip_image, playing_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpy.types import Image, Object, Scene, ViewLayer

    from ...work.item import JobResult, WorkItem


class Place:
    """Where a result is built.

    camera : the photo's matched camera, which may be there from an earlier job, or the scene's own where the item names
    one; None where nothing stands before it.
    All frames of a clip have one camera.  clicked : somebody looks on: see `finish`.
    """

    def __init__(self, item: WorkItem, found: JobResult, scene: Scene, *, clicked: bool = False) -> None:
        self.scene, self.clicked = scene, clicked
        self._item, self._found = item, found
        self.camera = self._matched_camera() if found.camera is not None else None
        #: Objects that were there already and show the result now.
        self.kept: list[Object] = []
        if item.clip is not None and found.fps and not found.in_place:
            first = item.clip.start_frame
            scenes.set_timing(scene, found.fps, first, first + found.length - 1)

    @cached_property
    def photo(self) -> Image:
        """The image that shows what was computed on: the playing clip, or the photo."""
        source, file = self._item.source, self._found.file
        path = file or (source.path if source.path and not source.is_clip else None)
        origin = file.name if file is not None else source.origin
        shown = (self._found.length > 1 and self._clip) or image.photo_image(self._found.photo, path, origin)
        if path and origin in bpy.data.images and orientation_of(Path(path)) > 1:
            note(f"Blender shows {origin} as it is stored; turned upright, as its EXIF data say, it is {shown.name}")
        return shown

    @cached_property
    def _clip(self) -> Image | None:
        several = self._found.length > 1 and self._found.fps is None
        return None if several else clip_image(self._item, self._found)

    @cached_property
    def licence(self) -> str:
        """The licence of what the item's model makes: the model's own, and those of the files that only a registered
        user has, such as a hand model, which its results are instances of."""
        model = find_model(self._item.task, self._found.model or self._item.model)
        return "; ".join(dict.fromkeys([model.licence, *(file.licence for file in model.files if file.gated)]))

    def mark(self, datablock: Any, role: str) -> Any:
        """Write on a datablock what it is, of which photo and by whose licence; returns it."""
        return roles.mark(datablock, role, self._found.photo.digest, self.licence)

    def _matched_camera(self) -> Object:
        item, photo = self._item, self.photo
        if item.camera:
            given = bpy.data.objects.get(item.camera)
            if given is None:
                raise BadInput(f"The camera {item.camera} is gone.", "Choose a camera, and run it again.")
            return given
        camera = matched.matched_camera(
            self._found.camera,  # type: ignore[arg-type]
            self._clip or photo,
            self._found.world_from_camera,
            scene=self.scene,
            # A camera sees what the photo saw only in a picture of its shape.
            set_render_size=item.match_render or self.scene.camera is None,
            aside=self.clicked and not _on_object(item),
        )
        if item.clip is not None and photo.source in {"MOVIE", "SEQUENCE"}:
            photo[image.START] = item.clip.start_frame
            data: Any = camera.data
            for background in data.background_images:
                if background.image == photo:
                    image.play(background.image_user, photo)
        return camera


#: What is built on the active object: it is where the artist has put it, before the photo's camera.
_ON_OBJECT = {"MATERIAL", "PAINT_SLOT", "STENCIL", "ATTRIBUTE", "VERTEX_GROUP"}


def _on_object(item: WorkItem) -> bool:
    return bool(_ON_OBJECT & {value for value in vars(item.build).values() if isinstance(value, str)})


def finish(
    item: WorkItem,
    build: Callable[[Any, Any, Place], str],
    label: str,
    found: JobResult,
    *,
    clicked: bool = False,
    replace: bool = False,
    all_of_it: bool = False,
    again: tuple[str, dict[str, Any]] | None = None,
) -> jobs.Outcome:
    """Build a result on the main thread; returns how it ended. What a failing build has made is removed.

    clicked : it is shown: beside what stands in its place, selected, framed, its picture in an editor in sight.
    replace : what the same task made of the same photo goes, and what would lie in its place is hidden.
    all_of_it : it is built again in another way: what it made before and does not make now goes too.
    again : operator and properties that do it again.
    """
    try:
        scene = bpy.data.scenes.get(item.target.scene)
        if scene is None:
            raise BadInput(f"The scene {item.target.scene} is gone.", "Choose a scene, and run it again.")
        if clicked:
            bpy.ops.ed.undo_push(message=f"Before {label}")  # what the artist chose meanwhile is a step of its own
        digest = found.photo.digest
        run = f"{item.kind}/{digest}/{item.source.name}"
        with (
            bpy.context.temp_override(scene=scene, view_layer=_view_layer(scene)),
            earlier.replaced(run, item.target.object if _on_object(item) else "", wanted=replace, all_of_it=all_of_it),
            transaction() as opened,
        ):
            before = lens.render_of(scene)
            place = Place(item, found, scene, clicked=clicked)
            line = build(item, found, place)
            of_clip = [note.rstrip(".") for notes in item.source.clip_notes for note in notes]
            remarks = _linked(item, found, scene, opened.made(), before)
            told = item.model == AUTO and (found.model or (item.kind == item.task and not found.better))
            answered = [f"Model: {find_model(item.task, found.model or AUTO).label}"] if told else []
            made = opened.made()
            if clicked and item.kind == "depth":
                _stand_free(made, scene)
            earlier.mark(made, run)
            earlier.gather(made, scene, _photo(item, found), item.source.name)
        with bpy.context.temp_override(scene=scene, view_layer=_view_layer(scene)):
            hidden = earlier.hide(item.kind, digest, made, scenes.view_layer()) if replace else []
            made += place.kept
            line = ". ".join(dict.fromkeys([line, *answered, *of_clip, *opened.notes, *hidden, *remarks]))
            last_result.remember(scene, label, line, made)
            chosen = shown.select(made, scene) if clicked and not found.in_place else []
    finally:
        if found.scratch is not None:  # now, not when the last reference is gone: an error holds one
            found.scratch.discard()
    bpy.ops.ed.undo_push(message=label)
    if clicked:
        shown.open_picture(made, scene)
        shown.frame(chosen, scene)
    return _outcome(line, made, again, _other_render(item, found, scene), found.better)


def _stand_free(made: list, scene: Scene) -> None:
    """Stand grids, which belong to no place, at the 3D cursor, or beside what stands there."""
    for obj in made:
        if not isinstance(obj, bpy.types.Object) or obj.type != "MESH" or obj.parent is not None:
            continue
        obj.location += scene.cursor.location
        scenes.view_layer().update()
        corners: Any = [obj.matrix_world @ Vector(corner) for corner in obj.bound_box]
        room = tuple(map(min, zip(*corners, strict=True))), tuple(map(max, zip(*corners, strict=True)))
        obj.location.x += scenes.free_aside(scene, room, made)


def _outcome(
    line: str, made: list, again: tuple[str, dict[str, Any]] | None, size: tuple[tuple[str, str], ...], better: str
) -> jobs.Outcome:
    """What the panel tells; with the button that installs a better model, or else gives the render the photo's shape,
    where it has another.

    size : of the photo, as that operator's properties.
    """
    kinds = {kind: getattr(bpy.data, kind) for kind in ("objects", "images")}
    names = tuple((kind, one.name) for one in made for kind, known in kinds.items() if known.get(one.name) == one)
    button = {"operator": "maquette.match_render", "arguments": size} if size else {}
    if better:
        button = {"operator": "maquette.install_model", "arguments": (("model", better),)}
    return jobs.Outcome(line, made=names, again=again, **button)  # type: ignore[arg-type]


def _other_render(item: WorkItem, found: JobResult, scene: Scene) -> tuple[tuple[str, str], ...]:
    """The name of the photo's matched camera, as the property of the operator that gives the render its shape; empty
    where the render has it, or the scene's camera is not the photo's."""
    if found.camera is None or item.camera:
        return ()
    photo = _photo(item, found)
    camera = photo_links.camera_of(photo) if photo is not None else None
    return (("camera", camera.name),) if camera is not None and lens.other_shape(camera, scene) else ()


def _view_layer(scene: Scene) -> ViewLayer:
    """The view layer in which the scene is worked on: the window's, or the first of a scene that no window shows."""
    layer: Any = bpy.context.view_layer
    return layer if layer is not None and scene.view_layers.get(layer.name) == layer else scene.view_layers[0]


def _photo(item: WorkItem, found: JobResult) -> Image | None:
    """The image that shows the photo or clip, where there is one."""
    origin = found.file.name if found.file else item.source.origin
    return playing_image(item.source) or image.known_photo(found.photo, origin)


def _linked(item: WorkItem, found: JobResult, scene: Scene, made: list, before: lens.Render) -> list[str]:
    """Write on what was made which photo it is of, and at which scale; returns what is to be said of the lens."""
    photo = _photo(item, found)
    photo_links.mark(made, found.photo.digest, found.lens.source if found.lens else "", photo)
    if found.lens is None:
        return []
    metre = item.metre(None if found.length > 1 else found.photo)
    images = [block for block in made if isinstance(block, bpy.types.Image) and block != photo]
    pictures = {one: 1.0 for one in images if one.get(roles.ROLE) in {"depth", "height", "hands.depth"}}
    for picture in pictures:
        picture[roles.METRES] = metre
    for obj in made:
        if isinstance(obj, bpy.types.Object):
            scale.settle(obj, pictures)
    camera = photo_links.camera_of(photo) if photo is not None and not item.camera else None
    return lens.remarks(found.lens, camera, scene, before)
