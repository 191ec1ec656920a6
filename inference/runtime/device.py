# SPDX-License-Identifier: GPL-3.0-or-later
"""Choice of device and precision.

Without a GPU, or with CUDA_VISIBLE_DEVICES set to an empty string, everything runs on the CPU; the results agree
within rounding.
"""

from __future__ import annotations

import os
import reprlib
import sys
from types import ModuleType

from ...installer.packages.features import feature_of
from ..errors import BadInput, MissingPackages
from ..options.common import PRECISION

#: The networks are small: more threads only wait for each other, and all of the cores wait for other work besides.
_MOST_THREADS = 4

#: How the names of Maquette's own modules begin, in scripts and as an extension.
_OWN = f"{str(__package__).rpartition('.inference')[0]}."


def require_torch() -> ModuleType:
    """Import torch, or say how to get it. torch is imported here first, when a task is first run.

    Threads that wait must not spin: on a machine with other work, four spinning threads were measured 16 times slower
    than one. A process that set OMP_NUM_THREADS, or imported torch itself, keeps its own choice.
    """
    if "torch" in sys.modules:
        return sys.modules["torch"]
    wait_quietly()
    try:
        import torch
    except (ImportError, OSError) as error:  # OSError: a library that torch needs is missing or of another version
        raise missing_package("torch", error) from error
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, min(_MOST_THREADS, _cores() // 2)))
    return torch


def wait_quietly() -> None:
    """Have OpenMP's threads sleep while they wait; it is read when the library of OpenMP is loaded."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def missing_package(name: str | None, error: Exception, feature: str = "") -> MissingPackages:
    """The error to raise where an import failed: which group of packages is missing, and the operator that installs
    it. feature : the group that the model is said to need, which counts where several groups bring the package.

    Raises `error` itself where a module of Maquette's own is at fault: no package would mend that.
    """
    if (name or "").startswith(_OWN):
        raise error
    reason = "is not installed for this Python" if isinstance(error, ModuleNotFoundError) else f"cannot load: {error}"
    feature = feature_of(name or "torch", feature)
    command = f"python3 -m installer packages install --features {feature}"
    return MissingPackages(
        f"The Python package {name or 'that this task needs'} {reason}.",
        f"Press Install in Maquette's preferences, or run `{command}`.",
        "maquette.install_packages",
        {"features": feature},
    )


def choose_device(device: str | None) -> str:
    """The device asked for if it exists here, else the best there is: CUDA or ROCm, Apple's, Intel's, the CPU.

    Raises `BadInput` for a device that this machine does not have ("cuda:1" where there is only one).
    """
    torch = require_torch()
    counts = {name: _count(torch, name) for name in ("cuda", "mps", "xpu")}
    present = [name for name, count in counts.items() if count]
    if device is None:
        return present[0] if present else "cpu"
    kind, _, number = str(device).partition(":")
    known = kind in present and (not number or (number.isdecimal() and int(number) < counts[kind]))
    if not isinstance(device, str) or (not known and device != "cpu"):
        raise BadInput(
            f"There is no device {reprlib.repr(device)} on this machine.",
            f"Choose one of: {', '.join([*present, 'cpu'])}.",
        )
    return device


def choose_precision(precision: str | None, device: str) -> str:
    """float32 unless half precision is asked for; the CPU always computes in float32."""
    precision = PRECISION.checked(precision)
    return "float32" if precision is None or device == "cpu" else precision


def _count(torch: ModuleType, name: str) -> int:
    """How many devices of a kind there are."""
    if name == "mps":
        return int(torch.backends.mps.is_available())
    backend = getattr(torch, name, None)
    return backend.device_count() if backend is not None and backend.is_available() else 0


def _cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
