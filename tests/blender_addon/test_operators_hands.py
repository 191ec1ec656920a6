# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands of a real photo and clip through the operator: what is asked for is what is built, and nothing else."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest
from maquette import inference
from maquette.blender_addon.builders.bodies import hands as hand_builders
from maquette.blender_addon.builders.images import image as images
from maquette.blender_addon.core import axes, jobs, roles
from maquette.demo.samples import sample_photo
from maquette.inference.hands import parts

pytestmark = pytest.mark.usefixtures("addon")

#: Two hands in the piece of the photo that the tests use; given, so that nobody has to look for them.
BOXES = [(70, 75, 130, 130, "right"), (88, 215, 132, 270, "left")]
TYPED = str([list(box) for box in BOXES]).replace("'", '"')


@pytest.fixture(scope="module")
def street(tmp_path_factory) -> str:
    """A piece of a street photo with two hands."""
    from PIL import Image

    path = tmp_path_factory.mktemp("photos") / "street.png"
    with Image.open(sample_photo("bus")) as photo:
        photo.crop((160, 420, 400, 740)).save(path)
    return str(path)


@pytest.fixture(scope="module")
def maps(street):
    return inference.refine_hands(street, boxes=BOXES)


@pytest.fixture(scope="module")
def shot(street, tmp_path_factory) -> str:
    """Three frames in which everything moves down by a little."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("clip")
    with Image.open(street) as photo:
        pixels = np.asarray(photo)
    for number in range(3):
        Image.fromarray(np.roll(pixels, 3 * number, axis=0)).save(folder / f"shot_{number + 1:03d}.png")
    return str(folder / "shot_###.png")


@pytest.fixture
def plane():
    bpy.ops.mesh.primitive_plane_add(size=2)
    return bpy.context.object


def refine(path: str, **options) -> str:
    """The closing line."""
    lean = {"boxes": TYPED, "depth": "NONE", "masks": "NONE", "build_meshes": False}
    assert bpy.ops.maquette.refine_hands(filepath=path, **{**lean, **options}) == {"FINISHED"}
    return jobs.outcome().line


def grey(name: str) -> np.ndarray:
    return images.image_array(bpy.data.images[name])[..., 0]


def in_camera_axes(points: np.ndarray, camera) -> np.ndarray:
    """World points (N, 3) in the OpenCV axes of a Blender camera."""
    return axes.transform(np.linalg.inv(axes.world_from_camera_of(camera)), points)


def test_a_mask_for_each_hand_or_side_or_one_for_all(street, maps) -> None:
    refine(street, masks="IMAGE")
    np.testing.assert_array_equal(grey("street.hands.mask"), maps.mask)
    refine(street, masks="IMAGE", mask_split="PER_HAND")
    each = [grey(f"street.hand.{name}.mask") for name in ("L.1", "R.1")]
    np.testing.assert_array_equal(np.maximum(*each), maps.mask)
    for part, mask in zip(
        parts.parts(maps.hands), sorted(each, key=lambda m: np.argwhere(m)[:, 1].mean()), strict=True
    ):
        assert mask[maps.hands[part.index].depth > 0].mean() > 0.95
    refine(street, masks="IMAGE", mask_split="PER_SIDE")
    np.testing.assert_array_equal(grey("street.hands.R.mask"), grey("street.hand.R.1.mask"))


def test_a_feather_softens_the_edge(street, maps) -> None:
    refine(street, masks="IMAGE", mask_feather=8.0, mask_edge="OUTSIDE")
    soft = grey("street.hands.mask")
    assert (soft[maps.mask > 0] == 1).all() and ((soft > 0) & (soft < 1)).sum() > 200


def test_layers_of_several_hands_stack_on_what_is_there(street, plane) -> None:
    material = bpy.data.materials.new("Mine")
    material.use_nodes = True
    plane.data.materials.append(material)
    names = {node.name for node in material.node_tree.nodes}
    refine(street, masks="PAINT_SLOT", mask_split="PER_HAND")
    tree = material.node_tree
    assert names < {node.name for node in tree.nodes}
    layers = {node.image.name: node for node in tree.nodes if node.type == "TEX_IMAGE"}
    assert set(layers) == {"street.hand.L.1.mask", "street.hand.R.1.mask"}
    mixes = [node for node in tree.nodes if node.type == "MIX"]
    top = tree.nodes["Principled BSDF"].inputs["Base Color"].links[0].from_node
    below = next(socket for socket in top.inputs if socket.enabled and socket.name == "A").links[0].from_node
    assert {top, below} == set(mixes) and tree.nodes.active.image.name == top.label
    places = [tuple(node.location) for node in tree.nodes]
    assert len(set(places)) == len(places), "no node lies upon another"


def test_a_projected_stencil_has_its_own_uv_map_and_a_flat_one_the_active_map(street, plane) -> None:
    refine(street, masks="STENCIL")
    settings = bpy.context.scene.tool_settings.image_paint
    assert settings.stencil_image.name == "street.mask" and settings.use_stencil_layer and settings.invert_stencil
    assert plane.data.uv_layer_stencil == plane.data.uv_layers.active
    refine(street, masks="STENCIL", mask_mapping="CAMERA")
    assert plane.data.uv_layer_stencil.name == "street.camera.uv"
    assert plane.data.uv_layers.active.name == "UVMap"


def test_a_stencil_of_the_scene_alone(street) -> None:
    refine(street, masks="STENCIL")
    assert bpy.context.scene.tool_settings.image_paint.stencil_image.name == "street.mask"


def test_the_control_image_is_the_node_s_picture_and_is_found_by_its_role(street, maps) -> None:
    line = refine(street, control_image=True)
    control = bpy.data.images["street.hands.control"]
    assert "control image" in line and control.packed_file and not control.is_float
    shown = np.rint(images.image_array(control)[..., :3] * 255)
    np.testing.assert_array_equal(shown, maps.preview)
    assert control[roles.ROLE] == "hands.control"
    assert control[roles.PHOTO] == inference.load_photo(street).digest
    assert "Apache" in control[roles.LICENCE]


def test_an_id_map_and_meshes_agree(street, maps) -> None:
    refine(street, id_map=True, build_meshes=True)
    ids = grey("street.hands.id")
    for part in parts.parts(maps.hands):
        obj = bpy.data.objects[f"street.hand.{part.name}.mesh"]
        hand = maps.hands[part.index]
        assert obj.pass_index == part.number and obj["side"] == hand.side and "Apache" in obj.data[roles.LICENCE]
        assert (ids[hand.depth > 0] == part.number).mean() > 0.95


def test_depth_as_relief_grid_and_displacement(street, maps, plane, evaluated) -> None:
    drawn = maps.depth > 0
    refine(street, depth="RELIEF")
    relief = bpy.data.objects["street.hands.relief"]
    values = np.empty(len(relief.data.vertices), np.float32)
    relief.data.attributes["depth"].data.foreach_get("value", values)
    assert len(values) > 0.5 * drawn.sum() and set(values) <= set(maps.depth[drawn])
    refine(street, depth="GRID")
    grid = bpy.data.objects["street.hands.grid"]
    camera = bpy.data.objects["street.camera"]
    away = axes.transform(np.linalg.inv(np.array(camera.matrix_world)), evaluated(grid))
    assert np.ptp(-away[:, 2]) == pytest.approx(np.ptp(maps.depth[drawn]), rel=0.2)
    bpy.context.view_layer.objects.active = plane
    refine(street, depth="MATERIAL")
    (node,) = [node for node in plane.active_material.node_tree.nodes if node.type == "DISPLACEMENT"]
    assert node.inputs["Height"].links[0].from_node.image.name == "street.hands.height"
    height = grey("street.hands.height")
    assert height.min() == 0 and 0.01 < height.max() < 0.3 and not height[~drawn].any()


def test_outlines_hang_on_the_camera(street) -> None:
    line = refine(street, masks="GREASE_PENCIL", mask_split="PER_HAND")
    outline = bpy.data.objects["street.outline"]
    assert "outlines" in line and outline.parent == bpy.data.objects["street.camera"]
    assert {getattr(layer, "info", None) or layer.name for layer in outline.data.layers} == {"hand.L.1", "hand.R.1"}


def test_one_undo_step_takes_all_back(street, plane, blocks) -> None:
    bpy.ops.ed.undo_push(message="Before")
    before = blocks()
    refine(street, masks="PAINT_SLOT", mask_split="PER_HAND", mask_mapping="CAMERA", id_map=True, build_meshes=True)
    assert blocks() != before
    bpy.ops.ed.undo()
    assert blocks() == before and len(bpy.data.objects["Plane"].data.uv_layers) == 1


def refused(words: str, blocks, path: str, **options) -> None:
    """The operator says so in one line with a remedy, and leaves nothing behind."""
    before, folder = blocks(), Path(bpy.data.filepath).parent if bpy.data.filepath else None
    files = sorted(folder.rglob("*")) if folder else []
    with pytest.raises(RuntimeError, match=words):
        refine(path, **options)
    assert jobs.outcome().failed and jobs.outcome().remedy
    assert blocks() == before and (not folder or sorted(folder.rglob("*")) == files)


def test_objects_that_take_no_mask_are_refused_at_once(street, plane, blocks, tmp_path) -> None:
    plane.data.uv_layers.remove(plane.data.uv_layers[0])
    refused("no UV map", blocks, street, masks="PAINT_SLOT")
    bpy.ops.object.mode_set(mode="EDIT")
    refused("Edit Mode", blocks, street, masks="VERTEX_GROUP")
    bpy.ops.object.mode_set(mode="OBJECT")
    bpy.ops.object.empty_add()
    refused("No mesh object is active", blocks, street, masks="STENCIL", mask_mapping="CAMERA")
    refused("No mesh object is active", blocks, street, depth="MATERIAL")
    path = str(tmp_path / "theirs.blend")
    bpy.data.libraries.write(path, {plane})
    with bpy.data.libraries.load(path, link=True) as (_, wanted):
        wanted.objects = ["Plane"]
    bpy.context.scene.collection.objects.link(wanted.objects[0])
    bpy.context.view_layer.objects.active = wanted.objects[0]
    plane.name = "Mine"
    refused("linked from another file", blocks, street, masks="ATTRIBUTE")


def test_an_object_without_uvs_takes_a_projected_layer(street, plane) -> None:
    plane.data.uv_layers.remove(plane.data.uv_layers[0])
    refine(street, masks="PAINT_SLOT", mask_mapping="CAMERA")
    assert [layer.name for layer in plane.data.uv_layers] == ["street.camera.uv"]


def test_a_packed_photo_of_a_file_never_saved(street) -> None:
    photo = bpy.data.images.load(street)
    photo.pack()
    photo.filepath = ""
    bpy.ops.maquette.refine_hands(image=photo.name, boxes=TYPED, masks="IMAGE", depth="IMAGE")
    assert bpy.data.images["street.hands.depth"].packed_file and bpy.data.images["street.hands.mask"].packed_file


def test_a_whole_clip(shot, tmp_path, evaluated) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    line = refine(
        shot, frames="CLIP", start_frame=11, masks="IMAGE", mask_split="PER_HAND", depth="IMAGE", control_image=True,
        id_map=True, build_meshes=True,
    )  # fmt: skip
    assert line.startswith("Found 2 hands over 3 frames")
    scene = bpy.context.scene
    assert (scene.frame_start, scene.frame_end, scene.render.fps) == (11, 13, 24)
    folder = tmp_path / "maquette"
    for name, suffix in (
        ("hand.L.1.mask", "png"),
        ("hands.depth", "exr"),
        ("hands.control", "png"),
        ("hands.id", "exr"),
    ):
        full = f"shot.{name}"
        files = sorted(file.name for file in (folder / full).iterdir())
        assert files == [f"{full}.{frame:04d}.{suffix}" for frame in (11, 12, 13)]
        assert bpy.data.images[full].source == "SEQUENCE" and bpy.data.images[full].filepath.startswith("//")
    clip = list(inference.load_clip(shot))
    for index, photo in enumerate(clip):
        maps = inference.refine_hands(photo, boxes=BOXES)
        for part in parts.parts(maps.hands):
            obj, hand = bpy.data.objects[f"shot.hand.{part.name}.mesh"], maps.hands[part.index]
            seen = (
                np.linalg.inv(np.array(obj.parent.matrix_world))
                @ np.append(evaluated(obj, 11 + index), np.ones((len(hand.vertices), 1)), 1).T
            )
            np.testing.assert_allclose(seen[:3].T * (1, -1, -1), hand.vertices, atol=1e-4)
        picture = bpy.data.images.load(str(folder / "shot.hands.id" / f"shot.hands.id.{11 + index:04d}.exr"))
        np.testing.assert_array_equal(np.unique(images.image_array(picture)[..., 0]), [0, 1, 2])
    assert not [file for file in folder.iterdir() if file.name.startswith(".")]


def test_a_clip_as_outlines_and_shape_keys_needs_no_folder(shot) -> None:
    refine(shot, frames="CLIP", masks="GREASE_PENCIL", build_meshes=True, mesh_cache="SHAPE_KEYS")
    (layer,) = bpy.data.objects["shot.outline"].data.layers
    assert [frame.frame_number for frame in layer.frames] == [1, 2, 3]
    keys = bpy.data.objects["shot.hand.L.1.mesh"].data.shape_keys
    assert len(keys.key_blocks) == 3


def test_what_cannot_follow_a_clip_is_refused(shot, plane, blocks, tmp_path) -> None:
    refused("cannot follow a whole clip", blocks, shot, frames="CLIP", masks="STENCIL")
    refused("for a single frame only", blocks, shot, frames="CLIP", depth="RELIEF")
    refused("needs a folder", blocks, shot, frames="CLIP", masks="IMAGE")
    assert refine(shot, frames="CURRENT", masks="STENCIL")


def test_a_clip_without_hands_leaves_no_file(tmp_path, blocks) -> None:
    from PIL import Image

    for number in (1, 2):
        Image.new("RGB", (96, 80), (90, 120, 60)).save(tmp_path / f"field_{number}.png")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    refused(
        "No hand was found in the clip", blocks, str(tmp_path / "field_%d.png"), frames="CLIP", depth="IMAGE", boxes=""
    )


def test_a_clip_that_fails_while_it_is_built_leaves_no_file(shot, tmp_path, blocks, monkeypatch) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))

    def fail(*arguments, **options):
        raise inference.BadInput("The disk is full.", "Make room.")

    monkeypatch.setattr(hand_builders, "animated_meshes", fail)
    options = {"frames": "CLIP", "masks": "IMAGE", "build_meshes": True}
    refused("The disk is full", blocks, shot, **options)
