# SPDX-License-Identifier: GPL-3.0-or-later
"""From the settings of the scene to what Flamenco's manager is sent."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import bpy

from ....inference.errors import BadInput
from ....inference.farm import flamenco
from ....inference.options.common import frames_from
from ....inference.photo.sequence import is_pattern
from ....inference.pipeline.arguments import flags
from ...core.bpy_settings import chosen
from ..shared.chosen import chosen_path


def request(settings: Any) -> dict[str, Any]:
    """The job that the settings ask for. Raises BadInput."""
    farm = settings.farm
    photo = _photo(settings)
    if not farm.folder:
        raise BadInput("No output folder is chosen.", "Choose one that all workers can reach.")
    if farm.frames:
        frames_from(farm.frames)
    module = "preprocessors" if farm.task == "maps" else farm.task
    group = getattr(settings, farm.task)
    options = import_module(f"....inference.options.{module}", __package__).OPTIONS
    held = [option for option in options if hasattr(group, option.name)]
    defaults = {option.name: option.default for option in held}
    said = {name: value for name, value in chosen(held, group).items() if value != defaults[name]}
    lens = {name: getattr(settings, name) for name in ("fx", "fy") if getattr(settings, name)}
    return flamenco.job(
        f"{photo.stem} {farm.task}",
        {
            "task": farm.task,
            "photo": str(photo),
            "frames": farm.frames,
            "chunk_size": farm.chunk_size,
            "output": bpy.path.abspath(farm.folder),
            "format": farm.format,
            "model": group.model,
            "options": flags({**said, **lens}),
        },
    )


def _photo(settings: Any) -> Path:
    """The chosen photo's file; of an image sequence its pattern."""
    path = chosen_path(settings)
    if not path or path.startswith("//"):
        raise BadInput("No photo on disk is chosen.", "Choose a file, or an image that is saved.")
    file = Path(path)
    if settings.source == "IMAGE" and settings.image.source == "SEQUENCE":
        file = file.with_name(re.sub(r"\d+(?=\D*$)", lambda found: "#" * len(found[0]), file.name))
    if not file.exists() and not is_pattern(file):
        raise BadInput(f"The file {file} does not exist.", "Choose another photo.")
    return file
