# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth Anything, DPT and ZoeDepth with made-up weights, against the library's own loader, processor and network.

Depth Anything is the published size; the larger networks are shrunken, through the same code. The files have the names
of the published ones, which the library's loader, as independent of ours, must take too.
"""

import json
import re
import socket
from dataclasses import replace

import numpy as np
import pytest
import torch
from maquette import inference
from maquette.demo.samples import sample_photo
from maquette.inference import batch
from maquette.inference.depth import transformers_models
from maquette.inference.depth.transformers_models import networks, picture
from maquette.inference.geometry.relative import relative_map
from maquette.inference.models import IMAGENET
from maquette.inference.registry import find_model
from maquette.inference.runtime import free_memory, kept_models, start
from safetensors.torch import load_file, save_file
from transformers import (
    DepthAnythingForDepthEstimation,
    DPTForDepthEstimation,
    DPTImageProcessor,
    ZoeDepthForDepthEstimation,
    ZoeDepthImageProcessor,
)
from transformers.models.dpt.image_processing_dpt import get_resize_output_image_size

MOMENTS = {"image_mean": list(IMAGENET[0]), "image_std": list(IMAGENET[1])}
#: Model -> the library's class, and its processor as the page of the model sets it.
REFERENCES = {
    "depth-anything-v2-small": (
        DepthAnythingForDepthEstimation,
        lambda: DPTImageProcessor(
            size={"height": 518, "width": 518}, ensure_multiple_of=14, keep_aspect_ratio=True, resample=3, **MOMENTS
        ),
    ),
    "zoedepth-nyu-kitti": (
        ZoeDepthForDepthEstimation,
        lambda: ZoeDepthImageProcessor(size={"height": 384, "width": 512}, ensure_multiple_of=32),
    ),
    "dpt-large": (DPTForDepthEstimation, lambda: DPTImageProcessor(size={"height": 384, "width": 384}, resample=2)),
}
REFERENCES["depth-anything-v2-indoor-small"] = REFERENCES["depth-anything-v2-small"]
REFERENCES["zoedepth-kitti"] = REFERENCES["zoedepth-nyu-kitti"]
SMALL = "depth-anything-v2-small"
#: The library's names -> those of the published files.
HISTORIC = (
    (r"\.attention\.q_proj\.", ".attention.attention.query."),
    (r"\.attention\.k_proj\.", ".attention.attention.key."),
    (r"\.attention\.v_proj\.", ".attention.attention.value."),
    (r"\.attention\.o_proj\.", ".attention.output.dense."),
    (r"^backbone\.beit\.embeddings\.", "backbone.embeddings."),
    (r"^backbone\.beit\.layers\.", "backbone.encoder.layer."),
    (r"^(backbone\.encoder\.layer\.\d+)\.relative_", r"\1.attention.attention.relative_position_bias.relative_"),
    (r"relative_position_bias\.relative_position_bias\.relative", "relative_position_bias.relative"),
)
HISTORIC_BEIT = ((r"\.mlp\.fc1\.", ".intermediate.dense."), (r"\.mlp\.fc2\.", ".output.dense."))


@pytest.fixture(scope="module", autouse=True)
def shrunken():
    """The networks that are too large for a test."""
    patch = pytest.MonkeyPatch()
    stages = [f"stage{number}" for number in (1, 2, 3, 4)]
    sizes = {"hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 128}
    patch.setattr(networks, "ZOEDEPTH_ENCODER", {"image_size": 384, "out_features": stages, **sizes})
    patch.setattr(networks, "ZOEDEPTH_NECK", [32, 32, 32, 32])
    narrow = {"backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [32, 32, 32, 32], "fusion_hidden_size": 32}
    patch.setitem(networks.DPT, "large", {**sizes, **narrow})
    yield
    patch.undo()
    free_memory()


@pytest.fixture(scope="module")
def photo():
    """Twice as wide as high, so that a swap of sides would be seen."""
    return inference.Photo(np.ascontiguousarray(inference.load_photo(sample_photo("astronaut")).pixels[:256]))


@pytest.fixture(scope="module")
def models(shrunken, random_weights, tmp_path_factory):
    root = tmp_path_factory.mktemp("library")
    for model in REFERENCES:
        entry = find_model("depth", model)
        family = transformers_models.FAMILIES[entry.options["family"]]
        network = random_weights(family.network(entry.options).build(), seed=1)
        if "indoor" in model:
            network.head.conv3.weight.data *= 0.1  # else all is next to the viewer or as far as can be
        path = root / entry.files[0].path
        path.parent.mkdir()
        historic = HISTORIC + (HISTORIC_BEIT if model.startswith("zoe") else ())
        tensors = {renamed(name, historic): tensor.contiguous() for name, tensor in network.state_dict().items()}
        save_file(tensors, path, {"format": "pt"})
        config = network.config.to_dict()
        (path.parent / "config.json").write_text(json.dumps(config, default=str))
    return root


def renamed(name, rules):
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


@pytest.fixture(scope="module")
def options(models):
    return {"models_dir": models, "device": "cpu"}


@pytest.fixture(scope="module")
def reference(models, photo):
    """What the library says of the photo: at the network's size, and brought to the photo's."""
    found = {}

    def of(model):
        if model not in found:
            kind, processor = REFERENCES[model][0], REFERENCES[model][1]()
            folder = (models / find_model("depth", model).files[0].path).parent
            network, told = kind.from_pretrained(folder, local_files_only=True, output_loading_info=True)
            assert not told["missing_keys"] and not told["unexpected_keys"] and not told["mismatched_keys"]
            with torch.inference_mode():
                said = network.eval()(**processor(photo.pixels, return_tensors="pt"))
            size = photo.pixels.shape[:2]
            sizes = {"source_sizes": [size]} if model.startswith("zoe") else {"target_sizes": [size]}
            whole = processor.post_process_depth_estimation(said, **sizes)[0]["predicted_depth"]
            found[model] = said.predicted_depth[0].numpy(), whole.numpy()
        return found[model]

    return of


@pytest.mark.parametrize("model", sorted(REFERENCES))
def test_the_network_says_what_the_librarys_does(model, photo, options, reference):
    run = start("cpu", models_dir=options["models_dir"], model=find_model("depth", model))
    said, expected = transformers_models._predict([photo.pixels], run)[0], reference(model)[0]
    assert said.shape == expected.shape
    assert np.ptp(expected) > 0.01 * np.abs(expected).max()  # a network that sees nothing would agree with any other
    np.testing.assert_allclose(said, expected, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("model", sorted(REFERENCES))
def test_at_the_photos_size(model, photo, options, reference):
    """Bilinear and divided at edges, where the library's is bicubic: close wherever it is smooth."""
    result = inference.estimate_depth(photo, model, **options)
    expected = reference(model)[1]
    assert result.metric is find_model("depth", model).options.get("metres", True)
    assert result.depth.shape == result.valid.shape == expected.shape == photo.pixels.shape[:2]
    assert result.valid.mean() > 0.05
    ours, theirs = result.depth[result.valid], expected[result.valid]
    if not result.metric:  # up to a factor and an offset, which follow the extremes
        factor, offset = np.polyfit(ours, theirs, 1)
        assert factor > 0
        ours = factor * ours + offset
    difference = np.abs(ours - theirs) / np.ptp(expected)
    assert np.median(difference) < 0.01 and np.percentile(difference, 90) < 0.05
    np.testing.assert_allclose(np.linalg.norm(result.normals, axis=2), 1, atol=1e-5)


