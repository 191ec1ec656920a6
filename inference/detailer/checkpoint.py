# SPDX-License-Identifier: GPL-3.0-or-later
"""A diffusion model as an artist names it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike


@dataclass(frozen=True)
class Checkpoint:
    """A diffusion model on the disk.

    path : a diffusers folder, or one .safetensors file of Stable Diffusion 1.5 or XL, made for inpainting or not; or a
    transformer of FLUX.2 klein, Z-Image or Qwen-Image as .gguf or .safetensors.
    config : a diffusers folder that tells the shape of a single file's networks, None the one that ships; or which has
    what a transformer's file lacks, None the one that it lies in, or beside it (`options.detail.pipeline_folder`).
    loras : (file, strength) of each LoRA.  controlnet : folder or .safetensors file of a ControlNet, or None.
    embeddings : files of textual inversions; the prompt names them by their names without ending.
    """

    path: str | PathLike[str]
    config: str | PathLike[str] | None = None
    loras: Sequence[tuple[str | PathLike[str], float]] = ()
    controlnet: str | PathLike[str] | None = None
    embeddings: Sequence[str | PathLike[str]] = ()
