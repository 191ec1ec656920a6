# SPDX-License-Identifier: GPL-3.0-or-later
"""What the commands do in Blender: a scene for each input, and a file of it."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import bpy
from bpy.types import Object

from ...inference.errors import BadInput, MaquetteError
from ...inference.pipeline import arguments as files
from ...inference.pipeline.inputs import Input, files_of, inputs_of
from ...inference.pipeline.jobs import Job, Outcome, clear_leftovers, is_whole, jobs_of
from ...inference.pipeline.reports import Progress, Report
from ...inference.pipeline.work import each, undone
from ...installer.shared.disk import whole_file
from .. import api
from ..builders.bodies.reading import action_frames
from ..core import jobs as worker
from ..tasks.rigs.settings import FORMATS
from .options import given_to, operator_for

#: Ending -> Blender's importer of motion.
_IMPORTERS = {
    ".fbx": "import_scene.fbx", ".bvh": "import_anim.bvh", ".glb": "import_scene.gltf", ".gltf": "import_scene.gltf",
    ".usd": "wm.usd_import", ".usdc": "wm.usd_import", ".usda": "wm.usd_import",
}  # fmt: skip
#: Formats that hold one skeleton.
_SKELETONS = (".bvh", ".npz")


def run(options: argparse.Namespace, progress: Progress) -> Report | list[str]:
    """Carry out a command. Raises `MaquetteError`."""
    folder, inputs = files.output_folder(options), _inputs(options, progress)
    one = partial({"retarget": _retarget, "export": _export}.get(options.command, _build), options)
    if folder is None:
        return _single(one, inputs, Path(options.output).absolute(), options)
    name = {"retarget": "retarget", "export": ""}.get(options.command, options.command)
    ending = f".{name}.{options.format}" if name else f".{options.format}"
    left = jobs_of(
        inputs, lambda stem: (folder / (stem + ending)).absolute(), by_frame=False, sequence=options.sequence
    )
    left = files.part_of(left, options.part)
    outputs, report = [job.output for job in left], Report()
    clear_leftovers(outputs)
    if options.resume:
        left, report.outcomes = undone(left, lambda job: is_whole(job.output))
    for job in left:
        _check(job.output, options)
    report.outcomes += [Outcome(str(bad.path), None, bad.error) for bad in inputs if bad.error is not None]
    for outcome in report.outcomes:
        progress.outcome(0.0, outcome)
    for number, outcome in enumerate(each(left, partial(_heard, one), progress)):
        report.outcomes.append(outcome)
        progress.outcome((number + 1) / len(left), outcome)
    clear_leftovers(outputs)
    return report


def _single(one: Callable[[Job], Sequence[str]], inputs: list[Input], output: Path, options: Any) -> list[str]:
    for bad in inputs:
        if bad.error is not None:
            raise bad.error
    if len(inputs) > 1:
        raise BadInput(f"There are {len(inputs)} inputs, but {output} is not a folder.", "Give a folder.")
    if options.resume and is_whole(output):
        return []
    _check(output, options)
    source = inputs[0].path if inputs else Path()
    lines = one(Job(source, output, sequence=options.sequence))
    return [*lines, f"Saved {output}"] if files.kind_of(options) == "text" else [str(output)]


def _inputs(options: argparse.Namespace, progress: Progress) -> list[Input]:
    if options.command == "retarget":
        return files_of(options.photo, (".blend", *_IMPORTERS))
    if options.command == "export":
        return files_of(options.photo, (".blend",))
    return inputs_of(options.photo or (), sequence=options.sequence, tell=lambda note: progress.tell([note]))


def _heard(one: Callable[[Job], Sequence[str]], job: Job, report: Callable[[float, str], None]) -> Sequence[str]:
    """Do a job, and hand on how far Blender's worker is."""
    worker.listener = report
    try:
        return one(job)
    finally:
        worker.listener = None


def _check(output: Path, options: argparse.Namespace) -> None:
    """Raise `BadInput` where the file could not be written at the end."""
    kinds = [".blend", *(suffix for suffixes in FORMATS.values() for suffix in suffixes)]
    if output.suffix.lower() not in kinds:
        raise BadInput(f"{output} is not a type of file that can be written.", f"End the name in {', '.join(kinds)}.")
    if output.exists() and not (options.overwrite or options.resume):
        raise BadInput(f"{output} exists.", "Choose another name, or add --overwrite.")


def _build(options: argparse.Namespace, job: Job) -> list[str]:
    """A photo or clip through a task."""
    source = job.source.absolute()
    if job.sequence:
        source = source.with_name(re.sub(r"\d+(?=\D*$)", lambda found: "#" * len(found[0]), source.name))
    chosen = {"filepath": str(source)} if options.photo else {}
    operator = operator_for(options.command)
    _open(options.blend)
    given = {"folder": str(job.output.parent / "maquette"), **chosen, **given_to(operator, options)}
    made = _guarded(lambda: api.run(operator, **given))
    people = [person.rig or person.body for person in made.people]
    _write(job.output, people or [obj for obj in made.objects if obj.type == "MESH"], options)
    return [made.line]


