# SPDX-License-Identifier: GPL-3.0-or-later
"""YOLO detectors: our network and its boxes against ultralytics' own, on files that ultralytics wrote; and what lies in
such a file is never run."""

import importlib.util
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from maquette.inference import BadInput, BadModelFile, MissingModel, Photo, recover_people, runtime
from maquette.inference.people.hmr2 import yolo
from maquette.inference.people.hmr2.find import Thresholds
from maquette.inference.people.hmr2.yolo.network import Seen, load_detector
from maquette.inference.weights.modules import Thing, read_modules

SEGMENTS = "yolov8n-seg"
KINDS = (SEGMENTS, "yolov9t", "yolo11n")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    if importlib.util.find_spec("ultralytics") is None:
        pytest.skip("ultralytics, which writes the files, is not installed")
    root = tmp_path_factory.mktemp("yolo")
    script = Path(__file__).parent / "synth" / "make_yolo.py"
    subprocess.run([sys.executable, str(script), str(root)], check=True, capture_output=True)
    return root


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
        seen = detector(torch.from_numpy(letterbox.fill(picture))[None].permute(0, 3, 1, 2).float() / 255)
    raw = reference[f"{kind}_raw"]
    middle, sides = raw[:, :2], raw[:, 2:4]
    np.testing.assert_allclose(seen.scores[0], raw[:, 4:84], atol=1e-4)
    np.testing.assert_allclose(seen.boxes[0], np.concatenate([middle - sides / 2, middle + sides / 2], 1), atol=0.05)
    if kind.endswith("seg"):
        np.testing.assert_allclose(seen.coefficients[0], raw[:, 84:], atol=1e-3)
        assert seen.prototypes.shape[1] == 32
    else:
        assert seen.coefficients is None


def test_the_people_are_those_of_ultralytics(reference, kind=SEGMENTS):
    """Of the same numbers: the last digits of random networks would change the order of equal ones."""
    raw, picture = torch.from_numpy(reference[f"{kind}_raw"])[None], reference["picture"]
    middle, sides = raw[..., :2], raw[..., 2:4]
    seen = Seen(torch.cat([middle - sides / 2, middle + sides / 2], -1), raw[..., 4:84], None, None)
    letterbox = yolo.Letterbox.of(picture.shape[1], picture.shape[0], 32)
    found = yolo._people(seen, 0, 0, letterbox, Thresholds(0.25, 0.7, 10))
    expected = reference[f"{kind}_found"]
    assert len(found) == len(expected) > 0
    np.testing.assert_allclose([one.score for one in found], expected[:, 4], atol=1e-6)
    np.testing.assert_allclose([one.box for one in found], expected[:, :4], atol=0.01)


def test_the_surest_people_with_their_masks(made, reference, kind=SEGMENTS):
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
    assert yolo.detector_file(tmp_path) is None
    shutil.copyfile(made / "yolo11n.pt", tmp_path / "yolo" / "mine.pt")
    assert yolo.detector_file(tmp_path).name == "mine.pt"
    shutil.copyfile(made / "yolov8n-seg.pt", tmp_path / "yolo" / "person_yolov8s-seg.pt")
    assert yolo.detector_file(tmp_path).name == "person_yolov8s-seg.pt"
    assert yolo.detector_file(tmp_path, "mine.pt").name == "mine.pt"
    assert yolo.detector_file(tmp_path, str(made / "yolov9t.pt")) == made / "yolov9t.pt"
    assert yolo.detector_file(tmp_path, "builtin") is None
    with pytest.raises(MissingModel, match=r"no detector .*yolov8x\.pt"):
        recover_people(Photo(reference["picture"]), "hmr2", device="cpu", models_dir=tmp_path, detector="yolov8x.pt")
    with pytest.raises(BadInput, match="built-in networks"):
        recover_people(Photo(reference["picture"]), device="cpu", detector="yolov8x.pt")
    people = recover_people(Photo(reference["picture"]), "hmr2", device="cpu", models_dir=tmp_path)
    expected = reference["yolov8n-seg_found"]
    assert abs(len(people.frames[0]) - len(expected)) < 0.1 * len(expected)
    np.testing.assert_allclose([person.score for person in people.frames[0][:5]], expected[:5, 4], atol=1e-4)
    assert "ultralytics" not in sys.modules


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
    thing = read_modules(tmp_path / "layer.pt")["model"]
    assert isinstance(thing, Thing) and thing.kind == "Sequential"
    first, second = thing
    assert (first.kind, second.kind) == ("Conv2d", "SiLU")
    torch.testing.assert_close(first.weight.detach(), layer[0].weight.detach())
    with pytest.raises(AttributeError):
        _ = first.nothing


def test_what_is_no_detector(made, tmp_path):
    unknown = "an unknown kind .it has a "
    for write, said in (
        (lambda path: path.write_bytes(b""), "empty"),
        (lambda path: path.write_bytes(b"<html>"), "web page"),
        (lambda path: path.write_bytes(pickle.dumps({"model": 1})), "cut off or damaged"),
        (lambda path: path.write_bytes((made / "yolo11n.pt").read_bytes()[:4000]), "cut off or damaged"),
        (lambda path: torch.save({"state_dict": {}}, path), "no YOLO detector"),
        (lambda path: torch.save({"model": torch.nn.Sequential(torch.nn.Linear(2, 2))}, path), "no YOLO detector"),
        (lambda path: shutil.copyfile(made / "unknown.pt", path), unknown + "A2C2f"),
    ):
        path = tmp_path / "bad.pt"
        write(path)
        with pytest.raises(BadModelFile, match=said):
            load_detector(path, torch.device("cpu"))
