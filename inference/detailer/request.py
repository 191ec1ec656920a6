# SPDX-License-Identifier: GPL-3.0-or-later
"""The arguments of `detail_mask`, checked and brought into the form that the loop works on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BadInput
from ..options.detail import OPTIONS
from ..photo import as_photo
from ..results import HandMaps, People
from .arithmetic import default, impact
from .loop import Job, Layout
from .settings import RunState, Settings
from .source import source_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..runtime import Run

    Pixels = NDArray[np.float32]

#: Shapes of a mask and a photo that differ by less than this count as the same.
_SAME_SHAPE = 0.01


def checked(photo: Any, mask: Any, run: Run, given: Mapping[str, Any]) -> Job:
    """given : the parameters of `detail_mask` by name. Raises `BadInput` for what cannot be worked on."""
    given = OPTIONS.checked(given)
    if given["control_start"] > given["control_end"]:
        raise BadInput("The control ends before it starts.", "Make control_end larger than control_start.")
    source = source_of(photo, given["linear"])
    size = source.pixels.shape[1], source.pixels.shape[0]
    layout = Layout(
        arithmetic=impact if given["compatibility"] else default,
        guide_by_box=given["guide_size_for"] == "bbox",
        **_fields_of(Layout, given),
    )
    state = RunState(tiled=given["tiling"])
    own = {"refiner": None, "control": None, "cycle": 0}  # these follow, crop by crop
    settings = Settings(run, cycles=given["cycle"], state=state, **_fields_of(Settings, {**given, **own}))
    control = None if given["control"] is None else _control_picture(given["control"], size)
    return Job(
        source,
        np.zeros(size[::-1], np.float32) if mask is None else _mask_values(mask, size),
        control,
        layout,
        settings,
        given["seed"],
        given["batch_size"],
    )


def _fields_of(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the parameters that a dataclass has."""
    return {field.name: given[field.name] for field in fields(kind) if field.name in given}


def unused(given: Mapping[str, Any], native: bool, reasons: Mapping[str, str]) -> list[str]:
    """What an engine will not use of what was given, a sentence each.

    native : see `engines.Engine`.  reasons : of other engines, by the option's name.
    """
    names = {"refiner": "refiner", "control": "control picture"}
    said = [f"builtin uses no {what}." for name, what in names.items() if native and given[name] is not None]
    changed = [name for name in reasons if _differs(given[name], OPTIONS[name].default)]
    return said + [f"{OPTIONS[name].label} was not used: {reasons[name]}." for name in changed]


def _differs(value: Any, default: Any) -> bool:
    """Whether something was asked for; a picture always is."""
    return value is not None and (not isinstance(value, (bool, int, float, str)) or value != default)


def _mask_values(mask: Any, size: tuple[int, int]) -> Pixels:
    """(h, w) float32 0..1, of the photo's shape but not always of its size."""
    values = _grey(mask)
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


def _grey(mask: Any) -> Pixels:
    """The values (h, w) of a mask of any kind; of a picture, its first channel where it is opaque."""
    if isinstance(mask, HandMaps):
        return mask.mask
    if isinstance(mask, People):
        masks = [person.mask for person in mask.frames[0] if person.mask is not None] if mask.frames else []
        return np.max(masks, 0) if masks else np.zeros((mask.camera.height, mask.camera.width), np.float32)
    if isinstance(mask, (str, bytes, PathLike)):
        source = source_of(mask, linear=False)
        opaque = 1 if source.alpha is None else source.alpha[..., 0]
        return source.pixels[..., 0] * opaque
    array = np.asarray(mask)
    if array.dtype.kind in "buif" and array.size:
        top = np.iinfo(array.dtype).max if array.dtype in (np.uint8, np.uint16) else 1
        values = array.astype(np.float32) / np.float32(top)
        if values.ndim == 3 and values.shape[2] in (3, 4) and values.shape[0] > 4:
            values = values[..., 0] * (values[..., 3] if values.shape[2] == 4 else 1)
        values = values.reshape([side for side in values.shape[:-2] if side != 1] + list(values.shape[-2:]))
        if values.ndim == 3 and values.shape[2] == 1:
            values = values[..., 0]
        if values.ndim == 2:
            return values
    raise BadInput(
        f"An array of shape {np.shape(mask)} is not a mask.",
        "Give one (height, width), white where to paint.",
    )


def _control_picture(control: Any, size: tuple[int, int]) -> Pixels:
    """(H, W, 3) float32 0..1 at the photo's size."""
    pixels = as_photo(getattr(control, "preview", control)).pixels.astype(np.float32) / 255
    if abs(pixels.shape[1] / pixels.shape[0] / (size[0] / size[1]) - 1) > _SAME_SHAPE:
        raise BadInput("The control picture has another shape than the photo.", "Make it from the same photo.")
    return np.clip(default.resize(pixels, *size), 0, 1)
