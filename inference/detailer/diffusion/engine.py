# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine: a crop becomes a latent, goes through the sampler under its mask, and comes back as a picture."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional

from ..blending import centred, with_hole
from ..hooks import call_hook, run_cycles
from ..sampling.masked import InpaintContext, calls_per_step, noised, sample
from ..sampling.schedules import sigmas_from, steps_before_refiner
from ..settings import Settings
from .denoiser import Control, Denoiser, InpaintConditioning, Prompt
from .flow import PROMPTS, tile_side
from .tokens import Encoded, encode

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    Pixels = NDArray[np.float32]

#: Aesthetic scores that SDXL's refiner takes with the prompt and the negative prompt.
_SCORE, _NEGATIVE_SCORE = 6.0, 2.5


@dataclass(frozen=True)
class DiffusionEngine:
    """Repaints crops with a diffusers pipeline's networks; see `engines.Engine`.

    control : a ControlNet of diffusers, or None.  device : where the networks work; with `offload`, only the one in use
    lies there.  notes : what the artist should know about the model, a sentence each.
    learned : text encoder -> word of a textual inversion -> its tokens.
    """

    pipeline: Any
    control: Any
    device: torch.device
    offload: bool = False
    notes: tuple[str, ...] = ()
    learned: Mapping[str, Mapping[str, list[int]]] = field(default_factory=dict)
    _prompts: dict[tuple[str, int], list[Encoded]] = field(default_factory=dict, repr=False, compare=False)

    @property
    def native(self) -> bool:
        return False

    @torch.no_grad()
    def repaint_cycles(
        self, crop: Pixels, noise_mask: Pixels | None, *, seeds: list[int], settings: Settings
    ) -> Pixels:
        """All cycles on one latent, without a picture in between; see `engines.Repainter.repaint`."""
        for note in self.notes:
            settings.state.note(note)
        with self._tiles((crop.shape[0], crop.shape[1]), settings.state.tiled):
            sampler = self._sampler(crop, noise_mask, settings)
            latent = run_cycles(sampler.clean, seeds, settings, sampler.sampled)
            return call_hook(settings.hook, "post_decode", self.decoded(latent))

    def _sampler(self, crop: Pixels, noise_mask: Pixels | None, settings: Settings) -> _CropSampler:
        clean = self.encoded(centred(crop))
        if noise_mask is None:
            return _CropSampler(self, settings, clean, None, None)
        grey, cut = with_hole(crop, noise_mask)
        hole = None
        if any(one is not None and one.sees_hole for one in (self, settings.refiner)):
            hole = InpaintConditioning(_resized(cut, clean).round(), self.encoded(grey))
        mask = _resized(cut if settings.inpaint_model else noise_mask, clean)
        return _CropSampler(self, settings, clean, mask, hole)

    @property
    def sees_hole(self) -> bool:
        """Whether a network was made for inpainting."""
        networks = [network for network in (self.pipeline.unet, self.control) if network is not None]
        return any(network.config.in_channels == 9 for network in networks)

    def encoded(self, picture: Pixels) -> Tensor:
        """Latent (1, 4, h, w) float32 of a picture (H, W, 3) 0..1: the mode of the encoder's distribution."""
        vae = self.pipeline.vae
        with self.working(vae):
            tensor = _tensor(picture, self.device)
            mean = vae.encode((tensor * 2 - 1).to(vae.dtype)).latent_dist.mode()
        return mean.float() * vae.config.scaling_factor

    def decoded(self, latent: Tensor) -> Pixels:
        """Picture (H, W, 3) float32 of a latent."""
        vae = self.pipeline.vae
        with self.working(vae):
            picture = vae.decode((latent / vae.config.scaling_factor).to(vae.dtype), return_dict=False)[0]
        return ((picture[0].float() + 1) / 2).clamp(0, 1).permute(1, 2, 0).cpu().numpy()

    def prompts(self, settings: Settings, width: int, height: int) -> tuple[Prompt, Prompt]:
        """The positive and the negative prompt, encoded. width, height : of the picture, which SDXL takes as well."""
        positive = self._prompt(settings.prompt, settings.clip_skip, width, height, _SCORE)
        if settings.cfg == 1:
            return positive, positive
        return positive, self._prompt(settings.negative_prompt, settings.clip_skip, width, height, _NEGATIVE_SCORE)

    def _prompt(self, text: str, skip: int, width: int, height: int, score: float) -> Prompt:
        parts = self._texts(text, skip)
        embeddings = torch.cat([part.embeddings for part in parts], dim=-1)
        pooled, config = parts[-1].pooled, self.pipeline.unet.config
        if config.get("addition_embed_type") != "text_time" or pooled is None:
            return Prompt(embeddings, {})
        numbers = (config.projection_class_embeddings_input_dim - pooled.shape[-1]) // config.addition_time_embed_dim
        ids = [height, width, 0, 0, score] if numbers == 5 else [height, width, 0, 0, height, width]
        sizes = torch.tensor([ids], device=pooled.device, dtype=pooled.dtype)
        return Prompt(embeddings, {"text_embeds": pooled, "time_ids": sizes})

    def _texts(self, text: str, skip: int) -> list[Encoded]:
        """What each text encoder makes of a prompt."""
        key = (text, skip)
        if key not in self._prompts:
            if len(self._prompts) >= PROMPTS:
                self._prompts.clear()
            pipeline = self.pipeline
            last_but_one = getattr(pipeline, "text_encoder_2", None) is not None
            parts = []
            for end in ("", "_2"):
                encoder = getattr(pipeline, "text_encoder" + end, None)
                if encoder is not None:
                    with self.working(encoder):
                        given = getattr(pipeline, "tokenizer" + end), encoder
                        words = self.learned.get("text_encoder" + end)
                        parts.append(encode(text, *given, penultimate=last_but_one, skip=skip, learned=words))
            self._prompts[key] = parts
        return self._prompts[key]

    @contextmanager
    def working(self, *networks: Any) -> Iterator[None]:
        """Around the work of networks: with `offload` they lie on the device only during it."""
        if not self.offload:
            yield
            return
        try:
            for network in networks:
                network.to(self.device)
            yield
        finally:
            for network in networks:
                network.to("cpu")

    @contextmanager
    def _tiles(self, size: tuple[int, int], tiled: bool) -> Iterator[None]:
        """Around the work on a crop of a size in pixels, which may go through the VAE in tiles."""
        vae = self.pipeline.vae
        if not tiled:
            yield
            return
        before = vae.tile_sample_min_size, vae.tile_latent_min_size
        ratio = 2 ** (len(vae.config.block_out_channels) - 1)
        side = tile_side(size, ratio)
        vae.tile_sample_min_size, vae.tile_latent_min_size = side, side // ratio
        vae.enable_tiling()
        try:
            yield
        finally:
            vae.disable_tiling()
            vae.tile_sample_min_size, vae.tile_latent_min_size = before


