# SPDX-License-Identifier: GPL-3.0-or-later
"""A step in a Python process of its own, for packages whose libraries cannot share Blender's process.

The child gets this process's path for imports and finds this package under the same name, so that results come back as
what they are. This file is also the program that it runs.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .run import Run

#: Between what the child tells: the mark of its own lines, fraction and message.
_MARK = "@maquette"


def apart(function: Callable[..., Any], *arguments: Any, folder: Path, run: Run, **values: Any) -> Any:
    """`function(*arguments, run=run, **values)` of a module's top level, done by a child process; raises what it does,
    and MaquetteError where the child ends without an answer. folder : for what goes to it and comes back."""
    from ...installer.shared.processes import clean_environment, stream
    from ..errors import MaquetteError

    given, answer = folder / "apart.given", folder / "apart.answer"
    answer.unlink(missing_ok=True)
    root = str(__package__).rpartition(".inference")[0]
    work = pickle.dumps((function, arguments, {**values, "run": replace(run, progress=None, span=(0.0, 1.0))}))
    given.write_bytes(pickle.dumps((root, str(Path(__file__).parents[2]), sys.path, str(answer), work)))
    last = (0.0, "Starting")

    def heard(line: str) -> None:
        nonlocal last
        mark, _, rest = line.partition(" ")
        if mark == _MARK:
            fraction, _, message = rest.partition(" ")
            last = float(fraction), message
            run.report(*last)

    command = [sys.executable, "-s", __file__, str(given)]
    code, output = stream(command, clean_environment(), heard, lambda: run.report(*last))
    if not answer.exists():
        told = [line for line in output.splitlines() if line.strip() and not line.startswith(_MARK)]
        raise MaquetteError(
            f"The work ended with code {code}: {told[-1] if told else 'nothing was said'}.",
            "Repair the packages in the preferences, or take fewer photos.",
        )
    good, result = pickle.loads(answer.read_bytes())
    if not good:
        raise result
    return result


def _child(given: Path) -> None:
    """Do what the file says, and write down what came of it."""
    root, folder, path, answer, work = pickle.loads(given.read_bytes())
    sys.path[:] = path
    above = root.split(".")[:-1]
    for number in range(len(above)):  # the packages that the package lies in are Blender's
        parent = ModuleType(".".join(above[: number + 1]))
        parent.__path__ = [str(Path(folder).parent)]
        sys.modules[parent.__name__] = parent
    if not above:
        sys.path.insert(0, str(Path(folder).parent))
    # Errors are part of the package, so it is imported before they are.
    errors = import_module(f"{root}.inference.errors")
    function, arguments, values = pickle.loads(work)
    values["run"] = replace(
        values["run"], progress=lambda fraction, message: print(_MARK, round(fraction, 4), message, flush=True)
    )
    try:
        came = True, function(*arguments, **values)
    except errors.MaquetteError as error:
        came = False, error
    Path(answer).write_bytes(pickle.dumps(came))


if __name__ == "__main__":
    _child(Path(sys.argv[1]))
