# SPDX-License-Identifier: GPL-3.0-or-later
"""Movies and animated pictures as Blender plays them: upright, in sRGB, at a constant frame rate.

FFmpeg (through PyAV) tells when each frame is shown, how it is to be turned, and which matrix and range its colours
have. Frames of an uneven rate are put where they are shown; what cannot be read is noted, not passed over.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..errors import BadInput
from .checks import check_file, check_size, open_media, require
from .colour import over_white

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video import VideoStream
    from av.video.frame import VideoFrame
    from numpy.typing import NDArray

MOVIE_SUFFIXES = frozenset(
    (
        *(".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".mts", ".m2ts", ".ts"),
        *(".ogv", ".flv", ".f4v", ".3gp", ".3g2", ".mxf", ".vob", ".dv", ".mjpg", ".mjpeg", ".asf", ".ogg", ".divx"),
    )
)
#: Pictures that may hold several frames, those that Blender opens as movies.
ANIMATION_SUFFIXES = frozenset((".gif", ".apng"))
#: Frame rate of movies that do not tell theirs or tell nonsense: Blender's own default.
DEFAULT_FPS = 24.0
#: Frame rates in use, which measured ones are rounded to.
_RATES = (
    *map(Fraction, (10, 12, 15, 24, 25, 30, 48, 50, 60, 90, 100, 120, 240)),
    *(Fraction(1000 * rate, 1001) for rate in (24, 30, 48, 60, 120)),
)
_LEAST_RATE, _MOST_RATE = Fraction(1, 2), Fraction(1000)
#: Index entries that an edit list leaves out (AVINDEX_DISCARD_FRAME).
_DISCARDED = 2
#: Matrix coefficients (ITU-T H.273) -> those that FFmpeg's scaler knows; ColorRange of full range.
_MATRICES = {1: 1, 4: 4, 5: 5, 6: 5, 7: 7, 9: 9, 10: 9}
_FULL_RANGE = 2
#: SWS_POINT and SWS_ACCURATE_RND: chroma of the nearest pixel, exactly rounded, as Blender has it.
_SCALER = 0x10 | 0x40000
#: Codec -> the decoder that knows its alpha, which WebM holds beside the picture.
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
#: What is said of a film that tells that more frames a second were filmed than it plays.
SLOW = (
    "It is slow motion, filmed at {0:.4g} frames a second: without that as Capture Rate in Settings (on the command"
    " line --capture-fps {0:.4g}) people tremble."
)
_ADVICE = "Save it again, as MP4 (H.264)."


def is_movie(path: Path) -> bool:
    """Whether the name is a movie's. A GIF is one for `load_clip`; its first frame is a photo for `load_photo`."""
    return path.suffix.lower() in MOVIE_SUFFIXES


@dataclass(frozen=True)
class Timing:
    """When the pictures of a movie are shown.

    rate : frames per second.  length : frames.  slots : presentation time (in the stream's time base) -> the frame at
    which the picture begins; empty where pictures follow each other frame by frame.
    """

    rate: Fraction
    length: int
    slots: Mapping[int, int] = field(default_factory=dict)


