# SPDX-License-Identifier: GPL-3.0-or-later
"""From what the artist chose to the fields of a work item; says at once what cannot be used."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
from bpy.types import Image, Scene

from ....inference.camera import Lens
from ....inference.errors import BadInput
from ....inference.options import Option
from ....inference.photo.movie import ANIMATION_SUFFIXES, is_movie
from ....inference.photo.sequence import is_pattern
from ....inference.photo.webp import is_animated
from ...builders.camera import matched, scale
from ...builders.camera import scene as scenes
from ...builders.files import paths
from ...builders.images import image as images
from ...core import roles
from ...core.bpy_settings import chosen
from ...core.choices import preferred_device, preferred_precision
from ...work.item import ClipSpan, Target
from ...work.source import Focal, Source
from .clips import first_shown, playing_image

#: Pictures that Blender opens and `inference` does not: their pixels are taken from it.
_BLENDERS = frozenset((".psd", ".dds", ".dpx", ".cin"))
_CHOOSE = "Open an image or choose a file in the Maquette tab."


def gathered(
    task: str,
    parameters: Iterable[Option],
    build: Iterable[Option],
    properties: Any,
    context: Any,
    source: Source | None = None,
) -> dict[str, Any]:
    """The fields that all work items have. Raises BadInput.

    task : as the catalogue calls it.  parameters : keywords of its function.  build : what is to be built.
    properties : the operator's.  source : by default the photo that they name.
    """
    active = context.view_layer.objects.active if context.view_layer else None
    folder = writable_folder(properties.folder)
    source = source or source_of(properties, context.scene)
    return {
        "task": task,
        "source": source,
        "target": Target(context.scene.name, active.name if active else ""),
        "model": properties.model,
        "options": chosen(parameters, properties),
        "build": SimpleNamespace(**chosen(build, properties)),
        "clip": _clip_span(properties, source),
        "folder": folder,
        "directory": folder or (str(Path(bpy.data.filepath).parent / "maquette") if bpy.data.filepath else ""),
        "match_render": properties.match_render,
        "device": properties.device.lower() if properties.device != "AUTO" else preferred_device(),
        "precision": preferred_precision(),
        "scales": _scales(source),
    }


def source_of(properties: Any, scene: Scene) -> Source:
    """The photo or clip that an operator's properties name. Raises BadInput."""
    source = _named_source(properties, scene)
    source = replace(source, origin=properties.image or Path(source.path).name, layer=properties.layer or None)
    if source.is_clip:
        source = replace(source, shown=first_shown(source))
    if not source.is_clip or properties.frame:
        return replace(source, frame=max(properties.frame - 1, 0))
    # The current frame, as the clip's image plays it; before it begins the first picture stands.
    playing = bpy.data.images.get(properties.image) or playing_image(source)
    begins = playing.get(images.START) if playing is not None else None
    begins = getattr(properties, "start_frame", 1) if begins is None else begins
    return replace(source, frame=max(scene.frame_current - int(begins), 0))


def _named_source(properties: Any, scene: Scene) -> Source:
    if properties.image:
        image = bpy.data.images.get(properties.image)
        if image is None:
            raise BadInput(f"There is no image called {properties.image!r}.", _CHOOSE)
        return _image_source(image, scene, focal_of(properties, scene, image), layered=bool(properties.layer))
    if properties.filepath:
        path = _absolute(properties.filepath)
        return _file_source(path, focal_of(properties, scene, path=path))
    raise BadInput("No photo is chosen.", _CHOOSE)


def focal_of(
    properties: Any, scene: Scene | None = None, image: Image | None = None, path: Path | None = None
) -> Focal:
    """The focal length that was asked for: numbers before the camera object. Raises BadInput.

    image, path : the photo, where it is one that the camera may show.
    """
    if properties.fx or properties.fy:
        return Focal(fx=properties.fx or None, fy=properties.fy or None)
    if getattr(properties, "lens_mm", 0.0):
        return Focal(lens=Lens(properties.lens_mm / 36.0))
    if not properties.camera:
        shown = images.shown_file(path) if path is not None else image
        return Focal(known=matched.by_lines(shown) if shown is not None else None)
    camera = bpy.data.objects.get(properties.camera)
    if camera is None:
        raise BadInput(f"{properties.camera!r} is not a perspective camera.", "Choose another camera, or none.")
    shown = images.shown_file(path) if path is not None else image
    return Focal(lens=matched.lens_of(camera, scene or scenes.current(), shown))


