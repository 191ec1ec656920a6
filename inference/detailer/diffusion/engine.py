# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: a crop becomes a latent, goes through the sampler under its mask, and comes back as a picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from ..hooks import asked
from ..job import Settings
from ..sampling.masked import Kept, noised, sample
from ..sampling.schedules import sigmas, step_range
from .denoiser import Control, Denoiser, Inpainting, Prompt

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    Pixels = NDArray[np.float32]

#: Side of a latent pixel in pixels of the picture.
_GRID = 8


@dataclass(frozen=True)
class DiffusionEngine:
    """Repaints crops with a diffusers pipeline's networks. control : a ControlNet of diffusers, or None."""

    pipeline: Any
    control: Any = None

    def repaint(self, crop: Pixels, noise_mask: Pixels | None, *, seed: int, settings: Settings) -> Pixels:
        """See `job.Engine`."""
        return self.repaint_cycles(crop, noise_mask, seeds=[seed], settings=settings)

    @torch.no_grad()
    def repaint_cycles(
        self, crop: Pixels, noise_mask: Pixels | None, *, seeds: list[int], settings: Settings
    ) -> Pixels:
        """All cycles on one latent, without a picture in between."""
        picture = _centred(_tensor(crop, self._device)[None])
        clean = self.encoded(picture)
        mask = None if noise_mask is None else _resized(torch.from_numpy(noise_mask)[None, None], clean.shape[2:])
        work = _Work(self, settings, picture, clean, None if mask is None else mask.to(self._device), noise_mask)
        latent = asked(settings.hook, "post_encode", clean)
        for cycle, seed in enumerate(seeds):
            part = replace(settings, cycle=cycle, run=settings.run.part(cycle / len(seeds), (cycle + 1) / len(seeds)))
            asked(settings.hook, "set_steps", None, (cycle, len(seeds)))
            latent = asked(settings.hook, "cycle_latent", latent)
            part, seed = asked(settings.hook, "pre_ksample", (part, seed), part, seed)
            latent = replace(work, settings=part, clean=latent).sampled(seed)
        latent = asked(settings.hook, "pre_decode", latent)
        return asked(settings.hook, "post_decode", self.decoded(latent))

    def encoded(self, picture: Tensor) -> Tensor:
        """Latent (1, 4, h, w) float32 of a picture (1, 3, H, W) 0..1: the mode of the encoder's distribution."""
        vae = self.pipeline.vae
        mean = vae.encode((picture * 2 - 1).to(vae.dtype)).latent_dist.mode()
        return mean.float() * vae.config.scaling_factor

    def decoded(self, latent: Tensor) -> Pixels:
        """Picture (H, W, 3) float32 of a latent."""
        vae = self.pipeline.vae
        picture = vae.decode((latent / vae.config.scaling_factor).to(vae.dtype), return_dict=False)[0]
        return ((picture[0].float() + 1) / 2).clamp(0, 1).permute(1, 2, 0).cpu().numpy()

    def prompts(self, settings: Settings, width: int, height: int) -> tuple[Prompt, Prompt]:
        """The positive and the negative prompt, encoded."""
        return _encoded(self.pipeline, settings, width, height)

    @property
    def _device(self) -> torch.device:
        return self.pipeline.unet.device


