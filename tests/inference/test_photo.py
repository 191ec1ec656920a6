# SPDX-License-Identifier: GPL-3.0-or-later
"""Every kind of file and array that an artist may point at gives the right pixels or one clear error."""

import os
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
import torch
from maquette.inference import BadInput, Camera, Clip, MaquetteError, Photo, load_clip, load_photo
from maquette.inference.photo import as_clip, as_photo
from maquette.inference.photo.colour import light_to_srgb
from PIL import Image, ImageCms, ImageOps, features


@pytest.fixture(scope="module")
def picture():
    """(24, 36, 3) uint8: no symmetry, smooth, every channel different."""
    row, column = np.mgrid[:24, :36]
    return np.stack([row * 10, column * 7, (row + column) * 4], -1).astype(np.uint8)


def save(array, path, **options):
    Image.fromarray(array).save(path, **options)
    return path


def one_sentence_with_remedy(error: MaquetteError) -> None:
    assert error.message.endswith(".")
    assert error.remedy.endswith(".")
    assert "\n" not in str(error)


# -- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "tga", "webp", "ppm"])
def test_lossless_files_come_back_exactly(tmp_path, picture, suffix):
    photo = load_photo(save(picture, tmp_path / f"a.{suffix}", **({"lossless": True} if suffix == "webp" else {})))
    np.testing.assert_array_equal(photo.pixels, picture)
    assert photo.name == "a"
    assert photo.camera is None
    assert photo.size == (36, 24)


def test_a_jpeg_in_a_path_with_spaces_and_letters_of_other_scripts(tmp_path, picture):
    folder = tmp_path / "Fotos für Ānna 写真"
    folder.mkdir()
    photo = load_photo(str(save(picture, folder / "große Straße №1.jpg", quality=98)))
    assert np.abs(photo.pixels.astype(int) - picture).max() < 12
    assert photo.name == "große Straße №1"


def test_a_path_may_be_bytes(tmp_path, picture):
    np.testing.assert_array_equal(load_photo(os.fsencode(save(picture, tmp_path / "ä.png"))).pixels, picture)


def test_grey_palette_and_one_bit(tmp_path, picture):
    grey = picture[..., 1]
    np.testing.assert_array_equal(load_photo(save(grey, tmp_path / "g.png")).pixels, np.repeat(grey[..., None], 3, -1))
    palette = Image.fromarray(picture).quantize(200)
    palette.save(tmp_path / "p.png")
    np.testing.assert_array_equal(load_photo(tmp_path / "p.png").pixels, np.asarray(palette.convert("RGB")))
    Image.fromarray(grey > 100).save(tmp_path / "b.png")
    assert np.unique(load_photo(tmp_path / "b.png").pixels).tolist() == [0, 255]


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("colour", [False, True])
def test_sixteen_bits_are_scaled_and_not_clipped(tmp_path, picture, suffix, colour):
    deep = picture.astype(np.uint16) * 257
    path = tmp_path / f"deep.{suffix}"
    assert cv2.imwrite(str(path), deep[..., ::-1] if colour else deep[..., 1])
    expected = picture if colour else np.repeat(picture[..., 1:2], 3, -1)
    assert np.abs(load_photo(path).pixels.astype(int) - expected).max() <= 1


def test_cmyk(tmp_path):
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[..., 1] = 255  # magenta
    Image.fromarray(ink, "CMYK").save(tmp_path / "cmyk.tif")
    np.testing.assert_array_equal(load_photo(tmp_path / "cmyk.tif").pixels[5, 5], [255, 0, 255])
    Image.fromarray(ink, "CMYK").save(tmp_path / "cmyk.jpg")
    assert np.abs(load_photo(tmp_path / "cmyk.jpg").pixels[5, 5].astype(int) - [255, 0, 255]).max() < 8


def test_transparency_is_laid_over_white(tmp_path):
    layers = np.zeros((16, 16, 4), np.uint8)
    layers[:8] = [200, 100, 50, 255]
    layers[8:] = [200, 100, 50, 51]
    pixels = load_photo(save(layers, tmp_path / "alpha.png")).pixels
    assert pixels[0, 0].tolist() == [200, 100, 50]
    assert pixels[15, 0].tolist() == [244, 224, 214]
    np.testing.assert_array_equal(as_photo(layers).pixels, pixels)


