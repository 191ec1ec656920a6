# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs, verifies, repairs and removes the run-time packages of an installed Blender, group by group.

Each group gets a folder (`folders`) that is built under another name and gets its own when it is whole and a child
process of that Blender's Python has proved it. uv downloads the packages into its cache and links their files from
there, so that what an earlier folder holds already is not downloaded again. numpy, requests and their like are
Blender's own and never lie in it.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from math import inf
from pathlib import Path
from typing import Any

from ..environment import torch_build
from ..environment import uv as uv_tool
from ..environment.accelerator import detect
from ..environment.lock_files import BLENDERS_OWN, normalised
from ..environment.torch_build import TorchBuild
from ..models import store
from ..net.errors import Stopped
from ..shared.disk import UNPACKED, move_into_place, remove_tree
from ..shared.errors import SetupError, explain
from ..shared.filelock import file_lock
from ..shared.paths import Paths, free_megabytes
from ..shared.processes import ask, stream
from ..shared.reporting import DownloadProgress, DownloadState
from . import folders, proof, sizes, wheel_records
from .features import CORE, FEATURES, importable, locks_folder, modules_of, pins_of
from .sources import AUTO, FIND_HERE, Sources, chosen_sources

#: Longest path of the root under Windows; torch's own files need the rest of the 260 letters.
_LONGEST_ON_WINDOWS = 110


def installed_paths() -> Paths:
    """This extension, and where uv lies for an installed Blender: the user's data folder."""
    return Paths(Path(__file__).resolve().parents[2], store.user_data())


def packages_folder(python_version: str) -> Path | None:
    """The finished folder of the core for a Python ("3.11"), or None when it is not installed."""
    try:
        folder = folders.finished(python_version, CORE)
    except SetupError:
        return None
    return folder.path if folder else None


@dataclass(frozen=True)
class InstallCallbacks:
    """Who follows an installation. line : gets lines of text, for a log.  loading : gets the state of the downloads
    several times a second; where it is None, lines say it.  should_cancel : asked several times a second; Stopped is
    raised when it says yes."""

    line: Callable[[str], None] = print
    loading: Callable[[DownloadState], None] | None = None
    should_cancel: Callable[[], bool] = lambda: False

    def tick(self) -> None:
        if self.should_cancel():
            raise Stopped("stopped on request")


def install(
    python_executable: str,
    features: Sequence[str] = (CORE,),
    callbacks: InstallCallbacks = InstallCallbacks(),
    tools: Paths | None = None,
    sources: Sources | None = None,
    anew: bool = False,
) -> list[Path]:
    """Install groups (and the core, which all of them need) for the Blender whose Python this is; returns the folders.

    Blocks: call it from a thread. `tools` is where uv lies; the user's data folder when None. `anew`: also what is
    installed already, as after a change of the accelerator. Raises SetupError with a remedy, and Stopped; what has been
    downloaded by then is kept for the next time.
    """
    version = version_of(python_executable)
    sources = sources or chosen_sources()
    unknown = sorted(set(features) - set(FEATURES))
    if unknown:
        raise SetupError(f"Unknown package group: {unknown[0]}.", f"Choose one of: {', '.join(FEATURES)}.")
    wanted = [name for name in FEATURES if name == CORE or name in features]
    wanted = [name for name in wanted if name == CORE or pins_of(locks_folder(), version, name)]

    def todo() -> list[str]:
        return [name for name in wanted if anew or _is_wanting(version, name, sources)]

    if todo():
        with _installing(callbacks):
            if lacking := todo():  # asked again: whoever held the lock may have brought them
                _Installation(python_executable, version, callbacks, sources, tools).carry_out(lacking)
    else:
        callbacks.line(f"The packages for Python {version} are installed already.")
    return _paths(version, wanted)


def _paths(version: str, features: Iterable[str]) -> list[Path]:
    return [folder.path for feature in features if (folder := folders.finished(version, feature))]


def version_of(python_executable: str) -> str:
    """The version of a Python program, as "3.11"; SetupError where it does not run or has no lock file."""
    version = (ask([python_executable, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]) or "").strip()
    if not version:
        raise SetupError(f"{python_executable} does not run.", "Give the path of Blender's Python program.")
    pins_of(locks_folder(), version, CORE)
    return version