def test_relative_depth_is_a_height(photo, options):
    result = inference.estimate_depth(photo, SMALL, resolution=64, **options)
    assert not result.metric and result.depth.dtype == np.float32
    assert result.depth.min() == 0 and result.depth.max() == 1
    assert result.preview.shape == (64, 128, 3) and result.preview.dtype == np.uint8
    bright = inference.estimate_depth(photo, SMALL, resolution=0, **options).preview[..., 0]
    assert bright[result.depth > 0.99].min() > 245 and bright[result.depth < 0.01].max() < 10


def test_metres_are_drawn_bright_where_near(photo, options):
    for model in ("depth-anything-v2-indoor-small", "zoedepth-nyu-kitti"):
        result = inference.estimate_depth(photo, model, resolution=0, **options)
        assert result.metric and result.camera.source == "default"
        grey = result.preview[..., 0].astype(int)
        order = np.argsort(result.depth[result.valid])
        levels = grey[result.valid][order]
        assert levels[0] == 255 and levels[-1] < 10 and (np.diff(levels) <= 1).all()


def test_the_lens_does_not_change_metres(photo, options):
    near, far = (inference.estimate_depth(photo, "zoedepth-kitti", fx=focal, **options) for focal in (300, 900))
    np.testing.assert_array_equal(near.depth, far.depth)
    assert near.camera.fx == 300 and far.camera.fx == 900 and not np.allclose(near.normals, far.normals)


