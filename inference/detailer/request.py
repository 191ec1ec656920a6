# SPDX-License-Identifier: GPL-3.0-or-later
"""The arguments of `detail_mask`, checked and brought into the form that the loop works on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from numbers import Integral, Real
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BadInput
from ..photo import Photo, as_photo, load_photo
from ..registry import check_choice
from ..results import Detailed, HandMaps
from . import careful, loop, reference
from .engines import engine_for
from .job import Settings
from .sampling.masked import SAMPLERS
from .sampling.schedules import SCHEDULES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..runtime import Run

    Pixels = NDArray[np.float32]

#: Name -> least, most, whole numbers only. The ranges of the reference's inputs.
_RANGES: dict[str, tuple[float, float, bool]] = {
    "guide_size": (64, 16384, False),
    "max_size": (64, 16384, False),
    "seed": (0, 2**64 - 1, True),
    "steps": (1, 10000, True),
    "cfg": (0, 100, False),
    "denoise": (0.0001, 1, False),
    "feather": (0, 100, True),
    "crop_factor": (1, 10, False),
    "drop_size": (1, 16384, True),
    "refiner_ratio": (0, 1, False),
    "batch_size": (1, 100, True),
    "cycle": (1, 10, True),
    "noise_mask_feather": (0, 100, True),
}
#: Shapes of a mask and a photo that differ by less than this count as the same.
_SAME_SHAPE = 0.01


@dataclass(frozen=True)
class Job:
    """photo : (H, W, 3) float32.  alpha : (H, W, 1) float32 or None.  mask : (h, w) float32 0..1."""

    photo: Pixels
    alpha: Pixels | None
    mask: Pixels
    control: Pixels | None
    layout: loop.Layout
    settings: Settings
    seed: int
    batch_size: int

    def steps(self, model: Any, refiner: Any) -> Iterator[Detailed]:
        """What stands after each segment, with the photo's alpha."""
        run = self.settings.run
        settings = self.settings
        engine = engine_for(model, run)
        if refiner is not None:
            settings = replace(settings, refiner=engine_for(refiner, run))
        for detailed in loop.detail(
            self.photo,
            self.mask,
            engine,
            self.layout,
            settings,
            seed=self.seed,
            batch_size=self.batch_size,
            control=self.control,
        ):
            if self.alpha is None:
                yield detailed
            else:
                alpha = np.broadcast_to(self.alpha, (*detailed.image.shape[:3], 1))
                yield replace(detailed, image=np.concatenate([detailed.image, alpha], axis=-1))


def checked(photo: Any, mask: Any, run: Run, *, control: Any, compatibility: bool, **given: Any) -> Job:
    """Raises `BadInput` for what cannot be worked on."""
    for name, (low, high, whole) in _RANGES.items():
        _check_range(name, given[name], low, high, whole)
    check_choice(given["guide_size_for"], ("bbox", "crop_region"), "guide_size_for")
    check_choice(given["sampler"], tuple(SAMPLERS), "sampler")
    check_choice(given["scheduler"], tuple(SCHEDULES), "scheduler")
    pixels, alpha = _photo_pixels(photo)
    size = pixels.shape[1], pixels.shape[0]
    layout = loop.Layout(
        manner=reference if compatibility else careful,
        guide_by_box=given["guide_size_for"] == "bbox",
        **{name: given[name] for name in _LAYOUT},
    )
    settings = Settings(run, cycles=given["cycle"], **{name: given[name] for name in _SETTINGS})
    return Job(
        pixels,
        alpha,
        _mask_values(mask, size),
        None if control is None else _control_picture(control, size),
        layout,
        settings,
        int(given["seed"]),
        given["batch_size"],
    )


