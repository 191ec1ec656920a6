# SPDX-License-Identifier: GPL-3.0-or-later
"""From declared options (see `inference.options`) to Blender's properties, and from their values back.

What Blender's properties cannot hold is None, "left out": 0, "" and an unticked box stand for it where the option's
default is None.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from bpy.props import BoolProperty, EnumProperty, FloatProperty, FloatVectorProperty, IntProperty, StringProperty

from ...inference.options import Choice, Number, Option, Options, Switch, Text, Value

#: The greatest whole number that a property holds.
_MOST = 2**31 - 1


@dataclass(frozen=True, eq=False, repr=False)
class Vector(Option):
    """Several floats: a place, pixel or colour. kind : Blender's subtype."""

    low: float = -math.inf
    high: float = math.inf
    size: int = 3
    kind: str = "NONE"


@dataclass(frozen=True, eq=False, repr=False)
class Name(Text):
    """Text that names something. kind : Blender's subtype.  search : typed text -> what can be chosen."""

    kind: str = "NONE"
    search: Callable[[str], list[str]] | None = None


def properties_of(options: Iterable[Option]) -> dict[str, Any]:
    """The properties of the options, by name, for the annotations of a class."""
    return {option.name: _property(option) for option in options if option.blender}


def _property(option: Option) -> Any:
    """The property that holds an option."""
    told: dict[str, Any] = {"name": option.label, "description": option.help}
    if isinstance(option, Number):
        return (IntProperty if option.whole else FloatProperty)(**told, **_limits(option))
    if isinstance(option, Choice):
        return EnumProperty(**told, items=option.items, default=option.default or option.items[0][0])
    if isinstance(option, Switch):
        return BoolProperty(**told, default=bool(option.default))
    if isinstance(option, Vector):
        default = option.default or (0.0,) * option.size
        return FloatVectorProperty(**told, default=default, size=option.size, subtype=option.kind, **_range(option))  # type: ignore[arg-type]
    if isinstance(option, Name):
        return StringProperty(**told, default=option.default or "", subtype=option.kind, **_search(option))  # type: ignore[arg-type]
    return StringProperty(**told, default=option.default or "")


def chosen(options: Iterable[Option], properties: Any) -> dict[str, Any]:
    """The values of the options that an operator's or a scene's properties hold, as the task's function takes them."""
    return {option.name: _value(option, getattr(properties, option.name)) for option in options if option.blender}


def typed(value: float) -> float:
    """The number that was typed: Blender holds 0.2 as the nearest number of 32 bits."""
    for digits in range(6, 9):
        short = float(f"{value:.{digits}g}")
        if struct.pack("f", short) == struct.pack("f", value):
            return short
    return value


def without(options: Options, *names: str) -> Options:
    """The options that have none of these names."""
    return Options(*(option for option in options if option.name not in names))


def _value(option: Option, value: Any) -> Any:
    if option.default is None and not value:
        return None
    if isinstance(option, Vector):
        return tuple(typed(number) for number in value)
    if isinstance(option, Value):
        return option.parsed(value) if value.strip() else None
    return typed(value) if isinstance(value, float) else value


def _limits(option: Number) -> dict[str, Any]:
    given = {"default": option.default or 0, "soft_min": option.soft_low, "soft_max": option.soft_high}
    if option.above and option.default is not None and option.soft_low is not None:
        given["min"] = option.soft_low  # properties have no open limits
    found = {**_range(option), **{name: value for name, value in given.items() if value is not None}}
    found["subtype"] = option.unit or "NONE"
    if not option.whole:
        return found
    return {name: min(value, _MOST) if name != "subtype" else value for name, value in found.items()}


def _range(option: Number | Vector) -> dict[str, float]:
    limits = {"min": option.low, "max": option.high}
    return {name: value for name, value in limits.items() if abs(value) != math.inf}


def _search(option: Name) -> dict[str, Any]:
    search = option.search
    if search is None:
        return {}
    return {"search": lambda _settings, _context, text: search(text), "search_options": {"SUGGESTION"}}
