# SPDX-License-Identifier: GPL-3.0-or-later
"""Image passes: edges, lines or shuffled content of a photo as an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...builders.images import image
from ...core import roles
from ...work.preprocessors import MapsRequest
from ..shared.common import licence_of, shared
from .settings import SETTINGS, TYPED

if TYPE_CHECKING:
    from bpy.types import Context, Scene

    from ...work import Inferred


def request(properties: Any, context: Context) -> MapsRequest:
    """What the worker is to do. Raises MaquetteError."""
    names = TYPED.get(properties.model)
    return MapsRequest(
        **shared(properties, context),
        resolution=properties.resolution,
        thresholds=(getattr(properties, names[0]), getattr(properties, names[1])) if names else None,
        safe=properties.safe or None,
        scribble=properties.scribble and properties.model in SETTINGS["scribble"].models,
        seed=properties.seed,
    )


def build(request: MapsRequest, inferred: Inferred, scene: Scene) -> str:
    """A packed image of the pass."""
    made = image.picture(f"{request.source.name}.{request.model}", inferred.result.image)
    roles.mark(made, "map", inferred.photo.digest, licence_of(request, "maps"))
    return f"Made the image {made.name}"
