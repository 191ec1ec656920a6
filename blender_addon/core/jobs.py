# SPDX-License-Identifier: GPL-3.0-or-later
"""Long work beside Blender's main thread.

One worker thread owns torch. It is started by the first job and never touches bpy. A second one downloads and copies
model files meanwhile, which may take an hour. A finished job waits in a queue
until `pump` brings it to the main thread, where `Job.finish` makes the datablocks. In a window a persistent timer
calls `pump`; a script, or a Blender that runs no timers, calls it by hand, or uses `run`, which waits for the end.

`inference` is imported by the first job, not here: registering the add-on has to be quick.
"""

from __future__ import annotations

import atexit
import itertools
import queue
import re
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any

import bpy

if TYPE_CHECKING:
    from ...inference.errors import MaquetteError

#: Seconds between two looks at the queue while a job is under way, and while models only wait to be dropped.
BUSY_INTERVAL, IDLE_INTERVAL = 0.2, 5.0
#: Seconds that Blender waits for a cancelled job when the add-on is switched off or Blender ends.
STOP_SECONDS = 10.0

#: The worker threads, by name: the one that owns torch, and the one that fetches model files beside it.
TORCH, LIBRARY = "maquette", "maquette-library"

Report = Callable[[float, str], None]
_numbers = itertools.count(1)
_COUNTED = re.compile(r"(?:frame|photo|picture|part) (\d+) of (\d+)", re.IGNORECASE)


class State(Enum):
    WAITING = "waiting"
    RUNNING = "running"
    WORKED = "worked"  # the worker is done; `finish` is still to come
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Job:
    """One piece of work: `work(report)` on the worker thread, then `finish(its result)` on the main thread.

    `finish` returns the line that tells the user what was made, or an Outcome that tells more. `report(fraction,
    message)` raises `Cancelled` after `cancel` was called. A job without `finish` only works.
    thread : TORCH or LIBRARY.
    is_partial(result) : the work was cancelled, and this is what was finished by then, to be built all the same.
    operator : whose button was pressed.  photo : the chosen photo, as the panel knows it; both "" for none.
    """

    def __init__(
        self,
        label: str,
        work: Callable[[Report], Any],
        finish: Callable[[Any], str | Outcome] | None = None,
        thread: str = TORCH,
        is_partial: Callable[[Any], bool] = lambda result: False,
        operator: str = "",
        photo: str = "",
    ) -> None:
        self.label = label
        self.thread = thread
        self.operator, self.photo = operator, photo
        self.number = next(_numbers)
        self.silent = False  # cancelled together with its file: nobody is told
        self.state = State.WAITING
        self.fraction = 0.0
        self.message = "Waiting"
        self.count = ""  # "frame 12 of 60", from the last message that told it until the last of them
        self.result: Any = None
        self.error: BaseException | None = None
        self.seconds = 0.0
        self.started = 0.0
        self._work = work
        self._finish = finish
        self._is_partial = is_partial
        self._cancelled = threading.Event()
        self._worked = threading.Event()

    def cancel(self) -> None:
        """Ask the job to stop; it does so at its next report, and what it made is dropped, unless it is partial."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        return self._cancelled.is_set()

    def remaining(self) -> float | None:
        """Seconds that are left at the pace so far; None while there is no estimate."""
        gone = time.perf_counter() - self.started
        if self.state is not State.RUNNING or gone < 2 or not 0.05 < self.fraction < 1:
            return None
        return gone * (1 - self.fraction) / self.fraction

    def wait(self, seconds: float) -> bool:
        """Wait until the worker is done with it; False when the time ran out first."""
        return self._worked.wait(seconds)

    def report(self, fraction: float, message: str) -> None:
        """Progress from the worker; raises `Cancelled` once `cancel` was called."""
        from ...inference.errors import Cancelled

        if self.cancelled:
            raise Cancelled(self.label)
        self.fraction, self.message = fraction, message
        counted = _COUNTED.search(message)
        if counted is not None:  # what is done within a frame says nothing of which it is
            self.count = counted[0].lower() if counted[1] != counted[2] else ""

    def work(self) -> None:
        """The worker thread's part. Never raises: errors wait in `error` for the main thread."""
        from ...inference.errors import Cancelled, OutOfMemory

        self.started = time.perf_counter()
        self.state = State.RUNNING
        try:
            self.report(0.0, "Starting")
            self.result = self._work(self.report)
            if not self._partial:
                self.report(1.0, "Building")
            self.state = State.WORKED
        except Cancelled:
            self.state = State.CANCELLED
        except MemoryError as error:
            self._fail(OutOfMemory("There is not enough memory.", "Close other programs, or use a smaller photo."))
            self.error.__cause__ = error  # type: ignore[union-attr]
        except Exception as error:
            self._fail(error)
        finally:
            self.seconds = time.perf_counter() - self.started
            self._worked.set()

    def build(self) -> str | Outcome:
        """The main thread's part: raises the job's error, else makes the datablocks and returns the closing line."""
        from ...inference.errors import Cancelled

        if (self.cancelled and not self._partial) or self.state is State.CANCELLED:
            self.result, self.state = None, State.CANCELLED
            raise Cancelled(self.label)
        if self.error is not None:
            raise self.error
        try:
            line = self._finish(self.result) if self._finish else f"{self.label} finished"
        except Exception as error:
            self._fail(error)
            raise
        finally:
            self.result = None  # the arrays are large, and the job is remembered
        self.state, self.fraction = State.DONE, 1.0
        return line

    @property
    def _partial(self) -> bool:
        return self.result is not None and self._is_partial(self.result)

    def _fail(self, error: BaseException) -> None:
        self.state, self.error = State.FAILED, error


