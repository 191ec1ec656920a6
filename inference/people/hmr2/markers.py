# SPDX-License-Identifier: GPL-3.0-or-later
"""Where some keypoints of the body are for a pose, and how they move with it, without posing its vertices.

A point of the skinned body is a sum of parts carried by joints (see `people.skeleton`, which has the same for the
built-in body). The corrections that depend on the pose, millimetres, are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...geometry.skinning import chain
from .body import JOINT_NAMES, KEYPOINT_NAMES, keypoint_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...results import Body
    from .body import Template

#: Keypoint -> the landmark of the built-in pose network that shows the same place.
LANDMARKS = {
    "nose": 0, "left_eye": 2, "right_eye": 5, "left_ear": 7, "right_ear": 8, "left_shoulder": 11,
    "right_shoulder": 12, "left_elbow": 13, "right_elbow": 14, "left_wrist": 15, "right_wrist": 16, "left_hip": 23,
    "right_hip": 24, "left_knee": 25, "right_knee": 26, "left_ankle": 27, "right_ankle": 28, "left_heel": 29,
    "right_heel": 30, "left_big_toe": 31, "right_big_toe": 32,
}  # fmt: skip
#: The keypoints among the 44, and the landmarks among the network's 39.
KEYPOINTS = np.array([KEYPOINT_NAMES.index(name) for name in LANDMARKS])
SOURCES = np.array(list(LANDMARKS.values()))


@dataclass(frozen=True)
class Markers:
    """K points of the body, float64.

    share : (K, J) how much of a point each joint carries.  moment : (K, J, 3), moment_blend : (S, K, J, 3): share times
    the mean place at rest of what it carries, and its change with the shape.
    rest : (J, 3), rest_blend : (S, J, 3): the joints.  below : (J, J), 1 where the second joint hangs on the first.
    """

    share: NDArray[np.float64]
    moment: NDArray[np.float64]
    moment_blend: NDArray[np.float64]
    parents: NDArray[np.int32]
    rest: NDArray[np.float64]
    rest_blend: NDArray[np.float64]
    below: NDArray[np.float64]

    def size(self, with_shape: bool) -> int:
        """Parameters of a pose: three a joint, the translation and, if it may change, the shape."""
        return 3 * len(self.rest) + 3 + (len(self.rest_blend) if with_shape else 0)

    def place(
        self, matrices: NDArray, translation: NDArray, shape: NDArray, with_shape: bool = True
    ) -> tuple[NDArray, NDArray]:
        """Points (T, K, 3) and their slopes (T, K, 3, size).

        matrices : (T, J, 3, 3), a joint's changes by R <- R exp(delta).  translation : (T, 3).  shape : (T, S).
        """
        count = len(matrices)
        rest = self.rest + np.einsum("ts,sjd->tjd", shape, self.rest_blend)
        moment = self.moment + np.einsum("ts,skjd->tkjd", shape, self.moment_blend)
        world, joints = chain(self.parents, rest, matrices, translation)
        arm = moment - self.share[..., None] * rest[:, None]
        parts = np.einsum("tjab,tkjb->tkja", world, arm) + self.share[..., None] * joints[:, None]
        # What hangs on a joint, as seen from there.
        mass = self.share @ self.below.T
        lever = np.einsum("tkia,ji->tkja", parts, self.below) - mass[..., None] * joints[:, None]
        axes = np.moveaxis(world, 3, 2)  # (T, J, axis, 3)
        rotated = np.cross(axes[:, None], lever[:, :, :, None])
        slopes = np.empty((count, len(self.share), 3, self.size(with_shape)))
        joint_count = 3 * len(self.rest)
        slopes[..., :joint_count] = np.moveaxis(rotated.reshape(count, len(self.share), joint_count, 3), 2, 3)
        slopes[..., joint_count : joint_count + 3] = np.eye(3)
        if with_shape:
            slopes[..., joint_count + 3 :] = self._shape_slopes(world)
        return parts.sum(2), slopes

    def _shape_slopes(self, world: NDArray) -> NDArray[np.float64]:
        """How the points move with the shape: (T, K, 3, S)."""
        moved = np.empty((len(world), len(self.rest_blend), len(self.rest), 3))
        moved[:, :, 0] = self.rest_blend[:, 0]
        for joint in range(1, len(self.parents)):
            parent = self.parents[joint]
            step = self.rest_blend[:, joint] - self.rest_blend[:, parent]
            moved[:, :, joint] = moved[:, :, parent] + np.einsum("tab,sb->tsa", world[:, parent], step)
        arm = self.moment_blend - self.share[..., None] * self.rest_blend[:, None]
        slopes = np.einsum("tjab,skjb->tkas", world, arm)
        return slopes + np.einsum("kj,tsja->tkas", self.share, moved)


def landmark_markers(template: Template) -> Markers:
    """The keypoints of `LANDMARKS`."""
    body = template.body
    share, moment, blend = [], [], []
    for keypoint in KEYPOINTS:
        joint, weights = keypoint_weights(template, int(keypoint))
        if joint is not None:
            own = np.zeros(len(JOINT_NAMES))
            own[joint] = 1.0
            share.append(own)
            moment.append(own[:, None] * body.joints[joint])
            blend.append(own[:, None] * body.joint_blend_shapes[:, None, joint])
            continue
        picked = np.flatnonzero(weights)
        carried = weights[picked, None] * body.skin_weights[picked]
        share.append(carried.sum(0))
        moment.append(carried.T @ body.vertices[picked].astype(np.float64))
        blend.append(np.einsum("vj,svd->sjd", carried, body.shape_blend_shapes[:, picked].astype(np.float64)))
    return Markers(
        share=np.stack(share),
        moment=np.stack(moment),
        moment_blend=np.stack(blend, 1),
        parents=body.parents,
        rest=body.joints.astype(np.float64),
        rest_blend=body.joint_blend_shapes.astype(np.float64),
        below=_below(body),
    )


def _below(body: Body) -> NDArray[np.float64]:
    below = np.eye(len(body.parents))
    for joint in range(len(body.parents) - 1, 0, -1):
        below[body.parents[joint]] += below[joint]
    return below
