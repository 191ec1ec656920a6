# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras from several photos: what is built of a solved place, and that one scale takes all of it along."""

from __future__ import annotations

from pathlib import Path

import bpy
import cv2
import numpy as np
import pytest
from maquette import inference
from maquette.blender_addon.builders.surfaces import meshes
from maquette.blender_addon.core import axes, jobs
from maquette.inference import Camera, Reconstruction
from maquette.inference.photo import as_clip

pytestmark = pytest.mark.usefixtures("addon")
SIZE = 64, 48


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A function: names of photos -> their folder, solved as a walk along x, the second photo left out."""

    def solved(photos, model="auto", **_):
        clip = as_clip(photos)
        index = np.array([number for number in range(len(clip)) if number != 1])
        poses = np.tile(np.vstack([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 1.6], [0, 0, 0, 1]]), (len(index), 1, 1))
        poses[:, 0, 3] = index
        points = np.random.default_rng(0).uniform((-2, 3, 0), (4, 6, 2), (50, 3)).astype(np.float32)
        colours = np.full((50, 3), (200, 100, 50), np.uint8)
        lens = Camera(60, 60, 32, 24, *SIZE, "photos")
        digests = tuple(photo.digest for number, photo in enumerate(clip) if number != 1)
        errors, views = np.full(50, 0.3, np.float32), np.full(50, 3, np.int32)
        return Reconstruction(
            index, (lens,) * len(index), poses, points, colours, errors, views, digests, True, "", "", len(clip),
            clip.fps, ("1 of 4 photos could not be joined to the others",),
        )  # fmt: skip

    monkeypatch.setattr(inference, "reconstruct_photos", solved)

    def written(*names):
        random = np.random.default_rng(1)
        base = random.integers(0, 255, (*SIZE[::-1], 3))
        for name in names:
            noisy = np.clip(base + random.integers(-9, 9, base.shape), 0, 255).astype(np.uint8)
            cv2.imwrite(str(tmp_path / name), noisy)
        return str(tmp_path)

    return written


def places(cameras):
    return [axes.world_from_camera_of(camera)[:3, 3] for camera in cameras]


def test_a_camera_for_each_photo_in_one_scale(place) -> None:
    folder = place("a.png", "b.png", "c.png", "d.png")
    assert bpy.ops.maquette.reconstruct_photos(filepath=folder) == {"FINISHED"}
    outcome = jobs.outcome()
    assert outcome is not None and outcome.line.startswith("Found 3 cameras and 50 points") and "joined" in outcome.line
    cameras = [bpy.data.objects[f"{name}.camera"] for name in "acd"]
    cloud = next(obj for obj in bpy.data.objects if obj.name.endswith(".points"))
    assert {*cameras, cloud} == set(cloud.users_collection[0].objects)
    assert [one.name for one in bpy.context.scene.collection.children] == [Path(folder).name], "not one of its photos"
    np.testing.assert_allclose(places(cameras), [(0, 0, 1.6), (2, 0, 1.6), (3, 0, 1.6)], atol=1e-5)
    assert [one.data.background_images[0].image.name for one in cameras] == ["a.png", "c.png", "d.png"]
    layer = cloud.data.color_attributes["Col"].data
    np.testing.assert_allclose(layer[7].color_srgb[:3], np.array((200, 100, 50)) / 255, atol=0.003)
    assert cloud.data.attributes["views"].data[0].value == 3
    shown = cloud.evaluated_get(bpy.context.evaluated_depsgraph_get())
    assert len(shown.data.vertices) == 0, "its vertices are points, which render"
    before = meshes.positions(cloud.data)[:1]
    bpy.ops.maquette.calibrate_distance(filepath=folder + "/a.png", known="CAMERA", distance=3.2)
    np.testing.assert_allclose(places(cameras), [(0, 0, 3.2), (4, 0, 3.2), (6, 0, 3.2)], atol=1e-4)
    moved = np.array(cloud.matrix_world)
    np.testing.assert_allclose(moved[:3, :3] @ before[0] + moved[:3, 3], 2 * before[0], atol=1e-4)
    name, before = cloud.name, places(cameras)
    bpy.ops.maquette.reconstruct_photos(filepath=folder, replace=True)
    assert sum(obj.type == "CAMERA" for obj in bpy.data.objects) == 3
    assert [obj.name for obj in bpy.data.objects if ".points" in obj.name] == [name]
    np.testing.assert_allclose(places(cameras), before, atol=1e-4)


def test_numbered_photos_are_one_camera_that_moves(place) -> None:
    folder = place("shot_1.png", "shot_2.png", "shot_3.png", "shot_4.png")
    bpy.ops.maquette.reconstruct_photos(filepath=folder, start_frame=10)
    scene = bpy.context.scene
    assert (scene.frame_start, scene.frame_end) == (10, 13)
    for frame, x in ((10, 0), (11, 1), (12, 2), (13, 3)):  # the second goes evenly between its neighbours
        scene.frame_set(frame)
        np.testing.assert_allclose(scene.camera.matrix_world.translation, (x, 0, 1.6), atol=0.02)
    assert len([obj for obj in bpy.data.objects if obj.type == "CAMERA"]) == 1
    bpy.ops.maquette.reconstruct_photos(filepath=folder, cameras="SEPARATE")
    assert len([obj for obj in bpy.data.objects if obj.type == "CAMERA"]) == 4


def test_one_photo_is_refused(place) -> None:
    folder = place("a.png")
    with pytest.raises(RuntimeError, match="from one side only"):
        bpy.ops.maquette.reconstruct_photos(filepath=folder + "/a.png")
