# SPDX-License-Identifier: GPL-3.0-or-later
"""People whom nobody posed, in places that nobody arranged: everything about a picture is drawn from a seed.

Ages from child to old, all builds, clothes, poses from wide joint ranges; alone, side by side, hiding each other, in
groups and crowds; 60 to 800 pixels tall, cut by the frame's edge or half behind something; lenses of 24 to 135 mm
(of a long side of 36 mm); walls, clutter and leaves behind. What is drawn is a `Scene`; `people_random.py` renders it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from maquette.inference.shipped.body import load_body, shape_from_attributes

from .anatomy import Figure, axial_turn, deepest_inside
from .poses import posed
from .record import Standing, stand

if TYPE_CHECKING:
    from numpy.random import Generator
    from numpy.typing import NDArray

SIZES = ((800, 600), (600, 800), (960, 540), (720, 720), (640, 480), (900, 640))
#: What the people of a picture do together, and how often.
ARRANGEMENTS = {"alone": 0.2, "pair": 0.22, "hidden": 0.12, "group": 0.14, "crowd": 0.08, "half": 0.16, "side": 0.08}
#: Children, adults, the old: 0 is a baby, 1/3 a child, 2/3 an adult.
AGES = ((0.28, 0.5), (0.55, 0.75), (0.75, 1.0))
#: Degrees that an upper arm turns about itself, outward and inward (the ranges of the American Academy of Orthopaedic
#: Surgeons); metres that cloth and flesh give way. One free arm in seven was drawn beyond the first, one in nine went
#: deeper than the second into the trunk.
AXIAL, GIVES_WAY = (-90, 70), 0.02
SKIN = ((0.56, 0.36, 0.27), (0.52, 0.30, 0.20), (0.40, 0.23, 0.14), (0.25, 0.13, 0.07), (0.10, 0.05, 0.03))
HAIR = ((0.04, 0.025, 0.015), (0.012, 0.01, 0.01), (0.15, 0.08, 0.03), (0.4, 0.27, 0.12), (0.45, 0.43, 0.4))


@dataclass
class Scene:
    """One picture. people : placed bodies, each with its outfit and whether it needs a seat; world axes, z up.

    size : pixels.  focal : pixels.  at, look : the camera's place and aim.  reach : (near, far) metres along y that the
    people take.
    """

    size: tuple[int, int]
    focal: float
    at: tuple[float, float, float]
    look: tuple[float, float, float]
    arrangement: str
    people: list[tuple[Standing, dict[str, Any], dict[str, Any]]] = field(default_factory=list)

    @property
    def reach(self) -> tuple[float, float]:
        along = [one.vertices[:, 1] for one, _, _ in self.people]
        return min(float(y.min()) for y in along), max(float(y.max()) for y in along)


def draw(random: Generator) -> Scene:
    """A picture: the first person decides where the camera stands, the others stand about the first."""
    names = list(ARRANGEMENTS)
    share = np.array(list(ARRANGEMENTS.values()))
    arrangement = str(random.choice(names, p=share / share.sum()))
    width, height = SIZES[random.integers(len(SIZES))]
    first = _person(random, (0.0, 0.0), arrangement)
    stature = float(first[0].vertices[:, 2].max())
    tall = _height_in_pixels(random, arrangement, height)
    focal = math.exp(random.uniform(math.log(24), math.log(135))) / 36 * max(width, height)
    distance = focal * stature / tall
    distance = min(max(distance, 1.3), 60.0)
    focal = tall * distance / stature
    place_x, place_y = random.uniform(0.3, 0.7), random.uniform(0.4, 0.6)
    if arrangement == "half":  # the head in the upper part, the legs below the frame
        place_y = (random.uniform(0.06, 0.3) * height + tall / 2) / height
    if arrangement == "side":
        place_x = random.choice([-1, 1]) * random.uniform(0.42, 0.5) + 0.5
    if arrangement in ("pair", "hidden", "group", "crowd"):
        place_x = random.uniform(0.35, 0.6)
    rise = float(np.clip(random.normal(1.5, 0.35), 0.4, 2.4)) + (
        random.uniform(0.5, 4) if random.random() < 0.15 else 0
    )
    metre = distance / focal
    look = (-(place_x - 0.5) * width * metre, 0.0, stature / 2 + (place_y - 0.5) * height * metre)
    scene = Scene((width, height), focal, (look[0], -distance, rise), look, arrangement, [first])
    for at in _companions(random, arrangement, width * metre):
        scene.people.append(_person(random, at, arrangement))
    return scene


def _height_in_pixels(random: Generator, arrangement: str, height: int) -> float:
    if arrangement == "half":
        return random.uniform(1.15, 2.3) * height
    most = {"group": 0.75, "crowd": 0.45}.get(arrangement, 0.95) * height
    return math.exp(random.uniform(math.log(60), math.log(min(most, 800))))


def _companions(random: Generator, arrangement: str, breadth: float) -> list[tuple[float, float]]:
    """Where the others stand: metres beside and behind the first."""
    side = float(random.choice([-1, 1]))
    if arrangement == "pair" or (arrangement == "half" and random.random() < 0.4):
        return [(side * random.uniform(0.35, 0.75), random.uniform(-0.25, 0.25))]
    if arrangement == "hidden":
        return [(side * random.uniform(0.1, 0.4), random.uniform(0.5, 1.2))]
    if arrangement == "group":
        count = int(random.integers(2, 5))
        return [(side * 0.55 * (k + 1) + random.uniform(-0.15, 0.15), random.uniform(-0.3, 0.6)) for k in range(count)]
    if arrangement == "crowd":
        spots: list[tuple[float, float]] = [(0.0, 0.0)]
        for _ in range(60):
            spot = (float(random.uniform(-0.45, 0.45) * breadth), float(random.uniform(-0.5, 4)))
            if len(spots) < 8 and all(math.hypot(spot[0] - x, spot[1] - y) > 0.45 for x, y in spots):
                spots.append(spot)
        return spots[1:]
    return []


def _person(
    random: Generator, at: tuple[float, float], arrangement: str
) -> tuple[Standing, dict[str, Any], dict[str, Any]]:
    traits = {
        "gender": random.uniform(),
        "age": random.choice([random.uniform(*ages) for ages in AGES], p=[0.15, 0.65, 0.2]),
        "muscle": random.uniform(0.2, 0.8),
        "weight": random.uniform(0.15, 0.9),
        "height": random.uniform(0.25, 0.55),
        "proportions": random.uniform(0.2, 0.8),
    }
    figure = Figure(load_body(), shape_from_attributes(traits))
    kinds = ("stand", "stride", "crouch", "sit", "wild")
    kind = str(random.choice(kinds, p=[0.46, 0.22, 0.1, 0.12, 0.1]))
    heading = float(random.uniform(-180, 180) if random.random() < 0.5 else random.normal(0, 45))
    while True:
        standing = stand(figure, posed(figure, pose(random, kind)), at, heading, 0.25 if kind == "sit" else 0.0)
        if deepest_inside(figure, standing.vertices, standing.joints) < GIVES_WAY:
            break
    return standing, _outfit(random), {**traits, "pose": kind, "heading": heading}


def pose(random: Generator, kind: str) -> dict[str, Any]:
    """A pose as `poses.toml` writes them, drawn from the ranges that joints have."""
    stoop = {"crouch": random.uniform(10, 40), "wild": random.uniform(-10, 45)}.get(kind, 0.0)
    drawn: dict[str, Any] = {
        "spine": {
            "flexion": random.normal(4, 8) + stoop,
            "side": random.normal(0, 8),
            "twist": random.normal(0, 12),
        },
        "neck": {"flexion": random.normal(4, 12), "side": random.normal(0, 8), "twist": random.normal(0, 22)},
        "pelvis": {"flexion": stoop / 2, "side": random.normal(0, 4)},
    }
    for side in ("left", "right"):
        hangs = random.random() < 0.45
        shoulder = _shoulder(random, hangs)
        while not AXIAL[0] <= axial_turn(*shoulder) <= AXIAL[1]:
            shoulder = _shoulder(random, hangs)
        bend = abs(random.normal(18, 16)) if hangs else random.uniform(0, 135)
        drawn[f"{side}_shoulder"] = dict(zip(("flexion", "abduction", "twist"), shoulder, strict=True))
        drawn[f"{side}_elbow"] = {"flexion": bend, "pronation": random.uniform(-40, 80)}
        drawn[f"{side}_hand"] = random.uniform(0, 2.5)
    return drawn | _legs(random, kind)


def _shoulder(random: Generator, hangs: bool) -> tuple[float, float, float]:
    """Flexion, abduction and twist of an arm that hangs, or is anywhere."""
    if hangs:
        return random.normal(5, 14), abs(random.normal(10, 7)), random.normal(10, 20)
    return random.uniform(-35, 150), random.uniform(0, 110), random.uniform(-50, 70)


def _legs(random: Generator, kind: str) -> dict[str, Any]:
    """Hips, knees and ankles, degrees."""
    step = random.uniform(8, 35) * random.choice([-1, 1])
    drawn: dict[str, Any] = {}
    for side, sign in (("left", 1), ("right", -1)):
        if kind in ("stand", "stride"):
            flexion = random.normal(2, 6) if kind == "stand" else sign * step
            hip = (flexion, abs(random.normal(5, 4)), random.normal(0, 8))
            knee = abs(random.normal(5, 6)) + (random.uniform(0, 50) if kind == "stride" and flexion < 0 else 0)
        elif kind == "sit":
            hip, knee = (random.uniform(75, 98), random.uniform(0, 25), random.normal(0, 8)), random.uniform(60, 100)
        elif kind == "crouch":
            hip, knee = (random.uniform(60, 110), random.uniform(0, 25), random.normal(0, 8)), random.uniform(70, 130)
        else:
            hip = (random.uniform(-20, 110), random.uniform(-5, 45), random.uniform(-25, 25))
            knee = random.uniform(0, 120)
        drawn[f"{side}_hip"] = dict(zip(("flexion", "abduction", "twist"), hip, strict=True))
        drawn[f"{side}_knee"], drawn[f"{side}_ankle"] = knee, random.normal(0, 8)
    return drawn


def _colour(random: Generator) -> tuple[float, ...]:
    grey = random.uniform(0.01, 0.7)
    tint = random.uniform(0.3, 1.0, 3) if random.random() < 0.65 else np.ones(3)
    return tuple(float(value) for value in grey * tint)


def _outfit(random: Generator) -> dict[str, Any]:
    return {
        "skin": SKIN[random.integers(len(SKIN))],
        "hair": HAIR[random.integers(len(HAIR))],
        "hair_style": str(random.choice(["short", "bob", "bun", "cap"])),
        "shirt": _colour(random),
        "shirt_cloth": str(random.choice(["plain", "stripes", "checks", "denim"], p=[0.5, 0.2, 0.15, 0.15])),
        "sleeve": random.choice([random.uniform(0.05, 0.4), 0.95]),
        "trousers": _colour(random),
        "trousers_cloth": str(random.choice(["plain", "denim", "checks"], p=[0.5, 0.4, 0.1])),
        "leg": random.choice([random.uniform(0.2, 0.5), 0.97], p=[0.3, 0.7]),
        "shoes": _colour(random),
    }


# ---------------------------------------------------------------- places


def leaves(random: Generator, centre: Any, spread: Any, size: float, count: int) -> tuple[NDArray, NDArray]:
    """A bush: `count` triangles of about `size` metres in a ball or slab of the half axes `spread`."""
    middles = random.normal(size=(count, 3))
    middles *= (random.uniform(0, 1, count) ** 0.33 / np.linalg.norm(middles, axis=1))[:, None]
    corners = middles[:, None] * spread + random.normal(0, size * 0.6, (count, 3, 3)) + centre
    corners[..., 2] = np.maximum(corners[..., 2], 0.0)
    return corners.reshape(-1, 3), np.arange(3 * count).reshape(-1, 3)
