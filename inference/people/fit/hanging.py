# SPDX-License-Identifier: GPL-3.0-or-later
"""Directions of bones: of hands as the hand networks see them, and of what is not seen, which hangs plumb, or on from
a trunk that lies.

The pose network places all landmarks, those outside of the picture too: half figures kneel in the air and lean back.
Such landmarks hardly count, and what they led is led by gravity.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .observe import DIFFERENCES, INDEX, Observations

#: Below this certainty, and outside of the picture, a landmark is the network's invention, and counts as little.
UNSEEN, INVENTED = 0.15, 0.04
#: Of half figures, below whose hips the picture has less room than so many metres: a leg of which neither knee nor
#: ankle is more certain than the first is invented, from the second on it is not.
_ROOM, _LEG_UNSEEN, _LEG_SEEN = 0.6, 0.1, 0.2
_LEGS = [[INDEX[k] for k in (25, 27, 29, 31)], [INDEX[k] for k in (26, 28, 30, 32)]]
#: What hangs where it is not seen, from -> to (means of landmarks); standard deviations of the directions, radians:
#: people lean and gesture more than they stand on crooked legs.
_HANGING = (
    ((11, 12), (23, 24)), ((23,), (25,)), ((24,), (26,)), ((25,), (27,)), ((26,), (28,)),
    ((11,), (13,)), ((12,), (14,)), ((13,), (15,)), ((14,), (16,)),
)  # fmt: skip
#: Directions of hands that were looked at: along them and across them, the left one's and the right one's.
PALMS = (((15,), (17, 19)), ((17,), (19,)), ((16,), (18, 20)), ((18,), (20,)))
_SPREADS = torch.tensor([0.25, *[0.15] * 4, *[0.25] * 4, *[0.15] * 4], dtype=torch.float64)[:, None]
#: Arms hang a little away from the trunk.
_ARMS_APART = 0.2
#: A trunk whose way down has less than this cosine with the camera's lies.
_LYING = 0.5
_SHOULDERS, _HIPS = [INDEX[11], INDEX[12]], [INDEX[23], INDEX[24]]


class Hanging:
    """known : (B, K) what each landmark counts, `INVENTED` to 1.  depth_known : (B, E) the same of the depths."""

    def __init__(self, observed: Observations) -> None:
        known = observed.inside * (observed.seen / UNSEEN).clamp(0, 1)
        below = 2 * observed.centre[:, 1] - observed.points[:, _HIPS, 1].mean(1)
        half = (below < _ROOM * observed.scale)[:, None]
        for leg in _LEGS:
            best = (observed.seen * observed.inside)[:, leg[:2]].amax(1, keepdim=True)
            known[:, leg] *= torch.where(half, ((best - _LEG_UNSEEN) / (_LEG_SEEN - _LEG_UNSEEN)).clamp(0, 1), 1.0)
        self.known = known.clamp(min=INVENTED)
        one = self.known.new_ones(())
        self.depth_known = torch.where(DIFFERENCES != 0, self.known[:, None], one).amin(-1)
        self._ends = [[[INDEX[k] for k in end] for end in bone] for bone in (*_HANGING, *PALMS)]
        unseen = [1 - known[:, end].amin(1) for _, end in self._ends[: len(_HANGING)]]
        self._weight = torch.cat([torch.stack(unseen, 1), observed.palms_seen], 1)
        self._aims = torch.cat([_plumb(observed, known), observed.palms], 1)

    def __call__(self, places: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Directions of hands and of what is not seen: residuals (B, 3H), (B, 3H, D), weights (B, 3H), cost (B,)."""
        bone, turn = (
            torch.stack([values[:, end].mean(1) - values[:, start].mean(1) for start, end in self._ends], 1)
            for values in (places, slopes)
        )
        length = bone.norm(dim=-1, keepdim=True).clamp(min=1e-3)
        error, slope = (bone / length - self._aims) / _SPREADS, turn / (length * _SPREADS)[..., None]
        rows = self._weight[..., None].expand_as(error).flatten(1)
        return error.flatten(1), slope.flatten(1, 2), rows, ((error**2).sum(-1) * self._weight).sum(-1)


def _plumb(seen: Observations, known: Tensor) -> Tensor:
    """(B, H, 3) unit directions, camera axes, in which unseen parts hang."""
    world = (seen.ray[:, None] @ seen.world[..., None])[..., 0]
    down = world.new_tensor([0.0, 1.0, 0.0]).expand(len(world), 3)
    trunk = torch.nn.functional.normalize(world[:, _HIPS].mean(1) - world[:, _SHOULDERS].mean(1), dim=-1)
    sure = known[:, [*_HIPS, *_SHOULDERS]].amin(1, keepdim=True)
    lies = sure * (trunk[:, 1:2] < _LYING)
    # A trunk that is seen upright tells how far the camera looks down.
    below = down * (1 - lies) + sure * (0.5 + 0.5 * lies) * trunk
    across = _ARMS_APART * torch.nn.functional.normalize(world[:, INDEX[11]] - world[:, INDEX[12]], dim=-1)
    aims = torch.stack([down, *[below] * 4, *[below + across, below - across] * 2], 1)
    return torch.nn.functional.normalize(aims, dim=-1)
