# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict over a test run: by its results file and its exit code."""

import subprocess
import sys
from pathlib import Path

import pytest
from maquette.installer.cli import testing
from maquette.installer.cli.testing import NO_TESTS, SUITE_MEGABYTES, Outcome, judge, run_tests, set_up, summary
from maquette.installer.environment import environments
from maquette.installer.environment.accelerator import CPU, Accelerator
from maquette.installer.environment.lock_files import blenders
from maquette.installer.shared import paths as places
from maquette.installer.shared.errors import NoPython, SetupError
from maquette.installer.shared.paths import Place
from maquette.installer.shared.reporting import Voice

ALL = ["4.5", "4.2", "5.0", "5.2"]


def results(folder: Path, text: str) -> tuple[int, Path]:
    """Really run pytest over a small test file; gives its exit code and its results file."""
    (folder / "test_it.py").write_text(text)
    path = folder / "results.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={path}", "--rootdir"]
    code = subprocess.call([*command, str(folder), str(folder)], cwd=folder, stdout=subprocess.DEVNULL)
    return code, path


def test_all_passed(tmp_path: Path) -> None:
    code, path = results(tmp_path, "import pytest\ndef test_a(): pass\ndef test_b(): pytest.skip()\n")
    outcome = judge("4.5", code, path, 1.0)
    assert outcome == Outcome("4.5", 1, 0, 0, 1, 1.0, "")
    assert outcome.good


def test_a_failure_and_an_error_count(tmp_path: Path) -> None:
    text = "import pytest\n@pytest.fixture\ndef broken(): 1 / 0\ndef test_a(): assert 0\ndef test_b(broken): pass\n"
    outcome = judge("4.5", *results(tmp_path, text), 1.0)
    assert (outcome.passed, outcome.failed, outcome.errors) == (0, 1, 1)
    assert outcome.verdict == "2 failed (see above)."


def test_a_crash_after_the_results_is_noted_and_forgiven(tmp_path: Path) -> None:
    text = "import atexit, os\ndef test_a(): atexit.register(os.abort)\n"
    code, path = results(tmp_path, text)
    outcome = judge("4.2", code, path, 1.0)
    assert code not in (0, 1)
    assert outcome.good and outcome.crashed_late and outcome.passed == 1


def test_a_crash_after_a_failure_is_a_failure(tmp_path: Path) -> None:
    text = "import atexit, os\ndef test_a():\n    atexit.register(os.abort)\n    assert 0\n"
    assert not judge("4.2", *results(tmp_path, text), 1.0).good


def test_a_crash_before_the_results_is_a_failure(tmp_path: Path) -> None:
    outcome = judge("4.2", *results(tmp_path, "import os\ndef test_a(): pass\ndef test_b(): os.abort()\n"), 1.0)
    assert not outcome.good
    assert "before the results were written" in outcome.verdict


def test_cut_results_are_a_failure(tmp_path: Path) -> None:
    code, path = results(tmp_path, "def test_a(): pass\n")
    path.write_text(path.read_text()[:60])
    assert not judge("4.2", code, path, 1.0).good


@pytest.mark.parametrize("text", ["", "import nothing_of_the_kind\n"])
def test_no_tests_and_broken_files_are_failures(tmp_path: Path, text: str) -> None:
    outcome = judge("4.5", *results(tmp_path, text), 1.0)
    assert not outcome.good
    assert outcome.verdict == (NO_TESTS if not text else "1 failed (see above).")


def test_a_stopped_run_is_a_failure_although_what_ran_has_passed(tmp_path: Path) -> None:
    text = "def test_a(): pass\ndef test_b(): raise KeyboardInterrupt\n"
    assert not judge("4.5", *results(tmp_path, text), 1.0).good


