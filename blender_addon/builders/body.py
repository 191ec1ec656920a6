# SPDX-License-Identifier: GPL-3.0-or-later
"""People: one collection a person with a rigged, animated body, or with the exact vertices of every frame."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpy.types import Collection, Scene
    from numpy.typing import NDArray

    from ...inference.results import Body, People, Person

MODES = ("ARMATURE", "VERTEX_CACHE", "SHAPE_KEYS")


def build_people(
    people: People,
    *,
    name: str,
    world_from_camera: NDArray | None = None,
    mode: str = "ARMATURE",
    start_frame: int = 1,
    scene: Scene | None = None,
    folder: str | Path | None = None,
    sliders: bool = True,
) -> list[Collection]:
    """Every track of `people` through `build_person`, in collections `<name>.person.<n>` inside one `<name>.people`.

    A clip (`people.fps`) sets the scene's frame rate, and its frame range from `start_frame` on.
    Raises NothingFound where there is nobody.
    """


def build_person(
    body: Body,
    track: Sequence[tuple[int, Person]],
    *,
    name: str,
    world_from_camera: NDArray | None = None,
    mode: str = "ARMATURE",
    start_frame: int = 1,
    parent: Collection | None = None,
    folder: str | Path | None = None,
    sliders: bool = True,
) -> Collection:
    """One person as a collection.

    track : (frame index, Person) in order; index 0 lands on `start_frame`. One entry gives a pose with one key.
    world_from_camera : (4, 4) z-up world, metres, from the camera axes of the photo; None: `axes`' default.
    mode : "ARMATURE": armature with the person's own rest joints, skinned mesh with the person's own rest shape, one
        action with quaternions for every joint and the root's location.
        "VERTEX_CACHE": mesh with the exact vertices of every frame in a PC2 file (in `folder`, by default `maquette` beside
        the .blend, or the temporary folder while that is unsaved) read by a Mesh Cache modifier.
        "SHAPE_KEYS": the same in absolute shape keys, inside the .blend.
    sliders : shape keys for the body's traits (gender, age, muscle, weight, height, proportions) where the body has
        them, from -1 to 1: the trait this far below or above the person's own.

    The licence of the body is written on every object (`maquette_licence`), the per-joint confidence on the armature's
    bones (`confidence`, the mean over the track).
    """
