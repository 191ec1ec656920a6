# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays without Blender, from the command line.

    python -m maquette.inference depth|normals|hands|maps|people|relief --photo FILE --output FILE.npz|.exr|.png|.glb
    python -m maquette.inference depth|normals|hands|maps|relief --photo MOVIE|FOLDER|PATTERN|FILES --output FOLDER
    python -m maquette.inference detail --photo FILE --mask FILE --output FILE.png|.exr|.npz [--model ...]
    python -m maquette.inference --list [--models-dir FOLDER] [--json]

Of many photos and of clips every frame gives a file, written as soon as it is made; those that are written stay when a
later one fails. Progress goes to stderr, or with --json as one JSON object a line to stdout.
Exit code 0: done; 1: failed, with one sentence that says why and what to do; 2: the command line is wrong;
130: interrupted.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from ..installer.models import catalogue, store
from . import batch, export, recover_people
from .detailer import command
from .errors import BadInput, Cancelled, MaquetteError, NothingFound
from .options import Options, common, depth, hands, normals, people, preprocessors
from .photo import Clip, Photo, as_clip, load_clip
from .photo.movie import is_movie
from .photo.sequence import folder_files, is_pattern, pattern_files, sequence_of


class _Task(NamedTuple):
    """task : of the catalogue.  summary : one line.  options : its parameters.  model : the default one."""

    task: str
    summary: str
    options: Options
    model: str = common.AUTO