def whole_path(typed: str, library: Any = None) -> Path:
    """A path as an artist types it: from the .blend file ("//") or the home folder ("~"). Raises BadInput for what
    cannot be a path, such as a name longer than the system's names."""
    path = Path(bpy.path.abspath(typed, library=library))
    try:
        path = path.expanduser().absolute()
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return path  # what needs it says what it is needed for
    except (OSError, ValueError, RuntimeError) as error:
        shown = typed if len(typed) < 80 else f"{typed[:60]}..."
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise BadInput(f"The path {shown} cannot be used: {reason}.", "Check the path.") from error
    return path


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


def check_directory(directory: str) -> None:
    """Raises BadInput without a folder for a sequence: Blender packs no sequence into a file."""
    if not directory:
        raise BadInput("An image sequence needs a folder.", "Save the .blend file, or choose a folder.")


def _clip_span(properties: Any, source: Source) -> ClipSpan | None:
    """Where all frames are to be worked on: as chosen, and always by a task that has no other way."""
    start = getattr(properties, "start_frame", None)
    if start is None or not source.is_clip or getattr(properties, "frames", "CLIP") != "CLIP":
        return None
    return ClipSpan(start)


def _scales(source: Source) -> dict[str, float]:
    """What the worker has to multiply metres by: see `WorkItem.scales`."""
    cameras = [obj for obj in bpy.data.objects if roles.SCALE in obj and obj.get(roles.IMAGE) is not None]
    photos: Any = {obj: obj.get(roles.IMAGE) for obj in cameras}
    found = {str(photo.get(roles.DIGEST)): scale.scale_of(obj) for obj, photo in photos.items()}
    playing = playing_image(source) if cameras else None
    clip = [scale.scale_of(obj) for obj, photo in photos.items() if photo == playing]
    return {**found, **({"": clip[0]} if clip else {})}


def _absolute(filepath: str, image: Image | None = None) -> Path:
    if filepath.startswith("//") and not (bpy.data.filepath or (image is not None and image.library)):
        raise BadInput(
            f"{filepath} is relative to the .blend file, which is not saved yet.",
            "Save the .blend file, or choose the photo by its whole path.",
        )
    return whole_path(filepath, image.library if image else None)


def _file_source(path: Path, focal: Focal) -> Source:
    if path.suffix.lower() in _BLENDERS and path.is_file():
        return _pixels_source(bpy.data.images.load(str(path), check_existing=True), _name_of(path), focal)
    is_clip = is_movie(path) or is_pattern(path) or path.is_dir() or is_animated(path)
    is_clip = is_clip or path.suffix.lower() in ANIMATION_SUFFIXES
    if not path.exists() and not is_pattern(path):
        raise BadInput(f"The file {path} does not exist.", "Choose another photo.")
    return Source(_name_of(path), str(path), is_clip=is_clip, focal=focal)


def _name_of(path: Path) -> str:
    """What the photo or clip is called: for numbered pictures (`shot_####.png`) their name without the number."""
    if path.is_dir():
        return path.name
    name = path.stem
    if is_pattern(path):
        name = re.sub(r"#+|%0?\d*d", "", name).strip(" ._-") or path.parent.name
    return name or path.name


def _image_source(image: Image, scene: Scene, focal: Focal, *, layered: bool = False) -> Source:
    """An image datablock: by its file where that is what Blender shows, or a layer of it is asked for, else by its
    pixels."""
    name = Path(image.name).stem or image.name
    if image.source == "TILED":
        raise BadInput(f"The image {image.name} is made of UDIM tiles.", "Choose an image of one picture.")
    on_disk = bool(image.filepath) and not image.packed_file and not image.is_dirty
    if image.source in {"MOVIE", "SEQUENCE"}:
        path = _absolute(image.filepath, image)
        if not path.exists():
            raise BadInput(f"The file {path} of the image {image.name} does not exist.", "Choose another photo.")
        sequence = image.source == "SEQUENCE"
        fps = scene.render.fps / scene.render.fps_base if sequence else None
        return Source(name, str(path), is_clip=True, sequence=sequence, fps=fps, focal=focal)
    if image.source == "FILE" and on_disk and (not image.is_float or image.type == "MULTILAYER" or layered):
        path = _absolute(image.filepath, image)
        if path.exists() and path.suffix.lower() not in _BLENDERS:
            return Source(name, str(path), focal=focal)
        if not image.has_data:
            raise BadInput(f"The file {path} of the image {image.name} does not exist.", "Choose another photo.")
    return _pixels_source(image, name, focal)


def _pixels_source(image: Image, name: str, focal: Focal) -> Source:
    width, height = image.size
    pixels: Any = image.pixels
    if not width or not height or len(pixels) != width * height * 4:
        raise BadInput(f"The image {image.name} has no pixels.", "Save a render to a file, or choose another image.")
    return Source(name, pixels=images.image_array(image), linear=image.is_float, focal=focal)