def test_what_is_too_far_is_no_surface(photo, options, monkeypatch):
    run = start("cpu", models_dir=options["models_dir"], model=find_model("depth", "depth-anything-v2-indoor-small"))
    answer = np.full((8, 16), 5, np.float32)
    answer[:, 8:] = 20
    result = transformers_models._depth_map(answer, photo.camera_or_default(), run, 0)
    assert result.valid[:, :250].all() and not result.valid[:, 262:].any()
    assert (result.depth[result.valid] == 5).all() and (result.depth[~result.valid] == 0).all()


def test_a_plane_stays_a_plane():
    """Inverse depth of a plane is linear over the picture, whatever factor and offset: so must its height be."""
    rows, columns = np.mgrid[:60, :80].astype(np.float32)
    camera = inference.Photo(np.zeros((60, 80, 3), np.uint8)).camera_or_default()
    preview = np.zeros((1, 1, 3), np.uint8)
    one = relative_map(0.2 + 0.01 * columns + 0.02 * rows, camera, preview)
    other = relative_map(5 * (0.3 + 0.01 * columns + 0.02 * rows), camera, preview)
    np.testing.assert_allclose(one.depth, other.depth, atol=1e-5)
    assert np.ptp(one.normals.reshape(-1, 3), axis=0).max() < 1e-3 and one.valid.all()
    assert one.depth[-1, -1] == 1 and one.depth[0, 0] == 0


def test_infinity_is_no_surface():
    inverse = np.ones((20, 30), np.float32)
    inverse[:10] = 0
    camera = inference.Photo(np.zeros((20, 30, 3), np.uint8)).camera_or_default()
    result = relative_map(inverse, camera, np.zeros((1, 1, 3), np.uint8))
    np.testing.assert_array_equal(result.valid, inverse > 0)
    flat = relative_map(np.full((20, 30), 3, np.float32), camera, np.zeros((1, 1, 3), np.uint8))
    assert flat.valid.all() and (flat.depth == 0).all()


@pytest.mark.parametrize("size", [(480, 640), (640, 480), (1080, 1920), (300, 517), (512, 512), (4000, 3000), (99, 70)])
def test_pictures_have_the_published_size(size):
    expected = get_resize_output_image_size(torch.zeros(3, *size), (518, 518), True, 14)
    assert picture.fitted(*size, (518, 518), 14, 4) == (expected.height, expected.width)


@pytest.mark.parametrize("size", [(10_000, 50), (50, 10_000), (20_000, 600), (1, 1), (1, 20_000), (2, 3)])
def test_no_photo_is_too_long(size):
    for frame, multiple, longest in (((518, 518), 14, 4), ((384, 512), 32, 2)):
        rows, columns = picture.fitted(*size, frame, multiple, longest)
        assert rows % multiple == columns % multiple == 0 < min(rows, columns)
        assert rows * columns <= longest * frame[0] * frame[1] * 1.3


@pytest.mark.parametrize("size", [(8, 900), (900, 8), (8, 8)])
@pytest.mark.parametrize("model", ["zoedepth-kitti", "dpt-large"])
def test_odd_photos(size, model, options):
    pixels = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    result = inference.estimate_depth(pixels, model, **options)
    assert result.depth.shape == size and np.isfinite(result.depth).all()


def test_a_batch_is_each_alone(photo, options):
    turned = inference.Photo(np.ascontiguousarray(photo.pixels[:, ::-1]))
    tall = inference.Photo(np.ascontiguousarray(photo.pixels.transpose(1, 0, 2)))
    for model, photos in (("dpt-large", (photo, turned, tall)), ("zoedepth-nyu-kitti", (photo, tall))):
        together = list(batch.estimate_depth(photos, model, **options))
        free_memory()
        for one, result in zip(photos, together, strict=True):
            alone = inference.estimate_depth(one, model, **options)
            np.testing.assert_allclose(result.depth, alone.depth, atol=1e-4)


def test_a_photo_does_not_choose_the_place_of_another(photo, options, monkeypatch):
    """The library lets a batch vote on indoors or outdoors; here no two photos meet in the network."""
    sizes = []
    real = ZoeDepthForDepthEstimation.forward
    monkeypatch.setattr(
        ZoeDepthForDepthEstimation,
        "forward",
        lambda self, pixel_values: sizes.append(len(pixel_values)) or real(self, pixel_values=pixel_values),
    )
    photos = [np.roll(photo.pixels, shift, 1) for shift in (3, 5)]
    list(batch.estimate_depth(photos, "zoedepth-nyu-kitti", **options))
    assert sizes == [1, 1]


