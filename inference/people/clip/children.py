# SPDX-License-Identifier: GPL-3.0-or-later
"""Children among adults who stand on one floor: where that is tells how far a child's feet are, and so its stature.

A picture does not show whether somebody is small or far away, and of a body's proportions only the head's tells a
child. So children are fitted as small adults who stand too far away, their feet below everybody else's floor. Where
others agree on a floor, what would have to be scaled down by far to stand on it is given a child's age instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ...camera import Camera
from ...results import Body, People, Person
from ...shipped.body import ATTRIBUTES, load_body, shape_from_attributes
from .ground import FOOT, LEAN, SCALE, Evidence, Ground, gather_evidence, gather_motion_evidence, joined, weighed_ground
from .motion import Motion, Spell, rest_joints

#: Statures (m) below which somebody is taken for a child, and the youngest that is told from the floor; the least share
#: of the stature as it was fitted that the floor must take away for that.
TALLEST, YOUNGEST, LESS = 1.4, 0.75, 0.95
#: How well feet are seen, and somebody stands upright, to tell of the floor; by how much (log) adults may differ on it;
#: the greatest standard deviation of a child's stature (log) that is believed.
SEEN, AGREE, SHARP = 0.5, 0.1, 0.1
#: How much likelier (log) the others' floor must be without somebody, as children are rarer than adults; people among
#: whom children are looked for.
RARE, MOST = 3.0, 10
#: Ages, as the body's attribute, of the youngest child and of the adult that everybody is fitted as.
AGES = np.linspace(0.12, ATTRIBUTES["age"], 56)


def child_scales(
    evidence: Sequence[Evidence], statures: Sequence[float], up: Sequence[float] | None = None,
    ground: Ground | None = None,
) -> dict[int, float]:  # fmt: skip
    """Who of some people is a child, and by how much its body and distance are to be scaled; empty where the floor is
    not clear without them. statures : as they were fitted (m).  up : see `fit_ground`.  ground : where it is known.

    Adults are two at least, or one where the way up is known; where the floor is, there need be none.
    """
    upright = [i for i, one in enumerate(evidence) if _usable(one).any()]
    if ground is not None:
        scales = {i: _scale(evidence[i], ground) for i in upright}
        return {i: scale for i, scale in scales.items() if _is_child(scale, statures[i])}
    grown, least = list(upright), 2 if up is None else 1
    if not least < len(upright) <= MOST:
        return {}
    ground, cost = weighed_ground([evidence[i] for i in grown], up)
    while len(grown) > least:
        tries = []
        for i in grown:
            others = [one for one in grown if one != i]
            floor, doubts = weighed_ground([evidence[one] for one in others], up)
            if _is_child(_scale(evidence[i], floor), statures[i]):
                tries.append((doubts, others, floor))
        doubts, others, floor = min(tries, key=lambda one: one[0], default=(cost, grown, ground))
        if cost - doubts < RARE:
            break
        grown, ground, cost = others, floor, doubts
    scales = {i: _scale(evidence[i], ground) for i in upright}
    if np.abs(np.log([scales[i] for i in grown])).max() > AGREE:
        return {}
    near = np.array([evidence[i].supports[_usable(evidence[i])].mean(axis=0) for i in grown])
    found = {}
    for i in set(upright) - set(grown):
        away = np.linalg.norm(near - evidence[i].supports[_usable(evidence[i])].mean(axis=0) * scales[i], axis=1).min()
        tilt = (LEAN if up is None else 0.02) / np.sqrt(len(grown))
        doubt = np.sqrt((SCALE**2 + (FOOT / ground.height) ** 2) / len(grown) + (tilt * away / ground.height) ** 2)
        if doubt < SHARP and _is_child(scales[i], statures[i]):
            found[i] = scales[i]
    return found


def _is_child(scale: float, stature: float) -> bool:
    return scale < LESS and YOUNGEST < scale * stature < TALLEST


def _usable(one: Evidence) -> NDArray[np.bool_]:
    return (one.support_weights > SEEN) & (one.upright_weights > SEEN)


def _scale(one: Evidence, ground: Ground) -> float:
    """By what a body and its distance are to be scaled for its feet to be on the ground, in the median."""
    heights, usable = ground.heights(one.eyes), _usable(one)
    depths = heights - ground.heights(one.supports)
    return float(np.median(np.maximum(heights[usable], 1e-3) / np.maximum(depths[usable], 1e-3)))


def stature_of(body: Body, shape: NDArray) -> float:
    """Metres from sole to crown of a body that stands straight."""
    heights = body.vertices[:, 1] + np.tensordot(shape, body.shape_blend_shapes[..., 1], 1)
    return float(np.ptp(heights))


@cache
def _statures(attributes: tuple[tuple[str, float], ...]) -> NDArray[np.float64]:
    """Of somebody with these attributes at `AGES`."""
    body = load_body()
    return np.array([stature_of(body, shape_from_attributes({**dict(attributes), "age": age})) for age in AGES])


def child_shape(attributes: Mapping[str, float], stature: float) -> tuple[NDArray[np.float32], dict[str, float]]:
    """Shape and attributes of somebody of this build at the age that has this stature (m)."""
    others = {name: float(attributes.get(name, usual)) for name, usual in ATTRIBUTES.items() if name != "age"}
    age = float(np.interp(stature, np.maximum.accumulate(_statures(tuple(others.items()))), AGES))
    grown = {**others, "age": age}
    return shape_from_attributes(grown), {name: grown[name] for name in ATTRIBUTES}


def young_person(body: Body, person: Person, scale: float) -> Person:
    """The person as a child, nearer by as much as it is smaller: where it was in the picture."""
    from ...geometry.skinning import pose_body

    shape, attributes = child_shape(person.attributes, scale * stature_of(body, person.shape))
    root = scale * person.joints[0].astype(np.float64)
    place = (root - rest_joints(body, shape)[0]).astype(np.float32)
    vertices, joints = pose_body(body, shape, person.rotations, place)
    return replace(person, shape=shape, attributes=attributes, translation=place, vertices=vertices, joints=joints)


def young_motion(body: Body, motion: Motion, scale: float) -> Motion:
    """The same of a motion; `eyes` are where the camera is."""
    shape, attributes = child_shape(motion.attributes, scale * stature_of(body, motion.shape))
    roots = rest_joints(body, motion.shape)[0] + motion.translation
    place = scale * (roots - motion.eyes) + motion.eyes - rest_joints(body, shape)[0]
    return replace(motion, shape=shape.astype(np.float64), attributes=attributes, translation=place)


def with_children(body: Body, persons: Sequence[Person], camera: Camera) -> tuple[Person, ...]:
    """The people of one photo, children among them as such."""
    if len({person.track_id for person in persons}) < len(persons):
        return tuple(persons)
    evidence = gather_evidence(People((tuple(persons),), body, camera, (camera,)))
    scales = child_scales(evidence, [stature_of(body, person.shape) for person in persons], camera.up)
    return tuple(young_person(body, one, scales[i]) if i in scales else one for i, one in enumerate(persons))


def spells_with_children(
    body: Body, spells: Sequence[Spell], up: Sequence[float] | None, ground: Ground | None
) -> list[Spell]:
    """The same for the people of a clip, of bodies that have ages."""
    if not all(spell.motion.attributes for spell in spells):
        return list(spells)
    known = None if ground is None else ground.up
    tracks = sorted({spell.track for spell in spells})
    own = [[spell.motion for spell in spells if spell.track == track] for track in tracks]
    evidence = [joined([gather_motion_evidence(body, motion, known) for motion in motions]) for motions in own]
    scales = child_scales(evidence, [stature_of(body, motions[0].shape) for motions in own], up, ground)
    young = {tracks[i]: scale for i, scale in scales.items()}
    return [
        replace(one, motion=young_motion(body, one.motion, young[one.track])) if one.track in young else one
        for one in spells
    ]


def said(attributes: Iterable[Mapping[str, float]]) -> tuple[str, ...]:
    """What is to be told of people who were made children, by the attributes of each: both readings, as nothing in the
    picture tells a child from an adult who stands lower than the others."""
    young = [one for one in attributes if one.get("age", 1.0) < ATTRIBUTES["age"] - 0.1]
    tall = " and ".join(f"{stature_of(load_body(), shape_from_attributes(one)):.1f} m" for one in young)
    who = "One person is taken for a child" if len(young) == 1 else f"{len(young)} people are taken for children"
    other = "or is it an adult who stands lower?" if len(young) == 1 else "or are they adults who stand lower?"
    return (f"{who} ({tall}) by the floor on which the others stand: {other}",) if young else ()
