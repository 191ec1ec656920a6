# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators on real photos with the real built-in models: what is asked for is what is built."""

from __future__ import annotations

import inspect
import struct

import bpy
import numpy as np
import pytest
from maquette import inference
from maquette.blender_addon import api
from maquette.blender_addon.builders.bodies.body import MODES
from maquette.blender_addon.builders.images import image as images
from maquette.blender_addon.core import jobs
from maquette.blender_addon.tasks import TASKS
from maquette.blender_addon.tasks.shared import settings as shared_settings
from maquette.blender_addon.tasks.shared.settings import COMMON, PHOTO
from maquette.demo.samples import sample_photo
from maquette.inference.hands import MASK_TYPES
from PIL import Image

pytestmark = pytest.mark.usefixtures("addon")

#: Operators that are named after the public function that they run, and their tasks.
FUNCTIONS = {task.operator: task for task in TASKS if task.operator and task.operator != "detail_mask"}


@pytest.fixture(scope="session")
def bricks(tmp_path_factory) -> str:
    """A small piece of a real material photo, in a folder with blanks and letters beyond ASCII."""
    from PIL import Image

    path = tmp_path_factory.mktemp("Größe der Ziegel") / "мауэр wall.png"
    with Image.open(sample_photo("brick")) as photo:
        photo.crop((0, 0, 96, 64)).save(path)
    return str(path)


@pytest.fixture
def plane():
    """An active plane with a UV map, 2 m in front of a camera at the origin of camera axes."""
    bpy.ops.mesh.primitive_plane_add(size=2)
    return bpy.context.object


def depth(path: str, **options) -> set[str]:
    return bpy.ops.maquette.estimate_depth(filepath=path, model="relief", mesh_resolution=64, **options)


def clicked(operator: str, **options) -> jobs.Job:
    """Start a job as a click does: the operator's own `invoke`, which the bpy module sends to `execute`."""
    submitted = []
    run, jobs.run = jobs.run, lambda job, on_progress=None: submitted.append(jobs.submit(job)) or "started"
    try:
        getattr(bpy.ops.maquette, operator)(**options)
    finally:
        jobs.run = run
    return submitted[0]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_of_the_public_function_is_a_property(name) -> None:
    parameters = set(inspect.signature(getattr(inference, name)).parameters)
    taken = {"photo", "photos", "progress", "models_dir", "precision"}  # by the input, the job, the preferences
    taken.add("camera_poses")  # by the scene's camera
    relief = {"invert", "detail", "largest_feature", "light", "tileable"}  # of scripts alone
    declared = (*COMMON, *PHOTO, *FUNCTIONS[name].settings)
    offered = {option.name for option in declared if option.blender}
    assert parameters - taken - relief - {"thresholds"} <= offered


@pytest.mark.parametrize("name", [*FUNCTIONS, "cancel_job", "free_memory", "install_packages"])
def test_tooltips_are_sentences_without_a_final_stop(name) -> None:
    kind = getattr(bpy.ops.maquette, name).get_rna_type()
    told = {kind.identifier: kind.description}
    told |= {prop.identifier: prop.description for prop in kind.properties if prop.identifier != "rna_type"}
    for what, description in told.items():
        assert description and description[0].isupper() and not description.endswith("."), (what, description)


def test_choices_and_defaults_are_those_of_the_functions() -> None:
    assert list(FUNCTIONS["refine_hands"].settings["mask_type"].ids) == list(MASK_TYPES)
    assert [item[0] for item in shared_settings.BODIES] == list(MODES)
    for name in FUNCTIONS:
        declared = {prop.identifier: prop for prop in getattr(bpy.ops.maquette, name).get_rna_type().properties}
        for parameter in inspect.signature(getattr(inference, name)).parameters.values():
            if parameter.name in declared and parameter.default not in (None, parameter.empty):
                assert declared[parameter.name].default == pytest.approx(parameter.default), parameter.name


def test_relief_becomes_a_displaced_grid_with_its_float_image(bricks) -> None:
    assert depth(bricks) == {"FINISHED"}
    grid = bpy.data.objects["мауэр wall.grid"]
    assert len(grid.data.vertices) == 64 * round(64 * 64 / 96) and [m.type for m in grid.modifiers] == ["DISPLACE"]
    made = bpy.data.images["мауэр wall.depth"]
    expected = inference.estimate_depth(bricks, "relief").depth
    assert made.is_float and made.colorspace_settings.name == "Non-Color" and made.packed_file
    np.testing.assert_array_equal(images.image_array(made)[..., 0], expected)
    assert "мауэр wall.grid" in jobs.outcome().line and "2,752" in jobs.outcome().line


