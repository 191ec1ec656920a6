# SPDX-License-Identifier: GPL-3.0-or-later
"""The scale of a photo by a known length: from what is measured in the scene to everything of it rescaled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bpy
from bpy.types import Image, Object
from mathutils import Matrix, Vector

from ....inference.errors import BadInput
from ...builders.camera import measure, scale
from ...builders.images import image
from ...builders.masks import mask_sequence
from ...core import jobs, photo_links, roles
from ...core.transaction import on_failure, transaction
from ...work.calibrate import CalibrateWork, MetricImage, RewrittenImage, discard


def job(label: str, properties: Any, context: Any) -> jobs.Job:
    """The job of a rescaling: images on the worker, the rest on the main thread as one undo step. Raises BadInput."""
    work = _work(properties, context)

    def finish(written: list[RewrittenImage]) -> str:
        try:
            line = _rescaled(work, written)
        finally:
            discard(written)
        bpy.ops.ed.undo_push(message=label)
        return line

    return jobs.Job(label, work.run, finish)


def _work(properties: Any, context: Any) -> CalibrateWork:
    camera_object = _camera(properties, context)
    wanted = properties.distance
    if not wanted > 0:
        raise BadInput("The true length is 0.", "Enter its true length.")
    measured, what = _measured(properties, context, camera_object)
    if not measured > 1e-9:
        raise BadInput(f"The {what} measures 0 in the scene.", "Choose two points that lie apart.")
    floor = properties.keep == "FLOOR" or properties.known == "CAMERA"
    ratio = wanted / measured
    scale.check(camera_object, ratio, floor=floor)
    total = scale.scale_of(camera_object) * ratio
    pictures = [_picture(one, total) for one in photo_links.metres_of(camera_object)] if properties.rewrite else []
    markers, cursor = _markers(properties, context, camera_object)
    summary = f"the {what} is {wanted:.4g} now, and was {measured:.4g}"
    pictures = tuple(one for one in pictures if one is not None)
    return CalibrateWork(
        context.scene.name, camera_object.name, ratio, floor, summary, pictures, markers, cursor, _points(properties)
    )


def _camera(properties: Any, context: Any) -> Object:
    """The matched camera that is meant: by name, by its photo, by the selection, or the only one of the scene."""
    matched = [obj for obj in context.scene.objects if obj.type == "CAMERA" and roles.IMAGE in obj]
    if properties.camera:
        named = [obj for obj in matched if obj.name == properties.camera]
        if not named:
            raise BadInput(
                f"{properties.camera!r} is not a matched camera of a photo.", "Choose the photo's own camera."
            )
        return named[0]
    photo = bpy.data.images.get(properties.image) if properties.image else None
    if photo is None and properties.filepath:
        photo = image.shown_file(Path(bpy.path.abspath(properties.filepath)))
    found = photo_links.camera_of(photo) if photo is not None else None
    if found is None and not (properties.image or properties.filepath):
        active = context.view_layer.objects.active
        found = photo_links.matched_camera_of(active) if active is not None else None
        if found is None:
            found = (
                matched[0] if len(matched) == 1 else next((obj for obj in matched if obj == context.scene.camera), None)
            )
    if found is None:
        raise BadInput(
            "The scene has no matched camera for this photo.",
            "Estimate its depth or recover its people first, or choose the photo.",
        )
    return found


def _measured(properties: Any, context: Any, camera_object: Object) -> tuple[float, str]:
    """The length as the scene has it, and what it is the length of."""
    if properties.known == "CAMERA":
        height = camera_object.matrix_world.translation.z
        if height <= 0:
            raise BadInput(f"{camera_object.name} does not stand above the floor.", "Move it up, or give a distance.")
        return height, "camera's height"
    if properties.known == "PERSON":
        body = measure.chosen_person(context, camera_object)
        return measure.height_of(body), f"height of {body.name}"
    if properties.points == "PIXELS":
        a, b = (measure.pixel_point(camera_object, tuple(one)) for one in (properties.pixel_a, properties.pixel_b))
    elif properties.points == "POINTS":
        a, b = Vector(properties.point_a), Vector(properties.point_b)
    else:
        a, b = measure.selected_points(context)
    return (a - b).length, "distance"


def _markers(properties: Any, context: Any, camera_object: Object) -> tuple[tuple[str, ...], bool]:
    """What marks the points and goes with them: Empties that are not the photo's own, and whether the 3D cursor."""
    if properties.known != "DISTANCE" or properties.points != "SELECTION" or context.mode != "OBJECT":
        return (), context.mode in {"EDIT_MESH", "POSE"} and measure.uses_cursor(context)
    own = set(photo_links.all_of(camera_object))
    chosen = measure.selected_objects(context)
    names = tuple(obj.name for obj in chosen if obj.type == "EMPTY" and obj not in own and obj.parent is None)
    return names, len(chosen) == 1