def _is_wanting(version: str, feature: str, sources: Sources) -> bool:
    folder = folders.finished(version, feature)
    if folder is None or damage(folder):
        return True
    chosen = sources.accelerator
    return feature == CORE and chosen not in ("", AUTO, folder.backend)


@contextmanager
def _installing(callbacks: InstallCallbacks) -> Iterator[None]:
    """Hold the lock of the root; whatever the disk refuses becomes one sentence."""
    root = folders.packages_root()
    try:
        _check_root(root)
        root.mkdir(parents=True, exist_ok=True)
        with file_lock(root / folders.LOCK, callbacks.line, on_tick=callbacks.tick):
            # Nobody else builds, or fetches into this cache, while the lock is held.
            for left in [*root.glob(f"{folders.BUILDING}*"), *(root / folders.CACHE).glob(".tmp*")]:
                remove_tree(left)
            yield
    except OSError as error:
        raise _disk_error(error, root) from error


#: What the operating system says where a folder cannot be made or written.
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOENT, errno.ENAMETOOLONG, errno.EEXIST)


def _disk_error(error: OSError, root: Path) -> SetupError:
    if error.errno in _REFUSED:
        return SetupError(
            f"The folder {root} cannot be written ({error.strerror}).",
            "Make it writable for you, or choose another folder for the packages (in the preferences, or in "
            "MAQUETTE_PACKAGES).",
        )
    return explain(f"{error} os error {error.errno}", "Installing the packages")


def _check_root(root: Path) -> None:
    if os.name == "nt" and len(str(root)) > _LONGEST_ON_WINDOWS:
        raise SetupError(
            f"The path {root} is too long: Windows would refuse some of torch's files.",
            "Choose a folder with a shorter path for the packages in the preferences.",
        )


