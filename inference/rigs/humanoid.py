# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a human figure that rigs have in common, and the names that known rigs give them (`presets/*.toml`)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ...installer.models.parsed import read_toml

MIDDLE = ("hips", "spine", "neck", "head")
LIMBS = ("clavicle", "upper_arm", "forearm", "hand", "thigh", "shin", "foot", "toe")
FINGERS = ("thumb", "index", "middle", "ring", "little")

#: Every part; a sided one is "<part>.L" or "<part>.R". Each is one bone or a chain of bones, from the hips outwards.
ROLES = (*MIDDLE, *(f"{part}.{side}" for side in "LR" for part in (*LIMBS, *FINGERS)))

#: Without these a rig cannot be posed as a person.
NEEDED = ("hips", *(f"{part}.{side}" for side in "LR" for part in ("upper_arm", "forearm", "thigh", "shin")))

#: Part -> the part that it hangs on, and whose turn it shares where it has none of its own.
PARENTS = {"spine": "hips", "neck": "spine", "head": "neck"} | {
    f"{part}.{side}": parent if parent == "spine" or parent == "hips" else f"{parent}.{side}"
    for side in "LR"
    for part, parent in {
        "clavicle": "spine",
        "upper_arm": "clavicle",
        "forearm": "upper_arm",
        "hand": "forearm",
        "thigh": "hips",
        "shin": "thigh",
        "foot": "shin",
        "toe": "foot",
        **dict.fromkeys(FINGERS, "hand"),
    }.items()
}


@dataclass(frozen=True)
class Preset:
    """How one kind of rig names its bones.

    roles : role -> bones of its chain.  prefix : regular expression of what may stand before every name.
    controls : these are the controls that an animator moves, which count before the bones that they move.
    switches : custom property of a bone -> the value at which these bones have the say (FK rather than IK).
    shown_by : control -> the bone that begins where its part of the body does (see `transfer.Rig`), and turns with it.
    followers : bone of a limb that is posed by inverse kinematics -> the control whose place and turn it takes over.
    root : the bone that carries the whole rig, where it is not above the hips.
    rig : how the built-in body becomes such a rig (see `template`), or nothing.
    """

    id: str
    label: str
    roles: Mapping[str, tuple[str, ...]]
    prefix: str = ""
    controls: bool = False
    switches: Mapping[str, float] = field(default_factory=dict)
    shown_by: Mapping[str, str] = field(default_factory=dict)
    followers: Mapping[str, str] = field(default_factory=dict)
    root: str = ""
    rig: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def named(self, names: frozenset[str]) -> dict[str, tuple[str, ...]]:
        """role -> those bones of its chain that are among `names`, as they are written there. Case does not count."""
        plain = {
            re.sub(f"^{self.prefix}", "", name, flags=re.IGNORECASE).lower(): name
            for name in sorted(names, reverse=True)
        }
        plain |= {name.lower(): name for name in names} if not self.prefix else {}
        found = {
            role: tuple(plain[bone.lower()] for bone in chain if bone.lower() in plain)
            for role, chain in self.roles.items()
        }
        return {role: chain for role, chain in found.items() if chain}


@cache
def load_presets() -> tuple[Preset, ...]:
    """All presets, in the order of their labels."""
    read = (_read(path) for path in Path(__file__).with_name("presets").glob("*.toml"))
    return tuple(sorted(read, key=lambda preset: preset.label))


def template_presets() -> tuple[Preset, ...]:
    """The presets as which the built-in body can be rigged. Blender asks while it starts, so no other one is parsed."""
    folder = Path(__file__).with_name("presets")
    read = (_read(path) for path in folder.glob("*.toml") if "\n[rig]" in path.read_text("utf-8"))
    return tuple(sorted(read, key=lambda preset: preset.label))


def find_preset(preset_id: str) -> Preset:
    """The preset of this id. KeyError where there is none."""
    return {preset.id: preset for preset in load_presets()}[preset_id]


def _read(path: Path) -> Preset:
    content = read_toml(path)
    roles = {role: tuple(chain) for role, chain in content["middle"].items()}
    for role, side in zip("LR", content["sides"], strict=True):
        for part, chain in content["sided"].items():
            roles[f"{part}.{role}"] = tuple(bone.format(side=side) for bone in chain)
    return Preset(
        path.stem,
        content["label"],
        roles,
        content.get("prefix", ""),
        content.get("controls", False),
        content.get("switches", {}),
        _both_sides(content.get("shown_by", {}), content["sides"]),
        _both_sides(content.get("followers", {}), content["sides"]),
        content.get("root", ""),
        {"sides": content["sides"], **content["rig"]} if "rig" in content else {},
    )


def _both_sides(pairs: Mapping[str, str], sides: list[str]) -> dict[str, str]:
    return {one.format(side=side): other.format(side=side) for side in sides for one, other in pairs.items()}
