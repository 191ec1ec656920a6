# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m installer models`: the library of models from a shell, for scripts and render farms.

Exit codes: 0 done; 1 failed, with the reason; 2 wrong usage; 3 something that was asked about is not installed, or not
whole; 4 a licence or a confirmation was not given; 130 stopped, to be taken up again by the same command.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..models import addresses, catalogue, importing, library, licences, model_files, store, table
from ..models.catalogue import Model, in_words
from ..net.errors import LicenceNeeded
from ..net.http import Network, chosen_network, set_network
from ..shared.errors import SetupError
from ..shared.paths import Paths
from ..shared.reporting import Answer, Reporter, show

DONE, FAILED, USAGE, NOT_WHOLE, NOT_ALLOWED = 0, SetupError.exit_code, 2, 3, LicenceNeeded.exit_code

#: Whether a licence allows commercial use, in words.
_USE = {True: "yes", False: "no", "ask": "after asking its authors"}

EXAMPLES = """examples:
  python3 -m installer models list                                what there is, and what is installed
  python3 -m installer models install metric3d-vit-small          asks, shows size and licence, downloads
  python3 -m installer models install midas --yes --json          on a farm, with the result as JSON
  python3 -m installer models import ~/Downloads                  takes every model file that it finds there
  python3 -m installer models verify                              reads all that is installed, byte by byte

MAQUETTE_MODELS names the folder of models, and behind it, separated as in PATH, folders that are only read.
HF_ENDPOINT names a mirror of the model hub, HF_TOKEN is its access token; HTTPS_PROXY and SSL_CERT_FILE are honoured.
exit codes: 0 done, 1 failed, 2 wrong usage, 3 not installed or not whole, 4 licence or confirmation not given.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions and options of the command."""
    parser.epilog, parser.formatter_class = EXAMPLES, argparse.RawDescriptionHelpFormatter
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def add(name: str, function: Callable[..., Answer], summary: str, models: str = "") -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=summary, description=summary)
        action.set_defaults(models_action=function)
        if models:
            action.add_argument("models", nargs=models, metavar="MODEL", help="its name, or task/name")
        action.add_argument("--json", action="store_true", help="the result as JSON on standard output")
        return action

    listed = add("list", _list, "all models: installed or not, size, licence")
    listed.add_argument("--task", default=None, help="of one task only")
    listed.add_argument("--markdown", action="store_true", help="as the tables of docs/models.md")
    listed.add_argument("--installed", action="store_true", help="only those that are installed")
    add("show", _show, "all about models; exit code 3 where one is not installed", "+")
    for name, function, summary in (
        ("install", _install, "download what models lack"),
        ("repair", _repair, "check models, and download again what is wrong or missing"),
    ):
        action = add(name, function, summary, "+")
        action.add_argument("--yes", action="store_true", help="do not ask before the download")
        action.add_argument("--accept-licence", action="store_true", help="accept non-commercial licences; kept")
        _add_network(action)
        if name == "install":
            action.add_argument("--optional", action="store_true", help="with the files that models can use beside")
    checked = add("check", _check, "ask each address whether its file is still there, of that size and checksum", "*")
    _add_network(checked)
    add("verify", _verify, "compare installed models with their checksums; all of them without a name", "*")
    delete = add("delete", _delete, "delete the files of models from your own folder", "+")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    taken = add("import", _import, "take model files from a file, a folder or an archive")
    taken.add_argument("paths", nargs="+", metavar="PATH")
    taken.add_argument("--as", dest="as_path", default="", metavar="FILE", help="which file of the catalogue it is")
    taken.add_argument("--replace", action="store_true", help="even where a file of that name already exists")
    add("where", _where, "the folders of the models, and the room in them")


def _add_network(action: argparse.ArgumentParser) -> None:
    action.add_argument("--mirror", default="", metavar="URL", help="a mirror of the model hub (else HF_ENDPOINT)")
    action.add_argument("--proxy", default="", metavar="URL", help="a proxy (else HTTPS_PROXY)")
    action.add_argument("--ca-file", default="", metavar="FILE", help="certificates to trust (else SSL_CERT_FILE)")


def run(_paths: Paths, reporter: Reporter, options: argparse.Namespace, _rest: Sequence[str]) -> int:
    """Carry out one action; returns the exit code."""
    if getattr(options, "mirror", "") or getattr(options, "proxy", "") or getattr(options, "ca_file", ""):
        token = chosen_network().token
        set_network(Network(proxy=options.proxy, ca_file=options.ca_file, hub=options.mirror, token=token))
    return show(options.models_action(reporter, options), options.json)


def _models(names: list[str]) -> list[Model]:
    return list(dict.fromkeys(library.by_id(name) for name in names))


