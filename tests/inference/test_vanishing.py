# SPDX-License-Identifier: GPL-3.0-or-later
"""The lens and the way up from straight lines, against rendered truth: boxes on tiles, and what has no clear edges."""

import math

import cv2
import numpy as np
import pytest
from maquette import inference
from maquette.demo.samples import sample_photo
from maquette.inference import BadInput, Camera, NothingFound, Photo
from maquette.inference.geometry import vanishing
from maquette.inference.people.clip.ground import fit_ground
from maquette.inference.photo import Clip


def turned(pitch, roll, yaw):
    """Rotation (3, 3) from a world with y down to the axes of a camera that looks down by `pitch`."""
    (cp, sp), (cr, sr), (cy, sy) = ((math.cos(math.radians(a)), math.sin(math.radians(a))) for a in (pitch, roll, yaw))
    return (
        np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
        @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        @ np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]])
    )


def picture(width, height, focal, rotation, seed):
    """Boxes on a tiled floor, drawn twice as large, with noise."""
    random = np.random.default_rng(seed)
    canvas = np.full((height * 2, width * 2, 3), (150, 175, 205), np.uint8)

    def draw(corners, colour):
        seen, kept = np.asarray(corners, float) @ rotation.T, []
        for a, b in zip(seen, np.roll(seen, -1, 0), strict=True):
            if a[2] > 0.1:
                kept.append(a)
            if (a[2] > 0.1) != (b[2] > 0.1):
                kept.append(a + (0.1 - a[2]) / (b[2] - a[2]) * (b - a))
        if len(kept) > 2:
            places = np.array(kept)
            places = places[:, :2] / places[:, 2:] * focal * 2 + (width, height)
            places = np.round(np.clip(places, -30000, 30000) * 16).astype(np.int32)
            cv2.fillPoly(canvas, [places], [int(value) for value in colour], cv2.LINE_AA, 4)

    for x in range(-8, 8):
        for z in range(16):
            shade = 95 + 25 * ((x + z) % 2)
            draw([(x, 1.6, z), (x + 1, 1.6, z), (x + 1, 1.6, z + 1), (x, 1.6, z + 1)], (shade, shade, shade - 5))
    boxes = [(*random.uniform((-5, 4), (5, 14)), *random.uniform((0.5, 0.6, 0.5), (1.8, 3.2, 1.8))) for _ in range(9)]
    colours = random.integers(60, 220, (9, 3))
    for (x, z, w, h, d), colour in sorted(zip(boxes, colours, strict=True), key=lambda pair: -pair[0][1]):
        low, high = 1.6, 1.6 - h
        faces = [
            ([(x, high, z + d), (x + w, high, z + d), (x + w, low, z + d), (x, low, z + d)], 0.4),
            ([(x, high, z), (x, high, z + d), (x, low, z + d), (x, low, z)], 0.7),
            ([(x + w, high, z), (x + w, high, z + d), (x + w, low, z + d), (x + w, low, z)], 0.55),
            ([(x, high, z), (x + w, high, z), (x + w, high, z + d), (x, high, z + d)], 1.15),
            ([(x, low, z), (x + w, low, z), (x + w, high, z), (x, high, z)], 0.9),
        ]
        for corners, light in sorted(faces, key=lambda face: -np.linalg.norm(np.mean(face[0], 0))):
            draw(corners, np.clip(colour * light, 0, 255))
    canvas = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return np.clip(canvas + random.normal(0, 4, canvas.shape), 0, 255).astype(np.uint8)


CASES = [
    ((640, 480), 0.62, (12, 3, 35), 3),
    ((480, 640), 1.04, (15, -5, 40), 5),
    ((960, 640), 1.4, (15, 2, 40), 6),
    ((640, 480), 0.8, (-4, 1, 30), 9),
]


def degrees(a, b):
    return math.degrees(math.acos(min(1.0, float(np.dot(a, b)))))


@pytest.mark.parametrize(("size", "focal", "angles", "seed"), CASES)
def test_lens_and_gravity_of_a_rendered_scene(size, focal, angles, seed):
    focal, rotation = focal * max(size), turned(*angles)
    found = vanishing.found(picture(*size, focal, rotation, seed))
    assert found.camera.fx == found.camera.fy == pytest.approx(focal, rel=0.05) and found.camera.source == "lines"
    assert degrees(found.camera.up, rotation @ (0, -1, 0)) < 1
    np.testing.assert_allclose(found.axes.T @ found.axes, np.eye(3), atol=1e-9)
    assert found.focal_error < 0.03 and abs(found.camera.fx / focal - 1) < 4 * found.focal_error + 0.005


def landscape():
    """Hills, a horizon, trunks and grass."""
    random = np.random.default_rng(2)
    canvas = np.full((480, 720, 3), (180, 200, 230), np.uint8)
    for row, green in ((220, 130), (260, 110), (320, 90)):
        hills = row + 25 * np.sin(np.linspace(0, 9, 720) + row) + random.normal(0, 2, 720)
        canvas[np.arange(480)[:, None] > hills] = (60, green, 50)
    for _ in range(1500):
        x, y = random.uniform(0, 720), random.uniform(330, 480)
        end = (int(x + random.normal(0, 6)), int(y - random.uniform(8, 40)))
        cv2.line(canvas, (int(x), int(y)), end, [int(v) for v in random.integers(40, 160, 3)], 1, cv2.LINE_AA)
    for x in random.uniform(0, 700, 12):
        cv2.line(canvas, (int(x), 400), (int(x + random.normal(0, 8)), 150), (70, 50, 40), 7, cv2.LINE_AA)
    return canvas


