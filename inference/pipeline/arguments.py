# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a command line that say what is read, what is written, and what is told; both doors have them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import BadInput
from . import jobs, reports


def add_files(
    parser: argparse.ArgumentParser, formats: Sequence[str], read: str = "--photo", help: str = "", **how: Any
) -> None:
    """What is read and written. formats : the endings of files in a folder, the first one is the default.
    read : the option that names the inputs, with its help, and what else differs in it."""
    add = parser.add_argument
    text = help or "photos, movies, folders, or patterns (shot_####.png, *.jpg)"
    add(read, dest="photo", **{"nargs": "+", "required": True, "metavar": "FILE", "help": text, **how})
    add("--output", required=True, metavar="PATH", help="a file, or a folder that gets one for every photo or frame")
    add("--sequence", action="store_true", help="a numbered file stands for all of them")
    add("--format", choices=formats, default=formats[0], help=f"of files in a folder; default: {formats[0]}")
    add("--part", metavar="N/M", help="of all files that are to be made, the N-th of M equal parts")
    keep = parser.add_mutually_exclusive_group()
    keep.add_argument("--overwrite", action="store_true", help="replace files that exist")
    keep.add_argument("--continue", dest="resume", action="store_true", help="leave out what is there and whole")


def add_cluster(parser: argparse.ArgumentParser) -> None:
    """Where the files of a folder are made."""
    text = "on a Ray cluster; without an address on one that is started here"
    parser.add_argument("--ray", nargs="?", const="", metavar="ADDRESS", help=text)
    parser.add_argument("--workers", type=int, default=0, help="of the cluster; default: one for each GPU, or else CPU")


def add_report(parser: argparse.ArgumentParser, **keep: Any) -> None:
    """What is told. keep : a default that does not undo what stands before the command."""
    add = parser.add_argument
    add("--json", action="store_true", help="JSON lines on stdout: progress, each file, a report", **keep)
    add("--report", choices=reports.KINDS, **{"default": "text", **keep}, help="what stdout is for; default: text")
    add("--allow-nothing", action="store_true", help="exit 0 also where there is nothing to find", **keep)


def flags(values: Mapping[str, Any]) -> list[str]:
    """The words of a command line that say these values, by the names of their options."""
    words: list[str] = []
    for name, value in values.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{flag}" if value else f"--no-{flag}")
        elif value is not None:
            words += [f"--{flag}", *map(str, value if isinstance(value, (list, tuple)) else [value])]
    return words


def part_of(made: list[Any], text: str | None) -> list[Any]:
    """The part that --part names: 2/6 is the second of six. Raises `BadInput`."""
    if text is None:
        return made
    number, _, count = text.partition("/")
    if not (number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count)):
        raise BadInput(f"The part {text!r} cannot be read.", "Write it as 2/6, the second of six.")
    place, parts = int(number), int(count)
    return made[len(made) * (place - 1) // parts : len(made) * place // parts]


def kind_of(options: argparse.Namespace) -> str:
    """How a run tells what it does."""
    return "json" if options.json else options.report


def output_folder(options: argparse.Namespace) -> Path | None:
    """The folder of a file for each input, which is made where it is not there; None where --output is one file."""
    output = Path(options.output)
    if not jobs.is_folder(output, options.output):
        return None
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"The folder {output} cannot be made: {error.strerror}.", "Choose another.") from error
    return output
