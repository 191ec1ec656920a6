# SPDX-License-Identifier: GPL-3.0-or-later
"""The hands of a photo, found with the networks that ship, for any model: the palm detector over tiles of the photo,
and the wrists of the bodies in it, where hands are that are too small for the detector."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import BadInput
from ..shipped import hand, pose
from ..shipped.crops import Pyramid

if TYPE_CHECKING:
    from ..photo import Photo
    from ..runtime.run import Run
    from ..shipped.hand import HandLandmarks


#: See `Thresholds`.
DETECTION, PRESENCE = hand.DETECTOR_THRESHOLD, hand.MIN_SCORE


@dataclass(frozen=True)
class Thresholds:
    """detection : 0..1 from which the palm detector's word counts.  presence : from which the landmarks are a hand's.

    Raises `BadInput` for what is no share.
    """

    detection: float = DETECTION
    presence: float = PRESENCE

    def __post_init__(self) -> None:
        for name, value in (("detect_thr", self.detection), ("presence_thr", self.presence)):
            number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
            if not number or not 0 < float(value) <= 1:
                raise BadInput(f"{name} = {value!r} cannot be used.", "Give a number above 0, up to 1.")


def find(photo: Photo, run: Run, thresholds: Thresholds) -> list[HandLandmarks]:
    """The hands of a photo, surest first, however many there are."""
    pyramid = Pyramid(photo.pixels)
    people = pose.find_people(pyramid, run.part(0.0, 0.4), augment=False)
    return hand.find_hands(
        pyramid, run.part(0.4, 1.0), people, min_score=thresholds.presence, threshold=thresholds.detection
    )
