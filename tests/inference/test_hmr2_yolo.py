# SPDX-License-Identifier: GPL-3.0-or-later
"""YOLO detectors: the network and its boxes against ultralytics' own prediction, on files that ultralytics wrote. What
lies in such a file is never run, and the package neither connects to anything nor leaves anything behind."""

import copy
import importlib.util
import os
import pickle
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import made_up
import numpy as np
import pytest
import torch
from maquette.inference import BadModelFile, MissingModel, MissingPackages, Photo, recover_people, runtime
from maquette.inference.people.hmr2 import detectors, yolo
from maquette.inference.people.hmr2.find import Thresholds
from maquette.inference.people.hmr2.yolo.layout import checked_layout
from maquette.inference.people.hmr2.yolo.network import Prediction, load_detector
from maquette.inference.weights.checkpoint import read_objects

SEGMENTS = "yolov8n-seg"
KINDS = (SEGMENTS, "yolov9t", "yolo11n", "yolo12n", "yolo26n-seg", "folded")


@pytest.fixture(scope="module")
def made(cache, tmp_path_factory):
    """A folder with the files, and with the numbers of the very package that is installed."""
    if importlib.util.find_spec("ultralytics") is None:
        pytest.skip("ultralytics, which writes the files, is not installed")
    kept = made_up.made(cache, "make_yolo.py", [], f"yolo-{version('ultralytics')}-{version('torch')}")
    return shutil.copytree(kept, tmp_path_factory.mktemp("yolo") / "files")


@pytest.fixture(scope="module")
def reference(made):
    with np.load(made / "reference.npz") as content:
        return dict(content)


@pytest.mark.parametrize("kind", KINDS)
def test_the_network_gives_ultralytics_numbers(made, reference, kind):
    detector = load_detector(made / f"{kind}.pt", torch.device("cpu"))
    picture = reference["picture"]
    letterbox = yolo.Letterbox.of(picture.shape[1], picture.shape[0], detector.stride)
    with torch.inference_mode():
        predicted = detector(torch.from_numpy(letterbox.fill(picture))[None].permute(0, 3, 1, 2).float() / 255)
    rows, raw = predicted.rows[0].T, reference[f"{kind}_raw"]
    assert detector.classes == 80 and detector.person == 0 and rows.shape == raw.shape
    np.testing.assert_allclose(rows[:, 4:84], raw[:, 4:84], atol=1e-4)
    np.testing.assert_allclose(rows[:, :4], raw[:, :4], atol=0.05)
    if kind.endswith("seg"):
        np.testing.assert_allclose(rows[:, 84:], raw[:, 84:], atol=1e-3)
        np.testing.assert_allclose(predicted.prototypes[0], reference[f"{kind}_prototypes"], atol=1e-3)
    else:
        assert predicted.prototypes is None and rows.shape[1] == 84


def test_the_people_are_those_of_ultralytics(reference, kind=SEGMENTS):
    """Of the same numbers: the last digits of random networks would change the order of equal ones."""
    raw, picture = torch.from_numpy(reference[f"{kind}_raw"]).T[None, :84], reference["picture"]
    letterbox = yolo.Letterbox.of(picture.shape[1], picture.shape[0], 32)
    (found,) = yolo.people(Prediction(raw, None), 0, 80, letterbox, Thresholds(0.25, 0.7, 10))
    expected = reference[f"{kind}_found"]
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose([one.score for one in found], expected[:, 4], atol=1e-6)
    np.testing.assert_allclose([one.box for one in found], expected[:, :4], atol=0.01)


