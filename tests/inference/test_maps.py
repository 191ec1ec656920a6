# SPDX-License-Identifier: GPL-3.0-or-later
"""Image passes, LeReS and NormalBae with made-up weights, against what controlnet-aux makes of the same pictures."""

import socket
import subprocess
import sys
import types
import warnings

import cv2
import numpy as np
import pytest
import torch
from maquette import inference
from maquette.demo.samples import sample_photo
from maquette.inference import batch
from maquette.inference.depth import leres
from maquette.inference.geometry.previews import padded, to_resolution
from maquette.inference.geometry.relative import unit
from maquette.inference.models.controlnet_aux import architecture
from maquette.inference.normals import normalbae
from maquette.inference.options.preprocessors import OPTIONS
from maquette.inference.preprocessors import lines
from maquette.inference.registry import find_model
from maquette.inference.runtime import free_memory

PLAIN = ("canny", "lineart-standard", "content-shuffle")
#: What the files hold their tensors under, and with which prefix, as published.
WRAPPERS = {"pidinet": "state_dict", "normalbae": "model", "leres": "depth_model"}
PREFIXED = {"pidinet", "lineart-anime", "leres"}
#: Model -> detector of the package.
DETECTORS = {
    "hed": "HEDdetector",
    "pidinet": "PidiNetDetector",
    "teed": "TEEDdetector",
    "lineart": "LineartDetector",
    "lineart-anime": "LineartAnimeDetector",
    "mlsd": "MLSDdetector",
}
SIDE = 128


@pytest.fixture(scope="module")
def photo():
    return inference.Photo(np.ascontiguousarray(inference.load_photo(sample_photo("astronaut")).pixels[:300]))


@pytest.fixture(scope="module")
def working(photo):
    """What the networks see: the photo at the resolution, padded. The package leaves such a picture as it is."""
    return padded(to_resolution(photo.pixels, SIDE))


@pytest.fixture(scope="module")
def files(random_weights, tmp_path_factory):
    """A function: models -> the options that name their files, which are made when they are first asked for."""
    root = tmp_path_factory.mktemp("annotators")
    builders = {**{model: kind.build for model, kind in lines.KINDS.items()}, "normalbae": normalbae.NormalBae}

    def provide(*models):
        for model in models:
            task = {"normalbae": "normals", "leres": "depth"}.get(model, "maps")
            path = root / find_model(task, model).files[0].path
            if path.exists() and model != "leres":  # which comes in two sizes
                continue
            network = random_weights(builders.get(model, leres.build)(), seed=3)
            if model == "mlsd":  # centres that are sure, and ends that are far
                network.block23.conv3.bias.data[7:12] = torch.tensor([0.0, 30, -20, -30, 25])
            prefix = "module." if model in PREFIXED else ""
            tensors = {prefix + name: tensor for name, tensor in network.state_dict().items()}
            path.parent.mkdir(exist_ok=True)
            torch.save({WRAPPERS[model]: tensors} if model in WRAPPERS else tensors, path)
        return {"models_dir": root, "device": "cpu"}

    yield provide
    free_memory()


@pytest.fixture(scope="module")
def package():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("controlnet_aux")


def detected(package, model, options, working, **wanted):
    """The package's own picture, from its own loader, cut to the photo's part."""
    detector = getattr(package, DETECTORS[model])
    file = (options["models_dir"] / find_model("maps", model).files[0].path).name
    detector = detector.from_pretrained(options["models_dir"] / "annotators", file)
    side = min(working.shape[:2])
    sizes = {"detect_resolution": side} | ({"image_resolution": side} if model != "teed" else {})
    return detector(working, output_type="np", **sizes, **wanted)


@pytest.mark.parametrize("model", sorted(DETECTORS))
def test_pictures_are_the_packages(package, model, photo, working, files):
    options = files(model, *(["lineart-coarse"] if model == "lineart" else []))  # the package loads both
    made = inference.make_map(photo, model, resolution=SIDE, **options).image
    expected = detected(package, model, options, working)[:SIDE, : made.shape[1]]
    assert made.shape == (SIDE, round(512 * SIDE / 300), 3) and made.dtype == np.uint8
    assert expected.std() > 1
    difference = np.abs(made.astype(int) - expected)
    assert (difference > 1).mean() < 0.001


