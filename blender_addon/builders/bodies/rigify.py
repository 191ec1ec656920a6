# SPDX-License-Identifier: GPL-3.0-or-later
"""A person in a generated Rigify rig: the metarig laid into the body, its FK and IK controls moved as the body moves.

Rigify ships with Blender. The metarig stays beside the rig, hidden, so that it can be changed and generated again.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import addon_utils
import bpy
import numpy as np
from bpy.types import Collection, Object, Scene
from mathutils import Vector

from ....inference import rigs
from ....inference.errors import BadInput
from ....inference.results import Body
from ...core import compat, roles, transaction
from ..camera import scene as scenes
from . import armature, retarget, skin

#: Bone of the metarig -> where it begins and ends: at these joints of the built-in body (the mean of several).
#: None: the end of the body's own bone. "{s}" is the side.
_BONES: dict[str, tuple[str, str | None]] = {
    "spine": ("root", "spine04"),
    "spine.001": ("spine04", "spine02"),
    "spine.002": ("spine02", "spine01"),
    "spine.003": ("spine01", "neck01"),
    "spine.004": ("neck01", "neck03"),
    "spine.005": ("neck03", "head"),
    "spine.006": ("head", None),
    "shoulder.{s}": ("clavicle.{s}", "upperarm01.{s}"),
    "upper_arm.{s}": ("upperarm01.{s}", "lowerarm01.{s}"),
    "forearm.{s}": ("lowerarm01.{s}", "wrist.{s}"),
    "hand.{s}": ("wrist.{s}", "finger2-1.{s} finger3-1.{s} finger4-1.{s} finger5-1.{s}"),
    "thigh.{s}": ("upperleg01.{s}", "lowerleg01.{s}"),
    "shin.{s}": ("lowerleg01.{s}", "foot.{s}"),
    "foot.{s}": ("foot.{s}", "toe1-1.{s} toe2-1.{s} toe3-1.{s} toe4-1.{s}"),
    "toe.{s}": ("toe1-1.{s} toe2-1.{s} toe3-1.{s} toe4-1.{s}", None),
    "thumb.01.{s}": ("finger1-1.{s}", "finger1-2.{s}"),
    "thumb.02.{s}": ("finger1-2.{s}", "finger1-3.{s}"),
    "thumb.03.{s}": ("finger1-3.{s}", None),
}
for _number, _finger in enumerate(("index", "middle", "ring", "pinky"), start=1):
    _BONES[f"palm.0{_number}.{{s}}"] = (f"metacarpal{_number}.{{s}}", f"finger{_number + 1}-1.{{s}}")
    for _joint in (1, 2, 3):
        _next = f"finger{_number + 1}-{_joint + 1}.{{s}}" if _joint < 3 else None
        _BONES[f"f_{_finger}.0{_joint}.{{s}}"] = (f"finger{_number + 1}-{_joint}.{{s}}", _next)

#: Bones of the metarig that the body has no use for, with all below them.
_WITHOUT = ("face", "breast.L", "breast.R", "pelvis.L", "pelvis.R")

#: Deforming bone -> the joints whose skin it takes. "*" stands for anything.
_SKIN = {
    "DEF-spine": ("root", "pelvis.L", "pelvis.R", "spine05"),
    "DEF-spine.001": ("spine04", "spine03"),
    "DEF-spine.002": ("spine02",),
    "DEF-spine.003": ("spine01",),
    "DEF-spine.004": ("neck01", "neck02"),
    "DEF-spine.005": ("neck03",),
    "DEF-spine.006": ("head", "eye.L", "eye.R"),
    "DEF-shoulder.{s}": ("clavicle.{s}", "shoulder01.{s}"),
    "DEF-upper_arm.{s}": ("upperarm01.{s}",),
    "DEF-upper_arm.{s}.001": ("upperarm02.{s}",),
    "DEF-forearm.{s}": ("lowerarm01.{s}",),
    "DEF-forearm.{s}.001": ("lowerarm02.{s}",),
    "DEF-hand.{s}": ("wrist.{s}",),
    "DEF-thigh.{s}": ("upperleg01.{s}",),
    "DEF-thigh.{s}.001": ("upperleg02.{s}",),
    "DEF-shin.{s}": ("lowerleg01.{s}",),
    "DEF-shin.{s}.001": ("lowerleg02.{s}",),
    "DEF-foot.{s}": ("foot.{s}",),
    "DEF-toe.{s}": ("toe*.{s}",),
    **{f"DEF-palm.0{number}.{{s}}": (f"metacarpal{number}.{{s}}",) for number in (1, 2, 3, 4)},
    **{f"DEF-thumb.0{joint}.{{s}}": (f"finger1-{joint}.{{s}}",) for joint in (1, 2, 3)},
    **{
        f"DEF-f_{finger}.0{joint}.{{s}}": (f"finger{number}-{joint}.{{s}}",)
        for number, finger in enumerate(("index", "middle", "ring", "pinky"), start=2)
        for joint in (1, 2, 3)
    },
}


def enable() -> None:
    """Switch Rigify on for this session. Raises BadInput where this Blender has none."""
    _default, loaded = addon_utils.check("rigify")  # type: ignore[misc]
    if loaded:
        return
    if addon_utils.enable("rigify", default_set=True) is None:
        raise BadInput(
            "Rigify is not available in this Blender.", "Enable the add-on in the preferences, or choose another rig."
        )


def to_control_rig(
    rig: Object, mesh: Object, body: Body, frames: Sequence[int], *, name: str, collection: Collection,
    limbs: str = "FK", root_motion: str = "HIPS", max_influences: int = 0, game_skeleton: bool = False,
) -> Object:  # fmt: skip
    """Replace a person's own armature by a generated control rig that does the same at these frames.

    rig, mesh : of `body.build_person`, with the bones of the built-in body; the armature and its action are removed.
    limbs, root_motion : see `retarget.Options`.  max_influences, game_skeleton : see `body.BodyOptions`.
    Returns the generated rig. Raises BadInput where there is no Rigify or it fails.
    """
    enable()
    place = rig.matrix_world.copy()
    before: Any = rig.animation_data.action  # type: ignore[union-attr]
    for block in (rig, rig.data, before):
        block.name = f"{name}.own"  # type: ignore[union-attr]  # its names are the control rig's
    with _stage() as stage:
        metarig = _metarig(stage, f"{name}.metarig")
        _lay_into(stage, metarig, rig)
        control = _generate(stage, metarig, f"{name}.rig")
    for made in (metarig, control):
        for home in made.users_collection:
            home.objects.unlink(made)
        collection.objects.link(made)
        made.matrix_world = place
        made.select_set(False)
    metarig.hide_set(True)
    metarig.hide_render = True
    _unlink_widgets(metarig)
    _take_skin(mesh, control, body, max_influences)
    if game_skeleton:
        _follow(mesh, _game_skeleton(control, f"{name}.game", collection))
    own = rigs.map_bones([bone.name for bone in rig.data.bones], "makehuman")  # type: ignore[union-attr]
    controls = rigs.map_bones([bone.name for bone in control.data.bones], "rigify")  # type: ignore[union-attr]
    options = retarget.Options(plant_feet=False, limbs=limbs, root_motion=root_motion)
    made = retarget.retarget(rig, own, control, controls, frames, options, scene=scenes.current(), name=name)
    made.action.use_fake_user = True  # generating the rig again takes its action away
    for side in made.bent:
        transaction.note(f"{name}: the {side} bends aside where IK has a hinge, so that FK and IK differ there")
    data = rig.data
    bpy.data.objects.remove(rig)
    bpy.data.armatures.remove(data)  # type: ignore[arg-type]
    bpy.data.actions.remove(before)
    return control


@contextmanager
def _stage() -> Iterator[Scene]:
    """A scene of its own: Rigify changes modes hundreds of times, and each would evaluate all of the artist's scene."""
    texts = set(bpy.data.texts)
    transaction.on_failure(lambda: [bpy.data.texts.remove(text) for text in bpy.data.texts if text not in texts])
    if not compat.SLOTTED_ACTIONS:  # Blender 4.2 may crash when the scene of a window changes and then goes
        with scenes.selection_kept():  # Rigify's operators need object mode, and leave their rig active
            yield scenes.current()
        return
    stage = bpy.data.scenes.new("Maquette stage")
    context: Any = bpy.context
    window = context.window or context.window_manager.windows[0]
    before = window.scene
    layer = stage.view_layers[0]
    try:
        window.scene = stage  # operators of modes look at the window's scene
        with context.temp_override(window=window, scene=stage, view_layer=layer, collection=stage.collection):
            yield stage
    finally:
        window.scene = before
        bpy.data.scenes.remove(stage)


