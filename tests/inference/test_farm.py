# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs for farms, carried out as their workers do: templates by the real `openjd run`, the rest by doubles."""

import json
import pickle
import subprocess
import sys
from pathlib import Path
from unittest.mock import MagicMock

import cv2
import numpy as np
import psutil
import pytest
from maquette.demo.samples import sample_photo
from maquette.inference.__main__ import main
from maquette.inference.errors import BadInput, MaquetteError
from maquette.inference.farm import JOB_TYPE, ray_cluster
from PIL import Image
from walkers import people_shot

BRICK = Image.open(sample_photo("brick")).convert("RGB").resize((60, 40))


def shot(path: Path, frames: int) -> Path:
    """A movie of so many small frames."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 24, BRICK.size)
    for number in range(frames):
        writer.write(np.roll(np.asarray(BRICK), number, 1)[..., ::-1])
    writer.release()
    return path


def run(*words):
    return main([str(word) for word in words])


def template(folder, *words, door="python", chunk=5):
    file = folder / "job.json"
    assert run("farm", "openjd", "--save", file, "--overwrite", "--door", door, "--chunk", chunk, *words) == 0
    return file, json.loads(file.read_text())


def openjd(file, *parameters, more=()):
    """The real `openjd run`: its output."""
    pytest.importorskip("openjd.cli", reason="this environment is older than the lock")
    given = [word for name, value in parameters for word in ("-p", f"{name}={value}")]
    command = [sys.executable, "-m", "openjd", "run", str(file), *given, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def recorder(tmp_path):
    """A program that writes down how it is called."""
    program = tmp_path / "recorder"
    program.write_text(f"#!/bin/sh\necho \"$*\" >> {tmp_path}/calls.txt\necho 'openjd_progress: 50'\n")
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("task", ["depth", "normals", "hands", "maps", "relief"])
def test_a_clip_is_cut_into_chunks_by_the_real_openjd(task, recorder, tmp_path):
    movie = shot(tmp_path / "shot.avi", 12)
    words = (task, "--photo", movie, "--output", tmp_path / "out", "--format", "png", "--resolution", 64)
    file, _ = template(tmp_path, *words, door="blender", chunk=4)
    openjd(file, ("Photo", movie), ("Output", tmp_path / "out.v2"), ("Program", recorder))
    calls = (tmp_path / "calls.txt").read_text().splitlines()
    head, output = f"--command maquette {task} --photo {movie} --frames", f"{tmp_path}/out.v2/"
    asked = "--continue --report openjd --format png --resolution 64"
    if task == "depth":  # its scale goes through all frames
        merge = calls.pop()
        assert merge == f"{head} 1-12 --merge {output}parts --output {output} {asked}"
        output, asked = f"{output}parts/", f"{asked} --format npz --no-steady"
    assert calls == [f"{head} {frames} --output {output} {asked}" for frames in ("1-4", "5-8", "9-12")]


@pytest.mark.parametrize("words", [("--no-steady",), ("--model", "relief")])
def test_depth_that_is_not_steadied_is_not_merged(words, tmp_path):
    movie = shot(tmp_path / "shot.avi", 2)
    _, job = template(tmp_path, "depth", "--photo", movie, "--output", tmp_path / "out", *words)
    (step,) = job["steps"]
    assert "{{Param.Output}}/" in step["script"]["actions"]["onRun"]["args"]


def people_job(tmp_path, movie, program, chunk, door="python", more=()):
    """The output folder of a job of people, after the real `openjd run` did its steps."""
    output = tmp_path / "out"
    file, _ = template(tmp_path, "people", "--photo", movie, "--output", output, *more, chunk=chunk, door=door)
    given = (("Photo", movie), ("Output", output), ("Program", program))
    openjd(file, *given, more=("--step", "merge", "--run-dependencies"))
    return output


def test_people_are_measured_in_chunks_and_merged(recorder, tmp_path):
    movie = shot(tmp_path / "shot.avi", 6)
    output = people_job(tmp_path, movie, recorder, 3, "blender")
    calls = (tmp_path / "calls.txt").read_text().splitlines()
    tail = "--continue --report openjd"
    parts = [
        f"--command maquette people --photo {movie} --frames {frames} --measure {output}/parts/{frames}.npz {tail}"
        for frames in ("1-3", "4-6")
    ]
    merge = f"--command maquette people --merge {output}/parts --output {output}/people.npz {tail}"
    assert calls == [*parts, merge]


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A shot of 300 frames of two people, and a function that tells whether a file holds what one run makes of it."""
    folder = tmp_path_factory.mktemp("people")
    movie = people_shot(folder / "shot.avi", 300)
    assert run("people", "--photo", movie, "--output", folder / "whole.npz", "--hands", "none") == 0

    def same_people(file):
        with np.load(folder / "whole.npz") as whole, np.load(file) as merged:
            assert whole["frame"].tolist() == merged["frame"].tolist() and len(set(whole["frame"].tolist())) == 300
            for name in ("vertices", "rotations", "translation", "joints", "track_id"):
                np.testing.assert_array_equal(merged[name], whole[name], name)

    return movie, same_people


