# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs: one worker thread, cancelling, and what happens when Blender moves on while one is under way."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time

import bpy
import maquette
import pytest
from maquette.blender_addon.core import jobs, last_result
from maquette.blender_addon.ui import job_display
from maquette.inference.errors import BadInput, Cancelled
from maquette.inference.runtime import kept_models, memory


@pytest.fixture(autouse=True)
def addon():
    maquette.register()
    yield
    maquette.unregister()


def until(condition, seconds: float = 10.0) -> None:
    """Pump as Blender's timer does, until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        jobs.pump()
        time.sleep(0.005)


def endless(report) -> None:
    """Work that only a cancel can end."""
    while True:
        report(0.5, "Working")
        time.sleep(0.005)


def test_work_is_done_elsewhere_and_built_here() -> None:
    threads = {}
    gate = threading.Event()

    def work(report):
        gate.wait(10)
        threads["work"] = threading.current_thread()
        return 7

    def finish(result):
        threads["finish"] = threading.current_thread()
        return f"Made {result}"

    job = jobs.submit(jobs.Job("Seven", work, finish))
    assert jobs.active() == (job,) and "work" not in threads, "submit waits for nothing"
    gate.set()
    until(lambda: not jobs.active())
    assert threads["finish"] is threading.main_thread() and threads["work"] is not threading.main_thread()
    assert job.state is jobs.State.DONE and jobs.outcome() == jobs.Outcome("Made 7")


def test_one_thread_does_all_jobs_one_after_the_other() -> None:
    seen = []
    for number in range(3):
        jobs.submit(jobs.Job("n", lambda report, number=number: seen.append((number, threading.get_ident()))))
    jobs.run(jobs.Job("n", lambda report: seen.append((3, threading.get_ident()))))
    assert [number for number, _ in seen] == [0, 1, 2, 3] and len({thread for _, thread in seen}) == 1
    until(lambda: not jobs.active())


def test_run_tells_progress_and_raises_the_error_with_its_remedy() -> None:
    told = []

    def work(report):
        report(0.25, "A quarter")
        time.sleep(0.3)
        raise BadInput("The photo is torn.", "Choose another.", "maquette.free_memory")

    with pytest.raises(BadInput, match="torn"):
        jobs.run(jobs.Job("Torn", work), lambda *progress: told.append(progress))
    assert (0.25, "A quarter") in told
    assert jobs.outcome() == jobs.Outcome("The photo is torn.", True, "Choose another.", "maquette.free_memory")
    assert not jobs.active()


def test_an_unforeseen_error_is_remembered_and_the_next_job_runs(capsys) -> None:
    jobs.submit(jobs.Job("Division", lambda report: 1 / 0))
    until(lambda: not jobs.active())
    assert jobs.outcome().failed and "division by zero" in jobs.outcome().line
    assert "ZeroDivisionError" in capsys.readouterr().err, "the console has the details"
    assert jobs.run(jobs.Job("Next", lambda report: None, lambda _: "fine")) == "fine"


def test_cancel_stops_the_running_job_and_those_that_wait() -> None:
    built, started = [], threading.Event()
    running = jobs.submit(jobs.Job("Running", lambda report: (started.set(), endless(report)), built.append))
    waiting = jobs.submit(jobs.Job("Waiting", lambda report: built.append("worked"), built.append))
    assert started.wait(10) and bpy.ops.maquette.cancel_job() == {"FINISHED"}
    until(lambda: not jobs.active())
    assert running.state is waiting.state is jobs.State.CANCELLED and built == []
    assert not bpy.ops.maquette.cancel_job.poll(), "there is nothing left to cancel"


def test_cancel_after_the_work_drops_the_result() -> None:
    built = []
    job = jobs.submit(jobs.Job("Late", lambda report: 1, built.append))
    assert job.wait(10)
    job.cancel()
    jobs.pump()
    assert built == [] and job.state is jobs.State.CANCELLED and job.result is None


def test_a_progress_callback_can_stop_a_run() -> None:
    def stop(_fraction, _message):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        jobs.run(jobs.Job("Stopped", endless), stop)
    assert not jobs.active()
    assert jobs.run(jobs.Job("Next", lambda report: None, lambda _: "fine")) == "fine"


def test_opening_a_file_stops_the_job_and_builds_nothing_into_the_new_one() -> None:
    built, started = [], threading.Event()
    jobs.submit(jobs.Job("Old", lambda report: (started.set(), endless(report)), built.append))
    done = jobs.submit(jobs.Job("Old too", lambda report: 1, built.append))
    assert started.wait(10)
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    until(lambda: not jobs.active())
    assert built == [] and done.state is jobs.State.CANCELLED
    assert jobs.run(jobs.Job("New", lambda report: None, lambda _: "fine")) == "fine", "handlers outlive the file"


def test_switching_off_during_a_job_ends_its_thread() -> None:
    started = threading.Event()
    jobs.submit(jobs.Job("Running", lambda report: (started.set(), endless(report))))
    assert started.wait(10)
    maquette.unregister()
    assert not [thread for thread in threading.enumerate() if thread.name == "maquette"]
    assert not bpy.app.timers.is_registered(jobs.pump) and not jobs.active()
    maquette.register()
    assert jobs.run(jobs.Job("Again", lambda report: None, lambda _: "fine")) == "fine"


def test_python_ends_during_a_job() -> None:
    script = """
        import bpy, maquette, threading, time
        from maquette.blender_addon.core import jobs
        maquette.register()
        started = threading.Event()
        def endless(report):
            started.set()
            while True:
                report(0.5, "Working")
                time.sleep(0.01)
        jobs.submit(jobs.Job("Running", endless))
        started.wait(10)
        import atexit, os, sys
        thread = jobs._workers[jobs.TORCH].thread
        def ended():
            print("alive" if thread.is_alive() else "ended")
            sys.stdout.flush()
            os._exit(0)  # what bpy itself does at its end is not ours
        atexit._run_exitfuncs()
        ended()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0 and done.stdout.strip().endswith("ended"), done.stderr


