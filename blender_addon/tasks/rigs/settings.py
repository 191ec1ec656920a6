# SPDX-License-Identifier: GPL-3.0-or-later
"""Properties of rigs: bone maps, retargeting, poses and export.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

import bpy
from bpy.props import BoolProperty, EnumProperty, IntProperty, PointerProperty, StringProperty

#: Format -> its ending; the labels are Blender's own.
FORMATS = {"FBX": ".fbx", "GLTF": ".glb", "BVH": ".bvh", "USD": ".usdc", "ALEMBIC": ".abc"}


def _preset_items(_owner: object, _context: object) -> list[tuple[str, str, str]]:
    from ....inference.rigs import load_presets

    global _presets
    if not _presets:  # Blender keeps no reference to the strings of an enum's items
        _presets = [("AUTO", "Find by Names", "The known rig whose names fit best, else a guess by words")]
        _presets += [(preset.id, preset.label, f"The names of {preset.label}") for preset in load_presets()]
    return _presets


_presets: list[tuple[str, str, str]] = []


class BoneSettings:
    """A part of the body, and the bone that is it; parts made of several bones have several entries, in order."""

    part: StringProperty(name="Part", description="Part of the body")
    bone: StringProperty(name="Bone", description="Bone that is this part; empty where the rig has none")


class RetargetSettings:
    placement: EnumProperty(
        name="Place",
        description="Where the motion goes",
        items=[
            ("WORLD", "At the Source", "The target stands where the source stands, as in the photo"),
            ("LOCAL", "From Its Own Place", "The target moves from where it stands, in its own direction and stride"),
        ],
    )
    frames: EnumProperty(
        name="Frames",
        description="What is carried over",
        items=[
            ("ACTION", "Action", "All frames of the source's action"),
            ("SCENE", "Scene", "The scene's frame range"),
            ("CURRENT", "Current Frame", "The pose of the current frame"),
        ],
    )


class FileSettings:
    format: EnumProperty(
        name="Format",
        description="Format of the file",
        items=[
            ("FBX", "FBX", "Rig, skin, shape keys and animation, for game engines and other programs"),
            ("GLTF", "glTF Binary", "Rig, skin, shape keys and animation, for engines and the web"),
            ("BVH", "BVH", "The motion of one skeleton alone"),
            ("USD", "USD", "Rig, skin and animation, for film pipelines"),
            ("ALEMBIC", "Alembic", "The exact vertices of every frame"),
        ],
    )
    animation: BoolProperty(name="Animation", description="Write the motion, not the pose alone", default=True)


class ExportSettings(FileSettings):
    overwrite: BoolProperty(name="Overwrite", description="Replace a file of this name")


def _is_armature(_settings: object, candidate: bpy.types.Object) -> bool:
    return candidate.type == "ARMATURE"


class MAQUETTE_PG_bone(BoneSettings, bpy.types.PropertyGroup):
    """One entry of an armature's bone map."""


class MAQUETTE_PG_rigs(RetargetSettings, FileSettings, bpy.types.PropertyGroup):
    """What the panel of rigs shows."""

    source: PointerProperty(
        name="Source", description="Armature whose motion is taken", type=bpy.types.Object, poll=_is_armature
    )
    target: PointerProperty(
        name="Target", description="Armature that is to move so", type=bpy.types.Object, poll=_is_armature
    )
    preset: EnumProperty(name="Names", description="Whose bone names the target has", items=_preset_items)
    active_bone: IntProperty(name="Bone", description="Entry of the bone map that is selected")
