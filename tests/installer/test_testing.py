# SPDX-License-Identifier: GPL-3.0-or-later
"""The verdict over a test run: by its results file and its exit code."""

import subprocess
import sys
from pathlib import Path

import pytest
from maquette.installer.testing import NO_TESTS, Outcome, judge, summary


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
