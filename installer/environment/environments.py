# SPDX-License-Identifier: GPL-3.0-or-later
"""The environments: one for each Blender, built in one go, trusted only when finished.

An environment's folder carries the digest of all that it is made of. Its stamp is written last, so a folder without
one is what an interrupted set-up left: it is removed and rebuilt, mostly from the cache. The stamp counts the files,
so that a folder that has lost some is noticed in a tenth of a second. A finished environment is never changed; another
lock file gives another folder, and the one that it replaces goes when it has not been used for a day.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..shared.disk import count, remove_tree, write_json
from ..shared.errors import SetupError, explain
from ..shared.filelock import file_lock
from ..shared.paths import Paths, make_writable, require_space
from ..shared.processes import clean_environment, stream
from ..shared.reporting import DownloadProgress, Reporter
from . import interpreters, torch_build
from . import uv as uv_tool
from .accelerator import detect
from .lock_files import (
    BPY,
    CLUSTER,
    DEFAULT_BLENDER,
    FEATURES,
    LINT,
    SAMPLES,
    TEST,
    Blender,
    blender,
    digest,
    lock_file,
    read_lock,
    select,
)
from .torch_build import REGISTRY, TorchBuild

#: Raised when the way in which environments are built changes.
FORMAT = 1

STAMP = "maquette-environment.json"

#: MB that an environment takes: the first one with the CUDA build of torch or without, the first of a second Python
#: (it shares the CUDA libraries), and one more of the same Python (it shares all but bpy). Measured under Linux.
MEGABYTES = {"cuda": 7000, "plain": 3000, "second Python": 4000, "same Python": 1500}

_DAY = 24 * 3600.0


@dataclass(frozen=True)
class Environment:
    """One Blender's environment, finished or not."""

    paths: Paths
    blender: Blender
    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def packages(self) -> Path:
        if os.name == "nt":
            return self.folder / "Lib" / "site-packages"
        return self.folder / "lib" / f"python{self.blender.python}" / "site-packages"

    @property
    def stamp(self) -> dict[str, Any]:
        """What the finished set-up wrote; empty when it did not finish."""
        try:
            return json.loads((self.folder / STAMP).read_text("utf-8"))
        except (OSError, ValueError):
            return {}

    def damage(self) -> str:
        """Why this environment cannot be used as it is, in a few words; "" when it can."""
        stamp = self.stamp
        if not self.folder.exists():
            return "not set up yet"
        if not stamp:
            return "its set-up was interrupted"
        if not self.python.exists() or not _home_of(self.folder).exists():
            return "its Python is gone"
        missing = stamp.get("files", 0) - count(self.packages)[0]
        return f"{missing} of its files are missing" if missing > 0 else ""

    def variables(self) -> dict[str, str]:
        """The environment variables of a process that runs in it."""
        env = clean_environment({"MAQUETTE_ENVIRONMENT": str(self.folder)})
        programs = str(self.python.parent)
        env["PATH"] = os.pathsep.join([programs, env["PATH"]]) if env.get("PATH") else programs
        return env


def locate(paths: Paths, version: str = DEFAULT_BLENDER) -> Environment:
    """The environment that this checkout's lock files ask for, built or not."""
    wanted = blender(paths.locks, version)
    locked = lock_file(paths.locks, wanted.python).read_text("utf-8")
    name = f"{version}-{digest(FORMAT, locked, wanted.requirements(), paths.root)}"
    return Environment(paths, wanted, paths.environments / name)


def ensure(paths: Paths, version: str, reporter: Reporter) -> Environment:
    """The finished environment of a Blender: at once when it is there, built or repaired when not."""
    environment = locate(paths, version)
    if not environment.damage():
        os.utime(environment.folder / STAMP)
        return environment
    make_writable(paths)
    with file_lock(paths.home / "set-up.lock", reporter.say):
        damage = environment.damage()  # asked again: the set-up that was waited for may have built it
        if damage:
            _build(environment, damage, reporter)
            _remove_superseded(environment)
    return environment


