# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine computes on, by its drivers: stand-ins of them, written as the real ones answer."""

import os
import sys
from functools import partial
from pathlib import Path

import pytest
from maquette.installer.environment import accelerator
from maquette.installer.environment.accelerator import CPU, CUDA, ROCM, XPU, Accelerator
from maquette.installer.shared import processes


def answering(monkeypatch: pytest.MonkeyPatch, *lines: str, version: str = "12.8") -> None:
    """An nvidia-smi that knows these cards; none at all without lines."""
    header = f"| NVIDIA-SMI 570.65  Driver Version: 570.65  CUDA Version: {version} |"

    def ask(command: list[str]) -> str | None:
        if not lines or command[0] != "nvidia-smi":
            return None
        return "\n".join(lines) if len(command) > 1 else header

    monkeypatch.setattr(accelerator, "ask", ask)
    monkeypatch.setattr(accelerator.sys, "platform", "linux")


def test_the_strongest_nvidia_card_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(
        monkeypatch, "NVIDIA GeForce GTX 1060, 6.1, 6144", "NVIDIA RTX 4090, 8.9, 24564", "NVIDIA T400, 7.5, 2048"
    )
    found = accelerator.detect(tmp_path)
    assert found == Accelerator(CUDA, "NVIDIA RTX 4090", "12.8", (8, 9), 25757)
    assert str(found) == "NVIDIA RTX 4090, driver for CUDA 12.8, compute capability 8.9, 26 GB"
    assert found.number == (12, 8)
    answering(monkeypatch, "[Not Supported]", version="13.0")
    assert accelerator.detect(tmp_path) == Accelerator(CUDA, version="13.0")
    assert accelerator.parse_smi("[Not Supported]", "13.0") is None


@pytest.mark.parametrize(
    ("driver", "version"),
    [("580.65.06", "13.0"), ("575.51", "12.8"), ("570.26", "12.8"), ("550.54.14", "12.0"), ("470.1", "11.0")],
)
def test_where_nvidias_tool_is_not_to_be_had_the_drivers_version_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, driver: str, version: str
) -> None:
    answering(monkeypatch)
    assert accelerator.detect(tmp_path) == Accelerator(CPU)
    (tmp_path / "sys/module/nvidia").mkdir(parents=True)
    (tmp_path / "sys/module/nvidia/version").write_text(f"{driver}\n")
    assert accelerator.detect(tmp_path) == Accelerator(CPU), "a driver without a card"
    (tmp_path / "proc/driver/nvidia/gpus/0000:01:00.0").mkdir(parents=True)
    assert accelerator.detect(tmp_path) == Accelerator(CUDA, "NVIDIA", version)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
@pytest.mark.parametrize("does", ["exec sleep 30", "kill -SEGV $$", "echo noise", "exit 9"])
def test_a_driver_that_hangs_or_crashes_is_no_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    monkeypatch.setattr(accelerator, "ask", partial(processes.ask, timeout=0.3))
    assert accelerator.detect(tmp_path) == Accelerator(CPU)


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
    assert accelerator._amd(tmp_path) == expected


def test_amd_cards_without_kernels_and_machines_without_amd(tmp_path: Path) -> None:
    assert accelerator._amd(tmp_path) is None
    node = tmp_path / "sys/class/kfd/kfd/topology/nodes/1"
    node.mkdir(parents=True)
    (node / "properties").write_text("gfx_target_version 80003\n")
    assert accelerator._amd(tmp_path) is None


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /sys")
def test_intel_needs_its_run_time_library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = tmp_path / "sys/bus/pci/devices/0000:03:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x8086\n")
    (device / "class").write_text("0x030000\n")
    monkeypatch.setattr(accelerator, "find_library", lambda name: f"lib{name}.so.1")
    assert accelerator._intel(tmp_path) == Accelerator(XPU, "Intel graphics")
    (device / "class").write_text("0x020000\n")
    assert accelerator._intel(tmp_path) is None
    (device / "class").write_text("0x030000\n")
    monkeypatch.setattr(accelerator, "find_library", lambda name: None)
    assert accelerator._intel(tmp_path) is None
