# SPDX-License-Identifier: GPL-3.0-or-later
"""Metric3D's larger networks against the reference's results with the same made-up weights: 2 GB and 5.5 GB of them.

golden/metric3d_large_a.npz holds parts of the node's whole way on a photo, metric3d_giant2_net.npz of the bare network.
What the float32 tolerances leave room for is the noise of rounding: with another number of threads it is 2e-4 (giant2
9e-4) in depth, whose range is 0.1 to 200, and 2e-5 (4e-5) in normals.
"""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from maquette import inference
from maquette.demo.samples import sample_photo
from maquette.inference.models.metric3d import kept_network
from maquette.inference.registry import find_model
from maquette.inference.runtime import start

pytestmark = pytest.mark.full

GOLDEN = Path(__file__).parent / "golden"
TOKENS, DEPTH, NORMALS = 1e-4, 5e-3, 5e-4


@pytest.fixture(scope="module", params=["cpu", "cuda"])
def device(request):
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    return request.param


@pytest.fixture(scope="module")
def photo():
    return inference.Photo(inference.load_photo(sample_photo("astronaut")).pixels[:384])


@pytest.fixture
def loaded(synthetic, device):
    """A function: size -> the run and its network."""

    def load(size):
        models = synthetic(f"metric3d/metric_depth_vit_{size}")
        run = start(device, models_dir=models, model=find_model("depth", f"metric3d-vit-{size}"))
        return run, kept_network(run)

    yield load
    inference.free_memory()


def assert_close(found, expected, tolerance):
    array = found.float().cpu().numpy() if isinstance(found, torch.Tensor) else found
    np.testing.assert_allclose(array, expected, rtol=0, atol=tolerance)


def test_the_large_networks_whole_way(loaded, photo):
    run, network = loaded("large")
    golden = np.load(GOLDEN / "metric3d_large_a.npz")
    seen, changes = {}, []
    stages = ("", "encoder", "reassembly", "trunk")
    hooks = [
        module.register_forward_hook(lambda *hooked, stage=stage: seen.update({stage: hooked[1:]}))
        for stage, module in network.named_modules()
        if stage in stages
    ] + [
        head.register_forward_hook(lambda *hooked: changes.append(hooked[2][0, :, ::14, ::14].cpu().numpy()))
        for head in (network.refinement.depth, network.refinement.normal)
    ]
    where, pictures = {"models_dir": run.models_dir, "device": run.device}, {}
    for resolution in (512, 256):
        for kind, estimate in (("depth", inference.estimate_depth), ("normal", inference.estimate_normals)):
            pictures[kind, resolution] = estimate(photo, run.model.id, resolution=resolution, **where).preview
    for hook in hooks:
        hook.remove()
    (given, *_), levels = seen["encoder"]
    assert_close(given[0, :, ::16, ::16], golden["picture"], 1e-6)
    assert_close(levels[0][0, :5], golden["special"], TOKENS)
    assert_close(levels[0][0, 5::97, ::2], golden["patches"], TOKENS)
    for number, feature in enumerate(seen["reassembly"][1]):
        assert_close(feature[0, ::128, ::8, ::8], golden[f"t2f_{number}"], TOKENS)
    assert_close(seen["trunk"][1][0, ::64, ::7, ::7], golden["mono"], TOKENS)
    turns = np.array([np.concatenate(pair) for pair in zip(changes[::2], changes[1::2], strict=True)])
    assert_close(turns, golden["flow"], TOKENS)
    prediction = seen[""][1]
    assert_close(prediction.depth[0, ::8, ::8], golden["depth"], DEPTH)
    assert_close(prediction.confidence[0, ::8, ::8], golden["confidence"], NORMALS)
    assert_close(prediction.first_normal[0, :, ::12, ::12], golden["first_normal"], NORMALS)
    assert_close(prediction.normal[0, :, ::12, ::12], golden["normal"], NORMALS)
    for (kind, resolution), found in pictures.items():
        found = found[::4, ::4, 0] if kind == "depth" else found[::4, ::4]
        levels = np.abs(found.astype(int) - golden[f"{kind}_{resolution}"])
        assert levels.max() <= 1 and (levels > 0).mean() <= 0.01


@torch.inference_mode()
def test_the_largest_bare_network_and_its_half_precision(loaded, photo):
    """Half precision as computed on a device: weights and features float16, the state and the result float32."""
    run, network = loaded("giant2")
    golden = np.load(GOLDEN / "metric3d_giant2_net.npz")
    shrunk = np.asarray(cv2.resize(photo.pixels, (336, 196), interpolation=cv2.INTER_AREA), np.uint8)
    picture = torch.from_numpy(shrunk)[None].to(run.torch_device)
    levels = network.encoder(network.normalise(picture))
    features = network.reassembly(levels, (14, 24))
    every = 8 if network.encoder.taps else 2
    for number, level in enumerate(levels):
        name = f"tokens_{number}" if f"tokens_{number}" in golden else "tokens_0"
        assert_close(level[0, ::12, ::every], golden[name], TOKENS)
    for number, feature in enumerate(features):
        assert_close(feature[0, ::32, ::3, ::3], golden[f"t2f_{number}"], TOKENS)
    assert_close(network.trunk(features)[0, ::16, ::3, ::3], golden["mono"], TOKENS)
    prediction = network(picture)
    assert_close(prediction.depth[0, ::4, ::4], golden["depth"], DEPTH)
    assert_close(prediction.confidence[0, ::4, ::4], golden["confidence"], NORMALS)
    assert_close(prediction.first_normal[0, :, ::6, ::6], golden["first_normal"], NORMALS)
    assert_close(prediction.normal[0, :, ::6, ::6], golden["normal"], NORMALS)
    small = picture[:, 28:140, 84:252].contiguous()  # a CPU is slow in float16
    exact = network(small)
    rounded = network.to(torch.float16)(small)
    error = (rounded.depth - exact.depth).abs() / exact.depth.std()
    assert 1e-3 < error.max() < 0.1 and error.mean() < 0.02
    assert (rounded.normal - exact.normal)[:, :3].abs().mean() < 0.005
