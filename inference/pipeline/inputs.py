# SPDX-License-Identifier: GPL-3.0-or-later
"""What was given on a command line (files, folders, patterns), as inputs of one photo or clip each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import BadInput, MaquetteError
from ..photo import Clip, load_clip
from ..photo.decode import PICTURE_SUFFIXES
from ..photo.movie import MOVIE_SUFFIXES, is_movie
from ..photo.sequence import are_frames, folder_files, is_pattern, number_of, pattern_files, sequence_of


@dataclass(frozen=True)
class Input:
    """A photo or a clip.

    path : as it is opened.  name : of its file, without an ending.
    files : its pictures; none of a movie, whose `length` frames count from 1.
    numbers : of its frames, as its files are numbered.
    error : why it cannot be opened.  notes : what is to be known of it.
    """

    path: Path
    name: str
    files: tuple[Path, ...] = ()
    length: int = 1
    numbered: bool = False
    error: MaquetteError | None = None
    notes: Sequence[str] = field(default=(), compare=False)

    @property
    def numbers(self) -> list[int]:
        return [number_of(file) for file in self.files] if self.numbered else list(range(1, self.length + 1))

    @property
    def is_clip(self) -> bool:
        return self.length > 1 or self.numbered


def inputs_of(
    given: Iterable[str], *, fps: float | None = None, sequence: bool = False, tell: Callable[[str], object]
) -> list[Input]:
    """The inputs that command line arguments stand for, in their order.

    given : photos, movies, folders, numbered patterns (`shot_####.png`), and `*` and `?` for any letters.
    fps : makes a folder of numbered photos one clip, whatever they show.  sequence : a numbered file stands for all.
    tell : gets a sentence for what is left out of a folder.
    """
    found: list[Input] = []
    for text in given:
        path = Path(text)
        if path.is_dir():
            found += _of_folder(path, fps, tell)
        elif not path.exists() and set(text) & set("*?["):
            matches = _matches(path)
            none = BadInput(f"No file matches {text}.", "Check the folder and the name.")
            found += [_opened(match, fps, False) for match in matches] or [Input(path, "", error=none)]
        else:
            found.append(_opened(path, fps, sequence))
    return found


def files_of(given: Iterable[str], suffixes: Iterable[str]) -> list[Input]:
    """Inputs other than photos: files, `*` and `?`, and the files with these endings in folders."""
    found: list[Input] = []
    for text in given:
        path = Path(text)
        inside = sorted(entry for entry in path.iterdir() if entry.suffix.lower() in suffixes) if path.is_dir() else []
        matches = inside or ([path] if path.is_file() else _matches(path))
        none = BadInput(f"There is no file {text}.", f"Check the path; endings are {', '.join(suffixes)}.")
        found += [Input(match, match.stem) for match in matches] or [Input(path, "", error=none)]
    return found


def _matches(path: Path) -> list[Path]:
    """The files that a path with `*` or `?` stands for; hidden ones are left out."""
    if not set(str(path)) & set("*?["):
        return []
    there = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
    return sorted(match for match in there if not match.name.startswith("."))


def _of_folder(folder: Path, fps: float | None, tell: Callable[[str], object]) -> Iterator[Input]:
    """The clip that the numbered pictures of a folder are, or each of them; behind them its movies."""
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    movies = sorted(entry for entry in entries if is_movie(entry) and not entry.is_dir())
    lost = sorted(entry for entry in entries if entry.suffix.lower() in PICTURE_SUFFIXES and not entry.exists())
    others = [
        entry.name
        for entry in entries
        if entry.is_file() and entry.suffix.lower() not in {*PICTURE_SUFFIXES, *MOVIE_SUFFIXES}
    ]
    if others:
        tell(f"{len(others)} other files of {folder} are left out, such as {min(others)}.")
    try:
        files = folder_files(folder)
    except BadInput as error:
        files = []
        if not (movies or lost):
            yield Input(folder, folder.name, error=error)
    clip = _clip(folder, fps, False) if are_frames(files) else None
    if isinstance(clip, Clip) and clip.fps:
        yield Input(folder, folder.name, tuple(files), len(files), True, None, clip.notes)
    else:
        for note in clip.notes if isinstance(clip, Clip) else ():
            tell(note)
        yield from (_opened(file, None, False) for file in files)
    yield from (_opened(file, None, False) for file in (*movies, *lost))


def _opened(path: Path, fps: float | None, sequence: bool) -> Input:
    """A file or pattern as it is, with the error that opening it raises; photos are opened when they are read."""
    try:
        files = pattern_files(path) if is_pattern(path) else sequence_of(path) if sequence else [path]
    except BadInput as error:
        return Input(path, path.stem, error=error)
    numbered = is_pattern(path) or (sequence and are_frames(files))
    clip = _clip(path, fps, sequence)
    if isinstance(clip, MaquetteError):
        return Input(path, path.stem, error=clip)
    if len(files) == 1 and not is_pattern(path) and (is_movie(path) or len(clip) > 1):
        return Input(path, path.stem, (), len(clip), notes=clip.notes)
    return Input(path, path.stem, tuple(files), len(files), numbered, None, clip.notes)


def _clip(path: Path, fps: float | None, sequence: bool) -> Clip | MaquetteError:
    try:
        return load_clip(path, fps=fps, sequence=sequence)
    except MaquetteError as error:
        return error
    except Exception as error:  # a decoder's own, of a file that is not a picture
        return BadInput(f"{path} cannot be read ({type(error).__name__}: {error}).", "Save it again, or leave it out.")
