# SPDX-License-Identifier: GPL-3.0-or-later
"""LaMa ("big-lama", Suvorov et al. 2022): a network that fills holes, large ones and patterns too, in one pass.

Each layer has a local part, which sees its neighbours, and a global one, which sees the whole picture by its Fourier
transform (Chi et al. 2020, "Fast Fourier Convolution"). Normalisations are folded into the convolutions when the file
is converted. The published file is a TorchScript program, of which the tensors alone are read.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from ...runtime.memory import keep
from ...weights import Published, load_network
from . import filled_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...runtime import Run
    from ..settings import Settings

    Pixels = NDArray[np.float32]

#: Channels of the first layer, blocks between the ends, and the share of the channels that are global.
WIDTH, BLOCKS, GLOBAL = 64, 18, 0.75
#: Both sides of what the network sees are multiples of the first, and at least the second.
_MULTIPLE, _LEAST = 8, 64
#: Added to a variance where normalisations are folded.
_EPSILON = 1e-5
#: Number of the first block and of the first of three enlarging layers among the published layers.
_FIRST_BLOCK = 5


class _Layer(nn.Module):
    """A convolution of (B, inputs, H, W), the global channels last, to as many local and global outputs."""

    def __init__(self, inputs: tuple[int, int], outputs: tuple[int, int], side: int, stride: int = 1) -> None:
        super().__init__()
        given = {"stride": stride, "padding": side // 2, "padding_mode": "reflect"}
        self.inputs = inputs
        self.local = nn.Conv2d(sum(inputs), outputs[0], side, **given)
        if outputs[1]:
            self.far = nn.Conv2d(inputs[0], outputs[1], side, **given)
        if inputs[1]:
            half = outputs[1] // 2
            self.squeeze = nn.Conv2d(inputs[1], half, 1)
            self.waves = nn.Conv2d(2 * half, 2 * half, 1)
            self.widen = nn.Conv2d(half, outputs[1], 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        near = self.local(x).relu()
        if not hasattr(self, "far"):
            return near
        local, far = x.split(self.inputs, 1)
        wide = self.far(local)
        if self.inputs[1]:
            seen = self.squeeze(far).relu()
            wide = wide + self.widen(seen + self._filtered(seen))
        return torch.cat([near, wide.relu()], 1)

    def _filtered(self, x: Tensor) -> Tensor:
        """Real and imaginary parts of each channel's waves lie one after the other."""
        waves = torch.view_as_real(torch.fft.rfft2(x, norm="ortho")).movedim(-1, 2).flatten(1, 2)
        waves = self.waves(waves).relu().unflatten(1, (-1, 2)).movedim(2, -1).contiguous()
        return torch.fft.irfft2(torch.view_as_complex(waves), s=x.shape[-2:], norm="ortho")