_COMMON = Options(common.FX, common.FY, common.RESOLUTION)
_TASKS = {
    "depth": _Task("depth", "metric depth of a photo", depth.OPTIONS),
    "normals": _Task("normals", "surface normals", normals.OPTIONS),
    "hands": _Task("hands", "depth, mask and meshes of the hands", hands.OPTIONS),
    "maps": _Task("maps", "image passes: edges, lines, shuffled content", preprocessors.OPTIONS, "canny"),
    "people": _Task("people", "posed bodies of a photo, photos or a clip", people.OPTIONS),
    "relief": _Task("depth", "surface relief of a material", depth.OPTIONS.for_model("relief"), "relief"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one task; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list:
        _list_models(options)
        return 0
    if options.task is None:
        parser.error("a TASK is needed, or --list")
    progress = _Progress(options.json)
    try:
        task = {"people": _people, "detail": command.run}.get(options.task, _frames)
        written = [str(path) for path in task(options, progress)]
    except (KeyboardInterrupt, Cancelled):
        progress.end("Cancelled.", {"cancelled": True})
        return 130
    except MaquetteError as error:
        progress.end(str(error), {"error": error.message, "remedy": error.remedy})
        return 1
    progress.end("\n".join(written), {"output": written})
    return 0


def _people(options: argparse.Namespace, progress: _Progress) -> Iterator[Path]:
    """All photos and clips into one file."""
    output = Path(options.output)
    _check_outputs(options, [output])
    clip = _clip(options)
    result = recover_people(clip, progress=progress, **_chosen(options))
    _save(output, result, next(iter(clip)), options)
    progress.tell(clip.notes)
    yield output


def _frames(options: argparse.Namespace, progress: _Progress) -> Iterator[Path]:
    """Every photo and frame into a file of its own; no more than a batch of them is held."""
    outputs = _outputs(options)
    _check_outputs(options, outputs)
    given = _chosen(options) | common.BATCH.chosen(options)
    clip = _clip(options)
    pairs = batch.each(_TASKS[options.task].task, clip, progress=progress, **given)
    # A file stands in for those that are missing behind it, and a damaged movie has fewer frames than it says.
    own = (next(again) for _, again in groupby(pairs, lambda pair: pair[0].name))
    answered = []
    for output, (photo, result) in zip(outputs, own, strict=False):
        if isinstance(result, NothingFound):
            raise result
        _save(output, result, photo, options)
        answered.append(f"Answered by {result.model}.")
        yield output
    progress.tell([*(answered if given["model"] == common.AUTO else []), *clip.notes])


def _outputs(options: argparse.Namespace) -> list[Path]:
    """The file of each frame: --output itself, or in the folder --output one named after each photo."""
    output = Path(options.output)
    names = [name for source in options.photo for name in _names(options, source)]
    if len(names) == 1 and not output.is_dir():
        return [output]
    if not output.is_dir():
        raise BadInput(f"There are {len(names)} photos, but {output} is not a folder.", "Give a folder that exists.")
    outputs = [output / f"{name}.{options.task}.{options.format}" for name in names]
    if len(set(outputs)) < len(outputs):
        raise BadInput("Two of the photos have the same name.", "Rename one, or run them one at a time.")
    return outputs


def _names(options: argparse.Namespace, source: str) -> list[str]:
    """What the photos of a source will be called, without reading them."""
    path = Path(source)
    if is_movie(path):
        return [f"{path.stem}.{number + 1:04d}" for number in range(len(load_clip(path)))]
    return [file.stem for file in _files(options, path)]


def _files(options: argparse.Namespace, path: Path) -> list[Path]:
    """The files that a source stands for."""
    if is_pattern(path):
        return pattern_files(path)
    if path.is_dir():
        return folder_files(path)
    return sequence_of(path) if options.sequence else [path]


def _check_outputs(options: argparse.Namespace, outputs: list[Path]) -> None:
    """Raise `BadInput` where a file could not be written at the end."""
    photos = {file.resolve() for source in options.photo for file in _files(options, Path(source))}
    for output in outputs:
        if output.resolve() in photos:
            raise BadInput(f"{output} is the photo itself.", "Choose another output.")
        export.check_output(output, overwrite=options.overwrite)


def _save(output: Path, result: export.Result, photo: Photo, options: argparse.Namespace) -> None:
    export.save(output, result, photo, picture=options.picture, bits=options.bits, frame=options.frame)


def _chosen(options: argparse.Namespace) -> dict[str, Any]:
    """The keywords of the task's function. The focal length is each photo's own (see `_clip`)."""
    task = _TASKS[options.task]
    given = task.options.chosen(options) | common.RUN.chosen(options)
    given |= {"model": options.model or task.model, "models_dir": options.models_dir}
    return {name: value for name, value in given.items() if name not in ("fx", "fy")}


def _list_models(options: argparse.Namespace) -> None:
    """Every model with its task, licence and files, and whether they are installed."""
    root = Path(options.models_dir).expanduser() if options.models_dir else store.models_root()
    for model in catalogue.models():
        files = [(file, store.file_state(file, root)) for file in model.files]
        if options.json:
            listed = [{"path": file.path, "page": file.page, "url": file.url, "state": state} for file, state in files]
            fields = {"licence": model.licence, "commercial": model.commercial, "gated": model.gated}
            fields |= {"installed": store.is_installed(model, root), "files": listed}
            print(json.dumps({"task": model.task, "model": model.id, "label": model.label, **fields}))
            continue
        state = "installed" if store.is_installed(model, root) else "not installed"
        use = model.licence + (
            f" ({model.restriction})" if model.restriction and "non-commercial" not in model.licence else ""
        )
        print(f"{model.task:8} {model.id:31} {state:14} {use}")
        for file, found in files:
            print(f"{'':9}{found}: {file.path}" + ("" if found != store.MISSING else f"  ({file.size}, {file.page})"))
    if not options.json:
        print(f"\nThe files lie, or belong, in {root}.")


def _clip(options: argparse.Namespace) -> Clip:
    """All of the photos, one after the other, with the focal length that was given."""
    given = {"fps": options.fps, "sequence": options.sequence, "layer": options.layer}
    joined = as_clip([load_clip(source, **given) for source in options.photo])
    fps = joined.fps if len(options.photo) == 1 else options.fps
    return Clip(joined.name, len(joined), fps, lambda: (_with_focal(photo, options) for photo in joined), joined.notes)


def _with_focal(photo: Photo, options: argparse.Namespace) -> Photo:
    if options.fx is None and options.fy is None:
        return photo
    return replace(photo, camera=photo.camera_or_default(options.fx, options.fy))


class _Progress:
    """Reports how far the work is: on a terminal in one line, else every tenth, or as JSON for programs."""

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self._line = not as_json and sys.stderr.isatty()
        self._reported = -1.0

    def __call__(self, fraction: float, message: str) -> None:
        if self._json:
            self._object({"fraction": round(fraction, 4), "message": message})
        elif self._line:
            print(f"\r\033[K{fraction:4.0%}  {message}", end="", file=sys.stderr, flush=True)
        elif fraction >= self._reported + 0.1:
            print(f"{fraction:4.0%}  {message}", file=sys.stderr, flush=True)
            self._reported = fraction

    def tell(self, notes: Sequence[str]) -> None:
        """What is to be known of the photos besides."""
        for note in dict.fromkeys(notes):
            if self._json:
                self._object({"note": note})
            else:
                print("\r\033[K" if self._line else "", note, sep="", file=sys.stderr)

    def end(self, text: str, fields: dict[str, object]) -> None:
        if self._json:
            self._object(fields)
        failed = "output" not in fields
        if failed or not self._json:
            print("\r\033[K" if self._line else "", text, sep="", file=sys.stderr if failed else sys.stdout)

    @staticmethod
    def _object(fields: dict[str, object]) -> None:
        print(json.dumps(fields), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m maquette.inference", description="Photographs into arrays and meshes.")
    parser.add_argument("--list", action="store_true", help="list the models, their licences and their files")
    _add_places(parser)
    tasks = parser.add_subparsers(dest="task", metavar="TASK")
    for name, task in _TASKS.items():
        subparser = tasks.add_parser(name, help=task.summary, description=task.summary.capitalize() + ".")
        _add_files(subparser)
        Options(*_COMMON, *task.options, common.LAYER, *common.RUN).add_to(subparser)
        _add_places(subparser)
        if name == "people":
            subparser.add_argument("--fps", type=float, help="frames per second, instead of the movie's own")
        else:
            common.BATCH.add_to(subparser)
            subparser.set_defaults(fps=None)
    text = f"{command.SUMMARY[0].upper()}{command.SUMMARY[1:]}."
    command.add_options(subparser := tasks.add_parser("detail", help=command.SUMMARY, description=text))
    common.RUN.add_to(subparser)
    _add_places(subparser)
    return parser


def _add_files(parser: argparse.ArgumentParser) -> None:
    """What is read and written."""
    add = parser.add_argument
    add("--photo", nargs="+", required=True, metavar="FILE", help="photos, movies, folders or patterns")
    add("--output", required=True, metavar="PATH", help="FILE.npz, .exr, .png or .glb, or a folder for many photos")
    add("--sequence", action="store_true", help="a numbered file stands for all of them")
    add("--format", choices=[suffix[1:] for suffix in export.FORMATS], default="npz", help="of files in a folder")
    add("--overwrite", action="store_true", help="replace files that exist")
    add("--picture", choices=("preview", "mask"), default="preview", help="what a PNG shows")
    add("--bits", type=int, choices=(8, 16), default=8, help="of a mask")
    add("--frame", type=int, default=0, help="of a clip, the frame that a GLB or PNG holds, from 0")
    add("--model", help="default: auto; of maps: canny")


def _add_places(parser: argparse.ArgumentParser) -> None:
    """Options that stand before a task as well as behind it."""
    # A task's own default would replace what was given before the task.
    keep: dict[str, Any] = {"default": argparse.SUPPRESS} if parser.prog.count(" ") > 2 else {}
    parser.add_argument("--models-dir", metavar="FOLDER", help="where the model files lie", **keep)
    parser.add_argument("--json", action="store_true", help="JSON lines on stdout", **keep)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stopping the process tidies up as Ctrl-C does
    sys.exit(main())
