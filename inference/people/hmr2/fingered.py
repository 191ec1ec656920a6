# SPDX-License-Identifier: GPL-3.0-or-later
"""HMR 2.0's people, who are SMPL's, on another body of the family that the user has: SMPL+H or SMPL-X, with fingers.

The turns of the 22 joints that all of them have are carried over. SMPL's own hand joints, which bend all fingers as
one, are left out: the network was shown next to no hands. The shape is the one whose surface (SMPL+H, which has SMPL's
vertices) or joints (SMPL-X, whose vertices are others) are nearest, and the body is put where these joints were.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import MissingModel
from ...geometry import rotations as quaternion
from ...geometry.rotations import rotation_matrices
from ...geometry.skinning import chain
from ...weights.smpl import FAMILY, GENDERS, LicensedBody, load_body
from ..clip.motion import rest_joints
from ..fit.fingers import finger_joints, relaxed_turns
from ..fit.hands import SIDES, to_ours
from .body import JOINT_NAMES, ON_BODY, Template

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ...results import Body, Person
    from ..clip.motion import Spell

#: The joints that all bodies of the family have, in the same order; and of these the limbs, with what they end at.
SHARED = JOINT_NAMES.index("left_hand")
_LIMBS = {
    JOINT_NAMES.index(f"{side}_{joint}"): JOINT_NAMES.index(f"{side}_{end}")
    for side in SIDES
    for joint, end in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
}
#: Metres to which a surface of the same vertices, or joints that were learnt apart, are to agree; against shapes that
#: are as likely as the family's.
_SURFACE, _JOINTS = 1e-3, 1e-2
#: Vertices that a keypoint is a mean of on a body whose vertices are not SMPL's.
_NEAR = 32


@dataclass(frozen=True)
class Fingered:
    """From SMPL's people to those of another body.

    source : SMPL.  target : the other, with keypoints.  shapes : (1 + 10, S) its coefficients for 1 and SMPL's.
    """

    source: Template
    target: Template
    shapes: NDArray[np.float64]

    def person(self, person: Person) -> Person:
        """Somebody of a photo. Pixels and masks stay as they are."""
        moved = self._moved(
            person.rotations[None].astype(np.float64), person.translation[None], person.shape, person.confidence[None]
        )
        rows = {name: (value if name == "shape" else value[0]).astype(np.float32) for name, value in moved.items()}
        vertices, joints = self.target.pose(rows["shape"], rows["rotations"], rows["translation"])
        points = self.target.keypoints(vertices, joints)
        return replace(person, vertices=vertices, joints=joints, keypoints_3d=points, **rows)

    def spell(self, spell: Spell) -> Spell:
        """Somebody of a clip."""
        motion = spell.motion
        moved = self._moved(motion.rotations, motion.translation, motion.shape, motion.confidence)
        return replace(spell, motion=replace(motion, **moved))

    def _moved(self, turns: NDArray, path: NDArray, shape: NDArray, confidence: NDArray) -> dict[str, NDArray]:
        """rotations (T, J, 4), translation (T, 3), shape (S,) and confidence (T, J) of rotations (T, 24, 4) and so on;
        limbs point where SMPL's do, fingers are relaxed, and are as sure as what they hang on."""
        body, own = self.target.body, np.concatenate([[1.0], shape]) @ self.shapes
        theirs, rest = rest_joints(self.source.body, shape), rest_joints(body, own)
        laid = np.tile(quaternion.IDENTITY, (SHARED, 1))
        for joint, end in _LIMBS.items():
            laid[joint] = quaternion.between(rest[end] - rest[joint], theirs[end] - theirs[joint])
        rotations = np.tile(quaternion.IDENTITY, (len(turns), len(rest), 1))
        above = np.concatenate([[quaternion.IDENTITY], laid[body.parents[1:SHARED]]])
        local = quaternion.multiply(turns[:, :SHARED].astype(np.float64), laid)
        rotations[:, :SHARED] = quaternion.multiply(quaternion.conjugate(above), local)
        for side in SIDES:
            rotations[:, finger_joints(body, side)] = relaxed_turns(body, side, to_ours(body, side))
        apart = _places(self.source.body, theirs, turns) - _places(body, rest, rotations)
        return {
            "rotations": quaternion.align_hemisphere(rotations), "translation": path + apart.mean(1), "shape": own,
            "confidence": confidence[:, _carriers(body)],
        }  # fmt: skip


