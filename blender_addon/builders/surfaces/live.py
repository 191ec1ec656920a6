# SPDX-License-Identifier: GPL-3.0-or-later
"""Live surfaces: Geometry Nodes that make a mesh from a depth image, and cut it, while the artist turns the knobs.

The object's own mesh is empty. The modifier makes a grid with one vertex a pixel (or fewer) and puts each on its line
of sight, by the rules of `inference.geometry.relief_grid`, so that it equals the relief mesh of the same depth. A
sequence is followed from frame to frame.
"""

from __future__ import annotations

import math
from typing import Any

import bpy
from bpy.types import Collection, Image, Object

from ....inference.camera import Camera
from ..camera import matched, scene
from ..images import image
from ..materials import materials
from ..materials.graph import Field, Graph

#: Point attribute of the mesh: metres along the view, or the height of a surface in metres.
DEPTH = "depth"
#: Name of the input that multiplies metres about the camera.
DEPTH_SCALE = "Depth Scale"
#: Vertices along the long side at most: the nodes count points in 32-bit floats, which are exact up to 4096 ** 2.
_FINEST = 4096


def live_relief(
    intrinsics: Camera,
    depth_image: Image,
    *,
    name: str,
    modifier: str = "",
    camera_object: Object | None = None,
    photo_image: Image | None = None,
    resolution: int | None = 1024,
    scale: float = 1.0,
    tear: float | None = 0.04,
    grazing: float = 85.0,
    max_distance: float = 0.0,
    specks: int = 0,
    parent: Collection | None = None,
) -> Object:
    """A mesh that shows the metric depth of an image (metres, 0 where there is none), or of each frame of a sequence.

    A child of `camera_object`, in its space, with UVs on the photo and its colours. All that follows stays adjustable
    in the modifier, and so does a smoothing along the lines of sight that keeps the tears. A sequence (see
    `mask_sequence.sequence_image`) shows its first and last frame before and after it.

    resolution : vertices along the long side, up to 4096; None for one a pixel.
    scale : multiplies the depths about the camera, so that the mesh still matches the photo.
    tear, grazing : as for the relief mesh; a tear of None leaves the mesh whole.
    max_distance : metres (after scaling) beyond which there is no surface; 0 for no limit.
    specks : pieces of fewer faces than this are left out.
    parent : collection of the object, by default the scene's own.
    """
    graph = Graph(name)
    surface = _Relief(graph, depth_image, resolution or max(intrinsics.width, intrinsics.height))
    surface.inputs(scale, tear, grazing, max_distance, specks)
    surface.lens(intrinsics)
    obj = _object(name, modifier or _modifier_name(depth_image), photo_image)
    surface.write(obj)
    matched.adopt(obj, camera_object)
    scene.link(obj, parent)
    return obj


def live_grid(
    intrinsics: Camera,
    height_image: Image,
    *,
    name: str,
    photo_image: Image | None = None,
    resolution: int | None = 1024,
    width: float = 2.0,
    strength: float = 0.1,
    parent: Collection | None = None,
) -> Object:
    """A flat grid `width` metres wide on the ground, lifted by the heights (without unit) of an image, or of each frame
    of a sequence, times `strength` metres. Faces that touch pixels without alpha are left out.

    Parameters as for `live_relief`.
    """
    graph = Graph(name)
    surface = _Heights(graph, height_image, resolution or max(intrinsics.width, intrinsics.height))
    surface.inputs(width, strength)
    obj = _object(name, _modifier_name(height_image), photo_image)
    surface.write(obj)
    scene.link(obj, parent)
    return obj


def _modifier_name(picture: Image) -> str:
    return "Follow the Clip" if picture.source == "SEQUENCE" else "Live Relief"


def _object(name: str, modifier: str, photo_image: Image | None) -> Object:
    """An object with an empty mesh, the photo's material and a modifier that `_Surface.write` fills."""
    mesh = bpy.data.meshes.new(name)
    obj = bpy.data.objects.new(name, mesh)
    if photo_image is not None:
        material = materials.photo_material(name, photo_image)
        mesh.materials.append(material)
        # A slot of the object, not of this mesh: what the modifier makes has none, and shows the object's.
        obj.material_slots[0].link = "OBJECT"
        obj.material_slots[0].material = material
    obj.modifiers.new(modifier, "NODES")
    return obj


