# SPDX-License-Identifier: GPL-3.0-or-later
"""MeshGraphormer from the photo to its mask with its real network, and beside the reference's sequence of steps: the
checkpoint read by torch.load, the backbone with its normalisations (timm holds it), attention as explicit products, one
hand after the other, and one ray for every pixel of the square.

    python3 -m installer test --quick --full -- tests/inference/test_meshgraphormer_full.py -s

prints the processor's time of both. The reference casts its rays by trimesh with an r-tree and a loop; here they are
cast by numpy for all pairs of ray and triangle whose boxes meet, which is faster: the ratio is rather too small.
"""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from maquette.demo.samples import sample_photo
from maquette.inference import free_memory, load_photo, refine_hands
from maquette.inference.hands.meshgraphormer import answers, transformer
from maquette.inference.hands.meshgraphormer.checkpoint import PUBLISHED, converted
from maquette.inference.hands.meshgraphormer.crop import Crop, picture
from maquette.inference.hands.meshgraphormer.lens import Lens, draw
from maquette.inference.hands.meshgraphormer.template import load_template
from maquette.inference.registry import find_model
from maquette.inference.runtime import start

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden" / "graphormer.npz") as content:
        return dict(content)


@pytest.fixture(scope="module")
def models(synthetic):
    yield synthetic("meshgraphormer", "mano")
    free_memory()


@pytest.fixture(scope="module")
def zidane():
    return load_photo(sample_photo("zidane"))


@pytest.fixture(scope="module")
def boxes(golden):
    edges = golden["boxes_xxyy"].tolist()
    return [(x0, y0, x1, y1, str(side)) for (x0, x1, y0, y1), side in zip(edges, golden["hands"], strict=True)]


def test_the_network_end_to_end_through_the_public_function(zidane, boxes, golden, models):
    made = refine_hands(zidane, "meshgraphormer", boxes=boxes, rand_seed=7, device="cpu", models_dir=models)
    packed = golden["mask_based_on_depth_pad30_exp5"]
    assert np.array_equal(made.mask, np.unpackbits(packed, axis=-1, count=1280))
    for number, hand in enumerate(made.hands):
        mirror = (-1, 1, 1) if hand.side == "left" else (1, 1, 1)
        expected = golden[f"h{number}_vertices"] * mirror
        assert np.abs((hand.vertices - hand.vertices.mean(0)) - (expected - expected.mean(0))).max() < 2e-6
    again = refine_hands(zidane, "meshgraphormer", boxes=boxes, rand_seed=8, device="cpu", models_dir=models)
    assert np.array_equal(made.depth, again.depth), "no random number is drawn"


class ReferenceBackbone(torch.nn.Module):
    """HRNet as published, with its normalisations."""

    def __init__(self):
        super().__init__()
        import timm

        self.network = timm.create_model("hrnet_w64", pretrained=False)

    def forward(self, pictures):
        net = self.network
        x = net.act2(net.bn2(net.conv2(net.act1(net.bn1(net.conv1(pictures))))))
        branches = net.stages(x)
        first = net.incre_modules[0](branches[0])
        for step, reduce, branch in zip(net.incre_modules[1:], net.downsamp_modules, branches[1:], strict=True):
            first = step(branch) + reduce(first)
        return net.final_layer(first).mean((2, 3)), first.flatten(2).transpose(1, 2)


def explicit_attention(query, key, value):
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    return torch.softmax(scores + torch.zeros_like(scores), -1) @ value  # with its additive mask, all zero


@pytest.fixture(scope="module")
def reference(models):
    """The network built and filled as the reference does: made with random weights, then overwritten."""
    network = transformer.MeshGraphormer()
    network.backbone = ReferenceBackbone()
    content = torch.load(models / PUBLISHED.path, map_location="cpu", weights_only=True)
    state = {name: tensor for name, tensor in converted(content).items() if not name.startswith("backbone.")}
    backbone = {name: tensor for name, tensor in content.items() if name.startswith("backbone.")}
    network.load_state_dict(state | {f"backbone.network.{name[9:]}": tensor for name, tensor in backbone.items()})
    return network.eval().requires_grad_(False)


