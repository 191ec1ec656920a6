# SPDX-License-Identifier: GPL-3.0-or-later
"""Metric3D: checkpoints by name, photos of any size, what is kept and remembered, and the maps at the photo's size.

The network's picture is made smaller here (112 x 168), so that a pass takes a fraction of a second.
"""

import gzip
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from maquette import inference
from maquette.inference import BadInput, Camera, Cancelled, MissingModel, Photo
from maquette.inference.depth import metric3d
from maquette.inference.geometry import resample
from maquette.inference.geometry.normals_from_depth import normalise
from maquette.inference.models import metric3d as shared
from maquette.inference.models.dinov2 import sampled_positions
from maquette.inference.models.metric3d import checkpoint, picture
from maquette.inference.models.metric3d.encoder import BACKBONES
from maquette.inference.models.metric3d.network import Metric3D
from maquette.inference.normals import metric3d as normals_module
from maquette.inference.options.depth import OPTIONS as DEPTH
from maquette.inference.options.normals import OPTIONS as NORMALS
from maquette.inference.registry import find_model
from maquette.inference.runtime import kept_models, result_cache, start

NAME, SMALL = "metric3d-vit-small", "metric3d/metric_depth_vit_small_800k.pth"
#: Every fifth of the greys into which the reference node turns the share of the largest depth.
GREYS = [
    255, 252, 250, 247, 245, 243, 240, 237, 234, 230, 226, 223, 219, 215, 211, 207, 202, 198, 193, 189, 183,
    177, 171, 165, 159, 153, 147, 141, 136, 130, 125, 119, 114, 109, 104, 98, 93, 88, 83, 76, 69, 62, 55, 48,
    41, 34, 29, 23, 17, 11, 5, 0,
]  # fmt: skip


@pytest.fixture(autouse=True)
def smaller_picture(monkeypatch):
    monkeypatch.setattr(picture, "HEIGHT", 112)
    monkeypatch.setattr(picture, "WIDTH", 168)
    result_cache.clear()  # canonical maps of another size


@pytest.fixture(scope="module")
def options(synthetic):
    yield {"models_dir": synthetic(SMALL), "device": "cpu"}
    inference.free_memory()