def test_a_click_and_a_script_make_the_same(bricks, blocks, evaluated) -> None:
    depth(bricks)
    scripted = blocks(), evaluated(bpy.data.objects["мауэр wall.grid"])
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    job = clicked("estimate_depth", filepath=bricks, model="relief", mesh_resolution=64)
    assert job.wait(60) and "мауэр wall.grid" not in bpy.data.objects, "nothing is built before the main thread does"
    jobs.pump()
    assert blocks() == scripted[0]
    np.testing.assert_array_equal(evaluated(bpy.data.objects["мауэр wall.grid"]), scripted[1])


def test_one_undo_step_takes_all_back(bricks, blocks) -> None:
    bpy.ops.ed.undo_push(message="Before")
    before = blocks()
    depth(bricks)
    assert blocks() != before
    bpy.ops.ed.undo()
    assert blocks() == before


def test_pictures_lie_beside_the_saved_file(bricks, tmp_path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    depth(bricks, output="IMAGE")
    assert (tmp_path / "maquette" / "мауэр wall.depth.exr").stat().st_size > 1000
    depth(bricks, output="IMAGE", folder=str(tmp_path / "else where"))
    assert len(list((tmp_path / "else where").iterdir())) == 1


def test_displacement_joins_the_active_material(bricks, plane) -> None:
    material = bpy.data.materials.new("Mine")
    material.use_nodes = True
    plane.data.materials.append(material)
    before = {node.name for node in material.node_tree.nodes}
    depth(bricks, output="MATERIAL", strength=0.3)
    assert before < {node.name for node in material.node_tree.nodes}
    (node,) = [node for node in material.node_tree.nodes if node.type == "DISPLACEMENT"]
    assert node.inputs["Scale"].default_value == pytest.approx(0.3) and node.outputs[0].is_linked


def test_a_target_that_went_away_is_told_and_nothing_is_left(bricks, plane, blocks) -> None:
    job = clicked("estimate_depth", filepath=bricks, model="relief", output="MATERIAL")
    bpy.data.objects.remove(plane)
    before = blocks()
    job.wait(60)
    jobs.pump()
    assert jobs.outcome().failed and "Plane is gone" in jobs.outcome().line and jobs.outcome().remedy
    assert blocks() == before


@pytest.mark.parametrize("packed", [False, True], ids=["file", "packed"])
def test_an_image_datablock_gives_what_its_file_gives(bricks, packed) -> None:
    expected = inference.estimate_depth(bricks, "relief").depth
    image = bpy.data.images.load(bricks)
    if packed:
        image.pack()
    bpy.ops.maquette.estimate_depth(image=image.name, model="relief", output="IMAGE")
    np.testing.assert_array_equal(images.image_array(bpy.data.images["мауэр wall.depth"])[..., 0], expected)


def test_a_painted_and_a_generated_image_give_what_they_show(bricks) -> None:
    painted = bpy.data.images.load(bricks)
    values = images.image_array(painted)[::-1].copy()
    values[10:30, 10:50, :3] = 0
    painted.pixels.foreach_set(values.ravel())
    pixels = (values[::-1, :, :3] * 255 + 0.5).astype(np.uint8)
    bpy.ops.maquette.estimate_depth(image=painted.name, model="relief", output="IMAGE")
    made = images.image_array(bpy.data.images["мауэр wall.depth"])[..., 0]
    np.testing.assert_array_equal(made, inference.estimate_depth(pixels, "relief").depth)

    generated = bpy.data.images.new("Grid", 64, 48)
    generated.generated_type = "COLOR_GRID"
    bpy.ops.maquette.estimate_depth(image="Grid", model="relief", output="IMAGE")
    assert tuple(bpy.data.images["Grid.depth"].size) == (64, 48)


def test_a_linear_float_image_is_seen_as_its_picture() -> None:
    rows, columns = np.mgrid[:48, :64] / 64
    srgb = np.stack([rows, columns, np.sin(20 * rows * columns) ** 2], -1).astype(np.float32)
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    floats = bpy.data.images.new("Light", 64, 48, float_buffer=True)
    floats.pixels.foreach_set(np.concatenate([linear[::-1], np.ones((48, 64, 1))], -1).astype(np.float32).ravel())
    bpy.ops.maquette.estimate_depth(image="Light", model="relief", output="IMAGE")
    made = images.image_array(bpy.data.images["Light.depth"])[..., 0]
    expected = inference.estimate_depth((srgb * 255 + 0.5).astype(np.uint8), "relief").depth
    np.testing.assert_allclose(made, expected, atol=1e-5)


def test_a_sequence_and_a_movie_give_the_frame_asked_for(bricks, tmp_path) -> None:
    import cv2

    picture = cv2.cvtColor(np.asarray(inference.load_photo(bricks).pixels), cv2.COLOR_RGB2BGR)
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"shot_{number + 1:04d}.png"), np.roll(picture, 20 * number, axis=1))
    third = inference.estimate_depth(str(tmp_path / "shot_0003.png"), "relief").depth
    sequence = bpy.data.images.load(str(tmp_path / "shot_0001.png"))
    sequence.source = "SEQUENCE"
    bpy.ops.maquette.estimate_depth(image=sequence.name, model="relief", output="IMAGE", frame=3)
    np.testing.assert_array_equal(images.image_array(bpy.data.images["shot_0001.depth"])[..., 0], third)
    bpy.context.scene.frame_current = 3
    depth(str(tmp_path / "shot_%04d.png"), output="IMAGE")
    np.testing.assert_array_equal(images.image_array(bpy.data.images["shot.depth"])[..., 0], third)

    writer = cv2.VideoWriter(str(tmp_path / "film.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 24, (96, 64))
    for number in range(3):
        writer.write(np.roll(picture, 20 * number, axis=1))
    writer.release()
    movie = bpy.data.images.load(str(tmp_path / "film.mp4"))
    bpy.ops.maquette.estimate_depth(image=movie.name, model="relief", output="IMAGE", frame=2)
    *_, second = zip(range(2), inference.load_clip(str(tmp_path / "film.mp4")), strict=False)
    made = images.image_array(bpy.data.images["film.depth"])[..., 0]
    np.testing.assert_array_equal(made, inference.estimate_depth(second[1], "relief").depth)


@pytest.fixture(scope="module")
def astronaut() -> str:
    return str(sample_photo("astronaut"))


def test_the_people_of_the_frame_that_is_shown(astronaut, tmp_path) -> None:
    with Image.open(astronaut) as photo:
        photo.save(tmp_path / "shot_0002.png")
        Image.new("RGB", photo.size, (90, 90, 90)).save(tmp_path / "shot_0001.png")
    clip = str(tmp_path / "shot_%04d.png")
    with pytest.raises(RuntimeError, match="No person was found in the photo"):
        bpy.ops.maquette.recover_people(filepath=clip, frames="CURRENT")
    bpy.context.scene.frame_set(2)
    bpy.ops.maquette.recover_people(filepath=clip, frames="CURRENT")
    (person,) = api.people()
    assert person.frames == (1, 1) and jobs.outcome().line.startswith("Recovered 1 person. ")


def test_photos_that_are_no_clip_have_collections_and_cameras_of_their_own(astronaut, tmp_path) -> None:
    for number, side in ((1, 512), (2, 480)):
        with Image.open(astronaut) as photo:
            photo.crop((0, 0, side, side)).save(tmp_path / f"IMG_{number:04d}.png")
    bpy.ops.maquette.recover_people(filepath=str(tmp_path))
    assert "2 people of 2 separate photos" in jobs.outcome().line and "several sizes" in jobs.outcome().line
    tops = [one.name for one in bpy.context.scene.collection.children]
    assert sorted(tops) == ["IMG_0001", "IMG_0002"]
    for name in tops:
        own = bpy.data.collections[name]
        assert [one.name for one in own.children] == [f"{name}.people"]
        assert [obj.type for obj in own.objects] == ["CAMERA"]
    assert [len(bpy.data.collections[name].children) for name in tops] == [1, 1]
    cameras = {obj["maquette_photo"].name for obj in bpy.data.objects if obj.type == "CAMERA"}
    assert cameras == {"IMG_0001.png", "IMG_0002.png"}
    assert bpy.context.scene.frame_end == 250, "no animation"
    for person in api.people():
        own = person.body.name[:8]
        assert person.camera["maquette_photo"].name == f"{own}.png"
        assert person.photo == inference.load_photo(tmp_path / f"{own}.png").digest
    with pytest.raises(RuntimeError, match="Its photos have several sizes"):
        bpy.ops.maquette.refine_hands(filepath=str(tmp_path), frames="CLIP", masks="NONE", depth="NONE")


@pytest.mark.computes
def test_people_stand_on_the_ground_before_the_matched_camera(astronaut, evaluated) -> None:
    bpy.ops.maquette.recover_people(filepath=astronaut, masks="IMAGE", skeleton_image="coco_18")
    control = bpy.data.images["astronaut.people.control"]
    painted = images.image_array(control)[..., :3]
    assert control["maquette_role"] == "people.control" and control.packed_file and control.use_fake_user
    assert 0.005 < (painted.max(axis=-1) > 0.3).mean() < 0.2 and (painted == 0).all(axis=-1).mean() > 0.7
    (armature,) = [obj for obj in bpy.data.objects if obj.type == "ARMATURE"]
    (body,) = [obj for obj in bpy.data.objects if obj.type == "MESH"]
    assert armature.animation_data.action and body.parent == armature
    vertices = evaluated(body, 1)
    assert vertices[:, 2].min() > -0.2 and 1.2 < np.ptp(vertices[:, 2]) < 2.3, "metres, z up, feet on the ground"
    (camera,) = [obj for obj in bpy.data.objects if obj.type == "CAMERA"]
    render = bpy.context.scene.render
    assert bpy.context.scene.camera == camera and (render.resolution_x, render.resolution_y) == (512, 512)
    mask = images.image_array(bpy.data.images["astronaut.person.1.mask"])[..., 0]
    assert 0.1 < mask.mean() < 0.9


@pytest.fixture(scope="module")
def zidane() -> str:
    return str(sample_photo("zidane"))


@pytest.mark.computes
def test_hands_become_depth_mask_meshes_and_a_paint_layer(zidane, plane) -> None:
    bpy.ops.maquette.refine_hands(filepath=zidane, masks="PAINT_SLOT")
    line = jobs.outcome().line
    hands = [obj for obj in bpy.data.objects if obj.name.startswith("zidane.hand.")]
    assert line.startswith(f"Found {len(hands)} hand") and hands
    assert images.image_array(bpy.data.images["zidane.hands.depth"])[..., 0].max() > 0.2
    nodes = plane.active_material.node_tree.nodes
    assert [node.image.name for node in nodes if node.type == "TEX_IMAGE"] == ["zidane.hands.mask"]
    assert [node.type for node in nodes].count("MIX") == 1


@pytest.mark.parametrize("masks", ["STENCIL", "ATTRIBUTE", "VERTEX_GROUP"])
def test_masks_go_where_they_are_wanted(zidane, plane, masks) -> None:
    bpy.ops.maquette.refine_hands(filepath=zidane, masks=masks, build_meshes=False)
    if masks == "STENCIL":
        assert bpy.context.scene.tool_settings.image_paint.stencil_image
    elif masks == "ATTRIBUTE":
        assert plane.data.attributes["zidane.hands.mask"].data_type == "FLOAT"
    else:
        assert plane.vertex_groups["zidane.hands.mask"]


@pytest.mark.computes
def test_depth_of_people_and_normals(astronaut) -> None:
    bpy.ops.maquette.estimate_depth(filepath=astronaut)
    relief = bpy.data.objects["astronaut.relief"]
    assert relief.parent and relief.parent.type == "CAMERA" and len(relief.data.vertices) > 1000
    bpy.ops.maquette.estimate_normals(filepath=astronaut)
    normals = images.image_array(bpy.data.images["astronaut.normal"])[..., :3]
    assert np.allclose(np.linalg.norm(normals * 2 - 1, axis=-1), 1, atol=0.02)


def test_the_operator_takes_every_setting_of_the_panel() -> None:
    for task in FUNCTIONS.values():
        kind = getattr(bpy.ops.maquette, task.operator).get_rna_type()
        settings = getattr(bpy.context.scene.maquette, task.name)
        for option in task.settings:
            assert (option.name in kind.properties) == hasattr(settings, option.name) == option.blender


def test_another_scene_than_the_windows_is_built_into(addon, astronaut) -> None:
    shown, other = bpy.context.scene, bpy.data.scenes.new("other")
    with bpy.context.temp_override(scene=other):
        assert bpy.ops.maquette.recover_people(filepath=str(astronaut)) == {"FINISHED"}
    assert other.camera is not None and {"MESH", "ARMATURE"} <= {obj.type for obj in other.objects}
    assert not shown.objects and shown.camera is None


def test_the_current_frame_is_the_one_that_the_clip_shows(tmp_path) -> None:
    """The clip begins at frame 101 of the scene: at 103 its third picture is worked on."""
    for number in range(1, 7):
        Image.fromarray(np.full((48, 64, 3), 30 * number, np.uint8)).save(tmp_path / f"c_{number:04d}.png")
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    given = {"filepath": str(tmp_path / "c_####.png"), "model": "relief", "output": "GRID", "start_frame": 101}
    bpy.ops.maquette.estimate_depth(**given, frames="CLIP")
    bpy.context.scene.frame_set(103)
    bpy.ops.maquette.estimate_depth(**given)
    photo = next(known for known in bpy.data.images if known.get("maquette_photo"))
    assert round(photo.pixels[0] * 255) == 90


def test_an_animated_gif_is_a_clip(tmp_path) -> None:
    pictures = [Image.fromarray(np.full((48, 64, 3), 40 * number, np.uint8)) for number in (1, 2, 3)]
    pictures[0].save(tmp_path / "moves.gif", save_all=True, append_images=pictures[1:], duration=100)
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "shot.blend"))
    shown = bpy.data.images.load(str(tmp_path / "moves.gif"))
    assert shown.source == "MOVIE"
    bpy.ops.maquette.estimate_depth(image=shown.name, model="relief", output="IMAGE", frames="CLIP")
    assert len(list((tmp_path / "maquette").rglob("*.exr"))) == 3
    assert "frames 1 to 3 at 10 fps" in jobs.outcome().line


