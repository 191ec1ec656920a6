# SPDX-License-Identifier: GPL-3.0-or-later
"""Clips in Blender: the image that plays one, and the numbered pictures that are made of its frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import bpy

from ....inference.errors import BadInput
from ....inference.photo.sequence import are_frames, folder_files, is_pattern, pattern_files, sequence_of
from ...builders.files import paths, session
from ...builders.images import image
from ...builders.masks import mask_sequence
from ...core.transaction import note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bpy.types import Image

    from ...core.exchange import ShownPicture
    from ...work.item import JobResult, WorkItem
    from ...work.source import Source


#: Custom property of a sequence that Blender shows in place of a clip: the clip's movie, or first file.
_STANDS_FOR = "maquette_stands_for"


def clip_image(item: WorkItem, found: JobResult) -> Image | None:
    """The image that plays the item's clip, made where there is none yet; None for a photo, and for a clip that Blender
    cannot play."""
    file = _first_file(item.source)
    if file is None:
        return None
    start = item.clip.start_frame if item.clip is not None else 1
    if found.upright is None:
        return playing_image(item.source) or image.clip_image(file, start_frame=start, name=item.source.name)
    if not found.upright:
        return None
    folder, name = paths.output_folder(item.directory or None), f"{item.source.name}.upright"
    made = mask_sequence.sequence_image(found.upright, name=name, folder=folder, start_frame=start)
    made.colorspace_settings.name = "sRGB"  # type: ignore[assignment]
    made[_STANDS_FOR] = str(file)
    note(f"Blender shows {file.name} otherwise than it was computed on, so {made.name} plays copies of its frames")
    if not item.directory:
        session.warn()
    return made


def playing_image(source: Source) -> Image | None:
    """The image that plays a clip already."""
    file = _first_file(source)
    known = [one for one in bpy.data.images if file is not None and one.source in {"MOVIE", "SEQUENCE"}]
    for one in known:
        if one.get(_STANDS_FOR) == str(file) and Path(bpy.path.abspath(one.filepath)).is_file():
            return one
    return next((one for one in known if Path(bpy.path.abspath(one.filepath)) == file), None)


def as_played(source: Source, playing: Image | None) -> Source:
    """A clip as it was worked on before, where the image that plays it has its files today: they may have been moved
    together with the .blend. Raises BadInput where they are gone."""
    path = Path(source.path)
    gone = not (path.parent if is_pattern(path) else path).exists()
    if playing is not None and _STANDS_FOR not in playing and (gone or playing_image(source) != playing):
        file = Path(bpy.path.abspath(playing.filepath))
        path = file.parent / path.name if is_pattern(path) else file if path.suffix else file.parent
        gone = not file.is_file()
    if gone:
        raise BadInput(f"The clip {path} is no longer there.", "Put it back, or work on another one.")
    return replace(source, path=str(path))


def first_shown(source: Source) -> ShownPicture | None:
    """The clip's first picture as Blender shows it, or its first of those that stand for them."""
    file, playing = _first_file(source), playing_image(source)
    if playing is not None and _STANDS_FOR in playing:
        return image.first_shown(Path(bpy.path.abspath(playing.filepath)), sequence=True)
    return image.first_shown(file, sequence=file != Path(source.path) or source.sequence) if file is not None else None


def most_frames(source: Source) -> int:
    """How many frames a clip has at most: a movie's header may tell too few of them."""
    path = Path(source.path)
    if is_pattern(path):
        return len(pattern_files(path))
    if source.sequence or path.is_dir():
        return len(sequence_of(path) if source.sequence else folder_files(path))
    return image.length_of(path) * 51 // 50 + 10


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
