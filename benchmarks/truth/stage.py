# SPDX-License-Identifier: GPL-3.0-or-later
"""The Blender side: places (street, park, yard, room, hall), lights, camera, materials, and Cycles.

World: metres, Z up, the ground is z = 0, a person of heading 0 looks along -Y. Everything is procedural; nothing in
the places is shaped like a person.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np
from mathutils import Matrix, Vector

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .dress import Piece

#: Room that rays of the camera see behind the people, metres.
DEPTH = 9.0


class Stage:
    """One picture's scene. `solids` are the meshes (vertices (V, 3) world, faces) that can hide a person."""

    def __init__(self, width: int, height: int, samples: int, seed: int, threads: int = 2) -> None:
        bpy.ops.wm.read_factory_settings(use_empty=True)
        self.random = np.random.default_rng(seed)
        self.solids: list[tuple[NDArray, NDArray]] = []
        self.scene = scene = bpy.context.scene
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

    def mesh(self, name: str, vertices: NDArray, faces: NDArray, material: bpy.types.Material) -> bpy.types.Object:
        """A mesh object from arrays (V, 3) world metres and (F, n)."""
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
        item = bpy.data.objects.new(name, mesh)
        self.scene.collection.objects.link(item)
        return item

    def person(self, pieces: list[Piece]) -> list[bpy.types.Object]:
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

    def sky(self, sun_height: float, sun_turn: float, strength: float = 0.28, disc: bool = True) -> None:
        """A clear sky; degrees."""
        world = bpy.data.worlds.new("sky")
        self.scene.world = world
        world.use_nodes = True
        nodes, links = world.node_tree.nodes, world.node_tree.links
        sky = nodes.new("ShaderNodeTexSky")
        sky.sky_type = "NISHITA"
        sky.sun_elevation = math.radians(sun_height)
        sky.sun_rotation = math.radians(sun_turn)
        sky.sun_disc = disc
        sky.sun_intensity = 0.4
        sky.sun_size = math.radians(1.5)
        nodes["Background"].inputs["Strength"].default_value = strength
        links.new(sky.outputs["Color"], nodes["Background"].inputs["Color"])

    def overcast(self, strength: float = 0.9, tint: tuple[float, float, float] = (0.85, 0.92, 1.0)) -> None:
        world = bpy.data.worlds.new("overcast")
        self.scene.world = world
        world.use_nodes = True
        background = world.node_tree.nodes["Background"]
        background.inputs["Color"].default_value = (*tint, 1)
        background.inputs["Strength"].default_value = strength

    def lamp(self, at: Any, towards: Any, watts: float, size: float, tint: Any = (1, 0.94, 0.86)) -> None:
        """A square area lamp."""
        light = bpy.data.lights.new("lamp", "AREA")
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

    # ---------------------------------------------------------------- places

    def build(self, place: str, sun: tuple[float, float] | None) -> None:
        """One of the five places; `sun` is (height, turn) in degrees, None for an overcast sky or lamps only."""
        builders = {
            "street": self._street,
            "park": self._park,
            "yard": self._yard,
            "room": self._room,
            "hall": self._hall,
        }
        builders[place](sun)

    def _outdoor_light(self, sun: tuple[float, float] | None) -> None:
        if sun is None:
            self.overcast()
        else:
            self.sky(*sun)

    def _street(self, sun: tuple[float, float] | None) -> None:
        self._outdoor_light(sun)
        self.ground(surface("asphalt", (0.10, 0.10, 0.105), "noise", scale=90))
        wall_y = DEPTH - 4.0
        self.box((0, wall_y - 1.0, 0.0), (60, 2.4, 0.10), surface("pavement", (0.34, 0.33, 0.31), "tiles", scale=1.6))
        tone = self.random.uniform(0.5, 1.0)
        wall = surface("bricks", (0.30 * tone, 0.13 * tone, 0.09 * tone), "bricks", scale=4)
        self.box((0, wall_y + 2.5, 5), (60, 5, 10), wall)
        glass = surface("glass", (0.05, 0.07, 0.09), "plain", roughness=0.08)
        frame = surface("frame", (0.7, 0.68, 0.62), "plain")
        for x in np.arange(-12, 13, 2.9) + self.random.uniform(-0.8, 0.8):
            for z in (1.9, 4.9):
                self.box((x, wall_y, z), (1.35, 0.10, 1.75), frame)
                self.box((x, wall_y - 0.04, z), (1.15, 0.08, 1.55), glass)
        self._car(self.random.uniform(3.2, 4.5) * self.random.choice([-1, 1]), wall_y - 3.4)
        self.box((self.random.uniform(-2.6, -1.8), wall_y - 0.7, 0.45), (0.5, 0.5, 0.9), surface("bin", (0.02, 0.10, 0.06), "plain"))

    def _car(self, x: float, y: float) -> None:
        paint = surface("paint", tuple(self.random.uniform(0.05, 0.6, 3)), "plain", roughness=0.25)
        dark = surface("tyre", (0.015, 0.015, 0.018), "plain", roughness=0.4)
        self.box((x, y, 0.62), (4.2, 1.7, 0.62), paint)
        self.box((x - 0.2, y, 1.16), (2.2, 1.5, 0.52), dark)
        for dx in (-1.3, 1.3):
            self.box((x + dx, y - 0.75, 0.31), (0.62, 0.25, 0.62), dark)

    def _park(self, sun: tuple[float, float] | None) -> None:
        self._outdoor_light(sun)
        self.ground(surface("grass", (0.09, 0.16, 0.035), "grass", scale=60))
        self.box((0, 6.2, 0.0), (60, 1.8, 0.02), surface("gravel", (0.42, 0.36, 0.27), "noise", scale=120))
        leaf = surface("hedge", (0.035, 0.10, 0.025), "grass", scale=35)
        for x in np.arange(-16, 17, 3.1):
            height = self.random.uniform(1.6, 3.2)
            self.box((x + self.random.uniform(-0.6, 0.6), 9.5 + self.random.uniform(0, 2), height / 2), (3.6, 1.4, height), leaf)
        wood = surface("wood", (0.22, 0.12, 0.06), "planks", scale=6)
        x = self.random.uniform(1.8, 3.0) * self.random.choice([-1, 1])
        self.box((x, 4.6, 0.45), (1.7, 0.45, 0.06), wood)
        self.box((x, 4.8, 0.72), (1.7, 0.05, 0.40), wood)
        for dx in (-0.7, 0.7):
            self.box((x + dx, 4.6, 0.21), (0.07, 0.4, 0.42), wood)

    def _yard(self, sun: tuple[float, float] | None) -> None:
        self._outdoor_light(sun)
        self.ground(surface("concrete", (0.36, 0.35, 0.33), "tiles", scale=0.8))
        self.box((0, 5.2, 1.3), (40, 0.2, 2.6), surface("plaster", (0.62, 0.52, 0.38), "noise", scale=6))
        metal = surface("shutter", (0.18, 0.24, 0.28), "planks", scale=7)
        self.box((self.random.uniform(-2, 2), 5.05, 1.1), (2.4, 0.1, 2.2), metal)
        crate = surface("crate", (0.36, 0.22, 0.10), "planks", scale=5)
        side = self.random.choice([-1, 1])
        self.box((side * 2.4, 4.2, 0.35), (0.8, 0.7, 0.7), crate, turn=14)
        self.box((side * 3.1, 4.5, 0.30), (0.6, 0.6, 0.6), crate, turn=-20)
        self.box((side * 2.5, 4.25, 0.90), (0.5, 0.5, 0.4), crate, turn=30)

    def _shell(self, half: float, depth: float, height: float, wall: Any, floor: Any) -> None:
        """Three walls and a ceiling; the side behind the camera stays open for light."""
        self.ground(floor, 12)
        self.box((0, depth + 0.1, height / 2), (2 * half, 0.2, height), wall, solid=False)
        for side in (-1, 1):
            self.box((side * half, depth - 7, height / 2), (0.2, 14, height), wall, solid=False)
        self.box((0, depth - 7, height + 0.1), (2 * half, 14, 0.2), surface("ceiling", (0.8, 0.8, 0.78), "plain"), solid=False)

    def _room(self, sun: tuple[float, float] | None) -> None:
        self.overcast(0.5, (1.0, 0.97, 0.92))
        tint = self.random.uniform([0.55, 0.5, 0.42], [0.75, 0.72, 0.68])
        self._shell(3.6, 3.4, 2.7, surface("wall", tuple(tint), "noise", scale=3), surface("floor", (0.34, 0.19, 0.09), "planks", scale=4))
        self.lamp((-1.2, -1.2, 2.6), (0, 0.6, 0.8), 120, 1.4)
        self.lamp((1.6, 1.2, 2.6), (0, 0.6, 0.6), 60, 1.0)
        oak = surface("oak", (0.42, 0.26, 0.13), "planks", scale=8)
        side = self.random.choice([-1, 1])
        self.box((side * 2.5, 3.1, 1.0), (1.2, 0.4, 2.0), oak)
        for z in (0.35, 0.85, 1.35):
            self.box((side * 2.5, 2.9, z), (1.0, 0.05, 0.38), surface("shelf", (0.10, 0.07, 0.05), "plain"))
            for k in range(7):
                book = surface("book", tuple(self.random.uniform(0.03, 0.5, 3)), "plain")
                self.box((side * 2.5 - 0.42 + 0.12 * k, 2.88, z - 0.04), (0.06, 0.06, self.random.uniform(0.2, 0.3)), book, solid=False)
        self.box((-side * 1.9, 3.0, 0.38), (1.8, 0.7, 0.36), surface("sofa", (0.12, 0.17, 0.20), "noise", scale=80))
        self.box((-side * 1.9, 3.25, 0.70), (1.8, 0.2, 0.5), surface("sofa", (0.12, 0.17, 0.20), "noise", scale=80))
        picture = surface("picture", tuple(self.random.uniform(0.1, 0.5, 3)), "noise", scale=4)
        self.box((-side * 1.7, 3.38, 1.6), (1.1, 0.04, 0.7), surface("frame", (0.03, 0.03, 0.03), "plain"), solid=False)
        self.box((-side * 1.7, 3.36, 1.6), (1.0, 0.04, 0.6), picture, solid=False)
        self.box((0.1, 0.6, 0.004), (2.6, 1.8, 0.008), surface("rug", (0.30, 0.08, 0.07), "checks", scale=9), solid=False)

    def _hall(self, sun: tuple[float, float] | None) -> None:
        self.overcast(0.6, (0.95, 0.97, 1.0))
        self._shell(6, 6.5, 4.5, surface("wall", (0.60, 0.62, 0.64), "bricks", scale=2.2), surface("floor", (0.45, 0.30, 0.16), "planks", scale=2))
        for x in (-2.5, 2.5):
            self.lamp((x, 0.0, 4.3), (x * 0.6, 1.0, 0), 260, 1.6, (1, 0.98, 0.95))
        self.box((0, 6.35, 1.3), (12, 0.06, 0.18), surface("stripe", (0.05, 0.14, 0.40), "plain"), solid=False)
        mat = surface("mat", (0.06, 0.16, 0.42), "noise", scale=40)
        self.box((self.random.uniform(-3, 3), 5.2, 0.25), (2.2, 1.1, 0.5), mat)
        self.box((self.random.choice([-1, 1]) * 4.2, 5.8, 0.55), (1.6, 0.5, 1.1), surface("crate", (0.5, 0.36, 0.2), "planks", scale=6))