def test_transparent_palette(tmp_path):
    image = Image.new("P", (16, 16), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.putpixel((3, 2), 0)
    image.save(tmp_path / "clear.png", transparency=0)
    pixels = load_photo(tmp_path / "clear.png").pixels
    assert pixels[2, 3].tolist() == [255, 255, 255]
    assert pixels[0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_upright_as_in_pillow(tmp_path, picture, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(picture, tmp_path / "turned.png", exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    # Pillow turns TIFF files itself.
    for file in (path, save(picture, tmp_path / "turned.tif", exif=exif)):
        photo = load_photo(file)
        np.testing.assert_array_equal(photo.pixels, expected)
        assert photo.pixels.flags.c_contiguous


@pytest.mark.parametrize("by", ["boxes", "EXIF alone"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_heic_as_phones_take_them_comes_upright(tmp_path, picture, orientation, by):
    """pillow-heif writes boxes for an orientation that it is given in bytes, and leaves that of an object in EXIF."""
    pillow_heif.register_heif_opener()
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0xA405] = 28
    given = exif.tobytes() if by == "boxes" else exif
    photo = load_photo(save(picture, tmp_path / "IMG_1.HEIC", exif=given, quality=100, chroma=444))
    expected = load_photo(save(picture, tmp_path / "turned.png", exif=exif))
    assert photo.size == expected.size
    assert np.abs(photo.pixels.astype(int) - expected.pixels).max() < 8
    assert photo.camera == expected.camera is not None


def test_a_heic_with_a_profile_alpha_and_ten_bits(tmp_path):
    pillow_heif.register_heif_opener()
    wide = Image.new("RGB", (64, 48), (55, 55, 55))
    wide.save(tmp_path / "wide.heic", quality=100, chroma=444, icc_profile=linear_profile())
    assert np.abs(load_photo(tmp_path / "wide.heic").pixels.astype(int) - 128).max() <= 2  # half of the light
    Image.new("RGBA", (64, 48), (10, 20, 30, 0)).save(tmp_path / "clear.heif", quality=100)
    assert load_photo(tmp_path / "clear.heif").pixels.min() >= 253
    deep = np.full((48, 64, 3), 0x8000, np.uint16)
    pillow_heif.encode("RGB;16", (64, 48), deep.tobytes(), tmp_path / "deep.hif", quality=100)
    assert np.abs(load_photo(tmp_path / "deep.hif").pixels.astype(int) - 128).max() <= 2
    assert len(load_clip(tmp_path)) == 3


@pytest.mark.parametrize("part", [0.02, 0.3, 0.9])
def test_a_heic_that_is_cut_off(tmp_path, picture, part):
    pillow_heif.register_heif_opener()
    path = save(picture, tmp_path / "IMG_1.HEIC", quality=100)
    path.write_bytes(path.read_bytes()[: max(40, int(path.stat().st_size * part))])
    with pytest.raises(BadInput, match="cut off or damaged") as raised:
        load_photo(path)
    one_sentence_with_remedy(raised.value)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")
def test_an_avif_comes_upright(tmp_path, picture):
    exif = Image.Exif()
    exif[0x0112] = 6
    photo = load_photo(save(picture, tmp_path / "a.avif", exif=exif, quality=100, subsampling="4:4:4"))
    assert np.abs(photo.pixels.astype(int) - np.rot90(picture, -1)).max() < 8


def linear_profile() -> bytes:
    """An ICC profile of sRGB's primaries without its curve (ICC.1:2001-04, matrix and one-parameter curves)."""

    def fixed(*numbers):
        return struct.pack(f">{len(numbers)}i", *(round(number * 65536) for number in numbers))

    text = b"linear\0"
    tags = {
        b"desc": b"desc" + struct.pack(">II", 0, len(text)) + text + bytes(78),
        b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642, 1, 0.8249),
        b"rXYZ": b"XYZ \0\0\0\0" + fixed(0.4361, 0.2225, 0.0139),
        b"gXYZ": b"XYZ \0\0\0\0" + fixed(0.3851, 0.7169, 0.0971),
        b"bXYZ": b"XYZ \0\0\0\0" + fixed(0.1431, 0.0606, 0.7141),
        **{name: b"curv" + struct.pack(">II", 0, 0) for name in (b"rTRC", b"gTRC", b"bTRC")},
    }
    table, body = struct.pack(">I", len(tags)), b""
    for name, data in tags.items():
        table += name + struct.pack(">II", 128 + 4 + 12 * len(tags) + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4xI", 132 + 12 * len(tags) + len(body), 0x02400000) + b"mntrRGB XYZ " + bytes(12)
    header += b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
    return header.ljust(128, b"\0") + table + body


def test_a_colour_profile_is_converted(tmp_path):
    half_light = np.full((16, 16, 3), 55, np.uint8)  # 0.2157 of the light; sRGB writes it as 128
    pixels = load_photo(save(half_light, tmp_path / "linear.png", icc_profile=linear_profile())).pixels
    assert np.abs(pixels.astype(int) - 128).max() <= 1


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "I;16"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_a_profile_counts_in_every_mode(tmp_path, mode, suffix):
    if suffix == ".webp" and mode != "RGBA":
        pytest.skip("WebP keeps RGB and RGBA only")
    deep = Image.fromarray(np.full((12, 16), 55 * 257, np.uint16))
    image = deep if mode == "I;16" else Image.new("RGB", (16, 12), (55, 55, 55)).convert(mode, palette=1)
    path = tmp_path / f"linear{suffix}"
    image.save(path, icc_profile=linear_profile(), **({"lossless": True} if suffix == ".webp" else {}))
    assert np.abs(load_photo(path).pixels.astype(int) - 128).max() <= 1  # half of the light


def tiff(path, planes: np.ndarray, **tags: int) -> Path:
    """An uncompressed TIFF of planes (C, H, W), each in a strip of its own.  tags : further ones, as t254=1."""
    count, height, width = planes.shape
    kind, bits = {"f": 3, "i": 2}.get(planes.dtype.kind, 1), 8 * planes.itemsize
    entries = {256: width, 257: height, 259: 1, 262: 2 if count >= 3 else 1, 277: count, 278: height}
    entries |= {284: 2} if count > 1 else {}
    entries |= {258: [bits] * count, 339: [kind] * count} | {int(name[1:]): value for name, value in tags.items()}
    start = 8 + 2 + 12 * (len(entries) + 2) + 4
    data = b""

    def place(values, code):
        nonlocal data
        packed = np.array(values, "<u2" if code == 3 else "<u4").tobytes()
        if len(packed) <= 4:
            return packed.ljust(4, b"\0")
        data += packed
        return struct.pack("<I", start + len(data) - len(packed))

    size = planes[0].nbytes
    rows = {tag: (3, value if isinstance(value, list) else [value]) for tag, value in entries.items()}
    held = {
        tag: struct.pack("<HHI", tag, code, len(values)) + place(values, code) for tag, (code, values) in rows.items()
    }
    first = start + len(data) + (8 * count if count > 1 else 0)
    for tag, values in ((273, [first + size * index for index in range(count)]), (279, [size] * count)):
        held[tag] = struct.pack("<HHI", tag, 4, count) + place(values, 4)
    head = b"II*\0" + struct.pack("<IH", 8, len(held)) + b"".join(held[tag] for tag in sorted(held)) + bytes(4)
    path.write_bytes(head + data + planes.tobytes())
    return path


@pytest.mark.parametrize("kind", ["<u2", "<f4"])
def test_a_tiff_of_deep_planes(tmp_path, kind):
    """As scanners write: each colour in a plane of its own, of 16 bits or floats."""
    wanted = np.random.default_rng(0).integers(0, 255, (3, 12, 16)).astype(np.uint16) * 257
    if kind == "<f4":
        levels = wanted / 65535
        light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
        path = tiff(tmp_path / "planes.tif", light.astype(kind))
    else:
        path = tiff(tmp_path / "planes.tif", wanted.astype(kind))
    assert np.abs(load_photo(path).pixels.astype(int) - np.moveaxis(wanted // 257, 0, -1)).max() <= 1


def test_a_deep_grey_tiff_that_counts_from_white(tmp_path):
    wanted = np.arange(192, dtype=np.uint16).reshape(1, 12, 16)
    path = tiff(tmp_path / "negative.tif", (255 - wanted) * np.uint16(257), t262=0)
    assert np.abs(load_photo(path).pixels[..., 1].astype(int) - wanted[0]).max() <= 1


@pytest.mark.parametrize(("kind", "white"), [("<u4", 2**32 - 1), ("<i4", 2**31 - 1), ("<i2", 2**15 - 1)])
def test_a_grey_tiff_of_other_whole_numbers(tmp_path, kind, white):
    wanted = np.arange(192).reshape(1, 12, 16)
    path = tiff(tmp_path / "grey.tif", np.rint(wanted / 255 * white).astype(kind))
    assert np.abs(load_photo(path).pixels[..., 1].astype(int) - wanted[0]).max() <= 1


@pytest.mark.parametrize("kind", ["<f2", "<f4"])
@pytest.mark.parametrize("extra", [None, 1, 2])
def test_a_tiff_of_floats_with_and_without_alpha(tmp_path, kind, extra):
    """Alpha that the colours are multiplied by (ExtraSamples 1), or not (2), is laid over white."""
    light = np.random.default_rng(0).random((3, 12, 16)).astype(np.float32)
    alpha = np.where(np.arange(16) < 8, 1, 0.5) * np.ones((1, 12, 1))
    planes = light if extra is None else np.concatenate([light * alpha if extra == 1 else light, alpha])
    tags = {} if extra is None else {"t338": extra}
    chunky = np.moveaxis(planes, 0, -1)[None].astype(kind)
    path = tiff(tmp_path / "floats.tif", chunky.reshape(1, 12, -1), **tags, t256=16, t277=len(planes), t262=2)
    levels = 255 * light_to_srgb(np.moveaxis(light, 0, -1))
    wanted = levels if extra is None else levels * alpha[0, ..., None] + 255 * (1 - alpha[0, ..., None])
    assert np.abs(load_photo(path).pixels - wanted).max() <= 1.6


def test_a_jpeg_2000_of_16_bits(tmp_path, picture):
    wide = np.kron(picture, np.ones((4, 4, 1), np.uint8)).astype(np.uint16) * 257
    wide[:2], wide[-2:] = 65535, 0
    cv2.imwrite(str(tmp_path / "a.jp2"), wide[..., ::-1], [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000])
    assert np.abs(load_photo(tmp_path / "a.jp2").pixels.astype(int) - wide // 257).max() <= 1


@pytest.mark.parametrize(("name", "tags"), [("a.tif", {"t50706": 1}), ("b.tif", {"t254": 1, "t330": 8}), ("c.NEF", {})])
def test_a_cameras_raw_file_is_not_its_thumbnail(tmp_path, name, tags):
    path = tiff(tmp_path / name, np.zeros((3, 12, 16), np.uint8), **tags)
    with pytest.raises(BadInput, match="raw file") as raised:
        load_photo(path)
    one_sentence_with_remedy(raised.value)


def test_an_srgb_or_damaged_profile_changes_nothing(tmp_path, picture):
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"not a profile"):
        photo = load_photo(save(picture, tmp_path / "a.png", icc_profile=profile))
        np.testing.assert_array_equal(photo.pixels, picture)


def test_a_radiance_hdr(tmp_path):
    assert cv2.imwrite(str(tmp_path / "sky.hdr"), np.full((16, 20, 3), 0.5, np.float32))
    assert np.abs(load_photo(tmp_path / "sky.hdr").pixels.astype(int) - 188).max() <= 1


# -- files that are none --------------------------------------------------------------------------------------------


def test_missing_empty_folder_and_text(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("I am a shopping list, not a photo. " * 20)
    (tmp_path / "folder.png").mkdir()
    for name, reason in [
        ("missing.jpg", "no photo at"),
        ("empty.jpg", "empty"),
        ("text.jpg", "not a picture"),
        ("folder.png", "is a folder"),
        ("null\0byte.png", "."),
        ("x" * 400 + ".png", "."),
    ]:
        with pytest.raises(BadInput, match=reason) as raised:
            load_photo(tmp_path / name)
        one_sentence_with_remedy(raised.value)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp", "gif", "bmp"])
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_truncated_files(tmp_path, suffix, part):
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    path = save(noise, tmp_path / f"cut.{suffix}")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * part)])
    with pytest.raises(BadInput) as raised:
        load_photo(path)
    one_sentence_with_remedy(raised.value)
    assert str(path) in raised.value.message


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 3)])
def test_a_photo_of_hardly_a_pixel(tmp_path, size):
    path = save(np.zeros((*size, 3), np.uint8), tmp_path / "dot.png")
    with pytest.raises(BadInput, match="too small") as raised:
        load_photo(path)
    one_sentence_with_remedy(raised.value)


def test_a_photo_that_may_not_be_read(tmp_path, picture):
    path = save(picture, tmp_path / "locked.png")
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user reads everything")
    with pytest.raises(BadInput, match="No permission"):
        load_photo(path)


def test_twelve_thousand_pixels_within_bounded_memory(tmp_path):
    path = tmp_path / "large.png"
    Image.new("L", (12_000, 9_000), 77).save(path, compress_level=1)
    tracemalloc.start()
    photo = load_photo(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert photo.size == (12_000, 9_000)
    assert photo.pixels[8_999, 11_999].tolist() == [77, 77, 77]
    assert peak < 3.2 * photo.pixels.nbytes


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (40_000, 9_000)).save(path)
    tracemalloc.start()
    with pytest.raises(BadInput, match="more") as raised:
        load_photo(path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    one_sentence_with_remedy(raised.value)


# -- EXIF focal length ----------------------------------------------------------------------------------------------


def with_exif(picture, path, orientation=1, **tags):
    numbers = {"film": 0xA405, "focal": 0x920A, "x": 0xA20E, "y": 0xA20F, "unit": 0xA210, "across": 0xA002}
    numbers["down"] = 0xA003
    folder = {numbers[name]: value for name, value in tags.items()}
    if path.suffix == ".tif":
        return load_photo(save(picture, path, tiffinfo={0x0112: orientation, 0x8769: folder}))
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769).update(folder)
    return load_photo(save(picture, path, exif=exif.tobytes()))


def test_the_35_mm_focal_length_comes_first(tmp_path, picture):
    camera = with_exif(picture, tmp_path / "a.jpg", film=50, focal=4.2, x=1000.0).camera
    assert camera.source == "exif"
    assert camera.fx == camera.fy == pytest.approx(50 * np.hypot(36, 24) / np.hypot(36, 24))
    assert (camera.cx, camera.cy) == (18, 12)


def test_focal_plane_resolution_follows_resizing_and_rotation(tmp_path, picture):
    # 20 mm over a sensor of 1000 and 2000 pixels a centimetre, taken 3600 pixels wide and a hundredth of that since.
    tags = {"focal": 20.0, "x": 1000.0, "y": 2000.0, "unit": 3, "across": 3600}
    camera = with_exif(picture, tmp_path / "a.jpg", **tags).camera
    assert (camera.fx, camera.fy) == pytest.approx((20.0, 40.0))
    turned = with_exif(picture, tmp_path / "b.jpg", orientation=6, **tags).camera
    assert (turned.fx, turned.fy) == pytest.approx((40.0, 20.0))
    assert (turned.width, turned.height) == (24, 36)


def test_the_resolution_of_a_sensor_is_not_that_of_a_picture_that_was_scaled(tmp_path, picture):
    # A program has written the new size over the old one, or left it out.
    tags = {"focal": 20.0, "x": 1000.0, "unit": 3}
    assert with_exif(picture, tmp_path / "a.jpg", **tags, across=36, down=24).camera is None
    assert with_exif(picture, tmp_path / "b.jpg", **tags).camera is None
    assert with_exif(picture, tmp_path / "c.jpg", **tags, across=3600, down=2400).camera.fx == pytest.approx(20)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "avif"])
