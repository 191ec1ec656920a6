# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbered pictures that the worker has written, as one image that plays with the scene."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import bpy
from bpy.types import Image

from ...core import transaction
from ..files import paths
from ..images import image


def sequence_image(files: Sequence[Path], *, name: str, folder: Path, start_frame: int = 1) -> Image:
    """Move the files, in order, to a new folder `<folder>/<name>`, and open them as a Non-Color image sequence.

    They are numbered by the scene's frames, `<name>.0001.png` ..., so that frame and number agree wherever the
    sequence is used. No folder is written into that is there. Raises BadInput where it cannot be made.
    """
    target = paths.unused_file(folder, name, "")
    try:
        target.mkdir()
        transaction.on_failure(lambda: shutil.rmtree(target, ignore_errors=True))
        moved = []
        for index, file in enumerate(files):
            moved.append(target / f"{target.name}.{start_frame + index:04d}{file.suffix}")
            shutil.move(file, moved[-1])
    except OSError as error:
        raise paths.not_writable(target, error) from error
    picture = bpy.data.images.load(paths.blender_path(moved[0]))
    picture.name = name
    picture.source = "SEQUENCE"
    picture.colorspace_settings.name = "Non-Color"  # type: ignore[assignment]
    picture.use_fake_user = True
    picture[image.START], picture[image.LENGTH] = start_frame, len(files)
    return picture
