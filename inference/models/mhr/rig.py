# SPDX-License-Identifier: GPL-3.0-or-later
"""MHR's rig: from 204 parameters and a person's shape to joints and skin.

Parameters become, by one matrix, seven numbers a joint: a step, three angles and the logarithm of a scale. Skin is
blended linearly from a rest surface, to which a small network of the joints' turns adds what bulges and folds.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from ...errors import BadModelFile
from ...runtime.memory import keep
from ...weights import Published, state_dict

if TYPE_CHECKING:
    from ...runtime.run import Run

#: Below the root of the model files.
PATH = "sam-3d-body/mhr_model.pt"
JOINTS, PARAMETERS, SHAPES, EXPRESSIONS = 127, 204, 45, 72
#: The first joint whose turn moves the correctives, and what they see of each: two columns of its matrix.
_FIRST, _FEATURES = 2, 6
#: Rows of the correctives that are made float32 at a time: on the CPU as many as its cache holds.
_ROWS = {"cpu": 256}

_CHARACTER = "character_torch."
#: Published name -> ours.
_NAMES = {
    f"{_CHARACTER}blend_shape.base_shape": "base",
    f"{_CHARACTER}blend_shape.shape_vectors": "shapes",
    "face_expressions_model.shape_vectors": "expressions",
    f"{_CHARACTER}parameter_transform.parameter_transform": "transform",
    f"{_CHARACTER}skeleton.joint_translation_offsets": "offsets",
    f"{_CHARACTER}skeleton.joint_prerotations": "prerotations",
    f"{_CHARACTER}skeleton.joint_parents": "parents",
    f"{_CHARACTER}linear_blend_skinning.inverse_bind_pose": "inverse_bind",
    f"{_CHARACTER}linear_blend_skinning.skin_indices_flattened": "skin_joints",
    f"{_CHARACTER}linear_blend_skinning.skin_weights_flattened": "skin_weights",
    f"{_CHARACTER}linear_blend_skinning.vert_indices_flattened": "skin_vertices",
    f"{_CHARACTER}mesh.faces": "faces",
    f"{_CHARACTER}mesh.texcoords": "uvs",
    f"{_CHARACTER}mesh.texcoord_faces": "uv_faces",
    "pose_correctives_model.pose_dirs_predictor.0.sparse_indices": "sparse_indices",
    "pose_correctives_model.pose_dirs_predictor.0.sparse_weight": "sparse_weights",
    "pose_correctives_model.pose_dirs_predictor.2.weight": "correctives",
}
_OPTIONAL = ("uvs", "uv_faces")


class JointState(NamedTuple):
    """The joints in the body's axes. places (B, 127, 3) centimetres; turns (B, 127, 3, 3); scales (B, 127)."""

    places: Tensor
    turns: Tensor
    scales: Tensor


