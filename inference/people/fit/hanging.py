# SPDX-License-Identifier: GPL-3.0-or-later
"""Directions of bones: of hands as the hand networks see them, and of what is not seen, which hangs plumb, or on from
a trunk that lies.

The pose network places all landmarks, those outside of the picture too: half figures kneel in the air and lean back.
Such landmarks hardly count, and what they led is led by gravity.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .observe import DEPTH_SHARE, DIFFERENCES, HIPS, INDEX, LEGS, SHOULDERS, Observations

#: Below this certainty, and outside of the picture, a landmark is the network's invention, and counts as little. A limb
#: behind the body has more, and the network knows better than a plumb line: a runner's rear foot was half a metre off.
UNSEEN, INVENTED = 0.03, 0.04
#: Of half figures, how much the picture's hips count, and how much more than elsewhere that trunks hang plumb.
_HIPS_OF_HALF, _UPRIGHT = 0.5, 1.5
#: What hangs where it is not seen, from -> to (means of landmarks); standard deviations of the directions, radians:
#: people lean and gesture more than they stand on crooked legs.
_HANGING = (
    ((11, 12), (23, 24)), ((23,), (25,)), ((24,), (26,)), ((25,), (27,)), ((26,), (28,)),
    ((11,), (13,)), ((12,), (14,)), ((13,), (15,)), ((14,), (16,)),
)  # fmt: skip
#: What else shows where a limb ends: a hand at the chin, though the wrist be out of the picture.
_BEYOND: dict[tuple[int, ...], tuple[int, ...]] = {
    (15,): (17, 19, 21),
    (16,): (18, 20, 22),
    (27,): (29, 31),
    (28,): (30, 32),
}
#: Directions of hands that were looked at: along them and across them, the left one's and the right one's.
PALMS = (((15,), (17, 19)), ((17,), (19,)), ((16,), (18, 20)), ((18,), (20,)))
_SPREADS = torch.tensor([0.25, *[0.15] * 4, *[0.25] * 4, *[0.15] * 4], dtype=torch.float64)[:, None]
#: Arms hang a little away from the trunk.
_ARMS_APART = 0.2
#: Which entries of the depths are the thighs'.
_THIGH_DEPTHS = [
    int(((DIFFERENCES[:, hip] == -1) & (DIFFERENCES[:, leg[0]] == 1)).nonzero())
    for hip, leg in zip(HIPS, LEGS, strict=True)
]
#: A trunk whose way down has less than this cosine with the camera's lies.
_LYING = 0.5


class Hanging:
    """known : (B, K) what each landmark counts, `INVENTED` to 1.  depth_known : (B, E) the same of the depths."""

    def __init__(self, observed: Observations) -> None:
        known = observed.inside * (observed.seen / UNSEEN).clamp(0, 1)
        for number, leg in enumerate(LEGS):
            known[:, leg] *= observed.legs[:, number, None]
        known[:, HIPS] *= 1 - (1 - _HIPS_OF_HALF) * observed.half[:, None]
        self.known = known.clamp(min=INVENTED)
        one = self.known.new_ones(())
        self.depth_known = torch.where(DIFFERENCES != 0, self.known[:, None], one).amin(-1)
        ends = [[[INDEX[k] for k in end] for end in bone] for bone in (*_HANGING, *PALMS)]
        unseen = [1 - _shown(known, end) for _, end in _HANGING]
        unseen[0] = unseen[0] * (1 + (_UPRIGHT - 1) * observed.half)
        weight = torch.cat([torch.stack(unseen, 1), observed.palms_seen], 1)
        # Of people who are all seen nothing hangs: bones that count for nobody are left out.
        some = torch.nonzero((weight > 0).any(0))[:, 0]
        self._weight, self._aims = weight[:, some], torch.cat([_plumb(observed, known), observed.palms], 1)[:, some]
        self._spreads, self._bones = _SPREADS[some], observed.points.new_zeros(len(some), len(INDEX))
        for row, (start, end) in zip(self._bones, [ends[one] for one in some.tolist()], strict=True):
            row[start] -= 1 / len(start)
            row[end] += 1 / len(end)

    def __call__(self, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Directions of hands and of what is not seen: cost (B,), by coordinate of a bone the pull on it and its weight
        (B, 3H)."""
        bone = self._bones @ places
        length = bone.norm(dim=-1, keepdim=True).clamp(min=1e-3)
        error, steep = (bone / length - self._aims) / self._spreads, 1 / (length * self._spreads)
        weight = self._weight[..., None]
        pull, square = weight * steep * error, (weight * steep**2).expand_as(error)
        return ((error**2).sum(-1) * self._weight).sum(-1), pull.flatten(1), square.flatten(1)

    def rows(self, slopes: Tensor) -> Tensor:
        """(B, 3H, D): the slopes of the bones, of those of the markers (B, K, 3, D)."""
        return (self._bones @ slopes.flatten(2)).reshape(len(slopes), -1, slopes.shape[-1])


def _shown(known: Tensor, end: tuple[int, ...]) -> Tensor:
    """How far (B,) the end of a bone is known."""
    own, beyond = (known[:, [INDEX[k] for k in some]].amin(1) for some in (end, _BEYOND.get(end, end)))
    return torch.maximum(own, beyond)


def _plumb(seen: Observations, known: Tensor) -> Tensor:
    """(B, H, 3) unit directions, camera axes, in which unseen parts hang."""
    world = (seen.ray[:, None] @ seen.world[..., None])[..., 0]
    down = world.new_tensor([0.0, 1.0, 0.0]).expand(len(world), 3)
    trunk = torch.nn.functional.normalize(world[:, HIPS].mean(1) - world[:, SHOULDERS].mean(1), dim=-1)
    sure = known[:, [*HIPS, *SHOULDERS]].amin(1, keepdim=True)
    lies = sure * (trunk[:, 1:2] < _LYING)
    # A trunk that is seen upright tells how far the camera looks down.
    below = down * (1 - lies) + sure * (0.5 + 0.5 * lies) * trunk
    thighs = torch.nn.functional.normalize(_thighs(seen), dim=-1)
    sits = seen.sits[:, None, None]
    thighs = sits * thighs + (1 - sits) * torch.nn.functional.normalize(below, dim=-1)[:, None]
    across = _ARMS_APART * torch.nn.functional.normalize(world[:, INDEX[11]] - world[:, INDEX[12]], dim=-1)
    aims = torch.stack([down, thighs[:, 0], thighs[:, 1], *[below] * 2, *[below + across, below - across] * 2], 1)
    return torch.nn.functional.normalize(aims, dim=-1)


def _thighs(seen: Observations) -> Tensor:
    """(B, 2, 3), camera axes: the thighs as the network shows them, as deep as that makes them."""
    rays = torch.stack([seen.world[:, leg[0]] - seen.world[:, hip] for hip, leg in zip(HIPS, LEGS, strict=True)], 1)
    rays[..., 2] = (seen.depths / DEPTH_SHARE)[:, _THIGH_DEPTHS]
    return rays @ seen.ray.transpose(1, 2)