@pytest.mark.parametrize("kind", [SEGMENTS, "yolo26n-seg"])
def test_the_surest_people_with_their_masks(made, reference, kind):
    run = runtime.start("cpu")
    (found,) = yolo.yolo_finder(made / f"{kind}.pt", run, Thresholds(0.25, 0.7, 10))([Photo(reference["picture"])], run)
    expected = reference[f"{kind}_found"]
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    np.testing.assert_allclose([one.score for one in found[:5]], expected[:5, 4], atol=1e-4)
    for one in found[:5]:
        assert np.abs(one.box - expected[:, :4]).max(-1).min() < 0.1
        assert (one.mask is not None) == kind.endswith("seg")
        if one.mask is not None:
            mask = one.mask(240, 320)
            rows, columns = np.nonzero(mask)
            assert mask.shape == (240, 320) and mask.dtype == np.float32 and mask.min() >= 0 and mask.max() <= 1
            assert one.box[0] - 1 <= columns.min() and columns.max() <= one.box[2] + 1
            assert one.box[1] - 1 <= rows.min() and rows.max() <= one.box[3] + 1


def test_photos_of_several_sizes_are_searched_as_if_alone(made, reference):
    run = runtime.start("cpu")
    find = yolo.yolo_finder(made / f"{SEGMENTS}.pt", run, Thresholds(0.25, 0.7, 10))
    picture = reference["picture"]
    photos = [Photo(picture), Photo(picture[:100, :90]), Photo(picture[:, ::-1])]
    together, alone = find(photos, run), [find([photo], run)[0] for photo in photos]
    for first, second in zip(together, alone, strict=True):
        assert abs(len(first) - len(second)) < 0.1 * len(second)
        np.testing.assert_allclose([one.score for one in first[:5]], [one.score for one in second[:5]], atol=1e-4)


def test_the_letterbox_is_ultralytics(reference):
    for number, (height, width) in enumerate(reference["sizes"]):
        image = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
        letterbox = yolo.Letterbox.of(int(width), int(height), 32)
        np.testing.assert_array_equal(letterbox.fill(image), reference[f"letterbox_{number}"])
        corners = np.array([[100.0, 50.0, 300.0, 200.0], [-20.0, -20.0, 700.0, 700.0]])
        # ultralytics rounds the scaled sides once more on the way back, which is up to half a pixel.
        np.testing.assert_allclose(letterbox.boxes(corners), reference[f"corners_{number}"], atol=0.5)


def test_thresholds(made, reference):
    run = runtime.start("cpu")
    photo = Photo(reference["picture"])

    def count(confidence, overlap):
        return len(yolo.yolo_finder(made / f"{SEGMENTS}.pt", run, Thresholds(confidence, overlap, 10))([photo], run)[0])

    assert count(1.0, 0.7) == 0
    assert count(0.25, 0.2) < count(0.25, 0.7)
    assert count(0.45, 0.7) <= count(0.25, 0.7)


def test_the_users_detector_is_used_in_the_references_order(made, reference, small_hmr2, tmp_path):
    for name in ("hmr2", "smpl"):
        shutil.copytree(small_hmr2 / name, tmp_path / name)
    (tmp_path / "yolo").mkdir()
    assert detectors.detector_file(tmp_path) is None
    shutil.copyfile(made / "yolo11n.pt", tmp_path / "yolo" / "mine.pt")
    assert detectors.detector_file(tmp_path).name == "mine.pt"
    shutil.copyfile(made / "yolov8n-seg.pt", tmp_path / "yolo" / "person_yolov8s-seg.pt")
    assert detectors.detector_file(tmp_path).name == "person_yolov8s-seg.pt"
    assert detectors.detector_file(tmp_path, "mine.pt").name == "mine.pt"
    assert detectors.detector_file(tmp_path, str(made / "yolov9t.pt")) == made / "yolov9t.pt"
    assert detectors.detector_file(tmp_path, "builtin") is None
    with pytest.raises(MissingModel, match=r"no detector .*yolov8x\.pt"):
        recover_people(Photo(reference["picture"]), "hmr2", device="cpu", models_dir=tmp_path, detector="yolov8x.pt")
    with pytest.raises(MissingModel, match=r"no detector .*yolov8x\.pt"):
        recover_people(Photo(reference["picture"]), device="cpu", detector="yolov8x.pt")
    people = recover_people(Photo(reference["picture"]), "hmr2", device="cpu", models_dir=tmp_path)
    expected = reference["yolov8n-seg_found"]
    assert abs(len(people.frames[0]) - len(expected)) < 0.1 * len(expected)
    np.testing.assert_allclose([person.score for person in people.frames[0][:5]], expected[:5, 4], atol=1e-4)
    assert all(person.mask is not None and person.mask.shape == (240, 320) for person in people.frames[0])


