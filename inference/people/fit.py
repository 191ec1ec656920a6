# SPDX-License-Identifier: GPL-3.0-or-later
"""Fit the body to what the pose network saw (being written: this is the agreed interface)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..builtin.pose import PoseLandmarks
    from ..camera import Camera
    from ..runtime import Run


@dataclass(frozen=True)
class Fit:
    """One fitted body.

    shape : (S,) float32.  attributes : the same as named traits.
    rotations : (J, 4) float32 unit quaternions (w, x, y, z), rest-pose axes.  translation : (3,) float32 metres.
    confidence : (J,) float32 0..1.
    residual : metres, mean distance of the seen body landmarks to the fitted ones, after centring (3D).
    reprojection : pixels, mean over the seen body landmarks.
    stature : metres.
    """

    shape: NDArray[np.float32]
    attributes: Mapping[str, float]
    rotations: NDArray[np.float32]
    translation: NDArray[np.float32]
    confidence: NDArray[np.float32]
    residual: float
    reprojection: float
    stature: float


def fit_people(
    landmarks: Sequence[PoseLandmarks],
    cameras: Sequence[Camera],
    run: Run,
    *,
    masks: Sequence[NDArray | None] | None = None,
    persons: Sequence[int] | None = None,
    refine: bool = False,
) -> list[Fit]:
    """Fit one body to each observation; everything given at once is optimised together.

    landmarks : one entry an observation (a person in a frame).  cameras : its frame's camera, one an observation.
    masks : (H, W) float32 person mask of each observation, or None to leave its outline out.
    persons : number of the person that each observation shows; observations of one person are in the order of the
        frames, get ONE shape, and of the poses that explain a frame equally well the one nearest its neighbours'
        is taken. None: every observation is a person of its own.
    refine : more steps; the reprojection error never grows.

    Returns the fits in the order of the observations.
    """
    raise NotImplementedError
