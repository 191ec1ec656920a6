# SPDX-License-Identifier: GPL-3.0-or-later
"""Which bone of a rig is which part of the body, found by the bones' names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from collections.abc import Mapping as MappingType
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..errors import BadInput
from .humanoid import FINGERS, NEEDED, Preset, load_presets

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Words of a bone's name -> the part; the first that fits counts, so the narrower ones stand first.
_WORDS = (
    ("thumb", r"thumb"),
    ("index", r"index|pointer"),
    ("middle", r"middle|mid(?=\d|$)"),
    ("ring", r"ring"),
    ("little", r"pinky|pinkie|little"),
    ("toe", r"toe|ball"),
    ("forearm", r"fore_?arm|lower_?arm|low_?arm|elbow|ulna"),
    ("clavicle", r"clav|collar|shoulder_?blade"),
    ("upper_arm", r"upper_?arm|up_?arm|shldr|humerus|bicep"),
    ("hand", r"hand|wrist"),
    ("shin", r"shin|calf|lower_?leg|low_?leg|knee|crus"),
    ("thigh", r"thigh|upper_?leg|up_?leg|femur"),
    ("foot", r"foot|ankle"),
    ("head", r"head"),
    ("neck", r"neck"),
    ("spine", r"spine|chest|torso|abdomen|lower_?back|waist"),
    ("hips", r"hips|pelvis|(^|_)hip(?![a-z])"),
)
#: Words of bones that do not pose the body: helpers, twists, ends.
_IGNORED = re.compile(
    r"twist|roll|ik|pole|target|(?<!b)end$|nub|tip$|mch|helper|corrective|metacarpal|palm|eye|jaw|weapon|fk$"
)
#: Words that tell nothing of the part: sides, and what bones are called in some programs.
_SAYS_NOTHING = re.compile(r"(^|_)(l|r|left|right|m|def|bind|bn|bone|jnt|joint)(?=_|$)|left|right")
_LEFT = re.compile(r"(^|[^a-z])(l|left)([^a-z]|$)|^left|left$")
_RIGHT = re.compile(r"(^|[^a-z])(r|right)([^a-z]|$)|^right|right$")


@dataclass(frozen=True)
class Mapping:
    """role -> bones of its chain, from the hips outwards; see `humanoid.ROLES`.

    preset : the id of the preset that it comes from, "" where it was guessed or typed.
    switches, shown_by, followers, root : see `humanoid.Preset`.
    """

    roles: MappingType[str, tuple[str, ...]]
    preset: str = ""
    switches: MappingType[str, float] = field(default_factory=dict)
    shown_by: MappingType[str, str] = field(default_factory=dict)
    followers: MappingType[str, str] = field(default_factory=dict)
    root: str = ""

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
        named: dict[str, str] = {}
        for role, bone in ((role, bone) for role, chain in self.roles.items() for bone in chain):
            if bone in named:
                parts = role if named[bone] == role else f"{named[bone]} and {role}"
                raise BadInput(
                    f"In the bone map of {rig}, the bone {bone} is assigned twice: {parts.replace('_', ' ')}.",
                    "Choose another bone for one of them, or none.",
                )
            named[bone] = role
        return self


def carried(
    roles: MappingType[str, tuple[str, ...]], names: Sequence[str], parents: Sequence[int] | NDArray
) -> MappingType[str, tuple[str, ...]]:
    """The roles with hips that carry legs and trunk: where the bone called hips carries only some of them, the bone
    above that carries all comes before it.

    names : all bones, parents before children.  parents : index of each bone's parent, -1 for none.
    """
    index = {name: number for number, name in enumerate(names)}

    def above(name: str) -> list[int]:
        """The bone and those above it, upwards."""
        line = [index[name]]
        while parents[line[-1]] >= 0:
            line.append(int(parents[line[-1]]))
        return line

    hips = above(roles["hips"][0])
    trunk = next(iter(roles.get(role) for role in ("spine", "neck", "head") if roles.get(role)), None)
    borne = [roles["thigh.L"], roles["thigh.R"], *([trunk] if trunk else [])]
    lines = [set(above(chain[0])) for chain in borne]
    common = next((bone for bone in hips if all(bone in line for line in lines)), None)
    if common is None or common == hips[0]:
        return roles
    return {**roles, "hips": (names[common], *roles["hips"])}


def map_bones(names: Iterable[str], preset: str = "") -> Mapping:
    """The mapping of bones of these names: by the preset asked for, else by the one that knows most of them, else by
    the words in the names. It may lack parts; see `Mapping.missing`. Raises BadInput for an unknown preset.

    names : parents before children, as an armature lists them: guessed chains follow this order.
    """
    names = list(dict.fromkeys(names))
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
    return min(best, Mapping(_guessed(names)), key=lambda one: len(one.missing)) if best.missing else best


def _by_preset(preset: Preset, names: frozenset[str]) -> Mapping:
    shown_by, followers = (
        {one: other for one, other in pairs.items() if {one, other} <= names}
        for pairs in (preset.shown_by, preset.followers)
    )
    root = preset.root if preset.root in names else ""
    return Mapping(preset.named(names), preset.id, preset.switches, shown_by, followers, root)


def _guessed(names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """role -> bones, by words; of several bones of one part those that stand first."""
    shared = _common_prefix(names)
    parts: dict[str, list[str]] = {}
    for name in names:
        words = _words(name[len(shared) :])
        part = next((part for part, pattern in _WORDS if re.search(pattern, words)), None)
        if part is None or _IGNORED.search(words):
            continue
        side = "L" if _LEFT.search(words) else "R" if _RIGHT.search(words) else ""
        if bool(side) == (part in {"hips", "spine", "neck", "head"}):
            continue  # a sided bone of the trunk, or a limb of no side: no part of the plan
        parts.setdefault(f"{part}.{side}" if side else part, []).append(name)
    _split_limbs(parts, names, shared)
    longest = {"spine": 8, "neck": 4, **{f"{finger}.{side}": 3 for finger in FINGERS for side in "LR"}}
    return {role: tuple(chain[: longest.get(role, 1)]) for role, chain in parts.items()}


def _split_limbs(parts: dict[str, list[str]], names: Sequence[str], shared: str) -> None:
    """Bones called only "arm", "leg", "hip" or "shoulder" mean what the other bones leave: the upper arm (the clavicle,
    where there is an arm), the thigh, and the shin where there is a thigh."""
    plain: dict[tuple[str, str], str] = {}
    for name in names:
        words = _words(name[len(shared) :])
        side = "L" if _LEFT.search(words) else "R" if _RIGHT.search(words) else ""
        if side and not _IGNORED.search(words):
            plain.setdefault((_SAYS_NOTHING.sub("", words).strip("_0123456789"), side), name)
    for side in "LR":
        arm, leg, hip, shoulder = (plain.get((word, side)) for word in ("arm", "leg", "hip", "shoulder"))
        if arm:
            parts.setdefault(f"upper_arm.{side}", [arm])
        thigh = leg if leg and (f"shin.{side}" in parts or not hip) else hip
        if thigh:
            parts.setdefault(f"thigh.{side}", [thigh])
        if leg and leg not in parts[f"thigh.{side}"]:
            parts.setdefault(f"shin.{side}", [leg])
        if shoulder:
            has_arm = f"upper_arm.{side}" in parts or any(
                re.search(r"arm", _words(other)) and not re.search(r"fore|low|elbow", _words(other)) for other in names
            )
            parts.setdefault(f"clavicle.{side}" if has_arm else f"upper_arm.{side}", [shoulder])


def _words(name: str) -> str:
    """Lower case, words parted by underscores: "LeftForeArm.001" -> "left_fore_arm_001"."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")


def _common_prefix(names: Sequence[str] | frozenset[str]) -> str:
    """What all names begin with up to a separator, such as "Armature|" or "Bip01 "."""
    low, high = min(names, default=""), max(names, default="")
    same = next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), len(low))
    cut = re.match(r".*[:|_\s-]", low[:same])
    return cut.group(0) if cut else ""
