# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs: what is read, and the one file that is made of it; which of those files are there and whole."""

from __future__ import annotations

import os
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from ..errors import BadInput, MaquetteError
from .inputs import Input

#: Seconds after which an unfinished file that nobody writes to any more was left by a process that is gone.
_LEFT = 10.0
#: Ending -> what a whole file ends with (after it only line ends), where that tells.
_ENDS = {
    ".png": b"IEND\xaeB`\x82",
    ".usda": b"}",
    ".fbx": b"\xf8\x5a\x8c\x6a\xde\xf5\xd9\x7e\xec\xe9\x0c\xe3\x75\x8f\x29\x0b",
}


@dataclass(frozen=True)
class Job:
    """source : what was given, as it is opened.  output : the file that is made.
    file : the picture; None where the frame `index` (from 0) of a movie is meant, or all of the source.
    film : whether it is a frame of a clip.  sequence, fps : how the source is opened (see `load_clip`).
    stop : of a part of a clip, `index` .. stop - 1; None otherwise.
    """

    source: Path
    output: Path
    file: Path | None = None
    index: int | None = None
    film: bool = False
    sequence: bool = False
    fps: float | None = None
    stop: int | None = None

    @property
    def label(self) -> str:
        """What messages call it."""
        name = str(self.file or self.source)
        if self.stop is not None:
            return f"{name}, frames {self.output.stem}"
        return name + ("" if self.index is None else f", frame {self.index + 1}")


@dataclass(frozen=True)
class Outcome:
    """What became of a job: error is None where its file was written. notes : what is to be known of its photos.
    model : the one that answered, where it was not named."""

    label: str
    output: Path | None
    error: MaquetteError | None = None
    seconds: float = 0.0
    skipped: bool = False
    notes: tuple[str, ...] = ()
    model: str = ""


def is_folder(output: Path, text: str) -> bool:
    """Whether --output means a folder, which is made where it is not there: a name without an ending, or with a slash
    behind it."""
    return output.is_dir() or (not output.exists() and (text.endswith(("/", os.sep)) or not output.suffix))


def jobs_of(
    inputs: Sequence[Input],
    name: Callable[[str], Path],
    *,
    by_frame: bool,
    frames: Iterable[tuple[int, int]] | None = None,
    sequence: bool = False,
    fps: float | None = None,
) -> list[Job]:
    """The jobs of all inputs that can be opened, in their order.

    name : stem -> output.  by_frame : a file for every frame; else one for every input.
    frames : ranges of frames in a clip's own numbers, both ends included; None takes all.
    Raises `BadInput` where two outputs would have the same name, or an input has none of the frames.
    """
    jobs: list[Job] = []
    for one in inputs:
        if one.error is not None:
            continue
        how: dict[str, Any] = {"film": one.is_clip, "sequence": sequence, "fps": fps}
        if not by_frame:
            jobs.append(Job(one.path, name(one.name), sequence=sequence, fps=fps))
        elif one.files:
            chosen = _chosen(one, frames)
            jobs += [Job(one.path, name(one.files[place].stem), one.files[place], **how) for place in chosen]
        else:
            jobs += [
                Job(one.path, name(f"{one.name}.{place + 1:04d}"), index=place, film=True)
                for place in _chosen(one, frames)
            ]
    return _told_apart(jobs, name)


def _chosen(one: Input, frames: Iterable[tuple[int, int]] | None) -> list[int]:
    """The places of the frames that are asked for."""
    if frames is None:
        return list(range(one.length))
    if not one.is_clip:
        raise BadInput(f"{one.path} is one photo and has no frames.", "Leave --frames out, or give the clip.")
    numbers, wanted = one.numbers, list(frames)
    chosen = [place for place, number in enumerate(numbers) if any(low <= number <= high for low, high in wanted)]
    if not chosen:
        raise BadInput(
            f"{one.path} has the frames {numbers[0]} to {numbers[-1]}, none of those asked for.", "Choose some."
        )
    return chosen


def _told_apart(jobs: list[Job], name: Callable[[str], Path]) -> list[Job]:
    """Photos that differ in their endings alone keep them: `wall.png.depth.npz`."""
    outputs = _counted(jobs)
    renamed = [
        replace(job, output=name((job.file or job.source).name))
        if outputs[_folded(job.output)] > 1 and job.index is None
        else job
        for job in jobs
    ]
    if max(_counted(renamed).values(), default=1) > 1:
        raise BadInput("Two of the photos have the same name.", "Rename one, or run them one at a time.")
    return renamed


def _counted(jobs: Iterable[Job]) -> Mapping[str, int]:
    return Counter(_folded(job.output) for job in jobs)


def _folded(path: Path) -> str:
    """As file systems that do not tell capitals apart see it."""
    return str(path).casefold()


def is_whole(path: Path) -> bool:
    """Whether a file of a known kind is there to its end; of other kinds, whether it holds anything."""
    try:
        size = path.stat().st_size
        if path.suffix.lower() == ".npz":
            with zipfile.ZipFile(path) as file:
                return file.testzip() is None
        with path.open("rb") as file:
            if path.suffix.lower() in (".glb",):
                return int.from_bytes(file.read(12)[8:], "little") == size > 0
            end = _ENDS.get(path.suffix.lower())
            if end is not None:
                file.seek(max(0, size - 64))
                return file.read().rstrip(b"\r\n \0").endswith(end)
        if path.suffix.lower() == ".exr":
            from ..photo import exr

            exr.read_exr(path)
        return size > 0
    except (OSError, zipfile.BadZipFile, BadInput, ValueError, RuntimeError):
        return False


def clear_leftovers(outputs: Iterable[Path]) -> None:
    """Remove what processes that were killed have left beside these files: see `installer.shared.disk.whole_file`."""
    stems = {(path.parent, f".{path.stem[:100]}.") for path in outputs}
    listed = chain.from_iterable(
        folder.glob(".*.part*") for folder in {folder for folder, _ in stems} if folder.is_dir()
    )
    for part in listed:
        own = part.name.rpartition(".part")[0].rpartition(".")[0] + "."
        try:
            if (part.parent, own) in stems and part.is_file() and time.time() - part.stat().st_mtime > _LEFT:
                part.unlink()
        except OSError:  # gone meanwhile, or not ours
            continue