@dataclass(frozen=True)
class Rig:
    """V vertices (or some of them, see `part`); all on one device.

    base (V, 3).  shapes (45, V, 3).  expressions (72, V, 3).  transform (889, 204).  offsets (127, 3).
    prerotations (127, 4) x, y, z, w.  parents : 127 numbers, -1 for the first.  inverse_bind (127, 8) place,
    quaternion, scale.  skin_joints, skin_weights (V, 4).  faces (F, 3).  sparse (3000, 750), of which few are not 0.
    correctives (3 V, 3000), half precision or float32.  uvs (F, 3, 2) or None.
    """

    base: Tensor
    shapes: Tensor
    expressions: Tensor
    transform: Tensor
    offsets: Tensor
    prerotations: Tensor
    parents: tuple[int, ...]
    inverse_bind: Tensor
    skin_joints: Tensor
    skin_weights: Tensor
    faces: Tensor
    sparse: Tensor
    correctives: Tensor
    uvs: Tensor | None = None

    def to(self, device: torch.device) -> Rig:
        """The same rig on a device."""
        moved = {field.name: getattr(self, field.name) for field in fields(self)}
        tensors = {name: one.to(device) for name, one in moved.items() if isinstance(one, Tensor)}
        return replace(self, **tensors)

    def part(self, vertices: Tensor) -> Rig:
        """The rig with some of its vertices alone, whose correctives are float32; without faces."""
        rows = (vertices[:, None] * 3 + torch.arange(3, device=vertices.device)).reshape(-1)
        return replace(
            self, base=self.base[vertices], shapes=self.shapes[:, vertices], expressions=self.expressions[:, vertices],
            skin_joints=self.skin_joints[vertices], skin_weights=self.skin_weights[vertices], faces=self.faces[:0],
            correctives=self.correctives[rows].float(), uvs=None,
        )  # fmt: skip

    @property
    def exact(self) -> torch.dtype:
        """What joints are computed in: 64 bits where the device has them."""
        return torch.float32 if self.base.device.type == "mps" else torch.float64

    @cached_property
    def levels(self) -> list[tuple[Tensor, Tensor]]:
        """The joints with their parents, level by level from the root's children on."""
        depth = [0] * len(self.parents)
        for joint, parent in enumerate(self.parents):
            depth[joint] = depth[parent] + 1 if parent >= 0 else 0
        groups = [[joint for joint, own in enumerate(depth) if own == level] for level in range(1, max(depth) + 1)]
        device = self.base.device
        return [
            (torch.tensor(group, device=device), torch.tensor([self.parents[joint] for joint in group], device=device))
            for group in groups
        ]

    @cached_property
    def prematrices(self) -> Tensor:
        """(127, 3, 3), each joint's turn against its parent before its angles."""
        return quaternion_matrices(self.prerotations.to(self.exact))

    @cached_property
    def bind(self) -> Tensor:
        """(127, 4, 4), from the body's axes to those of each joint as the skin was bound."""
        matrix = torch.eye(4, dtype=self.exact, device=self.base.device).repeat(len(self.parents), 1, 1)
        inverse = self.inverse_bind.to(self.exact)
        matrix[:, :3, :3] = inverse[:, 7, None, None] * quaternion_matrices(inverse[:, 3:7])
        matrix[:, :3, 3] = inverse[:, :3]
        return matrix

    def joint_parameters(self, parameters: Tensor) -> Tensor:
        """(B, 127, 7) of parameters (B, 204)."""
        return (parameters @ self.transform.T).unflatten(-1, (-1, 7))

    def state(self, joint_parameters: Tensor) -> tuple[JointState, Tensor]:
        """The joints of (B, 127, 7), and the turn (B, 127, 3, 3) of each by its angles alone."""
        values = joint_parameters.to(self.exact)
        turned = euler_matrices(values[..., 3:6])
        steps, own = self.offsets.to(self.exact) + values[..., :3], torch.exp2(values[..., 6])
        local = self.prematrices @ turned
        places, turns, scales = steps.clone(), local.clone(), own.clone()
        for joints, above in self.levels:
            step = (turns[:, above] @ steps[:, joints, :, None])[..., 0]
            places[:, joints] = places[:, above] + scales[:, above, None] * step
            turns[:, joints] = turns[:, above] @ local[:, joints]
            scales[:, joints] = scales[:, above] * own[:, joints]
        return JointState(places, turns, scales), turned

    def rest(self, shape: Tensor, expression: Tensor | None = None) -> Tensor:
        """The surface (B, V, 3) as it was bound, of shapes (B, 45) and expressions (B, 72)."""
        surface = self.base + torch.tensordot(shape, self.shapes, 1)
        return surface if expression is None else surface + torch.tensordot(expression, self.expressions, 1)

    def corrected(self, turned: Tensor) -> Tensor:
        """What turns (B, 127, 3, 3) of the joints by their angles add to the surface (B, V, 3), before skinning."""
        columns = turned[:, _FIRST:, :, :2].clone()
        columns[..., 0, 0] -= 1
        columns[..., 1, 1] -= 1
        features = columns.transpose(-1, -2).reshape(len(turned), -1).float()
        hidden = torch.relu(features @ self.sparse.T)
        used = torch.empty(len(self.correctives), len(turned), device=hidden.device)
        rows = _ROWS.get(hidden.device.type, 1 << 14)
        room = torch.empty(rows, hidden.shape[1], device=hidden.device)
        for start in range(0, len(used), rows):
            some = self.correctives[start : start + rows]
            given = some if some.dtype == torch.float32 else room[: len(some)].copy_(some)
            torch.mm(given, hidden.T, out=used[start : start + rows])
        return used.T.unflatten(-1, (-1, 3))

    def skinned(self, state: JointState, surface: Tensor) -> Tensor:
        """The surface (B, V, 3) moved by the joints, in the body's axes."""
        moved = torch.cat([state.scales[..., None, None] * state.turns, state.places[..., None]], -1) @ self.bind
        blended = torch.einsum("bvkrc,vk->bvrc", moved.float()[:, self.skin_joints], self.skin_weights)
        return (blended[..., :3] @ surface[..., None])[..., 0] + blended[..., 3]

    def posed(
        self, shape: Tensor, parameters: Tensor, expression: Tensor | None = None, *, correctives: bool = True
    ) -> tuple[Tensor, JointState]:
        """Vertices (B, V, 3) and joints of shapes (B, 45), parameters (B, 204) and expressions (B, 72)."""
        state, turned = self.state(self.joint_parameters(parameters))
        surface = self.rest(shape, expression)
        return self.skinned(state, surface + self.corrected(turned) if correctives else surface), state