def surface(
    name: str, colour: Any, pattern: str, *, scale: float = 10.0, roughness: float = 0.75
) -> bpy.types.Material:
    """A material for the place: `colour` broken up by a pattern of the size 1 / `scale` metres."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader = nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = roughness
    dark = tuple(0.55 * channel for channel in colour)
    light = tuple(min(1.0, 1.25 * channel) for channel in colour)
    if pattern == "plain":
        shader.inputs["Base Color"].default_value = (*colour, 1)
        return material
    place = nodes.new("ShaderNodeTexCoord")
    mapping = nodes.new("ShaderNodeMapping")
    links.new(place.outputs["Object"], mapping.inputs["Vector"])
    if pattern in ("bricks", "tiles", "planks"):
        texture = nodes.new("ShaderNodeTexBrick")
        texture.inputs["Color1"].default_value = (*colour, 1)
        texture.inputs["Color2"].default_value = (*(0.8 * c for c in light), 1)
        texture.inputs["Mortar"].default_value = (*dark, 1)
        texture.inputs["Scale"].default_value = scale
        texture.inputs["Mortar Size"].default_value = {"bricks": 0.02, "tiles": 0.012, "planks": 0.008}[pattern]
        if pattern != "bricks":
            texture.offset = 0.0 if pattern == "tiles" else 0.37
            texture.inputs["Brick Width"].default_value = 1.0 if pattern == "tiles" else 3.0
            texture.inputs["Row Height"].default_value = 1.0 if pattern == "tiles" else 0.5
        if name in ("bricks", "wall", "shutter", "crate", "oak"):
            mapping.inputs["Rotation"].default_value = (math.radians(90), 0, 0)  # bricks run along x and z
        output = texture.outputs["Color"]
    elif pattern == "checks":
        texture = nodes.new("ShaderNodeTexChecker")
        texture.inputs["Color1"].default_value = (*light, 1)
        texture.inputs["Color2"].default_value = (*dark, 1)
        texture.inputs["Scale"].default_value = scale
        output = texture.outputs["Color"]
    else:
        texture = nodes.new("ShaderNodeTexNoise")
        texture.inputs["Scale"].default_value = scale if pattern == "noise" else scale * 0.5
        texture.inputs["Detail"].default_value = 6.0
        ramp = nodes.new("ShaderNodeValToRGB")
        ramp.color_ramp.elements[0].position, ramp.color_ramp.elements[1].position = 0.3, 0.7
        ramp.color_ramp.elements[0].color = (*dark, 1)
        ramp.color_ramp.elements[1].color = (*light, 1)
        links.new(texture.outputs["Fac"], ramp.inputs["Fac"])
        output = ramp.outputs["Color"]
    links.new(mapping.outputs["Vector"], texture.inputs["Vector"])
    links.new(output, shader.inputs["Base Color"])
    return material


def cloth_material(cloth: str) -> bpy.types.Material:
    """A material that takes its colour from the mesh's `colour` attribute; made once a scene."""
    known = bpy.data.materials.get(f"cloth {cloth}")
    if known is not None:
        return known
    material = bpy.data.materials.new(f"cloth {cloth}")
    material.use_nodes = True
    nodes, links = material.node_tree.nodes, material.node_tree.links
    shader = nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = {"skin": 0.5, "leather": 0.35, "hair": 0.55}.get(cloth, 0.85)
    colour = nodes.new("ShaderNodeAttribute")
    colour.attribute_name = "colour"
    place = nodes.new("ShaderNodeAttribute")
    place.attribute_name = "rest"
    if cloth == "stripes":
        texture = nodes.new("ShaderNodeTexWave")
        texture.bands_direction = "Y"
        texture.inputs["Scale"].default_value = 7.0
        texture.inputs["Distortion"].default_value = 0.6
    elif cloth == "checks":
        texture = nodes.new("ShaderNodeTexChecker")
        texture.inputs["Scale"].default_value = 22.0
    else:
        texture = nodes.new("ShaderNodeTexNoise")
        texture.inputs["Scale"].default_value = {"skin": 30.0, "hair": 140.0, "denim": 60.0}.get(cloth, 9.0)
        texture.inputs["Detail"].default_value = 5.0
    links.new(place.outputs["Vector"], texture.inputs["Vector"])
    low = {"stripes": 0.25, "checks": 0.4, "skin": 0.85, "hair": 0.5, "denim": 0.6}.get(cloth, 0.75)
    spread = nodes.new("ShaderNodeMapRange")
    spread.inputs["To Min"].default_value = low
    spread.inputs["To Max"].default_value = 1.12
    links.new(texture.outputs["Fac"], spread.inputs["Value"])
    mix = nodes.new("ShaderNodeVectorMath")
    mix.operation = "SCALE"
    links.new(colour.outputs["Color"], mix.inputs[0])
    links.new(spread.outputs["Result"], mix.inputs["Scale"])
    links.new(mix.outputs["Vector"], shader.inputs["Base Color"])
    if cloth not in ("skin", "leather"):
        bump = nodes.new("ShaderNodeBump")
        folds = nodes.new("ShaderNodeTexNoise")
        folds.inputs["Scale"].default_value = 90.0 if cloth == "hair" else 11.0
        folds.inputs["Detail"].default_value = 3.0
        links.new(place.outputs["Vector"], folds.inputs["Vector"])
        bump.inputs["Strength"].default_value = 0.35
        bump.inputs["Distance"].default_value = 0.02
        links.new(folds.outputs["Fac"], bump.inputs["Height"])
        links.new(bump.outputs["Normal"], shader.inputs["Normal"])
    return material
