# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays without Blender, from the command line.

    python -m maquette.inference depth|normals|hands|people|relief --photo FILE --output FILE.npz|.exr|.png|.glb

Progress goes to stderr, or with --json as one JSON object a line to stdout.
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
from pathlib import Path

from . import estimate_depth, estimate_normals, export, recover_people, refine_hands, runtime
from .errors import BadInput, Cancelled, MaquetteError
from .hands import MASK_TYPES
from .photo import Clip, Photo, load_clip, load_photo
from .registry import model_module

#: The public function's parameters, as options of the same name: task -> (name, type, choices or None, help).
_OPTIONS: dict[str, tuple[tuple[str, type, tuple[str, ...] | None, str], ...]] = {
    "depth": (),
    "relief": (
        ("detail", float, None, "0 (broad forms) to 1 (fine grain), default 0.5"),
        ("largest_feature", float, None, "pixels; slower changes count as light, default a sixth of the long side"),
        ("light", float, None, "degrees from where the light comes, counter-clockwise from the right"),
    ),
    "normals": (
        ("a", float, None, "strength, for models of relative depth"),
        ("bg_threshold", float, None, "background threshold, for models of relative depth"),
    ),
    "hands": (
        ("mask_type", str, MASK_TYPES, "what the mask covers"),
        ("mask_bbox_padding", int, None, "pixels, 0 to 100"),
        ("mask_expand", int, None, "pixels by which the mask grows, or shrinks where negative"),
        ("rand_seed", int, None, "accepted for the reference's sake; nothing here is random"),
    ),
    "people": (
        ("det_confidence_thresh", float, None, "people scored below it are dropped, default 0.25"),
        ("det_iou_thresh", float, None, "of detections that overlap more, the weaker is dropped, default 0.7"),
        ("det_batch_size", int, None, "photos that pass through the detector at once"),
        ("hmr_batch_size", int, None, "people that pass through a network at once"),
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one task; returns the exit code."""
    options = _parser().parse_args(arguments)
    progress = _Progress(options.json)
    try:
        written = _run(options, progress)
    except (KeyboardInterrupt, Cancelled):
        progress.end("Cancelled.", {"cancelled": True})
        return 130
    except MaquetteError as error:
        progress.end(str(error), {"error": error.message, "remedy": error.remedy})
        return 1
    progress.end("\n".join(written), {"output": written})
    return 0


def _run(options: argparse.Namespace, progress: _Progress) -> list[str]:
    """Check the outputs, then make and write one result after the other."""
    sources = options.photo
    outputs = _outputs(options)
    for output in outputs:
        if output.resolve() in [Path(source).resolve() for source in sources]:
            raise BadInput(f"{output} is the photo itself.", "Choose another output.")
        export.check_output(output, overwrite=options.overwrite)
    jobs = [sources] if options.task == "people" else [[source] for source in sources]
    written = []
    for number, (job, output) in enumerate(zip(jobs, outputs, strict=True)):
        progress.part = (number / len(jobs), 1 / len(jobs))
        result, photo = _result(options, job, progress)
        picture = {"picture": options.picture, "bits": options.bits, "frame": options.frame}
        export.save(output, result, photo, **picture)
        written.append(str(output))
    return written


def _outputs(options: argparse.Namespace) -> list[Path]:
    """The file of each result: --output itself, or in the folder --output one named after each photo."""
    output, sources = Path(options.output), options.photo
    if options.task == "people" or (len(sources) == 1 and not output.is_dir()):
        return [output]
    if not output.is_dir():
        raise BadInput(f"{output} is no folder, and there are {len(sources)} photos.", "Give a folder that exists.")
    outputs = [output / f"{Path(source).stem}.{options.task}.{options.format}" for source in sources]
    if len(set(outputs)) < len(outputs):
        raise BadInput("Two of the photos have the same name.", "Rename one, or run them one at a time.")
    return outputs


def _result(options: argparse.Namespace, sources: list[str], progress: _Progress) -> tuple[export.Result, Photo]:
    """Run the task on one photo, or for people on all of them."""
    where = {"device": options.device, "precision": options.precision, "models_dir": options.models_dir}
    chosen = {name: getattr(options, name) for name, *_ in _OPTIONS[options.task] if getattr(options, name) is not None}
    model = options.model or ("relief" if options.task == "relief" else "builtin")
    if options.task == "people":
        clip = _clip(options, sources)
        chosen |= {"refine": options.refine, "track": not options.no_track}
        return recover_people(clip, model, progress=progress, **where, **chosen), next(iter(clip))
    photo = _with_focal(load_photo(sources[0]), options)
    if options.task == "relief":
        module = model_module("depth", model)
        run = runtime.start(progress=progress, **where)
        with run.computing():
            chosen |= {"invert": options.invert, "tileable": options.tileable}
            return module.estimate(photo, run, resolution=options.resolution, **chosen), photo
    task = {"depth": estimate_depth, "normals": estimate_normals, "hands": refine_hands}[options.task]
    return task(photo, model, resolution=options.resolution, progress=progress, **where, **chosen), photo


def _clip(options: argparse.Namespace, sources: list[str]) -> Clip:
    clips = [load_clip(source, fps=options.fps, sequence=options.sequence) for source in sources]
    fps = clips[0].fps if len(clips) == 1 else options.fps

    def photos() -> Iterator[Photo]:
        for clip in clips:
            for photo in clip:
                yield _with_focal(photo, options)

    return Clip(clips[0].name, sum(map(len, clips)), fps, photos)


def _with_focal(photo: Photo, options: argparse.Namespace) -> Photo:
    if options.fx is None and options.fy is None:
        return photo
    return replace(photo, camera=photo.camera_or_default(options.fx, options.fy))


class _Progress:
    """Tells how far the work is: on a terminal in one line, else every tenth, or as JSON for programs.

    part : where the running job starts within the whole and its share, 0..1.
    """

    def __init__(self, as_json: bool) -> None:
        self.part = (0.0, 1.0)
        self._json = as_json
        self._line = not as_json and sys.stderr.isatty()
        self._told = -1.0

    def __call__(self, fraction: float, message: str) -> None:
        start, share = self.part
        done = start + share * fraction
        if self._json:
            self._object({"fraction": round(done, 4), "message": message})
        elif self._line:
            print(f"\r\033[K{done:4.0%}  {message}", end="", file=sys.stderr, flush=True)
        elif done >= self._told + 0.1:
            print(f"{done:4.0%}  {message}", file=sys.stderr, flush=True)
            self._told = done

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
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    for task, summary in {
        "depth": "metric depth of a photo",
        "normals": "surface normals",
        "hands": "depth, mask and meshes of the hands",
        "people": "posed bodies of a photo, photos or a clip",
        "relief": "surface relief of a material",
    }.items():
        _add_common(subparser := tasks.add_parser(task, help=summary, description=summary.capitalize() + "."))
        for name, kind, choices, text in _OPTIONS[task]:
            subparser.add_argument("--" + name.replace("_", "-"), type=kind, choices=choices, help=text)
        if task == "people":
            subparser.add_argument("--refine", action="store_true", help="spend more steps on the fit")
            subparser.add_argument("--no-track", action="store_true", help="treat every frame by itself")
            subparser.add_argument("--fps", type=float, help="frames per second, instead of the movie's own")
            subparser.add_argument("--sequence", action="store_true", help="a numbered file stands for all of them")
        if task == "relief":
            subparser.add_argument("--invert", action=argparse.BooleanOptionalAction, help="bright is deep")
            subparser.add_argument("--tileable", action="store_true", help="the photo repeats without a seam")
    return parser


def _add_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--photo", nargs="+", required=True, metavar="FILE", help="photos; for people also a movie, folder or pattern")
    add("--output", required=True, metavar="PATH", help="FILE.npz, .exr, .png or .glb, or a folder for many photos")
    add("--format", choices=[suffix[1:] for suffix in export.FORMATS], default="npz", help="of files in a folder")
    add("--overwrite", action="store_true", help="replace files that exist")
    add("--picture", choices=("preview", "mask"), default="preview", help="what a PNG shows")
    add("--bits", type=int, choices=(8, 16), default=8, help="of a mask")
    add("--frame", type=int, default=0, help="of a clip, the frame that a GLB or PNG holds, from 0")
    add("--model", help="default: builtin")
    add("--fx", type=float, help="focal length in pixels; default: the photo's own, else 55 degrees on the long side")
    add("--fy", type=float, help="default: as fx")
    add("--resolution", type=int, default=512, help="short side of the preview in pixels, 0 for the photo's size")
    add("--device", help="cpu, cuda, cuda:1, mps ...; default: the best there is")
    add("--precision", choices=("float32", "float16"))
    add("--models-dir", metavar="FOLDER", help="where the model files lie")
    add("--json", action="store_true", help="progress as JSON lines on stdout")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stopping the process tidies up as Ctrl-C does
    sys.exit(main())