def test_refused_where_edges_are_not_clear():
    random = np.random.default_rng(0)
    frontal = picture(480, 480, 500, turned(0, 0, 0), 1)
    for pixels in (
        landscape(),
        random.integers(0, 256, (300, 400, 3), np.uint8),
        np.full((300, 400, 3), 90, np.uint8),
        np.full((20, 400, 3), 90, np.uint8),
        inference.load_photo(sample_photo("brick")).pixels,
        inference.load_photo(sample_photo("astronaut")).pixels,
        frontal,
    ):
        with pytest.raises(NothingFound) as told:
            vanishing.found(pixels)
        assert "lines" in told.value.remedy


def drawn(focal, rotation, size, direction, starts):
    """Lines in the picture along a direction of the world."""
    camera = Camera(focal, focal, size[0] / 2, size[1] / 2, *size)
    ends = np.array([[start, start + direction * np.array(1.5)] for start in np.asarray(starts, float)]) @ rotation.T
    return camera.project(ends).reshape(-1, 4).tolist()


@pytest.mark.parametrize("axes", ["xy", "xz", "yz", "xyz"])
def test_drawn_pairs_are_exact(axes):
    size, focal, rotation = (1200, 800), 1100.0, turned(18, -4, 40)
    starts = [(-1, 0, 6), (1.5, 1, 7)]
    # z of the scene is up, which is -y of the world here.
    directions = {"x": (1, 0, 0), "y": (0, 0, 1), "z": (0, -1, 0)}
    groups = {axis: drawn(focal, rotation, size, np.array(directions[axis]), starts) for axis in axes}
    found = vanishing.from_drawn(groups, *size)
    assert found.camera.fx == pytest.approx(focal, rel=1e-3)
    assert degrees(found.camera.up, rotation @ (0, -1, 0)) < 0.05
    shaky = {
        axis: (np.array(lines) + np.random.default_rng(1).normal(0, 0.5, (2, 4))).tolist()
        for axis, lines in groups.items()
    }
    assert vanishing.from_drawn(shaky, *size).camera.fx == pytest.approx(focal, rel=0.05)


def test_drawn_lines_that_tell_nothing_are_refused():
    level = {"x": [[0, 100, 500, 100], [0, 200, 500, 200]], "z": [[100, 0, 100, 500], [300, 0, 300, 500]]}
    one_line = {"x": [[0, 100, 500, 90]], "z": [[100, 0, 110, 500], [300, 0, 290, 500]]}
    point = {"x": [[0, 100, 500, 90], [5, 5, 5, 5]], "z": [[100, 0, 110, 500], [300, 0, 290, 500]]}
    for groups in (level, one_line, point, {"x": [[0, 100, 500, 90], [0, 200, 500, 220]]}, {"w": []}):
        with pytest.raises(BadInput) as told:
            vanishing.from_drawn(groups, 640, 480)
        assert told.value.remedy


def test_every_task_sees_through_the_lens_of_the_lines():
    """EXIF and numbers come first; a film keeps its first lens; people's ground takes the way up."""
    pixels = picture(640, 480, 0.62 * 640, turned(12, 3, 35), 3)
    camera = Photo(pixels).camera_or_default()
    assert camera.source == "lines" and camera.lens.endswith("by straight lines") and camera.up is not None
    assert inference.estimate_depth(pixels, "relief").camera == camera
    assert Photo(pixels).camera_or_default(500.0) == Camera(500, 500, 320, 240, 640, 480)
    own = Camera(700, 700, 320, 240, 640, 480, "exif")
    assert Photo(pixels, own).camera_or_default() is own
    blank = np.zeros_like(pixels)
    assert Photo(blank).camera_or_default().source == "default"
    film = Clip("film", 2, 24.0, lambda: iter([Photo(pixels), Photo(blank)]))
    assert [photo.camera for photo in film] == [camera, camera]
    near, far = (Camera(focal, focal, 320, 240, 640, 480) for focal in (1.05 * camera.fx, 1.5 * camera.fx))
    for given, told in ((near, True), (far, False)):
        film = Clip("film", 2, 24.0, lambda given=given: (Photo(one, given) for one in (pixels, blank)))
        seen = [photo.camera for photo in film]
        assert [(one.fx, one.source) for one in seen] == [(given.fx, "given")] * 2 and seen[0] == seen[1]
        assert seen[0].up is None if not told else degrees(seen[0].up, turned(12, 3, 35) @ (0, -1, 0)) < 2
    film = Clip("film", 9, 24.0, lambda: iter([*[Photo(blank)] * 7, Photo(pixels), Photo(blank)]))
    seen = [photo.camera for photo in film]
    assert [one.fx for one in seen] == [camera.fx] * 9, "the first picture that shows edges tells the lens of all"
    assert [one.up for one in seen] == [*[None] * 7, camera.up, None], "the camera may have turned until then"
    photos = Clip("photos", 2, None, lambda: iter([Photo(pixels), Photo(blank)]))
    assert [photo.camera for photo in photos] == [None, None]
    np.testing.assert_allclose(fit_ground([], camera.up).up, camera.up)
