# SPDX-License-Identifier: GPL-3.0-or-later
"""Around a repainted mask: cancelled jobs, full disks, plans, comparing, and settings that are read back."""

from __future__ import annotations

import resource
import sys
import types
from functools import partial
from pathlib import Path

import bpy
import numpy as np
import pytest
from maquette import inference
from maquette.blender_addon import cli
from maquette.blender_addon.builders.images import image as images
from maquette.blender_addon.builders.materials import paint_layers
from maquette.blender_addon.core import jobs, roles
from maquette.blender_addon.tasks.detail import build, controls, plan_shown, presets
from maquette.blender_addon.tasks.shared.finish import finish
from maquette.blender_addon.work.detail.masks import DrawTarget
from maquette.inference.detailer.sampling.masked import SAMPLERS
from maquette.inference.detailer.sampling.schedules import SCHEDULES
from maquette.inference.errors import BadInput, Cancelled

pytestmark = pytest.mark.usefixtures("addon")


@pytest.fixture
def photo():
    """160 x 120 bytes of noise."""
    return new_image("photo.png", np.random.default_rng(0).integers(0, 256, (120, 160, 3)) / 255)


def new_image(name: str, values: np.ndarray):
    if values.ndim == 2:
        values = np.dstack([values] * 3)
    values = np.dstack([values, np.ones(values.shape[:2])])
    made = bpy.data.images.new(name, values.shape[1], values.shape[0], alpha=True)
    made.pixels.foreach_set(values[::-1].astype(np.float32).ravel())
    made.update()
    return made


def masked(*places: tuple[int, int, int], shape=(120, 160)) -> None:
    """An image called mask with a white square at each (row, column, side)."""
    values = np.zeros(shape)
    for row, column, side in places:
        values[row : row + side, column : column + side] = 1
    new_image("mask", values)


QUICK = {"mask_name": "mask", "denoise": 1.0, "guide_size": 64.0, "max_size": 96.0}


def run(**options) -> str:
    assert bpy.ops.maquette.detail_mask(**{**QUICK, **options}) == {"FINISHED"}
    return jobs.outcome().line


def properties(**options):
    """The operator's properties as it would see them."""
    declared = bpy.ops.maquette.detail_mask.get_rna_type().properties
    given = {prop.identifier: prop.default for prop in declared if not prop.is_readonly}
    return types.SimpleNamespace(**{**given, **QUICK, **options})


def job(**options) -> jobs.Job:
    item = build.work(properties(**options), bpy.context)
    built = partial(finish, item, build.build, "Detail Mask")
    return jobs.Job("Detail Mask", item.run, built, is_partial=lambda found: found.partial)


def stopped_at(monkeypatch, words: str) -> None:
    """Cancel whatever job says this."""
    report = jobs.Job.report

    def reported(self, fraction, message):
        if words in message:
            self.cancel()
        report(self, fraction, message)

    monkeypatch.setattr(jobs.Job, "report", reported)


def test_a_cancelled_job_keeps_the_parts_that_were_finished(photo, monkeypatch):
    masked((20, 20, 20), (70, 100, 20))
    stopped_at(monkeypatch, "part 2 of 2")
    line = jobs.run(job(image="photo.png"))
    assert "1 part" in line and "cancelled" in line
    changed = (images.image_array(bpy.data.images["photo.detail"]) != images.image_array(photo)).any(-1)
    assert changed[25:35, 25:35].any() and not changed[70:90, 100:120].any()


def test_a_job_that_is_cancelled_before_anything_is_finished_leaves_nothing(photo, monkeypatch, blocks):
    masked((20, 20, 20))
    before = blocks()
    stopped_at(monkeypatch, "part 1 of 1")
    with pytest.raises(Cancelled):
        jobs.run(job(image="photo.png"))
    assert blocks() == before and jobs.outcome().line == "Detail Mask was cancelled"


def test_one_undo_step_takes_image_and_layer_away(photo):
    masked((20, 20, 20))
    bpy.ops.mesh.primitive_plane_add(size=2)
    material = bpy.data.materials.new("Mine")
    material.use_nodes = True
    texture = material.node_tree.nodes.new("ShaderNodeTexImage")
    texture.image = photo
    material.node_tree.links.new(
        texture.outputs["Color"], material.node_tree.nodes["Principled BSDF"].inputs["Base Color"]
    )
    bpy.context.object.data.materials.append(material)
    photo.pack()
    bpy.ops.ed.undo_push(message="Before")
    run(source="PAINT_SLOT")
    assert "photo.detail" in bpy.data.images
    bpy.ops.ed.undo()
    assert "photo.detail" not in bpy.data.images
    nodes = bpy.data.materials["Mine"].node_tree.nodes
    assert [node.type for node in nodes if node.type in {"MIX", "TEX_IMAGE"}] == ["TEX_IMAGE"]


