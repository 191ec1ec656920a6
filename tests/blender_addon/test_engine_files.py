# SPDX-License-Identifier: GPL-3.0-or-later
"""Files for engines: deforming bones in one hierarchy, few bones a vertex, Unreal's root and axes, centimetres."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from maquette import blender_addon
from maquette.blender_addon import api
from maquette.blender_addon.builders.bodies.body import BodyOptions, build_person


@pytest.fixture(autouse=True)
def registered(empty_scene):
    blender_addon.register()
    yield
    blender_addon.unregister()


def read_again(path):
    """The armature and mesh of a file, in an empty scene."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    if path.suffix == ".fbx":
        bpy.ops.import_scene.fbx(filepath=str(path), ignore_leaf_bones=False)
    else:
        bpy.ops.import_scene.gltf(filepath=str(path))
    (rig,) = (obj for obj in bpy.context.scene.objects if obj.type == "ARMATURE")
    return rig, next(obj for obj in bpy.context.scene.objects if obj.type == "MESH" and obj.find_armature() == rig)


@pytest.mark.parametrize("ending", ["fbx", "glb"])
def test_a_control_rig_as_an_engine_takes_it(ending, recovered, evaluated, blocks, tmp_path):
    ((rig, mesh),) = recovered("RIGIFY", frames=range(3))
    deforming = {bone.name for bone in rig.data.bones if bone.use_deform}
    before, shown = blocks(), evaluated(mesh, 5)
    kept = mesh.data, mesh.parent, rig.name, len(mesh.data.vertices[7].groups)
    path = tmp_path / f"rig.{ending}"
    bpy.ops.maquette.export_person(
        armature=rig.name, filepath=str(path), deform_only=True, max_influences=4, from_zero=False
    )
    assert (mesh.data, mesh.parent, rig.name, len(mesh.data.vertices[7].groups)) == kept and mesh.find_armature() == rig
    assert blocks() == before
    np.testing.assert_allclose(evaluated(mesh, 5), shown, atol=1e-5)
    rate = bpy.context.scene.render.fps
    read, skinned = read_again(path)
    assert {bone.name for bone in read.data.bones} == deforming and len(deforming) == 69
    assert [bone.name for bone in read.data.bones if not bone.parent] == ["DEF-spine"]
    assert read.data.bones["DEF-upper_arm.L"].parent.name == "DEF-shoulder.L"
    assert read.data.bones["DEF-f_index.01.L"].parent.name == "DEF-palm.01.L"
    assert max(len(vertex.groups) for vertex in skinned.data.vertices) <= 4
    sums = [sum(group.weight for group in vertex.groups) for vertex in list(skinned.data.vertices)[::53]]
    assert sums == pytest.approx([1] * len(sums), abs=1e-3)
    if ending == "fbx":  # glTF splits vertices
        bpy.context.scene.render.fps = rate
        first = read.animation_data.action.frame_range[0]
        found = evaluated(skinned, round(first) + 2)
        assert np.linalg.norm(found - shown, axis=1).mean() < 0.01


def test_unreal_finds_its_root_and_axes(body, make_track, tmp_path):
    made = build_person(body, make_track(), BodyOptions(rig="UNREAL", rig_unit="CENTIMETRES"), name="runner")
    rig = next(obj for obj in made.objects if obj.type == "ARMATURE")
    path = tmp_path / "runner.fbx"
    bpy.ops.maquette.export_person(armature=rig.name, filepath=str(path), deform_only=True)  # it has no controls
    assert rig.name == "runner.rig"
    hips = rig.data.bones["pelvis"].head_local.z
    read, _ = read_again(path)
    assert read.name == "Armature"
    assert [bone.name for bone in read.data.bones if not bone.parent] == ["root"]
    axes = np.array(read.data.bones["lowerarm_l"].matrix_local.to_3x3())
    along = read.data.bones["hand_l"].head_local - read.data.bones["lowerarm_l"].head_local
    assert axes[:, 0] @ np.array(along.normalized()) == pytest.approx(1, abs=1e-3)  # x along the bone, not y
    bend = np.array(read.data.bones["spine_03"].matrix_local.to_3x3())[:, 2]
    np.testing.assert_allclose(np.abs(bend), [1, 0, 0], atol=0.02)  # spines bend about z
    assert read.data.bones["pelvis"].head_local.z == pytest.approx(hips, rel=1e-3)  # centimetres, in the file too
    assert tuple(read.scale) == pytest.approx((0.01,) * 3, rel=1e-3)


@pytest.mark.parametrize("ending", ["fbx", "glb"])
def test_a_skeleton_that_follows_controls_is_exported_as_it_is(ending, body, make_track, evaluated, tmp_path):
    """Its control rig is chosen, and the file has what follows that: skeleton, mesh and motion."""
    made = build_person(body, make_track(range(3)), BodyOptions(rig="RIGIFY", game_skeleton=True), name="runner")
    mesh = next(obj for obj in made.objects if obj.type == "MESH")
    assert mesh.find_armature().name == "runner.game"
    ((person,), path) = api.people(), tmp_path / f"runner.{ending}"
    assert person.rig.name == "runner.rig" and person.action.name == "runner"
    shown = evaluated(mesh, 3)
    api.export_person(path, person.rig, max_influences=4)
    rate = bpy.context.scene.render.fps
    read, skinned = read_again(path)
    assert len(read.data.bones) == 69 and [bone.name for bone in read.data.bones if not bone.parent] == ["DEF-spine"]
    if ending == "fbx":  # glTF splits vertices
        bpy.context.scene.render.fps = rate
        found = evaluated(skinned, round(read.animation_data.action.frame_range[0]) + 2)
        assert np.linalg.norm(found - shown, axis=1).max() < 0.01
