# SPDX-License-Identifier: GPL-3.0-or-later
"""What a hook may do. All methods are optional: an object with some of them will do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from .job import Settings


class Hook(Protocol):
    """Called for each segment in this order; each gives back what is to be used instead, or what it was given.

    A latent is a torch tensor for diffusion models, and the crop itself for any other engine.
    """

    def touch_scaled_size(self, width: int, height: int) -> tuple[int, int]:
        """The size at which a crop is worked on."""
        ...

    def post_encode(self, latent: Any) -> Any:
        """The latent of a crop."""
        ...

    def set_steps(self, steps: tuple[int, int]) -> None:
        """Told before each cycle: its number (from 0) and how many there are. Its answer is not used."""
        ...

    def cycle_latent(self, latent: Any) -> Any:
        """The latent with which a cycle begins."""
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
        """The whole picture with the crop laid over it."""
        ...


def asked(hook: Any, name: str, value: Any, *arguments: Any) -> Any:
    """What the hook's method `name` makes of `value`; the value itself without a hook, or where it has no such method.

    arguments : given to the method instead of the value.
    """
    method = getattr(hook, name, None)
    return value if method is None else method(*(arguments or (value,)))
