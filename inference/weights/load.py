# SPDX-License-Identifier: GPL-3.0-or-later
"""From a published checkpoint to a network: converted once to safetensors beside it, which later loads only map."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from tempfile import gettempdir

import torch
from torch import Tensor, nn

from ...installer.models import catalogue, store
from ...installer.shared.disk import fingerprint, whole_file
from ...installer.shared.filelock import file_lock
from ..errors import BadModelFile, MaquetteError, MissingModel
from ..runtime.memory import is_out_of_memory
from ..runtime.run import Run
from .checkpoint import check_whole, family, read_tensors
from .convert import check_finite, write_tensors

#: The key, in the metadata of a converted file, of what it was made from.
_STAMP = "maquette"

#: Raised when converted files are written in another way.
_LAYOUT = 2

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
    script : the file is a TorchScript program, of which the tensors alone are read.
    """

    path: str
    convert: Callable[[State], State]
    wrappers: tuple[str, ...] = ()
    version: int = 1
    objects: bool = False
    script: bool = False


#: Patterns of published names, and what takes their place (text, or a function of the match), in this order.
Rules = Sequence[tuple[str, "str | Callable[[re.Match[str]], str]"]]


def rename(name: str, rules: Rules) -> str:
    """A published name as the rules make it ours; one that they do not know is left as it is, to be noticed."""
    for pattern, ours in rules:
        name = re.sub(pattern, ours, name)
    return name


def load_network(
    run: Run, published: Published, build: Callable[[], nn.Module], *, keep_types: bool = False
) -> nn.Module:
    """The network with the published weights, on the run's device and in its precision, ready to compute.

    build : makes the network; called on the meta device, so that no random weights are made first.
    keep_types : leave each tensor the type that it is published in.
    Raises `MissingModel`, `BadModelFile` and `OutOfMemory`. On the CPU in float32 the weights stay mapped from the
    file: they are in memory once, and shared with other processes.
    """
    _source(run, published)  # what builds the network may have to be imported first, which takes seconds
    with run.computing():
        with torch.device("meta"):
            network = build()
        state = _fitting(run, published, network.state_dict())
        network.load_state_dict(state, strict=True, assign=True)
        del state  # each mapped tensor is let go as soon as its copy is on the device
        for tensor in (*network.parameters(), *network.buffers()):
            assert not tensor.is_meta, "a buffer of the network is neither in its state nor made when it computes"
        dtype = torch.float16 if run.precision == "float16" else torch.float32
        return network.to(run.torch_device, None if keep_types else dtype).eval().requires_grad_(False)


def state_dict(run: Run, published: Published) -> State:
    """The converted tensors, mapped from the disk (CPU). Raises `MissingModel` and `BadModelFile`."""
    return _fitting(run, published, None)


def missing(path: Path, file: str, remedy: str = "Put it there.") -> MissingModel:
    """The error to raise where `file` does not lie at `path`. remedy : where the catalogue does not know the file."""
    known = {entry.path: entry for entry in catalogue.files()}.get(file)
    message = f"The model file {path} is missing."
    if known is None:
        return MissingModel(message, remedy, "maquette.open_preferences")
    size = f" ({known.size})" if known.size else ""
    arguments = {"file": file}
    if known.within:
        remedy = f"Download {known.within} from {known.page} and import it, or put its {Path(file).name}{size} there; "
        remedy += f"its licence is {known.licence}."
    elif known.gated:
        remedy = (
            f"Register at {known.page}, accept its licence ({known.licence}), and put {Path(file).name}{size} there."
        )
    else:
        remedy = f"Download it from {known.url or known.page}{size} and put it there; its licence is {known.licence}."
    return MissingModel(message, remedy, "maquette.install_model", arguments)


def _source(run: Run, published: Published) -> tuple[Path, Path]:
    """Where the file lies, and the converted one beside it; at least one of them is there. Raises `MissingModel`."""
    source = store.find(published.path, run.models_dir)
    beside = source.with_suffix(".safetensors")
    if not source.exists() and not beside.exists():
        raise missing(source, published.path)
    return source, beside


