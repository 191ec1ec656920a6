# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line: `blender --command maquette people --photo FILE --output FILE.blend`.

In the `bpy` module the same is `python -m maquette.blender_addon.cli people --photo FILE --output FILE.blend`.
Every property of the task's operator is an option (`--mask-type`, `--mesh-resolution` ...); what to make of a depth or
normal map is `--build`. Float images and caches are written to `maquette` beside the output, or to `--folder`.

Exit codes: 0 done, 1 the task failed (one line says why), 2 wrong usage, 130 stopped by the user.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy

from ..core import jobs
from ..tasks import TASKS

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

#: Command -> operator and command.
_COMMANDS = {command.name: (task.operator, command) for task in TASKS for command in task.commands}
#: Properties that have an option of their own here.
_OWN = {"image", "filepath", "rna_type"}
#: Property -> option, where its own name is taken.
_OPTIONS = {"output": "build"}

_handle: Any = None


def main(arguments: list[str]) -> int:
    """Run one command and save the .blend; returns the exit code."""
    try:
        options = vars(_parser().parse_args(arguments))
    except SystemExit as stop:
        return int(stop.code or 0)
    command, photo, file, template = (options.pop(name) for name in ("command", "photo", "file", "template"))
    output = Path(file).absolute()
    given = {name: value for name, value in options.items() if value is not None}
    try:
        _open(template)
        chosen = {} if photo is None else {"filepath": str(Path(photo).absolute())}
        line = _run(command, **chosen, **{"folder": str(output.parent / "maquette"), **given})
        _save(output)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except (RuntimeError, TypeError, OSError) as error:
        print(" ".join(str(error).removeprefix("Error: ").split()), file=sys.stderr)
        return 1
    print(f"{line}\nSaved {output}")
    return 0


def register() -> None:
    global _handle
    _handle = bpy.utils.register_cli_command("maquette", main)


def unregister() -> None:
    bpy.utils.unregister_cli_command(_handle)


def _parser() -> argparse.ArgumentParser:
    import argparse

    parser = argparse.ArgumentParser(
        prog="blender --command maquette", description="Photographs into Blender data, saved as a .blend file."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="|".join(_COMMANDS))
    for operator, command in _COMMANDS.values():
        options = commands.add_parser(
            command.name, help=command.help, description=command.help[:1].upper() + command.help[1:] + "."
        )
        options.add_argument(
            "--photo", required=command.needs_photo, metavar="FILE", help="photo, movie, or shot_%%04d.png"
        )
        options.add_argument(
            "--output", dest="file", required=True, metavar="FILE.blend", help="the .blend file to write"
        )
        options.add_argument(
            "--blend", dest="template", metavar="FILE.blend", help="build into this file instead of an empty scene"
        )
        _add_properties(options, operator, command.defaults)
    return parser


def _add_properties(parser: argparse.ArgumentParser, operator: str, defaults: Mapping[str, Any]) -> None:
    """An option for each property of the operator; those that are not given keep the operator's default."""
    import argparse

    for prop in _operator(operator).get_rna_type().properties:
        if prop.is_readonly or prop.identifier in _OWN:
            continue
        option: dict[str, Any] = {
            "default": defaults.get(prop.identifier),
            "help": str(prop.description).replace("%", "%%"),
        }
        if prop.type == "BOOLEAN":
            option["action"] = argparse.BooleanOptionalAction
        elif prop.type == "ENUM":
            option["choices"] = [item.identifier for item in prop.enum_items]
        else:
            option["type"] = {"INT": int, "FLOAT": float}.get(prop.type, str)
            option["metavar"] = prop.type.lower()
            if getattr(prop, "is_array", False):
                option["nargs"] = prop.array_length
        name = str(_OPTIONS.get(prop.identifier, prop.identifier)).replace("_", "-")
        parser.add_argument(f"--{name}", dest=prop.identifier, **option)


def _operator(name: str) -> Any:
    operators: Any = bpy.ops
    return getattr(operators.maquette, name)


def _open(template: str | None) -> None:
    if template is not None:
        bpy.ops.wm.open_mainfile(filepath=template)
        return
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)


def _run(command: str, **properties: Any) -> str:
    """Call the operator as a script would; its errors arrive as RuntimeError."""
    _operator(_COMMANDS[command][0])(**properties)
    outcome = jobs.outcome()
    return outcome.line if outcome else ""


def _save(path: Path) -> None:
    """Save the file, with paths that still hold when it is moved together with its pictures."""
    path.parent.mkdir(parents=True, exist_ok=True)
    preferences: Any = bpy.context.preferences
    versions = preferences.filepaths.save_version
    bpy.ops.wm.save_as_mainfile(filepath=str(path))
    preferences.filepaths.save_version = 0  # the second save of the same file needs no backup of the first
    try:
        bpy.ops.file.make_paths_relative()
        bpy.ops.wm.save_mainfile()
    finally:
        preferences.filepaths.save_version = versions
