# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbered pictures of a clip play with the scene, from the frame at which the clip begins."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from maquette.blender_addon.builders.images import image
from maquette.blender_addon.builders.masks import mask_sequence
from maquette.blender_addon.builders.materials import paint
from maquette.blender_addon.builders.surfaces import meshes
from maquette.blender_addon.core import transaction
from maquette.inference.photo.encode import png


@pytest.fixture
def files(tmp_path):
    """Three masks: white on the left, in the middle, on the right."""
    made = []
    for number in range(3):
        mask = np.zeros((30, 30), np.uint8)
        mask[:, 10 * number : 10 * number + 10] = 255
        made.append(tmp_path / f"written.{number}.png")
        made[-1].write_bytes(png(mask))
    return made


@pytest.fixture
def board():
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]], np.float32)
    uvs = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    obj = bpy.data.objects.new("board", meshes.new_mesh("board", corners, np.array([[0, 1, 2, 3]]), uvs))
    bpy.context.scene.collection.objects.link(obj)
    sun = bpy.data.objects.new("sun", bpy.data.lights.new("sun", "SUN"))
    bpy.context.scene.collection.objects.link(sun)
    return obj


def test_a_layer_plays_with_the_scene(files, board, tmp_path, rendered):
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    picture = mask_sequence.sequence_image(files, name="shot.hands.mask", folder=tmp_path, start_frame=11)
    names = sorted(file.name for file in (tmp_path / "shot.hands.mask").iterdir())
    assert names == [f"shot.hands.mask.{number:04d}.png" for number in (11, 12, 13)]
    assert picture.colorspace_settings.name == "Non-Color" and not any(file.exists() for file in files)
    texture = paint.add_mask_layer(board, picture, (0.9, 0.0, 0.0, 1.0))
    image.play(texture.image_user, picture)
    data = bpy.data.cameras.new("above")
    data.type, data.ortho_scale = "ORTHO", 2
    above = bpy.data.objects.new("above", data)
    above.location.z = 3
    bpy.context.scene.collection.objects.link(above)
    for number in range(3):
        bpy.context.scene.frame_set(11 + number)
        seen = rendered(above, 6, 6)
        red = seen[..., 0] > 2 * seen[..., 1]
        assert np.flatnonzero(red.all(axis=0)).tolist() == [2 * number, 2 * number + 1], number


def test_nothing_is_written_over_and_a_failed_job_leaves_nothing(files, tmp_path, blocks):
    (tmp_path / "shot.hands.mask").mkdir()
    before = blocks()
    with pytest.raises(RuntimeError), transaction.transaction():
        picture = mask_sequence.sequence_image(files, name="shot.hands.mask", folder=tmp_path)
        assert "shot.hands.mask.001" in picture.filepath
        raise RuntimeError
    assert blocks() == before
    assert [path.name for path in tmp_path.iterdir()] == ["shot.hands.mask"]