def test_a_texture_in_a_group_gets_its_layer_there(photo):
    """And the paint slot is found though no image node of the material itself is active."""
    masked((20, 20, 20))
    bpy.ops.mesh.primitive_plane_add(size=2)
    material = bpy.data.materials.new("Mine")
    material.use_nodes = True
    group = bpy.data.node_groups.new("Paint", "ShaderNodeTree")
    group.interface.new_socket("Color", in_out="OUTPUT", socket_type="NodeSocketColor")
    texture, output = group.nodes.new("ShaderNodeTexImage"), group.nodes.new("NodeGroupOutput")
    texture.image = photo
    group.links.new(texture.outputs["Color"], output.inputs[0])
    node = material.node_tree.nodes.new("ShaderNodeGroup")
    node.node_tree = group
    material.node_tree.links.new(node.outputs[0], material.node_tree.nodes["Principled BSDF"].inputs["Base Color"])
    bpy.context.object.data.materials.append(material)
    run(source="PAINT_SLOT")
    mix = output.inputs[0].links[0].from_node
    assert mix.type == "MIX" and [image.name for image, _ in paint_layers.layers(material)] == ["photo.detail"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mask_name": ""}, "No mask is chosen"),
        ({"mask_name": "nothing"}, "no image called 'nothing'"),
        ({"image": "nothing"}, "no image called 'nothing'"),
        ({"mask": "STENCIL"}, "no stencil"),
        ({"mask": "VERTEX_GROUP"}, "No object is active|There is no camera"),
        ({"mask": "SPLINES", "mask_name": ""}, "No mask of the Mask editor"),
        ({"model": ""}, "No model is chosen"),
        ({"model": "/nowhere/model.safetensors"}, "There is no model at /nowhere"),
        ({"model": "/nowhere", "control": "DEPTH"}, "No ControlNet is chosen"),
        ({"model": "/nowhere", "loras": "[1, 2]"}, "LoRAs .* cannot be read"),
        ({"output": "LAYER"}, "No object is active"),
        ({"source": "RENDER"}, "no render yet"),
    ],
)
def test_what_cannot_be_done_is_one_sentence_with_a_remedy_and_leaves_nothing(photo, blocks, options, message):
    masked((20, 20, 20))
    before = blocks()
    with pytest.raises(RuntimeError, match=message) as raised:
        run(**{"image": "photo.png", **options})
    assert str(raised.value).count("\n") <= 1 and jobs.outcome().remedy
    assert blocks() == before


def test_a_material_of_another_file_gets_no_layer(photo, blocks, tmp_path):
    """It would be gone when this file is opened again."""
    masked((20, 20, 20))
    other = bpy.data.meshes.new("Other")
    theirs = bpy.data.objects.new("Other", other)
    other.materials.append(bpy.data.materials.new("Theirs"))
    bpy.data.libraries.write(str(tmp_path / "other.blend"), {theirs})
    bpy.data.batch_remove([theirs, other, bpy.data.materials["Theirs"]])
    with bpy.data.libraries.load(str(tmp_path / "other.blend"), link=True) as (_, wanted):
        wanted.objects = ["Other"]
    bpy.context.collection.objects.link(wanted.objects[0])
    bpy.context.view_layer.objects.active = wanted.objects[0]
    before = blocks()
    with pytest.raises(RuntimeError, match="material Theirs is linked from another file"):
        run(image="photo.png", output="LAYER")
    assert blocks() == before


def test_a_package_that_is_missing_is_named_with_the_operator_that_installs_it(photo, monkeypatch, blocks):
    new_image("wide", np.ones((30, 90)))
    before = blocks()
    monkeypatch.setitem(sys.modules, "cv2", None)  # which a mask of another size needs first
    with pytest.raises(RuntimeError, match="The Python package cv2 is not installed"):
        run(image="photo.png", mask_name="wide")
    assert jobs.outcome().operator == "maquette.install_packages" and blocks() == before


def test_a_control_image_is_what_was_made_of_this_photo(photo):
    """The newest depth of the photo, nearest white, linear in 1 / metres, at the picture's size."""
    seen = inference.photo.as_photo(np.zeros((120, 160, 3), np.uint8))
    metres = np.zeros((60, 80), np.float32)
    metres[:, 20:40], metres[:, 40:60], metres[:, 60:] = 1, 4 / 3, 2
    for name, values, digest in (
        ("old", np.ones((60, 80)), seen.digest),
        ("new", metres, seen.digest),
        ("other", np.ones((60, 80)), "x"),
    ):
        made = bpy.data.images.new(name, 80, 60, alpha=True, float_buffer=True, is_data=True)
        made.pixels.foreach_set(np.dstack([values] * 3 + [np.ones((60, 80))])[::-1].astype(np.float32).ravel())
        roles.mark(made, "depth", digest)
    control = controls.control_of(properties(control="DEPTH"))
    drawn = control.drawn(DrawTarget((160, 120), seen, {}))
    assert drawn.shape == (120, 160, 3)
    np.testing.assert_allclose(drawn[60, [10, 60, 100, 140], 0], [0, 255, 127.5, 0], atol=1)


