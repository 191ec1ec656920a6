# SPDX-License-Identifier: GPL-3.0-or-later
"""What is tested, in which pieces, and the verdict over it: by results files and exit codes."""

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from maquette.installer.cli import testing
from maquette.installer.cli.lanes import Piece, run_pieces
from maquette.installer.cli.testing import (
    DAILY,
    FAST,
    FULL,
    NO_TESTS,
    TIERS,
    Outcome,
    SuitePiece,
    judge,
    run_tests,
    set_up,
    summary,
)
from maquette.installer.environment import environments
from maquette.installer.environment.accelerator import CPU, Accelerator
from maquette.installer.environment.lock_files import blenders
from maquette.installer.shared import paths as places
from maquette.installer.shared.disk import write_json
from maquette.installer.shared.errors import NoPython, SetupError
from maquette.installer.shared.paths import Paths
from maquette.installer.shared.reporting import Reporter

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
    assert summary(runs, 4.0).endswith("in 4.00s"), "they ran side by side"
    assert summary([Outcome("4.5", 0, 0, 0, 0, 0.5, "")]) == "no tests ran in 0.50s"


ONE_PASSED = '<testsuites><testsuite tests="1" failures="0" errors="0" skipped="0" /></testsuites>'


@pytest.fixture
def told(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens, in its order; nothing is really set up or run."""
    for folder in ("blender_addon", "inference", "installer"):
        (paths.root / "tests" / folder).mkdir(parents=True)
        (paths.root / "tests" / folder / "test_it.py").touch()
    happened: list[str] = []

    def ensure(paths: Paths, version: str, reporter: Reporter) -> environments.Environment:
        happened.append(f"set up {version}")
        return environments.locate(paths, version)

    def run(environment: environments.Environment, arguments: object, reporter: Reporter) -> Outcome:
        happened.append(f"test {environment.blender.version}")
        return Outcome(environment.blender.version, 1, 0, 0, 0, 1.0, "")

    def run_all(pieces: list[SuitePiece], folder: Path, ended: Callable[[SuitePiece, int, float], None]) -> None:
        assert folder == paths.root
        for piece in pieces:
            happened.append(f"test {piece.blender}")
            piece.results.write_text(ONE_PASSED)
            ended(piece, 0, 1.0)

    monkeypatch.setattr(environments, "ensure", ensure)
    monkeypatch.setattr(environments, "detect", lambda: Accelerator(CPU))
    monkeypatch.setattr(testing, "run_pytest", run)
    monkeypatch.setattr(testing, "run_pieces", run_all)
    monkeypatch.setattr(places, "free_megabytes", lambda folder: 10**6)
    return happened


def finish(paths: Paths, *versions: str, build: str = "registry") -> None:
    """Leave what a finished set-up of these leaves, as far as it is looked at."""
    for version in versions:
        environment = environments.locate(paths, version)
        environment.python.parent.mkdir(parents=True)
        environment.python.touch()
        (environment.folder / "pyvenv.cfg").write_text(f"home = {paths.home}\n")
        stamp = {"files": 0, "found": {"python": f"{environment.blender.python}.9"}, "torch_build": build}
        write_json(environment.folder / environments.STAMP, stamp)


def test_every_blender_is_set_up_before_the_first_test(paths: Paths, reporter: Reporter, told: list[str]) -> None:
    assert list(blenders(paths.locks)) == sorted(ALL), "the measured need below is of these"
    assert run_tests(paths, reporter, ALL[1:], quick=True) == 0
    assert told[:4] == [f"set up {version}" for version in ALL]
    assert set(told[4:]) == {f"test {version}" for version in ALL}


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
    paths: Paths,
    reporter: Reporter,
    told: list[str],
    monkeypatch: pytest.MonkeyPatch,
    ready: list[str],
    build: str,
    need: int,
) -> None:
    finish(paths, *ready, build=build)
    monkeypatch.setattr(places, "free_megabytes", lambda folder: need - 1)
    with pytest.raises(SetupError) as caught:
        run_tests(paths, reporter, ALL[1:], quick=True)
    assert caught.value.message.startswith(f"Testing Blender 4.5, 4.2, 5.0, 5.2 needs about {need:,} MB, but the disk")
    assert f"has {need - 1:,} MB free" in caught.value.message
    assert not told
    monkeypatch.setattr(places, "free_megabytes", lambda folder: need)
    assert run_tests(paths, reporter, ALL[1:], quick=True) == 0


def test_what_the_tests_have_made_already_and_tests_picked_by_hand_ask_for_less(
    paths: Paths, reporter: Reporter, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    finish(paths, *ALL)
    monkeypatch.setattr(places, "free_megabytes", lambda folder: 0)
    assert run_tests(paths, reporter, [], quick=True, pytest_arguments=["tests/installer"]) == 0
    weights = paths.root / ".maquette" / "synthetic" / "weights.pt"
    weights.parent.mkdir()
    with weights.open("wb") as handle:
        handle.truncate(2_000_000_000)
    with pytest.raises(SetupError, match=f"needs about {TIERS[DAILY][1] - 2000:,} MB"):
        run_tests(paths, reporter, [], quick=True)


def test_a_blender_whose_python_is_missing_is_left_out_but_the_first(
    paths: Paths, reporter: Reporter, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = environments.ensure

    def ensure(paths: Paths, version: str, reporter: Reporter) -> environments.Environment:
        if version == "5.2":
            raise NoPython("There is no Python 3.13.", "Install it.")
        return usual(paths, version, reporter)

    monkeypatch.setattr(environments, "ensure", ensure)
    assert [found.blender.version for found in set_up(ALL, paths, reporter, 0)] == ALL[:3]
    with pytest.raises(NoPython):
        set_up(["5.2", "4.5"], paths, reporter, 0)


def pieces(paths: Paths, versions: list[str], tier: str = DAILY) -> list[SuitePiece]:
    ready = [environments.locate(paths, version) for version in versions]
    return testing.pieces_of(ready, testing.check_commands(ready[0]), tier)


def test_the_other_blenders_wait_for_what_answers_them(
    paths: Paths, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nothing else waits, so that both cores are busy from the start."""
    monkeypatch.delenv("MAQUETTE_ANSWERS", raising=False)  # this very test may be part of such a run
    made = pieces(paths, ALL)
    first = {piece.name for piece in made if piece.blender == "4.5" and "blender_addon" in piece.name}
    assert first
    for piece in made:
        assert set(piece.after) == (first if piece.blender in ALL[1:] else set())
        assert (piece.variables.get("MAQUETTE_ANSWERS") is not None) == bool(piece.blender)
    soonest = sorted(made, key=lambda piece: -piece.seconds)
    assert {piece.name for piece in soonest[: len(first)]} == first
    assert all("MAQUETTE_ANSWERS" in piece.variables for piece in pieces(paths, ["4.5"]) if piece.blender), (
        "nothing is computed twice"
    )


def test_every_folder_of_tests_is_in_pieces_and_every_check(paths: Paths, told: list[str]) -> None:
    new = paths.root / "tests" / "newly made" / "deeper"
    new.mkdir(parents=True)
    (new / "test_it.py").touch()
    made = pieces(paths, ALL)
    assert {piece.name for piece in made if not piece.blender} == {"ruff check", "ruff format", "pyright", "manual"}
    for folder in ("blender_addon", "inference", "installer", "newly made"):
        parts = [piece.command[-2] for piece in made if piece.command[-1] == f"tests/{folder}"]
        assert parts == [f"--part={number}/{len(parts)}" for number in range(1, len(parts) + 1)] != []
    for version in ALL[1:]:
        commands = [piece.command for piece in made if piece.blender == version]
        assert commands and all(command[-1] == "tests" and "(blender or smoke)" in command for command in commands)
    logs = {piece.log for piece in made} | {piece.results for piece in made if piece.blender}
    assert len(logs) == len(made) + sum(bool(piece.blender) for piece in made)


def test_what_the_tiers_leave_out_and_add(paths: Paths, told: list[str]) -> None:
    daily, fast, full = (pieces(paths, ["4.5", "5.2"], tier) for tier in (DAILY, FAST, FULL))
    assert not any("--full" in piece.command for piece in [*daily, *fast])
    assert all("--full" in piece.command for piece in full if piece.blender)
    assert not any(piece.command[-1] == "tests/blender_addon" for piece in fast)
    assert all("not slow" in piece.command[-3] for piece in fast if piece.blender)


@pytest.fixture(scope="module")
def conftest():
    """tests/conftest.py."""
    spec = importlib.util.spec_from_file_location("conftest_of_all", Path(__file__).parents[1] / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_other_blenders_import_only_files_with_tests_for_them(conftest) -> None:
    tests, named = Path(__file__).parents[1], set(conftest.SMOKE_TESTS)
    kept = [file for file in tests.rglob("test_*.py") if conftest.runs_on_every(file)]
    assert set((tests / "blender_addon").glob("test_*.py")) < set(kept)
    assert {"test_photo.py", "test_rigs.py", "test_cli.py", "test_imports.py"} <= {file.name for file in kept}
    assert not {"test_library_depth.py", "test_packages.py"} & {file.name for file in kept}
    text = "".join(file.read_text("utf-8") for file in kept)
    assert all(f"def {name}(" in text for name in named), "tests that are gone"


def test_the_parts_hold_every_file_once_and_are_alike(conftest) -> None:
    path = Path(conftest.__file__)
    for folder, (count, _, _) in testing.PIECES.items():
        files = sorted((path.parent / folder).glob("test_*.py"))
        found = conftest.parts(files, count)
        assert found.keys() == {file.name for file in files} and set(found.values()) == set(range(count))
        load = [sum(conftest.seconds(file) for file in files if found[file.name] == part) for part in range(count)]
        assert max(load) < 1.3 * min(load), (folder, load)
    assert all((path.parent / name).exists() for name in conftest.SECONDS), "files that are gone"


def child(folder: Path, code: str, **more: object) -> Piece:
    name = f"piece {len(list(folder.iterdir()))}"
    (folder / name).touch()
    return Piece(name, [sys.executable, "-S", "-c", code], folder / f"{name}.log", os.environ, **more)


def test_two_run_at_a_time_the_longest_first_and_none_before_what_it_waits_for(tmp_path: Path) -> None:
    code = "import time; print(time.time()); time.sleep(0.3); print(time.time())"
    made = [child(tmp_path, code, seconds=number) for number in range(5)]
    made[4] = replace(made[4], after=(made[0].name, "which is none of these"))
    ended: list[str] = []
    run_pieces(made, tmp_path, lambda piece, code, seconds: ended.append(piece.name))
    assert sorted(ended) == sorted(piece.name for piece in made)
    times = {piece.name: [float(line) for line in piece.log.read_text().split()] for piece in made}
    for start, _ in times.values():
        assert sum(one <= start < other for one, other in times.values()) <= 2
    starts = [times[piece.name][0] for piece in made]
    assert max(starts[3], starts[2]) < min(starts[1], starts[0])
    assert starts[4] > times[made[0].name][1]


def test_pieces_that_mostly_wait_leave_room_for_another(tmp_path: Path) -> None:
    code = "import time; print(time.time()); time.sleep(0.4); print(time.time())"
    made = [child(tmp_path, code, seconds=9 - number, cores=cores) for number, cores in enumerate((0.5, 1, 1, 1))]
    run_pieces(made, tmp_path, lambda *_: None)
    times = [[float(line) for line in piece.log.read_text().split()] for piece in made]
    assert max(start for start, _ in times[:3]) < min(end for _, end in times[:3]) <= times[3][0]


@pytest.mark.skipif(os.name == "nt", reason="sends an interrupt")
def test_what_runs_is_stopped_with_what_it_started(tmp_path: Path) -> None:
    """As Ctrl-C does it; the second piece heeds no interrupt."""
    lasts = "import time\nwhile True: print('on', flush=True); time.sleep(0.02)"
    heeds = child(tmp_path, f"import subprocess, sys; subprocess.call([sys.executable, '-S', '-c', {lasts!r}])")
    deaf = child(tmp_path, "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + lasts)
    never = child(tmp_path, "print('I ran')", after=(heeds.name,))

    def interrupt() -> None:
        while not all(piece.log.exists() and piece.log.stat().st_size for piece in (heeds, deaf)):
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("maquette.installer.cli.lanes._GRACE", 1.0)
        with pytest.raises(KeyboardInterrupt):
            run_pieces([heeds, deaf, never], tmp_path, lambda *_: None)
    sizes = [piece.log.stat().st_size for piece in (heeds, deaf)]
    time.sleep(0.5)
    assert [piece.log.stat().st_size for piece in (heeds, deaf)] == sizes, "nothing goes on writing"
    assert not never.log.exists()


def _suite(paths: Paths, name: str, code: str) -> SuitePiece:
    """A piece of one test file."""
    file, results = paths.home / f"test_{name}.py", paths.home / f"{name}.xml"
    file.write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={results}", str(file)]
    command += ["--rootdir", str(paths.home)]
    return SuitePiece(name, command, paths.home / f"{name}.log", os.environ, 0.0, (), 1.0, "4.5", results)


def test_who_crashes_in_the_middle_runs_once_more_and_it_is_said(paths: Paths, reporter: Reporter, spoken) -> None:
    mark = paths.home / "been here"
    once = f"import os, pathlib\ndef test_a():\n    mark = pathlib.Path({str(mark)!r})\n"
    once += "    if not mark.exists():\n        mark.touch()\n        os.abort()\n"
    made = [_suite(paths, "once", once), _suite(paths, "always", "import os\ndef test_a(): os.abort()\n")]
    outcomes, _ = testing.in_lanes(made, environments.locate(paths, "4.5"), reporter)
    assert sorted((one.passed, one.errors, one.good) for one in outcomes) == [(0, 1, False), (1, 0, True)]
    said = spoken.getvalue()
    assert said.count("these tests run once more") == testing.TRIES and "once: 1 passed" in said and "Aborted" in said


def test_a_run_shows_the_log_of_what_failed_its_slowest_tests_and_the_sum(
    paths: Paths, reporter: Reporter, spoken, capsys: pytest.CaptureFixture[str]
) -> None:
    tests = {
        "well": "import time\ndef test_slow(): time.sleep(0.3)\ndef test_quick(): pass\n",
        "badly": "def test_bad(): assert 'this' == 'that'\n",
    }
    made = [_suite(paths, name, code) for name, code in tests.items()]
    made.append(
        SuitePiece("a check", [sys.executable, "-c", "print('a mess'); exit(1)"], paths.home / "c.log", os.environ)
    )
    outcomes, complaints = testing.in_lanes(made, environments.locate(paths, "4.5"), reporter)
    assert testing.conclude(outcomes, complaints, 3.0, reporter) == 1
    said = spoken.getvalue()
    assert "'this' == 'that'" in said and "a mess" in said and "a check: not clean in" in said
    assert "well: 2 passed in" in said and "badly: 1 failed in" in said
    slowest = said.partition("The slowest tests:\n")[2].splitlines()
    assert slowest[0].split()[1:] == ["s", "4.5", "test_well::test_slow"] and len(slowest) > 3
    assert said.endswith("Not everything passed, in 3 s.\n")
    assert capsys.readouterr().out == "1 failed, 2 passed in 3.00s\n"
    assert testing.conclude([o for o in outcomes if o.good], [], 200.0, reporter) == 0
    assert spoken.getvalue().endswith("Everything passed, in 3 min 20 s.\n")
