# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input: one clear error, and the scene and the disk stay as they were."""

from __future__ import annotations

from pathlib import Path

import bpy
import numpy as np
import pytest
from maquette.blender_addon.core import jobs
from maquette.demo.samples import sample_photo

pytestmark = pytest.mark.usefixtures("addon")


@pytest.fixture(scope="module")
def wall(tmp_path_factory) -> str:
    """A photo that holds neither people nor hands."""
    from PIL import Image

    path = tmp_path_factory.mktemp("photos") / "wall.png"
    with Image.open(sample_photo("gravel")) as photo:
        photo.crop((0, 0, 160, 120)).convert("RGB").save(path)
    return str(path)


@pytest.fixture
def refused(blocks, tmp_path):
    """A function: calls an operator that must raise one line that holds these words, and leave nothing behind."""

    def refuse(words: str, operator: str = "estimate_depth", **options) -> str:
        before, files = blocks(), sorted(tmp_path.rglob("*"))
        with pytest.raises(RuntimeError) as caught:
            getattr(bpy.ops.maquette, operator)(**options)
        message = str(caught.value).removeprefix("Error: ").strip()
        assert words in message and "\n" not in message, message
        outcome = jobs.outcome()
        assert outcome.failed and outcome.remedy and message == f"{outcome.line} {outcome.remedy}"
        assert blocks() == before and sorted(tmp_path.rglob("*")) == files and not jobs.active()
        return message

    return refuse


@pytest.mark.parametrize("operator", ["estimate_depth", "estimate_normals", "refine_hands", "recover_people"])
def test_no_photo(refused, operator) -> None:
    refused("No photo is chosen", operator)


def test_no_such_image_or_file(refused, tmp_path) -> None:
    refused("no image called 'nowhere.png'", image="nowhere.png")
    refused("does not exist", filepath=str(tmp_path / "nowhere.png"))
    refused("does not exist", operator="recover_people", filepath=str(tmp_path / "nowhere.mp4"))
    refused("nothing_%04d.png", operator="recover_people", filepath=str(tmp_path / "nothing_%04d.png"))


@pytest.mark.parametrize("content", [b"", b"This is no picture.", None], ids=["empty", "text", "truncated"])
def test_files_that_are_no_photos(refused, wall, tmp_path, content) -> None:
    path = tmp_path / "photo of мой.jpg"
    path.write_bytes(Path(wall).read_bytes()[:2000] if content is None else content)
    refused("photo of мой.jpg", filepath=str(path), model="relief")


