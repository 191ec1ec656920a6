# SPDX-License-Identifier: GPL-3.0-or-later
"""Cleaning up motion. Main thread only, on what is in the scene."""

from __future__ import annotations

from typing import Any

from bpy.types import Object

from ...builders.bodies import motion, tracks
from ..rigs.build import armature_object


def reduce_keys(obj: Object, chosen: Any, context: Any) -> str:
    """Carry out `maquette.reduce_keys`, as the others theirs. Raises BadInput."""
    done = motion.reduce_keys(obj, chosen.tolerance / 1000, context.scene)
    return f"{done.before} keys became {done.after}; joints stray by {1000 * done.worst:.1f} mm at most"


def smooth_motion(obj: Object, chosen: Any, _context: Any) -> str:
    first, last = motion.smooth_motion(obj, first=chosen.first, last=chosen.last, width=chosen.width)
    return f"Smoothed frames {first} to {last} of {obj.name}"


def make_loop(obj: Object, chosen: Any, context: Any) -> str:
    done = motion.make_loop(
        obj, context.scene, first=chosen.first, last=chosen.last, blend=chosen.blend, find=chosen.find
    )
    apart = f"its ends were {1000 * done.apart:.0f} mm apart"
    return f"Made the loop {done.action.name} of frames {done.first} to {done.last}; {apart}"


def move_root(obj: Object, chosen: Any, context: Any) -> str:
    way = motion.move_root(obj, chosen.to, context.scene, steady=chosen.steady, turn=chosen.turn)
    where = {"IN_PLACE": "is left out", "ROOT": "is on the root bone", "OBJECT": "is on the object"}[chosen.to]
    return f"The way of {obj.name}, {way:.2f} m, {where}"


def push_to_nla(obj: Object, chosen: Any, _context: Any) -> str:
    strip = motion.push_to_nla(obj, repeat=chosen.repeat, start=chosen.start)
    return f"{strip.name} is a strip from frame {strip.frame_start:.0f} to {strip.frame_end:.0f}"


def join_tracks(obj: Object, chosen: Any, context: Any) -> str:
    other = armature_object(chosen.other, context)
    name = other.name
    return f"{obj.name} goes on as {name}, in the action {tracks.join_tracks(obj, other, context.scene).name}"
