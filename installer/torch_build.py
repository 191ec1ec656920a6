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
from dataclasses import dataclass
from pathlib import Path
from typing import Callable, List, Mapping, Optional, Sequence

from .locks import Pin
from .processes import ask, stream
from .uv import Uv

#: The name of the build that the lock file holds.
REGISTRY = "registry"

#: Packages whose builds must be of one kind.
FAMILY = ("torch", "torchvision", "torchaudio")

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

    def locked(self, pins: Sequence[Pin]) -> List[Pin]:
        """The pins that the lock file still provides for this build."""
        if self.backend == REGISTRY:
            return list(pins)
        return [pin for pin in pins if pin.name not in FAMILY and not _ONLY_FOR_CUDA.match(pin.name)]

    def separate(self, pins: Sequence[Pin]) -> List[str]:
        """What is installed from torch's own index."""
        if self.backend == REGISTRY:
            return []
        return [f"{pin.name}=={pin.version}" for pin in pins if pin.name in FAMILY]


def wanted(
    environ: Optional[Mapping[str, str]] = None, system: str = sys.platform, driver: Optional[str] = None
) -> str:
    """The build that suits this machine; UV_TORCH_BACKEND overrules ("registry" names the lock's own).

    driver : the CUDA version of the NVIDIA driver ("12.8"), "" without one; asked when None.
    """
    environ = os.environ if environ is None else environ
    chosen = environ.get("UV_TORCH_BACKEND", "").strip()
    if chosen and chosen != "auto":
        return chosen
    if system == "darwin":
        return REGISTRY
    driver = cuda_of_driver() if driver is None else driver
    number = tuple(int(part) for part in (driver or "0").split("."))
    if number >= (13, 0):
        return "cu130" if system == "win32" else REGISTRY
    if number >= (12, 8):
        return "cu128"
    if number >= (12, 6):
        return "cu126"
    return REGISTRY if system == "win32" else "cpu"


def cuda_of_driver() -> str:
    """The newest CUDA that the NVIDIA driver runs, as "12.8"; "" without a driver or a card."""
    windows = Path(os.environ.get("SYSTEMROOT", "C:/Windows"), "System32", "nvidia-smi.exe")
    for program in ("nvidia-smi", str(windows)):
        match = re.search(r"CUDA(?: UMD)? Version:\s*(\d+\.\d+)", ask([program]) or "")
        if match:
            return match[1]
    return ""


def choose(uv: Uv, python: Path, pins: Sequence[Pin], say: Callable[[str], None]) -> TorchBuild:
    """The suiting build if torch's index answers within a few seconds, else the registry's."""
    build = TorchBuild(wanted())
    separate = build.separate(pins)
    if not separate:
        return TorchBuild(REGISTRY)
    # Reinstall: a torch that this Python has already would be answer enough without asking the index.
    command = [*install_command(uv, python, build), "--dry-run", "--reinstall", *separate]
    env = uv.environment({"UV_HTTP_RETRIES": "0", "UV_HTTP_TIMEOUT": "5", "UV_HTTP_CONNECT_TIMEOUT": "5"})
    code, _ = stream(command, env, lambda line: None, timeout=PATIENCE)
    if code == 0:
        return build
    say(
        f"torch's own index, which has the {build.backend} build, is out of reach: taking the registry's build of torch"
    )
    return TorchBuild(REGISTRY)


def install_command(uv: Uv, python: Path, build: TorchBuild) -> List[str]:
    """The command that installs packages of this build, to be completed with their names."""
    command = [str(uv.path), "pip", "install", "--no-config", "--python", str(python), "--no-deps"]
    return [*command, "--torch-backend", build.backend]
