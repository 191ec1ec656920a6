# SPDX-License-Identifier: GPL-3.0-or-later
"""Folders of anything: what is broken is a line in the report; runs that are killed go on; frames in parts."""

import json
import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from maquette import inference
from maquette.demo.samples import sample_photo
from maquette.inference import batch, export
from maquette.inference.__main__ import main
from maquette.inference.geometry.steady import Steady
from maquette.inference.photo import exr
from maquette.inference.pipeline.inputs import inputs_of
from maquette.inference.pipeline.jobs import Job, clear_leftovers, is_whole, jobs_of
from maquette.inference.pipeline.reports import duration, time_left
from maquette.inference.pipeline.work import Work, undone
from maquette.inference.results import DepthMap
from PIL import Image

BRICK = Image.open(sample_photo("brick")).convert("RGB").resize((60, 40))
#: Ending -> how a picture of that kind is written.
KINDS = {"png": {}, "jpg": {"quality": 95}, "tif": {}, "bmp": {}, "webp": {"lossless": True}, "jpeg": {}, "gif": {}}


def picture(number):
    return Image.fromarray(np.roll(np.asarray(BRICK), 3 * number, 1))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A folder of 32 good pictures of many kinds and names, and of 8 kinds of broken ones."""
    folder = tmp_path_factory.mktemp("mixed 写真")
    names = ["a b", "ä", "写真", "#1", "50%", "x.y", "UPPER", "dash-"]
    for number in range(31):
        kind = list(KINDS)[number % len(KINDS)]
        name = names[number] if number < len(names) else f"photo{chr(65 + number)}"
        image = picture(number).convert("L") if number % 5 == 4 else picture(number)
        image.save(folder / f"{name}.{kind}", **KINDS[kind])
    with (folder / "light.exr").open("wb") as file:
        exr.write_exr(file, {name: np.asarray(BRICK)[..., band] / 255.0 for band, name in enumerate("RGB")})
    png, jpg, light = ((folder / name).read_bytes() for name in ("a b.png", "ä.jpg", "light.exr"))
    bomb = bytearray(png)
    bomb[16:24] = (100_000).to_bytes(4, "big") * 2
    (folder / "z_empty.png").touch()
    (folder / "z_text.jpg").write_text("no picture at all")
    (folder / "z_page.png").write_text("<!DOCTYPE html><title>404</title>")
    (folder / "z_cut.png").write_bytes(png[: len(png) // 2])
    (folder / "z_cut2.jpg").write_bytes(jpg[:200])
    (folder / "z_cut3.exr").write_bytes(light[: len(light) // 2])
    (folder / "z_huge.png").write_bytes(bomb)
    (folder / "z_link.png").symlink_to(folder / "gone.png")
    assert len(list(folder.iterdir())) == 40
    return folder


def run(*arguments):
    return main([str(argument) for argument in arguments])


def checked(folder, output):
    """The results in a folder are those of the 32 good pictures, each as it is alone, and nothing else lies there."""
    good = sorted(path for path in folder.iterdir() if not path.name.startswith("z_"))
    names = sorted(path.name for path in output.iterdir())
    assert names == sorted(f"{path.stem}.relief.npz" for path in good) and len(names) == 32
    for path in good[::5]:
        with np.load(output / f"{path.stem}.relief.npz") as arrays:
            alone = inference.estimate_depth(path, "relief", resolution=32).depth
            np.testing.assert_array_equal(arrays["depth"], alone)


def test_a_folder_of_forty_with_eight_broken_ones(mixed, tmp_path, capsys):
    output = tmp_path / "new" / "results"
    given = ("relief", "--photo", mixed, "--resolution", 32, "--output", f"{output}/")
    assert run(*given, "--json") == 4
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    checked(mixed, output)
    report = lines[-2]["report"]
    assert (report["written"], report["failed"], report["nothing"], report["skipped"]) == (32, 8, 0, 0)
    failures = {failure["input"]: failure for failure in report["failures"]}
    assert sorted(failures) == sorted(str(path) for path in mixed.glob("z_*"))
    for failure in failures.values():
        assert failure["error"].endswith(".") and failure["remedy"].endswith(".") and failure["kind"] == "BadInput"
    assert len({failure["error"].replace(failure["input"], "") for failure in failures.values()}) >= 5
    assert len(lines[-1]["output"]) == 32 and "8 failed" in lines[-1]["error"]
    told = [line for line in lines if "input" in line and line["status"] == "written"]
    assert [line["output"] for line in told] == lines[-1]["output"]
    before = {path: path.stat().st_mtime_ns for path in output.iterdir()}
    assert run(*given) == 1  # nothing is overwritten unasked
    assert "Choose another name" in capsys.readouterr().err
    cut = output / "ä.relief.npz"
    cut.write_bytes(cut.read_bytes()[:-40])
    assert run(*given, "--continue", "--json") == 4
    report = json.loads(capsys.readouterr().out.splitlines()[-2])["report"]
    assert (report["written"], report["skipped"], report["failed"]) == (1, 31, 8)
    assert {path for path in before if path.stat().st_mtime_ns != before[path]} == {cut}
    checked(mixed, output)


@pytest.mark.full
def test_a_run_killed_twice_and_continued(mixed, tmp_path):
    words = ["relief", "--photo", mixed, "--resolution", 32, "--output", tmp_path / "out", "--continue"]
    command = [sys.executable, "-m", "maquette.inference", *map(str, words)]
    for reached in (5, 15):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and len(list((tmp_path / "out").glob("[!.]*.npz"))) < reached:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "it was quicker than the kill"
        assert all(map(is_whole, (tmp_path / "out").glob("[!.]*.npz")))
    for part in (tmp_path / "out").glob(".*"):
        os.utime(part, (1, 1))
    assert subprocess.run(command, capture_output=True).returncode == 4
    checked(mixed, tmp_path / "out")


def test_files_are_whole_or_not(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    with (tmp_path / "a.exr").open("wb") as file:
        exr.write_exr(file, {"Y": np.random.default_rng(0).random((64, 64), np.float32)})
    with (tmp_path / "a.npz").open("wb") as file:
        np.savez_compressed(file, a=np.arange(999))
    photo = tmp_path / "brick.png"
    BRICK.save(photo)
    run("relief", "--photo", photo, "--output", tmp_path / "a.glb")
    for suffix in ("png", "exr", "npz", "glb"):
        file = tmp_path / f"a.{suffix}"
        assert is_whole(file), suffix
        file.write_bytes(file.read_bytes()[:-30])
        assert not is_whole(file), suffix
        file.write_bytes(b"")
        assert not is_whole(file), suffix
    assert not is_whole(tmp_path / "none.npz")


def test_what_killed_processes_left_is_cleared(tmp_path):
    ours, young, other = (
        tmp_path / f".{name}.npz" for name in ("a.depth.1-abc.part", "a.depth.2-abc.part", "b.1-a.part")
    )
    for file in (ours, young, other):
        file.touch()
    for file in (ours, other):
        os.utime(file, (1, 1))
    clear_leftovers([tmp_path / "a.depth.npz"])
    assert sorted(tmp_path.iterdir()) == sorted([young, other])


# -- inputs ---------------------------------------------------------------------------------------------------------


def test_inputs_are_files_folders_and_patterns(tmp_path):
    for name in ("cat.png", "dog.jpg", "notes.txt", ".hidden.png"):
        picture(len(name)).save(tmp_path / name, format="png")
    for number in (1001, 1002, 1004):
        (tmp_path / "shot").mkdir(exist_ok=True)
        picture(number % 2).save(tmp_path / "shot" / f"f.{number}.png")
    told = []
    names = lambda *given: [one.name for one in inputs_of(map(str, given), tell=told.append)]  # noqa: E731
    assert names(tmp_path) == ["cat", "dog"] and "notes.txt" in told[0]
    assert names(tmp_path / "*.png", tmp_path / "shot") == ["cat", "shot"]
    (clip,) = inputs_of([str(tmp_path / "shot" / "f.####.png")], tell=told.append)
    assert clip.numbers == [1001, 1002, 1004] and "missing" in clip.notes[0]
    missing = inputs_of([str(tmp_path / "*.tif"), str(tmp_path / "none.png")], tell=told.append)
    assert all(one.error for one in missing)


def test_photos_that_differ_in_their_endings_keep_them(tmp_path):
    for number, name in enumerate(("wall.png", "wall.jpg", "floor.png")):
        picture(number).save(tmp_path / name)
    assert run("relief", "--photo", tmp_path, "--output", tmp_path / "out", "--format", "png") == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["floor.relief.png", "wall.jpg.relief.png", "wall.png.relief.png"]


def test_nothing_found_in_some_is_code_3(tmp_path, capsys):
    Image.new("RGB", (160, 120), (90, 90, 90)).save(tmp_path / "wall.png")
    Image.open(sample_photo("astronaut")).save(tmp_path / "astronaut.png")
    given = ("depth", "--photo", tmp_path / "*.png", "--output", tmp_path / "out", "--model", "builtin")
    assert run(*given) == 3
    assert "1 written, 1 with nothing found" in capsys.readouterr().err
    assert run(*given, "--continue", "--allow-nothing") == 0
    (tmp_path / "wall.png").write_text("broken")
    assert run("depth", "--photo", tmp_path / "wall.png", "--output", tmp_path / "out", "--continue") == 1


def test_parts_of_a_film_never_mix_models(movie, tmp_path, capsys):
    """Nobody is in it: all of it gets its relief, a part cannot know that of the others and says so."""
    assert run("depth", "--photo", movie, "--output", tmp_path / "whole") == 0
    assert "Answered by relief." in capsys.readouterr().err
    part = ("depth", "--photo", movie, "--output", tmp_path / "part", "--frames", "2-3")
    assert run(*part) == 1
    assert "steadied through all of its frames" in capsys.readouterr().err
    assert run(*part, "--no-steady") == 3
    assert "There is nobody" in capsys.readouterr().err and not list((tmp_path / "part").iterdir())


def test_people_get_a_file_for_each_photo(tmp_path):
    Image.open(sample_photo("astronaut")).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("broken")
    assert run("people", "--photo", tmp_path, "--output", tmp_path / "out", "--boxes", "[[80, 0, 400, 512]]") == 4
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.people.npz"]


def test_a_folder_is_detailed_under_a_folder_of_masks(tmp_path):
    for name in ("photos", "masks"):
        (tmp_path / name).mkdir()
    for number in range(3):
        picture(number).save(tmp_path / "photos" / f"{number}.png")
    white = np.zeros((40, 60), np.uint8)
    white[10:20, 10:20] = 255
    for number in range(2):
        Image.fromarray(white).save(tmp_path / "masks" / f"{number}.png")
    given = ("detail", "--photo", tmp_path / "photos", "--mask", tmp_path / "masks", "--output", tmp_path / "out")
    assert run(*given, "--denoise", 1, "--guide-size", 64) == 4  # the third has no mask
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.detail.png", "1.detail.png"]


# -- frames in parts ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def movie(tmp_path_factory):
    path = tmp_path_factory.mktemp("movie") / "shot.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 24, BRICK.size)
    for number in range(12):
        writer.write(np.asarray(picture(number))[..., ::-1])
    writer.release()
    return path


@pytest.mark.parametrize(("task", "extra"), [("relief", ()), ("maps", ()), ("maps", ("--model", "content-shuffle"))])
def test_parts_of_a_movie_are_the_whole(movie, tmp_path, task, extra):
    common = (task, "--photo", movie, "--resolution", 32, *extra)
    assert run(*common, "--output", tmp_path / "whole") == 0
    for part in ("1-5", "6", "7-12"):
        assert run(*common, "--output", tmp_path / "parts", "--frames", part) == 0
    files = sorted((tmp_path / "whole").iterdir())
    assert len(files) == 12 and [file.name for file in files] == sorted(p.name for p in (tmp_path / "parts").iterdir())
    for file in files:
        with np.load(file) as whole, np.load(tmp_path / "parts" / file.name) as part:
            for name in whole.files:
                np.testing.assert_array_equal(whole[name], part[name])


def test_a_steadied_film_that_is_continued_starts_again(tmp_path):
    outputs = [tmp_path / name for name in "abc"]
    for output in outputs[:2]:
        output.touch()
    film = [Job(tmp_path / "shot", output, index=number, film=True) for number, output in enumerate(outputs)]
    photo = Job(tmp_path / "photo", outputs[0])
    there = lambda job: job.output.exists()  # noqa: E731
    assert undone([*film, photo], there, through_all=True)[0] == film
    left, skipped = undone([*film, photo], there)
    assert left == film[2:] and [one.output for one in skipped] == [outputs[0], outputs[1], outputs[0]]
    outputs[2].touch()
    assert undone(film, there, through_all=True)[0] == []
    assert Work("depth", {}).through_all and not Work("depth", {"model": "relief"}).through_all


@pytest.mark.parametrize("ending", ["npz", "exr"])
def test_depths_of_parts_are_steadied_as_in_one_run(movie, tmp_path, ending, capsys):
    (tmp_path / "raw").mkdir()
    depth = np.linspace(2, 5, 60 * 40, dtype=np.float32).reshape(40, 60)
    depth[:3] = 0
    jitter, steady, whole = np.random.default_rng(0).normal(0, 0.1, 12), Steady(), {}
    for number, photo in enumerate(inference.load_clip(movie)):
        name = f"shot.{number + 1:04d}.depth.{ending}"
        metres = depth * np.float32(np.exp(jitter[number]))
        camera = photo.camera_or_default()
        raw = DepthMap(metres, metres > 0, None, camera, True, photo.pixels, None, "metric3d")
        whole[name] = steady(photo.pixels, raw).depth
        export.save(tmp_path / "raw" / name, raw, photo)
    given = ("depth", "--photo", movie, "--merge", tmp_path / "raw", "--format", ending, "--output")
    assert run(*given, tmp_path / "out") == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(whole)
    for name, expected in whole.items():
        found = export.read_depth(tmp_path / "out" / name, camera)
        np.testing.assert_array_equal(found.depth, expected)
        assert found.metric and np.array_equal(found.valid, expected > 0)
    assert any(abs(np.log(one[20, 20] / depth[20, 20])).item() > 0.01 for one in whole.values())
    (tmp_path / "raw" / name).unlink()
    assert run(*given, tmp_path / "cut") == 1 and "There is no" in capsys.readouterr().err
    assert run(*given, tmp_path / "raw") == 1 and "the parts itself" in capsys.readouterr().err
    assert run(*given, tmp_path / "some", "--frames", "1-3") == 0
    for file in sorted((tmp_path / "some").iterdir()):
        np.testing.assert_array_equal(export.read_depth(file, camera).depth, whole[file.name])
    code = run(*given[:-2], "png", "--output", tmp_path / "seen", "--frames", "1-3")
    seen = [path.name for path in sorted((tmp_path / "seen").iterdir())]
    assert (code, len(seen)) == ((0, 3) if ending == "npz" else (1, 0))  # an .exr has no picture
    with pytest.raises(SystemExit):
        run(*given, tmp_path / "x", "--part", "1/3")


def test_parts_see_through_the_lens_of_the_first_frame(movie, monkeypatch):
    seen = []
    monkeypatch.setattr(batch, "each_or_why", lambda *_, opening, **given: seen.append(opening().name) or iter(()))
    inputs = inputs_of([str(movie)], tell=seen.append)
    jobs = jobs_of(inputs, lambda stem: movie.with_name(stem), by_frame=True, frames=[(5, 8)])
    work = Work("depth", {"steady": False}, first=True)
    with pytest.raises(ValueError, match="shorter"):
        list(work(jobs, lambda *_: None))
    assert seen == ["shot.0001"]


def test_frames_go_by_the_numbers_of_the_files(tmp_path, capsys):
    (tmp_path / "in").mkdir()
    for number in range(1001, 1007):
        picture(number).save(tmp_path / "in" / f"f.{number}.png")
    given = ("relief", "--photo", tmp_path / "in" / "f.####.png", "--output", tmp_path / "out", "--frames")
    assert run(*given, "1003-1004,1006") == 0
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [f"f.{number}.relief.npz" for number in (1003, 1004, 1006)]
    for frames, why in {"1-10": "1001 to 1006", "4-2": "cannot be read", "all": "cannot be read"}.items():
        assert run(*given, frames) == 1
        assert why in capsys.readouterr().err
    photo = tmp_path / "in" / "f.1001.png"
    assert run("relief", "--photo", photo, "--output", tmp_path / "b.npz", "--frames", "1") == 1


def test_a_movie_that_ends_early_is_told(movie, tmp_path, monkeypatch, capsys):
    from maquette.inference.photo.movie import Movie

    whole = Movie.frames

    def short(self):
        for number, frame in enumerate(whole(self)):
            if number < 10:
                yield frame

    monkeypatch.setattr(Movie, "frames", short)
    assert run("relief", "--photo", movie, "--output", tmp_path / "out", "--resolution", 32) == 4
    assert "frame 12: The movie ends before" in capsys.readouterr().err
    assert len(list((tmp_path / "out").iterdir())) == 10


# -- what is told ---------------------------------------------------------------------------------------------------


def test_farms_are_told_in_their_words(movie, tmp_path, capsys):
    given = ("relief", "--photo", movie, "--output", tmp_path / "out", "--resolution", 32, "--frames")
    assert run(*given, "1-2", "--report", "flamenco") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"Saved: '{tmp_path / 'out' / 'shot.0001.relief.npz'}'" and lines[1].startswith("Time: 00:0")
    assert run(*given, "2-3", "--report", "flamenco", "--continue") == 0
    assert capsys.readouterr().out.splitlines()[0] == "Skipping existing frame"
    assert run(*given, "4-5", "--report", "openjd") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("openjd_progress: ") for line in lines)
    assert any(line.startswith("openjd_status: Photo 1 of 2") for line in lines)


def test_time_left():
    assert time_left(2, 0.5) == "" and time_left(10, 1.0) == ""
    assert time_left(10, 0.5) == "10 s" and time_left(60, 0.1) == "9 min" and duration(12_000) == "3 h 20 min"


def test_a_fault_of_one_photo_does_not_stop_its_batch():
    photos = [inference.Photo(np.asarray(picture(number)), name=str(number)) for number in range(3)]

    class Asked:
        @staticmethod
        def answers(given, run):
            if any(photo.name == "1" for photo in given):
                raise ValueError("a fault")
            return [photo.name for photo in given]

    results = batch._results_or_why(photos, inference.runtime.start("cpu"), Asked)
    assert results[0] == "0" and results[2] == "2" and "1 failed (ValueError: a fault)" in str(results[1])
