# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: exact values, rows the right way up, files where they belong, nothing overwritten."""

from __future__ import annotations

import os
from pathlib import Path

import bpy
import numpy as np
import pytest
from maquette.blender_addon.builders.images import image
from maquette.blender_addon.core import transaction
from maquette.blender_addon.work.scratch import Scratch
from maquette.inference.errors import BadInput
from maquette.inference.photo import Photo


@pytest.fixture
def depth() -> np.ndarray:
    """(37, 50): sizes that fill no whole block of the file format; values that a half float cannot hold."""
    return np.random.default_rng(1).uniform(0.1, 80, (37, 50)).astype(np.float32)


def test_float_image_is_packed_while_the_file_is_unsaved(depth, reopened):
    made = image.float_image("street.depth", depth)
    assert made.is_float and made.packed_file and made.colorspace_settings.name == "Non-Color"
    np.testing.assert_array_equal(image.image_array(made)[..., 0], depth)
    reopened()
    again = image.image_array(bpy.data.images["street.depth"])
    np.testing.assert_array_equal(again[..., 0], depth)
    np.testing.assert_array_equal(again[..., 2], depth)


def test_float_image_is_written_beside_the_blend_file(depth, reopened, tmp_path):
    folder = tmp_path / "Straße 7 äöü"
    folder.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene.blend"))
    made = image.float_image("street.depth", depth)
    assert made.filepath == "//maquette/street.depth.exr" and made.source == "FILE" and not made.packed_file
    np.testing.assert_array_equal(image.image_array(made)[..., 0], depth)
    bpy.ops.wm.save_mainfile()
    bpy.ops.wm.open_mainfile(filepath=str(folder / "scene.blend"))
    again = bpy.data.images["street.depth"]
    np.testing.assert_array_equal(image.image_array(again)[..., 0], depth)
    assert again.colorspace_settings.name == "Non-Color"


def test_float_image_of_three_channels_keeps_their_order(tmp_path):
    vectors = np.random.default_rng(2).normal(size=(20, 17, 3)).astype(np.float32)
    made = image.float_image("street.normal", vectors, tmp_path)
    np.testing.assert_array_equal(image.image_array(made)[..., :3], vectors)


def test_blocks_that_do_not_shrink_are_stored(tmp_path):
    noise = np.random.default_rng(3).integers(0, 2**30, (40, 64), dtype=np.int32).view(np.float32)
    made = image.float_image("noise", noise, tmp_path)
    np.testing.assert_array_equal(image.image_array(made)[..., 0], noise)


def test_nothing_is_overwritten(depth, tmp_path):
    own = bpy.data.images.new("street.depth", 4, 4)
    (tmp_path / "street.depth.exr").write_bytes(b"the artist's own")
    made = image.float_image("street.depth", depth, tmp_path)
    assert made.name == "street.depth.001" and Path(made.filepath).name == "street.depth.001.exr"
    assert (tmp_path / "street.depth.exr").read_bytes() == b"the artist's own"
    assert tuple(own.size) == (4, 4)