def cast_rays(vertices: np.ndarray, faces: np.ndarray, focal: float, size: int) -> np.ndarray:
    """z (size, size) of the first triangle that the ray through each pixel meets, nan where it meets none.

    vertices : (V, 3) relative to the camera.
    """
    corners = vertices[faces].astype(np.float64)
    seen = corners[..., :2] / corners[..., 2:] * focal + size / 2
    low, high = seen.min(1), seen.max(1)
    first = np.clip(np.floor(low - 0.5), 0, size).astype(int)
    count = np.clip(np.ceil(high + 0.5), 0, size).astype(int) - first
    pairs = count.prod(1)
    face = np.repeat(np.arange(len(faces)), pairs)
    number = np.arange(len(face)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    x, y = first[face, 0] + number % count[face, 0], first[face, 1] + number // count[face, 0]
    ray = np.column_stack([(x + 0.5 - size / 2) / focal, (y + 0.5 - size / 2) / focal, np.ones(len(x))])
    a, b, c = corners[face].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    facing = (normal * ray).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        point = ray * ((normal * a).sum(1) / facing)[:, None]
    # Barycentric coordinates of the point in its triangle.
    e0, e1, e2 = b - a, c - a, point - a
    d00, d01, d11 = (e0 * e0).sum(1), (e0 * e1).sum(1), (e1 * e1).sum(1)
    d20, d21 = (e2 * e0).sum(1), (e2 * e1).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        v = (d11 * d20 - d01 * d21) / (d00 * d11 - d01 * d01)
        w = (d00 * d21 - d01 * d20) / (d00 * d11 - d01 * d01)
    hit = (v >= 0) & (w >= 0) & (v + w <= 1)
    pixel, depth, front = (y * size + x)[hit], point[hit, 2], facing[hit] <= 0
    order = np.lexsort((depth, pixel))
    pixel, at = np.unique(pixel[order], return_index=True)
    nearest = order[at]
    z = np.full(size * size, np.nan)
    z[pixel] = np.where(front[nearest], depth[nearest], np.nan)
    return z.reshape(size, size)


def timed(work):
    """What some work gives, and the least of three processor times of it."""
    seconds = []
    for _ in range(3):
        begun = time.process_time()
        found = work()
        seconds.append(time.process_time() - begun)
    return found, min(seconds)


def test_the_same_hands_as_by_the_references_steps_and_no_slower(zidane, boxes, models, reference, monkeypatch):
    run = start("cpu", models_dir=models, model=find_model("hands", "meshgraphormer"))
    template, crops = load_template(models), [Crop.around(box[:4], box[4]) for box in boxes]
    points, adjacency = torch.from_numpy(template.points), torch.from_numpy(template.adjacency)

    def ours():
        found = []
        for one, answer in zip(crops, answers.predict([(zidane, one) for one in crops], run, exact=True), strict=True):
            drawn = draw(answer.vertices, answer.faces, Lens.of(one, answer.camera), one, zidane.pixels.shape[:2])
            found.append((answer.camera, answer.vertices, drawn.z))
        return found

    @torch.no_grad()
    def theirs():
        found = []
        for one in crops:
            seen = answers._normalised(picture(zidane.pixels, one)[None], run, torch.float32).contiguous()
            camera, _, vertices = (answer[0].numpy() for answer in reference(seen, points, adjacency))
            lens = Lens.of(Crop(one.box, "right", one.left, one.top, one.size), camera)
            z = cast_rays(vertices - lens.translation, template.faces, lens.focal, one.size)
            found.append((camera, vertices, z))
        return found

    answers.ready(run)
    made, our_time = timed(ours)
    with monkeypatch.context() as patch:
        patch.setattr(transformer.functional, "scaled_dot_product_attention", explicit_attention)
        expected, their_time = timed(theirs)
    for one, (camera, vertices, z), (their_camera, their_vertices, their_z) in zip(crops, made, expected, strict=True):
        left = one.side == "left"  # the reference draws a right hand and turns the picture about
        np.testing.assert_allclose(camera, their_camera, atol=1e-5)
        np.testing.assert_allclose(vertices * ((-1, 1, 1) if left else (1, 1, 1)), their_vertices, atol=1e-5)
        their_z = their_z[:, ::-1] if left else their_z
        hit, their_hit = z > 0, np.isfinite(their_z)
        assert (hit != their_hit).sum() < 0.01 * their_hit.sum() and their_hit.sum() > 1000
        both = hit & their_hit
        assert np.percentile(np.abs(z - their_z)[both], 99) < 1e-3
    print(f"processor seconds a hand: {our_time / 2:.2f} here, {their_time / 2:.2f} by the reference's steps")
    assert our_time < 1.1 * their_time
