# SPDX-License-Identifier: GPL-3.0-or-later
"""The work itself: jobs in, a file and an outcome for each, whatever is wrong with one of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from .. import batch, export
from ..errors import BadInput, Cancelled, MaquetteError
from ..options.common import AUTO
from ..photo import Clip, Photo, load_clip, load_photo
from .jobs import Job, Outcome

#: (fraction, message); may raise `Cancelled`.
Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Work:
    """A task with everything but its photos; plain values, so that it can be sent to other machines.

    task : of the catalogue.  options : keywords of its public function, its model among them.
    lens : fx and fy that were given.  layer : of OpenEXR photos.  saved : keywords of `export.save`.
    first : of films, only the first of several models, as their other parts may be done elsewhere.
    """

    task: str
    options: Mapping[str, Any]
    lens: tuple[float | None, float | None] = (None, None)
    layer: str | None = None
    saved: Mapping[str, Any] = field(default_factory=dict)
    first: bool = False

    def __call__(self, jobs: Sequence[Job], progress: Report) -> Iterator[Outcome]:
        """Do the jobs in their order. Raises what is wrong with all of them: a missing model, a wrong option."""
        return (self._people if self.task == "people" else self._frames)(jobs, progress)

    def seen(self, photo: Photo) -> Photo:
        """A photo with the focal length that was given."""
        fx, fy = self.lens
        return photo if fx is None and fy is None else replace(photo, camera=photo.camera_or_default(fx, fy))

    def _frames(self, jobs: Sequence[Job], progress: Report) -> Iterator[Outcome]:
        done = 0
        for film, group in groupby(jobs, lambda job: job.source if job.film else None):
            part = list(group)
            clip = Clip("", len(part), None, lambda part=part: self._photos(part))  # type: ignore[arg-type]
            told = within(progress, done, len(part), len(jobs))
            given = self._of_film(part[0]) if film is not None else {}
            pairs = batch.each_or_why(self.task, clip, progress=told, **given, **self.options)
            started = time.monotonic()
            for job, (photo, result) in zip(part, pairs, strict=True):
                error = result if isinstance(result, MaquetteError) else self._saved(job, result, photo)
                model = "" if error else self._answered(result)
                yield Outcome(job.label, job.output, error, time.monotonic() - started, model=model)
                started = time.monotonic()
            done += len(part)

    def steadied(self, parts: Path, jobs: Sequence[Job], progress: Report) -> Iterator[Outcome]:
        """The depths of a film that were made in parts, without steadying: brought to one scale, as in one run.

        parts : where their files lie, under the names of the jobs', as .npz or .exr whatever is written.
        """
        from ..geometry.steady import Steady

        steady = Steady()
        for number, (job, photo) in enumerate(zip(jobs, self._photos(jobs), strict=True)):
            progress(number / len(jobs), "Steadying depths")
            started = time.monotonic()
            if isinstance(photo, MaquetteError):
                error = photo
            else:
                files = [parts / f"{job.output.stem}{ending}" for ending in (".npz", ".exr")]
                part = next((file for file in files if file.exists()), files[0])
                if part.suffix == ".exr" and job.output.suffix == ".png":
                    raise BadInput(f"{part} holds depths alone, without their picture.", "Make the parts as .npz.")
                depth = export.read_depth(part, photo.camera_or_default())
                error = self._saved(job, steady(photo.pixels, depth), photo)
            yield Outcome(job.label, job.output, error, time.monotonic() - started)

    @property
    def through_all(self) -> bool:
        """Whether what comes out of a frame of a film depends on those before it."""
        return self.task == "depth" and self.options.get("steady", True) and self.options.get("model") != "relief"

    def _of_film(self, job: Job) -> dict[str, Any]:
        """How `batch` is to take the frames of a film. Raises `BadInput` for a part that cannot stand alone."""
        if not self.first:
            return {"film": True}
        if self.through_all:
            raise BadInput(
                "The depth of a clip is steadied through all of its frames, and this is a part of them.",
                "Add --no-steady to every part, and --merge their folder in the end, or do the clip in one piece.",
            )
        return {"film": True, "first": True, "opening": lambda: next(iter(self._clip(job)))}

    def _answered(self, result: Any) -> str:
        return result.model if self.options.get("model") == AUTO else ""

    def _people(self, jobs: Sequence[Job], progress: Report) -> Iterator[Outcome]:
        from ..people import recover_people

        def one(job: Job, part: Report) -> list[str]:
            clip = self._clip(job)
            result = recover_people(clip, progress=part, **self.options)
            export.save(job.output, result, next(iter(clip)), **self.saved)
            return [*clip.notes, *([f"Answered by {name}."] if (name := self._answered(result)) else [])]

        return each(jobs, one, progress)

    def measured(self, jobs: Sequence[Job], progress: Report) -> Iterator[Outcome]:
        """What the networks say of the people of parts of a clip, each into a file."""
        from ..people import measure_people
        from ..people.clip.measured import save

        def one(job: Job, part: Report) -> Sequence[str]:
            clip = self._clip(job)
            part_of = (job.index or 0, job.stop or len(clip))
            frames = None if part_of == (0, len(clip)) else part_of  # a damaged movie may end before it says
            save(job.output, measure_people(clip, frames=frames, progress=part, **self.options))
            return clip.notes

        return each(jobs, one, progress)

    def _clip(self, job: Job) -> Clip:
        clip = load_clip(job.source, fps=job.fps, sequence=job.sequence, layer=self.layer)
        return Clip(clip.name, len(clip), clip.fps, lambda: map(self.seen, clip), clip.notes)

    def _photos(self, jobs: Sequence[Job]) -> Iterator[Photo | MaquetteError]:
        """The photo of each job, or why there is none. A movie is read once for all of its frames."""
        for source, group in groupby(jobs, lambda job: job.file or job.source):
            frames = list(group)
            if frames[0].file is not None:
                yield read(lambda source=source: self.seen(load_photo(source, layer=self.layer)), frames[0].label)
            else:
                yield from self._movie(source, frames)

    def _movie(self, source: Path, jobs: Sequence[Job]) -> Iterator[Photo | MaquetteError]:
        wanted = [job.index for job in jobs]
        found = 0
        try:
            for index, photo in enumerate(load_clip(source, fps=jobs[0].fps, layer=self.layer)):
                if index == wanted[found]:
                    yield self.seen(photo)
                    found += 1
                if found == len(wanted):
                    return
            why: MaquetteError = BadInput("The movie ends before this frame.", "Save it again, as MP4 (H.264).")
        except Exception as error:
            why = known(error, str(source))
        yield from [why] * (len(wanted) - found)

    def _saved(self, job: Job, result: Any, photo: Any) -> MaquetteError | None:
        try:
            export.save(job.output, result, photo, **self.saved)
        except MaquetteError as error:
            return error
        return None


def each(
    jobs: Sequence[Job], one: Callable[[Job, Report], Sequence[str] | None], progress: Report
) -> Iterator[Outcome]:
    """Do the jobs one by one; what is wrong with one of them is its outcome. one : does it and returns its notes."""
    for number, job in enumerate(jobs):
        started, error, notes = time.monotonic(), None, None
        try:
            notes = one(job, within(progress, number, 1, len(jobs)))
        except Exception as raised:
            error = known(raised, job.label)
        yield Outcome(job.label, job.output, error, time.monotonic() - started, notes=tuple(notes or ()))


def within(progress: Report, start: int, count: int, total: int) -> Report:
    """The progress of `count` of `total` jobs, of which `start` are done."""
    return lambda share, text: progress((start + count * share) / total, text)


def read(get: Callable[[], Photo], label: str) -> Photo | MaquetteError:
    """A photo, or why it cannot be read."""
    try:
        return get()
    except Exception as error:
        return known(error, label)


def known(error: Exception, label: str) -> MaquetteError:
    """What is wrong with one photo. Raises what is wrong with the run: a missing model, a request to stop."""
    if isinstance(error, batch.OF_ONE_PHOTO):
        return error
    if isinstance(error, (MaquetteError, Cancelled)):
        raise error
    return batch.unforeseen(error, label)


def undone(
    jobs: Sequence[Job], skipped: Callable[[Job], bool], through_all: bool = False
) -> tuple[list[Job], list[Outcome]]:
    """The jobs that are left to do, and the outcomes of those whose files are there.

    through_all : the frames of a film go together: where one is missing, all are done again.
    """
    missing = [job for job in jobs if not skipped(job)]
    films = {job.source for job in missing if job.film and through_all}
    wanted = set(missing) | {job for job in jobs if job.film and job.source in films}
    there = [Outcome(job.label, job.output, skipped=True) for job in jobs if job not in wanted]
    return [job for job in jobs if job in wanted], there
