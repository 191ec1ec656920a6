# SPDX-License-Identifier: GPL-3.0-or-later
"""Motion from one armature onto another: read, carried over by `inference.rigs`, keyed in a new action.

Rigs whose bones only inherit from their parents are solved in arrays. Control rigs (constraints, drivers) are posed by
Blender itself: the controls follow a hidden armature, and their own values are read back. Inverse kinematics get
targets and poles that keep them to the motion (`ik`). At the end what the target does is compared with what it was to.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import bpy
import numpy as np
from bpy.types import Action, Object, Scene
from mathutils import Matrix
from numpy.typing import NDArray

from ....inference import rigs
from ...core import roles, transaction
from ..camera import scene as scenes
from . import action, armature, ik, keying, reading

#: Objects may be scaled by this much more along one axis than along another.
_UNEVEN = 0.02
#: Hips that come out this near to where they are to be (of the legs' length) are left so.
_STILL = 1e-4
#: A bone that is this many degrees from where it is to point does not follow.
_ASTRAY = 2.0
#: FK controls may turn by this much (degrees) about themselves so that inverse kinematics can show the same.
_MOST_TWIST = 50.0
#: Which limbs of a control rig are posed by inverse kinematics, the others by their FK controls.
LIMBS = ("FK", "LEGS", "IK")
#: Bones that switch a leg rather than an arm.
_OF_LEGS = re.compile("thigh|leg|shin|foot")


@dataclass(frozen=True)
class Options:
    """How a motion is carried over.

    placement : see `inference.rigs.retarget`.  plant_feet : feet stand still where the source's do.
    limbs : of `LIMBS`.  root_motion : what moves the figure over the ground, "HIPS" or "ROOT", the bone that carries
        the rig.
    """

    placement: rigs.Placement = "WORLD"
    plant_feet: bool = True
    limbs: str = "FK"
    root_motion: str = "HIPS"


@dataclass(frozen=True)
class Astray:
    """A bone that does not follow: by how many degrees at most, and in which frame."""

    bone: str
    degrees: float
    frame: int


@dataclass(frozen=True)
class Retargeted:
    """What came of it.

    action : of the target.  astray : bones that do not follow, the worst first; the action keeps them too, as
        `roles.ASTRAY`: bone -> [degrees, frame].
    bent : limbs ("forearm.L", "shin.R") that bend too far aside for their hinge: FK and IK show them differently.
    without_root : root motion was asked for, and there is no bone above the hips.
    """

    action: Action
    astray: tuple[Astray, ...] = ()
    bent: tuple[str, ...] = ()
    without_root: bool = False


_DEFAULTS = Options()


def retarget(
    source: Object,
    source_bones: rigs.Mapping,
    target: Object,
    target_bones: rigs.Mapping,
    frames: Sequence[int],
    options: Options = _DEFAULTS,
    *,
    scene: Scene,
    name: str,
    report: Callable[[float], object] = lambda _share: None,
) -> Retargeted:
    """A new action on `target` that shows what `source` does at these frames (increasing).

    The action that the target had stays in the file (with a fake user); bones keep their rotation modes; bones without
    a part keep their pose. Objects that its inverse kinematics reach for get actions of their own. `report` gets the
    share that is done. Raises BadInput where a mapping lacks needed parts, and for rigs that cannot be posed.
    """
    with reading.out_of_edit_mode(source, target):
        own, other = reading.rig_of(source, source_bones), reading.rig_of(target, target_bones)
        poses = reading.read_poses(source, frames, scene, report)
        rotations, hips = rigs.retarget(own, poses, other, placement=options.placement)
        if options.plant_feet:
            rate = scenes.frame_rate(scene)
            rotations, hips = rigs.plant_feet(
                own, poses, other, rotations, hips, rate=rate, placement=options.placement
            )
        rest = dict(zip(other.names, other.rest, strict=True))
        most = _MOST_TWIST if target_bones.followers else 180.0  # FK controls have no hinge
        hinges = ik.hinges(target, rest, target_bones)
        rotations, bent = rigs.hinged(other, rotations, hips, hinges, most=most)
        keyed = keying.take_over(target, name)
        _switch(target, target_bones, options.limbs)
        motion = _Motion(other, rotations, hips, frames)
        root = _root(target_bones, other) if options.root_motion == "ROOT" else ""
        if root:
            motion.places[root] = _ground_path(motion, root, own if options.placement == "WORLD" else other)
        drift = _drift(target, frames, scene)
        if options.placement == "LOCAL" and drift is not None:
            motion = motion.moved_by(drift)
        _perform(target, target_bones, motion, drift, keyed, scene, report)
        astray = _astray(target, target_bones, motion, scene)
    if astray:
        keyed[roles.ASTRAY] = {one.bone: [one.degrees, one.frame] for one in astray}
    return Retargeted(keyed, astray, tuple(bent), options.root_motion == "ROOT" and not root)


def _perform(
    target: Object, mapping: rigs.Mapping, motion: _Motion, drift: NDArray | None, keyed: Action, scene: Scene,
    report: Callable[[float], object],
) -> None:  # fmt: skip
    """Key the motion on the target, and on what its inverse kinematics reach for."""
    if _is_plain(target, motion.moved):
        inner = motion if drift is None else motion.moved_by(np.linalg.inv(drift))
        bones = [motion.rig.index[bone] for bone in motion.moved]
        basis = rigs.apply_turns(motion.rig, inner.rotations, inner.hips, inner.places)[:, bones]
    else:
        motion, basis, goals = _posed_by_blender(target, mapping, motion, scene, report)
        for obj, (matrices, turned) in goals.objects.items():
            keying.key_object(obj, matrices, turned, motion.frames, scene)
    keying.key_bones(target, keyed, motion.moved, basis, {motion.rig.hips, *motion.places}, motion.frames)


@dataclass(frozen=True)
class _Motion:
    """What a target's bones are to do in the world: name -> rotations (T, 3, 3), the place (T, 3) of the hips, and
    places of other bones that have one."""

    rig: rigs.Rig
    rotations: dict[str, NDArray]
    hips: NDArray
    frames: Sequence[int]
    places: dict[str, NDArray] = field(default_factory=dict)

    @property
    def moved(self) -> list[str]:
        """The bones that move, parents first."""
        return [bone for bone in self.rig.names if bone in self.rotations or bone in self.places]

    def place_of(self, bone: str) -> NDArray | None:
        """(T, 3) where a bone is to be; None where it is where its parent has it."""
        return self.hips if bone == self.rig.hips else self.places.get(bone)

    def middle(self) -> NDArray[np.float64]:
        """(T, 3) where the middle between the hip joints is to be."""
        rest = self.rig.rest[self.rig.index[self.rig.hips]]
        turned = self.rotations[self.rig.hips] @ rest[:3, :3].T
        return self.hips + turned @ (self.rig.middle - rest[:3, 3])

    def moved_by(self, away: NDArray) -> _Motion:
        """The motion in a world that is moved by `away` (T, 4, 4)."""
        turned = away[:, :3, :3] / np.cbrt(np.linalg.det(away[:, :3, :3]))[:, None, None]

        def place(points: NDArray) -> NDArray:
            return np.einsum("tij,tj->ti", away[:, :3, :3], points) + away[:, :3, 3]

        rotations = {bone: turned @ one for bone, one in self.rotations.items()}
        places = {bone: place(one) for bone, one in self.places.items()}
        return replace(self, rotations=rotations, hips=place(self.hips), places=places)


def _root(mapping: rigs.Mapping, rig: rigs.Rig) -> str:
    """The bone that carries the whole rig; "" where none does."""
    above = rig.index[rig.hips]
    while rig.parents[above] >= 0:
        above = int(rig.parents[above])
    return mapping.root or ("" if rig.names[above] == rig.hips else rig.names[above])


def _ground_path(motion: _Motion, root: str, ground: rigs.Rig) -> NDArray[np.float64]:
    """(T, 3) the way of the hips over the ground that `ground` stands on. The root's turn stays at rest."""
    up, rest = ground.frame[:, 2], motion.rig.rest[motion.rig.index[root]]
    motion.rotations[root] = np.broadcast_to(rest[:3, :3], (len(motion.frames), 3, 3))
    height = rest[:3, 3] @ up if ground is motion.rig else rigs.ground_height(ground)
    middle = motion.middle()
    return middle - np.outer(middle @ up - height, up)


