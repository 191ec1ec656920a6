# SPDX-License-Identifier: GPL-3.0-or-later
"""Steady depth of films, on a rendered one: a room whose depth is known, seen by a camera that moves forward."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from maquette.inference import batch
from maquette.inference.camera import Camera
from maquette.inference.depth import from_people, moge2
from maquette.inference.photo import Clip, Photo
from maquette.inference.results import DepthMap

SIZE, FRAMES, SPEED = (240, 160), 40, 0.04
CAMERA = Camera(220.0, 220.0, 120.0, 80.0, *SIZE)
TEXTURE = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (512, 512)).astype(np.float32), (0, 0), 2.5)
TEXTURE = np.clip((TEXTURE - TEXTURE.mean()) * 6 + 128, 0, 255).astype(np.uint8)


def true_depth(number):
    """A corridor 2 m high and 3 m wide, with a wall at 9 m; the camera goes forward by `SPEED` a frame."""
    rays = CAMERA.rays().astype(float)
    with np.errstate(divide="ignore"):
        sides, lids = 1.5 / np.abs(rays[..., 0]), 1.0 / np.abs(rays[..., 1])
    return np.minimum(np.minimum(sides, lids), 9 - SPEED * number).astype(np.float32)


def film():
    for number in range(FRAMES):
        depth = true_depth(number)
        points = CAMERA.rays() * depth[..., None] + (0, 0, SPEED * number)
        across = ((points[..., 0] + 1.7 * points[..., 1]) * 60 % 512).astype(np.float32)
        along = ((points[..., 2] + 0.6 * points[..., 0]) * 60 % 512).astype(np.float32)
        grey = cv2.remap(TEXTURE, across, along, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        yield Photo(np.repeat(grey[..., None], 3, 2), CAMERA, f"f{number}")


@pytest.fixture
def shaken(monkeypatch):
    """Lets the built-in depth answer with the truth, its scale shaken from frame to frame."""

    def by(amount):
        errors = np.exp(np.random.default_rng(3).normal(0, amount, FRAMES)).astype(np.float32)

        def estimate(photo, run, options):
            depth = true_depth(int(photo.name[1:])) * errors[int(photo.name[1:])]
            return DepthMap(depth, depth > 0, None, CAMERA, True, photo.pixels)

        monkeypatch.setattr(from_people, "estimate", estimate)
        monkeypatch.delattr(from_people, "estimate_film", raising=False)

    return by


def scales(**options):
    """By how much each frame's depths are too large, as a log."""
    found = batch.estimate_depth(Clip("film", FRAMES, 24.0, film), "builtin", **options)
    return np.array([np.log(np.median(one.depth / true_depth(number))) for number, one in enumerate(found)])


def flicker(logs):
    """Root mean square of the change of scale from frame to frame."""
    return float(np.sqrt(np.mean(np.diff(logs) ** 2)))


def test_a_shaken_scale_is_steadied(shaken):
    shaken(0.05)
    as_it_is, steady = scales(steady=False), scales()
    assert flicker(as_it_is) > 0.06
    assert flicker(steady[5:]) < 0.2 * flicker(as_it_is), f"{flicker(as_it_is):.3f} to {flicker(steady[5:]):.3f}"
    assert abs(steady[10:].mean() - as_it_is.mean()) < 0.04


def test_what_the_camera_does_is_kept(shaken):
    shaken(0.0)
    assert np.abs(scales()).max() < 0.02


def test_another_shot_begins_anew_and_heights_are_left_alone(shaken, monkeypatch):
    shaken(0.05)
    first, other = list(film())[:6], [Photo(255 - photo.pixels[::-1], CAMERA, photo.name) for photo in film()][20:26]
    clip = Clip("two shots", 12, 24.0, lambda: iter([*first, *other]))
    raw = list(batch.estimate_depth(clip, "builtin", steady=False))
    found = list(batch.estimate_depth(clip, "builtin"))
    np.testing.assert_array_equal(found[6].depth, raw[6].depth)
    assert not np.array_equal(found[3].depth, raw[3].depth)
    estimate = from_people.estimate
    monkeypatch.setattr(from_people, "estimate", lambda *given: replace(estimate(*given), metric=False))
    heights = list(batch.estimate_depth(clip, "builtin"))
    np.testing.assert_array_equal(heights[3].depth, raw[3].depth)


def test_the_lens_that_a_model_finds_is_kept(monkeypatch):
    """Every frame but one of unknown lens would get its own; numbers and EXIF data of a frame stay."""

    def estimate_batch(photos, run, options):
        cameras = [photo.camera_or_default() for photo in photos]
        found = [
            replace(one, fx=200.0 + int(photo.name[1:]), source="model") if one.source == "default" else one
            for one, photo in zip(cameras, photos, strict=True)
        ]
        depth = np.ones(SIZE[::-1], np.float32)
        return [DepthMap(depth, depth > 0, None, camera, True, photos[0].pixels) for camera in found]

    monkeypatch.setattr(moge2, "estimate_batch", estimate_batch)
    blank = np.full((SIZE[1], SIZE[0], 3), 90, np.uint8)
    unknown = [Photo(blank, None, f"f{number}") for number in range(6)]
    known = replace(unknown[3], camera=CAMERA)
    clip = Clip("film", 6, 24.0, lambda: iter([*unknown[:3], known, *unknown[4:]]))
    cameras = [found.camera for found in batch.estimate_depth(clip, "moge-2-small")]
    assert [camera.fx for camera in cameras] == [200, 200, 200, 220, 200, 200]
    assert [camera.source for camera in cameras] == ["model"] * 3 + ["given"] + ["model"] * 2
    photos = Clip("photos", 2, None, lambda: iter(unknown[:2]))
    assert [found.camera.fx for found in batch.estimate_depth(photos, "moge-2-small")] == [200, 201]
