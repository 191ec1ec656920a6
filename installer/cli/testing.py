# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m installer test`: the checks and the test-suite on the default Blender, its Blender-facing part on others.

A run is judged by the results file that pytest writes at its end and by the exit code. bpy may crash while its process
ends, after every test has passed and been recorded: that is reported and is not a failure. A crash before the results
are written is one.
"""

from __future__ import annotations

import subprocess
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path
from typing import List, Optional, Sequence

from ..environment import environments
from ..environment.lock_files import DEFAULT_BLENDER
from ..packages.folders import count
from ..shared.errors import NoPython
from ..shared.paths import Place, require_space
from ..shared.reporting import Voice

#: What marks the tests that every Blender runs; tests/conftest.py gives the first to all of tests/blender_addon.
ON_EVERY_BLENDER = "blender or smoke"

NO_TESTS = "no test was found."

#: MB that the whole suite writes: the weights that it makes for itself and keeps, and what its tests leave for a while.
SUITE_MEGABYTES = 6000

#: On a machine shared with others, spinning OpenMP threads are many times slower than one.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "PYTHONUNBUFFERED": "1"}


@dataclass(frozen=True)
class Outcome:
    """How one Blender's tests ended. `crashed_late`: the process crashed after the results were written."""

    blender: str
    passed: int
    failed: int
    errors: int
    skipped: int
    seconds: float
    verdict: str
    crashed_late: bool = False

    @property
    def good(self) -> bool:
        return self.verdict == ""


def run_tests(
    place: Place, voice: Voice, others: Sequence[str], quick: bool = False, pytest_arguments: Sequence[str] = ()
) -> int:
    """Set up and run everything asked for; returns 0 when all of it is good."""
    ready = set_up([DEFAULT_BLENDER, *others], place, voice, room=0 if pytest_arguments else SUITE_MEGABYTES)
    complaints = [] if quick else run_checks(ready[0], voice)
    outcomes = [run_pytest(ready[0], [*pytest_arguments], voice)]
    for environment in ready[1:]:
        outcome = run_pytest(environment, ["-m", ON_EVERY_BLENDER, *pytest_arguments], voice)
        if outcome.verdict == NO_TESTS and pytest_arguments:
            continue  # what was picked by hand has no part that faces Blender
        outcomes.append(outcome)
    bad = [outcome for outcome in outcomes if not outcome.good]
    for outcome in outcomes:
        if outcome.crashed_late:
            voice.say(f"Note: bpy {outcome.blender} crashed while closing, after all its tests had been recorded.")
        if outcome.verdict:
            voice.say(f"Blender {outcome.blender}: {outcome.verdict}")
    if complaints:
        voice.say(f"Not clean: {', '.join(complaints)} (see above).")
    if len(outcomes) > 1:
        for outcome in outcomes:
            voice.say(f"Blender {outcome.blender}: {summary([outcome])}")
        print(summary(outcomes), flush=True)
    return 1 if bad or complaints else 0


def set_up(versions: Sequence[str], place: Place, voice: Voice, room: int) -> List[environments.Environment]:
    """The environments of these Blenders, all of them before the first test runs: what cannot be had, or does not fit
    on the disk, is told at once. `room`: MB that the tests write besides. A Blender whose Python is not to be had is
    left out, unless it is the first."""
    room = max(0, room - count(place.root / ".maquette" / "synthetic")[1])
    need = environments.megabytes_missing([environments.locate(place, version) for version in versions]) + room
    require_space(place.home, need, f"Testing Blender {', '.join(versions)}")
    ready: List[environments.Environment] = []
    for version in versions:
        try:
            ready.append(environments.ensure(place, version, voice))
        except NoPython as error:
            if not ready:
                raise
            voice.say(f"Blender {version} is skipped: {error.message} {error.remedy}")
    return ready


def run_checks(environment: environments.Environment, voice: Voice) -> List[str]:
    """ruff and pyright over the tree; returns the names of those that complain."""
    root = str(environment.place.root)
    checks = {
        "ruff check": ["-m", "ruff", "check", root],
        "ruff format": ["-m", "ruff", "format", "--check", root],
        "pyright": ["-m", "pyright", "--project", root, "--pythonpath", str(environment.python)],
    }
    env = {**environment.variables(), "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    env["PYRIGHT_PYTHON_CACHE_DIR"] = str(environment.place.cache / "pyright")
    complaints = []
    for name, arguments in checks.items():
        voice.say(f"Checking: {name}")
        if subprocess.call([str(environment.python), *arguments], env=env, cwd=root):
            complaints.append(name)
    return complaints


def run_pytest(environment: environments.Environment, arguments: Sequence[str], voice: Voice) -> Outcome:
    """Run pytest in an environment, in this terminal, and judge it."""
    place, version = environment.place, environment.blender.version
    results = place.home / "results" / f"blender-{version}.xml"
    results.parent.mkdir(parents=True, exist_ok=True)
    results.unlink(missing_ok=True)
    voice.say(f"Testing with Blender {version} (bpy {environment.blender.bpy}, Python {environment.blender.python})")
    command = [str(environment.python), "-m", "pytest", f"--junitxml={results}", *arguments]
    started = time.monotonic()
    code = subprocess.call(command, env={**environment.variables(), **ONE_THREAD}, cwd=str(place.root))
    return judge(version, code, results, time.monotonic() - started)


def judge(blender: str, code: int, results: Path, seconds: float) -> Outcome:
    """An honest verdict from the exit code and the results file (absent when the process died before the end)."""
    suite = _read_results(results)
    if suite is None:
        if code in (2, 3, 4):
            return Outcome(blender, 0, 0, 0, 0, seconds, "pytest could not run (see above).")
        return Outcome(
            blender, 0, 0, 1, 0, seconds, f"the process ended with code {code} before the results were written."
        )
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


def _read_results(path: Path) -> Optional[ElementTree.Element]:
    try:
        tree = ElementTree.parse(path)
    except (OSError, ElementTree.ParseError):
        return None
    return tree.getroot().find("testsuite") if tree.getroot().tag == "testsuites" else tree.getroot()


def summary(outcomes: Sequence[Outcome]) -> str:
    """The sum of several runs, in the words of pytest's closing line."""
    parts = []
    for name, word in (("failed", "failed"), ("passed", "passed"), ("skipped", "skipped"), ("errors", "errors")):
        number = sum(getattr(outcome, name) for outcome in outcomes)
        if number:
            parts.append(f"{number} {word if word != 'errors' or number > 1 else 'error'}")
    return f"{', '.join(parts) or 'no tests ran'} in {sum(outcome.seconds for outcome in outcomes):.2f}s"
