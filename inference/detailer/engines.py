# SPDX-License-Identifier: GPL-3.0-or-later
"""From the name, path or object that stands for a model to the engine that repaints crops."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

from ..errors import BadInput
from ..runtime.device import missing_package
from . import Checkpoint

if TYPE_CHECKING:
    from ..runtime import Run
    from .job import Engine


def engine_for(model: Any, run: Run) -> Engine:
    """Raises `BadInput`, `MissingModel` and `BadModelFile`."""
    if callable(getattr(model, "repaint", None)):
        return model
    if model == "builtin":
        from .builtin import Filler

        return Filler()
    if isinstance(model, (str, bytes, PathLike)):
        model = Checkpoint(model if not isinstance(model, bytes) else model.decode())
    if not isinstance(model, Checkpoint):
        raise BadInput(
            f"A {type(model).__name__} is no model that repaints.",
            "Choose builtin, a diffusers folder, a .safetensors file, or an object with repaint().",
        )
    try:
        from .diffusion.load import load_engine

        return load_engine(model, run)
    except ImportError as error:
        raise missing_package(error.name, error) from error
