# SPDX-License-Identifier: GPL-3.0-or-later
"""The Blender side: meshes, lights, camera, Cycles and the movie encoder. The places to stand in are in `places`.

World: metres, Z up, the ground is z = 0, a person of heading 0 looks along -Y.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np
from mathutils import Matrix, Vector

from .materials import cloth_material

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .dress import Piece


class Stage:
    """One picture's scene. `solids` are the meshes (vertices (V, 3) world, faces) that can hide a person."""

    def __init__(self, width: int, height: int, samples: int, seed: int, threads: int = 2) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.random = np.random.default_rng(seed)
        self.solids: list[tuple[NDArray, NDArray]] = []
        self.scene: Any = bpy.context.scene
        scene = self.scene
        scene.render.engine = "CYCLES"
        scene.cycles.device = "CPU"
        scene.cycles.samples = samples
        scene.cycles.use_denoising = True
        scene.cycles.denoiser = "OPENIMAGEDENOISE"
        scene.cycles.max_bounces = 4
        scene.cycles.diffuse_bounces = 2
        scene.cycles.seed = seed
        scene.render.threads_mode = "FIXED"
        scene.render.threads = threads
        scene.render.resolution_x, scene.render.resolution_y = width, height
        scene.render.use_persistent_data = True
        scene.render.image_settings.file_format = "PNG"
        scene.view_settings.view_transform = "AgX"

    # ---------------------------------------------------------------- meshes

    def mesh(self, name: str, vertices: NDArray, faces: NDArray, material: bpy.types.Material) -> Any:
        """A mesh object (`bpy.types.Object`) from arrays (V, 3) world metres and (F, n)."""
        mesh = bpy.data.meshes.new(name)
        size = faces.shape[1]
        mesh.vertices.add(len(vertices))
        mesh.vertices.foreach_set("co", np.asarray(vertices, np.float32).ravel())
        mesh.loops.add(faces.size)
        mesh.loops.foreach_set("vertex_index", np.asarray(faces, np.int32).ravel())
        mesh.polygons.add(len(faces))
        mesh.polygons.foreach_set("loop_start", np.arange(0, faces.size, size, dtype=np.int32))
        mesh.update(calc_edges=True)
        mesh.materials.append(material)
        mesh.shade_flat()
        item = bpy.data.objects.new(name, mesh)
        self.scene.collection.objects.link(item)
        return item

    def person(self, pieces: list[Piece]) -> list[Any]:
        """The pieces of one dressed person, vertices in the world."""
        items = []
        for piece in pieces:
            item = self.mesh(piece.name, piece.vertices, piece.faces, cloth_material(piece.cloth))
            item.data.shade_smooth()
            colours = np.ones((len(piece.vertices), 4), np.float32)
            colours[:, :3] = piece.colours
            attribute = item.data.attributes.new("colour", "FLOAT_COLOR", "POINT")
            attribute.data.foreach_set("color", colours.ravel())
            rest = item.data.attributes.new("rest", "FLOAT_VECTOR", "POINT")
            rest.data.foreach_set("vector", np.asarray(piece.rest, np.float32).ravel())
            items.append(item)
        return items

    def move_person(self, items: list[Any], pieces: list[Piece]) -> None:
        """Give the objects that `person` made the vertices of another moment."""
        for item, piece in zip(items, pieces, strict=True):
            item.data.vertices.foreach_set("co", np.asarray(piece.vertices, np.float32).ravel())
            item.data.update()

    def box(self, centre: Any, size: Any, material: bpy.types.Material, turn: float = 0.0, solid: bool = True) -> None:
        """A box; `centre` (x, y, z), `size` (x, y, z) metres, `turn` degrees about Z."""
        corners = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)]) * size
        angle = math.radians(turn)
        spin = np.array([[math.cos(angle), -math.sin(angle), 0], [math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
        corners = corners @ spin.T + centre
        faces = np.array([[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]])
        self.mesh("box", corners, faces, material)
        if solid:
            self.solids.append((corners, np.concatenate([faces[:, [0, 1, 2]], faces[:, [0, 2, 3]]])))

    def ground(self, material: bpy.types.Material, extent: float = 60.0) -> None:
        corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * extent
        self.mesh("ground", corners, np.array([[0, 1, 2, 3]]), material)

    # ---------------------------------------------------------------- light and camera

    def sky(self, sun_height: float, sun_turn: float, strength: float = 0.2, disc: bool = True) -> None:
        """A clear sky; degrees."""
        world = bpy.data.worlds.new("sky")
        self.scene.world = world
        world.use_nodes = True
        tree: Any = world.node_tree
        nodes, links = tree.nodes, tree.links
        sky = nodes.new("ShaderNodeTexSky")
        sky.sky_type = "NISHITA"
        sky.sun_elevation = math.radians(sun_height)
        sky.sun_rotation = math.radians(sun_turn)
        sky.sun_disc = disc
        sky.sun_intensity = 0.4
        sky.sun_size = math.radians(1.5)
        nodes["Background"].inputs["Strength"].default_value = strength
        links.new(sky.outputs["Color"], nodes["Background"].inputs["Color"])

    def overcast(self, strength: float = 1.9, tint: tuple[float, float, float] = (0.85, 0.92, 1.0)) -> None:
        world = bpy.data.worlds.new("overcast")
        self.scene.world = world
        world.use_nodes = True
        tree: Any = world.node_tree
        background = tree.nodes["Background"]
        background.inputs["Color"].default_value = (*tint, 1)
        background.inputs["Strength"].default_value = strength

    def lamp(self, at: Any, towards: Any, watts: float, size: float, tint: Any = (1, 0.94, 0.86)) -> None:
        """A square area lamp."""
        light: Any = bpy.data.lights.new("lamp", "AREA")
        light.energy, light.size, light.color = watts, size, tint
        item = bpy.data.objects.new("lamp", light)
        item.location = at
        item.rotation_euler = (Vector(towards) - Vector(at)).to_track_quat("-Z", "Y").to_euler()
        self.scene.collection.objects.link(item)

    def camera(self, at: Any, look: Any, focal: float) -> NDArray[np.float64]:
        """A camera of `focal` pixels; returns world -> camera (4, 4), OpenCV axes."""
        data = bpy.data.cameras.new("camera")
        data.sensor_fit = "HORIZONTAL"
        data.sensor_width = 36.0
        data.lens = focal / self.scene.render.resolution_x * data.sensor_width
        item = bpy.data.objects.new("camera", data)
        turn = (Vector(look) - Vector(at)).to_track_quat("-Z", "Y").to_matrix().to_4x4()
        item.matrix_world = Matrix.Translation(Vector(at)) @ turn
        self.scene.collection.objects.link(item)
        self.scene.camera = item
        to_opencv = np.diag([1.0, -1.0, -1.0, 1.0])
        return to_opencv @ np.linalg.inv(np.array(Matrix.Translation(Vector(at)) @ turn))

    def render(self, path: Path) -> None:
        self.scene.render.filepath = str(path)
        bpy.ops.render.render(write_still=True)

    def depth(self, path: Path) -> NDArray[np.float32]:
        """Metres along the view (H, W) through the middles of the pixels, by Cycles; `path` is a file for it."""
        import OpenEXR

        scene, layer = self.scene, self.scene.view_layers[0]
        layer.use_pass_z, scene.render.image_settings.file_format = True, "OPEN_EXR_MULTILAYER"
        scene.render.image_settings.color_depth = "32"
        scene.cycles.samples, scene.cycles.filter_width, scene.cycles.use_denoising = 1, 0.01, False
        self.render(path)
        channels = OpenEXR.File(str(path), separate_channels=True).channels()
        return next(np.array(one.pixels, np.float32) for name, one in channels.items() if name.endswith("Depth.Z"))

    def encode(self, frames: list[Path], movie: Path, fps: int, gamma: float = 1.0) -> None:
        """Pictures of equal size -> an H.264 movie, through Blender's own sequencer; `gamma` below 1 darkens."""
        scene: Any = bpy.data.scenes.new("encode")
        render = scene.render
        render.resolution_x, render.resolution_y = self.scene.render.resolution_x, self.scene.render.resolution_y
        render.fps, render.filepath = fps, str(movie)
        scene.view_settings.view_transform = "Standard"
        scene.view_settings.gamma = gamma
        strips = scene.sequence_editor_create().sequences
        strip = strips.new_image("frames", str(frames[0]), 1, 1)
        for frame in frames[1:]:
            strip.elements.append(frame.name)
        strip.frame_final_duration = len(frames)
        scene.frame_start, scene.frame_end = 1, len(frames)
        render.image_settings.file_format = "FFMPEG"
        render.ffmpeg.format, render.ffmpeg.codec = "MPEG4", "H264"
        render.ffmpeg.constant_rate_factor = "HIGH"
        render.ffmpeg.gopsize = fps
        with bpy.context.temp_override(scene=scene):
            bpy.ops.render.render(animation=True, scene=scene.name)
