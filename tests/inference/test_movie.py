# SPDX-License-Identifier: GPL-3.0-or-later
"""Movies as others make them: turned, uneven, cut off, of other matrices, ranges, containers and pixels."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from maquette.inference import load_clip
from maquette.inference.errors import BadInput
from maquette.inference.photo.movie import Movie
from PIL import Image

CORNERS = np.zeros((96, 128, 3), np.uint8)
CORNERS[:48, :64], CORNERS[:48, 64:], CORNERS[48:, :64], CORNERS[48:, 64:] = (
    (220, 40, 40),
    (40, 200, 60),
    (50, 60, 210),
    (200, 180, 40),
)


def write(path: Path, pictures, times=None, rate=24, codec="libx264", pix_fmt="yuv444p", colours=(5, 1), **options):
    """A movie of pictures (H, W, 3); times : of each in milliseconds.  colours : matrix and range, as FFmpeg counts."""
    with av.open(str(path), "w", options=options.pop("container", {})) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt = pix_fmt
        stream.options = {"qp": "2"} if codec == "libx264" else {}
        context = stream.codec_context
        context.colorspace, context.color_range = colours
        for name, value in options.items():
            setattr(context, name, value)
        if times is not None:
            context.time_base = Fraction(1, 1000)
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(format=pix_fmt, dst_colorspace=colours[0], dst_color_range=colours[1])
            frame.pts = index if times is None else times[index]
            frame.time_base = Fraction(1, rate) if times is None else Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbered(count: int, size=(48, 64)) -> list[np.ndarray]:
    """Pictures whose grey tells their number."""
    return [np.full((*size, 3), 20 + 5 * number, np.uint8) for number in range(count)]


def numbers(clip) -> list[int]:
    return [round((float(photo.pixels.mean()) - 20) / 5) for photo in clip]


def with_matrix(source: Path, target: Path, a: int, b: int, c: int, d: int) -> Path:
    """A copy of an MP4 file with another display matrix in its track header (ISO/IEC 14496-12, 8.3.2)."""
    data = bytearray(source.read_bytes())
    place = data.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    matrix = np.array([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30], ">i4")
    data[place : place + 36] = matrix.tobytes()
    target.write_bytes(data)
    return target


@pytest.mark.parametrize(
    ("matrix", "upright"),
    [
        ((1, 0, 0, 1), lambda picture: picture),
        ((0, 1, -1, 0), lambda picture: np.rot90(picture, -1)),
        ((-1, 0, 0, -1), lambda picture: np.rot90(picture, 2)),
        ((0, -1, 1, 0), np.rot90),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((0, 1, 1, 0), lambda picture: picture.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda picture: np.rot90(picture.transpose(1, 0, 2), 2)),
    ],
)
def test_a_turned_movie_is_upright(tmp_path, matrix, upright) -> None:
    plain = write(tmp_path / "plain.mp4", [CORNERS] * 3)
    photo = next(iter(load_clip(with_matrix(plain, tmp_path / "turned.mp4", *matrix))))
    expected = upright(CORNERS)
    assert photo.pixels.shape == expected.shape
    inner = np.s_[4:-4, 4:-4]
    off = np.abs(photo.pixels[inner].astype(int) - expected[inner])
    assert np.median(off) <= 3


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi", ".ts", ".flv"])
def test_every_frame_of_every_container(tmp_path, suffix) -> None:
    clip = load_clip(write(tmp_path / f"clip{suffix}", numbered(9), rate=25))
    assert (len(clip), clip.fps, clip.notes) == (9, 25, [])
    assert numbers(clip) == list(range(9)) and numbers(clip) == list(range(9))


@pytest.mark.parametrize("codec", ["libvpx-vp9", "libvpx"])
def test_a_webm_with_alpha_lies_over_white(tmp_path, codec) -> None:
    with av.open(str(tmp_path / "a.webm"), "w") as container:
        stream = container.add_stream(codec, rate=24)
        stream.height, stream.width, stream.pix_fmt = 96, 128, "yuva420p"
        if codec == "libvpx":
            stream.options = {"auto-alt-ref": "0"}
        for _ in range(3):
            clear = np.dstack([CORNERS, np.where(np.arange(128) < 64, 255, 0) * np.ones((96, 1))]).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(clear, format="rgba").reformat(format="yuva420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip = list(load_clip(tmp_path / "a.webm"))
    assert len(clip) == 3 and all(photo.pixels[10:-10, 74:-10].min() > 240 for photo in clip)
    assert np.abs(clip[0].pixels[10:40, 10:54].astype(int) - CORNERS[0, 0]).max() < 25


def test_an_avi_that_leaves_places_empty_keeps_its_rate_and_length(tmp_path) -> None:
    """As cameras of old wrote it: most frames repeat the picture before them."""
    kept = [0, 11, 17, 24, 31]
    pictures = [numbered(40)[number] for number in kept]
    path = tmp_path / "tree.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=15)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuvj420p"
        for picture, number in zip(pictures, kept, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuvj420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    clip = load_clip(path)
    expected = [max(number for number in kept if number <= frame) for frame in range(32)]
    assert (clip.fps, len(clip)) == (15, 32) and numbers(clip) == expected


def test_fields_share_their_colours_as_in_blender(tmp_path) -> None:
    """The chroma of two rows is theirs, whether the file is marked as one of fields or not."""
    rows = np.full((96, 128, 3), 128, np.uint8)
    rows[np.arange(96) % 4 < 2] = 220, 40, 40
    shown = {}
    for flags in ("+ildct+ilme", "+bitexact"):
        path = tmp_path / f"{flags}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
            stream.options = {"qp": "0", "flags": flags}
            frame = av.VideoFrame.from_ndarray(rows, format="rgb24").reformat(format="yuv420p")
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        with av.open(str(path)) as container:
            assert next(container.decode(video=0)).interlaced_frame == ("ilme" in flags)
        shown[flags] = next(iter(load_clip(path))).pixels
        assert any("interlaced" in note for note in load_clip(path).notes) == ("ilme" in flags)
    np.testing.assert_array_equal(*shown.values())


def test_an_animated_webp_is_a_clip(tmp_path) -> None:
    """At its times, laid over white; a still one is a photo."""
    pictures = [Image.fromarray(picture) for picture in numbered(4)]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=40, lossless=True)
    clip = load_clip(tmp_path / "a.webp")
    assert (len(clip), clip.fps, clip.notes) == (4, 25, []) and numbers(clip) == [0, 1, 2, 3]
    times = {"duration": [40, 80, 40, 40], "lossless": True}
    pictures[0].save(tmp_path / "uneven.webp", save_all=True, append_images=pictures[1:], **times)
    clip = load_clip(tmp_path / "uneven.webp")
    assert numbers(clip) == [0, 1, 1, 2, 3] and "varies" in clip.notes[0]
    pictures[2].save(tmp_path / "still.webp", lossless=True)
    assert len(load_clip(tmp_path / "still.webp")) == 1
    data = (tmp_path / "a.webp").read_bytes()
    (tmp_path / "cut.webp").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput, match="cut off or damaged"):
        list(load_clip(tmp_path / "cut.webp"))


def test_frame_rates_are_fractions(tmp_path) -> None:
    assert Movie(write(tmp_path / "ntsc.mp4", numbered(5), rate=Fraction(30000, 1001))).timing.rate == Fraction(
        30000, 1001
    )


def test_pictures_of_an_uneven_rate_come_at_their_times(tmp_path) -> None:
    """One second at 24 pictures a second, then every fourth of them."""
    kept = [*range(24), *range(24, 48, 4)]
    pictures = [numbered(48)[number] for number in kept]
    times = [round(1000 * number / 24) for number in kept]
    clip = load_clip(write(tmp_path / "uneven.mkv", pictures, times))
    assert clip.fps == 24 and "varies" in clip.notes[0]
    expected = [number if number < 24 else number // 4 * 4 for number in range(48)]
    assert numbers(clip) == expected[: len(clip)] and len(clip) >= 45


def test_a_recording_on_a_clock_of_milliseconds_keeps_its_frames(tmp_path) -> None:
    steps = np.random.default_rng(0).integers(30, 37, 39)
    times = [0, *np.cumsum(steps).tolist()]
    clip = load_clip(write(tmp_path / "browser.webm", numbered(40), times, codec="libvpx", pix_fmt="yuv420p"))
    assert len(clip) == len(list(clip)) == 40 and clip.fps == pytest.approx(30, rel=0.03) and not clip.notes


@pytest.mark.parametrize(("matrix", "scope"), [(1, 1), (5, 1), (1, 2), (5, 2)])
def test_colours_are_those_that_the_file_tells(tmp_path, matrix, scope) -> None:
    photo = next(iter(load_clip(write(tmp_path / "colours.mp4", [CORNERS] * 2, colours=(matrix, scope)))))
    for row, column in ((20, 20), (20, 100), (70, 20), (70, 100)):
        assert np.abs(photo.pixels[row, column].astype(int) - CORNERS[row, column]).max() <= 3


def test_a_movie_that_is_cut_off_says_so(tmp_path) -> None:
    whole = write(
        tmp_path / "whole.mp4",
        [*np.random.default_rng(0).integers(0, 255, (40, 48, 64, 3), np.uint8)],
        container={"movflags": "faststart"},
    )
    (tmp_path / "cut.mp4").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    clip = load_clip(tmp_path / "cut.mp4")
    count = len(list(clip))
    assert 10 < count <= len(clip) < 30 and "cut off" in clip.notes[0] and "of its 40 frames" in clip.notes[0]


def test_pixels_that_are_not_square(tmp_path) -> None:
    path = write(tmp_path / "wide.mp4", numbered(3), sample_aspect_ratio=Fraction(4, 3))
    clip = load_clip(path)
    camera = next(iter(clip)).camera_or_default()
    assert (
        "not square" in clip.notes[0] and camera.fy == pytest.approx(camera.fx * 4 / 3) and camera.source == "default"
    )


def test_an_animated_gif_is_a_clip(tmp_path) -> None:
    from PIL import Image

    pictures = [Image.fromarray(picture) for picture in numbered(4)]
    pictures[0].save(tmp_path / "moves.gif", save_all=True, append_images=pictures[1:], duration=100)
    pictures[0].save(tmp_path / "rests.gif")
    clip = load_clip(tmp_path / "moves.gif")
    assert (len(clip), clip.fps) == (4, 10) and numbers(clip) == [0, 1, 2, 3]
    assert len(load_clip(tmp_path / "rests.gif")) == 1


def test_a_title_in_another_alphabet_than_utf8_does_no_harm(tmp_path) -> None:
    movie = write(tmp_path / "a.avi", numbered(4), codec="mjpeg", pix_fmt="yuvj420p", colours=(5, 2))
    data = movie.read_bytes()
    assert data.count(b"Lavf") == 1  # what wrote it, which players show beside the title
    movie.write_bytes(data.replace(b"Lavf", b"L\xe9\xd3f"))
    assert len(load_clip(movie)) == 4


def test_sound_alone_is_no_movie(tmp_path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(BadInput, match="no pictures"):
        load_clip(tmp_path / "sound.mp4")


def test_a_playlist_reaches_nothing_but_files(tmp_path) -> None:
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n")
    with pytest.raises(BadInput):
        load_clip(tmp_path / "list.mp4")


@pytest.mark.parametrize(("told", "slow"), [("240.000000", True), ("24.0", False), ("fast", False), (None, False)])
def test_slow_motion_of_a_phone_is_said(tmp_path, told, slow) -> None:
    path = tmp_path / "slow.mp4"
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as container:
        container.metadata.update({"com.android.capture.fps": told} if told else {})
        stream = container.add_stream("libx264", rate=24)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for picture in numbered(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    assert [note.startswith("It is slow motion, filmed at 240 frames") for note in load_clip(path).notes] == [
        True
    ] * slow