def test_without_the_package_its_group_is_named(made, reference, small_hmr2, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "ultralytics"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    photo = Photo(reference["picture"])
    with pytest.raises(MissingPackages) as raised:
        recover_people(photo, "hmr2", device="cpu", models_dir=small_hmr2, detector=str(made / "yolov9t.pt"))
    assert raised.value.arguments == {"features": "people"} and "--features people" in raised.value.remedy
    recover_people(photo, "hmr2", device="cpu", models_dir=small_hmr2)  # the built-in networks need no package


def test_the_package_connects_to_nothing_and_leaves_nothing_behind(made, tmp_path):
    """In a process of its own: every connection, look-up of a name and child process fails and is counted, every
    write outside its temporary folder too; what the package sets for the whole process is as it was."""
    home, temporary = tmp_path / "home", tmp_path / "temporary"
    home.mkdir()
    temporary.mkdir()
    script = Path(__file__).parent / "synth" / "watched_detection.py"
    own = {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}
    switches = [name for name in os.environ if name.startswith(("YOLO_", "ULTRALYTICS_", "XDG_"))]
    environment = {name: value for name, value in os.environ.items() if name not in switches} | own
    done = subprocess.run(
        [sys.executable, str(script), str(made / f"{SEGMENTS}.pt"), str(made / "reference.npz"), str(temporary)],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip().endswith("people, nothing else")
    assert not list(home.rglob("*")) and not list(temporary.rglob("*"))


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_nothing_in_the_file_is_run(tmp_path):
    trap = tmp_path / "trap"
    for attack in (
        Calls(os.mkdir, str(trap)),
        Calls(eval, f"__import__('os').mkdir({str(trap)!r})"),
        Calls(getattr, Calls(__import__, "os"), "mkdir"),
    ):
        torch.save({"model": attack, "ema": None, "date": attack}, tmp_path / "bad.pt")
        with pytest.raises(BadModelFile):
            load_detector(tmp_path / "bad.pt", torch.device("cpu"))
    assert not trap.exists()


def test_objects_are_kept_as_names_and_attributes(tmp_path):
    layer = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 1), torch.nn.SiLU())
    torch.save({"model": layer}, tmp_path / "layer.pt")
    saved = read_objects(tmp_path / "layer.pt")["model"]
    assert (saved.module, saved.name) == ("torch.nn.modules.container", "Sequential")
    first, second = saved.attributes["_modules"].values()
    assert (first.name, second.name) == ("Conv2d", "SiLU")
    torch.testing.assert_close(first.attributes["_parameters"]["weight"].detach(), layer[0].weight.detach())


#: A layout as YOLO 8 writes it, as small as can be.
LAYOUT = {
    "nc": 80,
    "backbone": [[-1, 1, "Conv", [16, 3, 2]], [-1, 1, "Conv", [32, 3, 2]]],
    "head": [[-1, 1, "nn.Upsample", ["None", 2, "nearest"]], [[0, 2], 1, "Concat", [1]], [[3], 1, "Detect", ["nc"]]],
}


class Saved:
    """What a file holds of a network: a layout, no weights."""

    def __init__(self, layout):
        self.yaml, self._modules = layout, {}


def changed(*path, to):
    layout = copy.deepcopy(LAYOUT)
    part = layout
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = to
    return layout


