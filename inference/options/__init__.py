# SPDX-License-Identifier: GPL-3.0-or-later
"""Every parameter of every task, declared once: name, kind, default, range, unit, label, tooltip and models.

From the declaration follow the checks of the public functions, the command lines, the defaults of `batch`, Blender's
properties and the tables in docs/. One module a task: `depth`, `normals`, `hands`, `people`, `preprocessors` and
`detail`, each with its `OPTIONS`. Standard library only, so that Blender can read it while it starts.
"""

from __future__ import annotations

import math
import os
import reprlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

from ..errors import BadInput

if TYPE_CHECKING:
    import argparse

#: Part of a limit by which 32-bit floats, as Blender's properties are, may round it up or down.
_ROUNDED = 1e-7


@dataclass(frozen=True, eq=False, repr=False)
class Option:
    """A parameter of a task.

    name : of the keyword, the property and (with dashes) the flag.
    default : None where the photo or the model decides.
    label, help : what Blender shows; `help` is one sentence without a full stop.
    models : ids of the models that it acts on; all where empty.
    cli, blender : whether a flag and a property are made of it. Where not, the front end has its own way to say it.
    """

    name: str
    default: Any
    label: str
    help: str
    models: tuple[str, ...] = field(default=(), kw_only=True)
    cli: bool = field(default=True, kw_only=True)
    blender: bool = field(default=True, kw_only=True)

    def checked(self, value: Any) -> Any:
        """The value as the models take it. Raises `BadInput`."""
        return self.default if value is None and self.default is None else self._checked(value)

    def _checked(self, value: Any) -> Any:
        return value

    def parsed(self, text: Any) -> Any:
        """What a command line's text stands for. Raises `BadInput`."""
        return text

    @property
    def arguments(self) -> dict[str, Any]:
        """How argparse reads it."""
        return {}

    @property
    def values(self) -> str:
        """The values that may be given, to be read."""
        return ""

    def wrong(self, value: Any, rule: str) -> BadInput:
        """The error for a value that breaks a rule: "... must be ..."."""
        return BadInput(f"{self.name} must be {rule}, not {reprlib.repr(value)}.", "Change it or leave it out.")


@dataclass(frozen=True, eq=False, repr=False)
class Number(Option):
    """A number from `low` to `high`, both included (but not `low` where `above`); `soft_low` and `soft_high` bound a
    slider. unit : "PIXEL", "FACTOR" (a share of 1), "ANGLE" (radians), "DISTANCE" (metres) or ""."""

    low: float = -math.inf
    high: float = math.inf
    soft_low: float | None = None
    soft_high: float | None = None
    unit: str = ""
    above: bool = False

    @property
    def whole(self) -> bool:
        """Whether it is a whole number, as its default is."""
        return isinstance(self.default, int)

    def _checked(self, value: Any) -> Any:
        kind = Integral if self.whole else Real
        if isinstance(value, bool) or not isinstance(value, kind):
            raise self.wrong(value, self._rule)
        try:
            number = int(value) if self.whole else float(value)  # type: ignore[call-overload]
        except (OverflowError, ValueError):  # too large for a float, or no number at all
            raise self.wrong(value, self._rule) from None
        low, high = self.low, self.high
        if not self.whole:
            low, high = low - _ROUNDED * abs(low), high + _ROUNDED * abs(high)
        if not low <= number <= high or (self.above and number <= self.low) or abs(number) == math.inf:
            raise self.wrong(value, self._rule)
        return min(max(number, self.low), self.high)

    @property
    def _rule(self) -> str:
        return f"a {'whole ' if self.whole else ''}number{' ' if self.values else ''}{self.values}"

    @property
    def arguments(self) -> dict[str, Any]:
        return {"type": int if self.whole else float}

    @property
    def values(self) -> str:
        above = f"above {shown(self.low)}"
        if self.low == -math.inf and self.high == math.inf:
            return ""
        if self.high == math.inf:
            return above if self.above else f"of at least {shown(self.low)}"
        return f"{above}, up to {shown(self.high)}" if self.above else f"from {shown(self.low)} to {shown(self.high)}"


@dataclass(frozen=True, eq=False, repr=False)
class Share(Number):
    """A number from 0 to 1."""

    low: float = 0.0
    high: float = 1.0
    unit: str = "FACTOR"


