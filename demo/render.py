# SPDX-License-Identifier: GPL-3.0-or-later
"""Small Cycles renders of the demo's scenes, as arrays, and frames into a movie."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np
from mathutils import Vector
from PIL import Image

if TYPE_CHECKING:
    from bpy.types import Object, Scene
    from numpy.typing import NDArray


#: Linear light of the sky, and of the sun; its angular diameter.
SKY, SUN, SUN_ANGLE = (0.45, 0.492, 0.54), 3.0, math.radians(8)
#: Colours of the floor.
CHECKS = (0.42, 0.42, 0.44), (0.5, 0.5, 0.52)


def sunlight(toward: Vector) -> Vector:
    """In which direction the sun shines: from behind a camera that looks `toward`, and from its side."""
    flat = Vector((toward.x, toward.y, 0)).normalized()
    return (flat + Vector((flat.y, -flat.x, 0)) * 0.7 + Vector((0, 0, -1.1))).normalized()


def light_scene(scene: Scene, toward: Vector) -> None:
    """A soft sky and a sun for a camera that looks `toward`."""
    world = bpy.data.worlds.new(f"{scene.name}.sky")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (*SKY, 1)  # type: ignore[union-attr]
    scene.world = world
    sun = bpy.data.lights.new(f"{scene.name}.sun", "SUN")
    sun.energy, sun.angle = SUN, SUN_ANGLE  # type: ignore[attr-defined]
    lamp = bpy.data.objects.new(sun.name, sun)
    lamp.rotation_mode = "QUATERNION"
    lamp.rotation_quaternion = sunlight(toward).to_track_quat("-Z", "Y")
    scene.collection.objects.link(lamp)


def add_camera(scene: Scene, name: str, place: Vector, target: Vector, lens: float = 50.0) -> Object:
    """A camera at `place` that looks at `target`."""
    data = bpy.data.cameras.new(name)
    data.lens = lens
    camera = bpy.data.objects.new(name, data)
    camera.location = place
    camera.rotation_mode = "QUATERNION"
    camera.rotation_quaternion = (target - place).to_track_quat("-Z", "Y")
    scene.collection.objects.link(camera)
    return camera


def add_floor(scene: Scene) -> Object:
    """A large plane on the ground that the recovered feet stand on."""
    mesh = bpy.data.meshes.new("floor")
    mesh.from_pydata([(-20, -20, 0), (20, -20, 0), (20, 30, 0), (-20, 30, 0)], [], [(0, 1, 2, 3)])
    floor = bpy.data.objects.new("floor", mesh)
    scene.collection.objects.link(floor)
    material = bpy.data.materials.new("floor")
    material.use_nodes = True
    tree = material.node_tree
    assert tree is not None
    checker = tree.nodes.new("ShaderNodeTexChecker")
    checker.inputs["Scale"].default_value = 1.0  # type: ignore[union-attr]  # metres, in object coordinates
    for name, colour in zip(("Color1", "Color2"), CHECKS, strict=True):
        checker.inputs[name].default_value = (*colour, 1)  # type: ignore[union-attr]
    coordinates = tree.nodes.new("ShaderNodeTexCoord")
    tree.links.new(coordinates.outputs["Object"], checker.inputs["Vector"])
    tree.links.new(checker.outputs["Color"], tree.nodes["Principled BSDF"].inputs["Base Color"])
    mesh.materials.append(material)
    return floor


def render(
    scene: Scene,
    camera: Object,
    width: int,
    height: int,
    *,
    transparent: bool = False,
) -> NDArray[np.uint8]:
    """The scene through the camera: (height, width, 4) uint8 sRGB, alpha not premultiplied."""
    settings: Any = scene.render
    settings.engine = "CYCLES"
    settings.resolution_x, settings.resolution_y, settings.resolution_percentage = width, height, 100
    settings.film_transparent = transparent
    settings.use_persistent_data = True
    settings.image_settings.file_format = "PNG"
    settings.image_settings.color_mode = "RGBA"
    cycles: Any = scene.cycles  # type: ignore[attr-defined]
    cycles.device, cycles.samples, cycles.use_denoising, cycles.max_bounces = "CPU", 16, True, 4
    # A third less time, and no difference that shows.
    cycles.denoising_prefilter, cycles.denoising_quality = "NONE", "FAST"
    _standard_view(scene)
    previous, scene.camera = scene.camera, camera
    with TemporaryDirectory() as folder:
        settings.filepath = str(Path(folder) / "picture.png")
        bpy.ops.render.render(write_still=True, scene=scene.name)
        with Image.open(settings.filepath) as picture:
            pixels = np.array(picture.convert("RGBA"))
    scene.camera, settings.filepath = previous, "//"
    return pixels


def write_movie(frames: Iterable[NDArray[np.uint8]], path: Path, fps: float) -> None:
    """Frames (H, W, 3) uint8 with even sides -> H.264 in MP4."""
    import av

    with av.open(str(path), "w") as movie:
        stream = movie.add_stream("libx264", Fraction(fps).limit_denominator(1001), options={"crf": "18"})
        stream.pix_fmt = "yuv420p"
        for number, frame in enumerate(frames):
            if number == 0:
                stream.height, stream.width = frame.shape[:2]
            movie.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        movie.mux(stream.encode())


def _standard_view(scene: Scene) -> None:
    """Colours as they are: the pictures stand beside the photo."""
    settings: Any = scene.view_settings
    settings.view_transform = "Standard"