class Movie:
    """A movie file, or a picture of several frames.

    length : frames at the constant rate `fps`.  pixel_aspect : width of a pixel over its height, as it is shown.
    notes : what the artist has to know, in sentences; one more may come when frames turn out to be unreadable.
    """

    def __init__(self, path: Path) -> None:
        check_file(path, "movie")
        self.path = path
        self.notes: list[str] = []
        with self._opened() as (container, stream):
            self.timing = self._timing(container, stream)
            first = next(_decoded(container, stream), None)
            if first is None or not self.timing.length:
                raise BadInput(f"The movie {path} has no frame that can be read.", _ADVICE)
            # AVI files hold pictures by number only; where some stand longer, places are left empty.
            stand = bool(self.timing.slots) and self.timing.length > len(self.timing.slots)
            self._has_times = container.format.name != "avi" or stand
            self._start: int = first.pts or 0
            self._unit = Fraction(stream.time_base or 1)
            self._turn = _display_turn(first)
            across = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
            self.pixel_aspect = 1 / across if self._turn[0] else across
            if self.pixel_aspect != 1:
                self.notes.append(f"Its pixels are not square ({float(self.pixel_aspect):.4g} wide for 1 high).")
            if (filmed := _rate_filmed(container)) > 1.5 * self.fps:
                self.notes.append(SLOW.format(filmed))
            if first.interlaced_frame:
                self.notes.append("It is marked as interlaced: if what moves is combed, deinterlace it first.")

    @property
    def length(self) -> int:
        return self.timing.length

    @property
    def fps(self) -> float:
        return float(self.timing.rate)

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """The frames (H, W, 3) uint8 sRGB, one at a time. Each picture stands until the next one begins."""
        begins = sorted(self.timing.slots.values())
        shown, count = None, 0
        with self._opened() as (container, stream):
            for number, frame in enumerate(_decoded(container, stream)):
                slot = self._slot(frame, number)
                while shown is not None and count < min(slot, self.length):
                    yield shown
                    count += 1
                shown = _pixels(frame, self._turn)
            # The last picture that could be read stands as long as it was meant to, not over what is missing.
            later = bisect.bisect_right(begins, count)
            end = count + 1 if not begins else begins[later] if later < len(begins) else self.length
            while shown is not None and count < min(end, self.length):
                yield shown
                count += 1
        if count < self.length:
            self.notes.append(f"{self.length - count} of its {self.length} frames cannot be read.")

    def _slot(self, frame: VideoFrame, number: int) -> int:
        """The frame of the clip at which a picture begins."""
        if frame.pts is None or not self._has_times:
            return number
        known = self.timing.slots.get(frame.pts)
        return round((frame.pts - self._start) * self._unit * self.timing.rate) if known is None else known

    @contextmanager
    def _opened(self) -> Iterator[tuple[InputContainer, VideoStream]]:
        """The file and its picture stream; a playlist in it reaches nothing but files."""
        require("av")
        from av.error import FFmpegError
        from av.stream import Disposition

        try:
            container = open_media(self.path)
        except (FFmpegError, ValueError) as error:
            raise BadInput(f"{self.path} is not a movie that can be read, or is cut off.", _ADVICE) from error
        with container:
            streams = [
                stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic
            ]
            if not streams:
                raise BadInput(f"{self.path} holds no pictures, only sound or data.", "Choose a movie.")
            streams[0].thread_type = "AUTO"
            yield container, streams[0]

    def _timing(self, container: InputContainer, stream: VideoStream) -> Timing:
        """From the file's index where it is complete and the rate is constant; else every packet is looked at."""
        unit, by_number = Fraction(stream.time_base or 1), container.format.name == "avi"
        size = self.path.stat().st_size
        entries = [entry for entry in stream.index_entries if not entry.flags & _DISCARDED]
        if stream.frames and stream.frames <= len(stream.index_entries):
            there = [entry for entry in entries if entry.pos + entry.size <= size]
            if len(there) < len(entries):
                self.notes.append(f"The file is cut off: {len(there)} of its {len(entries)} frames are there.")
            rate = _constant_rate(np.sort([entry.timestamp for entry in there]), unit, stream, by_number)
            if rate:
                return Timing(rate, len(there))
        shown = _presentation(container, stream)
        if not len(shown):
            return Timing(Fraction(DEFAULT_FPS), 0)
        self._check_end(container, stream, float((shown[-1, 0] - shown[0, 0]) * unit))
        rate = _constant_rate(shown[:, 0], unit, stream, by_number)
        if rate:
            return Timing(rate, len(shown), {int(pts): slot for slot, (pts, _) in enumerate(shown)})
        return self._uneven(shown, unit, stream, by_number)

    def _check_end(self, container: InputContainer, stream: VideoStream, seconds: float) -> None:
        """Note when the header promises more than there is."""
        promised = float((stream.duration or 0) * Fraction(stream.time_base or 1))
        if not promised and container.duration and len(container.streams) == 1:
            promised = container.duration / 1e6
        if promised > 1.05 * seconds + 1:
            self.notes.append(f"The file is cut off: of {promised:.1f} s there are {seconds:.1f} s.")

    def _uneven(self, shown: NDArray[np.int64], unit: Fraction, stream: VideoStream, by_number: bool) -> Timing:
        """Pictures of a variable frame rate, at a constant one."""
        usual = rounded_rate(1 / (Fraction(int(np.median(np.diff(shown[:, 0])))) * unit or Fraction(1, 24)))
        told = stream.guessed_rate
        # Blender plays the movie at the rate that FFmpeg guesses; a clock's ticks are not a frame rate.
        most = 120 if by_number else min(120, 2 * usual)
        rate = Fraction(told) if told and 5 <= told <= most else usual
        slots = np.rint((shown[:, 0] - shown[0, 0]) * float(unit * rate)).astype(int)
        end = int(slots[-1]) + max(1, round(int(shown[-1, 1]) * float(unit * rate)))
        self.notes.append(f"Its frame rate varies; its pictures were put at their times, {float(rate):.5g} a second.")
        return Timing(rate, end, dict(zip(shown[:, 0].tolist(), slots.tolist(), strict=True)))


def _presentation(container: InputContainer, stream: VideoStream) -> NDArray[np.int64]:
    """(N, 2) presentation time and duration of every picture, in the order in which they are shown."""
    from av.error import FFmpegError

    found: list[tuple[int, int]] = []
    try:
        for packet in container.demux(stream):
            time = packet.dts if packet.pts is None else packet.pts
            if time is not None and packet.size and not packet.is_discard:
                found.append((time, packet.duration or 0))
    except FFmpegError:
        pass  # what follows is damaged
    container.seek(0, backward=True, any_frame=False)
    return np.array(sorted(dict(found).items()), np.int64).reshape(-1, 2)


