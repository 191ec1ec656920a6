# SPDX-License-Identifier: GPL-3.0-or-later
"""The diffusion models that lie under the models' folder, by the names that the detailer takes. Nothing imports bpy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ....installer.models import catalogue, store

BUILTIN = "builtin"
#: Kind -> folder below the models' root (as `inference.detailer.engines` has it), and what a diffusers folder holds.
_PLACES = {
    "checkpoint": ("detailer", "model_index.json"),
    "controlnet": ("detailer/controlnet", "config.json"),
    "lora": ("detailer/loras", ""),
    "embedding": ("detailer/embeddings", ""),
}


def found(kind: str) -> list[str]:
    """What there is of a kind (see `_PLACES`): single files and diffusers folders, by name."""
    names = []
    if kind == "checkpoint":
        installed = [model.id for model in catalogue.models("detailer") if store.is_installed(model)]
        names = [BUILTIN, *(name for name in installed if name != BUILTIN)]
    return list(dict.fromkeys([*names, *sorted(path.name for path in _paths(kind))]))


def located(name: str, kind: str) -> str:
    """The path of what bears this name below the roots of the models; anything else as it is. Blender may have been
    started anywhere, so that a file of the same name where it was is not meant."""
    return next((str(path) for path in _paths(kind) if path.name == name), name)


def embeddings_in(*prompts: str) -> tuple[str, ...]:
    """The textual inversions that prompts name."""
    text = " ".join(prompts).lower()
    return tuple(str(path) for path in _paths("embedding") if path.stem.lower() in text)


def _paths(kind: str) -> Iterator[Path]:
    """The files and folders of a kind, in the user's own root first."""
    place, index = _PLACES[kind]
    for root in store.search_path():
        folder = root / place
        for path in folder.iterdir() if folder.is_dir() else ():
            other = {"embedding": (".pt", ".bin"), "checkpoint": (".gguf",)}.get(kind, ())
            if path.suffix in (".safetensors", *other) or (index and (path / index).is_file()):
                yield path
