# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of many photos as one stream of squares: some photos are read and searched at a time, never all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from ...camera import Camera
from ...photo import Clip, Photo
from ...runtime.run import Run
from .answers import CropQuery
from .crops import Crop, picture
from .find import Detection, Finder, Thresholds, given_boxes, with_landmarks

#: Share of the work that is finding people; the rest is the network's.
FINDING = 0.3
#: What finds people where no detector does: the caller, or the landmarks that are followed.
GIVEN, FOLLOWED = "given", "followed"


@dataclass(frozen=True)
class CropId:
    """Whose answer it is: the `number`th person of a photo."""

    frame: int
    number: int
    found: Detection
    crop: Crop


@dataclass(frozen=True)
class Search:
    """How people are looked for.

    find : what finds them; None where boxes are given, one list a photo.
    landmarks : run the built-in pose network on each of them, "accurate" or "fast"; "" does not.
    by : what finds them, in a word or by the path of its file.
    """

    find: Finder | None
    given: Sequence | None
    thresholds: Thresholds
    landmarks: str = ""
    by: str = GIVEN

    def __call__(self, photos: Sequence[Photo], start: int, run: Run) -> list[list[Detection]]:
        """The people of some photos, the first of which is frame `start`."""
        if self.given is not None:
            people = [given_boxes(self.given[start + number], photo) for number, photo in enumerate(photos)]
        else:
            assert self.find is not None
            people = self.find(photos, run.part(0.0, 0.6 if self.landmarks else 1.0))
        if self.landmarks:
            parts, augment = run.part(0.6, 1.0).parts(len(photos)), self.landmarks == "accurate"
            people = [with_landmarks(*one, augment) for one in zip(people, photos, parts, strict=True)]
        return people


def people_of(clip: Clip, run: Run, search: Search, cameras: list[Camera]) -> Iterator[CropQuery[CropId]]:
    """The people of all photos in order; the photos' cameras are appended to `cameras`."""
    count, photos = len(clip), iter(clip)
    while some := list(islice(photos, search.thresholds.batch)):
        start = len(cameras)
        cameras += [photo.camera_or_default() for photo in some]
        part = run.part(min(1.0, start / count), min(1.0, len(cameras) / count))
        part.report(0.0, f"Photo {start + 1} of {count}" if count > 1 else "Looking for people")
        found = search(some, start, part.part(0.0, FINDING))
        shares = part.part(FINDING, 1.0).parts(len(some))
        for index, (photo, people, share) in enumerate(zip(some, found, shares, strict=True)):
            for number, (one, own) in enumerate(zip(people, share.parts(len(people)), strict=True)):
                crop = Crop.around(one.box)
                yield CropQuery(picture(photo.pixels, crop), CropId(start + index, number, one, crop), own)
