# SPDX-License-Identifier: GPL-3.0-or-later
"""Painting models that diffusers has a whole pipeline for: FLUX.2 klein, Z-Image and Qwen-Image, also those that edit.

The pipeline does the work; here is what it is given. What of a request it cannot honour: `options.detail.ignored`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ...errors import BadModelFile
from ...options.detail import ignored
from ...runtime.memory import is_out_of_memory
from . import transformer_file
from .families import Family, family_of
from .heads import check_control, class_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...runtime import Run
    from ..settings import Settings

    Pixels = NDArray[np.float32]

#: Both sides of a picture are multiples of this.
MULTIPLE = 16
#: Sides of a tile that goes through the VAE, in pixels.
LEAST_TILE, MOST_TILE = 256, 512
#: Encoded prompts that are cached.
PROMPTS = 16
#: What every ControlNet of Z-Image's holds.
_EMBEDDER = "control_all_x_embedder.2-1.weight"
_CONTROL_REMEDY = "Choose a ControlNet for painting under a mask that was made for this model."


@dataclass(frozen=True)
class FlowRepainter:
    """A pipeline as `engines.Repainter`. controlled : the same with a ControlNet, or None.
    distilled : it follows the prompt as it is, without guidance.  notes : what the artist should know about it."""

    pipeline: Any
    family: Family
    controlled: Any = None
    distilled: bool = False
    notes: tuple[str, ...] = ()

    def repaint(self, crop: Pixels, noise_mask: Pixels | None, *, seed: int, settings: Settings) -> Pixels:
        """The crop with what is painted under the mask, at a size of multiples of 16. Where the mask is grey the
        photo shows through when the crop is laid back; the model itself is told black or white."""
        import torch

        for note in self.notes:
            settings.state.note(note)
        _in_tiles(self.pipeline.vae, crop, settings.state.tiled, self.family.area)
        size = [max(1, round(side / MULTIPLE)) * MULTIPLE for side in (crop.shape[1], crop.shape[0])]
        mask = np.ones((1, 1), np.float32) if noise_mask is None else noise_mask
        picture, hole = _picture(crop, size), _picture(np.clip(mask, 0, 1), size)
        pipeline, given = self.pipeline, self._plain(picture, hole, settings)
        if self.controlled is not None and (settings.control is not None or self.family.follows_photo):
            pipeline, given = self.controlled, self._controlled(picture, hole, size, settings)

        def step_ended(_pipeline: Any, number: int, _time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            done = min(number + 1, settings.steps)
            settings.run.report(done / settings.steps, f"Step {done} of {settings.steps}")
            return tensors

        given |= {
            "prompt": settings.prompt,
            "generator": torch.Generator().manual_seed(seed % 2**64),
            "output_type": "np",
            "callback_on_step_end": step_ended,
            self.family.guidance: 1.0 if self.distilled else settings.cfg,
        }
        if self.family.negative:
            given["negative_prompt"] = settings.negative_prompt or " "
        settings.run.report(0.0, f"Step 1 of {settings.steps}")
        painted = np.asarray(pipeline(**given).images[0], np.float32)
        return np.asarray(cv2.resize(painted, size, interpolation=cv2.INTER_AREA), np.float32).clip(0, 1)

    def _plain(self, picture: Any, hole: Any, settings: Settings) -> dict[str, Any]:
        # The request's steps are all run, however little of the way they cover; diffusers skips those before.
        steps = max(settings.steps, round(settings.steps / settings.denoise))
        return {"image": picture, "mask_image": hole, "strength": settings.denoise, "num_inference_steps": steps}

    def _controlled(self, picture: Any, hole: Any, size: list[int], settings: Settings) -> dict[str, Any]:
        """For a ControlNet, with which these models paint from noise."""
        if settings.denoise < 1:
            settings.state.note("Denoise was not used: with its ControlNet the model paints from noise.")
        given = {
            "width": size[0],
            "height": size[1],
            "num_inference_steps": settings.steps,
            "controlnet_conditioning_scale": settings.control_strength,
        }
        if settings.control is None or self.family.follows_photo:
            when = {"control_guidance_start": settings.control_start, "control_guidance_end": settings.control_end}
            return {**given, **when, "control_image": picture, "control_mask": hole}
        return {**given, "image": picture, "mask_image": hole, "control_image": _picture(settings.control, size)}


def _in_tiles(vae: Any, crop: Pixels, tiled: bool, area: int = 0) -> None:
    """Pictures go through the VAE whole, or in tiles, as with Stable Diffusion.

    area : pixels that the pipeline works at whatever the crop."""
    if not hasattr(vae, "enable_tiling"):
        return
    if not tiled:
        vae.disable_tiling()
        return
    height, width = crop.shape[:2]
    share = (area / (height * width)) ** 0.5 if area else 1.0
    ratio = getattr(vae, "spatial_compression_ratio", 0) or 2 ** (len(vae.config.block_out_channels) - 1)
    side = tile_side((round(height * share), round(width * share)), ratio)
    if hasattr(vae, "tile_sample_min_height"):
        step = side * 3 // 4
        vae.enable_tiling(side, side, step, step)
        return
    vae.enable_tiling()
    vae.tile_sample_min_size, vae.tile_latent_min_size = side, side // ratio


def tile_side(size: tuple[int, int], ratio: int) -> int:
    """Side in pixels of the tiles for a picture: from a quarter to three quarters of its longer side, within limits.
    diffusers begins one every three quarters of a side, and the last is what is left: a sliver, which a VAE decodes
    badly, unless the side suits the picture. ratio : pixels for a latent one."""
    most = min(max(max(size) * 3 // 4, LEAST_TILE), MOST_TILE)
    sides = range(most // (4 * ratio) * 4 * ratio, LEAST_TILE - 1, -4 * ratio)

    def last(side: int) -> int:
        step = side * 3 // 4
        return min((length - (length - 1) // step * step for length in size if length > side), default=side)

    return max(sides, key=last, default=LEAST_TILE)


def _picture(values: Pixels, size: list[int]) -> Any:
    """Floats 0..1, (h, w) or (h, w, 3), as the 8-bit picture that a pipeline takes."""
    from PIL import Image

    resized = cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)
    return Image.fromarray((np.clip(resized, 0, 1) * 255 + 0.5).astype(np.uint8))


def load_repainter(
    path: Path,
    loras: list[tuple[Path, float]],
    control: Path | None,
    run: Run,
    *,
    transformer: Path | None = None,
    offload: bool,
) -> FlowRepainter:
    """From a diffusers folder. Nothing is downloaded, and only safetensors and GGUF are read.

    transformer : a file that takes the place of the folder's own."""
    import diffusers
    import torch

    family = family_of(class_name(path))
    assert family is not None
    half = torch.bfloat16 if run.precision == "float16" else torch.float32  # published in it: 16-bit floats overflow
    given = {} if transformer is None else {"transformer": transformer_file.load(transformer, path, half)}
    pipeline = getattr(diffusers, family.pipeline).from_pretrained(
        path, torch_dtype=half, local_files_only=True, use_safetensors=True, **given
    )
    notes = _add_loras(pipeline, loras)
    both, controlled = [pipeline], None
    if control is not None and family.controlled:
        network = _control(control, getattr(diffusers, family.control), pipeline.transformer, half)
        controlled = getattr(diffusers, family.controlled)(**pipeline.components, controlnet=network)
        both.append(controlled)
    elif control is not None:
        notes.append("The ControlNet was not used: the model follows the prompt as an instruction instead.")
    if offload and run.torch_device.type != "cpu":
        both[-1].enable_sequential_cpu_offload(device=run.torch_device)  # the last one holds the networks of both
    else:
        both[-1].to(run.torch_device)
    for one in both:
        one.set_progress_bar_config(disable=True)
        one.encode_prompt = _remembering(one.encode_prompt)
    return FlowRepainter(pipeline, family, controlled, "cfg" in ignored(path), tuple(filter(None, notes)))


