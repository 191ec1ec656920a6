# SPDX-License-Identifier: GPL-3.0-or-later
"""Where and how a task runs: device, precision, progress, cancelling, and the models kept in memory."""

from .memory import free_memory, kept_models
from .run import Run, start

__all__ = ["Run", "free_memory", "kept_models", "start"]