class _Installation:
    """One run for one Python, while the lock of the root is held."""

    def __init__(
        self, python: str, version: str, callbacks: InstallCallbacks, sources: Sources, tools: Paths | None
    ) -> None:
        """Finds or fetches uv. Its cache shares its files with the folders: beside them, where neither a checkout
        (`tools`) nor the user has one."""
        self.python, self.version, self.callbacks, self.sources = python, version, callbacks, sources
        tool = uv_tool.ensure(tools or installed_paths(), callbacks.line, sources).using(sources)
        settings = {**tool.settings, "UV_LINK_MODE": "hardlink"}
        if not os.environ.get("UV_CONCURRENT_DOWNLOADS"):  # uv's own 50 would all be lost when they are stopped
            settings["UV_CONCURRENT_DOWNLOADS"] = "3"
        if tools is None and not os.environ.get("UV_CACHE_DIR"):
            settings["UV_CACHE_DIR"] = str(folders.packages_root() / folders.CACHE)
        self.tool = replace(tool, settings=settings)
        self.cache = Path(self.tool.environment()["UV_CACHE_DIR"])

    def carry_out(self, todo: Sequence[str], suspect: Sequence[str] = ()) -> None:
        """Install groups. suspect : packages whose files in uv's cache, which shares them with the folders, may be
        damaged as well."""
        if suspect:
            command = [str(self.tool.path), "cache", "clean", *suspect]
            stream(command, self.tool.environment(), lambda line: None, self.callbacks.tick)
        build = self._choose_build(todo)
        here = folders.downloaded_megabytes(self.cache)
        _require_space(todo, build, here)
        for feature in todo:
            own = build if feature == CORE else TorchBuild(torch_build.REGISTRY)
            self.callbacks.line(f"Fetching {feature}")
            self._build(feature, own, max(0, sizes.about([feature], own.backend)[0] - here))
        folders.drop_unshared()

    def _choose_build(self, todo: Sequence[str]) -> TorchBuild:
        """The build of torch: chosen now where the core is to be installed, else the one that is there."""
        if CORE not in todo:
            core = folders.finished(self.version, CORE)
            return TorchBuild(core.backend if core else torch_build.REGISTRY)
        device = detect()
        self.callbacks.line(f"This machine computes on: {device}")
        pins = pins_of(locks_folder(), self.version, CORE)
        build = torch_build.choose(self.tool, Path(self.python), pins, self.callbacks.line, device, self.sources)
        warning = torch_build.advice(device, build.backend)
        if warning:
            self.callbacks.line(warning)
        return build

    def _build(self, feature: str, build: TorchBuild, expected: int) -> None:
        """Build one group's folder beside the others and give it its name. expected : MB to download."""
        root = folders.packages_root()
        pins = pins_of(locks_folder(), self.version, feature)
        building = Path(tempfile.mkdtemp(prefix=folders.BUILDING, dir=root))  # `_installing` removes it if we cannot
        building.chmod(0o755)  # mkdtemp's own rights would keep the other users of a shared folder out
        try:
            run = partial(self._run_uv, expected)
            torch_build.install(run, Path(self.python), pins, build, self.sources, building)
            _check(building)
            self.callbacks.line(f"Trying {feature}")
            report = _proved(self.python, self.version, feature, building, self.callbacks)
            number = 1 + max((folder.number for folder in folders.all_folders(root)), default=0)
            files, megabytes = folders.count(building)
            backend = build.backend if feature == CORE else ""
            packages = wheel_records.installed(building)
            folders.write_stamp(
                folders.Folder(building, self.version, feature, backend, number, files, megabytes, packages, report)
            )
            target = _free_name(root, folders.folder_name(locks_folder(), self.version, feature, backend), number)
            move_into_place(building, target)
            folders.record_user(target, self.version)
            _remove_replaced(target, feature)
        finally:
            remove_tree(building)
        warning = proof.slower_than_hoped(report, backend)
        self.callbacks.line(warning or f"{feature} is installed in {target} ({megabytes:,} MB).")

    def _run_uv(self, expected: int, arguments: list[str]) -> None:
        """Run uv, in the offline folder of wheels where there is one, with progress."""
        wheels, callbacks = self.sources.folder, self.callbacks
        progress = DownloadProgress(callbacks.line, self.cache, expected, every=inf if callbacks.loading else 5.0)

        def tick() -> None:
            callbacks.tick()
            progress.tick()
            if callbacks.loading and (state := progress.state()):
                callbacks.loading(state)

        def line(text: str) -> None:
            progress.feed(text)
            tick()

        command = [str(self.tool.path), *arguments, *(FIND_HERE if wheels else ())]
        code, output = stream(command, self.tool.environment(), line, tick, folder=wheels)
        if code:
            raise explain(output, "Installing the packages")


def _require_space(todo: Sequence[str], build: TorchBuild, here: int) -> None:
    """here : MB that are downloaded already."""
    root = folders.packages_root()
    need, free = round(sizes.about(todo, build.backend)[1] - here * UNPACKED), free_megabytes(root)
    if free < need:
        raise SetupError(
            f"Installing the packages needs about {need:,} MB, but the disk of {root} has {free:,} MB free.",
            "Free some space, or choose a folder on another disk for the packages (in the preferences, or in "
            "MAQUETTE_PACKAGES); the downloaded part is kept.",
        )


def _check(folder: Path) -> None:
    """Refuse a folder that would shadow a package of Blender's own."""
    present = {normalised(path.name.split("-")[0]) for path in folder.iterdir()}
    shadowing = sorted(present & BLENDERS_OWN)
    if shadowing:
        raise SetupError(
            f"The registry's packages bring {', '.join(shadowing)}, which belongs to Blender.",
            "Run it again with another registry; Blender's own packages must not be replaced.",
        )


def _proved(python: str, version: str, feature: str, folder: Path, callbacks: InstallCallbacks) -> dict[str, Any]:
    """Prove a folder together with the core that it adds to."""
    core = folders.finished(version, CORE) if feature != CORE else None
    modules = modules_of(locks_folder(), version, feature)
    return proof.prove(python, [*([core.path] if core else []), folder], modules, callbacks.tick)


def _free_name(root: Path, name: str, number: int) -> Path:
    """The folder's name; with a number where a damaged one, or one that is to be replaced, has it."""
    if not (root / name).exists():
        return root / name
    start, _, ending = name.rpartition("-")
    return root / f"{start}-{number}-{ending}"


