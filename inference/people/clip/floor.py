# SPDX-License-Identifier: GPL-3.0-or-later
"""All people of a clip on one floor: each frame's distance so that the lower foot is on it, then planted feet.

One camera hardly sees how far away a body is, but it sees where on the floor its feet are. A person's build and
distance are scaled together by one factor, which the picture does not show; what is left is taken up frame by frame,
slowly, by the distance alone, and feet that stand are planted at height 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.ndimage import minimum_filter1d

from ...results import Body
from ...runtime.run import Run
from ..fit.legs import find_legs, sole_points
from .children import spells_with_children
from .contact import plant_feet
from .ground import (
    APART,
    Ground,
    carriers,
    fit_ground,
    gather_motion_evidence,
    joined,
    lowest_carrier,
    posture,
    said_apart,
    snap_spells,
    standing_apart,
)
from .motion import Motion, Spell, joint_transforms
from .smooth import penalty, whittaker

#: Standard deviations: of the lower foot's height over the floor in one frame (m), and of a distance's logarithm.
FOOT, DISTANCE = 0.03, 0.06
#: Distances change more slowly than this (Hz).
CUTOFF = 1.0
ROUNDS = 6
#: Seconds that a jump takes, and how high one goes (m); weight of somebody who does not stand; least height of a camera
#: that sees the floor (m).
AIRBORNE, HIGHEST, SEATED, LOWEST = 1.0, 0.5, 0.2, 0.3

#: Who is farther off the ground (m), and by more than this share of his distance (a small figure, far away, is off by
#: little more in the picture than the ground's tilt is), is somewhere where hardly anybody is.
FAR_OFF, STEEP = 3.0, 0.2


def stand(
    body: Body, spells: Sequence[Spell], options: Mapping[str, Any], run: Run,
    up: tuple[float, float, float] | None = None, ground: Ground | None = None, moving: bool = True,
) -> tuple[list[Spell], Ground | None]:  # fmt: skip
    """The motions on one floor, with planted feet, and that floor; as they are where `plant` is 0, and None where the
    options do not change the floor then.

    up : see `fit_ground`.  ground : the floor, where it is known.  moving : whether people are moved to it.
    """
    strength, change = options["plant"], [options[f"floor_{name}"] for name in ("height", "pitch", "roll")]
    if not spells or (strength <= 0 and not any(change)):
        return list(spells), None
    run.report(0.0, "Planting the feet")
    spells = spells_with_children(body, spells, up, ground) if strength > 0 and moving else spells
    evidence = [gather_motion_evidence(body, spell.motion) for spell in spells]
    ground = ground or fit_ground(evidence, up)
    apart = apart_from(body, spells, ground)
    if any(change):
        ground = ground.changed(*change, about=np.concatenate([one.supports for one in evidence]).mean(axis=0))
    if strength <= 0 or not moving:
        return list(spells), ground
    standing = []
    for spell in snap_spells(body, spells, ground, apart):
        own, motion = ground, spell.motion
        if spell.track in apart:
            own = replace(ground, height=ground.height - apart[spell.track])
        else:
            motion = lowered(body, motion, ground, strength)
        standing.append(replace(spell, motion=plant_feet(body, motion, own, strength)))
    return standing, ground


def apart_from(body: Body, spells: Sequence[Spell], ground: Ground, least: float = APART) -> dict[int, float]:
    """The tracks that stand elsewhere than on the ground, on a stage or a wall, and how high (m) over it. least : see
    `ground.APART`."""
    heights = {}
    for track in sorted({spell.track for spell in spells}):
        own = [gather_motion_evidence(body, spell.motion, ground.up) for spell in spells if spell.track == track]
        height = standing_apart(joined(own), ground, least)
        if height:
            heights[track] = height
    return heights


def far_off(body: Body, spells: Sequence[Spell], ground: Ground | None) -> set[int]:
    """The tracks that are so far above or below the ground as hardly anybody is: see `FAR_OFF`."""
    heights = {} if ground is None else apart_from(body, spells, ground)
    far = set()
    for track, height in heights.items():
        roots = [
            joint_transforms(body, spell.motion)[1][:, 0] - spell.motion.eyes
            for spell in spells
            if spell.track == track
        ]
        away = float(np.median(np.linalg.norm(np.concatenate(roots), axis=1)))
        if abs(height) > max(FAR_OFF, STEEP * away):
            far.add(track)
    return far


def apart_said(body: Body, spells: Sequence[Spell], ground: Ground | None) -> tuple[str, ...]:
    """What is to be told of people who do not stand on the floor of the others, or of the clip: whom it is found by may
    crawl and get up."""
    apart = {} if ground is None else apart_from(body, spells, ground, APART / 2)
    others = len({spell.track for spell in spells}) > len(apart)
    return said_apart(list(apart.values()), "of the others" if others else "that was found")


def lowered(body: Body, motion: Motion, ground: Ground, strength: float) -> Motion:
    """The motion with every frame's distance changed so that what carries somebody, the lower foot mostly, comes to the
    floor. Who jumps keeps the distance of the frames before and after, who sits or lies their own."""
    legs = find_legs(body, motion.shape)
    height = np.broadcast_to(ground.heights(np.asarray(motion.eyes) + np.zeros(3)), len(motion))
    if not legs or height.min() < LOWEST:
        return motion
    rotations, positions = joint_transforms(body, motion)
    soles = np.concatenate([sole_points(leg, rotations, positions) for leg in legs], axis=1)
    own = carriers(body, motion.shape, rotations, positions)
    points = np.concatenate([soles, own.points[:, own.soles :]], axis=1)
    joints = np.concatenate([np.repeat([leg.ankle for leg in legs], 2), own.joints[own.soles :]])
    below = height[:, None] - ground.heights(points)
    lower = lowest_carrier(-below, soles.shape[1])[:, None]
    depth = np.take_along_axis(below, lower, 1)[:, 0]
    seen = motion.confidence[np.arange(len(motion)), joints[lower[:, 0]]]
    usable = depth > 0.2 * height
    wanted = np.log(np.where(usable, height / np.maximum(depth, 1e-3), 1.0))
    weights = usable * np.maximum(seen, 1e-3) * np.maximum(posture(body, positions, motion.confidence)[1], SEATED)
    weights, change = weights * (height / FOOT) ** 2, np.zeros(len(motion))
    for _ in range(ROUNDS):
        off = np.abs(wanted - change) * height / FOOT
        # A jump begins and ends on the floor; who is off it for longer is nearer or farther than was thought.
        window = max(1, round(AIRBORNE * motion.fps))
        above = off - minimum_filter1d(off, window)
        trusted = np.where(off > HIGHEST / FOOT, 1.0, 1 / (1 + (above / 3) ** 2))
        total = weights * trusted + DISTANCE**-2
        value = (1 - DISTANCE**-2 / total) * wanted
        change = whittaker(value[:, None], total / np.median(total), penalty(CUTOFF, motion.fps))[:, 0]
    roots = positions[:, 0] - motion.eyes
    under = roots - (roots @ ground.up + depth)[:, None] * ground.up
    return replace(motion, translation=motion.translation + strength * np.expm1(change)[:, None] * under)
