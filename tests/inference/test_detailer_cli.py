# SPDX-License-Identifier: GPL-3.0-or-later
"""The detailer's command line: every format, several pictures, linear light, and errors in one sentence."""

import errno
import json

import cv2
import numpy as np
import pytest
from maquette.demo.samples import sample_photo
from maquette.inference.__main__ import main
from maquette.inference.photo import exr
from maquette.inference.photo.colour import light_to_srgb


@pytest.fixture
def files(tmp_path):
    """A photo with alpha, its mask, and a folder for what comes out."""
    photo = cv2.imread(str(sample_photo("gravel")))[:96, :120]
    cv2.imwrite(str(tmp_path / "photo.png"), np.dstack([photo, np.full(photo.shape[:2], 200, np.uint8)]))
    mask = np.zeros(photo.shape[:2], np.uint8)
    mask[40:60, 50:80] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    (tmp_path / "out").mkdir()
    return tmp_path


def run(files, output, *arguments):
    given = ["--photo", files / "photo.png", "--mask", files / "mask.png", "--output", files / "out" / output]
    return main([str(word) for word in ("detail", *given, "--device", "cpu", *arguments)])


def picture(path):
    return cv2.imread(str(path), cv2.IMREAD_UNCHANGED)


def test_formats_agree(files, capsys):
    for name in ("a.png", "a.exr", "a.npz", "deep.png"):
        assert run(files, name, "--denoise", 1, "--bits", 16 if name == "deep.png" else 8) == 0
    before, after = picture(files / "photo.png"), picture(files / "out" / "a.png")
    assert after.shape == before.shape and (after[..., 3] == 200).all()
    np.testing.assert_array_equal(after[:20], before[:20])
    assert (after[45:55, 55:75] != before[45:55, 55:75]).any()
    deep = picture(files / "out" / "deep.png")
    assert deep.dtype == np.uint16 and np.abs(deep / 257.0 - after).max() <= 0.51
    planes = exr.read_exr((files / "out" / "a.exr").read_bytes())
    light = np.stack([planes[name] for name in "BGR"], -1)
    np.testing.assert_allclose(light_to_srgb(light) * 255, after[..., :3], atol=0.6)
    np.testing.assert_allclose(planes["A"], 200 / 255, atol=1e-6)
    with np.load(files / "out" / "a.npz") as arrays:
        np.testing.assert_allclose(arrays["image"][0, ..., 2] * 255, after[..., 0], atol=0.51)
        assert arrays["segment_box"].tolist() == [[50, 40, 80, 60]]
        x0, y0, x1, y1 = arrays["segment_crop"][0]
        assert arrays["segment_0_rgba"].shape == (y1 - y0, x1 - x0, 4)


def test_light_stays_light(files):
    assert run(files, "light.exr") == 0
    (files / "photo.png").write_bytes((files / "out" / "light.exr").read_bytes())
    assert run(files, "again.exr") == 0
    first, again = (exr.read_exr((files / "out" / name).read_bytes())["R"] for name in ("light.exr", "again.exr"))
    np.testing.assert_array_equal(first[:20], again[:20])
    assert run(files, "back.png") == 0
    light = light_to_srgb(first[:20, :, None].repeat(3, -1))[..., 0]
    np.testing.assert_allclose(picture(files / "out" / "back.png")[:20, :, 2], light * 255, atol=0.51)


def test_several_pictures_and_a_plan(files, capsys):
    assert run(files, "many.png", "--batch-size", 2) == 0
    assert sorted(path.name for path in (files / "out").iterdir()) == ["many.0001.png", "many.0002.png"]
    capsys.readouterr()
    assert run(files, "none.png", "--plan") == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["segments"][0]["box"] == [50, 40, 80, 60] and not (files / "out" / "none.png").exists()


@pytest.mark.parametrize(
    ("output", "given", "said"),
    [
        ("a.jpg", (), "no ending of a picture format"),
        ("none/a.png", (), "no folder"),
        ("a.png", ("--steps", 0), "steps must be"),
        ("a.png", ("--model", "no-such-model"), "no model"),
        ("a.png", ("--lora", "x.safetensors=0.5", "--model", "no-such-model"), "no LoRA"),
    ],
)
def test_what_goes_wrong_is_one_sentence(files, capsys, output, given, said):
    assert run(files, output, *given) == 1
    assert said in capsys.readouterr().err
    assert not list((files / "out").iterdir())


def test_wrong_usage(files, capsys):
    with pytest.raises(SystemExit) as raised:
        run(files, "a.png", "--sampler", "fast")
    assert raised.value.code == 2
    assert "fast" in capsys.readouterr().err


def test_the_photo_is_not_written_over(files, capsys):
    before = (files / "photo.png").read_bytes()
    assert run(files, "../photo.png", "--overwrite") == 1
    assert (files / "photo.png").read_bytes() == before


def test_a_full_disk_leaves_nothing(files, capsys, monkeypatch):
    def full(*arguments, **given):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    assert run(files, "a.npz") == 1
    assert "No space left" in capsys.readouterr().err and not list((files / "out").iterdir())


def test_a_layer_is_named(files):
    """The pass that is asked for is repainted, and comes out as light."""
    light = {name: np.full((96, 120), value, np.float32) for name, value in zip("RGB", (0.1, 0.3, 0.5), strict=True)}
    planes = {f"Beauty.{name}": plane for name, plane in light.items()}
    planes |= {f"Diffuse.{name}": 1 - plane for name, plane in light.items()}
    photo = files / "layers.exr"
    with photo.open("wb") as file:
        exr.write_exr(file, planes)
    for layer, red in (("Beauty", 0.1), ("Diffuse", 0.9)):
        assert run(files, f"{layer}.exr", "--photo", photo, "--layer", layer) == 0
        made = exr.read_exr((files / "out" / f"{layer}.exr").read_bytes())
        np.testing.assert_allclose(made["R"][:20], red, atol=1e-5)
    assert run(files, "none.exr", "--photo", photo, "--layer", "Gloss") != 0
    assert run(files, "none.exr", "--layer", "Beauty") != 0, "a PNG has no layers"
