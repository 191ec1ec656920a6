# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/pipelines.md: every command on the page is carried out, in its order, in a folder with what it names."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from maquette.blender_addon import cli
from maquette.demo.samples import sample_photo
from maquette.inference.__main__ import main
from PIL import Image

pytestmark = pytest.mark.usefixtures("addon")

PAGE = (Path(__file__).parents[2] / "docs" / "pipelines.md").read_text("utf-8")
ARRAYS, BLENDER, OPENJD = (
    "python3 -m installer run -m maquette.inference ",
    "blender --command maquette ",
    "openjd run ",
)
COMMANDS = [line.strip() for line in PAGE.splitlines() if line.strip().startswith((ARRAYS, BLENDER, OPENJD))]


def prepare(folder: Path) -> None:
    """The photos, clips and rigs that the page names; a person is in all of them."""
    person = Image.open(sample_photo("astronaut")).convert("RGB").crop((60, 0, 420, 512)).resize((180, 256))
    for name in ("photos", "more", "shot", "shots", "scripts"):
        (folder / name).mkdir()
    for file in (
        "photos/a.png",
        "photos/b.jpg",
        "more/c.jpg",
        *(f"shot/f.{number}.png" for number in range(1001, 1004)),
    ):
        person.save(folder / file)
    writer = cv2.VideoWriter(str(folder / "shot.mp4"), cv2.VideoWriter.fourcc(*"mp4v"), 24, person.size)
    for number in range(3):
        writer.write(np.roll(np.asarray(person), 2 * number, 1)[..., ::-1])
    writer.release()
    (folder / "shots" / "shot.mp4").write_bytes((folder / "shot.mp4").read_bytes())
    (folder / "shots" / "photos").mkdir()
    person.save(folder / "shots" / "photos" / "a.png")


def carried_out(line: str, folder: Path) -> int:
    """Its exit code. Paths from the root lie in the folder; a cluster is one of our own."""
    line = (
        line.replace("/shots/", f"{folder}/shots/").replace("/srv/flamenco", str(folder)).replace("--ray auto", "--ray")
    )
    if line.startswith(OPENJD):
        pytest.importorskip("openjd.cli", reason="this environment is older than the lock")
        job = json.loads((folder / "job.json").read_text("utf-8"))
        for step in job["steps"]:
            script = step["script"]["actions"]["onRun"]
            script["args"] = ["-m", "maquette.blender_addon.cli", *script["args"][2:]]  # there is no blender, only bpy
        (folder / "job.json").write_text(json.dumps(job), "utf-8")
        words = [sys.executable, "-m", "openjd", *shlex.split(line)[1:], "-p", f"Program={sys.executable}"]
        return subprocess.run(words, stdout=subprocess.DEVNULL).returncode
    if line.startswith(BLENDER):
        return cli.main(shlex.split(line.removeprefix(BLENDER)))
    return main(shlex.split(line.removeprefix(ARRAYS)))


def test_the_page_has_commands_of_every_kind() -> None:
    assert len(COMMANDS) >= 11 and {line.split()[0] for line in COMMANDS} == {"python3", "blender", "openjd"}


@pytest.mark.full
def test_every_command_of_the_page_works(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path)
    assert cli.main(["people", "--photo", "photos/a.png", "--rig", "MIXAMO", "--output", "hero.blend"]) == 0
    for number, line in enumerate(COMMANDS):
        if "--ray" in line:
            pytest.importorskip("ray", reason="this environment is older than the lock")
        given = (
            line
            if "openjd" in line or "export" in line
            else line.replace("--output results", f"--output results{number}")
        )
        assert carried_out(given, tmp_path) == 0, line
