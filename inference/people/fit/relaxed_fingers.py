# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingers of hands that are not looked at closely: relaxed, as they hang by themselves, not flat as at rest."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from ...shipped.body import load_body

#: Degrees that the knuckle, the middle and the end joint of a resting finger bend, index to little finger.
_BENT = {2: (14, 24, 14), 3: (18, 28, 16), 4: (20, 30, 18), 5: (22, 30, 18)}


@cache
def relaxed_rotations() -> dict[int, NDArray[np.float64]]:
    """Joint index -> quaternion (4,) w x y z in rest-pose axes, for the finger joints of both hands."""
    body = load_body()
    index = {name: number for number, name in enumerate(body.joint_names)}
    rotations = {}
    for side in "LR":

        def place(joint: str, side: str = side) -> NDArray[np.float64]:
            return body.joints[index[f"{joint}.{side}"]].astype(np.float64)

        across = place("finger5-1") - place("finger2-1")
        palm = np.cross(place("finger3-1") - place("wrist"), across) * (-1 if side == "L" else 1)
        for finger, bends in _BENT.items():
            along = place(f"finger{finger}-2") - place(f"finger{finger}-1")
            axis = np.cross(along, palm)
            axis /= np.linalg.norm(axis)
            for joint, degrees in enumerate(bends, start=1):
                half = np.radians(degrees) / 2
                rotations[index[f"finger{finger}-{joint}.{side}"]] = np.array([np.cos(half), *(np.sin(half) * axis)])
    return rotations
