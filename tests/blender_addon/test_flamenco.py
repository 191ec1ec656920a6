# SPDX-License-Identifier: GPL-3.0-or-later
"""Flamenco: the job type compiled as its manager compiles it, its commands run as a worker runs them, jobs sent."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import bpy
import cv2
import numpy as np
import pytest
from maquette.blender_addon import cli
from maquette.blender_addon.cli.options import for_arrays
from maquette.blender_addon.core import online
from maquette.demo.samples import sample_photo
from maquette.inference.farm import JOB_TYPE
from maquette.inference.options import depth
from PIL import Image
from walkers import people_shot

pytestmark = pytest.mark.usefixtures("addon")

#: The part of the manager's documented interface for scripts that job types use.
MANAGER = """
const author = {
  Task: (name, type) => ({ name, type, commands: [], dependencies: [],
    addCommand(command) { this.commands.push(command); }, addDependency(task) { this.dependencies.push(task.name); } }),
  Command: (name, parameters, steps) => ({ name, parameters, steps }),
};
const path = { join: (...parts) => parts.join("/") };
const frameChunker = (range, size) => {
  const [first, last] = range.split("-").map(Number), chunks = [];
  for (let start = first; start <= (last || first); start += size) {
    const end = Math.min(start + size - 1, last || first);
    chunks.push(start === end ? `${start}` : `${start}-${end}`);
  }
  return chunks;
};
const frameCount = chunk => { const [a, b] = chunk.split("-").map(Number); return (b || a) - a + 1; };
const shellSplit = text => text.split(" ").filter(word => word);
"""


def shot(path: Path, frames: int) -> Path:
    brick = np.asarray(Image.open(sample_photo("brick")).convert("RGB").resize((60, 40)))
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 24, (60, 40))
    for number in range(frames):
        writer.write(np.roll(brick, number, 1)[..., ::-1])
    writer.release()
    return path


def compiled(settings: dict) -> list[dict]:
    """The tasks of a job, in their order; settings that are not given have the job type's defaults."""
    quickjs = pytest.importorskip("quickjs", reason="this environment is older than the lock")
    context = quickjs.Context()
    context.eval(MANAGER + JOB_TYPE.read_text("utf-8"))
    declared = json.loads(context.eval("JSON.stringify(JOB_TYPE)"))
    assert declared["label"] and len({one["key"] for one in declared["settings"]}) == len(declared["settings"])
    for one in declared["settings"]:
        assert (one["type"] in {"string", "int32", "bool", "float"} and one["key"] in settings) or "default" in one
        assert "choices" not in one or settings.get(one["key"], one.get("default")) in one["choices"]
    given = {one["key"]: one.get("default") for one in declared["settings"]} | settings
    job = f"{{ settings: {json.dumps(given)}, tasks: [], addTask(task) {{ this.tasks.push(task); }} }}"
    return json.loads(context.eval(f"const job = {job}; compileJob(job); JSON.stringify(job.tasks)"))


def words_of(command: dict) -> list[str]:
    """What a worker starts: the arguments before, the .blend file, and those behind; it refuses an empty file name."""
    parameters = command["parameters"]
    assert command["name"] == "blender-render" and parameters["exe"] == "{blender}" and parameters["blendfile"]
    words = [*parameters["argsBefore"], parameters["blendfile"], *parameters["args"]]
    assert words[:2] == ["--command", "maquette"]
    return words[2:]


