# SPDX-License-Identifier: GPL-3.0-or-later
"""MHR as a `results.Body`, and what is read of people as `results.Person`s of it.

MHR's build is not linear: scales of joints change the skeleton, and the rest surface with it. So the body of a result
has directions of its own: the first makes everybody larger as a whole, and each person's build is one of the others.
Joint turns are those of MHR against its rest; joints that also move off their place have `Person.offsets`; what MHR's
skin does beyond following its bones is in `Person.vertices`, of which `Person.correctives` are told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from ...geometry.rotations import quaternions_of, rotation_matrices
from ...geometry.skinning import chain
from ...models.mhr import JointState
from ...models.mhr.names import JOINT_NAMES
from ...results import Body
from .model import Model, Reading

LICENCE = "Apache-2.0 (MHR, (C) 2025 Meta); poses read by SAM 3D Body under the SAM License"
_FLIP = np.array([1.0, -1.0, -1.0])
#: Steps (metres) of joints off their place that are taken for rounding.
_STILL = 2e-6


@dataclass(frozen=True)
class Build:
    """How somebody is built. shape (45,), scale (28,) : of the network."""

    shape: NDArray[np.float32]
    scale: NDArray[np.float32]

    @classmethod
    def typical(cls, readings: Sequence[Reading]) -> Build:
        """The middle one of somebody's frames, which a few bad ones do not pull aside."""
        return cls(*(np.median([getattr(one, name) for one in readings], axis=0) for name in ("shape", "scale")))


@dataclass(frozen=True)
class Rest:
    """Somebody at rest: metres, camera axes. vertices (V, 3), joints (127, 3), turns (127, 3, 3), scales (127,).

    bound (V, 3) : the surface as it was bound, centimetres in the body's axes.
    """

    vertices: NDArray[np.float64]
    joints: NDArray[np.float64]
    turns: NDArray[np.float64]
    scales: NDArray[np.float64]
    bound: NDArray[np.float32]


