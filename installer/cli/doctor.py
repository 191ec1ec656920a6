# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m installer doctor`: what is installed, versions, devices, free space, what is missing and how to get it.

It changes nothing and asks no registry.
"""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from ..environment import environments, interpreters
from ..environment import uv as uv_tool
from ..environment.accelerator import CUDA, Accelerator, detect
from ..environment.lock_files import blenders
from ..models import catalogue, library, store
from ..packages import status, wheel_records
from ..shared.errors import SetupError
from ..shared.paths import Paths, free_megabytes
from ..shared.reporting import Answer, Reporter


def examine(paths: Paths, reporter: Reporter) -> dict[str, Any]:
    """Everything that the report says, as plain data."""
    uv, device = uv_tool.find(paths), detect()
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_version()} ({sys.executable})",
        "checkout": str(paths.root),
        "home": str(paths.home),
        "free_mb": free_megabytes(paths.home),
        "uv": {"path": str(uv.path), "version": ".".join(map(str, uv.version))} if uv else None,
        "git": shutil.which("git"),
        "accelerator": asdict(device),
        "nvidia_driver_cuda": device.version if device.kind == CUDA else None,
        "environments": {version: _environment(paths, version, reporter) for version in blenders(paths.locks)},
        "packages_for_blender": {
            python: status.of_folders(python).plain()
            for python in dict.fromkeys(entry.python for entry in blenders(paths.locks).values())
        },
        "models": _models(),
    }


def _models() -> dict[str, Any]:
    """The folders of the models, and how those that were begun stand, by names and lengths only."""
    report: dict[str, Any] = {
        "folder": str(store.models_root()),
        "exists": store.models_root().exists(),
        "shared": [str(root) for root in store.shared_roots()],
    }
    states = {model.id: library.overview(model).state for model in catalogue.models() if model.files}
    for state in (library.INSTALLED, library.UNFINISHED, library.DAMAGED):
        report[state] = [name for name, found in states.items() if found == state]
    return report


def _environment(paths: Paths, version: str, reporter: Reporter) -> dict[str, Any]:
    """One Blender's state; a ready environment is asked for its versions and devices in a child process."""
    environment = environments.locate(paths, version)
    damage = environment.damage()
    report: dict[str, Any] = {
        "bpy": environment.blender.bpy,
        "python": environment.blender.python,
        "folder": str(environment.folder),
        "state": damage or "ready",
    }
    if damage:
        report["remedy"] = f"python3 -m installer run --blender {version}"
        uv, python = uv_tool.find(paths), environment.blender.python
        if uv is not None and interpreters.find(python, uv) is None and "not set up" in damage:
            report["remedy"] += f" (there is no Python {python} here: uv will try to download one)"
        return report
    reporter.say(f"Looking at every file of Blender {version}, and loading bpy and torch ...")
    damaged = wheel_records.damaged(environment.packages, deep=False)
    if damaged:
        report["state"] = f"damaged: {', '.join(damaged)}"
        # The cache shares its files with the environment, so it is damaged too.
        report["remedy"] = f"Delete {paths.home} and run: python3 -m installer run --blender {version}"
        return report
    report["torch_build"] = environment.stamp.get("torch_build")
    try:
        report["found"] = environments.probe(environment)
    except SetupError as error:
        report.update(state=error.message, remedy=error.remedy)
    return report


def answer(report: dict[str, Any]) -> Answer:
    """The report for programs and for people; the exit code is 0 when everything that is set up is whole."""
    whole = all(entry["state"] in ("ready", "not set up yet") for entry in report["environments"].values())
    groups = [group for entry in report["packages_for_blender"].values() for group in entry["groups"]]
    whole = whole and all(group["state"] != status.BROKEN for group in groups)
    return report, list(_lines(report)), 0 if whole else 1


def _lines(report: dict[str, Any]) -> Iterator[str]:
    uv = report["uv"]
    yield f"system    {report['system']}, Python {report['python']}"
    yield f"folder    {report['home']}, {report['free_mb']:,} MB free"
    yield f"uv        {uv['version'] + ' at ' + uv['path'] if uv else 'not here; fetched with the first set-up'}"
    yield f"git       {report['git'] or 'not on PATH; needed to fetch changes only'}"
    yield f"computes  on {Accelerator(**report['accelerator'])}"
    for version, entry in report["environments"].items():
        yield f"Blender {version}  {entry['state']}"
        found = entry.get("found")
        if found:
            names = ("bpy", "python", "numpy", "torch", "opencv", "scipy")
            yield f"          {', '.join(f'{name} {found[name]}' for name in names)}"
            yield f"          devices: {', '.join(found['devices'])}"
        if "remedy" in entry:
            yield f"          -> {entry['remedy']}"
    for python, entry in report["packages_for_blender"].items():
        yield from _package_lines(python, entry)
    yield from _model_lines(report["models"])


def _model_lines(models: dict[str, Any]) -> Iterator[str]:
    yield f"models    {models['folder']}{'' if models['exists'] else ' (not there; the built-in models need none)'}"
    yield from (f"          shared: {root}" for root in models["shared"])
    for state in (library.INSTALLED, library.UNFINISHED, library.DAMAGED):
        if models.get(state):
            yield f"          {state}: {', '.join(models[state])}"
    for state, action in ((library.UNFINISHED, "install"), (library.DAMAGED, "repair")):
        if models.get(state):
            yield f"          -> python3 -m installer models {action} {' '.join(models[state])}"


def _package_lines(python: str, entry: dict[str, Any]) -> Iterator[str]:
    yield f"packages  for an installed Blender with Python {python}: {entry['state']}"
    for group in entry["groups"]:
        if group["folder"]:
            words = [f"{group['megabytes']:,} MB", group["detail"]]
            yield f"          {group['feature']}: {group['state']}, {', '.join(filter(None, words))}"
    if entry["state"] != status.READY:
        yield f"          -> python3 -m installer packages {'repair' if entry['state'] == status.BROKEN else 'install'}"
