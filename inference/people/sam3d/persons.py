# SPDX-License-Identifier: GPL-3.0-or-later
"""From what is read of somebody to a `results.Person` before the photo's camera."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ...results import Person
from ..hmr2.persons import in_sight
from .crops import Square

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...camera import Camera
    from ..hmr2.find import Detection
    from .body import People3D
    from .model import Reading


def make_person(people: People3D, number: int, found: Detection, reading: Reading, camera: Camera) -> Person:
    """The person of this number among `people`, without a mask."""
    rotations, translation, offsets = people.motion(reading, number)
    place = reading.place
    joints, keypoints = reading.joints + place, reading.keypoints + place
    x0, y0, x1, y1 = (float(edge) for edge in found.box)
    return Person(
        track_id=0,
        box=(x0, y0, x1, y1),
        score=found.score,
        mask=None,
        vertices=reading.vertices + place,
        joints=joints,
        keypoints_2d=camera.project(keypoints),
        rotations=rotations.astype(np.float32),
        shape=people.shape(number),
        translation=translation.astype(np.float32),
        confidence=found.score * in_sight(camera.project(joints), float(Square.around(found.box).side), camera),
        keypoints_3d=keypoints,
        crop_camera=reading.camera,
        offsets=offsets.astype(np.float32) if offsets.any() else None,
        correctives=people.corrected(reading.parameters, number),
        parameters=parameters_of(reading, people.rests[number].scales),
    )


def parameters_of(reading: Reading, scales: NDArray) -> dict[str, NDArray[np.float32]]:
    """The network's numbers under the names that users of SAM 3D Body know, and the scale of each joint at rest."""
    boxes = {} if reading.hand_boxes is None else {"hand_boxes": reading.hand_boxes}
    return {
        "mhr_model_params": reading.parameters, "global_rot": reading.whole, "body_pose": reading.body,
        "shape": reading.shape, "scale": reading.scale, "hand": reading.hands, "pred_cam_t": reading.place,
        "joint_turns": reading.turns, "hands_accepted": np.array(reading.accepted, np.float32),
        "joint_scales": scales.astype(np.float32), **boxes,
    }  # fmt: skip
