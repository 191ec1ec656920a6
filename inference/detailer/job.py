# SPDX-License-Identifier: GPL-3.0-or-later
"""What a detailer works on and with: the request, the engine that repaints a crop, and the hook into its steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..runtime import Run


#: End of the note on parts that were left out, of which the records tell more.
TOO_SMALL = "parts of the mask were too small to detail."


@dataclass
class Course:
    """What a request learns on its way from segment to segment.

    tiled : pictures go through the model in tiles, because memory ran out, or as asked.  notes : what the artist is to
    know of the result.
    """

    tiled: bool = False
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


@dataclass(frozen=True)
class Settings:
    """How one crop is repainted; the parameters are those of `detail_mask`.

    cycle, cycles : the number of this pass over the crop (0 first), and how many there are.
    differential : parts join one after the other, as grey as their mask (differential diffusion).
    masked : (h', w') bool, all that the mask holds of the crop, other parts as well, at the crop's own size; only for
        native engines (see `Engine`), which take nothing from there.  None without.
    control : (h, w, 3) float32 0..1, the control image of this crop at its work size, or None.
    control_start, control_end : shares of the steps between which it acts, with `control_strength`.
    compatibility : the refiner takes over as in the reference, whose kept part carries no noise then.
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
    course: Course = field(default_factory=Course)


class Engine(Protocol):
    """Anything that repaints a crop. One whose attribute `native` is true takes the photo's own pixels: it gets crops
    at their own size (or smaller, by max_size) and the mask as it is, only spread by the feather."""

    def repaint(
        self,
        crop: NDArray[np.float32],
        noise_mask: NDArray[np.float32] | None,
        *,
        seed: int,
        settings: Settings,
    ) -> NDArray[np.float32]:
        """Returns a picture (h'', w'', 3), which is resized to the crop.

        crop : (h, w, 3) float32 0..1 at the size to work at.  noise_mask : (h', w') float32 0..1 at the segment's own
        size, where to paint; None paints everywhere. Where memory runs out it is called once more, with
        settings.course.tiled.
        """
        ...
