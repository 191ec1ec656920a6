# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered people of known pose: pictures made with Cycles, and what is true of them.

    python benchmarks/people_truth.py [--output .maquette/truth] [--only NAME ...] [--stills | --clip]

Needs the environment of bpy 4.5. The same input gives the same pictures. In the output folder:

    stills/NAME.png    the picture                stills/NAME.npz    the truth: see truth/record.py
    clip/0000.png ...  the frames                 clip.npz           their truth, stacked over the frames
    clip.mp4           the frames as a movie      index.json         names, poses, places, in the order of making

A picture that lies there with its truth is not made again.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
from maquette.inference.builtin.body import load_body, shape_from_attributes
from maquette.inference.camera import Camera
from truth.anatomy import Figure
from truth.dress import Tailor
from truth.poses import pose_named, posed
from truth.record import Standing, boxes_of, in_camera, masks_of, stand, visible_joints

HERE = Path(__file__).resolve().parent
ADULT = 2 / 3


def figure_of(stature: float, attributes: dict[str, float]) -> tuple[Figure, dict[str, float]]:
    """A body of the given stature (metres) and traits; the height attribute is found by halving."""
    body = load_body()
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = 0.5 * (low + high)
        traits = {"age": ADULT, "muscle": 0.5, "weight": 0.5, "proportions": 0.5, **attributes, "height": middle}
        figure = Figure(body, shape_from_attributes(traits))
        if np.ptp(figure.rest_vertices[:, 1]) < stature:
            low = middle
        else:
            high = middle
    return figure, traits


def cast(person: dict[str, Any]) -> tuple[Standing, dict[str, Any]]:
    """One person of `stills.toml`, posed and placed."""
    figure, traits = figure_of(person["stature"], person["attributes"])
    rotations = posed(figure, pose_named(person["pose"]))
    standing = stand(figure, rotations, tuple(person["at"]), person["heading"], person.get("lift", 0.0))
    return standing, {**traits, "pose": person["pose"], "heading": person["heading"]}


def seat_under(person: Standing) -> tuple[NDArrayLike, NDArrayLike]:
    """Centre and size of a box that the person sits on."""
    weights = person.figure.body.skin_weights
    names = person.figure.body.joint_names
    hips = weights[:, [i for i, name in enumerate(names) if name.startswith(("root", "pelvis", "upperleg01"))]].sum(1)
    around = person.vertices[hips > 0.6]
    top = around[:, 2].min() - 0.004
    centre = person.joints[person.figure.index("root")]
    return (centre[0], centre[1], top / 2), (0.46, 0.46, top)


NDArrayLike = tuple[float, float, float]


def make_still(picture: dict[str, Any], folder: Path, samples: int, seed: int) -> dict[str, Any]:
    """Render one picture of `stills.toml` and write its truth; returns its line of the index."""
    from truth.stage import Stage, surface

    width, height = picture["size"]
    stage = Stage(width, height, samples, seed)
    stage.build(picture["place"], tuple(picture["sun"]) if "sun" in picture else None)
    people, traits, dressed = [], [], []
    for person in picture["person"]:
        standing, described = cast(person)
        people.append(standing)
        traits.append(described)
        dressed.append(Tailor(standing.figure, person.get("outfit", {})).dressed(standing.vertices))
        stage.person(dressed[-1])
        if person.get("seat"):
            centre, size = seat_under(standing)
            stage.box(centre, size, surface("crate", (0.30, 0.20, 0.12), "planks", scale=6), turn=person["heading"])
    view = picture["camera"]
    world_to_camera = stage.camera(view["at"], view["look"], view["focal"])
    camera = Camera(view["focal"], view["focal"], width / 2, height / 2, width, height)
    stage.render(folder / f"{picture['name']}.png")
    masks = masks_of(dressed, stage.solids, world_to_camera, camera)
    placed = [in_camera(person, world_to_camera) for person in people]
    np.savez_compressed(
        folder / f"{picture['name']}.npz",
        camera=np.array([camera.fx, camera.fy, camera.cx, camera.cy, width, height]),
        world_to_camera=world_to_camera,
        rotations=np.stack([rotations for rotations, _, _ in placed]).astype(np.float32),
        translation=np.stack([translation for _, translation, _ in placed]).astype(np.float32),
        joints=np.stack([joints for _, _, joints in placed]).astype(np.float32),
        shape=np.stack([person.figure.shape for person in people]),
        stature=np.array([np.ptp(person.figure.rest_vertices[:, 1]) for person in people]),
        boxes=boxes_of(masks),
        visible=visible_joints(people, stage.solids, world_to_camera, camera),
        masks=masks,
        attributes=np.array(json.dumps(traits)),
    )
    return {"name": picture["name"], "place": picture["place"], "poses": [one["pose"] for one in traits]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--output", type=Path, default=HERE.parent / ".maquette" / "truth")
    parser.add_argument("--only", nargs="*", help="names of stills")
    parser.add_argument("--stills", action="store_true", help="only the stills")
    parser.add_argument("--clip", action="store_true", help="only the clip")
    parser.add_argument("--samples", type=int, default=16)
    options = parser.parse_args()
    folder = options.output / "stills"
    folder.mkdir(parents=True, exist_ok=True)
    pictures = tomllib.loads((HERE / "truth" / "stills.toml").read_text("utf-8"))["picture"]
    index = []
    for number, picture in enumerate(pictures):
        line = {
            "name": picture["name"],
            "place": picture["place"],
            "poses": [person["pose"] for person in picture["person"]],
        }
        index.append(line)
        if options.clip or (options.only and picture["name"] not in options.only):
            continue
        if (folder / f"{picture['name']}.npz").exists() and not options.only:
            continue
        make_still(picture, folder, options.samples, number)
        print(f"{number + 1}/{len(pictures)} {picture['name']}", flush=True)
    (options.output / "index.json").write_text(json.dumps(index, indent=1), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
