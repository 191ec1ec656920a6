# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands keep their numbers over the frames of a clip: moving, crossing, hidden for a moment, misread for a frame."""

from itertools import islice

import numpy as np
import pytest
from maquette.inference import Camera
from maquette.inference.hands.track import follow_hands
from maquette.inference.results import Hand, HandMaps

CAMERA = Camera.default(640, 480)
SHAPE = np.random.default_rng(0).uniform(-30, 30, (21, 2))
NOTHING = np.zeros((1, 1), np.float32)


def hand(x, y, side="left", size=1.0) -> Hand:
    points = (SHAPE * ((-1, 1) if side == "right" else (1, 1)) * size + (x, y)).astype(np.float32)
    none = np.zeros((0, 3), np.float32)
    return Hand(
        side, 1.0, (0, 0, 1, 1), none, none.astype(np.int32), np.zeros((21, 3), np.float32), points, NOTHING, NOTHING
    )


def frame(*hands) -> HandMaps:
    return HandMaps(NOTHING, NOTHING, np.zeros((1, 1, 3), np.uint8), hands, CAMERA)


def numbers(frames, **given) -> list[list[int]]:
    return [[one.track_id for one in maps.hands] for maps in follow_hands(frames, **given)]


def test_hands_that_move_keep_their_numbers_whatever_their_order():
    frames = []
    for step in range(20):
        pair = [hand(100 + 12 * step, 200, "left"), hand(500 - 8 * step, 300, "right")]
        frames.append(frame(*(pair if step % 2 == 0 else pair[::-1])))
    assert numbers(frames) == [[0, 1] if step % 2 == 0 else [1, 0] for step in range(20)]


def test_hands_that_cross_keep_their_numbers():
    frames = [frame(hand(100 + 20 * step, 200, "left"), hand(480 - 20 * step, 205, "right")) for step in range(20)]
    assert numbers(frames) == [[0, 1]] * 20


def test_two_hands_of_one_side_that_cross_keep_their_numbers():
    frames = [frame(hand(100 + 22 * step, 200), hand(480 - 22 * step, 215)) for step in range(18)]
    assert numbers(frames) == [[0, 1]] * 18


@pytest.mark.parametrize(("gap", "same"), [(3, True), (30, False)])
def test_a_hand_out_of_sight(gap, same):
    before = [frame(hand(100 + 5 * step, 200)) for step in range(10)]
    after = [frame(hand(100 + 5 * (10 + gap), 200))]
    found = numbers(before + [frame()] * gap + after, fps=25)
    assert found[-1] == [0 if same else 1]


def test_the_gap_is_measured_in_seconds():
    clip = [frame(hand(100, 200)), *[frame()] * 20, frame(hand(100, 200))]
    assert numbers(clip, fps=60)[-1] == [0] and numbers(clip, fps=25)[-1] == [1]


def test_a_side_misread_for_a_frame_is_still_the_same_hand():
    frames = [frame(hand(100 + 2 * step, 200, "right" if step == 5 else "left")) for step in range(10)]
    assert numbers(frames) == [[0]] * 10


def test_the_other_hand_of_a_person_is_another_one():
    frames = [frame(hand(200, 200, "left")), frame(hand(225, 210, "right"), hand(201, 200, "left"))]
    assert numbers(frames) == [[0], [1, 0]]


def test_a_cut_gives_new_numbers():
    frames = [frame(hand(100, 100)), frame(hand(400, 400)), frame(hand(402, 400, size=3.0))]
    assert numbers(frames) == [[0], [1], [2]]


def test_nobody_and_one_frame():
    assert numbers([]) == [] and numbers([frame(), frame()]) == [[], []]
    assert numbers([frame(hand(1, 1), hand(1, 1))]) == [[0, 1]]


def test_frames_are_read_as_they_are_asked_for_and_not_changed():
    read = []

    def clip():
        for step in range(1000):
            read.append(step)
            yield frame(hand(100, 100))

    assert [maps.hands[0].track_id for maps in islice(follow_hands(clip()), 3)] == [0, 0, 0]
    assert len(read) == 3
    one = frame(hand(5, 5))
    assert next(follow_hands([one])).hands[0].track_id == 0 and one.hands[0].track_id == -1
