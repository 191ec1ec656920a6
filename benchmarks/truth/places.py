# SPDX-License-Identifier: GPL-3.0-or-later
"""Five places to stand in. Everything is procedural, and nothing in them is shaped like a person.

The camera looks along +Y; the people stand about the origin; walls and clutter lie behind them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .materials import surface

if TYPE_CHECKING:
    from .stage import Stage


def build(stage: Stage, place: str, sun: tuple[float, float] | None) -> None:
    """One of the five places; `sun` is (height, turn) in degrees, None for an overcast sky or lamps only."""
    builders = {
        "street": _street,
        "park": _park,
        "yard": _yard,
        "room": _room,
        "hall": _hall,
    }
    builders[place](stage, sun)


def _outdoor_light(stage: Stage, sun: tuple[float, float] | None) -> None:
    if sun is None:
        stage.overcast()
    else:
        stage.sky(*sun)


def _street(stage: Stage, sun: tuple[float, float] | None) -> None:
    _outdoor_light(stage, sun)
    stage.ground(surface("asphalt", (0.10, 0.10, 0.105), "noise", scale=90))
    wall_y = 5.0
    stage.box((0, wall_y - 1.0, 0.0), (60, 2.4, 0.10), surface("pavement", (0.34, 0.33, 0.31), "tiles", scale=1.6))
    tone = stage.random.uniform(0.5, 1.0)
    wall = surface("bricks", (0.30 * tone, 0.13 * tone, 0.09 * tone), "bricks", scale=4)
    stage.box((0, wall_y + 2.5, 5), (60, 5, 10), wall)
    glass = surface("glass", (0.05, 0.07, 0.09), "plain", roughness=0.08)
    frame = surface("frame", (0.7, 0.68, 0.62), "plain")
    for x in np.arange(-12, 13, 2.9) + stage.random.uniform(-0.8, 0.8):
        for z in (1.9, 4.9):
            stage.box((x, wall_y, z), (1.35, 0.10, 1.75), frame)
            stage.box((x, wall_y - 0.04, z), (1.15, 0.08, 1.55), glass)
    _car(stage, stage.random.uniform(3.2, 4.5) * stage.random.choice([-1, 1]), wall_y - 3.4)
    stage.box(
        (stage.random.uniform(-2.6, -1.8), wall_y - 0.7, 0.45),
        (0.5, 0.5, 0.9),
        surface("bin", (0.02, 0.10, 0.06), "plain"),
    )


def _car(stage: Stage, x: float, y: float) -> None:
    paint = surface("paint", tuple(stage.random.uniform(0.05, 0.6, 3)), "plain", roughness=0.25)
    dark = surface("tyre", (0.015, 0.015, 0.018), "plain", roughness=0.4)
    stage.box((x, y, 0.62), (4.2, 1.7, 0.62), paint)
    stage.box((x - 0.2, y, 1.16), (2.2, 1.5, 0.52), dark)
    for dx in (-1.3, 1.3):
        stage.box((x + dx, y - 0.75, 0.31), (0.62, 0.25, 0.62), dark)


def _park(stage: Stage, sun: tuple[float, float] | None) -> None:
    _outdoor_light(stage, sun)
    stage.ground(surface("grass", (0.09, 0.16, 0.035), "grass", scale=60))
    stage.box((0, 6.2, 0.0), (60, 1.8, 0.02), surface("gravel", (0.42, 0.36, 0.27), "noise", scale=120))
    leaf = surface("hedge", (0.035, 0.10, 0.025), "grass", scale=35)
    for x in np.arange(-16, 17, 3.1):
        height = stage.random.uniform(1.6, 3.2)
        stage.box(
            (x + stage.random.uniform(-0.6, 0.6), 9.5 + stage.random.uniform(0, 2), height / 2),
            (3.6, 1.4, height),
            leaf,
        )
    wood = surface("wood", (0.22, 0.12, 0.06), "planks", scale=6)
    x = stage.random.uniform(1.8, 3.0) * stage.random.choice([-1, 1])
    stage.box((x, 4.6, 0.45), (1.7, 0.45, 0.06), wood)
    stage.box((x, 4.8, 0.72), (1.7, 0.05, 0.40), wood)
    for dx in (-0.7, 0.7):
        stage.box((x + dx, 4.6, 0.21), (0.07, 0.4, 0.42), wood)


def _yard(stage: Stage, sun: tuple[float, float] | None) -> None:
    _outdoor_light(stage, sun)
    stage.ground(surface("concrete", (0.36, 0.35, 0.33), "tiles", scale=0.8))
    stage.box((0, 5.2, 1.3), (40, 0.2, 2.6), surface("plaster", (0.62, 0.52, 0.38), "noise", scale=6))
    metal = surface("shutter", (0.18, 0.24, 0.28), "planks", scale=7)
    stage.box((stage.random.uniform(-2, 2), 5.05, 1.1), (2.4, 0.1, 2.2), metal)
    crate = surface("crate", (0.36, 0.22, 0.10), "planks", scale=5)
    side = stage.random.choice([-1, 1])
    stage.box((side * 2.4, 4.2, 0.35), (0.8, 0.7, 0.7), crate, turn=14)
    stage.box((side * 3.1, 4.5, 0.30), (0.6, 0.6, 0.6), crate, turn=-20)
    stage.box((side * 2.5, 4.25, 0.90), (0.5, 0.5, 0.4), crate, turn=30)


def _shell(stage: Stage, half: float, depth: float, height: float, wall: Any, floor: Any) -> None:
    """Three walls and a ceiling; the side behind the camera stays open for light."""
    stage.ground(floor, 12)
    stage.box((0, depth + 0.1, height / 2), (2 * half, 0.2, height), wall, solid=False)
    for side in (-1, 1):
        stage.box((side * half, depth - 7, height / 2), (0.2, 14, height), wall, solid=False)
    stage.box(
        (0, depth - 7, height + 0.1),
        (2 * half, 14, 0.2),
        surface("ceiling", (0.8, 0.8, 0.78), "plain"),
        solid=False,
    )


def _room(stage: Stage, sun: tuple[float, float] | None) -> None:
    stage.overcast(0.7, (1.0, 0.97, 0.92))
    tint = stage.random.uniform([0.55, 0.5, 0.42], [0.75, 0.72, 0.68])
    _shell(
        stage,
        3.6,
        3.4,
        2.7,
        surface("wall", tuple(tint), "noise", scale=3),
        surface("floor", (0.34, 0.19, 0.09), "planks", scale=4),
    )
    stage.lamp((-1.2, -1.2, 2.6), (0, 0.6, 0.8), 120, 1.4)
    stage.lamp((1.6, 1.2, 2.6), (0, 0.6, 0.6), 60, 1.0)
    oak = surface("oak", (0.42, 0.26, 0.13), "planks", scale=8)
    side = stage.random.choice([-1, 1])
    stage.box((side * 2.5, 3.1, 1.0), (1.2, 0.4, 2.0), oak)
    for z in (0.35, 0.85, 1.35):
        stage.box((side * 2.5, 2.9, z), (1.0, 0.05, 0.38), surface("shelf", (0.10, 0.07, 0.05), "plain"))
        for k in range(7):
            book = surface("book", tuple(stage.random.uniform(0.03, 0.5, 3)), "plain")
            stage.box(
                (side * 2.5 - 0.42 + 0.12 * k, 2.88, z - 0.04),
                (0.06, 0.06, stage.random.uniform(0.2, 0.3)),
                book,
                solid=False,
            )
    stage.box((-side * 1.9, 3.0, 0.38), (1.8, 0.7, 0.36), surface("sofa", (0.12, 0.17, 0.20), "noise", scale=80))
    stage.box((-side * 1.9, 3.25, 0.70), (1.8, 0.2, 0.5), surface("sofa", (0.12, 0.17, 0.20), "noise", scale=80))
    picture = surface("picture", tuple(stage.random.uniform(0.1, 0.5, 3)), "noise", scale=4)
    stage.box((-side * 1.7, 3.38, 1.6), (1.1, 0.04, 0.7), surface("frame", (0.03, 0.03, 0.03), "plain"), solid=False)
    stage.box((-side * 1.7, 3.36, 1.6), (1.0, 0.04, 0.6), picture, solid=False)
    stage.box((0.1, 0.6, 0.004), (2.6, 1.8, 0.008), surface("rug", (0.30, 0.08, 0.07), "checks", scale=9), solid=False)


def _hall(stage: Stage, sun: tuple[float, float] | None) -> None:
    stage.overcast(0.8, (0.95, 0.97, 1.0))
    _shell(
        stage,
        6,
        6.5,
        4.5,
        surface("wall", (0.60, 0.62, 0.64), "bricks", scale=2.2),
        surface("floor", (0.45, 0.30, 0.16), "planks", scale=2),
    )
    for x in (-2.5, 2.5):
        stage.lamp((x, 0.0, 4.3), (x * 0.6, 1.0, 0), 260, 1.6, (1, 0.98, 0.95))
    stage.box((0, 6.35, 1.3), (12, 0.06, 0.18), surface("stripe", (0.05, 0.14, 0.40), "plain"), solid=False)
    mat = surface("mat", (0.06, 0.16, 0.42), "noise", scale=40)
    stage.box((stage.random.uniform(-3, 3), 5.2, 0.25), (2.2, 1.1, 0.5), mat)
    stage.box(
        (stage.random.choice([-1, 1]) * 4.2, 5.8, 0.55),
        (1.6, 0.5, 1.1),
        surface("crate", (0.5, 0.36, 0.2), "planks", scale=6),
    )
