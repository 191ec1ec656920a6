# SPDX-License-Identifier: GPL-3.0-or-later
"""Which torch a machine gets, and what happens when torch's own index is out of reach."""

import os
import time
from pathlib import Path

import pytest
from maquette.installer.environment import lock_files, torch_build
from maquette.installer.environment.accelerator import CPU, CUDA, METAL, ROCM, XPU, Accelerator
from maquette.installer.environment.torch_build import REGISTRY, TorchBuild, advice, candidates
from maquette.installer.environment.uv import Uv
from maquette.installer.packages.sources import Sources

LOCK = Path(__file__).parents[2] / "installer" / "locks" / "python3.11.txt"


def card(driver: str, capability: tuple[int, int]) -> Accelerator:
    return Accelerator(CUDA, "a card", driver, capability, 8000)


@pytest.mark.parametrize(
    ("system", "device", "builds"),
    [
        ("linux", Accelerator(CPU), ["cpu"]),
        ("linux", card("13.1", (8, 9)), [REGISTRY]),
        ("linux", card("12.8", (12, 0)), ["cu128"]),
        ("linux", card("12.6", (8, 6)), ["cu126"]),
        ("linux", card("12.2", (8, 6)), ["cu126"]),
        ("linux", card("12.6", (12, 0)), ["cpu"]),  # RTX 50 needs a driver for 12.8
        ("linux", card("13.0", (6, 1)), ["cu126"]),  # Pascal: the last build that has kernels for it
        ("linux", card("13.0", (7, 0)), ["cu126"]),
        ("linux", card("13.0", (3, 5)), ["cpu"]),
        ("linux", card("11.8", (8, 6)), ["cpu"]),
        ("linux", card("12.8", (0, 0)), ["cu128"]),  # the driver did not say what the card can
        ("linux", Accelerator(ROCM, "AMD gfx1100"), ["rocm7.2", "rocm7.1", "rocm7.0", "rocm6.4", "cpu"]),
        ("linux", Accelerator(XPU), ["xpu", "cpu"]),
        ("win32", Accelerator(CPU), [REGISTRY]),
        ("win32", card("13.0", (8, 9)), ["cu130"]),
        ("win32", card("12.9", (8, 9)), ["cu128"]),
        ("win32", card("11.8", (8, 6)), [REGISTRY]),
        ("win32", Accelerator(ROCM), [REGISTRY]),
        ("darwin", Accelerator(METAL), [REGISTRY]),
    ],
)
def test_the_build_that_suits_a_machine(system: str, device: Accelerator, builds: list[str]) -> None:
    assert candidates(device, {}, system) == builds
    assert candidates(device, {"UV_TORCH_BACKEND": "auto"}, system) == builds
    assert candidates(device, {"UV_TORCH_BACKEND": "rocm6.4"}, system) == ["rocm6.4"]


def test_a_card_that_is_not_used_is_explained() -> None:
    assert "update it" in advice(card("11.8", (8, 6)), "cpu")
    assert "too old for this torch" in advice(card("13.0", (3, 5)), "cpu")
    assert advice(card("13.0", (8, 6)), REGISTRY) == advice(Accelerator(CPU), "cpu") == ""


def test_a_separate_build_takes_torch_and_its_cuda_libraries_out_of_the_lock() -> None:
    pins = lock_files.select(lock_files.read_lock(LOCK), [lock_files.CORE])
    locked = {pin.name for pin in TorchBuild("cpu").locked(pins)}
    assert not {name for name in locked if name.startswith(("nvidia-", "cuda-"))} | locked & {"torch", "triton"}
    assert {"filelock", "sympy", "opencv-python"} <= locked
    assert TorchBuild("cpu").separate(pins) == ["torch==2.11.0+cpu", "torchvision==0.26.0+cpu"]
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
    pins = lock_files.read_lock(LOCK)
    started = time.monotonic()
    build = torch_build.choose(Uv(program, (9, 9, 9)), Path("python"), pins, said.append, Accelerator(CPU))
    assert build == TorchBuild(backend)
    assert len(said) == (0 if backend == "cpu" else 1)
    assert time.monotonic() - started < 20, "it waited for an index that does not answer"


@pytest.mark.parametrize(
    ("files", "backend"),
    [
        (["torch-2.11.0-cp311-cp311-win_amd64.whl"], REGISTRY),
        (["torch-2.11.0+cpu-cp311-cp311-x.whl", "torch-2.11.0-cp311-cp311-x.whl"], "cpu"),
        (["torch-2.11.0+cu128-cp311-cp311-x.whl"], "cu128"),
        (["torch-2.9.0+cpu-cp311-cp311-x.whl"], REGISTRY),
        ([], REGISTRY),
    ],
)
def test_a_folder_of_wheels_says_which_build_it_holds(tmp_path: Path, files: list[str], backend: str) -> None:
    for name in files:
        (tmp_path / name).touch()
    pins = lock_files.read_lock(LOCK)
    sources = Sources(accelerator="cpu", wheels=str(tmp_path))
    build = torch_build.choose(Uv(Path("none"), (9, 9, 9)), Path("python"), pins, print, Accelerator(CPU), sources)
    assert build == TorchBuild(backend)


@pytest.mark.parametrize(("backend", "commands"), [(REGISTRY, 1), ("cu128", 2)])
def test_what_is_not_in_the_lock_brings_nothing_but_its_own_libraries(backend: str, commands: int) -> None:
    asked: list[list[str]] = []
    excluded = ""

    def run(arguments: list[str]) -> None:
        nonlocal excluded
        asked.append(arguments)
        if "--excludes" in arguments:
            excluded = Path(arguments[arguments.index("--excludes") + 1]).read_text()

    pins = lock_files.select(lock_files.read_lock(LOCK), [lock_files.CORE])
    torch_build.install(run, Path("python"), pins, TorchBuild(backend), target=Path("folder"))
    assert len(asked) == commands and "--require-hashes" in asked[0] and "--no-deps" in asked[0]
    assert all(command[command.index("--target") + 1] == "folder" for command in asked)
    if commands == 2:
        assert asked[1][-2:] == ["torch==2.11.0+cu128", "torchvision==0.26.0+cu128"]
        assert {"numpy", "filelock", "opencv-python"} <= set(excluded.split()) and "torch" not in excluded.split()


def test_a_mirror_of_torchs_index_takes_its_place() -> None:
    assert torch_build.index_options(TorchBuild("cu128"), Sources()) == ["--torch-backend", "cu128"]
    mirrored = torch_build.index_options(TorchBuild("cu128"), Sources(torch_index="https://mirror.example/whl/"))
    assert mirrored[:2] == ["--index", "https://mirror.example/whl/cu128"]