class People3D:
    """The people of one result on MHR. builds : of each; their directions of shape are numbered as they are."""

    def __init__(self, model: Model, builds: Sequence[Build]) -> None:
        self.model, self.builds = model, list(builds)

    @cached_property
    def average(self) -> Rest:
        return self._rest(Build(np.zeros(45, np.float32), np.zeros(28, np.float32)))

    @cached_property
    def rests(self) -> list[Rest]:
        return [self._rest(build) for build in self.builds]

    @torch.inference_mode()
    def _rest(self, build: Build) -> Rest:
        rig, head = self.model.rig, self.model.head()
        shape, scale = (
            torch.from_numpy(np.asarray(one, np.float32))[None].to(self.model.device)
            for one in (build.shape, build.scale)
        )
        parameters = torch.cat([scale.new_zeros(1, 136), head.scales(scale)], 1)
        state, _ = rig.state(rig.joint_parameters(parameters))
        bound = rig.rest(shape)
        vertices = rig.skinned(state, bound)[0].double().cpu().numpy() / 100 * _FLIP
        places, turns, scales = (part[0].cpu().numpy() for part in state)
        flipped = turns * _FLIP[:, None] * _FLIP
        return Rest(vertices, places / 100 * _FLIP, flipped, scales, bound[0].cpu().numpy())

    @cached_property
    def body(self) -> Body:
        rig, rest = self.model.rig, self.average
        weights = np.zeros((len(rest.vertices), len(JOINT_NAMES)), np.float32)
        columns, shares = rig.skin_joints.cpu().numpy(), rig.skin_weights.cpu().numpy()
        np.add.at(weights, (np.arange(len(weights))[:, None], columns), shares)
        joints = np.stack([rest.joints, *(one.joints - rest.joints for one in self.rests)])
        vertices = np.stack([rest.vertices, *(one.vertices - rest.vertices for one in self.rests)])
        return Body(
            name="MHR",
            licence=LICENCE,
            vertices=rest.vertices.astype(np.float32),
            faces=rig.faces.cpu().numpy(),
            joint_names=JOINT_NAMES,
            parents=np.array(rig.parents, np.int32),
            joints=rest.joints.astype(np.float32),
            skin_weights=weights,
            shape_blend_shapes=vertices.astype(np.float32),
            joint_blend_shapes=joints.astype(np.float32),
            uvs=None if rig.uvs is None else rig.uvs.cpu().numpy(),
            joint_axes=_bone_axes(rest.turns),
            expressions=(rig.expressions.cpu().numpy() / 100 * _FLIP.astype(np.float32)),
        )

    def shape(self, number: int) -> NDArray[np.float32]:
        """The coefficients (1 + N,) of the person of this number."""
        return np.eye(1 + len(self.builds), dtype=np.float32)[1 + number]

    def motion(self, reading: Reading, number: int) -> tuple[NDArray, NDArray, NDArray]:
        """A reading of the person of this number: rotations (127, 4), translation (3,) and offsets (127, 3)."""
        rest = self.rests[number]
        turned = (reading.turns.astype(np.float64) * _FLIP[:, None] * _FLIP) @ np.swapaxes(rest.turns, 1, 2)
        parents = np.maximum(self.body.parents, 0)
        above = turned[parents]
        above[0] = np.eye(3)
        local = np.swapaxes(above, 1, 2) @ turned
        places = reading.joints.astype(np.float64)
        steps = (np.swapaxes(above, 1, 2) @ (places - places[parents])[..., None])[..., 0]
        offsets = steps - (rest.joints - rest.joints[parents])
        offsets[0] = 0
        offsets[np.abs(offsets).max(1) < _STILL] = 0
        return quaternions_of(local), places[0] + reading.place - rest.joints[0], offsets

    @torch.inference_mode()
    def pose(
        self, shape: NDArray, rotations: NDArray, translation: NDArray, offsets: NDArray | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Vertices (V, 3), joints (127, 3) and correctives (V, 3) of a person, metres in camera axes.

        shape (1 + N,) : of one person, who may be made larger as a whole.  rotations (127, 4).  translation (3,).
        offsets (127, 3) : of joints off their place.
        """
        number = int(np.argmax(shape[1:]))
        rest, size, rig = self.rests[number], 1 + float(shape[0]), self.model.rig
        turns = rotation_matrices(np.asarray(rotations, np.float64))
        steps = np.zeros_like(rest.joints) if offsets is None else np.asarray(offsets, np.float64)
        world, places = chain(self.body.parents, rest.joints[None], turns[None], np.zeros((1, 3)), steps[None])
        own = (world[0] @ rest.turns) * _FLIP[:, None] * _FLIP
        device = self.model.device
        state = JointState(
            *(
                torch.from_numpy(part)[None].to(device, rig.exact)
                for part in (places[0] * _FLIP * 100, own, rest.scales)
            )
        )
        above = own[np.maximum(self.body.parents, 0)]
        above[0] = np.eye(3)
        local = torch.from_numpy(np.swapaxes(above, 1, 2) @ own).to(device, rig.exact)
        added = rig.corrected((rig.prematrices.transpose(1, 2) @ local)[None])
        surface = torch.from_numpy(rest.bound)[None].to(device)
        moved = rig.skinned(state, surface + added)[0].double().cpu().numpy() / 100 * _FLIP
        place = np.asarray(translation, np.float64)
        vertices, joints = size * moved + place, size * places[0] + place
        return tuple(  # type: ignore[return-value]
            part.astype(np.float32) for part in (vertices, joints, self.at_rest(added[0].cpu().numpy(), number) * size)
        )

    def keypoints(self, vertices: NDArray, joints: NDArray, translation: NDArray) -> NDArray[np.float32]:
        """The 70 keypoints (70, 3) of a body that `pose` has posed and placed."""
        points = np.concatenate([vertices, joints]) - translation
        mapping = self.model.head().keypoint_mapping.cpu().numpy()
        return (mapping @ points + translation).astype(np.float32)

    def at_rest(self, added: NDArray, number: int) -> NDArray[np.float32]:
        """What is added to the surface as it was bound (V, 3), centimetres, as it shows on somebody at rest, metres."""
        return (added / 100 * _FLIP * (self.body.skin_weights @ self.rests[number].scales)[:, None]).astype(np.float32)

    @torch.inference_mode()
    def corrected(self, parameters: NDArray, number: int) -> NDArray[np.float32]:
        """The correctives (V, 3) of MHR's parameters (204,), see `Person.correctives`."""
        rig = self.model.rig
        values = torch.from_numpy(np.asarray(parameters, np.float32))[None].to(self.model.device)
        _, turned = rig.state(rig.joint_parameters(values))
        return self.at_rest(rig.corrected(turned)[0].cpu().numpy(), number)


def on_build(reading: Reading, build: Build, model: Model) -> Reading:
    """A reading with another build: the joints turn as they did."""
    from .model import Pose

    with torch.inference_mode():
        tensors = {
            name: torch.from_numpy(np.asarray(value, np.float32))[None].to(model.device)
            for name, value in (
                ("whole", reading.whole), ("body", reading.body), ("shape", build.shape), ("scale", build.scale),
                ("hands", reading.hands),
            )
        }  # fmt: skip
        camera, place = (torch.from_numpy(one)[None].to(model.device) for one in (reading.camera, reading.place))
        made = model.readings(Pose(**tensors), camera, place, [reading.accepted], [reading.hand_boxes])[0]
    return replace(made, camera=reading.camera)


def _bone_axes(turns: NDArray) -> NDArray[np.float64]:
    """(127, 3, 3) bones' own axes at rest, camera axes: y along the bone. MHR's bones run along +x of their joints on
    the left and in the middle, and along -x on the right."""
    sign = np.array([-1.0 if name.startswith("r_") else 1.0 for name in JOINT_NAMES])
    along, facing = sign[:, None] * turns[:, :, 0], turns[:, :, 2]
    return np.stack([np.cross(along, facing), along, facing], -1)
