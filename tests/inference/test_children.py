# SPDX-License-Identifier: GPL-3.0-or-later
"""Children, fitted as small adults who stand too far away, are told by the floor on which the others stand."""

from dataclasses import replace

import numpy as np
import pytest
from maquette.inference import Camera, Person, runtime
from maquette.inference.geometry.skinning import pose_body
from maquette.inference.people.clip.children import child_shape, said, stature_of, with_children
from maquette.inference.people.clip.floor import stand
from maquette.inference.people.clip.ground import Ground
from maquette.inference.people.clip.motion import Spell
from maquette.inference.shipped.body import ATTRIBUTES, load_body, shape_from_attributes

CAMERA, HEIGHT, BODY = Camera(600, 600, 320, 240, 640, 480), 1.4, load_body()
PLANTED = {"plant": 1.0, "floor_height": 0.0, "floor_pitch": 0.0, "floor_roll": 0.0}


def _on_floor(walk, frame, shape, x, z):
    """Translation (3,) of a body in this frame of the walk that stands on the floor under a level camera."""
    vertices, joints = pose_body(BODY, shape, walk.motion.rotations[frame], np.zeros(3))
    return np.array([x - joints[0, 0], HEIGHT - vertices[:, 1].max(), z - joints[0, 2]])


def _person(walk, number, stature, place, seen_as=None):
    """Somebody on the floor, and seen as somebody of another stature, as much farther away."""
    shape, attributes = child_shape({}, stature) if stature < 1.4 else (_adult(stature), dict(ATTRIBUTES))
    frame = 9 * number
    at = _on_floor(walk, frame, shape, *place)
    if seen_as is not None:
        root = at + BODY.joints[0] + shape @ BODY.joint_blend_shapes[:, 0]
        shape, attributes = _adult(seen_as), dict(ATTRIBUTES)
        at = root * seen_as / stature - BODY.joints[0] - shape @ BODY.joint_blend_shapes[:, 0]
    rotations = walk.motion.rotations[frame].astype(np.float32)
    vertices, joints = pose_body(BODY, shape, rotations, at)
    return Person(
        number, (0, 0, 1, 1), 1.0, None, vertices, joints, np.zeros((33, 2), np.float32), rotations, shape,
        at.astype(np.float32), np.ones(len(joints), np.float32), attributes=attributes,
    )  # fmt: skip


def _adult(stature):
    heights = np.linspace(0, 1, 101)
    found = [shape_from_attributes({"height": height}) for height in heights]
    return min(found, key=lambda shape: abs(stature_of(BODY, shape) - stature))


@pytest.mark.parametrize("stature", [1.0, 1.15, 1.3])
def test_a_child_among_adults_is_as_tall_as_the_floor_says(walk, stature):
    true = _person(walk, 2, stature, (0.6, 4.2))
    people = [
        _person(walk, 0, 1.78, (-0.8, 4.0), seen_as=1.74), _person(walk, 1, 1.6, (0.1, 4.8), seen_as=1.65),
        _person(walk, 2, stature, (0.6, 4.2), seen_as=1.7),
    ]  # fmt: skip
    found = with_children(BODY, people, CAMERA)
    assert found[:2] == tuple(people[:2])
    assert stature_of(BODY, found[2].shape) == pytest.approx(stature, abs=0.08)
    assert np.linalg.norm(found[2].joints[0] - true.joints[0]) < 0.3
    assert found[2].attributes["age"] < 0.5 and list(found[2].attributes) == list(ATTRIBUTES)
    (line,) = said(one.attributes for one in found)
    assert line.startswith(f"One person is taken for a child ({stature_of(BODY, found[2].shape):.1f} m)")
    assert line.endswith("or is it an adult who stands lower?"), "one camera does not tell: both are said"
    pixels, before = CAMERA.project(found[2].joints), CAMERA.project(people[2].joints)
    assert np.abs(pixels - before).max() < 12, "in the picture it stays"


def test_without_a_floor_that_others_agree_on_nobody_is_made_younger(walk):
    child, adult = (
        _person(walk, 1, 1.1, (0.6, 4.2), seen_as=1.7), _person(walk, 0, 1.74, (-0.8, 4.0))
    )  # fmt: skip
    assert with_children(BODY, [adult, child], CAMERA) == (adult, child)
    assert said([adult.attributes, child.attributes]) == ()
    level = replace(CAMERA, up=(0.0, -1.0, 0.0))  # straight edges tell the way up: one adult is enough
    assert stature_of(BODY, with_children(BODY, [adult, child], level)[1].shape) == pytest.approx(1.1, abs=0.08)
    small = _person(walk, 2, 1.58, (0.2, 4.5), seen_as=1.66)
    tall = _person(walk, 3, 1.86, (1.2, 4.9), seen_as=1.76)
    everybody = [adult, small, tall]
    assert with_children(BODY, everybody, CAMERA) == tuple(everybody)
    blind = replace(child, confidence=np.zeros_like(child.confidence))  # nobody sees the feet
    assert with_children(BODY, [adult, tall, blind], CAMERA)[2] is blind


def test_a_child_of_a_clip_is_told_by_a_floor_that_is_known(walk):
    shape, seen = child_shape({}, 1.15)[0], _adult(1.45)
    at = np.array([_on_floor(walk, frame, shape, -0.5 + 0.02 * frame, 4.0) for frame in range(30)])
    roots = at + BODY.joints[0] + shape @ BODY.joint_blend_shapes[:, 0]
    places = roots * 1.45 / 1.15 - BODY.joints[0] - seen @ BODY.joint_blend_shapes[:, 0]
    motion = replace(
        walk.motion, rotations=walk.motion.rotations[:30], translation=places, shape=seen, attributes=ATTRIBUTES,
        confidence=walk.motion.confidence[:30],
    )  # fmt: skip
    ground, run = Ground(np.array([0.0, -1.0, 0.0]), HEIGHT), runtime.start("cpu")
    (spell,), _ = stand(BODY, [Spell(0, 0, motion)], PLANTED, run, None, ground)
    assert stature_of(BODY, spell.motion.shape) == pytest.approx(1.15, abs=0.05)
    assert spell.motion.attributes["age"] < 0.4
    (alone,), _ = stand(BODY, [Spell(0, 0, motion)], PLANTED, run)
    assert stature_of(BODY, alone.motion.shape) > 1.3, "alone on an unknown floor"