class _Surface:
    """What relief and heights share: a grid of pixels, the image's values at them, and the finish."""

    def __init__(self, graph: Graph, picture: Image, resolution: int) -> None:
        self.graph = graph
        self.sequence = picture if picture.source == "SEQUENCE" else None
        self.image = graph.input("Depth", "Image", picture, "Depth image that the surface is made from")
        self.resolution = graph.input(
            "Resolution", "Int", min(resolution, _FINEST), "Vertices along the longer side", min_value=2,
            max_value=_FINEST,
        )  # fmt: skip

    def smoothing(self) -> None:
        self.smooth = self.graph.input(
            "Smooth", "Int", 0, "Smoothing iterations; torn edges stay sharp", min_value=0, max_value=1000
        )

    def grid(self) -> None:
        """One vertex a sample. `u`, `v` : place on the photo 0..1, v down.  `row`, `rows` : numbers."""
        graph, frame = self.graph, self._frame()
        with graph.stage("One vertex per sampled pixel"):
            info = graph.node("GeometryNodeImageInfo", self.image, frame)
            self.width, self.height = graph.out(info, "Width"), graph.out(info, "Height")
            share = (self.resolution / self.width.maximum(self.height)).minimum(1.0)
            columns = (self.width * share + 0.5).floor().maximum(2.0)
            self.rows = (self.height * share + 0.5).floor().maximum(2.0)
            made = graph.node("GeometryNodeMeshGrid", columns - 1.0, self.rows - 1.0, columns, self.rows)
            graph.flow = graph.out(made, "Mesh")
            x, y, _ = graph.xyz(graph.position())  # in steps of one around the middle: exact
            column = x + (columns - 1.0) * 0.5
            self.row = (self.rows - 1.0) * 0.5 - y
            u = ((((column + 0.5) * self.width) / columns).floor() + 0.5) / self.width
            v = ((((self.row + 0.5) * self.height) / self.rows).floor() + 0.5) / self.height
            self.uv, self.row = graph.captured(
                "POINT", uv=("VECTOR", graph.vector(u, 1.0 - v, 0.0)), row=("FLOAT", self.row)
            )
            self.frame = frame

    def sample(self) -> tuple[Field, Field]:
        """The image at each vertex's own pixel: its first channel and its alpha."""
        graph = self.graph
        texture = graph.node(
            "GeometryNodeImageTexture", self.image, self.uv, self.frame, interpolation="Closest", extension="EXTEND"
        )
        colour = graph.node("FunctionNodeSeparateColor", graph.out(texture, "Color"))
        return graph.out(colour, 0), graph.out(texture, "Alpha")

    def finish(self, obj: Object, depth: Field) -> None:
        graph = self.graph
        with graph.stage("Attributes for shaders"):
            graph.store(DEPTH, "POINT", "FLOAT", depth)
            graph.store("UVMap", "CORNER", "FLOAT2", self.uv)
            graph.flow = graph.out(graph.node("GeometryNodeSetShadeSmooth", graph.flow))
        modifier: Any = obj.modifiers[0]
        modifier.node_group = graph.finish()

    def _frame(self) -> Field | None:
        """The number of the picture of a sequence that belongs to the scene's frame; None for a still, which then is
        not computed again with every frame."""
        if self.sequence is None:
            return None
        start, length = int(self.sequence[image.START]), int(self.sequence[image.LENGTH])  # type: ignore[index]
        with self.graph.stage("Image of this frame"):
            now = self.graph.out(self.graph.node("GeometryNodeInputSceneTime"), "Frame")
            return now.maximum(float(start)).minimum(float(start + length - 1))


