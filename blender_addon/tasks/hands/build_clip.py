# SPDX-License-Identifier: GPL-3.0-or-later
"""The hands of a whole clip: image sequences, moving outlines and moving meshes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import bpy

from ....inference.errors import BadInput, NothingFound
from ...builders.bodies import hands
from ...builders.camera import scene as scenes
from ...builders.files import paths
from ...builders.images import image
from ...builders.masks import grease_pencil, mask_sequence
from ...builders.materials import paint
from ...core import roles
from ..shared.common import licence_of, matched, mesh_object

if TYPE_CHECKING:
    from bpy.types import Image, Object, Scene

    from ...work import HandsRequest, Inferred
    from ...work.hands_clip import HandClip

#: What can be made of a mask that moves, and of a depth that does.
_MASKS, _DEPTHS = ("NONE", "IMAGE", "PAINT_SLOT", "GREASE_PENCIL"), ("NONE", "IMAGE")


def request(wanted: HandsRequest, start_frame: int) -> HandsRequest:
    """The request for all frames of its clip. Raises BadInput for what cannot follow a clip."""
    if wanted.masks.output not in _MASKS:
        raise BadInput(
            "A stencil, an attribute or a vertex group cannot follow a whole clip.",
            "Choose images, a paint layer or Grease Pencil for the masks, or take the current frame.",
        )
    if wanted.build.depth not in _DEPTHS:
        raise BadInput(
            "The depth of the hands becomes an object only of one frame.",
            "Choose Image for the depth, or take the current frame.",
        )
    if wanted.scene_depth is not None:
        raise BadInput(
            "One depth image cannot place the hands of a whole clip.", "Clear it, or take the current frame."
        )
    folder = wanted.folder or (str(Path(bpy.data.filepath).parent / "maquette") if bpy.data.filepath else "")
    build, pictures = wanted.build, wanted.masks.output in {"IMAGE", "PAINT_SLOT"}
    if not folder and (pictures or build.control or build.ids or build.depth == "IMAGE"):
        raise BadInput("A sequence of pictures needs a folder.", "Save the .blend file, or choose a folder.")
    return replace(wanted, whole_clip=True, start_frame=start_frame, sequence_folder=folder)


def build(request: HandsRequest, inferred: Inferred, scene: Scene) -> str:
    """What the request wants made of the clip. Raises NothingFound where no frame shows a hand."""
    clip, name, wanted = inferred.result, request.source.name, request.build
    if not clip.tracks:
        raise NothingFound("No hand was found in the clip.", "Choose another clip, or give the hands' boxes.")
    camera = matched(request, inferred, scene)[1]
    made = [f"the sequence {picture.name}" for picture in _sequences(request, inferred, camera)]
    if clip.outlines:
        outline = roles.mark(_outlines(request, clip, camera, scene), "mask.outline", licence=licence_of(request))
        made.append(f"the outlines {outline.name}")
    if wanted.meshes:
        hands.animated_meshes(
            clip.tracks,
            clip.length,
            name=name,
            camera_object=camera,
            parent=scene.collection,
            mode=wanted.cache,
            start_frame=request.start_frame,
            folder=request.folder,
            licence=licence_of(request),
        )
        made.append("a moving mesh of each")
    if clip.fps:
        scenes.set_timing(scene, clip.fps, request.start_frame, request.start_frame + clip.length - 1)
    count = len(clip.tracks)
    found = f"Found {count} hand{'s' * (count > 1)} over {clip.length} frames"
    return ": made ".join([found, *filter(None, [", ".join(made)])])


def _sequences(request: HandsRequest, inferred: Inferred, camera: Object) -> list[Image]:
    """The numbered pictures as images; masks as paint layers too, where they are to be."""
    clip, licence, digest = inferred.result, licence_of(request), inferred.photo.digest
    folder, made = paths.output_folder(request.sequence_folder), []
    for name, sequence in clip.sequences.items():
        picture = mask_sequence.sequence_image(
            [sequence.files[index] for index in range(clip.length)],
            name=f"{request.source.name}.{name}",
            folder=folder,
            start_frame=request.start_frame,
        )
        is_mask = name.endswith(".mask")
        roles.mark(picture, "mask" if is_mask else name, digest, licence)
        made.append(picture)
        if is_mask and request.masks.output == "PAINT_SLOT":
            projected = request.masks.mapping == "CAMERA"
            where = {"camera": clip.camera, "camera_object": camera} if projected else {}
            texture = paint.add_mask_layer(mesh_object(request, "mask"), picture, request.masks.colour, **where)
            image.play(texture.image_user, picture)
    return made


def _outlines(request: HandsRequest, clip: HandClip, camera: Object, scene: Scene) -> Object:
    layers = {
        name.removesuffix(".mask"): {request.start_frame + index: traced for index, traced in frames.items()}
        for name, frames in clip.outlines.items()
    }
    return grease_pencil.outlines(
        layers,
        clip.camera,
        name=f"{request.source.name}.outline",
        colour=request.masks.colour,
        camera_object=camera,
        parent=scene.collection,
    )
