# SPDX-License-Identifier: GPL-3.0-or-later
"""Children of known stature among adults who stand on one floor: drawn at random, recovered and compared.

    python benchmarks/people_ages.py [--seed 1] [--count 24] [--guess]

Two or three adults and a child of 1.0 to 1.3 m stand or stride before textured surroundings, 3 to 8 m from a camera
held at 1.1 to 1.9 m, through a lens of 24 to 85 mm that is known (with `--guess` it is not). Develop on one seed and
look at another once. The figures: statures recovered less true ones, of children and adults, with and without what the
floor says of children.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import cv2
import numpy as np
from maquette import inference
from maquette.inference.camera import Camera
from maquette.inference.people import blazepose_anny
from maquette.inference.people.clip.children import stature_of
from maquette.inference.photo import Photo
from maquette.inference.shipped.body import load_body, shape_from_attributes
from numpy.random import Generator
from people_moving import background, draw_over, look_at, painted, surroundings
from people_truth import figure_of
from truth.anatomy import Figure
from truth.chance import pose
from truth.poses import posed
from truth.record import stand

WIDTH, HEIGHT = 800, 600


def figure(random: Generator, child: bool) -> Figure:
    traits = {name: random.uniform(0.25, 0.75) for name in ("gender", "muscle", "weight", "proportions")}
    if not child:
        return figure_of(float(np.clip(random.normal(1.7, 0.09), 1.5, 1.92)), traits)[0]
    wanted = random.uniform(1.0, 1.3)
    ages = np.linspace(0.1, 0.5, 81)
    found = [Figure(load_body(), shape_from_attributes({**traits, "height": 0.4, "age": age})) for age in ages]
    return min(found, key=lambda one: abs(stature_of(one.body, one.shape) - wanted))


def drawn(random: Generator) -> tuple[Photo, list[tuple[Any, float, bool]]]:
    """A photo, and of each person the joints in the camera's axes, the stature and whether it is a child."""
    focal = float(np.exp(random.uniform(np.log(24), np.log(85)))) / 36 * WIDTH
    camera = Camera(focal, focal, WIDTH / 2, HEIGHT / 2, WIDTH, HEIGHT)
    far = float(np.clip(focal * 1.8 / (0.6 * HEIGHT), 3.0, 8.0) * random.uniform(1.0, 1.3))
    eye = (0.0, -far, float(random.uniform(1.1, 1.9)))
    view, fine = look_at(eye, (0, 0, 0.9)), camera.resized(2 * WIDTH, 2 * HEIGHT)
    picture, nearest = background(surroundings(int(random.integers(1000))), view, fine)
    count, people = int(random.integers(3, 5)), []
    for number, place in enumerate(random.permutation(count)):
        who = figure(random, number == 0)
        at = (0.75 * (float(place) - (count - 1) / 2) + random.uniform(-0.1, 0.1), float(random.uniform(-0.6, 1.2)))
        heading = float(random.normal(0, 40))
        one = stand(who, posed(who, pose(random, str(random.choice(["stand", "stride"])))), at, heading)
        paint = painted(who.body, random.uniform(0.05, 0.7, 3), random.uniform(0.05, 0.5, 3))
        draw_over(picture, nearest, one.vertices, who.body.faces, paint, view, fine)
        people.append((one.joints @ view[:3, :3].T + view[:3, 3], stature_of(who.body, who.shape), number == 0))
    picture = cv2.resize(picture, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA) ** 0.6
    picture = np.clip(picture + random.normal(0, 0.012, picture.shape), 0, 1)
    return Photo((255 * picture).astype(np.uint8), camera, "ages"), people


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw children among adults, and recover their statures.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--guess", action="store_true", help="the lens is not known")
    options = parser.parse_args()
    rows: list[tuple[bool, float, float, float]] = []
    body, usual = load_body(), blazepose_anny.with_children
    fitted: list[tuple[Any, float]] = []

    def watched(*given: Any) -> Any:
        fitted[:] = [(one.joints[0], stature_of(body, one.shape)) for one in given[1]]
        return usual(*given)

    blazepose_anny.with_children = watched
    for number in range(options.count):
        photo, people = drawn(np.random.default_rng([options.seed, number]))
        camera = photo.camera_or_default()
        photo = Photo(photo.pixels, Camera.default(WIDTH, HEIGHT) if options.guess else camera, f"{number}")
        found = inference.recover_people(photo, "builtin", device="cpu", hands="none").frames[0]
        for joints, true, child in people:
            apart = [
                float(np.linalg.norm(one.keypoints_2d[23:25].mean(0) - camera.project(joints[0]))) for one in found
            ]
            if apart and min(apart) < 0.15 * camera.fx * true / joints[0, 2]:
                index = int(np.argmin(apart))
                before, now = fitted[index][1], stature_of(body, found[index].shape)
                rows.append((child, true, before, now))
                print(f"{number}: {'child' if child else 'adult'} {true:.2f}: {before:.2f} -> {now:.2f}", flush=True)
            else:
                print(f"{number}: {'child' if child else 'adult'} {true:.2f}: not found", flush=True)
    every = np.array(rows)
    for name, some in (("children", every[:, 0] == 1), ("adults", every[:, 0] == 0)):
        off = 100 * np.abs(every[some, 2:] - every[some, 1:2])
        print(
            f"{name}: {some.sum()}; off by {off[:, 0].mean():.1f} cm as fitted, {off[:, 1].mean():.1f} cm (median "
            f"{np.median(off[:, 1]):.1f}) now; within 8 cm {(off[:, 0] <= 8).sum()} and {(off[:, 1] <= 8).sum()}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
