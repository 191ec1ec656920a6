# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of painting models that diffusers has whole pipelines for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """How the pipelines of one kind are called.

    pipeline : diffusers' class that paints under a mask.  guidance : its keyword for `cfg`.
    negative : whether it takes a negative prompt.
    controlled, control : diffusers' classes that do so with a ControlNet, and of that network; "" for none.
    follows_photo : what its ControlNet follows is the photo itself, not a picture of its own.
    area : pixels that its pictures have whatever the crop's size, 0 for the crop's own.
    pictures : how many of the picture's size the transformer sees at once.  guided : of them, with guidance.
    per_token, per_pixel : float32 numbers at the peak, of the transformer for a token (2 x 2 latent pixels) and a
    channel, of the VAE for a pixel and a channel of its first two levels; measured by benchmarks/detailer.py.
    """

    pipeline: str
    guidance: str = "guidance_scale"
    negative: bool = True
    controlled: str = ""
    control: str = ""
    follows_photo: bool = False
    area: int = 0
    pictures: int = 1
    guided: int = 1
    per_token: float = 16.0
    per_pixel: float = 2.6


#: Beginning of a folder's class -> its family; the first that fits.
FAMILIES = {
    "Flux2Klein": Family("Flux2KleinInpaintPipeline", negative=False, pictures=2, per_token=21.0),
    "ZImage": Family(
        "ZImageInpaintPipeline",
        controlled="ZImageControlNetInpaintPipeline",
        control="ZImageControlNetModel",
        guided=2,
        per_token=15.0,
    ),
    "QwenImageEdit": Family(
        "QwenImageEditInpaintPipeline", "true_cfg_scale", area=1024 * 1024, pictures=2, per_token=28.0, per_pixel=7.6
    ),
    "QwenImage": Family(
        "QwenImageInpaintPipeline",
        "true_cfg_scale",
        controlled="QwenImageControlNetInpaintPipeline",
        control="QwenImageControlNetModel",
        follows_photo=True,
        per_token=28.0,
        per_pixel=7.6,
    ),
}


def family_of(class_name: str) -> Family | None:
    """The family of a pipeline's class; None for one that is not painted with here."""
    return next((family for start, family in FAMILIES.items() if class_name.startswith(start)), None)
