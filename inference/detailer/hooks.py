# SPDX-License-Identifier: GPL-3.0-or-later
"""What a hook may do. All methods are optional: any object with some of them will do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .settings import Settings


class Hook(Protocol):
    """Called for each segment in this order; each method returns its input, or what to use instead of it.

    A latent is a torch tensor for diffusion models, and the crop itself for any other engine.
    """

    def touch_scaled_size(self, width: int, height: int) -> tuple[int, int]:
        """The size at which a crop is worked on."""
        ...

    def post_encode(self, latent: Any) -> Any:
        """The latent of a crop."""
        ...

    def set_steps(self, steps: tuple[int, int]) -> None:
        """Called before each cycle with its number (from 0) and their count. What it returns is not used."""
        ...

    def cycle_latent(self, latent: Any) -> Any:
        """The latent that a cycle starts from."""
        ...

    def pre_ksample(self, settings: Settings, seed: int) -> tuple[Settings, int]:
        """How a cycle is sampled: steps, cfg, sampler, scheduler, denoise, prompts, and the seed."""
        ...

    def get_custom_noise(self, seed: int, latent: Any) -> Any:
        """The noise of a cycle; None for the seed's own."""
        ...

    def pre_decode(self, latent: Any) -> Any:
        """The latent after the last cycle."""
        ...

    def post_decode(self, pixels: Any) -> Any:
        """The repainted crop."""
        ...

    def post_paste(self, picture: Any) -> Any:
        """The whole picture with the crop pasted into it."""
        ...


def call_hook(hook: Any, name: str, value: Any, *arguments: Any) -> Any:
    """What the hook's method `name` returns; `value` without a hook, or where it has no such method.

    arguments : passed to the method instead of the value.
    """
    method = getattr(hook, name, None)
    return value if method is None else method(*(arguments or (value,)))


def run_cycles(
    latent: Any, seeds: Sequence[int], settings: Settings, sample: Callable[[Any, int, Settings], Any]
) -> Any:
    """The latent (or picture) after all cycles, with the hook's calls around each. sample : one cycle."""
    hook, runs = settings.hook, settings.run.parts(len(seeds))
    latent = call_hook(hook, "post_encode", latent)
    for cycle, (seed, run) in enumerate(zip(seeds, runs, strict=True)):
        part = replace(settings, cycle=cycle, run=run)
        call_hook(hook, "set_steps", None, (cycle, len(seeds)))
        latent = call_hook(hook, "cycle_latent", latent)
        part, seed = call_hook(hook, "pre_ksample", (part, seed), part, seed)
        latent = sample(latent, seed, part)
    return call_hook(hook, "pre_decode", latent)