def _metarig(stage: Scene, name: str) -> Object:
    bpy.ops.object.armature_human_metarig_add()  # type: ignore[attr-defined]
    layer: Any = stage.view_layers[0]
    metarig = layer.objects.active
    metarig.name = metarig.data.name = name
    metarig.location = (0, 0, 0)
    return metarig


def _lay_into(stage: Scene, metarig: Any, rig: Any) -> None:
    """The metarig's bones along the body's joints."""
    bones = rig.data.bones

    def at(joints: str, side: str) -> Vector:
        places = [bones[joint.format(s=side)].head_local for joint in joints.split()]
        return Vector(np.mean(places, axis=0).tolist())

    stage.view_layers[0].objects.active = metarig
    bpy.ops.object.mode_set(mode="EDIT")
    edited = metarig.data.edit_bones
    for name in _WITHOUT:
        for bone in [edited[name], *edited[name].children_recursive] if name in edited else ():
            edited.remove(bone)
    for written, (start, end) in _BONES.items():
        for side in "LR" if "{s}" in written else " ":
            bone = edited[written.format(s=side)]
            bone.head = at(start, side)
            bone.tail = at(end, side) if end else bones[start.split()[0].format(s=side)].tail_local
    for side in "LR":
        _lay_heel(edited, bones, side)
    bpy.ops.object.mode_set(mode="OBJECT")


