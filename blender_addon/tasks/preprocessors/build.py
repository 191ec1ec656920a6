# SPDX-License-Identifier: GPL-3.0-or-later
"""Image passes: edges, lines or shuffled content of a photo as an image."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ...builders.images import image
from ...work.preprocessors import MapWork
from ..shared.gather import gathered
from .settings import PARAMETERS, TYPED

if TYPE_CHECKING:
    from bpy.types import Context

    from ....inference.results import MapImage
    from ...work.item import JobResult
    from ..shared.finish import Place


def work(properties: Any, context: Context) -> MapWork:
    """What the worker is to do. Raises MaquetteError."""
    item = MapWork(**gathered("maps", PARAMETERS.for_model(properties.model), (), properties, context))
    names = TYPED.get(properties.model)
    if names is None:
        return item
    thresholds = tuple(item.options[name] for name in names)
    options = {name: value for name, value in item.options.items() if name not in names}
    return replace(item, options={**options, "thresholds": thresholds})


def build(item: MapWork, found: JobResult[MapImage], place: Place) -> str:
    """A packed image of the pass."""
    made = place.mark(image.picture(f"{item.source.name}.{item.model}", found.result.image), "map")
    return f"Made the image {made.name}"
