# SPDX-License-Identifier: GPL-3.0-or-later
"""Several photos, or a film, of a place where nothing moves: a camera for each, and the points that they share."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

from .. import runtime
from ..errors import BadInput
from ..photo import as_clip
from ..runtime.device import require_torch

if TYPE_CHECKING:
    from ..results import Reconstruction
    from ..runtime.run import ProgressCallback


def reconstruct_photos(
    photos: Any,
    model: str = "auto",
    *,
    most_photos: int = 100,
    long_side: int = 1600,
    device: str | None = None,
    precision: str | None = None,
    progress: ProgressCallback = None,
    models_dir: str | PathLike[str] | None = None,
) -> Reconstruction:
    """Cameras and points of a place (structure from motion by COLMAP; the group of packages `photogrammetry`).

    Parameters
    ----------
    photos : a film, a folder, or a list of photos (see `load_clip`): two or more, from places beside each other.
    model : of depth, which tells the metres; "auto" takes the best one installed, else the statures of people who are
        in the photos, else metres are guessed by the height at which cameras are held.
    most_photos : of more, so many are taken, evenly.
    long_side : pixels of the photos' longer side at which they are compared.

    Raises `MissingPackages`, and `NothingFound` where the photos do not show one place from several sides.
    """
    require_torch()
    from .place import reconstructed

    run = runtime.start(device, precision, progress, models_dir)
    clip = as_clip(photos)
    if most_photos < 2 or long_side < 64:
        raise BadInput("At least two photos of 64 pixels are compared.", "Raise most_photos and long_side.")
    if len(clip) < 2:
        raise BadInput("One photo shows a place from one side only.", "Give several photos of it, or a film.")
    where = {"device": device, "precision": precision, "models_dir": models_dir}
    return reconstructed(clip, model, most_photos, long_side, run, where)
