# SPDX-License-Identifier: GPL-3.0-or-later
"""The object that a result goes onto."""

from __future__ import annotations

from typing import TYPE_CHECKING

import bpy

from ....inference.errors import BadInput

if TYPE_CHECKING:
    from bpy.types import Object

    from ...work.item import WorkItem


def mesh_object(item: WorkItem, what: str) -> Object:
    """The mesh object that was active, looked up by name: it may be gone when the job ends. Raises BadInput.

    what : to put on it, in words.
    """
    name = item.target.object
    obj = bpy.data.objects.get(name)
    if obj is None and name:
        raise BadInput(f"The object {name} is gone, so there is nothing to put the {what} on.", "Select another mesh.")
    if obj is None or not isinstance(obj.data, bpy.types.Mesh):
        raise BadInput(f"No mesh object is active to put the {what} on.", "Select a mesh object, or build an image.")
    return obj
