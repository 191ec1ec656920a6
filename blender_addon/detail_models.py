# SPDX-License-Identifier: GPL-3.0-or-later
"""The diffusion models that lie under the models' folder, by the names that the detailer takes. Nothing imports bpy."""

from __future__ import annotations

from ..installer import catalogue, store

BUILTIN = "builtin"
#: Kind -> folder below the models' root (as `inference.detailer.engines` has it), and what a diffusers folder holds.
_PLACES = {
    "checkpoint": ("detailer", "model_index.json"),
    "controlnet": ("detailer/controlnet", "config.json"),
    "lora": ("detailer/loras", ""),
}


def found(kind: str) -> list[str]:
    """What there is of a kind ("checkpoint", "controlnet", "lora"): single files and diffusers folders, by name."""
    place, index = _PLACES[kind]
    root = store.models_root()
    names = []
    if kind == "checkpoint":
        installed = [model.id for model in catalogue.models("detailer") if store.is_installed(model)]
        names = [BUILTIN, *(name for name in installed if name != BUILTIN)]
    if (root / place).is_dir():
        paths = sorted((root / place).iterdir())
        names += [path.name for path in paths if path.suffix == ".safetensors" or (index and (path / index).is_file())]
    return list(dict.fromkeys(names))


def located(name: str, kind: str) -> str:
    """The path of what bears this name in the models' folder; anything else as it is. Blender may have been started
    anywhere, so that a file of the same name where it was is not meant."""
    path = store.models_root() / _PLACES[kind][0] / name
    return str(path) if name and name in found(kind) and path.exists() else name
