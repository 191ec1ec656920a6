# SPDX-License-Identifier: GPL-3.0-or-later
"""Where to repaint: every kind of mask lies where the artist sees it."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from maquette.blender_addon.builders.images import image as images
from maquette.blender_addon.builders.masks import splines
from maquette.blender_addon.core import jobs
from maquette.blender_addon.work.detail.masks import DrawTarget
from maquette.blender_addon.work.detail.splines import SplineMask

pytestmark = pytest.mark.usefixtures("addon")

SIZE = (160, 120)


def new_image(name: str, values: np.ndarray):
    """(H, W) or (H, W, 4) floats 0..1, as bytes."""
    if values.ndim == 2:
        values = np.dstack([values] * 3 + [np.ones_like(values)])
    made = bpy.data.images.new(name, values.shape[1], values.shape[0], alpha=True)
    made.pixels.foreach_set(values[::-1].astype(np.float32).ravel())
    made.update()
    return made


@pytest.fixture
def noise() -> np.ndarray:
    values = np.random.default_rng(1).random((120, 160, 4))
    values[..., 3] = 1
    return values


def box(rows: slice, columns: slice, shape=(120, 160)) -> np.ndarray:
    values = np.zeros(shape)
    values[rows, columns] = 1
    return values


def changed(name: str, before) -> np.ndarray:
    """(H, W) where the image differs from the one before."""
    return (images.image_array(bpy.data.images[name]) != images.image_array(before)).any(-1)


def detail(**options) -> str:
    given = {"denoise": 1.0, "guide_size": 64.0, "max_size": 96.0, "feather": 0, "noise_mask_feather": 0, **options}
    assert bpy.ops.maquette.detail_mask(**given) == {"FINISHED"}
    return jobs.outcome().line


def extent(mask: np.ndarray) -> tuple[int, int, int, int]:
    rows, columns = np.nonzero(mask)
    return rows.min(), rows.max() + 1, columns.min(), columns.max() + 1


def textured_plane(image):
    """A grid whose material shows the image through its UV map, which covers it."""
    bpy.ops.mesh.primitive_grid_add(x_subdivisions=16, y_subdivisions=16, size=2)
    plane = bpy.context.object
    material = bpy.data.materials.new("Mine")
    material.use_nodes = True
    tree = material.node_tree
    texture = tree.nodes.new("ShaderNodeTexImage")
    texture.image = image
    tree.links.new(texture.outputs["Color"], tree.nodes["Principled BSDF"].inputs["Base Color"])
    tree.nodes.active = texture
    plane.data.materials.append(material)
    return plane


def test_another_size_or_shape_covers_the_whole_picture(noise):
    source = new_image("photo.png", noise)
    new_image("small", box(slice(5, 10), slice(5, 10), (15, 20)))
    new_image("square", box(slice(20, 40), slice(20, 40), (60, 60)))
    detail(image="photo.png", mask_name="small")
    top, bottom, left, right = extent(changed("photo.detail", source))
    np.testing.assert_allclose((top, bottom, left, right), (40, 80, 40, 80), atol=5)
    detail(image="photo.png", mask_name="square")
    found = extent(changed("photo.detail.001", source))
    np.testing.assert_allclose(found, (40, 80, 160 / 3, 320 / 3), atol=2)


def test_alpha_inversion_and_growth(noise):
    source = new_image("photo.png", noise)
    values = np.ones((120, 160, 4))
    values[..., 3] = box(slice(40, 80), slice(40, 80))
    mask = new_image("mask", values)
    mask.alpha_mode = "CHANNEL_PACKED"
    detail(image="photo.png", mask_name="mask", mask_channel="ALPHA")
    assert extent(changed("photo.detail", source)) == (40, 80, 40, 80)
    detail(image="photo.png", mask_name="mask", mask_channel="ALPHA", mask_grow=10.0)
    assert extent(changed("photo.detail.001", source)) == (30, 90, 30, 90)
    new_image("white but", 1 - box(slice(40, 80), slice(40, 80)))
    detail(image="photo.png", mask_name="white but", mask_invert=True)
    assert extent(changed("photo.detail.002", source)) == (40, 80, 40, 80)


def test_a_mask_s_paint_layer_is_the_mask(noise):
    source = new_image("photo.png", noise)
    textured_plane(new_image("drawn", box(slice(30, 60), slice(50, 90))))
    detail(image="photo.png", mask="PAINT_SLOT", output="IMAGE")
    assert extent(changed("photo.detail", source)) == (30, 60, 50, 90)
    with pytest.raises(RuntimeError, match="both the picture and its mask"):
        detail(source="PAINT_SLOT", mask="PAINT_SLOT")


def test_the_stencil_repaints_what_strokes_can_reach(noise):
    source = new_image("wood.png", noise)
    plane = textured_plane(source)
    paint = bpy.context.scene.tool_settings.image_paint
    paint.stencil_image, paint.invert_stencil = new_image("stencil", box(slice(30, 60), slice(50, 90))), True
    detail(source="PAINT_SLOT", mask="STENCIL", output="IMAGE")
    assert extent(changed("wood.detail", source)) == (30, 60, 50, 90)
    paint.invert_stencil = False
    paint.stencil_image = new_image("blocking", 1 - box(slice(30, 60), slice(50, 90)))
    detail(source="PAINT_SLOT", mask="STENCIL", output="IMAGE")
    assert extent(changed("wood.detail.001", source)) == (30, 60, 50, 90)
    # Through a UV map of its own, in which everything lies at half the size in the middle.
    layer = plane.data.uv_layers.new(name="half")
    uvs = np.empty(len(plane.data.loops) * 2, np.float32)
    plane.data.uv_layers["UVMap"].uv.foreach_get("vector", uvs)
    layer.uv.foreach_set("vector", uvs * 0.5 + 0.25)
    plane.data.uv_layer_stencil = layer
    paint.stencil_image, paint.invert_stencil = new_image("middle", box(slice(45, 75), slice(60, 100))), True
    detail(source="PAINT_SLOT", mask="STENCIL", output="IMAGE")
    np.testing.assert_allclose(extent(changed("wood.detail.002", source)), (30, 90, 40, 120), atol=2)


def test_vertex_groups_and_attributes_are_baked_through_the_uv_map(noise):
    source = new_image("wood.png", noise)
    plane = textured_plane(source)
    positions = np.empty(len(plane.data.vertices) * 3, np.float32)
    plane.data.vertices.foreach_get("co", positions)
    upper = positions.reshape(-1, 3)[:, 1] > 0.49
    group = plane.vertex_groups.new(name="upper")
    group.add(np.flatnonzero(upper).tolist(), 1.0, "REPLACE")
    objects, groups = len(bpy.data.objects), len(bpy.data.node_groups)
    detail(source="PAINT_SLOT", mask="VERTEX_GROUP", output="IMAGE")
    top, bottom, left, right = extent(changed("wood.detail", source))
    assert (top, left, right) == (0, 0, 160) and 28 <= bottom <= 38
    assert (len(bpy.data.objects), len(bpy.data.node_groups)) == (objects, groups)
    faces = np.zeros(len(plane.data.polygons), bool)
    faces[:16] = True
    attribute = plane.data.attributes.new("row", "BOOLEAN", "FACE")
    attribute.data.foreach_set("value", faces)
    detail(source="PAINT_SLOT", mask="ATTRIBUTE", mask_name="row", output="IMAGE")
    top, bottom, left, right = extent(changed("wood.detail.001", source))
    assert (bottom, left, right) == (120, 0, 160) and 112 <= top <= 114
    edges = plane.data.attributes.new("rim", "FLOAT", "EDGE")
    ends = np.empty(len(plane.data.edges) * 2, np.int32)
    plane.data.edges.foreach_get("vertices", ends)
    edges.data.foreach_set("value", upper[ends.reshape(-1, 2)].all(1).astype(np.float32))
    detail(source="PAINT_SLOT", mask="ATTRIBUTE", mask_name="rim", output="IMAGE")
    top, bottom, left, right = extent(changed("wood.detail.002", source))
    assert (top, left, right) == (0, 0, 160) and 28 <= bottom <= 38
    for options in ({"mask_name": "nothing"}, {"mask": "ATTRIBUTE", "mask_name": "nothing"}):
        with pytest.raises(RuntimeError, match=r"has no (vertex group|attribute) 'nothing'"):
            detail(**{"source": "PAINT_SLOT", "mask": "VERTEX_GROUP", **options})


def test_a_vertex_group_as_the_camera_sees_it(noise):
    source = new_image("photo.png", noise)
    bpy.ops.mesh.primitive_cube_add(size=2, location=(0, 8, 0))
    cube = bpy.context.object
    cube.vertex_groups.new(name="all").add(range(8), 1.0, "REPLACE")
    data = bpy.data.cameras.new("Camera")
    camera = bpy.data.objects.new("Camera", data)
    camera.rotation_euler = np.pi / 2, 0, 0
    bpy.context.scene.collection.objects.link(camera)
    bpy.context.scene.camera = camera
    bpy.context.view_layer.update()
    detail(image="photo.png", mask="VERTEX_GROUP")
    half = data.lens / data.sensor_width * 160 / 7  # the front of the cube is 7 m away
    np.testing.assert_allclose(
        extent(changed("photo.detail", source)), (60 - half, 60 + half, 80 - half, 80 + half), atol=1.5
    )


def test_hands_are_found_anew_or_taken_as_they_were_painted_on(tmp_path):
    from maquette.demo.samples import sample_photo
    from PIL import Image

    path = tmp_path / "street.png"
    with Image.open(sample_photo("bus")) as photo:
        photo.crop((160, 420, 400, 740)).save(path)
    boxes = '[[70, 75, 130, 130, "right"]]'
    bpy.ops.maquette.refine_hands(
        filepath=str(path), boxes=boxes, depth="NONE", masks="IMAGE", build_meshes=False, control_image=True
    )
    made = bpy.data.images["street.hands.mask"]
    values = images.image_array(made).copy()
    values[..., :3] = 0
    values[200:240, 20:60, :3] = 1
    made.pixels.foreach_set(values[::-1].ravel())
    detail(filepath=str(path), mask="HANDS")
    before = bpy.data.images["street.png"]
    assert extent(changed("street.detail", before)) == (200, 240, 20, 60)
    bpy.data.images.remove(made)
    detail(filepath=str(path), mask="HANDS")
    top, bottom, left, right = extent(changed("street.detail.001", before))
    assert (bottom - top) * (right - left) > 400 and (top, left) != (200, 20)


def circle(layer, centre: tuple[float, float], radius: float, weight: float = 0.0):
    """A round spline of four points whose feather lies outside."""
    spline = layer.splines.new()
    spline.points.add(4 - len(spline.points))
    spline.use_cyclic = True
    arm = 0.5523 * radius
    for point, (x, y) in zip(spline.points, ((1, 0), (0, -1), (-1, 0), (0, 1)), strict=True):
        point.handle_left_type = point.handle_right_type = "FREE"
        place = np.array(centre) + radius * np.array([x, y])
        along = arm * np.array([y, -x])
        point.co, point.handle_left, point.handle_right = place, place - along, place + along
        point.weight = weight
    return spline


@pytest.fixture
def spline_mask():
    """Two soft circles, one cut out of the other and lessened, and an open stroke."""
    mask = bpy.data.masks.new(name="Roto")
    first = mask.layers.new(name="first")
    circle(first, (0.4, 0.5), 0.2, 0.08)
    first.falloff, first.alpha = "SPHERE", 0.9
    second = mask.layers.new(name="second")
    circle(second, (0.55, 0.55), 0.12, 0.05)
    second.blend, second.alpha, second.falloff = "SUBTRACT", 0.7, "SHARP"
    stroke = mask.layers.new(name="stroke")
    line = circle(stroke, (0.7, 0.4), 0.15, 0.03)
    line.use_cyclic = line.use_fill = False
    hidden = mask.layers.new(name="hidden")
    circle(hidden, (0.5, 0.5), 0.4)
    hidden.hide_render = True
    return mask


def test_splines_are_drawn_as_blender_draws_them(spline_mask, tmp_path):
    """Beside the compositor's Mask node, whose edges are smooth over a pixel."""
    for size in (SIZE, (100, 150)):
        theirs = composited(spline_mask, *size, tmp_path)
        photo = None
        ours = SplineMask(splines.mask_layers("Roto")).drawn(DrawTarget(size, photo, {}))
        assert theirs.max() > 0.85 and 0.05 < (theirs > 0).mean() < 0.6
        difference = np.abs(ours - theirs)
        assert difference.mean() < 0.004
        assert (difference > 0.05).mean() < 0.01, "only where an edge passes through a pixel"


