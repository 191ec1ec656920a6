# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m installer test`: the checks and the test-suite on the default Blender, its Blender-facing part on others.

The work is cut into pieces, each with a log of its own, that keep two cores busy. The other Blenders wait
for the default one's Blender-facing tests: what these have computed without Blender is the answer in all that follow
(tests/blender_addon/answers.py).

A run is judged by the results file that pytest writes at its end and by the exit code. bpy may crash while its process
ends, after every test has passed and been recorded: that is reported and is not a failure. A crash before the results
are written is one.
"""

from __future__ import annotations

import shutil
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..environment import environments
from ..environment.environments import Environment
from ..environment.lock_files import DEFAULT_BLENDER
from ..shared.disk import count
from ..shared.errors import NoPython
from ..shared.paths import Paths, require_space
from ..shared.reporting import Reporter
from .lanes import Piece, run_pieces

#: What marks the tests that every Blender runs; tests/conftest.py gives the first to all of tests/blender_addon.
ON_EVERY_BLENDER = "blender or smoke"

NO_TESTS = "no test was found."

#: How much is tested -> pytest's arguments, and the MB that the suite writes: the weights that it makes for itself and
#: keeps, and what its tests leave for a while.
FAST, DAILY, FULL = "fast", "daily", "full"
TIERS: dict[str, tuple[list[str], int]] = {
    FAST: (["-m", "not slow"], 1000),
    DAILY: ([], 6000),
    FULL: (["--full"], 26000),
}

#: Folder of tests -> number of pieces, seconds that each takes, and cores that it keeps busy; one of 60 seconds where a
#: folder is not named. The installer's tests wait for servers and child processes half of the time.
PIECES = {"blender_addon": (2, 100.0, 1.0), "inference": (3, 150.0, 1.0), "installer": (1, 140.0, 0.5)}

#: Seconds of a check, where they are many.
CHECKS = {"pyright": 75.0, "manual": 8.0}

#: How often tests are begun in which the process crashes.
TRIES = 3

#: Pieces, and seconds of each, of a Blender beside the default one.
ON_OTHERS = 2, 120.0

#: Tests that are named at the end, the slowest.
SLOWEST = 25

#: On a machine shared with others, spinning OpenMP threads are many times slower than one.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Outcome:
    """How some tests ended. `crashed_late`: the process crashed after the results were written; `crashed_early`: before
    they were."""

    blender: str
    passed: int
    failed: int
    errors: int
    skipped: int
    seconds: float
    verdict: str
    crashed_late: bool = False
    crashed_early: bool = False

    @property
    def good(self) -> bool:
        return self.verdict == ""


def run_tests(
    paths: Paths,
    reporter: Reporter,
    others: Sequence[str],
    quick: bool = False,
    pytest_arguments: Sequence[str] = (),
    tier: str = DAILY,
) -> int:
    """Set up and run everything asked for; returns 0 when all of it is good.

    quick : without the checks by ruff and pyright.  pytest_arguments : tests picked by hand, which run one after the
    other in this terminal.
    """
    started = time.monotonic()
    ready = set_up([DEFAULT_BLENDER, *others], paths, reporter, room=0 if pytest_arguments else TIERS[tier][1])
    reporter.say(f"Ready to test Blender {_listed(ready)} ({time.monotonic() - started:.0f} s).")
    checks = {} if quick else check_commands(ready[0])
    if pytest_arguments:
        complaints = [name for name, command in checks.items() if _in_terminal(name, command, ready[0], reporter)]
        outcomes = picked(ready, [*TIERS[tier][0], *pytest_arguments], reporter)
    else:
        outcomes, complaints = in_lanes(pieces_of(ready, checks, tier), ready[0], reporter)
    return conclude(outcomes, complaints, time.monotonic() - started, reporter)


def set_up(versions: Sequence[str], paths: Paths, reporter: Reporter, room: int) -> list[environments.Environment]:
    """The environments of these Blenders, all of them before the first test runs: what cannot be had, or does not fit
    on the disk, is reported at once. `room`: MB that the tests write too. A Blender whose Python is not available is
    skipped, unless it is the first."""
    room = max(0, room - count(paths.root / ".maquette" / "synthetic")[1] // 1_000_000)
    need = environments.megabytes_missing([environments.locate(paths, version) for version in versions]) + room
    require_space(paths.home, need, f"Testing Blender {', '.join(versions)}")
    ready: list[environments.Environment] = []
    for version in versions:
        try:
            ready.append(environments.ensure(paths, version, reporter))
        except NoPython as error:
            if not ready:
                raise
            reporter.say(f"Blender {version} is skipped: {error.message} {error.remedy}")
    return ready


def check_commands(environment: Environment) -> dict[str, list[str]]:
    """Name -> command of each check over the tree."""
    root, python = str(environment.paths.root), str(environment.python)
    return {
        "ruff check": [python, "-m", "ruff", "check", root],
        "ruff format": [python, "-m", "ruff", "format", "--check", root],
        "pyright": [python, "-m", "pyright", "--project", root, "--pythonpath", python],
        "manual": [python, "-m", "maquette.installer", "manual"],
    }


def _variables(environment: Environment) -> dict[str, str]:
    paths = environment.paths
    pyright = {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "PYRIGHT_PYTHON_CACHE_DIR": str(paths.cache / "pyright")}
    pyright["NODE_OPTIONS"] = "--max-semi-space-size=128"  # a tenth less is spent on collecting garbage
    return {**environment.variables(), **ONE_THREAD, **pyright}


# picked by hand


def _in_terminal(name: str, command: Sequence[str], environment: Environment, reporter: Reporter) -> int:
    reporter.say(f"Checking: {name}")
    return subprocess.call(list(command), env=_variables(environment), cwd=str(environment.paths.root))


def picked(ready: Sequence[Environment], arguments: Sequence[str], reporter: Reporter) -> list[Outcome]:
    """Tests picked by hand, on one Blender after the other; the others run what faces Blender, if that is any of it."""
    outcomes = [run_pytest(ready[0], arguments, reporter)]
    for environment in ready[1:]:
        outcome = run_pytest(environment, ["-m", ON_EVERY_BLENDER, *arguments], reporter)
        outcomes += [outcome] if outcome.verdict != NO_TESTS else []
    return outcomes


def run_pytest(environment: Environment, arguments: Sequence[str], reporter: Reporter) -> Outcome:
    """Run pytest in an environment, in this terminal, and judge it."""
    version = environment.blender.version
    command, results = _pytest(environment, f"blender-{version}", arguments)
    reporter.say(f"Testing with Blender {version} (bpy {environment.blender.bpy}, Python {environment.blender.python})")
    started = time.monotonic()
    code = subprocess.call(command, env=_variables(environment), cwd=str(environment.paths.root))
    return judge(version, code, results, time.monotonic() - started)


def _pytest(environment: Environment, name: str, arguments: Sequence[str]) -> tuple[list[str], Path]:
    """A command that runs pytest, and the file that takes its results, in which there are none yet."""
    results = environment.paths.home / "results" / f"{name}.xml"
    results.parent.mkdir(parents=True, exist_ok=True)
    results.unlink(missing_ok=True)
    return [str(environment.python), "-m", "pytest", f"--junitxml={results}", *arguments], results


# everything, in lanes


@dataclass(frozen=True)
class SuitePiece(Piece):
    """blender : whose tests it runs, "" for a check.  results : what pytest writes."""

    blender: str = ""
    results: Path = Path()


def pieces_of(ready: Sequence[Environment], checks: dict[str, list[str]], tier: str) -> list[SuitePiece]:
    """All that is to be done, in pieces."""
    first, *others = ready
    logs, options = first.paths.home / "results", TIERS[tier][0]
    answers = {"MAQUETTE_ANSWERS": str(first.paths.home / "answers")}
    pieces = [
        SuitePiece(name, command, logs / f"{name.replace(' ', '-')}.log", _variables(first), CHECKS.get(name, 1.0))
        for name, command in checks.items()
    ]

    def cut(
        environment: Environment, folder: str, number: int, seconds: float, *more: str, after: Sequence[str] = (),
        cores: float = 1.0,
    ):  # fmt: skip
        version, made = environment.blender.version, []
        for part in range(1, number + 1):
            name = f"Blender {version}, {folder}" + (f" {part} of {number}" if number > 1 else "")
            file = f"blender-{version}-{Path(folder).name}-{part}"
            command, results = _pytest(environment, file, [*options, *more, f"--part={part}/{number}", folder])
            variables, log = {**_variables(environment), **answers}, logs / f"{file}.log"
            made.append(SuitePiece(name, command, log, variables, seconds, tuple(after), cores, version, results))
        pieces.extend(made)
        return [piece.name for piece in made]

    waited_for: list[str] = []
    for folder in sorted((first.paths.root / "tests").iterdir()):
        if next(folder.rglob("test_*.py"), None) is None or (tier == FAST and folder.name == "blender_addon"):
            continue
        number, seconds, cores = PIECES.get(folder.name, (1, 60.0, 1.0))
        number, seconds = ((number + 1) // 2, 30.0) if tier == FAST else (number, seconds)  # each takes time to start
        faces_blender = folder.name == "blender_addon" and bool(others)
        names = cut(first, f"tests/{folder.name}", number, 1000.0 if faces_blender else seconds, cores=cores)
        waited_for += names if faces_blender else []
    marks = f"({ON_EVERY_BLENDER})" + (" and not slow" if tier == FAST else "")
    for environment in others:
        cut(environment, "tests", *ON_OTHERS, "-m", marks, after=waited_for)
    return pieces


def in_lanes(pieces: Sequence[SuitePiece], first: Environment, reporter: Reporter) -> tuple[list[Outcome], list[str]]:
    """Run the pieces, say how each ended, show the log of those that failed; the outcomes and what is not clean.

    Tests in which the process crashed are run once more, up to `TRIES` times in all, and say so: Blender's module
    crashes by itself (4.2's glTF exporter when it gives the window its scene back, in up to half of the runs), a crash
    of ours comes back.
    """
    outcomes: list[Outcome] = []
    complaints: list[str] = []
    crashed = Counter[str]()
    answers = first.paths.home / "answers"
    shutil.rmtree(answers, ignore_errors=True)

    def ended(piece: Piece, code: int, seconds: float) -> bool:
        assert isinstance(piece, SuitePiece)
        again = False
        if piece.blender:
            outcome = judge(piece.blender, code, piece.results, seconds)
            how, bad = summary([outcome]), not outcome.good
            again = outcome.crashed_early and crashed[piece.name] < TRIES - 1
            if again:
                crashed[piece.name] += 1
                how = f"bpy {piece.blender} crashed in the middle, code {code} (see above); these tests run once more"
            else:
                outcomes.append(outcome)
        else:
            complaints.extend([piece.name] if code else [])
            how, bad = f"{'not clean' if code else 'clean'} in {seconds:.2f}s", bool(code)
        if bad:
            reporter.say(f"\n{piece.log.read_text('utf-8', 'replace')}")
        reporter.say(f"{piece.name}: {how}")
        return again

    try:
        run_pieces(pieces, first.paths.root, ended)
    finally:
        shutil.rmtree(answers, ignore_errors=True)
    slowest = sorted((row for piece in pieces if piece.blender for row in timed(piece)), reverse=True)[:SLOWEST]
    reporter.say("\nThe slowest tests:")
    for seconds, blender, name in slowest:
        reporter.say(f"{seconds:7.1f} s  {blender}  {name}")
    reporter.say("")
    return outcomes, complaints


def timed(piece: SuitePiece) -> list[tuple[float, str, str]]:
    """(seconds, Blender, name) of each test of a piece that has ended."""
    suite = _read_results(piece.results)
    return [
        (float(case.get("time", "0")), piece.blender, f"{case.get('classname')}::{case.get('name')}")
        for case in (suite.iter("testcase") if suite is not None else ())
    ]


# the verdict


def conclude(outcomes: Sequence[Outcome], complaints: Sequence[str], seconds: float, reporter: Reporter) -> int:
    """Say how all of it ended; 0 when all is good."""
    by_blender: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_blender.setdefault(outcome.blender, []).append(outcome)
        if outcome.crashed_late:
            reporter.say(f"Note: bpy {outcome.blender} crashed while closing, after all its tests had been recorded.")
        if outcome.verdict:
            reporter.say(f"Blender {outcome.blender}: {outcome.verdict}")
    if complaints:
        reporter.say(f"Not clean: {', '.join(complaints)} (see above).")
    if len(outcomes) > 1:
        for blender, parts in by_blender.items():
            reporter.say(f"Blender {blender}: {summary(parts)}")
        print(summary(outcomes, seconds), flush=True)
    good = not complaints and all(outcome.good for outcome in outcomes)
    reporter.say(f"{'Everything passed' if good else 'Not everything passed'}, in {_minutes(seconds)}.")
    return 0 if good else 1


def _listed(ready: Sequence[Environment]) -> str:
    return ", ".join(environment.blender.version for environment in ready)


def _minutes(seconds: float) -> str:
    return f"{seconds // 60:.0f} min {seconds % 60:.0f} s" if seconds >= 60 else f"{seconds:.0f} s"


def judge(blender: str, code: int, results: Path, seconds: float) -> Outcome:
    """An honest verdict from the exit code and the results file (absent when the process died before the end)."""
    suite = _read_results(results)
    if suite is None:
        if code in (2, 3, 4):
            return Outcome(blender, 0, 0, 0, 0, seconds, "pytest could not run (see above).")
        verdict = f"the process ended with code {code} before the results were written."
        return Outcome(blender, 0, 0, 1, 0, seconds, verdict, crashed_early=code not in range(6))
    total, failed, errors, skipped = (int(suite.get(name, "0")) for name in ("tests", "failures", "errors", "skipped"))
    passed = total - failed - errors - skipped
    verdict = ""
    if failed or errors:
        verdict = f"{failed + errors} failed (see above)."
    elif not total:
        verdict = NO_TESTS
    elif code in (1, 2, 3, 4, 5):  # pytest's own codes for a run that went wrong
        verdict = f"pytest ended with code {code}."
    return Outcome(blender, passed, failed, errors, skipped, seconds, verdict, crashed_late=code != 0 and not verdict)


def _read_results(path: Path) -> ElementTree.Element | None:
    try:
        tree = ElementTree.parse(path)
    except (OSError, ElementTree.ParseError):
        return None
    return tree.getroot().find("testsuite") if tree.getroot().tag == "testsuites" else tree.getroot()


def summary(outcomes: Sequence[Outcome], seconds: float | None = None) -> str:
    """The sum of several runs, in the words of pytest's closing line. seconds : of the clock; None adds theirs up."""
    seconds = sum(outcome.seconds for outcome in outcomes) if seconds is None else seconds
    parts = []
    for name, word in (("failed", "failed"), ("passed", "passed"), ("skipped", "skipped"), ("errors", "errors")):
        number = sum(getattr(outcome, name) for outcome in outcomes)
        if number:
            parts.append(f"{number} {word if word != 'errors' or number > 1 else 'error'}")
    return f"{', '.join(parts) or 'no tests ran'} in {seconds:.2f}s"
