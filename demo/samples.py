# SPDX-License-Identifier: GPL-3.0-or-later
"""Real photographs that come with public wheels. They are read where they lie and never copied into the repository."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

#: name -> (package, path inside it)
_PHOTOS = {
    "bus": ("ultralytics", "assets/bus.jpg"),
    "zidane": ("ultralytics", "assets/zidane.jpg"),
    "astronaut": ("skimage", "data/astronaut.png"),
    "brick": ("skimage", "data/brick.png"),
    "gravel": ("skimage", "data/gravel.png"),
    "coins": ("skimage", "data/coins.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
}


def sample_photo(name: str) -> Path:
    """Path of a sample photo. The package is located, not imported: ultralytics would phone home."""
    package, inside = _PHOTOS[name]
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise FileNotFoundError(f"The package {package}, which holds {inside}, is not installed.")
    return Path(spec.submodule_search_locations[0]) / inside
