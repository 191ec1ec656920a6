# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: files written, exit codes, and one line for what goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
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


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_a_folder_of_photos_gives_a_file_each(bricks, tmp_path, capsys) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("a.png", "b.png"):
        (photos / name).write_bytes(bricks.read_bytes())
    (photos / "c.png").write_text("broken")
    given = ("relief", "--photo", photos, "--mesh-resolution", 16, "--output", tmp_path / "out")
    assert command(*given, "--json") == 4
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-2]["report"]["written"] == 2 and "c.png" in lines[-2]["report"]["failures"][0]["input"]
    assert names_in(tmp_path / "out") == ["a.relief.blend", "b.relief.blend"]
    before = (tmp_path / "out" / "a.relief.blend").stat().st_mtime_ns
    assert command(*given) == 1 and "exists" in capsys.readouterr().err
    assert command(*given, "--continue") == 4
    assert (tmp_path / "out" / "a.relief.blend").stat().st_mtime_ns == before
    (photos / "c.png").unlink()
    assert command(*given, "--format", "fbx") == 0
    assert names_in(tmp_path / "out") == [f"{name}.relief.{kind}" for name in "ab" for kind in ("blend", "fbx")]


def test_a_file_is_not_overwritten_unasked(bricks, tmp_path, capsys) -> None:
    given = ("relief", "--photo", bricks, "--mesh-resolution", 16, "--output", tmp_path / "a.blend")
    (tmp_path / "a.blend").write_text("mine")
    assert command(*given) == 1 and (tmp_path / "a.blend").read_text() == "mine"
    assert command(*given, "--overwrite") == 0 and (tmp_path / "a.blend").stat().st_size > 1000


def test_arrays_are_those_of_the_other_door(bricks, tmp_path) -> None:
    from maquette.inference.__main__ import main

    given = ["relief", "--photo", str(bricks), "--resolution", "32", "--no-invert", "--output"]
    assert command(*given, tmp_path / "a.npz") == 0 and main([*given, str(tmp_path / "b.npz")]) == 0
    with np.load(tmp_path / "a.npz") as one, np.load(tmp_path / "b.npz") as other:
        np.testing.assert_array_equal(one["depth"], other["depth"])


@pytest.fixture
def walkers(recovered, tmp_path) -> Path:
    """A file with two people of three frames."""
    recovered(frames=range(3), tracks=(0, 1))
    path = tmp_path / "walkers.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    return path


#: Commands one after the other, in a process that is theirs as it is for those who use them: bpy 4.2 now and then
#: crashed here in one that had opened some hundred files before.
_ALONE = """
import json, os, sys
from maquette.blender_addon import cli, register
register()
codes = [cli.main(arguments) for arguments in json.loads(sys.argv[1])]
sys.stdout.flush()
os._exit(max(codes))
"""


def test_people_are_exported_in_every_format(walkers, tmp_path) -> None:
    rig = next(obj.name for obj in bpy.data.objects if obj.type == "ARMATURE")
    export = ["export", "--blend", str(walkers), "--output"]
    commands = [[*export, str(tmp_path / f"a.{kind}")] for kind in ("fbx", "glb", "usdc", "abc")]
    commands += [[*export, str(tmp_path / "out"), "--format", "bvh"]]
    commands += [[*export, str(tmp_path / "one.bvh"), "--armature", rig]]
    commands += [["export", "--blend", str(tmp_path / "*.blend"), "--output", str(tmp_path / "all"), "--format", "glb"]]
    alone = [sys.executable, "-c", _ALONE, json.dumps(commands)]
    done = subprocess.run(alone, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    for kind in ("fbx", "glb", "usdc", "abc"):
        assert (tmp_path / f"a.{kind}").stat().st_size > 10_000
    assert names_in(tmp_path / "out") == ["walkers.2.bvh", "walkers.bvh"]
    assert names_in(tmp_path / "all") == ["walkers.glb"] and (tmp_path / "one.bvh").exists()


def test_motion_goes_from_files_onto_a_rig(walkers, recovered, tmp_path, capsys) -> None:
    assert command("export", "--blend", walkers, "--output", tmp_path / "out", "--format", "bvh") == 0
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    ((rig, _),) = recovered(rig="MIXAMO", frames=range(1), name="hero")
    name = rig.name
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "hero.blend"))
    given = ("retarget", "--motion", tmp_path / "out", "--onto", tmp_path / "hero.blend", "--output")
    assert command(*given, tmp_path / "moved") == 0
    assert names_in(tmp_path / "moved") == ["walkers.2.retarget.blend", "walkers.retarget.blend"]
    bpy.ops.wm.open_mainfile(filepath=str(tmp_path / "moved" / "walkers.retarget.blend"))
    (armature,) = [obj for obj in bpy.data.objects if obj.type == "ARMATURE"]
    assert armature.name == name and armature.animation_data.action
    assert (
        command("retarget", "--motion", walkers, "--onto", tmp_path / "hero.blend", "--output", tmp_path / "x.fbx") == 1
    )
    assert "has 2 armatures" in capsys.readouterr().err and not (tmp_path / "x.fbx").exists()
