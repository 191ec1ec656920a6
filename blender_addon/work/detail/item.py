# SPDX-License-Identifier: GPL-3.0-or-later
"""Detailing on the worker: a picture as Blender holds it, where to repaint it, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .... import inference
from ....inference.detailer.settings import TOO_SMALL
from ....inference.errors import Cancelled, NothingFound
from ....inference.photo import Photo
from ....inference.runtime.device import missing_package
from ...core.picture_settings import file_of
from ..item import JobResult, WorkItem
from .canvas import Canvas, Picture, canvas_of, strengths_of
from .masks import DrawTarget, FoundMask
from .texture_space import baked

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ....inference.camera import Camera
    from ....inference.detailer.planning import Plan
    from ....inference.results import Detailed, DetailedSegment
    from ...core.exchange import TexturedSurface
    from ...core.jobs import Report
    from .controls import Control
    from .masks import Mask

    Pixels = NDArray[np.float32]

#: Shares of the progress: the mask is there, the control image is, the parts are painted.
_MASKED, _GUIDED, _PAINTED = 0.06, 0.1, 0.92


@dataclass(frozen=True)
class DetailBuild:
    """What to make of the result.

    output : "IMAGE", "LAYER" or "BAKE".  mapping : "UV" or "CAMERA".
    before : name of the image that the result is compared with, or "".
    path : file of the picture, "" where it has none.
    surface, texture : to bake into: the object from the camera, and its texture; or None.
    camera_object : name of the camera that the picture is projected from, and `camera` as it sees it.
    """

    output: str
    mapping: str
    before: str = ""
    path: str = ""
    surface: TexturedSurface | None = None
    texture: Picture | None = None
    camera_object: str = ""
    camera: Camera | None = None


@dataclass(frozen=True)
class DetailedPictures:
    """segments : the record of every part, without its pictures.
    strengths : (H, W) float32, how strongly the first picture was repainted.
    notes : what the artist is to know besides, a sentence each.  settings : what the images are to remember.
    frames : of a clip, the picture of each frame.  changed : how many of them show anything repainted.
    """

    segments: tuple[DetailedSegment, ...]
    strengths: Pixels
    notes: tuple[str, ...]
    settings: Mapping[str, Any]
    frames: tuple[Path, ...] = ()
    changed: int = 0


@dataclass(frozen=True, kw_only=True)
class DetailWork(WorkItem[DetailedPictures]):
    """A picture repainted under a mask. The pictures are the result's `files`, by their numbers.

    settings : what the image is to remember.  checkpoint : fields of `Checkpoint`, or None for the built-in engine.
    prompts : of every hand, face or person by itself; None repaints the mask as it is.
    steady : of a clip, how much of the frame before each of them starts from.
    """

    build: DetailBuild
    picture: Picture
    mask: Mask
    settings: Mapping[str, Any]
    checkpoint: Mapping[str, Any] | None = None
    control: Control | None = None
    prompts: tuple[str, ...] | None = None
    steady: float = 0.5

    def of_photo(self, report: Report) -> JobResult[DetailedPictures]:
        with _packages_needed():
            return self._detailed(report)

    def of_clip(self, report: Report) -> JobResult[DetailedPictures]:
        """Every hand, face or person in all frames, each with its own prompt and seed; a picture a frame."""
        from ....inference.detailer.places import detail_places
        from ..scratch import Scratch

        assert isinstance(self.mask.source, FoundMask) and self.prompts is not None
        clip, scratch, files = self.source.film(), Scratch(self.directory), []
        kind, given = self.mask.source.kind.lower(), {**self.options, **self.where(report)}
        how = {"prompts": self.prompts, "steady": self.steady, "grow": self.mask.grow}
        segments: list[DetailedSegment] = []
        notes: dict[str, None] = {}
        first, changed = None, 0
        try:
            with _packages_needed():
                found = detail_places(clip, kind, self._engine(), **how, **given)  # type: ignore[arg-type]
                for photo, frame in zip(clip, found, strict=True):
                    first, done = first or photo, [one for one in frame.segments if not one.skipped]
                    changed += bool(done)
                    segments += [replace(one, refined=None, alpha=None) for one in frame.segments]
                    notes |= dict.fromkeys(frame.notes if done else ())
                    pixels = Canvas(photo.pixels, photo.pixels).with_detail(frame.image[0])
                    files.append(scratch.write(f"detail.{len(files):06d}.png", file_of(pixels, {**self.settings})))
            if first is None or not changed:
                raise NothingFound(f"No {kind} were found in the clip.", "Choose another mask, or another clip.")
        except BaseException:
            scratch.discard()
            raise
        told = tuple(note for note in notes if not note.endswith(TOO_SMALL))
        settings = {**self.settings, "size": list(first.size)}
        nowhere = np.zeros((1, 1), np.float32)
        pictures = DetailedPictures(tuple(segments), nowhere, told, settings, tuple(files), changed)
        return JobResult(pictures, first, len(files), clip.fps, scratch=scratch)

    def plan(self, report: Report) -> Plan:
        """What detailing would take. The worker's part."""
        from ....inference.detailer import plan
        from ....installer.packages import manager

        manager.activate()
        given = {**self.options, "device": self.device, "precision": self.precision}
        with _packages_needed():
            canvas = self._canvas()
            target = self._target(canvas, report)
            return plan(canvas.shown, self.mask.drawn(target), self._engine(), **given)

    def _detailed(self, report: Report) -> JobResult[DetailedPictures]:
        canvas = self._canvas()
        target = self._target(canvas, _part(report, 0.0, _MASKED))
        masks = [self.mask.drawn(target)] if self.prompts is None else self.mask.each(target)
        if not np.any(masks):
            raise NothingFound("The mask is empty: nothing in it is white.", "Paint on it, or choose another mask.")
        control = None
        if self.control is not None:
            control = self.control.drawn(replace(target, where=self.where(_part(report, _MASKED, _GUIDED))))
        detailed, partial = self._repainted(canvas, masks, control, _part(report, _GUIDED, _PAINTED))
        done = [one for one in detailed.segments if not one.skipped]
        if not done:
            raise _nothing_done(detailed.segments)
        if not partial:
            report(_PAINTED, "Writing the picture")
        records = [_record(one) for one in detailed.segments]
        settings = {**self.settings, "size": list(canvas.size), "segments": records}
        pictures = DetailedPictures(
            tuple(replace(one, refined=None, alpha=None) for one in detailed.segments),
            strengths_of(canvas.size, [one for one in done if one.batch == 0]),
            tuple(note for note in detailed.notes if not note.endswith(TOO_SMALL)),
            settings,
        )
        return JobResult(pictures, target.photo, partial=partial, **self.kept(self._files(canvas, detailed, settings)))

    def _canvas(self) -> Canvas:
        """The picture, read and ready for the detailer."""
        if self.picture.pixels is None:
            pixels = self.source.photo().pixels
            return Canvas(pixels, pixels)
        return canvas_of(self.picture)

    def _target(self, canvas: Canvas, report: Report) -> DrawTarget:
        photo, where = self._photo(canvas), self.where(report)
        return DrawTarget(canvas.size, photo, where, self.picture.orientation, self.picture.upright)

    def _photo(self, canvas: Canvas) -> Photo:
        """The picture as the other tasks see it: from the same file where there is one, so that they know it again."""
        if self.source.path:
            photo = self.source.photo()
            if photo.size == canvas.size or self.picture.orientation > 1:
                return photo
        shown = canvas.shown
        if shown.dtype != np.uint8:
            shown = (np.clip(shown, 0, 1) * 255 + 0.5).astype(np.uint8)
        return self.source.focal.applied_to(Photo(shown, None, self.source.name))

    def _repainted(
        self, canvas: Canvas, masks: list[Pixels], control: NDArray | None, report: Report
    ) -> tuple[Detailed, bool]:
        """What the detailer made, and whether it was stopped before it had done everything."""
        from ....inference.detailer.places import detail_masks

        given = {**self.options, **self.where(report), "control": control}
        try:
            if self.prompts is not None:
                return detail_masks(canvas.shown, masks, self._engine(), prompts=self.prompts, **given), False
            return inference.detail_mask(canvas.shown, masks[0], self._engine(), **given), False
        except Cancelled as cancelled:
            finished: Any = cancelled.finished
            if finished is None or all(one.skipped for one in finished.segments):
                raise
            return finished, True

    def _engine(self) -> Any:
        return "builtin" if self.checkpoint is None else inference.Checkpoint(**self.checkpoint)

    def _finished(self, canvas: Canvas, detailed: Detailed, number: int) -> NDArray:
        """The pixels of one picture, or of the object's texture with what the picture shows baked into it."""
        build = self.build
        if build.surface is None or build.texture is None:
            return canvas.with_detail(detailed.image[number])
        texture = canvas_of(build.texture)
        strengths = strengths_of(canvas.size, [s for s in detailed.segments if s.batch == number and not s.skipped])
        shown = texture.shown.astype(np.float32) / (255 if texture.shown.dtype == np.uint8 else 1)
        colours, painted = baked(build.surface, shown[..., :3], detailed.image[number][..., :3], strengths)
        if not painted.any():
            raise NothingFound(
                "Nothing of what was repainted lies on the object.", "Check the mask, and where the camera stands."
            )
        return texture.with_detail(colours)

    def _files(
        self, canvas: Canvas, detailed: Detailed, settings: Mapping[str, Any]
    ) -> Iterator[tuple[str, str, bytes]]:
        """Number, ending and content of every picture that was repainted."""
        for number in sorted({one.batch for one in detailed.segments if not one.skipped}):
            pixels = self._finished(canvas, detailed, number)
            suffix = "png" if pixels.dtype == np.uint8 else "exr"
            yield str(number), f"detail.{number}.{suffix}", file_of(pixels, {**settings, "variant": number})


@contextmanager
def _packages_needed() -> Iterator[None]:
    """A package that is not there is one clear error, with the operator that installs it."""
    try:
        yield
    except ImportError as error:
        raise missing_package(error.name, error) from error


def _record(segment: DetailedSegment) -> dict[str, Any]:
    """One part of the mask, for the file."""
    record = {"box": list(segment.box), "crop": list(segment.crop), "batch": segment.batch}
    if segment.skipped:
        return {**record, "skipped": segment.skipped}
    return {**record, "scale": round(segment.scale, 4), "seed": segment.seed}


def _nothing_done(records: tuple[DetailedSegment, ...]) -> Exception:
    if not records:
        return NothingFound("The mask has no part to repaint.", "Paint on it, or choose another mask.")
    reasons = "; ".join(dict.fromkeys(one.skipped for one in records[:3]))
    return NothingFound(f"Every part of the mask was left out: {reasons}.", "Lower Drop Size, or paint larger parts.")


def _part(report: Report, start: float, end: float) -> Report:
    return lambda fraction, message: report(start + (end - start) * fraction, message)
