# SPDX-License-Identifier: GPL-3.0-or-later
"""From a published checkpoint to a network: converted once to safetensors beside it, which later loads only map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ...installer import catalogue, store
from ...installer.filelock import held
from ..errors import BadModelFile, MaquetteError, MissingModel
from .checkpoint import family, read_tensors
from .convert import identity, write_tensors

if TYPE_CHECKING:
    from torch import Tensor, nn

    from ..runtime.run import Run

#: Names and tensors of a checkpoint.
State = dict[str, "Tensor"]


@dataclass(frozen=True)
class Published:
    """How a published checkpoint is laid out.

    path : below the root of the model files, as in the catalogue.
    convert : from the published names and tensors to those of our network; drops what is known to be unused, and
        leaves everything else, so that a name that nobody knows is noticed when the network takes the result.
    wrappers : names under which the tensors may lie in the file; none of them present means the file is the state dict.
    version : raised when `convert` changes, so that files converted earlier are made again.
    objects : the file is known to hold objects of its training program beside the tensors.
    """

    path: str
    convert: Callable[[State], State]
    wrappers: tuple[str, ...] = ()
    version: int = 1
    objects: bool = False


def load_network(run: Run, published: Published, build: Callable[[], nn.Module]) -> nn.Module:
    """The network with the published weights, on the run's device and in its precision, ready to compute.

    build : makes the network; called on the meta device, so that no random weights are made first.
    Raises `MissingModel` and `BadModelFile`. On the CPU in float32 the weights stay mapped from the file: they are in
    memory once, and shared with other processes.
    """
    with torch.device("meta"):
        network = build()
    state = _fitting(run, published, network.state_dict())
    network.load_state_dict(state, strict=True, assign=True)
    for tensor in (*network.parameters(), *network.buffers()):
        assert not tensor.is_meta, "a buffer of the network is neither in its state nor made when it computes"
    dtype = torch.float16 if run.precision == "float16" else torch.float32
    return network.to(run.torch_device, dtype).eval().requires_grad_(False)


def state_dict(run: Run, published: Published) -> State:
    """The converted tensors, mapped from the disk (CPU). Raises `MissingModel` and `BadModelFile`."""
    return _fitting(run, published, None)


def missing(path: Path, file: str) -> MissingModel:
    """The error to raise where `file` (as in the catalogue) does not lie at `path`."""
    known = {entry.path: entry for model in catalogue.models() for entry in model.files}.get(file)
    message = f"The model file {path} is missing."
    if known is None:
        return MissingModel(message, "Put it there.", "maquette.open_preferences")
    if known.gated:
        remedy = f"Register at {known.page}, accept its licence ({known.licence}), and put {Path(file).name} there."
    else:
        remedy = f"Download it from {known.url or known.page} and put it there; its licence is {known.licence}."
    return MissingModel(message, remedy, "maquette.open_preferences")


def _fitting(run: Run, published: Published, expected: Mapping[str, Tensor] | None) -> State:
    """The converted tensors; checked, where `expected` tells what the network takes, before they are written."""
    source = run.models_dir / published.path
    if source.suffix == ".safetensors":
        if not source.exists():
            raise missing(source, published.path)
        return _converted(source, published, expected)
    beside = source.with_suffix(".safetensors")
    if not source.exists():
        if not beside.exists():
            raise missing(source, published.path)
        return _checked(beside, read_tensors(beside), expected)
    stamp = f"{published.version} {identity(source)}"
    elsewhere = store.user_data() / "converted" / f"{stamp.split()[1]}-{beside.name}"
    for target in (beside, elsewhere):
        if _stamp(target) == stamp:
            return _checked(target, read_tensors(target), expected)
    state = _converted(source, published, expected)
    for target in (beside, elsewhere):
        if _write(run, target, state, stamp):
            return _checked(target, read_tensors(target), expected)
    run.report(0.0, "The converted model can be kept nowhere: it will be converted again next time")
    return state


def _converted(source: Path, published: Published, expected: Mapping[str, Tensor] | None) -> State:
    tensors = read_tensors(source, published.wrappers, objects=published.objects)
    if expected is None:
        return published.convert(tensors)
    try:
        converted = published.convert(tensors)
    except (KeyError, RuntimeError, IndexError, ValueError) as error:  # tensors of other names or shapes
        raise _foreign(source, tensors) from error
    return _checked(source, converted, expected, tensors)


def _checked(
    path: Path, state: State, expected: Mapping[str, Tensor] | None, published: Mapping[str, Tensor] | None = None
) -> State:
    """The state, when it has exactly the names and shapes that the network takes."""
    if expected is None:
        return state
    lacking, unknown = sorted(expected.keys() - state.keys()), sorted(state.keys() - expected.keys())
    if len(lacking) > len(expected) // 2:
        raise _foreign(path, published or state)
    if lacking or unknown:
        what = f"lacks {lacking[0]!r}" if lacking else f"holds {unknown[0]!r}, which is of no known use"
        others = max(len(lacking), len(unknown)) - 1
        more = f" (and {others} more)" if others > 0 else ""
        raise BadModelFile(f"{path} {what}{more}: it is not the published file.", "Download it again from its page.")
    for name, tensor in expected.items():
        if state[name].shape != tensor.shape:
            raise BadModelFile(
                f"{path} is of another size of this model: {name} is {list(state[name].shape)} instead of "
                f"{list(tensor.shape)}.",
                "Give the file its published name back, or download the one that belongs here.",
            )
    return state


def _foreign(path: Path, tensors: Mapping[str, Tensor]) -> BadModelFile:
    model = family(tensors)
    seems = f" It seems to be one of {model}." if model else ""
    return BadModelFile(f"{path} is not the file of this model.{seems}", "Put the published file there.")


def _stamp(converted: Path) -> str | None:
    """What a converted file was made from, None where there is none or it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(converted, framework="pt") as file:
            return (file.metadata() or {}).get("maquette")
    except (SafetensorError, OSError):
        return None


def _write(run: Run, target: Path, state: State, stamp: str) -> bool:
    """Write the converted file under its name in one step; False where this folder cannot take it."""
    part, lock = (target.with_name(target.name + ending) for ending in (".part", ".lock"))
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with held(lock, lambda line: run.report(0.0, line)):
            if _stamp(target) != stamp:
                write_tensors(part, state, {"format": "pt", "maquette": stamp}, run.part(0.0, 0.05).report)
                part.replace(target)
    except OSError:  # read-only, or full
        return False
    except MaquetteError as error:
        raise type(error)(f"{target.name}: {error.message}", error.remedy, error.operator) from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
            lock.unlink(missing_ok=True)
    return True
