# SPDX-License-Identifier: GPL-3.0-or-later
"""LaMa: a small network laid out as the published one, saved as a TorchScript program, read as tensors and run."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from maquette import inference
from maquette.demo.samples import sample_photo
from maquette.inference import detailer
from maquette.inference.detailer.fill import lama
from maquette.installer.models import catalogue, sniff
from torch import nn

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

PHOTO = inference.load_photo(sample_photo("brick")).pixels[:90, :130]
WIDTH, BLOCKS = 8, 2


class Waves(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        half = outputs // 2
        self.conv1 = nn.Sequential(nn.Conv2d(inputs, half, 1, bias=False), nn.BatchNorm2d(half), nn.ReLU())
        self.fu = nn.Module()
        self.fu.conv_layer = nn.Conv2d(2 * half, 2 * half, 1, bias=False)
        self.fu.bn = nn.BatchNorm2d(2 * half)
        self.conv2 = nn.Conv2d(half, outputs, 1, bias=False)

    def forward(self, x):
        x = self.conv1(x)
        batch, channels, height, width = x.shape
        waves = torch.fft.rfftn(x, dim=(-2, -1), norm="ortho")
        parts = torch.stack([waves.real, waves.imag], 2).reshape(batch, 2 * channels, height, width // 2 + 1)
        parts = torch.relu(self.fu.bn(self.fu.conv_layer(parts))).reshape(batch, channels, 2, height, width // 2 + 1)
        back = torch.fft.irfftn(
            torch.complex(parts[:, :, 0], parts[:, :, 1]), s=(height, width), dim=(-2, -1), norm="ortho"
        )
        return self.conv2(x + back)


class Unit(nn.Module):
    """A convolution of both parts, each normalised."""

    def __init__(self, inputs, outputs, side, stride=1):
        super().__init__()
        self.ffc, given = (
            nn.Module(),
            {"stride": stride, "padding": side // 2, "padding_mode": "reflect", "bias": False},
        )
        self.ffc.convl2l = nn.Conv2d(inputs[0], outputs[0], side, **given)
        self.bn_l = nn.BatchNorm2d(outputs[0])
        self.inputs, self.far = inputs, bool(outputs[1])
        if self.far:
            self.ffc.convl2g = nn.Conv2d(inputs[0], outputs[1], side, **given)
            self.bn_g = nn.BatchNorm2d(outputs[1])
        if inputs[1]:
            self.ffc.convg2l = nn.Conv2d(inputs[1], outputs[0], side, **given)
            self.ffc.convg2g = Waves(inputs[1], outputs[1])

    def forward(self, near, far=None):
        local, wide = self.ffc.convl2l(near), self.ffc.convl2g(near) if self.far else None
        if far is not None:
            local, wide = local + self.ffc.convg2l(far), wide + self.ffc.convg2g(far)
        return torch.relu(self.bn_l(local)), torch.relu(self.bn_g(wide)) if self.far else None


class Block(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.conv1, self.conv2 = Unit(sizes, sizes, 3), Unit(sizes, sizes, 3)

    def forward(self, near, far):
        first, second = self.conv2(*self.conv1(near, far))
        return near + first, far + second


class Reference(nn.Module):
    """The published layout, layer for layer, with the published names."""

    def __init__(self):
        super().__init__()
        deep = (2 * WIDTH, 6 * WIDTH)
        sizes = [(WIDTH, 0), (2 * WIDTH, 0), (4 * WIDTH, 0), deep]
        layers = [nn.Identity(), Unit((4, 0), (WIDTH, 0), 7)]
        layers += [Unit(sizes[at], sizes[at + 1], 3, 2) for at in range(3)] + [Block(deep) for _ in range(BLOCKS)]
        layers += [nn.Identity()]
        for at in (8, 4, 2):
            up = nn.ConvTranspose2d(at * WIDTH, at * WIDTH // 2, 3, 2, 1, output_padding=1)
            layers += [up, nn.BatchNorm2d(at * WIDTH // 2), nn.ReLU()]
        layers += [nn.Identity(), nn.Conv2d(WIDTH, 3, 7, padding=3, padding_mode="reflect"), nn.Sigmoid()]
        self.model = nn.ModuleList(layers)

    def forward(self, x):
        state = (x,)
        for layer in self.model:
            if isinstance(layer, (Unit, Block)):
                state = layer(*(part for part in state if part is not None))
            else:
                state = (layer(torch.cat([part for part in state if part is not None], 1)),)
        return state[0]


class Wrapped(nn.Module):
    """As the published program holds its network."""

    def __init__(self, generator):
        super().__init__()
        self.model = nn.Module()
        self.model.generator = generator

    def forward(self, x):
        return self.model.generator(x)


@pytest.fixture(scope="module")
def reference():
    torch.manual_seed(0)
    network = Reference()
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.3, 2)
            part.weight.data.uniform_(0.5, 2)
            part.bias.data.normal_(0, 0.1)
    return network.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def root(reference, tmp_path_factory):
    """The models' folder with the small network as a TorchScript program."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "detailer").mkdir()
    torch.jit.trace(Wrapped(reference).eval(), torch.rand(1, 4, 64, 64)).save(str(folder / "detailer" / "big-lama.pt"))
    yield folder
    inference.free_memory()


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(lama, "WIDTH", WIDTH)
    monkeypatch.setattr(lama, "BLOCKS", BLOCKS)