@pytest.mark.parametrize("task", ["depth", "normals", "hands", "maps", "relief", "people"])
def test_every_task_compiles(task: str) -> None:
    made = {
        "task": task,
        "photo": "/shots/a.mov",
        "output": "/out",
        "frames": "1001-1300",
        "options": "--resolution 64",
    }
    tasks = compiled(made)
    assert len(tasks) == (7 if task in ("people", "depth") else 6)
    if task == "people":  # measured in parts, which are then merged
        merge = tasks.pop()
        assert merge["dependencies"] == [one["name"] for one in tasks]
        words = words_of(merge["commands"][0])
        assert words[:5] == ["people", "--merge", "/out/parts", "--output", "/out/people.npz"] and for_arrays(words)
        assert len(compiled({**made, "format": "fbx"})) == 1
    if task == "depth":  # its scale goes through all frames
        merge = tasks.pop()
        assert merge["dependencies"] == [one["name"] for one in tasks] and merge["commands"][0]["steps"] == 300
        words = words_of(merge["commands"][0])
        assert words[1:5] == ["--photo", "/shots/a.mov", "--merge", "/out/parts"] and words[7:9] == ["--format", "npz"]
        assert words[9:11] == ["--frames", "1001-1300"] and "--no-steady" not in words and for_arrays(words)
        for other in ({"model": "relief"}, {"options": "--no-steady"}, {"frames": ""}):
            assert not any("--merge" in words_of(one["commands"][0]) for one in compiled({**made, **other}))
    assert {one["type"] for one in tasks} == {"blender"} and len({one["name"] for one in tasks}) == len(tasks)
    for one in tasks:
        (command,) = one["commands"]
        words = words_of(command)
        assert words[:3] == [task, "--photo", "/shots/a.mov"] and words[-2:] == ["--resolution", "64"]
        written = {"people": {"--measure": "/out/parts/"}, "depth": {"--output": "/out/parts/"}}
        written = written.get(task, {"--output": "/out/"})
        assert all(words[words.index(name) + 1].startswith(value) for name, value in written.items())
        assert for_arrays(words) and ("--no-steady" in words) == (task == "depth")
    assert tasks[1]["commands"][0]["steps"] == 50 and tasks[1]["name"] == f"{task}-1051-1100"
    assert "1051-1100" in words_of(tasks[1]["commands"][0])


def test_a_worker_runs_the_commands(tmp_path, capfd) -> None:
    """In order; what it prints is what a worker looks for; run again, everything is there."""
    movie = shot(tmp_path / "shot.avi", 12)
    made = {"task": "relief", "photo": str(movie), "output": str(tmp_path / "out"), "frames": "1-12", "chunk_size": 5}
    tasks = compiled({**made, "format": "png", "options": "--resolution 16"})
    saved: list[str] = []
    for pattern, count in ((r"^Saved: '(.*)'", 12), (r"^[sS]kipping existing frame", 12)):
        for task in tasks:
            assert cli.command(words_of(task["commands"][0])) == 0
        printed = capfd.readouterr().out
        found = re.findall(pattern, printed, re.MULTILINE)
        assert len(found) == count
        saved = saved or found
        assert len(re.findall(r"^Time: ([0-9:.]+)", printed, re.MULTILINE)) in (12, 0)
    assert [Path(file).name for file in saved] == [f"shot.{number:04d}.relief.png" for number in range(1, 13)]
    assert all(Path(file).exists() for file in saved)


@pytest.mark.full
def test_three_hundred_frames_in_six_tasks_are_the_whole(tmp_path) -> None:
    movie = shot(tmp_path / "shot.avi", 300)
    common = ["--resolution", "16", "--format", "png"]
    whole = ["relief", "--photo", str(movie), "--output", str(tmp_path / "whole"), *common]
    assert cli.main(whole) == 0
    made = {"task": "relief", "photo": str(movie), "output": str(tmp_path / "out"), "frames": "1-300", "format": "png"}
    for task in compiled({**made, "options": "--resolution 16"}):
        words = words_of(task["commands"][0])
        done = subprocess.run(
            [sys.executable, "-m", "maquette.blender_addon.cli", *words], capture_output=True, text=True
        )
        assert done.returncode == 0 and done.stdout.count("Saved: '") == 50, done.stderr[-2000:]
    files = sorted((tmp_path / "whole").iterdir())
    assert len(files) == 300
    assert all(file.read_bytes() == (tmp_path / "out" / file.name).read_bytes() for file in files)


@pytest.mark.full
def test_three_hundred_frames_of_people_in_six_tasks_are_the_whole(tmp_path) -> None:
    movie = people_shot(tmp_path / "shot.avi", 300)
    assert cli.main(["people", "--photo", str(movie), "--output", str(tmp_path / "whole.npz"), "--hands", "none"]) == 0
    made = {"task": "people", "photo": str(movie), "output": str(tmp_path / "out"), "frames": "1-300"}
    tasks = compiled({**made, "options": "--hands none"})
    assert len(tasks) == 7
    for task in tasks:
        command = [sys.executable, "-m", "maquette.blender_addon.cli", *words_of(task["commands"][0])]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
    with np.load(tmp_path / "whole.npz") as whole, np.load(tmp_path / "out" / "people.npz") as merged:
        assert len(set(whole["frame"].tolist())) == 300
        for name in ("frame", "vertices", "rotations", "translation", "joints", "track_id"):
            np.testing.assert_array_equal(merged[name], whole[name], name)