class Kept:
    """A stand-in for a model's weights in memory."""


def test_models_leave_the_memory_at_the_button_and_before_a_render(tmp_path) -> None:
    jobs.run(jobs.Job("Load", lambda report: memory.keep(("stand-in", "cpu", "float32"), Kept)))
    assert kept_models()
    bpy.ops.maquette.free_memory()
    assert not kept_models()

    jobs.run(jobs.Job("Load", lambda report: memory.keep(("stand-in", "cpu", "float32"), Kept)))
    scene = bpy.context.scene
    scene.camera = bpy.data.objects.new("Camera", bpy.data.cameras.new("Camera"))
    scene.collection.objects.link(scene.camera)
    scene.render.engine, scene.cycles.samples, scene.cycles.use_denoising = "CYCLES", 1, False
    scene.render.resolution_x = scene.render.resolution_y = 4
    bpy.ops.render.render()
    assert not kept_models()


def test_idle_models_leave_the_memory(monkeypatch) -> None:
    monkeypatch.setattr(jobs, "_hooks", jobs.Hooks(idle_minutes=lambda: 1 / 60))
    jobs.run(jobs.Job("Load", lambda report: memory.keep(("stand-in", "cpu", "float32"), Kept)))
    assert jobs.pump() == jobs.IDLE_INTERVAL and kept_models(), "the timer goes on while there is something to drop"
    monkeypatch.setattr(jobs, "_used", time.monotonic() - 2)
    assert jobs.pump() is None
    until(lambda: not kept_models())


def test_cancelled_is_no_error_for_the_panel() -> None:
    job = jobs.submit(jobs.Job("Estimate Depth", endless))
    job.cancel()
    with pytest.raises(Cancelled):
        job.wait(10)
        job.build()
    until(lambda: not jobs.active())
    assert jobs.outcome() == jobs.Outcome("Estimate Depth was cancelled")


def test_preparing_imports_off_the_main_thread_and_leaves_no_job() -> None:
    jobs.prepare()
    jobs.prepare()
    assert not jobs.active()
    seen = []
    jobs.run(jobs.Job("After", lambda report: seen.append("maquette.blender_addon.tasks.people.build" in sys.modules)))
    assert seen == [True]


def test_what_could_not_be_imported_before_is_once_packages_are_installed(monkeypatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(jobs, "_hooks", jobs.Hooks(prepare=lambda: asked.append(True)))
    for again in (False, False, True):
        jobs.prepare(again=again)
    jobs.run(jobs.Job("After", lambda report: None))
    assert asked == [True, True]


def test_a_click_wakes_the_timer_that_sleeps(monkeypatch) -> None:
    monkeypatch.setattr(jobs, "_hooks", jobs.Hooks(idle_minutes=lambda: 5.0))
    jobs.run(jobs.Job("Load", lambda report: memory.keep(("stand-in", "cpu", "float32"), Kept)))
    assert jobs.pump() == jobs.IDLE_INTERVAL
    asked = []

    class Timers:
        """Blender's, whose clock cannot be read: what is registered when."""

        is_registered = staticmethod(lambda function: True)
        unregister = staticmethod(lambda function: asked.append("unregister"))
        register = staticmethod(lambda function, first_interval, persistent: asked.append(first_interval))

    monkeypatch.setattr(jobs, "_timers", Timers)
    job = jobs.submit(jobs.Job("Quick", lambda report: None))
    assert asked == ["unregister", jobs.BUSY_INTERVAL]
    monkeypatch.undo()
    until(lambda: job not in jobs.active())


def test_each_job_is_cancelled_by_its_number_and_tells_its_frame() -> None:
    gate = threading.Event()

    def clip(report):
        report(0.1, "Following people, frame 6 of 60")
        report(0.1, "Reading poses")
        gate.wait(10)

    first = jobs.submit(jobs.Job("First", clip))
    second, third = (jobs.submit(jobs.Job(name, lambda report: None)) for name in ("Second", "Third"))
    deadline = time.monotonic() + 10
    while first.message != "Reading poses":
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert job_display.progress_text(first, named=True) == "First: Reading poses, frame 6 of 60"
    assert job_display.progress_text(first) == "Frame 6 of 60"
    bpy.ops.maquette.cancel_job(number=second.number)
    gate.set()
    until(lambda: not jobs.active())
    assert [job.state for job in (first, second, third)] == [jobs.State.DONE, jobs.State.CANCELLED, jobs.State.DONE]
    assert [one.line for one in jobs.history()] == ["Third finished", "First finished"]


def test_what_was_said_goes_with_the_file_and_the_photo() -> None:
    jobs.remember(jobs.Outcome("No person was found.", True, label="Recover People", photo="one.jpg"))
    assert job_display.current("one.jpg") is not None and job_display.current("two.jpg") is None
    made = bpy.data.objects.new("made", None)
    last_result.remember(bpy.context.scene, "Make", "Made it", ())
    jobs.remember(jobs.Outcome("Made it", made=(("objects", "made"),)))
    assert job_display.current("") is not None
    bpy.data.objects.remove(made)
    assert job_display.current("") is None, "undone"
    job_display.draw_outcome(None, 64)  # draws nothing: there is nothing to draw on
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    assert jobs.outcome() is None and not jobs.history()
