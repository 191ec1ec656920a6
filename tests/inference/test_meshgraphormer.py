# SPDX-License-Identifier: GPL-3.0-or-later
"""MeshGraphormer against the reference, stage by stage and through the public function: the golden data were made by
the reference's own code with the made-up weights and the made-up hand of `synth`."""

import zlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from maquette.demo.samples import sample_photo
from maquette.inference import Camera, DepthMap, Photo, load_photo, refine_hands
from maquette.inference.geometry.rasteriser import rasterise
from maquette.inference.hands import meshgraphormer, parts, preview
from maquette.inference.hands.meshgraphormer import answers, crop
from maquette.inference.hands.meshgraphormer.crop import Crop
from maquette.inference.hands.meshgraphormer.lens import Lens, draw
from maquette.inference.options.hands import OPTIONS
from maquette.inference.registry import find_model
from maquette.inference.runtime.run import start

GOLDEN = Path(__file__).parent / "golden" / "graphormer.npz"
TYPES = ("based_on_depth", "tight_bboxes", "original")


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as content:
        return dict(content)


@pytest.fixture(scope="module")
def models(synthetic):
    return synthetic("meshgraphormer", "mano")


@pytest.fixture(scope="module")
def zidane() -> Photo:
    return load_photo(sample_photo("zidane"))


@pytest.fixture(scope="module")
def run(models):
    return start("cpu", models_dir=models, model=find_model("hands", "meshgraphormer"))


@pytest.fixture(scope="module")
def boxes(golden):
    edges = golden["boxes_xxyy"].tolist()
    return [(x0, y0, x1, y1, str(side)) for (x0, x1, y0, y1), side in zip(edges, golden["hands"], strict=True)]


@pytest.fixture(scope="module")
def crops(boxes):
    return [Crop.around(box[:4], box[4]) for box in boxes]


@pytest.fixture(scope="module")
def predicted(zidane, crops, run):
    return answers.predict([(zidane, one) for one in crops], run, exact=True)


@pytest.fixture
def refine(zidane, boxes, predicted, models, monkeypatch):
    """`refine_hands` of the golden hands, with the network's answers at hand."""
    monkeypatch.setattr(meshgraphormer, "predict", lambda crops, run, exact: list(predicted))
    asked = {"boxes": boxes, "device": "cpu", "models_dir": models}
    return lambda **change: refine_hands(zidane, "meshgraphormer", **{**asked, **change})


def test_the_squares_are_the_references(crops, golden):
    for one, rows_and_columns, size in zip(crops, golden["crop_yyxx"], golden["crop_len"], strict=True):
        top, bottom, left, right = rows_and_columns - (360, 360, 640, 640)  # its canvas is twice the photo
        assert (one.top, one.top + one.size - 1, one.left, one.left + one.size - 1) == (top, bottom, left, right)
        assert one.size == size


def test_the_network_sees_the_references_pixels(zidane, crops, golden):
    for number, one in enumerate(crops):
        seen = crop.picture(zidane.pixels, one)
        assert zlib.crc32(np.ascontiguousarray(seen).tobytes()) == golden[f"h{number}_input_crc"]


def test_without_the_wrap_only_the_overshoot_differs(zidane, crops):
    enlarged, same_size = crops[1], crops[0]
    wrapped, clipped = (crop.picture(zidane.pixels, enlarged, exact).astype(int) for exact in (True, False))
    differ = wrapped != clipped
    assert 0 < differ.sum() < 500
    assert set(np.unique(clipped[differ])) <= {0, 255}
    assert np.array_equal(crop.picture(zidane.pixels, same_size), crop.picture(zidane.pixels, same_size, exact=False))


def test_the_networks_stages_are_the_references(zidane, crops, run, golden):
    network, blocks = answers._network(run), []
    hooks = [block.register_forward_hook(lambda *call: blocks.append(call[2])) for block in network.blocks]
    template = answers._template(run)
    pictures = np.stack([crop.picture(zidane.pixels, one) for one in crops])
    tensor = answers._normalised(pictures, run, torch.float32)
    with torch.inference_mode():
        vector, cells = network.backbone(tensor)
        camera, tokens, vertices = network(
            tensor, torch.from_numpy(template.points), torch.from_numpy(template.adjacency)
        )
    for hook in hooks:
        hook.remove()
    for number in range(2):
        of_hand = {name.removeprefix(f"h{number}_"): value for name, value in golden.items()}
        assert np.abs(vector[number, ::4].numpy() - of_hand["image_feat"]).max() < 3e-5, "of values up to 30"
        assert np.abs(cells[number].T[::32].numpy() - of_hand["grid_feat"]).max() < 0.02, "kept in half precision"
        for block in range(2):
            assert np.abs(blocks[block][number, ::8, :64].numpy() - of_hand[f"block{block}_out"]).max() < 1e-4
        assert np.abs(camera[number].numpy() - of_hand["camera"]).max() < 2e-6
        assert np.abs(tokens[number, :21].numpy() - of_hand["joints"]).max() < 1e-6
        assert np.abs(tokens[number, 21:].numpy() - of_hand["vertices_sub"]).max() < 1e-6
        assert np.abs(vertices[number].numpy() - of_hand["vertices"]).max() < 1e-6