def euler_matrices(angles: Tensor) -> Tensor:
    """Rz Ry Rx (..., 3, 3) of angles (..., 3) about x, y and z."""
    (a, b, c), (d, e, f) = angles.cos().unbind(-1), angles.sin().unbind(-1)
    rows = [
        b * c, d * e * c - a * f, a * e * c + d * f,
        b * f, d * e * f + a * c, a * e * f - d * c,
        -e, d * b, a * b,
    ]  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def quaternion_matrices(quaternions: Tensor) -> Tensor:
    """Matrices (..., 3, 3) of quaternions (..., 4) x, y, z, w."""
    x, y, z, w = torch.nn.functional.normalize(quaternions, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def load_rig(run: Run) -> Rig:
    """The user's rig on the run's device, kept in memory. Raises `MissingModel` and `BadModelFile`."""
    key = (*run.model_key[1:], PATH) if run.model else (run.models_dir, run.device, PATH)
    return keep(key, lambda: rig_of(state_dict(run, PUBLISHED)).to(run.torch_device))


def rig_of(tensors: dict[str, Tensor]) -> Rig:
    """The rig of converted tensors. Raises `BadModelFile` where they do not fit together."""
    given = dict(tensors)
    parents = given.pop("parents")
    try:
        rig = Rig(**given, parents=tuple(parents.tolist()))
        if _fits(rig):
            return rig
    except (TypeError, IndexError, RuntimeError):
        pass
    raise BadModelFile("The file of the body MHR does not hold what that body has.", _REMEDY)


_REMEDY = "Take mhr_model.pt of MHR 1.0.1 from its page, and put it there unchanged."


def _fits(rig: Rig) -> bool:
    count, hidden = len(rig.base), len(rig.sparse)
    shapes = {
        "base": (count, 3), "shapes": (SHAPES, count, 3), "expressions": (EXPRESSIONS, count, 3),
        "transform": (7 * JOINTS, PARAMETERS), "offsets": (JOINTS, 3), "prerotations": (JOINTS, 4),
        "inverse_bind": (JOINTS, 8), "sparse": (hidden, _FEATURES * (JOINTS - _FIRST)),
        "correctives": (3 * count, hidden),
    }  # fmt: skip
    same = all(tuple(getattr(rig, name).shape) == shape for name, shape in shapes.items())
    order = all(-1 <= parent < joint for joint, parent in enumerate(rig.parents)) and len(rig.parents) == JOINTS
    known = 0 <= int(rig.faces.min()) <= int(rig.faces.max()) < count and int(rig.skin_joints.max()) < JOINTS
    return same and order and known and rig.parents[0] == -1


def _converted(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Published tensors -> those of `Rig` without its parents' type: weights a vertex, correctives in half precision.

    Raises KeyError for a file that lacks one.
    """
    found = {ours: tensors[name] for name, ours in _NAMES.items() if ours not in _OPTIONAL or name in tensors}
    count = len(found["base"])
    joints, weights = _by_vertex(
        count, found.pop("skin_vertices").long(), found.pop("skin_joints").long(), found.pop("skin_weights").float()
    )
    indices, values = found.pop("sparse_indices").long(), found.pop("sparse_weights").float()
    hidden = found["correctives"].shape[1]
    sparse = torch.zeros(hidden, _FEATURES * (JOINTS - _FIRST))
    sparse[indices[0], indices[1]] = values
    uvs, corners = found.pop("uvs", None), found.pop("uv_faces", None)
    if uvs is not None and corners is not None and len(corners) == len(found["faces"]):
        found["uvs"] = uvs.float()[corners.long()]
    kinds = {"parents": torch.int32, "faces": torch.int32, "correctives": torch.float16}
    plain = {name: one.to(kinds.get(name, torch.float32)).contiguous() for name, one in found.items()}
    plain["transform"] = plain["transform"][:, :PARAMETERS].contiguous()
    return {**plain, "skin_joints": joints, "skin_weights": weights, "sparse": sparse}


def _by_vertex(count: int, vertices: Tensor, joints: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """(V, 4) joints and weights of lists; where fewer joints move a vertex, the rest weighs nothing."""
    order = torch.argsort(vertices, stable=True)
    vertices, joints, weights = vertices[order], joints[order], weights[order]
    starts = torch.searchsorted(vertices, torch.arange(count))
    place = torch.arange(len(vertices)) - starts[vertices]
    most = int(place.max()) + 1
    table, share = torch.zeros(count, most, dtype=torch.int64), torch.zeros(count, most)
    table[vertices, place], share[vertices, place] = joints, weights
    return table, share


PUBLISHED = Published(PATH, _converted, script=True)
