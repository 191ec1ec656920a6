# SPDX-License-Identifier: GPL-3.0-or-later
"""About how large the packages are, to be shown before anything is asked of a registry. The exact number of bytes is
known, and the room on the disk checked, once the registry has answered."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from ..environment.torch_build import REGISTRY
from .features import CORE

#: Build of torch -> MB to download and on the disk, of the core. The downloads of the registry's builds are counted; of
#: the others, torch's own file is taken as published, and files take 1.8 times what their wheels do.
_CORE: dict[tuple[str, str], tuple[int, int]] = {
    ("linux", REGISTRY): (2895, 5220),
    ("linux", "cpu"): (355, 1220),
    ("linux", "cuda"): (3245, 6320),
    ("linux", "rocm"): (4845, 18120),
    ("linux", "xpu"): (1445, 4620),
    ("win32", REGISTRY): (275, 1020),
    ("win32", "cuda"): (2945, 5320),
    ("win32", "xpu"): (1345, 4120),
    ("darwin", REGISTRY): (220, 870),
}

_OTHERS: dict[str, tuple[int, int]] = {
    "people": (2, 5),
    "detailer": (28, 112),
    "maps": (37, 130),
    "licensed-body": (1, 1),
    "photogrammetry": (38, 134),
}


def about(features: Iterable[str], backend: str, system: str = sys.platform) -> tuple[int, int]:
    """MB to download and MB on the disk of groups, with this build of torch."""
    kind = "cuda" if backend.startswith("cu") else "rocm" if backend.startswith("rocm") else backend
    core = _CORE.get((system, kind), _CORE["linux", REGISTRY])
    parts = [core if feature == CORE else _OTHERS.get(feature, (0, 0)) for feature in features]
    return sum(part[0] for part in parts), sum(part[1] for part in parts)