def test_splines_mask_a_picture(noise):
    source = new_image("photo.png", noise)
    mask = bpy.data.masks.new(name="Roto")
    circle(mask.layers.new(name="one"), (0.5, 0.5), 0.125)
    detail(image="photo.png", mask="SPLINES")
    np.testing.assert_allclose(extent(changed("photo.detail", source)), (40, 80, 60, 100), atol=2)
    with pytest.raises(RuntimeError, match="no mask called 'Nothing'"):
        detail(image="photo.png", mask="SPLINES", mask_name="Nothing")


def composited(mask, width: int, height: int, folder) -> np.ndarray:
    """What the compositor's Mask node gives."""
    scene = bpy.context.scene
    if scene.camera is None:
        scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
        scene.collection.objects.link(scene.camera)
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = width, height, 100
    scene.view_settings.view_transform = "Raw"
    if bpy.app.version < (5, 0, 0):
        scene.use_nodes = True
        tree = scene.node_tree
        tree.nodes.clear()
        output = tree.nodes.new("CompositorNodeComposite")
    else:
        tree = scene.compositing_node_group = bpy.data.node_groups.new("Compositing", "CompositorNodeTree")
        tree.interface.new_socket("Image", in_out="OUTPUT", socket_type="NodeSocketColor")
        output = tree.nodes.new("NodeGroupOutput")
    node = tree.nodes.new("CompositorNodeMask")
    node.mask = mask
    tree.links.new(node.outputs[0], output.inputs[0])
    tree.nodes.new("CompositorNodeRLayers")
    settings = scene.render.image_settings
    settings.file_format, settings.color_depth = "OPEN_EXR", "32"
    scene.render.filepath = str(folder / f"mask{width}.exr")
    bpy.ops.render.render(write_still=True)
    return images.image_array(bpy.data.images.load(scene.render.filepath))[..., 0]


