# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips in Blender: the image that plays one, and the numbered pictures that are made of its frames."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import bpy

from ....inference.photo.sequence import are_frames, folder_files, is_pattern, pattern_files, sequence_of
from ...builders.files import paths
from ...builders.images import image
from ...builders.masks import mask_sequence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpy.types import Image

    from ...work.item import WorkItem
    from ...work.source import Source


def clip_image(item: WorkItem) -> Image | None:
    """The image that plays the item's clip, made where there is none yet; None for a photo, and for a folder that
    Blender cannot play."""
    file = _first_file(item.source)
    if file is None:
        return None
    start = item.clip.start_frame if item.clip is not None else 1
    return _image_of(file) or image.clip_image(file, start_frame=start, name=item.source.name)


def playing_image(source: Source) -> Image | None:
    """The image that plays a clip already."""
    file = _first_file(source)
    return _image_of(file) if file is not None else None


def sequence_image(item: WorkItem, name: str, files: Sequence[Path]) -> Image:
    """What was made of the clip's frames, as a sequence in the folder of this .blend. name : after the clip's."""
    assert item.clip is not None
    return mask_sequence.sequence_image(
        files,
        name=f"{item.source.name}.{name}",
        folder=paths.output_folder(item.directory),
        start_frame=item.clip.start_frame,
    )


def _first_file(source: Source) -> Path | None:
    """The movie, or the first of numbered pictures; None for a photo, and a folder of pictures that Blender cannot
    play."""
    path = Path(source.path)
    if not source.is_clip:
        return None
    if path.is_file() and not source.sequence:  # a movie, or an animated picture
        return path
    if is_pattern(path):
        return pattern_files(path)[0]
    files = sequence_of(path) if source.sequence else folder_files(path)
    return files[0] if are_frames(files) else None


def _image_of(file: Path) -> Image | None:
    for known in bpy.data.images:
        if known.source in {"MOVIE", "SEQUENCE"} and Path(bpy.path.abspath(known.filepath)) == file:
            return known
    return None
