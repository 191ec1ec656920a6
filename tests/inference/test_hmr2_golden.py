# SPDX-License-Identifier: GPL-3.0-or-later
"""HMR 2.0 against the reference, stage by stage: the golden data were made by the reference's own code, in evaluation
mode, with the made-up weights and the made-up body of `synth`.

The published network has 670 million values. They are made here layer by layer, used and dropped again;
test_hmr2_full.py runs it whole."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from maquette.demo.samples import sample_photo
from maquette.inference import Camera, load_photo
from maquette.inference.geometry.rotations_torch import orthonormal
from maquette.inference.geometry.skinning import pose_body
from maquette.inference.models import vit
from maquette.inference.people.hmr2 import checkpoint, crops, network, persons, placing
from maquette.inference.people.hmr2.answers import NetworkOutput
from maquette.inference.people.hmr2.body import FLIP, load_template, to_opencv_rotations, to_opencv_translation
from maquette.inference.people.hmr2.find import Detection

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def golden():
    with np.load(HERE / "golden" / "hmr2.npz") as content:
        return dict(content)


@pytest.fixture(scope="module")
def template(hmr2_models):
    return load_template(hmr2_models)


@pytest.fixture(scope="module")
def synth():
    """The module that made the golden weights."""
    sys.path.insert(0, str(HERE / "synth"))
    try:
        import synth_weights

        yield synth_weights
    finally:
        sys.path.remove(str(HERE / "synth"))


def found_crops(golden, name):
    return [crops.Crop.around(box) for box in golden[f"{name}_boxes"]]


@pytest.mark.parametrize("name", ["bus", "zidane"])
def test_the_squares_are_the_references_to_the_last_digit(golden, name):
    pixels = load_photo(sample_photo(name)).pixels
    found = found_crops(golden, name)
    assert [crop.size for crop in found] == golden[f"{name}_box_size"].tolist()
    for crop, rows in zip(found, golden[f"{name}_rows"], strict=True):
        whole = crops.square(pixels, crop)
        np.testing.assert_allclose(whole[:, [64, 128, 255]], rows, atol=2e-6)
        np.testing.assert_array_equal(crops.picture(pixels, crop), whole[:, :, 32:224])


def test_the_network_layer_by_layer(golden, synth):
    rows = synth.load(str(HERE / "synth" / "manifest-hmr2.json.gz"))

    def weights(*starts):
        chosen = [row for row in rows if row[0].startswith(starts)]
        return checkpoint.converted(synth.hmr2(chosen))

    def loaded(module, start, state):
        own = {name.removeprefix(start): tensor for name, tensor in state.items() if name.startswith(start)}
        return module.requires_grad_(False) if module.load_state_dict(own) else None

    small = network.Size(depth=0)
    backbone = vit.Backbone(small.width, small.depth, small.heads, (16, 12))
    outer = ("backbone.pos_embed", "backbone.patch_embed.", "backbone.last_norm.")
    loaded(backbone, "backbone.", weights(*outer))
    pixels = load_photo(sample_photo("zidane")).pixels
    pictures = torch.from_numpy(np.stack([crops.picture(pixels, crop) for crop in found_crops(golden, "zidane")]))
    block = vit.Block(small.width, small.heads)
    with torch.inference_mode():
        x = backbone.embed(pictures)
        for number in range(network.Size().depth):
            start = f"backbone.blocks.{number}."
            x = loaded(block, start, weights(start))(x)
        features = backbone.norm(x)
        head = loaded(network.Head(network.Size()), "head.", weights("smpl_head."))
        token, answer = head.read(features), head(features)
        turns = orthonormal(answer.turns)
    grid = features.transpose(1, 2).unflatten(2, (16, 12)).numpy()
    np.testing.assert_allclose(grid[:, :64:2], golden["zidane_features"].astype(np.float32), atol=2e-3)
    np.testing.assert_allclose(grid.mean((2, 3)), golden["zidane_feature_means"], atol=1e-5)
    np.testing.assert_allclose(token, golden["zidane_token"], atol=1e-4)
    np.testing.assert_allclose(turns, golden["zidane_matrices"], atol=2e-5)
    np.testing.assert_allclose(answer.shape, golden["zidane_shape"], atol=1e-5)
    np.testing.assert_allclose(answer.camera, golden["zidane_camera"], atol=1e-5)


def people(golden, template, name, camera=None):
    """Persons of the golden answers; with the reference's lens unless another is given."""
    width, height = load_photo(sample_photo(name)).size
    focal = placing.reference_focal(width, height)
    camera = camera or Camera(focal, focal, width / 2, height / 2, width, height)
    answers = zip(*(golden[f"{name}_{part}"] for part in ("boxes", "matrices", "shape", "camera")), strict=True)
    return [
        persons.make_person(template, Detection(box, 0.9), crop, NetworkOutput(*answer), camera)
        for crop, (box, *answer) in zip(found_crops(golden, name), answers, strict=True)
    ], camera


