# SPDX-License-Identifier: GPL-3.0-or-later
"""How a crop is repainted, and what a run learns from crop to crop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..runtime import Run


#: End of the note on parts that were left out; the records say why.
TOO_SMALL = "parts of the mask were too small to detail."


@dataclass
class RunState:
    """What a run learns on its way from segment to segment.

    tiled : pictures go through the model in tiles, because memory ran out, or on request.  notes : what the artist
    should know about the result.
    """

    tiled: bool = False
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


@dataclass(frozen=True)
class Settings:
    """How one crop is repainted; the parameters are those of `detail_mask`.

    refiner : a second diffusion engine, for the last steps, or None.
    cycle, cycles : the number of this pass over the crop (0 first), and how many there are.
    differential : grey parts of the mask join later than white ones (differential diffusion).
    masked : (h', w') bool, everything that the mask covers in the crop, other segments included, at the crop's own
        size; only for native engines (see `engines.Engine`), which copy nothing from there.  None without.
    control : (h, w, 3) float32 0..1, the control image of this crop at its work size, or None.
    control_start, control_end : shares of the steps between which it acts, with `control_strength`.
    clip_skip : layers at the end of the text encoders that are left out.
    compatibility : the refiner takes over as in the Impact Pack, where the kept part carries no noise then.
    run : progress, cancelling and device.
    """

    run: Run
    steps: int
    cfg: float
    sampler: str
    scheduler: str
    denoise: float
    prompt: str = ""
    negative_prompt: str = ""
    clip_skip: int = 0
    refiner: Any = None
    refiner_ratio: float = 0.2
    inpaint_model: bool = False
    compatibility: bool = False
    differential: bool = False
    masked: NDArray[np.bool_] | None = None
    control: NDArray[np.float32] | None = None
    control_strength: float = 1.0
    control_start: float = 0.0
    control_end: float = 1.0
    cycle: int = 0
    cycles: int = 1
    hook: Any = None
    state: RunState = field(default_factory=RunState)
