# SPDX-License-Identifier: GPL-3.0-or-later
"""Black bars that a player or an editor has put around a picture of other proportions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Black of a bar, as limited range or compression leaves it, and how even it is (grey levels).
BLACK, EVEN = 24, 8
#: Shares of the side: narrower ones tell nothing, and those of both ends are equal but for so much.
NARROWEST, UNEQUAL = 0.03, 0.02
#: Pixels of each row that are looked at.
LOOKED_AT = 256


def bar_of(pixels: NDArray[np.uint8]) -> int:
    """Rows of each of the two black bars above and below a picture (H, W, 3); 0 where it has none. What is dark at one
    end alone, or anything but black all over, is the picture's own; a picture that is all black has no bars."""
    height, width = pixels.shape[:2]
    some = pixels[:, :: max(1, width // LOOKED_AT)]
    high, low = some.max(axis=(1, 2)), some.min(axis=(1, 2))
    lit = np.flatnonzero((high > BLACK) | (high - low > EVEN))
    if not len(lit):
        return 0
    above, below = int(lit[0]), height - 1 - int(lit[-1])
    return min(above, below) if min(above, below) > NARROWEST * height and abs(above - below) < UNEQUAL * height else 0
