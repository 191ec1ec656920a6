# SPDX-License-Identifier: GPL-3.0-or-later
"""The rooms of the add-on: no two files import each other in a circle, and the worker's room never sees bpy."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import maquette
import pytest

ADDON = Path(str(maquette.__file__)).parent / "blender_addon"
FILES = {
    ".".join(("blender_addon", *path.relative_to(ADDON).with_suffix("").parts)): path for path in ADDON.rglob("*.py")
}
MODULES = {name.removesuffix(".__init__"): path for name, path in FILES.items()}
#: Room -> the rooms that it may import from, beside itself; the others may import from any.
BELOW = {
    "core": set(),
    "work": {"core"},
    "builders": {"core"},
    "ui": {"core"},
    "packages": {"core", "ui", "library"},
    "library": {"core", "ui"},
    "tasks": {"core", "work", "builders", "ui", "library", "packages"},
}


def imports_of(module: str) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import that is carried out, at the top or inside a function; not those for types alone."""
    waiting: list[ast.AST] = [ast.parse(MODULES[module].read_text("utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)


def imported(module: str) -> set[str]:
    """The modules of the add-on that a module imports, with the packages that they lie in (but not its own)."""
    found = set()
    folder = module.split(".") if MODULES[module].name == "__init__.py" else module.split(".")[:-1]
    for node in imports_of(module):
        if not isinstance(node, ast.ImportFrom) or not node.level or node.level > len(folder):
            continue
        base = [*folder[: len(folder) - node.level + 1], *(node.module.split(".") if node.module else [])]
        for alias in node.names:
            full = ".".join([*base, alias.name])
            found.add(full if full in MODULES else ".".join(base))
    found |= {".".join(name.split(".")[:end]) for name in found for end in range(1, name.count(".") + 1)}
    own = {".".join(module.split(".")[:end]) for end in range(1, module.count(".") + 2)}
    return found & set(MODULES) - own


GRAPH = {module: imported(module) for module in MODULES}


def room(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_no_circle() -> None:
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def test_rooms_import_only_from_rooms_below() -> None:
    wrong = [
        f"{module} imports {other}"
        for module, others in GRAPH.items()
        for other in others
        if room(module) in BELOW and room(other) not in BELOW[room(module)] | {room(module)}
    ]
    assert not wrong


def test_the_worker_never_imports_blender() -> None:
    reached = {module for module in MODULES if room(module) == "work"}
    assert reached
    while further := {other for module in reached for other in GRAPH[module]} - reached:
        reached |= further
    blenders = {"bpy", "mathutils", "bmesh", "gpu", "bpy_extras"}
    names = {
        module: {alias.name for alias in node.names} if isinstance(node, ast.Import) else {node.module}
        for module in reached
        for node in imports_of(module)
        if not getattr(node, "level", 0)
    }
    assert not [module for module, imports in names.items() if blenders & {name.split(".")[0] for name in imports}]
