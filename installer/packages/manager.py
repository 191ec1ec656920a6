# SPDX-License-Identifier: GPL-3.0-or-later
"""Installs, verifies, repairs and removes the run-time packages of an installed Blender, group by group.

Each group gets a folder (`package_folders`) that is built under another name and gets its own when it is whole and a
child process of that Blender's Python has proved it. What an earlier folder holds already is linked, not downloaded.
numpy, requests and their like are Blender's own and never lie in it.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..environment import torch_build
from ..environment import uv as uv_tool
from ..environment.accelerator import detect
from ..environment.lock_files import BLENDERS_OWN, Pin, normalised
from ..environment.torch_build import TorchBuild
from ..models import store
from ..net.errors import Stopped
from ..shared.disk import settle
from ..shared.errors import SetupError, explain
from ..shared.filelock import held
from ..shared.paths import Place, free_megabytes
from ..shared.processes import ask, stream
from ..shared.reporting import DownloadProgress
from . import folders, proof, wheel_records, wheels
from .features import CORE, FEATURES, importable, locks_folder, modules_of, pins_of
from .sources import AUTO, FIND_HERE, Sources, chosen_sources

#: Bytes on the disk while a wheel is installed, for each of its own: itself, and its files.
_UNPACKED = 2.9

#: Longest path of the root under Windows; torch's own files need the rest of the 260 letters.
_LONGEST_ON_WINDOWS = 110


def place() -> Place:
    """This extension, and where uv lies for an installed Blender: the user's data folder."""
    return Place(Path(__file__).resolve().parents[2], store.user_data())


def packages_folder(python_version: str) -> Path | None:
    """The finished folder of the core for a Python ("3.11"), or None when it is not installed."""
    try:
        folder = folders.finished(python_version, CORE)
    except SetupError:
        return None
    return folder.path if folder else None


@dataclass(frozen=True)
class Watch:
    """Who is told of an installation. line : of text, for a log.  loading : the downloads, several times a second.
    should_cancel : asked several times a second; Stopped is raised when it says yes."""

    line: Callable[[str], None] = print
    loading: Callable[[wheels.Loading], None] = lambda loading: None
    should_cancel: Callable[[], bool] = lambda: False

    def loaded(self, loading: wheels.Loading) -> None:
        self.loading(loading)
        self.tick()

    def tick(self) -> None:
        if self.should_cancel():
            raise Stopped("stopped on request")


@dataclass
class _Work:
    """One group on its way: `pins` are fetched, `reused` linked from an earlier folder. linked : the folder that has
    all of `pins` already, from a cache."""

    feature: str
    build: TorchBuild
    pins: list[Pin]
    reused: dict[str, tuple[Path, str]] = field(default_factory=dict)
    wheels: list[wheels.Wheel] = field(default_factory=list)
    linked: Path | None = None

    @property
    def bytes(self) -> int:
        return sum(wheel.bytes for wheel in self.wheels)


