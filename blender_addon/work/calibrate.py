# SPDX-License-Identifier: GPL-3.0-or-later
"""The rescaling of a photo on the worker: its images of metres are written with new values, to new files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...inference.errors import BadInput
from ...inference.photo.exr import read_exr
from ..core.exchange import clean_name
from .scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ..core.jobs import Report


@dataclass(frozen=True)
class MetricImage:
    """An image of metres: its datablock's name, and what its values are to be multiplied by.

    values : (H, W) of a still that lies in Blender alone.  files : OpenEXR files of a still, or of a sequence's frames.
    folder : takes the new files; "" for an image that is packed into the .blend.
    """

    name: str
    factor: float
    values: NDArray[np.float32] | None = None
    files: Sequence[Path] = ()
    folder: str = ""


@dataclass(frozen=True)
class CalibrateWork:
    """camera : name of the matched camera.  ratio : what everything is multiplied by.
    floor : the floor stays in its place, else the camera.  summary : what was measured, for the closing line.
    """

    scene: str
    camera: str
    ratio: float
    floor: bool
    summary: str
    pictures: Sequence[MetricImage] = ()
    markers: Sequence[str] = ()
    cursor: bool = False
    points: Sequence[tuple[float, ...]] = ()

    def run(self, report: Report) -> list[RewrittenImage]:
        """Write the images; the worker's part. Raises BadInput where a file cannot be read or written."""
        done: list[RewrittenImage] = []
        count = sum(len(picture.files) or 1 for picture in self.pictures)
        written = 0
        try:
            for picture in self.pictures:
                one = RewrittenImage(picture, Scratch(picture.folder), [])
                done.append(one)
                for index in range(len(picture.files) or 1):
                    report(written / count, f"Writing {picture.name}")
                    one.write(index)
                    written += 1
        except BaseException:
            discard(done)
            raise
        return done


@dataclass(frozen=True)
class RewrittenImage:
    """An image as the worker has written it."""

    picture: MetricImage
    scratch: Scratch
    files: list[Path]

    def write(self, index: int) -> None:
        """Write the still, or the frame of this index."""
        picture, name = self.picture, clean_name(self.picture.name)
        factor = np.float32(picture.factor)
        if picture.values is not None:
            self.files.append(self.scratch.write(f"{name}.exr", picture.values * factor))
            return
        path = picture.files[index]
        try:
            planes = read_exr(path.read_bytes())
        except OSError as error:
            raise BadInput(f"The file {path} cannot be read: {error.strerror}.", "Copy it again.") from error
        except BadInput as error:
            raise BadInput(f"{path}: {error.message}", error.remedy) from error
        scaled = {channel: plane if channel == "A" else plane * factor for channel, plane in planes.items()}
        self.files.append(self.scratch.write(f"{name}.{index:06d}.exr", scaled))


def discard(written: Sequence[RewrittenImage]) -> None:
    """Remove what has not been moved out."""
    for one in written:
        one.scratch.discard()
