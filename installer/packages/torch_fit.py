# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a torch that is in this process already, from another add-on or environment, can be used as it is.

It is never put aside: two torches in one process crash, and another add-on may be working with its own.
"""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path

#: The oldest torch that all of Maquette runs on, and the first that is not known to.
OLDEST, TOO_NEW = (2, 4), (3, 0)


def origin(module: str) -> Path | None:
    """The folder that holds a module, loaded or not; None where it is not found. Nothing is imported."""
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    if file is None and loaded is None:
        try:
            spec = find_spec(module)
        except (ImportError, ValueError):
            return None
        file = spec.origin if spec else None
    return Path(file).parent.parent if file else None


def version(module: str) -> str:
    """A module's version as it says itself, or as its `version.py` does; "" where neither is known."""
    loaded = getattr(sys.modules.get(module), "__version__", None)
    if loaded:
        return str(loaded)
    folder = origin(module)
    if folder is None:
        return ""
    try:
        text = (folder / module / "version.py").read_text("utf-8")
    except OSError:
        return ""
    match = re.search(r"^__version__\s*(?::\s*\w+\s*)?=\s*['\"]([^'\"]+)", text, re.MULTILINE)
    return match[1] if match else ""


def misfit() -> str:
    """Why the torch of this process cannot be used, in one sentence; "" where it can or where there is none."""
    folder, number = origin("torch"), _number(version("torch"))
    if folder is None or number is None:
        return ""
    if not OLDEST <= number < TOO_NEW:
        return (
            f"Another add-on has brought torch {version('torch')} ({folder}); Maquette needs "
            f"{OLDEST[0]}.{OLDEST[1]} or newer."
        )
    vision = _number(version("torchvision"))
    if vision is not None and vision != (0, 15 + number[1]):  # the two are always published as such a pair
        return (
            f"torch {version('torch')} ({folder}) and torchvision {version('torchvision')} "
            f"({origin('torchvision')}) do not belong together."
        )
    return ""


REMEDY = "Switch off the add-on that the folder belongs to, and start Blender again."


def _number(text: str) -> tuple[int, int] | None:
    match = re.match(r"(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None
