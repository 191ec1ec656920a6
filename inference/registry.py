# SPDX-License-Identifier: GPL-3.0-or-later
"""From a task and a model name to the code that runs it. The models are listed in installer/models/catalogue.toml."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ..installer.models import catalogue
from .errors import BadInput, UnknownModel
from .runtime.device import missing_package, require_torch


def model_module(task: str, name: str) -> ModuleType:
    """The module that implements model `name` of `task` ("depth", "normals", "hands", "people").

    Raises `UnknownModel`, and `MissingPackages` where the module's own imports fail.
    """
    model = find_model(task, name)
    require_torch()
    try:
        return import_module("." + model.code, __package__)
    except ImportError as error:
        raise missing_package(error.name, error, model.packages) from error


def find_model(task: str, name: str) -> catalogue.Model:
    """The catalogue's entry of model `name` of `task`. Raises `UnknownModel`."""
    models = {model.id: model for model in catalogue.models(task)}
    if not isinstance(name, str) or name not in models:
        raise UnknownModel(f"There is no {task} model called {name!r}.", f"Choose one of: {', '.join(models)}.")
    return models[name]


def check_choice(value: str, choices: tuple[str, ...], what: str) -> None:
    """Raise `BadInput` unless `value` is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise BadInput(f"There is no {what} {value!r}.", f"Choose one of: {', '.join(choices)}.")