class _Heights(_Surface):
    def inputs(self, width: float, strength: float) -> None:
        graph = self.graph
        self.size = graph.input(
            "Width", "Float", width, "Width of the grid", subtype="DISTANCE", min_value=0.0, max_value=1e6
        )
        self.strength = graph.input(
            "Strength", "Float", strength, "Height of the highest point", subtype="DISTANCE", min_value=-1e6,
            max_value=1e6,
        )  # fmt: skip
        self.smoothing()

    def write(self, obj: Object) -> None:
        graph = self.graph
        self.grid()
        with graph.stage("Lift by height"):
            height, alpha = self.sample()
            x, y, _ = graph.xyz(self.uv)
            across = self.size * self.height / self.width
            x, y = (x - 0.5) * self.size, (y - 0.5) * across
            place, height, there = graph.captured(
                "POINT",
                place=("VECTOR", graph.vector(x, y, 0.0)),
                height=("FLOAT", height * self.strength),
                there=("BOOLEAN", alpha > 0.5),
            )
            graph.keep_faces(there)
        with graph.stage("Smooth"):
            height = graph.choose(self.smooth > 0.5, height, graph.blurred(height, self.smooth))
            graph.move_to(graph.vector_math("ADD", place, graph.vector(0.0, 0.0, height)))
        self.finish(obj, graph.xyz(graph.position())[2])