@pytest.mark.parametrize("model", ["hed", "pidinet"])
def test_scribbles_are_the_packages(package, model, photo, working, files):
    options = files(model)
    made = inference.make_map(photo, model, resolution=SIDE, safe=True, scribble=True, **options).image
    expected = detected(package, model, options, working, safe=True, scribble=True)[:SIDE, : made.shape[1]]
    assert set(np.unique(made)) <= {0, 255} and 0 < expected.mean() < 255
    assert (made != expected).mean() < 0.001


@pytest.mark.parametrize(
    ("model", "name"), [("canny", "CannyDetector"), ("lineart-standard", "LineartStandardDetector")]
)
def test_plain_pictures_are_the_packages(package, model, name, photo, working):
    made = inference.make_map(photo, model, resolution=SIDE).image
    detector = getattr(package, name)()
    side = min(working.shape[:2])
    sizes = {"detect_resolution": side} | ({"image_resolution": side} if model == "canny" else {})
    expected = detector(working, output_type="np", **sizes)
    np.testing.assert_array_equal(made, expected[:SIDE, : made.shape[1]])
    assert made.mean() > 1


def test_normals_are_the_packages(package, photo, working, files):
    options = files("normalbae")
    result = inference.estimate_normals(photo, "normalbae", resolution=SIDE, **options)
    settings = types.SimpleNamespace(architecture="BN", sampling_ratio=0.4, importance_ratio=0.7)
    from controlnet_aux.normalbae.nets.NNET import NNET

    network = NNET(settings).eval()
    file = options["models_dir"] / "annotators" / "scannet.pt"
    network.load_state_dict(torch.load(file, weights_only=True)["model"])
    side = min(working.shape[:2])
    expected = package.NormalBaeDetector(network)(
        working, detect_resolution=side, image_resolution=side, output_type="np"
    )
    difference = np.abs(result.preview.astype(int) - expected[:SIDE, : result.preview.shape[1]])
    assert (difference > 1).mean() < 0.001 and expected.std() > 1


def test_normals_in_camera_axes(photo, files):
    """Published: red to the left, green up, blue towards the viewer. Ours: right, down, away."""
    photo = inference.Photo(np.ascontiguousarray(photo.pixels[100:200, 150:350]))
    result = inference.estimate_normals(photo, "normalbae", resolution=0, **files("normalbae"))
    assert result.normals.shape == photo.pixels.shape and result.valid.all()
    np.testing.assert_allclose(np.linalg.norm(result.normals, axis=2), 1, atol=1e-5)
    shown = result.preview.astype(np.float32) / 127.5 - 1
    np.testing.assert_allclose(result.normals, -shown, atol=0.02)


@pytest.mark.parametrize("backbone", ["resnet50", pytest.param("resnext101", marks=pytest.mark.full)])
def test_leres_is_the_networks(photo, files, backbone, monkeypatch):
    """The architecture with the file loaded by torch itself, fed as its authors feed it."""
    build = architecture("leres.leres.multi_depth_model_woauxi", "RelDepthModel")
    monkeypatch.setattr(leres, "build", lambda: build(backbone))
    options = files("leres")
    network = leres.build().eval()
    tensors = torch.load(options["models_dir"] / "annotators" / "res101.pth", weights_only=True)["depth_model"]
    network.load_state_dict({name.removeprefix("module."): tensor for name, tensor in tensors.items()})
    picture = cv2.resize(photo.pixels, (448, 448)).astype(np.float32) / 255
    picture = (picture - np.float32([0.485, 0.456, 0.406])) / np.float32([0.229, 0.224, 0.225])
    with torch.inference_mode():
        depth = network.depth_model(torch.from_numpy(picture).permute(2, 0, 1)[None])[0, 0].numpy()
    expected = cv2.resize(1 - unit(depth), (512, 300), interpolation=cv2.INTER_LINEAR)
    result = inference.estimate_depth(photo, "leres", resolution=0, **options)
    assert not result.metric and result.valid.all() and result.depth.min() == 0 and result.depth.max() == 1
    assert np.median(np.abs(result.depth - expected)) < 0.01
    assert np.corrcoef(result.depth.ravel(), result.preview[..., 0].ravel())[0, 1] > 0.99


def test_anyline_lays_dark_lines_over_edges(photo, files):
    edges = lines._mean_edges([torch.zeros(1, 64, 64)], np.zeros((64, 64, 3), np.uint8), lines_options(), stepped=True)
    page = np.full((64, 64, 3), 200, np.uint8)
    page[30:33, 5:60] = 20
    page[10, 10] = 20  # a speck
    drawn = lines._any_line([torch.full((1, 64, 64), -20.0)], page, lines_options())
    assert edges.min() == edges.max() == 127
    assert drawn[31, 10:55].min() > 100 and drawn[10, 10] == 0 and drawn[50:].max() == 0
    made = inference.make_map(photo, "anyline", resolution=SIDE, **files("anyline")).image
    assert made.std() > 1


