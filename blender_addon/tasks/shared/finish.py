# SPDX-License-Identifier: GPL-3.0-or-later
"""From what comes back from the worker to datablocks, as one undo step: what does not depend on the task."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from ....inference.errors import BadInput
from ....inference.options.common import AUTO
from ....inference.photo.decode import orientation_of
from ....inference.registry import find_model
from ...builders.camera import matched, scale
from ...builders.camera import scene as scenes
from ...builders.images import image
from ...core import last_result, photo_links, roles
from ...core.transaction import note, transaction
from . import lens
from .clips import clip_image, playing_image

if TYPE_CHECKING:
    from collections.abc import Callable

    from bpy.types import Image, Object, Scene, ViewLayer

    from ...work.item import JobResult, WorkItem


class Place:
    """Where a result is built.

    camera : the photo's matched camera, which may be there from an earlier job; None where nothing stands before it.
    All frames of a clip have one camera.
    """

    def __init__(self, item: WorkItem, found: JobResult, scene: Scene) -> None:
        self.scene = scene
        self._item, self._found = item, found
        self.camera = self._matched_camera() if found.camera is not None else None
        if item.clip is not None and found.fps:
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
        camera = matched.matched_camera(
            self._found.camera,  # type: ignore[arg-type]
            self._clip or photo,
            self._found.world_from_camera,
            scene=self.scene,
            # A camera sees what the photo saw only in a picture of its shape.
            set_render_size=item.match_render or self.scene.camera is None,
        )
        if item.clip is not None and photo.source in {"MOVIE", "SEQUENCE"}:
            photo[image.START] = item.clip.start_frame
            data: Any = camera.data
            for background in data.background_images:
                if background.image == photo:
                    image.play(background.image_user, photo)
        return camera


def finish(item: WorkItem, build: Callable[[Any, Any, Place], str], label: str, found: JobResult) -> str:
    """Build a result on the main thread; returns the closing line. What a failing build has made is removed."""
    try:
        scene = bpy.data.scenes.get(item.target.scene)
        if scene is None:
            raise BadInput(f"The scene {item.target.scene} is gone.", "Choose a scene, and run it again.")
        with bpy.context.temp_override(scene=scene, view_layer=_view_layer(scene)), transaction() as opened:
            before = lens.render_of(scene)
            line = build(item, found, Place(item, found, scene))
            of_clip = [note.rstrip(".") for notes in item.source.clip_notes for note in notes]
            remarks = _linked(item, found, scene, opened.made(), before)
            answered = [f"Model: {find_model(item.task, found.model or AUTO).label}"] if item.model == AUTO else []
            line = ". ".join(dict.fromkeys([line, *answered, *of_clip, *opened.notes, *remarks]))
            last_result.remember(scene, label, line, opened.made())
    finally:
        if found.scratch is not None:  # now, not when the last reference is gone: an error holds one
            found.scratch.discard()
    bpy.ops.ed.undo_push(message=label)
    return line


def _view_layer(scene: Scene) -> ViewLayer:
    """The view layer in which the scene is worked on: the window's, or the first of a scene that no window shows."""
    layer: Any = bpy.context.view_layer
    return layer if layer is not None and scene.view_layers.get(layer.name) == layer else scene.view_layers[0]


def _linked(item: WorkItem, found: JobResult, scene: Scene, made: list, before: lens.Render) -> list[str]:
    """Write on what was made which photo it is of, and at which scale; returns what is to be said of the lens."""
    photo = playing_image(item.source) or image.known_photo(
        found.photo, found.file.name if found.file else item.source.origin
    )
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
    camera = photo_links.camera_of(photo) if photo is not None else None
    return lens.remarks(found.lens, camera, scene, before)