def test_nothing_is_asked_of_a_network(photo, options, monkeypatch):
    def refused(*_):
        raise AssertionError("a connection was tried")

    free_memory()
    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "getaddrinfo", refused)
    for model in ("zoedepth-nyu-kitti", "dpt-large"):
        inference.estimate_depth(photo, model, **options)


def test_a_second_photo_does_not_load_again(photo, options, monkeypatch):
    inference.estimate_depth(photo, "dpt-large", **options)
    monkeypatch.setattr(transformers_models, "load_network", lambda *_: pytest.fail("loaded again"))
    inference.estimate_depth(np.ascontiguousarray(photo.pixels[::-1]), "dpt-large", **options)
    assert any("dpt-large" in key for key in kept_models())


def test_progress_and_cancelling(photo, options):
    inference.estimate_depth(photo, "dpt-large", **options)
    turned, told = np.ascontiguousarray(photo.pixels[:, ::-1]), []
    inference.estimate_depth(turned, "dpt-large", progress=lambda share, _: told.append(share), **options)
    assert len(told) > 40 and told == sorted(told) and told[-1] == 1

    def stop(share, _message):
        if share > 0.3:
            raise inference.Cancelled

    other = np.ascontiguousarray(photo.pixels[::-1])
    with pytest.raises(inference.Cancelled):
        inference.estimate_depth(other, "dpt-large", progress=stop, **options)
    run = start("cpu", models_dir=options["models_dir"], model=find_model("depth", "dpt-large"))
    network = transformers_models.keep(("depth", *run.model_key), pytest.fail)
    hooks = [hook for module in network.modules() for hook in module._forward_hooks.values()]
    assert not any("reporting" in hook.__qualname__ for hook in hooks)  # the library has hooks of its own


def test_half_precision_stays_within_its_bound(models):
    """Measured: depth errs by 0.2 % of its spread on average and 1.6 % at most."""
    run = start("cpu", models_dir=models, model=find_model("depth", SMALL))
    wanted = networks.depth_anything("small", 0)
    published = wanted.published(run.model.files[0].path)
    exact, half = (
        transformers_models.load_network(replace(run, precision=kind), published, wanted.build)
        for kind in ("float32", "float16")
    )
    picture = torch.randn(1, 3, 42, 56, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected, rounded = exact(picture).predicted_depth, half(picture.half()).predicted_depth.float()
    error = (rounded - expected).abs() / expected.std()
    assert 1e-4 < error.max() < 0.06 and error.mean() < 0.01


def test_zoedepth_keeps_its_precision(photo, models):
    run = start("cpu", models_dir=models, model=find_model("depth", "zoedepth-kitti"))
    transformers_models._predict([photo.pixels], replace(run, precision="float16"))
    network = transformers_models.keep(("depth", *run.model_key), pytest.fail)
    assert {tensor.dtype for tensor in network.parameters()} == {torch.float32}


def write(path, tensors):
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path, {"format": "pt"})


def test_wrong_files(models, photo, tmp_path):
    file = find_model("depth", SMALL).files[0].path
    path = tmp_path / file
    with pytest.raises(inference.MissingModel, match=re.escape(str(path))) as error:
        inference.estimate_depth(photo, SMALL, models_dir=tmp_path)
    assert "huggingface.co/depth-anything/Depth-Anything-V2-Small-hf" in error.value.remedy
    tensors = load_file(models / file)
    dpt = load_file(models / find_model("depth", "dpt-large").files[0].path)
    norm = "backbone.layernorm.weight"
    cases = {
        "is not the file of this model": dpt,
        "lacks": {name: tensor for name, tensor in tensors.items() if name != norm},
        "which this model does not have": {**tensors, "head.conv9.weight": torch.zeros(1)},
        "belongs to another size": {**tensors, norm: torch.zeros(5)},
        "contain NaN": {**tensors, norm: torch.full((384,), torch.nan)},
    }
    for said, content in cases.items():
        write(path, content)
        with pytest.raises(inference.BadModelFile, match=said):
            inference.estimate_depth(photo, SMALL, models_dir=tmp_path)
    path.write_bytes((models / file).read_bytes()[:1_000_000])
    with pytest.raises(inference.BadModelFile, match="cut off"):
        inference.estimate_depth(photo, SMALL, models_dir=tmp_path)