def _lay_heel(edited: Any, bones: Any, side: str) -> None:
    """The heel's bone lies across the sole, behind the ankle, on the ground; foot controls roll about it."""
    ankle, toe = bones[f"foot.{side}"].head_local, bones[f"toe1-1.{side}"].head_local
    forward = Vector((toe.x - ankle.x, toe.y - ankle.y, 0)).normalized()
    across = Vector((forward.y, -forward.x, 0)) * (0.04 if side == "R" else -0.04)
    heel = Vector((ankle.x, ankle.y, 0)) - forward * 0.05
    edited[f"heel.02.{side}"].head, edited[f"heel.02.{side}"].tail = heel - across, heel + across


def _generate(stage: Scene, metarig: Any, name: str) -> Any:
    metarig.data.rigify_rig_basename = name
    layer: Any = stage.view_layers[0]
    layer.objects.active = metarig
    before, armatures = set(bpy.data.objects), set(bpy.data.armatures)
    try:
        bpy.ops.pose.rigify_generate()  # type: ignore[attr-defined]
    except RuntimeError as error:
        raise BadInput(f"Rigify could not generate a rig: {error}", "Choose another rig.") from error
    finally:
        # Rigify leaves circles of objects that point into Blender's data; Blender 4.2 crashes where they are collected
        # after that data is gone, when another file has been opened.
        gc.collect()
    for copy in [one for one in bpy.data.armatures if one not in armatures and not one.users]:
        bpy.data.armatures.remove(copy)  # of the metarig, which it was made of
    made = [obj for obj in bpy.data.objects if obj not in before and obj.type == "ARMATURE"]
    if not made:
        raise BadInput("Rigify did not generate a rig.", "Choose another rig.")
    return made[0]


def _unlink_widgets(metarig: Any) -> None:
    """The shapes of the controls into a collection that is in no scene; generating again finds it by the metarig."""
    home: Any = metarig.data.rigify_widgets_collection
    for parent in [*bpy.data.collections, *(scene.collection for scene in bpy.data.scenes)]:
        if home.name in parent.children:
            parent.children.unlink(home)
    home.hide_viewport = home.hide_render = True


def _game_skeleton(control: Any, name: str, collection: Collection) -> Object:
    """An armature of the deforming bones alone, in one hierarchy, which copies the control rig's. Engines have no bones
    that bend along themselves: the control rig's no longer do either, so that both move a skin alike."""
    made: Any = armature.deforming_bones(control, name, armature.deforming_parents(control), collection)
    made.show_in_front, made[roles.RIG] = True, roles.GAME_SKELETON
    for bone in made.pose.bones:
        copy = bone.constraints.new("COPY_TRANSFORMS")
        copy.target, copy.subtarget = control, bone.name
        control.data.bones[bone.name].bbone_segments = 1
    return made


def _take_skin(mesh: Any, control: Any, body: Body, most: int) -> None:
    """The mesh follows the deforming bones, at most so many a vertex (0: any), instead of the body's own."""
    index = {name: number for number, name in enumerate(body.joint_names)}
    names, columns = [], []
    for written, joints in _SKIN.items():
        for side in "LR" if "{s}" in written else " ":
            named = [one for joint in joints for one in _matching(joint.format(s=side), index)]
            names.append(written.format(s=side))
            columns.append(body.skin_weights[:, [index[one] for one in named]].sum(axis=1))
    mesh.vertex_groups.clear()
    skin.add_weights(mesh, tuple(names), skin.limited(np.stack(columns, axis=1), most))
    _follow(mesh, control)


def _follow(mesh: Any, rig: Object) -> None:
    mesh.parent = rig
    for modifier in mesh.modifiers:
        if modifier.type == "ARMATURE":
            modifier.object = rig


def _matching(pattern: str, names: dict[str, int]) -> list[str]:
    start, star, end = pattern.partition("*")
    return [name for name in names if name.startswith(start) and name.endswith(end)] if star else [pattern]
