# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine can compute on, as its drivers say. Asked without torch, before torch is chosen.

uv detects drivers too (`--torch-backend auto`), but only once it is here, and by the driver alone: a GTX 1080 would get
a torch without kernels for it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path

from ..shared.processes import ask

CUDA, ROCM, METAL, XPU, CPU = "cuda", "rocm", "mps", "xpu", "cpu"

#: The first driver of NVIDIA for a CUDA, the newest first.
_DRIVERS = ((580, "13.0"), (570, "12.8"), (525, "12.0"))


@dataclass(frozen=True)
class Accelerator:
    """The device that torch should be built for.

    kind : CUDA, ROCM, METAL, XPU or CPU.  name : of the card.  version : of CUDA or ROCm that the driver runs, "12.8".
    capability : compute capability of an NVIDIA card, (8, 9).  memory_mb : of the card.
    """

    kind: str = CPU
    name: str = ""
    version: str = ""
    capability: tuple[int, int] = (0, 0)
    memory_mb: int = 0

    def __str__(self) -> str:
        words = [self.name or {CPU: "the processor", METAL: "Apple's graphics processor"}.get(self.kind, self.kind)]
        if self.kind == CUDA and self.version:
            words.append(f"driver for CUDA {self.version}")
        if self.capability != (0, 0):
            words.append("compute capability {}.{}".format(*self.capability))
        if self.memory_mb:
            words.append(f"{self.memory_mb / 1000:.0f} GB")
        return ", ".join(words)

    @property
    def number(self) -> tuple[int, ...]:
        return tuple(int(part) for part in re.findall(r"\d+", self.version)[:2])


def detect(system: Path = Path("/")) -> Accelerator:
    """The best device of this machine. It may take seconds: a driver is asked by a program of its own, because a broken
    one may hang or crash."""
    if sys.platform == "darwin":
        return Accelerator(METAL) if os.uname().machine == "arm64" else Accelerator()
    return _nvidia(system) or _amd(system) or _intel(system) or Accelerator()


def _nvidia(system: Path) -> Accelerator | None:
    """What NVIDIA's own tool says; where it is not to be had, as in a sandbox, the driver's version alone."""
    windows = Path(os.environ.get("SYSTEMROOT", "C:/Windows"), "System32", "nvidia-smi.exe")
    for program in ("nvidia-smi", str(windows), "/usr/lib/wsl/lib/nvidia-smi"):
        version = re.search(r"CUDA(?: UMD)? Version:\s*(\d+\.\d+)", ask([program]) or "")
        if version is None:
            continue
        query = ask([program, "--query-gpu=name,compute_cap,memory.total", "--format=csv,noheader,nounits"]) or ""
        cards = [card for card in (parse_smi(line, version[1]) for line in query.splitlines()) if card is not None]
        strongest = max(cards, key=lambda card: (card.capability, card.memory_mb), default=None)
        return strongest or Accelerator(CUDA, version=version[1])
    driver = re.match(r"\d+", _text(system / "sys/module/nvidia/version"))
    if driver is None or not any((system / "proc/driver/nvidia/gpus").glob("*")):
        return None
    return Accelerator(CUDA, "NVIDIA", next((cuda for first, cuda in _DRIVERS if int(driver[0]) >= first), "11.0"))


def parse_smi(line: str, version: str) -> Accelerator | None:
    """One line of nvidia-smi's query: name, compute capability, MiB."""
    match = re.match(r"\s*(.+?),\s*(\d+)\.(\d+),\s*(\d+)", line)
    if match is None:
        return None
    capability = (int(match[2]), int(match[3]))
    return Accelerator(CUDA, match[1], version, capability, round(int(match[4]) * 1.048576))


def _amd(system: Path) -> Accelerator | None:
    """AMD's kernel driver; torch is built for it under Linux alone."""
    for node in sorted((system / "sys/class/kfd/kfd/topology/nodes").glob("*")):
        match = re.search(r"^gfx_target_version (\d+)", _text(node / "properties"), re.MULTILINE)
        if match and int(match[1]) >= 90000:  # gfx900, Vega: older ones torch has no kernels for
            major, minor, step = int(match[1]) // 10000, int(match[1]) // 100 % 100, int(match[1]) % 100
            version = re.match(r"\d+\.\d+", _text(system / "opt/rocm/.info/version"))
            return Accelerator(ROCM, f"AMD gfx{major}{minor:x}{step:x}", version[0] if version else "")
    return None


def _intel(system: Path) -> Accelerator | None:
    """An Intel graphics card with the run-time library that torch needs for it."""
    if find_library("ze_loader") and (sys.platform == "win32" or any(_intel_displays(system))):
        return Accelerator(XPU, "Intel graphics")
    return None


def _intel_displays(system: Path) -> Iterator[Path]:
    for device in (system / "sys/bus/pci/devices").glob("*"):
        if _text(device / "vendor").strip() == "0x8086" and _text(device / "class").startswith("0x03"):
            yield device


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""