def test_a_folder_that_cannot_be_made_is_refused(depth, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(BadInput, match="cannot be written"), transaction.transaction():
        image.float_image("street.depth", depth, tmp_path / "file" / "folder")
    assert not bpy.data.images


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(depth, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(BadInput, match="cannot be written"):
        image.float_image("street.depth", depth, tmp_path)
    tmp_path.chmod(0o700)


def test_a_failed_job_takes_its_file_away(depth, tmp_path):
    with pytest.raises(RuntimeError), transaction.transaction():
        image.float_image("street.depth", depth, tmp_path)
        raise RuntimeError
    assert not list(tmp_path.iterdir()) and not bpy.data.images


def test_a_file_that_the_worker_wrote_is_moved(depth, tmp_path):
    scratch = Scratch(tmp_path)
    made = image.float_image("street.depth", scratch.write("a.exr", depth), tmp_path)
    scratch.discard()
    assert [file.name for file in tmp_path.iterdir()] == ["street.depth.exr"]
    np.testing.assert_array_equal(image.image_array(made)[..., 0], depth)


def test_a_file_that_the_worker_wrote_is_packed_while_the_blend_is_unsaved(depth, tmp_path, reopened):
    scratch = Scratch(tmp_path)
    made = image.float_image("street.depth", scratch.write("street.depth.exr", depth))
    assert made.packed_file and made.filepath == "//maquette/street.depth.exr"
    assert not list(scratch.folder.iterdir())
    reopened()
    np.testing.assert_array_equal(image.image_array(bpy.data.images["street.depth"])[..., 0], depth)


def test_a_sequence_plays_from_its_own_first_file(depth, tmp_path):
    """Blender counts neither the files of a sequence nor from the first of them."""
    scratch = Scratch(tmp_path)
    for number in range(7, 10):
        scratch.write(f"shot_{number:03d}.exr", depth)
    made = image.clip_image(scratch.folder / "shot_007.exr", start_frame=20)
    user = bpy.data.cameras.new("eye").background_images.new().image_user
    image.play(user, made)
    assert (user.frame_start, user.frame_offset, user.frame_duration) == (20, 6, 3)
    assert user.use_auto_refresh and not user.use_cyclic


def test_mask_image_survives_saving(reopened):
    mask = np.zeros((30, 20), np.float32)
    mask[:10, :5], mask[20:] = 1, 0.5
    made = image.mask_image("street.mask", mask)
    assert not made.is_float and made.colorspace_settings.name == "Non-Color"
    reopened()
    np.testing.assert_allclose(image.image_array(bpy.data.images["street.mask"])[..., 0], mask, atol=0.5 / 255)


def test_photo_of_an_odd_width_is_packed_exactly():
    pixels = np.random.default_rng(4).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    made = image.photo_image(Photo(pixels, None, "odd"))
    np.testing.assert_array_equal(np.rint(image.image_array(made)[..., :3] * 255), pixels)


def test_photo_without_a_file_is_packed(photo, reopened):
    made = image.photo_image(photo)
    assert made.colorspace_settings.name == "sRGB" and made.packed_file
    assert image.photo_image(photo) == made
    made.use_fake_user = True
    reopened()
    again = bpy.data.images["street"]
    np.testing.assert_array_equal(np.rint(image.image_array(again)[..., :3] * 255), photo.pixels)
    assert image.photo_image(photo) == again


def test_photo_with_a_file_uses_it(photo, tmp_path):
    from PIL import Image

    path = tmp_path / "my street.jpg"
    Image.fromarray(photo.pixels).save(path, quality=95)
    read = Photo(np.asarray(Image.open(path)), None, "my street")
    made = image.photo_image(read, path)
    assert Path(made.filepath) == path and not made.packed_file
    assert image.photo_image(read, path) == made


def test_photo_that_its_file_shows_turned_is_packed(photo, tmp_path):
    from PIL import Image

    path = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down: the same size
    Image.fromarray(photo.pixels[::-1, ::-1].copy()).save(path, quality=95, exif=exif)
    made = image.photo_image(photo, path)
    assert made.packed_file and len(bpy.data.images) == 1
    np.testing.assert_array_equal(np.rint(image.image_array(made)[..., :3] * 255), photo.pixels)


def test_two_images_of_the_same_pixels_are_two_photos(photo):
    """One datablock a photo, whatever its origin is called the second time, but each image and file has its own."""
    first = image.photo_image(photo, origin="a.png")
    assert image.photo_image(photo, origin="a.png") == image.photo_image(photo) == first
    assert image.photo_image(photo, origin=first.name) == first, "chosen by the name of its own datablock"
    second = image.photo_image(photo, origin="b.png")
    assert second != first
    assert (image.known_photo(photo, "a.png"), image.known_photo(photo, "b.png")) == (first, second)
