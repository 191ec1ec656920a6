# SPDX-License-Identifier: GPL-3.0-or-later
"""Which build of torch suits this machine, and whether it can be had.

The registry's build is the CUDA one under Linux (it runs without a GPU too, at 5 GB), the CPU one under Windows and
the Metal one on a Mac. The other builds lie on torch's own index, which uv knows by a name ("cpu", "cu128"), and
which may be out of reach. Their files are not in the lock: their versions are the lock's, their origin is that index.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..packages.sources import AUTO, NO_CHOICE, Sources
from ..shared.processes import stream
from .accelerator import CUDA, ROCM, XPU, Accelerator, detect
from .lock_files import BLENDERS_OWN, Pin
from .uv import Uv

#: The name of the build that the lock file holds.
REGISTRY = "registry"

#: Packages whose builds must be of one kind.
FAMILY = ("torch", "torchvision", "torchaudio")

#: The builds for AMD's cards, the newest first; which of them a version of torch has, its index says.
_ROCM = ("rocm7.2", "rocm7.1", "rocm7.0", "rocm6.4")

#: Seconds that the question whether torch's index answers may take.
PATIENCE = 8.0

_ONLY_FOR_CUDA = re.compile(r"^(nvidia-|cuda-|triton$)")


@dataclass(frozen=True)
class TorchBuild:
    """`backend` is uv's name of the build, or REGISTRY for the one in the lock."""

    backend: str

    @property
    def is_cuda(self) -> bool:
        """Whether it brings the CUDA libraries with it."""
        return self.backend.startswith("cu") or (self.backend == REGISTRY and sys.platform == "linux")

    def locked(self, pins: Sequence[Pin]) -> list[Pin]:
        """The pins that the lock file still provides for this build."""
        if self.backend == REGISTRY:
            return list(pins)
        return [pin for pin in pins if pin.name not in FAMILY and not _ONLY_FOR_CUDA.match(pin.name)]

    def separate(self, pins: Sequence[Pin]) -> list[str]:
        """What is installed from torch's own index."""
        if self.backend == REGISTRY:
            return []
        return [f"{pin.name}=={self.version(pin)}" for pin in pins if pin.name in FAMILY]

    def version(self, pin: Pin) -> str:
        """A package's version as this build names it: "2.11.0+cu128"."""
        return pin.version if self.backend == REGISTRY or pin.name not in FAMILY else f"{pin.version}+{self.backend}"


def candidates(device: Accelerator, environ: Mapping[str, str] | None = None, system: str = sys.platform) -> list[str]:
    """The builds that suit a device, the best first; UV_TORCH_BACKEND overrules ("registry" names the lock's own)."""
    environ = os.environ if environ is None else environ
    chosen = environ.get("UV_TORCH_BACKEND", "").strip()
    if chosen and chosen != AUTO:
        return [chosen]
    if system == "darwin":
        return [REGISTRY]
    processor = REGISTRY if system == "win32" else "cpu"
    if device.kind == CUDA:
        return [_for_cuda(device.number, device.capability, system) or processor]
    if device.kind == ROCM and system == "linux":
        return [*_ROCM, processor]
    if device.kind == XPU:
        return ["xpu", processor]
    return [processor]


def _for_cuda(driver: tuple[int, ...], capability: tuple[int, int], system: str) -> str:
    """By driver and compute capability; "" where no build has kernels for the card that the driver can start.

    The cu130 build starts at Turing (7.5), cu126 is the last with Maxwell, Pascal and Volta and ends at Hopper (9.0).
    Drivers for CUDA 12.0 run what was built with 12.6.
    """
    known = capability != (0, 0)
    if known and capability < (5, 0):
        return ""
    if known and capability < (7, 5):
        return "cu126" if driver >= (12, 0) else ""
    if driver >= (13, 0):
        return "cu130" if system == "win32" else REGISTRY
    if driver >= (12, 8):
        return "cu128"
    return "cu126" if driver >= (12, 0) and capability < (10, 0) else ""


