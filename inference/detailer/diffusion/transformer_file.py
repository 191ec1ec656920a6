# SPDX-License-Identifier: GPL-3.0-or-later
"""A transformer in a file of its own, quantised (GGUF) or plain (.safetensors), in place of the one in its model's
folder, which has the rest: text encoder, VAE, and the sizes of the networks. No torch until it is loaded."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import BadModelFile
from ...options.detail import pipeline_folder
from ...runtime.device import missing_package
from . import heads
from .families import family_of
from .heads import REMEDY, class_name, read_head

#: Beginning of a pipeline's class -> its transformer's class in diffusers, a layer that only such a transformer has
#: (under its publisher's name or diffusers'), and the layer with as many rows as the network is wide.
_KINDS = {
    "Flux2Klein": ("Flux2Transformer2DModel", r"double_stream_modulation_img\.", r"(img_in|x_embedder)\.weight"),
    "ZImage": ("ZImageTransformer2DModel", r"cap_embedder\.1\.", r"(all_)?x_embedder\.(2-1\.)?weight"),
    "QwenImage": ("QwenImageTransformer2DModel", r"transformer_blocks\.0\.img_mod\.1\.", r"img_in\.weight"),
}
#: What some programs put before all names.
_PREFIX = re.compile(r"^(model\.)?diffusion_model\.")
#: Share of its values by which a file may differ from the network: what its publisher kept beside it.
_SPARE = 0.01


@dataclass(frozen=True)
class TransformerFile:
    """values : how many numbers it holds.  bytes : that they take.  tensors : name -> shape."""

    path: Path
    values: int
    bytes: int
    tensors: dict[str, tuple[int, ...]]


def split(path: Path, config: Any = None) -> tuple[Path, Path | None]:
    """A checkpoint's path as the folder of a model with a pipeline of its own and the file of its transformer, None
    where that lies in the folder as published. Paths of other models come back as they are. Raises `BadModelFile`.

    config : a folder that the artist named for the file."""
    if path.is_dir():
        return path, _in_folder(path)
    folder = pipeline_folder(path) if config is None else Path(config).expanduser()
    if family_of(class_name(folder)) is not None:
        return folder, path
    if path.suffix.lower() == ".gguf":
        raise BadModelFile(
            f"{path} is a transformer without its text encoder and VAE.",
            "Put it beside the diffusers folder of its model, and begin its name with the folder's.",
        )
    return path, None


def _in_folder(folder: Path) -> Path | None:
    """The file that lies where the folder's own transformer is missing."""
    inside = folder / "transformer"
    files = sorted(inside.glob("*.gguf"))
    if not files or any(inside.glob("*.safetensors")):
        return None
    if len(files) > 1:
        raise BadModelFile(f"{inside} holds {len(files)} transformers.", "Choose the file of one as the model.")
    return files[0]


def read(path: Path, folder: Path) -> TransformerFile:
    """From the file's head alone, and checked: it must be what the folder lacks. Raises `BadModelFile`, and
    `MissingPackages` where the package gguf is missing."""
    if path.suffix.lower() == ".gguf":
        tensors = {_PREFIX.sub("", one.name): one for one in _reader(path).tensors}
        sizes = {name: tuple(int(side) for side in reversed(one.shape)) for name, one in tensors.items()}
        values, held = (sum(int(getattr(one, what)) for one in tensors.values()) for what in ("n_elements", "n_bytes"))
    else:
        head = read_head(path)
        sizes = {_PREFIX.sub("", name): shape for name, shape in head.tensors.items()}
        values, held = head.parameters(), path.stat().st_size
    found = TransformerFile(path, values, held, sizes)
    _check(found, folder)
    return found


def _reader(path: Path) -> Any:
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise missing_package("gguf", error) from error
    try:
        return GGUFReader(path)
    except (OSError, ValueError, IndexError, KeyError, OverflowError, MemoryError, TypeError) as error:
        message = f"{path} is not a GGUF file, or is damaged or cut off."
        raise BadModelFile(message, "Download it again.") from error


