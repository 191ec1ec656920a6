# SPDX-License-Identifier: GPL-3.0-or-later
"""Hands found, missed and invented, how well the mesh fits, and what it costs.

    python benchmarks/hands.py [--truth .maquette/truth]

The sample photos: what is found, against what a person sees there. Rendered people of known pose (made by
people_truth.py, where their folder is given): a hand counts as visible where the picture shows its knuckles and its
palm is at least 12 pixels long; found where the landmarks' knuckles lie within half a palm of the true ones.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from maquette.demo.samples import sample_photo
from maquette.inference import Camera, Photo, load_photo
from maquette.inference.hands import blazehand, fit
from maquette.inference.options.hands import OPTIONS
from maquette.inference.results import HandMaps
from maquette.inference.runtime.run import Run, start
from maquette.inference.shipped import hand, search
from maquette.inference.shipped.body import load_body
from maquette.inference.shipped.crops import Pyramid

#: Hands that a person sees in each sample photo: (side, x, y) of the middle knuckle.
SEEN = {
    "bus": [("left", 257, 522), ("right", 269, 665), ("", 66, 784)],
    "zidane": [("left", 1077, 440)],
    "astronaut": [],
    "coins": [],
    "brick": [],
    "gravel": [],
}


def refine(photo: Photo, run: Run) -> tuple[HandMaps, float]:
    begun = time.process_time()
    maps = blazehand.refine(photo, run, OPTIONS.defaults())
    return maps, time.process_time() - begun


def sample_photos(run: Run) -> None:
    print(f"{'photo':10} {'size':>10} {'seconds':>8} {'detection':>10} found missed invented wrong side")
    for name, seen in SEEN.items():
        photo = load_photo(sample_photo(name))
        begun = time.process_time()
        hand.detect_hands(photo.pixels, run)
        detection = time.process_time() - begun
        maps, seconds = refine(photo, run)
        left = list(seen)
        wrong = 0
        for one in maps.hands:
            near = [s for s in left if np.hypot(*(one.keypoints_2d[9] - s[1:])) < 25]
            if near:
                left.remove(near[0])
                wrong += bool(near[0][0]) and near[0][0] != one.side
        found = len(seen) - len(left)
        size = "x".join(map(str, photo.size))
        counts = f"{found:5} {len(left):6} {len(maps.hands) - found:8} {wrong}"
        print(f"{name:10} {size:>10} {seconds:8.2f} {detection:10.2f} {counts}")


def fitting(run: Run) -> None:
    print("\nfit: photo, side, residual cm, reprojection px, scale; seconds a hand with both sides tried")
    for name in ("bus", "zidane"):
        photo = load_photo(sample_photo(name))
        pyramid, camera = Pyramid(photo.pixels), photo.camera_or_default()
        found = hand.find_hands(pyramid, run, search.find_people(pyramid, run, augment=False))
        begun = time.process_time()
        both = [fit.fit_hands(found, [side] * len(found), camera) for side in blazehand.SIDES]
        seconds = (time.process_time() - begun) / max(len(found), 1)
        for pair in zip(*both, strict=True):
            best = min((one for one in pair if one is not None), key=lambda one: one.cost)
            figures = f"{best.residual * 100:5.2f} {best.reprojection:5.2f} {best.scale:5.2f} {seconds:6.3f}"
            print(f"  {name:7} {best.side:5} {figures}")


def true_hands(truth: Mapping[str, np.ndarray]) -> list[tuple[str, np.ndarray, np.ndarray, bool]]:
    """Per person and side: side, finger joints (15, 3) in metres, in pixels (15, 2), and whether it is visible."""
    names = load_body().joint_names
    fx, fy, cx, cy = truth["camera"][:4]
    hands = []
    for joints, visible in zip(truth["joints"], truth["visible"], strict=True):
        for side in ("left", "right"):
            suffix = side[0].upper()
            fingers = [names.index(f"finger{f}-{b}.{suffix}") for f in range(1, 6) for b in (1, 2, 3)]
            points = joints[fingers]
            pixels = points[:, :2] / points[:, 2:] * (fx, fy) + (cx, cy)
            wrist = joints[names.index(f"wrist.{suffix}")]
            palm = np.hypot(*(wrist[:2] / wrist[2] * (fx, fy) + (cx, cy) - pixels[6]))
            hands.append((side, points, pixels, bool(visible[fingers[3::3]].mean() > 0.7 and palm > 12)))
    return hands


def aligned_error(points: np.ndarray, truth: np.ndarray) -> float:
    """Mean distance in millimetres after the best similarity (Umeyama 1991)."""
    a, b = points - points.mean(0), truth - truth.mean(0)
    left, values, right = np.linalg.svd(a.T @ b)
    mirror = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    turned = (values * mirror).sum() / (a**2).sum() * a @ (left * mirror) @ right
    return float(np.linalg.norm(turned - b, axis=1).mean() * 1000)


def rendered_people(folder: Path, run: Run) -> None:
    found = missed = invented = wrong = 0
    errors, offs, seconds = [], [], []
    fingers = [1 + 4 * f + b for f in range(5) for b in range(3)]
    for file in sorted(folder.glob("stills/*.npz")):
        truth = np.load(file)
        fx, fy, cx, cy, width, height = truth["camera"]
        photo = Photo(
            load_photo(file.with_suffix(".png")).pixels, Camera(fx, fy, cx, cy, int(width), int(height)), file.stem
        )
        maps, spent = refine(photo, run)
        seconds.append(spent)
        hands = true_hands(truth)
        used: set[int] = set()
        for one in maps.hands:
            apart = [np.median(np.linalg.norm(one.keypoints_2d[fingers] - h[2], axis=1)) for h in hands]
            best = int(np.argmin(apart))
            size = np.ptp(hands[best][2], axis=0).max()
            if best in used or apart[best] > 0.5 * max(size, 12):
                invented += 1
                print(f"  invented in {file.stem}: {one.side} score {one.score:.2f} at {one.keypoints_2d[9].round()}")
                continue
            used.add(best)
            wrong += one.side != hands[best][0]
            offs.append(apart[best])
            errors.append(aligned_error(one.joints[fingers], hands[best][1]))
        visible = {number for number, h in enumerate(hands) if h[3]}
        found += len(used)
        missed += len(visible - used)
    print(f"\nrendered people: found {found}, missed of the visible {missed}, invented {invented}, wrong side {wrong}")
    print(f"finger joints after alignment {np.mean(errors):.1f} mm, landmarks {np.mean(offs):.1f} px", end=", ")
    print(f"{np.mean(seconds):.2f} s a photo")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--truth", type=Path, help="folder made by people_truth.py")
    truth = parser.parse_args().truth
    torch.set_num_threads(1)
    run = start("cpu")
    print("seconds are processor seconds on one thread")
    sample_photos(run)
    fitting(run)
    if truth is not None:
        rendered_people(truth, run)


if __name__ == "__main__":
    main()