def _fitting(run: Run, published: Published, expected: Mapping[str, Tensor] | None) -> State:
    """The converted tensors; checked, where `expected` tells what the network takes, before they are written."""
    source, beside = _source(run, published)
    if not source.exists():
        if beside == source or _stamp(beside) != "":
            return _checked(beside, read_tensors(beside), expected)
        return _as_it_is(run, beside, published, expected)  # the published tensors in the other format
    if source.is_dir():
        raise BadModelFile(f"{source} is a folder, not a model.", "Put the published file there instead.")
    if beside == source:
        return _as_it_is(run, source, published, expected)
    file = fingerprint(source)
    stamp = f"{_LAYOUT} {published.version} {file}"
    elsewhere = store.conversion_elsewhere(source, file)
    for target in (beside, elsewhere):
        if _stamp(target) == stamp:
            return _checked(target, read_tensors(target), expected)
    state = _converted(run, source, published, expected)
    for target in (elsewhere,) if _stamp(beside) == "" or store.is_shared(source) else (beside, elsewhere):
        if _write(run, source, target, state, stamp):
            return _checked(target, read_tensors(target), expected)
    check_finite(source, state)
    run.report(0.0, "The converted model could not be saved; it will be converted again next time")
    return state


def _as_it_is(run: Run, source: Path, published: Published, expected: Mapping[str, Tensor] | None) -> State:
    """The tensors of a .safetensors file, which is used where it lies."""
    state = _converted(run, source, published, expected)
    check_finite(source, state)
    return state


def _converted(run: Run, source: Path, published: Published, expected: Mapping[str, Tensor] | None) -> State:
    check_whole(source, lambda: run.report(0.0, "Checking the model file (first use only)"))
    tensors = read_tensors(source, published.wrappers, objects=published.objects, script=published.script)
    try:
        converted = published.convert(tensors)
    except (KeyError, RuntimeError, IndexError, ValueError) as error:  # tensors of other names or shapes
        if is_out_of_memory(error):
            raise
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
        what = f"lacks {lacking[0]!r}" if lacking else f"holds {unknown[0]!r}, which this model does not have"
        others = max(len(lacking), len(unknown)) - 1
        more = f" (and {others} more)" if others > 0 else ""
        raise BadModelFile(f"{path} {what}{more}: it is not the published file.", "Download it again from its page.")
    for name, tensor in expected.items():
        if state[name].shape != tensor.shape:
            raise BadModelFile(
                f"{path} belongs to another size of this model: {name} is {list(state[name].shape)} instead of "
                f"{list(tensor.shape)}.",
                "Give the file its published name back, or download the one that belongs here.",
            )
        if state[name].is_floating_point() != tensor.is_floating_point():
            kinds = [str(one.dtype).removeprefix("torch.") for one in (state[name], tensor)]
            raise BadModelFile(
                f"{path} holds {name!r} as {kinds[0]} instead of {kinds[1]}: it is not the published file.",
                "Download it again from its page.",
            )
    return state


def _foreign(path: Path, tensors: Mapping[str, Tensor]) -> BadModelFile:
    model = family(tensors)
    seems = f" It seems to be one of {model}." if model else ""
    return BadModelFile(f"{path} is not the file of this model.{seems}", "Put the published file there.")


def _stamp(converted: Path) -> str | None:
    """What a converted file was made from, "" for one that was not written here; None where there is no whole file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(converted, framework="pt") as file:
            return (file.metadata() or {}).get(_STAMP, "")
    except (SafetensorError, OSError):
        return None


def _write(run: Run, source: Path, target: Path, state: State, stamp: str) -> bool:
    """Write the conversion of `source` under its name in one step; False where this folder cannot take it.

    Processes of this machine wait for each other; those of other machines that share the folder write beside each
    other, and each gives its whole file the name.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if disk_usage(target.parent).free < sum(tensor.numel() * tensor.element_size() for tensor in state.values()):
            return False
        with _alone(target, run):
            if _stamp(target) != stamp:
                with whole_file(target) as part:
                    write_tensors(part, state, {"format": "pt", _STAMP: stamp}, run.part(0.0, 0.05).report)
    except OSError:  # read-only, full, or the old file is in use (Windows)
        return False
    except MaquetteError as error:
        raise type(error)(f"{source}: {error.message}", error.remedy, error.operator, error.arguments) from error
    return True


@contextmanager
def _alone(target: Path, run: Run) -> Iterator[None]:
    """While this is held no other process of this user converts to `target`. The lock stays behind among the
    system's temporary files: removing it would let a third process in beside the second."""
    name = hashlib.sha256(str(target.absolute()).encode()).hexdigest()[:16]
    user = os.getuid() if hasattr(os, "getuid") else "user"
    lock = Path(gettempdir()) / f"maquette-{user}-{name}.lock"

    def waiting(_line: str) -> None:
        run.report(0.0, "Another program is converting this model file; waiting for it to finish")

    with file_lock(lock, waiting):
        yield
