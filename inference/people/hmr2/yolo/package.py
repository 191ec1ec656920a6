# SPDX-License-Identifier: GPL-3.0-or-later
"""The package ultralytics, imported so that it neither connects to anything nor changes Blender's process.

As it is imported, the package asks name servers whether there is a network, writes a settings file into the user's
home, and sets options of torch, numpy, OpenCV and the environment for the whole process. Later it may report usage,
install packages and download files. All of that is switched off first or undone after. Only its networks and its
suppression of overlaps are used; its own loaders, which unpickle, are never called.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import cv2
import numpy as np
import torch
from PIL import Image
from torch import _tensor_str

from ....errors import MissingPackages
from ....runtime.device import missing_package

#: No look-up of name servers, no installing of packages, no log, and no evaluation of what a model's layout says.
_SWITCHES = {"YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "0", "YOLO_VERBOSE": "0", "ULTRALYTICS_SAFE_LOAD": "1"}
#: What it replaces in other packages.
_REPLACED = ((torch, "save"), (cv2, "imread"), (cv2, "imwrite"), (cv2, "imshow"), (Image, "open"))


def ultralytics(module: str) -> ModuleType:
    """The package's module of that name ("nn.tasks"). Raises `MissingPackages`."""
    name = f"ultralytics.{module}"
    if name in sys.modules:
        return sys.modules[name]
    try:
        with _isolated():
            return import_module(name)
    except ImportError as error:
        missing = missing_package(error.name, error, "people")
        remedy = f"{missing.remedy} The detector 'builtin' needs no package."
        raise MissingPackages(missing.message, remedy, missing.operator, missing.arguments) from error


@contextmanager
def _isolated() -> Iterator[None]:
    """While this is held the package may be imported; then the process is as it was."""
    environment, threads = os.environ.copy(), cv2.getNumThreads()
    replaced = [(owner, name, getattr(owner, name)) for owner, name in _REPLACED]
    with (
        TemporaryDirectory(prefix="maquette-") as folder,
        np.printoptions(),
        _tensor_str.printoptions(),
        warnings.catch_warnings(),
    ):
        settings = Path(folder) / "Ultralytics" / "settings.json"
        settings.parent.mkdir()
        settings.write_text('{"sync": false}', "utf-8")  # reports of usage and of errors
        os.environ |= _SWITCHES | {"YOLO_CONFIG_DIR": folder}
        try:
            yield
        finally:
            for name in os.environ.keys() - environment.keys():
                del os.environ[name]
            os.environ |= environment
            cv2.setNumThreads(threads)
            for owner, name, value in replaced:
                setattr(owner, name, value)