def lines_options(**given):
    return OPTIONS.checked(given)


def test_straight_lines_are_where_they_are():
    """One sure centre with its ends: the line is drawn twice as far, for the network sees half the pixels."""
    said = torch.full((9, 32, 32), -9.0)
    said[1:] = 0
    said[0, 16, 10], said[1:5, 16, 10] = 9, torch.tensor([-5.0, 0, 5, 0])
    said[0, 4, 4], said[1:5, 4, 4] = 9, torch.tensor([0.0, 0, 0, 0])  # no length
    drawn = lines._straight([said], np.zeros((64, 64, 3), np.uint8), lines_options())
    assert drawn[32, 10:31].min() == 255 and drawn.astype(bool).sum() == 21
    assert lines._straight([said], np.zeros((64, 64, 3), np.uint8), lines_options(thresholds=(0.1, 11))).max() == 0


@pytest.mark.parametrize("model", PLAIN)
def test_without_files_and_packages(model, photo, tmp_path):
    result = inference.make_map(photo, model, resolution=0, models_dir=tmp_path)
    assert result.image.shape == photo.pixels.shape and result.model == model and result.image.std() > 1
    assert result.preview is result.image


def test_shuffled_content_keeps_its_colours(photo):
    one, same, other = (
        inference.make_map(photo, "content-shuffle", resolution=0, seed=seed).image for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any(-1).mean() > 0.5
    again = inference.make_map(photo, "content-shuffle", seed=np.int64(5), resolution=0)
    assert again.image.shape == photo.pixels.shape
    found = {tuple(colour) for colour in photo.pixels.reshape(-1, 3)[::7]}
    assert np.abs(one.mean((0, 1)) - photo.pixels.mean((0, 1))).max() < 60 and found


def test_thresholds(photo):
    few, many = (inference.make_map(photo, "canny", thresholds=levels).image for levels in ((200, 400), (20, 60)))
    assert 0 < few.mean() < 0.7 * many.mean()
    thin, broad = (inference.make_map(photo, "lineart-standard", thresholds=(s, 8)).image for s in (1.0, 12.0))
    assert (thin != broad).mean() > 0.1


@pytest.mark.parametrize(
    "given",
    [
        {"thresholds": (200, 100)},
        {"thresholds": (1,)},
        {"thresholds": "ab"},
        {"thresholds": (float("nan"), 1)},
        {"thresholds": (-1, 5)},
        {"thresholds": (1, 10**400)},
        {"safe": "yes"},
        {"scribble": np.ones(3)},
        {"resolution": True},
        {"seed": -1},
        {"seed": 1.5},
        {"resolution": -1},
        {"resolution": 20_000},
        {"model": "lineart-standard", "thresholds": (0, 8)},
    ],
)
def test_bad_parameters(given, photo):
    with pytest.raises(inference.BadInput):
        inference.make_map(photo, **given)
    if "resolution" not in given:
        with pytest.raises(inference.BadInput):
            list(batch.make_maps([photo], **given))


def test_unknown_models_and_words(photo):
    with pytest.raises(inference.UnknownModel, match="openpose"):
        inference.make_map(photo, "openpose")
    with pytest.raises(TypeError, match="treshold"):
        batch.make_maps([photo], "canny", treshold=(1, 2))


def test_the_command_line(tmp_path, capsys):
    import PIL.Image
    from maquette.inference.__main__ import main

    for number in range(2):
        pixels = np.roll(inference.load_photo(sample_photo("coins")).pixels[:90, :120], 30 * number, 1)
        PIL.Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    (tmp_path / "out").mkdir()
    given = ["--thresholds", "40", "90", "--resolution", "64", "--format", "png"]
    assert main(["maps", "--photo", str(tmp_path), "--output", str(tmp_path / "out"), *given]) == 0
    expected = inference.make_map(tmp_path / "1.png", resolution=64, thresholds=(40, 90)).image
    np.testing.assert_array_equal(np.asarray(PIL.Image.open(tmp_path / "out" / "1.maps.png")), expected)
    file = tmp_path / "lines.npz"
    assert main(["maps", "--photo", str(tmp_path / "0.png"), "--output", str(file), "--model", "lineart-standard"]) == 0
    with np.load(file) as arrays:
        assert arrays["model"] == "lineart-standard" and arrays["image"].shape == (512, 683, 3)
    for suffix in ("exr", "glb"):
        output = str(tmp_path / f"lines.{suffix}")
        assert main(["maps", "--photo", str(tmp_path / "0.png"), "--output", output]) == 1
        assert "An image pass has no" in capsys.readouterr().err


def test_too_large_for_a_network(photo, files):
    options = files("hed", "normalbae")
    with pytest.raises(inference.BadInput, match="megapixels"):
        inference.make_map(photo, "hed", resolution=4000, **options)
    with pytest.raises(inference.BadInput, match="megapixels"):
        inference.estimate_normals(photo, "normalbae", resolution=4000, **options)


def test_strips_and_tiny_photos(files):
    options = files("teed", "lineart", "mlsd")
    for size in ((8, 700), (700, 8), (8, 8)):
        pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
        for model in (*PLAIN, "teed", "lineart", "mlsd"):
            assert inference.make_map(pixels, model, resolution=0, **options).image.shape == pixels.shape


def test_a_batch_is_each_alone(photo, files):
    options = files("hed")
    photos = [photo, inference.Photo(np.ascontiguousarray(photo.pixels[:, ::-1])), photo.pixels[:200, :220].copy()]
    for model in ("hed", "canny"):
        together = list(batch.make_maps(photos, model, resolution=SIDE, **options))
        for one, result in zip(photos, together, strict=True):
            alone = inference.make_map(one, model, resolution=SIDE, **options)
            assert np.abs(result.image.astype(int) - alone.image).max() <= 1


def test_missing_and_wrong_files(photo, files, tmp_path):
    with pytest.raises(inference.MissingModel, match=r"ControlNetHED\.pth") as error:
        inference.make_map(photo, "hed", models_dir=tmp_path)
    assert "huggingface.co/lllyasviel/Annotators" in error.value.remedy
    (tmp_path / "annotators").mkdir()
    source = files("lineart")["models_dir"] / "annotators" / "sk_model.pth"
    (tmp_path / "annotators" / "ControlNetHED.pth").write_bytes(source.read_bytes())
    with pytest.raises(inference.BadModelFile, match="is not the file of this model"):
        inference.make_map(photo, "hed", models_dir=tmp_path)


def test_nothing_is_asked_of_a_network(photo, files, monkeypatch):
    options = files(*lines.KINDS)

    def refused(*_):
        raise AssertionError("a connection was tried")

    free_memory()
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    for model in lines.KINDS:
        inference.make_map(photo, model, resolution=64, **options)


def test_half_precision_is_not_for_these(files):
    from dataclasses import replace

    from maquette.inference.models.controlnet_aux import loaded
    from maquette.inference.runtime import start

    run = start("cpu", models_dir=files("teed")["models_dir"], model=find_model("maps", "teed"))
    kind = lines.KINDS["teed"]
    network = loaded(replace(run, precision="float16"), kind.published(run.model.files[0].path), kind.build)
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}


