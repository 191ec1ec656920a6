# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bone of a rig is which part of the body, found by the bones' names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import BadInput
from .humanoid import FINGERS, NEEDED, Preset, load_presets

if TYPE_CHECKING:
    from collections.abc import Mapping as MappingType

#: Words of a bone's name -> the part; the first that fits counts, so the narrower ones stand first.
_WORDS = (
    ("thumb", r"thumb"),
    ("index", r"index|pointer"),
    ("middle", r"middle|mid(?=\d|$)"),
    ("ring", r"ring"),
    ("little", r"pinky|pinkie|little"),
    ("toe", r"toe|ball"),
    ("forearm", r"fore_?arm|lower_?arm|low_?arm|elbow|ulna"),
    ("clavicle", r"clavicle|collar|shoulder_?blade"),
    ("upper_arm", r"upper_?arm|up_?arm|humerus|bicep"),
    ("hand", r"hand|wrist"),
    ("shin", r"shin|calf|lower_?leg|low_?leg|knee|crus"),
    ("thigh", r"thigh|upper_?leg|up_?leg|femur|hip(?=_?(l|r|left|right)$)"),
    ("foot", r"foot|ankle"),
    ("head", r"head"),
    ("neck", r"neck"),
    ("spine", r"spine|chest|torso|abdomen|lower_?back|waist"),
    ("hips", r"hips|pelvis"),
)
#: Words of bones that do not pose the body: helpers, twists, ends.
_IGNORED = re.compile(
    r"twist|roll|ik|pole|target|end$|nub|tip$|mch|helper|corrective|metacarpal|palm|eye|jaw|weapon|fk$"
)
_LEFT = re.compile(r"(^|[^a-z])(l|left)([^a-z]|$)|^left|left$")
_RIGHT = re.compile(r"(^|[^a-z])(r|right)([^a-z]|$)|^right|right$")


@dataclass(frozen=True)
class Mapping:
    """role -> bones of its chain, from the hips outwards; see `humanoid.ROLES`.

    preset : the id of the preset that it comes from, "" where it was guessed or typed.
    switches, shown_by : see `humanoid.Preset`.
    """

    roles: MappingType[str, tuple[str, ...]]
    preset: str = ""
    switches: MappingType[str, float] = field(default_factory=dict)
    shown_by: MappingType[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[str, ...]:
        """The parts without which nothing can be retargeted, and that have no bone."""
        return tuple(role for role in NEEDED if not self.roles.get(role))

    def checked(self, rig: str) -> Mapping:
        """Itself. Raises BadInput that names the parts without a bone; `rig` names the armature."""
        if self.missing:
            parts = ", ".join(role.replace("_", " ") for role in self.missing)
            raise BadInput(
                f"The armature {rig} has no bone for: {parts}.",
                "Choose the bones of these parts in the bone map, or choose another armature.",
            )
        return self


def map_bones(names: Iterable[str], preset: str = "") -> Mapping:
    """The mapping of bones of these names: by the preset asked for, else by the one that knows most of them, else by
    the words in the names. It may lack parts; see `Mapping.missing`. Raises BadInput for an unknown preset."""
    known = frozenset(names)
    presets = load_presets()
    if preset:
        chosen = [one for one in presets if one.id == preset]
        if not chosen:
            raise BadInput(
                f"There is no bone map called {preset!r}.", f"Choose one of {', '.join(one.id for one in presets)}."
            )
        return _by_preset(chosen[0], known)
    found = [(_by_preset(one, known), one.controls) for one in presets]
    best, _ = max(found, key=lambda one: (not one[0].missing, one[1], sum(map(len, one[0].roles.values()))))
    return best if not best.missing else _better(best, Mapping(_guessed(known)))


def _by_preset(preset: Preset, names: frozenset[str]) -> Mapping:
    shown_by = {control: bone for control, bone in preset.shown_by.items() if {control, bone} <= names}
    return Mapping(preset.named(names), preset.id, preset.switches, shown_by)


def _better(one: Mapping, other: Mapping) -> Mapping:
    return one if len(one.missing) <= len(other.missing) else other


def _guessed(names: frozenset[str]) -> dict[str, tuple[str, ...]]:
    """role -> bones, by words; of several bones of one part those that sort first, in natural order."""
    shared = _common_prefix(names)
    parts: dict[str, list[str]] = {}
    for name in sorted(names, key=_natural):
        words = _words(name[len(shared) :])
        part = next((part for part, pattern in _WORDS if re.search(pattern, words)), None)
        if part is None or _IGNORED.search(words):
            continue
        side = "L" if _LEFT.search(words) else "R" if _RIGHT.search(words) else ""
        if bool(side) == (part in {"hips", "spine", "neck", "head"}):
            continue  # a sided bone of the trunk, or a limb of no side: no part of the plan
        parts.setdefault(f"{part}.{side}" if side else part, []).append(name)
    _split_arms(parts, names, shared)
    longest = {"spine": 8, "neck": 4, **{f"{finger}.{side}": 3 for finger in FINGERS for side in "LR"}}
    return {role: tuple(chain[: longest.get(role, 1)]) for role, chain in parts.items()}


def _split_arms(parts: dict[str, list[str]], names: frozenset[str], shared: str) -> None:
    """Bones called only "arm", "leg" or "shoulder" mean what the other bones leave: the upper arm (the clavicle, where
    there is an arm), and the shin where there is a thigh."""
    for name in sorted(names, key=_natural):
        words = _words(name[len(shared) :])
        side = "L" if _LEFT.search(words) else "R" if _RIGHT.search(words) else ""
        if not side or _IGNORED.search(words):
            continue
        core = re.sub(r"(^|_)(l|r|left|right)(?=_|$)|left|right", "", words).strip("_0123456789")
        if core == "arm":
            parts.setdefault(f"upper_arm.{side}", [name])
        elif core == "leg":
            parts.setdefault(f"shin.{side}" if f"thigh.{side}" in parts else f"thigh.{side}", [name])
        elif core == "shoulder":
            has_arm = f"upper_arm.{side}" in parts or any(
                re.search(r"arm", _words(other)) and not re.search(r"fore|low|elbow", _words(other)) for other in names
            )
            parts.setdefault(f"clavicle.{side}" if has_arm else f"upper_arm.{side}", [name])


def _words(name: str) -> str:
    """Lower case, words parted by underscores: "LeftForeArm.001" -> "left_fore_arm_001"."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")


def _common_prefix(names: Sequence[str] | frozenset[str]) -> str:
    """What all names begin with up to a separator, such as "Armature|" or "Bip01 "."""
    low, high = min(names, default=""), max(names, default="")
    same = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    cut = re.match(r".*[:|_\s-]", low[:same])
    return cut.group(0) if cut else ""


def _natural(name: str) -> list[object]:
    return [int(part) if part.isdigit() else part.lower() for part in re.split(r"(\d+)", name)]