def _remembering(encode: Callable[..., Any]) -> Callable[..., Any]:
    """The same, without asking again for a prompt that was encoded: with every part the text encoder would run anew,
    and with `offload` travel. Those that also see the picture are always asked."""
    known: dict[tuple[Any, ...], Any] = {}

    def encoded(*given: Any, **named: Any) -> Any:
        if any(hasattr(value, "size") for value in (*given, *named.values())):  # a picture
            return encode(*given, **named)
        key = (*map(str, given), *sorted((name, str(value)) for name, value in named.items()))
        if key not in known and len(known) >= PROMPTS:
            known.clear()
        if key not in known:
            known[key] = encode(*given, **named)
        return known[key]

    return encoded


def _add_loras(pipeline: Any, loras: list[tuple[Path, float]]) -> list[str]:
    """Each merged into the weights, or by diffusers' own loader where only that knows its names; returns what did not
    fit, a sentence each or ""."""
    from .lora import add_lora, merges

    notes, adapters = [], {}
    for number, (file, strength) in enumerate(loras):
        if merges(pipeline, file):
            notes.append(add_lora(pipeline, file, strength))
            continue
        adapters[f"lora{number}"] = strength
        try:
            pipeline.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name=f"lora{number}")
        except Exception as error:  # diffusers and peft raise many kinds
            if is_out_of_memory(error):
                raise
            message = f"{file} changes no layer of this model, or layers of another size."
            raise BadModelFile(message, "Choose a LoRA that was made for this model.") from error
    if adapters:
        pipeline.set_adapters(list(adapters), list(adapters.values()))
    return notes


