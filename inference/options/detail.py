# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the detailer. The ranges are those of the original node's inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import Choice, Number, Options, Share, Switch, Text, Value

#: What acts on every model but those of `FILLING`, whatever its name or path.
_DIFFUSION = ("diffusion",)
SAMPLERS = (
    *("euler", "euler_ancestral", "heun", "dpm_2", "dpm_2_ancestral", "lms", "dpmpp_2s_ancestral", "dpmpp_sde"),
    *("dpmpp_2m", "dpmpp_2m_sde", "dpmpp_3m_sde", "ddpm", "lcm", "ddim", "uni_pc", "uni_pc_bh2"),
)
SCHEDULERS = (
    *("normal", "karras", "exponential", "sgm_uniform", "simple", "ddim_uniform", "beta", "linear_quadratic"),
    "kl_optimal",
)


#: Models that fill from the surroundings, without diffusion.
FILLING = ("builtin", "lama")
#: What may be found and painted one by one; see `detailer.places`.
PLACES = ("hands", "faces", "people")


class DetailOptions(Options):
    """Models are those of `FILLING`, or else diffusion models of any name or path."""

    def for_model(self, model: str) -> Options:
        return super().for_model(model if model in FILLING else _DIFFUSION[0])


#: Beginnings of the classes of pipelines that are used whole, for what they do not use; see `ignored`.
PIPELINES = ("Flux2Klein", "ZImage", "QwenImage")
_IGNORED = {
    **dict.fromkeys(("sampler", "scheduler"), "the model has its own steps from noise to picture"),
    **dict.fromkeys(("noise_mask_feather", "inpaint_model"), "the model takes masks of black and white alone"),
    "clip_skip": "the model's text encoder has no layers to leave out",
    **dict.fromkeys(("refiner", "refiner_ratio"), "the model finishes its pictures itself"),
}
_CONTROL = ("control", "control_strength", "control_start", "control_end")


def ignored(model: Path) -> dict[str, str]:
    """Option -> why a model does not use it; empty for Stable Diffusion."""
    folder = pipeline_folder(model)
    index = _index(folder)
    name = str(index.get("_class_name", ""))
    if not name.startswith(PIPELINES):
        return {}
    # Z-Image-Turbo's index does not say what its name does.
    distilled = index.get("is_distilled") or "turbo" in folder.name.lower()
    reasons = {**_IGNORED, **_control_ignored(name)}
    if distilled:
        reasons["cfg"] = "the model was distilled to follow the prompt as it is"
    if name.startswith("Flux2Klein"):
        reasons["negative_prompt"] = "the model knows no negative prompt"
    elif distilled:
        reasons["negative_prompt"] = "without guidance nothing is avoided"
    return reasons