def load_fingered(kind: str, source: Template, models_dir: Path) -> Fingered:
    """The user's body of a kind ("smplh", "smplx"): the neutral one, else the female or male one, whichever is there.
    Raises `MissingModel` and `BadModelFile`."""
    target = _with_keypoints(source, _any_gender(kind, models_dir))
    return Fingered(source, target, _shapes(source.body, target.body))


def _any_gender(kind: str, models_dir: Path) -> LicensedBody:
    absent: MissingModel | None = None
    for gender in GENDERS:
        try:
            return load_body(kind, models_dir, gender)
        except MissingModel as error:
            absent = absent or error
    assert absent is not None
    family = FAMILY[kind]
    remedy = (
        f"Register at {family.page}, accept its licence (non-commercial research), and put the neutral {family.name} "
    )
    remedy += "body there, or the female or male one under its name; SMPL, without fingers, needs no further file."
    raise MissingModel(absent.message, remedy, absent.operator, absent.arguments)


def _places(body: Body, rest: NDArray, rotations: NDArray) -> NDArray[np.float64]:
    """(T, 22, 3) the shared joints of a body in its poses, without translation."""
    turns = rotation_matrices(rotations[:, :SHARED].astype(np.float64))
    nowhere = np.zeros((len(turns), 3))
    return chain(body.parents[:SHARED], np.broadcast_to(rest[:SHARED], (len(turns), SHARED, 3)), turns, nowhere)[1]


def _carriers(body: Body) -> NDArray[np.int64]:
    """(J,) of a body's joints the shared one that they are or hang on."""
    carriers = np.arange(len(body.parents))
    for joint in range(SHARED, len(carriers)):
        carriers[joint] = carriers[body.parents[joint]]
    return carriers


def _shapes(source: Body, target: Body) -> NDArray[np.float64]:
    """See `Fingered.shapes`: regularised least squares, linear in the shape."""
    surface = len(source.vertices) == len(target.vertices)
    spread, count = (_SURFACE if surface else _JOINTS), len(source.shape_blend_shapes)
    kinds = ("vertices", "shape_blend_shapes") if surface else ("joints", "joint_blend_shapes")
    points = slice(None) if surface else slice(SHARED)
    rest, own = (getattr(body, kinds[0])[None, points].astype(np.float64) for body in (source, target))
    wanted, slopes = (getattr(body, kinds[1])[:count, points].astype(np.float64) for body in (source, target))
    wanted = np.concatenate([rest - own, wanted])
    wanted, slopes = ((part - part.mean(1, keepdims=True)).reshape(len(part), -1) for part in (wanted, slopes))
    shapes = np.zeros((1 + count, len(target.shape_blend_shapes)))
    shapes[:, :count] = np.linalg.solve(slopes @ slopes.T + spread**2 * np.eye(count), slopes @ wanted.T).T
    return shapes


def _with_keypoints(source: Template, licensed: LicensedBody) -> Template:
    """A body with SMPL's keypoints: on its own vertices where it has others, as far from the nearest joint at rest."""
    body, given = licensed.body, source.body
    if len(body.vertices) == len(given.vertices):
        return Template(body, licensed.joint_regressor, source.regressor)

    def carried(point: NDArray) -> NDArray[np.float64]:
        joint = np.argmin(np.linalg.norm(given.joints[:SHARED] - point, axis=1))
        return (point - given.joints[joint] + body.joints[joint]).astype(np.float64)

    def nearest(point: NDArray) -> NDArray[np.int64]:
        return np.argsort(np.linalg.norm(body.vertices - point, axis=1))[:_NEAR]

    regressor = np.zeros((len(source.regressor), len(body.vertices)), np.float32)
    for row, point in zip(regressor, map(carried, source.regressor @ given.vertices), strict=True):
        # The evenest weights whose mean is the place.
        corners = np.vstack([body.vertices[nearest(point)].T, np.ones(_NEAR)]).astype(np.float64)
        row[nearest(point)] = np.linalg.lstsq(corners, [*point, 1.0], rcond=None)[0]
    places = [place if isinstance(place, str) else int(nearest(carried(given.vertices[place]))[0]) for place in ON_BODY]
    return Template(body, licensed.joint_regressor, regressor, tuple(places))