@dataclass(frozen=True)
class _CropSampler:
    """Samples one crop. clean : its latent without noise.  hole : for networks made for inpainting."""

    engine: DiffusionEngine
    settings: Settings
    clean: Tensor
    mask: Tensor | None
    hole: InpaintConditioning | None

    def sampled(self, latent: Tensor, seed: int, settings: Settings) -> Tensor:
        """The latent after one cycle."""
        return replace(self, settings=settings, clean=latent)._sampled(seed)

    def _sampled(self, seed: int) -> Tensor:
        settings = self.settings
        levels = sigmas_from(settings.scheduler, settings.steps, settings.denoise, settings.sampler)
        noise = call_hook(settings.hook, "get_custom_noise", None, seed, self.clean)
        noise = _noise(seed, self.clean) if noise is None else noise
        steps = len(levels) - 1
        keep_noise = _noise(seed + 1, self.clean) if settings.sampler == "ddim" else noise
        split = steps if settings.refiner is None else steps_before_refiner(steps, settings.refiner_ratio)
        latent = noised(self.clean, noise, float(levels[0]))
        progress = _StepProgress(settings, steps)
        passes = (self.engine, levels[: split + 1]), (settings.refiner, levels[split:])
        for number, (engine, part) in enumerate(passes):
            if engine is None or len(part) < 2:
                continue
            if settings.compatibility and number == 1:
                latent, keep_noise = self._handed_over(latent if split else self.clean, keep_noise)
            context = None
            if self.mask is not None:
                context = InpaintContext(self.mask, self.clean, keep_noise, settings.differential)
            denoiser = self._denoiser(engine, levels)
            networks = [denoiser.unet] + ([denoiser.control.network] if denoiser.control else [])
            with engine.working(*networks):
                latent = sample(
                    settings.sampler, progress.around(denoiser), latent, part, _draws(seed, self.clean), context
                )
        return latent

    def _handed_over(self, latent: Tensor, keep_noise: Tensor) -> tuple[Tensor, Tensor]:
        """What the Impact Pack gives a refiner: the kept part carries no noise (except with "ddim", which draws its
        own), and without a step of the first model nothing does."""
        if self.mask is not None:
            latent = latent * self.mask + self.clean * (1 - self.mask)
        return latent, keep_noise if self.settings.sampler == "ddim" else torch.zeros_like(keep_noise)

    def _denoiser(self, engine: DiffusionEngine, levels: NDArray[np.float64]) -> Denoiser:
        settings = self.settings
        height, width = (8 * side for side in self.clean.shape[2:])
        positive, negative = engine.prompts(settings, width, height)
        return Denoiser(
            engine.pipeline.unet,
            positive,
            negative,
            settings.cfg,
            engine.pipeline.scheduler.config.get("prediction_type", "epsilon"),
            self.hole if engine.sees_hole else None,
            self._control(engine, levels),
            together=not settings.state.tiled,
        )

    def _control(self, engine: DiffusionEngine, levels: NDArray[np.float64]) -> Control | None:
        settings = self.settings
        if engine.control is None or settings.control is None:
            if settings.control is not None and engine is self.engine:
                settings.state.note("The model has no ControlNet, so the control picture was not used.")
            if engine.control is not None:
                settings.state.note("There is no control picture, so the ControlNet was not used.")
            return None
        steps = len(levels) - 1
        first, last = (float(levels[round(share * steps)]) for share in (settings.control_start, settings.control_end))
        picture = _tensor(centred(settings.control), engine.device)
        return Control(engine.control, picture, settings.control_strength, first, last)


