# SPDX-License-Identifier: GPL-3.0-or-later
"""Detailing, as a request: a picture as Blender holds it, where to repaint it, and how."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ... import inference
from ...inference.detailer.settings import TOO_SMALL
from ...inference.errors import BadInput, Cancelled, NothingFound
from ...inference.photo import Photo
from ...inference.photo.colour import light_to_srgb, srgb_to_light
from ...inference.runtime.device import missing_package
from ..core.exchange import clean_name
from .common import Inferred, Request
from .detail_masks import Drawing
from .texture_space import baked, view_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...inference.camera import Camera
    from ...inference.detailer.planning import Plan
    from ...inference.results import Detailed, DetailedSegment
    from ..core.exchange import TexturedSurface
    from ..core.jobs import Report
    from .detail_controls import Control
    from .detail_masks import Mask

    Pixels = NDArray[np.float32]

#: Shares of the progress: the mask is there, the control image is, the parts are painted.
_MASKED, _GUIDED, _PAINTED = 0.06, 0.1, 0.92


@dataclass(frozen=True)
class Picture:
    """What is repainted, as Blender holds it.

    pixels : (H, W, 4) float32, first row on top; None for a frame of a clip, which is read from its file.
    eight_bits : the values are those of bytes.  linear : they are scene-linear light.
    premultiplied : colours are multiplied by alpha.
    view : the pixels are those of the surface's texture, and the picture is what its camera sees of it; or None.
    """

    pixels: Pixels | None
    eight_bits: bool = True
    linear: bool = False
    premultiplied: bool = False
    view: TexturedSurface | None = None


@dataclass(frozen=True)
class Canvas:
    """A picture on its way through the detailer.

    given : (H, W, 3 or 4) uint8 or float32, exactly as it was.
    shown : the same as the detailer is shown it: uint8, or float32 in sRGB's curve, not premultiplied.
    """

    given: NDArray
    shown: NDArray
    linear: bool = False
    premultiplied: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)"""
        return self.given.shape[1], self.given.shape[0]

    def with_detail(self, detailed: Pixels) -> NDArray:
        """The picture after detailing: where that left a pixel as it was, it is the given one bit by bit. Alpha stays.

        detailed : (H, W, 3 or 4) float32 0..1, on the scale of `shown`.
        """
        result = self.given.copy()
        if self.given.dtype == np.uint8:
            result[..., :3] = np.rint(np.clip(detailed[..., :3], 0, 1) * 255)
            return result
        changed = (detailed[..., :3] != self.shown[..., :3]).any(-1)
        colours = detailed[changed][:, :3]
        if self.linear:
            colours = srgb_to_light(colours)
        if self.premultiplied and self.given.shape[2] == 4:
            colours = colours * self.given[changed][:, 3:]
        result[changed, :3] = colours
        return result


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
class DetailInferred(Inferred):
    """`result` is the record of every segment, without their pictures. files : the pictures, as `files_of` names them.

    strengths : (H, W) float32, how strongly the first picture was repainted.
    partial : the job was cancelled, and this is what was finished by then.
    notes : what the artist is to know beside the records, a sentence each.
    """

    strengths: Pixels | None = None
    partial: bool = False
    notes: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class DetailRequest(Request):
    """parameters : keywords of `detail_mask`.  checkpoint : fields of `Checkpoint`, or None for the engine "builtin".
    settings : what the image is to remember.  refiner : path of a second model, or "".
    """

    picture: Picture
    mask: Mask
    parameters: Mapping[str, Any]
    build: DetailBuild
    settings: Mapping[str, Any]
    checkpoint: Mapping[str, Any] | None = None
    refiner: str = ""
    control: Control | None = None

    def infer(self, report: Report) -> DetailInferred:
        with _packages_needed():
            return self._inferred(report)

    def _inferred(self, report: Report) -> DetailInferred:
        canvas = self._canvas()
        drawing = Drawing(canvas.size, self._photo(canvas), self._where(_part(report, 0.0, _MASKED)))
        mask = self.mask.drawn(drawing)
        if not mask.any():
            raise NothingFound("The mask is empty: nothing in it is white.", "Paint on it, or choose another mask.")
        control = None
        if self.control is not None:
            control = self.control.drawn(replace(drawing, where=self._where(_part(report, _MASKED, _GUIDED))))
        detailed, partial = self._detailed(canvas, mask, control, _part(report, _GUIDED, _PAINTED))
        records = detailed.segments
        done = [one for one in records if not one.skipped]
        if not done:
            raise _nothing_done(records)
        if not partial:
            report(_PAINTED, "Writing the picture")
        settings = {**self.settings, "size": list(canvas.size), "segments": [_record(one) for one in records]}
        files = self._files(canvas, detailed, settings)
        return DetailInferred(
            tuple(replace(one, refined=None, alpha=None) for one in records),
            drawing.photo,
            strengths=strengths_of(canvas.size, [one for one in done if one.batch == 0]),
            partial=partial,
            notes=tuple(note for note in detailed.notes if not note.endswith(TOO_SMALL)),
            settings=settings,
            **files,
        )

    def plan(self, report: Report) -> Plan:
        """What `infer` would take. The worker's part."""
        from ...inference.detailer import plan

        given = {**self._refined(), **self.parameters, "device": self.device, "precision": self.precision}
        with _packages_needed():
            canvas = self._canvas()
            drawing = Drawing(canvas.size, self._photo(canvas), self._where(report))
            return plan(canvas.shown, self.mask.drawn(drawing), self._model(), **given)

    def _canvas(self) -> Canvas:
        """The picture, read and ready for the detailer."""
        if self.picture.pixels is None:
            pixels = self.source.photo().pixels
            return Canvas(pixels, pixels)
        return canvas_of(self.picture)

    def _photo(self, canvas: Canvas) -> Photo:
        """The picture as the other tasks see it: from the same file where there is one, so that they know it again."""
        if self.source.path:
            photo = self.source.photo()
            if photo.size == canvas.size:
                return photo
        shown = canvas.shown
        if shown.dtype != np.uint8:
            shown = (np.clip(shown, 0, 1) * 255 + 0.5).astype(np.uint8)
        return self.source.focal.applied_to(Photo(shown, None, self.source.name))

    def _detailed(self, canvas: Canvas, mask: Pixels, control: NDArray | None, report: Report) -> tuple[Detailed, bool]:
        """What the detailer made, and whether it was stopped before it had done everything."""
        given = {**self._refined(), **self.parameters, **self._where(report)}
        try:
            return inference.detail_mask(canvas.shown, mask, self._model(), control=control, **given), False
        except Cancelled as cancelled:
            finished: Any = cancelled.finished
            if finished is None or all(one.skipped for one in finished.segments):
                raise
            return finished, True

    def _model(self) -> Any:
        return "builtin" if self.checkpoint is None else inference.Checkpoint(**self.checkpoint)

    def _refined(self) -> dict[str, Any]:
        return {"refiner": self.refiner} if self.refiner else {}

    def _finished(self, canvas: Canvas, detailed: Detailed, number: int) -> NDArray:
        """The pixels of one picture, or of the object's texture with what the picture shows baked into it."""
        wanted = self.build
        if wanted.surface is None or wanted.texture is None:
            return canvas.with_detail(detailed.image[number])
        texture = canvas_of(wanted.texture)
        strengths = strengths_of(canvas.size, [s for s in detailed.segments if s.batch == number and not s.skipped])
        shown = texture.shown.astype(np.float32) / (255 if texture.shown.dtype == np.uint8 else 1)
        colours, painted = baked(wanted.surface, shown[..., :3], detailed.image[number][..., :3], strengths)
        if not painted.any():
            raise NothingFound(
                "Nothing of what was repainted lies on the object.", "Check the mask, and where the camera stands."
            )
        return texture.with_detail(colours)

    def _files(self, canvas: Canvas, detailed: Detailed, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of `Inferred` for the pictures, written here rather than on the main thread."""
        from ..core.detail_files import file_of
        from .scratch import Scratch

        scratch, files = Scratch(self.directory), {}
        painted = {one.batch for one in detailed.segments if not one.skipped}
        try:
            for number in sorted(painted):
                pixels = self._finished(canvas, detailed, number)
                suffix = ".png" if pixels.dtype == np.uint8 else ".exr"
                path = scratch.folder / f"{clean_name(self.source.name)}.detail.{number}{suffix}"
                _write(path, file_of(pixels, {**settings, "variant": number}))
                files[str(number)] = path
        except BaseException:
            scratch.discard()
            raise
        return {"files": files, "scratch": scratch}


@contextmanager
def _packages_needed() -> Iterator[None]:
    """A package that is not there is one clear error, with the operator that installs it."""
    try:
        yield
    except ImportError as error:
        raise missing_package(error.name, error) from error


def canvas_of(picture: Picture) -> Canvas:
    """The picture's pixels as bytes or floats, with alpha only where something is transparent."""
    pixels = picture.pixels
    assert pixels is not None
    if picture.view is not None:
        pixels = view_of(picture.view, pixels)
    if not (pixels[..., 3] != 1).any():
        pixels = pixels[..., :3]
    pixels = np.ascontiguousarray(pixels)
    if picture.eight_bits:
        given = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
        return Canvas(given, given)
    shown = np.where(np.isfinite(pixels), pixels, 0)  # a render may hold infinite pixels; they stay where they are
    if picture.premultiplied and shown.shape[2] == 4:
        alpha = shown[..., 3:]
        shown[..., :3] = np.divide(shown[..., :3], alpha, out=np.zeros_like(shown[..., :3]), where=alpha > 0)
    if picture.linear:
        shown[..., :3] = light_to_srgb(shown[..., :3])
    return Canvas(pixels, shown.astype(np.float32), picture.linear, picture.premultiplied)


def strengths_of(size: tuple[int, int], segments: list[DetailedSegment]) -> Pixels:
    """(H, W) how strongly the segments were laid over the picture, one over the other."""
    width, height = size
    left_over = np.ones((height, width), np.float32)
    for segment in segments:
        assert segment.alpha is not None
        x0, y0, x1, y1 = segment.crop
        strength = segment.alpha[max(-y0, 0) : height - y0, max(-x0, 0) : width - x0, 3]
        left_over[max(y0, 0) : y1, max(x0, 0) : x1] *= 1 - strength
    return 1 - left_over


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


def _write(path: Any, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise BadInput(
            f"{path.parent} cannot be written: {error.strerror}.", "Choose another folder, or make room on the disk."
        ) from error
