# SPDX-License-Identifier: GPL-3.0-or-later
"""From a folder or file to an engine. diffusers reads it; nothing is ever fetched, and no code in it is run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ...errors import BadModelFile, MaquetteError, MissingModel
from ...runtime.memory import keep
from .engine import DiffusionEngine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...runtime import Run
    from .. import Checkpoint

#: Pipelines whose networks the engine knows.
_KNOWN = ("StableDiffusion", "StableDiffusionXL")
_REMEDY = "Choose a diffusers folder or a .safetensors file of Stable Diffusion 1.5 or XL."


def load_engine(checkpoint: Checkpoint, run: Run, *, offload: bool = False) -> DiffusionEngine:
    """The engine, loaded when it is not in memory. Raises `MissingModel` and `BadModelFile`."""
    path = Path(checkpoint.path).expanduser()
    if not path.exists():
        raise MissingModel(f"There is no model at {path}.", "Choose a diffusers folder or a .safetensors file.")
    key = ("detailer", path, path.stat().st_mtime_ns, str(checkpoint), run.device, run.precision)
    run.report(0.0, f"Loading {path.name}")
    return keep(key, lambda: _load(checkpoint, path, run))


def _load(checkpoint: Checkpoint, path: Path, run: Run) -> DiffusionEngine:
    dtype = torch.float16 if run.precision == "float16" else torch.float32
    with _offline():
        pipeline = _read(path, lambda: _pipeline(checkpoint, path, dtype))
        for file, strength in checkpoint.loras:
            _read(Path(file), lambda file=file, strength=strength: _add_lora(pipeline, Path(file), strength))
        control = getattr(pipeline, "controlnet", None)
        if checkpoint.controlnet is not None:
            folder = Path(checkpoint.controlnet).expanduser()
            control = _read(folder, lambda: _control(folder, dtype))
    for name in ("unet", "vae", "text_encoder", "text_encoder_2"):
        network = getattr(pipeline, name, None)
        if network is not None:
            network.to(run.torch_device).eval().requires_grad_(False)
    if control is not None:
        control.to(run.torch_device).eval().requires_grad_(False)
    return DiffusionEngine(pipeline, control)


def _pipeline(checkpoint: Checkpoint, path: Path, dtype: torch.dtype) -> Any:
    import diffusers
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

    common = {"torch_dtype": dtype, "local_files_only": True}
    if path.is_dir():
        _check_folder(path)
        return DiffusionPipeline.from_pretrained(path, use_safetensors=True, **common)
    if path.suffix != ".safetensors":
        raise BadModelFile(f"{path} is no .safetensors file.", _REMEDY)
    if checkpoint.config is None:
        raise BadModelFile(
            f"{path} does not tell the shape of its networks.",
            "Give the diffusers folder of the model that it was trained from as `config`.",
        )
    config = Path(checkpoint.config).expanduser()
    _check_folder(config)
    # A single file holds no ControlNet, whatever the folder that describes it does.
    kind = getattr(diffusers, _class_name(config).replace("ControlNet", ""))
    return kind.from_single_file(str(path), config=str(config), **common)


def _check_folder(folder: Path) -> None:
    name = _class_name(folder)
    if not name.startswith(_KNOWN) or not name.endswith("Pipeline"):
        raise BadModelFile(f"{folder} holds a {name or 'folder'}, which cannot repaint.", _REMEDY)


def _class_name(folder: Path) -> str:
    """The pipeline's class, as the folder's index tells it; "" where it has none."""
    try:
        index = json.loads((folder / "model_index.json").read_text("utf-8"))
        return str(index.get("_class_name", ""))
    except (OSError, ValueError, AttributeError):
        return ""


def _add_lora(pipeline: Any, file: Path, strength: float) -> None:
    if not file.is_file():
        raise MissingModel(f"There is no LoRA at {file}.", "Choose a .safetensors file.")
    pipeline.load_lora_weights(str(file.parent), weight_name=file.name, local_files_only=True, use_safetensors=True)
    pipeline.fuse_lora(lora_scale=strength)
    pipeline.unload_lora_weights()


def _control(path: Path, dtype: torch.dtype) -> Any:
    from diffusers.models.controlnets.controlnet import ControlNetModel

    if not path.exists():
        raise MissingModel(f"There is no ControlNet at {path}.", "Choose its folder or .safetensors file.")
    if path.is_dir():
        return ControlNetModel.from_pretrained(path, torch_dtype=dtype, local_files_only=True, use_safetensors=True)
    return ControlNetModel.from_single_file(str(path), torch_dtype=dtype, local_files_only=True)


def _read(path: Path, read: Callable[[], Any]) -> Any:
    """What `read` gives; what the libraries say of a wrong file becomes one sentence."""
    try:
        return read()
    except (MaquetteError, MemoryError, torch.OutOfMemoryError, ImportError):
        raise
    except Exception as error:  # the libraries raise many kinds
        first = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        raise BadModelFile(f"{path} cannot be loaded: {first}", _REMEDY) from error


@contextmanager
def _offline() -> Iterator[None]:
    """Keep the libraries from asking any hub, and from drawing progress bars into Blender's console."""
    from diffusers.utils import logging

    before = {name: os.environ.get(name) for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
    os.environ.update(dict.fromkeys(before, "1"))
    logging.disable_progress_bar()
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
