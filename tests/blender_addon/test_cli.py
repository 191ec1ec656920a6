# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: files written, exit codes, and one line for what goes wrong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import bpy
import pytest
from maquette.blender_addon import cli
from maquette.demo.samples import sample_photo

pytestmark = pytest.mark.usefixtures("addon")


@pytest.fixture(scope="module")
def bricks(tmp_path_factory) -> Path:
    from PIL import Image

    path = tmp_path_factory.mktemp("photos") / "bricks.png"
    with Image.open(sample_photo("brick")) as photo:
        photo.crop((0, 0, 96, 64)).save(path)
    return path


def command(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def test_relief_writes_a_file_that_holds_the_grid(bricks, tmp_path, capsys) -> None:
    output = tmp_path / "new folder" / "relief.blend"
    assert command("relief", "--photo", bricks, "--output", output, "--mesh-resolution", 32) == 0
    assert str(output) in capsys.readouterr().out
    bpy.ops.wm.open_mainfile(filepath=str(output))
    assert [obj.name for obj in bpy.data.objects] == ["bricks.grid"]
    assert sorted(path.name for path in output.parent.iterdir()) == ["maquette", "relief.blend"]
    assert (output.parent / "maquette" / "bricks.depth.exr").exists()
    assert bpy.data.images["bricks.depth"].filepath == "//maquette/bricks.depth.exr"


def test_it_builds_into_a_given_file(bricks, tmp_path) -> None:
    bpy.data.objects.new("Mine", None).use_fake_user = True
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "mine.blend"))
    arguments = ("--photo", bricks, "--blend", tmp_path / "mine.blend", "--output", tmp_path / "both.blend")
    assert command("depth", *arguments, "--model", "relief", "--build", "GRID") == 0
    assert {"Mine", "bricks.grid"} <= {obj.name for obj in bpy.data.objects}


def test_what_goes_wrong_is_one_line_and_exit_code_1(tmp_path, capsys) -> None:
    assert command("people", "--photo", tmp_path / "none.jpg", "--output", tmp_path / "x.blend") == 1
    assert capsys.readouterr().err.strip().count("\n") == 0 and not (tmp_path / "x.blend").exists()
    assert (
        command("relief", "--photo", "x.png", "--blend", tmp_path / "no.blend", "--output", tmp_path / "x.blend") == 1
    )


def test_a_failed_command_leaves_no_file(tmp_path, capsys) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    assert command("relief", "--photo", tmp_path / "text.jpg", "--output", tmp_path / "x.blend") == 1
    assert "text.jpg" in capsys.readouterr().err and [path.name for path in tmp_path.iterdir()] == ["text.jpg"]


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("depth",), ("hands", "--photo", "x", "--mask-type", "no")])
def test_wrong_usage_is_exit_code_2(arguments, capsys) -> None:
    assert command(*arguments) == 2
    assert "usage:" in capsys.readouterr().err


def test_help_names_every_property(capsys) -> None:
    assert command("people", "--help") == 0
    shown = capsys.readouterr().out
    assert "--det-confidence-thresh" in shown and "--no-track" in shown and "ARMATURE" in shown


def test_as_a_module_with_the_bpy_package(bricks, tmp_path) -> None:
    output = tmp_path / "module.blend"
    arguments = [
        "depth",
        "--photo",
        str(bricks),
        "--model",
        "relief",
        "--output",
        str(output),
        "--grid-method",
        "NODES",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "maquette.blender_addon.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0 and output.exists(), done.stderr
