# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine computes on, by its drivers: stand-ins of them, written as the real ones answer."""

import ctypes
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from maquette.installer.environment import accelerator
from maquette.installer.environment.accelerator import CPU, CUDA, ROCM, XPU, Accelerator


class Driver:
    """NVIDIA's driver library with two cards; every call returns 0 and writes into what it is given."""

    cards = (("NVIDIA GeForce GTX 1060", (6, 1), 6_000_000_000), ("NVIDIA RTX 4090", (8, 9), 24_000_000_000))
    version = 12080

    def cuInit(self, flags: int) -> int:
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = self.version
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = len(self.cards)
        return 0

    def cuDeviceGet(self, device: Any, number: int) -> int:
        device._obj.value = number
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:
        value._obj.value = self.cards[device.value][1][{75: 0, 76: 1}[attribute]]
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:
        name.value = self.cards[device.value][0].encode()
        return 0

    def cuDeviceTotalMem_v2(self, memory: Any, device: Any) -> int:
        memory._obj.value = self.cards[device.value][2]
        return 0


def loading(library: Any) -> Any:
    def load(name: str) -> Any:
        if library is None or "ze_loader" in name:
            raise OSError(name)
        return library

    return load


def test_the_strongest_nvidia_card_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", loading(Driver()))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # as launchers set it; it hides the cards from torch
    found = accelerator._cuda()
    assert found == Accelerator(CUDA, "NVIDIA RTX 4090", "12.8", (8, 9), 24_000)
    assert str(found) == "NVIDIA RTX 4090, driver for CUDA 12.8, compute capability 8.9, 24 GB"
    assert found.number == (12, 8)


def test_no_driver_and_a_driver_without_a_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", loading(None))
    assert accelerator._cuda() is None

    class Empty(Driver):
        cards = ()

    monkeypatch.setattr(ctypes, "CDLL", loading(Empty()))
    assert accelerator._cuda() is None


def test_nvidia_smi_where_the_library_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {
        "": "| NVIDIA-SMI 580.65  Driver Version: 580.65  CUDA Version: 13.0 |",
        "query": "Quadro P400, 6.1, 2048\nTesla T4, 7.5, 15360\n",
    }
    monkeypatch.setattr(
        "maquette.installer.shared.processes.ask", lambda command, *_: answers["query" if len(command) > 1 else ""]
    )
    found = accelerator._from_nvidia_smi()
    assert found == Accelerator(CUDA, "Tesla T4", "13.0", (7, 5), 16106)
    assert accelerator.parse_smi("[Not Supported]", "13.0") is None


@pytest.mark.parametrize(
    ("target", "expected"),
    [("110000", Accelerator(ROCM, "AMD gfx1100", "6.4")), ("90010", Accelerator(ROCM, "AMD gfx90a", "6.4"))],
)
def test_amd_under_linux(tmp_path: Path, target: str, expected: Accelerator) -> None:
    nodes = tmp_path / "sys/class/kfd/kfd/topology/nodes"
    for number, value in (("0", "0"), ("1", target)):
        (nodes / number).mkdir(parents=True)
        (nodes / number / "properties").write_text(f"cpu_cores_count 8\ngfx_target_version {value}\n")
    (tmp_path / "opt/rocm/.info").mkdir(parents=True)
    (tmp_path / "opt/rocm/.info/version").write_text("6.4.1-83\n")
    assert accelerator._rocm(tmp_path) == expected


def test_amd_cards_without_kernels_and_machines_without_amd(tmp_path: Path) -> None:
    assert accelerator._rocm(tmp_path) is None
    node = tmp_path / "sys/class/kfd/kfd/topology/nodes/1"
    node.mkdir(parents=True)
    (node / "properties").write_text("gfx_target_version 80003\n")
    assert accelerator._rocm(tmp_path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /sys")
def test_intel_needs_its_run_time_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "sys/bus/pci/devices/0000:03:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x8086\n")
    (device / "class").write_text("0x030000\n")
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert accelerator._xpu(tmp_path) == Accelerator(XPU, "Intel graphics")
    (device / "class").write_text("0x020000\n")
    assert accelerator._xpu(tmp_path) is None
    monkeypatch.setattr(ctypes, "CDLL", loading(None))
    assert accelerator._xpu(tmp_path) is None


def test_the_child_process_answers_and_a_crash_is_no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    done = subprocess.run([sys.executable, "-S", accelerator.__file__], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout)) == {"kind", "name", "version", "capability", "memory_mb"}
    monkeypatch.setattr("maquette.installer.shared.processes.ask", lambda *_: None)
    assert accelerator.detect() == Accelerator(CPU)
    monkeypatch.setattr(
        "maquette.installer.shared.processes.ask", lambda *_: 'noise\n{"kind": "no such field", "x": 1}\n'
    )
    assert accelerator.detect() == Accelerator(CPU)