def describe(model: Model) -> dict[str, Any]:
    """Everything about a model as plain data."""
    state = library.overview(model)
    files = []
    for status in state.files + state.optional:
        file = status.file
        files.append(
            {
                "path": file.path,
                "optional": status in state.optional,
                "state": status.state,
                "location": str(status.path),
                "shared": status.shared,
                "bytes": file.bytes or None,
                "size": file.size,
                "sha256": file.sha256 or store.recorded(status.path).get("sha256"),
                "url": file.url or None,
                "page": file.page,
                "gated": file.gated,
                "licence": file.licence,
            }
        )
    return {
        "id": model.id,
        "task": model.task,
        "label": model.label,
        "state": state.state,
        "why": state.why or None,
        "size": model.size or None,
        "download_bytes": state.download_bytes,
        "licence": model.licence,
        "commercial": model.commercial,
        "licence_pages": list(model.licence_pages),
        "licence_accepted": not licences.is_needed(model),
        "register_at": list(model.pages),
        "memory_mb": model.memory_mb,
        "packages": model.packages,
        "note": model.note or None,
        "files": files,
    }


def _list(reporter: Reporter, options: argparse.Namespace) -> Answer:
    if options.markdown:
        tables = table.tables()
        return tables, [tables.rstrip("\n")], DONE
    tasks = list(dict.fromkeys(model.task for model in catalogue.models()))
    if options.task is not None and options.task not in tasks:
        raise SetupError(f"There is no task {options.task}.", f"Choose one of: {', '.join(tasks)}.")
    shown = [describe(model) for model in catalogue.models(options.task)]
    if options.installed:
        shown = [entry for entry in shown if entry["state"] in (library.SHIPS, library.INSTALLED)]
    lines = []
    for task in tasks:
        entries = [entry for entry in shown if entry["task"] == task]
        lines += [task] if entries else []
        for entry in entries:
            commercial = {True: "", False: "  non-commercial", "ask": "  ask first"}[entry["commercial"]]
            page = "  registration" if entry["register_at"] else ""
            lines.append(f"  {entry['id']:32}{entry['state']:15}{entry['size'] or '':16}{commercial}{page}".rstrip())
    return shown, lines, DONE


def _show(reporter: Reporter, options: argparse.Namespace) -> Answer:
    shown = [describe(model) for model in _models(options.models)]
    whole = all(entry["state"] in (library.SHIPS, library.INSTALLED) for entry in shown)
    return shown, [line for entry in shown for line in _lines_of(entry)], DONE if whole else NOT_WHOLE


def _lines_of(entry: dict[str, Any]) -> Iterator[str]:
    yield f"{entry['label']} ({entry['task']}/{entry['id']}): {entry['state']}"
    yield f"  licence    {entry['licence']}; commercial use: {_USE[entry['commercial']]}"
    yield from (f"             {page}" for page in entry["licence_pages"])
    yield f"  memory     about {entry['memory_mb']:,} MB, packages: {entry['packages']}"
    for file in entry["files"]:
        yield f"  {file['state']:10} {file['path']}  {file['size']}" + ("  (optional)" if file["optional"] else "")
        yield f"             {file['location']}" + ("  (shared)" if file["shared"] else "")
        yield f"             {file['page'] if file['gated'] or not file['url'] else file['url']}"
    yield from (f"  {entry[name]}" for name in ("why", "note") if entry[name])


def _install(reporter: Reporter, options: argparse.Namespace) -> Answer:
    def install(model: Model, report: model_files.Report) -> list[Path]:
        return model_files.install(model, report, optional=options.optional)

    return _bring(reporter, options, install, "installed")


def _repair(reporter: Reporter, options: argparse.Namespace) -> Answer:
    return _bring(reporter, options, model_files.repair, "repaired")


def _bring(reporter: Reporter, options: argparse.Namespace, bring: Callable[..., list[Path]], said: str) -> Answer:
    """Show sizes and licences, ask, then install or repair one model after the other."""
    models = [model for model in _models(options.models) if model.files]
    waiting = [model for model in models if _lacks(model, getattr(options, "optional", False))]
    for model in waiting:
        state = library.overview(model)
        size = in_words(state.download_bytes) if state.download_bytes else "nothing to download"
        reporter.say(f"{model.label}: {size}, into {store.models_root()}")
        reporter.say(f"  licence: {model.licence}; commercial use: {_USE[model.commercial]}")
    for model in waiting:
        _agree(reporter, options, model)
    if waiting and not options.yes:
        _confirm(reporter, "Download?")
    come = [str(path) for model in models for path in bring(model, _Lines(reporter))]
    if not options.json:
        reporter.say(f"{', '.join(model.label for model in models) or 'Nothing'}: {said}.")
    return {said: [describe(model) for model in models], "downloaded": come}, [], DONE


def _lacks(model: Model, optional: bool) -> bool:
    state = library.overview(model)
    return state.state != library.INSTALLED or (optional and bool(state.to_add))


def _agree(reporter: Reporter, options: argparse.Namespace, model: Model) -> None:
    """See to it that a non-commercial licence has been accepted."""
    if not licences.is_needed(model):
        return
    if options.accept_licence:
        licences.accept(model)
        return
    if not sys.stdin.isatty():
        raise LicenceNeeded(
            f"{model.restriction_first}: {model.licence}.",
            "Read the licence, and accept it with --accept-licence; the answer is kept.",
        )
    _confirm(reporter, f"{model.restriction_first} ({model.licence}). Do you accept that?")
    licences.accept(model)