def test_a_folder_without_photos(refused, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    refused("empty", operator="recover_people", filepath=str(tmp_path / "empty"))


def test_images_without_pixels(refused, wall, tmp_path) -> None:
    bpy.data.images.new("Tiles", 8, 8, tiled=True)
    refused("UDIM", image="Tiles")
    gone = tmp_path / "gone.png"
    gone.write_bytes(Path(wall).read_bytes())
    bpy.data.images.load(str(gone))
    gone.unlink()
    refused("gone.png does not exist", image="gone.png")
    movie = tmp_path / "gone.mp4"
    movie.write_bytes(b"\0" * 100)
    bpy.data.images.load(str(movie)).source = "MOVIE"
    movie.unlink()
    refused("gone.mp4 of the image gone.mp4 does not exist", operator="recover_people", image="gone.mp4")


def test_a_render_result_has_no_pixels(refused) -> None:
    scene = bpy.context.scene
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False
    scene.render.resolution_x = scene.render.resolution_y = 4
    bpy.ops.render.render()
    refused("has no pixels", image="Render Result")


def test_an_image_whose_file_went_but_that_is_loaded_is_still_a_photo(wall, tmp_path) -> None:
    path = tmp_path / "kept.png"
    path.write_bytes(Path(wall).read_bytes())
    image = bpy.data.images.load(str(path))
    assert len(image.pixels) and image.has_data
    path.unlink()
    assert bpy.ops.maquette.estimate_depth(image=image.name, model="relief", output="IMAGE") == {"FINISHED"}


def test_paths_relative_to_a_file_that_is_not_saved(refused, wall) -> None:
    refused("not saved yet", filepath="//photo.png")
    refused("not saved yet", filepath=wall, folder="//maps")


def test_a_file_never_saved_keeps_its_pictures_inside(wall) -> None:
    assert not bpy.data.filepath
    bpy.ops.maquette.estimate_depth(filepath=wall, model="relief", output="IMAGE")
    assert bpy.data.images["wall.depth"].packed_file


def test_an_output_folder_that_cannot_be_written(refused, wall, tmp_path) -> None:
    (tmp_path / "file").write_text("no folder")
    refused("cannot be written", filepath=wall, folder=str(tmp_path / "file" / "maps"), model="relief")
    refused("cannot be written", filepath=wall, folder=str(tmp_path / "file"), model="relief")


@pytest.mark.parametrize("option", ["fx", "strength", "grid_width", "max_distance", "tear", "grazing", "dicing"])
def test_numbers_that_are_none(refused, wall, option) -> None:
    refused("is not a number (NaN)", filepath=wall, model="relief", **{option: float("nan")})
    if option == "strength":
        refused("is not a number (NaN)", "estimate_normals", filepath=wall, strength=float("nan"))
        refused("is not a number (NaN)", "calibrate_distance", points="POINTS", point_b=(0, float("nan"), 1))


def test_names_longer_than_the_systems_and_the_home_folder(refused, wall, tmp_path, monkeypatch) -> None:
    refused("cannot be used: File name too long", filepath=str(tmp_path / ("a" * 400)))
    refused("cannot be used: File name too long", filepath=wall, folder=str(tmp_path / ("a" * 400)))
    monkeypatch.setenv("HOME", str(tmp_path))
    bpy.ops.maquette.estimate_depth(filepath=wall, model="relief", output="IMAGE", folder="~/depths")
    assert [path.parent.name for path in tmp_path.rglob("*.exr")] == ["depths"]


@pytest.mark.parametrize("slots", [0, 1, 2], ids=["no material", "an empty slot", "a material"])
@pytest.mark.parametrize("operator", ["estimate_depth", "estimate_normals"])
def test_materials_of_another_file_are_refused_before_the_work(refused, wall, tmp_path, monkeypatch, operator, slots):
    bpy.ops.mesh.primitive_plane_add()
    if slots:
        bpy.context.object.data.materials.append(bpy.data.materials.new("theirs") if slots == 2 else None)
    library = str(tmp_path / "library.blend")
    bpy.data.libraries.write(library, {bpy.context.object.data})
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    with bpy.data.libraries.load(library, link=True) as (_, wanted):
        wanted.meshes = ["Plane"]
    obj = bpy.data.objects.new("mine", wanted.meshes[0])
    bpy.context.scene.collection.objects.link(obj)
    bpy.context.view_layer.objects.active = obj
    monkeypatch.setattr(jobs, "run", None)
    refused("linked from another file", operator, filepath=wall, output="MATERIAL")
    if slots == 1:  # a slot of the object itself is this file's
        obj.material_slots[0].link = "OBJECT"
        with pytest.raises(RuntimeError, match="NoneType"):
            getattr(bpy.ops.maquette, operator)(filepath=wall, output="MATERIAL")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("is_float", [False, True])
def test_pixels_that_are_no_numbers_are_black(is_float) -> None:
    from maquette.blender_addon.work.source import _srgb_bytes

    pixels = np.full((2, 2, 4), np.nan, np.float32)
    pixels[0] = (np.inf, -np.inf, 0.0, 1.0)
    np.testing.assert_array_equal(_srgb_bytes(pixels, is_float)[:, 0], [[255, 0, 0, 255], [0, 0, 0, 0]])


def test_nobody_and_no_hand_in_the_photo(refused, wall) -> None:
    refused("No person was found in the photo", operator="recover_people", filepath=wall)
    refused("No hand was found", operator="refine_hands", filepath=wall)
    refused("nobody in the photo", operator="estimate_depth", filepath=wall, model="builtin")


@pytest.mark.parametrize(
    ("operator", "options"),
    [
        ("estimate_depth", {"model": "nope"}),
        ("refine_hands", {"mask_type": "nope"}),
        ("recover_people", {"bodies": "nope"}),
    ],
)
def test_choices_that_do_not_exist(wall, blocks, operator, options) -> None:
    before = blocks()
    with pytest.raises(TypeError, match=r"enum \"nope\" not found in"):
        getattr(bpy.ops.maquette, operator)(filepath=wall, **options)
    assert blocks() == before


def test_boxes_that_cannot_be_read(refused, wall) -> None:
    refused("boxes", operator="recover_people", filepath=wall, boxes="10 20 30")
    refused("boxes", operator="refine_hands", filepath=wall, boxes='{"left": 1}')
    refused("", operator="recover_people", filepath=wall, boxes="[[5, 5]]")


def test_a_relief_mesh_of_what_has_no_distances(refused, wall) -> None:
    refused("no distances", filepath=wall, model="relief", output="RELIEF")
    refused("relative depth", filepath=wall, model="depth-anything-v2-small", output="RELIEF")


def test_targets_that_do_not_fit(refused, wall) -> None:
    refused("No mesh object is active", filepath=wall, model="relief", output="MATERIAL")
    bpy.ops.object.empty_add()
    refused("No mesh object is active", operator="refine_hands", filepath=wall, masks="PAINT_SLOT")
    refused("not a perspective camera", filepath=wall, camera="Empty")


def test_a_frame_beyond_the_clip(refused, wall, tmp_path) -> None:
    for number in (1, 2):
        (tmp_path / f"shot_{number}.png").write_bytes(Path(wall).read_bytes())
    refused("no frame 9", filepath=str(tmp_path / "shot_%d.png"), frame=9, model="relief")


def test_a_photo_of_one_pixel(blocks) -> None:
    image = bpy.data.images.new("Dot", 1, 1)
    before = blocks()
    try:
        bpy.ops.maquette.estimate_depth(image=image.name, model="relief", output="IMAGE")
    except RuntimeError as error:
        assert "pixel" in str(error) and blocks() == before
    else:
        assert tuple(bpy.data.images["Dot.depth"].size) == (1, 1)


def test_other_kinds_of_pixels_give_a_result(wall, tmp_path) -> None:
    from PIL import Image

    with Image.open(wall) as photo:
        photo.convert("L").save(tmp_path / "grey.png")
        photo.convert("CMYK").save(tmp_path / "cmyk.jpg")
        photo.convert("RGBA").save(tmp_path / "rgba.png")
        Image.fromarray(np.asarray(photo.convert("L")).astype(np.uint16) * 257).save(tmp_path / "sixteen.png")
        exif = Image.Exif()
        exif[0x0112] = 6  # lies on its side
        photo.save(tmp_path / "rotated.jpg", exif=exif)
    for name in ("grey.png", "cmyk.jpg", "rgba.png", "sixteen.png", "rotated.jpg"):
        bpy.ops.maquette.estimate_depth(filepath=str(tmp_path / name), model="relief", output="GRID")
        size = tuple(bpy.data.images[f"{Path(name).stem}.depth"].size)
        assert size == ((120, 160) if name == "rotated.jpg" else (160, 120))
