# SPDX-License-Identifier: GPL-3.0-or-later
"""Arrays without Blender, from the command line.

    python -m maquette.inference depth|normals|hands|maps|people|relief --photo FILE --output FILE.npz|.exr|.png|.glb
    python -m maquette.inference TASK --photo FILES|MOVIES|FOLDERS|PATTERNS --output FOLDER [--frames A-B] [--continue]
    python -m maquette.inference people --photo CLIP --measure FILE.npz|FOLDER [--frames A-B] [--chunk N] [--ray]
    python -m maquette.inference people --merge FOLDER --output FILE.npz
    python -m maquette.inference depth --photo CLIP --merge FOLDER --output FOLDER
    python -m maquette.inference detail --photo FILE --mask FILE --output FILE.png|.exr|.npz [--model ...]
    python -m maquette.inference detail --photo FILE|CLIP --each hands|faces|people --output FILE.png [--model ...]
    python -m maquette.inference --list [--models-dir FOLDER] [--json]

In a folder every photo and frame gets a file, people every photo and clip, written as soon as it is made; what is wrong
with one of them is a line in the report, and the others go on. A file appears whole or not at all, however the process
ends. Progress goes to stderr, or with --json as one JSON object a line to stdout.
Exit code 0: all done; 3: nothing was found in some; 4: some failed; 1: all failed, or the run, with one sentence that
says why and what to do; 2: the command line is wrong; 130: interrupted. See docs/pipelines.md.
"""

from __future__ import annotations

import argparse
import inspect
import json
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from ..installer.models import catalogue, store
from . import export, measure_people, recover_people, solve_people
from .detailer import command
from .errors import BadInput
from .options import Options, common, depth, hands, normals, people, preprocessors, segment
from .photo import Clip, Photo, as_clip, load_clip
from .pipeline import arguments as arguments_of
from .pipeline.inputs import Input, inputs_of
from .pipeline.jobs import Job, Outcome, clear_leftovers, is_folder, is_whole, jobs_of
from .pipeline.reports import Progress, Report, told
from .pipeline.work import Work, each, undone
from .results import People


class _Task(NamedTuple):
    """task : of the catalogue.  summary : one line.  options : its parameters.  model : the default one."""

    task: str
    summary: str
    options: Options
    model: str = common.AUTO