class _Relief(_Surface):
    def inputs(self, scale: float, tear: float | None, grazing: float, max_distance: float, specks: int) -> None:
        graph = self.graph
        self.scale = graph.input(
            DEPTH_SCALE, "Float", scale, "Scales depth about the camera, so that the surface still matches the photo",
            min_value=0.0, max_value=1e6,
        )  # fmt: skip
        self.limit = graph.input(
            "Max Distance", "Float", max_distance, "Leave out what is farther from the camera; 0 for no limit",
            subtype="DISTANCE", min_value=0.0, max_value=1e9,
        )  # fmt: skip
        self.torn = graph.input(
            "Tear Edges", "Bool", tear is not None, "Remove the faces that bridge objects and what is behind them"
        )
        self.tear = graph.input(
            "Tear", "Float", 0.04 if tear is None else tear,
            "Remove faces that span more depth than this fraction of their distance",
            subtype="FACTOR", min_value=0.0, max_value=1.0,
        )  # fmt: skip
        self.grazing = graph.input(
            "Grazing Angle", "Float", math.radians(grazing),
            "Remove faces seen at a steeper angle than this from their normal",
            subtype="ANGLE", min_value=0.0, max_value=math.pi / 2,
        )  # fmt: skip
        self.specks = graph.input(
            "Remove Specks", "Int", specks, "Remove loose pieces with fewer faces than this", min_value=0,
            max_value=1_000_000_000,
        )  # fmt: skip
        self.smoothing()

    def lens(self, intrinsics: Camera) -> None:
        """Focal lengths and principal point as shares of the picture's sides, whatever the size of the depth image."""
        graph, panel = self.graph, self.graph.panel("Lens")
        width, height = intrinsics.width, intrinsics.height
        about = "of the camera that took the photo, as a share of the picture's"
        self.focal = (
            graph.input("Focal X", "Float", intrinsics.fx / width, f"Focal length {about} width", panel=panel),
            graph.input("Focal Y", "Float", intrinsics.fy / height, f"Focal length {about} height", panel=panel),
        )
        self.centre = (
            graph.input("Centre X", "Float", intrinsics.cx / width, f"Optical axis {about} width", panel=panel),
            graph.input("Centre Y", "Float", intrinsics.cy / height, f"Optical axis {about} height, from the top",
                        panel=panel),
        )  # fmt: skip

    def write(self, obj: Object) -> None:
        graph = self.graph
        self.grid()
        self._depth()
        self._edges()
        with graph.stage("Place on the lines of sight"):
            graph.move_to(graph.scaled(self.ray, self.depth))
        self._cut()
        self._without_specks()
        self._smoothed()
        self.finish(obj, graph.xyz(graph.position())[2] * -1.0)

    def _depth(self) -> None:
        """Captures `ray`, a point's place at 1 m, and `depth`, metres, 0 where there is no surface."""
        graph = self.graph
        with graph.stage("Line of sight and depth"):
            u, v, _ = graph.xyz(self.uv)
            x = (u - self.centre[0]) / self.focal[0]
            y = (v - (1.0 - self.centre[1])) / self.focal[1]
            raw, _ = self.sample()
            depth = raw * self.scale
            beyond = (self.limit > 0.0) & (depth > self.limit)
            there = (raw > 1e-6) & (raw < 1e30) & ~beyond  # neither infinity nor NaN
            self.ray, self.depth = graph.captured(
                "POINT",
                ray=("VECTOR", graph.vector(x, y, -1.0)),
                depth=("FLOAT", graph.choose(there, 0.0, depth)),
            )

    def _edges(self) -> None:
        """Captures `connected`: whether an edge of the grid lies on one surface.

        The distances of its ends differ by less than the tear, or one end lies on the line through the other and the
        one behind it; 1/z is linear over the picture of a plane.
        """
        graph = self.graph
        with graph.stage("Points that bend the surface"):
            index = graph.out(graph.node("GeometryNodeInputIndex"))
            self.nearness = 1.0 / self.depth
            border = (self.row < 0.5) | (self.row > self.rows - 1.5)
            across = self._bends(index - self.rows, index + self.rows)
            down = self._bends(index - 1.0, index + 1.0) | border
            across, down = graph.captured("POINT", across=("BOOLEAN", across), down=("BOOLEAN", down))
        with graph.stage("Edges that lie on one surface"):
            ends = graph.node("GeometryNodeInputMeshEdgeVertices")
            first, second = graph.out(ends, "Vertex Index 1"), graph.out(ends, "Vertex Index 2")
            left, right = graph.at(first, self.nearness), graph.at(second, self.nearness)
            apart = left.maximum(right) > left.minimum(right) * (self.tear + 1.0)
            # On an edge, a truth of points holds where it holds for both ends.
            bends = graph.choose(abs(second - first) < 1.5, across, down, "BOOLEAN")
            (self.connected,) = graph.captured("EDGE", connected=("BOOLEAN", ~(apart & bends & self.torn)))

    def _bends(self, before: Field, after: Field) -> Field:
        """Whether a point does not lie on the line through its neighbours, or one of them is not there."""
        outer = [self.graph.at(index, self.nearness) for index in (before, after)]
        sag = abs(outer[0] + outer[1] - self.nearness * 2.0)
        return (sag > self.nearness * self.tear) | ~(outer[0].minimum(outer[1]) > 0.0)

    def _cut(self) -> None:
        graph = self.graph
        with graph.stage("Remove torn, grazing and empty faces"):
            middle = graph.vector_math("NORMALIZE", graph.on("FACE", self.ray, "FLOAT_VECTOR"))
            normal = graph.out(graph.node("GeometryNodeInputNormal"))
            facing = graph.node("ShaderNodeVectorMath", middle, normal, operation="DOT_PRODUCT")
            limit = graph.math("COSINE", self.grazing)
            frontal = ~(abs(graph.out(facing, "Value")) < limit)
            there = graph.on("POINT", self.depth > 0.0, "BOOLEAN")
            graph.keep_faces(there & self.connected & frontal)

    def _without_specks(self) -> None:
        graph, whole = self.graph, self.graph.flow
        with graph.stage("Remove specks"):
            island = graph.out(graph.node("GeometryNodeInputMeshIsland"), "Island Index")
            count = graph.node("GeometryNodeAccumulateField", 1, island, data_type="INT", domain="FACE")
            graph.keep_faces(~(graph.out(count, "Total") < self.specks))
            graph.flow = graph.choose(self.specks > 1.0, whole, graph.flow, "GEOMETRY")

    def _smoothed(self) -> None:
        """Blurs 1/z, which keeps planes plane; the points move along their lines of sight alone."""
        graph, rough = self.graph, self.graph.flow
        with graph.stage("Smooth"):
            place = graph.position()
            nearness = -1.0 / graph.xyz(place)[2]
            graph.move_to(graph.scaled(place, nearness / graph.blurred(nearness, self.smooth)))
            graph.flow = graph.choose(self.smooth > 0.5, rough, graph.flow, "GEOMETRY")
