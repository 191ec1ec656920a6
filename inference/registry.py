# SPDX-License-Identifier: GPL-3.0-or-later
"""From a task and a model name to the code that runs it. The models are listed in installer/models/catalogue.toml."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType

from ..installer.models import catalogue, store
from ..installer.packages.features import importable
from ..installer.shared.errors import SetupError
from .errors import BadInput, UnknownModel
from .options.common import AUTO
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


def answering(task: str, name: str, root: Path | None = None) -> tuple[catalogue.Model, ...]:
    """The models that answer for `name`, in the order in which they are tried until one finds something.

    "auto" stands for all that can be used as they are, best first (`catalogue.Model.auto`); none of them restricts what
    becomes of its results. root : of the model files. Raises `UnknownModel`.
    """
    if name != AUTO:
        return (find_model(task, name),)
    ready = [model for model in catalogue.models(task) if model.auto and usable(model, root)]
    if not ready:
        raise UnknownModel(f"There is no {task} model that can be chosen automatically.", "Name one.")
    return tuple(sorted(ready, key=lambda model: -model.auto))


def usable(model: catalogue.Model, root: Path | None) -> bool:
    """Whether a model's files and packages are here."""
    try:
        return store.is_installed(model, root) and (model.packages == "core" or importable(model.packages))
    except SetupError:  # there are no packages for this Python, which has found its own
        return False


def find_model(task: str, name: str, root: Path | None = None) -> catalogue.Model:
    """The catalogue's entry of model `name` of `task`, for "auto" the first that answers. Raises `UnknownModel`."""
    if name == AUTO:
        return answering(task, name, root)[0]
    models = {model.id: model for model in catalogue.models(task)}
    if not isinstance(name, str) or name not in models:
        choices = [*models, AUTO] if any(model.auto for model in models.values()) else models
        raise UnknownModel(f"There is no {task} model called {name!r}.", f"Choose one of: {', '.join(choices)}.")
    return models[name]


def check_choice(value: str, choices: tuple[str, ...], what: str) -> None:
    """Raise `BadInput` unless `value` is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise BadInput(f"There is no {what} {value!r}.", f"Choose one of: {', '.join(choices)}.")
