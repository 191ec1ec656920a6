# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of detailing that suit a purpose, and settings that a file remembers, brought into a scene."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

#: Name -> what it changes.
PRESETS: dict[str, dict[str, Any]] = {
    "REMOVE": {
        **{"model": "builtin", "denoise": 1.0, "feather": 6, "noise_mask_feather": 4, "crop_factor": 2.5},
        **{"guide_size": 256.0, "guide_size_for": "bbox", "drop_size": 1, "mask_grow": 2.0, "control": "NONE"},
        "contour_fill": False,
    },
    "HANDS": {
        **{"mask": "HANDS", "mask_grow": 8.0, "prompt": "a detailed hand, five fingers", "denoise": 0.6, "steps": 28},
        **{"negative_prompt": "deformed, extra fingers, missing fingers", "guide_size": 512.0, "control": "HANDS"},
        **{"crop_factor": 2.5, "feather": 8, "noise_mask_feather": 16, "sampler": "dpmpp_2m", "scheduler": "karras"},
        "match_colours": True,
    },
    "FACES": {
        **{"mask_grow": 4.0, "prompt": "a detailed face, sharp eyes", "negative_prompt": "blurry, deformed"},
        **{"denoise": 0.4, "steps": 28, "cfg": 7.0, "guide_size": 512.0, "crop_factor": 2.0, "feather": 8},
        **{"noise_mask_feather": 20, "sampler": "dpmpp_2m", "scheduler": "karras", "match_colours": True},
    },
    "TEXTURE": {
        **{"source": "PAINT_SLOT", "denoise": 0.45, "steps": 24, "guide_size": 768.0, "crop_factor": 1.5},
        **{"feather": 16, "noise_mask_feather": 24, "sampler": "dpmpp_2m", "scheduler": "karras"},
        **{"match_colours": True, "drop_size": 8},
    },
}
ITEMS = [
    ("REMOVE", "Remove", "Fill a scratch, spot or thing from its surroundings, without a model"),
    ("HANDS", "Hands", "Repaint the hands of the photo along their fitted depth"),
    ("FACES", "Faces", "Sharpen faces without changing whose they are"),
    ("TEXTURE", "Texture", "Give a part of a texture finer detail"),
]


def apply(group: Any, settings: Mapping[str, Any]) -> None:
    """Set the properties of a scene's settings that bear the names of these; what no longer exists is left out."""
    known = group.bl_rna.properties
    for name, value in settings.items():
        if name in known and not known[name].is_readonly:
            with suppress(TypeError, ValueError, OverflowError):  # of a file by another version, or made by hand
                setattr(group, name, value)
