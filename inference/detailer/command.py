# SPDX-License-Identifier: GPL-3.0-or-later
"""Detailing from the command line."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import export
from ..errors import BadInput
from ..options import Options
from ..options.common import LAYER, RUN
from ..options.detail import OPTIONS, PLACES
from ..photo import as_clip, exr
from ..photo.colour import light_to_srgb, quantised, srgb_to_light
from ..photo.encode import png
from ..results import Detailed
from . import detail_mask, plan
from .checkpoint import Checkpoint

SUMMARY = "repaint what is under a mask in more detail"
FORMATS = (".png", ".exr", ".npz")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `detail_mask`, and what is read and written."""
    add = parser.add_argument
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--mask", metavar="PATH", help="white where to paint; a folder of masks called as the photos")
    where.add_argument("--each", choices=PLACES, help="every place of a kind, in a photo or steadily in a clip")
    add("--prompts", nargs="+", default=[], metavar="TEXT", help="with --each: the prompt of each place in turn")
    add("--steady", type=float, default=0.5, metavar="SHARE", help="with --each: how much stays from frame to frame")
    add("--bits", type=int, choices=(8, 16), default=8, help="of a PNG")
    add(
        "--model",
        default="builtin",
        help="builtin, a model's name, a diffusers folder, or a .safetensors or .gguf file",
    )
    add("--config", metavar="FOLDER", help="a diffusers folder that tells the shape of a single file of no usual size")
    add("--lora", action="append", default=[], metavar="FILE[=STRENGTH]", help="may be given several times")
    add(
        "--embedding",
        action="append",
        default=[],
        metavar="FILE",
        help="a textual inversion; may be given several times",
    )
    add("--controlnet", metavar="PATH", help="folder or file of a ControlNet")
    add("--plan", action="store_true", help="only print what would be done, and what memory it would take")
    Options(*OPTIONS, LAYER).add_to(parser)


def mask_of(photo: Path, masks: Path) -> Path:
    """The mask of a photo: the file, or the one in the folder that is called as the photo. Raises `BadInput`."""
    if not masks.is_dir():
        return masks
    found = [path for path in sorted(masks.iterdir()) if path.stem == photo.stem]
    if not found:
        raise BadInput(f"There is no mask called {photo.stem} in {masks}.", "Call it as the photo is called.")
    return found[0]


def run(options: argparse.Namespace, progress: Callable[[float, str], None]) -> Iterator[Path]:
    """The files that were written of one photo. Raises `MaquetteError`."""
    photo, (seen, model, given) = Path(options.photo), _request(options)
    output = Path(options.output)
    if output.suffix.lower() not in FORMATS:
        raise BadInput(f"{output} has no ending of a picture format.", f"Use {', '.join(FORMATS)}.")
    files = outputs(output, given.get("batch_size", 1))
    for path in files:
        if path.resolve() in (photo.resolve(), Path(options.mask).resolve()):
            raise BadInput(f"{path} is the photo or the mask itself.", "Choose another output.")
        export.check_output(path, overwrite=options.overwrite)
    result = detail_mask(seen, options.mask, model, progress=progress, **given)
    for note in result.notes:
        progress(1.0, note)
    light = _is_light(photo, options.linear)
    for number, path in enumerate(files):
        _save(path, result, number, light, options.bits)
        yield path


def run_each(
    options: argparse.Namespace, folder: Path | None, progress: Callable[[float, str], None]
) -> Iterator[Path]:
    """The files that were written of a photo, photos or clip, whose places are painted one by one."""
    from .places import detail_places

    photos: Any = options.photo[0] if len(options.photo) == 1 else options.photo
    clip, first = as_clip(photos), Path(options.photo[0])
    output = Path(options.output) if folder is None else folder / f"{first.stem}.detail.{options.format}"
    if options.plan or output.suffix.lower() not in FORMATS:
        why = (
            "Places are found while they are painted" if options.plan else f"{output} has no ending of a picture format"
        )
        raise BadInput(f"{why}.", "Leave out --plan." if options.plan else f"Use {', '.join(FORMATS)}.")
    given = OPTIONS.chosen(options) | RUN.chosen(options) | {"models_dir": options.models_dir, "progress": progress}
    files = numbered(output, len(clip))
    for path in files:
        if path.resolve() in [Path(photo).resolve() for photo in options.photo]:
            raise BadInput(f"{path} is the photo itself.", "Choose another output.")
        export.check_output(path, overwrite=options.overwrite)
    results = detail_places(
        photos, options.each, _model(options), prompts=options.prompts, steady=options.steady, **given
    )
    deep = len(options.photo) == len(clip)
    for number, (path, result) in enumerate(zip(files, results, strict=False)):
        for note in result.notes:
            progress(1.0, note)
        _save(path, result, 0, deep and _is_light(Path(options.photo[number]), options.linear), options.bits)
        yield path