@pytest.mark.full
def test_three_hundred_frames_of_people_in_six_parts_by_openjd_are_the_whole(people, tmp_path):
    movie, same_people = people
    output = people_job(tmp_path, movie, sys.executable, 50, more=("--hands", "none"))
    assert len(list((output / "parts").iterdir())) == 6
    same_people(output / "people.npz")


@pytest.mark.full
def test_three_hundred_frames_of_people_in_six_parts_by_ray_are_the_whole(people, tmp_path):
    pytest.importorskip("ray", reason="this environment is older than the lock")
    movie, same_people = people
    given = ("--photo", movie, "--measure", f"{tmp_path}/parts/", "--hands", "none", "--ray", "--workers", 2)
    command = [sys.executable, "-m", "maquette.inference", "people", *map(str, given)]
    assert subprocess.run(command, timeout=1200).returncode == 0
    assert len(list((tmp_path / "parts").iterdir())) == 6
    assert run("people", "--merge", tmp_path / "parts", "--output", tmp_path / "people.npz", "--hands", "none") == 0
    same_people(tmp_path / "people.npz")


def test_numbered_files_keep_their_numbers_and_photos_come_in_parts(recorder, tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(1001, 1007):
        BRICK.save(tmp_path / "in" / f"f.{number}.png")
    _, job = template(tmp_path, "depth", "--photo", tmp_path / "in" / "f.####.png", "--output", tmp_path / "out")
    defaults = {one["name"]: one.get("default") for one in job["parameterDefinitions"]}
    assert defaults["Frames"] == "1001-1006" and defaults["ChunkSize"] == 5
    assert "{{Param.Photo}}/f.####.png" in job["steps"][0]["script"]["actions"]["onRun"]["args"]
    for task in ("people", "maps"):
        file, _ = template(tmp_path, task, "--photo", tmp_path / "in" / "*.png", "--output", tmp_path / "out", chunk=2)
        openjd(file, ("Photo", tmp_path / "in"), ("Output", tmp_path / "out"), ("Program", recorder))
        calls = (tmp_path / "calls.txt").read_text().splitlines()[-3:]
        assert [call.split(" --part ")[1].split()[0] for call in calls] == ["1/3", "2/3", "3/3"]
        assert all(f"--photo {tmp_path}/in/*.png" in call for call in calls)


def test_parts_of_a_folder_are_the_whole(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(7):
        Image.fromarray(np.roll(np.asarray(BRICK), number, 1)).save(tmp_path / "in" / f"{'abcdefg'[number]}.png")
    (tmp_path / "in" / "z.png").write_text("broken")
    given = ("relief", "--photo", tmp_path / "in", "--resolution", 16, "--output")
    codes = [run(*given, tmp_path / "out", "--part", f"{part}/3") for part in (1, 2, 3)]
    assert codes == [0, 0, 4]  # a broken photo is told once
    assert [path.name[0] for path in sorted((tmp_path / "out").iterdir())] == list("abcdefg")
    for wrong in ("0/3", "4/3", "half"):
        assert run(*given, tmp_path / "out", "--continue", "--part", wrong) == 1


def test_every_kind_of_option_goes_along(tmp_path):
    BRICK.save(tmp_path / "a.png")
    given = (
        "detail",
        "--photo",
        tmp_path / "a.png",
        "--mask",
        "m.png",
        "--output",
        "out",
        "--lora",
        "a=0.5",
        "--lora",
        "b",
    )
    _, job = template(tmp_path, *given, "--no-linear", "--seed", 3)
    words = " ".join(job["steps"][0]["script"]["actions"]["onRun"]["args"])
    assert (
        "--lora a=0.5 --lora b" in words and "--no-linear" in words and "--seed 3" in words and "--mask m.png" in words
    )
    _, job = template(tmp_path, "relief", "--photo", tmp_path / "a.png", "--output", "out", "--tileable", "--sequence")
    words = " ".join(job["steps"][0]["script"]["actions"]["onRun"]["args"])
    assert words.endswith("--sequence --tileable") and "parameterSpace" not in job["steps"][0]


def test_a_job_that_cannot_be_is_told(tmp_path, capsys):
    for words, why in {
        ("depth", "--photo", "none.mov", "--output", "out"): "no movie",
        ("depth", "--photo", "a.png", "b.png", "--output", "out"): "one --photo",
    }.items():
        assert run("farm", "openjd", "--save", tmp_path / "a.json", *words) == 1
        assert why in capsys.readouterr().err and not (tmp_path / "a.json").exists()
    assert run("farm", "flamenco", "--save", tmp_path) == 0
    assert (tmp_path / "maquette.js").read_bytes() == JOB_TYPE.read_bytes()
    assert run("farm", "flamenco", "--save", tmp_path) == 1


@pytest.mark.full
@pytest.mark.parametrize("task", ["relief", "maps"])
def test_three_hundred_frames_in_six_chunks_by_openjd_are_the_whole(tmp_path, task):
    movie = shot(tmp_path / "shot.avi", 300)
    given = (task, "--photo", movie, "--resolution", 16, "--format", "png")
    assert run(*given, "--output", tmp_path / "whole") == 0
    file, _ = template(tmp_path, *given, "--output", tmp_path / "parts", chunk=50)
    told = openjd(file, ("Photo", movie), ("Output", tmp_path / "parts"))
    assert "Chunks run: 6" in told and "openjd_status" not in told.rpartition("Session ended")[2]
    same(tmp_path / "whole", tmp_path / "parts", 300)


# -- Ray ------------------------------------------------------------------------------------------------------------


@pytest.mark.full
def test_a_worker_of_a_ray_cluster_is_killed_and_nothing_is_lost_or_doubled(tmp_path):
    ray = pytest.importorskip("ray", reason="this environment is older than the lock")
    assert ray
    movie = shot(tmp_path / "shot.avi", 300)
    (tmp_path / "broken.png").write_text("broken")
    given = ("relief", "--photo", movie, tmp_path / "broken.png", "--resolution", 16, "--format", "png")
    assert run(*given, "--output", tmp_path / "whole") == 4
    words = [*given, "--output", tmp_path / "out", "--ray", "--workers", 2, "--json"]
    command = [sys.executable, "-m", "maquette.inference", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    killed, events = 0, []
    assert process.stdout is not None
    for line in process.stdout:
        events.append(json.loads(line))
        if not killed and events[-1].get("status") == "written":
            workers = [
                one for one in psutil.Process(process.pid).children(True) if "MapWorker" in " ".join(one.cmdline())
            ]
            workers[0].kill()
            killed = workers[0].pid
    assert process.wait() == 4 and killed
    report = events[-2]["report"]
    assert (report["written"], report["failed"]) == (300, 1)
    assert len({event["output"] for event in events if event.get("status") == "written"}) == 300
    same(tmp_path / "whole", tmp_path / "out", 300)


@pytest.mark.parametrize(("failures", "address", "tried"), [(2, "", 3), (3, "", 3), (1, "192.0.2.1:1", 1)])
def test_ray_is_started_again_on_a_busy_machine(monkeypatch, failures, address, tried):
    asked = []

    def init(**_):
        asked.append(1)
        if len(asked) <= failures:
            raise ConnectionError("no such cluster") if address else Exception("The node timed out.\nMore.")

    ray = MagicMock(init=init)
    monkeypatch.setattr(ray_cluster, "import_module", lambda _: ray)
    if failures < tried:
        assert ray_cluster._started(address) is ray
    else:
        why = "There is no Ray cluster at 192.0.2.1:1" if address else "Ray did not start: The node timed out."
        with pytest.raises(MaquetteError, match=why):
            ray_cluster._started(address)
    assert len(asked) == tried


def test_without_ray_it_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    BRICK.save(tmp_path / "a.png")
    assert run("relief", "--photo", tmp_path / "a.png", "--output", tmp_path / "out", "--ray") == 1
    assert "package ray is not installed" in capsys.readouterr().err


def test_errors_travel_with_their_remedies():
    error = pickle.loads(pickle.dumps(BadInput("It is broken.", "Mend it.", "maquette.x", {"a": "b"})))
    assert (error.message, error.remedy, error.operator, error.arguments) == (
        "It is broken.",
        "Mend it.",
        "maquette.x",
        {"a": "b"},
    )


def same(whole, parts, count):
    names = sorted(path.name for path in whole.iterdir())
    assert len(names) == count and names == sorted(path.name for path in parts.iterdir())
    assert all((whole / name).read_bytes() == (parts / name).read_bytes() for name in names)
