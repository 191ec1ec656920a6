# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs on a Ray cluster: a pool of workers that each load the model once and write the files themselves.

Only names of files and outcomes pass through Ray, never pictures. A part whose worker is lost is done again by another
one; its files have the same names and appear whole, so that nothing is lost or doubled.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from ..errors import MaquetteError, MissingPackages
from ..pipeline.jobs import Job, Outcome

#: What does jobs: (jobs, progress) -> outcomes. It is sent to the workers.
Doing = Callable[[Sequence[Job], Callable[[float, str], None]], Iterator[Outcome]]
#: Most jobs of a part; parts for each worker, so that none waits long for the last; times that a part is tried.
_PART, _PARTS_EACH, _TRIES = 16, 4, 3
#: Times that the start of a cluster of one's own is tried.
_STARTS = 3
#: Bytes of shared memory of a cluster of one's own: nothing large lies there.
_STORE = 128 << 20


def outcomes(
    work: Doing, jobs: Sequence[Job], progress: Callable[[float, str], None], *, address: str = "", workers: int = 0
) -> Iterator[Outcome]:
    """Do the jobs on a cluster, in any order. A worker takes a GPU where the cluster has any, else a CPU.

    address : of the cluster ("auto", "192.0.2.1:6379"); "" starts one on this machine, which ends with the work.
    workers : how many; 0 for all GPUs or CPUs.
    Raises what is wrong with all jobs, and `MissingPackages` without Ray.
    """
    ray = _started(address)
    try:
        resources = ray.cluster_resources()
        gpus, cpus = int(resources.get("GPU", 0)), int(resources.get("CPU", 1))
        count = workers or gpus or cpus
        each = {"num_gpus": 1} if gpus else {"num_cpus": cpus // count or cpus / count}
        size = max(1, min(_PART, -(-len(jobs) // (count * _PARTS_EACH))))
        parts = [list(jobs[start : start + size]) for start in range(0, len(jobs), size)]
        progress(0.0, f"{len(parts)} parts for {count} workers")
        yield from _streamed(ray, work, parts, count, each, progress)
    finally:
        ray.shutdown()


def _streamed(
    ray: Any, work: Doing, parts: list[list[Job]], count: int, each: dict[str, Any], progress: Any
) -> Iterator[Outcome]:
    left = dict(enumerate(parts))
    rows = ray.data.from_items([{"part": number} for number in left], override_num_blocks=len(parts))
    pool = ray.data.ActorPoolStrategy(min_size=1, max_size=count, initial_size=min(count, len(parts)))
    done = rows.map_batches(
        _Worker,
        batch_size=1,
        compute=pool,
        fn_constructor_args=(work, parts),
        max_restarts=-1,
        max_task_retries=_TRIES,
        **each,
    )
    try:
        for row in done.iter_rows():
            del left[row["part"]]
            found = row["outcomes"]
            if isinstance(found, MaquetteError):
                raise found
            yield from found
            progress(1 - len(left) / len(parts), f"{len(parts) - len(left)} of {len(parts)} parts")
    except ray.exceptions.RayError as error:
        why = MaquetteError(
            f"Its worker was lost {_TRIES + 1} times ({_said(error)}).", "Run it again with --continue."
        )
        yield from (Outcome(job.label, job.output, why) for part in left.values() for job in part)


class _Worker:
    """One process of the pool, with its model in memory. Called with the number of one part."""

    def __init__(self, work: Doing, parts: list[list[Job]]) -> None:
        self._work, self._parts = work, parts

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        jobs = self._parts[int(batch["part"][0])]
        outcomes = np.empty(1, object)  # a column of Python objects, which Ray itself carries
        try:
            outcomes[0] = list(self._work(jobs, lambda fraction, message: None))
        except MaquetteError as error:
            outcomes[0] = error
        return {"part": batch["part"], "outcomes": outcomes}


def _started(address: str) -> Any:
    """The package ray, with a connection."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
    try:
        ray: Any = import_module("ray")
        import_module("ray.data")
    except ImportError as error:
        raise MissingPackages(
            "The package ray is not installed.",
            "Use a checkout's environment: python3 -m installer run -m maquette.inference",
        ) from error
    own = {} if address else {"include_dashboard": False, "object_store_memory": _STORE}
    # Ray gives a node of its own 30 seconds to start, and raises a bare Exception on a machine too busy for that.
    for left in reversed(range(1 if address else _STARTS)):
        try:
            ray.init(address=address or "local", log_to_driver=False, logging_level="error", **own)
            break
        except Exception as error:
            ray.shutdown()
            if address and isinstance(error, (ConnectionError, RuntimeError, ValueError)):
                why = f"There is no Ray cluster at {address}: {_said(error)}."
                raise MaquetteError(why, "Check the address.") from error
            if not left:
                raise MaquetteError(f"Ray did not start: {_said(error)}.", "Close other programs.") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = False
    return ray


def _said(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
