# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue as the tables of docs/models.md: `python3 -m installer models list --markdown`."""

from __future__ import annotations

from . import catalogue
from .catalogue import File, Model

_USE = {True: "yes", False: "**no**", "ask": "ask its authors"}


def tables() -> str:
    """Every model with its files and licence, every file with its size, page and how it is checked, in Markdown."""
    tasks: dict[Model, list[str]] = {}
    for model in (model for model in catalogue.models() if not model.same_as):
        same = next(
            (known for known in tasks if model.files and (known.id, known.files) == (model.id, model.files)), model
        )
        tasks.setdefault(same, []).append(model.task)
    lines = ["| task | model | files | licence | commercial use |", "|---|---|---|---|---|"]
    lines += [_model(model, names) for model, names in tasks.items()]
    lines += ["", "| file | size | from | checked by |", "|---|---|---|---|"]
    lines += [_file(file) for file in catalogue.files()]
    return "\n".join(lines) + "\n"


def _model(model: Model, tasks: list[str]) -> str:
    files = ", ".join(f"`{file.path}`" for file in model.files) or "ships"
    read = " ".join(f"[{number}]({page})" for number, page in enumerate(model.licence_pages, 1))
    licence = f"{model.licence} {read}".strip()
    return f"| {', '.join(tasks)} | `{model.id}` | {files} | {licence} | {_USE[model.commercial]} |"


def _file(file: File) -> str:
    how = "checksum, as third parties report it" if file.reported else "checksum" if file.sha256 else "content"
    way = f", in {file.within}" if file.within else ", after registration" if file.gated else ""
    return f"| `{file.path}` | {file.size} | {file.page}{way} | {how} |"
