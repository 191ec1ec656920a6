# SPDX-License-Identifier: GPL-3.0-or-later
"""Operators that clean up the motion of an armature, whoever made its action. They end at once."""

from __future__ import annotations

from typing import Any

from ....inference.options import Options, Text
from ...core.bpy_settings import properties_of
from ..rigs.operators import ARMATURE, RigOperator
from .settings import LOOP, REDUCE, ROOT, SMOOTH, STRIP

_OTHER = Text("other", "", "Other", "Name of the other armature, which shows the same person at another time")
#: Name -> label, tooltip and settings; `build` has the function of that name.
_OPERATORS: dict[str, tuple[str, str, Options]] = {
    "reduce_keys": (
        "Reduce Keys",
        "Keep only the keys without which a joint would stray",
        REDUCE,
    ),
    "smooth_motion": ("Smooth", "Smooth a range of the action", SMOOTH),
    "make_loop": ("Make Loop", "Make the motion meet its beginning in a new action, which repeats for ever", LOOP),
    "move_root": ("Move Root Motion", "Take the way over the ground out of the hips", ROOT),
    "push_to_nla": ("Push to NLA", "Make the action a strip; a loop goes on from round to round", STRIP),
    "join_tracks": ("Join Tracks", "Join two tracks of one person, who was lost in between", Options(_OTHER)),
}


def _operator(name: str, label: str, tooltip: str, settings: Options) -> type:
    def done(self: Any, context: Any) -> str:
        from ..rigs.build import armature_object
        from . import build

        return getattr(build, name)(armature_object(self.armature, context), self, context)

    attributes = {
        "__doc__": tooltip,
        "__annotations__": properties_of((ARMATURE, *settings)),
        "bl_idname": f"maquette.{name}",
        "bl_label": label,
        "done": done,
    }
    return type(f"MAQUETTE_OT_{name}", (RigOperator,), attributes)


OPERATORS = tuple(_operator(name, *told) for name, told in _OPERATORS.items())
