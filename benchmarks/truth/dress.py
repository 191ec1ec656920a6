# SPDX-License-Identifier: GPL-3.0-or-later
"""Clothes, shoes, hair and a painted face for the naked body, so that a detector trained on photographs sees a person.

Every garment is cut from the body's own surface by the rest pose (sleeves end at a share of the arm, trousers at a
share of the leg), smoothed, so that anatomy does not show through, and blown up along the normals. Shoes are the
convex hulls of the feet. All coordinates are those of the posed vertices that are given: any axes, metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.spatial import ConvexHull

if TYPE_CHECKING:
    from .anatomy import Figure
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Piece:
    """One mesh to draw: `vertices` (V, 3), the same at `rest` (cloth patterns stick to it), `faces` (F, 3),
    `colours` (V, 3) linear 0..1, and the kind of cloth."""

    name: str
    vertices: NDArray[np.float64]
    rest: NDArray[np.float64]
    faces: NDArray[np.int64]
    colours: NDArray[np.float64]
    cloth: str = "plain"


#: Defaults of an outfit (a table in `stills.toml`); colours are linear RGB.
OUTFIT: dict[str, Any] = {
    "skin": (0.52, 0.30, 0.20),
    "hair": (0.04, 0.025, 0.015),
    "hair_style": "short",
    "shirt": (0.10, 0.20, 0.45),
    "shirt_cloth": "plain",
    "sleeve": 0.95,
    "trousers": (0.03, 0.035, 0.06),
    "trousers_cloth": "denim",
    "leg": 0.97,
    "shoes": (0.03, 0.03, 0.03),
}


class Tailor:
    """Cuts the garments of one figure; the cuts depend on the rest pose only and are made once for a clip."""

    def __init__(self, figure: Figure, outfit: dict[str, Any]) -> None:
        self.figure = figure
        self.outfit = {**OUTFIT, **outfit}
        self.rest = figure.rest_vertices
        self.faces = np.asarray(figure.body.faces, np.int64)
        self.height = float(np.ptp(self.rest[:, 1]))

    def weight(self, *starts: str) -> NDArray[np.float64]:
        """(V,) skin weight of all joints whose name begins with one of the words."""
        names = self.figure.body.joint_names
        columns = [index for index, name in enumerate(names) if name.startswith(starts)]
        return np.asarray(self.figure.body.skin_weights[:, columns].sum(axis=1), np.float64)

    def along(self, start: str, end: str) -> NDArray[np.float64]:
        """(V,) 0 at the joint `start` and 1 at `end`, whichever side of the body is nearer."""
        shares = []
        for side in "LR":
            first, last = self.figure.rest(f"{start}.{side}"), self.figure.rest(f"{end}.{side}")
            shares.append((self.rest - first) @ (last - first) / ((last - first) @ (last - first)))
        return np.where(self.rest[:, 0] > 0, *shares)

    @cached_property
    def arm_share(self) -> NDArray[np.float64]:
        """(V,) 0 at the shoulder, 0.5 at the elbow, 1 at the wrist; -1 off the arms, 2 on the hands."""
        upper = self.weight("upperarm")
        lower = self.weight("lowerarm")
        hand = self.weight("wrist", "finger", "metacarpal")
        share = np.full(len(self.rest), -1.0)
        on_upper = upper > np.maximum(lower, 0.4)
        share[on_upper] = 0.5 * np.clip(self.along("upperarm01", "lowerarm01"), 0, 1)[on_upper]
        on_lower = (lower >= upper) & (lower > 0.3)
        share[on_lower] = 0.5 + 0.5 * np.clip(self.along("lowerarm01", "wrist"), 0, 1)[on_lower]
        share[hand > 0.5] = 2
        return share

    @cached_property
    def leg_share(self) -> NDArray[np.float64]:
        """(V,) 0 at the hip, 0.5 at the knee, 1 at the ankle; -1 off the legs, 2 on the feet."""
        upper, lower, foot = self.weight("upperleg"), self.weight("lowerleg"), self.weight("foot", "toe")
        share = np.full(len(self.rest), -1.0)
        on_upper = upper > np.maximum(lower, 0.3)
        share[on_upper] = 0.5 * np.clip(self.along("upperleg01", "lowerleg01"), 0, 1)[on_upper]
        on_lower = (lower >= upper) & (lower > 0.3)
        share[on_lower] = 0.5 + 0.5 * np.clip(self.along("lowerleg01", "foot"), 0, 1)[on_lower]
        share[(foot > 0.5) & (self.along("lowerleg01", "foot") > 0.93)] = 2
        return share

    @cached_property
    def parts(self) -> dict[str, NDArray[np.bool_]]:
        """Vertices of the shirt, the trousers, the shoes and the hair."""
        head = self.weight("head", "neck", "eye") > 0.5
        limb = (self.arm_share >= 0) | (self.leg_share >= 0) | (self.arm_share == 2)
        torso = ~head & ~limb & (self.leg_share < 0)
        waist = self.figure.rest("upperleg01.L")[1] - 0.055 * self.height
        collar = self.figure.rest("neck01")[1] + 0.002 * self.height
        hem = waist + 0.035 * self.height
        below_neck = (self.rest[:, 1] > collar) | (~head & (np.abs(self.rest[:, 0]) > 0.045 * self.height))
        shirt = (torso | (head & below_neck)) & below_neck & (self.rest[:, 1] < hem)
        shirt |= (self.arm_share >= 0) & (self.arm_share < self.outfit["sleeve"])
        shirt |= (self.leg_share >= 0) & (self.rest[:, 1] < hem) & (self.arm_share < 0)
        trousers = (torso | (self.leg_share >= 0)) & (self.rest[:, 1] > waist)
        trousers &= (self.arm_share < 0) & (self.leg_share < self.outfit["leg"])
        return {"shirt": shirt, "trousers": trousers, "shoes": self.leg_share == 2, "hair": self._hair()}

    def _hair(self) -> NDArray[np.bool_]:
        """The scalp: above a line that falls from the forehead over the ears to the nape."""
        eyes = 0.5 * (self.figure.rest("eye.L") + self.figure.rest("eye.R"))
        back = (self.rest[:, 2] - eyes[2]) / self.height
        up = (eyes[1] - self.rest[:, 1]) / self.height
        nape = {"short": -0.035, "bob": -0.085, "bun": -0.035, "cap": -0.01}[self.outfit["hair_style"]]
        line = np.interp(back, [-0.02, 0.01, 0.035, 0.055, 0.075], [0.036, 0.034, 0.018, -0.005, nape])
        if self.outfit["hair_style"] == "bob":
            line = np.interp(back, [-0.02, 0.015, 0.03, 0.05, 0.075], [0.034, 0.03, -0.03, -0.07, nape])
        return (self.weight("head", "neck") > 0.5) & (up > line) & ~self.eyeballs

    @cached_property
    def eyeballs(self) -> NDArray[np.bool_]:
        return self.weight("eye.") > 0.5

    @cached_property
    def smoother(self) -> sparse.csr_matrix:
        """(V, V) mean of the neighbours."""
        edges = np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]])
        count = len(self.rest)
        link = sparse.coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), (count, count)).tocsr()
        link = ((link + link.T) > 0).astype(np.float64)
        return sparse.diags(1 / np.maximum(np.asarray(link.sum(1)).ravel(), 1)) @ link

    def smoothed(self, values: NDArray, times: int) -> NDArray[np.float64]:
        for _ in range(times):
            values = 0.5 * values + 0.5 * (self.smoother @ values)
        return values

    def normals(self, vertices: NDArray) -> NDArray[np.float64]:
        """(V, 3) unit vertex normals, outward."""
        corners = vertices[self.faces]
        face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        normals = np.zeros_like(vertices)
        for corner in range(3):
            np.add.at(normals, self.faces[:, corner], face)
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)

    def dressed(self, posed: NDArray) -> list[Piece]:
        """All pieces of the person whose body's posed vertices (V, 3) are given."""
        parts = self.parts
        outfit = self.outfit
        covered = parts["shirt"] | parts["trousers"] | parts["shoes"]
        inner = self.smoothed(covered.astype(np.float64), 6) > 0.97
        pieces = [self._piece("skin", posed, ~inner[self.faces].all(axis=1), self.skin_colours, "skin")]
        loose = np.interp(self.leg_share, [0, 0.5, 1], [0.010, 0.020, 0.024]) * (self.height / 1.75)
        pieces.append(self._garment("trousers", posed, loose, 14))
        loose = np.interp(self.arm_share, [-1, 0, 0.3, 1], [0.022, 0.014, 0.018, 0.014]) * (self.height / 1.75)
        pieces.append(self._garment("shirt", posed, loose, 14))
        pieces += self._shoes(posed)
        thick = {"short": 0.014, "bob": 0.028, "bun": 0.012, "cap": 0.016}[outfit["hair_style"]]
        edge = self.smoothed(parts["hair"].astype(np.float64), 4)
        pieces.append(self._garment("hair", posed, thick * np.clip(2 * edge - 0.7, 0.1, 1), 10))
        if outfit["hair_style"] == "bun":
            pieces.append(self._bun(posed))
        return pieces

    def _piece(self, name: str, vertices: NDArray, keep: NDArray, colours: NDArray, cloth: str) -> Piece:
        faces = self.faces[keep]
        used, faces = np.unique(faces, return_inverse=True)
        colours = np.broadcast_to(colours, vertices.shape)[used]
        return Piece(name, vertices[used], self.rest[used], faces.reshape(-1, 3), colours, cloth)

    def _garment(self, name: str, posed: NDArray, loose: NDArray, smoothing: int) -> Piece:
        surface = self.smoothed(posed, smoothing)
        surface += self.smoothed(self.normals(surface), 3) * loose[:, None]
        keep = self.parts[name][self.faces].all(axis=1)
        colour = np.asarray(self.outfit[name], np.float64)
        return self._piece(name, surface, keep, colour, self.outfit.get(f"{name}_cloth", "hair"))

    def _shoes(self, posed: NDArray) -> list[Piece]:
        shoes = []
        for side in (1, -1):
            chosen = self.parts["shoes"] & (self.rest[:, 0] * side > 0)
            points = posed[chosen] + 0.006 * self.normals(posed)[chosen]
            hull = ConvexHull(points)
            inward = np.einsum("fa,fa->f", _face_normals(points, hull.simplices), hull.equations[:, :3]) < 0
            faces = np.where(inward[:, None], hull.simplices[:, ::-1], hull.simplices)
            used, faces = np.unique(faces, return_inverse=True)
            colours = np.broadcast_to(np.asarray(self.outfit["shoes"], np.float64), (len(used), 3))
            rest = self.rest[chosen][used]
            shoes.append(Piece("shoe", points[used], rest, faces.reshape(-1, 3), colours, "leather"))
        return shoes

    def _bun(self, posed: NDArray) -> Piece:
        """A knot of hair: an octahedron cut finer, on the back of the head."""
        hair = np.flatnonzero(self.parts["hair"])
        depth, rise = self.rest[hair, 2], -self.rest[hair, 1]
        at = hair[np.argmax(depth / np.ptp(depth) + 0.5 * rise / np.ptp(rise))]
        theta, phi = np.meshgrid(np.linspace(0, np.pi, 10), np.linspace(0, 2 * np.pi, 16, endpoint=False))
        ball = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1).reshape(-1, 3)
        points = posed[at] + 0.025 * self.normals(posed)[at] + 0.042 * ball
        hull = ConvexHull(points)
        colours = np.broadcast_to(np.asarray(self.outfit["hair"], np.float64), points.shape)
        return Piece("bun", points, 0.042 * ball, hull.simplices.astype(np.int64), colours, "hair")

    @cached_property
    def skin_colours(self) -> NDArray[np.float64]:
        """(V, 3): skin with eyes, brows, lips and darker hair roots painted on."""
        skin = np.asarray(self.outfit["skin"], np.float64)
        colours = np.tile(skin, (len(self.rest), 1))
        scale = self.height / 1.75
        for side in "LR":
            eye = self.figure.rest(f"eye.{side}")
            across = (self.rest[:, 0] - eye[0]) / scale
            up = (eye[1] - self.rest[:, 1]) / scale
            front = self.rest[:, 2] < eye[2] + 0.03 * scale
            brow = front & (np.abs(across) < 0.026) & (np.abs(up - 0.023 + 8 * across**2) < 0.0055)
            colours[brow] = 0.5 * np.asarray(self.outfit["hair"]) + 0.08 * skin
            lid = front & (np.hypot(across / 0.022, up / 0.012) < 1) & ~self.eyeballs
            colours[lid] *= 0.62
            ball = self.eyeballs & (self.rest[:, 0] * eye[0] > 0)
            colours[ball] = 0.62
            centre = self.rest[ball]
            iris = np.zeros(len(self.rest), bool)
            iris[ball] = np.hypot(centre[:, 0] - centre[:, 0].mean(), centre[:, 1] - centre[:, 1].mean()) < 0.0065 * scale
            iris &= self.rest[:, 2] < eye[2]
            colours[iris] = (0.02, 0.012, 0.008)
        colours[self._lips()] = skin * (0.75, 0.45, 0.45)
        colours[self.parts["hair"]] = self.outfit["hair"]
        return colours

    def _lips(self) -> NDArray[np.bool_]:
        scale = self.height / 1.75
        eyes = 0.5 * (self.figure.rest("eye.L") + self.figure.rest("eye.R"))
        below = (self.rest[:, 1] - eyes[1]) / scale
        return (
            (np.abs(self.rest[:, 0]) < 0.024 * scale)
            & (np.abs(below - 0.073) < 0.009 - 6 * (self.rest[:, 0] / scale) ** 2)
            & (self.rest[:, 2] < eyes[2] + 0.015 * scale)
        )


def _face_normals(points: NDArray, faces: NDArray) -> NDArray[np.float64]:
    corners = points[faces]
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
