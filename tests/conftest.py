# SPDX-License-Identifier: GPL-3.0-or-later
"""One thread: spinning OpenMP threads are many times slower on a shared machine. And the marks that choose tests."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

BLENDER_TESTS = Path(__file__).parent / "blender_addon"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in tests/blender_addon is Blender-facing."""
    for item in items:
        if BLENDER_TESTS in item.path.parents:
            item.add_marker(pytest.mark.blender)
