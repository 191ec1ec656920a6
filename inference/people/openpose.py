# SPDX-License-Identifier: GPL-3.0-or-later
"""The skeletons of people as OpenPose paints them, for networks that take such pictures (ControlNet).

Bones have the colour of their far end, joints their own; who is drawn larger has thicker bones. The reference paints a
person into the detector's box, squeezed to it, and fails where that reaches out of the picture; here a skeleton lies
where the person is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..errors import BadInput
from ..registry import check_choice

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..results import People, Person

#: Colours of OpenPose's 25 joints, RGB.
_COLOURS_25 = np.array(
    [(255, 0, 85), (255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0),
     (255, 0, 0), (0, 255, 85), (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (255, 0, 170),
     (170, 0, 255), (255, 0, 255), (85, 0, 255), (0, 0, 255), (0, 0, 255), (0, 0, 255), (0, 255, 255), (0, 255, 255),
     (0, 255, 255)]
)  # fmt: skip
_BONES_25 = (
    (1, 8), (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (8, 9), (9, 10), (10, 11), (8, 12), (12, 13), (13, 14),
    (1, 0), (0, 15), (15, 17), (0, 16), (16, 18), (14, 19), (19, 20), (14, 21), (11, 22), (22, 23), (11, 24),
)  # fmt: skip
#: The older 18 joints among the 25, which most such networks were taught on, their bones in the order of the colours.
_OF_25 = (0, 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18)
_COLOURS_18 = np.array(
    [(255, 0, 0), (255, 85, 0), (255, 170, 0), (255, 255, 0), (170, 255, 0), (85, 255, 0), (0, 255, 0), (0, 255, 85),
     (0, 255, 170), (0, 255, 255), (0, 170, 255), (0, 85, 255), (0, 0, 255), (85, 0, 255), (170, 0, 255),
     (255, 0, 255), (255, 0, 170), (255, 0, 85)]
)  # fmt: skip
_BONES_18 = (
    (1, 2), (1, 5), (2, 3), (3, 4), (5, 6), (6, 7), (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 0),
    (0, 14), (14, 16), (0, 15), (15, 17),
)  # fmt: skip
#: OpenPose's 25 from the 33 landmarks of the built-in network: a landmark, the middle of two, or none.
_FROM_33: tuple[tuple[int, ...], ...] = (
    (0,), (11, 12), (12,), (14,), (16,), (11,), (13,), (15,), (23, 24), (24,), (26,), (28,), (23,), (25,), (27,), (5,),
    (2,), (8,), (7,), (31,), (), (29,), (32,), (), (30,),
)  # fmt: skip
#: And from MHR's 70.
_FROM_70: tuple[tuple[int, ...], ...] = (
    (0,), (69,), (6,), (8,), (41,), (5,), (7,), (62,), (9, 10), (10,), (12,), (14,), (9,), (11,), (13,), (2,), (1,),
    (4,), (3,), (15,), (16,), (17,), (18,), (19,), (20,),
)  # fmt: skip


@dataclass(frozen=True)
class _Style:
    """dim : of the bones, which let the joints shine.  thick : a bone's thickness in heights of the person."""

    points: tuple[int, ...]
    bones: tuple[tuple[int, int], ...]
    bone_colours: NDArray
    joint_colours: NDArray
    dim: float
    thick: float


LAYOUTS = {
    "body_25": _Style(tuple(range(25)), _BONES_25, _COLOURS_25[[end for _, end in _BONES_25]], _COLOURS_25, 1.0, 0.006),
    "coco_18": _Style(_OF_25, _BONES_18, _COLOURS_18[: len(_BONES_18)], _COLOURS_18, 0.6, 0.016),
}


def body_25(person: Person) -> NDArray[np.float64]:
    """OpenPose's 25 joints (25, 2) of a person in pixels; NaN for those that the model does not have."""
    points = np.asarray(person.keypoints_2d, np.float64)
    if len(points) == 44:  # HMR 2.0's begin with them
        return points[:25].copy()
    known = {33: _FROM_33, 70: _FROM_70}
    if len(points) not in known:
        raise BadInput(f"There is no known order of {len(points)} keypoints.", "Use people that Maquette recovered.")
    found = np.full((25, 2), np.nan)
    for number, sources in enumerate(known[len(points)]):
        if sources:
            found[number] = points[list(sources)].mean(0)
    return found


def draw(people: People, frame: int, layout: str, background: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """See `people.skeleton_picture`."""
    check_choice(layout, tuple(LAYOUTS), "layout")
    if isinstance(frame, bool) or not isinstance(frame, (int, np.integer)) or not 0 <= frame < len(people.frames):
        raise BadInput(f"There is no frame {frame}; there are {len(people.frames)}, from 0.", "Choose one of them.")
    camera = people.cameras[frame]
    picture = np.zeros((camera.height, camera.width, 3), np.uint8)
    if background is not None:
        if np.shape(background) != picture.shape or np.asarray(background).dtype != np.uint8:
            given = f"{np.shape(background)} {np.asarray(background).dtype}"
            raise BadInput(f"The background is {given} instead of {picture.shape} uint8.", "Give the photo's pixels.")
        picture[:] = background
    # Those in front are painted last.
    for person in sorted(people.frames[frame], key=lambda one: -float(one.joints[0, 2])):
        _paint(picture, body_25(person), LAYOUTS[layout])
    return picture


def _paint(picture: NDArray[np.uint8], joints: NDArray, style: _Style) -> None:
    points = joints[list(style.points)]
    known = np.isfinite(points).all(1) & (np.abs(points) < 1e5).all(1)
    if not known.any():
        return
    height = float(np.ptp(points[known], axis=0).max())
    line = max(2, round(style.thick * height))
    places = np.where(known[:, None], points, 0.0).round().astype(int)
    for (start, end), colour in zip(style.bones, style.bone_colours, strict=True):
        if known[start] and known[end]:
            shade = [int(value * style.dim) for value in colour]
            cv2.line(picture, places[start].tolist(), places[end].tolist(), shade, line)
    for place, seen, colour in zip(places.tolist(), known, style.joint_colours, strict=True):
        if seen:
            cv2.circle(picture, place, max(2, round(0.75 * line)), colour.tolist(), -1)