def test_an_image_that_blender_does_not_turn_is_said_to_be_turned(tmp_path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save(tmp_path / "phone.jpg", exif=exif)
    lying = bpy.data.images.load(str(tmp_path / "phone.jpg"))
    bpy.ops.maquette.estimate_depth(image=lying.name, model="relief", output="GRID", mesh_resolution=8)
    assert "Blender shows phone.jpg as it is stored; turned upright" in jobs.outcome().line
    (photo,) = [one for one in bpy.data.images if one.get("maquette_photo")]
    assert tuple(lying.size) == (96, 64) and tuple(photo.size) == (64, 96) and photo.packed_file


def test_a_picture_that_only_blender_opens_is_taken_from_it(tmp_path) -> None:
    rows, columns = np.mgrid[:64, :96]
    planes = np.stack([columns * 2, rows * 3, (rows + columns)]).astype(np.uint8)
    head = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 64, 96, 8, 3)  # Photoshop: RGB of 8 bits, without layers
    (tmp_path / "a.psd").write_bytes(head + struct.pack(">IIIH", 0, 0, 0, 0) + planes.tobytes())
    bpy.ops.maquette.estimate_depth(filepath=str(tmp_path / "a.psd"), model="relief", output="GRID", mesh_resolution=8)
    (photo,) = [one for one in bpy.data.images if one.get("maquette_photo")]
    shown = np.rint(images.image_array(photo)[..., :3] * 255)
    np.testing.assert_array_equal(shown, np.moveaxis(planes, 0, -1))


