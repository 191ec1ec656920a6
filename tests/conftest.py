# SPDX-License-Identifier: GPL-3.0-or-later
"""One thread: spinning OpenMP threads are many times slower on a shared machine. And the marks that choose tests."""

import gc
import hashlib
import os
import runpy
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
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


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("maquette")
    group.addoption("--full", action="store_true", help="the tests marked full as well")
    group.addoption("--part", default="1/1", metavar="N/M", help="the N-th of M parts into which the files are dealt")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the files of the other parts before anything of them is imported."""
    if not collection_path.name.startswith("test_") or collection_path.suffix != ".py":
        return None
    number, count = map(int, config.getoption("part").split("/"))
    files = sorted(collection_path.parent.glob("test_*.py"))
    return parts(files, count)[collection_path.name] != number - 1 or None


def parts(files: list[Path], count: int) -> dict[str, int]:
    """Name of each test file -> its part, 0 ... `count` - 1; the longest are dealt first, each to the shortest part."""
    load = [0.0] * count
    found = {}
    for file in sorted(files, key=lambda file: (-SECONDS.get(file.name, 1.0), file.name)):
        found[file.name] = load.index(min(load))
        load[found[file.name]] += SECONDS.get(file.name, 1.0)
    return found


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
    asked = "full" in config.option.markexpr or any("::" in argument for argument in config.args)
    if not asked and not config.getoption("full"):
        left_out = [item for item in items if item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish() -> None:
    """What has been imported by now stays: `free_memory` need not look through all of it again and again."""
    gc.collect()
    gc.freeze()


#: Test file -> seconds of processor time that it takes, where that is more than a few: what parts are balanced by.
SECONDS = {
    "test_builders_body.py": 4,
    "test_builders_displacement.py": 4,
    "test_calibrate.py": 38,
    "test_cli.py": 13,
    "test_clip.py": 10,
    "test_clips_depth.py": 7,
    "test_depth_nodes.py": 6,
    "test_detail.py": 3,
    "test_detail_masks.py": 4,
    "test_detail_models.py": 12,
    "test_detailer.py": 9,
    "test_detailer_models.py": 30,
    "test_download.py": 7,
    "test_extension.py": 5,
    "test_hands.py": 11,
    "test_hmr2.py": 26,
    "test_hmr2_clip.py": 7,
    "test_hmr2_files.py": 18,
    "test_hmr2_golden.py": 5,
    "test_hmr2_refine.py": 6,
    "test_hmr2_yolo.py": 7,
    "test_lens.py": 4,
    "test_library.py": 5,
    "test_library_depth.py": 24,
    "test_maps.py": 28,
    "test_meshgraphormer.py": 19,
    "test_meshgraphormer_inputs.py": 10,
    "test_metric3d.py": 15,
    "test_metric3d_inputs.py": 7,
    "test_midas.py": 19,
    "test_operators.py": 7,
    "test_operators_hands.py": 22,
    "test_people.py": 9,
    "test_pose.py": 4,
    "test_rigs.py": 24,
    "test_runtime.py": 10,
    "test_temporal.py": 4,
    "test_testing.py": 7,
    "test_track.py": 7,
}

SYNTH = TESTS / "inference" / "synth"
#: Model file -> the script that makes it with made-up weights, and the script's arguments before what it is to write.
#: The golden data were made with the same weights.
SYNTHETIC = {
    "metric3d/metric_depth_vit_small_800k.pth": ("synth_depth.py", "manifest-metric_depth_vit_small_800k.json.gz"),
    "metric3d/metric_depth_vit_large_800k.pth": ("synth_depth.py", "manifest-metric_depth_vit_large_800k.json.gz"),
    "metric3d/metric_depth_vit_giant2_800k.pth": ("synth_depth.py", "manifest-metric_depth_vit_giant2_800k.json.gz"),
    "midas/dpt_hybrid-midas-501f0c75.pt": ("synth_depth.py", "manifest-dpt_hybrid-midas-501f0c75.json.gz"),
    "midas/dpt-hybrid-midas/model.safetensors": ("synth_depth.py", "manifest-intel-dpt-hybrid-midas.json.gz"),
    "meshgraphormer/graphormer_hand_state_dict.bin": (
        "synth_weights.py",
        "graphormer",
        "manifest-graphormer-hand.json.gz",
    ),
    "meshgraphormer/mano_downsampling.npz": ("synth_hand.py",),
    "mano/MANO_RIGHT.pkl": ("synth_hand.py",),
    "hmr2/epoch=35-step=1000000.ckpt": ("synth_weights.py", "hmr2", "manifest-hmr2.json.gz"),
    "hmr2/SMPL_to_J19.pkl": ("synth_body.py",),
    "smpl/SMPL_NEUTRAL.pkl": ("synth_body.py",),
}
#: Scripts that write several files into a folder, under their published names.
FOLDERS = ("synth_hand.py", "synth_body.py")
#: Together 10 GB, for the full tier alone: they are not kept.
NOT_KEPT = ("metric_depth_vit_large_800k.pth", "metric_depth_vit_giant2_800k.pth", "epoch=35-step=1000000.ckpt")


@pytest.fixture(scope="session")
def cache() -> Path:
    """The folder of what tests make and keep for the sessions to come."""
    return Path(os.environ.get("MAQUETTE_SYNTHETIC", TESTS.parent / ".maquette" / "synthetic"))


@pytest.fixture(scope="session")
def tiny_pipeline(cache: Path) -> Callable[[str], Path]:
    """A function: kind -> a folder with a diffusion model of random weights, as folder and as file of that name."""
    return lambda kind: _made(cache, "tiny_pipelines.py", [kind], kind, _run_here)


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Callable[..., Path]:
    """A function: beginnings of model files' paths -> a root that holds those files, with made-up weights.

    A file is made when it is first asked for, and lies in a cache that outlives the session; the root is new and links
    to it, so that every session converts it with the code as it is. A test that changes a file works on a copy.
    """
    root = tmp_path_factory.mktemp("models")

    def provide(*wanted: str) -> Path:
        for path, (script, *arguments) in SYNTHETIC.items():
            if path.startswith(wanted) and not (root / path).exists():
                name = Path(path).name
                kept = root if name in NOT_KEPT else cache
                made = _made(kept, script, arguments, "folder" if script in FOLDERS else name)
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                _link(made / name if script in FOLDERS else made, root / path)
        return root

    return provide


def _run(script: Path, *arguments: str) -> None:
    """In a process of its own, which gives its memory back."""
    subprocess.run([sys.executable, str(script), *arguments], cwd=SYNTH, check=True)


def _run_here(script: Path, *arguments: str) -> None:
    """In this process, because what the script imports takes longest and is needed anyway; it forbids connections."""
    before, connect, environment = sys.argv, socket.socket.connect, dict(os.environ)
    try:
        sys.argv = [str(script), *arguments]
        runpy.run_path(str(script), run_name="__main__")
    finally:
        sys.argv, socket.socket.connect = before, connect
        os.environ.clear()
        os.environ.update(environment)


def _made(cache: Path, script: str, arguments: list[str], name: str, run: Callable[..., None] = _run) -> Path:
    """The file (or folder) `name` in the cache, made unless script and arguments are those that made it."""
    text = (SYNTH / script).read_text("utf-8")
    needed = [file for file in sorted(SYNTH.glob("*.py")) if file.name == script or f" {file.stem} import" in text]
    content = b"".join(file.read_bytes() for file in needed)
    content += b"".join((SYNTH / word).read_bytes() for word in arguments if word.endswith(".gz"))
    folder = cache / hashlib.sha256(content).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    made = folder / name
    if not made.exists():
        part = folder / f"part-{os.getpid()}-{name}"
        run(SYNTH / script, *arguments, str(part))
        try:
            part.replace(made)
        except OSError:  # a session beside this one made the folder meanwhile
            if not made.exists():
                raise
            shutil.rmtree(part)
    return made


def _link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source)
    except OSError:  # Windows allows links only to some
        os.link(source, target)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leave what tests inside Blender left to the end of the process: Blender 4.2 crashes where Python objects that
    point into its data are collected long after that data is gone, as `free_memory` would have them collected."""
    if "bpy" in sys.modules and not _frozen and item.get_closest_marker("blender") is None:
        gc.freeze()
        _frozen.append(True)


_frozen: list[bool] = []