_COMMON = Options(common.FX, common.FY, common.RESOLUTION)
TASKS = {
    "depth": _Task("depth", "metric depth of a photo", depth.OPTIONS),
    "normals": _Task("normals", "surface normals", normals.OPTIONS),
    "hands": _Task("hands", "depth, mask and meshes of the hands", hands.OPTIONS),
    "maps": _Task("maps", "image passes: edges, lines, shuffled content", preprocessors.OPTIONS, "canny"),
    "people": _Task("people", "posed bodies of a photo, photos or a clip", people.OPTIONS),
    "segment": _Task("segment", "one thing cut out of a photo", segment.OPTIONS),
    "relief": _Task("depth", "surface relief of a material", depth.OPTIONS.for_model("relief"), "relief"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one task; returns the exit code."""
    parser, words = _parser(), list(sys.argv[1:] if arguments is None else arguments)
    task = [number for number, word in enumerate(words) if word in (*TASKS, "detail")] if words[:1] == ["farm"] else []
    cut = task[0] if task else len(words)  # the task of a job for a farm has a command line of its own
    options = parser.parse_args(words[:cut])
    if options.list:
        _list_models(options)
        return 0
    if options.task == "farm":
        return _farm(parser, options, words[cut:])
    if options.task is None:
        parser.error("a TASK is needed, or --list")
    _check_places(parser, options)
    progress = Progress(arguments_of.kind_of(options))
    return told(lambda: _run(options, progress), progress, options.allow_nothing)


def _check_places(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End with exit code 2 where it is not said what to read and write."""
    measure, merge = getattr(options, "measure", None), getattr(options, "merge", None)
    if merge and options.task == "depth":
        if options.part or options.ray is not None:
            parser.error("--merge steadies the frames of a clip one after the other")
    elif merge and (measure or options.photo or options.frames):
        parser.error("--merge takes the place of --photo, --measure and --frames")
    if not merge and not options.photo:
        parser.error("the following arguments are required: --photo")
    if bool(options.output) == bool(measure):
        parser.error("--measure takes the place of --output" if measure else "an --output is needed")
    if options.task == "people" and options.frames is not None and not measure:
        parser.error("the people of a clip are found in all of its frames together: --frames goes with --measure")


def _measured(options: argparse.Namespace, progress: Progress) -> Report | list[str]:
    """What the networks say of a clip, or of a range of its frames: in one file, or in a folder's files."""
    output, inputs, ranges = Path(options.measure), _inputs(options, progress), _ranges(options)
    if len(inputs) != 1 or inputs[0].error is not None or (ranges and len(ranges) > 1):
        raise inputs[0].error or BadInput("One clip is measured at a time.", "Give one, and one range of its frames.")
    numbers = inputs[0].numbers
    if options.chunk < 1:
        raise BadInput("A file of fewer than one frame cannot be.", "Give --chunk 1 or more.")
    low, high = ranges[0] if ranges else (numbers[0], numbers[-1])
    inside = [place for place, number in enumerate(numbers) if low <= number <= high]
    if not inside:
        why = f"The clip has the frames {numbers[0]} to {numbers[-1]}, none of those asked for."
        raise BadInput(why, "Choose some.")
    whole = Job(
        inputs[0].path, output, index=inside[0], stop=inside[-1] + 1, sequence=options.sequence, fps=options.fps
    )
    folder = is_folder(output, options.measure)
    if not folder and output.suffix.lower() != ".npz":
        raise BadInput(f"{output} is not an .npz file.", "End the name in .npz, or give a folder.")
    jobs = _chunks(whole, numbers, options.chunk) if folder else [whole]
    left, report = [job for job in jobs if not _is_there(job.output, options)], Report()
    report.outcomes = [Outcome(job.label, job.output, skipped=True) for job in jobs if job not in left]
    (output if folder else output.parent).mkdir(parents=True, exist_ok=True)
    _check_outputs(options, [job.output for job in left], list(inputs[0].files))
    given, chosen = _work(options), _chosen(options)
    asked = {name: chosen[name] for name in inspect.signature(measure_people).parameters if name in chosen}
    outcomes = _spread(replace(given, options=asked).measured, options)
    for number, outcome in enumerate(outcomes(left, progress) if left else ()):
        if not folder and outcome.error is not None:
            raise outcome.error
        report.outcomes.append(outcome)
        progress.tell(outcome.notes)
        if folder:
            progress.outcome((number + 1) / len(left), outcome)
    return report if folder else [str(job.output) for job in left]


def _chunks(whole: Job, numbers: Sequence[int], size: int) -> list[Job]:
    """The parts of a clip, each of so many frames, in files that are named by the clip's own numbers of them."""
    assert whole.index is not None and whole.stop is not None
    starts = range(whole.index, whole.stop, size)
    ends = [min(start + size, whole.stop) for start in starts]
    return [
        replace(whole, output=whole.output / f"{numbers[start]}-{numbers[stop - 1]}.npz", index=start, stop=stop)
        for start, stop in zip(starts, ends, strict=True)
    ]


def _spread(work: Any, options: argparse.Namespace) -> Any:
    """The work as the workers of a cluster do it, where one is asked for."""
    if options.ray is None:
        return work
    from .farm import ray_cluster

    return partial(ray_cluster.outcomes, work, address=options.ray, workers=options.workers)


def _merged(options: argparse.Namespace, progress: Progress) -> Iterator[Path]:
    """The people of a clip of what was measured of its parts."""
    output = Path(options.output)
    if _is_there(output, options):
        return
    _check_outputs(options, [output], [])
    chosen = {**_chosen(options), "fx": options.fx, "fy": options.fy}
    given = {name: chosen[name] for name in inspect.signature(solve_people).parameters if name in chosen}
    import numpy as np

    result = solve_people(options.merge, progress=progress, **given)
    export.save(output, result, Photo(np.zeros((8, 8, 3), np.uint8)), **_saved(options))
    progress.tell([*result.notes, *_left_out(output, result)])
    yield output


def _run(options: argparse.Namespace, progress: Progress) -> Report | list[str]:
    measure, merge = (options.task == "people" and getattr(options, name) for name in ("measure", "merge"))
    if measure:
        return _measured(options, progress)
    if merge:
        return [str(path) for path in _merged(options, progress)]
    folder = arguments_of.output_folder(options)
    if getattr(options, "each", None):
        return [str(path) for path in command.run_each(options, folder, progress)]
    if folder is not None:
        return _into(folder, options, progress)
    task = {"people": _people, "detail": _repainted}.get(options.task, _frame)
    return [str(path) for path in task(options, progress)]


def _farm(parser: argparse.ArgumentParser, options: argparse.Namespace, words: list[str]) -> int:
    """Write what a farm is given. The task's own command line follows."""
    progress = Progress(arguments_of.kind_of(options))

    def write() -> list[str]:
        from .farm import flamenco

        file = Path(options.save)
        if options.manager == "flamenco":
            return [str(flamenco.save_job_type(file, overwrite=options.overwrite))]
        text = json.dumps(_template(parser, options, words, progress), indent=1) + "\n"
        if file.exists() and not options.overwrite:
            raise BadInput(f"{file} exists.", "Choose another name, or add --overwrite.")
        export.save_with(file, lambda stream: stream.write(text.encode()))
        return [str(file)]

    return told(write, progress, False)


def _template(
    parser: argparse.ArgumentParser, options: argparse.Namespace, words: list[str], progress: Progress
) -> dict[str, Any]:
    from .farm import openjd

    if not words:
        parser.error("a TASK with its options is needed behind those of farm")
    task = parser.parse_args(words)
    _check_places(parser, task)
    if len(task.photo or ()) != 1:
        raise BadInput("A job is one task with one --photo.", "Give a folder or pattern for many photos.")
    without = {"photo", "output", "frames", "part", "resume", "overwrite", "report", "json", "help"}
    said: list[str] = []
    for action in _commands(parser)[task.task]._actions:
        value = getattr(task, action.dest, None)
        if action.dest not in without and value != action.default and value not in (None, False):
            repeated = value if isinstance(value, list) and action.nargs is None else [value]
            said += [word for one in repeated for word in arguments_of.flags({action.dest: one})]
        elif value is False and isinstance(action, argparse.BooleanOptionalAction):
            said += arguments_of.flags({action.dest: value})
    program = options.program or ("blender" if options.door == "blender" else sys.executable)
    return openjd.template(
        task.task, _inputs(task, progress), said,
        given=task.photo[0], door=options.door, program=program, chunk=options.chunk,
    )  # fmt: skip


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parser of each task."""
    return next(action.choices for action in parser._actions if action.dest == "task")  # type: ignore[return-value]


def _people(options: argparse.Namespace, progress: Progress) -> Iterator[Path]:
    """All photos and clips into one file."""
    output = Path(options.output)
    if _is_there(output, options):
        return
    _check_outputs(options, [output], [file for one in _inputs(options, progress) for file in one.files])
    clip = _clip(options)
    result = recover_people(clip, progress=progress, **_chosen(options))
    export.save(output, result, next(iter(clip)), **_saved(options))
    progress.tell([*clip.notes, *_left_out(output, result)])
    yield output


def _left_out(output: Path, result: People) -> tuple[str, ...]:
    return export.left_out(result) if output.suffix.lower() == ".npz" else ()


def _frame(options: argparse.Namespace, progress: Progress) -> Iterator[Path]:
    """The one photo, or the one frame, into the file."""
    output, inputs = Path(options.output), _inputs(options, progress)
    for one in inputs:
        if one.error is not None:
            raise one.error
    jobs = jobs_of(inputs, lambda stem: Path(f"{output}/{stem}"), by_frame=True, frames=_ranges(options))
    if len(jobs) != 1:
        raise BadInput(f"There are {len(jobs)} photos, but {output} is not a folder.", "Give a folder.")
    if _is_there(output, options):
        return
    _check_outputs(options, [output], [file for one in inputs for file in one.files])
    (outcome,) = _work(options)([replace(jobs[0], output=output)], progress)
    if outcome.error is not None:
        raise outcome.error
    progress.outcome(1.0, outcome, many=False)
    answered = [f"Answered by {outcome.model}."] if outcome.model else []
    progress.tell([*answered, *(note for one in inputs for note in one.notes)])
    yield output


def _into(folder: Path, options: argparse.Namespace, progress: Progress) -> Report:
    """A file for each photo, frame or clip; the report says what became of each."""
    report, inputs = Report(), _inputs(options, progress)
    progress.tell([note for one in inputs for note in one.notes])
    parts = _parts(folder, options, inputs) if getattr(options, "merge", None) else None
    left = jobs_of(
        inputs,
        lambda stem: folder / f"{stem}.{options.task}.{options.format}",
        by_frame=options.task != "people",
        frames=_ranges(options),
        sequence=options.sequence,
        fps=options.fps,
    )
    left = arguments_of.part_of(left, options.part)
    outputs = [job.output for job in left]
    clear_leftovers(outputs)
    work: Any = partial(_detail, options) if options.task == "detail" else _work(options)
    if options.resume:
        again = isinstance(work, Work) and work.through_all
        left, report.outcomes = undone(left, lambda job: _is_there(job.output, options), again)
        options.overwrite = options.overwrite or again
    _check_outputs(options, [job.output for job in left], [file for one in inputs for file in one.files])
    bad = arguments_of.part_of([one for one in inputs if one.error is not None], options.part)
    report.outcomes += [Outcome(str(one.path), None, one.error) for one in bad]
    for outcome in report.outcomes:
        progress.outcome(0.0, outcome)
    if parts is not None:
        work = partial(work.steadied, parts)
    work = _spread(work, options)
    for number, outcome in enumerate(work(left, progress) if left else ()):
        report.outcomes.append(outcome)
        progress.outcome((number + 1) / len(left), outcome)
    clear_leftovers(outputs)
    return report


def _parts(folder: Path, options: argparse.Namespace, inputs: Sequence[Input]) -> Path:
    """The folder of the depths of a clip that --merge names."""
    if len(inputs) != 1 or not (inputs[0].error or inputs[0].is_clip):
        raise BadInput("One clip is merged at a time.", "Give the clip whose depths were made in parts.")
    if folder.resolve() == Path(options.merge).resolve():
        raise BadInput(f"{folder} is the folder of the parts itself.", "Choose another output.")
    return Path(options.merge)


def _repainted(options: argparse.Namespace, progress: Progress) -> Iterator[Path]:
    """The one photo."""
    if len(options.photo) > 1:
        raise BadInput(
            f"There are {len(options.photo)} photos, but {options.output} is not a folder.", "Give a folder."
        )
    one = argparse.Namespace(**{**vars(options), "photo": options.photo[0]})
    if options.plan:
        print(command.planned(one), file=progress.out)
    elif not _is_there(Path(options.output), options):
        yield from command.run(one, progress)


def _detail(options: argparse.Namespace, jobs: Sequence[Job], progress: Progress) -> Iterator[Outcome]:
    """Each photo under its mask."""

    def one(job: Job, part: Callable[[float, str], None]) -> None:
        if job.file is None:
            raise BadInput("A movie cannot be detailed.", "Give its frames as pictures.")
        given = {"photo": str(job.file), "mask": command.mask_of(job.file, Path(options.mask)), "output": job.output}
        list(command.run(argparse.Namespace(**{**vars(options), **given}), part))

    return each(jobs, one, progress)


def _inputs(options: argparse.Namespace, progress: Progress) -> list[Input]:
    return inputs_of(options.photo, fps=options.fps, sequence=options.sequence, tell=lambda note: progress.tell([note]))


def _ranges(options: argparse.Namespace) -> list[tuple[int, int]] | None:
    return common.FRAMES.parsed(options.frames) if options.frames is not None else None


def _is_there(output: Path, options: argparse.Namespace) -> bool:
    """Whether a run that is continued can leave a file out. One that is cut off is made again."""
    if options.resume and output.exists():
        count = getattr(options, "batch_size", None) if options.task == "detail" else None
        if all(map(is_whole, command.outputs(output, count or 1))):
            return True
        options.overwrite = True
    return False


def _check_outputs(options: argparse.Namespace, outputs: list[Path], photos: list[Path]) -> None:
    """Raise `BadInput` where a file could not be written at the end."""
    given = {file.resolve() for file in photos}
    for output in outputs:
        if output.resolve() in given:
            raise BadInput(f"{output} is the photo itself.", "Choose another output.")
        export.check_output(output, overwrite=options.overwrite)


def _saved(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("picture", "bits", "frame")}


def _work(options: argparse.Namespace) -> Work:
    given = _chosen(options) | ({} if options.task == "people" else common.BATCH.chosen(options))
    lens, in_parts = (options.fx, options.fy), bool(options.frames or options.part) or options.ray is not None
    work = Work(TASKS[options.task].task, given, lens, options.layer, _saved(options), in_parts)
    return replace(work, first=in_parts or (options.resume and not work.through_all))


def _chosen(options: argparse.Namespace) -> dict[str, Any]:
    """The keywords of the task's function. The focal length is each photo's own (see `_clip`)."""
    task = TASKS[options.task]
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
    return Clip(joined.name, len(joined), fps, lambda: map(_work(options).seen, joined), joined.notes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m maquette.inference", description="Photographs into arrays and meshes.")
    parser.add_argument("--list", action="store_true", help="list the models, their licences and their files")
    _add_places(parser)
    tasks = parser.add_subparsers(dest="task", metavar="TASK")
    formats = [suffix[1:] for suffix in export.FORMATS]
    for name, task in TASKS.items():
        subparser = tasks.add_parser(name, help=task.summary, description=task.summary.capitalize() + ".")
        arguments_of.add_files(subparser, formats)
        arguments_of.add_cluster(subparser)
        _add_saved(subparser)
        Options(*_COMMON, *task.options, common.LAYER, *common.RUN).add_to(subparser)
        _add_places(subparser)
        if name == "people":
            subparser.add_argument("--fps", type=float, help="frames per second, instead of the movie's own")
            add = subparser.add_argument
            how = "write what the networks say of the clip, or of --frames, as .npz; in a folder one for each --chunk"
            add("--measure", metavar="FILE", help=how)
            add("--chunk", type=int, default=50, metavar="N", help="frames of a file in that folder; default: 50")
            add("--merge", nargs="+", metavar="FOLDER", help="the people of all that --measure wrote of a clip")
            Options(common.FRAMES).add_to(subparser)
            for action in subparser._actions:
                action.required = action.required and action.dest not in ("photo", "output")
        else:
            Options(*common.BATCH, common.FRAMES).add_to(subparser)
            subparser.set_defaults(fps=None)
        if name == "depth":
            how = "bring the depths of a clip that lie in FOLDER, made in parts with --no-steady, to one scale"
            subparser.add_argument("--merge", metavar="FOLDER", help=how)
    text = f"{command.SUMMARY[0].upper()}{command.SUMMARY[1:]}."
    subparser = tasks.add_parser("detail", help=command.SUMMARY, description=text)
    arguments_of.add_files(subparser, [suffix[1:] for suffix in command.FORMATS])
    arguments_of.add_cluster(subparser)
    command.add_options(subparser)
    common.RUN.add_to(subparser)
    _add_places(subparser)
    subparser.set_defaults(fps=None, frames=None)
    _add_farm(tasks.add_parser("farm", help="write a job for a farm", description="Write a job for a farm."))
    return parser


def _add_farm(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("manager", choices=("openjd", "flamenco"), help="a job template, or Flamenco's job type maquette.js")
    add("--save", required=True, metavar="FILE", help="the .json file; of Flamenco its manager's folder scripts")
    add("--overwrite", action="store_true", help="replace a file that exists")
    add("--chunk", type=int, default=50, help="frames, or photos, of a task; default: 50")
    add("--door", choices=("blender", "python"), default="blender", help="what the workers start; default: blender")
    add("--program", metavar="PATH", help="where it is on the workers")
    parser.usage = "%(prog)s openjd|flamenco --save FILE [options] TASK ..., the command line as for one machine"
    _add_places(parser)


def _add_saved(parser: argparse.ArgumentParser) -> None:
    """What a file shows."""
    add = parser.add_argument
    add("--picture", choices=("preview", "mask"), default="preview", help="what a PNG shows")
    add("--bits", type=int, choices=(8, 16), default=8, help="of a mask")
    add("--frame", type=int, default=0, help="of a clip, the frame that a GLB or PNG holds, from 0")
    add("--model", help="default: auto; of maps: canny")


def _add_places(parser: argparse.ArgumentParser) -> None:
    """Options that stand before a task as well as behind it."""
    # A task's own default would replace what was given before the task.
    keep: dict[str, Any] = {"default": argparse.SUPPRESS} if parser.prog.count(" ") > 2 else {}
    parser.add_argument("--models-dir", metavar="FOLDER", help="where the model files lie", **keep)
    arguments_of.add_report(parser, **keep)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # stopping the process tidies up as Ctrl-C does
    sys.exit(main())
