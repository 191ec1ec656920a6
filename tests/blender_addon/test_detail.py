# SPDX-License-Identifier: GPL-3.0-or-later
"""Repainting under a mask through the operator: only what is under it changes, and the image knows how."""

from __future__ import annotations

import json
from pathlib import Path

import bpy
import numpy as np
import pytest
from maquette.blender_addon.builders.images import image as images
from maquette.blender_addon.builders.materials import paint_layers
from maquette.blender_addon.core import jobs, picture_settings

pytestmark = pytest.mark.usefixtures("addon")

#: Rows and columns under the mask, and how far around them the result may reach.
PART, REACH = (slice(40, 70), slice(60, 100)), 16


@pytest.fixture
def pixels() -> np.ndarray:
    """(120, 160, 4) bytes of noise, a quarter of it half transparent."""
    noise = np.random.default_rng(3).integers(0, 256, (120, 160, 4), np.uint8)
    noise[..., 3] = 255
    noise[:60, :80, 3] = np.random.default_rng(4).integers(1, 255, (60, 80))
    return noise


def new_image(name: str, values: np.ndarray, *, is_float: bool = False, is_data: bool = False):
    height, width = values.shape[:2]
    made = bpy.data.images.new(name, width, height, alpha=True, float_buffer=is_float, is_data=is_data)
    scale = 255 if values.dtype == np.uint8 else 1
    made.pixels.foreach_set((values[::-1].astype(np.float32) / scale).ravel())
    made.update()
    return made


def new_mask(name: str = "mask", size: tuple[int, int] = (160, 120), part=PART):
    values = np.zeros((size[1], size[0], 4), np.uint8)
    values[..., 3] = 255
    values[(*part, slice(0, 3))] = 255
    return new_image(name, values)


def in_bytes(image) -> np.ndarray:
    return np.rint(images.image_array(image) * 255).astype(np.uint8)


def outside(shape=(120, 160), part=PART, reach=REACH) -> np.ndarray:
    far = np.ones(shape, bool)
    rows, columns = part
    far[max(rows.start - reach, 0) : rows.stop + reach, max(columns.start - reach, 0) : columns.stop + reach] = False
    return far


def detail(**options) -> str:
    """The closing line."""
    given = {"mask_name": "mask", "denoise": 1.0, "guide_size": 64.0, "max_size": 128.0, **options}
    assert bpy.ops.maquette.detail_mask(**given) == {"FINISHED"}
    return jobs.outcome().line


def textured_plane(image, *, name: str = "Mine"):
    """A plane whose material shows the image through its UV map."""
    bpy.ops.mesh.primitive_plane_add(size=2)
    plane = bpy.context.object
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    tree = material.node_tree
    texture = tree.nodes.new("ShaderNodeTexImage")
    texture.image, texture.extension = image, "EXTEND"
    tree.links.new(texture.outputs["Color"], tree.nodes["Principled BSDF"].inputs["Base Color"])
    tree.nodes.active = texture
    plane.data.materials.append(material)
    return plane


def test_bytes_stay_outside_of_the_feather_and_alpha_everywhere(pixels):
    source = new_image("photo.png", pixels)
    new_mask()
    line = detail(image="photo.png", feather=4)
    made = bpy.data.images["photo.detail"]
    after = in_bytes(made)
    assert "photo.detail" in line and "1 part" in line
    np.testing.assert_array_equal(after[outside()], pixels[outside()])
    np.testing.assert_array_equal(after[..., 3], pixels[..., 3])
    assert (after[50:60, 70:90, :3] != pixels[50:60, 70:90, :3]).any(-1).mean() > 0.9
    np.testing.assert_array_equal(in_bytes(source), pixels)
    assert not made.is_float and made.packed_file and made["maquette_before"] == source