def test_every_kind_of_file_tells_its_lens(tmp_path, picture, suffix):
    if suffix == "avif" and not features.check("avif"):
        pytest.skip("this Pillow knows no AVIF")
    for orientation, size in ((1, (36, 24)), (6, (24, 36))):
        photo = with_exif(picture, tmp_path / f"a.{suffix}", orientation, film=50)
        assert photo.size == size and photo.camera is not None
        assert (photo.camera.width, photo.camera.height) == size
        assert (photo.camera.fx, photo.camera.fy) == pytest.approx((50, 50))


def test_a_cropped_or_turned_photo_keeps_its_lens(tmp_path, picture):
    # Taken with 60 x 40 pixels, whose diagonal is the film's, and cropped to 24 x 24.
    square = picture[:, :24]
    taken = with_exif(square, tmp_path / "a.jpg", film=50, across=60, down=40).camera
    assert taken.fx == pytest.approx(50 / np.hypot(36, 24) * np.hypot(60, 40))
    # Scaled, not cropped: the same shape.
    scaled = with_exif(picture, tmp_path / "b.jpg", film=50, across=72, down=48).camera
    assert scaled.fx == pytest.approx(50)
    # Turned by a program that has left the numbers as they were.
    stood = with_exif(picture.transpose(1, 0, 2).copy(), tmp_path / "c.jpg", film=50, across=72, down=48).camera
    assert stood.fx == pytest.approx(50)
    # Numbers that cannot be this picture's: it is larger than they say.
    assert with_exif(square, tmp_path / "d.jpg", film=50, across=20, down=10).camera.fx == pytest.approx(
        50 / np.hypot(36, 24) * np.hypot(24, 24)
    )