def noise(height, width, seed=0):
    blocks = np.random.default_rng(seed).integers(0, 256, (-(-height // 16), -(-width // 16), 3), dtype=np.uint8)
    return np.ascontiguousarray(np.kron(blocks, np.ones((16, 16, 1), np.uint8))[:height, :width])


@pytest.mark.parametrize("size", ["small", "large", "giant2"])
def test_every_published_name_is_taken_and_none_is_missing(size):
    """Shapes only: nothing is allocated."""
    backbone = BACKBONES[f"vit-{size}"]
    with torch.device("meta"):
        expected = Metric3D(backbone).state_dict()
        tensors = {name: torch.empty(shape) for name, shape, _ in _manifest(f"metric_depth_vit_{size}_800k")}
    convert = checkpoint.published("file", taps=bool(backbone.taps)).convert
    converted = convert(tensors)
    assert {name: tensor.shape for name, tensor in converted.items()} == {
        name: tensor.shape for name, tensor in expected.items()
    }
    # The hidden patches' token is gone from what was published, and a name that nobody knows is not swallowed.
    without = {name: tensor for name, tensor in tensors.items() if not name.endswith("mask_token")}
    assert convert(without).keys() == expected.keys() and len(without) == len(tensors) - 1
    for one in (".norm3.", ".downsample.1."):
        assert convert({name: tensor for name, tensor in tensors.items() if one not in name}).keys() == expected.keys()
    for stranger in ("depth_model.decoder.more.weight", "depth_model.encoder.blocks.0.0.more", "head.weight"):
        assert (
            len(convert(tensors | {stranger: tensors["depth_model.encoder.cls_token"]}).keys() - expected.keys()) == 1
        )
    lost = dict(tensors)
    del lost["depth_model.decoder.update_block.gru16.convr.weight"]
    assert convert(lost).keys() != expected.keys()


def test_the_class_token_takes_the_first_position(synthetic):
    file = synthetic(SMALL) / SMALL
    tensors = torch.load(file, weights_only=True, mmap=True)["model_state_dict"]
    converted = checkpoint.converted(dict(tensors))
    positions = tensors["depth_model.encoder.pos_embed"]
    token = tensors["depth_model.encoder.cls_token"]
    assert torch.equal(converted["encoder.vit.cls_token"], token + positions[:, :1])
    assert torch.equal(converted["encoder.vit.pos_embed"], positions[:, 1:])
    gates = converted["refinement.units.1.gates.weight"]
    published = "depth_model.decoder.update_block.gru16.conv"
    assert torch.equal(gates, torch.cat([tensors[f"{published}z.weight"], tensors[f"{published}r.weight"]]))


def test_positions_are_sampled_at_the_trained_step(options):
    """Not at the step that the grid's size would give: a table that counts columns shows where it was read."""
    net = shared.kept_network(start("cpu", models_dir=options["models_dir"], model=find_model("depth", NAME)))
    encoder, kept = net.encoder, net.encoder.vit.pos_embed.detach().clone()
    try:
        with torch.no_grad():
            encoder.vit.pos_embed.copy_(torch.arange(37.0).repeat(37)[None, :, None].expand_as(kept))
            found = sampled_positions(encoder.vit.pos_embed, 44, 76)[0, :, 0].reshape(44, 76)[20]
    finally:
        with torch.no_grad():
            encoder.vit.pos_embed.copy_(kept)
    step, _ = np.polyfit(np.arange(4, 72), found[4:-4].numpy(), 1)
    assert step == pytest.approx(37 / 76.1, abs=2e-4) and step != pytest.approx(37 / 76, abs=4e-4)


@pytest.mark.parametrize(
    "height, width, expected",
    [(616, 1064, (1, 0, 0, 616, 1064)), (384, 512, (616 / 384, 0, 121, 616, 821)), (1, 1, (616, 0, 224, 616, 616)),
     (50, 10000, (0.1064, 305, 0, 5, 1064)), (10000, 50, (0.0616, 0, 530, 616, 3)),
     (8, 100_000, (0.01064, 307, 0, 1, 1064))],
)  # fmt: skip
def test_where_a_photo_lies_in_the_networks_picture(monkeypatch, height, width, expected):
    monkeypatch.undo()
    place = picture.Placement.of(height, width)
    assert (place.scale, place.top, place.left, place.height, place.width) == pytest.approx(expected)
    drawn = picture.network_picture(np.full((height, width, 3), 200, np.uint8))
    assert drawn.shape == (616, 1064, 3) and (drawn[place.area] == 200).all()
    outside = np.ones(drawn.shape[:2], bool)
    outside[place.area] = False
    assert (drawn[outside] == (124, 116, 104)).all() and outside.sum() == 616 * 1064 - place.height * place.width


def test_the_greys_are_the_nodes():
    levels = picture._grey_levels()
    assert levels[::5].tolist() == GREYS and len(levels) == 256
    depth = np.array([[1e-6, 50, 100, 200]], np.float32)
    indices = [0, int(256 * 0.25 / 1.1), int(256 * 0.5 / 1.1), int(256 / 1.1)]
    assert picture.depth_picture(depth).tolist() == [levels[indices].tolist()] and levels[indices[-1]] == 26


def test_a_frontal_wall_in_the_nodes_colours():
    wall = np.zeros((4, 6, 3), np.float32)
    wall[..., 2] = -1
    assert (picture.normal_picture(wall, 8, 12) == (127, 127, 254)).all()
    left_up = np.broadcast_to(np.array([-0.6, -0.8, 0], np.float32), (4, 6, 3))
    assert (picture.normal_picture(left_up, 4, 6) == (255 - int(128 - 76.2), 255 - int(128 - 101.6), 127)).all()


@pytest.mark.parametrize(
    "height, width, resolution, depth, normals",
    [(600, 400, 512, (775, 512), (768, 512)), (600, 400, 1, (2, 1), (2, 1)), (600, 400, 0, (600, 400), (600, 400)),
     (50, 1000, 64, (1344, 64)[::-1], (1280, 64)[::-1]), (8, 3000, 0, (8, 3000), (8, 3000)),
     (8, 8, 2048, (2048, 2048), (2048, 2048))],
)  # fmt: skip
def test_photos_of_any_size(options, height, width, resolution, depth, normals):
    """The node's two pictures are rounded from different sizes; the float maps never are."""
    photo = noise(height, width)
    depth_map = inference.estimate_depth(photo, NAME, resolution=resolution, **options)
    normal_map = inference.estimate_normals(photo, NAME, resolution=resolution, **options)
    for array in (depth_map.depth, depth_map.valid, depth_map.confidence, normal_map.valid):
        assert array.shape == (height, width)
    assert depth_map.normals.shape == normal_map.normals.shape == (height, width, 3)
    assert np.isfinite(depth_map.depth).all() and np.isfinite(normal_map.normals).all()
    assert depth_map.preview.shape == (*depth, 3) and normal_map.preview.shape == (*normals, 3)
    assert depth_map.camera == Camera.default(width, height) == normal_map.camera


def test_absurd_requests_are_refused_before_anything_is_computed(options):
    def progress(*_):
        raise AssertionError("it began to compute")

    photo = noise(48, 2000)
    for resolution in (20_000, -1, 511.5, "512", None, 16_384):
        for task in (inference.estimate_depth, inference.estimate_normals):
            with pytest.raises(BadInput, match=r"resolution|preview") as raised:
                task(photo, NAME, resolution=resolution, progress=progress, **options)
            assert raised.value.remedy
    for focal in (0, -1, float("nan"), "wide"):
        with pytest.raises(BadInput, match="fx must be a number above 0"):
            inference.estimate_depth(photo, NAME, fx=focal, progress=progress, **options)
    for parameters in ({"a": -1}, {"bg_threshold": 2}):
        with pytest.raises(BadInput):
            inference.estimate_normals(photo, NAME, progress=progress, **parameters, **options)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(MissingModel, match=r"metric_depth_vit_large_800k\.pth") as raised:
        inference.estimate_depth(noise(64, 64), "metric3d-vit-large", models_dir=tmp_path)
    assert raised.value.remedy


def test_the_focal_length_says_where_it_came_from(options):
    pixels = noise(80, 120)
    from_exif = Photo(pixels, Camera.from_focal_35mm(35, 120, 80))
    from_scene = Photo(pixels, Camera(130, 120, 70, 30, 120, 80, "scene"))
    maps = {
        "default": inference.estimate_depth(pixels, NAME, **options),
        "exif": inference.estimate_depth(from_exif, NAME, **options),
        "scene": inference.estimate_depth(from_scene, NAME, **options),
        "given": inference.estimate_depth(from_scene, NAME, fy=200, **options),
    }
    scale = min(112 / 80, 168 / 120)
    at_photo = cv2.resize(shared.predict([from_exif], _run(options))[0].depth, (120, 80))
    for source, depth_map in maps.items():
        assert depth_map.camera.source == source
        factor = scale * (depth_map.camera.fx + depth_map.camera.fy) / 2 / 1000
        valid = depth_map.valid
        np.testing.assert_allclose(depth_map.depth[valid], at_photo[valid] * factor, rtol=1e-5)
    assert (maps["given"].camera.fx, maps["given"].camera.cx) == (200, 70)
    assert inference.estimate_normals(from_scene, NAME, **options).camera.source == "scene"


def test_a_batch_gives_what_single_photos_give(options, monkeypatch):
    photos = [Photo(noise(96, 140, 1)), Photo(noise(200, 90, 2)), Photo(noise(64, 64, 3)), Photo(noise(96, 140, 1))]
    request = DEPTH.checked({"fy": 500.0, "resolution": 64})
    singles = []
    for photo in photos[:3]:
        result_cache.clear()
        singles.append(metric3d.estimate_batch([photo], _run(options), request)[0])
    result_cache.clear()
    passes = _count_passes(monkeypatch)
    batch = metric3d.estimate_batch(photos, _run(options), request)
    assert passes == [3]  # the same photo twice is computed once
    for single, found in zip([*singles, singles[0]], batch, strict=True):
        assert found.depth.shape == single.depth.shape and found.camera == single.camera
        np.testing.assert_allclose(found.depth, single.depth, atol=5e-3)
        np.testing.assert_allclose(found.normals, single.normals, atol=5e-4)
        assert np.abs(found.preview.astype(int) - single.preview).max() <= 1
    assert np.abs(batch[0].depth - batch[3].depth).max() == 0
    normals = normals_module.estimate_batch(photos, _run(options), NORMALS.checked({"resolution": 64}))
    assert passes == [3]
    np.testing.assert_array_equal(normals[1].normals, batch[1].normals)


def test_half_precision_is_another_network_and_other_results(options):
    """As on a GPU; the public functions compute in float32 on a CPU, so the run is made by hand."""
    photo, request = Photo(noise(96, 140)), DEPTH.checked({"resolution": 64})
    exact = metric3d.estimate_batch([photo], _run(options), request)[0]
    half = replace(_run(options), precision="float16")
    assert shared.kept_network(half).trunk.coarse.narrow.weight.dtype == torch.float16
    rounded = metric3d.estimate_batch([photo], half, request)[0]
    assert rounded.depth.dtype == rounded.normals.dtype == rounded.confidence.dtype == np.float32
    error = np.abs(rounded.depth - exact.depth) / exact.depth.std()
    assert 0 < error.max() < 0.1
    np.testing.assert_allclose(np.linalg.norm(rounded.normals, axis=-1), 1, atol=1e-6)


def test_a_changed_result_does_not_change_what_is_remembered(options):
    photo = noise(64, 80)
    first = inference.estimate_depth(photo, NAME, **options)
    before = first.depth.copy()
    first.depth[:], first.normals[:], first.confidence[:] = 0, 0, 0
    np.testing.assert_array_equal(inference.estimate_depth(photo, NAME, **options).depth, before)


def test_the_network_is_kept_until_memory_is_freed(options, monkeypatch):
    loads = []
    original = shared.load_network
    monkeypatch.setattr(shared, "load_network", lambda *given: loads.append(1) or original(*given))
    inference.free_memory()
    for seed in (1, 2):
        inference.estimate_depth(noise(64, 80, seed), NAME, **options)
        inference.estimate_normals(noise(64, 80, seed), NAME, **options)
    assert len(loads) == 1 and any(NAME in key for key in kept_models())
    inference.free_memory()
    assert not kept_models()
    inference.estimate_depth(noise(64, 80, 1), NAME, **options)
    assert len(loads) == 2


def test_a_network_that_gives_no_numbers_is_damaged(options, monkeypatch):
    original = shared.load_network

    def huge(*given):
        network = original(*given)
        for parameter in network.parameters():
            parameter.data = torch.full_like(parameter, 3e38)
        return network

    monkeypatch.setattr(shared, "load_network", huge)
    inference.free_memory()
    for task in inference.estimate_depth, inference.estimate_normals:
        with pytest.raises(inference.BadModelFile, match="not finite"):
            task(noise(64, 80, 9), NAME, **options)
    inference.free_memory()


def test_cancelling_within_the_network_leaves_nothing_behind(options, monkeypatch):
    photo, told = noise(64, 80, 7), []

    def progress(fraction, message):
        told.append(fraction)
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        inference.estimate_depth(photo, NAME, progress=progress, **options)
    assert len(told) > 20 and told[-1] < 0.6
    passes = _count_passes(monkeypatch)
    inference.estimate_depth(photo, NAME, **options)
    assert passes == [1]


def test_sky_and_what_the_network_does_not_believe_are_no_surface():
    depth = np.array([1, 189.9, 190.1, 200, 50, 50, 50], np.float32)
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0, -1, np.nan], np.float32)
    assert shared.surface(depth, confidence).tolist() == [True, True, False, False, False, False, False]


def test_a_smooth_surface_is_interpolated_bilinearly():
    rows, columns = np.mgrid[:20, :30].astype(np.float32)
    depth, other = 5 + 0.1 * rows + 0.07 * columns, np.stack([rows, columns], -1)
    for size in ((60, 90), (47, 101), (13, 17)):
        found, (mapped,) = resample.at_photo_size(depth, [other], *size)
        np.testing.assert_array_equal(found, cv2.resize(depth, size[::-1]))
        np.testing.assert_array_equal(mapped, cv2.resize(other, size[::-1]))
        inside = np.s_[size[0] // 4 : -size[0] // 4, size[1] // 4 : -size[1] // 4]
        v, u = np.mgrid[: size[0], : size[1]] + 0.5
        v, u = v * 20 / size[0] - 0.5, u * 30 / size[1] - 0.5
        np.testing.assert_allclose(found[inside], (5 + 0.1 * v + 0.07 * u)[inside], atol=1e-4)


@pytest.mark.parametrize("factor", [2, 5, 7.3])
def test_no_pixel_hangs_between_the_two_sides_of_an_edge(factor):
    """A disc before a wall: after enlarging there is still nothing between them, and the outline is still round."""
    rows, columns = np.mgrid[:40, :60].astype(np.float32)
    disc = np.hypot(rows - 19.5, columns - 29.5) < 12.3
    depth = np.where(disc, 2 + 0.01 * rows, 4 + 0.02 * columns).astype(np.float32)
    side = disc.astype(np.float32)
    size = round(40 * factor), round(60 * factor)
    found, (sides,) = resample.at_photo_size(depth, [side], *size)
    assert not ((found > 2.5) & (found < 3.9)).any()
    assert set(np.unique(np.round(sides, 5))) == {0, 1}  # every map takes the same side
    np.testing.assert_array_equal(sides > 0.5, found < 3)
    v, u = np.mgrid[: size[0], : size[1]] + 0.5
    distance = np.hypot(v / factor - 20, u / factor - 30)
    assert ((sides > 0.5) == (distance < 12.3))[np.abs(distance - 12.3) > 0.8].all()
    ramp = cv2.resize(depth, size[::-1])
    assert ((ramp > 2.5) & (ramp < 3.9)).any()  # which plain interpolation would have left hanging


def test_opposite_normals_do_not_cancel_to_nothing():
    normals = np.array([[[0, 0, 0], [0, 3, 4], [1e-9, 0, 0]]], np.float32)
    normalise(normals)
    np.testing.assert_allclose(normals, [[[0, 0, -1], [0, 0.6, 0.8], [0, 0, -1]]])


def _manifest(name):
    """[name, shape, type] of every tensor of a published file."""
    with gzip.open(Path(__file__).parent / "synth" / f"manifest-{name}.json.gz", "rt") as file:
        return json.load(file)["tensors"]


def _run(options):
    return start("cpu", models_dir=options["models_dir"], model=find_model("depth", NAME))


def _count_passes(monkeypatch):
    """A list that gets the number of pictures of every pass of the network."""
    passes = []
    original = Metric3D.forward

    def forward(self, pictures, *rest):
        passes.append(len(pictures))
        return original(self, pictures, *rest)

    monkeypatch.setattr(Metric3D, "forward", forward)
    return passes
