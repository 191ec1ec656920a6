# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue as the tables of docs/models.md: `python3 -m installer models list --markdown`."""

from __future__ import annotations

from . import catalogue
from .catalogue import File, Model, in_words

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
    together: dict[str, list[File]] = {}
    for file in catalogue.files():
        together.setdefault(file.folder or file.path, []).append(file)
    lines += [_file(place, files) for place, files in together.items()]
    return "\n".join(lines) + "\n"


def _model(model: Model, tasks: list[str]) -> str:
    files = ", ".join(dict.fromkeys(f"`{file.folder or file.path}`" for file in model.files)) or "ships"
    read = " ".join(f"[{number}]({page})" for number, page in enumerate(model.licence_pages, 1))
    licence = f"{model.licence} {read}".strip()
    return f"| {', '.join(tasks)} | `{model.id}` | {files} | {licence} | {_USE[model.commercial]} |"


def _file(place: str, files: list[File]) -> str:
    file = max(files, key=lambda one: one.bytes)
    how = "checksum, as third parties report it" if file.reported else "checksum" if file.sha256 else "content"
    how += ", texts by content" if file.inside and not all(one.sha256 for one in files) else ""
    way = f", in {file.within}" if file.within else ", after registration" if file.gated else ""
    size = f"{in_words(sum(one.bytes for one in files))} in {len(files)} files" if file.inside else file.size
    return f"| `{place}` | {size} | {file.page}{way} | {how} |"
