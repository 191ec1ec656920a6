# SPDX-License-Identifier: GPL-3.0-or-later
"""What all tasks share: the job of a request, and the fields and datablocks that do not depend on the task."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from ....inference.errors import BadInput
from ....inference.photo.movie import is_movie
from ....inference.photo.sequence import are_frames, folder_files, is_pattern, pattern_files, sequence_of
from ....inference.registry import find_model
from ...builders.camera import matched as camera
from ...builders.camera import scale
from ...builders.files import paths
from ...builders.images import image
from ...core import jobs, photo_links, roles
from ...core.choices import preferred_device, preferred_precision
from ...core.preload import preload_torch
from ...core.transaction import transaction
from ...work import Target
from . import lens
from .source import source_of, whole_path

if TYPE_CHECKING:
    from bpy.types import Image, Object, Scene

    from ...work import Inferred, Request, Source


def job_of(label: str, request: Request, build: Any) -> jobs.Job:
    """The job that carries a request out: inference on the worker, `build` on the main thread as one undo step."""

    def work(report: jobs.Report) -> Inferred:
        from ....installer.packages import manager

        if "torch" not in sys.modules:
            report(0.0, "Loading PyTorch")
            manager.activate()
            preload_torch()
        inferred = request.infer(report)
        _ = inferred.photo.digest  # computed here, so that the main thread need not
        return inferred

    def finish(inferred: Inferred) -> str:
        try:
            scene = bpy.data.scenes.get(request.target.scene)
            if scene is None:
                raise BadInput(f"The scene {request.target.scene} is gone.", "Choose a scene, and run it again.")
            with bpy.context.temp_override(scene=scene), transaction() as opened:
                before = lens.render_of(scene)
                line = build(request, inferred, scene)
                line = _signed(line, request, inferred, scene, opened.made(), before)
        finally:
            if inferred.scratch is not None:  # now, not when the last reference is gone: an error holds one
                inferred.scratch.discard()
        bpy.ops.ed.undo_push(message=label)
        return line

    return jobs.Job(label, work, finish)


def shared(properties: Any, context: Any, source: Source | None = None) -> dict[str, Any]:
    """The fields of a request that all tasks have. source : by default the photo that the properties name."""
    active = context.view_layer.objects.active if context.view_layer else None
    folder = writable_folder(properties.folder)
    device = properties.device.lower() if properties.device != "AUTO" else preferred_device()
    chosen = source or source_of(properties, context.scene)
    return {
        "source": chosen,
        "target": Target(context.scene.name, active.name if active else ""),
        "model": properties.model,
        "folder": folder,
        "directory": folder or (str(Path(bpy.data.filepath).parent / "maquette") if bpy.data.filepath else ""),
        "match_render": properties.match_render,
        "device": device,
        "precision": preferred_precision(),
        "scales": _scales(chosen),
    }


def _scales(source: Source) -> dict[str, float]:
    """What the worker has to multiply metres by: see `Request.scales`."""
    cameras = [obj for obj in bpy.data.objects if roles.SCALE in obj and obj.get(roles.IMAGE) is not None]
    photos: Any = {obj: obj.get(roles.IMAGE) for obj in cameras}
    found = {str(photo.get(roles.DIGEST)): scale.scale_of(obj) for obj, photo in photos.items()}
    playing = _playing_image(source) if cameras else None
    clip = [scale.scale_of(obj) for obj, photo in photos.items() if photo == playing]
    return {**found, **({"": clip[0]} if clip else {})}


def writable_folder(folder: str) -> str | None:
    """The folder that was asked for, or None for the default; raises BadInput now rather than after the work."""
    if folder.startswith("//") and not bpy.data.filepath:
        raise BadInput(
            f"{folder} is relative to the .blend file, which is not saved yet.",
            "Save the .blend file, or give the whole path of the folder.",
        )
    if not folder and not bpy.data.filepath:
        return None
    path = whole_path(folder) if folder else Path(bpy.data.filepath).parent / "maquette"
    existing = path
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir() or not os.access(existing, os.W_OK):
        raise paths.not_writable(path)
    return str(path) if folder else None


def mesh_object(request: Request, what: str) -> Object:
    """The mesh object that the request aims at, looked up by name: it may be gone when the job ends."""
    name = request.target.object
    obj = bpy.data.objects.get(name)
    if obj is None and name:
        raise BadInput(f"The object {name} is gone, so there is nothing to put the {what} on.", "Select another mesh.")
    if obj is None or not isinstance(obj.data, bpy.types.Mesh):
        raise BadInput(f"No mesh object is active to put the {what} on.", "Select a mesh object, or build an image.")
    return obj


def licence_of(request: Request, task: str = "hands") -> str:
    """The licence of what the request's model makes, as the catalogue tells it: the model's own, and those of the
    files that only a registered user has, such as a hand model, which its results are instances of."""
    model = find_model(task, request.model)
    return "; ".join(dict.fromkeys([model.licence, *(file.licence for file in model.files if file.gated)]))


def matched(request: Request, inferred: Inferred, scene: Scene) -> tuple[Image, Object]:
    """The photo's or clip's image, and its matched camera, which may be there from an earlier job. All frames of a clip
    have one camera."""
    photo = photo_image(request, inferred)
    return photo, camera.matched_camera(
        inferred.result.camera,
        _clip_image(request) or photo,
        inferred.world_from_camera,
        scene=scene,
        # A camera sees what the photo saw only in a picture of its shape.
        set_render_size=request.match_render or scene.camera is None,
    )


def photo_image(request: Request, inferred: Inferred) -> Image:
    """The image that shows what was computed on: the playing clip, or the photo."""
    source = request.source
    clip = _clip_image(request) if inferred.length > 1 else None
    return clip or image.photo_image(inferred.photo, source.path if source.path and not source.is_clip else None)


def _signed(line: str, request: Request, inferred: Inferred, scene: Scene, made: list, before: lens.Render) -> str:
    """The closing line with what is to be said of the lens; what was made gets the marks of its photo."""
    used = lens.used(inferred.result) if request.of_lens else None
    photo = _playing_image(request.source) or image.known_photo(inferred.photo)
    photo_links.mark(made, inferred.photo.digest, used.source if used else "", photo)
    if used is not None:
        metre = request.metre(None if inferred.length > 1 else inferred.photo)
        pictures = dict.fromkeys((block for block in made if block != photo and _has_metres(block)), 1.0)
        for picture in pictures:
            picture[roles.METRES] = metre
        for obj in made:
            if isinstance(obj, bpy.types.Object):
                scale.settle(obj, pictures)
    if used is None:
        return line
    matched_camera = photo_links.camera_of(photo) if photo is not None else None
    return ". ".join([line, *lens.remarks(used, matched_camera, scene, before)])


def _has_metres(block: Any) -> bool:
    """Whether this is an image whose values are metres."""
    return isinstance(block, bpy.types.Image) and block.get(roles.ROLE) in {"depth", "height", "hands.depth"}


def _clip_image(request: Request) -> Image | None:
    """The image that plays the request's clip, made where there is none yet; None for a photo, and for a folder that
    Blender cannot play."""
    source = request.source
    file = _first_file(Path(source.path), source.sequence) if source.is_clip else None
    if file is None:
        return None
    return _image_of_clip(file) or image.clip_image(
        file, start_frame=getattr(request, "start_frame", 1), name=source.name
    )


def _playing_image(source: Source) -> Image | None:
    """The image that plays a clip already."""
    file = _first_file(Path(source.path), source.sequence) if source.is_clip else None
    return _image_of_clip(file) if file is not None else None


def _first_file(path: Path, sequence: bool) -> Path | None:
    """The movie, or the first of numbered pictures; None for a folder of pictures that Blender cannot play."""
    if is_movie(path):
        return path
    if is_pattern(path):
        return pattern_files(path)[0]
    files = sequence_of(path) if sequence else folder_files(path)
    return files[0] if are_frames(files) else None


def _image_of_clip(file: Path) -> Image | None:
    """The datablock that plays this movie or sequence already."""
    for known in bpy.data.images:
        if known.source in {"MOVIE", "SEQUENCE"} and Path(bpy.path.abspath(known.filepath)) == file:
            return known
    return None
