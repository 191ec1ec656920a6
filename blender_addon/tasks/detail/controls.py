# SPDX-License-Identifier: GPL-3.0-or-later
"""From the control that an artist chooses to the image of it, or to what the worker has to make."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ....inference.errors import BadInput
from ...builders.images.image import image_array
from ...core.photo_links import made_of_photos
from ...work.detail.controls import Control
from .masks import image_mask

#: Kind of control -> what the other tasks call the image of it.
_ROLES = {"DEPTH": "depth", "NORMALS": "normal", "HANDS": "hands.control"}


def control_of(properties: Any) -> Control | None:
    """What a ControlNet is to follow; None for nothing. Raises BadInput."""
    kind = properties.control
    if kind == "NONE":
        return None
    if kind == "IMAGE":
        if not properties.control_image:
            raise BadInput("No control image is chosen.", "Choose the image that the ControlNet is to follow.")
        return Control(kind, image_mask(properties.control_image, "VALUE").pixels)
    return Control(kind, made=_made(_ROLES[kind]))


def _made(role: str) -> dict[str, NDArray]:
    """What the other tasks have made of photos, the newest of each, by the photo's digest."""
    stills = {
        digest: [image for image in images if image.source != "SEQUENCE"]
        for digest, images in made_of_photos(role).items()
    }
    return {
        digest: image_array(max(images, key=lambda image: image.session_uid))
        for digest, images in stills.items()
        if images
    }
