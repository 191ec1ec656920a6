# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the command line: those of files and reports, and every property of the operators."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from ..tasks import TASKS
from ..tasks.rigs.settings import FILE, FORMATS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

#: Command -> operator and command.
_COMMANDS = {command.name: (task.operator, command) for task in TASKS for command in task.commands}
#: Properties that have an option of their own here.
_OWN = {"image", "filepath", "rna_type", "format"}
#: Property -> option, where its own name is taken.
_OPTIONS = {"output": "build"}
#: Endings of files for other programs.
_EXPORTS = [suffix[1:] for suffixes in FORMATS.values() for suffix in suffixes]


def for_arrays(arguments: list[str]) -> bool:
    """Whether the output is a file of arrays, or what else `maquette.inference` alone makes."""
    import argparse

    from ...inference.__main__ import TASKS as known

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("command", nargs="?")
    for name in ("--output", "--format", "--frames"):
        parser.add_argument(name, default="")
    given, rest = parser.parse_known_args(arguments)
    if given.command not in (*known, "detail"):
        return given.command == "farm"
    kind = Path(given.output).suffix.lower()[1:] if not given.format else given.format
    if {"--measure", "--merge"} & set(rest) or (given.frames and not given.frames.isupper()):
        return True
    return kind in ("npz", "exr", "png") or (kind == "glb" and given.command not in ("people", "detail"))


def parser() -> argparse.ArgumentParser:
    """The command line, derived from the tasks and their operators."""
    import argparse

    from ...inference.pipeline import arguments as files

    whole = argparse.ArgumentParser(
        prog="blender --command maquette", description="Photographs into Blender data and files for other programs."
    )
    commands = whole.add_subparsers(dest="command", required=True, metavar="|".join([*_COMMANDS, "retarget", "export"]))

    def added(name: str, text: str) -> argparse.ArgumentParser:
        options = commands.add_parser(name, help=text, description=text[:1].upper() + text[1:] + ".")
        files.add_report(options)
        return options

    for operator, one in _COMMANDS.values():
        options = added(one.name, one.help)
        files.add_files(options, ["blend", *_EXPORTS, "exr", "png"], required=one.needs_photo)
        options.add_argument("--blend", metavar="FILE.blend", help="build into this file instead of an empty scene")
        _add_properties(options, operator, one.defaults)
        _add_export(options)
    options = added("retarget", "the motion of a file onto the armature of another one")
    files.add_files(options, ["blend", *_EXPORTS], "--motion", ".blend, .fbx, .bvh, .glb or .usd files, or folders")
    options.add_argument("--blend", "--onto", required=True, metavar="FILE.blend", help="holds the armature that moves")
    _add_properties(options, "retarget", {})
    _add_export(options)
    options = added("export", "people and armatures of .blend files into files for other programs")
    files.add_files(options, _EXPORTS, "--blend", ".blend files, or folders of them")
    _add_properties(options, "export_person", {"objects": "PEOPLE"})
    return whole


def _add_export(parser: argparse.ArgumentParser) -> None:
    """How files for other programs are written."""
    taken = {action.dest for action in parser._actions}
    _add_properties(
        parser, "export_person", {}, {option.name for option in FILE} - taken - {"objects", "max_influences"}
    )


def _add_properties(
    parser: argparse.ArgumentParser, operator: str, defaults: Mapping[str, Any], only: set[str] | None = None
) -> None:
    """An option for each property of the operator; those that are not given keep the operator's default."""
    import argparse

    taken = {action.dest for action in parser._actions}
    for prop in operator_of(operator).get_rna_type().properties:
        name = prop.identifier
        if prop.is_readonly or name in _OWN or (name in taken and name not in _OPTIONS):
            continue
        if only is not None and name not in only:
            continue
        option: dict[str, Any] = {"default": defaults.get(name), "help": str(prop.description).replace("%", "%%")}
        if prop.type == "BOOLEAN":
            option["action"] = argparse.BooleanOptionalAction
        elif prop.type == "ENUM":
            option["choices"] = [item.identifier for item in prop.enum_items]
        else:
            option["type"] = {"INT": int, "FLOAT": float}.get(prop.type, str)
            option["metavar"] = prop.type.lower()
            if getattr(prop, "is_array", False):
                option["nargs"] = prop.array_length
        dest = f"property_{name}" if name in _OPTIONS else name
        parser.add_argument(f"--{_OPTIONS.get(name, name)}".replace("_", "-"), dest=dest, **option)


def operator_of(name: str) -> Any:
    """The operator `bpy.ops.maquette.<name>`."""
    operators: Any = bpy.ops
    return getattr(operators.maquette, name)


def given_to(operator: str, options: argparse.Namespace) -> dict[str, Any]:
    """The properties of an operator that the command line gave."""
    names = [prop.identifier for prop in operator_of(operator).get_rna_type().properties]
    values = {name: getattr(options, f"property_{name}" if name in _OPTIONS else name, None) for name in names}
    own = {name: value for name, value in values.items() if value is not None and name not in _OWN}
    return {name: tuple(value) if isinstance(value, list) else value for name, value in own.items()}


def operator_for(command: str) -> str:
    """The operator of a command."""
    return _COMMANDS[command][0]
