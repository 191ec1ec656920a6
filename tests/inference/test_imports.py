# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the house: imports run down, inside the package they are relative, and heavy packages wait."""

import ast
import subprocess
import sys
from inspect import ismodule
from pathlib import Path

import maquette
import pytest

ROOT = Path(str(maquette.__file__)).parent
FLOORS = ("installer", "inference", "blender_addon")
#: The floors that each part may import from, beside itself.
BELOW = {
    "installer": (),
    "inference": ("installer",),
    "blender_addon": ("inference", "installer"),
    "demo": FLOORS,
    "__init__.py": ("blender_addon",),
}
#: The rooms of `inference`, from the ground up. Those of one step know nothing of each other.
ROOMS = (
    ("errors",),
    ("options", "camera"),
    ("results",),
    ("geometry",),
    ("photo",),
    ("runtime", "exr"),
    ("registry", "weights"),
    ("models", "shipped", "batch"),
    ("depth", "normals", "hands", "preprocessors", "rigs", "segment"),
    ("people",),
    ("scene", "photogrammetry"),
    ("export",),
    ("detailer", "pipeline"),
    ("farm",),
    ("__init__",),
    ("__main__",),
)
STEPS = {room: step for step, rooms in enumerate(ROOMS) for room in rooms}
FILES = sorted(
    path.relative_to(ROOT)
    for part in BELOW
    for path in ([ROOT / part] if part.endswith(".py") else (ROOT / part).rglob("*.py"))
)


def imports_of(path):
    """(level, module, names, line) of every import of a file, whether at the top or inside a function."""
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield 0, alias.name, (), node.lineno
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", tuple(alias.name for alias in node.names), node.lineno


def part_reached(path, level, module, names):
    """The parts of the package that a relative import leads to."""
    folder = path.parts[:-1]
    base = folder[: len(folder) - (level - 1)]
    assert level - 1 <= len(folder), f"{path} leaves the package"
    full = (*base, *module.split(".")) if module else base
    return {full[0]} if full else {name for name in names if name in BELOW}


def test_the_tree_is_there():
    assert len([path for path in FILES if path.parts[0] == "inference"]) > 20
    for floor in FLOORS:
        assert any(path.parts[0] == floor for path in FILES)


def imports_under(part):
    """(path, level, module, names, place) of every import under a part of the package."""
    for path in FILES:
        if path.parts[0] == part:
            for level, module, names, line in imports_of(path):
                yield path, level, module, names, f"{path}:{line} imports {module or ', '.join(names)}"


@pytest.mark.parametrize("part", BELOW)
def test_imports_run_down_and_are_relative(part):
    wrong = []
    for path, level, module, names, place in imports_under(part):
        if level == 0:
            wrong += [place] if module.split(".")[0] in ("maquette", *FLOORS) else []
            continue
        allowed = {part, *BELOW[part]}
        wrong += [place] if not part_reached(path, level, module, names) <= allowed else []
    assert not wrong


def test_inference_never_imports_blender():
    blenders = ("bpy", "mathutils", "bmesh", "gpu", "bl_ext")
    assert not [
        place
        for _, level, module, _, place in imports_under("inference")
        if not level and module.split(".")[0] in blenders
    ]


def test_the_installer_needs_only_the_standard_library():
    assert not [
        place
        for _, level, module, _, place in imports_under("installer")
        if not level and module.split(".")[0] not in sys.stdlib_module_names
    ]


def rooms_reached(path, level, module, names):
    """The rooms of `inference` that a relative import leads to: folders, and files that lie loose beside them."""
    folder = path.parts[:-level]
    full = (*folder, *module.split(".")) if module else folder
    if full[:1] != ("inference",):
        return set()
    return {full[1]} if len(full) > 1 else {name if name in STEPS else "__init__" for name in names}


def test_the_rooms_of_inference_lie_above_each_other():
    """A room imports from lower steps only: there is no circle, and depth and normals do not know each other."""
    wrong = []
    for path, level, module, names, place in imports_under("inference"):
        own = path.with_suffix("").parts[1]
        assert own in STEPS, f"Say where the room {own} lies"
        reached = rooms_reached(path, level, module, names) - {own} if level else set()
        wrong += [place for room in reached if STEPS[room] >= STEPS[own]]
    assert not wrong


def in_fresh_python(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_inference_brings_in_nothing_heavy():
    loaded = in_fresh_python(
        "import sys, maquette.installer.models.store; from maquette.inference import *\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    assert "numpy" in loaded
    assert not {"torch", "bpy", "cv2", "PIL", "scipy", "trimesh", "torchvision", "safetensors"} & set(loaded)


def test_reading_a_photo_needs_no_torch(tmp_path):
    code = (
        "import sys, numpy as np; from maquette import inference; from maquette.demo.samples import sample_photo\n"
        "inference.load_photo(sample_photo('astronaut'))\n"
        "print(*sys.modules)"
    )
    assert not {"torch", "bpy"} & set(in_fresh_python(code))


def test_every_public_name_is_there():
    from maquette import inference

    public = {name for name in dir(inference) if not ismodule(getattr(inference, name))}
    assert public == set(inference.__all__)


def test_no_circle_of_files_in_inference():
    """Imports inside functions count too: they hide a circle, and do not open it."""
    files = {path for path in FILES if path.parts[0] == "inference"}

    def file_of(parts):
        found = {Path(*parts).with_suffix(".py"), Path(*parts, "__init__.py")} & files if parts else set()
        return next(iter(found), None)

    def reached(path):
        tree = ast.parse((ROOT / path).read_text("utf-8"))
        for block in ast.walk(tree):  # what only types need is never imported
            if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING":
                block.body = []
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                level, module, names = node.level, node.module, [alias.name for alias in node.names]
                base = (*path.parts[: len(path.parts) - level], *(module.split(".") if module else ()))
                yield from {file_of((*base, name)) or file_of(base) for name in names} - {None, path}

    left = {path: set(reached(path)) for path in files}
    while free := {path for path, others in left.items() if not others & left.keys()}:
        for path in free:
            del left[path]
    assert not left, f"circles run through {sorted(map(str, left))}"
