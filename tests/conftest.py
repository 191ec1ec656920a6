# SPDX-License-Identifier: GPL-3.0-or-later
"""One thread: spinning OpenMP threads are many times slower on a shared machine. And the marks that choose tests."""

import gc
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started in the background, where shells switch Ctrl-C off
    signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

TESTS = Path(__file__).parent
sys.path.insert(0, str(TESTS))
import made_up  # noqa: E402

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


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("maquette")
    group.addoption("--full", action="store_true", help="the tests marked full as well")
    group.addoption("--part", default="1/1", metavar="N/M", help="the N-th of M parts into which the files are dealt")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the files of the other parts, and on other Blenders all that has no tests for them, before anything of
    them is imported."""
    if not collection_path.name.startswith("test_") or collection_path.suffix != ".py":
        return None
    number, count = map(int, config.getoption("part").split("/"))
    files = sorted(collection_path.parent.glob("test_*.py"))
    elsewhere = parts(files, count)[collection_path.name] != number - 1
    return elsewhere or ("blender or smoke" in config.option.markexpr and not runs_on_every(collection_path)) or None


def runs_on_every(file: Path) -> bool:
    """Whether a file has tests that every Blender runs; importing the others takes long."""
    if file.parent.name == "blender_addon" or file.name in SMOKE_FILES:
        return True
    text = file.read_text("utf-8")
    return "mark.smoke" in text or any(f"def {name}(" in text for name in SMOKE_TESTS)


def parts(files: list[Path], count: int) -> dict[str, int]:
    """Name of each test file -> its part, 0 ... `count` - 1; the longest are dealt first, each to the shortest part."""
    load = [0.0] * count
    found = {}
    for file in sorted(files, key=lambda file: (-seconds(file), file.name)):
        found[file.name] = load.index(min(load))
        load[found[file.name]] += seconds(file)
    return found


def seconds(file: Path) -> float:
    """About how long a test file takes."""
    return SECONDS.get(f"{file.parent.name}/{file.name}", 1.0)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what faces Blender, and what else every Blender runs; leave out the full tier unless it is asked for."""
    for item in items:
        floor = item.path.relative_to(TESTS).parts[0] if TESTS in item.path.parents else ""
        if floor == "blender_addon":
            item.add_marker(pytest.mark.blender)
        elif floor == "inference":
            name = getattr(item, "originalname", item.name)
            if item.path.name in SMOKE_FILES or name in SMOKE_TESTS:
                item.add_marker(pytest.mark.smoke)
        if seconds(item.path) >= SLOW:
            item.add_marker(pytest.mark.slow)
    asked = "full" in config.option.markexpr or any("::" in argument for argument in config.args)
    if not asked and not config.getoption("full"):
        left_out = [item for item in items if item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish() -> None:
    """What has been imported by now stays: `free_memory` need not look through all of it again and again."""
    gc.collect()
    gc.freeze()


#: Test file -> seconds of processor time that it takes, where that is more than a few. By them the parts are balanced,
#: and files that take `SLOW` or more are marked slow.
SLOW = 6.0
SECONDS = {
    "blender_addon/test_api.py": 4,
    "blender_addon/test_builders_body.py": 3,
    "blender_addon/test_builders_sam3d.py": 6,
    "blender_addon/test_built_rigs.py": 6,
    "blender_addon/test_calibrate.py": 20,
    "blender_addon/test_cli.py": 8,
    "blender_addon/test_clips_depth.py": 7,
    "blender_addon/test_depth_nodes.py": 4,
    "blender_addon/test_detail.py": 3,
    "blender_addon/test_detail_masks.py": 5,
    "blender_addon/test_detail_models.py": 10,
    "blender_addon/test_engine_files.py": 6,
    "blender_addon/test_extension.py": 7,
    "blender_addon/test_jobs.py": 3,
    "blender_addon/test_lens.py": 7,
    "blender_addon/test_motion.py": 16,
    "blender_addon/test_operators.py": 9,
    "blender_addon/test_operators_hands.py": 7,
    "blender_addon/test_operators_normals.py": 5,
    "blender_addon/test_rig_files.py": 5,
    "blender_addon/test_rigs.py": 17,
    "blender_addon/test_rigs_ik.py": 10,
    "inference/test_cli.py": 11,
    "inference/test_clip.py": 14,
    "inference/test_da3.py": 12,
    "inference/test_depth.py": 3,
    "inference/test_detail_places.py": 3,
    "inference/test_detailer.py": 9,
    "inference/test_detailer_models.py": 34,
    "inference/test_farm.py": 5,
    "inference/test_hands.py": 9,
    "inference/test_hmr2.py": 25,
    "inference/test_hmr2_clip.py": 9,
    "inference/test_hmr2_files.py": 14,
    "inference/test_hmr2_golden.py": 11,
    "inference/test_hmr2_refine.py": 8,
    "inference/test_hmr2_yolo.py": 13,
    "inference/test_imports.py": 4,
    "inference/test_library_depth.py": 26,
    "inference/test_maps.py": 18,
    "inference/test_measured.py": 17,
    "inference/test_meshgraphormer.py": 15,
    "inference/test_meshgraphormer_inputs.py": 16,
    "inference/test_metric3d.py": 13,
    "inference/test_metric3d_inputs.py": 7,
    "inference/test_midas.py": 21,
    "inference/test_moge2.py": 14,
    "inference/test_people.py": 18,
    "inference/test_people_hands.py": 5,
    "inference/test_photo.py": 4,
    "inference/test_pipeline.py": 6,
    "inference/test_pose.py": 11,
    "inference/test_runtime.py": 6,
    "inference/test_sam3d.py": 13,
    "inference/test_temporal.py": 4,
    "inference/test_track.py": 8,
    "installer/test_download.py": 7,
    "installer/test_environment.py": 20,
    "installer/test_library.py": 5,
    "installer/test_packages.py": 36,
    "installer/test_testing.py": 8,
}


@pytest.fixture(scope="session")
def cache() -> Path:
    """The folder of what tests make and keep for the sessions to come."""
    return Path(os.environ.get("MAQUETTE_SYNTHETIC", TESTS.parent / ".maquette" / "synthetic"))


@pytest.fixture(scope="session")
def tiny_pipeline(cache: Path) -> Callable[[str], Path]:
    """A function: kind -> a folder with a diffusion model of random weights, as folder and as file of that name."""
    return lambda kind: made_up.tiny_pipeline(kind, cache)


@pytest.fixture(scope="session")
def synthetic(cache: Path) -> Iterator[Callable[..., Path]]:
    """A function: beginnings of model files' paths -> a root that holds those files, with made-up weights.

    A file is made when it is first asked for, and lies in the cache; the root is this session's own and links to it,
    so that every session converts it with the code as it is. A test that changes a file works on a copy.
    """
    for left in cache.glob("session-*"):  # by a session that was killed
        if time.time() - left.stat().st_mtime > 24 * 3600:
            shutil.rmtree(left, ignore_errors=True)
    root = cache / f"session-{os.getpid()}"

    def provide(*wanted: str) -> Path:
        made_up.provide(root, wanted, cache)
        return root

    yield provide
    shutil.rmtree(root, ignore_errors=True)


@pytest.fixture(scope="session")
def sam3d_models(cache, tmp_path_factory) -> Path:
    """Root of model files with small SAM 3D Body networks and a small MHR rig, in the published layout."""
    return made_up.small_models("sam3d", cache, tmp_path_factory.mktemp("sam3d") / "models")


@pytest.fixture
def small_sam3d(sam3d_models, monkeypatch) -> Path:
    """`sam3d_models`, with networks of their size in the place of the published ones'."""
    from dataclasses import replace

    from maquette.inference.models.sam3d_body.backbone import KINDS
    from maquette.inference.models.sam3d_body.network import Size
    from maquette.inference.people.sam3d import model

    sizes = {name: Size(replace(kind, width=64, depth=2, heads=2), 48, 32, 2, 700) for name, kind in KINDS.items()}
    monkeypatch.setattr(model, "SIZES", sizes)
    return sam3d_models


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave what tests inside Blender left to the end of the process: Blender 4.2 crashes where Python objects that
    point into its data are collected long after that data is gone, as `free_memory` would have them collected."""
    if "bpy" in sys.modules and not _frozen and item.get_closest_marker("blender") is None:
        gc.freeze()
        _frozen.append(True)


_frozen: list[bool] = []
