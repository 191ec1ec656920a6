# SPDX-License-Identifier: GPL-3.0-or-later
"""A step in a process of its own: its answer, its errors, its progress, and its end."""

import os
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from maquette.inference import Camera, Cancelled, MaquetteError, NothingFound
from maquette.inference.runtime.apart import apart
from maquette.inference.runtime.run import Run


def step(what, *, run, photo=None):
    """What the child does: it finds this function by its module's name."""
    run.report(0.5, f"Looking at {what}")
    if photo is not None:
        return what, os.getpid(), photo
    if what == "nobody":
        raise NothingFound("Nobody is there.", "Take another photo.")
    if what == "a crash":
        print("ERROR: the flag was defined twice", flush=True)
        os._exit(7)
    while True:
        pass


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    heard = []
    yield lambda progress=heard.append: Run("cpu", "float32", tmp_path, lambda *told: progress(told)), heard


def test_the_answer_comes_back_as_what_it_is(run, tmp_path):
    make, heard = run
    camera = Camera(300.0, 300.0, 2.0, 2.0, 4, 4, "given")
    what, child, back = apart(import_module("test_apart").step, np.arange(3), photo=camera, folder=tmp_path, run=make())
    assert what.tolist() == [0, 1, 2] and child != os.getpid() and back == camera and type(back) is Camera
    assert (0.5, "Looking at [0 1 2]") in heard


def test_errors_and_crashes_come_back_too(run, tmp_path):
    make, _ = run
    told = import_module("test_apart").step
    with pytest.raises(NothingFound, match="Nobody") as error:
        apart(told, "nobody", folder=tmp_path, run=make())
    assert error.value.remedy == "Take another photo."
    with pytest.raises(MaquetteError, match="code 7: ERROR: the flag was defined twice"):
        apart(told, "a crash", folder=tmp_path, run=make())


def test_a_cancelled_step_ends(run, tmp_path):
    make, _ = run

    def stop(told):
        raise Cancelled

    with pytest.raises(Cancelled):
        apart(import_module("test_apart").step, "for ever", folder=tmp_path, run=make(stop))
    assert not (tmp_path / "apart.answer").exists()
