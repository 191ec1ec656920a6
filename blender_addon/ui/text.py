# SPDX-License-Identifier: GPL-3.0-or-later
"""Text over as many lines as it needs, since Blender's labels do not wrap, and parts of a page that can be folded."""

from __future__ import annotations

from textwrap import wrap
from typing import Any

import bpy
from bpy.types import UILayout


def draw_lines(layout: UILayout, text: str, width: int, icon: str) -> None:
    """Text over as many lines of `width` characters as it needs, the icon before the first."""
    column = layout.column(align=True)
    for number, line in enumerate(wrap(text, width)):
        column.label(text=line, icon="BLANK1" if number and icon != "NONE" else icon)  # type: ignore[arg-type]


def characters(*, margin: int = 75, least: int = 16) -> int:
    """How many characters of text fit into the region that is drawn, beside an icon and a margin in pixels."""
    context: Any = bpy.context
    if context.region is None:
        return 80
    return max(least, int((context.region.width / context.preferences.system.ui_scale - margin) / 6.2))


def page_characters() -> int:
    """The same for the wider boxes of a page in the preferences."""
    return characters(margin=120, least=30)


def draw_fold(layout: UILayout, owner: Any, name: str) -> bool:
    """The triangle that folds a part of a page away, kept in the switch `name` of its owner; whether it is open."""
    row = layout.row()
    row.use_property_split = False
    row.alignment = "LEFT"
    is_open = getattr(owner, name)
    row.prop(owner, name, icon="DOWNARROW_HLT" if is_open else "RIGHTARROW", emboss=False)
    return is_open
