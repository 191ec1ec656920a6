# SPDX-License-Identifier: GPL-3.0-or-later
"""How far the hands of recovered bodies are from what the hand model sees in the same photographs.

    python benchmarks/people_hands.py PHOTO ... [--model builtin] [--overlay FOLDER]

For every hand of `refine_hands` with a recovered wrist of its side within a palm's length, in degrees, mean (median):
`direction` from the wrist to the middle knuckle, `palm` its normal, `fingers` the bends of ten finger joints. With and
without `hands`. The hand model is the reference here, not the truth.
"""

from __future__ import annotations

import argparse
import time
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from maquette import inference
from maquette.inference.geometry.rasteriser import rasterise
from maquette.inference.results import Hand, People, Person
from numpy.typing import NDArray


def body_hand(people: People, person: Person, side: str) -> NDArray[np.float64]:
    """(16, 3): wrist and three joints a finger, in the order of `Hand.joints` without the tips."""
    names, end = people.body.joint_names, side[0].upper()
    chosen = [f"wrist.{end}", *(f"finger{f}-{bone}.{end}" for f in range(1, 6) for bone in (1, 2, 3))]
    return person.joints[[names.index(name) for name in chosen]].astype(np.float64)


def bends(points: NDArray) -> NDArray[np.float64]:
    """(10,) degrees between the bones of each finger, from the palm on."""
    angles = []
    for finger in range(5):
        chain = points[[0, *range(1 + 3 * finger, 4 + 3 * finger)]]
        bones = np.diff(chain, axis=0)
        angles += [angle(first, second) for first, second in pairwise(bones)]
    return np.array(angles)


def angle(first: NDArray, second: NDArray) -> float:
    cosine = first @ second / max(float(np.linalg.norm(first) * np.linalg.norm(second)), 1e-9)
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def normal(points: NDArray) -> NDArray[np.float64]:
    return np.cross(points[4] - points[0], points[13] - points[0])


def compared(people: People, hands: tuple[Hand, ...]) -> list[tuple[Hand, Person, float, float, float]]:
    rows = []
    for hand in hands:
        palm = np.linalg.norm(hand.keypoints_2d[9] - hand.keypoints_2d[0])
        near = []
        for person in people.frames[0]:
            own = body_hand(people, person, hand.side)
            apart = np.linalg.norm(people.camera.project(own[:1].astype(np.float32))[0] - hand.keypoints_2d[0]) / palm
            near.append((float(apart), person, own))
        apart, person, own = min(near, key=lambda one: one[0], default=(np.inf, None, np.zeros(0)))
        if person is None or apart > 1:
            continue
        seen = hand.joints[[0, *(1 + 4 * f + bone for f in range(5) for bone in range(3))]].astype(np.float64)
        fingers = float(np.abs(bends(own) - bends(seen)).mean())
        rows.append(
            (hand, person, angle(own[7] - own[0], seen[7] - seen[0]), angle(normal(own), normal(seen)), fingers)
        )
    return rows


def overlay(people: People, rows: list, pixels: NDArray, path: Path) -> None:
    """Photo and shaded body side by side around each hand."""
    pictures = []
    for hand, person, *_ in rows:
        (x0, y0), (x1, y1) = hand.keypoints_2d.min(0), hand.keypoints_2d.max(0)
        size = 1.6 * max(x1 - x0, y1 - y0)
        low = np.clip(np.array([(x0 + x1 - size) / 2, (y0 + y1 - size) / 2]).astype(int), 0, None)
        window = slice(low[1], low[1] + int(size)), slice(low[0], low[0] + int(size))
        depth, face = rasterise(person.vertices, people.body.faces, people.camera)
        corners = person.vertices[people.body.faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        light = np.abs(normals[:, 2]) / np.maximum(np.linalg.norm(normals, axis=1), 1e-9)
        shaded = np.where((depth > 0)[..., None], (255 * light[face] * (depth > 0))[..., None], pixels).astype(np.uint8)
        pictures.append(
            np.hstack([cv2.resize(np.ascontiguousarray(one[window]), (240, 240)) for one in (pixels, shaded)])
        )
    if pictures:
        cv2.imwrite(str(path), np.vstack(pictures)[..., ::-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photos", nargs="+", type=Path)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--overlay", type=Path)
    arguments = parser.parse_args()
    every: dict[str, list] = {"full": [], "none": []}
    for path in arguments.photos:
        photo = inference.load_photo(path)
        hands = inference.refine_hands(photo, "builtin", device="cpu").hands
        for with_hands in every:
            begun = time.process_time()
            people = inference.recover_people(photo, arguments.model, hands=with_hands, device="cpu")
            seconds = time.process_time() - begun
            rows = compared(people, hands)
            every[with_hands] += rows
            print(f"{path.stem:14} hands={with_hands} {len(people.frames[0])} people, {seconds:.1f} s")
            for hand, _, *errors in rows:
                print(f"    {hand.side:5} {hand.score:.2f}", *(f"{value:5.0f}" for value in errors))
            if with_hands == "full" and arguments.overlay:
                arguments.overlay.mkdir(parents=True, exist_ok=True)
                overlay(people, rows, photo.pixels, arguments.overlay / f"{path.stem}.png")
    for with_hands, rows in every.items():
        errors = np.array([row[2:] for row in rows]).reshape(-1, 3)
        told = zip(("direction", "palm", "fingers"), errors.mean(0), np.median(errors, 0), strict=True)
        print(
            f"hands={with_hands}: {len(rows)}:", *(f"{name} {mean:.0f} ({middle:.0f})" for name, mean, middle in told)
        )


if __name__ == "__main__":
    main()