def test_a_cancelled_map(photo, files):
    options = files("pidinet")

    def stop(share, _message):
        if share > 0.2:
            raise inference.Cancelled

    with pytest.raises(inference.Cancelled):
        inference.make_map(photo, "pidinet", resolution=SIDE, progress=stop, **options)
    assert inference.make_map(photo, "pidinet", resolution=SIDE, **options).image.shape[0] == SIDE


def test_without_the_package(monkeypatch):
    from maquette.inference.models import controlnet_aux

    monkeypatch.setattr(controlnet_aux, "find_spec", lambda _name: None)
    for name in [
        name for name in sys.modules if name.partition(".")[0] in (controlnet_aux._PACKAGE, controlnet_aux._PRIVATE)
    ]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(inference.MissingPackages, match="controlnet"):
        architecture("hed", "ControlNetHED_Apache2")
    assert not any(name.startswith(("controlnet_aux", controlnet_aux._PRIVATE)) for name in sys.modules)


def test_the_package_around_an_architecture_stays_out():
    """Its own code overwrites timm's networks and fails beside a new mediapipe."""
    code = (
        "import sys\n"
        "from maquette.inference.models.controlnet_aux import architecture\n"
        "architecture('leres.leres.multi_depth_model_woauxi', 'RelDepthModel')\n"
        "architecture('hed', 'ControlNetHED_Apache2')\n"
        "assert not any(name.partition('.')[0] in ('controlnet_aux', 'skimage', 'timm') for name in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
