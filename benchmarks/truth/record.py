# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a rendered picture, and the file it lies in.

`NAME.npz`, all in OpenCV camera axes and metres, P people:

    camera (6,)                 fx, fy, cx, cy, width, height in pixels
    world_to_camera (4, 4)      world: Z up, the ground is z = 0
    rotations (P, J, 4)         quaternions w x y z, as in `results.Person`
    translation (P, 3)          so that `pose_body(body, shape, rotations, translation)` gives the body
    shape (P, S)                joints (P, J, 3)
    stature (P,)                metres, upright
    boxes (P, 4)                x0, y0, x1, y1 of the visible pixels
    visible (P, J) bool         the picture shows the part of this person that holds the joint
    masks (P, H, W) bool        pixels that show the person, clothes and hair included
    attributes                  JSON text: per person the body's traits, pose name and heading

A clip has a leading axis T before P in all but `camera`, `world_to_camera`, `shape`, `stature` and `attributes`, and

    planted (T, P, 2, 2) bool   left, right foot; heel, ball on the ground
    fps ()
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from maquette.inference.camera import Camera
from maquette.inference.geometry.rasteriser import rasterise

from .anatomy import FORWARD, LEFT, UP, Figure, quaternions, turn

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from .dress import Piece
    from .walk import Motion

#: The body's own axes -> the world, for a person of heading 0 (looking along -Y): left is +X, up is +Z.
TO_WORLD = np.stack([LEFT, -FORWARD, UP])

#: The joints that errors are averaged over.
BODY_JOINTS = (
    "root", "spine03", "spine01", "neck01", "head",
    "upperarm01.L", "lowerarm01.L", "wrist.L", "upperarm01.R", "lowerarm01.R", "wrist.R",
    "upperleg01.L", "lowerleg01.L", "foot.L", "upperleg01.R", "lowerleg01.R", "foot.R",
)  # fmt: skip


@dataclass(frozen=True)
class Standing:
    """A posed person placed in the world: `vertices` (V, 3) and `joints` (J, 3) there, `rotations` (J, 3, 3) with the
    root's turn in the body's own axes."""

    figure: Figure
    rotations: NDArray[np.float64]
    vertices: NDArray[np.float64]
    joints: NDArray[np.float64]
    heading: float


def stand(figure: Figure, rotations: NDArray, at: tuple[float, float], heading: float, lift: float = 0.0) -> Standing:
    """Place a posed figure with its lowest vertex `lift` above the ground and its root above `at`."""
    vertices, joints = figure.skin(rotations, np.zeros(3))
    spin = turn(np.array([0.0, 0.0, 1.0]), heading) @ TO_WORLD
    vertices, joints = vertices @ spin.T, joints @ spin.T
    root = figure.index("root")
    move = np.array([at[0] - joints[root, 0], at[1] - joints[root, 1], lift - vertices[:, 2].min()])
    return Standing(figure, rotations, vertices + move, joints + move, heading)


def stand_in_walk(figure: Figure, motion: Motion, frame: int, at: tuple[float, float], heading: float) -> Standing:
    """One frame of a walk whose first frame stands above `at`; the feet keep their places on the ground."""
    vertices, joints = figure.skin(motion.rotations[frame], np.zeros(3))
    spin = turn(np.array([0.0, 0.0, 1.0]), heading) @ TO_WORLD
    root = figure.rest("root")
    move = spin @ (motion.move[frame] - [root[0], 0, root[2]]) + [at[0], at[1], motion.ground]
    return Standing(figure, motion.rotations[frame], vertices @ spin.T + move, joints @ spin.T + move, heading)