@dataclass(frozen=True, eq=False, repr=False)
class Choice(Option):
    """One of `items`: (id, label, tooltip)."""

    items: tuple[tuple[str, str, str], ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        return tuple(item[0] for item in self.items)

    def _checked(self, value: Any) -> Any:
        if not isinstance(value, str) or value not in self.ids:
            raise self.wrong(value, f"one of {', '.join(self.ids)}")
        return str(value)

    @property
    def arguments(self) -> dict[str, Any]:
        return {"choices": self.ids}

    @property
    def values(self) -> str:
        return ", ".join(f"`{name}`" for name in self.ids)


class Switch(Option):
    """On or off."""

    def _checked(self, value: Any) -> bool:
        array = getattr(getattr(value, "dtype", None), "kind", "") == "b" and getattr(value, "shape", None) == ()
        if not (array or isinstance(value, Integral)) or value not in (0, 1):
            raise self.wrong(value, "True or False")
        return bool(value)

    @property
    def arguments(self) -> dict[str, Any]:
        from argparse import BooleanOptionalAction  # not while Blender starts

        return {"action": BooleanOptionalAction}

    @property
    def values(self) -> str:
        return "on or off"


@dataclass(frozen=True, eq=False, repr=False)
class Text(Option):
    """Words, or with `path` the name or path of a file."""

    path: bool = False

    def _checked(self, value: Any) -> Any:
        if not isinstance(value, (str, os.PathLike) if self.path else str):
            raise self.wrong(value, "a name or path" if self.path else "text")
        return value

    @property
    def values(self) -> str:
        return "a name or path" if self.path else "text"


@dataclass(frozen=True, eq=False, repr=False)
class Value(Option):
    """Anything else.

    form : what it looks like, to be read.
    check : brings a value into the form that the models take, or raises `BadInput`.
    parse : makes the value of the command line's text (of a list of `nargs` texts), or raises `BadInput`.
    """

    form: str = ""
    check: Callable[[Any], Any] | None = None
    parse: Callable[[Any], Any] | None = None
    nargs: int | None = None
    metavar: str | tuple[str, ...] | None = None

    def _checked(self, value: Any) -> Any:
        return self.check(value) if self.check else value

    def parsed(self, text: Any) -> Any:
        return self.parse(text) if self.parse else text

    @property
    def arguments(self) -> dict[str, Any]:
        given = {"nargs": self.nargs, "metavar": self.metavar}
        return {name: value for name, value in given.items() if value is not None}

    @property
    def values(self) -> str:
        return self.form


def shown(value: Any) -> str:
    """A default or limit to be read."""
    if value is None:
        return "automatic"
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:g}" if isinstance(value, float) else str(value)


class Options:
    """The parameters of a task, in the order of its function's signature."""

    def __init__(self, *options: Option) -> None:
        self._options = {option.name: option for option in options}

    def __iter__(self) -> Iterator[Option]:
        return iter(self._options.values())

    def __len__(self) -> int:
        return len(self._options)

    def __contains__(self, name: object) -> bool:
        return name in self._options

    def __getitem__(self, name: str) -> Option:
        return self._options[name]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self._options)

    def for_model(self, model: str) -> Options:
        """Those that act on a model."""
        return Options(*(option for option in self if not option.models or model in option.models))

    def defaults(self) -> dict[str, Any]:
        return {option.name: option.default for option in self}

    def checked(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The value of every option as the models take it. Raises `BadInput`.

        given : values by name, the defaults where there is none; other names are not looked at.
        """
        return {option.name: option.checked(given.get(option.name, option.default)) for option in self}

    def add_to(self, parser: argparse.ArgumentParser) -> None:
        """A flag for every option; those that are not given are None."""
        for option in self:
            if option.cli:
                text = option.help[:1].lower() + option.help[1:]
                if option.default not in (None, ""):
                    text += f"; default: {shown(option.default)}"
                if option.models:
                    text += f" ({', '.join(option.models)} only)"
                flag = "--" + option.name.replace("_", "-")
                parser.add_argument(flag, default=None, help=text.replace("%", "%%"), **option.arguments)

    def chosen(self, namespace: argparse.Namespace) -> dict[str, Any]:
        """The options that the command line gave. Raises `BadInput` for text that stands for nothing."""
        given = {option.name: getattr(namespace, option.name, None) for option in self if option.cli}
        return {name: self[name].parsed(value) for name, value in given.items() if value is not None}

    def table(self) -> str:
        """The options as a table for docs/, in Markdown."""
        lines = ["| parameter | default | values | what it does |", "|---|---|---|---|"]
        for option in self:
            default = f"`{option.default}`" if isinstance(option.default, str) else shown(option.default)
            if option.default == "" or (option.default is None and isinstance(option, Value)):
                default = "none"
            only = f" ({', '.join(option.models)} only)" if option.models else ""
            unit = {"PIXEL": " pixels", "DISTANCE": " metres", "ANGLE": " radians"}.get(getattr(option, "unit", ""), "")
            values = option.values.removeprefix("of ") + unit or "any number"
            lines.append(f"| `{option.name}` | {default} | {values} | {option.help}{only} |")
        return "\n".join(lines) + "\n"
