# SPDX-License-Identifier: GPL-3.0-or-later
"""From the photo that an artist chose to a `Source` that the worker can read; says at once what cannot be used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from ....inference.errors import BadInput
from ....inference.photo.movie import is_movie
from ....inference.photo.sequence import is_pattern
from ...builders.camera import matched
from ...builders.camera import scene as scenes
from ...builders.images import image as images
from ...work import Focal, Source

if TYPE_CHECKING:
    from bpy.types import Image, Scene

_CHOOSE = "Open an image or choose a file in the Maquette tab."


def source_of(properties: Any, scene: Scene) -> Source:
    """The photo or clip that an operator's properties name (see `properties.PhotoInput`). Raises BadInput."""
    frame = (properties.frame or max(scene.frame_current, 1)) - 1
    if properties.image:
        image = bpy.data.images.get(properties.image)
        if image is None:
            raise BadInput(f"There is no image called {properties.image!r}.", _CHOOSE)
        return _image_source(image, scene, frame, focal_of(properties, scene, image))
    if properties.filepath:
        path = _absolute(properties.filepath)
        return _file_source(path, frame, focal_of(properties, scene, images.shown_file(path)))
    raise BadInput("No photo is chosen.", _CHOOSE)


def focal_of(properties: Any, scene: Scene | None = None, image: Image | None = None) -> Focal:
    """The focal length that was asked for: numbers before the camera object. `image` : the photo, where it is one that
    the camera may show. Raises BadInput."""
    if properties.fx or properties.fy:
        return Focal(fx=properties.fx or None, fy=properties.fy or None)
    if not properties.camera:
        return Focal()
    chosen = bpy.data.objects.get(properties.camera)
    if chosen is None:
        raise BadInput(f"{properties.camera!r} is not a perspective camera.", "Choose another camera, or none.")
    return Focal(lens=matched.lens_of(chosen, scene or scenes.current(), image))


def _absolute(filepath: str, image: Image | None = None) -> Path:
    if filepath.startswith("//") and not (bpy.data.filepath or (image is not None and image.library)):
        raise BadInput(
            f"{filepath} is relative to the .blend file, which is not saved yet.",
            "Save the .blend file, or choose the photo by its whole path.",
        )
    return whole_path(filepath, image.library if image else None)


def whole_path(typed: str, library: Any = None) -> Path:
    """A path as an artist types it: from the .blend file ("//") or the home folder ("~"). Raises BadInput for what is
    no path, such as a name longer than the system's names."""
    path = Path(bpy.path.abspath(typed, library=library))
    try:
        path = path.expanduser().absolute()
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return path  # what needs it says what it is needed for
    except (OSError, ValueError, RuntimeError) as error:
        shown = typed if len(typed) < 80 else f"{typed[:60]}..."
        raise BadInput(f"{shown} is no path that can be used: {_reason(error)}.", "Check the path.") from error
    return path


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).rstrip(".")


def _file_source(path: Path, frame: int, focal: Focal) -> Source:
    is_clip = is_movie(path) or is_pattern(path) or path.is_dir()
    if not path.exists() and not is_pattern(path):
        raise BadInput(f"The file {path} does not exist.", "Choose another photo.")
    return Source(_name_of(path), str(path), is_clip=is_clip, frame=frame, focal=focal)


def _name_of(path: Path) -> str:
    """What the photo or clip is called: for numbered pictures (`shot_####.png`) their name without the number."""
    if path.is_dir():
        return path.name
    name = path.stem
    if is_pattern(path):
        name = re.sub(r"#+|%0?\d*d", "", name).strip(" ._-") or path.parent.name
    return name or path.name


def _image_source(image: Image, scene: Scene, frame: int, focal: Focal) -> Source:
    """An image datablock: by its file where that is what Blender shows, else by its pixels."""
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
        return Source(name, str(path), is_clip=True, sequence=sequence, fps=fps, frame=frame, focal=focal)
    if image.source == "FILE" and on_disk and not image.is_float:
        path = _absolute(image.filepath, image)
        if path.exists():
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