@dataclass(frozen=True)
class Outcome:
    """What the panel shows of the last job: its closing line, or what went wrong and the operator that mends it.

    arguments : the operator's properties, by name.  kind : of the error, where it was one of ours.
    label, photo : of the job.  made : kind in `bpy.data` and name of what it built.
    again : the operator that did it and its properties, so that it can be done again with others.
    """

    line: str
    failed: bool = False
    remedy: str = ""
    operator: str | None = None
    arguments: tuple[tuple[str, str], ...] = ()
    kind: type[MaquetteError] | None = field(default=None, compare=False)
    label: str = field(default="", compare=False)
    photo: str = field(default="", compare=False)
    made: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    again: tuple[str, Mapping[str, Any]] | None = field(default=None, compare=False)
    cancelled: bool = field(default=False, compare=False)

    @classmethod
    def of(cls, error: MaquetteError) -> Outcome:
        """The outcome of a request that could not be carried out."""
        arguments = tuple(sorted(error.arguments.items()))
        return cls(error.message, True, error.remedy, error.operator, arguments, type(error))

    def error(self) -> MaquetteError | None:
        """A new error without what it was raised in, which would be kept with it; None where there was none."""
        return self.kind(self.line, self.remedy, self.operator, dict(self.arguments)) if self.kind else None