_LAYOUT = (
    "guide_size",
    "max_size",
    "mask_mode",
    "feather",
    "crop_factor",
    "drop_size",
    "noise_mask_feather",
    "contour_fill",
)
_SETTINGS = (
    "steps",
    "cfg",
    "sampler",
    "scheduler",
    "denoise",
    "prompt",
    "negative_prompt",
    "refiner_ratio",
    "inpaint_model",
    "hook",
)


def _check_range(name: str, value: object, low: float, high: float, whole: bool) -> None:
    kind = Integral if whole else Real
    if isinstance(value, bool) or not isinstance(value, kind) or not low <= value <= high:  # type: ignore[operator]
        what = "whole number" if whole else "number"
        raise BadInput(f"{name} is {value!r}, which is no {what} from {low:g} to {high:g}.", "Choose one in between.")


def _photo_pixels(photo: Any) -> tuple[Pixels, Pixels | None]:
    """Pixels (H, W, 3) float32 and alpha (H, W, 1), or None. Floats are taken as they are, also beyond 0..1."""
    if isinstance(photo, (Photo, str, PathLike)):
        return as_photo(photo).pixels.astype(np.float32) / 255, None
    array = np.asarray(photo)
    if array.ndim == 4:
        if len(array) != 1:
            raise BadInput(f"{len(array)} photos were given at once.", "Give them one after the other.")
        array = array[0]
    if array.ndim == 3 and array.shape[2] in (3, 4) and array.dtype.kind == "f":
        if not np.isfinite(array).all():
            raise BadInput("The photo holds values that are not finite (NaN or infinity).", "Replace them by 0.")
        values = array.astype(np.float32)
    elif array.ndim == 3 and array.shape[2] == 4 and array.dtype == np.uint8:
        values = array.astype(np.float32) / 255
    else:
        return as_photo(array).pixels.astype(np.float32) / 255, None
    as_photo(np.zeros(values.shape[:2], np.uint8))  # the limits of size that every photo has
    return np.ascontiguousarray(values[..., :3]), values[..., 3:] if values.shape[2] == 4 else None


def _mask_values(mask: Any, size: tuple[int, int]) -> Pixels:
    """(h, w) float32 0..1, of the photo's shape but not always of its size."""
    if isinstance(mask, HandMaps):
        mask = mask.mask
    if isinstance(mask, (str, PathLike)):
        mask = load_photo(mask).pixels[..., 0]
    array = np.asarray(mask)
    if array.ndim == 3 and array.shape[2] in (3, 4) and array.shape[0] > 4:
        array = array[..., 0]
    array = np.squeeze(array)
    if array.ndim != 2 or array.dtype.kind not in "buif":
        raise BadInput(
            f"An array of shape {np.shape(mask)} is not a mask.",
            "Give one (height, width), white where to paint.",
        )
    values = array.astype(np.float32) / (255 if array.dtype == np.uint8 else 1)
    if not np.isfinite(values).all() or values.min(initial=0) < -1e-3 or values.max(initial=0) > 1.001:
        raise BadInput("The mask's values are not between 0 and 1.", "Give bool, uint8, or floats from 0 to 1.")
    ratio = (values.shape[1] / values.shape[0]) / (size[0] / size[1])
    if abs(ratio - 1) > _SAME_SHAPE:
        raise BadInput(
            f"The mask has {values.shape[1]} x {values.shape[0]} pixels, which is not the shape of the photo with "
            f"{size[0]} x {size[1]}.",
            "Give the mask of this photo.",
        )
    return np.clip(values, 0, 1)


def _control_picture(control: Any, size: tuple[int, int]) -> Pixels:
    """(H, W, 3) float32 0..1 at the photo's size."""
    pixels = as_photo(getattr(control, "preview", control)).pixels.astype(np.float32) / 255
    if abs(pixels.shape[1] / pixels.shape[0] / (size[0] / size[1]) - 1) > _SAME_SHAPE:
        raise BadInput("The control picture has another shape than the photo.", "Make it from the same photo.")
    return np.clip(careful.resized(pixels, *size), 0, 1)
