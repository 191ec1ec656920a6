# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of rigs: bone maps, retargeting, poses and export."""

from __future__ import annotations

import bpy
from bpy.props import EnumProperty, IntProperty, PointerProperty

from ....inference.options import Choice, Number, Options, Switch, Text
from ...core.bpy_settings import properties_of
from ..shared.settings import LIMBS, ROOT_MOTION

#: Format -> its endings, the usual one first; the labels are Blender's own.
FORMATS = {
    "FBX": (".fbx",), "GLTF": (".glb",), "BVH": (".bvh",), "USD": (".usdc", ".usd", ".usda", ".usdz"),
    "ALEMBIC": (".abc",), "AMASS": (".npz",),
}  # fmt: skip

# fmt: off
RETARGET = Options(
    Choice("placement", "WORLD", "Placement", "Where the motion goes", (
        ("WORLD", "At the Source", "The target stands where the source stands, as in the photo"),
        ("LOCAL", "From Its Own Place", "The target moves from where it stands, in its own direction and stride"),
    )),
    Choice("frames", "ACTION", "Frames", "What is transferred", (
        ("ACTION", "Action", "All frames of the source's action"),
        ("SCENE", "Scene", "The scene's frame range"),
        ("CURRENT", "Current Frame", "The pose of the current frame"),
    )),
    Switch("plant_feet", True, "Planted Feet",
           "Keep feet from sliding while the source's stand, on longer and shorter legs too"),
    LIMBS,
    ROOT_MOTION,
)
FILE = Options(
    Choice("format", "FBX", "Format", "Format of the file", (
        ("FBX", "FBX", "Rig, skin, shape keys and animation, for game engines and other programs"),
        ("GLTF", "glTF Binary", "Rig, skin, shape keys and animation, for engines and the web"),
        ("BVH", "BVH", "The motion of one skeleton alone"),
        ("USD", "USD", "Rig, skin and animation, for film pipelines"),
        ("ALEMBIC", "Alembic", "The exact vertices of every frame"),
        ("AMASS", "AMASS", "The motion of one skeleton alone, as turns of SMPL-X's 55 joints (.npz)"),
    )),
    Choice("objects", "ACTIVE", "Objects", "What is written", (
        ("ACTIVE", "Active", "The active armature or mesh"),
        ("SELECTED", "Selected", "All selected armatures and meshes"),
        ("PEOPLE", "All People", "All recovered people of the scene"),
    )),
    Switch("animation", True, "Animation", "Write the motion rather than just the pose"),
    Switch("centimetres", False, "Centimetres", "Write lengths in centimetres rather than metres (BVH)"),
    Switch("deform_only", False, "Deforming Bones Only",
           "Write the bones that deform, in one hierarchy, without controls (FBX, glTF, USD)"),
    Number("max_influences", 0, "Influences", "Most bones that move a vertex; 0 sets no limit (FBX, glTF, USD)", 0, 64,
           soft_high=8),
    Switch("from_zero", False, "Start at Zero", "Begin the animation at 0 seconds, whatever its first frame (glTF)"),
)
#: One entry of an armature's bone map. Parts made of several bones have several entries, in order.
BONE = Options(
    Text("part", "", "Part", "Part of the body"),
    Text("bone", "", "Bone", "Bone that is this part; empty where the rig has none"),
)
# fmt: on

_presets: list[tuple[str, str, str]] = []


def _preset_items(_owner: object, _context: object) -> list[tuple[str, str, str]]:
    from ....inference.rigs import load_presets

    if not _presets:  # Blender keeps no reference to the strings of an enum's items
        _presets.append(("AUTO", "Find by Names", "The known rig whose names fit best, or else a guess from the words"))
        _presets.extend((preset.id, preset.label, f"The names of {preset.label}") for preset in load_presets())
    return _presets


def is_armature(_settings: object, candidate: bpy.types.Object) -> bool:
    return candidate.type == "ARMATURE"


class MAQUETTE_PG_bone(bpy.types.PropertyGroup):
    """One entry of an armature's bone map."""

    __annotations__ = properties_of(BONE)


#: What the panels of rigs remember beside RETARGET and FILE.
PANEL = {
    "source": PointerProperty(
        name="Source", description="Armature whose motion is taken", type=bpy.types.Object, poll=is_armature
    ),
    "target": PointerProperty(
        name="Target", description="Armature that takes over the motion", type=bpy.types.Object, poll=is_armature
    ),
    "preset": EnumProperty(name="Bone Names", description="Whose bone names the target has", items=_preset_items),
    "active_bone": IntProperty(name="Bone", description="Entry of the bone map that is selected"),
}
