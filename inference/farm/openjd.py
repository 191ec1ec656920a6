# SPDX-License-Identifier: GPL-3.0-or-later
"""Job templates of Open Job Description (AWS Deadline Cloud and others), for `openjd run` and for farms.

A clip is cut into chunks of frames, many photos into parts; every task is one command line of `maquette.inference` or
of Blender, which may be run again: it leaves out what is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..photo.sequence import is_pattern
from ..pipeline.inputs import Input

#: Program -> what stands between it and the task.
DOORS = {"blender": ["--command", "maquette"], "python": ["-m", "maquette.inference"]}


def template(
    task: str, inputs: Sequence[Input], flags: Sequence[str], *, given: str, door: str, program: str, chunk: int
) -> dict[str, Any]:
    """A job template as plain data. The photo and the output folder are parameters without a default.

    given : what --photo named, of which `inputs` were made.  flags : further words of the command line.
    door : "blender" or "python".  program : its default path.  chunk : frames, or photos, of a task.
    """
    for one in inputs:
        if one.error is not None:
            raise one.error
    path = Path(given)
    pattern = is_pattern(path) or bool(set(path.name) & set("*?["))
    kind = "DIRECTORY" if pattern or path.is_dir() else "FILE"
    words = [*DOORS[door], task, "--photo", "{{Param.Photo}}" + (f"/{path.name}" if pattern else "")]
    parameters = [
        _parameter("Program", "STRING", program, "Blender, or the Python of Maquette's environment, on the workers"),
        {"name": "Photo", "type": "PATH", "objectType": kind, "dataFlow": "IN"},
        {"name": "Output", "type": "PATH", "objectType": "DIRECTORY", "dataFlow": "OUT"},
    ]
    is_film = len(inputs) == 1 and inputs[0].is_clip
    space: dict[str, Any] = {}
    if is_film:
        numbers = inputs[0].numbers
        parameters += [
            _parameter("Frames", "STRING", f"{numbers[0]}-{numbers[-1]}", "Frames by the clip's own numbers"),
            _parameter("ChunkSize", "INT", chunk, "Frames of a task"),
        ]
        words += ["--frames", "{{Task.Param.Frame}}"]
        chunks = {"defaultTaskCount": "{{Param.ChunkSize}}", "rangeConstraint": "CONTIGUOUS"}
        space = _space({"name": "Frame", "type": "CHUNK[INT]", "range": "{{Param.Frames}}", "chunks": chunks})
    elif len(inputs) > 1:
        parts = -(-len(inputs) // chunk)
        parameters.append(_parameter("Parts", "INT", parts, "Parts of equal size"))
        words += ["--part", "{{Task.Param.Part}}/{{Param.Parts}}"]
        space = _space({"name": "Part", "type": "INT", "range": "1-{{Param.Parts}}"})
    behind = ["--continue", "--report", "openjd", *flags]
    if is_film and task == "people":  # one problem over all frames, of which the networks' part can be cut
        merge = [*DOORS[door], task, "--merge", "{{Param.Output}}/parts"]
        merge += ["--output", "{{Param.Output}}/people." + kind_of(flags), *behind]
        words += ["--measure", "{{Param.Output}}/parts/{{Task.Param.Frame}}.npz", *behind]
        steps = [_step("measure", words, space), _step("merge", merge, _after("measure"))]
    elif is_film and is_steadied(task, flags):  # through all frames: what the networks say of each can be cut
        merge = [*words[:-1], "{{Param.Frames}}", "--merge", "{{Param.Output}}/parts", "--output", "{{Param.Output}}/"]
        words += ["--output", "{{Param.Output}}/parts/", *behind, "--format", "npz", "--no-steady"]
        steps = [_step("depth", words, space), _step("merge", [*merge, *behind], _after("depth"))]
    else:
        steps = [_step(task, [*words, "--output", "{{Param.Output}}/", *behind], space)]
    return {
        "specificationVersion": "jobtemplate-2023-09",
        "extensions": ["TASK_CHUNKING"],
        "name": f"Maquette {task}",
        "parameterDefinitions": parameters,
        "steps": steps,
    }


def is_steadied(task: str, flags: Sequence[str]) -> bool:
    """Whether the depth of a clip is steadied through its frames by a command line of these words."""
    model = flags[flags.index("--model") + 1] if "--model" in flags else ""
    return task == "depth" and "--no-steady" not in flags and model != "relief"


def kind_of(flags: Sequence[str]) -> str:
    """The format that the words of a command line ask for."""
    return flags[flags.index("--format") + 1] if "--format" in flags else "npz"


def _step(name: str, words: list[str], more: dict[str, Any]) -> dict[str, Any]:
    run = {"command": "{{Param.Program}}", "args": words}
    return {"name": name, **more, "script": {"actions": {"onRun": run}}}


def _after(step: str) -> dict[str, Any]:
    return {"dependencies": [{"dependsOn": step}]}


def _parameter(name: str, kind: str, default: Any, text: str) -> dict[str, Any]:
    return {"name": name, "type": kind, "default": default, "description": text}


def _space(parameter: dict[str, Any]) -> dict[str, Any]:
    return {"parameterSpace": {"taskParameterDefinitions": [parameter]}}