def test_an_empty_mask_and_one_of_crumbs_say_so(photo, blocks):
    masked()
    with pytest.raises(RuntimeError, match="The mask is empty"):
        run(image="photo.png")
    bpy.data.images.remove(bpy.data.images["mask"])
    masked((20, 20, 3), (60, 60, 2))
    before = blocks()
    with pytest.raises(RuntimeError, match=r"Every part of the mask was left out: .*Lower Drop Size"):
        run(image="photo.png")
    assert blocks() == before
    assert "1 part" in run(image="photo.png", drop_size=2)
    bpy.data.images.remove(bpy.data.images["mask"])
    masked((20, 20, 20), (60, 60, 2))
    assert "left out" in run(image="photo.png")


def test_a_mask_that_touches_every_border(photo):
    masked((0, 0, 160))
    run(image="photo.png", feather=0, noise_mask_feather=0)
    changed = images.image_array(bpy.data.images["photo.detail"]) != images.image_array(photo)
    assert changed[..., :3].any(-1).mean() > 0.9 and not changed[..., 3].any()


def test_a_full_disk_is_one_clear_error_and_leaves_neither_file_nor_image(photo, tmp_path, blocks):
    masked((20, 20, 20))
    before, folder = blocks(), tmp_path / "made here"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    wanted = job(image="photo.png", folder=str(folder))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
        with pytest.raises(BadInput, match=r"cannot be written.*make room on the disk"):
            jobs.run(wanted)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert blocks() == before and not folder.exists()
    assert np.array_equal(images.image_array(bpy.data.images["photo.png"]), images.image_array(photo))


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(photo, tmp_path, blocks):
    masked((20, 20, 20))
    (tmp_path / "file").write_text("not a folder")
    before = blocks()
    with pytest.raises(RuntimeError, match="cannot be written"):
        run(image="photo.png", folder=str(tmp_path / "file" / "below"))
    assert blocks() == before


def test_a_build_that_fails_takes_image_and_file_back(photo, tmp_path, blocks):
    """The object goes while the worker paints."""
    masked((20, 20, 20))
    bpy.ops.mesh.primitive_plane_add(size=2)
    plane = bpy.context.object
    plane.data.materials.append(bpy.data.materials.new("Mine"))
    started = job(image="photo.png", output="LAYER", mapping="UV", folder=str(tmp_path))
    bpy.data.objects.remove(plane)
    before = blocks()
    with pytest.raises(BadInput, match="The object Plane is gone"):
        jobs.run(started)
    assert blocks() == before and list(tmp_path.iterdir()) == []


def test_a_plan_tells_sizes_and_memory_and_builds_nothing(photo, blocks):
    masked((20, 20, 20), (60, 60, 30), (0, 150, 3))
    before = blocks()
    assert bpy.ops.maquette.plan_detail(image="photo.png", **QUICK) == {"FINISHED"}
    line = jobs.outcome().line
    assert "2 parts" in line and " x " in line and "of memory" in line and "1 of 3 parts" in line
    assert blocks() == before
    settings = bpy.context.scene.maquette.detail
    shown = plan_shown.last()
    assert "; ".join(shown.lines) == line and shown.asked != plan_shown.signature(settings)
    presets.apply(settings, QUICK)
    assert shown.asked == plan_shown.signature(settings)


def test_settings_come_back_from_the_image_and_from_its_file(photo, tmp_path):
    masked((20, 20, 20))
    given = {"seed": 77, "feather": 9, "prompt": "bricks", "crop_factor": 2.5, "sampler": "heun", "bbox_fill": True}
    run(image="photo.png", folder=str(tmp_path), **given)
    settings = bpy.context.scene.maquette.detail
    for source in ({"image": "photo.detail"}, {"filepath": str(tmp_path / "photo.detail.png")}):
        settings.seed, settings.prompt, settings.feather = 0, "", 5
        assert bpy.ops.maquette.load_detail_settings(**source) == {"FINISHED"}
        assert {name: getattr(settings, name) for name in given} == given
    made = bpy.data.images["photo.detail"]
    del made["maquette_detail"]
    settings.seed = 0
    bpy.ops.maquette.load_detail_settings(image="photo.detail")
    assert settings.seed == 77, "from the file of the image"
    with pytest.raises(RuntimeError, match="does not record how it was detailed"):
        bpy.ops.maquette.load_detail_settings(image="mask")
    with pytest.raises(RuntimeError, match="cannot be read"):
        bpy.ops.maquette.load_detail_settings(filepath=str(tmp_path / "none.png"))