def _constant_rate(times: NDArray[np.int64], unit: Fraction, stream: VideoStream, by_number: bool) -> Fraction | None:
    """The rate at which every picture is less than one frame from its place; None where the rate varies.

    by_number : times are numbers of frames, so that none but the rate that is told can be meant.
    """
    if not len(times):
        return None
    told = [Fraction(rate) for rate in (stream.guessed_rate, stream.average_rate) if rate]
    told = [rate for rate in told if _LEAST_RATE <= rate <= _MOST_RATE]
    if len(times) == 1:
        return told[0] if told else Fraction(DEFAULT_FPS)
    seconds = (times - times[0]) * float(unit)
    if seconds[-1] and not by_number:
        told.append(rounded_rate(Fraction((len(times) - 1) / seconds[-1]).limit_denominator(1001)))
    for rate in told:
        if np.abs(seconds * float(rate) - np.arange(len(times))).max() < 1:
            return rate
    return None


def rounded_rate(rate: Fraction) -> Fraction:
    """The rate in use that is within 1 %, else this one."""
    nearest = min(_RATES, key=lambda one: abs(one - rate))
    return nearest if abs(nearest - rate) < rate / 100 else rate


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[VideoFrame]:
    """The pictures in the order in which they are shown, damaged ones left out."""
    from av.codec import CodecContext
    from av.error import FFmpegError

    packets = container.demux(stream)
    decoder: Any = stream.codec_context
    if stream.metadata.get("alpha_mode") == "1" and decoder.name in _WITH_ALPHA:
        decoder = CodecContext.create(_WITH_ALPHA[decoder.name], "r")  # FFmpeg's own sees no transparency
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            frames = decoder.decode(packet if packet.size else None)
        except EOFError:
            return
        except FFmpegError:
            continue
        yield from frames  # type: ignore[misc]


def _rate_filmed(container: InputContainer) -> float:
    """Frames a second that a phone says it has filmed at, which are more than the film's in slow motion; else 0."""
    try:
        return float(container.metadata.get("com.android.capture.fps", 0))
    except ValueError:
        return 0.0


def _display_turn(frame: VideoFrame) -> tuple[bool, bool, bool]:
    """What the display matrix asks for: rows and columns exchanged, then mirrored left-right, then upside down."""
    from av.sidedata.sidedata import Type

    matrix = frame.side_data.get(cast("Any", Type.DISPLAYMATRIX))
    if matrix is None:
        return False, False, False
    a, b, _, c, d, *_ = np.frombuffer(bytes(matrix), np.int32)
    if abs(int(a)) + abs(int(d)) >= abs(int(b)) + abs(int(c)):
        return False, bool(a < 0), bool(d < 0)
    return True, bool(c < 0), bool(b < 0)


def _pixels(frame: VideoFrame, turn: tuple[bool, bool, bool]) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 sRGB, upright; transparency lies over white."""
    import cv2

    check_size(frame.width, frame.height)
    clear = any(component.is_alpha for component in frame.format.components) or frame.format.name == "pal8"
    colours = _colours(frame)
    if frame.interlaced_frame and frame.format.name in ("yuv420p", "yuvj420p"):
        # Without the mark: Blender takes the colours of a frame's fields together.
        frame = type(frame).from_ndarray(frame.to_ndarray(), format=frame.format.name)
    wanted = ("rgba64le" if clear else "rgb48le") if colours else ("rgba" if clear else "rgb24")
    pixels: NDArray[Any] = frame.reformat(format=wanted, **colours).to_ndarray()
    swapped, mirrored, upset = turn
    pixels = pixels.transpose(1, 0, 2) if swapped else pixels
    pixels = pixels[:, ::-1] if mirrored else pixels
    pixels = pixels[::-1] if upset else pixels
    if pixels.dtype == np.uint16:
        pixels = np.asarray(cv2.convertScaleAbs(np.ascontiguousarray(pixels), alpha=1 / 257), np.uint8)
    return over_white(pixels[..., :3], pixels[..., 3]) if clear else np.ascontiguousarray(pixels)


def _colours(frame: VideoFrame) -> dict[str, Any]:
    """The matrix and range to convert by: as the file says, and BT.601 of limited range where it does not, as Blender
    does. Pictures that are RGB already need none."""
    if frame.format.is_rgb or frame.format.has_palette:
        return {}
    full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    return {
        "src_colorspace": _MATRICES.get(frame.colorspace, 5),
        "src_color_range": _FULL_RANGE if full else 1,
        "dst_color_range": _FULL_RANGE,
        "interpolation": _SCALER,
    }
