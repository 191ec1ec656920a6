# SPDX-License-Identifier: GPL-3.0-or-later
"""Painting models that diffusers has a whole pipeline for: FLUX.2 klein, Z-Image and Qwen-Image, also those that edit.

The pipeline does the work; here is what it is given. What of a request it cannot honour: `options.detail.ignored`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...runtime import Run
    from ..settings import Settings

    Pixels = NDArray[np.float32]

#: Both sides of a picture are multiples of this.
MULTIPLE = 16


@dataclass(frozen=True)
class Family:
    """How the pipelines of one kind are called.

    pipeline : diffusers' class that paints under a mask.  guidance : its keyword for `cfg`.
    negative : whether it takes a negative prompt.
    """

    pipeline: str
    guidance: str = "guidance_scale"
    negative: bool = True


#: Beginning of a folder's class -> its family; the first that fits.
FAMILIES = {
    "Flux2Klein": Family("Flux2KleinInpaintPipeline", negative=False),
    "ZImage": Family("ZImageInpaintPipeline"),
    "QwenImageEdit": Family("QwenImageEditInpaintPipeline", "true_cfg_scale"),
    "QwenImage": Family("QwenImageInpaintPipeline", "true_cfg_scale"),
}


def family_of(class_name: str) -> Family | None:
    """The family of a pipeline's class; None for one that is not painted with here."""
    return next((family for start, family in FAMILIES.items() if class_name.startswith(start)), None)


@dataclass(frozen=True)
class FlowRepainter:
    """A pipeline as `engines.Repainter`."""

    pipeline: Any
    family: Family

    def repaint(self, crop: Pixels, noise_mask: Pixels | None, *, seed: int, settings: Settings) -> Pixels:
        """The crop with what is painted under the mask, at a size of multiples of 16. Where the mask is grey the
        photo shows through when the crop is laid back; the model itself is told black or white."""
        import torch

        vae = self.pipeline.vae
        if hasattr(vae, "enable_tiling"):
            (vae.enable_tiling if settings.state.tiled else vae.disable_tiling)()
        size = [max(1, round(side / MULTIPLE)) * MULTIPLE for side in (crop.shape[1], crop.shape[0])]
        mask = np.ones((1, 1), np.float32) if noise_mask is None else noise_mask
        # The request's steps are all run, however little of the way they cover; diffusers skips those before.
        steps = max(settings.steps, round(settings.steps / settings.denoise))

        def step_ended(_pipeline: Any, number: int, _time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            done = min(number + 1, settings.steps)
            settings.run.report(done / settings.steps, f"Step {done} of {settings.steps}")
            return tensors

        given = {
            "prompt": settings.prompt,
            "image": _picture(crop, size),
            "mask_image": _picture(np.clip(mask, 0, 1), size),
            "strength": settings.denoise,
            "num_inference_steps": steps,
            "generator": torch.Generator().manual_seed(seed % 2**64),
            "output_type": "np",
            "callback_on_step_end": step_ended,
            self.family.guidance: 1.0 if self.pipeline.config.get("is_distilled") else settings.cfg,
        }
        if self.family.negative:
            given["negative_prompt"] = settings.negative_prompt or " "
        settings.run.report(0.0, f"Step 1 of {settings.steps}")
        painted = np.asarray(self.pipeline(**given).images[0], np.float32)
        return np.asarray(cv2.resize(painted, size, interpolation=cv2.INTER_AREA), np.float32).clip(0, 1)


def _picture(values: Pixels, size: list[int]) -> Any:
    """Floats 0..1, (h, w) or (h, w, 3), as the 8-bit picture that a pipeline takes."""
    from PIL import Image

    resized = cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)
    return Image.fromarray((np.clip(resized, 0, 1) * 255 + 0.5).astype(np.uint8))


def load_repainter(
    path: Path, class_name: str, loras: list[tuple[Path, float]], run: Run, *, offload: bool
) -> FlowRepainter:
    """From a diffusers folder. Nothing is downloaded, and only safetensors are read."""
    import diffusers
    import torch

    family = family_of(class_name)
    assert family is not None
    half = torch.bfloat16 if run.precision == "float16" else torch.float32  # published in it: 16-bit floats overflow
    pipeline = getattr(diffusers, family.pipeline).from_pretrained(
        path, torch_dtype=half, local_files_only=True, use_safetensors=True
    )
    for number, (file, _) in enumerate(loras):
        pipeline.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name=f"lora{number}")
    if loras:
        pipeline.set_adapters([f"lora{number}" for number in range(len(loras))], [strength for _, strength in loras])
    if offload and run.torch_device.type != "cpu":
        pipeline.enable_sequential_cpu_offload(device=run.torch_device)
    else:
        pipeline.to(run.torch_device)
    pipeline.set_progress_bar_config(disable=True)
    return FlowRepainter(pipeline, family)
