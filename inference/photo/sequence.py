# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the frames of a clip come from: a movie, a folder, or numbered picture files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BadInput
from .decode import PICTURE_SUFFIXES, check_file, check_size

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOVIE_SUFFIXES = frozenset(
    (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".mts", ".m2ts", ".ogv", ".flv", ".3gp")
)
#: Frame rate of numbered frames, and of movies that do not tell theirs or tell nonsense: Blender's own default.
DEFAULT_FPS = 24.0
_PRINTF = re.compile(r"%(0?)(\d*)d")


def is_movie(path: Path) -> bool:
    return path.suffix.lower() in MOVIE_SUFFIXES


def is_pattern(path: Path) -> bool:
    """Whether the file name holds %d, %04d or #### and is not itself the name of a file."""
    return bool(_PRINTF.search(path.name) or "#" in path.name) and not path.exists()


def pattern_files(path: Path) -> list[Path]:
    """The files that a pattern (`shot_%04d.png`, `shot_####.png`) stands for, in the order of their numbers."""
    printf = _PRINTF.search(path.name)
    if printf:
        start, end = printf.span()
        width, padded = int(printf.group(2) or 0), bool(printf.group(1))
        digits = rf"(\d{{{width},}})" if padded else r"(\d+)"
    else:
        start = path.name.index("#")
        end = start + len(re.match(r"#+", path.name[start:]).group())  # type: ignore[union-attr]
        digits = rf"(\d{{{end - start},}})"
    found = _numbered(path.parent, path.name[:start], digits, path.name[end:])
    if not found:
        raise BadInput(f"No file matches {path}.", "Check the folder, the name and the number of digits.")
    return found


def sequence_of(path: Path) -> list[Path]:
    """All files that differ from `path` only in the last number of their name; [path] where it has none."""
    check_file(path, "photo")
    match = re.fullmatch(r"(.*?)(\d+)(\D*)", path.name)
    if match is None:
        return [path]
    before, _, after = match.groups()
    return _numbered(path.parent, before, r"(\d+)", after)


def folder_files(folder: Path) -> list[Path]:
    """The picture files of a folder, hidden ones left out, frame2 before frame10."""
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise BadInput(f"The folder {folder} cannot be read: {error.strerror}.", "Change its permissions.") from error
    pictures = [entry for entry in entries if entry.suffix.lower() in PICTURE_SUFFIXES and entry.is_file()]
    if not pictures:
        raise BadInput(f"The folder {folder} holds no picture.", "Choose a folder of PNG, JPEG, TIFF or EXR files.")
    return sorted(pictures, key=lambda entry: _natural_key(entry.name))


def are_frames(files: list[Path]) -> bool:
    """Whether the names differ only in one number, as the frames of a rendering do."""
    return len(files) > 1 and len({re.sub(r"\d+(?=\D*$)", "#", file.name) for file in files}) == 1


class Movie:
    """A movie file that OpenCV can read.

    length : frames. The header's number where its last frame is really there, else counted.
    fps : frames per second, `DEFAULT_FPS` where the header tells none or nonsense.
    """

    def __init__(self, path: Path) -> None:
        import cv2

        check_file(path, "movie")
        self.path = path
        capture = self._open()
        fps = float(capture.get(cv2.CAP_PROP_FPS))
        self.fps = fps if math.isfinite(fps) and 0.5 <= fps <= 1000 else DEFAULT_FPS
        claimed = capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.length = int(claimed) if 0 < claimed < 1e7 and self._has(capture, int(claimed) - 1) else self._count()
        if self.length == 0:
            raise BadInput(f"The movie {path} has no frame that can be read.", "Save it again, as MP4 (H.264).")

    def frames(self) -> Iterator[NDArray[np.uint8]]:
        """The frames (H, W, 3) uint8 sRGB, one at a time."""
        import numpy as np

        capture = self._open()
        try:
            for _ in range(self.length):
                read, pixels = capture.read()
                if not read:
                    return
                check_size(pixels.shape[1], pixels.shape[0])
                yield np.ascontiguousarray(pixels[..., ::-1], np.uint8)
        finally:
            capture.release()

    def _open(self):
        import cv2

        capture = cv2.VideoCapture(str(self.path))
        if not capture.isOpened():
            raise BadInput(f"{self.path} is not a movie that can be read.", "Save it as MP4 (H.264).")
        return capture

    @staticmethod
    def _has(capture, index: int) -> bool:
        import cv2

        capture.set(cv2.CAP_PROP_POS_FRAMES, index)
        return capture.grab()

    def _count(self) -> int:
        capture, count = self._open(), 0
        while capture.grab():
            count += 1
        return count


def _numbered(folder: Path, before: str, digits: str, after: str) -> list[Path]:
    """Files of `folder` named before + digits + after, by number."""
    if not folder.is_dir():
        raise BadInput(f"There is no folder {folder}.", "Check the path.")
    name = re.compile(re.escape(before) + digits + re.escape(after))
    found = [(int(match.group(1)), entry) for entry in folder.iterdir() if (match := name.fullmatch(entry.name))]
    return [entry for _, entry in sorted(found)]


def _natural_key(name: str) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", name.casefold())
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part]
