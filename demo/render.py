# SPDX-License-Identifier: GPL-3.0-or-later
"""Small Cycles renders of the demo's scenes, as arrays, and frames into a movie."""

from __future__ import annotations

import math
from collections.abc import Iterable
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


def light_scene(scene: Scene, toward: Vector) -> None:
    """A soft sky, and a sun that shines from behind the photo's camera (which looks `toward`)."""
    world = bpy.data.worlds.new(f"{scene.name}.sky")
    world.use_nodes = True
    world.node_tree.nodes["Background"].inputs["Color"].default_value = (0.75, 0.82, 0.9, 1)  # type: ignore[union-attr]
    world.node_tree.nodes["Background"].inputs["Strength"].default_value = 0.6  # type: ignore[union-attr]
    scene.world = world
    sun = bpy.data.lights.new(f"{scene.name}.sun", "SUN")
    sun.energy, sun.angle = 3.0, math.radians(8)  # type: ignore[attr-defined]
    lamp = bpy.data.objects.new(sun.name, sun)
    flat = Vector((toward.x, toward.y, 0)).normalized()
    lamp.rotation_mode = "QUATERNION"
    lamp.rotation_quaternion = (flat + Vector((flat.y, -flat.x, 0)) * 0.7 + Vector((0, 0, -1.1))).to_track_quat(
        "-Z", "Y"
    )
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
    checker.inputs["Color1"].default_value = (0.42, 0.42, 0.44, 1)  # type: ignore[union-attr]
    checker.inputs["Color2"].default_value = (0.5, 0.5, 0.52, 1)  # type: ignore[union-attr]
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
    samples: int = 16,
    denoise: bool = True,
    transparent: bool = False,
) -> NDArray[np.uint8]:
    """The scene through the camera: (height, width, 4) uint8 sRGB, alpha not premultiplied.

    denoise : starting the denoiser costs two seconds a picture, more than all the samples of a small frame.
    """
    settings: Any = scene.render
    settings.engine = "CYCLES"
    settings.resolution_x, settings.resolution_y, settings.resolution_percentage = width, height, 100
    settings.film_transparent = transparent
    settings.use_persistent_data = True
    settings.image_settings.file_format = "PNG"
    settings.image_settings.color_mode = "RGBA"
    cycles: Any = scene.cycles  # type: ignore[attr-defined]
    cycles.device, cycles.samples, cycles.use_denoising, cycles.max_bounces = "CPU", samples, denoise, 4
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
    """Frames (H, W, 3) uint8 with even sides -> H.264 in MP4, encoded by Blender's own FFmpeg."""
    scene = bpy.data.scenes.new("movie")
    with TemporaryDirectory() as folder:
        names = []
        for index, frame in enumerate(frames):
            names.append(f"{index:04d}.png")
            Image.fromarray(frame).save(Path(folder) / names[-1])
            scene.render.resolution_y, scene.render.resolution_x = frame.shape[:2]
        editor: Any = scene.sequence_editor_create()
        strips = editor.strips if hasattr(editor, "strips") else editor.sequences
        strip = strips.new_image("frames", str(Path(folder) / names[0]), channel=1, frame_start=1)
        for name in names[1:]:
            strip.elements.append(name)
        scene.frame_start, scene.frame_end = 1, len(names)
        _standard_view(scene)
        _encode(scene, path, fps)
    bpy.data.scenes.remove(scene)


def _standard_view(scene: Scene) -> None:
    """Colours as they are: the pictures stand beside the photo."""
    settings: Any = scene.view_settings
    settings.view_transform = "Standard"


def _encode(scene: Scene, path: Path, fps: float) -> None:
    settings: Any = scene.render
    settings.resolution_percentage = 100
    settings.fps = round(fps)
    settings.fps_base = round(fps) / fps
    if hasattr(settings.image_settings, "media_type"):  # Blender 5
        settings.image_settings.media_type = "VIDEO"
    settings.image_settings.file_format = "FFMPEG"
    settings.ffmpeg.format, settings.ffmpeg.codec = "MPEG4", "H264"
    settings.ffmpeg.constant_rate_factor = "HIGH"
    settings.filepath = str(path)
    bpy.ops.render.render(animation=True, scene=scene.name)