def test_every_layer_is_reported(zidane, crops, run):
    heard = []
    counting = start("cpu", None, lambda fraction, _: heard.append(fraction), run.models_dir, run.model)
    answers.predict([(zidane, crops[0])], counting, exact=True)
    assert heard == sorted(heard) and heard[-1] == pytest.approx(1.0)
    layers = [one for one in answers._network(run).modules() if not list(one.children())]
    assert len(heard) == sum(not isinstance(one, torch.nn.Identity) for one in layers) + 1 > 500


def test_a_hand_is_drawn_as_the_reference_draws_it(predicted, crops, golden):
    for number, (answer, one) in enumerate(zip(predicted, crops, strict=True)):
        mirror = (-1, 1, 1) if one.side == "left" else (1, 1, 1)
        lens = Lens.of(one, golden[f"h{number}_camera"])
        drawn = draw(golden[f"h{number}_vertices"] * mirror, answer.faces, lens, one, (720, 1280))
        levels = preview.depth_levels(drawn.z)
        levels = levels[:, ::-1] if one.side == "left" else levels
        expected = golden[f"h{number}_cropdepth"]
        assert np.array_equal(levels > 0, expected > 0)
        differ = levels.astype(int) - expected
        assert np.abs(differ).max() <= 1 and (differ != 0).sum() <= 3


def test_the_preview_is_the_references(refine, golden):
    made = refine().preview
    assert (made == made[..., :1]).all()
    differ = made[..., 0].astype(int) - golden["depth"]
    assert np.abs(differ).max() <= 1 and (differ != 0).sum() <= 20, "cut to whole levels on either side of a level"


@pytest.mark.parametrize("mask_type", TYPES)
def test_the_masks_are_the_references(refine, golden, mask_type):
    for padding, expand in product((30, 0), (-8, 0, 5, 20)):
        made = refine(mask_type=mask_type, mask_bbox_padding=padding, mask_expand=expand).mask
        packed = golden[f"mask_{mask_type}_pad{padding}_exp{expand}"]
        assert np.array_equal(made, np.unpackbits(packed, axis=-1, count=made.shape[1]))


def test_landmarks_are_those_of_the_reference_in_the_photo(refine, golden, crops):
    for number, (hand, one) in enumerate(zip(refine().hands, crops, strict=True)):
        expected = golden[f"h{number}_joints2d"].copy()
        if one.side == "left":
            expected[:, 0] = one.size - expected[:, 0]
        assert np.abs(hand.keypoints_2d - expected - (one.left, one.top)).max() < 2e-3


def test_the_mesh_stands_where_the_photo_shows_it(refine):
    maps = refine(mask_expand=0, resolution=0)
    for hand in maps.hands:
        assert np.abs(maps.camera.project(hand.joints) - hand.keypoints_2d).max() < 2
        depth, _ = rasterise(hand.vertices, hand.faces, maps.camera, cull=True)
        both = (depth > 0) & (hand.depth > 0)
        assert both.sum() / ((depth > 0) | (hand.depth > 0)).sum() > 0.9
        assert np.median(np.abs(depth - hand.depth)[both]) < 0.003, "metres"
        assert 0.1 < np.ptp(hand.vertices, axis=0).max() < 0.3, "the size of a hand"


def test_depth_mask_and_preview_have_one_outline(refine):
    maps = refine(mask_expand=0, resolution=0)
    assert np.array_equal(maps.mask > 0, maps.depth > 0)
    assert np.array_equal(maps.preview[..., 0] > 0, maps.depth > 0)
    for hand in maps.hands:
        assert np.array_equal(hand.mask > 0, hand.depth > 0)
    nearest = np.stack([np.where(hand.depth > 0, hand.depth, np.inf) for hand in maps.hands])
    assert np.array_equal(maps.identity, np.where(maps.depth > 0, nearest.argmin(0) + 1, 0))
    assert np.array_equal(maps.depth, np.where(maps.depth > 0, nearest.min(0), 0))


