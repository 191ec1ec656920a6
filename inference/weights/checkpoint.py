# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads the tensors of a published checkpoint without running anything that is in it."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...installer.models.safe_pickle import Refused, SafeUnpickler, as_pickle_module
from ..errors import BadModelFile
from .script import is_script, read_script

_CHUNK = 1 << 24
_AGAIN = "Download it again from its page, and put it there unchanged."

#: How published networks begin the names of their tensors, to say what a wrong file seems to be.
_FAMILIES = {
    "depth_model.": "Metric3D",
    "pretrained.model.": "MiDaS",
    "dpt.": "DPT in the form of Hugging Face",
    "trans_encoder.": "MeshGraphormer",
    "encoder.backbone.": "MoGe-2",
    "model.backbone.pretrained.": "Depth Anything 3",
    "smpl_head.": "HMR 2.0",
    "backbone.encoder.rope_embed.": "SAM 3D Body with DINOv3",
    "backbone.last_norm.": "SAM 3D Body with ViT-H",
    "head_pose.": "SAM 3D Body",
    "character_torch.": "MHR",
    "model.diffusion_model.": "Stable Diffusion",
}


def read_tensors(
    path: Path, wrappers: tuple[str, ...] = (), *, objects: bool = False, script: bool = False
) -> dict[str, Tensor]:
    """Names and tensors (CPU, mapped from the file where it can be) of a .safetensors file or a torch checkpoint.

    wrappers : names under which the tensors may lie in the file; without one of them the file is the state dict.
    objects : the published file is known to hold objects of any kind beside its tensors. They become empty stand-ins;
        none of their code is looked up or run. Settings of the usual training programs are read around in every file.
    script : a TorchScript program is expected, whose tensors are read; its code is not.
    Raises `BadModelFile` in one sentence for a file that is not such a checkpoint, is cut off, or contains code.
    """
    _check_head(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    content = _read_torch(path, objects, script)
    for wrapper in wrappers:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping):
        raise BadModelFile(f"{path} holds no named tensors.", _AGAIN)
    tensors = {str(name): value for name, value in content.items() if isinstance(value, torch.Tensor)}
    if not tensors:
        within = next((model for model in map(family, filter(_is_state, content.values())) if model), "")
        seems = f": it seems to be one of {within}." if within else "."
        raise BadModelFile(f"{path} holds no named tensors of this model{seems}", _AGAIN)
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
            kind = str(tensor.dtype if tensor.layout == torch.strided else tensor.layout).removeprefix("torch.")
            raise BadModelFile(f"{path} holds {name!r} as {kind}: it is not the published file.", _AGAIN)
    return tensors


def read_objects(path: Path) -> dict[str, Any]:
    """The named objects of a checkpoint that was saved whole (`torch.save({"model": network})`): modules as
    `PickledObject`, tensors as they are. Raises `BadModelFile`."""
    _check_head(path)
    content = _read_torch(path, objects=True)
    if not isinstance(content, dict):
        raise BadModelFile(f"{path} holds no named objects.", _AGAIN)
    return content


def check_whole(path: Path, step: Callable[[], None]) -> None:
    """Raise `BadModelFile` where a torch checkpoint's own checksums say that some of its values are not what was saved:
    torch maps files of the right length without looking. step : called between pieces."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                if not entry.CRC:  # saved without
                    continue
                with archive.open(entry) as file:
                    while file.read(_CHUNK):
                        step()
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise BadModelFile(f"{path} is damaged: its checksums do not fit what it holds.", _AGAIN) from error


def family(names: Mapping[str, Any]) -> str:
    """What model a file with these names seems to belong to, or ""."""
    for start, model in _FAMILIES.items():
        if any(name.startswith(start) for name in names):
            return model
    return ""


def _is_state(content: Any) -> bool:
    return isinstance(content, Mapping) and all(isinstance(name, str) for name in content)


def _check_head(path: Path) -> None:
    """Name what is often saved in place of a model."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise BadModelFile(f"{path} cannot be read: {error}.", "Check its permissions, or copy it again.") from error
    if not head:
        raise BadModelFile(f"{path} is empty.", _AGAIN)
    if head.lstrip().startswith((b"<", b'{"error')):
        raise BadModelFile(f"{path} is a web page, not a model.", _AGAIN)
    if head.startswith(b"version https://git-lfs"):
        raise BadModelFile(f"{path} is only a Git LFS pointer, not the model itself.", "Fetch it with git lfs pull.")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise BadModelFile(f"{path} is cut off or damaged.", _AGAIN) from error


def _read_torch(path: Path, objects: bool, script: bool = False) -> Any:
    zipped, program = zipfile.is_zipfile(path), False
    if zipped:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        program = is_script(names)
        if program and not script:
            raise BadModelFile(f"{path} is a TorchScript program, not a checkpoint.", _AGAIN)
        if not any(name.endswith("data.pkl") for name in names):
            raise BadModelFile(f"{path} is an archive of something else, not a checkpoint.", _AGAIN)
    try:
        if program and script:
            return read_script(path)
        try:
            if not objects:
                return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
        except pickle.UnpicklingError as error:
            if "GLOBAL" not in str(error):  # how torch names the objects that it does not make
                raise
        # torch's own unpickler looks globals up through ours, which imports nothing.
        module = as_pickle_module(_Tensors if objects else _TensorsAndSettings)
        return torch.load(path, map_location="cpu", weights_only=False, mmap=zipped, pickle_module=module)
    except Refused as error:
        message = f"{path} contains code or objects ({error}); none of it was run. It is not the published file."
        raise BadModelFile(message, _AGAIN) from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged pickle can raise anything
        raise BadModelFile(f"{path} is cut off or damaged, or is not a PyTorch checkpoint.", _AGAIN) from error


#: What tensors are rebuilt with.
_TENSORS = {("torch._utils", "_rebuild_tensor_v2"), ("torch._utils", "_rebuild_parameter"), ("torch", "Size")}
#: Programs whose settings and counters lie in files of training, beside the tensors.
_TRAINING = {
    "addict", "argparse", "easydict", "enum", "hydra", "lightning", "lightning_fabric", "lightning_utilities", "mmcv",
    "mmengine", "numpy", "omegaconf", "pathlib", "pytorch_lightning", "torch", "typing", "yacs",
}  # fmt: skip
#: Harmless types of Python itself that such settings refer to.
_TYPES = {"bool", "dict", "float", "frozenset", "int", "list", "object", "range", "set", "slice", "str", "tuple"}


class _Tensors(SafeUnpickler):
    """Rebuilds tensors; everything else stays a stand-in."""

    def resolve(self, module: str, name: str) -> Any:
        is_storage = module in ("torch", "torch.storage") and name.endswith("Storage")
        is_dtype = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if (module, name) in _TENSORS or is_storage or is_dtype:
            return getattr(import_module(module), name, None)
        return None


class _TensorsAndSettings(_Tensors):
    """Leaves stand-ins only for what training programs are known to store."""

    def resolve(self, module: str, name: str) -> Any:
        package = module.partition(".")[0]
        of_python = (package in ("builtins", "__builtin__") and name in _TYPES) or package in ("collections", "_codecs")
        if package not in _TRAINING and not of_python:
            raise Refused(f"{module}.{name}")
        return super().resolve(module, name)
