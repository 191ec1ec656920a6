# SPDX-License-Identifier: GPL-3.0-or-later
"""The hands of a whole clip: image sequences, moving outlines and moving meshes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ....inference.errors import BadInput
from ...builders.bodies import hands
from ...builders.images import image
from ...builders.materials import paint
from ..shared.clips import sequence_image
from ..shared.gather import check_directory
from ..shared.masks import draw_outlines
from ..shared.target import mesh_object

if TYPE_CHECKING:
    from bpy.types import Image

    from ...work.hands import HandsWork
    from ...work.hands_clip import HandClip
    from ...work.item import JobResult
    from ..shared.finish import Place

#: What can be made of a mask that moves, and of a depth that does.
_MASKS, _DEPTHS = ("NONE", "IMAGE", "PAINT_SLOT", "GREASE_PENCIL"), ("NONE", "IMAGE")


def check(item: HandsWork) -> None:
    """Raise BadInput for what cannot follow a clip."""
    build = item.build
    if build.masks not in _MASKS:
        raise BadInput(
            "A stencil, an attribute or a vertex group cannot follow a whole clip.",
            "Choose images, a paint layer or Grease Pencil for the masks, or take the current frame.",
        )
    if build.depth not in _DEPTHS:
        raise BadInput(
            "Hand depth can be built as an object for a single frame only.",
            "Choose Image for the depth, or take the current frame.",
        )
    if item.scene_depth is not None:
        raise BadInput(
            "One depth image cannot place the hands of a whole clip.", "Clear it, or take the current frame."
        )
    pictures = build.masks in {"IMAGE", "PAINT_SLOT"} or build.depth == "IMAGE"
    if pictures or build.control_image or build.id_map:
        check_directory(item.directory)


def build(item: HandsWork, clip: HandClip, found: JobResult, place: Place) -> str:
    """What is wanted made of the clip."""
    assert item.clip is not None
    start = item.clip.start_frame
    made = [f"the sequence {picture.name}" for picture in _sequences(item, clip, place)]
    if clip.outlines:
        frames = {
            name: {start + index: traced for index, traced in outlines.items()}
            for name, outlines in clip.outlines.items()
        }
        made.append(f"the outlines {draw_outlines(item, frames, clip.camera, place, place.licence).name}")
    if item.build.build_meshes:
        hands.animated_meshes(
            clip.tracks,
            clip.length,
            name=item.source.name,
            camera_object=place.camera,
            parent=place.scene.collection,
            mode=item.build.mesh_cache,
            start_frame=start,
            folder=item.folder,
            licence=place.licence,
        )
        made.append("a moving mesh of each")
    count = len(clip.tracks)
    line = f"Found {count} hand{'s' * (count > 1)} over {found.length} frames"
    return ": made ".join([line, *filter(None, [", ".join(made)])])


def _sequences(item: HandsWork, clip: HandClip, place: Place) -> list[Image]:
    """The numbered pictures as images; masks as paint layers too, where they are to be."""
    made = []
    for name, sequence in clip.sequences.items():
        picture = sequence_image(item, name, [sequence.files[index] for index in range(clip.length)])
        is_mask = name.endswith(".mask")
        made.append(place.mark(picture, "mask" if is_mask else name))
        if is_mask and item.build.masks == "PAINT_SLOT":
            where: Any = {"camera": clip.camera, "camera_object": place.camera} if item.projected else {}
            texture = paint.add_mask_layer(mesh_object(item, "mask"), picture, item.build.mask_colour, **where)
            image.play(texture.image_user, picture)
    return made