def in_camera(person: Standing, world_to_camera: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Rotations (J, 4), translation (3,) and joints (J, 3) in camera axes."""
    spin = turn(np.array([0.0, 0.0, 1.0]), person.heading) @ TO_WORLD
    rotations = person.rotations.copy()
    rotations[0] = world_to_camera[:3, :3] @ spin @ rotations[0]
    joints = person.joints @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
    return quaternions(rotations), joints[0] - person.figure.rest_joints[0], joints


def masks_of(
    people: list[list[Piece]], solids: list[tuple[NDArray, NDArray]], world_to_camera: NDArray, camera: Camera
) -> NDArray[np.bool_]:
    """(P, H, W): where each dressed person is the nearest thing."""
    vertices, faces, owners, offset = [], [], [], 0
    meshes = [(number, piece.vertices, piece.faces) for number, pieces in enumerate(people) for piece in pieces]
    meshes += [(-1, *solid) for solid in solids]
    for owner, points, triangles in meshes:
        vertices.append(points @ world_to_camera[:3, :3].T + world_to_camera[:3, 3])
        faces.append(triangles + offset)
        owners.append(np.full(len(triangles), owner))
        offset += len(points)
    _, index = rasterise(np.concatenate(vertices), np.concatenate(faces), camera)
    owner = np.where(index >= 0, np.concatenate(owners)[index], -1)
    return np.stack([owner == number for number in range(len(people))])


def boxes_of(masks: NDArray) -> NDArray[np.float64]:
    """(P, 4) around the pixels of each mask (P, H, W); zeros where there is none."""
    boxes = np.zeros((len(masks), 4))
    for number, mask in enumerate(masks):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        if len(rows):
            boxes[number] = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return boxes


def visible_joints(
    people: list[Standing], solids: list[tuple[NDArray, NDArray]], world_to_camera: NDArray, camera: Camera
) -> NDArray[np.bool_]:
    """(P, J): the nearest surface within two pixels of the joint belongs to the part of the body that holds it."""
    body = people[0].figure.body
    dominant = body.skin_weights.argmax(axis=1)
    triangles = np.asarray(body.faces, np.int64)
    face_joint = dominant[triangles[:, 0]]
    count = len(triangles)
    points = [person.vertices for person in people] + [solid[0] for solid in solids]
    faces, offset = [], 0
    for number, vertices in enumerate(points):
        faces.append((triangles if number < len(people) else solids[number - len(people)][1]) + offset)
        offset += len(vertices)
    stacked = np.concatenate(points) @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
    _, index = rasterise(stacked, np.concatenate(faces), camera)
    owner = np.where(index >= 0, np.minimum(index // count, len(people)), -1)
    part = np.where((index >= 0) & (owner < len(people)), face_joint[index % count], -1)
    holds = holders(body.joint_names, body.parents)
    visible = np.zeros((len(people), len(body.joint_names)), bool)
    for number, person in enumerate(people):
        joints = person.joints @ world_to_camera[:3, :3].T + world_to_camera[:3, 3]
        pixels = np.floor(camera.project(joints)).astype(int)
        for joint, (column, row) in enumerate(pixels):
            window = (slice(max(row - 2, 0), max(row + 3, 0)), slice(max(column - 2, 0), max(column + 3, 0)))
            mine = owner[window] == number
            visible[number, joint] = joints[joint, 2] > 0 and bool(np.isin(part[window][mine], holds[joint]).any())
    return visible


def holders(names: tuple[str, ...], parents: NDArray) -> list[NDArray[np.int64]]:
    """Per joint, the joints whose skin covers it: itself, its parent and its children, limbs apart from the trunk."""
    trunk = ("root", "spine", "neck", "head")
    holds = []
    for joint, name in enumerate(names):
        near = [joint, int(parents[joint]), *np.flatnonzero(parents == joint)]
        if name.startswith(trunk):
            near += [other for other, word in enumerate(names) if word.startswith((*trunk[:2], "pelvis"))]
            keep = [n for n in near if n >= 0]
        else:
            keep = [n for n in near if n >= 0 and not names[n].startswith(trunk)]
        holds.append(np.array(sorted(set(keep))))
    return holds


def truth_of(
    people: list[Standing],
    dressed: list[list[Piece]],
    solids: list[tuple[NDArray, NDArray]],
    world_to_camera: NDArray,
    camera: Camera,
) -> dict[str, NDArray]:
    """What a truth file holds of one picture, but for the camera and the traits."""
    masks = masks_of(dressed, solids, world_to_camera, camera)
    placed = [in_camera(person, world_to_camera) for person in people]
    return {
        "rotations": np.stack([rotations for rotations, _, _ in placed]).astype(np.float32),
        "translation": np.stack([translation for _, translation, _ in placed]).astype(np.float32),
        "joints": np.stack([joints for _, _, joints in placed]).astype(np.float32),
        "boxes": boxes_of(masks),
        "visible": visible_joints(people, solids, world_to_camera, camera),
        "masks": masks,
    }


def bodies_of(people: list[Standing]) -> dict[str, NDArray]:
    """Shape and stature, which do not change over a clip."""
    return {
        "shape": np.stack([person.figure.shape for person in people]),
        "stature": np.array([np.ptp(person.figure.rest_vertices[:, 1]) for person in people]),
    }


def camera_numbers(camera: Camera) -> NDArray[np.float64]:
    return np.array([camera.fx, camera.fy, camera.cx, camera.cy, camera.width, camera.height])


def load(path: Path) -> dict[str, NDArray]:
    """A truth file as plain arrays."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def camera_of(truth: dict[str, NDArray]) -> Camera:
    fx, fy, cx, cy, width, height = truth["camera"]
    return Camera(float(fx), float(fy), float(cx), float(cy), int(width), int(height))