@dataclass
class _StepProgress:
    """Reports progress at each call of the model, where a job can be cancelled."""

    settings: Settings
    steps: int
    calls: int = 0

    def around(self, denoise: Denoiser) -> Callable[[Tensor, float], Tensor]:
        each = calls_per_step(self.settings.sampler)

        def call(x: Tensor, sigma: float) -> Tensor:
            share = self.calls / (self.steps * each)
            step = min(self.calls // each, self.steps - 1)
            self.settings.run.report(share, f"Step {step + 1} of {self.steps}")
            self.calls += 1
            return denoise(x, sigma)

        return call


def _noise(seed: int, like: Tensor) -> Tensor:
    """Normal noise drawn on the CPU, so that a seed means the same on every device."""
    return torch.randn(like.shape, generator=torch.Generator().manual_seed(seed % 2**64)).to(like.device)


def _draws(seed: int, like: Tensor) -> Callable[[], Tensor]:
    """Fresh noise for the steps that add some, from a generator of its own."""
    generator = torch.Generator().manual_seed((seed + 2**32) % 2**64)
    return lambda: torch.randn(like.shape, generator=generator).to(like.device)


def _tensor(pixels: Pixels, device: torch.device) -> Tensor:
    """A picture (H, W, 3) as (1, 3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1))).to(device)[None]


def _resized(mask: Pixels, latent: Tensor) -> Tensor:
    """A mask (h, w) as (1, 1, h', w'), at the size of a latent."""
    tensor = torch.from_numpy(np.ascontiguousarray(mask))[None, None].float()
    return functional.interpolate(tensor, size=tuple(latent.shape[2:]), mode="bilinear").to(latent.device)