def test_before_and_after(photo):
    from maquette.blender_addon.builders.images.compare import other_image

    masked((20, 20, 20))
    run(image="photo.png")
    run(image="photo.png", seed=1)
    first, second = bpy.data.images["photo.detail"], bpy.data.images["photo.detail.001"]
    assert other_image(first) == photo and other_image(second) == photo and other_image(photo) == second
    bpy.ops.mesh.primitive_plane_add(size=2)
    with pytest.raises(RuntimeError, match="no detailed image or layer"):
        bpy.ops.maquette.toggle_detail()
    run(image="photo.png", output="LAYER", mapping="UV")
    ((_, shown),) = paint_layers.layers(bpy.context.object.active_material)
    for value in (0.0, 1.0):
        bpy.ops.maquette.toggle_detail()
        assert shown.default_value == value


def test_presets_are_made_of_properties_that_exist_and_do_what_they_say(photo):
    declared = bpy.ops.maquette.detail_mask.get_rna_type().properties.keys()
    settings = bpy.context.scene.maquette.detail
    for name, preset in presets.PRESETS.items():
        assert set(preset) <= set(declared)
        bpy.ops.maquette.detail_preset(preset=name)
        for prop, value in preset.items():
            assert getattr(settings, prop) == pytest.approx(value), prop
    bpy.ops.maquette.new_detail_seed()
    drawn = settings.seed
    bpy.ops.maquette.new_detail_seed()
    assert settings.seed != drawn


def test_the_user_s_own_presets_are_kept_and_read_back(monkeypatch, tmp_path):
    monkeypatch.setenv("BLENDER_USER_SCRIPTS", str(tmp_path))
    settings = bpy.context.scene.maquette.detail
    settings.prompt, settings.steps = 'a "mossy" wall', 33
    assert bpy.ops.maquette.add_detail_preset(name="Moss") == {"FINISHED"}
    (path,) = Path(bpy.utils.user_resource("SCRIPTS", path="presets/maquette/detail")).glob("[Mm]oss.py")
    settings.prompt, settings.steps = "", 1
    bpy.ops.script.execute_preset(filepath=str(path), menu_idname="MAQUETTE_MT_detail_presets")
    assert settings.prompt == 'a "mossy" wall' and settings.steps == 33
    path.unlink()


def test_the_choices_are_those_that_the_samplers_have():
    declared = bpy.ops.maquette.detail_mask.get_rna_type().properties
    assert {item.identifier for item in declared["sampler"].enum_items} == set(SAMPLERS)
    assert {item.identifier for item in declared["scheduler"].enum_items} == set(SCHEDULES)
    from maquette.inference.detailer.fill.masked_content import FILLINGS

    assert {item.identifier for item in declared["fill"].enum_items} == set(FILLINGS)


def test_every_parameter_of_the_detailer_is_a_property():
    import inspect

    from maquette.inference import Checkpoint, detail_mask

    declared = set(bpy.ops.maquette.detail_mask.get_rna_type().properties.keys())
    elsewhere = {"photo", "hook", "linear", "precision", "progress", "models_dir"}
    assert set(inspect.signature(detail_mask).parameters) - declared == elsewhere
    assert set(inspect.signature(Checkpoint).parameters) - declared == {"path", "embeddings"}  # those by prompt


def test_the_command_line_repaints_a_file(photo, tmp_path):
    from PIL import Image

    masked((20, 20, 20))
    for name in ("photo.png", "mask"):
        bytes_ = np.rint(images.image_array(bpy.data.images[name]) * 255).astype(np.uint8)
        Image.fromarray(bytes_[..., :3]).save(tmp_path / f"{Path(name).stem}.png")
    output = tmp_path / "out" / "detail.blend"
    given = ["--photo", tmp_path / "photo.png", "--mask-name", tmp_path / "mask.png", "--output", output]
    assert (
        cli.main([str(word) for word in ["detail", *given, "--guide-size", "64", "--denoise", "1", "--seed", "3"]]) == 0
    )
    bpy.ops.wm.open_mainfile(filepath=str(output))
    assert bpy.data.images["photo.detail"].filepath == "//maquette/photo.detail.png"
    assert (output.parent / "maquette" / "photo.detail.png").exists()
    assert cli.main(["detail", "--output", str(output), "--mask-name", "x"]) == 1