def _remove_replaced(new: Path, feature: str) -> None:
    """Remove the folders of the same content, now that the new one is there; those in use go at a later start."""
    tag, ending = new.name.partition("-")[0], new.name.rpartition("-")[2]
    for path in new.parent.glob(f"{tag}-{feature}-*{ending}"):
        if path != new and not folders.in_use(path):
            folders.remove(path)


# what is there


def damage(folder: folders.Folder) -> str:
    """What a count of its files says is wrong with a folder, "" for nothing."""
    files, _ = folders.count(folder.path)
    return f"{folder.files - files} of its files are missing" if files < folder.files else ""


def verify(
    python_executable: str, features: Sequence[str] | None = None, callbacks: InstallCallbacks = InstallCallbacks()
) -> dict[str, str]:
    """Read every file of the installed groups and prove them again; returns what is wrong by group, "" for nothing."""
    return {
        feature: fault for feature, (fault, _) in _faults(python_executable, features or FEATURES, callbacks).items()
    }


def _faults(python: str, features: Iterable[str], callbacks: InstallCallbacks) -> dict[str, tuple[str, list[str]]]:
    """Group -> what is wrong with it, and the packages that are damaged."""
    version = version_of(python)
    found: dict[str, tuple[str, list[str]]] = {}
    for feature in features:
        folder = folders.finished(version, feature)
        if folder is None:
            continue
        callbacks.line(f"Reading every file of {feature} ({folder.megabytes:,} MB)")
        bad = wheel_records.damaged(folder.path)
        fault = damage(folder) or (f"damaged: {', '.join(bad)}" if bad else "")
        if not fault:
            try:
                _proved(python, version, feature, folder.path, callbacks)
            except SetupError as error:
                fault = error.message
        found[feature] = fault, bad
    return found


def repair(
    python_executable: str,
    callbacks: InstallCallbacks = InstallCallbacks(),
    tools: Paths | None = None,
    sources: Sources | None = None,
) -> list[Path]:
    """Rebuild what `verify` finds wrong; only the packages that are damaged are downloaded."""
    faults = _faults(python_executable, FEATURES, callbacks)
    wrong = [feature for feature, (fault, _) in faults.items() if fault]
    if not wrong:
        callbacks.line("Nothing is damaged.")
        return []
    version = version_of(python_executable)
    bad = [package for _, packages in faults.values() for package in packages]
    with _installing(callbacks):
        work = _Installation(python_executable, version, callbacks, sources or chosen_sources(), tools)
        work.carry_out(wrong, bad)
    return _paths(version, wrong)


@dataclass(frozen=True)
class RemovalResult:
    """megabytes : given back at once.  later : once the Blenders that use them have ended."""

    megabytes: int
    later: int


def remove(python_version: str = "", features: Sequence[str] | None = None) -> RemovalResult:
    """Remove groups (None: all) of a Python ("": of all), and with the core what needs it; where no group is left, uv
    and its cache go too."""
    root = folders.packages_root()
    gone = later = 0
    with _installing(InstallCallbacks(lambda line: None)):
        for folder in folders.all_folders(root):
            chosen = features is None or folder.feature in features or CORE in features
            if python_version not in ("", folder.python) or not chosen:
                continue
            if folders.remove(folder.path):
                gone += folder.megabytes
            else:
                later += folder.megabytes
        folders.drop_unshared()
        if not folders.all_folders(root):
            gone += _remove_tools()
    return RemovalResult(gone, later)


def _remove_tools() -> int:
    """Remove what only installations for an installed Blender need; a checkout keeps its own. Returns MB."""
    home = store.user_data()
    cache = folders.packages_root() / folders.CACHE
    tools = [path for path in (cache, home / "cache", *home.glob("uv-*")) if path.is_dir()]
    size = sum(folders.count(path)[1] for path in tools)
    for path in tools:
        remove_tree(path)
    return size


def activate() -> bool:
    """Make what is installed importable in this process; True when torch is. See `package_folders.activate`."""
    try:
        folders.activate()
        return importable(CORE)
    except SetupError:  # no packages for this Python
        return find_spec("torch") is not None
