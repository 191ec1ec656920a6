# SPDX-License-Identifier: GPL-3.0-or-later
"""Where some keypoints of the body are for a pose, and how they move with it, without posing its vertices.

By the same arithmetic as for the built-in body (`people.fit.skeleton`). The corrections that depend on the pose,
millimetres, are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..fit import skeleton as bodies
from ..fit.skeleton import Skeleton
from .body import KEYPOINT_NAMES, keypoint_weights

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
    """K points of the body; each joint of it is a group of its own."""

    points: bodies.Markers
    skeleton: Skeleton

    def size(self, with_shape: bool) -> int:
        """Parameters of a pose: three a joint, the translation and, if it may change, the shape."""
        return 3 * len(self.skeleton.rest) + 3 + (len(self.skeleton.rest_blend) if with_shape else 0)

    def place(
        self, matrices: NDArray, translation: NDArray, shape: NDArray, with_shape: bool = True
    ) -> tuple[NDArray, NDArray]:
        """Points (T, K, 3) and their slopes (T, K, 3, size).

        matrices : (T, J, 3, 3), a joint's changes by R <- R exp(delta).  translation : (T, 3).  shape : (T, S).
        """
        turns, path, build = (torch.from_numpy(np.array(part, np.float64)) for part in (matrices, translation, shape))
        count = shape.shape[1]
        changes = torch.eye(count if with_shape else 0, count, dtype=torch.float64).expand(len(shape), -1, -1)
        points, slopes = bodies.place_markers(
            self.points, bodies.posed_by_shape(self.skeleton, turns, path, build, changes)
        )
        assert slopes is not None
        return points.numpy(), slopes.numpy()


def landmark_markers(template: Template) -> Markers:
    """The keypoints of `LANDMARKS`."""
    body = template.body
    own = Skeleton.of(body, {joint: (joint, 1.0) for joint in range(len(body.parents))})
    parts: list[bodies.Part] = []
    for number, keypoint in enumerate(KEYPOINTS.tolist()):
        joint, weights = keypoint_weights(template, keypoint)
        if joint is not None:
            parts.append(bodies.joint_part(number, joint, body, own))
        else:
            picked = np.flatnonzero(weights)
            parts += bodies.vertex_parts(number, picked, weights[picked], body, own)
    return Markers(bodies.collected(len(KEYPOINTS), parts), own)