def test_the_file_holds_the_same_pixels_and_the_settings(pixels, tmp_path):
    from PIL import Image

    new_image("photo.png", pixels)
    new_mask()
    detail(image="photo.png", folder=str(tmp_path), seed=7, prompt="Größe", negative_prompt="no")
    path = tmp_path / "photo.detail.png"
    made = bpy.data.images["photo.detail"]
    assert Path(bpy.path.abspath(made.filepath)) == path
    with Image.open(path) as file:
        np.testing.assert_array_equal(np.asarray(file), in_bytes(made))
        texts = dict(file.text)
    settings = json.loads(texts[picture_settings.KEY])
    assert settings["seed"] == 7 and settings["prompt"] == "Größe" and settings["size"] == [160, 120]
    assert settings == picture_settings.settings_in(path.read_bytes()) == json.loads(made[picture_settings.KEY])
    assert settings["segments"][0]["box"] == [60, 40, 100, 70]
    assert texts["parameters"].startswith("Größe\nNegative prompt: no\nSteps: 20, Sampler: euler")


def test_floats_stay_floats_bit_by_bit_with_what_lies_beyond_white(tmp_path):
    random = np.random.default_rng(5)
    values = random.uniform(0, 3, (120, 160, 4)).astype(np.float32)
    values[..., 3] = 1
    values[:30, :30, 3] = 0.25
    values[0, 0, :3], values[1, 1, 0] = np.inf, -0.5
    new_image("plate.exr", values, is_float=True)
    new_mask()
    detail(image="plate.exr", folder=str(tmp_path))
    made = bpy.data.images["plate.detail"]
    after = images.image_array(made)
    assert made.is_float
    np.testing.assert_array_equal(after[outside()], values[outside()])
    np.testing.assert_array_equal(after[..., 3], values[..., 3])
    assert (after[50:60, 70:90, :3] != values[50:60, 70:90, :3]).any(-1).mean() > 0.9
    assert after[50:60, 75:85].max() < 1.5, "a model paints no brighter than white"
    data = (tmp_path / "plate.detail.exr").read_bytes()
    assert picture_settings.settings_in(data)["picture"] == "plate"
    from maquette.inference.photo.exr import read_exr

    np.testing.assert_array_equal(read_exr(data)["G"], after[..., 1])


@pytest.mark.skipif(bpy.app.version < (5, 0, 0), reason="a file has no working space of its own")
def test_light_stays_the_same_in_another_working_space(tmp_path):
    bpy.ops.wm.set_working_color_space(working_space="ACEScg")
    values = np.random.default_rng(6).uniform(0, 2, (120, 160, 4)).astype(np.float32)
    values[..., 3] = 1
    new_image("plate.exr", values, is_float=True)
    new_mask()
    detail(image="plate.exr", folder=str(tmp_path))
    after = images.image_array(bpy.data.images["plate.detail"])
    np.testing.assert_array_equal(after[outside()], values[outside()])


def test_numbers_stay_numbers(pixels):
    new_image("normal.png", pixels, is_data=True)
    new_mask()
    detail(image="normal.png")
    made = bpy.data.images["normal.detail"]
    assert made.colorspace_settings.name == "Non-Color"
    np.testing.assert_array_equal(in_bytes(made)[outside()], pixels[outside()])


def test_a_render_is_repainted_in_full_precision():
    scene = bpy.context.scene
    bpy.ops.mesh.primitive_plane_add(size=50)
    bpy.ops.object.light_add(type="SUN")
    camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    camera.location = 0, 0, 5
    scene.collection.objects.link(camera)
    scene.camera, scene.render.engine, scene.cycles.samples = camera, "CYCLES", 1
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = 160, 120, 100
    scene.render.image_settings.file_format, scene.render.image_settings.color_mode = "JPEG", "BW"
    new_mask()
    with pytest.raises(RuntimeError, match="no render yet"):
        detail(source="RENDER")
    bpy.ops.render.render()
    detail(source="RENDER")
    made = bpy.data.images["render.detail"]
    assert made.is_float and tuple(made.size) == (160, 120) and not made.colorspace_settings.is_data
    assert images.image_array(made)[..., :3].min() > 0.01
    settings = scene.render.image_settings
    assert (settings.file_format, settings.color_mode) == ("JPEG", "BW"), "the scene's own settings are as they were"


