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
    """

    pipeline: str
    guidance: str = "guidance_scale"
    negative: bool = True
    controlled: str = ""
    control: str = ""
    follows_photo: bool = False


#: Beginning of a folder's class -> its family; the first that fits.
FAMILIES = {
    "Flux2Klein": Family("Flux2KleinInpaintPipeline", negative=False),
    "ZImage": Family(
        "ZImageInpaintPipeline", controlled="ZImageControlNetInpaintPipeline", control="ZImageControlNetModel"
    ),
    "QwenImageEdit": Family("QwenImageEditInpaintPipeline", "true_cfg_scale"),
    "QwenImage": Family(
        "QwenImageInpaintPipeline",
        "true_cfg_scale",
        controlled="QwenImageControlNetInpaintPipeline",
        control="QwenImageControlNetModel",
        follows_photo=True,
    ),
}


def family_of(class_name: str) -> Family | None:
    """The family of a pipeline's class; None for one that is not painted with here."""
    return next((family for start, family in FAMILIES.items() if class_name.startswith(start)), None)
