# SPDX-License-Identifier: GPL-3.0-or-later
"""A camera of the scene as it moves by itself: what an artist's tracker, keys, constraints or parents do to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from bpy.types import Image, Object, Scene
from numpy.typing import NDArray

from ....inference.camera import Lens
from ..bodies import reading
from . import matched


def way_of(
    camera_object: Object, frames: Sequence[int], scene: Scene, photo_image: Image | None = None
) -> tuple[tuple[Lens, ...], NDArray[np.float64]]:
    """The camera's lens in each of these frames, and (T, 4, 4) world from its Blender axes; nothing else is evaluated.
    photo_image : see `matched.lens_of`, which also raises BadInput for a camera without perspective."""
    fill = matched.lens_of(camera_object, scene, photo_image).fill
    lenses, poses = [], np.empty((len(frames), 4, 4))
    with reading.alone(scene, camera_object) as stage:
        stage.active_clip = scene.active_clip  # which the tracker's constraint follows
        for number, frame in enumerate(frames):
            evaluated = reading.evaluated_at(stage, camera_object, frame)
            lenses.append(replace(matched.lens_of(evaluated, scene), fill=fill))
            poses[number] = evaluated.matrix_world
    return tuple(lenses), poses
