# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks that the package controlnet-aux brings: their architectures alone, built here and filled from `weights`.

Its own loaders fetch files, unpickle them and bring every detector in at once, so none of them is used: one module is
imported without the package around it, which takes a tenth of the time, changes nothing in timm's registry and does not
need mediapipe. The modules have a private name, so that who imports the package itself gets all of it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from ..runtime import Run
from ..runtime.device import missing_package
from ..runtime.memory import keep
from ..weights import Published, load_network

#: The package, and the name that its modules are imported under here.
_PACKAGE, _PRIVATE = "controlnet_aux", "_controlnet_aux_networks"


def architecture(module: str, name: str) -> Any:
    """`name` of the module controlnet_aux.`module`. Raises `MissingPackages`."""
    path = f"{_PRIVATE}.{module}"
    packages = path.split(".")[:-1]
    try:
        for count in range(1, len(packages) + 1):
            _add_without_code(packages[:count])
        return getattr(import_module(path), name)
    except ImportError as error:
        raise missing_package((error.name or "").replace(_PRIVATE, _PACKAGE), error) from error


def _add_without_code(path: list[str]) -> None:
    """Make the modules of a package importable under the private name, without running the package's own code."""
    private = ".".join(path)
    if private in sys.modules:
        return
    if len(path) == 1:
        spec = find_spec(_PACKAGE)
        folders = spec.submodule_search_locations if spec else None
    else:
        folders = [str(Path(folder, path[-1])) for folder in sys.modules[".".join(path[:-1])].__path__]
    if not folders:
        raise ModuleNotFoundError(f"No module named {_PACKAGE!r}", name=_PACKAGE)
    sys.modules[private] = ModuleType(private)
    sys.modules[private].__path__ = list(folders)


def loaded(run: Run, published: Published, build: Callable[[], nn.Module]) -> nn.Module:
    """The network, kept in memory. It always has float32: these networks were never meant for less (PiDiNet's code
    fails in half precision, LeReS overflows, NormalBae's uncertainties make another answer of it), and most are small.
    """
    run = replace(run, precision="float32")
    return keep(run.model_key, lambda: load_network(run, published, build))


def published(path: str, *wrappers: str) -> Published:
    """A file of one of these networks. wrappers : names under which its tensors may lie."""
    return Published(path, _converted, wrappers)


def _converted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefix of parallel training, and with the counts of training steps, which not all files have."""
    plain = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    norms = [name.removesuffix("running_mean") for name in plain if name.endswith(".running_mean")]
    return {f"{name}num_batches_tracked": torch.tensor(0) for name in norms} | plain