def _confirm(reporter: Reporter, question: str) -> None:
    if not sys.stdin.isatty():
        raise LicenceNeeded(
            "This needs a confirmation, and there is no terminal to ask in.", "Pass --yes to skip the question."
        )
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise LicenceNeeded("Nothing was changed.", "Answer y to continue.")


def _verify(reporter: Reporter, options: argparse.Namespace) -> Answer:
    chosen = _models(options.models) if options.models else catalogue.models()
    files = dict.fromkeys(file for model in chosen for file in model.everything)
    if not options.models:
        files = {file: None for file in files if store.file_state(file) in (store.PRESENT, store.BAD_SIZE)}
    verdicts = [model_files.verify(file, _Lines(reporter)) for file in files]
    content = [
        {
            "path": verdict.file.path,
            "location": str(verdict.path),
            "state": verdict.state,
            "why": verdict.why or None,
            "sha256": verdict.sha256 or None,
        }
        for verdict in verdicts
    ]
    lines = [f"{found.state:10} {found.file.path}" + (f"  ({found.why})" if found.why else "") for found in verdicts]
    whole = all(verdict.state in (model_files.RIGHT, model_files.PLAUSIBLE) for verdict in verdicts)
    return content, lines or ["No model is installed."], DONE if whole else NOT_WHOLE


def _check(reporter: Reporter, options: argparse.Namespace) -> Answer:
    """Nothing is downloaded. A file is in order where one of its addresses answers as published."""
    chosen = _models(options.models) if options.models else catalogue.models()
    content, whole = [], True
    for file in dict.fromkeys(file for model in chosen for file in model.everything if file.url):
        answers = addresses.check(file)
        whole = whole and any(answer.state == addresses.SAME for answer in answers)
        for answer in answers:
            why = answer.why or None
            content.append({"path": file.path, "address": answer.address, "state": answer.state, "why": why})
            if not options.json:  # at once: the next one may take a while
                print(f"{answer.state:10} {file.path}  {answer.address}" + (f"  ({why})" if why else ""))
    return content, [], DONE if whole else NOT_WHOLE


def _delete(reporter: Reporter, options: argparse.Namespace) -> Answer:
    models = _models(options.models)
    going = [path for model in models for path in model_files.deletable(model)]
    for path in going:
        reporter.say(f"  {path}  {in_words(path.stat().st_size) if path.exists() else ''}".rstrip())
    if going and not options.yes:
        _confirm(reporter, f"Delete {'this file' if len(going) == 1 else f'these {len(going)} files'}?")
    gone = [str(path) for model in models for path in model_files.delete(model, _Lines(reporter))]
    if not options.json:
        reporter.say(f"{len(gone)} files deleted." if gone else "None of this model's files are in your folder.")
    return {"deleted": gone}, [], DONE


def _import(reporter: Reporter, options: argparse.Namespace) -> Answer:
    outcomes = [
        importing.import_from(Path(path), _Lines(reporter), options.as_path, options.replace) for path in options.paths
    ]
    content: dict[str, list[dict[str, str]]] = {"taken": [], "known": [], "refused": []}
    lines = []
    for outcome in outcomes:
        for entry in outcome.taken:
            content["taken"].append({"from": entry.source, "path": entry.file.path, "to": str(entry.path)})
            lines.append(f"taken      {entry.source} -> {entry.path}\n           licence: {entry.file.licence}")
        for entry in outcome.known:
            content["known"].append({"from": entry.source, "path": entry.file.path, "at": str(entry.path)})
            lines.append(f"there      {entry.source} is {entry.path}")
        for refusal in outcome.refused:
            content["refused"].append({"from": refusal.source, "why": refusal.why})
            lines.append(f"refused    {refusal.source}: {refusal.why}")
    return content, lines, DONE


def _where(reporter: Reporter, options: argparse.Namespace) -> Answer:
    roots, lines = [], []
    for root in store.search_path():
        nearest, own = library.existing(root), root == store.models_root()
        free, writable = shutil.disk_usage(nearest).free // 1_000_000, os.access(nearest, os.W_OK)
        entry = {"folder": str(root), "own": own, "exists": root.is_dir(), "writable": writable, "free_mb": free}
        roots.append(entry)
        there = "" if entry["exists"] else ", not there yet"
        lines.append(f"{'own' if own else 'shared':8} {root}  ({free:,} MB free{there})")
    hub = chosen_network().hub_address
    return {"roots": roots, "hub": hub}, [*lines, f"hub      {hub}"], DONE


class _Lines:
    """Says where it stands, once every few seconds."""

    def __init__(self, reporter: Reporter, every: float = 2.0) -> None:
        self._reporter, self._every = reporter, every
        self._spoke: float | None = None

    def __call__(self, _fraction: float, line: str) -> None:
        now = time.monotonic()
        if self._spoke is None or now - self._spoke >= self._every:
            self._reporter.say(f"  {line}")
            self._spoke = now
