# SPDX-License-Identifier: GPL-3.0-or-later
"""The hand as a body of its own: the part of the built-in body beyond the wrist, with what a fit must know of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ..results import Body
from .body import load_body

#: The detector's wrist lies at the crease, this share of the way from the body's wrist joint to the knuckles.
_WRIST_CREASE = 0.12
#: The detector's finger tips lie in the flesh, this share of the last bone's length (to the skin) along.
_TIP = 0.93


@dataclass(frozen=True)
class HandBody:
    """A hand that can be posed.

    body : the wrist is its root; a closed mesh (the last vertex closes the cut at the wrist).
    landmark_joints : (21,) the joint that carries each of the detector's landmarks.
    landmarks : (21, 3) where they are at rest, metres.
    axes : (J, 3, 3) the joint's anatomical axes at rest, as rows: flexion (positive closes the hand), spread, twist.
    stiffness : (J, 3) 1 / radians, how strongly the rest pose is preferred about each axis.
    limits : (J, 2) radians of flexion.
    """

    body: Body
    landmark_joints: NDArray[np.int64]
    landmarks: NDArray[np.float64]
    axes: NDArray[np.float64]
    stiffness: NDArray[np.float64]
    limits: NDArray[np.float64]


@cache
def load_hand_body(side: str) -> HandBody:
    """The hand of `side` ("left" or "right") of the average adult body."""
    whole, suffix = load_body(), "." + side[0].upper()
    names = ["wrist" + suffix, *(f"metacarpal{i}{suffix}" for i in range(1, 5))]
    names += [f"finger{finger}-{bone}{suffix}" for finger in range(1, 6) for bone in range(1, 4)]
    numbers = np.array([whole.joint_names.index(name) for name in names])
    body = _cut(whole, names, numbers)
    place = {name.removesuffix(suffix): body.joints[i].astype(np.float64) for i, name in enumerate(names)}
    knuckles = np.mean([place[f"finger{finger}-1"] for finger in range(2, 6)], 0)
    carriers, landmarks = [0], [place["wrist"] + _WRIST_CREASE * (knuckles - place["wrist"])]
    for finger in range(1, 6):
        first = names.index(f"finger{finger}-1{suffix}")
        carriers += [first, first + 1, first + 2, first + 2]
        landmarks += [place[f"finger{finger}-{bone}"] for bone in (1, 2, 3)] + [finger_tip(body, first + 2)]
    points = np.array(landmarks)
    return HandBody(body, np.array(carriers), points, _axes(points, len(names)), *_anatomy(len(names)))


def _cut(whole: Body, names: list[str], numbers: NDArray) -> Body:
    """The part of a body that follows the given joints, the first of them being its root."""
    share = whole.skin_weights[:, numbers]
    kept = np.flatnonzero(share.sum(1) > 0.5)
    new_index = np.full(len(share), -1)
    new_index[kept] = np.arange(len(kept))
    faces = new_index[whole.faces]
    inside = (faces >= 0).all(1)
    faces = faces[inside]
    edges = faces[:, [[0, 1], [1, 2], [2, 0]]].reshape(-1, 2)
    present = {(a, b) for a, b in edges.tolist()}
    rim = np.array([(a, b) for a, b in edges.tolist() if (b, a) not in present])
    cap = np.column_stack([rim[:, ::-1], np.full(len(rim), len(kept))])
    weights = share[kept] / share[kept].sum(1, keepdims=True)
    rim_vertices = np.unique(rim)

    def closed(values: NDArray) -> NDArray:
        """Per-vertex values (..., V, C) with those of the vertex in the middle of the cut."""
        return np.concatenate([values, values[..., rim_vertices, :].mean(-2, keepdims=True)], -2)

    parents = [names.index(name) if (name := whole.joint_names[whole.parents[n]]) in names else -1 for n in numbers]
    return Body(
        name=f"{whole.name} hand",
        licence=whole.licence,
        vertices=closed(whole.vertices[kept]),
        faces=np.concatenate([faces, cap]).astype(np.int32),
        joint_names=tuple(names),
        parents=np.array(parents, np.int32),
        joints=whole.joints[numbers],
        skin_weights=closed(weights).astype(np.float32),
        shape_blend_shapes=closed(whole.shape_blend_shapes[:, kept]),
        joint_blend_shapes=whole.joint_blend_shapes[:, numbers],
    )


def finger_tip(body: Body, last: int) -> NDArray[np.float64]:
    """The detector's tip of the finger whose last joint is `last`: near the skin, along the direction of its bones."""
    bone = body.joints[last] - body.joints[last - 1]
    along = (bone / np.linalg.norm(bone)).astype(np.float64)
    share = body.skin_weights[:, last]
    own = body.vertices[share > min(0.5, 0.99 * share.max())] - body.joints[last]
    farthest = own[np.argmax(own @ along)]
    return body.joints[last] + _TIP * farthest.astype(np.float64)


def _axes(points: NDArray, joint_count: int) -> NDArray[np.float64]:
    """Flexion, spread and twist axes of every joint, from the landmarks (21, 3) at rest.

    A finger bends across its own direction within the plane of the palm; the thumb about the axis of its bend at rest.
    """
    axes = np.tile(np.eye(3), (joint_count, 1, 1))
    palm = np.cross(points[5] - points[0], points[17] - points[0])
    for finger in range(5):
        chain = points[1 + 4 * finger : 5 + 4 * finger]
        bones = np.diff(chain, axis=0)
        bend = np.cross(bones[0], bones[1]) if finger == 0 else np.cross(bones[0], bones[-1])
        for bone in range(3):
            along = bones[bone] / np.linalg.norm(bones[bone])
            flexion = bend if finger == 0 else np.cross(palm, along)
            flexion = flexion - (flexion @ along) * along
            flexion *= np.sign(flexion @ bend) / np.linalg.norm(flexion)
            axes[5 + 3 * finger + bone] = flexion, np.cross(along, flexion), along
    return axes


def _anatomy(joint_count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Stiffness (J, 3) and flexion limits (J, 2) of the joints: hinges in the fingers, saddle joints at their roots.

    The limits are the usual ranges of motion, measured from the body's rest pose, whose fingers are slightly bent.
    """
    stiffness, limits = np.full((joint_count, 3), 8.0), np.tile(np.radians([-20.0, 20.0]), (joint_count, 1))
    stiffness[0], limits[0] = 0.0, (-np.inf, np.inf)
    for finger in range(5):
        root, middle, last = (5 + 3 * finger + bone for bone in range(3))
        if finger == 0:
            stiffness[root], stiffness[middle], stiffness[last] = (0.5, 0.5, 1.0), (0.5, 2.5, 4.0), (0.4, 6.0, 8.0)
            limits[root], limits[middle], limits[last] = np.radians([[-50, 50], [-40, 60], [-40, 80]])
        else:
            stiffness[root], stiffness[middle], stiffness[last] = (0.25, 1.5, 4.0), (0.25, 8.0, 8.0), (0.6, 8.0, 8.0)
            limits[root], limits[middle], limits[last] = np.radians([[-40, 85], [-20, 105], [-20, 75]])
    return stiffness, limits