def advice(device: Accelerator, backend: str) -> str:
    """Why a card that is there is not used, or ""."""
    if device.kind != CUDA or backend not in ("cpu", REGISTRY):
        return ""
    if device.capability != (0, 0) and device.capability < (5, 0):
        return f"{device.name} is too old for this torch; the processor computes."
    if device.number < (13, 0):
        return f"The driver of {device.name} is too old (CUDA {device.version}); update it to compute on the card."
    return ""


def choose(
    uv: Uv,
    python: Path,
    pins: Sequence[Pin],
    say: Callable[[str], None],
    device: Accelerator | None = None,
    sources: Sources = NO_CHOICE,
) -> TorchBuild:
    """The first suiting build that torch's index has, if that answers within a few seconds, else the registry's."""
    environ = {**os.environ, "UV_TORCH_BACKEND": sources.accelerator} if sources.accelerator else None
    builds = [TorchBuild(name) for name in candidates(device or detect(), environ)]
    if sources.folder is not None:
        return _in_folder(sources.folder, builds, pins)
    for build in builds:
        if not build.separate(pins):
            return build
        # Reinstall: a torch that this Python has already would be answer enough without asking the index.
        command = [str(uv.path), "pip", "install", "--no-config", "--python", str(python), "--no-deps", "--dry-run"]
        command += ["--reinstall", *index_options(build, sources), *build.separate(pins)]
        env = uv.environment({"UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": "5", "UV_HTTP_CONNECT_TIMEOUT": "5"})
        code, _ = stream(command, env, lambda line: None, timeout=PATIENCE)
        if code == 0:
            return build
    say(
        f"torch's own index, which has the {builds[0].backend} build, is out of reach: taking the registry's build of "
        "torch"
    )
    return TorchBuild(REGISTRY)


def _in_folder(folder: Path, builds: Sequence[TorchBuild], pins: Sequence[Pin]) -> TorchBuild:
    """The first suiting build that a folder of wheels holds, else whichever one it holds."""
    torch = next((pin for pin in pins if pin.name == "torch"), None)
    if torch is None:
        return TorchBuild(REGISTRY)
    names = [path.name for path in folder.glob(f"torch-{torch.version}*.whl")]
    for build in builds:
        if any(name.startswith(f"torch-{build.version(torch)}-") for name in names):
            return build
    others = [match[1] for match in (re.match(r"torch-[^+-]+\+(\w[\w.]*)-", name) for name in names) if match]
    return TorchBuild(others[0] if others and f"torch-{torch.version}-" not in " ".join(names) else REGISTRY)


def install(
    run: Callable[[list[str]], object],
    python: Path,
    pins: Sequence[Pin],
    build: TorchBuild,
    sources: Sources = NO_CHOICE,
    target: Path | None = None,
    others: str = "",
) -> None:
    """Install pins, with `others` (in pip's format), for a Python, or for it into the folder `target`.

    `run` starts uv with arguments. The lock is complete and knows every file's hash, so nothing else may come in, but
    for what another build of torch needs: under Linux the CUDA libraries of that build.
    """
    command = ["pip", "install", "--python", str(python), "--only-binary", ":all:"]
    command += ["--target", str(target)] if target else []
    locked, separate = build.locked(pins), build.separate(pins)
    with tempfile.TemporaryDirectory() as scratch:
        requirements, excluded = Path(scratch, "requirements.txt"), Path(scratch, "excluded.txt")
        requirements.write_text(others + "".join(pin.requirement() for pin in locked), "utf-8")
        run([*command, "--no-deps", "--require-hashes", "-r", str(requirements)])
        if separate:
            names = BLENDERS_OWN | {pin.name for pin in locked}
            excluded.write_text("".join(f"{name}\n" for name in sorted(names)), "utf-8")
            run([*command, "--no-config", "--excludes", str(excluded), *index_options(build, sources), *separate])


def index_options(build: TorchBuild, sources: Sources) -> list[str]:
    """Where a build that the registry does not have is looked for."""
    if sources.folder is not None:
        return []
    if not sources.torch_index:
        return ["--torch-backend", build.backend]
    address = f"{sources.torch_index.rstrip('/')}/{build.backend}"
    return ["--index", address, "--index-strategy", "unsafe-best-match"]
