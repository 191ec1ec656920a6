# SPDX-License-Identifier: GPL-3.0-or-later
"""What a closing line says of the lens: which one was used, and where the scene does not fit it."""

from __future__ import annotations

from typing import Any

from bpy.types import Object, Scene

from ....inference.camera import Camera
from ...builders.camera import matched as camera

#: A part of the focal length, or of the shape of a pixel, that nobody sees.
_UNSEEN = 2e-3

Render = tuple[int, int, float, float]


def render_of(scene: Scene) -> Render:
    """What a render of the scene looks like: pixels in x and y, and the pixels' shape."""
    render: Any = scene.render
    share = render.resolution_percentage / 100
    return (
        round(render.resolution_x * share),
        round(render.resolution_y * share),
        render.pixel_aspect_x,
        render.pixel_aspect_y,
    )


def other_shape(matched: Object, scene: Scene) -> bool:
    """Whether a render of the scene has not the shape of the matched camera's photo."""
    known = camera.known_intrinsics(matched)
    if known is None:
        return False
    width, height, aspect_x, aspect_y = render_of(scene)
    return abs(width * aspect_x / (height * aspect_y) / (known.width / known.height * known.fy / known.fx) - 1) > 0.01


def remarks(used_camera: Camera, matched: Object | None, scene: Scene, before: Render) -> list[str]:
    """Sentences for the closing line: the lens, and what of the render was changed or should be.

    matched : the photo's camera in the scene, if it has one.  before : `render_of` the scene before the job.
    """
    remedy = "; choose a camera or type the focal length" if used_camera.source == "default" else ""
    said = [f"Lens: {used_camera.lens}{remedy}"]
    units: Any = scene.unit_settings
    if units.system != "NONE" and abs(units.scale_length - 1) > _UNSEEN:
        said.append(f"A metre is one unit long, which the scene's Unit Scale shows as {units.scale_length:.4g} m")
    if matched is None:
        return said
    own = camera.intrinsics_of(matched, used_camera.width, used_camera.height, scene)
    if max(abs(own.fx / used_camera.fx - 1), abs(own.fy / used_camera.fy - 1)) > _UNSEEN:
        said.append(f"{matched.name} keeps its own lens, through which this does not match the photo")
    width, height, aspect_x, aspect_y = now = render_of(scene)
    if now != before:
        shape = "" if aspect_x == aspect_y else f", pixels {aspect_x:.3g} to {aspect_y:.3g}"
        said.append(f"The render is {width} x {height} now{shape}")
    elif abs(own.fy / own.fx * aspect_y / aspect_x - 1) > _UNSEEN:
        said.append("The photo's pixel aspect differs from the render's; turn on Match Render Size")
    elif other_shape(matched, scene):
        said.append(f"Set the render to {used_camera.width} x {used_camera.height} for the photo's own frame")
    return said
