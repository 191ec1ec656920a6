# SPDX-License-Identifier: GPL-3.0-or-later
"""The rigs that people are built in: rest poses beside MPFB's, and how far the surface lies from the recovered one.

python3 -m installer run benchmarks/rigs.py
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import bpy
import numpy as np
from maquette import inference
from maquette.blender_addon.builders.bodies.body import BodyOptions, build_people
from maquette.blender_addon.builders.surfaces import meshes
from maquette.blender_addon.core import axes
from maquette.inference.geometry.skinning import pose_body
from maquette.inference.rigs.humanoid import template_presets
from maquette.inference.rigs.template import in_bones_of

HERE = Path(__file__).parent


def surfaces(people) -> None:
    """Mean and worst distance of each rig's surface over all frames, in millimetres."""
    for preset in template_presets():
        distances = []
        for track in people.tracks().values():
            rigged = in_bones_of(people.body, [person for _, person in track], preset.id)
            for (_, truth), person in zip(track, rigged.persons, strict=True):
                vertices, _ = pose_body(rigged.body, person.shape, person.rotations, person.translation)
                distances.append(1000 * np.linalg.norm(vertices - truth.vertices, axis=1))
        print(f"{preset.label}: mean {np.mean(distances):.1f} mm, worst {np.max(distances):.0f} mm")


def control_rig(people) -> None:
    """The same of Rigify, as Blender shows it: with its bending bones, and by its straight skeleton for engines."""
    (track,) = people.tracks().values()
    truth = [axes.transform(BodyOptions().world, person.vertices) for _, person in track]
    for label, options in (
        ("all influences", BodyOptions(rig="RIGIFY", max_influences=0)),
        ("four", BodyOptions(rig="RIGIFY")),
        ("four, Game Skeleton", BodyOptions(rig="RIGIFY", game_skeleton=True)),
    ):
        made = build_people(people, options, name="rigs")[0]
        mesh = next(obj for obj in made.objects if obj.type == "MESH")
        distances = []
        for frame, vertices in enumerate(truth, start=1):
            bpy.data.scenes[0].frame_set(frame)
            seen = mesh.evaluated_get(bpy.context.evaluated_depsgraph_get())
            shown = axes.transform(np.array(seen.matrix_world), meshes.positions(seen.to_mesh()))
            distances.append(1000 * np.linalg.norm(shown - vertices, axis=1))
        print(f"Rigify, {label}: mean {np.mean(distances):.1f} mm, worst {np.max(distances):.0f} mm")


def rest_poses(people) -> None:
    """Where the joints of Mixamo and Unreal begin at rest, in centimetres above the ground, beside MPFB's rigs."""
    references = json.loads((HERE.parent / "tests" / "blender_addon" / "reference_rigs.json").read_text())
    (_, person), *_ = next(iter(people.tracks().values()))
    average = person.shape * 0
    for preset, reference, ground in (("mixamo", "mixamo", 0.0), ("unreal", "game_engine", 0.818)):
        still = np.zeros_like(person.rotations)
        still[:, 0] = 1
        body = in_bones_of(people.body, [replace(person, rotations=still, shape=average)], preset).body
        floor, root = body.vertices[:, 1].max(), body.joints[0]
        for name, (_, *place) in references[reference].items():
            if name in body.joint_names:
                x, y, z = 100 * (body.joints[body.joint_names.index(name)] - [root[0], floor, root[2]])
                theirs = 100 * np.array([place[0], place[1], place[2] + ground])
                print(f"| `{name}` | {x:.0f} {z:.0f} {-y:.0f} | {' '.join(f'{value:.0f}' for value in theirs)} |")


if __name__ == "__main__":
    recovered = inference.recover_people(HERE.parent / "demo" / "clip.mp4")
    surfaces(recovered)
    control_rig(recovered)
    rest_poses(recovered)
