# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks of the Mask editor as arrays for the worker (see `MaskLayer`)."""

from __future__ import annotations

from typing import Any

import bpy
import numpy as np
from numpy.typing import NDArray

from ....inference.errors import BadInput
from ...core.exchange import MaskLayer, MaskSpline


def mask_layers(name: str) -> tuple[MaskLayer, ...]:
    """The layers, lowest first, of the mask of this name at the current frame, without hidden ones. Raises BadInput."""
    found = bpy.data.masks.get(name)
    if found is None:
        raise BadInput(f"There is no mask called {name!r}.", "Draw one in the Mask editor, or choose another.")
    context: Any = bpy.context
    mask: Any = found.evaluated_get(context.evaluated_depsgraph_get())
    layers = tuple(_layer(layer) for layer in mask.layers if not layer.hide_render)
    if not any(layer.splines for layer in layers):
        raise BadInput(f"The mask {name} has no visible splines.", "Draw some, or enable its layers in renders.")
    return layers


def _layer(layer: Any) -> MaskLayer:
    return MaskLayer(
        tuple(_spline(spline) for spline in layer.splines),
        layer.alpha,
        layer.blend,
        layer.falloff,
        layer.invert,
        layer.use_fill_holes,
    )


def _spline(spline: Any) -> MaskSpline:
    points = spline.points
    weights = np.empty(len(points), np.float32)
    points.foreach_get("weight", weights)
    return MaskSpline(
        _places(points, "co"),
        _places(points, "handle_left"),
        _places(points, "handle_right"),
        weights.astype(np.float64),
        tuple(_between(point) for point in points),
        spline.use_cyclic,
        spline.use_fill,
        spline.weight_interpolation == "EASE",
    )


def _places(points: Any, name: str) -> NDArray[np.float64]:
    flat = np.empty(len(points) * 2, np.float32)
    points.foreach_get(name, flat)
    return flat.reshape(-1, 2).astype(np.float64)


def _between(point: Any) -> NDArray[np.float64]:
    """(N, 2) place and factor of the feather weights between a control point and the next."""
    feather = np.empty((len(point.feather_points), 2), np.float32)
    for column, name in enumerate(("u", "weight")):
        values = np.empty(len(feather), np.float32)
        point.feather_points.foreach_get(name, values)
        feather[:, column] = values
    return feather[np.argsort(feather[:, 0])].astype(np.float64)
