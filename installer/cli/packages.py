# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m installer packages install | status | verify | repair | remove | requirements`, for scripts and farms."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from ..environment import interpreters
from ..environment import uv as uv_tool
from ..environment.lock_files import DEFAULT_BLENDER, blender
from ..environment.torch_build import REGISTRY
from ..net.errors import Stopped
from ..net.http import Network, set_network
from ..packages import folders, manager
from ..packages import status as package_status
from ..packages.features import CORE, FEATURES, locks_folder, offered, pins_of
from ..packages.sources import AUTO, Sources
from ..shared.paths import Paths, make_writable
from ..shared.reporting import Answer, Reporter, show

ALL = "all"

#: Exit codes beside 0 (as it should be), 1 (an error, with its sentence) and 130 (stopped).
MISSING, DAMAGED = 3, 4

EPILOG = f"""exit codes: 0 as it should be, 1 an error that is said in one sentence, 130 stopped by Ctrl-C,
{MISSING} something is not installed, {DAMAGED} something is damaged

examples:
  python3 -m installer packages install --python /opt/blender/4.5/python/bin/python3.11
  python3 -m installer packages install --features people detailer
  python3 -m installer packages install --accelerator cpu --wheels /mnt/wheels
  python3 -m installer packages requirements --features all > requirements.txt    for pip download
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    parser.add_argument("action", nargs="?", default="install", choices=sorted(_ACTIONS), help="default: install")
    parser.add_argument("--blender", default=DEFAULT_BLENDER, metavar="VERSION", help=f"default {DEFAULT_BLENDER}")
    parser.add_argument("--python", default=None, help="that Blender's own Python program, if no other is at hand")
    parser.add_argument(
        "--features", nargs="+", default=[], metavar="GROUP", help=f"besides core: {', '.join(FEATURES)}, or {ALL}"
    )
    parser.add_argument("--folder", default=None, help="where the packages lie (also MAQUETTE_PACKAGES)")
    builds = "cpu, cu126, cu128, cu130, rocm6.4, xpu, registry, auto"
    parser.add_argument("--accelerator", default="", type=_build, metavar="BUILD", help=builds)
    parser.add_argument("--index", default="", help="address of a package registry or mirror (also UV_DEFAULT_INDEX)")
    parser.add_argument("--torch-index", default="", help="address of a mirror of PyTorch's own registry")
    parser.add_argument("--wheels", default="", help="install from this folder, without a network (MAQUETTE_WHEELS)")
    parser.add_argument("--proxy", default="", help="address of the proxy (also HTTPS_PROXY)")
    parser.add_argument("--ca-file", default="", help="certificates to trust, in PEM (also SSL_CERT_FILE)")
    parser.add_argument("--anew", action="store_true", help="install again what is installed")
    parser.add_argument("--json", action="store_true", help="the result as JSON on standard output")


def _build(name: str) -> str:
    if name and not re.fullmatch(rf"{AUTO}|{REGISTRY}|cpu|xpu|cu\d+|rocm\d+(\.\d+)*", name):
        raise argparse.ArgumentTypeError(f"there is no build of PyTorch called {name}")
    return name


def run(paths: Paths, reporter: Reporter, options: argparse.Namespace, _rest: Sequence[str]) -> int:
    """Carry out the chosen action; returns the exit code."""
    if options.folder:
        folders.set_packages_root(options.folder)
    set_network(Network(proxy=options.proxy, ca_file=options.ca_file))
    try:
        return show(_ACTIONS[options.action](paths, reporter, options), options.json)
    except Stopped:
        raise KeyboardInterrupt from None


def _python(paths: Paths, reporter: Reporter, options: argparse.Namespace) -> str:
    if options.python is not None:
        return options.python
    make_writable(paths)
    version = blender(paths.locks, options.blender).python
    return str(interpreters.ensure(version, uv_tool.ensure(paths, reporter.detail), reporter.detail))


def _version(paths: Paths, options: argparse.Namespace) -> str:
    if options.python is not None:
        return manager.version_of(options.python)
    return blender(paths.locks, options.blender).python


def _features(options: argparse.Namespace, version: str) -> list[str]:
    if ALL in options.features:
        return offered(locks_folder(), version)
    return list(options.features)


def _sources(options: argparse.Namespace) -> Sources:
    return Sources(options.accelerator, options.index, options.torch_index, options.wheels)


def _install(paths: Paths, reporter: Reporter, options: argparse.Namespace) -> Answer:
    python = _python(paths, reporter, options)
    features = _features(options, manager.version_of(python))
    callbacks = manager.InstallCallbacks(reporter.say)
    return _folders(manager.install(python, features, callbacks, paths, _sources(options), options.anew))


def _repair(paths: Paths, reporter: Reporter, options: argparse.Namespace) -> Answer:
    python, callbacks = _python(paths, reporter, options), manager.InstallCallbacks(reporter.say)
    return _folders(manager.repair(python, callbacks, paths, _sources(options)))


def _folders(done: list[Path]) -> Answer:
    names = [str(path) for path in done]
    return {"folders": names}, names, 0


def _status(paths: Paths, reporter: Reporter, options: argparse.Namespace) -> Answer:
    version = _version(paths, options)
    status = package_status.of_folders(version)
    lines = [f"Python {status.python}, in {status.root} ({status.free_mb:,} MB free)"]
    for group in status.groups:
        size = f", {group.megabytes:,} MB" if group.megabytes else ""
        lines.append(f"{group.feature:14} {group.state}{size}{'  ' + group.detail if group.detail else ''}")
    asked = [CORE, *_features(options, version)]
    states = [group.state for group in status.groups if group.feature in asked]
    usable = all(state in package_status.USABLE for state in states)
    return status.plain(), lines, DAMAGED if package_status.BROKEN in states else 0 if usable else MISSING


def _verify(paths: Paths, reporter: Reporter, options: argparse.Namespace) -> Answer:
    features = _features(options, _version(paths, options)) or None
    found = manager.verify(_python(paths, reporter, options), features, manager.InstallCallbacks(reporter.say))
    lines = [f"{feature:14} {what or 'intact and working'}" for feature, what in found.items()]
    return found, lines or ["nothing is installed"], MISSING if not found else DAMAGED if any(found.values()) else 0


def _remove(paths: Paths, reporter: Reporter, options: argparse.Namespace) -> Answer:
    version = _version(paths, options) if options.python or options.features else ""
    gone = manager.remove(version, _features(options, version) or None)
    text = f"{gone.megabytes:,} MB removed"
    if gone.later:
        text += f"; {gone.later:,} MB more go when the Blenders that use them are closed"
    return {"megabytes": gone.megabytes, "later": gone.later}, [text], 0


def _requirements(paths: Paths, reporter: Reporter, options: argparse.Namespace) -> Answer:
    version = _version(paths, options)
    groups = [CORE, *_features(options, version)]
    pins = {pin.name: pin for group in groups for pin in pins_of(locks_folder(), version, group)}
    content = {name: pin.version for name, pin in pins.items()}
    return content, [pin.requirement().rstrip("\n") for pin in pins.values()], 0


_ACTIONS: dict[str, Callable[[Paths, Reporter, argparse.Namespace], Answer]] = {
    "install": _install,
    "status": _status,
    "verify": _verify,
    "repair": _repair,
    "remove": _remove,
    "requirements": _requirements,
}
