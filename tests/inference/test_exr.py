# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenEXR files as renderers and compositors write them: every compression, layers, parts, windows and alpha."""

import io
import struct
import subprocess
import sys

import numpy as np
import OpenEXR
import pytest
from maquette.inference import BadInput, load_clip, load_photo
from maquette.inference.photo import exr, layers_of

HEIGHT, WIDTH = 24, 36
COMPRESSIONS = ("NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB")
#: Linear light and its sRGB (IEC 61966-2-1).
LIGHT, SRGB = (0.8, 0.2, 0.05), (231, 124, 63)


def flat(colour, height=HEIGHT, width=WIDTH, names="RGB"):
    """Channels of one colour."""
    return {name: np.full((height, width), value, np.float32) for name, value in zip(names, colour, strict=True)}


def layer(prefix, colour, names="RGB", **size):
    return {f"{prefix}.{name}": values for name, values in flat(colour, **size, names=names).items()}


def window(left, top, right, bottom):
    return np.array([left, top], np.int32), np.array([right, bottom], np.int32)


def write(path, channels, **header):
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}, channels).write(
        str(path)
    )
    return path


def centre(path, **options):
    return load_photo(path, **options).pixels[HEIGHT // 2, WIDTH // 2].tolist()


@pytest.mark.parametrize("storage", ["scan lines", "tiles"])
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_every_compression(tmp_path, compression, storage, kind):
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    colours = np.stack([rows / HEIGHT, columns / WIDTH, (rows + columns) / (HEIGHT + WIDTH)], -1).astype(kind)
    header = {"compression": getattr(OpenEXR, f"{compression}_COMPRESSION")}
    if storage == "tiles":
        header |= {"type": OpenEXR.tiledimage, "tiles": OpenEXR.TileDescription()}
    path = write(tmp_path / "a.exr", {name: colours[..., i].copy() for i, name in enumerate("RGB")}, **header)
    back = exr.read_colours(path)
    assert back.dtype == np.float32
    lossy = compression.startswith(("B44", "DWA")) or (compression == "PXR24" and kind == np.float32)
    np.testing.assert_allclose(back, colours, atol=0.02 if lossy else 0)


def test_tiles_of_several_levels(tmp_path):
    """Textures hold smaller copies of themselves (a MIP map): the largest is the picture. Written here, because the
    package writes the first level only."""
    values = np.random.default_rng(0).random((HEIGHT, WIDTH), np.float32)
    sizes = [(HEIGHT, WIDTH)]
    while sizes[-1] != (1, 1):
        sizes.append((max(1, sizes[-1][0] // 2), max(1, sizes[-1][1] // 2)))
    blocks = []
    for level, (height, width) in enumerate(sizes):
        pixels = values if level == 0 else np.zeros((height, width), np.float32)
        for row in range(0, height, 16):
            for column in range(0, width, 16):
                data = pixels[row : row + 16, column : column + 16].tobytes()
                blocks.append(struct.pack("<5i", column // 16, row // 16, level, level, len(data)) + data)
    path = tmp_path / "texture.exr"
    path.write_bytes(plain_file({"Y": (1, 1)}, blocks, 0x200, ("tiles", "tiledesc", struct.pack("<IIB", 16, 16, 1))))
    np.testing.assert_array_equal(exr.read_exr(path)["Y"], values)


def test_luminance_and_chroma_of_half_the_size(tmp_path):
    red, green, blue = LIGHT
    grey = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    values = {"Y": grey, "RY": (red - grey) / grey, "BY": (blue - grey) / grey}
    blocks = []
    for row in range(HEIGHT):
        planes = [np.full(WIDTH // (1 if name == "Y" else 2), values[name], np.float32) for name in ("BY", "RY", "Y")]
        data = b"".join(plane.tobytes() for plane in (planes if row % 2 == 0 else planes[2:]))
        blocks.append(struct.pack("<ii", row, len(data)) + data)
    path = tmp_path / "yc.exr"
    path.write_bytes(plain_file({"BY": (2, 2), "RY": (2, 2), "Y": (1, 1)}, blocks))
    np.testing.assert_allclose(exr.read_colours(path), np.broadcast_to(LIGHT, (HEIGHT, WIDTH, 3)), atol=1e-6)
    assert np.abs(np.subtract(centre(path), SRGB)).max() <= 1


def plain_file(channels, blocks, flags=0, *more):
    """An uncompressed file of float channels, name -> sampling, and ready blocks ("OpenEXR File Layout")."""
    listed = b"".join(f"{name}\0".encode() + struct.pack("<iB3xii", 2, 0, *step) for name, step in channels.items())
    box = struct.pack("<4i", 0, 0, WIDTH - 1, HEIGHT - 1)
    attributes = [
        *(("channels", "chlist", listed + b"\0"), ("compression", "compression", b"\0"), ("dataWindow", "box2i", box)),
        *(("displayWindow", "box2i", box), ("lineOrder", "lineOrder", b"\0")),
        *(("pixelAspectRatio", "float", struct.pack("<f", 1)), ("screenWindowCenter", "v2f", bytes(8))),
        *(("screenWindowWidth", "float", struct.pack("<f", 1)), *more),
    ]
    head = exr.MAGIC + struct.pack("<i", 2 | flags)
    head += b"".join(
        f"{name}\0{kind}\0".encode() + struct.pack("<i", len(data)) + data for name, kind, data in attributes
    )
    first = len(head) + 1 + 8 * len(blocks)
    offsets = np.cumsum([first, *map(len, blocks[:-1])]).astype("<u8")
    return head + b"\0" + offsets.tobytes() + b"".join(blocks)


def test_combined_is_taken_among_the_passes_of_a_render(tmp_path):
    """The file of the report: AO has the shortest name, and stands before Combined in the alphabet."""
    channels = layer("ViewLayer.AO", (1, 1, 1)) | layer("ViewLayer.Combined", (*LIGHT, 1), "RGBA")
    channels |= layer("ViewLayer.DiffCol", (0, 0, 1)) | layer("ViewLayer.Normal", (0, 0, 1), "XYZ")
    channels |= layer("ViewLayer.Depth", (5,), "Z") | layer("ViewLayer.CryptoObject00", (0, 1, 0), "rgb")
    path = write(tmp_path / "beauty.exr", channels)
    assert centre(path) == list(SRGB)
    assert layers_of(path)[0] == "ViewLayer.Combined"
    assert set(layers_of(path)) == {f"ViewLayer.{name}" for name in ("Combined", "AO", "DiffCol", "CryptoObject00")}


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["", "Beauty"], ""),
        (["albedo", "beauty"], "beauty"),
        (["diffuse", "rgba", "Z"], "rgba"),
        (["Image"], "Image"),
        (["whatever"], "whatever"),
        (["crypto00", "crypto01", "whatever"], "whatever"),
        (["B Layer.Combined", "A Layer.Combined"], "A Layer.Combined"),
        (["ViewLayer.Combined.right", "ViewLayer.Combined.left", "ViewLayer.AO.left"], "ViewLayer.Combined.left"),
    ],
)
def test_the_picture_among_layers(tmp_path, names, chosen):
    channels = {}
    for name in names:
        colours = flat(LIGHT if name == chosen else (0, 0, 0))
        channels |= {f"{name}.{channel}".lstrip("."): values for channel, values in colours.items()}
    assert centre(write(tmp_path / "a.exr", channels)) == list(SRGB)
    assert layers_of(tmp_path / "a.exr")[0] == chosen


def test_layers_of_which_none_is_the_picture_are_asked_for(tmp_path):
    path = write(tmp_path / "a.exr", layer("specular", LIGHT) | layer("albedo", (0, 0, 0)))
    with pytest.raises(BadInput, match="none is called Combined or RGBA: albedo, specular") as raised:
        load_photo(path)
    assert "layer" in raised.value.remedy
    assert centre(path, layer="specular") == list(SRGB)


def test_the_layer_that_is_named(tmp_path):
    channels = layer("ViewLayer.Combined", (0, 0, 0, 1), "RGBA") | layer("ViewLayer.DiffCol", LIGHT)
    channels |= layer("ViewLayer.Depth", (0.2140,), "Z")
    path = write(tmp_path / "a_0001.exr", channels)
    for name in ("ViewLayer.DiffCol", "DiffCol", "diffcol"):
        assert centre(path, layer=name) == list(SRGB)
    assert centre(path, layer="Depth") == [127, 127, 127]
    assert next(iter(load_clip(path, layer="DiffCol"))).pixels[5, 5].tolist() == list(SRGB)
    assert next(iter(load_clip(tmp_path / "a_####.exr", layer="DiffCol"))).pixels[5, 5].tolist() == list(SRGB)
    with pytest.raises(BadInput, match="no picture in a layer 'Nothing'") as raised:
        load_photo(path, layer="Nothing")
    assert "ViewLayer.Combined" in raised.value.remedy


def test_only_openexr_files_have_layers(tmp_path):
    from PIL import Image

    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    assert layers_of(tmp_path / "a.png") == []
    with pytest.raises(BadInput, match="has no layers"):
        load_photo(tmp_path / "a.png", layer="AO")


def test_files_of_several_parts(tmp_path):
    display = {"displayWindow": window(0, 0, WIDTH - 1, HEIGHT - 1)}

    def parts(*named):
        OpenEXR.File([OpenEXR.Part(display | header, channels, name) for name, channels, header in named]).write(
            str(tmp_path / "a.exr")
        )
        return tmp_path / "a.exr"

    # Compositors name the part after the layer; Blender writes the whole name into both.
    path = parts(
        ("albedo", flat((0, 0, 0)), {}),
        ("rgba", flat(LIGHT), {}),
        ("depth", {"depth.Z": flat((1,), names="Z")["Z"]}, {}),
    )
    assert centre(path) == list(SRGB)
    assert sorted(exr.read_exr(path)) == ["albedo.B", "albedo.G", "albedo.R", "depth.Z", "rgba.B", "rgba.G", "rgba.R"]
    assert centre(path, layer="albedo") == [0, 0, 0]
    path = parts(("V.AO", layer("V.AO", (1, 1, 1)), {}), ("V.Combined", layer("V.Combined", LIGHT), {}))
    assert centre(path) == list(SRGB) and layers_of(path) == ["V.Combined", "V.AO"]
    # Where nothing tells, the first part is the picture.
    assert centre(parts(("main", flat(LIGHT), {}), ("other", flat((0, 0, 0)), {}))) == list(SRGB)
    # A part may cover less of the picture than the others.
    small = {"Z": np.ones((4, 5), np.float32)}
    path = parts(("rgba", flat(LIGHT), {}), ("depth", small, {"dataWindow": window(3, 2, 7, 5)}))
    depth = exr.read_exr(path)["depth.Z"]
    assert depth.shape == (HEIGHT, WIDTH) and depth.sum() == 20 and depth[2:6, 3:8].all()


def test_the_picture_is_the_display_window(tmp_path):
    """An overscan is cut off; what a crop leaves open is black, or white where it is transparent."""
    display = {"displayWindow": window(0, 0, WIDTH - 1, HEIGHT - 1)}
    over = np.zeros((HEIGHT + 20, WIDTH + 20), np.float32)
    over[10:-10, 10:-10] = 1
    header = display | {"dataWindow": window(-10, -10, WIDTH + 9, HEIGHT + 9)}
    pixels = load_photo(write(tmp_path / "over.exr", dict.fromkeys("RGB", over), **header)).pixels
    assert pixels.shape == (HEIGHT, WIDTH, 3) and pixels.min() == 255
    header = display | {"dataWindow": window(4, 3, 11, 8)}
    for names, colour, outside in (("RGB", LIGHT, 0), ("RGBA", (*LIGHT, 1), 255)):
        pixels = load_photo(write(tmp_path / "crop.exr", flat(colour, 6, 8, names), **header)).pixels
        assert pixels.shape == (HEIGHT, WIDTH, 3)
        assert (pixels[3:9, 4:12] == SRGB).all()
        pixels[3:9, 4:12] = outside
        assert (pixels == outside).all()
    header = display | {"dataWindow": window(100, 3, 107, 8)}
    assert load_photo(write(tmp_path / "beyond.exr", flat(LIGHT, 6, 8), **header)).pixels.max() == 0
    shifted = window(1000, 2000, 1000 + WIDTH - 1, 2000 + HEIGHT - 1)
    assert centre(write(tmp_path / "far.exr", flat(LIGHT), dataWindow=shifted, displayWindow=shifted)) == list(SRGB)


def test_alpha_is_laid_over_white_as_for_every_other_file(tmp_path):
    """The colours of OpenEXR are multiplied by alpha, those of PNG are not; the same picture looks the same."""
    from PIL import Image

    alpha = np.array([0.0, 0.25, 0.5, 1.0], np.float32).repeat(9)[None].repeat(HEIGHT, 0)
    path = write(tmp_path / "a.exr", {**{name: alpha * value for name, value in flat(LIGHT).items()}, "A": alpha})
    straight = np.concatenate([np.broadcast_to(SRGB, (HEIGHT, WIDTH, 3)), np.rint(alpha * 255)[..., None]], -1)
    Image.fromarray(straight.astype(np.uint8)).save(tmp_path / "a.png")
    pixels = load_photo(path).pixels
    assert np.abs(pixels.astype(int) - load_photo(tmp_path / "a.png").pixels).max() <= 1
    assert pixels[0, 0].tolist() == [255, 255, 255] and pixels[0, -1].tolist() == list(SRGB)


def test_whole_numbers_and_one_grey_channel(tmp_path):
    path = write(tmp_path / "a.exr", {name: values.astype(np.uint32) for name, values in flat((1, 0, 1)).items()})
    assert exr.read_exr(path)["R"].dtype == np.uint32
    assert centre(path) == [255, 0, 255]
    assert centre(write(tmp_path / "b.exr", flat((0.2140,), names="Y"))) == [127, 127, 127]


def test_a_linear_exr_gets_srgbs_curve(tmp_path):
    linear = np.zeros((16, 20, 3), np.float32)
    linear[...] = [0.2140, 1.0, 7.0]
    linear[0, 0] = np.nan
    channels = {"ViewLayer.Combined.R": linear[..., 0], "ViewLayer.Combined.G": linear[..., 1]}
    channels["ViewLayer.Combined.B"] = linear[..., 2]
    with (tmp_path / "render.exr").open("wb") as file:
        exr.write_exr(file, channels)
    pixels = load_photo(tmp_path / "render.exr").pixels
    assert pixels[5, 5].tolist() == [127, 255, 255]
    assert pixels[0, 0].tolist() == [0, 0, 0]


def test_exr_round_trip_and_damage(tmp_path):
    rng = np.random.default_rng(1)
    channels = {"Z": rng.normal(size=(37, 21)).astype(np.float32), "normal.X": np.zeros((37, 21), np.float32)}
    path = tmp_path / "a.exr"
    with path.open("wb") as file:
        exr.write_exr(file, channels)
    back = exr.read_exr(path.read_bytes())
    assert list(back) == ["Z", "normal.X"]
    for name, values in channels.items():
        np.testing.assert_array_equal(back[name], values)
    for size in (9, 60, 300, path.stat().st_size - 40):
        with pytest.raises(BadInput):
            exr.read_exr(path.read_bytes()[:size])
    with pytest.raises(BadInput, match="no colour"):
        load_photo(path)


def test_damage_in_the_middle_is_not_passed_over(tmp_path):
    noise = np.random.default_rng(0).random((HEIGHT, WIDTH), np.float32)
    data = bytearray(write(tmp_path / "a.exr", dict.fromkeys("RGB", noise)).read_bytes())
    data[-1500:-1000] = bytes(500)
    (tmp_path / "a.exr").write_bytes(data)
    with pytest.raises(BadInput, match="cut off or damaged"):
        load_photo(tmp_path / "a.exr")


def test_a_window_that_no_memory_holds(tmp_path):
    path = write(tmp_path / "a.exr", flat(LIGHT))
    small, large = (struct.pack("<4i", 0, 0, width - 1, HEIGHT - 1) for width in (WIDTH, 2**30))
    path.write_bytes(path.read_bytes().replace(small, large))
    with pytest.raises(BadInput, match=r"too large|damaged"):
        load_photo(path)


def test_texts_of_the_header(tmp_path):
    file = io.BytesIO()
    exr.write_exr(file, np.zeros((9, 9), np.float32), {"parameters": "a cat,\nSteps: 20", "own": '{"ä": 1}'})
    texts = exr.read_texts(file.getvalue())
    assert texts["parameters"] == "a cat,\nSteps: 20" and texts["own"] == '{"ä": 1}'


def test_the_package_is_imported_when_it_is_needed_and_named_when_it_is_missing(tmp_path):
    path = write(tmp_path / "a.exr", flat(LIGHT))
    code = (
        "import sys\n"
        "from maquette import inference\n"
        "inference.load_photo\n"
        "assert not {'OpenEXR', 'pillow_heif'} & set(sys.modules)\n"
        "sys.modules['OpenEXR'] = None\n"
        "try:\n"
        f"    inference.load_photo({str(path)!r})\n"
        "except inference.MissingPackages as error:\n"
        "    print(error.message, error.operator)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "OpenEXR is not installed for this Python. maquette.install_packages" in done.stdout