def mask():
    mask = np.zeros(PHOTO.shape[:2], np.float32)
    mask[30:61, 40:85] = 1
    return mask


def test_the_folded_network_is_the_published_one(reference, monkeypatch):
    state = {f"generator.{name}": tensor for name, tensor in reference.state_dict().items()}
    ours = lama.Network(WIDTH, BLOCKS).eval()
    ours.load_state_dict(lama.converted({**state, "discriminator.model0.0.weight": torch.zeros(1)}))
    seen = torch.rand(1, 4, 72, 104)
    with torch.no_grad():
        torch.testing.assert_close(ours(seen), reference(seen), atol=2e-5, rtol=1e-4)


def test_the_published_size():
    with torch.device("meta"):
        network = lama.Network(64, 18)
    count = sum(tensor.numel() for tensor in network.parameters())
    assert count == pytest.approx(51e6, rel=0.01), "the published file's 205 MB"


def test_it_fills_the_hole_alone_and_says_what_it_does_not_use(root, reference, monkeypatch):
    monkeypatch.setattr(torch.jit, "load", None)  # nothing in the file is run
    given = {"model": "lama", "models_dir": root, "device": "cpu", "denoise": 1.0, "feather": 0}
    found = detailer.detail_mask(PHOTO, mask(), **given)
    before = PHOTO.astype(np.float32) / 255
    np.testing.assert_array_equal(found.image[0][mask() == 0], before[mask() == 0])
    part = found.segments[0]
    x0, y0, x1, y1 = part.crop
    hole = mask()[y0:y1, x0:x1] > 0
    seen = np.dstack([before[y0:y1, x0:x1] * ~hole[..., None], hole]).astype(np.float32)
    seen = np.pad(seen, ((0, -seen.shape[0] % 8), (0, -seen.shape[1] % 8), (0, 0)), mode="symmetric")
    with torch.no_grad():
        wanted = reference(torch.from_numpy(seen).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(
        found.image[0][y0:y1, x0:x1][hole], wanted[: hole.shape[0], : hole.shape[1]][hole], atol=1e-4
    )
    smaller = detailer.detail_mask(PHOTO, mask(), **{**given, "max_size": 64})
    assert max(smaller.segments[0].work) <= 64 and np.abs(smaller.image[0] - before)[45, 60].max() > 0
    as_checkpoint = detailer.detail_mask(PHOTO, mask(), **{**given, "model": detailer.Checkpoint("lama")})
    np.testing.assert_array_equal(as_checkpoint.image, found.image)
    plan = detailer.plan(PHOTO, mask(), **given)
    assert plan.calls == 0 and plan.weights > 2e8


def test_the_file_is_known_by_its_content(root, monkeypatch):
    file = next(file for file in catalogue.files() if file.path == "detailer/big-lama.pt")
    narrow = replace(file, bytes=0, sha256="", holds=("model.1.bn_l.running_mean 8", "model.18.weight 3x8x7x7"))
    monkeypatch.setattr(sniff.catalogue, "files", lambda: (narrow,))
    assert sniff.check(narrow, root / file.path) == ""
    assert sniff.check(file, root / file.path), "another width"


def test_without_its_file_it_is_offered(tmp_path):
    with pytest.raises(inference.MissingModel) as caught:
        detailer.detail_mask(PHOTO, mask(), "lama", models_dir=tmp_path, device="cpu")
    assert caught.value.arguments == {"file": "detailer/big-lama.pt"}
    with pytest.raises(inference.MissingModel):
        detailer.plan(PHOTO, mask(), "lama", models_dir=tmp_path)
