# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth and height as displacement: a grid with a modifier, or a Displacement node in the material."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bpy
from mathutils import Matrix

from ....inference.errors import BadInput, NothingFound
from ....inference.geometry import relief_grid
from ...core import axes, compat, transaction
from ..camera import matched, scene
from ..materials import materials
from . import live, meshes

if TYPE_CHECKING:
    from bpy.types import Collection, Image, Material, Object, ShaderNodeDisplacement

    from ....inference.geometry.relief_grid import Edges, Surface
    from ....inference.results import DepthMap

METHODS = ("DISPLACE", "NODES")


def displaced_grid(
    depth_map: DepthMap,
    depth_image: Image,
    *,
    name: str,
    camera_object: Object | None = None,
    photo_image: Image | None = None,
    method: str = "DISPLACE",
    resolution: int = 512,
    width: float = 2.0,
    strength: float | None = None,
    max_distance: float = 0.0,
    at_rest: tuple[Surface, Edges] | None = None,
    parent: Collection | None = None,
) -> Object:
    """A grid with the photo's shape that `depth_image` displaces live, mid-level 0.

    Metric depth: a child of `camera_object`, pushed along the view by metres (strength 1). "DISPLACE" (the Displace
    modifier) pushes all points in parallel, the grid being as wide as the view is at the median depth: right at that
    depth, stretched before and behind it. "NODES" (Geometry Nodes) pushes each point along its own ray: exact; it is
    the live relief (see `live`), left whole.
    Relief (not metric): a flat grid `width` metres wide on the ground, lifted by height x `strength` metres, by default
    a twentieth of the width.

    resolution : vertices along the long side.  Faces that touch invalid pixels are left out.
    max_distance : metres beyond which there is no surface; 0 for no limit.
    at_rest : the flat grid and its edges, where a worker has made it by `surface.at_rest` already.
    parent : collection of the object, by default the scene's own.

    Raises BadInput for an unknown method, NothingFound for a depth map without a valid face.
    """
    if method not in METHODS:
        raise BadInput(f"Unknown displacement method {method!r}.", f"Choose one of {', '.join(METHODS)}.")
    amount = strength if strength is not None else 1.0 if depth_map.metric else relief_grid.RELIEF_HEIGHT * width
    made: dict[str, Any] = {"name": name, "photo_image": photo_image, "resolution": resolution, "parent": parent}
    if method == "NODES" and depth_map.metric:
        if not depth_map.valid.any():
            raise _no_surface()
        return live.live_relief(
            depth_map.camera, depth_image, modifier="Displace Along View", camera_object=camera_object, scale=amount,
            tear=None, grazing=90.0, max_distance=max_distance, **made,
        )  # fmt: skip
    if at_rest is None:
        found = relief_grid.at_rest(depth_map, resolution=resolution, width=width, max_distance=max_distance)
        at_rest = found, found.edges()
    found, edges = at_rest
    if not len(found.quads):
        raise _no_surface()
    mesh = meshes.new_mesh(name, found.vertices, found.quads, found.uvs, edges)
    if photo_image is not None:
        mesh.materials.append(materials.photo_material(name, photo_image))
    obj = bpy.data.objects.new(name, mesh)
    if depth_map.metric:
        matched.adopt(obj, camera_object)
        turned = Matrix(axes.CAMERA_FLIP.tolist())  # the grid's own axes are the photo's: z runs along the view
        obj.matrix_basis = obj.matrix_basis @ turned
    _add_displace(obj, depth_image, amount, smooth=not depth_map.metric)
    scene.link(obj, parent)
    return obj


def displace_material(
    material: Material,
    height_image: Image,
    *,
    scale: float = 1.0,
    midlevel: float = 0.0,
    space: str = "OBJECT",
    fine: bool = False,
) -> ShaderNodeDisplacement:
    """Add Image Texture -> Displacement to the material's output; every node and link that is there stays.

    An existing displacement is added to, not replaced. A material that only bumps is set to displacement and bump, or
    to displacement alone for a `fine` mesh: Blender 4.5 shades it twice with both.
    scale : metres (in `space`, "OBJECT" or "WORLD") for each unit of the image.
    midlevel : the value that stays in place.
    """
    tree = compat.node_tree_of(material)
    output = materials.material_output(material)
    node = materials.add_node(tree, "ShaderNodeDisplacement", output, (-200, -180))
    node.space = space
    node.inputs["Scale"].default_value = scale
    node.inputs["Midlevel"].default_value = midlevel
    texture = materials.add_image(tree, height_image, node, "Height", offset=(-320, 0))
    texture.extension = "EXTEND"
    target = output.inputs["Displacement"]
    if target.is_linked:
        total = materials.add_node(tree, "ShaderNodeVectorMath", output, (-200, -40))
        total.operation = "ADD"
        materials.insert_before(tree, target, total.inputs[0], total.outputs[0])
        materials.connect(tree, node.outputs[0], total.inputs[1])
    else:
        materials.connect(tree, node.outputs[0], target)
    if material.displacement_method == "BUMP":
        transaction.change(material, displacement_method="DISPLACEMENT" if fine else "BOTH")
    return node


def check_adaptive(obj: Object) -> None:
    """Raise BadInput where `adaptive_subdivision` would, before any work is done."""
    if obj.library is not None:
        raise BadInput(f"{obj.name} is linked from another file.", "Make it local or override it first.")
    compat.check_adaptive(scene.current())


def adaptive_subdivision(obj: Object, *, pixels: float = 1.0) -> str:
    """Let Cycles subdivide the object as finely as the render needs, in the current scene.

    pixels : length of an edge in the render.

    Cycles looks at the last modifier: a Subdivision Surface there that renders is used as it is, in its own type;
    without one a simple subdivision is added. Earlier modifiers, multiresolution and shape keys stay and are subdivided
    on top. In Blender 4 it is an experimental feature of Cycles, which is switched on for the scene. Returns what was
    changed of the scene, "" for nothing. Raises BadInput where the object cannot be changed or Cycles is not there.
    """
    check_adaptive(obj)
    last: Any = obj.modifiers[-1] if obj.modifiers else None
    if last is None or last.type != "SUBSURF" or not last.show_render:
        last = obj.modifiers.new("Adaptive Subdivision", "SUBSURF")
        added = last.name
        transaction.on_failure(lambda: obj.modifiers.remove(obj.modifiers[added]))
        last.subdivision_type = "SIMPLE"
        last.levels = 0
        last.render_levels = 2  # what Eevee renders; Cycles dices by itself
    changed = ""
    for owner, wanted in compat.adaptive_settings(obj, last, scene.current(), pixels):
        if wanted.get("feature_set", "") not in ("", getattr(owner, "feature_set", "")):
            changed = "Cycles' experimental features are now on"
        transaction.change(owner, **wanted)
    return changed


def _add_displace(obj: Object, image: Image, strength: float, *, smooth: bool) -> None:
    texture: Any = bpy.data.textures.new(image.name, "IMAGE")
    texture.image = image
    texture.extension = "EXTEND"
    texture.use_interpolation = smooth  # metric depth is never mixed across an edge
    modifier: Any = obj.modifiers.new("Displace", "DISPLACE")
    modifier.texture = texture
    modifier.texture_coords = "UV"
    modifier.direction = "Z"
    modifier.mid_level = 0.0
    modifier.strength = strength


def _no_surface() -> NothingFound:
    return NothingFound("The depth map has no surface.", "Choose another photo, or a larger maximum distance.")