def _astray(target: Object, mapping: rigs.Mapping, motion: _Motion, scene: Scene) -> tuple[Astray, ...]:
    """The parts of the body that do not turn as they are to, the worst first; not those that only hang on one."""
    poses, rig, plan = reading.read_poses(target, motion.frames, scene), motion.rig, rigs.skeleton(motion.rig)
    spine, off, found = rig.roles.get("spine", ()), {}, []
    for bone, parent in zip(plan.names, plan.parents, strict=True):
        if bone not in motion.rotations:
            continue
        shown = bone if bone in spine else mapping.shown_by.get(bone, bone)
        rest = [rig.rest[rig.index[one], :3, :3] for one in (bone, shown)]
        wanted = motion.rotations[bone] @ rest[0].T @ rest[1]
        off[bone] = poses[:, rig.index[shown], :3, :3] @ np.swapaxes(wanted, -1, -2)
        degrees = _degrees(off[bone])
        above = off.get(plan.names[parent]) if parent >= 0 else None
        own = degrees if above is None else _degrees(off[bone] @ np.swapaxes(above, -1, -2))
        worst = int(np.where(own > _ASTRAY, degrees, 0).argmax())
        if not min(degrees[worst], own[worst]) < _ASTRAY:
            found.append(Astray(bone, float(degrees[worst]), int(motion.frames[worst])))
    return tuple(sorted(found, key=lambda one: -one.degrees))


