# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads `poses.toml` and poses a figure by it, feet on the ground.

A pose is a table of joints. Angles are degrees, counted from standing with hanging arms; lengths are metres for a
person of 1.75 m and grow with the person:

    pelvis, spine, neck          flexion (forward), side (to the person's left), twist (to the person's left)
    left_shoulder, right_...     flexion (forward and up), abduction (sideways and up), twist (inward), shrug
    left_elbow, right_...        flexion, pronation
    left_wrist, right_...        flexion (towards the palm)
    left_hand, right_...         curl: 0 flat, 1 relaxed, 3 fist
    left_hip, right_...          flexion, abduction, twist
    left_knee, left_ankle, ...   flexion (ankle: toes up)
    left_foot, right_...         instead of hip, knee and ankle: where the ball of the foot stands, `forward` and
                                 `left` of the pelvis and `up` from the ground; `turn` (outward), `pitch` (toes up),
                                 `knee_out` (degrees that the knee points outward of the toes)
    height                       of the hips above the ground, as a share of the leg's length; needed with `left_foot`
    like                         another pose to start from        mirror   left and right exchanged
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .anatomy import (
    FORWARD,
    LEFT,
    NECK,
    SPINE,
    UP,
    Figure,
    arm_turns,
    finger_turns,
    leg_turns,
    trunk_turns,
    turn,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDES = {"left": "L", "right": "R"}


@cache
def _file() -> dict[str, dict[str, Any]]:
    return tomllib.loads(Path(__file__).with_name("poses.toml").read_text("utf-8"))


def pose_named(name: str) -> dict[str, Any]:
    """The pose of that name with `like` and `mirror` worked in."""
    pose = dict(_file()[name])
    base = pose.pop("like", None)
    if base is not None:
        pose = {**pose_named(base), **pose}
    return _mirrored(pose) if pose.pop("mirror", False) else pose


def _mirrored(pose: dict[str, Any]) -> dict[str, Any]:
    swapped: dict[str, Any] = {}
    for name, value in pose.items():
        if name.startswith("left_"):
            swapped["right_" + name[5:]] = _mirrored_place(value)
        elif name.startswith("right_"):
            swapped["left_" + name[6:]] = _mirrored_place(value)
        elif isinstance(value, dict):
            swapped[name] = {key: -angle if key in ("side", "twist") else angle for key, angle in value.items()}
        else:
            swapped[name] = value
    return swapped


def _mirrored_place(value: Any) -> Any:
    if isinstance(value, dict) and "left" in value:
        return {**value, "left": -value["left"]}
    return value


def posed(figure: Figure, pose: dict[str, Any]) -> NDArray[np.float64]:
    """Rotations (J, 3, 3) relative to the parents, in the axes of the rest pose."""
    turns = {"root": _trunk_turn(pose.get("pelvis", {}))}
    turns |= trunk_turns(SPINE, pose.get("spine", {})) | trunk_turns(NECK, pose.get("neck", {}))
    for word, side in SIDES.items():
        turns |= arm_turns(side, pose.get(f"{word}_shoulder", {}), pose.get(f"{word}_elbow", {}))
        turns |= wrist_turn(side, pose.get(f"{word}_wrist", 0))
        turns |= finger_turns(figure, side, pose.get(f"{word}_hand", 1.0))
        turns |= leg_turns(side, pose.get(f"{word}_hip", {}), pose.get(f"{word}_knee", 0), pose.get(f"{word}_ankle", 0))
    rotations = figure.local(turns)
    for word, side in SIDES.items():
        if f"{word}_foot" in pose:
            _stand(figure, rotations, side, pose[f"{word}_foot"], pose["height"])
    return rotations


def wrist_turn(side: str, flexion: float) -> dict[str, NDArray]:
    """Flexion towards the palm; the palm of a hanging hand faces the thigh."""
    return {f"wrist.{side}": turn(FORWARD, -flexion if side == "L" else flexion)}


def _trunk_turn(bend: dict[str, float]) -> NDArray[np.float64]:
    return turn(UP, bend.get("twist", 0)) @ turn(FORWARD, -bend.get("side", 0)) @ turn(LEFT, bend.get("flexion", 0))


def leg_length(figure: Figure) -> float:
    """Thigh and shin together, metres."""
    hip, knee, ankle = (figure.rest(f"{name}.L") for name in ("upperleg01", "lowerleg01", "foot"))
    return float(np.linalg.norm(knee - hip) + np.linalg.norm(ankle - knee))


def sole(figure: Figure, side: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the heel and the ball of the foot touch the ground at rest: two points (3,) under the bare sole."""
    names = [name for name in figure.body.joint_names if name.endswith(f".{side}") and name.startswith(("foot", "toe"))]
    weight = figure.body.skin_weights[:, [figure.index(name) for name in names]].sum(axis=1)
    foot = figure.rest_vertices[weight > 0.6]
    ground = foot[:, 1].max()
    low = foot[foot[:, 1] > ground - 0.02]
    heel = low[np.argmax(low[:, 2])].copy()
    heel[2] -= 0.015
    ball = figure.rest(f"toe2-1.{side}").copy()
    heel[1] = ball[1] = ground
    return heel, ball


def _stand(figure: Figure, rotations: NDArray, side: str, foot: dict[str, float], height: float) -> None:
    """Put the ball of one foot on its place by bending the leg; in place."""
    scale = (np.ptp(figure.rest_vertices[:, 1])) / 1.75
    joints, _ = figure.placed(rotations)
    hips = 0.5 * (joints[figure.index("upperleg01.L")] + joints[figure.index("upperleg01.R")])
    _, ball = sole(figure, side)
    ankle_rest = figure.rest(f"foot.{side}")
    ground = hips - UP * (height * leg_length(figure) + (ball - ankle_rest) @ -UP)
    spot = ground + scale * (foot.get("forward", 0) * FORWARD + foot.get("left", 0) * LEFT + foot.get("up", 0) * UP)
    sign = 1.0 if side == "L" else -1.0
    yaw = turn(UP, sign * foot.get("turn", 0))
    pitch = foot.get("pitch", 0)
    plant_foot(figure, rotations, side, spot, yaw, pitch, sign * foot.get("knee_out", 0))


def plant_foot(
    figure: Figure,
    rotations: NDArray,
    side: str,
    ball_at: NDArray,
    yaw: NDArray,
    pitch: float,
    knee_yaw: float = 0.0,
) -> None:
    """Bring the ball of a foot to `ball_at`, the foot turned by `yaw` (3, 3) and `pitch` degrees; in place."""
    _, ball = sole(figure, side)
    foot_turn = yaw @ turn(LEFT, -pitch)
    ankle = ball_at + foot_turn @ (figure.rest(f"foot.{side}") - ball)
    figure.reach(rotations, side, ankle, turn(UP, knee_yaw) @ yaw @ FORWARD)
    figure.set_global(rotations, f"foot.{side}", foot_turn)
    if pitch < 0:  # the toes stay on the ground
        for toe in range(1, 6):
            rotations[figure.index(f"toe{toe}-1.{side}")] = turn(LEFT, max(pitch, -50))
