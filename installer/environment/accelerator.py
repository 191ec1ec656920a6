# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine can compute on, as its drivers say. Asked without torch, before torch is chosen.

The drivers are asked in a child process, because a broken one may hang or crash: `python accelerator.py` prints what
it finds as JSON. For that reason this file imports nothing of its own package at the top.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

CUDA, ROCM, METAL, XPU, CPU = "cuda", "rocm", "mps", "xpu", "cpu"

#: Attributes of cuDeviceGetAttribute.
_MAJOR, _MINOR = 75, 76

#: Seconds that a driver may take to answer.
PATIENCE = 30.0


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


def detect() -> Accelerator:
    """The best device of this machine."""
    from ..shared.processes import ask, clean_environment

    answer = ask([sys.executable, "-S", str(Path(__file__).resolve())], PATIENCE, clean_environment())
    if answer is None:  # this Python is embedded and starts no scripts, or a driver has crashed
        answer = "{}"
    try:
        found = Accelerator(**_read(answer))
    except (ValueError, TypeError):
        found = Accelerator()
    if found.kind == CPU:
        return _from_nvidia_smi() or found
    return found


def _read(answer: str) -> dict[str, Any]:
    lines = [line for line in answer.splitlines() if line.startswith("{")]
    content = json.loads(lines[-1]) if lines else {}
    if "capability" in content:
        content["capability"] = tuple(content["capability"])
    return content


def _from_nvidia_smi() -> Accelerator | None:
    """What NVIDIA's own tool says, where its library does not answer."""
    from ..shared.processes import ask

    windows = Path(os.environ.get("SYSTEMROOT", "C:/Windows"), "System32", "nvidia-smi.exe")
    for program in ("nvidia-smi", str(windows)):
        version = re.search(r"CUDA(?: UMD)? Version:\s*(\d+\.\d+)", ask([program]) or "")
        if version is None:
            continue
        query = ask([program, "--query-gpu=name,compute_cap,memory.total", "--format=csv,noheader,nounits"]) or ""
        found = [parse_smi(line, version[1]) for line in query.splitlines()]
        cards = [card for card in found if card is not None]
        return max(cards, key=_strength) if cards else Accelerator(CUDA, version=version[1])
    return None


def parse_smi(line: str, version: str) -> Accelerator | None:
    """One line of nvidia-smi's query: name, compute capability, MiB."""
    match = re.match(r"\s*(.+?),\s*(\d+)\.(\d+),\s*(\d+)", line)
    if match is None:
        return None
    capability = (int(match[2]), int(match[3]))
    return Accelerator(CUDA, match[1], version, capability, round(int(match[4]) * 1.048576))


def _strength(card: Accelerator) -> tuple[tuple[int, int], int]:
    return card.capability, card.memory_mb


# in the child process


def _look() -> Accelerator:
    if sys.platform == "darwin":
        return Accelerator(METAL) if os.uname().machine == "arm64" else Accelerator()
    return _cuda() or _rocm() or _xpu() or Accelerator()


def _cuda() -> Accelerator | None:
    """NVIDIA's driver library. A launcher's empty CUDA_VISIBLE_DEVICES hides the cards from torch, not from us."""
    if not os.environ.get("CUDA_VISIBLE_DEVICES", "x"):
        del os.environ["CUDA_VISIBLE_DEVICES"]
    name = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
    try:
        driver = ctypes.CDLL(name)
    except OSError:
        return None
    version, count = ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDriverGetVersion(ctypes.byref(version)):
        return None
    if driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        return None
    words = f"{version.value // 1000}.{version.value % 1000 // 10}"
    return max((_card(driver, number, words) for number in range(count.value)), key=_strength)


def _card(driver: Any, number: int, version: str) -> Accelerator:
    device, value = ctypes.c_int(), ctypes.c_int()
    driver.cuDeviceGet(ctypes.byref(device), number)
    numbers = []
    for attribute in (_MAJOR, _MINOR):
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        numbers.append(value.value)
    name, memory = ctypes.create_string_buffer(100), ctypes.c_size_t()
    driver.cuDeviceGetName(name, len(name), device)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    capability = (numbers[0], numbers[1])
    return Accelerator(CUDA, name.value.decode("utf-8", "replace"), version, capability, memory.value // 1_000_000)


def _rocm(system: Path = Path("/")) -> Accelerator | None:
    """AMD's kernel driver; torch is built for it under Linux alone."""
    for node in sorted((system / "sys/class/kfd/kfd/topology/nodes").glob("*")):
        match = re.search(r"^gfx_target_version (\d+)", _text(node / "properties"), re.MULTILINE)
        if match and int(match[1]) >= 90000:  # gfx900, Vega: older ones torch has no kernels for
            major, minor, step = int(match[1]) // 10000, int(match[1]) // 100 % 100, int(match[1]) % 100
            version = re.match(r"\d+\.\d+", _text(system / "opt/rocm/.info/version"))
            return Accelerator(ROCM, f"AMD gfx{major}{minor:x}{step:x}", version[0] if version else "")
    return None


def _xpu(system: Path = Path("/")) -> Accelerator | None:
    """An Intel graphics card with the run-time library that torch needs for it."""
    loader = "ze_loader.dll" if sys.platform == "win32" else "libze_loader.so.1"
    try:
        ctypes.CDLL(loader)
    except OSError:
        return None
    if sys.platform == "win32" or any(_intel_displays(system)):
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


if __name__ == "__main__":
    print(json.dumps(asdict(_look())), flush=True)
    os._exit(0)  # drivers have been seen to crash while a process ends
