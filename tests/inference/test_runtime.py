# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices, memory, progress and cancelling, and the registry of models."""

import builtins
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from maquette.inference import BadInput, Cancelled, MissingPackages, OutOfMemory, UnknownModel, registry, runtime
from maquette.inference.runtime import device, memory
from maquette.installer.models import catalogue, store


@pytest.fixture(autouse=True)
def empty_memory(frozen):
    runtime.free_memory()
    yield
    runtime.free_memory()


# -- device and precision -------------------------------------------------------------------------------------------


def test_the_device_is_the_best_there_is_or_the_one_asked_for():
    best = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert runtime.start().device == best
    assert runtime.start("cpu").device == "cpu"
    assert runtime.start("cpu").torch_device == torch.device("cpu")


@pytest.mark.parametrize("name", ["abacus", "cuda:77", "cuda:x", "cpu:0:1", "", 5, "mps:9", np.ones(2)])
def test_devices_that_are_not_here(name):
    with pytest.raises(BadInput, match="no device") as raised:
        runtime.start(name)
    assert "cpu" in raised.value.remedy


def test_half_precision_is_for_gpus():
    assert runtime.start("cpu", "float16").precision == "float32"
    assert device.choose_precision("float16", "cuda") == "float16"
    assert device.choose_precision(None, "cuda") == "float32"
    with pytest.raises(BadInput):
        runtime.start("cpu", "float8")


def fresh(code, **environment):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**kept, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_threads_are_few_and_wait_quietly_unless_the_user_said_otherwise():
    code = (
        "import os; from maquette.inference import runtime; run = runtime.start(); import torch\n"
        "print(torch.get_num_threads(), os.environ['OMP_WAIT_POLICY'], run.device)"
    )
    threads, policy, chosen = fresh(code, CUDA_VISIBLE_DEVICES="")
    assert 1 <= int(threads) <= 4
    assert (policy, chosen) == ("passive", "cpu")
    # Another number than the one of our own choice, and no more than there are cores: the libraries take no more.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    asked = "2" if threads != "2" and cores > 1 else "1"
    threads, policy, _ = fresh(code, OMP_NUM_THREADS=asked, OMP_WAIT_POLICY="active", CUDA_VISIBLE_DEVICES="")
    assert (threads, policy) == (asked, "active")


# -- progress -------------------------------------------------------------------------------------------------------


def test_progress_of_parts_stays_within_the_part():
    told = []
    run = runtime.start("cpu", progress=lambda *args: told.append(args))
    run.report(-1, "before")
    run.part(0.2, 0.6).part(0.5, 1.0).report(0.5, "half of the second half")
    run.report(7, "beyond")
    assert told == [(0.0, "before"), (pytest.approx(0.5), "half of the second half"), (1.0, "beyond")]
    runtime.start("cpu").report(0.5, "nobody listens")
    with pytest.raises(BadInput):
        runtime.start("cpu", progress="loud")


def test_progress_never_goes_back():
    told = []
    run = runtime.start("cpu", progress=lambda *one: told.append(one))
    for fraction, message in ((0.05, "converted"), (0.0, "begun"), (0.2, "half")):
        run.report(fraction, message)
    assert told == [(0.05, "converted"), (0.05, "begun"), (0.2, "half")]


def test_cancelling_passes_through():
    def stop(fraction, message):
        raise Cancelled

    run = runtime.start("cpu", progress=stop)
    with pytest.raises(Cancelled), run.computing():
        run.report(0.1, "…")


# -- memory ---------------------------------------------------------------------------------------------------------


def test_models_are_built_once_and_the_longest_unused_goes(monkeypatch):
    monkeypatch.setattr(memory, "LIMIT", 2500)
    built = []

    def build(name):
        built.append(name)
        return torch.nn.Linear(250, 1, bias=False)  # 1000 bytes

    for name in ("a", "b", "a", "c", "a", "b"):
        memory.keep((name,), lambda name=name: build(name))
    assert built == ["a", "b", "c", "b"]
    assert runtime.kept_models() == (("a",), ("b",))
    runtime.free_memory()
    assert runtime.kept_models() == ()


def test_a_model_larger_than_the_limit_is_still_kept(monkeypatch):
    monkeypatch.setattr(memory, "LIMIT", 10)
    model = memory.keep(("large",), lambda: torch.nn.Linear(9, 9))
    assert memory.keep(("large",), lambda: None) is model


def test_weights_are_counted_wherever_a_model_holds_them(monkeypatch):
    """Pipelines hold several networks, and some of them twice."""
    monkeypatch.setattr(memory, "LIMIT", 3500)

    class Pipeline:
        def __init__(self):
            shared = torch.nn.Linear(250, 1, bias=False)  # 1000 bytes
            self.parts, self.again, self.table = {"unet": shared}, [shared], np.zeros(125)  # and 1000

    memory.keep(("first",), Pipeline)
    memory.keep(("small",), lambda: torch.nn.Linear(250, 1, bias=False))
    assert len(runtime.kept_models()) == 2
    memory.keep(("second",), Pipeline)
    assert runtime.kept_models() == (("small",), ("second",))