def _build(environment: Environment, damage: str, reporter: Reporter) -> None:
    started = time.monotonic()
    paths, wanted = environment.paths, environment.blender
    reporter.begin(5)
    reporter.say(f"Setting up Blender {wanted.version} (bpy {wanted.bpy}) in {paths.home}: {damage}.")
    reporter.step("The installer uv")
    tool = uv_tool.ensure(paths, reporter.detail)
    reporter.step(f"Python {wanted.python}")
    base = interpreters.ensure(wanted.python, tool, reporter.detail)
    reporter.detail(str(base))
    _remove(environment.folder)
    _run_uv(
        tool, ["venv", "--no-project", "--python", str(base), str(environment.folder)], "Making the environment", paths
    )
    pins = select(read_lock(lock_file(paths.locks, wanted.python)), groups_of(wanted.version))
    reporter.step("Packages: torch, bpy and the others")
    build = torch_build.choose(tool, environment.python, pins, reporter.detail)
    _require_space(environment, build)
    torch_build.install(
        lambda arguments: _run_uv(tool, arguments, "Installing the packages", paths, reporter),
        environment.python,
        pins,
        build,
        others=wanted.requirements(),
    )
    reporter.step("Maquette itself, from this folder")
    # Built with the setuptools of the lock: an isolated build would fetch another one.
    editable = ["pip", "install", "--no-deps", "--no-build-isolation", "--python", str(environment.python)]
    _run_uv(tool, [*editable, "-e", str(paths.root)], "Installing Maquette itself", paths)
    reporter.step("Trying it: do bpy, torch and numpy load together")
    found = probe(environment)
    stamp = {"blender": wanted.version, "torch_build": build.backend, "found": found, "python": str(base)}
    stamp["files"], _ = count(environment.packages)
    stamp["seconds"] = round(time.monotonic() - started, 1)
    write_json(environment.folder / STAMP, stamp, through=True)
    reporter.say(f"Blender {wanted.version} is set up ({stamp['seconds']:.0f} s).")


def groups_of(version: str) -> list[str]:
    """The groups of packages in a Blender's environment; clusters and the checks run on the default one only."""
    return [*FEATURES, BPY, TEST, SAMPLES, *([CLUSTER, LINT] if version == DEFAULT_BLENDER else [])]


def _run_uv(tool: uv_tool.Uv, arguments: list[str], doing: str, paths: Paths, reporter: Reporter | None = None) -> None:
    """Run uv, with progress where there is a reporter; its whole output goes to the log."""
    env = tool.environment()
    progress = DownloadProgress(reporter.detail, Path(env["UV_CACHE_DIR"])) if reporter else None
    code, output = stream(
        [str(tool.path), *arguments],
        env,
        progress.feed if progress else lambda line: None,
        progress.tick if progress else lambda: None,
    )
    log = paths.logs / "set-up.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as handle:
        handle.write(f"\n{time.strftime('%Y-%m-%d %H:%M:%S')} uv {' '.join(arguments)}\n{output}")
    if code:
        raise explain(output, doing)


_PROBE = """
import json, sys
import bpy, numpy, torch, cv2, scipy, PIL, safetensors
devices = ["cpu"]
if torch.cuda.is_available():
    devices += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
if getattr(torch.backends, "mps", None) and torch.backends.mps.is_available():
    devices.append("mps")
(torch.ones(2, 2) @ torch.ones(2, 2)).numpy()
print("PROBE" + json.dumps({"bpy": bpy.app.version_string, "numpy": numpy.__version__, "torch": torch.__version__,
    "opencv": cv2.__version__, "scipy": scipy.__version__, "python": sys.version.split()[0],
    "devices": devices}), flush=True)
import os
os._exit(0)
"""