@pytest.mark.parametrize("name", ["bus", "zidane"])
def test_with_the_references_lens_the_numbers_are_the_references(golden, template, name):
    found, camera = people(golden, template, name)
    assert camera.fx == golden[f"{name}_focal"]
    for number, person in enumerate(found):
        place = golden[f"{name}_translation"][number]
        np.testing.assert_allclose(person.vertices[::16] - place, golden[f"{name}_vertices"][number], atol=2e-5)
        np.testing.assert_allclose(person.vertices[::32] * FLIP, golden[f"{name}_node"][number], atol=2e-5)
        np.testing.assert_allclose(person.keypoints_3d - place, golden[f"{name}_keypoints_3d"][number], atol=2e-5)
        crop = found_crops(golden, name)[number]
        seen = (person.keypoints_2d - crop.centre) / crop.size
        np.testing.assert_allclose(seen, golden[f"{name}_keypoints_2d"][number], atol=2e-6)
        own = placing.crop_translation(golden[f"{name}_camera"][number])
        np.testing.assert_allclose(own, golden[f"{name}_crop_translation"][number], rtol=1e-6)
        np.testing.assert_array_equal(person.shape, golden[f"{name}_shape"][number])
        # The result stands by itself: body, turns, shape and translation make the vertices again.
        again, joints = pose_body(template.body, person.shape, person.rotations, person.translation)
        np.testing.assert_allclose(again, person.vertices, atol=5e-5)
        np.testing.assert_allclose(joints, person.joints, atol=5e-5)


def test_the_photos_own_lens_brings_people_near_and_keeps_them_on_their_pixels(golden, template):
    far, reference = people(golden, template, "bus")
    camera = Camera.default(reference.width, reference.height)
    near, _ = people(golden, template, "bus", camera)
    for one, other in zip(near, far, strict=True):
        ratio = camera.fx / reference.fx
        root, far_root = one.joints[0], other.joints[0]
        assert root[2] == pytest.approx(far_root[2] * ratio, rel=0.02)
        offset = camera.project(one.keypoints_3d) - reference.project(other.keypoints_3d)
        box = one.box[3] - one.box[1]
        # These people are nonsense, folded along the viewing ray: near by they cannot keep every pixel.
        assert np.abs(offset.mean(0)).max() < 0.02 * box
        np.testing.assert_array_equal(one.rotations, other.rotations)
        np.testing.assert_allclose(one.keypoints_2d, other.keypoints_2d)


def test_rotations_and_translation_are_smpls_seen_from_here(golden, template):
    matrices, shape = golden["bus_matrices"][0].astype(np.float64), golden["bus_shape"][0]
    body = template.body
    vertices, _ = pose_body(body, shape, to_opencv_rotations(matrices), to_opencv_translation(body, shape, np.zeros(3)))
    np.testing.assert_allclose(vertices[::16], golden["bus_vertices"][0], atol=1e-5)
    still = np.tile(np.eye(3), (24, 1, 1))
    rest, _ = pose_body(body, shape, to_opencv_rotations(still), to_opencv_translation(body, shape, np.zeros(3)))
    # At rest SMPL's root is at its own place, and the body stands on its head before a camera with y down.
    plain, _ = pose_body(body, shape, np.tile([1.0, 0, 0, 0], (24, 1)), np.zeros(3))
    np.testing.assert_allclose(rest, plain * FLIP, atol=1e-5)
