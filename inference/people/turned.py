# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures on their side or upside down, whose file does not say so: nobody in them stands."""

from __future__ import annotations

import math

import numpy as np

from ..results import People
from .clip.ground import TRUNK

#: A trunk of less than this in the picture's plane points at the camera or away, and tells nothing.
_IN_PLANE = 0.6
#: How far a trunk may be off the picture's edge (radians), and how many of those that tell are within that.
_OFF, _MOST = math.radians(35.0), 0.9
#: Or half of them, where none comes nearer to upright than this: somebody who kicks leans all ways meanwhile.
_HALF, _UP = 0.5, math.radians(70.0)
_WAYS = (
    ((-1.0, 0.0), "Heads point to the left", "rotate it clockwise by 90°"),
    ((1.0, 0.0), "Heads point to the right", "rotate it counterclockwise by 90°"),
    ((0.0, 1.0), "Heads point down", "rotate it by 180°"),
)


def turned_notes(people: People) -> tuple[str, ...]:
    """One sentence where nobody's head is up, as nearly all heads are in a picture on its side; else none.

    People may really lie there, so that nothing is changed and nobody is left out.
    """
    names = people.body.joint_names
    lower, upper = next((names.index(low), names.index(high)) for low, high in TRUNK if low in names and high in names)
    found = [one.joints[upper] - one.joints[lower] for persons in people.frames for one in persons]
    trunks = np.array(found, np.float64).reshape(-1, 3)
    trunks = (trunks / np.linalg.norm(trunks, axis=1, keepdims=True))[:, :2]
    lengths = np.linalg.norm(trunks, axis=1)
    telling = trunks[lengths > _IN_PLANE] / lengths[lengths > _IN_PLANE, None]
    if not len(telling) or 2 * len(telling) < len(found):
        return ()
    nobody = not (telling @ (0.0, -1.0) > math.cos(_UP)).any()
    for way, heads, remedy in _WAYS:
        if np.mean(telling @ way > math.cos(_OFF)) >= (_HALF if nobody else _MOST):
            return (f"{heads}: if the picture should stand upright, {remedy} and start again",)
    return ()
