# SPDX-License-Identifier: GPL-3.0-or-later
"""The hands of a photo, found with the networks that ship, for any model: the palm detector over tiles of the photo,
and the wrists of the bodies in it, where hands are that are too small for the detector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..photo import Photo
from ..runtime.run import Run
from ..shipped import hand, search
from ..shipped.crops import Pyramid
from ..shipped.hand import HandLandmarks


def find(photo: Photo, run: Run, options: Mapping[str, Any]) -> list[HandLandmarks]:
    """The hands of a photo, surest first, however many there are."""
    pyramid = Pyramid(photo.pixels)
    people = search.find_people(pyramid, run.part(0.0, 0.4), augment=False)
    return hand.find_hands(
        pyramid, run.part(0.4, 1.0), people, min_score=options["presence_thr"], threshold=options["detect_thr"]
    )