def _retarget(options: argparse.Namespace, job: Job) -> list[str]:
    """A file's motion onto the armature of the other file."""
    _open(options.blend)
    before, scene = set(bpy.data.objects), _scene()
    note = _import(job.source)
    added = [obj for obj in bpy.data.objects if obj not in before]
    source = _armature(added, options.source, job.source)
    target = _armature(before, options.target, Path(options.blend))
    given = {name: value for name, value in given_to("retarget", options).items() if name not in ("source", "target")}
    api.retarget(source, target, **given)
    frames = action_frames(target)
    scene.frame_start, scene.frame_end = frames[0], frames[-1]
    line = api.last_made()
    bpy.data.batch_remove(added)
    _write(job.output, [target], options)
    return [line.line if line else "", *([note] if note else [])]


def _export(options: argparse.Namespace, job: Job) -> list[str]:
    """What a .blend file holds, for another program."""
    _open(str(job.source))
    roots = [person.rig or person.body for person in api.people()] if options.objects == "PEOPLE" else None
    if options.armature or not roots:
        named = {"objects": "ACTIVE"} if options.armature else {}
        given = {**given_to("export_person", options), **named, "filepath": str(job.output), "overwrite": True}
        _guarded(lambda: api.run("export_person", **given, **_kind(job.output)))
    else:
        _write(job.output, roots, options)
    return []


def _armature(objects: Any, name: str | None, path: Path) -> Object:
    """The armature of this name, or the only one."""
    found = [obj for obj in objects if obj.type == "ARMATURE" and (not name or obj.name == name)]
    if len(found) != 1:
        called = f" called {name!r}" if name else ""
        names = ", ".join(sorted(obj.name for obj in found))
        raise BadInput(
            f"{path} has {len(found) or 'no'} armatures{called}{f': {names}' if names else ''}.",
            "Name one with --source or --target.",
        )
    return found[0]


def _import(path: Path) -> str:
    """Bring the objects of a file into the scene. Returns what is to be known of their timing."""
    scene, kind = _scene(), path.suffix.lower()
    rate = scene.render.fps / scene.render.fps_base
    if kind == ".blend":
        libraries: Any = bpy.data.libraries
        with libraries.load(str(path.absolute())) as (there, here):
            here.objects, here.scenes = list(there.objects), list(there.scenes[:1])
        loaded: Any = here.scenes[0] if here.scenes else None
        for obj in here.objects:
            scene.collection.objects.link(obj)
        own = loaded.render.fps / loaded.render.fps_base if loaded else rate
        if loaded:
            bpy.data.scenes.remove(loaded)
        return f"{path.name} plays {own:g} frames a second, the scene {rate:g}." if abs(own - rate) > 1e-3 else ""
    name = _IMPORTERS.get(kind)
    if name is None:
        raise BadInput(f"{path} holds no motion that can be read.", f"Use .blend, {', '.join(_IMPORTERS)}.")
    how = {"use_fps_scale": True} if kind == ".bvh" else {}
    _guarded(lambda: attrgetter(name)(bpy.ops)(filepath=str(path.absolute()), **how))
    return ""


def _write(output: Path, roots: Sequence[Object], options: argparse.Namespace) -> None:
    """The scene as a .blend file, or objects as another one. Of several people a format of one skeleton gets a file
    for each; the first one has the output's own name, and is there once the others are."""
    if output.suffix.lower() == ".blend":
        _save(output)
        return
    named = ("objects", "armature", "overwrite")
    given = {name: value for name, value in given_to("export_person", options).items() if name not in named}
    targets = {output: list(roots)}
    if output.suffix.lower() in _SKELETONS:
        named_each = {
            output.with_name(f"{output.stem}.{n}{output.suffix}"): [one] for n, one in enumerate(roots[1:], 2)
        }
        targets = {**named_each, output: list(roots[:1])}
    for path, chosen in targets.items():
        for obj in _layer().objects:
            obj.select_set(False)
        for obj in chosen:
            obj.hide_set(False)
            obj.select_set(True)
        path.parent.mkdir(parents=True, exist_ok=True)
        _guarded(lambda path=path: api.export_person(path, "SELECTED", overwrite=True, **_kind(path), **given))


def _kind(path: Path) -> dict[str, str]:
    return {"format": next(kind for kind, suffixes in FORMATS.items() if path.suffix.lower() in suffixes)}


def _scene() -> Any:
    return bpy.context.scene


def _layer() -> Any:
    return bpy.context.view_layer


def _guarded(work: Callable[[], Any]) -> Any:
    """Errors of Blender itself, in one line."""
    try:
        return work()
    except MaquetteError:
        raise
    except (RuntimeError, TypeError, OSError) as error:
        raise BadInput(" ".join(str(error).removeprefix("Error: ").split()), "") from error


def _open(template: str | None) -> None:
    if template is not None:
        _guarded(lambda: bpy.ops.wm.open_mainfile(filepath=str(Path(template).absolute())))
        return
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)


def _save(path: Path) -> None:
    """Save the file, with paths that still hold when it is moved together with its pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    preferences: Any = bpy.context.preferences
    versions = preferences.filepaths.save_version
    preferences.filepaths.save_version = 0  # the second save of the same file needs no backup of the first
    try:
        with whole_file(path) as part:
            bpy.ops.wm.save_as_mainfile(filepath=str(part))
            bpy.ops.file.make_paths_relative()
            bpy.ops.wm.save_mainfile()
    finally:
        preferences.filepaths.save_version = versions
