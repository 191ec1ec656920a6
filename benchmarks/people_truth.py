# SPDX-License-Identifier: GPL-3.0-or-later
"""Rendered people of known pose: pictures made with Cycles, and what is true of them.

    python benchmarks/people_truth.py [--output .maquette/truth] [--only NAME ...] [--stills | --clip]

Needs the environment of bpy 4.5. The same input gives the same pictures. In the output folder:

    stills/NAME.png    the picture                stills/NAME.npz    the truth: see truth/record.py
    clip/0000.png ... the frames                 clip.npz           their truth, stacked over the frames
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
from maquette.inference.camera import Camera
from maquette.inference.shipped.body import load_body, shape_from_attributes
from truth.anatomy import Figure
from truth.dress import Tailor
from truth.poses import pose_named, posed
from truth.record import Standing, bodies_of, camera_numbers, stand, stand_in_walk, truth_of
from truth.walk import Gait, walk

HERE = Path(__file__).resolve().parent
ADULT = 2 / 3


def figure_of(stature: float, attributes: dict[str, float]) -> tuple[Figure, dict[str, float]]:
    """A body of the given stature (metres) and traits; the height attribute is found by halving."""
    low, high = 0.0, 1.0
    for _ in range(20):
        middle = 0.5 * (low + high)
        if np.ptp(_figure(attributes, middle)[0].rest_vertices[:, 1]) < stature:
            low = middle
        else:
            high = middle
    return _figure(attributes, 0.5 * (low + high))


def _figure(attributes: dict[str, float], height: float) -> tuple[Figure, dict[str, float]]:
    traits = {"age": ADULT, "muscle": 0.5, "weight": 0.5, "proportions": 0.5, **attributes, "height": height}
    return Figure(load_body(), shape_from_attributes(traits)), traits


def cast(person: dict[str, Any]) -> tuple[Standing, dict[str, Any]]:
    """One person of `stills.toml`, posed and placed."""
    figure, traits = figure_of(person["stature"], person["attributes"])
    rotations = posed(figure, pose_named(person["pose"]))
    standing = stand(figure, rotations, tuple(person["at"]), person["heading"], person.get("lift", 0.0))
    return standing, {**traits, "pose": person["pose"], "heading": person["heading"]}


def seat_under(person: Standing) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Centre and size of a box that the person sits on."""
    weights = person.figure.body.skin_weights
    names = person.figure.body.joint_names
    hips = weights[:, [i for i, name in enumerate(names) if name.startswith(("root", "pelvis", "upperleg01"))]].sum(1)
    around = person.vertices[hips > 0.6]
    top = around[:, 2].min() - 0.004
    centre = person.joints[person.figure.index("root")]
    return (centre[0], centre[1], top / 2), (0.46, 0.46, top)


def make_still(picture: dict[str, Any], folder: Path, samples: int, seed: int, *, depth: bool = False) -> None:
    """Render one picture of `stills.toml` and write its truth. depth : with metres along the view, `NAME.depth.npy`."""
    from truth.materials import surface
    from truth.places import build
    from truth.stage import Stage

    width, height = picture["size"]
    stage = Stage(width, height, samples, seed)
    build(stage, picture["place"], tuple(picture["sun"]) if "sun" in picture else None)
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
    if depth:
        np.save(folder / f"{picture['name']}.depth.npy", stage.depth(folder / f"{picture['name']}.depth.exr"))
    np.savez_compressed(
        folder / f"{picture['name']}.npz",
        camera=camera_numbers(camera),
        world_to_camera=world_to_camera,
        attributes=np.array(json.dumps(traits)),
        **bodies_of(people),
        **truth_of(people, dressed, stage.solids, world_to_camera, camera),
    )


def make_clip(clip: dict[str, Any], folder: Path, samples: int) -> None:
    """Render the clip of `clip.toml` frame by frame, its movie and its truth."""
    from truth.places import build
    from truth.stage import Stage

    frames = folder / "clip"
    frames.mkdir(parents=True, exist_ok=True)
    width, height = clip["size"]
    stage = Stage(width, height, samples, clip["seed"])
    build(stage, clip["place"], tuple(clip["sun"]) if "sun" in clip else None)
    view = clip["camera"]
    world_to_camera = stage.camera(view["at"], view["look"], view["focal"])
    camera = Camera(view["focal"], view["focal"], width / 2, height / 2, width, height)
    walkers, traits = [], []
    for person in clip["person"]:
        figure, described = figure_of(person["stature"], person["attributes"])
        motion = walk(figure, Gait(**person["gait"]), clip["frames"], clip["fps"], person["start"])
        walkers.append((figure, motion, Tailor(figure, person["outfit"])))
        traits.append({**described, "pose": "walk", "heading": person["heading"]})
    items, truths, people = [], [], []
    for frame in range(clip["frames"]):
        people = [
            stand_in_walk(figure, motion, frame, tuple(person["at"]), person["heading"])
            for (figure, motion, _), person in zip(walkers, clip["person"], strict=True)
        ]
        dressed = [tailor.dressed(one.vertices) for one, (_, _, tailor) in zip(people, walkers, strict=True)]
        items = items or [stage.person(pieces) for pieces in dressed]
        for objects, pieces in zip(items, dressed, strict=True):
            stage.move_person(objects, pieces)
        if not (frames / f"{frame:04d}.png").exists():
            stage.render(frames / f"{frame:04d}.png")
        truths.append(truth_of(people, dressed, stage.solids, world_to_camera, camera))
        print(f"clip {frame + 1}/{clip['frames']}", flush=True)
    np.savez_compressed(
        folder / "clip.npz",
        camera=camera_numbers(camera),
        world_to_camera=world_to_camera,
        attributes=np.array(json.dumps(traits)),
        fps=np.array(clip["fps"]),
        planted=np.stack([motion.planted for _, motion, _ in walkers], axis=1),
        **bodies_of(people),
        **{name: np.stack([truth[name] for truth in truths]) for name in truths[0]},
    )
    stage.encode(sorted(frames.glob("*.png")), folder / "clip.mp4", clip["fps"])


def main() -> int:
    parser = argparse.ArgumentParser(description="Render people of known pose.")
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
    if not options.stills and not options.only and not (options.output / "clip.mp4").exists():
        make_clip(tomllib.loads((HERE / "truth" / "clip.toml").read_text("utf-8")), options.output, options.samples)
    (options.output / "index.json").write_text(json.dumps(index, indent=1), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
