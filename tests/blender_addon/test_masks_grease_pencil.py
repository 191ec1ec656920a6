# SPDX-License-Identifier: GPL-3.0-or-later
"""The outline of a mask, seen through the photo's camera, runs where the mask ends."""

from __future__ import annotations

import bpy
import cv2
import numpy as np
import pytest
from bpy_extras.object_utils import world_to_camera_view
from maquette.blender_addon.builders.camera import matched
from maquette.blender_addon.builders.images import image
from maquette.blender_addon.builders.masks import grease_pencil
from maquette.blender_addon.core import compat, transaction
from maquette.blender_addon.core.exchange import TracedMask
from maquette.inference.errors import NothingFound
from maquette.inference.geometry import mask_shape
from mathutils import Vector

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    """A ring with a dot inside, and a box at the border of the picture."""
    rows, columns = np.mgrid[:120, :160]
    away = np.hypot(columns - 70, rows - 60)
    drawn = (away < 45) & (away > 25) | (away < 8)
    drawn[100:120, 130:160] = True
    return drawn.astype(np.float32)


@pytest.fixture
def photo_camera(photo, world):
    return matched.matched_camera(photo.camera, image.photo_image(photo), world, set_render_size=True)


def traced(mask, distance=2.0) -> TracedMask:
    return TracedMask(tuple(mask_shape.outlines(mask)), distance)


def strokes(layer, frame: int) -> list[tuple[np.ndarray, bool, int]]:
    """(points (N, 3), whether it is closed, index of its material) of each stroke at a frame."""
    (found,) = [one for one in layer.frames if one.frame_number == frame]
    if compat.STROKE_CURVES:
        return [
            (np.array([tuple(point.position) for point in stroke.points]), stroke.cyclic, stroke.material_index)
            for stroke in found.drawing.strokes
        ]
    return [
        (np.array([tuple(point.co) for point in stroke.points]), stroke.use_cyclic, stroke.material_index)
        for stroke in found.strokes
    ]


def pixels_of(obj, camera_object, points) -> np.ndarray:
    scene = bpy.context.scene
    views = [world_to_camera_view(scene, camera_object, obj.matrix_world @ Vector(point)) for point in points]
    return np.array([(x * 160, (1 - y) * 120) for x, y, _ in views])


def test_strokes_fall_on_the_border_of_the_mask(mask, photo, photo_camera, reopened):
    grease_pencil.outlines({"L.1": {1: traced(mask)}}, photo.camera, name="street.outline", camera_object=photo_camera)
    reopened()
    bpy.context.view_layer.update()
    obj, camera_object = bpy.data.objects["street.outline"], bpy.data.objects["street.camera"]
    assert obj.parent == camera_object
    (layer,) = obj.data.layers
    found = strokes(layer, 1)
    assert [(closed, material) for _, closed, material in found].count((True, 1)) == 1, "the ring's hole"
    assert len(found) == 4 and all(closed for _, closed, _ in found)
    drawn = np.zeros(mask.shape, np.uint8)
    for points, _, material in found:
        around = pixels_of(obj, camera_object, points)
        assert len(around) < 80, "straight parts have few points"
        # Pixels are filled whose centres lie inside; OpenCV counts from the centre of the first pixel.
        polygon = np.rint((around - 0.5) * 16).astype(np.int32)
        filled = cv2.fillPoly(np.zeros(mask.shape, np.uint8), [polygon], 1, shift=4)
        drawn = np.where(filled > 0, 0 if material == 1 else 1, drawn)
    off = drawn != mask
    assert off.mean() < 0.02
    framed = np.pad(mask, 1)
    border = (cv2.dilate(framed, np.ones((3, 3))) != cv2.erode(framed, np.ones((3, 3))))[1:-1, 1:-1]
    assert not (off & ~border).any(), "within a pixel of the mask's border"


@pytest.mark.skipif(not compat.FILL_GROUPS, reason="holes are cut out by their material")
def test_outlines_and_their_holes_are_filled_together(mask, photo):
    obj = grease_pencil.outlines({"hands": {1: traced(mask)}}, photo.camera, name="street.outline")
    ids = [stroke.fill_id for stroke in obj.data.layers[0].frames[0].drawing.strokes]
    holes = [outline.hole for outline in mask_shape.outlines(mask)]
    assert holes == [False, True, False, False] and ids == [1, 1, 2, 3]


def test_the_object_lies_at_the_hand_s_distance(mask, photo, photo_camera, evaluated):
    obj = grease_pencil.outlines(
        {"near": {1: traced(mask, 0.5)}, "far": {1: traced(mask, 3.0)}},
        photo.camera,
        name="street.outline",
        camera_object=photo_camera,
    )
    layers = {getattr(layer, "name", None) or layer.info: layer for layer in obj.data.layers}
    for name, distance in (("near", 0.5), ("far", 3.0)):
        for points, _, _ in strokes(layers[name], 1):
            np.testing.assert_allclose(points[:, 2], -distance, rtol=1e-6)
    assert list(layers) == ["far", "near"], "the nearer hand is drawn over the farther one"


def test_the_fill_shows_the_photo_through_and_holes_are_cut_out(mask, photo, photo_camera):
    obj = grease_pencil.outlines(
        {"hands": {1: traced(mask)}}, photo.camera, name="street.outline", colour=(0.1, 0.2, 0.8, 1.0)
    )
    outer, hole = (material.grease_pencil for material in obj.data.materials)
    assert tuple(outer.color) == pytest.approx((0.1, 0.2, 0.8, 1.0)) and 0 < outer.fill_color[3] < 0.6
    assert outer.show_fill and not outer.use_fill_holdout
    # Blender adds a holdout's own colour to what it lays bare.
    assert hole.show_fill and hole.use_fill_holdout and tuple(hole.fill_color) == (0, 0, 0, 1)


def test_frames_of_a_clip_and_frames_without_the_hand(mask, photo, photo_camera):
    empty = TracedMask((), 2.0)
    obj = grease_pencil.outlines(
        {"L.1": {5: traced(mask), 6: empty, 8: traced(np.roll(mask, 4, axis=1))}}, photo.camera, name="street.outline"
    )
    (layer,) = obj.data.layers
    assert [frame.frame_number for frame in layer.frames] == [5, 6, 8]
    assert [len(strokes(layer, frame)) for frame in (5, 6, 8)][:2] == [4, 0]
    assert strokes(layer, 8)


def test_no_outline_leaves_nothing(photo, blocks):
    before = blocks()
    with pytest.raises(NothingFound, match="no outline"), transaction.transaction():
        grease_pencil.outlines({"hands": {1: TracedMask((), 1.0)}}, photo.camera, name="street.outline")
    assert blocks() == before


def test_a_failed_job_takes_the_outlines_back(mask, photo, blocks):
    before = blocks()
    with pytest.raises(RuntimeError), transaction.transaction():
        grease_pencil.outlines({"hands": {1: traced(mask)}}, photo.camera, name="street.outline")
        assert blocks() != before
        raise RuntimeError
    assert blocks() == before