# -- from Blender ---------------------------------------------------------------------------------------------------


@pytest.fixture
def manager(monkeypatch):
    """A manager over HTTP, and its add-on with the address. Gives the jobs that it was sent, and its job types."""
    jobs, types = [], [{"name": "simple-blender-render"}, {"name": "maquette"}]

    class Answers(BaseHTTPRequestHandler):
        def answer(self, content) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def do_GET(self) -> None:
            assert self.path == "/api/v3/jobs/types"
            self.answer({"job_types": types})

        def do_POST(self) -> None:
            assert self.path == "/api/v3/jobs" and self.headers["Content-Type"] == "application/json"
            jobs.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.answer({**jobs[-1], "id": "1"})

        def log_message(self, *_) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/"

    class Preferences(bpy.types.AddonPreferences):
        bl_idname = "flamenco"
        __annotations__ = {"manager_url": bpy.props.StringProperty(default=address)}

    bpy.utils.register_class(Preferences)
    addon = bpy.context.preferences.addons.new()
    addon.module = "flamenco"
    monkeypatch.setattr(online, "is_online", lambda: True)
    yield jobs, types
    bpy.context.preferences.addons.remove(addon)
    bpy.utils.unregister_class(Preferences)
    server.shutdown()
    server.server_close()


def test_a_job_is_sent_with_the_settings_of_its_panel(manager, tmp_path) -> None:
    jobs, types = manager
    settings = bpy.context.scene.maquette
    settings.source, settings.filepath = "FILE", str(shot(tmp_path / "a shot.avi", 2))
    settings.fx = 700
    settings.depth.model = "relief"
    settings.depth.resolution = 64
    settings.farm.folder, settings.farm.frames, settings.farm.chunk_size = str(tmp_path / "out"), "1-2", 1
    settings.farm.format = "png"
    assert bpy.ops.maquette.submit_to_flamenco() == {"FINISHED"}
    (job,) = jobs
    assert job["type"] == "maquette" and job["submitter_platform"] in {"linux", "windows", "darwin"}
    assert job["settings"]["photo"] == str(tmp_path / "a shot.avi") and job["settings"]["model"] == "relief"
    assert job["settings"]["options"] == "--resolution 64 --fx 700.0" and depth.OPTIONS["resolution"].default != 64
    tasks = compiled(job["settings"])
    assert [cli.command(words_of(task["commands"][0])) for task in tasks] == [0, 0]
    assert len(list((tmp_path / "out").iterdir())) == 2
    types.pop()
    with pytest.raises(RuntimeError, match="no job type maquette"):
        bpy.ops.maquette.submit_to_flamenco()
    settings.farm.frames = "all"
    with pytest.raises(RuntimeError, match="cannot be read"):
        bpy.ops.maquette.submit_to_flamenco()


def test_without_flamenco_there_is_no_button(tmp_path, monkeypatch) -> None:
    assert not bpy.ops.maquette.submit_to_flamenco.poll()
    assert not bpy.types.MAQUETTE_PT_view3d_FarmPanel.poll(bpy.context)
    assert bpy.ops.maquette.save_job_type(directory=str(tmp_path)) == {"FINISHED"}
    assert (tmp_path / "maquette.js").read_bytes() == JOB_TYPE.read_bytes()
    with pytest.raises(RuntimeError, match="exists"):
        bpy.ops.maquette.save_job_type(directory=str(tmp_path))


def test_blender_offline_sends_nothing(manager, tmp_path, monkeypatch) -> None:
    settings = bpy.context.scene.maquette
    settings.source, settings.filepath = "FILE", str(shot(tmp_path / "a.avi", 2))
    settings.farm.folder = str(tmp_path)
    monkeypatch.setattr(online, "is_online", lambda: False)
    with pytest.raises(RuntimeError, match="not allowed to use the network"):
        bpy.ops.maquette.submit_to_flamenco()
    assert not manager[0]
