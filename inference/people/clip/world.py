# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of a clip before a camera that may move, whatever their body: how it moves, by what is behind them and by
their feet; and their motions calmed and planted in the world, each given in the axes of its own frame's camera."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...camera import Camera
from ...results import Body, Person
from ...runtime.run import Run
from ..fit.legs import find_legs, sole_points
from .floor import stand
from .given import floored, travel_given
from .ground import Ground, world_of
from .motion import Spell, joint_transforms, moved
from .scenery import Background
from .smooth import smooth_motion
from .travel import Travel, scaled, travel_of


def travel_behind(
    body: Body, spells: Sequence[Spell], behind: Background, cameras: Sequence[Camera], fps: float,
    options: Mapping[str, Any], smoothing: float = 0.0,
) -> Travel:  # fmt: skip
    """How the camera moves, in metres. smoothing : of the motions, whose feet tell how far it goes."""
    return in_metres(body, spells, camera_way(behind, cameras, fps, options), fps, smoothing)


def camera_way(behind: Background, cameras: Sequence[Camera], fps: float, options: Mapping[str, Any]) -> Travel:
    """How the camera moves, as far as what is behind the people tells it, or the options do."""
    if options["camera_motion"] == "scene":
        return travel_given(options["camera_poses"][: len(cameras)])
    return travel_of(behind.paths, tuple(cameras), fps, behind.cuts) if options["camera_motion"] == "auto" else Travel()


def in_metres(body: Body, spells: Sequence[Spell], travel: Travel, fps: float, smoothing: float = 0.0) -> Travel:
    """The same with what the people tell of it: how far it goes, or where the floor of a given camera is."""
    if travel.world is not None:
        return floored(travel, body, in_world(body, spells, travel))
    if travel.poses is None or travel.turns:
        return travel
    feet = []
    for spell in spells:
        calm = smooth_motion(spell.motion, smoothing)
        rotations, positions = joint_transforms(body, calm)
        soles = [sole_points(leg, rotations, positions).mean(axis=1) for leg in find_legs(body, calm.shape)]
        if soles:
            feet.append((spell.first + np.arange(len(calm)), np.stack(soles, axis=1)))
    return scaled(travel, feet, fps)


def way_up(cameras: Sequence[Camera], travel: Travel) -> tuple[float, float, float] | None:
    """Where up is in the axes of the first camera, told by the first of these cameras that knows it."""
    frame = next((frame for frame, camera in enumerate(cameras) if camera.up is not None), None)
    if frame is None or (frame and travel.lost):
        return None
    up = np.array(cameras[frame].up)
    x, y, z = (up if travel.poses is None else travel.poses[frame, :3, :3] @ up).tolist()
    return x, y, z


def in_world(body: Body, spells: Sequence[Spell], travel: Travel) -> list[Spell]:
    """Motions in the axes of the first camera; each was in those of its own frame's."""
    if travel.poses is None:
        return list(spells)
    carried = []
    for spell in spells:
        poses = travel.poses[spell.first : spell.first + len(spell.motion)]
        carried.append(replace(spell, motion=replace(moved(body, spell.motion, poses), eyes=poses[:, :3, 3])))
    return carried


def in_cameras(body: Body, spells: Sequence[Spell], travel: Travel) -> list[Spell]:
    """What `in_world` has moved, back in the axes of its own frame's camera."""
    if travel.poses is None:
        return list(spells)
    back = np.linalg.inv(travel.poses)
    return [
        replace(one, motion=replace(moved(body, one.motion, back[one.first : one.first + len(one.motion)]), eyes=0.0))
        for one in spells
    ]


def calmed(body: Body, spells: Sequence[Spell], travel: Travel, smoothing: float) -> list[Spell]:
    """The motions smoothed in the world: a camera that shakes does not shake the people."""
    there = in_world(body, spells, travel)
    return in_cameras(body, [replace(one, motion=smooth_motion(one.motion, smoothing)) for one in there], travel)


def stand_behind(
    body: Body, spells: Sequence[Spell], travel: Travel, options: Mapping[str, Any], run: Run,
    up: tuple[float, float, float] | None = None,
) -> tuple[list[Spell], Ground | None]:  # fmt: skip
    """See `floor.stand`; the floor is in the axes of the first camera. Nobody is moved to the floor of a camera that
    moves no one knows how: that would be off the picture."""
    standing, ground = stand(
        body, in_world(body, spells, travel), options, run, up, travel.ground, moving=not travel.lost
    )
    return in_cameras(body, standing, travel), ground


def world_behind(
    ground: Ground | None, frames: Sequence[Sequence[Person]], travel: Travel
) -> NDArray[np.float64] | None:
    """The world of the people, as `results.People` has it: that of a given camera, else the one over their ground."""
    return world_of(ground, frames, travel.poses) if travel.world is None else travel.world