def _check(file: TransformerFile, folder: Path) -> None:
    """Raises `BadModelFile` for a transformer of another kind or size than the folder's."""
    pipeline = class_name(folder)
    kind, width = _kind(file.tensors)
    if kind is None:
        raise BadModelFile(f"{file.path} holds no transformer of FLUX.2 klein, Z-Image or Qwen-Image.", REMEDY)
    editing = "edit" in file.path.stem.lower() and "Edit" not in pipeline
    if not pipeline.startswith(kind) or editing or width != heads.width_of(folder):
        raise BadModelFile(
            f"{file.path} was not made for the model in {folder}.",
            "Choose the diffusers folder of its own model for it, by its name or as `config`.",
        )


def _kind(tensors: dict[str, tuple[int, ...]]) -> tuple[str | None, int]:
    for start, (_, layer, first) in _KINDS.items():
        if any(re.match(layer, name) for name in tensors):
            return start, next((shape[0] for name, shape in tensors.items() if re.fullmatch(first, name)), 0)
    return None, 0


def footprint(path: Path, config: Any = None) -> heads.Footprint:
    """Of any checkpoint, by the heads of its files. config : as of `split`. Raises `BadModelFile`."""
    folder, file = split(path, config)
    whole = heads.footprint(folder)
    if file is None:
        return whole
    found = read(file, folder)
    own = heads.values_of(folder / "transformer")
    if file.suffix.lower() == ".gguf":
        return replace(whole, parameters=whole.parameters - own, packed=found.bytes)
    return replace(whole, parameters=whole.parameters - own + found.values)


def load(path: Path, folder: Path, dtype: Any) -> Any:
    """diffusers' transformer with the file's weights; those of a GGUF file stay as they are, and are unpacked layer by
    layer whenever one computes (in `dtype`). Raises `BadModelFile`."""
    from importlib import import_module

    import torch

    diffusers: Any = import_module("diffusers")  # whose annotations leave out what it exports when asked
    file = read(path, folder)
    kind = getattr(diffusers, next(_KINDS[start][0] for start in _KINDS if class_name(folder).startswith(start)))
    given: dict[str, Any] = {"config": str(folder / "transformer"), "torch_dtype": dtype, "local_files_only": True}
    if path.suffix.lower() == ".gguf":
        given["quantization_config"] = diffusers.GGUFQuantizationConfig(compute_dtype=dtype)
    with torch.device("meta"):
        shaped = kind.from_config(kind.load_config(folder / "transformer"))
    wanted = sum(parameter.numel() for parameter in shaped.parameters())
    if abs(file.values - wanted) > _SPARE * wanted:
        message = f"{path} holds {file.values:,} values of a network with {wanted:,}."
        raise BadModelFile(message, "Choose a whole file that was made for this model.")
    return kind.from_single_file(_tensors(path, dtype), **given)


def _tensors(path: Path, dtype: Any) -> dict[str, Any]:
    """Name -> tensor. Only the weights of layers stay quantised; diffusers does not unpack anything else."""
    if path.suffix.lower() != ".gguf":
        from safetensors.torch import load_file

        tensors = load_file(path)
    else:
        from diffusers.models.model_loading_utils import load_gguf_checkpoint

        tensors = {name: _unpacked(tensor, dtype) for name, tensor in load_gguf_checkpoint(str(path)).items()}
    return {_PREFIX.sub("", name): tensor for name, tensor in tensors.items()}


def _unpacked(tensor: Any, dtype: Any) -> Any:
    from diffusers.quantizers.gguf.utils import dequantize_gguf_tensor

    packed = hasattr(tensor, "quant_type")
    plain = packed and (tensor.quant_type.name == "BF16" or len(tensor.quant_shape) < 2 or 1 in tensor.quant_shape)
    return dequantize_gguf_tensor(tensor).to(dtype) if plain else tensor if packed else tensor.to(dtype)
