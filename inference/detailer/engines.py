# SPDX-License-Identifier: GPL-3.0-or-later
"""From the name, path or object that stands for a model to the engine that repaints crops."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from numbers import Real
from os import PathLike, fsdecode, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...installer.models import catalogue, store
from ..errors import BadInput, MissingModel
from ..runtime.device import missing_package
from . import Checkpoint

if TYPE_CHECKING:
    from ..runtime import Run
    from .job import Engine

#: Folder of the detailer's models, below the root of all models; LoRAs and ControlNets have folders of their own in it.
FOLDER, LORAS, CONTROLS = "detailer", "loras", "controlnet"


def engine_for(model: Any, run: Run, *, offload: bool = False) -> Engine:
    """Raises `BadInput`, `MissingModel` and `BadModelFile`."""
    if callable(getattr(model, "repaint", None)):
        return model
    if model == "builtin":
        from .fill import Filler

        return Filler()
    check_model(model)
    checkpoint = find_model(model, run)
    try:
        from .diffusion.load import load_engine

        return load_engine(checkpoint, run, offload=offload)
    except ImportError as error:
        raise missing_package(error.name, error) from error


def check_model(model: Any) -> None:
    """Raises `BadInput` for what cannot stand for a model."""
    if not isinstance(model, (str, bytes, PathLike, Checkpoint)) and not callable(getattr(model, "repaint", None)):
        raise BadInput(
            f"A {type(model).__name__} is no model that repaints.",
            "Choose builtin, a diffusers folder, a .safetensors file, or an object with repaint().",
        )
    if isinstance(model, Checkpoint):
        _check_checkpoint(model)


def _check_checkpoint(checkpoint: Checkpoint) -> None:
    loras = checkpoint.loras
    if isinstance(loras, str) or not isinstance(loras, Sequence):
        raise BadInput(f"The LoRAs are {loras!r}, which is no list.", "Give (file, strength) of each.")
    for pair in loras:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise BadInput(f"The LoRA {pair!r} is no pair of file and strength.", 'Give ("detail.safetensors", 0.7).')
        if not isinstance(pair[1], Real) or not math.isfinite(pair[1]):
            raise BadInput(f"The strength {pair[1]!r} of a LoRA is no number.", "Choose one about 1.")
    paths = [("model", checkpoint.path), *(("LoRA", file) for file, _ in loras)]
    paths += [
        (what, path)
        for what, path in (("config", checkpoint.config), ("ControlNet", checkpoint.controlnet))
        if path is not None
    ]
    for what, path in paths:
        if not isinstance(path, (str, PathLike)) or not fspath(path):
            raise BadInput(f"The path {path!r} of the {what} is none.", "Choose a folder or a .safetensors file.")


def refiner_for(model: Any, engine: Engine, run: Run, *, offload: bool = False) -> Engine:
    """The engine for the last steps after those of `engine`. Raises as `engine_for` does."""
    refiner = engine_for(model, run, offload=offload)
    if hasattr(engine, "repaint_cycles") and not hasattr(refiner, "repaint_cycles"):
        raise BadInput(
            "The refiner is no diffusion model, so it cannot take over from one.",
            "Choose a diffusers folder or a .safetensors file, or no refiner.",
        )
    return refiner


def find_model(model: str | bytes | PathLike[str] | Checkpoint, run: Run) -> Checkpoint:
    """The checkpoint with paths to files and folders that are there. Raises `MissingModel`.

    A path stays as it is. A bare name is one of the catalogue, or a folder or file of that name (with or without
    .safetensors) in `detailer` below the root of the models; LoRAs are sought in `detailer/loras`, ControlNets in
    `detailer/controlnet`.
    """
    checkpoint = model if isinstance(model, Checkpoint) else Checkpoint(fsdecode(model))
    check_model(checkpoint)
    folder = run.models_dir / FOLDER
    loras = [(_found(file, folder / LORAS, run, "LoRA"), strength) for file, strength in checkpoint.loras]
    control = checkpoint.controlnet
    if control is not None:
        control = _found(control, folder / CONTROLS, run, "ControlNet")
    path = _found(checkpoint.path, folder, run, "model")
    return replace(checkpoint, path=path, loras=tuple(loras), controlnet=control)


def _found(name: str | PathLike[str], folder: Path, run: Run, what: str) -> Path:
    path = Path(name).expanduser()
    if path.exists():
        return path
    if path.name == str(name):
        files = [file for model in catalogue.models(FOLDER) if model.id == path.name for file in model.files]
        below = [store.find(file.path, run.models_dir) for file in files]
        below += [folder / path.name, folder / f"{path.name}.safetensors"]
        there = next((place for place in below if place.exists()), None)
        if there is not None:
            return there
        if files:
            raise MissingModel(
                f"The model {path.name} is not there: {below[0]} is missing.",
                f"Download it from {files[0].page} and put it there.",
                "maquette.install_model",
                {"file": files[0].path},
            )
        path = folder / path.name
    raise MissingModel(f"There is no {what} at {path}.", "Choose a folder or a .safetensors file.")