class _Worker:
    """A thread and its two queues."""

    def __init__(self, name: str) -> None:
        self.requests: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self.finished: queue.SimpleQueue[Job] = queue.SimpleQueue()
        # A daemon, so that work that hears no cancel cannot keep Blender from ending.
        self.thread = threading.Thread(target=self._serve, name=name, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        while (job := self.requests.get()) is not None:
            job.work()
            self.finished.put(job)

    def take_finished(self) -> list[Job]:
        """What it has finished since the last time."""
        taken = []
        while not self.finished.empty():
            taken.append(self.finished.get())
        return taken


@dataclass(frozen=True)
class Hooks:
    """What other rooms add to jobs, handed in when the add-on is registered.

    idle_minutes : after how many minutes without a job the models are dropped; 0 keeps them.
    prepare : imports on the worker what a task needs, so that the first click does not wait for it.
    failed : shows an error that nobody waits for: the job's label, and its outcome.
    changed : called after every look at the jobs.
    """

    idle_minutes: Callable[[], float] = lambda: 0.0
    prepare: Callable[[], object] = lambda: None
    failed: Callable[[str, Outcome], object] = lambda label, outcome: None
    changed: Callable[[], object] = lambda: None


_workers: dict[str, _Worker] = {}
_jobs: list[Job] = []  # submitted and not yet built, oldest first
_outcome: Outcome | None = None
_history: deque[Outcome] = deque(maxlen=6)  # what jobs have made or failed at, the latest first
_pumping = False
_timers: Any = bpy.app.timers
_used = 0.0  # time.monotonic() of the last job's end
_hooks = Hooks()
#: Hears of the progress of `run` besides: the command line.
listener: Report | None = None


def active() -> tuple[Job, ...]:
    """Jobs that are running, waiting, or waiting to be built, oldest first."""
    return tuple(_jobs)


def outcome() -> Outcome | None:
    """How the last job ended."""
    return _outcome


def history() -> tuple[Outcome, ...]:
    """How the last jobs ended, the latest first."""
    return tuple(_history)


def remember(new: Outcome | None) -> None:
    """Let the panel show `new` as the last outcome; None forgets those before it too."""
    global _outcome
    _outcome = new
    if new is None:
        _history.clear()
    elif not new.cancelled:
        _history.appendleft(new)


def submit(job: Job) -> Job:
    """Hand a job to the worker and return at once; `pump` builds its result."""
    _jobs.append(job)
    _started_worker(job.thread).requests.put(job)
    if not _pumping:  # `pump` itself goes on while there is a job
        if _timers.is_registered(pump):  # asleep, it would look seconds after a quick job has ended
            _timers.unregister(pump)
        _timers.register(pump, first_interval=BUSY_INTERVAL, persistent=True)
    _hooks.changed()
    return job


def prepare(*, again: bool = False) -> None:
    """Import on the worker what a task needs (numpy and the builders, not torch), so that the first click does not
    wait for it. The panel calls this whenever it is drawn; only the first time counts.
    again : some could not be imported before: packages have been installed."""
    if again or TORCH not in _workers:
        _started_worker(TORCH).requests.put(Job("Prepare", lambda report: _hooks.prepare()))


def run(job: Job, on_progress: Report | None = None) -> str:
    """Do a job to its end and return its closing line; raises its error.

    The work is done on the worker thread here too, so that a single thread ever uses torch.
    """
    submit(job)
    try:
        told = (0.0, "")
        while not job.wait(0.05):
            if on_progress is not None and told != (job.fraction, job.message):
                told = (job.fraction, job.message)
                on_progress(*told)
                if listener is not None:
                    listener(*told)
    except BaseException:  # KeyboardInterrupt, or a progress callback that wants to stop
        job.cancel()
        job.wait(STOP_SECONDS)
        _jobs.remove(job)
        raise
    _jobs.remove(job)
    return _build(job)


def pump() -> float | None:
    """Build what the worker has finished. Returns the seconds until the next look, or None when there is no need."""
    global _pumping
    _pumping = True
    try:
        for job in [job for worker in _workers.values() for job in worker.take_finished()]:
            if job in _jobs:  # else `run` has built it
                _jobs.remove(job)
                _build_unwaited(job)
    finally:
        _pumping = False
    _hooks.changed()
    if _jobs:
        return BUSY_INTERVAL
    return _drop_idle_models()


def _build_unwaited(job: Job) -> None:
    """Build what nobody waits for, and show what went wrong."""
    from ...inference.errors import Cancelled, MaquetteError

    try:
        _build(job)
    except (Exception, Cancelled) as error:
        if not isinstance(error, (MaquetteError, Cancelled)):
            traceback.print_exception(error)
        if _outcome is not None and _outcome.failed:
            _hooks.failed(job.label, _outcome)


def cancel(thread: str | None = None, *, number: int = 0, silently: bool = False) -> int:
    """Cancel all jobs, those of one thread, or the one of that number; returns how many. Those that wait never start.
    silently : nothing is said of it."""
    chosen = [job for job in _jobs if thread in (None, job.thread) and number in (0, job.number)]
    for job in chosen:
        job.silent = job.silent or silently
        job.cancel()
    return len(chosen)


def free_memory(seconds: float = 0.0) -> None:
    """Drop the models that are kept in memory, on the thread that owns them; wait up to `seconds` for it."""
    worker = _workers.get(TORCH)
    if worker is None or not worker.thread.is_alive():
        return
    job = Job("Free memory", lambda report: _drop_models())
    worker.requests.put(job)
    if seconds:
        job.wait(seconds)


def stop() -> None:
    """Cancel everything and end the worker threads; waits a little for work that is under way."""
    cancel()
    for worker in _workers.values():
        worker.requests.put(None)
    for worker in _workers.values():
        worker.thread.join(STOP_SECONDS)
    _workers.clear()
    _jobs.clear()


def register(hooks: Hooks) -> None:
    global _hooks
    _hooks = hooks
    atexit.register(stop)


def unregister() -> None:
    stop()
    remember(None)
    atexit.unregister(stop)
    if _timers.is_registered(pump):
        _timers.unregister(pump)


def _build(job: Job) -> str:
    """Build on the main thread and remember how it ended."""
    from ...inference.errors import Cancelled, MaquetteError

    global _used
    _used = time.monotonic()
    told: dict[str, Any] = {"label": job.label, "photo": job.photo}
    try:
        done = job.build()
    except Cancelled:
        if not job.silent:
            remember(Outcome(f"{job.label} was cancelled", cancelled=True, **told))
        raise
    except MaquetteError as error:
        remember(replace(Outcome.of(error), **told))
        raise
    except Exception as error:
        remember(Outcome(f"{job.label} failed: {error}", True, "The system console has the details.", **told))
        raise
    outcome = replace(done, **told) if isinstance(done, Outcome) else Outcome(done, **told)
    remember(outcome)
    return outcome.line


def _started_worker(thread: str) -> _Worker:
    worker = _workers.get(thread)
    if worker is None or not worker.thread.is_alive():
        worker = _workers[thread] = _Worker(thread)
    return worker


def _drop_models() -> None:
    from ...inference import free_memory

    free_memory()


def models_in_memory() -> tuple[tuple, ...]:
    """The keys of the models that the worker keeps. Nothing is imported for that: the worker may be importing it, and
    the two would wait for each other."""
    memory = sys.modules.get(f"{str(__package__).rpartition('.blender_addon')[0]}.inference.runtime.memory")
    kept_models = getattr(memory, "kept_models", None)
    return kept_models() if kept_models else ()


def _drop_idle_models() -> float | None:
    minutes = _hooks.idle_minutes()
    if not models_in_memory() or not minutes:
        return None
    if time.monotonic() - _used < 60 * minutes:
        return IDLE_INTERVAL
    free_memory()
    return None
