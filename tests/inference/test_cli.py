# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line without Blender: every task into every format, read again; errors in one sentence; nothing left."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
from maquette.demo.samples import sample_photo
from maquette.inference import Camera, DepthMap, People, Person, export, load_photo
from maquette.inference.__main__ import main
from maquette.inference.errors import BadInput
from maquette.inference.photo import exr
from maquette.inference.shipped.body import load_body
from PIL import Image

BRICK = str(sample_photo("brick"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A brick photo of 96 x 64 pixels in a path with spaces and letters beyond ASCII."""
    path = tmp_path_factory.mktemp("Fotos für 写真") / "Wand (alt).png"
    Image.open(BRICK).convert("RGB").resize((96, 64)).save(path)
    return str(path)


def run(*arguments):
    return main([str(argument) for argument in arguments])


def left_in(folder):
    return sorted(path.name for path in Path(folder).iterdir())


# -- formats --------------------------------------------------------------------------------------------------------


def test_npz_holds_every_array(tmp_path, small, capsys):
    assert run("relief", "--photo", small, "--output", tmp_path / "ä b.npz", "--resolution", 32) == 0
    with np.load(tmp_path / "ä b.npz") as file:
        assert set(file.files) == {"depth", "valid", "normals", "preview", "metric", "camera", "camera_source", "model"}
        assert file["depth"].shape == (64, 96)
        assert file["depth"].dtype == np.float32
        assert file["preview"].shape == (32, 48, 3)
        assert not file["metric"]
        np.testing.assert_allclose(file["camera"][2:], [48, 32, 96, 64])
    captured = capsys.readouterr()
    assert captured.out.strip() == str(tmp_path / "ä b.npz")
    assert "100%" in captured.err
    assert left_in(tmp_path) == ["ä b.npz"]


def test_exr_png_and_glb_agree_with_the_npz(tmp_path, small):
    for suffix in ("npz", "exr", "png", "glb"):
        assert run("relief", "--photo", small, "--output", tmp_path / f"a.{suffix}", "--resolution", 0) == 0
    depth = np.load(tmp_path / "a.npz")["depth"]
    np.testing.assert_array_equal(exr.read_exr((tmp_path / "a.exr").read_bytes())["Y"], depth)
    picture = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(picture[..., 0], np.rint(depth * 255))
    mesh = trimesh.load(tmp_path / "a.glb").geometry["relief"]
    assert len(mesh.vertices) == 64 * 96
    assert len(mesh.faces) == 2 * 63 * 95
    assert mesh.face_normals[:, 2].mean() > 0.5  # glTF: towards the viewer
    assert np.ptp(mesh.vertices[:, 0]) == pytest.approx(95 / 96, abs=1e-4)
    assert np.asarray(mesh.visual.material.baseColorTexture).shape[:2] == (64, 96)
    upper_left = np.argmin(mesh.vertices[:, 0] - mesh.vertices[:, 1])
    np.testing.assert_allclose(mesh.visual.uv[upper_left], [0.5 / 96, 1 - 0.5 / 64], atol=1e-4)


def test_a_layer_of_an_exr_is_read(tmp_path, capsys):
    rows = np.repeat(np.linspace(0, 1, 32)[:, None], 48, 1)
    with (tmp_path / "a.exr").open("wb") as file:
        layers = {"Combined": rows, "DiffCol": rows[::-1]}
        exr.write_exr(file, {f"{name}.{channel}": grey for name, grey in layers.items() for channel in "RGB"})
    found = {}
    for name in layers:
        options = ("--photo", tmp_path / "a.exr", "--layer", name, "--output", tmp_path / f"{name}.npz")
        assert run("relief", *options) == 0
        with np.load(tmp_path / f"{name}.npz") as file:
            found[name] = file["depth"]
    assert np.abs(found["Combined"] - found["DiffCol"]).max() > 0.1
    assert run("relief", "--photo", tmp_path / "a.exr", "--layer", "Gloss", "--output", tmp_path / "b.npz") == 1
    assert "no picture in a layer 'Gloss'" in capsys.readouterr().err


def test_opencv_reads_the_exr_too(tmp_path, small):
    if "OpenEXR:                     YES" not in cv2.getBuildInformation() and int(cv2.__version__[0]) >= 5:
        pytest.skip("this OpenCV was built without OpenEXR")
    run("relief", "--photo", small, "--output", tmp_path / "a.exr")
    code = f"import cv2; image = cv2.imread({str(tmp_path / 'a.exr')!r}, -1); print(image.shape, image.dtype)"
    environment = {**os.environ, "OPENCV_IO_ENABLE_OPENEXR": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "(64, 96) float32"


def test_a_metric_depth_map_becomes_a_torn_relief_in_metres(tmp_path):
    depth = np.full((60, 80), 2.0, np.float32)
    depth[20:40, 30:50] = 1.0
    depth[:5] = 0
    camera = Camera(100.0, 100.0, 40.0, 30.0, 80, 60)
    depth_map = DepthMap(depth, depth > 0, None, camera, True, np.zeros((60, 80, 3), np.uint8))
    photo = load_photo(BRICK)
    export.save(tmp_path / "a.glb", depth_map, photo)
    mesh = trimesh.load(tmp_path / "a.glb").geometry["relief"]
    assert set(np.round(mesh.vertices[:, 2], 4)) == {-1.0, -2.0}
    assert len(mesh.split(only_watertight=False)) == 2  # nothing joins the near square to the wall
    near = mesh.vertices[mesh.vertices[:, 2] > -1.5]
    np.testing.assert_allclose(near[:, 0].max(), (49.5 - 40) / 100, atol=1e-5)
    np.testing.assert_allclose(near[:, 1].max(), -(20.5 - 30) / 100, atol=1e-5)


@pytest.fixture
def people():
    """One body that stands 3 m away in the first of two frames."""
    body = load_body()
    vertices = body.vertices + np.array([0, 0, 3], np.float32)
    camera = Camera.default(40, 30)
    mask = np.zeros((30, 40), np.float32)
    mask[10:20, 15:25] = 0.5
    rest = np.tile(np.array([1, 0, 0, 0], np.float32), (104, 1))
    zeros = np.zeros(3, np.float32)
    person = Person(
        7, (1, 2, 3, 4), 0.9, mask, vertices, body.joints, np.zeros((5, 2)), rest, np.zeros(40), zeros, np.ones(104)
    )
    return People(((person,), ()), body, camera, (camera, camera), 25.0)


def test_people_as_arrays_bodies_and_masks(tmp_path, people):
    photo = load_photo(BRICK)
    export.save(tmp_path / "a.npz", people, photo)
    with np.load(tmp_path / "a.npz") as file:
        assert file["frame"].tolist() == [0]
        assert file["track_id"].tolist() == [7]
        assert file["vertices"].shape == (1, 13718, 3)
        assert file["body_skin_weights"].shape == (13718, 104)
        assert file["body_joint_names"].shape == (104,)
        assert file["camera"].shape == (2, 6)
        assert file["fps"] == 25
        assert file["mask"].dtype == np.uint8
    export.save(tmp_path / "a.glb", people, photo)
    mesh = trimesh.load(tmp_path / "a.glb").geometry["person_7"]
    assert len(mesh.vertices) == 13718
    assert mesh.vertices[:, 2].mean() == pytest.approx(-3, abs=0.2)
    assert mesh.vertices[np.argmax(mesh.vertices[:, 1])][1] - mesh.vertices[:, 1].min() > 1.4  # stands upright
    for bits, level, kind in [(8, 128, np.uint8), (16, 32768, np.uint16)]:
        export.save(tmp_path / "mask.png", people, photo, picture="mask", bits=bits)
        mask = cv2.imread(str(tmp_path / "mask.png"), cv2.IMREAD_UNCHANGED)
        assert mask.dtype == kind
        assert set(np.unique(mask)) == {0, level}
    for bad in [{"path": "b.exr"}, {"path": "b.glb", "frame": 1}, {"path": "b.png", "frame": 2}]:
        with pytest.raises(Exception, match=r"floats|nobody|no frame"):
            export.save(tmp_path / bad.pop("path"), people, photo, **bad)
    assert left_in(tmp_path) == ["a.glb", "a.npz", "mask.png"]


@pytest.mark.parametrize("task", ["depth", "normals", "hands", "people"])
def test_every_task_runs_on_a_real_photo(tmp_path, task):
    photo = sample_photo("astronaut")
    assert run(task, "--photo", photo, "--output", tmp_path / "a.npz", "--resolution", 64, "--fx", 600) == 0
    with np.load(tmp_path / "a.npz") as file:
        assert file["camera"][0] == 600
        assert {"depth": "depth", "normals": "normals", "hands": "hand_vertices", "people": "vertices"}[task] in file
        if task == "people":
            assert len(file["frame"]) == 1
        else:
            assert min(file["preview"].shape[:2]) == 64


def test_options_act(tmp_path, small):
    heights = []
    for number, extra in enumerate(
        [[], ["--invert"], ["--no-invert"], ["--detail", "1"], ["--light", "90"], ["--tileable"]]
    ):
        assert run("relief", "--photo", small, "--output", tmp_path / f"{number}.npz", *extra) == 0
        heights.append(np.load(tmp_path / f"{number}.npz")["depth"])
    np.testing.assert_array_equal(heights[0], heights[1])  # brick is taken as inverted by itself
    for other in heights[2:]:
        assert np.abs(other - heights[0]).mean() > 0.01


def test_hands_are_marked_and_placed_from_the_command_line(tmp_path):
    """Boxes as JSON; the depth of the scene, which moves the hand, as the .npz or .exr that the task depth writes."""
    photo = load_photo(sample_photo("zidane"))
    rows, columns = photo.pixels.shape[:2]
    camera = Camera(1000.0, 1000.0, columns / 2, rows / 2, columns, rows)
    depth = np.full((rows, columns), 1.5, np.float32)
    scene = DepthMap(depth, depth > 0, None, camera, True, np.zeros((8, 8, 3), np.uint8))
    common = ("hands", "--photo", sample_photo("zidane"), "--boxes", '[[1000, 370, 1190, 520, "left"]]')
    distances = {}
    for suffix in ("npz", "exr"):
        export.save(tmp_path / f"scene.{suffix}", scene, photo)
        given = ("--scene-depth", tmp_path / f"scene.{suffix}", "--output", tmp_path / f"{suffix}.npz")
        assert run(*common, *given, "--fx", 1000, "--detect-thr", 0.6, "--presence-thr", 0.4, "--no-exact") == 0
        with np.load(tmp_path / f"{suffix}.npz") as file:
            (mesh,) = file["hand_depth"]
            distances[suffix] = np.median(mesh[mesh > 0])
    assert distances["npz"] == pytest.approx(1.5, rel=1e-3)
    assert distances["exr"] == pytest.approx(distances["npz"], rel=1e-3)
    (tmp_path / "text.exr").write_text("no picture")
    for bad in (tmp_path / "text.exr", tmp_path / "none.npz", sample_photo("zidane")):
        assert run(*common, "--scene-depth", bad, "--output", tmp_path / "bad.npz") == 1


def test_people_are_marked_from_the_command_line(tmp_path, capsys):
    photo = sample_photo("astronaut")
    given = ("people", "--photo", photo, "--output", tmp_path / "a.npz")
    assert run(*given, "--boxes", "[[80, 0, 400, 512]]", "--detector", "builtin") == 0
    with np.load(tmp_path / "a.npz") as file:
        assert len(file["frame"]) == 1
    assert run(*given, "--overwrite", "--detector", "yolov8n.pt") == 1
    assert "no detector" in capsys.readouterr().err
    assert run(*given, "--overwrite", "--boxes", "everybody") == 1
    assert "cannot be read" in capsys.readouterr().err


def test_many_photos_into_a_folder(tmp_path, small):
    assert run("relief", "--photo", small, BRICK, "--output", tmp_path, "--format", "exr") == 0
    assert left_in(tmp_path) == ["Wand (alt).relief.exr", "brick.relief.exr"]


def test_a_folder_gives_a_file_for_every_frame(tmp_path):
    frames, results = tmp_path / "frames", tmp_path / "results"
    frames.mkdir()
    results.mkdir()
    brick = Image.open(BRICK).convert("RGB").resize((96, 64))
    for number in range(6):
        Image.fromarray(np.roll(np.asarray(brick), number, 1)).save(frames / f"shot_{number:04d}.png")
    common = ("--resolution", 32, "--output", results)
    assert run("relief", "--photo", frames, *common, "--batch-size", 2) == 0
    names = [f"shot_{number:04d}.relief.npz" for number in range(6)]
    assert left_in(results) == names
    alone = tmp_path / "alone.npz"
    assert run("relief", "--photo", frames / "shot_0003.png", "--resolution", 32, "--output", alone) == 0
    np.testing.assert_array_equal(np.load(results / names[3])["depth"], np.load(alone)["depth"])
    pattern = frames / "shot_%04d.png"
    assert run("relief", "--photo", pattern, *common) == 1  # the files exist
    assert run("relief", "--photo", pattern, *common, "--format", "png") == 0
    assert len(left_in(results)) == 12
    (frames / "shot_0004.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    assert run("relief", "--photo", frames, *common, "--overwrite", "--batch-size", 2) == 4  # one failed, five did not
    assert len(left_in(results)) == 12


def test_what_is_to_be_known_of_the_frames_is_told(tmp_path, capsys):
    (tmp_path / "out").mkdir()
    for number, shift in ((1, 0), (3, 9)):
        picture = np.roll(np.asarray(Image.open(BRICK).resize((48, 32))), shift, 1)
        Image.fromarray(picture).save(tmp_path / f"shot_{number}.png")
    assert run("relief", "--photo", tmp_path / "shot_#.png", "--output", tmp_path / "out") == 0
    assert "1 of the frames 1 to 3 is missing" in capsys.readouterr().err
    assert run("relief", "--photo", tmp_path / "shot_3.png", "--output", tmp_path / "alone.npz") == 0
    assert left_in(tmp_path / "out") == ["shot_1.relief.npz", "shot_3.relief.npz"]
    of_clip, alone = (np.load(tmp_path / name)["depth"] for name in ("out/shot_3.relief.npz", "alone.npz"))
    np.testing.assert_array_equal(of_clip, alone)


def test_the_models_are_listed(tmp_path, capsys):
    assert run("--list", "--models-dir", tmp_path, "--json") == 0
    models = {(line["task"], line["model"]): line for line in map(json.loads, capsys.readouterr().out.splitlines())}
    assert models["depth", "relief"]["installed"] and not models["depth", "relief"]["files"]
    midas = models["normals", "midas"]
    assert not midas["installed"] and midas["files"][0]["state"] == "missing" and midas["licence"] == "MIT"
    file = tmp_path / midas["files"][0]["path"]
    file.parent.mkdir()
    file.write_bytes(b"some weights")
    assert run("--list", "--models-dir", tmp_path) == 0
    text = capsys.readouterr().out
    assert f"present: {midas['files'][0]['path']}" in text and str(tmp_path) in text


# -- errors ---------------------------------------------------------------------------------------------------------


def fails(capsys, folder, *arguments, code=1):
    """Run, expect this exit code, and return the one line on stderr; nothing may be left in the folder."""
    before = left_in(folder)
    capsys.readouterr()
    assert run(*arguments) == code
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "Traceback" not in error
    assert error.endswith(".")
    assert left_in(folder) == before
    return error


def test_bad_photos_and_outputs_are_one_sentence(tmp_path, small, capsys):
    text = tmp_path / "text.jpg"
    text.write_text("no photo")
    (tmp_path / "there.npz").write_text("mine")
    (tmp_path / "empty").mkdir()
    out = tmp_path / "a.npz"
    for expected, arguments in {
        "not a picture": ("--photo", text, "--output", out),
        "no photo at": ("--photo", tmp_path / "missing.png", "--output", out),
        "contains no pictures": ("--photo", tmp_path / "empty", "--output", out),
        "there.npz exists": ("--photo", small, "--output", tmp_path / "there.npz"),
        "is not a type of file": ("--photo", small, "--output", tmp_path / "a.doc"),
        "no folder": ("--photo", small, "--output", tmp_path / "nowhere" / "a.npz"),
        "is not a folder": ("--photo", small, BRICK, "--output", out),
        "same name": ("--photo", small, small, "--output", tmp_path),
        "focal length": ("--photo", small, "--output", out, "--fx", "0"),
        "resolution": ("--photo", small, "--output", out, "--resolution", "-4"),
        "no device": ("--photo", small, "--output", out, "--device", "abacus"),
        "no depth model": ("--photo", small, "--output", out, "--model", "nonsense"),
        "detail must be": ("--photo", small, "--output", out, "--detail", "9"),
    }.items():
        assert expected in fails(capsys, tmp_path, "relief", *arguments)
    assert (tmp_path / "there.npz").read_text() == "mine"
    assert run("relief", "--photo", small, "--output", tmp_path / "there.npz", "--overwrite") == 0
    assert "depth" in np.load(tmp_path / "there.npz").files


def test_a_photo_is_never_overwritten_by_its_result(tmp_path, capsys):
    photo = tmp_path / "a.png"
    Image.open(BRICK).save(photo)
    before = photo.read_bytes()
    assert "the photo itself" in fails(capsys, tmp_path, "relief", "--photo", photo, "--output", photo, "--overwrite")
    assert photo.read_bytes() == before


def test_a_read_only_folder_is_noticed_before_the_work_starts(small, capsys, tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    folder = Path("/proc") if os.access(locked, os.W_OK) else locked  # root may write everywhere but there
    if not folder.is_dir():
        pytest.skip("this user may write everywhere")
    assert run("relief", "--photo", small, "--output", folder / "a.npz") == 1
    captured = capsys.readouterr()
    assert "cannot be written" in captured.err
    assert "%" not in captured.err


def test_nobody_in_the_photo_is_told_from_what_is_broken(tmp_path, capsys):
    empty = tmp_path / "wall.png"
    Image.new("RGB", (160, 120), (90, 90, 90)).save(empty)
    for task, output in (("depth", "a.npz"), ("people", "a.glb")):
        given = (task, "--photo", empty, "--output", tmp_path / output, "--model", "builtin")
        assert "nobody" in fails(capsys, tmp_path, *given, code=3)
    assert run(*given, "--allow-nothing") == 0
    assert run("depth", "--photo", empty, "--output", tmp_path / "a.npz") == 0
    assert "Answered by relief" in capsys.readouterr().err


def test_a_disk_that_fills_up_leaves_nothing(tmp_path, small, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export.np, "savez_compressed", full)
    depth = np.ones((8, 8), np.float32)
    result = DepthMap(depth, depth > 0, None, Camera.default(8, 8), True, np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(BadInput, match="No space left"):
        export.save(tmp_path / "a.npz", result, load_photo(small))
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dream", "--photo", "a", "--output", "b.npz"],
        ["depth", "--photo", "a.png"],
        ["depth", "--output", "a.npz"],
        ["hands", "--photo", "a", "--output", "b.npz", "--mask-type", "round"],
        ["relief", "--photo", "a", "--output", "b.npz", "--detail", "much"],
    ],
)
def test_wrong_usage(arguments, capsys):
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_json_lines(tmp_path, small, capsys):
    assert run("relief", "--photo", small, "--output", tmp_path / "a.npz", "--json") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    fractions = [line["fraction"] for line in lines[:-1]]
    assert fractions == sorted(fractions)
    assert lines[-1] == {"output": [str(tmp_path / "a.npz")]}
    assert run("relief", "--photo", "missing.png", "--output", tmp_path / "b.npz", "--json") == 1
    assert set(json.loads(capsys.readouterr().out)) == {"error", "remedy"}


def test_a_cancelled_run_ends_with_130(tmp_path, small, monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "save", interrupted)
    assert run("relief", "--photo", small, "--output", tmp_path / "a.npz") == 130
    assert "Cancelled." in capsys.readouterr().err
    assert left_in(tmp_path) == []


def test_a_stopped_process_tidies_up(tmp_path):
    arguments = ["people", "--photo", sample_photo("astronaut"), "--output", tmp_path / "a.npz", "--json"]
    command = [sys.executable, "-m", "maquette.inference", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "fraction" in process.stdout.readline()  # the work has begun
    process.send_signal(signal.SIGTERM)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in error
    assert left_in(tmp_path) == []