def test_a_layer_of_an_exr_is_worked_on_and_shown(tmp_path) -> None:
    """By its file, and as an image of it, of which Blender has no pixels; the panel's field lists the layers."""
    from maquette.blender_addon.tasks.shared.scene_settings import _layers
    from maquette.inference.photo.exr import write_exr

    path = tmp_path / "render.exr"
    rows = np.repeat(np.linspace(0.2, 0.8, 64, dtype=np.float32)[:, None], 96, 1)
    layers = {"ViewLayer.Combined": rows, "ViewLayer.DiffCol": 1 - rows}
    with path.open("wb") as file:
        write_exr(file, {f"{name}.{channel}": grey for name, grey in layers.items() for channel in "RGB"})
    loaded = bpy.data.images.load(str(path))
    given = {"model": "relief", "output": "GRID", "mesh_resolution": 8}
    for source in ({"filepath": str(path)}, {"image": loaded.name}):
        for layer, wanted in (("", rows), ("DiffCol", 1 - rows)):
            before = set(bpy.data.images)
            bpy.ops.maquette.estimate_depth(layer=layer, **source, **given)
            known = inference.load_photo(path, layer=layer or None)
            (photo,) = [one for one in bpy.data.images if one.get("maquette_photo") == known.digest]
            assert photo in set(bpy.data.images) - before or source == {"image": loaded.name}
            shown = images.image_array(photo)[..., 0]
            np.testing.assert_allclose(shown, inference.photo.colour.light_to_srgb(wanted), atol=0.01)
    settings = bpy.context.scene.maquette
    settings.source, settings.filepath = "FILE", str(path)
    assert _layers(settings, None, "") == ["ViewLayer.Combined", "ViewLayer.DiffCol"]
    with pytest.raises(RuntimeError, match="has no layers"):
        bpy.ops.maquette.estimate_depth(filepath=str(sample_photo("brick")), layer="Combined", model="relief")
