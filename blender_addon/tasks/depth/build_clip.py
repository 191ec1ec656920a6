# SPDX-License-Identifier: GPL-3.0-or-later
"""The depth of a whole clip: an image sequence, and a relief or material that follows it."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from ....inference.errors import BadInput
from ...builders.camera import scene as scenes
from ...builders.files import paths
from ...builders.images import image
from ...builders.masks import mask_sequence
from ...builders.surfaces import live
from ...core import roles
from ...work.clip_maps import DepthClipRequest
from ..shared.common import licence_of, matched, photo_image
from .material import displaced_material

if TYPE_CHECKING:
    from bpy.types import Image, Object, Scene

    from ...work import DepthRequest, Inferred


def request(wanted: DepthRequest, start_frame: int) -> DepthClipRequest:
    """The request for all frames of its clip. Raises BadInput where there is no folder for them."""
    check_directory(wanted.directory)
    given = {one.name: getattr(wanted, one.name) for one in fields(wanted)}
    return DepthClipRequest(**given, start_frame=start_frame)


def check_directory(directory: str) -> None:
    """Raises BadInput without a folder for a sequence: Blender packs no sequence into a file."""
    if not directory:
        raise BadInput("A sequence of pictures needs a folder.", "Save the .blend file, or choose a folder.")


def build(request: DepthClipRequest, inferred: Inferred, scene: Scene) -> str:
    """The sequence, and what the request wants made of it."""
    clip, wanted = inferred.result, request.build
    heights = wanted.output == "MATERIAL" and clip.metric
    sequence = numbered(request, inferred, "height" if heights else "depth")
    set_timing(request, inferred, scene)
    output = wanted.chosen(clip.metric)
    told = f"Made the sequence {sequence.name} of {clip.length} frames"
    if clip.found < clip.length:
        told += f", {clip.length - clip.found} of them empty"
    if output == "IMAGE":
        return told
    if output == "MATERIAL":
        return f"{told}. {displaced_material(request, sequence, clip.metric)}"
    return f"{told}, which {_moving_object(request, inferred, sequence, scene, output).name} follows"


def numbered(request: Any, inferred: Inferred, what: str) -> Image:
    """The frames as an image sequence in the folder of this .blend."""
    clip = inferred.result
    sequence = mask_sequence.sequence_image(
        clip.files,
        name=f"{request.source.name}.{what}",
        folder=paths.output_folder(request.directory),
        start_frame=request.start_frame,
    )
    task = "normals" if what == "normal" else "depth"
    return roles.mark(sequence, what, inferred.photo.digest, licence_of(request, task))


def set_timing(request: Any, inferred: Inferred, scene: Scene) -> None:
    """The scene plays the clip at its own frame rate."""
    clip = inferred.result
    if clip.fps:
        scenes.set_timing(scene, clip.fps, request.start_frame, request.start_frame + clip.length - 1)


def playing_camera(request: Any, inferred: Inferred, scene: Scene) -> tuple[Image, Object]:
    """The clip's image and its matched camera, which shows the clip from the request's start frame on."""
    photo, camera = matched(request, inferred, scene)
    if photo.source in {"MOVIE", "SEQUENCE"}:
        photo[image.START] = request.start_frame
        data: Any = camera.data
        for background in data.background_images:
            if background.image == photo:
                image.play(background.image_user, photo)
    return photo, camera


def _moving_object(request: DepthClipRequest, inferred: Inferred, sequence: Image, scene: Scene, output: str) -> Object:
    clip, wanted, name = inferred.result, request.build, request.source.name
    common: dict[str, Any] = {
        "name": f"{name}.{output.lower()}",
        "resolution": wanted.mesh_resolution,
        "parent": scene.collection,
    }
    if not clip.metric:
        return live.live_grid(
            clip.camera,
            sequence,
            photo_image=photo_image(request, inferred),
            width=wanted.grid_width,
            strength=wanted.strength,
            **common,
        )
    photo, camera = playing_camera(request, inferred, scene)
    cut = output != "GRID"
    return live.live_relief(
        clip.camera,
        sequence,
        camera_object=camera,
        photo_image=photo,
        tear=wanted.tear if cut else None,
        grazing=wanted.grazing if cut else 90.0,
        max_distance=wanted.max_distance,
        specks=wanted.specks if cut else 0,
        **common,
    )