def _degrees(turns: NDArray) -> NDArray[np.float64]:
    """(T,) how far rotations (T, 3, 3) turn."""
    return np.degrees(np.arccos(np.clip((np.trace(turns, axis1=1, axis2=2) - 1) / 2, -1, 1)))


def _drift(target: Object, frames: Sequence[int], scene: Scene) -> NDArray[np.float64] | None:
    """(T, 4, 4) how what the target hangs on moves it from where it stands now; None where nothing does."""
    animated = target.animation_data
    if not (target.parent or target.constraints or (animated and (animated.drivers or animated.nla_tracks))):
        return None
    now = np.linalg.inv(np.array(target.matrix_world, np.float64))
    with reading.alone(scene, target) as stage:
        places = [np.array(reading.evaluated_at(stage, target, frame).matrix_world, np.float64) for frame in frames]
    moved = np.stack(places) @ now
    return None if np.abs(moved - np.eye(4)).max() < 1e-6 else moved


def _switch(target: Object, mapping: rigs.Mapping, limbs: str) -> None:
    """Hand the limbs of a control rig over to FK or IK. The switch is set, not keyed, so that it stays as the artist
    sets it afterwards; only rigs whose IK follows the motion have a choice."""
    bones: Any = target.pose.bones  # type: ignore[union-attr]
    for bone in bones:
        for switch, fk in mapping.switches.items():
            if switch in bone:
                solved = bool(mapping.followers) and (limbs == "IK" or (limbs == "LEGS" and _OF_LEGS.search(bone.name)))
                before = bone[switch]
                transaction.on_failure(partial(bone.__setitem__, switch, before))
                bone[switch] = type(before)(1 - fk if solved else fk)
    target.update_tag()


def _is_plain(target: Object, moved: Sequence[str]) -> bool:
    """Whether the bones and those above them only inherit from their parents."""
    if any({*moved} & {*chain.bones} for chain in ik.chains(target)):
        return False
    bones: Any = target.pose.bones  # type: ignore[union-attr]
    seen: set[str] = set()
    for name in moved:
        bone = bones[name]
        while bone is not None and bone.name not in seen:
            seen.add(bone.name)
            posed = name != bone.name and bone.name not in moved and bone.matrix_basis != Matrix.Identity(4)
            inherits = bone.bone.use_inherit_rotation and bone.bone.use_local_location
            if any(not one.mute for one in bone.constraints) or not inherits or posed:
                return False
            bone = bone.parent
    drivers = target.animation_data.drivers if target.animation_data else ()
    return not any(f'"{bpy.utils.escape_identifier(name)}"' in curve.data_path for curve in drivers for name in seen)


