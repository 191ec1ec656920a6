# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bones an armature can have. Imports no numpy: menus list them while Blender starts."""

from __future__ import annotations

from ....inference.rigs.humanoid import find_preset, template_presets

#: Id, label and tooltip. All but the body's own are made for the built-in body; presets with a [rig] are found.
RIGS = (
    ("OWN", "Body's Own", "All joints of the body that was fitted"),
    *(
        (preset.id.upper(), preset.label, f"Bones named and arranged as in {preset.label}, for the built-in body")
        for preset in template_presets()
    ),
    ("RIGIFY", "Rigify", "A generated control rig with FK and IK controls, for the built-in body"),
)


def has_root(rig: str) -> bool:
    """Whether a rig has a bone on the ground."""
    return rig == "RIGIFY" or any(bone.get("helper") == "ground" for bone in find_preset(rig.lower()).rig["middle"])
