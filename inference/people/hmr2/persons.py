# SPDX-License-Identifier: GPL-3.0-or-later
"""From the network's answer to a `results.Person` before the photo's camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ...geometry.rasteriser import rasterise
from ...results import Person
from ..boxes import separate_masks
from . import placing
from .body import to_opencv_rotations, to_opencv_translation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...camera import Camera
    from ...runtime.run import Run
    from .answers import NetworkOutput
    from .body import Template
    from .crops import Crop
    from .find import Detection

#: Out of the picture a joint's confidence falls by this share of the person's square.
_OUT_OF_SIGHT = 0.05


def make_person(template: Template, found: Detection, crop: Crop, answer: NetworkOutput, camera: Camera) -> Person:
    """The person as the network sees it, without a mask."""
    rotations = to_opencv_rotations(answer.matrices)
    at_origin = to_opencv_translation(template.body, answer.shape, np.zeros(3))
    vertices, joints = template.pose(answer.shape, rotations, at_origin)
    keypoints = template.keypoints(vertices, joints)
    place = placing.translation(keypoints, answer.camera, crop, camera)
    # Added last, and in float32, as the reference adds it.
    step = place.astype(np.float32)
    seen = placing.picture_keypoints(placing.crop_keypoints(keypoints, answer.camera), crop)
    x0, y0, x1, y1 = (float(edge) for edge in found.box)
    return Person(
        track_id=0,
        box=(x0, y0, x1, y1),
        score=found.score,
        mask=None,
        vertices=vertices + step,
        joints=joints + step,
        keypoints_2d=seen,
        rotations=rotations,
        shape=answer.shape.astype(np.float32),
        translation=to_opencv_translation(template.body, answer.shape, place),
        confidence=found.score * in_sight(camera.project(joints + step), crop.size, camera),
        keypoints_3d=keypoints + step,
        crop_camera=answer.camera.astype(np.float32),
    )


def in_sight(pixels: NDArray, size: float, camera: Camera) -> NDArray[np.float32]:
    """How far (J,) joints at these pixels (J, 2) are inside the picture: 1 inside, soon 0 outside.

    size : pixels of the square around the person.
    """
    limits = np.array([camera.width, camera.height])
    outside = np.maximum(np.maximum(-pixels, pixels - limits), 0).max(-1) / (_OUT_OF_SIGHT * max(size, 1))
    return np.exp(-np.minimum(outside, 50)).astype(np.float32)


def with_masks(
    people: Sequence[tuple[Detection | None, Person]], faces: NDArray, camera: Camera, run: Run
) -> list[Person]:
    """The people of a photo with the masks that the finder draws, or else the outlines of their bodies.

    No pixel is of two people: of masks it is the one's that claims it most, of outlines the nearest's.
    """
    found = [None if one is None or one.mask is None else one.mask for one, _ in people]
    if people and all(draw is not None for draw in found):
        masks = separate_masks([draw(camera.height, camera.width) for draw in found if draw is not None])
        return [replace(person, mask=mask) for (_, person), mask in zip(people, masks, strict=True)]
    nearest = np.full((camera.height, camera.width), np.inf, np.float32)
    owner = np.full(nearest.shape, -1, np.int32)
    for number, (_, person) in enumerate(people):
        run.report(number / len(people), "Drawing masks")
        depth, _ = rasterise(person.vertices, faces, camera)
        front = (depth > 0) & (depth < nearest)
        nearest[front], owner[front] = depth[front], number
    return [replace(person, mask=(owner == number).astype(np.float32)) for number, (_, person) in enumerate(people)]
