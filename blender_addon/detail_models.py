# SPDX-License-Identifier: GPL-3.0-or-later
"""The diffusion models that lie under the models' folder, and how they are named. Nothing here imports bpy.

`<models>/detailer/` takes checkpoints, `controlnet/` and `loras/` below it ControlNets and LoRAs: single .safetensors files, or folders of diffusers.
"""

from __future__ import annotations

from pathlib import Path

from ..installer import store

#: Kind -> folder below the models' root, and the file that a diffusers folder of this kind holds.
_PLACES = {
    "checkpoint": ("detailer", "model_index.json"),
    "controlnet": ("detailer/controlnet", "config.json"),
    "lora": ("detailer/loras", ""),
}
BUILTIN = "builtin"


def found(kind: str) -> list[str]:
    """The names of what there is of a kind, as `located` takes them."""
    place, index = _PLACES[kind]
    folder = store.models_root() / place
    names = [BUILTIN] if kind == "checkpoint" else []
    if not folder.is_dir():
        return names
    paths = sorted(folder.iterdir())
    names += [path.name for path in paths if path.suffix == ".safetensors" or (index and (path / index).is_file())]
    return names


def located(name: str, kind: str) -> str:
    """The path that a name or path stands for; "builtin" and "" as they are."""
    if not name or (kind == "checkpoint" and name == BUILTIN):
        return name
    below = store.models_root() / _PLACES[kind][0] / name
    return str(below) if not Path(name).is_absolute() and below.exists() else str(Path(name).expanduser())
