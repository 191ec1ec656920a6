# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors that carry their own remedy: one clear sentence, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping


class MaquetteError(Exception):
    """A request that cannot be carried out, for a reason the user can act on.

    Parameters
    ----------
    message : one sentence that says what is wrong.
    remedy : one sentence that says what to do.
    operator : id of the Blender operator that does it (``"maquette.open_preferences"``), or None.
    arguments : that operator's properties, by name.
    """

    def __init__(
        self,
        message: str,
        remedy: str = "",
        operator: str | None = None,
        arguments: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{message} {remedy}".strip())
        self.message = message
        self.remedy = remedy
        self.operator = operator
        self.arguments = dict(arguments or {})

    def __reduce__(self) -> tuple[type[MaquetteError], tuple[object, ...]]:
        """Other processes get it with its remedy."""
        return type(self), (self.message, self.remedy, self.operator, self.arguments)


class BadInput(MaquetteError):
    """A photo, clip, box or parameter that cannot be used."""


class NothingFound(MaquetteError):
    """The picture was read, but holds nothing of what the task looks for (no person, no hand)."""


class UnknownModel(MaquetteError):
    """The model name is not in the catalogue for this task."""


class MissingModel(MaquetteError):
    """A model's file is not there yet."""


class BadModelFile(MaquetteError):
    """A model's file is not what it should be: cut off, of another model, damaged, or unsafe to read."""


class MissingPackages(MaquetteError):
    """A Python package that the task needs is not installed."""


class OutOfMemory(MaquetteError):
    """The device has too little memory for the request."""


class Cancelled(Exception):
    """Raised by a progress callback to stop a running task; no error, so no remedy.

    finished : what a task of several parts had made by then, or None.
    """

    finished: object = None
