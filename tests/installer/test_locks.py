# SPDX-License-Identifier: GPL-3.0-or-later
"""The committed lock files: complete, for every registry, and without what belongs to Blender."""

import re
from pathlib import Path

import pytest
from maquette.installer.environment import lock_files
from maquette.installer.environment.relock import BLENDERS, PYTHONS, without_later_pythons
from maquette.installer.shared.errors import SetupError

LOCKS = Path(__file__).parents[2] / "installer" / "locks"


@pytest.mark.parametrize("python", PYTHONS)
def test_every_pin_has_hashes_and_a_reason(python: str) -> None:
    pins = lock_files.read_lock(lock_files.lock_file(LOCKS, python))
    assert len(pins) > 40
    for pin in pins:
        assert pin.hashes and all(value.startswith("sha256:") for value in pin.hashes), pin.name
        assert pin.wanted_by, pin.name
    groups = [*lock_files.FEATURES, lock_files.CLUSTER, lock_files.BPY, lock_files.TEST, lock_files.LINT]
    groups.append(lock_files.SAMPLES)
    assert {pin.name for pin in lock_files.select(pins, groups)} == {pin.name for pin in pins}


@pytest.mark.parametrize("python", PYTHONS)
def test_numpy_and_bpy_are_left_to_blender(python: str) -> None:
    names = {pin.name for pin in lock_files.read_lock(lock_files.lock_file(LOCKS, python))}
    assert not names & {"numpy", "bpy"}


@pytest.mark.parametrize("python", PYTHONS)
def test_the_run_time_set_holds_nothing_of_blenders_own(python: str) -> None:
    pins = lock_files.read_lock(lock_files.lock_file(LOCKS, python))
    names = {pin.name for pin in lock_files.select(pins, [lock_files.CORE], without=lock_files.BLENDERS_OWN)}
    assert {"torch", "opencv-python", "pillow", "safetensors", "scipy", "trimesh", "filelock", "sympy"} <= names
    assert not names & (lock_files.BLENDERS_OWN | {"pytest", "ruff", "ultralytics", "scikit-image"})
    assert not names & {"diffusers", "transformers", "smplx"}, "a depth map needs none of them"


@pytest.mark.parametrize("python", PYTHONS)
def test_what_a_feature_needs_comes_with_it(python: str) -> None:
    pins = lock_files.read_lock(lock_files.lock_file(LOCKS, python))

    def added(group: str) -> set[str]:
        core, more = (
            {pin.name for pin in lock_files.select(pins, groups, without=lock_files.BLENDERS_OWN)}
            for groups in ([lock_files.CORE], [lock_files.CORE, group])
        )
        return more - core

    assert {"ultralytics", "ultralytics-thop"} <= added("people")
    assert {"diffusers", "transformers", "accelerate", "tokenizers", "gguf"} <= added("detailer")
    assert added("licensed-body") == {"smplx"} and added("photogrammetry") == {"pycolmap"}


@pytest.mark.parametrize("python", PYTHONS)
def test_what_is_excluded_is_nowhere(python: str) -> None:
    names = {pin.name for pin in lock_files.read_lock(lock_files.lock_file(LOCKS, python))}
    excluded = [line for line in (LOCKS / "excluded.in").read_text("utf-8").splitlines() if not line.startswith("#")]
    assert "matplotlib" in excluded and not names & set(excluded)


def test_no_lock_names_a_registry() -> None:
    for path in LOCKS.iterdir():
        assert not re.search(r"://|index-url|find-links", path.read_text("utf-8")), path.name


@pytest.mark.parametrize("python", PYTHONS)
def test_the_groups_are_in_the_lock(python: str) -> None:
    """A package added to a .in file without a new lock is noticed here."""
    pins = {pin.name: pin for pin in lock_files.read_lock(lock_files.lock_file(LOCKS, python))}
    for group in set(PYTHONS[python]) - {lock_files.BPY}:
        for line in (LOCKS / f"{group}.in").read_text("utf-8").splitlines():
            if line and not line.startswith("#"):
                name, _, version = re.sub(r"\[.*?\]", "", line).partition("==")
                pin = pins[lock_files.normalised(name.strip())]
                assert f"group:{group}" in pin.wanted_by
                assert pin.version == version or not version


def test_the_table_of_blenders_is_the_committed_one() -> None:
    table = lock_files.blenders(LOCKS)
    assert {name: (entry.python, entry.bpy, entry.numpy) for name, entry in table.items()} == BLENDERS
    for entry in table.values():
        assert entry.requirements().startswith(f"bpy=={entry.bpy} \\\n    --hash=sha256:")
        assert all(entry.hashes[name] for name in ("bpy", "numpy"))


def test_an_unknown_blender_is_refused_by_name() -> None:
    with pytest.raises(SetupError, match=r"Blender 2\.79 is not supported.*4\.2, 4\.5, 5\.0, 5\.2"):
        lock_files.blender(LOCKS, "2.79")


def test_select_follows_who_wants_whom(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text(
        "# a comment\n"
        "a-b==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n"
        "    # via -r some/core.in\n"
        "c==2 \\\n    --hash=sha256:02\n    # via\n    #   A_b\n    #   -r some/test.in\n"
        "d==3 \\\n    --hash=sha256:03\n    # via c\n"
        "e==4 \\\n    --hash=sha256:04\n    # via -r some/test.in\n"
    )
    pins = lock_files.read_lock(lock)
    assert pins[0].marker == "sys_platform == 'linux'"
    assert pins[0].requirement() == (
        "a-b==1.0 ; sys_platform == 'linux' \\\n    --hash=sha256:00 \\\n    --hash=sha256:01\n"
    )
    assert [pin.name for pin in lock_files.select(pins, ["core"])] == ["a-b", "c", "d"]
    assert [pin.name for pin in lock_files.select(pins, ["core"], without=["c"])] == ["a-b"]
    assert [pin.name for pin in lock_files.select(pins, ["test"])] == ["c", "d", "e"]


def test_a_lock_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("torch>=2\n")
    with pytest.raises(SetupError, match="cannot be read: torch>=2"):
        lock_files.read_lock(lock)


def test_what_a_resolution_adds_for_later_pythons_is_dropped() -> None:
    lock = (
        "a==1 ; python_full_version < '3.12' \\\n    --hash=sha256:00\n"
        "a==2 ; python_full_version >= '3.12' \\\n    --hash=sha256:01\n    # via b\n"
        "b==1 ; python_full_version < '3.12' and sys_platform == 'linux' \\\n    --hash=sha256:02\n"
        "c==1 ; python_full_version >= '3.11' \\\n    --hash=sha256:03\n"
    )
    assert without_later_pythons(lock, "3.11") == (
        "a==1 \\\n    --hash=sha256:00\n"
        "b==1 ; sys_platform == 'linux' \\\n    --hash=sha256:02\n"
        "c==1 ; python_full_version >= '3.11' \\\n    --hash=sha256:03\n"
    )
