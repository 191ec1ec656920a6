# SPDX-License-Identifier: GPL-3.0-or-later
"""Hugging Face's libraries, kept from asking any hub, and from printing bars and advice for programmers."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module


@contextmanager
def offline(*libraries: str) -> Iterator[None]:
    """While this lasts, "transformers" or "diffusers" read from the disk alone, in silence."""
    before = {name: os.environ.get(name) for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")}
    logs = [import_module(f"{library}.utils.logging") for library in libraries]
    levels = [(log, log.get_verbosity()) for log in logs]
    os.environ.update(dict.fromkeys(before, "1"))
    for log in logs:
        log.disable_progress_bar()
        log.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        for log, level in levels:
            log.set_verbosity(level)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