class _Block(nn.Module):
    def __init__(self, channels: tuple[int, int]) -> None:
        super().__init__()
        self.conv1, self.conv2 = (_Layer(channels, channels, 3) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv2(self.conv1(x))


class Network(nn.Module):
    """(B, 4, H, W), the picture 0..1 without what is under the mask, and the mask, to pictures (B, 3, H, W)."""

    def __init__(self, width: int, blocks: int) -> None:
        super().__init__()
        far = int(8 * width * GLOBAL)
        deep = (8 * width - far, far)
        self.start = _Layer((4, 0), (width, 0), 7)
        sizes = [(width, 0), (2 * width, 0), (4 * width, 0), deep]
        self.down = nn.Sequential(*(_Layer(sizes[at], sizes[at + 1], 3, 2) for at in range(3)))
        self.blocks = nn.Sequential(*(_Block(deep) for _ in range(blocks)))
        ups = [
            nn.ConvTranspose2d(width * 2 ** (3 - at), width * 2 ** (2 - at), 3, 2, 1, output_padding=1)
            for at in range(3)
        ]
        self.up = nn.ModuleList(ups)
        self.end = nn.Conv2d(width, 3, 7, padding=3, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(self.down(self.start(x)))
        for up in self.up:
            x = up(x).relu()
        return self.end(x).sigmoid()


def converted(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our names and folded weights, of a checkpoint or of the program that was traced of it. Raises KeyError."""
    first = next(name for name in published if name.endswith("model.1.ffc.convl2l.weight"))
    start = first.removesuffix("1.ffc.convl2l.weight")
    names = {name.removeprefix(start): value for name, value in published.items() if name.startswith(start)}
    count = len({name.split(".")[0] for name in names if ".conv1.ffc." in name})
    ours: dict[str, Tensor] = {}
    for layer, at in (("start", 1), *((f"down.{number}", number + 2) for number in range(3))):
        ours.update(_layer(names, f"{at}", layer))
    for number in range(count):
        for conv in ("conv1", "conv2"):
            ours.update(_layer(names, f"{_FIRST_BLOCK + number}.{conv}", f"blocks.{number}.{conv}"))
    for number in range(3):  # a layer that joins the parts comes first
        at = _FIRST_BLOCK + count + 1 + 3 * number
        scale, shift = _folded(names, str(at + 1))
        ours[f"up.{number}.weight"] = names[f"{at}.weight"] * scale[:, None, None]
        ours[f"up.{number}.bias"] = names[f"{at}.bias"] * scale + shift
    last = _FIRST_BLOCK + count + 11
    return {**ours, "end.weight": names[f"{last}.weight"], "end.bias": names[f"{last}.bias"]}


def _layer(names: dict[str, Tensor], theirs: str, ours: str) -> dict[str, Tensor]:
    """One convolution of both parts, with its normalisations folded in."""

    def weight(part: str, scale: Tensor) -> Tensor:
        return names[f"{theirs}.ffc.{part}.weight"] * scale[:, None, None, None]

    scale, shift = _folded(names, f"{theirs}.bn_l")
    parts = [weight("convl2l", scale)]
    made = {"local.bias": shift}
    if f"{theirs}.ffc.convl2g.weight" in names:
        scale_far, shift_far = _folded(names, f"{theirs}.bn_g")
        made |= {"far.weight": weight("convl2g", scale_far), "far.bias": shift_far}
        if f"{theirs}.ffc.convg2l.weight" in names:
            parts.append(weight("convg2l", scale))
            made["widen.weight"] = weight("convg2g.conv2", scale_far)
            for part, conv, norm in (("squeeze", "conv1.0", "conv1.1"), ("waves", "fu.conv_layer", "fu.bn")):
                inner, offset = _folded(names, f"{theirs}.ffc.convg2g.{norm}")
                made |= {f"{part}.weight": weight(f"convg2g.{conv}", inner), f"{part}.bias": offset}
    made["local.weight"] = torch.cat(parts, 1)
    return {f"{ours}.{name}": value for name, value in made.items()}


def _folded(names: dict[str, Tensor], norm: str) -> tuple[Tensor, Tensor]:
    """A normalisation as a factor and what is added."""
    scale = names[f"{norm}.weight"] / torch.sqrt(names[f"{norm}.running_var"] + _EPSILON)
    return scale, names[f"{norm}.bias"] - names[f"{norm}.running_mean"] * scale


PUBLISHED = Published("detailer/big-lama.pt", converted, ("state_dict",), script=True)


@dataclass(frozen=True)
class LamaEngine:
    """See `engines.Repainter`. Works at the photo's own size, or the `max_size` of the crop."""

    network: Any
    native = True

    @torch.no_grad()
    def repaint(self, crop: Pixels, noise_mask: Pixels | None, *, seed: int, settings: Settings) -> Pixels:
        def fill(picture: Pixels, hole: NDArray[np.bool_], _rng: Any) -> Pixels:
            settings.run.report(0.0, "Filling by LaMa")
            height, width = hole.shape
            down, right = (max(-side % _MULTIPLE, _LEAST - side) for side in (height, width))
            seen = np.dstack([picture * ~hole[..., None], hole]).astype(np.float32)
            seen = cv2.copyMakeBorder(seen, 0, down, 0, right, cv2.BORDER_REFLECT)
            device = next(self.network.parameters()).device
            painted = self.network(torch.from_numpy(seen).permute(2, 0, 1)[None].to(device))[0]
            return np.where(hole[..., None], painted.permute(1, 2, 0).cpu().numpy()[:height, :width], picture)

        return filled_in(crop, noise_mask, settings, np.random.default_rng(seed), fill, own_size=False)


def engine(run: Run) -> LamaEngine:
    """Raises `MissingModel` and `BadModelFile`."""
    run = replace(run, precision="float32")  # its waves need it
    key = ("lama", str(run.models_dir), run.device)
    return LamaEngine(keep(key, lambda: load_network(run, PUBLISHED, lambda: Network(WIDTH, BLOCKS))))
