# SPDX-License-Identifier: GPL-3.0-or-later
"""A clip, or a range of its frames, while it is being measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...camera import Camera
from ...errors import BadInput
from ...photo import Clip, Photo
from .measured import Measured, asked_of, cut, first_piece
from .pieces import Piece, lead_of


def read_from(start: int) -> int:
    """The frame from which a clip is read to measure from `start` on."""
    return lead_of(first_piece(start))


@dataclass
class Film:
    """frames : first and last + 1 of those that are measured; None for all.  lens : of a photo."""

    clip: Clip
    frames: tuple[int, int] | None = None
    lens: Callable[[Photo], Camera] = Photo.camera_or_default
    cameras: list[Camera] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)

    @property
    def start(self) -> int:
        return self.frames[0] if self.frames else 0

    @property
    def stop(self) -> int:
        return self.frames[1] if self.frames else len(self.clip)

    @property
    def first(self) -> int:
        """The frame from which it is read."""
        return read_from(self.start)

    def photos(self) -> Iterator[Photo]:
        """From `first` on; their lenses and digests are noted meanwhile."""
        for photo in islice(self.clip, self.first, self.stop):
            self.cameras.append(self.lens(photo))
            self.digests.append(bytes.fromhex(photo.digest))
            yield photo

    def pictures(self) -> Iterator[NDArray[np.uint8]]:
        """The pixels of `photos`."""
        return (photo.pixels for photo in self.photos())

    def again(self, first: int) -> Iterator[tuple[int, Photo]]:
        """The frames from `first` on, as often as they are asked for, with their numbers."""
        return enumerate(islice(self.clip, first, self.first + len(self.cameras)), first)

    def measured(self, pieces: Sequence[Piece], options: Mapping[str, Any], model: str = "builtin") -> Measured:
        """What was seen in these frames. Raises `BadInput` where the clip has none of them."""
        read = self.first + len(self.cameras)
        if read <= self.start:
            raise BadInput(
                f"The clip ends at frame {read}." if read else "There are no photos.", "Measure frames that it has."
            )
        count = read if self.frames is None else len(self.clip)  # a damaged movie has fewer frames than it says
        told = np.frombuffer(b"".join(self.digests), np.uint8).reshape(-1, 20)
        own = tuple(self.cameras[self.start - self.first :])
        return Measured(
            self.clip.name, count, self.clip.fps, asked_of(options), self.start, read, own, told,
            cut(pieces, self.start, read), model,
        )  # fmt: skip