@pytest.fixture(params=(3, 6))
def turned_photo(request, noise, tmp_path):
    """A file that EXIF turns, what it shows upright, and the inverse of the turn."""
    from maquette.inference.photo.decode import as_stored
    from PIL import Image

    shown = (noise[..., :3] * 255).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = request.param
    path = tmp_path / "phone.png"
    Image.fromarray(as_stored(shown, request.param)).save(path, exif=exif)
    return path, shown / 255, lambda values: as_stored(values, request.param)


def test_a_file_that_exif_turns_is_repainted_upright(turned_photo):
    path, shown, _ = turned_photo
    part = box(slice(20, 40), slice(100, 140))
    new_image("mask", part)
    detail(filepath=str(path), mask_name="mask")
    made = images.image_array(bpy.data.images["phone.detail"])[..., :3]
    assert extent(np.abs(made - shown).max(-1) > 0.01) == extent(part)
    assert tuple(bpy.data.images["phone.detail"]["maquette_before"].size) == (160, 120)


def test_an_image_that_exif_does_not_turn_in_blender_is_repainted_as_it_lies(turned_photo):
    """By the mask that Maquette has made of the upright photo, and by one that is a file with the same EXIF data."""
    from maquette.inference.photo import load_photo
    from PIL import Image

    path, _, stored = turned_photo
    lying = bpy.data.images.load(str(path))
    before = images.image_array(lying)
    part = box(slice(20, 40), slice(100, 140))
    mask = new_image("own", part)
    mask["maquette_role"], mask["maquette_of_photo"] = "mask", load_photo(path).digest
    file = path.with_name("mask.png")
    with Image.open(path) as image:
        Image.fromarray((stored(part) * 255).astype(np.uint8)).save(file, exif=image.getexif())
    for name in ("own", str(file)):
        detail(image=lying.name, mask_name=name)
        made = bpy.data.images["phone.detail"]
        assert extent((images.image_array(made) != before).any(-1)) == extent(stored(part))
        bpy.data.images.remove(made)