def _control(path: Path, kind: Any, transformer: Any, dtype: Any) -> Any:
    """A ControlNet for painting under a mask, from its folder, or from a single file of Z-Image's."""
    from safetensors.torch import load_file

    check_control(path, kind.__name__)
    if path.is_dir():
        network = kind.from_pretrained(path, torch_dtype=dtype, local_files_only=True, use_safetensors=True)
    else:
        tensors = load_file(path)
        if _EMBEDDER not in tensors or kind.__name__ != "ZImageControlNetModel":
            raise BadModelFile(f"{path} is not a ControlNet for this model.", _CONTROL_REMEDY)
        network = kind(**_z_image_sizes(tensors, transformer.config))
        own = network.state_dict()
        network.load_state_dict({name: tensor for name, tensor in tensors.items() if name in own or not _spare(name)})
        network.to(dtype)
    config = network.config
    if not config.get("extra_condition_channels", config.get("control_in_dim") != transformer.config.in_channels):
        raise BadModelFile(f"{path} was not made for painting under a mask.", _CONTROL_REMEDY)
    return network.eval()


def _spare(name: str) -> bool:
    """Version 2.0 of Z-Image's ControlNet holds layers that it does not use."""
    return name.startswith("control_noise_refiner.")


def _z_image_sizes(tensors: dict[str, Any], model: Any) -> dict[str, Any]:
    """The settings of Z-Image's ControlNet in a single file, which says none: they follow from its tensors."""
    count = len({name.split(".")[1] for name in tensors if name.startswith("control_layers.")})
    before = tensors.get("control_noise_refiner.0.before_proj.weight")
    refiner = "control_noise_refiner" if before is not None and before.any() else "control_layers"
    same = {name: model[name] for name in ("dim", "n_refiner_layers", "n_heads", "n_kv_heads", "norm_eps", "qk_norm")}
    return {
        **same,
        "control_layers_places": list(range(0, model["n_layers"], max(1, model["n_layers"] // max(count, 1))))[:count],
        "control_refiner_layers_places": list(range(model["n_refiner_layers"])),
        "control_in_dim": tensors[_EMBEDDER].shape[1] // 4,
        "add_control_noise_refiner": refiner if "control_layers.0.before_proj.weight" in tensors else None,
    }
