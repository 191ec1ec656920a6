# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders and numbered picture files as the frames of a clip."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from .checks import check_file
from .decode import PICTURE_SUFFIXES, taken_at

#: Missing numbers for each file that is there, up to which a gap is kept.
_MOST_GAPS = 4
#: Seconds between photos from which on they do not form a clip; correlation below which pictures show different
#: things, and the side of the small pictures that it is taken of.
_APART, _ALIKE, _LOOK = 1.0, 0.2, 24
_PRINTF = re.compile(r"%(0?)(\d*)d")


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
        raise BadInput(f"The folder {folder} contains no pictures.", "Choose a folder of PNG, JPEG, TIFF or EXR files.")
    return sorted(pictures, key=lambda entry: _natural_key(entry.name))


def are_frames(files: list[Path]) -> bool:
    """Whether the names differ only in one number, as the frames of a rendering do."""
    return len(files) > 1 and len({re.sub(r"\d+(?=\D*$)", "#", file.name) for file in files}) == 1


def number_of(file: Path) -> int:
    """The last number in a file's name; 0 without one."""
    return int(([0, *re.findall(r"\d+", file.stem)])[-1])


def apart(files: list[Path]) -> str:
    """Why pictures whose names differ only in a number are not frames of one clip, in a sentence without its full stop;
    "" where they may be. A few of them are looked at: when they were taken (EXIF), their sizes, what they show."""
    sampled = [files[index] for index in sorted({round(share * (len(files) - 1)) for share in np.linspace(0, 1, 6)})]
    taken = [taken_at(files[0]), taken_at(files[-1])]
    if all(taken) and abs(taken[1] - taken[0]) >= _APART * (len(files) - 1):
        return "Its photos were not taken in one go"
    looks = [look for file in sampled if (look := _look(file)) is not None]
    if len({size for size, _ in looks}) > 1:
        return "Its photos have several sizes"
    pairs = [(files[index], files[index + 1]) for index in sorted({0, (len(files) - 1) // 2, len(files) - 2})]
    likenesses = [_likeness(*map(_look, pair)) for pair in pairs]
    return "Its photos show different things" if max(likenesses) < _ALIKE else ""


def _look(file: Path) -> tuple[tuple[int, int], NDArray[np.float64]] | None:
    """Size, and a few grey pixels, of a picture that Pillow reads quickly; None for others."""
    from PIL import Image

    try:
        with Image.open(file, formats=["JPEG", "PNG", "WEBP", "BMP", "TIFF"]) as image:
            size = image.size
            image.draft("L", (_LOOK, _LOOK))
            return size, np.asarray(image.convert("L").resize((_LOOK, _LOOK), Image.Resampling.BOX), np.float64)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None


def _likeness(one: Any, other: Any) -> float:
    """Correlation of two looks; 1 where there is nothing to compare."""
    if one is None or other is None:
        return 1.0
    first, second = (look - look.mean() for _, look in (one, other))
    size = np.linalg.norm(first) * np.linalg.norm(second)
    return float((first * second).sum() / size) if size > _LOOK else 1.0


def without_gaps(files: list[Path]) -> tuple[list[Path], str]:
    """A file for every frame from the first number to the last, and what is to be said of it. Where a number is
    missing, the file before it stands on, so that all others lie at the frames at which Blender plays them."""
    numbers = list(map(number_of, files))
    span = numbers[-1] - numbers[0] + 1
    missing = span - len(files)
    if missing <= 0:
        return files, ""
    said = f"{missing} of the frames {numbers[0]} to {numbers[-1]} {'is' if missing == 1 else 'are'} missing"
    if missing > _MOST_GAPS * len(files):
        return files, f"{said}: those that exist follow each other without a gap."
    held, place = [], 0
    for number in range(numbers[0], numbers[-1] + 1):
        place += place + 1 < len(files) and numbers[place + 1] <= number
        held.append(files[place])
    return held, f"{said}: the frame before stands in for them."


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