@pytest.mark.parametrize("kind", ["heic", "exr"])
def test_files_that_blender_does_not_open_so_are_repainted_as_they_are_read(kind, noise, tmp_path):
    """A HEIC photo, and a layer of an OpenEXR file, whose floats stay floats."""
    from maquette.inference.photo.exr import write_exr
    from PIL import Image

    part, path = box(slice(20, 40), slice(100, 140)), tmp_path / f"a.{kind}"
    new_image("mask", part)
    if kind == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
        Image.fromarray((noise[..., :3] * 255).astype(np.uint8)).save(path, quality=-1)
    else:
        with path.open("wb") as file:
            write_exr(file, {f"{layer}.{c}": noise[..., 0] * 2 for layer in ("Combined", "Gloss") for c in "RGB"})
    detail(filepath=str(path), mask_name="mask", layer="Gloss" if kind == "exr" else "")
    made = bpy.data.images["a.detail"]
    before = images.image_array(made["maquette_before"])[..., :3]
    assert made.is_float == (kind == "exr") and before.shape == (120, 160, 3)
    given = noise[..., :1] * 2 if kind == "exr" else before
    assert extent((np.abs(images.image_array(made)[..., :3] - given) > 0.01).any(-1)) == extent(part)


def test_a_mask_that_lies_on_its_side_is_refused(noise):
    new_image("photo.png", noise)
    new_image("mask", box(slice(20, 40), slice(20, 40)).T)
    with pytest.raises(RuntimeError, match="one of them lies on its side"):
        detail(image="photo.png", mask_name="mask")


