# SPDX-License-Identifier: GPL-3.0-or-later
"""Choice of device and precision."""

from __future__ import annotations

from ..errors import BadInput, MissingPackages


def require_torch():
    """Import torch, or say how to get it. torch is imported here first, when a task is first run."""
    try:
        import torch
    except ImportError as error:
        raise MissingPackages(
            "PyTorch is not installed for this Python.",
            "Press Install in Maquette's preferences, or run `python3 -m installer packages`.",
            "maquette.install_packages",
        ) from error
    return torch


def choose_device(device: str | None) -> str:
    """The device asked for if it exists here, else the best there is: CUDA or ROCm, Apple's, Intel's, the CPU."""
    torch = require_torch()
    present = [name for name in ("cuda", "mps", "xpu") if _present(torch, name)]
    if device is None:
        return present[0] if present else "cpu"
    if device.split(":")[0] not in [*present, "cpu"]:
        raise BadInput(
            f"There is no device {device!r} on this machine.", f"Choose one of: {', '.join([*present, 'cpu'])}."
        )
    return device


def _present(torch, name: str) -> bool:
    backend = torch.backends.mps if name == "mps" else getattr(torch, name, None)
    return backend is not None and backend.is_available()


def choose_precision(precision: str | None, device: str) -> str:
    """float32 unless half precision is asked for; the CPU always computes in float32."""
    if precision not in (None, "float32", "float16"):
        raise BadInput(f"There is no precision {precision!r}.", "Choose float32 or float16.")
    return "float32" if precision is None or device == "cpu" else precision