def install(
    python_executable: str,
    features: Sequence[str] = (CORE,),
    watch: Watch = Watch(),
    tools: Place | None = None,
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
    wanted = [feature for feature in FEATURES if feature == CORE or feature in features]
    unknown = sorted(set(features) - set(FEATURES))
    if unknown:
        raise SetupError(f"There is no group of packages called {unknown[0]}.", f"Choose of: {', '.join(FEATURES)}.")
    wanted = [feature for feature in wanted if feature == CORE or pins_of(locks_folder(), version, feature)]
    todo = [feature for feature in wanted if anew or _is_wanting(version, feature, sources)]
    if todo:
        with _installing(watch):
            todo = [feature for feature in wanted if anew or _is_wanting(version, feature, sources)]
            if todo:
                _install(python_executable, version, todo, watch, tools or place(), sources)
    else:
        watch.line(f"The packages for Python {version} are installed already.")
    done = [folders.finished(version, feature) for feature in wanted]
    return [folder.path for folder in done if folder]


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
def _installing(watch: Watch) -> Iterator[None]:
    """Hold the lock of the root; whatever the disk refuses becomes one sentence."""
    root = folders.packages_root()
    try:
        _check_root(root)
        root.mkdir(parents=True, exist_ok=True)
        with held(root / folders.LOCK, watch.line, on_tick=watch.tick):
            for left in root.glob(f"{folders.BUILDING}*"):  # nobody else builds while the lock is held
                folders.remove_tree(left)
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


def _install(
    python: str,
    version: str,
    todo: Sequence[str],
    watch: Watch,
    tools: Place,
    sources: Sources,
    deep: bool = False,
) -> None:
    """Install groups while the lock is held. `deep`: read every file before it is taken over."""
    root = folders.packages_root()
    tool = uv_tool.ensure(tools, watch.line, sources).using(sources)
    build = _build_for(python, version, tool, todo, watch, sources)
    registry = TorchBuild(torch_build.REGISTRY)
    jobs = [_planned(version, feature, build if feature == CORE else registry, deep) for feature in todo]
    fetched = root / folders.WHEELS
    for job in jobs:
        watch.tick()
        if not deep:  # a cache shares its files with what it gave them to: with damage to them as well
            job.linked = _linked(tool, python, job, watch)
        if job.linked is None:
            job.wheels = _resolved(tool, python, job, sources, watch)
    _require_space(root, fetched, jobs)
    if sources.folder is None:
        every = [wheel for job in jobs for wheel in job.wheels]
        wheels.load(every, fetched, watch.loaded)
    for job in jobs:
        _build(job, python, version, tool, sources, watch)
    wheels.clear(fetched)


def _build_for(
    python: str, version: str, tool: uv_tool.Uv, todo: Sequence[str], watch: Watch, sources: Sources
) -> TorchBuild:
    """The build of torch: chosen anew where the core is installed, else the one that is there."""
    if CORE not in todo:
        core = folders.finished(version, CORE)
        return TorchBuild(core.backend if core else torch_build.REGISTRY)
    device = detect()
    watch.line(f"This machine computes on: {device}")
    pins = pins_of(locks_folder(), version, CORE)
    build = torch_build.choose(tool, Path(python), pins, watch.line, device, sources)
    warning = torch_build.advice(device, build.backend)
    if warning:
        watch.line(warning)
    return build


def _planned(version: str, feature: str, build: TorchBuild, deep: bool) -> _Work:
    """A group's work, with what earlier folders of this Python can give."""
    pins = pins_of(locks_folder(), version, feature)
    wanted = {pin.name: build.version(pin) for pin in pins}
    donors = [folder.path for folder in folders.all_folders() if folder.python == version]
    reused = wheel_records.find_whole(donors, wanted, deep)
    if build.backend != torch_build.REGISTRY:  # what torch's index brings besides is not in the lock
        names = {pin.name for pin in build.locked(pins)}
        reused = {name: found for name, found in reused.items() if name in names}
    return _Work(feature, build, [pin for pin in pins if pin.name not in reused], reused)


def _linked(tool: uv_tool.Uv, python: str, job: _Work, watch: Watch) -> Path | None:
    """The group's folder from uv's own cache, where that is kept and holds everything (a checkout's does); None where
    something has to be fetched."""
    cache = Path(tool.environment().get("UV_CACHE_DIR") or "nowhere")
    if "UV_NO_INDEX" in tool.settings or job.build.separate(job.pins) or not any(cache.glob("wheels-v*")):
        return None
    building = _new_folder()
    with _requirements("".join(pin.requirement() for pin in job.pins)) as path:
        command = [str(tool.path), "pip", "install", "--offline", "--python", python, "--target", str(building)]
        command += ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(path)]
        code, _ = stream(command, tool.environment(), lambda line: None, watch.tick)
    if code == 0:
        return building
    folders.remove_tree(building)
    return None


def _new_folder() -> Path:
    """An empty folder that `_installing` removes if we do not come to it."""
    path = Path(tempfile.mkdtemp(prefix=folders.BUILDING, dir=folders.packages_root()))
    path.chmod(0o755)  # mkdtemp's own rights would keep the other users of a shared folder out
    return path


@contextmanager
def _requirements(text: str) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "requirements.txt")
        path.write_text(text, "utf-8")
        yield path


def _resolved(tool: uv_tool.Uv, python: str, job: _Work, sources: Sources, watch: Watch) -> list[wheels.Wheel]:
    if not job.pins:
        return []
    found = wheels.resolve(tool, python, job.pins, job.build, sources)
    return wheels.with_sizes(found, watch.tick)


