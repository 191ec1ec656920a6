# SPDX-License-Identifier: GPL-3.0-or-later
"""A relief that follows a clip: a grid of rays that Geometry Nodes push to the depths of an image sequence."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bpy
import numpy as np
from mathutils import Matrix

from ...inference.errors import BadInput
from ...inference.mesh.surface import Samples
from . import axes, camera, image, materials, meshes, scene

if TYPE_CHECKING:
    from bpy.types import Collection, Image, Object
    from numpy.typing import NDArray

    from ...inference.camera import Camera

#: Point attribute of the moving mesh: metres along the view, or the height of a surface.
DEPTH = "depth"


def moving_relief(
    intrinsics: Camera,
    sequence: Image,
    *,
    name: str,
    camera_object: Object | None = None,
    clip_image: Image | None = None,
    resolution: int | None = 512,
    tear: float | None = 0.04,
    grazing: float = 85.0,
    scale: float = 1.0,
    parent: Collection | None = None,
) -> Object:
    """A mesh that shows at every frame of the scene the metric depth (metres) of that frame of a sequence.

    sequence : image sequence of depths, numbered by the scene's frames (see `mask_sequence.sequence_image`); before it
        and after it the first and last frame stay.  clip_image : the clip itself, as colour that plays along.
    resolution : vertices along the long side.  scale : multiplies the depths.
    tear, grazing : as for the relief mesh of a photo; a tear of None leaves the mesh whole.
    parent : collection of the object, by default the scene's own.

    It is a child of `camera_object`, in the photo's axes: each vertex is a ray's end at 1 m, which the modifier
    "Follow the Clip" multiplies by its depth; pixels without depth have no vertex. Scale, tear and grazing angle stay
    adjustable in the modifier.
    """
    samples = Samples.of(intrinsics.height, intrinsics.width, resolution)
    rays = np.ones((len(samples.rows), len(samples.columns), 3), np.float32)
    rays[..., 0] = (samples.columns + 0.5 - intrinsics.cx) / intrinsics.fx
    rays[..., 1] = ((samples.rows + 0.5 - intrinsics.cy) / intrinsics.fy)[:, None]
    obj = _grid(rays, samples, intrinsics, name, clip_image)
    camera.adopt(obj, camera_object)
    obj.matrix_basis = obj.matrix_basis @ Matrix(axes.CAMERA_FLIP.tolist())
    group = _Group(obj, sequence, scale)
    group.push_along_rays()
    group.cut(tear, math.radians(grazing))
    group.finish()
    scene.link(obj, parent)
    return obj


def moving_grid(
    intrinsics: Camera,
    sequence: Image,
    *,
    name: str,
    clip_image: Image | None = None,
    resolution: int | None = 512,
    width: float = 2.0,
    strength: float = 0.1,
    parent: Collection | None = None,
) -> Object:
    """A flat grid `width` metres wide on the ground that shows at every frame the heights (without unit) of that frame
    of a sequence, times `strength` metres. Parameters as for `moving_relief`."""
    samples = Samples.of(intrinsics.height, intrinsics.width, resolution)
    columns, rows = intrinsics.width, intrinsics.height
    points = np.zeros((len(samples.rows), len(samples.columns), 3), np.float32)
    points[..., 0] = ((samples.columns + 0.5) / columns - 0.5) * width
    points[..., 1] = (0.5 - (samples.rows + 0.5) / rows)[:, None] * width * rows / columns
    obj = _grid(points, samples, intrinsics, name, clip_image)
    group = _Group(obj, sequence, strength)
    group.lift()
    group.finish()
    scene.link(obj, parent)
    return obj


def _grid(points: NDArray, samples: Samples, intrinsics: Camera, name: str, clip_image: Image | None) -> Object:
    faces = samples.corners().reshape(-1, 4)
    uvs = samples.uvs(intrinsics.height, intrinsics.width).reshape(-1, 2)
    mesh = meshes.new_mesh(name, points.reshape(-1, 3), faces, uvs)
    if clip_image is not None:
        mesh.materials.append(materials.photo_material(name, clip_image))
    return bpy.data.objects.new(name, mesh)


@dataclass
class _Group:
    """The modifier's node group while it is being built; `flow` is the geometry so far."""

    obj: Object
    sequence: Image
    scale: float

    def __post_init__(self) -> None:
        if self.sequence.source != "SEQUENCE":
            raise BadInput(f"{self.sequence.name} is no image sequence.", "Estimate the depth of the whole clip.")
        tree: Any = bpy.data.node_groups.new(f"{self.obj.name}.follow", "GeometryNodeTree")  # type: ignore[arg-type]
        tree.is_modifier = True
        self.tree = tree
        tree.interface.new_socket("Geometry", in_out="INPUT", socket_type="NodeSocketGeometry")
        tree.interface.new_socket("Geometry", in_out="OUTPUT", socket_type="NodeSocketGeometry")
        self.inputs = self.node("NodeGroupInput")
        self.flow = self.inputs.outputs["Geometry"]
        factor = self.parameter("Depth Scale", self.scale)
        self.flow = self._stored(self.math("MULTIPLY", self._depth(), factor))
        self.depth = self._read()

    def node(self, kind: str, **settings: Any) -> Any:
        """A new node, placed after the one before it."""
        made = self.tree.nodes.new(kind)
        count = len(self.tree.nodes) - 1
        made.location = (200 * (count // 4), -220 * (count % 4))
        for name, value in settings.items():
            setattr(made, name, value)
        return made

    def parameter(self, name: str, value: float, subtype: str = "NONE", lowest: float = 0.0) -> Any:
        """An input of the modifier."""
        made = self.tree.interface.new_socket(name, in_out="INPUT", socket_type="NodeSocketFloat")
        made.subtype, made.default_value, made.min_value = subtype, value, lowest
        return self.inputs.outputs[name]

    def link(self, source: Any, target: Any) -> None:
        self.tree.links.new(source, target)

    def math(self, operation: str, *values: Any) -> Any:
        """A Math node's result of sockets or numbers."""
        made = self.node("ShaderNodeMath", operation=operation)
        for socket, value in zip(made.inputs, values, strict=False):
            if isinstance(value, (int, float)):
                socket.default_value = value
            else:
                self.link(value, socket)
        return made.outputs[0]

    def either(self, operation: str, first: Any, second: Any) -> Any:
        made = self.node("FunctionNodeBooleanMath", operation=operation)
        self.link(first, made.inputs[0])
        self.link(second, made.inputs[1])
        return made.outputs[0]

    def push_along_rays(self) -> None:
        along = self.node("ShaderNodeVectorMath", operation="SCALE")
        self.link(self.node("GeometryNodeInputPosition").outputs[0], along.inputs[0])
        self.link(self.depth, along.inputs["Scale"])
        self.along = along.outputs["Vector"]

    def lift(self) -> None:
        """Up by the height."""
        offset = self.node("ShaderNodeCombineXYZ")
        self.link(self.depth, offset.inputs["Z"])
        self._moved(offset.outputs[0], "Offset")

    def cut(self, tear: float | None, grazing: float) -> None:
        """Leave out what is torn, then push, then leave out what is seen from the side, and what has no depth.

        The grid has to be whole while edges look for their neighbours by index.
        """
        if tear is not None:
            self._deleted(self._torn(self.parameter("Tear", tear)), "EDGE", "EDGE_FACE")
        limit = self.math("COSINE", self.parameter("Grazing Angle", grazing, "ANGLE"))
        self._deleted(self.math("LESS_THAN", self._read(), 1e-6), "POINT", "ALL")
        self._moved(self.along, "Position")
        ray, facing = self.node("ShaderNodeVectorMath", operation="NORMALIZE"), self.node("ShaderNodeVectorMath")
        facing.operation = "DOT_PRODUCT"
        self.link(self.node("GeometryNodeInputPosition").outputs[0], ray.inputs[0])
        self.link(ray.outputs["Vector"], facing.inputs[0])
        self.link(self.node("GeometryNodeInputNormal").outputs[0], facing.inputs[1])
        slant = self.math("ABSOLUTE", facing.outputs["Value"])
        self._deleted(self.math("LESS_THAN", slant, limit), "FACE", "ONLY_FACE")

    def finish(self) -> None:
        self.link(self.flow, self.node("NodeGroupOutput").inputs[0])
        modifier: Any = self.obj.modifiers.new("Follow the Clip", "NODES")
        modifier.node_group = self.tree

    def _depth(self) -> Any:
        """The depth at a point's own pixel, at the scene's frame."""
        start, length = self.sequence[image.START], self.sequence[image.LENGTH]
        frame = self.node("ShaderNodeClamp")
        frame.inputs["Min"].default_value, frame.inputs["Max"].default_value = start, start + length - 1
        self.link(self.node("GeometryNodeInputSceneTime").outputs["Frame"], frame.inputs["Value"])
        uv = self.node("GeometryNodeInputNamedAttribute", data_type="FLOAT_VECTOR")
        uv.inputs["Name"].default_value = "UVMap"
        texture = self.node("GeometryNodeImageTexture", interpolation="Closest", extension="EXTEND")
        texture.inputs["Image"].default_value = self.sequence
        self.link(uv.outputs["Attribute"], texture.inputs["Vector"])
        self.link(frame.outputs[0], texture.inputs["Frame"])
        red = self.node("FunctionNodeSeparateColor")
        self.link(texture.outputs["Color"], red.inputs[0])
        return red.outputs[0]

    def _stored(self, value: Any) -> Any:
        store = self.node("GeometryNodeStoreNamedAttribute", data_type="FLOAT", domain="POINT")
        store.inputs["Name"].default_value = DEPTH
        self.link(self.flow, store.inputs["Geometry"])
        self.link(value, next(socket for socket in store.inputs if socket.name == "Value" and socket.enabled))
        return store.outputs["Geometry"]

    def _read(self) -> Any:
        made = self.node("GeometryNodeInputNamedAttribute", data_type="FLOAT")
        made.inputs["Name"].default_value = DEPTH
        return next(socket for socket in made.outputs if socket.name == "Attribute" and socket.enabled)

    def _moved(self, value: Any, socket: str) -> None:
        move = self.node("GeometryNodeSetPosition")
        self.link(self.flow, move.inputs["Geometry"])
        self.link(value, move.inputs[socket])
        self.flow = move.outputs["Geometry"]

    def _deleted(self, selection: Any, domain: str, mode: str) -> None:
        delete = self.node("GeometryNodeDeleteGeometry", domain=domain, mode=mode)
        self.link(self.flow, delete.inputs["Geometry"])
        self.link(selection, delete.inputs["Selection"])
        self.flow = delete.outputs["Geometry"]

    def _torn(self, tear: Any) -> Any:
        """Whether an edge joins two surfaces: the rule of `inference.mesh.surface`. Distances differ by more than the
        tear, and neither end lies on the line through the other and the one behind it; 1/z is linear over a plane."""
        ends = self.node("GeometryNodeInputMeshEdgeVertices")
        first, second = ends.outputs["Vertex Index 1"], ends.outputs["Vertex Index 2"]
        step = self.math("SUBTRACT", second, first)
        left, right = self._nearness(first), self._nearness(second)
        before = self._nearness(self.math("SUBTRACT", first, step))
        after = self._nearness(self.math("ADD", second, step))
        high, low = self.math("MAXIMUM", left, right), self.math("MINIMUM", left, right)
        apart = self.math("GREATER_THAN", high, self.math("MULTIPLY", low, self.math("ADD", tear, 1.0)))
        bends = [
            self._bends(outer, middle, inner, tear)
            for outer, middle, inner in ((before, left, right), (left, right, after))
        ]
        return self.either("AND", apart, self.either("AND", *bends))

    def _bends(self, before: Any, middle: Any, after: Any, tear: Any) -> Any:
        """Whether three nearnesses in a row are no straight line, or one of the outer ones is missing."""
        sag = self.math("SUBTRACT", self.math("ADD", before, after), self.math("MULTIPLY", middle, 2.0))
        crooked = self.math("GREATER_THAN", self.math("ABSOLUTE", sag), self.math("MULTIPLY", middle, tear))
        missing = self.math("LESS_THAN", self.math("MINIMUM", before, after), 1e-9)
        return self.either("OR", crooked, missing)

    def _nearness(self, index: Any) -> Any:
        """1/z at a vertex; 0 where it has no depth."""
        at = self.node("GeometryNodeFieldAtIndex", data_type="FLOAT", domain="POINT")
        self.link(index, at.inputs["Index"])
        self.link(self._read(), next(socket for socket in at.inputs if socket.name == "Value" and socket.enabled))
        value = next(socket for socket in at.outputs if socket.name == "Value" and socket.enabled)
        return self.math("DIVIDE", 1.0, value)  # the Math node divides by 0 to 0