def test_everyone_found_is_repainted_alone(noise, tmp_path, monkeypatch) -> None:
    """Two faces that overlap are two parts, each from its own seed; a mask that was painted is refused."""
    from maquette.inference.detailer import places

    one, other = box(np.s_[20:70], np.s_[20:80]), box(np.s_[50:100], np.s_[60:130])
    monkeypatch.setattr(places, "masks_of", lambda photo, kind, **where: [one, other])
    path = tmp_path / "photo.png"
    new_image("photo", noise).save(filepath=str(path))
    assert "1 part" in detail(filepath=str(path), mask="FACES")
    assert "2 parts" in detail(filepath=str(path), mask="FACES", each=True, prompts="a smile | a frown")
    made = max((image for image in bpy.data.images if ".detail" in image.name), key=lambda image: image.session_uid)
    before = bpy.data.images.load(str(path), check_existing=True)
    assert extent(changed(made.name, before)) == (20, 100, 20, 130)
    assert not changed(made.name, before)[:45, 85:].any()
    with pytest.raises(RuntimeError, match="one by one"):
        detail(filepath=str(path), mask="IMAGE", mask_name=before.name, each=True)


def test_everyone_in_a_clip_is_repainted_in_every_frame(noise, tmp_path, monkeypatch) -> None:
    """A sequence as long as the clip, changed where somebody is; what needs one frame is refused."""
    from maquette.inference.detailer import places

    parts = [np.s_[20:70, 20 + by : 80 + by] for by in (0, 10)]
    found = [[places.Place(3, box(*part))] for part in parts] + [[]]
    asked = []
    monkeypatch.setattr(places, "_places", lambda kind, clip, run: asked.append(kind) or iter(found))
    for number in range(3):
        new_image(f"frame{number}", noise).save(filepath=str(tmp_path / f"walk_{number + 1:04d}.png"))
    clip = {"filepath": str(tmp_path / "walk_####.png"), "folder": str(tmp_path / "made"), "frames": "CLIP"}
    said = detail(mask="FACES", each=True, start_frame=5, **clip)
    assert "1 of its 3 frames as they were" in said and asked == ["faces"]
    made = max((image for image in bpy.data.images if image.source == "SEQUENCE"), key=lambda one: one.session_uid)
    files = sorted((tmp_path / "made").rglob("*.png"))
    assert [file.name[-8:-4] for file in files] == ["0005", "0006", "0007"]
    assert made.colorspace_settings.name == "sRGB" and made["maquette_before"].source == "SEQUENCE"
    before = new_image("before", noise)
    for file, places_now in zip(files, (*parts, None), strict=True):
        shown = bpy.data.images.load(str(file))
        was = images.image_array(before)[..., :3]
        off = (np.abs(images.image_array(shown)[..., :3] - was) > 0.01).any(-1)
        assert (extent(off) == extent(box(*places_now) > 0)) if places_now else not off.any()
    for wrong, why in (({"mask": "FACES"}, "one by one"), ({"mask": "IMAGE", "each": True}, "one by one")):
        with pytest.raises(RuntimeError, match=why):
            detail(mask_name=before.name, **clip, **wrong)