def test_a_paint_slot_gets_a_layer_above_and_nothing_is_lost(pixels):
    source = new_image("wood.png", pixels)
    new_mask()
    plane = textured_plane(source)
    tree = plane.active_material.node_tree
    before = {node.name for node in tree.nodes}
    old = next(node for node in tree.nodes if node.type == "TEX_IMAGE")
    line = detail(source="PAINT_SLOT")
    assert "a layer on Plane" in line and before < {node.name for node in tree.nodes}
    base = tree.nodes["Principled BSDF"].inputs["Base Color"].links[0].from_node
    factor, lower, upper, _ = paint_layers.mix_sockets(base)
    assert lower.links[0].from_node == old and old.image == source and factor.default_value == 1
    new = upper.links[0].from_node
    assert new.image.name == "wood.detail" and new.extension == "EXTEND" and tree.nodes.active == new
    assert paint_layers.layers(plane.active_material) == [(new.image, factor)]
    detail(source="PAINT_SLOT", seed=1)
    names = [image.name for image, _ in paint_layers.layers(plane.active_material)]
    assert names == ["wood.detail.001", "wood.detail"]


def test_variants_are_images_of_their_own(pixels):
    new_image("photo.png", pixels)
    new_mask()
    line = detail(image="photo.png", batch_size=3)
    names = ["photo.detail", "photo.detail.001", "photo.detail.002"]
    made = [in_bytes(bpy.data.images[name]) for name in names]
    assert "3 images" in line and (made[0] != made[1]).any() and (made[1] != made[2]).any()
    assert [json.loads(bpy.data.images[name][picture_settings.KEY])["variant"] for name in names] == [0, 1, 2]


def test_the_same_seed_gives_the_same_picture_and_a_new_one_another(pixels):
    new_image("photo.png", pixels)
    new_mask()
    for options in ({"seed": 5}, {"seed": 5}, {"seed": 6}, {"seed": 5, "randomise": True}):
        detail(image="photo.png", **options)
    made = [in_bytes(bpy.data.images[f"photo.detail{suffix}"]) for suffix in ("", ".001", ".002", ".003")]
    np.testing.assert_array_equal(made[0], made[1])
    assert (made[0] != made[2]).any()
    drawn = json.loads(bpy.data.images["photo.detail.003"][picture_settings.KEY])["seed"]
    detail(image="photo.png", seed=drawn)
    np.testing.assert_array_equal(in_bytes(bpy.data.images["photo.detail.004"]), made[3])


def test_a_file_is_its_own_before(pixels, tmp_path):
    from PIL import Image

    Image.fromarray(pixels).save(tmp_path / "shot.png")
    Image.fromarray(in_bytes(new_mask("drawn"))[..., 0]).save(tmp_path / "mask.png")
    detail(filepath=str(tmp_path / "shot.png"), mask_name=str(tmp_path / "mask.png"))
    made = bpy.data.images["shot.detail"]
    np.testing.assert_array_equal(in_bytes(made)[outside()], pixels[outside()])
    assert made["maquette_before"].name == "shot.png" and "mask.png" not in bpy.data.images


def test_a_saved_file_keeps_image_settings_and_layer(pixels, reopened, tmp_path):
    source = new_image("wood.png", pixels)
    source.pack()
    new_mask()
    textured_plane(source)
    detail(source="PAINT_SLOT")
    after = in_bytes(bpy.data.images["wood.detail"])
    reopened()
    made = bpy.data.images["wood.detail"]
    np.testing.assert_array_equal(in_bytes(made), after)
    assert made["maquette_before"].name == "wood.png"
    assert len(paint_layers.layers(bpy.data.objects["Plane"].active_material)) == 1
    assert picture_settings.settings_in(made.packed_file.data)["source"] == "PAINT_SLOT"