def pipeline_folder(model: Path) -> Path:
    """The diffusers folder that completes the file of a transformer alone: the one that it lies in, or else the one
    beside it whose name its own name begins with, whatever stands between their letters. Other paths as they are."""
    if model.suffix.lower() not in (".gguf", ".safetensors") or not model.is_file():
        return model
    beside = [folder for folder in model.parent.iterdir() if _letters(model.stem).startswith(_letters(folder.name))]
    beside.sort(key=lambda folder: -len(folder.name))
    folders = [*model.parents[:2], *beside]
    return next((one for one in folders if str(_index(one).get("_class_name", "")).startswith(PIPELINES)), model)


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _index(folder: Path) -> dict[str, Any]:
    try:
        index = json.loads((folder / "model_index.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return index if isinstance(index, dict) else {}


def _control_ignored(name: str) -> dict[str, str]:
    """The same of a ControlNet's options, by the class of the pipeline."""
    if name.startswith("ZImage"):
        return dict.fromkeys(_CONTROL[2:], "the model's ControlNet acts in all steps")
    if name.startswith("QwenImage") and not name.startswith("QwenImageEdit"):
        return {"control": "the model's ControlNet follows the photo itself"}
    return dict.fromkeys(_CONTROL, "the model follows the prompt as an instruction instead")


def _by_name(names: tuple[str, ...]) -> tuple[tuple[str, str, str], ...]:
    return tuple((name, name, "") for name in names)


# fmt: off
OPTIONS = DetailOptions(
    Number("guide_size", 384.0, "Guide Size",
           "Size in pixels to which the shorter side of a part is enlarged before it is repainted", 64.0, 16384.0,
           soft_high=2048.0),
    Choice("guide_size_for", "bbox", "Guide Size For", "What is brought to the guide size",
           (("bbox", "Part", "The part of the mask"),
            ("crop_region", "Crop", "The part with its surroundings"))),
    Number("max_size", 1024.0, "Max Size", "Maximum length in pixels of a crop's longer side", 64.0, 16384.0,
           soft_high=2048.0),
    Switch("mask_mode", True, "Only Under Mask",
           "Repaint under the mask only; otherwise the whole crop, of which the mask is pasted"),
    Number("seed", 0, "Seed", "The same seed gives the same picture", 0, 2**64 - 1),
    Number("steps", 20, "Steps", "Sampling steps; all of them are run", 1, 10000, soft_high=100, models=_DIFFUSION),
    Number("cfg", 8.0, "Guidance", "How strictly the prompt is followed", 0.0, 100.0, soft_high=20.0,
           models=_DIFFUSION),
    Choice("sampler", "euler", "Sampler", "How noise becomes a picture", _by_name(SAMPLERS), models=_DIFFUSION),
    Choice("scheduler", "normal", "Scheduler", "How much noise is left after each step", _by_name(SCHEDULERS),
           models=_DIFFUSION),
    Number("denoise", 0.5, "Denoise",
           "How far the result may depart from the picture; the built-in model is blended in by this much", 0.0001, 1.0,
           unit="FACTOR"),
    Number("feather", 5, "Feather", "Pixels over which the result fades into the picture; beyond it nothing changes", 0,
           100),
    Number("crop_factor", 3.0, "Crop Factor",
           "How much of the surroundings the model sees, as a multiple of the part's size", 1.0, 10.0),
    Number("drop_size", 10, "Drop Size", "Leave out parts whose area is at most the square of this", 1, 16384,
           soft_high=200),
    Value("refiner", None, "Refiner", "A second model for the last steps", "a model", metavar="MODEL",
          models=_DIFFUSION, blender=False),
    Share("refiner_ratio", 0.2, "Refiner Share", "Share of the steps that the refiner does", models=_DIFFUSION),
    Number("batch_size", 1, "Variants", "Number of pictures to make, each from its own seed", 1, 100, soft_high=8),
    Number("cycle", 1, "Cycles", "Passes over each part", 1, 10),
    Value("hook", None, "Hook", "An object whose methods are called between the steps; see `detailer.hooks.Hook`",
          "an object", cli=False, blender=False),
    Switch("inpaint_model", False, "Inpaint Model",
           "Cut the mask as the picture is cut; acts only in compatibility mode", blender=False),
    Number("noise_mask_feather", 20, "Noise Mask Feather",
           "Pixels over which painting begins later towards the mask's edge", 0, 100, models=_DIFFUSION),
    Switch("contour_fill", True, "Fill Holes", "Repaint the holes of the mask as well"),
    Switch("bbox_fill", False, "Fill Boxes", "Repaint the whole box around each part"),
    Switch("combined", False, "Merge Parts", "Repaint all parts in one crop, so that they fit each other"),
    Choice("fill", "original", "Masked Content", "What the model finds under the mask before it paints",
           (("original", "Original", "The picture as it is"),
            ("grey", "Grey", "A flat grey"),
            ("surroundings", "Surroundings", "The blurred surroundings"),
            ("noise", "Noise", "The blurred surroundings with noise")),
           models=_DIFFUSION),
    Switch("match_colours", False, "Match Colours",
           "Bring the result's colours and light back to those around it where the model shifts them"),
    Share("grain", 0.0, "Grain", "How much of the photo's grain is added where what was painted lacks it"),
    Text("prompt", "", "Prompt", "What to paint under the mask", models=_DIFFUSION),
    Text("negative_prompt", "", "Negative Prompt", "What to avoid", models=_DIFFUSION),
    Number("clip_skip", 0, "Clip Skip",
           "Layers at the end of the text encoder that are left out; 1 is what other programs call 2", 0, 22,
           soft_high=4, models=_DIFFUSION),
    Value("control", None, "Control", "Picture that a ControlNet follows: a depth or normal map of the same photo",
          "a picture, depth, normals or hands", metavar="FILE", models=_DIFFUSION, blender=False),
    Number("control_strength", 1.0, "Strength", "How closely the control picture is followed", 0.0, 10.0, soft_high=2.0,
           models=_DIFFUSION),
    Share("control_start", 0.0, "Start", "Share of the steps after which the control sets in", models=_DIFFUSION),
    Share("control_end", 1.0, "End", "Share of the steps after which the control stops", models=_DIFFUSION),
    Switch("linear", None, "Linear",
           "The photo's floats are linear light; left out, this is assumed of files of floats", blender=False),
    Switch("compatibility", False, "Compatibility Mode (Impact Pack)",
           "Reproduce the original node's arithmetic, including its defects"),
    Switch("tiling", False, "Tiled VAE",
           "Decode large parts in tiles to save memory; switched on by itself when memory runs out", models=_DIFFUSION),
    Switch("offload", False, "Offload", "Keep only the network in use on the graphics card, to save memory",
           models=_DIFFUSION),
)
# fmt: on
