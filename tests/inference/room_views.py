# SPDX-License-Identifier: GPL-3.0-or-later
"""Photos of a known room, whose floor, walls and box have random textures: rays against rectangles."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

#: Middle, half sides along two axes.
RECTANGLES = (
    ((0, 0, 0), (4, 0, 0), (0, 4, 0)),
    ((0, 4, 1.5), (4, 0, 0), (0, 0, 1.5)),
    ((-4, 0, 1.5), (0, 4, 0), (0, 0, 1.5)),
    ((0.8, 1.5, 0.5), (0.6, 0, 0), (0, 0.4, 0)),
    ((0.8, 1.1, 0.25), (0.6, 0, 0), (0, 0, 0.25)),
    ((0.2, 1.5, 0.25), (0, 0.4, 0), (0, 0, 0.25)),
)


@cache
def _textures() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    made = []
    for _ in RECTANGLES:
        coarse = cv2.resize(random.uniform(30, 220, (48, 48, 3)).astype(np.float32), (768, 768), interpolation=0)
        made.append(coarse + 3 * cv2.GaussianBlur(random.normal(0, 60, (768, 768, 3)).astype(np.float32), (0, 0), 2))
    return made


def pose(share: float) -> np.ndarray:
    """World from camera axes (4, 4) of a walk around the box, share 0..1, at eye height."""
    turn = np.radians(-35 + 70 * share)
    eye = np.array([3 * np.sin(turn) + 0.3, -2.2 * np.cos(turn) - 0.5, 1.6 + 0.2 * np.sin(5 * turn)])
    ahead = np.array([0.3, 1.6, 0.6]) - eye
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, (0, 0, 1))
    right /= np.linalg.norm(right)
    made = np.eye(4)
    made[:3, :3], made[:3, 3] = np.stack([right, np.cross(ahead, right), ahead], 1), eye
    return made


def view(
    share: float, width: int = 320, height: int = 240, focal: float = 300.0, turn: float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (H, W, 3) uint8, and metres along the view (H, W), inf where there is nothing. turn : degrees by which the
    camera is turned on its spot."""
    camera = pose(share)
    cosine, sine = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    camera[:3, :3] = np.array([[cosine, -sine, 0], [sine, cosine, 0], [0, 0, 1]]) @ camera[:3, :3]
    u, v = np.meshgrid((np.arange(width) + 0.5 - width / 2) / focal, (np.arange(height) + 0.5 - height / 2) / focal)
    rays = np.stack([u, v, np.ones_like(u)], -1) @ camera[:3, :3].T
    pixels, depth = np.full((height, width, 3), 150, np.float32), np.full((height, width), np.inf)
    for (middle, along, across), texture in zip(np.array(RECTANGLES, float), _textures(), strict=True):
        normal = np.cross(along, across)
        with np.errstate(divide="ignore", invalid="ignore"):
            away = ((middle - camera[:3, 3]) @ normal) / (rays @ normal)
            place = camera[:3, 3] + rays * away[..., None] - middle
            a, b = (place @ axis / (axis @ axis) for axis in (along, across))
            hit = (away > 0) & (np.abs(a) < 1) & (np.abs(b) < 1) & (away < depth)
        sides = np.linalg.norm(along), np.linalg.norm(across)
        at = [
            ((np.nan_to_num(share) * side / np.hypot(*sides) + 1) * 383).astype(np.float32)
            for share, side in zip((a, b), sides, strict=True)
        ]
        colour = cv2.remap(texture, *at, cv2.INTER_LINEAR)
        pixels[hit], depth[hit] = colour[hit], away[hit]
    return np.clip(cv2.GaussianBlur(pixels, (0, 0), 0.6), 0, 255).astype(np.uint8), depth
