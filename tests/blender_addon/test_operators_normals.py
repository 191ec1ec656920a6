# SPDX-License-Identifier: GPL-3.0-or-later
"""Normals of a real photo through the operator, with the built-in model: images, materials, and what is refused."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest
from maquette import inference
from maquette.blender_addon.builders.images import image as images
from maquette.blender_addon.builders.materials import materials
from maquette.blender_addon.core import axes, jobs, roles
from maquette.demo.samples import sample_photo
from maquette.installer.models import catalogue

pytestmark = pytest.mark.usefixtures("addon")


@pytest.fixture(scope="module")
def street(tmp_path_factory) -> str:
    from PIL import Image

    path = tmp_path_factory.mktemp("Straße") / "street.png"
    with Image.open(sample_photo("bus")) as photo:
        photo.crop((0, 380, 300, 900)).resize((150, 260)).save(path)
    return str(path)


@pytest.fixture(scope="module")
def truth(street):
    return inference.estimate_normals(street)


@pytest.fixture
def plane():
    bpy.ops.mesh.primitive_plane_add(size=2)
    return bpy.context.object


def estimate(path: str, **options) -> str:
    """The closing line."""
    assert bpy.ops.maquette.estimate_normals(filepath=path, **options) == {"FINISHED"}
    return jobs.outcome().line


def pixels(name: str) -> np.ndarray:
    return images.image_array(bpy.data.images[name])[..., :3]


@pytest.mark.parametrize("saved", [False, True], ids=["packed", "beside the file"])
def test_an_image_of_the_normals(saved, street, truth, tmp_path) -> None:
    if saved:
        bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    assert estimate(street) == "Made the image street.normal. Model: From the people in the photo"
    made = bpy.data.images["street.normal"]
    np.testing.assert_array_equal(pixels("street.normal"), axes.normal_colours(truth))
    assert made.is_float and made.colorspace_settings.name == "Non-Color" and bool(made.packed_file) is not saved
    assert made.filepath == "//maquette/street.normal.exr" and made[roles.ROLE] == "normal"
    assert [file.name for file in tmp_path.rglob("*.exr")] == ["street.normal.exr"] * saved
    assert "street.normal.preview" not in bpy.data.images


def test_a_packed_image_lasts_and_the_next_one_gets_its_own(street, truth, reopened) -> None:
    estimate(street)
    estimate(street, green_down=True)
    reopened()
    np.testing.assert_array_equal(pixels("street.normal"), axes.normal_colours(truth))
    np.testing.assert_array_equal(pixels("street.normal.001"), axes.normal_colours(truth, green_down=True))


def test_green_points_up_in_a_material_whatever_is_asked_for_images(street, truth, plane) -> None:
    estimate(street, output="MATERIAL", green_down=True)
    np.testing.assert_array_equal(pixels("street.normal"), axes.normal_colours(truth))


def test_the_preview_is_the_models_own_picture(street) -> None:
    estimate(street, keep_preview=True, resolution=64)
    preview = inference.estimate_normals(street, resolution=64).preview
    np.testing.assert_array_equal(np.rint(pixels("street.normal.preview") * 255), preview)


def test_a_material_on_the_surface(street, plane) -> None:
    estimate(street, output="MATERIAL", strength=0.5)
    tree = plane.active_material.node_tree
    node = next(node for node in tree.nodes if node.type == "NORMAL_MAP")
    assert node.space == "TANGENT" and node.inputs["Strength"].default_value == 0.5
    assert node.outputs["Normal"].links[0].to_node.type == "BSDF_PRINCIPLED"
    assert [layer.name for layer in plane.data.uv_layers] == ["UVMap"] and bpy.context.scene.camera is None


def test_a_material_gets_the_normals_of_its_relief(plane) -> None:
    """Nobody is in a photo of bricks: their relief is wired into the material, and the closing line says so."""
    line = estimate(str(sample_photo("brick")), output="MATERIAL")
    assert line.startswith("Added brick.normal to the material of Plane. Model: Surface relief of a material")
    node = next(node for node in plane.active_material.node_tree.nodes if node.type == "NORMAL_MAP")
    assert node.inputs["Color"].links[0].from_node.image.name == "brick.normal"
    assert node.outputs["Normal"].links[0].to_node.type == "BSDF_PRINCIPLED"
    assert pixels("brick.normal")[..., :2].std() > 0.02


def test_one_entry_for_the_built_in_normals_and_both_names(street, truth) -> None:
    estimate(street, model="from-depth")
    np.testing.assert_array_equal(pixels("street.normal"), axes.normal_colours(truth))
    assert [model.id for model in catalogue.models("normals") if model.same_as] == ["from-depth"]


def test_a_material_projected_from_the_photos_camera(street, truth) -> None:
    """On a relief of the photo, projected once more: the map's own pixel at every vertex."""
    bpy.ops.maquette.estimate_depth(filepath=street, output="RELIEF")
    obj = bpy.data.objects["street.relief"]
    bpy.context.view_layer.objects.active = obj
    own = [link.to_socket.name for link in obj.active_material.node_tree.links]
    estimate(street, output="MATERIAL", space="CAMERA")
    tree = obj.active_material.node_tree
    node = next(node for node in tree.nodes if node.type == "NORMAL_MAP")
    assert node.space == "OBJECT" and {*own} < {link.to_socket.name for link in tree.links}
    uvs = {}
    for layer in obj.data.uv_layers:
        flat = np.empty(len(obj.data.loops) * 2, np.float32)
        layer.uv.foreach_get("vector", flat)
        uvs[layer.name] = flat.reshape(-1, 2)
    projected = uvs.pop(next(uv.uv_map for uv in tree.nodes if uv.type == "UVMAP"))
    np.testing.assert_allclose(projected, uvs["UVMap"], atol=1e-4)


def test_a_mesh_without_uv_map_is_refused_before_the_work(street, plane) -> None:
    plane.data.uv_layers.remove(plane.data.uv_layers[0])
    with pytest.raises(RuntimeError, match="no UV map"):
        estimate(street, output="MATERIAL")
    assert not bpy.data.images and not jobs.active()
    estimate(street, output="MATERIAL", space="CAMERA")
    assert len(plane.data.uv_layers) == 1


def test_a_failed_build_leaves_nothing_behind(street, plane, tmp_path, blocks) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    plane = bpy.data.objects["Plane"]
    material = bpy.data.materials.new("glow")
    materials.principled(material)
    material.node_tree.nodes.clear()
    plane.data.materials.append(material)
    before = blocks()
    with pytest.raises(RuntimeError, match="has a Normal input"):
        estimate(street, output="MATERIAL")
    assert blocks() == before and not (tmp_path / "maquette").exists()


@pytest.mark.parametrize("model", ["metric3d-vit-small", "midas"])
def test_a_model_without_its_file_says_where_to_get_it(model, street, tmp_path, monkeypatch, blocks) -> None:
    monkeypatch.setenv("MAQUETTE_MODELS", str(tmp_path))
    before = blocks()
    with pytest.raises(RuntimeError, match="file"):
        estimate(street, model=model)
    outcome = jobs.outcome()
    assert outcome.failed and outcome.remedy and blocks() == before
    assert Path(tmp_path).name in outcome.line + outcome.remedy