@pytest.mark.parametrize("tags", [{}, {"film": 0}, {"film": 60000}, {"focal": 5.0}, {"focal": 5.0, "x": 0.0}])
def test_missing_or_absurd_focal_lengths_are_left_out(tmp_path, picture, tags):
    assert with_exif(picture, tmp_path / "a.jpg", **tags).camera is None


# -- arrays ---------------------------------------------------------------------------------------------------------


def test_arrays_of_all_kinds(picture):
    grey = np.repeat(picture[..., :1], 3, -1)
    for array, expected in [
        (picture, picture),
        (picture / 255.0, picture),
        ((picture / 255).astype(np.float16), picture),
        (picture.astype(np.uint16) * 257, picture),
        (picture.astype(np.int64), picture),
        (picture[..., 0], grey),
        (picture[..., :1], grey),
        (np.dstack([picture, np.full((24, 36), 255, np.uint8)]), picture),
        (picture[:, ::-1], picture[:, ::-1]),
        (Image.fromarray(picture), picture),
        (picture[..., 0] > 99, (grey > 99) * 255),
    ]:
        photo = as_photo(array)
        assert photo.pixels.dtype == np.uint8
        assert photo.pixels.flags.c_contiguous
        np.testing.assert_array_equal(photo.pixels, expected)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((0, 0, 3), np.uint8),
        np.zeros((20, 0, 3), np.uint8),
        np.zeros((3, 40, 40), np.uint8),
        np.zeros((40, 40, 2), np.uint8),
        np.zeros(40, np.uint8),
        np.zeros((2, 40, 40, 3), np.uint8),
        np.full((40, 40, 3), np.nan),
        np.full((40, 40, 3), np.inf),
        np.full((40, 40, 3), 200.0),
        np.full((40, 40, 3), -1.0),
        np.full((40, 40, 3), 300),
        np.zeros((40, 40, 3), complex),
        np.full((40, 40, 3), "a"),
        np.array([None]),
        None,
        3.5,
        {"a": 1},
        [[1, 2, 3], [4, 5]],
        torch.zeros(20, 20, 3, requires_grad=True),
    ],
)
def test_arrays_that_are_no_photo(array):
    with pytest.raises(BadInput) as raised:
        as_photo(array)
    one_sentence_with_remedy(raised.value)