def _points(properties: Any) -> tuple[tuple[float, ...], ...]:
    """The two typed points, where they are what the length is measured between."""
    typed = properties.known == "DISTANCE" and properties.points == "POINTS"
    return (tuple(properties.point_a), tuple(properties.point_b)) if typed else ()


def _picture(picture: Image, total: float) -> MetricImage | None:
    """An image of metres as the worker is to write it; None where its values are right or gone."""
    factor = total / scale.metres_of(picture)
    path = Path(bpy.path.abspath(picture.filepath, library=picture.library)) if picture.filepath else None
    if picture.source == "SEQUENCE":
        files = image.sequence_files(picture)[: int(picture.get(image.LENGTH, 1))]  # type: ignore[arg-type]
        return MetricImage(picture.name, factor, files=files, folder=str(files[0].parent.parent)) if files else None
    folder = ""
    if path is not None and path.is_file() and picture.packed_file is None:
        folder = str(path.parent)
        if not picture.is_dirty:  # the worker reads it sooner than Blender would hand out its pixels
            return MetricImage(picture.name, factor, files=(path,), folder=folder)
    if not picture.size[0]:
        return None
    return MetricImage(picture.name, factor, values=image.image_array(picture)[..., 0], folder=folder)


def _rescaled(work: CalibrateWork, written: list[RewrittenImage]) -> str:
    """Everything of the photo at its new size. Raises BadInput where the camera went away meanwhile."""
    camera_object = bpy.data.objects.get(work.camera)
    scene = bpy.data.scenes.get(work.scene)
    if camera_object is None or scene is None:
        raise BadInput(f"The camera {work.camera} is gone.", "Choose the photo, and try again.")
    if bpy.context.mode != "OBJECT":  # an undo step of Edit Mode holds nothing but the mesh
        bpy.ops.object.mode_set(mode="OBJECT")
    with bpy.context.temp_override(scene=scene), transaction():
        pivot = scale.about(camera_object, floor=work.floor)
        replaced = [_replaced(one) for one in written]
        motion = scale.rescale(camera_object, work.ratio, pivot)
        before = {new: scale.metres_of(old) for old, new in replaced}
        for old, new in replaced:
            new[roles.METRES] = scale.scale_of(camera_object)
            _take_place(old, new)
        for obj in photo_links.all_of(camera_object):
            scale.settle(obj, before)
        _move_markers(work, scene, motion)
        for old, _ in replaced:
            bpy.data.images.remove(old)
        return f"Rescaled {work.camera.removesuffix('.camera')} by {work.ratio:.4g}: {work.summary}"


def _replaced(written: RewrittenImage) -> tuple[Image, Image]:
    """An image of metres, and the new one that has the right values. Raises BadInput where the old one went away."""
    picture = written.picture
    old = bpy.data.images.get(picture.name)
    if old is None:
        raise BadInput(f"The image {picture.name} is gone.", "Try again.")
    if old.source == "SEQUENCE":
        start: Any = old.get(image.START, 1)
        new = mask_sequence.sequence_image(
            written.files, name=old.name, folder=Path(picture.folder), start_frame=int(start)
        )
    else:
        new = image.float_image(old.name, written.files[0], picture.folder or None)
    return old, new


def _take_place(old: Any, new: Any) -> None:
    """Give a new image the name, the marks and the users of an old one."""
    for key in old.keys():  # noqa: SIM118
        if key not in new:
            new[key] = old[key]
    new.use_fake_user = old.use_fake_user
    name = old.name

    def restore() -> None:
        new.user_remap(old)
        old.name = name

    on_failure(restore)
    old.user_remap(new)
    users: Any = bpy.data.user_map
    for user in users(subset=[new])[new]:
        user.update_tag()  # a texture goes on showing the old one otherwise
    old.name = f"{name}.before"
    new.name = name


def _move_markers(work: CalibrateWork, scene: Any, motion: Matrix) -> None:
    """Take what marks the measured points along, so that they can be measured again."""
    for name in work.markers:
        marker = bpy.data.objects.get(name)
        if marker is not None:
            marker.location = motion @ marker.location
    if work.cursor:
        scene.cursor.location = motion @ scene.cursor.location
    settings = scene.maquette.calibrate
    for name, place in zip(("point_a", "point_b"), work.points, strict=False):
        if (Vector(getattr(settings, name)) - Vector(place)).length < 1e-6:
            setattr(settings, name, motion @ Vector(place))
