# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run tells: how far it is, what became of every input, and the exit code that follows."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout

from ..errors import Cancelled, MaquetteError, NothingFound
from .jobs import Outcome

#: Exit codes: everything was made; something was not found; some failed; all failed; it was stopped.
DONE, NOTHING, SOME_FAILED, FAILED, STOPPED = 0, 3, 4, 1, 130
#: Ways of telling: for people; JSON objects; what the workers of OpenJD and of Flamenco read.
KINDS = ("text", "json", "openjd", "flamenco")


class Progress:
    """How far the work is: on a terminal in one line, else every tenth; or as programs read it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._line = kind == "text" and sys.stderr.isatty()
        self._reported = -1.0
        self._started = time.monotonic()
        self.out = sys.stdout  # what libraries print during the work goes elsewhere

    def __call__(self, fraction: float, message: str) -> None:
        left = time_left(time.monotonic() - self._started, fraction)
        text = f"{message}, {left} left" if left else message
        if self.kind == "json":
            self.object({"fraction": round(fraction, 4), "message": message, **({"left": left} if left else {})})
        elif self.kind == "openjd":
            print(f"openjd_progress: {100 * fraction:.1f}\nopenjd_status: {text}", file=self.out, flush=True)
        elif self._line:
            print(f"\r\033[K{fraction:4.0%}  {text}", end="", file=sys.stderr, flush=True)
        elif fraction >= self._reported + 0.1:
            print(f"{fraction:4.0%}  {text}", file=sys.stderr, flush=True)
            self._reported = fraction

    def tell(self, notes: Sequence[str]) -> None:
        """What is to be known of the photos besides."""
        for note in dict.fromkeys(notes):
            if self.kind == "json":
                self.object({"note": note})
            else:
                print("\r\033[K" if self._line else "", note, sep="", file=sys.stderr)

    def outcome(self, fraction: float, outcome: Outcome, many: bool = True) -> None:
        """A job is over. many : there are others, whose outcomes are told one by one."""
        error = outcome.error
        self.tell([f"{outcome.label}: {note}" if many else note for note in outcome.notes])
        if self.kind == "flamenco" and outcome.output and error is None:
            shown = time.strftime("%M:%S", time.gmtime(outcome.seconds)) + f"{outcome.seconds % 1:.2f}"[1:]
            said = (
                "Skipping existing frame"
                if outcome.skipped
                else f"Saved: '{outcome.output}'\nTime: {shown} (Saving: 00:00.00)"
            )
            print(said, file=self.out, flush=True)
        elif self.kind == "json" and many:
            status = "skipped" if outcome.skipped else "written" if error is None else kind_of(error)
            fields = {"fraction": round(fraction, 4), "input": outcome.label, "status": status}
            if outcome.output:
                fields["output"] = str(outcome.output)
            fields |= {"model": outcome.model} if outcome.model else {}
            self.object({**fields, "seconds": round(outcome.seconds, 3), **(_told(error) if error else {})})
        elif error is not None and many:
            self.tell([str(error) if outcome.label in str(error) else f"{outcome.label}: {error}"])

    def end(self, text: str, fields: dict[str, object]) -> None:
        """The last line."""
        if self.kind == "json":
            self.object(fields)
        failed = "output" not in fields or "error" in fields
        if failed or self.kind != "json":
            print("\r\033[K" if self._line else "", text, sep="", file=sys.stderr if failed else self.out)

    def object(self, fields: dict[str, object]) -> None:
        """One line of JSON."""
        print(json.dumps(fields), file=self.out, flush=True)


class Report:
    """What became of all jobs."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self._started = time.monotonic()

    @property
    def written(self) -> list[str]:
        return [str(one.output) for one in self.outcomes if one.error is None and not one.skipped]

    @property
    def failures(self) -> list[tuple[str, MaquetteError]]:
        return [(one.label, one.error) for one in self.outcomes if one.error is not None]

    def count(self, status: str) -> int:
        """How many were "written", "skipped", "nothing" (was found) or "failed"."""
        if status == "written":
            return len(self.written)
        if status == "skipped":
            return sum(one.skipped for one in self.outcomes)
        return sum(kind_of(error) == status for _, error in self.failures)

    def code(self, allow_nothing: bool = False) -> int:
        """The exit code. allow_nothing : an input in which there is nothing to find counts as done."""
        if self.count("failed"):
            return FAILED if self.count("failed") == len(self.outcomes) else SOME_FAILED
        return NOTHING if self.count("nothing") and not allow_nothing else DONE

    def sentence(self) -> str:
        """How many of each."""
        counts = {status: self.count(status) for status in ("written", "skipped", "nothing", "failed")}
        words = {"skipped": "already there", "nothing": "with nothing found"}
        parts = [f"{count} {words.get(status, status)}" for status, count in counts.items() if count]
        return f"{', '.join(parts) or 'Nothing to do'} ({duration(time.monotonic() - self._started)})."

    def fields(self) -> dict[str, object]:
        """The report as JSON."""
        counts = {status: self.count(status) for status in ("written", "skipped", "nothing", "failed")}
        failures = [{"input": label, **_told(error)} for label, error in self.failures]
        return {**counts, "seconds": round(time.monotonic() - self._started, 2), "failures": failures}

    def tell(self, progress: Progress) -> None:
        """The report, then the line with the files."""
        if progress.kind == "json":
            remedy = "Mend or leave out what failed, then add --continue."
            failed = {"error": self.sentence(), "remedy": remedy} if self.count("failed") else {}
            progress.object({"fraction": 1.0, "report": self.fields()})
            progress.object({"output": self.written, **failed})
        else:
            models = sorted({one.model for one in self.outcomes if one.model})
            progress.tell([*([f"Answered by {', '.join(models)}."] if models else []), self.sentence()])
            if progress.kind == "text" and self.written:
                progress.end("\n".join(self.written), {"output": self.written})


def told(work: Callable[[], Report | list[str]], progress: Progress, allow_nothing: bool) -> int:
    """Do the work, tell its end, and return the exit code.

    work : returns the report of many inputs, or the files of one. What libraries print meanwhile goes to stderr.
    """
    try:
        with redirect_stdout(sys.stderr):
            done = work()
    except (KeyboardInterrupt, Cancelled):
        progress.end("Cancelled.", {"cancelled": True})
        return STOPPED
    except MaquetteError as error:
        progress.end(str(error), {"error": error.message, "remedy": error.remedy})
        nothing = isinstance(error, NothingFound)
        return FAILED if not nothing else DONE if allow_nothing else NOTHING
    if isinstance(done, Report):
        done.tell(progress)
        return done.code(allow_nothing)
    progress.end("\n".join(done), {"output": done})
    return DONE


def kind_of(error: MaquetteError) -> str:
    """ "nothing" where nothing was found, else "failed"."""
    return "nothing" if isinstance(error, NothingFound) else "failed"


def time_left(seconds: float, fraction: float) -> str:
    """How long the rest will take at this pace; "" where that cannot be told yet."""
    return duration(seconds * (1 - fraction) / fraction) if seconds > 3 and 0.01 < fraction < 1 else ""


def duration(seconds: float) -> str:
    """Seconds to be read: 40 s, 12 min, 3 h 20 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def _told(error: MaquetteError) -> dict[str, str]:
    return {"error": error.message, "remedy": error.remedy, "kind": type(error).__name__}