def test_a_photos_camera_must_fit(picture):
    with pytest.raises(BadInput, match="camera is for"):
        Photo(picture, Camera.default(100, 100))


# -- clips ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    """Seven frames at 12.5 a second; frame i is grey of 20 + 30 i."""
    path = tmp_path_factory.mktemp("movie mit Ümlaut") / "clip.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), 12.5, (64, 48))
    for index in range(7):
        writer.write(np.full((48, 64, 3), 20 + 30 * index, np.uint8))
    writer.release()
    return path


def test_a_movie_streams_and_can_be_read_again(movie):
    clip = load_clip(movie)
    assert (len(clip), clip.fps, clip.name) == (7, 12.5, "clip")
    for _ in range(2):
        levels = [int(photo.pixels.mean()) for photo in clip]
        assert np.abs(np.array(levels) - (20 + 30 * np.arange(7))).max() < 6
    assert [photo.name for photo in clip][:2] == ["clip.0001", "clip.0002"]
    assert load_clip(movie, fps=30).fps == 30


def test_a_movie_whose_header_lies_is_counted(tmp_path):
    path = tmp_path / "liar.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12.5, (64, 48))
    for index in range(7):
        writer.write(np.full((48, 64, 3), 20 + 30 * index, np.uint8))
    writer.release()
    data = bytearray(path.read_bytes())
    for place in (data.index(b"avih") + 8 + 16, data.index(b"strh") + 8 + 32):  # dwTotalFrames, dwLength
        data[place : place + 4] = (900).to_bytes(4, "little")
    path.write_bytes(data)
    clip = load_clip(path)
    assert (len(clip), clip.fps, len(list(clip))) == (7, 12.5, 7)


