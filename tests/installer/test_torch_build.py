# SPDX-License-Identifier: GPL-3.0-or-later
"""Which torch a machine gets, and what happens when torch's own index is out of reach."""

import os
import time
from pathlib import Path

import pytest
from maquette.installer import locks, torch_build
from maquette.installer.torch_build import REGISTRY, TorchBuild, wanted
from maquette.installer.uv import Uv

LOCK = Path(__file__).parents[2] / "installer" / "locks" / "python3.11.txt"


@pytest.mark.parametrize(
    ("system", "driver", "backend"),
    [
        ("linux", "", "cpu"),
        ("linux", "13.1", REGISTRY),
        ("linux", "12.8", "cu128"),
        ("linux", "12.6", "cu126"),
        ("linux", "11.8", "cpu"),
        ("win32", "", REGISTRY),
        ("win32", "13.0", "cu130"),
        ("win32", "12.9", "cu128"),
        ("darwin", "", REGISTRY),
    ],
)
def test_the_build_that_suits_a_machine(system: str, driver: str, backend: str) -> None:
    assert wanted({}, system, driver) == backend
    assert wanted({"UV_TORCH_BACKEND": "auto"}, system, driver) == backend
    assert wanted({"UV_TORCH_BACKEND": "rocm6.4"}, system, driver) == "rocm6.4"


def test_a_separate_build_takes_torch_and_its_cuda_libraries_out_of_the_lock() -> None:
    pins = locks.select(locks.read_lock(LOCK), [locks.CORE])
    locked = {pin.name for pin in TorchBuild("cpu").locked(pins)}
    assert not {name for name in locked if name.startswith(("nvidia-", "cuda-"))} | locked & {"torch", "triton"}
    assert {"filelock", "sympy", "opencv-python"} <= locked
    assert TorchBuild("cpu").separate(pins) == ["torch==2.11.0", "torchvision==0.26.0"]
    assert TorchBuild(REGISTRY).locked(pins) == pins and not TorchBuild(REGISTRY).separate(pins)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in of uv is a shell script")
@pytest.mark.parametrize(("answer", "backend"), [("exit 0", "cpu"), ("exit 2", REGISTRY), ("exec sleep 30", REGISTRY)])
def test_an_index_that_is_out_of_reach_costs_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, backend: str
) -> None:
    program = tmp_path / "uv"
    program.write_text(f"#!/bin/sh\n{answer}\n")
    program.chmod(0o755)
    monkeypatch.setenv("UV_TORCH_BACKEND", "cpu")
    monkeypatch.setattr(torch_build, "PATIENCE", 0.5)
    said: list[str] = []
    pins = locks.read_lock(LOCK)
    started = time.monotonic()
    build = torch_build.choose(Uv(program, (9, 9, 9)), Path("python"), pins, said.append)
    assert build == TorchBuild(backend)
    assert len(said) == (0 if backend == "cpu" else 1)
    assert time.monotonic() - started < 20, "it waited for an index that does not answer"
