# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's own renderer of frames, its movie, and where what Blender prints goes."""

import subprocess
import sys

import bpy
import numpy as np
import pytest
from maquette import inference
from maquette.demo import raster, render
from mathutils import Vector

SIZE = 96, 80
SUN = np.array(Vector((0, 1, -1)).normalized(), np.float32)


@pytest.fixture
def block():
    """A block of 0.4 x 0.4 x 1 metres that stands on the floor."""
    bpy.ops.mesh.primitive_cube_add(size=1, location=(0, 0, 0.5), scale=(0.4, 0.4, 1))
    block = bpy.context.object
    block.data.materials.append(bpy.data.materials.new("red"))
    block.active_material.diffuse_color = (0.8, 0.1, 0.1, 1)
    return block


def pixel(camera, point):
    """Row and column at which the camera sees a point."""
    matrix = camera.calc_matrix_camera(bpy.context.evaluated_depsgraph_get(), x=SIZE[0], y=SIZE[1])
    seen = matrix @ camera.matrix_world.inverted() @ Vector((*point, 1))
    return int((1 - seen.y / seen.w) / 2 * SIZE[1]), int((1 + seen.x / seen.w) / 2 * SIZE[0])


@pytest.mark.parametrize("over", [False, True])
def test_a_body_and_its_shadow(block, over):
    camera = render.add_camera(bpy.context.scene, "eye", Vector((3, -3, 1.6)), Vector((0, 0.3, 0.6)), lens=32)
    bpy.context.view_layer.update()
    body = raster.body_of(block)
    assert body.faces.shape == (12, 3) and np.allclose(body.colour, (0.8, 0.1, 0.1))
    view = raster.View(camera, *SIZE, SUN, over=over)
    picture = view.picture(body, raster.Light(body, SUN)).astype(int)
    assert picture.shape == (SIZE[1], SIZE[0], 4)
    on_block, in_shadow, in_sun, in_sky = (
        picture[pixel(camera, point)] for point in ((0.2, -0.1, 0.6), (0, 0.8, 0), (0.9, 0.2, 0), (-30, 30, 9))
    )
    assert on_block[3] == 255 and on_block[0] > 2 * on_block[1]
    if over:
        assert in_shadow[3] > 80 and in_sun[3] == in_sky[3] == 0
    else:
        assert in_shadow[:3].max() < in_sun[:3].min() - 20 and in_sky[2] > in_sky[0]
        # The sun falls from behind, so the shadow is as long as the block is high.
        beyond = picture[pixel(camera, (0, 1.35, 0))]
        assert beyond[:3].min() > in_shadow[:3].max()


def test_a_movie(tmp_path):
    frames = [np.full((64, 96, 3), 20 * number, np.uint8) for number in range(6)]
    render.write_movie(iter(frames), tmp_path / "a.mp4", 12.5)
    clip = inference.load_clip(tmp_path / "a.mp4")
    assert clip.fps == 12.5
    for photo, frame in zip(clip, frames, strict=True):
        assert photo.pixels.shape == frame.shape and abs(int(photo.pixels.mean()) - int(frame.mean())) <= 3


def test_what_blender_prints_goes_to_the_log(tmp_path):
    code = """
import os, sys
from pathlib import Path
from maquette.demo.__main__ import _logged
with _logged(Path(sys.argv[1])) as terminal:
    print("by Python")
    os.write(1, b"by the renderer ")
    os.write(2, b"a warning ")
    print("progress", file=terminal, flush=True)
print("afterwards", flush=True)
"""
    shown = subprocess.run([sys.executable, "-c", code, tmp_path / "a.log"], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["progress", "afterwards"] and not shown.stderr
    log = (tmp_path / "a.log").read_text()
    assert all(words in log for words in ("by Python", "by the renderer", "a warning"))