def _require_space(root: Path, fetched: Path, jobs: Sequence[_Work]) -> None:
    total = sum(job.bytes for job in jobs)
    here = sum(path.stat().st_size for path in fetched.glob("*")) if fetched.is_dir() else 0
    need, free = max(0, round((total * _UNPACKED - here) / 1e6)), free_megabytes(root)
    if free < need:
        raise SetupError(
            f"Installing the packages needs about {need:,} MB, but the disk of {root} has {free:,} MB free.",
            "Free some space, or choose a folder on another disk for the packages (in the preferences, or in "
            "MAQUETTE_PACKAGES); what has come is kept.",
        )


def _build(job: _Work, python: str, version: str, tool: uv_tool.Uv, sources: Sources, watch: Watch) -> None:
    """Build one group's folder beside the others and give it its name."""
    root = folders.packages_root()
    building = job.linked or _new_folder()
    try:
        watch.line(f"Installing {job.feature}: {len(job.pins)} packages, {len(job.reused)} more are here already")
        for donor, dist_info in job.reused.values():
            watch.tick()
            wheel_records.link(donor, dist_info, building)
        if job.linked is None:
            _run_uv(job, python, building, tool, sources, watch)
        _check(building)
        watch.line(f"Trying {job.feature}")
        report = _proved(python, version, job.feature, building, watch)
        number = 1 + max((folder.number for folder in folders.all_folders(root)), default=0)
        files, megabytes = folders.count(building)
        backend = job.build.backend if job.feature == CORE else ""
        packages = wheel_records.installed(building)
        folders.write_stamp(
            folders.Folder(building, version, job.feature, backend, number, files, megabytes, packages, report)
        )
        target = _free_name(root, folders.folder_name(locks_folder(), version, job.feature, backend), number)
        settle(building, target)
        folders.record_user(target, version)
        _remove_replaced(target, job.feature)
    finally:
        folders.remove_tree(building)
    warning = proof.slower_than_hoped(report, backend)
    watch.line(warning or f"{job.feature} is installed in {target} ({megabytes:,} MB).")


def _run_uv(job: _Work, python: str, building: Path, tool: uv_tool.Uv, sources: Sources, watch: Watch) -> None:
    """Let uv put what is fetched into the folder, with the last word about every file's hash."""
    if not job.pins:
        return
    command = [str(tool.path), "pip", "install", "--python", python, "--target", str(building), "--no-deps"]
    command += ["--only-binary", ":all:"]
    folder = sources.folder or (folders.packages_root() / folders.WHEELS if job.wheels else None)
    changes: dict[str, str] = {}
    if folder is not None:
        folder.mkdir(exist_ok=True)
        command += FIND_HERE
        changes["UV_CACHE_DIR"] = str(building / ".cache")
        if not wheels.missing(job.wheels, folder):
            changes.update(UV_NO_INDEX="1", UV_OFFLINE="1")
            watch.line(f"Unpacking {job.bytes / 1e6:,.0f} MB")
        elif job.build.separate(job.pins):
            command += torch_build.index_options(job.build, sources)
    text = "".join(pin.requirement() for pin in job.pins)
    if job.build.separate(job.pins):
        text = "".join(wheel.requirement() for wheel in job.wheels)
    with _requirements(text) as path:
        hashed = ["--require-hashes"] if "--hash" in text else []
        _run([*command, *hashed, "-r", str(path)], tool.environment(changes), watch, folder)
    folders.remove_tree(building / ".cache")


def _run(command: list[str], env: dict[str, str], watch: Watch, folder: Path | None) -> None:
    progress = DownloadProgress(watch.line if "UV_NO_INDEX" not in env else lambda line: None)

    def tick() -> None:
        watch.tick()
        progress.tick()

    def line(text: str) -> None:
        progress.feed(text)
        watch.tick()

    code, output = stream(command, env, line, tick, folder=folder)
    if code:
        error = explain(output, "Installing the packages")
        if "differs from" in error.message:  # a file on our own disk has gone bad
            wheels.clear(folders.packages_root() / folders.WHEELS)
        raise error