def _posed_by_blender(
    target: Object, mapping: rigs.Mapping, motion: _Motion, scene: Scene, report: Callable[[float], object]
) -> tuple[_Motion, NDArray[np.float64], ik.Goals]:
    """The motion with all that has to move for it, (T, N, 4, 4) matrix_basis of its bones under everything that acts on
    them, and what has to move beside the target.

    In some rigs the spine's controls move the hips as well (Rigify turns the lower spine about a pivot above them). How
    far off the hips come out is seen in a first pass and taken away in a second, in which the targets of inverse
    kinematics go where the first has shown their limbs.
    """
    basis, posed = _one_pass(target, motion, scene, lambda share: report(0.5 + share / 4))
    thighs = [motion.rig.chain(f"thigh.{side}")[0] for side in "LR"]
    off = motion.middle() - posed[:, thighs][..., :3, 3].mean(axis=1)
    posed[..., :3, 3] += off[:, None]
    shown = ik.Places(motion.rig.names, motion.rig.rest, posed, mapping.followers)
    goals = ik.goals(target, {*motion.moved}, shown, mapping.followers)
    if goals.turns or goals.places or np.abs(off).max() >= _STILL * motion.rig.leg:
        motion = replace(
            motion,
            rotations=motion.rotations | goals.turns,
            hips=motion.hips + off,
            places=motion.places | goals.places,
        )
        basis, _ = _one_pass(target, motion, scene, lambda share: report(0.75 + share / 4))
    return motion, basis, goals


def _one_pass(
    target: Object, motion: _Motion, scene: Scene, report: Callable[[float], object]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """matrix_basis (T, N, 4, 4) of the moved bones, and all bones (T, J, 4, 4) in the world, as they came out."""
    basis = np.empty((len(motion.frames), len(motion.moved), 4, 4))
    posed = np.empty((len(motion.frames), len(motion.rig.names), 4, 4))
    with ik.switched_off(target), _shown(target, motion, scene) as guide, reading.alone(scene, target, guide) as stage:
        for number, frame in enumerate(motion.frames):
            evaluated: Any = reading.evaluated_at(stage, target, frame)
            report(number / len(motion.frames))
            posed[number] = reading.bones_in_world(evaluated)
            bones = evaluated.pose.bones
            for place, name in enumerate(motion.moved):
                basis[number, place] = evaluated.convert_space(
                    pose_bone=bones[name], matrix=bones[name].matrix, from_space="POSE", to_space="LOCAL"
                )
    return basis, posed


@contextmanager
def _shown(target: Object, motion: _Motion, scene: Scene) -> Iterator[Object]:
    """A hidden armature whose free bones perform the motion, and constraints that make the target's bones copy them."""
    rest = np.stack([motion.rig.rest[motion.rig.index[name]] for name in motion.moved])
    guide = armature.free_bones("Maquette guide", motion.moved, rest, scene.collection)
    constraints = []
    try:
        keyed = action.new_action(guide, "Maquette guide")
        for place, name in enumerate(motion.moved):
            posed = np.broadcast_to(rest[place], (len(motion.frames), 4, 4)).copy()
            turn, stands = motion.rotations.get(name), motion.place_of(name)
            posed[:, :3, :3] = turn if turn is not None else rest[place, :3, :3]
            posed[:, :3, 3] = stands if stands is not None else rest[place, :3, 3]
            keying.key_bones(guide, keyed, [name], (np.linalg.inv(rest[place]) @ posed)[:, None], {name}, motion.frames)
            bone: Any = target.pose.bones[name]  # type: ignore[union-attr]
            kinds = {"COPY_ROTATION": turn, "COPY_LOCATION": stands}
            for kind in (kind for kind, wanted in kinds.items() if wanted is not None):
                constraint = bone.constraints.new(kind)
                constraint.target, constraint.subtarget = guide, name
                constraints.append((bone, constraint))
        yield guide
    finally:
        for bone, constraint in constraints:
            bone.constraints.remove(constraint)
        data, made = guide.data, guide.animation_data.action if guide.animation_data else None
        bpy.data.objects.remove(guide)
        bpy.data.armatures.remove(data)  # type: ignore[arg-type]
        if made is not None:
            bpy.data.actions.remove(made)
