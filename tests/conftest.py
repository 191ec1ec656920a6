# SPDX-License-Identifier: GPL-3.0-or-later
"""One thread: spinning OpenMP threads are many times slower on a shared machine. And the marks that choose tests."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

TESTS = Path(__file__).parent

#: Beside everything in tests/blender_addon, these run on every Blender: what reads files with the packages that differ
#: between the Pythons (OpenCV, Pillow, scipy, numpy), the networks' published answers, and each task on a real photo.
SMOKE_FILES = {"test_photo.py", "test_networks.py", "test_body.py", "test_raster.py", "test_skinning.py"}
SMOKE_TESTS = {
    "test_a_real_photo",
    "test_every_public_name_is_there",
    "test_every_task_runs_on_a_real_photo",
    "test_importing_inference_brings_in_nothing_heavy",
    "test_several_people_and_nobody_invented",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what faces Blender, and what else every Blender runs."""
    for item in items:
        floor = item.path.relative_to(TESTS).parts[0] if TESTS in item.path.parents else ""
        if floor == "blender_addon":
            item.add_marker(pytest.mark.blender)
        elif floor == "inference":
            name = getattr(item, "originalname", item.name)
            if item.path.name in SMOKE_FILES or name in SMOKE_TESTS:
                item.add_marker(pytest.mark.smoke)
