# SPDX-License-Identifier: GPL-3.0-or-later
"""The engines that repaint crops, and which one a model's name, path or object stands for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from os import PathLike, fsdecode, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ...installer.models import catalogue, store
from ..errors import BadInput, MissingModel
from ..options.detail import FILLING, ignored
from ..runtime.device import missing_package
from .checkpoint import Checkpoint
from .hooks import call_hook, run_cycles

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..runtime import Run
    from .settings import Settings

    Pixels = NDArray[np.float32]

#: Folder of the detailer's models, below the root of all models; LoRAs and ControlNets have folders of their own in it.
FOLDER, LORAS, CONTROLS, EMBEDDINGS = "detailer", "loras", "controlnet", "embeddings"


class Engine(Protocol):
    """What repaints crops."""

    @property
    def native(self) -> bool:
        """Whether it works on the photo's own pixels and blends what it paints into the surroundings by itself: it gets
        crops at their own size (or smaller, by max_size), and the mask as it is, only grown by the feather."""
        ...

    def repaint_cycles(
        self, crop: Pixels, noise_mask: Pixels | None, *, seeds: list[int], settings: Settings
    ) -> Pixels:
        """All cycles, each with its seed. The arguments are those of `Repainter.repaint`."""
        ...


class Repainter(Protocol):
    """The least that a model may be. An attribute `native` that is true makes it a native engine (see `Engine`)."""

    def repaint(self, crop: Pixels, noise_mask: Pixels | None, *, seed: int, settings: Settings) -> Pixels:
        """Returns a picture (h'', w'', 3), which is resized to the crop.

        crop : (h, w, 3) float32 0..1 at the size to work at.  noise_mask : (h', w') float32 0..1 at the segment's own
        size, where to paint; None paints everywhere. When memory runs out it is called once more, with
        settings.state.tiled.
        """
        ...


@dataclass(frozen=True)
class PictureEngine:
    """An engine whose cycles each take and return a picture."""

    model: Repainter

    @property
    def native(self) -> bool:
        return is_native(self.model)

    def repaint_cycles(
        self, crop: Pixels, noise_mask: Pixels | None, *, seeds: list[int], settings: Settings
    ) -> Pixels:
        def sample(picture: Pixels, seed: int, part: Settings) -> Pixels:
            return self.model.repaint(picture, noise_mask, seed=seed, settings=part)

        return call_hook(settings.hook, "post_decode", run_cycles(crop, seeds, settings, sample))


def is_native(model: Any) -> bool:
    """Whether a model, by name, path or object, will be a native engine."""
    return bool(getattr(model, "native", filling(model) != ""))


def filling(model: Any) -> str:
    """The model of `options.detail.FILLING` that a name or a `Checkpoint` stands for, or ""."""
    name = model.path if isinstance(model, Checkpoint) else model
    return name if isinstance(name, str) and name in FILLING else ""


def ignored_by(model: Any, run: Run) -> dict[str, str]:
    """Option -> why this model does not use it, of those with a pipeline of their own. Raises `MissingModel`."""
    if is_native(model) or callable(getattr(model, "repaint", None)):
        return {}
    checkpoint = find_model(model, run)
    path = Path(checkpoint.path)
    reasons = ignored(path if checkpoint.config is None or path.is_dir() else Path(checkpoint.config))
    if reasons and checkpoint.controlnet is None:
        reasons.setdefault("control", "no ControlNet is chosen to follow it")
    return reasons


def engine_for(model: Any, run: Run, *, offload: bool = False) -> Engine:
    """Raises `BadInput`, `MissingModel` and `BadModelFile`."""
    if callable(getattr(model, "repaint", None)):
        return PictureEngine(model)
    if filling(model) == "builtin":
        from .fill import FillEngine

        return PictureEngine(FillEngine())
    check_model(model)
    try:
        if filling(model):
            from .fill import lama

            return PictureEngine(lama.engine(run))
        checkpoint = find_model(model, run)
        from .diffusion.load import DiffusionEngine, load_engine

        loaded = load_engine(checkpoint, run, offload=offload)
        return loaded if isinstance(loaded, DiffusionEngine) else PictureEngine(loaded)
    except ImportError as error:
        raise missing_package(error.name, error) from error


def check_model(model: Any) -> None:
    """Raises `BadInput` for what cannot stand for a model."""
    if not isinstance(model, (str, bytes, PathLike, Checkpoint)) and not callable(getattr(model, "repaint", None)):
        raise BadInput(
            f"{type(model).__name__} is not a model of the detailer.",
            "Choose builtin, a diffusers folder, a .safetensors or .gguf file, or an object with repaint().",
        )
    if isinstance(model, Checkpoint):
        _check_checkpoint(model)


def _check_checkpoint(checkpoint: Checkpoint) -> None:
    loras = checkpoint.loras
    if isinstance(loras, str) or not isinstance(loras, Sequence):
        raise BadInput(f"The LoRAs are not a list: {loras!r}.", "Give (file, strength) of each.")
    for pair in loras:
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise BadInput(f"A LoRA must be (file, strength), not {pair!r}.", 'Give ("detail.safetensors", 0.7).')
        if not isinstance(pair[1], Real) or not math.isfinite(pair[1]):
            raise BadInput(f"A LoRA's strength must be a number, not {pair[1]!r}.", "Choose one about 1.")
    if isinstance(checkpoint.embeddings, str) or not isinstance(checkpoint.embeddings, Sequence):
        raise BadInput(f"The embeddings are not a list: {checkpoint.embeddings!r}.", "Give the file of each.")
    paths = [("model", checkpoint.path), *(("LoRA", file) for file, _ in loras)]
    paths += [("embedding", file) for file in checkpoint.embeddings]
    paths += [
        (what, path)
        for what, path in (("config", checkpoint.config), ("ControlNet", checkpoint.controlnet))
        if path is not None
    ]
    for what, path in paths:
        if not isinstance(path, (str, PathLike)) or not fspath(path):
            raise BadInput(f"The {what} path is not a path: {path!r}.", "Choose a folder or a .safetensors file.")


def refiner_for(model: Any, engine: Engine, run: Run, *, offload: bool = False) -> Engine:
    """The engine for the last steps after those of `engine`. Raises as `engine_for` does."""
    refiner = engine_for(model, run, offload=offload)
    if isinstance(refiner, PictureEngine) and not isinstance(engine, PictureEngine):
        raise BadInput(
            "The refiner is not a diffusion model, so it cannot take over from one.",
            "Choose a diffusers folder or a .safetensors file, or no refiner.",
        )
    return refiner


def find_model(model: str | bytes | PathLike[str] | Checkpoint, run: Run) -> Checkpoint:
    """The checkpoint with paths to files and folders that exist. Raises `MissingModel`.

    A path stays as it is. A bare name is one of the catalogue, or a folder or file of that name (with or without
    .safetensors or .gguf) in `detailer` below the root of the models; LoRAs lie in `detailer/loras`, ControlNets in
    `detailer/controlnet`.
    """
    checkpoint = model if isinstance(model, Checkpoint) else Checkpoint(fsdecode(model))
    check_model(checkpoint)
    folder = run.models_dir / FOLDER
    loras = [(_existing(file, folder / LORAS, run, "LoRA"), strength) for file, strength in checkpoint.loras]
    control = checkpoint.controlnet
    if control is not None:
        control = _existing(control, folder / CONTROLS, run, "ControlNet")
    words = tuple(_existing(file, folder / EMBEDDINGS, run, "embedding") for file in checkpoint.embeddings)
    path = _existing(checkpoint.path, folder, run, "model")
    return replace(checkpoint, path=path, loras=tuple(loras), controlnet=control, embeddings=words)


def _existing(name: str | PathLike[str], folder: Path, run: Run, what: str) -> Path:
    path = Path(name).expanduser()
    if path.exists():
        return path
    if path.name == str(name):
        files = [file for model in catalogue.models(FOLDER) if model.id == path.name for file in model.files]
        below = [store.find(file.path, run.models_dir) for file in files]
        if files and files[-1].inside:  # a folder, whose index comes last
            below = [below[-1].parent] if below[-1].is_file() else below[-1:]
        below += [folder / f"{path.name}{ending}" for ending in ("", ".safetensors", ".gguf")]
        existing = next((place for place in below if place.exists()), None)
        if existing is not None:
            return existing
        if files:
            raise MissingModel(
                f"The model {path.name} is not installed: {below[0]} is missing.",
                f"Download it from {files[0].page} and put it there.",
                "maquette.install_model",
                {"file": files[0].path},
            )
        path = folder / path.name
    raise MissingModel(f"There is no {what} at {path}.", "Choose a folder or a .safetensors file.")
