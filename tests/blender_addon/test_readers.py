# SPDX-License-Identifier: GPL-3.0-or-later
"""Exported files as readers see them that have nothing to do with Blender: ufbx, pygltflib, the Khronos validator of
glTF, OpenUSD's own checks, and two readers of BVH. They are installed into a folder that is thrown away."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from maquette import blender_addon
from maquette.blender_addon.builders.bodies import reading

pytestmark = pytest.mark.full

SCRIPT = Path(__file__).with_name("readers.py")
RIGS = ["OWN", "MIXAMO", "UNREAL", "RIGIFY"]
FRAMES = range(3, 11)
RATE = 24 / 1.001


@pytest.fixture(autouse=True)
def registered(empty_scene):
    blender_addon.register()
    yield
    blender_addon.unregister()


def installed(command: list[str], what: str) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=clean)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{what} cannot be installed here: its registry does not answer.")
    if done.returncode:
        pytest.skip(f"{what} cannot be installed here: {done.stderr.strip().splitlines()[-1:]}")


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """A function: reader, file -> what it finds."""
    folder = tmp_path_factory.mktemp("readers")
    installed([sys.executable, "-m", "venv", str(folder)], "A Python of its own")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    packages = ["numpy", "ufbx", "pygltflib", "usd-core", "bvh", "bvhio"]
    installed([str(python), "-m", "pip", "install", "--quiet", *packages], "The readers of files")

    def run(reader: str, file: Path) -> dict:
        command = [str(python), "-I", str(SCRIPT), reader, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    yield run
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def validated(tmp_path_factory):
    """A function: .glb -> what the Khronos validator says of it."""
    if not (shutil.which("npm") and shutil.which("node")):
        pytest.skip("The Khronos glTF validator needs npm and node, which are not installed.")
    folder = tmp_path_factory.mktemp("validator")
    installed(["npm", "install", "--silent", "--prefix", str(folder), "gltf-validator"], "The Khronos glTF validator")
    script = (
        "require(process.argv[1] + '/node_modules/gltf-validator')"
        ".validateBytes(new Uint8Array(require('fs').readFileSync(process.argv[2])))"
        ".then(report => console.log(JSON.stringify(report)))"
    )

    def run(file: Path) -> dict:
        done = subprocess.run(["node", "-e", script, str(folder), str(file)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture
def written(recovered, tmp_path):
    """A function: rig, ending -> (file, bone -> (T, 3) in Blender's world)."""

    def write(rig: str, ending: str, **options) -> tuple[Path, dict[str, np.ndarray]]:
        ((armature, _),) = recovered(rig)
        armature.animation_data.action.name = "Pavement walk"
        scene = bpy.context.scene
        scene.render.fps, scene.render.fps_base = 24, 1.001
        file = tmp_path / f"walk{ending}"
        bpy.ops.maquette.export_person(armature=armature.name, filepath=str(file), **options)
        places = reading.read_poses(armature, FRAMES, scene)[..., :3, 3]
        return file, {bone.name: places[:, number] for number, bone in enumerate(armature.data.bones)}

    return write


def check(found: dict[str, list], truth: dict[str, np.ndarray], scale: float = 1.0, y_up: bool = True) -> None:
    """Every joint of the file is where Blender has the bone of that name."""
    clean = {"".join(c if c.isalnum() else "_" for c in name): places for name, places in truth.items()}
    shared = {name: places for name, places in found.items() if name in truth or name in clean}
    assert len(shared) > 50
    for name, places in shared.items():
        seen = np.array(places) * scale
        seen = seen[:, [0, 2, 1]] * [1, -1, 1] if y_up else seen
        np.testing.assert_allclose(seen, truth.get(name, clean.get(name)), atol=3e-4, err_msg=name)


@pytest.mark.parametrize("rig", RIGS)
def test_fbx(rig, written, read):
    file, truth = written(rig, ".fbx")
    found = read("ufbx", file)
    assert found["name"] == "Pavement walk"
    np.testing.assert_allclose(found["seconds"], np.array(FRAMES) / RATE, atol=1e-4)
    check(found["joints"], truth, found["unit"])


@pytest.mark.parametrize("rig", RIGS)
def test_gltf(rig, written, read, validated):
    file, truth = written(rig, ".glb", from_zero=True)
    report = validated(file)
    assert report["issues"]["numErrors"] == 0, report["issues"]["messages"][:3]
    found = read("pygltflib", file)
    assert found["name"] == "Pavement walk"
    np.testing.assert_allclose(found["seconds"], np.arange(8) / RATE, atol=1e-6)
    check(found["joints"], truth)


@pytest.mark.parametrize("rig", RIGS)
def test_usd(rig, written, read):
    file, truth = written(rig, ".usdc")
    found = read("usd", file)
    assert found["validators"] > 10 and found["errors"] == []
    assert found["rate"] == pytest.approx(RATE, rel=1e-6)
    check(found["joints"], truth, y_up=False)


@pytest.mark.parametrize("rig", RIGS)
def test_bvh(rig, written, read):
    file, truth = written(rig, ".bvh", centimetres=True)
    found = read("bvh", file)
    assert found["frames"] == 8 and found["seconds"] == pytest.approx(1 / RATE, abs=1e-8)
    posed = read("bvhio", file)["joints"]
    assert set(found["names"]) == set(posed)
    check(posed, truth, 0.01)


def test_two_people_in_one_file(recovered, tmp_path, read, validated):
    recovered(tracks=(0, 1))
    for ending in (".glb", ".fbx", ".usdz"):
        bpy.ops.maquette.export_person(filepath=str(tmp_path / f"all{ending}"), objects="PEOPLE")
    report = validated(tmp_path / "all.glb")
    assert report["issues"]["numErrors"] == 0 and report["info"]["animationCount"] == 1
    found = read("ufbx", tmp_path / "all.fbx")
    assert found["name"] == "all" and found["skins"] == 2
    assert read("usd", tmp_path / "all.usdz")["errors"] == []
