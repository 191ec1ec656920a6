# SPDX-License-Identifier: GPL-3.0-or-later
"""What MHR's 127 joints are called, in their order, and the 70 keypoints on it."""

from __future__ import annotations


def _leg(side: str) -> list[str]:
    chain = [
        f"{side}_{name}" for name in ("upleg", "lowleg", "foot", "talocrural", "subtalar", "transversetarsal", "ball")
    ]
    twists = [f"{side}_lowleg_twist{number}_proc" for number in range(1, 5)]
    return [*chain, *twists, *(f"{side}_upleg_twist{number}_proc" for number in range(5))]


def _arm(side: str) -> list[str]:
    chain = [f"{side}_{name}" for name in ("clavicle", "uparm", "lowarm", "wrist_twist", "wrist")]
    for finger, first in (("pinky", 0), ("ring", 1), ("middle", 1), ("index", 1), ("thumb", 0)):
        chain += [*(f"{side}_{finger}{number}" for number in range(first, 4)), f"{side}_{finger}_null"]
    twists = [f"{side}_lowarm_twist{number}_proc" for number in range(1, 5)]
    return [*chain, *twists, *(f"{side}_uparm_twist{number}_proc" for number in range(5))]


JOINT_NAMES = (
    "body_world", "root", *_leg("l"), *_leg("r"), *(f"c_spine{number}" for number in range(4)), *_arm("r"), *_arm("l"),
    "c_neck", "c_neck_twist1_proc", "c_neck_twist0_proc", "c_head", "c_jaw", "c_teeth", "c_jaw_null",
    *(f"c_tongue{number}" for number in range(5)), "r_eye", "r_eye_null", "l_eye", "l_eye_null", "c_head_null",
)  # fmt: skip


def _hand(side: str) -> list[str]:
    fingers = ("thumb", "index", "middle", "ring", "pinky")
    parts = ("tip", "first_joint", "second_joint", "third_joint")
    return [f"{side}_{finger}_{part}" for finger in fingers for part in parts] + [f"{side}_wrist"]


KEYPOINT_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
    "right_elbow", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "left_big_toe",
    "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel", *_hand("right"), *_hand("left"),
    "left_olecranon", "right_olecranon", "left_cubital_fossa", "right_cubital_fossa", "left_acromion", "right_acromion",
    "neck",
)  # fmt: skip
