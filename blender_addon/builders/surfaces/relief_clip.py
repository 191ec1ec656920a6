# SPDX-License-Identifier: GPL-3.0-or-later
"""A relief that follows a clip: the live relief and grid, of an image sequence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ....inference.errors import BadInput
from . import live

if TYPE_CHECKING:
    from bpy.types import Image, Object

    from ....inference.camera import Camera

#: Name of the modifier.
MODIFIER = "Follow the Clip"


def moving_relief(intrinsics: Camera, sequence: Image, *, clip_image: Image | None = None, **options: Any) -> Object:
    """A mesh that shows at every frame of the scene the metric depth (metres) of that frame of a sequence.

    sequence : image sequence of depths, numbered by the scene's frames (see `mask_sequence.sequence_image`); before it
        and after it the first and last frame stay.  clip_image : the clip itself, as colour that plays along.
    options : those of `live.live_relief`.
    """
    _check(sequence)
    return live.live_relief(intrinsics, sequence, modifier=MODIFIER, photo_image=clip_image, **options)


def moving_grid(intrinsics: Camera, sequence: Image, *, clip_image: Image | None = None, **options: Any) -> Object:
    """A flat grid on the ground that shows at every frame the heights (without unit) of that frame of a sequence.

    options : those of `live.live_grid`.
    """
    _check(sequence)
    return live.live_grid(intrinsics, sequence, modifier=MODIFIER, photo_image=clip_image, **options)


def _check(sequence: Image) -> None:
    if sequence.source != "SEQUENCE":
        raise BadInput(f"{sequence.name} is not an image sequence.", "Estimate the depth of the whole clip.")
