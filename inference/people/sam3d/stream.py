# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of many photos as one stream: some photos are read and searched at a time, never all."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ...camera import Camera
from ...errors import BadInput
from .model import Sight
from .passes import Query

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...photo import Clip, Photo
    from ...runtime.run import Run
    from ..hmr2.find import Detection
    from ..hmr2.stream import Search


@dataclass(frozen=True)
class Place:
    """The `number`th person of a frame."""

    frame: int
    number: int
    found: Detection


def camera_of(photo: Photo) -> Camera:
    """The photo's lens, or the one that the network was taught to expect: as long as the picture's diagonal."""
    if photo.camera is not None:
        return photo.camera
    width, height = photo.size
    focal = math.hypot(width, height)
    return Camera(focal, focal, width / 2, height / 2, width, height, "default")


def mask_of(photo: Photo, found: Detection, given: NDArray | None, prompted: bool) -> NDArray | None:
    """The mask of somebody that is shown to the network: the one `given`, or with `prompted` the finder's, if it draws
    any. Raises `BadInput` for one of another size."""
    height, width = photo.pixels.shape[:2]
    mask = found.mask(height, width) if given is None and prompted and found.mask is not None else given
    if mask is not None and mask.shape != (height, width):
        tall, wide = mask.shape
        raise BadInput(
            f"A mask of {photo.name} has {wide} x {tall} pixels.",
            f"Give masks as large as the photo, {width} x {height} pixels.",
        )
    return mask if mask is not None and (mask > 0.5).any() else None  # a mask of nobody says nothing


def queries(
    clip: Clip, run: Run, search: Search, masks: Sequence | None, prompted: bool, cameras: list[Camera]
) -> Iterator[Query[Place]]:
    """The people of all photos in order; the photos' cameras are appended to `cameras`.

    prompted : masks that the finder draws are shown to the network.
    """
    count, photos = len(clip), iter(clip)
    while some := list(islice(photos, search.thresholds.batch)):
        start = len(cameras)
        cameras += [camera_of(photo) for photo in some]
        part = run.part(min(1.0, start / count), min(1.0, len(cameras) / count))
        found = search(some, start, part.part(0.0, 0.1))
        shares = part.part(0.1, 1.0).parts(len(some))
        for frame, (photo, people, share) in enumerate(zip(some, found, shares, strict=True), start):
            for number, (one, own) in enumerate(zip(people, share.parts(len(people)), strict=True)):
                mask = mask_of(photo, one, masks[frame][number] if masks else None, prompted)
                yield Query(Sight(photo.pixels, cameras[frame], one.box, mask), Place(frame, number, one), own)