def test_distances_follow_the_photos_lens(zidane, boxes, predicted, models, monkeypatch):
    monkeypatch.setattr(meshgraphormer, "predict", lambda crops, run, exact: list(predicted))
    near, far = (
        refine_hands(
            Photo(zidane.pixels, Camera(f, f, 640, 360, 1280, 720)),
            "meshgraphormer",
            boxes=boxes,
            device="cpu",
            models_dir=models,
        )
        for f in (800.0, 2400.0)
    )
    for a, b in zip(near.hands, far.hands, strict=True):
        assert b.joints[9, 2] / a.joints[9, 2] == pytest.approx(3.0, rel=0.02)
        assert np.ptp(a.vertices, axis=0) == pytest.approx(np.ptp(b.vertices, axis=0), abs=1e-6), "of the same size"
    small, large = near.hands[1], near.hands[0]  # 120 and 140 pixels: what is smaller in the photo is farther away
    assert small.joints[9, 2] > 1.1 * large.joints[9, 2]
    assert np.array_equal(near.preview, far.preview), "which the reference knows nothing of"


def test_a_left_hand_is_left_handed(refine):
    right, left = refine().hands
    assert (right.side, left.side) == ("right", "left")
    for hand in (right, left):
        a, b, c = hand.vertices.astype(float)[hand.faces].transpose(1, 0, 2)
        middle = hand.vertices.mean(0).astype(float)
        assert ((a - middle) * np.cross(b - middle, c - middle)).sum() > 0, "faces outwards"
    # Both are drawn from the same mean hand: one is nearly the mirror of the other.
    shapes = [hand.vertices - hand.vertices.mean(0) for hand in (right, left)]
    assert np.abs(shapes[0] * (-1, 1, 1) - shapes[1]).max() < 0.02 < np.abs(shapes[0] - shapes[1]).max()


def test_the_shares_of_the_hands_make_the_mask(refine):
    asked = {"mask_type": "tight_bboxes", "mask_bbox_padding": 30, "mask_expand": 0, "resolution": 512}
    maps = refine(**asked)
    for hand, share in zip(maps.hands, parts.part_masks(maps, **asked), strict=True):
        x0, y0, x1, y1 = hand.landmark_box
        rows, columns = np.nonzero(share)
        assert (columns.min(), rows.min(), columns.max(), rows.max()) == (x0, y0, x1, y1)


def test_against_the_scenes_depth(refine, zidane):
    plain = refine()
    camera = Camera(1000, 1000, 640, 360, 1280, 720, "scene")
    depth = np.full((720, 1280), 5.0, np.float32)
    first = plain.hands[0]
    depth[first.depth > 0] = 1.4
    scene = DepthMap(depth, depth > 0, None, camera, True, zidane.pixels)
    placed = refine(scene_depth=scene)
    moved, left_alone = placed.hands
    assert placed.camera is camera
    assert np.median(moved.depth[moved.depth > 0]) == pytest.approx(1.4, rel=1e-3)
    assert np.abs(camera.project(moved.joints) - moved.keypoints_2d).max() < 2, "it looks the same"
    assert left_alone.joints[0, 2] < 2.5, "more than twice as far cannot be this hand"
    assert np.array_equal(placed.preview, plain.preview)


def test_several_photos_in_one_pass(zidane, boxes, run):
    asked = OPTIONS.checked({"resolution": 0, "boxes": boxes})
    brighter = Photo(np.minimum(zidane.pixels.astype(int) + 20, 255).astype(np.uint8))
    together = meshgraphormer.refine_batch([zidane, brighter], run, asked)
    for photo, maps in zip((zidane, brighter), together, strict=True):
        (alone,) = meshgraphormer.refine_batch([photo], run, asked)
        assert np.abs(alone.depth - maps.depth).max() < 1e-4 or (alone.mask != maps.mask).mean() < 1e-4
        assert len(maps.hands) == 2


def test_found_without_boxes(zidane, models):
    maps = refine_hands(zidane, "meshgraphormer", device="cpu", models_dir=models)
    assert [hand.side for hand in maps.hands] == ["left"]
    builtin = refine_hands(zidane, device="cpu").hands[0]
    low, high = builtin.keypoints_2d.min(0), builtin.keypoints_2d.max(0)
    assert maps.hands[0].landmark_box == (int(low[0]), int(low[1]), int(high[0]), int(high[1]))
    strict = refine_hands(zidane, "meshgraphormer", presence_thr=1.0, device="cpu", models_dir=models)
    assert strict.hands == () and not strict.mask.any() and strict.preview.shape == (512, 910, 3)