def test_movies_that_are_none(tmp_path, movie):
    (tmp_path / "text.mp4").write_text("no movie")
    (tmp_path / "empty.mov").touch()
    (tmp_path / "cut.mp4").write_bytes(movie.read_bytes()[:500])
    for name in ("text.mp4", "empty.mov", "cut.mp4", "missing.mp4"):
        with pytest.raises(BadInput) as raised:
            load_clip(tmp_path / name)
        one_sentence_with_remedy(raised.value)
    with pytest.raises(BadInput, match="is a movie"):
        load_photo(movie)


@pytest.fixture
def frames(tmp_path):
    """Files shot_8.png ... shot_11.png, of grey 8 ... 11, beside files that are no frames."""
    for number in (10, 9, 11, 8):
        save(np.full((16, 16), number, np.uint8), tmp_path / f"shot_{number:04d}.png")
    (tmp_path / ".hidden.png").write_text("")
    (tmp_path / "notes.txt").write_text("")
    return tmp_path


@pytest.mark.parametrize("name", ["", "shot_%04d.png", "shot_####.png", "shot_%d.png", "shot_#.png"])
def test_folders_and_patterns(frames, name):
    clip = load_clip(frames / name)
    assert len(clip) == 4
    assert clip.fps == 24
    assert [int(photo.pixels[0, 0, 0]) for photo in clip] == [8, 9, 10, 11]


