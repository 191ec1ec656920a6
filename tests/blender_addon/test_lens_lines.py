# SPDX-License-Identifier: GPL-3.0-or-later
"""The lens by lines in Blender: the matched camera that it makes, and that later jobs see through it."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import bpy
import cv2
import numpy as np
import pytest
from maquette.blender_addon.builders.camera import matched
from maquette.blender_addon.core import axes, jobs, roles
from maquette.blender_addon.tasks.calibrate import draw
from maquette.blender_addon.tasks.shared import gather
from maquette.inference.camera import Camera

pytestmark = pytest.mark.usefixtures("addon")

FOCAL, SIZE, PITCH, ROLL, YAW = 700.0, (640, 480), math.radians(15), math.radians(-3), math.radians(35)


def rotation() -> np.ndarray:
    """From a world with y down to the camera's axes."""
    (cp, sp), (cr, sr), (cy, sy) = ((math.cos(a), math.sin(a)) for a in (PITCH, ROLL, YAW))
    tilted = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    return tilted @ np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])


def lines(direction: tuple) -> list:
    camera = Camera(FOCAL, FOCAL, SIZE[0] / 2, SIZE[1] / 2, *SIZE)
    starts = np.array([(-0.5, -0.6, 5), (1, 0.8, 6), (0.3, 0, 4)], float)
    ends = np.stack([starts, starts + np.array(direction)], 1) @ rotation().T
    return camera.project(ends).reshape(-1, 4).tolist()


@pytest.fixture(scope="module")
def wall(tmp_path_factory) -> str:
    path = str(tmp_path_factory.mktemp("lines") / "wall.png")
    random = np.random.default_rng(0)
    cv2.imwrite(path, random.integers(60, 190, (SIZE[1], SIZE[0], 3)).astype(np.uint8))
    return path


def tilt_of(camera) -> float:
    """Degrees between the way up as the camera stands and the true one."""
    up = axes.world_from_camera_of(camera)[2, :3]
    return math.degrees(math.acos(min(1.0, float(up @ rotation() @ (0, -1, 0)))))


def test_drawn_lines_turn_the_camera_and_stay_the_photos_lens(wall) -> None:
    with pytest.raises(RuntimeError, match=r"too few straight edges|do not agree"):
        bpy.ops.maquette.calibrate_lens(filepath=wall)
    assert not bpy.data.cameras
    given = {"lines_x": json.dumps(lines((1, 0, 0))), "lines_z": json.dumps(lines((0, -1, 0)))}
    assert bpy.ops.maquette.calibrate_lens(filepath=wall, **given) == {"FINISHED"}
    camera = bpy.context.scene.camera
    found = matched.known_intrinsics(camera)
    assert found is not None and found.fx == pytest.approx(FOCAL, rel=1e-3) and found.source == "lines"
    assert camera[roles.LENS] == "lines" and tilt_of(camera) < 0.05
    assert camera.matrix_world.translation.z == pytest.approx(axes.EYE_HEIGHT)
    outcome = jobs.outcome()
    assert outcome is not None and "by 6 lines" in outcome.line and "by straight lines" in outcome.line
    asked = SimpleNamespace(fx=0, fy=0, camera="")
    used = gather.focal_of(asked, bpy.context.scene, path=Path(wall)).known
    assert used is not None and used.fx == pytest.approx(found.fx) and used.up is not None
    assert np.dot(used.up, rotation() @ (0, -1, 0)) > math.cos(math.radians(0.05))


def test_a_camera_that_an_artist_moved_is_not_turned(wall) -> None:
    given = {"lines_x": json.dumps(lines((1, 0, 0))), "lines_z": json.dumps(lines((0, -1, 0)))}
    bpy.ops.maquette.calibrate_lens(filepath=wall, **given)
    camera = bpy.context.scene.camera
    camera.location.x += 1
    bpy.context.view_layer.update()
    before = camera.matrix_world.copy()
    bpy.ops.maquette.calibrate_lens(filepath=wall, **given)
    assert camera.matrix_world == before


def test_what_is_no_list_of_lines_counts_as_none() -> None:
    settings = bpy.context.scene.maquette.calibrate
    settings.lines_x, settings.lines_y = "[[1, 2, 3, 4], [5, 6]]", "nonsense"
    assert draw.drawn(settings) == {"x": [[1.0, 2.0, 3.0, 4.0]], "y": [], "z": []}
