# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose pixels are whose where people meet, and what is said of who is hidden."""

from dataclasses import replace

import numpy as np
import pytest
from maquette.inference.people.clip.cover import covered_frames, covered_said, parts_of
from maquette.inference.people.clip.track import Sighting, Track
from maquette.inference.shipped.crops import Region
from maquette.inference.shipped.pose import PoseLandmarks

WHITE, BLUE, GREY = (240, 240, 240), (30, 40, 140), (120, 120, 120)


def _person(box, held) -> PoseLandmarks:
    """Landmarks spread over a box (x0, y0, x1, y1); the mask holds some boxes of the picture of 200 x 200."""
    x0, y0, x1, y1 = box
    steps = np.linspace(0, 1, 39)
    points = np.stack([x0 + (x1 - x0) * (steps * 7 % 1), y0 + (y1 - y0) * steps], 1)
    logits = np.full((256, 256), -9, np.float32)
    for a, b, c, d in (np.round(np.array(one) * 256 / 200).astype(int) for one in held):
        logits[b:d, a:c] = 9
    region, zeros, ones = Region(100, 100, 200), np.zeros(39, np.float32), np.ones(39, np.float32)
    return PoseLandmarks(
        points=points.astype(np.float32), world=np.zeros((39, 3), np.float32), visibility=ones, presence=ones,
        score=1.0, score_min=1.0, sigma=zeros, world_sigma=zeros, agreement=ones, spread=0.0, region=region,
        matrix=region.matrix, mask_logits=logits,
    )  # fmt: skip


@pytest.mark.parametrize("front", [0, 1])
def test_pixels_that_two_masks_hold_are_his_whose_colours_they_have(front):
    boxes, colours = [(40, 40, 110, 150), (80, 30, 150, 190)], (WHITE, BLUE)
    picture = np.full((200, 200, 3), GREY, np.uint8)
    for number in (1 - front, front):
        x0, y0, x1, y1 = boxes[number]
        picture[y0:y1, x0:x1] = colours[number]
    both = (80, 40, 110, 150)
    people = [_person(box, [box, both]) for box in boxes]
    parts, worn = parts_of(picture, people, [None, None])
    inside = np.array([[95.0, 60], [95, 100], [95, 140]])
    assert parts.on_others(inside, 1 - front).all() and not parts.on_others(inside, front).any()
    swallowed = [people[0], replace(people[1], mask_logits=np.maximum(people[0].mask_logits, people[1].mask_logits))]
    parts, _ = parts_of(picture, swallowed, worn)  # one mask holds all of the other, too
    assert parts.on_others(np.array([[60.0, 60], [50, 120]]), 1).all()


def test_without_colours_that_tell_the_lower_feet_stand_in_front():
    boxes = [(40, 40, 110, 150), (80, 30, 150, 190)]
    picture = np.full((200, 200, 3), GREY, np.uint8)
    parts, _ = parts_of(picture, [_person(box, [box]) for box in boxes], [None, None])
    assert parts.on_others(np.array([[95.0, 100]]), 0).all()


def _track(covered: dict[int, float], clear: bool = False) -> Track:
    one = _person((0, 0, 9, 9), [])
    return Track({frame: Sighting(one, None, clear=clear, covered=share) for frame, share in covered.items()})


def test_whoever_is_hidden_for_long_is_told_of():
    seen = dict.fromkeys(range(100), 0.0)
    hidden = _track(seen | dict.fromkeys(range(30, 60), 0.3))
    ((first, last),) = covered_frames(hidden, 25.0)
    assert 26 <= first <= 30 and 59 <= last <= 64
    assert covered_said([_track(seen), hidden], 25.0) == (
        f"Hidden by somebody else, and guessed there: person 2 in frames {first + 1} to {last + 1}. Look at them",
    )
    assert covered_said([_track(seen | {50: 0.2})], 25.0) == ()
    gone = {frame: 0.0 for frame in range(60) if not 20 < frame < 40}
    assert len(covered_frames(_track(gone), 25.0)) == 1, "all of him is behind the one who was near"
    assert covered_frames(_track(gone, clear=True), 25.0) == []
    many = covered_said([hidden] * 7, 25.0)[0]
    assert many.count("person") == 3 and "4 times more" in many