def test_one_numbered_file_stands_for_itself_or_for_all(frames):
    assert len(load_clip(frames / "shot_0009.png")) == 1
    assert len(load_clip(frames / "shot_0009.png", sequence=True)) == 4


def test_a_folder_sorts_naturally_and_of_any_names_is_no_clip_in_time(tmp_path):
    for number, name in enumerate(["a2.png", "a10.png", "b.jpg"]):
        save(np.full((16, 16), number * 100, np.uint8), tmp_path / name)
    clip = load_clip(tmp_path)
    assert [photo.name for photo in clip] == ["a2", "a10", "b"]
    assert clip.fps is None


def test_patterns_and_folders_without_files(tmp_path):
    for name in ("", "shot_%04d.png", "nowhere/shot_####.png"):
        with pytest.raises(BadInput) as raised:
            load_clip(tmp_path / name)
        one_sentence_with_remedy(raised.value)


def test_a_damaged_frame_is_named_when_it_is_reached(frames):
    (frames / "shot_0010.png").write_text("broken")
    clip = iter(load_clip(frames))
    assert [next(clip).name, next(clip).name] == ["shot_0008", "shot_0009"]
    with pytest.raises(BadInput, match="shot_0010"):
        next(clip)


def test_as_clip_takes_anything(movie, frames, picture):
    photo = Photo(picture)
    stack = np.stack([picture] * 5)
    for given, length in [
        (photo, 1),
        (picture, 1),
        (stack, 5),
        (movie, 7),
        (str(frames), 4),
        (frames / "shot_####.png", 4),
        (frames / "shot_0008.png", 1),
        ([photo, picture, frames / "shot_0008.png"], 3),
        ((photo for _ in range(3)), 3),
        ([movie, stack], 12),
        (load_clip(movie), 7),
    ]:
        clip = as_clip(given)
        assert isinstance(clip, Clip)
        assert len(clip) == length
        for _ in range(2):
            assert len([frame for frame in clip if isinstance(frame, Photo)]) == length
    assert as_clip([load_clip(movie)]).fps == 12.5


