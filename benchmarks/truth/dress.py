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
    from numpy.typing import NDArray

    from .anatomy import Figure


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
    def fields(self) -> dict[str, NDArray[np.float64]]:
        """(V,) metres that a vertex lies inside the shirt, the trousers, the shoes and the hair; negative outside."""
        height, down, far = self.height, self.rest[:, 1], 1.0
        arm, leg = self.arm_share, self.leg_share
        on_arm, on_leg = arm >= 0, leg >= 0
        head = self.weight("head", "eye") > 0.5
        waist = self.figure.rest("upperleg01.L")[1] - 0.055 * height
        hem = waist + 0.06 * height
        collar = self.figure.rest("neck01")[1] + 0.004 * height
        # The neckline is a shallow cone: the shoulders lie above the pit of the neck but inside the shirt.
        below_neck = down - collar + np.maximum(np.abs(self.rest[:, 0]) - 0.03 * height, 0) * 2.5
        shirt = np.where(on_arm, 0.32 * height * (self.outfit["sleeve"] - arm), np.minimum(hem - down, below_neck))
        shirt = np.where(head | (leg == 2), -far, shirt)
        trousers = np.minimum(down - waist, np.where(on_leg, 0.5 * height * (self.outfit["leg"] - leg), far))
        trousers = np.where(on_arm | head, -far, trousers)
        return {"shirt": shirt, "trousers": trousers, "shoes": np.where(leg == 2, far, -far), "hair": self._hair()}

    def _hair(self) -> NDArray[np.float64]:
        """The scalp: above a line that falls from the forehead over the ears to the nape."""
        eyes = 0.5 * (self.figure.rest("eye.L") + self.figure.rest("eye.R"))
        back = (self.rest[:, 2] - eyes[2]) / self.height
        up = (eyes[1] - self.rest[:, 1]) / self.height
        nape = {"short": -0.035, "bob": -0.085, "bun": -0.035, "cap": -0.01}[self.outfit["hair_style"]]
        line = np.interp(back, [-0.02, 0.01, 0.035, 0.055, 0.075], [0.036, 0.034, 0.018, -0.005, nape])
        if self.outfit["hair_style"] == "bob":
            line = np.interp(back, [-0.02, 0.015, 0.03, 0.05, 0.075], [0.034, 0.03, -0.03, -0.07, nape])
        on_head = (self.weight("head", "neck") > 0.5) & ~self.eyeballs
        return np.where(on_head, (up - line) * self.height, -1.0)

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
        """All pieces of the person whose body's posed vertices (V, 3) are given; faces do not depend on the pose."""
        scale = self.height / 1.75
        fields = self.fields
        covered = np.max([fields["shirt"], fields["trousers"], fields["shoes"]], axis=0) > 0
        inner = self.smoothed(covered.astype(np.float64), 2) > 0.99
        pieces = [self._piece("skin", posed, self.faces[~inner[self.faces].all(axis=1)], self.skin_colours, "skin")]
        loose = scale * np.interp(self.leg_share, [-1, 0, 0.5, 1], [0.012, 0.013, 0.020, 0.024])
        pieces.append(self._garment("trousers", posed, loose, 14))
        loose = scale * np.interp(self.arm_share, [-1, 0, 0.3, 1], [0.022, 0.014, 0.018, 0.014])
        loose = np.where(self.leg_share >= 0, 0.026 * scale, loose)
        pieces.append(self._garment("shirt", posed, loose, 14))
        pieces += self._shoes(posed)
        thick = {"short": 0.014, "bob": 0.028, "bun": 0.012, "cap": 0.016}[self.outfit["hair_style"]]
        edge = self.smoothed((fields["hair"] > 0).astype(np.float64), 4)
        pieces.append(self._garment("hair", posed, thick * np.clip(2 * edge - 0.7, 0.1, 1), 10))
        if self.outfit["hair_style"] == "bun":
            pieces.append(self._bun(posed))
        return pieces

    def _piece(self, name: str, vertices: NDArray, faces: NDArray, colours: NDArray, cloth: str) -> Piece:
        used, faces = np.unique(faces, return_inverse=True)
        colours = np.broadcast_to(colours, vertices.shape)[used]
        return Piece(name, vertices[used], self.rest[used], faces.reshape(-1, 3), colours, cloth)

    def _garment(self, name: str, posed: NDArray, loose: NDArray, smoothing: int) -> Piece:
        surface = self.smoothed(posed, smoothing)
        surface += self.smoothed(self.normals(surface), 3) * loose[:, None]
        field = self.fields[name]
        self._trim(surface, field)
        faces = self.faces[(field > 0)[self.faces].any(axis=1)]
        colour = np.asarray(self.outfit[name], np.float64)
        return self._piece(name, surface, faces, colour, self.outfit.get(f"{name}_cloth", "hair"))

    def _trim(self, surface: NDArray, field: NDArray) -> None:
        """Draw the vertices just outside a garment in to its hem, the line where `field` is zero; in place."""
        edges = np.concatenate([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]])
        edges = np.concatenate([edges, edges[:, ::-1]])
        inside, outside = edges[(field[edges[:, 0]] > 0) & (field[edges[:, 1]] <= 0)].T
        share = np.clip(field[inside] / (field[inside] - field[outside]), 0.02, 0.98)[:, None]
        hem = surface[inside] + share * (surface[outside] - surface[inside])
        total, count = np.zeros_like(surface), np.zeros(len(surface))
        np.add.at(total, outside, hem)
        np.add.at(count, outside, 1)
        drawn = count > 0
        surface[drawn] = total[drawn] / count[drawn, None]

    @cached_property
    def _shoe_hulls(self) -> list[tuple[NDArray, NDArray]]:
        """Left and right: the vertices of the body that span the shoe, and its faces, counted within them."""
        hulls = []
        for side in (1, -1):
            chosen = np.flatnonzero((self.fields["shoes"] > 0) & (self.rest[:, 0] * side > 0))
            hull = ConvexHull(self.rest[chosen])
            used, faces = np.unique(_outward(self.rest[chosen], hull), return_inverse=True)
            hulls.append((chosen[used], faces.reshape(-1, 3)))
        return hulls

    def _shoes(self, posed: NDArray) -> list[Piece]:
        points = posed + 0.007 * self.normals(posed)
        colour = np.asarray(self.outfit["shoes"], np.float64)
        return [
            Piece("shoe", points[used], self.rest[used], faces, np.tile(colour, (len(used), 1)), "leather")
            for used, faces in self._shoe_hulls
        ]

    def _bun(self, posed: NDArray) -> Piece:
        """A knot of hair: a ball on the back of the head."""
        hair = np.flatnonzero(self.fields["hair"] > 0)
        depth, rise = self.rest[hair, 2], -self.rest[hair, 1]
        at = hair[np.argmax(depth / np.ptp(depth) + 0.5 * rise / np.ptp(rise))]
        theta, phi = np.meshgrid(np.linspace(0.1, np.pi - 0.1, 10), np.linspace(0, 2 * np.pi, 16, endpoint=False))
        ball = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1).reshape(-1, 3)
        points = posed[at] + 0.025 * self.normals(posed)[at] + 0.042 * ball
        colours = np.tile(np.asarray(self.outfit["hair"], np.float64), (len(points), 1))
        return Piece("bun", points, 0.042 * ball, _outward(ball, ConvexHull(ball)), colours, "hair")

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
            iris[ball] = (
                np.hypot(centre[:, 0] - centre[:, 0].mean(), centre[:, 1] - centre[:, 1].mean()) < 0.0065 * scale
            )
            iris &= self.rest[:, 2] < eye[2]
            colours[iris] = (0.02, 0.012, 0.008)
        colours[self._lips()] = skin * (0.75, 0.45, 0.45)
        colours[self.fields["hair"] > 0] = self.outfit["hair"]
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


def _outward(points: NDArray, hull: ConvexHull) -> NDArray[np.int64]:
    """The triangles (F, 3) of a convex hull, counter-clockwise seen from outside."""
    corners = points[hull.simplices]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    inward = np.einsum("fa,fa->f", normals, hull.equations[:, :3]) < 0
    return np.where(inward[:, None], hull.simplices[:, ::-1], hull.simplices).astype(np.int64)
