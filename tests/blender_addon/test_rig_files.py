# SPDX-License-Identifier: GPL-3.0-or-later
"""Files for other programs: which format, what is in it, under which name, at which times."""

from __future__ import annotations

import json
import struct

import bpy
import numpy as np
import pytest
from maquette import blender_addon
from maquette.inference.geometry.rotations import from_rotation_vector, rotation_matrices
from maquette.inference.geometry.skinning import chain
from maquette.inference.rigs import smplx
from test_rigs import FRAMES, apart, directions, names_of


@pytest.fixture(autouse=True)
def registered(empty_scene):
    blender_addon.register()
    yield
    blender_addon.unregister()


def test_the_ending_names_the_format(recovered, tmp_path):
    ((source, _),) = recovered()
    for name, magic in (
        ("a.glb", b"glTF"),
        ("b.bvh", b"HIERARCHY"),
        ("c.usdz", b"PK"),
        ("d.npz", b"PK"),
        ("e.1", b"Kaydara"),
    ):
        bpy.ops.maquette.export_person(armature=source.name, filepath=str(tmp_path / name))
        (written,) = tmp_path.glob(f"{name}*")
        assert written.read_bytes().startswith(magic)
    assert (tmp_path / "e.1.fbx").exists()


def glb_content(path):
    data = path.read_bytes()
    size = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + size])


@pytest.mark.parametrize(("fps", "base"), [(24, 1.001), (13, 1.04)])
def test_takes_carry_names_and_exact_times(fps, base, recovered, tmp_path):
    """12.5 frames a second came out at 13.52, every take as "Animation" or "Scene"."""
    ((source, _),) = recovered(frames=range(4))
    source.animation_data.action.name = "Pavement walk"
    scene = bpy.context.scene
    scene.render.fps, scene.render.fps_base = fps, base
    named, rate = scene.name, fps / base
    for from_zero in (False, True):
        file = tmp_path / f"{from_zero}.glb"
        bpy.ops.maquette.export_person(armature=source.name, filepath=str(file), from_zero=from_zero)
        content = glb_content(file)
        (animation,) = content["animations"]
        assert animation["name"] == "Pavement walk"
        times = [content["accessors"][sampler["input"]] for sampler in animation["samplers"]]
        first, last = min(one["min"][0] for one in times), max(one["max"][0] for one in times)
        assert last - first == pytest.approx(3 / rate, abs=1e-6)
        assert first == pytest.approx(0.0 if from_zero else 3 / rate, abs=1e-6)
    assert scene.render.fps_base == pytest.approx(base)
    other = bpy.data.scenes.new("Pavement walk")
    bpy.ops.maquette.export_person(armature=source.name, filepath=str(tmp_path / "walk.fbx"))
    assert (scene.name, other.name) == (named, "Pavement walk")
    assert b"Pavement walk\x00\x01AnimStack" in (tmp_path / "walk.fbx").read_bytes()


def test_all_people_or_what_is_selected_in_one_file(recovered, tmp_path):
    (first, mesh), (_, other) = recovered(frames=range(3), tracks=(0, 1))
    bpy.ops.mesh.primitive_cube_add()
    bpy.ops.maquette.export_person(filepath=str(tmp_path / "all.glb"), objects="PEOPLE")
    content = glb_content(tmp_path / "all.glb")
    assert len(content["skins"]) == 2 and {node["name"] for node in content["nodes"]} >= {mesh.name, other.name}
    assert [animation["name"] for animation in content["animations"]] == ["all"]
    first.select_set(True)
    bpy.ops.maquette.export_person(filepath=str(tmp_path / "some.glb"), objects="SELECTED")
    content = glb_content(tmp_path / "some.glb")
    assert len(content["skins"]) == 1 and {node["name"] for node in content["nodes"]} >= {mesh.name, "Cube"}


def test_bvh_in_centimetres(recovered, tmp_path):
    ((source, _),) = recovered(frames=range(3))
    for name, scale in (("m", False), ("cm", True)):
        bpy.ops.maquette.export_person(
            armature=source.name, filepath=str(tmp_path / f"{name}.bvh"), centimetres=scale, format="BVH"
        )
    rows = [
        [float(word) for word in (tmp_path / f"{name}.bvh").read_text().splitlines()[-1].split()]
        for name in ("m", "cm")
    ]
    np.testing.assert_allclose(np.array(rows[0][:3]) * 100, rows[1][:3], atol=1e-3)
    np.testing.assert_allclose(rows[0][3:6], rows[1][3:6], atol=1e-3)


@pytest.mark.parametrize("rig", ["OWN", "MIXAMO"])
def test_amass_of_any_armature(rig, recovered, tmp_path):
    """SMPL-X's 55 joints, posed again by their turns alone, point where the armature's limbs point."""
    ((source, _),) = recovered(rig)
    truth = directions(source, names_of(source), FRAMES)
    bpy.ops.maquette.export_person(armature=source.name, filepath=str(tmp_path / "walk.npz"))
    with np.load(tmp_path / "walk.npz", allow_pickle=False) as file:
        amass = dict(file)
    assert amass["poses"].shape == (8, 165) and amass["pose_body"].shape == (8, 63) and amass["betas"].shape == (16,)
    assert amass["mocap_frame_rate"] == 25.0 and str(amass["surface_model_type"]) == "smplx"
    names = [str(name) for name in amass["joint_names"]]
    rest, parents = smplx.at_rest()
    turns = rotation_matrices(from_rotation_vector(amass["poses"].reshape(8, 55, 3)))
    _, joints = chain(parents, np.broadcast_to(rest, (8, 55, 3)), turns, amass["trans"])
    shown = []
    for part, after in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")):
        for side in ("left", "right"):
            along = joints[:, names.index(f"{side}_{after}")] - joints[:, names.index(f"{side}_{part}")]
            shown.append(along / np.linalg.norm(along, axis=-1, keepdims=True))
    assert apart(truth, np.array(shown)) < 0.1
