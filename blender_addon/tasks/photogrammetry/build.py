# SPDX-License-Identifier: GPL-3.0-or-later
"""Cameras from several photos: matched cameras, or one that moves, and a cloud of points."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from mathutils import Matrix

from ....inference import load_photo
from ...builders.camera import matched
from ...builders.camera import scene as scenes
from ...builders.images import image
from ...builders.surfaces.cloud import point_cloud
from ...core import axes, photo_links, transaction
from ...work.photogrammetry import BuiltPlace, PhotogrammetryWork
from ..shared.gather import gathered
from .settings import BUILD, PARAMETERS

if TYPE_CHECKING:
    from bpy.types import Collection, Context, Object
    from numpy.typing import NDArray

    from ...work.item import JobResult
    from ..shared.finish import Place


def work(properties: Any, context: Context) -> PhotogrammetryWork:
    """What the worker is to do. Raises MaquetteError."""
    return PhotogrammetryWork(**gathered("depth", PARAMETERS, BUILD, properties, context))


def build(item: PhotogrammetryWork, found: JobResult[BuiltPlace], place: Place) -> str:
    """The cameras and the cloud; returns the closing line."""
    made, name = found.result.found, item.source.name
    assert place.camera is not None
    matched.hold(place.camera)
    # The first camera may stand beside what is in the scene, or where the artist has put it: the rest goes along.
    moved = axes.world_from_camera_of(place.camera) @ np.linalg.inv(made.world_from_camera[0])
    collection = scenes.new_collection(f"{name}.cameras", place.scene.collection)
    scenes.move(place.camera, collection, place.scene)
    cloud = point_cloud(
        f"{name}.points", made.points, made.colours, {"error": made.errors, "views": made.views},
        radius=item.build.point_size, parent=collection,
    )  # fmt: skip
    cloud.matrix_world = Matrix(moved.tolist())
    place.mark(cloud, "points")
    if found.result.files:
        _cameras(found.result, moved, cloud, collection, place)
        cameras = f"{len(made.cameras)} cameras"
    else:
        _animate(item, made, place)
        cameras = f"{place.camera.name} over {len(made.cameras)} of {made.length} frames"
    off = float(np.median(made.errors))
    line = f"Found {cameras} and {len(made.points)} points, seen within {off:.2g} pixels"
    return ". ".join([line, *made.notes])


def _animate(item: PhotogrammetryWork, made: Any, place: Place) -> None:
    """Key the one camera where the photos were taken; between them it goes evenly."""
    assert place.camera is not None
    rate, kept = scenes.frame_rate(place.scene), scenes.keeps_timing(place.scene)
    step = rate / made.fps if kept and made.fps else 1.0
    travel = np.linalg.inv(made.world_from_camera[0]) @ made.world_from_camera
    matched.animate(place.camera, travel, item.build.start_frame + step * made.indices)


def _cameras(
    result: BuiltPlace, moved: NDArray[np.float64], cloud: Object, collection: Collection, place: Place
) -> None:
    """A matched camera for each further photo. They hang on the cloud, so that the photos' scale takes them along."""
    made = result.found
    kept = cloud.matrix_world.inverted_safe()
    for number, (file, upright) in enumerate(result.files[1:], 1):
        if upright:
            photo = image.photo_of_file(file, made.digests[number])
        else:
            photo = image.photo_image(load_photo(file), file, file.name)
        pose = moved @ made.world_from_camera[number]
        obj = matched.matched_camera(made.cameras[number], photo, pose, scene=place.scene)
        transaction.change(obj, parent=cloud)
        obj.matrix_parent_inverse = kept
        transaction.change(obj, matrix_world=Matrix((pose @ axes.CAMERA_FLIP).tolist()))
        scenes.move(obj, collection, place.scene)
        photo_links.mark((obj,), made.digests[number], "", photo)
