# SPDX-License-Identifier: GPL-3.0-or-later
"""What the last operator made, by name, in a custom property of the scene: scripts find it there."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import bpy
from bpy.types import Scene

from .transaction import KINDS

#: Custom property of the scene: JSON of `{"operator": ..., "line": ..., "made": {"objects": [names], ...}}`.
LAST = "maquette_last"


def remember(scene: Scene, operator: str, line: str, made: Iterable[Any]) -> None:
    """Write down what an operator (its label) has made, and its closing line."""
    kinds = {kind: getattr(bpy.data, kind) for kind in KINDS}
    blocks = list(made)
    names = {kind: [one.name for one in blocks if known.get(one.name) == one] for kind, known in kinds.items()}
    told = {"operator": operator, "line": line, "made": {kind: found for kind, found in names.items() if found}}
    scene[LAST] = json.dumps(told, ensure_ascii=False)


def read(scene: Scene) -> dict[str, Any]:
    """What `remember` wrote, with the datablocks that are still there under their names; empty where nothing was."""
    told = json.loads(str(scene.get(LAST, "{}")))
    for kind, names in told.get("made", {}).items():
        known = getattr(bpy.data, kind)
        told["made"][kind] = [known[name] for name in names if name in known]
    return told


def stands(line: str) -> bool:
    """Whether this is what was made last in one of the scenes: an undo takes the scene's word for it back, even where
    the same objects are there as before."""
    return any(json.loads(str(scene.get(LAST, "{}"))).get("line") == line for scene in bpy.data.scenes)
