# SPDX-License-Identifier: GPL-3.0-or-later
"""From the name, path or object that stands for a model to the engine that repaints crops."""

from __future__ import annotations

from dataclasses import replace
from os import PathLike, fsdecode
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...installer import catalogue, store
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
        from .builtin import Filler

        return Filler()
    if not isinstance(model, (str, bytes, PathLike, Checkpoint)):
        raise BadInput(
            f"A {type(model).__name__} is no model that repaints.",
            "Choose builtin, a diffusers folder, a .safetensors file, or an object with repaint().",
        )
    checkpoint = find_model(model, run)
    try:
        from .diffusion.load import load_engine

        return load_engine(checkpoint, run, offload=offload)
    except ImportError as error:
        raise missing_package(error.name, error) from error


def find_model(model: str | bytes | PathLike[str] | Checkpoint, run: Run) -> Checkpoint:
    """The checkpoint with paths to files and folders that are there. Raises `MissingModel`.

    A path stays as it is. A bare name is one of the catalogue, or a folder or file of that name (with or without
    .safetensors) in `detailer` below the root of the models; LoRAs are sought in `detailer/loras`, ControlNets in
    `detailer/controlnet`.
    """
    checkpoint = model if isinstance(model, Checkpoint) else Checkpoint(fsdecode(model))
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
