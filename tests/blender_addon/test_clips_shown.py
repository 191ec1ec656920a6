# SPDX-License-Identifier: GPL-3.0-or-later
"""What Blender shows of a clip is what was computed on, also where it would show that turned, or not at all."""

from __future__ import annotations

from pathlib import Path

import av
import bpy
import numpy as np
import pytest
from maquette.blender_addon.builders.images import image
from maquette.blender_addon.core import jobs
from maquette.inference.photo.decode import as_stored
from PIL import Image

pytestmark = pytest.mark.usefixtures("addon")

#: No two corners alike; wide, so that turning shows.
CORNERS = np.zeros((64, 96, 3), np.uint8)
CORNERS[:32, :48], CORNERS[:32, 48:], CORNERS[32:, :48] = (220, 40, 40), (40, 200, 60), (50, 60, 210)


def stills(folder: Path, suffix: str, orientation: int = 1) -> str:
    """Three numbered pictures that EXIF data turn."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    if suffix == ".heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    for number in range(3):
        picture = Image.fromarray(as_stored(np.roll(CORNERS, 8 * number, 1), orientation))
        picture.save(folder / f"shot_{number + 4:03d}{suffix}", exif=exif, quality=95)
    return str(folder / f"shot_###{suffix}")


def webp(folder: Path) -> str:
    pictures = [Image.fromarray(np.roll(CORNERS, 8 * number, 1)) for number in range(3)]
    pictures[0].save(folder / "a.webp", save_all=True, append_images=pictures[1:], duration=40, lossless=True)
    return str(folder / "a.webp")


def movie(folder: Path, matrix: tuple[int, int, int, int]) -> str:
    """An MP4 file with this display matrix in its track header (ISO/IEC 14496-12, 8.3.2)."""
    path = folder / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv444p"
        stream.options = {"qp": "2"}
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(np.roll(CORNERS, 8 * number, 1), format="rgb24")
            container.mux(stream.encode(frame.reformat(format="yuv444p")))
        container.mux(stream.encode(None))
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    a, b, c, d = matrix
    data[place : place + 36] = np.array([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30], ">i4").tobytes()
    path.write_bytes(data)
    return str(path)


CLIPS = {
    "plain": (lambda folder: stills(folder, ".png"), lambda picture: picture, True),
    "exif": (lambda folder: stills(folder, ".jpg", 6), lambda picture: picture, False),
    "heic": (lambda folder: stills(folder, ".heic"), lambda picture: picture, False),
    "webp": (webp, lambda picture: picture, False),
    "movie": (lambda folder: movie(folder, (1, 0, 0, 1)), lambda picture: picture, True),
    "turned": (
        lambda folder: movie(folder, (0, 1, -1, 0)),
        lambda picture: np.rot90(picture, -1),
        bpy.app.version >= (4, 5),
    ),
    "mirrored": (lambda folder: movie(folder, (-1, 0, 0, 1)), np.fliplr, False),
    "upset": (lambda folder: movie(folder, (1, 0, 0, -1)), np.flipud, False),
}


@pytest.mark.parametrize("kind", CLIPS)
def test_the_clip_that_plays_is_the_one_that_was_computed_on(kind, tmp_path) -> None:
    make, turned, by_itself = CLIPS[kind]
    path = make(tmp_path)
    given = {"filepath": path, "model": "relief", "output": "GRID", "frames": "CLIP", "mesh_resolution": 8}
    for _ in range(2):
        bpy.ops.maquette.estimate_depth(folder=str(tmp_path / "out"), start_frame=11, **given)
    line = jobs.outcome().line
    (shown,) = (one for one in bpy.data.images if one.source in {"MOVIE", "SEQUENCE"} and ".depth" not in one.name)
    assert ("upright" in shown.name) == (not by_itself)
    assert shown["maquette_start_frame"] == 11
    file = Path(bpy.path.abspath(shown.filepath))
    first = image.first_shown(file, sequence=shown.source == "SEQUENCE")
    expected = turned(CORNERS)
    assert first.size == expected.shape[1::-1]
    assert np.median(np.abs(first.pixels * 255 - expected)) <= 4
    if not by_itself:
        assert file.name == f"{shown.name}.0011.jpg" and len(list(file.parent.iterdir())) == 3
    assert "Made the sequence" in line