@pytest.mark.parametrize("given", [[], (), None, 5, [None], np.zeros((0, 20, 20, 3), np.uint8), ["/nowhere.png"]])
def test_as_clip_refuses(given):
    with pytest.raises(BadInput) as raised:
        as_clip(given)
    one_sentence_with_remedy(raised.value)


def test_a_clips_frame_rate_must_be_one(movie):
    for fps in (0, -3, float("nan"), 1e9):
        with pytest.raises(BadInput):
            load_clip(movie, fps=fps)


def _stills(folder: Path, *, dates=None, sizes=None, unlike=False) -> Path:
    """Four numbered photos of one sliding picture, or of several."""
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (12, 4, 12), np.uint8)
    for number in range(4):
        image = Image.fromarray(noise[:, number * unlike]).resize(sizes[number] if sizes else (96, 96))
        image = Image.fromarray(np.roll(np.asarray(image), 2 * number, 1))
        exif = Image.Exif()
        if dates:
            exif.get_ifd(0x8769)[0x9003] = f"2024:05:01 10:00:{dates[number]:02d}"
        image.save(folder / f"IMG_{number + 1:04d}.jpg", exif=exif)
    return folder


def test_numbered_photos_that_are_no_film_stay_apart(tmp_path) -> None:
    """By when they were taken, by their sizes, by what they show; a burst, and whatever is asked for, is a clip."""
    apart = {
        "dates": {"dates": (0, 9, 20, 41)},
        "sizes": {"sizes": [(96, 96), (128, 96), (96, 96), (96, 128)]},
        "things": {"unlike": True},
    }
    for name, what in apart.items():
        clip = load_clip(_stills(tmp_path / name, **what))
        assert clip.fps is None and "each is one of its own" in clip.notes[0]
        assert load_clip(tmp_path / name, fps=12).fps == 12
        assert load_clip(tmp_path / name / "IMG_####.jpg").fps == 24
    for name, what in {"burst": {"dates": (0, 0, 1, 1)}, "frames": {}}.items():
        clip = load_clip(_stills(tmp_path / name, **what))
        assert (clip.fps, clip.notes) == (24, [])


def test_a_photo_on_its_side_is_known_before_any_photo_was_read(tmp_path) -> None:
    """Pillow has loaded none of its formats then."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (16, 12)).save(tmp_path / "phone.jpg", exif=exif)
    code = "import sys, pathlib; from maquette.inference.photo.decode import orientation_of as turn\n"
    code += "print(turn(pathlib.Path(sys.argv[1])))"
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "phone.jpg"], capture_output=True, text=True)
    assert done.stdout.strip() == "6", done.stderr
