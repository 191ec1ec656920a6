# SPDX-License-Identifier: GPL-3.0-or-later
"""The network with MHR, loaded; and what it reads of people, batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ....installer.models import store
from ...camera import Camera
from ...errors import MissingModel
from ...models.mhr import PATH, Rig, load_rig
from ...models.sam3d_body.backbone import KINDS
from ...models.sam3d_body.checkpoint import PUBLISHED
from ...models.sam3d_body.network import BODY, HAND, Estimate, SAM3DBody, Size, Squares, Surface, keypoints_of
from ...models.sam3d_body.pose import Head, Numbers
from ...runtime.memory import keep
from ...runtime.passes import check_finite, reporting
from ...runtime.run import Run
from ...weights import load_network
from ...weights.load import missing

#: The published networks.
SIZES = {name: Size(kind) for name, kind in KINDS.items()}
_FLIP = np.array([1.0, -1.0, -1.0], np.float32)


@dataclass(frozen=True)
class Sight:
    """Somebody in a photo. pixels (H, W, 3) uint8.  box (4,).  mask (H, W) 0..1, or None."""

    pixels: NDArray[np.uint8]
    camera: Camera
    box: NDArray[np.float32]
    mask: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Pose:
    """MHR's pose of B people: whole (B, 3), body (B, 133), shape (B, 45), scale (B, 28), hands (B, 108)."""

    whole: Tensor
    body: Tensor
    shape: Tensor
    scale: Tensor
    hands: Tensor

    @classmethod
    def of(cls, estimate: Estimate) -> Pose:
        numbers = Numbers.of(estimate.raw)
        return cls(estimate.whole, estimate.body, numbers.shape, numbers.scale, numbers.hands)


@dataclass(frozen=True)
class Reading:
    """What is known of one person, float32; metres in the camera's axes.

    parameters (204,), whole (3,), body (133,), shape (45,), scale (28,), hands (108,) : of MHR, as it is published.
    camera (3,) : scale and shift in the square.  place (3,) : of the body's origin.
    vertices (V, 3), joints (127, 3), keypoints (70, 3) : from that origin.  turns (127, 3, 3) : of the joints, in the
    body's axes.  accepted : whether the left and the right hand's own square counts.
    hand_boxes (2, 4) : the squares around the left and the right hand, pixels; None where hands were not looked at.
    """

    parameters: NDArray[np.float32]
    whole: NDArray[np.float32]
    body: NDArray[np.float32]
    shape: NDArray[np.float32]
    scale: NDArray[np.float32]
    hands: NDArray[np.float32]
    camera: NDArray[np.float32]
    place: NDArray[np.float32]
    vertices: NDArray[np.float32]
    joints: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    turns: NDArray[np.float32]
    accepted: tuple[bool, bool] = (False, False)
    hand_boxes: NDArray[np.float32] | None = None

    @property
    def is_usable(self) -> bool:
        """Whether there is a body of some size before the camera."""
        values = (self.parameters, self.vertices, self.place)
        return all(np.isfinite(value).all() for value in values) and bool(self.place[2] > 1e-3)


@dataclass(frozen=True)
class Model:
    net: SAM3DBody
    rig: Rig
    device: torch.device

    @cached_property
    def surfaces(self) -> dict[str, Surface]:
        return {end: Surface(self.rig, self.head(end).keypoint_mapping) for end in (BODY, HAND)}

    def head(self, end: str = BODY) -> Head:
        return cast("Head", self.net.part("head_pose", end))

    def look(self, squares: Squares, run: Run, message: str) -> Tensor:
        """The features of squares; see `SAM3DBody.look`."""
        with reporting(run, self.net, message):
            features = self.net.look(squares)
        check_finite([features], run)
        return features

    def readings(
        self, pose: Pose, camera: Tensor, place: Tensor, accepted: Sequence[tuple[bool, bool]],
        boxes: Sequence[NDArray[np.float32] | None],
    ) -> list[Reading]:  # fmt: skip
        """The bodies of B people."""
        head = self.head()
        parameters = head.mhr(pose.whole, pose.body, pose.scale, pose.hands, torch.zeros_like(pose.whole))
        vertices, state = self.rig.posed(pose.shape, parameters)
        keypoints = keypoints_of(head.keypoint_mapping, vertices, state)
        arrays = (
            parameters, pose.whole, pose.body, pose.shape, pose.scale, pose.hands, camera, place,
            vertices / 100, state.places / 100, keypoints, state.turns,
        )  # fmt: skip
        plain = [one.float().cpu().numpy() for one in arrays]
        plain[8], plain[9] = plain[8] * _FLIP, plain[9] * _FLIP
        names = [one.name for one in fields(Reading)][: len(plain)]
        rows = zip(*plain, strict=True)
        return [
            Reading(**dict(zip(names, row, strict=True)), accepted=own, hand_boxes=box)
            for row, own, box in zip(rows, accepted, boxes, strict=True)
        ]


def load_model(run: Run) -> Model:
    """The user's network and rig. Raises `MissingModel`, which names what is missing, and `BadModelFile`."""
    assert run.model is not None
    kind = str(run.model.options["backbone"])
    places = {path: store.find(path, run.models_dir) for path in (PUBLISHED[kind].path, PATH)}
    lacking = [
        missing(source, path)
        for path, source in places.items()
        if not (source.exists() or source.with_suffix(".safetensors").exists())
    ]
    if lacking:
        told, ways = (" ".join(getattr(one, part) for one in lacking) for part in ("message", "remedy"))
        raise MissingModel(told, ways, lacking[0].operator, lacking[0].arguments)
    key = (*run.model_key, SIZES[kind], run.half)
    return keep(key, lambda: _loaded(run, kind))


def _loaded(run: Run, kind: str) -> Model:
    rig = load_rig(run)
    size = SIZES[kind]
    net = cast("SAM3DBody", load_network(run, PUBLISHED[kind], lambda: SAM3DBody(size), keep_types=True))
    short = run.half and run.device.startswith(("cuda", "xpu"))
    net.seen.computing_in(torch.bfloat16 if short else torch.float32, whole=run.device != "cpu")
    return Model(net, rig, run.torch_device)
