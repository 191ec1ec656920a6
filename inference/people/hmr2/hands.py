# SPDX-License-Identifier: GPL-3.0-or-later
"""Wrists of SMPL's bodies, and fingers of SMPL+H's and SMPL-X's, as the hand networks see them.

The hands are looked for where the bodies' own wrists lie in the picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...shipped.crops import Pyramid, Region
from ...shipped.pose import PoseLandmarks
from ..clip.hands import fitted_to, set_hands
from ..fit.hands import finger_joints, follow_hands, read_hands, with_hands

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...camera import Camera
    from ...photo import Photo
    from ...results import Body, Person
    from ...runtime.run import Run
    from ...shipped.hand import HandLandmarks
    from ..clip.motion import Spell
    from .body import Template

#: Landmarks of the pose network that SMPL's joints are, and those of the hand beyond the wrist, in forearms from it.
_ARMS = {
    "left": ({11: "left_shoulder", 13: "left_elbow", 15: "left_wrist"}, (17, 19)),
    "right": ({12: "right_shoulder", 14: "right_elbow", 16: "right_wrist"}, (18, 20)),
}
_BEYOND = 0.35


def turn_wrists(template: Template, people: Sequence[Person], photo: Photo, camera: Camera, run: Run) -> list[Person]:
    """The people of a photo with wrists and fingers as their hands show them; where these are not seen wrists stay as
    they are, and relaxed fingers are less sure."""
    landmarks = [arm_landmarks(template.body, person.joints, camera) for person in people]
    turned = []
    for person, own in zip(people, read_hands(Pyramid(photo.pixels), landmarks, camera, run), strict=True):
        if own or finger_joints(template.body, "left"):
            rotations, sure = with_hands(template.body, person.rotations[None], person.confidence[None], [own])
            turns = rotations[0].astype(np.float32)
            vertices, joints = template.pose(person.shape, turns, person.translation)
            points = template.keypoints(vertices, joints)
            person = replace(person, rotations=turns, vertices=vertices, joints=joints, confidence=sure[0])
            person = replace(person, keypoints_3d=points)
        turned.append(person)
    return turned


def look_at_hands(
    template: Template, people: Sequence[Person], photo: Photo, camera: Camera, run: Run
) -> list[dict[str, HandLandmarks]]:
    """The hands of a clip's people in one frame, each frame for itself: where those were before is not asked."""
    arms = [arm_landmarks(template.body, person.joints, camera) for person in people]
    return follow_hands(photo.pixels, arms, [{}] * len(arms), run)


def turn_spells(
    template: Template, spells: Sequence[Spell], hands: Sequence[Mapping[int, Mapping[str, HandLandmarks]]],
    cameras: Sequence[Camera], strength: float,
) -> list[Spell]:  # fmt: skip
    """The motions with wrists and fingers as their hands show them (see `look_at_hands`)."""
    fits = [fitted_to(own, cameras) for own in hands]
    return [set_hands(template.body, spell, fits[spell.track], strength) for spell in spells]


def arm_landmarks(body: Body, joints: NDArray, camera: Camera) -> PoseLandmarks:
    """The arms of a body (J, 3), camera axes, as the pose network would show them; of all else nothing is seen."""
    points, world, known = np.zeros((39, 2), np.float32), np.zeros((39, 3), np.float32), np.zeros(39, np.float32)
    for chain, fingers in _ARMS.values():
        at = [body.joint_names.index(name) for name in chain.values()]
        world[list(chain)], points[list(chain)] = joints[at], camera.project(joints[at])
        known[list(chain)] = 1
        elbow, wrist = list(chain)[1:]
        points[list(fingers)] = points[wrist] + _BEYOND * (points[wrist] - points[elbow])
    none, place = np.zeros(39, np.float32), Region(0.0, 0.0, 1.0)
    matrix, mask = np.zeros((2, 3)), np.zeros((1, 1), np.float32)
    return PoseLandmarks(points, world, known, known, 1.0, 1.0, none, none, known, 0.0, place, matrix, mask)