#: A missing system library -> the Debian or Ubuntu package that holds it.
_LIBRARIES = {
    "libXrender.so.1": "libxrender1",
    "libXi.so.6": "libxi6",
    "libXxf86vm.so.1": "libxxf86vm1",
    "libXfixes.so.3": "libxfixes3",
    "libxkbcommon.so.0": "libxkbcommon0",
    "libSM.so.6": "libsm6",
    "libICE.so.6": "libice6",
    "libGL.so.1": "libgl1",
    "libEGL.so.1": "libegl1",
    "libgthread-2.0.so.0": "libglib2.0-0",
    "libgomp.so.1": "libgomp1",
}


def probe(environment: Environment) -> dict[str, Any]:
    """Load the large packages together in a child process; returns their versions and the devices."""
    code, output = stream(
        [str(environment.python), "-c", _PROBE], environment.variables(), lambda line: None, timeout=300
    )
    for line in output.splitlines():
        if line.startswith("PROBE"):
            found = json.loads(line[len("PROBE") :])
            if found["numpy"] != environment.blender.numpy:
                raise SetupError(
                    f"numpy {found['numpy']} is there in place of Blender's {environment.blender.numpy}.",
                    "Run the same command again.",
                )
            return found
    for library, package in _LIBRARIES.items():
        if library in output:
            raise SetupError(
                f"Blender needs the system library {library}, which is not on this machine.",
                f"Install it (on Debian and Ubuntu: sudo apt-get install {package}) and run the same command again.",
            )
    raise explain(output or f"exit code {code}", "Loading bpy, torch and numpy together")


def _home_of(folder: Path) -> Path:
    """The folder of the Python that an environment was made from."""
    for line in (folder / "pyvenv.cfg").read_text("utf-8").splitlines() if (folder / "pyvenv.cfg").exists() else []:
        name, _, value = line.partition("=")
        if name.strip() == "home":
            return Path(value.strip())
    return folder / "missing"


def megabytes_missing(environments: Sequence[Environment], is_cuda: bool | None = None) -> int:
    """MB that those of them that are not set up will take together. `is_cuda`: with the CUDA build of torch; None takes
    the build of the environments that there are, else the largest that this machine may get."""
    missing = [environment for environment in environments if environment.damage()]
    if not missing:
        return 0
    folder = missing[0].paths.environments
    stamps = [
        Environment(missing[0].paths, missing[0].blender, path.parent).stamp for path in folder.glob(f"*/{STAMP}")
    ]
    pythons = {".".join(stamp["found"]["python"].split(".")[:2]) for stamp in stamps if stamp}
    if is_cuda is None:
        # Torch's own index may be out of reach, and then it is the registry's build.
        builds = [stamp.get("torch_build", REGISTRY) for stamp in stamps if stamp]
        is_cuda = any(TorchBuild(build).is_cuda for build in builds or [*torch_build.candidates(detect()), REGISTRY])
    total = 0
    for environment in missing:
        if environment.blender.python in pythons:
            kind = "same Python"
        elif is_cuda:
            kind = "second Python" if pythons else "cuda"
        else:
            kind = "plain"
        total += MEGABYTES[kind]
        pythons.add(environment.blender.python)
    return total


def _require_space(environment: Environment, build: TorchBuild) -> None:
    need = megabytes_missing([environment], build.is_cuda)
    require_space(environment.paths.home, need, f"Setting up Blender {environment.blender.version}")


def _remove(folder: Path) -> None:
    """Remove an environment; the stamp goes first, so that a half-removed one is not trusted."""
    (folder / STAMP).unlink(missing_ok=True)
    remove_tree(folder)


def _remove_superseded(environment: Environment) -> None:
    """Remove what other lock files asked for, once it has not been started for a day."""
    for folder in environment.folder.parent.glob(f"{environment.blender.version}-*"):
        stamp = folder / STAMP
        if folder != environment.folder and (not stamp.exists() or time.time() - stamp.stat().st_mtime > _DAY):
            remove_tree(folder)
