# SPDX-License-Identifier: GPL-3.0-or-later
"""Cutting out: the mask where it is wanted, and the card."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import bpy

from ....inference.errors import BadInput
from ....inference.registry import find_model
from ...builders.images import image
from ...builders.surfaces.card import cut_out_card
from ...work.segment import Cut, SegmentWork
from ..shared.clips import sequence_image
from ..shared.gather import check_directory, gathered
from ..shared.masks import build_masks, check_target
from .settings import BUILD, PARAMETERS

if TYPE_CHECKING:
    from bpy.types import Context, Image

    from ...work.item import JobResult
    from ..shared.finish import Place


def work(properties: Any, context: Context) -> SegmentWork:
    """What the worker is to do. Raises MaquetteError."""
    item = SegmentWork(**gathered("segment", PARAMETERS, BUILD, properties, context))
    rough = _rough_mask(properties, context)
    if rough is not None:
        item = replace(item, options={**item.options, "mask": image.image_array(rough)[..., :3].max(-1)})
    if item.clip is None:
        check_target(item)
        return item
    check_directory(item.directory)
    if item.build.masks not in {"IMAGE", "NONE"}:
        raise BadInput("The masks of a whole clip are an image sequence.", "Choose Image, or work on one frame.")
    return item


def _rough_mask(properties: Any, context: Any) -> Image | None:
    """The image that shows roughly what is wanted: as named, else without clicks the one that is being painted; for a
    model that needs none, only the one that is named."""
    if properties.mask:
        found = bpy.data.images.get(properties.mask)
        if found is None:
            raise BadInput(f"There is no image called {properties.mask!r}.", "Choose another one.")
        return found
    painted = context.tool_settings.image_paint.canvas
    needed = not (properties.points or properties.box or find_model("segment", properties.model).options.get("main"))
    return painted if needed else None


def build(item: SegmentWork, found: JobResult[Cut], place: Place) -> str:
    """The mask, a sequence of masks of a clip, and the card; returns the closing line."""
    cut, made = found.result, []
    picture: Any = None
    if cut.files:
        picture = place.mark(sequence_image(item, "mask", cut.files), "mask")
        empty = len(cut.files) - cut.found
        made.append(f"the sequence {picture.name}" + (f", {empty} of its frames empty" if empty else ""))
    elif item.build.masks == "IMAGE":
        picture = place.mark(image.mask_image(f"{item.source.name}.mask", cut.mask), "mask")
        made.append(f"the image {picture.name}")
    elif told := build_masks(item, found, place, place.licence):
        made.append(told)
    if item.build.card:
        if picture is None:
            picture = place.mark(image.mask_image(f"{item.source.name}.mask", cut.mask), "mask")
        assert place.camera is not None
        card = cut_out_card(
            cut.mask, cut.camera, _colours(item, cut, place), picture, place.camera,
            name=f"{item.source.name}.card", whole=bool(cut.files), parent=place.scene.collection,
        )  # fmt: skip
        place.mark(card, "card")
        made.append(f"the card {card.name}, cut out in Material Preview")
    line = f"Made {' and '.join(made)}" if made else "Cut out, and nothing was to be made of it"
    return ". ".join([line, *(note.rstrip(".") for note in cut.notes)])


def _colours(item: SegmentWork, cut: Cut, place: Place) -> Image:
    """What a card shows: the thing's own colours where its edge is soft, else the photo."""
    if cut.colours is None or place.photo.is_float:
        return place.photo
    return place.mark(image.picture(f"{item.source.name}.colours", cut.colours), "colours")