@dataclass(frozen=True)
class _Work:
    """One crop under the sampler. clean : its latent without noise."""

    engine: DiffusionEngine
    settings: Settings
    picture: Tensor
    clean: Tensor
    mask: Tensor | None
    noise_mask: Pixels | None

    def sampled(self, seed: int) -> Tensor:
        settings = self.settings
        levels = sigmas(settings.scheduler, step_range(settings.steps, settings.denoise)[0], settings.sampler)
        levels = levels[-(settings.steps + 1) :]
        noise = asked(settings.hook, "get_custom_noise", None, seed, self.clean)
        noise = _noise(seed, self.clean) if noise is None else noise
        steps = len(levels) - 1
        keep_noise = _noise(seed + 1, self.clean) if settings.sampler == "ddim" else noise
        split = steps if settings.refiner is None else int(steps * (1 - settings.refiner_ratio))
        latent = noised(self.clean, noise, float(levels[0]))
        count = _Count(settings, steps)
        for engine, part in ((self.engine, levels[: split + 1]), (settings.refiner, levels[split:])):
            if engine is None or len(part) < 2:
                continue
            kept = None
            if self.mask is not None:
                kept = Kept(self.mask, self.clean, keep_noise, settings.differential)
            denoise = count.counted(self._denoiser(engine))
            latent = sample(settings.sampler, denoise, latent, part, _draws(seed, self.clean), kept)
        return latent

    def _denoiser(self, engine: DiffusionEngine) -> Denoiser:
        height, width = self.picture.shape[2:]
        positive, negative = engine.prompts(self.settings, width, height)
        prediction = engine.pipeline.scheduler.config.get("prediction_type", "epsilon")
        control = None
        if engine.control is not None and self.settings.control is not None:
            control = Control(engine.control, _centred(_tensor(self.settings.control, self.clean.device)[None]))
        unet = engine.pipeline.unet
        hole = self._hole() if unet.config.in_channels == 9 else None
        return Denoiser(unet, positive, negative, self.settings.cfg, prediction, hole, control)

    def _hole(self) -> Inpainting | None:
        """The picture with grey in place of what the mask covers, for models made for inpainting."""
        if self.noise_mask is None:
            return None
        mask = _resized(torch.from_numpy(self.noise_mask)[None, None], self.picture.shape[2:]).round()
        mask = mask.to(self.clean.device)
        grey = (self.picture - 0.5) * (1 - mask) + 0.5
        return Inpainting(_resized(mask, self.clean.shape[2:]).round(), self.engine.encoded(grey))


@dataclass
class _Count:
    """Progress in calls of the model, which is where a job can be cancelled."""

    settings: Settings
    steps: int
    calls: int = 0

    def counted(self, denoise: Denoiser) -> Callable[[Tensor, float], Tensor]:
        def call(x: Tensor, sigma: float) -> Tensor:
            self.settings.run.report(min(self.calls / max(self.steps, 1), 1.0), f"Step {self.calls + 1}")
            self.calls += 1
            return denoise(x, sigma)

        return call


def _encoded(pipeline: Any, settings: Settings, width: int, height: int) -> tuple[Prompt, Prompt]:
    guided = settings.cfg != 1
    arguments = {
        "prompt": settings.prompt,
        "negative_prompt": settings.negative_prompt,
        "device": pipeline.unet.device,
        "num_images_per_prompt": 1,
        "do_classifier_free_guidance": guided,
    }
    encoded = pipeline.encode_prompt(**arguments)
    if len(encoded) == 2:
        positive, negative = encoded
        return Prompt(positive, {}), Prompt(negative if guided else positive, {})
    positive, negative, pooled, negative_pooled = encoded
    size = torch.tensor([[height, width, 0, 0, height, width]], device=positive.device, dtype=positive.dtype)
    first = Prompt(positive, {"text_embeds": pooled, "time_ids": size})
    if not guided:
        return first, first
    return first, Prompt(negative, {"text_embeds": negative_pooled, "time_ids": size})


def _noise(seed: int, like: Tensor) -> Tensor:
    """Normal noise drawn on the CPU, so that a seed means the same on every device."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed % 2**63)).to(like.device)


def _draws(seed: int, like: Tensor) -> Callable[[], Tensor]:
    """Fresh noise for the steps that add some, from a generator of its own."""
    generator = torch.Generator().manual_seed((seed + 2**32) % 2**63)
    return lambda: torch.randn(like.shape, generator=generator).to(like.device)


def _tensor(pixels: Pixels, device: torch.device) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).to(device)


def _centred(picture: Tensor) -> Tensor:
    """The middle of a picture whose sides are no multiples of 8."""
    height, width = (math.floor(side / _GRID) * _GRID for side in picture.shape[2:])
    top, left = (picture.shape[2] - height) // 2, (picture.shape[3] - width) // 2
    return picture[:, :, top : top + height, left : left + width]


def _resized(mask: Tensor, size: torch.Size) -> Tensor:
    return functional.interpolate(mask.float(), size=tuple(size), mode="bilinear")