def test_the_sum_reads_like_pytests_own_line() -> None:
    runs = [Outcome("4.5", 10, 1, 0, 2, 5.0, "x"), Outcome("4.2", 3, 0, 1, 0, 2.5, "y")]
    assert summary(runs) == "1 failed, 13 passed, 2 skipped, 1 error in 7.50s"
    assert summary([Outcome("4.5", 0, 0, 0, 0, 0.5, "")]) == "no tests ran in 0.50s"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens, in its order; nothing is really set up or run."""
    happened: list[str] = []

    def ensure(place: Place, version: str, voice: Voice) -> environments.Environment:
        happened.append(f"set up {version}")
        return environments.locate(place, version)

    def run(environment: environments.Environment, arguments: object, voice: Voice) -> Outcome:
        happened.append(f"test {environment.blender.version}")
        return Outcome(environment.blender.version, 1, 0, 0, 0, 1.0, "")

    monkeypatch.setattr(environments, "ensure", ensure)
    monkeypatch.setattr(environments, "detect", lambda: Accelerator(CPU))
    monkeypatch.setattr(testing, "run_pytest", run)
    monkeypatch.setattr(places, "free_megabytes", lambda folder: 10**6)
    return happened


def finish(place: Place, *versions: str, build: str = "registry") -> None:
    """Leave what a finished set-up of these leaves, as far as it is looked at."""
    for version in versions:
        environment = environments.locate(place, version)
        environment.python.parent.mkdir(parents=True)
        environment.python.touch()
        (environment.folder / "pyvenv.cfg").write_text(f"home = {place.home}\n")
        stamp = {"files": 0, "found": {"python": f"{environment.blender.python}.9"}, "torch_build": build}
        environments._write_stamp(environment, stamp)


def test_every_blender_is_set_up_before_the_first_test(place: Place, voice: Voice, told: list[str]) -> None:
    assert list(blenders(place.locks)) == sorted(ALL), "the measured need below is of these"
    assert run_tests(place, voice, ALL[1:], quick=True) == 0
    assert told == [f"set up {version}" for version in ALL] + [f"test {version}" for version in ALL]


@pytest.mark.skipif(sys.platform != "linux", reason="the registry's torch is the CUDA one under Linux alone")
@pytest.mark.parametrize(
    ("ready", "build", "need"),
    [
        ([], "registry", 20_000),
        (["4.5"], "registry", 13_000),
        (["4.5"], "cpu", 12_000),
        (["5.2"], "registry", 13_000),
        (["4.5", "4.2", "5.2"], "registry", 7_500),
        (ALL, "registry", 6_000),
    ],
)
def test_a_disk_too_small_is_told_before_anything_is_done(
    place: Place,
    voice: Voice,
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
    ready: list[str],
    build: str,
    need: int,
) -> None:
    finish(place, *ready, build=build)
    monkeypatch.setattr(places, "free_megabytes", lambda folder: need - 1)
    with pytest.raises(SetupError) as caught:
        run_tests(place, voice, ALL[1:], quick=True)
    assert caught.value.message.startswith(f"Testing Blender 4.5, 4.2, 5.0, 5.2 needs about {need:,} MB, but the disk")
    assert f"has {need - 1:,} MB free" in caught.value.message
    assert not told
    monkeypatch.setattr(places, "free_megabytes", lambda folder: need)
    assert run_tests(place, voice, ALL[1:], quick=True) == 0


def test_what_the_tests_have_made_already_and_tests_picked_by_hand_ask_for_less(
    place: Place, voice: Voice, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(place, *ALL)
    monkeypatch.setattr(places, "free_megabytes", lambda folder: 0)
    assert run_tests(place, voice, [], quick=True, pytest_arguments=["tests/installer"]) == 0
    weights = place.root / ".maquette" / "synthetic" / "weights.pt"
    weights.parent.mkdir()
    with weights.open("wb") as handle:
        handle.truncate(2_000_000_000)
    with pytest.raises(SetupError, match=f"needs about {SUITE_MEGABYTES - 2000:,} MB"):
        run_tests(place, voice, [], quick=True)


def test_a_blender_whose_python_is_missing_is_left_out_but_the_first(
    place: Place, voice: Voice, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = environments.ensure

    def ensure(place: Place, version: str, voice: Voice) -> environments.Environment:
        if version == "5.2":
            raise NoPython("There is no Python 3.13.", "Install it.")
        return usual(place, version, voice)

    monkeypatch.setattr(environments, "ensure", ensure)
    assert [found.blender.version for found in set_up(ALL, place, voice, 0)] == ALL[:3]
    with pytest.raises(NoPython):
        set_up(["5.2", "4.5"], place, voice, 0)