TRAP = "__import__('os').mkdir('trap')"
HOSTILE = {
    "activation": changed("activation", to=TRAP),
    "activation with a call": changed("activation", to=f"nn.SiLU({TRAP})"),
    "activation of another module": changed("activation", to="nn.Module()"),
    "a function for a layer": changed("backbone", 0, 2, to="torch_load"),
    "a loader for a layer": changed("backbone", 0, 2, to="load_checkpoint"),
    "a module that downloads": changed("backbone", 0, 2, to="TorchVision"),
    "torchvision": changed("backbone", 0, 2, to="torchvision.ops.Conv2dNormActivation"),
    "any module of torch": changed("backbone", 0, 2, to="nn.Bilinear"),
    "a head as a layer": changed("backbone", 1, 2, to="Detect"),
    "a program as an argument": changed("backbone", 0, 3, 0, to=TRAP),
    "a local name as an argument": changed("backbone", 0, 3, 0, to="ch"),
    "an object as an argument": changed("backbone", 0, 3, 0, to=Calls(os.mkdir, "trap")),
    "an object for all": Calls(os.mkdir, "trap"),
    "vast channels": changed("backbone", 0, 3, 0, to=1 << 40),
    "many repetitions": changed("backbone", 0, 1, to=1 << 20),
    "many layers": changed("backbone", to=[[-1, 1, "Conv", [16, 3, 1]]] * 1000),
    "a number that is none": changed("nc", to=float("nan")),
    "truth for a number": changed("nc", to=True),
    "lists without end": changed("backbone", 0, 3, 0, to=[[[[[1]]]]]),
    "a later layer": changed("head", 1, 0, to=[0, 7]),
    "a scale of programs": changed("scales", to={"n": [TRAP, 1, 1]}),
    "pictures that grow": changed("backbone", to=[[-1, 1, "nn.Upsample", [None, 64, "nearest"]]] * 4),
}


@pytest.mark.parametrize("layout", HOSTILE.values(), ids=HOSTILE)
def test_a_layout_that_means_harm_is_not_built(layout, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": Saved(layout)}, tmp_path / "bad.pt")
    with pytest.raises(BadModelFile, match=r"not a (YOLO|person) detector"):
        load_detector(tmp_path / "bad.pt", torch.device("cpu"))
    assert not (tmp_path / "trap").exists()


def test_every_published_layout_is_let_through():
    yaml = pytest.importorskip("yaml")
    folder = Path(importlib.util.find_spec("ultralytics").origin).parent / "cfg" / "models"
    seen = set()
    for path in sorted(folder.rglob("*.yaml")):
        published = yaml.safe_load(path.read_text("utf-8"))
        if published["head"][-1][2] in ("Detect", "Segment", "Segment26", "v10Detect"):
            for scale in published.get("scales") or {"": None}:
                layout = checked_layout(published | {"scale": scale, "yaml_file": str(path), "channels": 3})
                assert layout["backbone"] + layout["head"] == published["backbone"] + published["head"]
                assert all(
                    published.get(name, layout[name]) == layout[name] for name in layout.keys() - {"scales", "scale"}
                )
            seen.add(path.name)
    assert len(seen) > 30 and {"yolov8-seg.yaml", "yolo11.yaml", "yolo12-seg.yaml", "yolo26-seg.yaml"} <= seen


def test_what_is_no_detector(made, tmp_path):
    none = "not a YOLO detector"
    for write, said in (
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_bytes(b"<html>"), "web page"),
        (lambda path: path.write_bytes(pickle.dumps({"model": 1})), "cut off or damaged"),
        (lambda path: path.write_bytes((made / "yolo11n.pt").read_bytes()[:4000]), "cut off or damaged"),
        (lambda path: torch.save({"state_dict": {}}, path), none),
        (lambda path: torch.save({"model": torch.nn.Sequential(torch.nn.Linear(2, 2))}, path), none),
        (lambda path: shutil.copyfile(made / "unknown.pt", path), "not a person detector: it has a layer OBB"),
    ):
        path = tmp_path / "bad.pt"
        write(path)
        with pytest.raises(BadModelFile, match=said):
            load_detector(path, torch.device("cpu"))
