# SPDX-License-Identifier: GPL-3.0-or-later
"""One task's run: what every model needs to know beside its own parameters."""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from ...installer.models import catalogue, store
from ..errors import BadInput, OutOfMemory
from .device import choose_device, choose_precision
from .memory import free_memory, is_out_of_memory

if TYPE_CHECKING:
    import torch

#: Called with (fraction 0..1, message); may raise `Cancelled`.
ProgressCallback = Callable[[float, str], None] | None


@dataclass(frozen=True)
class Run:
    """device : torch device name.  precision : "float32" or "float16".  models_dir : root of the model files.

    model : the catalogue's entry of the model that runs; None where a step runs for itself.
    half : the caller did not ask for 32 bits: what is published in 16 may compute in them on a graphics card.
    """

    device: str
    precision: str
    models_dir: Path
    progress: ProgressCallback = None
    span: tuple[float, float] = (0.0, 1.0)
    model: catalogue.Model | None = None
    half: bool = True

    def report(self, fraction: float, message: str) -> None:
        """Tell the caller how far this part is; the point at which a task can be cancelled."""
        if self.progress is not None:
            low, high = self.span
            self.progress(low + (high - low) * min(max(fraction, 0.0), 1.0), message)

    def part(self, start: float, end: float) -> Run:
        """The run as seen by a step that takes the share start..end of this one."""
        low, high = self.span
        return replace(self, span=(low + (high - low) * start, low + (high - low) * end))

    def parts(self, count: int) -> Iterator[Run]:
        """The run cut into so many equal parts."""
        return (self.part(number / count, (number + 1) / count) for number in range(count))

    @property
    def model_key(self) -> tuple[Hashable, ...]:
        """What the run's network and its results depend on: the model, the state of its files, which may be replaced by
        better ones, device and precision."""
        assert self.model is not None
        files = (_state(store.find(file.path, self.models_dir)) for file in self.model.files)
        return self.model.id, *files, self.device, self.precision

    @property
    def torch_device(self) -> torch.device:
        import torch

        return torch.device(self.device)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """Around a model's work: float32 is float32 on every device, and memory that runs out is one clear error.

        By default cuDNN rounds the factors of float32 convolutions to 10 bits (TF32); results would differ from the
        CPU's in the third digit.
        """
        import torch

        cudnn = torch.backends.cudnn
        try:
            with cudnn.flags(enabled=cudnn.enabled, benchmark=False, deterministic=True, allow_tf32=False):
                yield
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            free_memory()
            raise OutOfMemory(
                f"Out of memory on {self.device}.",
                "Close other programs or use a smaller photo."
                if self.device == "cpu"
                else "Close other programs, use a smaller photo, or choose the device cpu.",
                "maquette.free_memory",
            ) from error


def _state(path: Path) -> tuple[Hashable, ...]:
    """Where a file lies, when it was written and how long it is; only where, while it is missing."""
    try:
        return path, path.stat().st_mtime_ns, path.stat().st_size
    except OSError:
        return (path,)  # only the converted file is there, or none


def start(
    device: str | None = None,
    precision: str | None = None,
    progress: ProgressCallback = None,
    models_dir: str | PathLike[str] | None = None,
    model: catalogue.Model | None = None,
) -> Run:
    """Resolve the arguments that every public function takes into a `Run`."""
    if progress is not None and not callable(progress):
        raise BadInput("progress is not a function.", "Give a function of (fraction, message), or None.")
    chosen = choose_device(device)
    if models_dir is not None and not isinstance(models_dir, (str, PathLike)):
        raise BadInput(
            f"models_dir must be the path of a folder, not {reprlib.repr(models_dir)}.", "Change it or leave it out."
        )
    try:
        root = Path(models_dir).expanduser() if models_dir is not None else store.models_root()
    except RuntimeError as error:  # "~name" of nobody
        raise BadInput(f"There is no home folder for {models_dir}.", "Give the whole path.") from error
    exact, told = precision == "float32", None if progress is None else _forwards(progress)
    return Run(chosen, choose_precision(precision, chosen), root, told, model=model, half=not exact)


def _forwards(progress: Callable[[float, str], None]) -> Callable[[float, str], None]:
    """The callback, told of no step back: what the first use of a file takes, converting it, is not foreseen."""
    most = 0.0

    def tell(fraction: float, message: str) -> None:
        nonlocal most
        most = max(most, fraction)
        progress(most, message)

    return tell