def _check(folder: Path) -> None:
    """Refuse a folder that would shadow a package of Blender's own."""
    present = {normalised(path.name.split("-")[0]) for path in folder.iterdir()}
    shadowing = sorted(present & BLENDERS_OWN)
    if shadowing:
        raise SetupError(
            f"The registry's packages bring {', '.join(shadowing)}, which belongs to Blender.",
            "Run it again with another registry; Blender's own packages must not be replaced.",
        )


def _proved(python: str, version: str, feature: str, folder: Path, watch: Watch) -> dict[str, Any]:
    """Prove a folder together with the core that it adds to."""
    core = folders.finished(version, CORE) if feature != CORE else None
    modules = modules_of(locks_folder(), version, feature)
    return proof.prove(python, [*([core.path] if core else []), folder], modules, watch.tick)


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


def damage(folder: folders.Folder, deep: bool = False) -> str:
    """What is wrong with a folder in a few words, "" when nothing is; `deep` reads every file."""
    files, _ = folders.count(folder.path)
    if files < folder.files:
        return f"{folder.files - files} of its files are missing"
    if deep:
        bad = wheel_records.damaged(folder.path)
        if bad:
            return f"damaged: {', '.join(bad)}"
    return ""


def verify(python_executable: str, features: Sequence[str] | None = None, watch: Watch = Watch()) -> dict[str, str]:
    """Read every file of the installed groups and prove them anew; returns what is wrong by group, "" for nothing."""
    version = version_of(python_executable)
    found: dict[str, str] = {}
    for feature in features or FEATURES:
        folder = folders.finished(version, feature)
        if folder is None:
            continue
        watch.line(f"Reading every file of {feature} ({folder.megabytes:,} MB)")
        found[feature] = damage(folder, deep=True)
        if not found[feature]:
            try:
                _proved(python_executable, version, feature, folder.path, watch)
            except SetupError as error:
                found[feature] = error.message
    return found


def repair(
    python_executable: str, watch: Watch = Watch(), tools: Place | None = None, sources: Sources | None = None
) -> list[Path]:
    """Build anew what `verify` finds wrong; what is whole in it is linked, only the rest is downloaded."""
    wrong = [feature for feature, what in verify(python_executable, None, watch).items() if what]
    if not wrong:
        watch.line("Nothing is damaged.")
        return []
    return _repaired(python_executable, wrong, watch, tools, sources)


def _repaired(
    python: str, wrong: Sequence[str], watch: Watch, tools: Place | None, sources: Sources | None
) -> list[Path]:
    version = version_of(python)
    sources = sources or chosen_sources()
    with _installing(watch):
        _install(python, version, wrong, watch, tools or place(), sources, deep=True)
    return [folder.path for folder in (folders.finished(version, feature) for feature in wrong) if folder]


@dataclass(frozen=True)
class Removed:
    """megabytes : given back at once.  later : once the Blenders that use them have ended."""

    megabytes: int
    later: int


def remove(python_version: str = "", features: Sequence[str] | None = None) -> Removed:
    """Remove groups (None: all) of a Python ("": of all), and with the core what needs it; downloads go too, and where
    no group is left, uv and its cache."""
    root = folders.packages_root()
    gone = later = 0
    with _installing(Watch(lambda line: None)):
        for folder in folders.all_folders(root):
            chosen = features is None or folder.feature in features or CORE in features
            if python_version not in ("", folder.python) or not chosen:
                continue
            if folders.remove(folder.path):
                gone += folder.megabytes
            else:
                later += folder.megabytes
        if (root / folders.WHEELS).is_dir():
            gone += folders.count(root / folders.WHEELS)[1]
            wheels.clear(root / folders.WHEELS)
        if not folders.all_folders(root):
            gone += _remove_tools()
    return Removed(gone, later)


def _remove_tools() -> int:
    """Remove what only installations for an installed Blender need; a checkout keeps its own. Returns MB."""
    home = store.user_data()
    tools = [path for path in (home / "cache", *home.glob("uv-*")) if path.is_dir()]
    size = sum(folders.count(path)[1] for path in tools)
    for path in tools:
        folders.remove_tree(path)
    return size


def activate() -> bool:
    """Make what is installed importable in this process; True when torch is. See `package_folders.activate`."""
    try:
        folders.activate()
        return importable(CORE)
    except SetupError:  # no packages for this Python
        return find_spec("torch") is not None