def test_a_model_that_cannot_be_built_leaves_nothing():
    with pytest.raises(ZeroDivisionError):
        memory.keep(("broken",), lambda: 1 / 0)
    assert runtime.kept_models() == ()


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        OSError(12, "Cannot allocate memory"),
        cv2.error("OpenCV(4.11.0) error: (-4:Insufficient memory) Failed to allocate 9 bytes"),
    ],
)
def test_memory_that_runs_out_is_one_clear_error_and_frees_the_models(error):
    memory.keep(("a",), lambda: torch.nn.Linear(9, 9))
    with pytest.raises(OutOfMemory) as raised, runtime.start("cpu").computing():
        raise error
    assert raised.value.__cause__ is error
    assert raised.value.remedy
    assert runtime.kept_models() == ()


def test_memory_that_runs_out_for_real():
    with pytest.raises(OutOfMemory), runtime.start("cpu").computing():
        torch.empty(1 << 60)
    with pytest.raises(OutOfMemory), runtime.start("cpu").computing():
        np.empty(1 << 58)


@pytest.mark.parametrize("error", [RuntimeError("shape mismatch"), ValueError("out of memory"), BadInput("a", "b")])
def test_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as raised, runtime.start("cpu").computing():
        raise error
    assert raised.value is error


def test_float32_is_exact_while_computing_and_settings_are_restored():
    before = torch.backends.cudnn.allow_tf32
    with runtime.start("cpu").computing():
        assert not torch.backends.cudnn.allow_tf32
    assert torch.backends.cudnn.allow_tf32 == before


# -- models and their place -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [5, True, ["models"], b"models", "~nobody-of-this-name/models"])
def test_folders_that_are_none(folder):
    with pytest.raises(BadInput):
        runtime.start("cpu", models_dir=folder)


@pytest.mark.parametrize("precision", ["half", 16, np.ones(2)])
def test_precisions_that_are_none(precision):
    with pytest.raises(BadInput, match="precision must be"):
        runtime.start("cpu", precision)


def test_the_root_of_the_models(tmp_path, monkeypatch):
    monkeypatch.setenv("MAQUETTE_MODELS", str(tmp_path / "here"))
    assert runtime.start("cpu").models_dir == tmp_path / "here"
    assert runtime.start("cpu", models_dir=tmp_path).models_dir == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path))
    assert runtime.start("cpu", models_dir="~/models").models_dir == Path(tmp_path) / "models"
    try:
        store.set_models_root(tmp_path / "preference")
        assert runtime.start("cpu").models_dir == tmp_path / "preference"
    finally:
        store.set_models_root(None)


def test_every_model_of_the_catalogue_has_its_code():
    entry = {"depth": "estimate", "normals": "estimate", "hands": "refine", "people": "recover"}
    for model in catalogue.models():
        if verb := entry.get(model.task):
            module = registry.model_module(model.task, model.id)
            assert callable(getattr(module, f"{verb}_batch", None) or getattr(module, verb)), model.id


@pytest.mark.parametrize("name", ["nonsense", "", None, 3, "../evil"])
def test_models_that_do_not_exist(name):
    with pytest.raises(UnknownModel) as raised:
        registry.model_module("depth", name)
    assert "builtin" in raised.value.remedy


def test_a_choice_that_does_not_exist_names_the_choices():
    registry.check_choice("a", ("a", "b"), "letter")
    with pytest.raises(BadInput, match="letter 'c'") as raised:
        registry.check_choice("c", ("a", "b"), "letter")
    assert "a, b" in raised.value.remedy


@pytest.mark.parametrize("package", ["torch", "cv2"])
def test_a_missing_package_is_named_with_its_remedy(package, monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.split(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
        return real(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, package)
    for name in ("maquette.inference.depth.relief", "maquette.inference.geometry.previews"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingPackages, match=package) as raised:
        registry.model_module("depth", "relief")
    assert raised.value.operator == "maquette.install_packages"


def test_a_fault_of_our_own_is_not_blamed_on_the_installation(monkeypatch):
    def broken(name, package=None):
        raise ModuleNotFoundError("No module named 'maquette.inference.nowhere'", name="maquette.inference.nowhere")

    monkeypatch.setattr(registry, "import_module", broken)
    with pytest.raises(ModuleNotFoundError):
        registry.model_module("depth", "relief")


def test_half_of_an_update_is_not_blamed_on_the_packages():
    error = ImportError("cannot import name 'anything'", name="maquette.inference.detailer.diffusion.heads")
    with pytest.raises(ImportError) as raised:
        device.missing_package(error.name, error)
    assert raised.value is error