def planned(options: argparse.Namespace) -> str:
    """What would be done with one photo, as JSON. Raises `MaquetteError`."""
    seen, model, given = _request(options)
    return json.dumps(asdict(plan(seen, options.mask, model, **given)), indent=1)


def _request(options: argparse.Namespace) -> tuple[Any, str | Checkpoint, dict[str, Any]]:
    """The picture, the model and the keywords of `detail_mask`."""
    given = OPTIONS.chosen(options) | RUN.chosen(options) | {"models_dir": options.models_dir}
    if options.layer is None:
        return Path(options.photo), _model(options), given
    given["linear"] = options.linear is not False
    return exr.read_colours(Path(options.photo), options.layer), _model(options), given


def outputs(output: Path, count: int) -> list[Path]:
    """One file, which for .npz holds all pictures; else one a picture."""
    return [output] if output.suffix.lower() == ".npz" else numbered(output, count)


def numbered(output: Path, count: int) -> list[Path]:
    """A file each; one alone has no number."""
    if count <= 1:
        return [output]
    return [output.with_name(f"{output.stem}.{number + 1:04d}{output.suffix}") for number in range(count)]


def _model(options: argparse.Namespace) -> str | Checkpoint:
    if not (options.lora or options.controlnet or options.config or options.embedding):
        return options.model
    loras = tuple(map(_lora, options.lora))
    return Checkpoint(options.model, options.config, loras, options.controlnet, tuple(options.embedding))


def _lora(text: str) -> tuple[str, float]:
    file, _, strength = text.rpartition("=")
    try:
        return (file, float(strength)) if file else (text, 1.0)
    except ValueError:
        return text, 1.0


def _is_light(photo: Path, linear: bool | None) -> bool:
    """Whether the result is linear light, as the photo was."""
    from .source import source_of

    return source_of(photo, linear).light is not None


def _save(path: Path, result: Detailed, number: int, light: bool, bits: int) -> None:
    """A PNG is sRGB and an OpenEXR picture linear light, whatever the photo was; an .npz holds the values."""
    suffix = path.suffix.lower()
    if suffix == ".npz":
        arrays = _arrays(result)
        export.save_with(path, lambda file: np.savez_compressed(file, **arrays))
        return
    image = result.image[number]
    if suffix == ".exr":
        colours = image[..., :3] if light else srgb_to_light(image[..., :3])
        channels = {name: colours[..., index] for index, name in enumerate("RGB")}
        channels |= {"A": image[..., 3]} if image.shape[2] == 4 else {}
        export.save_with(path, lambda file: exr.write_exr(file, channels))
        return
    colours = light_to_srgb(image[..., :3]) if light else image[..., :3]
    data = png(quantised(np.concatenate([colours, image[..., 3:]], -1), bits))
    export.save_with(path, lambda file: file.write(data))


def _arrays(result: Detailed) -> dict[str, NDArray]:
    """The pictures, and of each part its box, crop, scale, seed, picture and why it was left out."""
    parts = list(result.segments)
    names = ("box", "crop", "scale", "seed", "work", "batch", "skipped")
    arrays = {"image": result.image, "notes": np.array(result.notes, dtype=np.str_)}
    arrays |= {f"segment_{name}": np.array([getattr(part, name) for part in parts]) for name in names}
    done = [(number, part.alpha) for number, part in enumerate(parts) if part.alpha is not None]
    return {**arrays, **{f"segment_{number}_rgba": alpha for number, alpha in done}}
