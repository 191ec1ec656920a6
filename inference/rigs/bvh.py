# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion as a BVH file: joints without axes of their own, turns about the world's, y up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

#: World coordinates from z up to y up.
_Y_UP = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
#: Joints that leave their place on their parent by more than this (metres) get channels for it.
_MOVED = 1e-4
_PLACE, _TURN = "Xposition Yposition Zposition", "Zrotation Xrotation Yrotation"


def write_bvh(
    path: Path,
    names: Sequence[str],
    parents: NDArray,
    rest: NDArray,
    tails: NDArray,
    poses: NDArray,
    *,
    seconds: float,
    title: str,
    scale: float = 1.0,
) -> None:
    """Write a motion where it stands in the world, in metres, or `scale` times as large (100: centimetres).

    names, parents : J bones, parents before children; -1 for none.
    rest (J, 4, 4), tails (J, 3), poses (T, J, 4, 4) : in the world, z up, without scale in their axes.
    seconds : from frame to frame.  title : names the root where several bones have no parent.
    """
    rest, poses, tails = rest.copy(), poses.copy(), scale * tails
    for matrices in (rest, poses):
        matrices[..., :3, 3] *= scale
    turned = _Y_UP @ poses[..., :3, :3] @ np.swapaxes(rest[:, :3, :3], -1, -2) @ _Y_UP.T
    places, heads = poses[..., :3, 3] @ _Y_UP.T, rest[:, :3, 3] @ _Y_UP.T
    roots = parents < 0
    above = np.where(roots[:, None, None], np.eye(3), turned[:, parents])
    turns = np.swapaxes(above, -1, -2) @ turned
    local = np.einsum("tjba,tjb->tja", above, places - np.where(roots[:, None], 0.0, places[:, parents]))
    offsets = heads - np.where(roots[:, None], 0.0, heads[parents])
    moved = roots | (np.abs(local - offsets).max(axis=(0, 2)) > scale * _MOVED)
    order: list[int] = []
    ends = (tails @ _Y_UP.T) - heads
    lines = ["HIERARCHY", *_hierarchy(names, parents, offsets, ends, moved, title, order), "MOTION"]
    columns = [np.zeros((len(poses), 6))] if roots.sum() > 1 else []
    angles = _angles(turns)
    for joint in order:
        columns += [local[:, joint]] if moved[joint] else []
        columns += [angles[:, joint]]
    rows = np.concatenate(columns, axis=1)
    lines += [f"Frames: {len(poses)}", f"Frame Time: {seconds:.9f}"]
    lines += [" ".join(f"{value:.6f}" for value in row) for row in rows]
    path.write_text("\n".join(lines) + "\n", "utf-8")


def _hierarchy(
    names: Sequence[str],
    parents: NDArray,
    offsets: NDArray,
    ends: NDArray,
    moved: NDArray,
    title: str,
    order: list[int],
) -> Iterator[str]:
    """The lines of the joints, depth first; `order` gathers the joints as they are written."""
    children = {joint: np.flatnonzero(parents == joint).tolist() for joint in range(-1, len(names))}

    def written(kind: str, joint: int, indent: str) -> Iterator[str]:
        order.append(joint)
        yield from (
            f"{indent}{kind} {_word(names[joint])}",
            f"{indent}{{",
            f"{indent}  OFFSET {_numbers(offsets[joint])}",
        )
        channels = f"6 {_PLACE} {_TURN}" if moved[joint] else f"3 {_TURN}"
        yield f"{indent}  CHANNELS {channels}"
        for child in children[joint]:
            yield from written("JOINT", child, f"{indent}  ")
        if not children[joint]:
            yield from (
                f"{indent}  End Site",
                f"{indent}  {{",
                f"{indent}    OFFSET {_numbers(ends[joint])}",
                f"{indent}  }}",
            )
        yield f"{indent}}}"

    if len(children[-1]) == 1:
        yield from written("ROOT", children[-1][0], "")
        return
    yield from (f"ROOT {_word(title)}", "{", "  OFFSET 0 0 0", f"  CHANNELS 6 {_PLACE} {_TURN}")
    for joint in children[-1]:
        yield from written("JOINT", joint, "  ")
    yield "}"


def _angles(turns: NDArray) -> NDArray[np.float64]:
    """(T, J, 3) degrees about z, x and y of turns (T, J, 3, 3) = Rz Rx Ry, without jumps of whole circles."""
    x = np.arcsin(np.clip(turns[..., 2, 1], -1, 1))
    y = np.arctan2(-turns[..., 2, 0], turns[..., 2, 2])
    z = np.arctan2(-turns[..., 0, 1], turns[..., 1, 1])
    return np.degrees(np.unwrap(np.stack([z, x, y], axis=-1), axis=0))


def _word(name: str) -> str:
    return "_".join(name.split()) or "bone"


def _numbers(values: NDArray) -> str:
    return " ".join(f"{value:.6f}" for value in values)
