# SPDX-License-Identifier: GPL-3.0-or-later
"""The ground floor: plain Python 3.11, the standard library alone; and what is packed belongs there."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from maquette.installer.cli import commands, extension
from maquette.installer.environment import interpreters
from maquette.installer.environment import uv as uv_tool
from maquette.installer.shared.paths import default_paths

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "installer").rglob("*.py"))


def test_every_file_reads_as_python_3_11_and_imports_the_standard_library_alone() -> None:
    wrong = []
    for path in FILES:
        depth = len(path.relative_to(ROOT / "installer").parts)
        for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path), feature_version=(3, 11))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [] if node.level else [node.module or ""]
                if node.level > depth:
                    wrong.append(f"{path.name}:{node.lineno} reaches out of the installer")
            wrong += [
                f"{path.name}:{getattr(node, 'lineno', 0)} imports {name}"
                for name in names
                if name.split(".")[0] not in sys.stdlib_module_names
            ]
    assert not wrong


def test_it_runs_on_python_3_11() -> None:
    tool = uv_tool.find(default_paths())
    python = interpreters.find("3.11", tool) if tool else None
    if python is None:
        pytest.skip("there is no Python 3.11, or no uv, on this machine")
    code = "import installer.cli.commands, installer.cli.doctor, installer.cli.extension, installer.packages.manager"
    subprocess.run(
        [str(python), "-c", code + ", installer.cli.testing, installer.environment.relock"], cwd=ROOT, check=True
    )
    done = subprocess.run(
        [str(python), "-m", "installer", "--help"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    for command in ("demo", "test", "run", "doctor", "extension", "packages"):
        assert f"\n    {command}" in done.stdout


def test_an_older_python_gets_a_sentence() -> None:
    program = ROOT / "installer" / "__main__.py"
    ast.parse(program.read_text("utf-8"), feature_version=(3, 6))
    pretend = "import sys, runpy; sys.version_info = (3, 9, 18); runpy.run_module('installer', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", pretend], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "error: Maquette needs Python 3.11 or newer; this is Python 3.9.\n"
        "Start it with a newer one, for example: python3.11 -m installer demo\n"
    )


def test_importing_the_extension_in_blender_does_not_touch_the_commands() -> None:
    code = "import sys, maquette.installer.packages; print('maquette.installer.commands' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("given", "own", "rest"),
    [
        (["run"], ["run"], []),
        (["run", "-m", "maquette.inference", "--help"], ["run"], ["-m", "maquette.inference", "--help"]),
        (["run", "--blender", "5.2", "x.py", "--blender"], ["run", "--blender", "5.2"], ["x.py", "--blender"]),
        (["run", "--blender=5.2", "-c", "pass"], ["run", "--blender=5.2"], ["-c", "pass"]),
        (["run", "--", "-h"], ["run"], ["-h"]),
        (["run", "-h"], ["run", "-h"], []),
        (["test", "--all", "--", "-x", "--", "y"], ["test", "--all"], ["-x", "--", "y"]),
        (["test", "--blender", "4.2", "5.0"], ["test", "--blender", "4.2", "5.0"], []),
    ],
)
def test_whose_arguments_are_whose(given: list[str], own: list[str], rest: list[str]) -> None:
    assert commands._split(given) == (own, rest)


def test_every_folder_of_code_is_a_package() -> None:
    """setup.py finds packages by their __init__.py; without one, an installed Maquette would lack the folder."""
    folders = {
        path.parent
        for floor in ("blender_addon", "demo", "inference", "installer")
        for path in (ROOT / floor).rglob("*.py")
    }
    assert not [folder for folder in folders if not (folder / "__init__.py").exists()]


def test_the_manifest_and_pyproject_name_the_same_version() -> None:
    manifest = tomllib.loads((ROOT / "blender_manifest.toml").read_text("utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert (manifest["id"], manifest["version"]) == (project["name"], project["version"])
    for reason in (manifest["tagline"], *manifest["permissions"].values()):
        assert len(reason) <= 64 and reason[-1].isalnum()


def test_warnings_of_the_builder_are_heard() -> None:
    output = 'building: maquette-0.1.0.zip\nWARNING: "tags" is empty\ncomplete\n'
    assert extension.warnings_in(output) == ['WARNING: "tags" is empty']
    assert not extension.warnings_in('building: maquette-0.1.0.zip\ncomplete\ncreated: "x.zip", 17\n')
