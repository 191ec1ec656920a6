# SPDX-License-Identifier: GPL-3.0-or-later
"""The body's mesh: skin weights as vertex groups, traits as shape keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import bpy
import numpy as np

from ...core import transaction
from ..surfaces import meshes

if TYPE_CHECKING:
    from bpy.types import Mesh, Object, VertexGroup
    from numpy.typing import NDArray

    from ....inference.results import Body

#: Weights are set in batches of equal ones, in steps of 1 / this; few steps save little, since most weights are alike.
_STEPS = 65535
#: A slider at 1 moves its trait by half of the trait's whole range.
SLIDER_RANGE = 0.5
#: Shape coefficients that get a slider, and how far it goes; people lie within about 3.
_BETAS, _BETA_REACH = 10, 10.0


def skinned_mesh(name: str, body: Body) -> Mesh:
    """The body's mesh with one vertex group a joint; copies of it share nothing and keep the groups."""
    mesh = meshes.new_mesh(name, body.vertices, body.faces, body.uvs)
    holder = bpy.data.objects.new(name, mesh)
    add_weights(holder, body.joint_names, body.skin_weights)
    bpy.data.objects.remove(holder)
    return mesh


def limited(weights: NDArray, most: int) -> NDArray[np.float32]:
    """Weights (V, G) with the `most` largest of each row alone, which sum to 1 again; 0 leaves all of them."""
    if most and most < weights.shape[1]:
        weights = weights * (weights >= np.partition(weights, -most, axis=1)[:, -most, None])
        ties = np.flatnonzero((weights > 0).sum(axis=1) > most)
        for column in range(weights.shape[1] - 1, -1, -1) if len(ties) else ():
            over = ties[(weights[ties] > 0).sum(axis=1) > most]
            least = weights[over, column] == np.where(weights[over] > 0, weights[over], np.inf).min(axis=1)
            weights[over[least], column] = 0
    return (weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)).astype(np.float32)


def add_weights(obj: Object, names: tuple[str, ...], weights: NDArray, steps: int = _STEPS) -> list[VertexGroup]:
    """New vertex groups of these names from weights (V, G) 0..1, rounded to `steps` steps.

    Blender's one bulk call gives one weight to many vertices, so vertices are gathered by equal weight.
    """
    levels = np.rint(np.asarray(weights).T * steps).astype(np.int32)
    groups = []
    for name, column in zip(names, levels, strict=False):
        group = obj.vertex_groups.new(name=name)
        transaction.on_failure(lambda group=group: obj.vertex_groups.remove(group))
        groups.append(group)
        touched = np.flatnonzero(column > 0)
        order = touched[np.argsort(column[touched], kind="stable")]
        values, starts = np.unique(column[order], return_index=True)
        vertices, bounds = order.tolist(), [*starts.tolist(), len(order)]
        for value, start, end in zip(values.tolist(), bounds, bounds[1:], strict=False):
            group.add(vertices[start:end], value / steps, "REPLACE")
    return groups


def add_sliders(obj: Object, rest: NDArray, deltas: Mapping[str, NDArray], reach: float = 1.0) -> None:
    """Relative shape keys from -reach to reach: rest vertices (V, 3) of the mesh, and what each adds (V, 3) at 1."""
    obj.shape_key_add(name="Basis", from_mix=False)
    for name, delta in deltas.items():
        key = obj.shape_key_add(name=name, from_mix=False)
        key.slider_min, key.slider_max, key.value = -reach, reach, 0.0
        key.data.foreach_set("co", np.ascontiguousarray(rest + delta, np.float32).ravel())


def shape_deltas(body: Body, attributes: Mapping[str, float]) -> tuple[dict[str, NDArray[np.float32]], float]:
    """Sliders of a person's shape, as offsets (V, 3) in the body's axes at 1, and how far each may be moved either way.

    The built-in body has its traits (gender, age, muscle, weight, height, proportions); 1 is half of a trait's whole
    range more than the person's own. Other bodies have their first ten shape coefficients ("betas") in their own
    units; a body with expressions of the face has these, for its average build.
    """
    if body.expressions is not None:
        return {f"face.{number:02}": shape for number, shape in enumerate(body.expressions, 1)}, 1.0
    traits = trait_deltas(body, attributes)
    if traits:
        return traits, 1.0
    shapes = body.shape_blend_shapes[:_BETAS]
    return {f"beta.{number}": shape for number, shape in enumerate(shapes)}, _BETA_REACH


def trait_deltas(body: Body, attributes: Mapping[str, float]) -> dict[str, NDArray[np.float32]]:
    """Vertex offsets (V, 3) in the body's axes of each trait for `SLIDER_RANGE` more of it, around these attributes;
    empty for a body without traits.

    The traits bend, so the offset is the slope over the range around the person's own value.
    """
    from ....inference.shipped import body as builtin

    if body.name != builtin.load_body().name:
        return {}
    own = {name: float(attributes.get(name, average)) for name, average in builtin.ATTRIBUTES.items()}
    deltas = {}
    for name, value in own.items():
        low, high = max(0.0, value - SLIDER_RANGE / 2), min(1.0, value + SLIDER_RANGE / 2)
        change = builtin.shape_from_attributes({**own, name: high}) - builtin.shape_from_attributes({**own, name: low})
        offsets = np.tensordot(change * (SLIDER_RANGE / (high - low)), body.shape_blend_shapes, axes=1)
        deltas[name] = offsets.astype(np.float32)
    return deltas
