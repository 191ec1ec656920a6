# SPDX-License-Identifier: GPL-3.0-or-later
"""Rigs: bone maps kept on armatures, retargeting, pose assets and export. Main thread only, on what is in the scene."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import bpy
from bpy.types import Object, Scene

from ....inference import rigs
from ....inference.errors import BadInput
from ...builders.bodies import action, pose_asset, reading
from ...builders.bodies import retarget as retargeting
from ...builders.files import export as exporting
from ...core import roles
from ...core.transaction import transaction
from .settings import FORMATS

_CHOOSE = "Choose an armature in the Rigs panel of the Maquette tab."


def armature_object(name: str, context: Any) -> Object:
    """The armature of this name, or the active one, or the one that moves the active mesh. Raises BadInput."""
    obj = bpy.data.objects.get(name) if name else context.view_layer.objects.active
    if obj is None:
        raise BadInput(f"There is no object called {name!r}." if name else "No object is active.", _CHOOSE)
    if obj.type != "ARMATURE":
        moved_by = obj.find_armature() if obj.type == "MESH" and not name else None
        if moved_by is None:
            raise BadInput(f"The object {obj.name} is not an armature.", _CHOOSE)
        obj = moved_by
    return action.controls_of(obj)


def find_bones(obj: Object, preset: str) -> str:
    """Keep the bone map that the names tell on the armature."""
    mapping = rigs.map_bones(_bone_names(obj), "" if preset == "AUTO" else preset)
    entries: Any = obj.maquette_bones  # type: ignore[attr-defined]
    entries.clear()
    for role in rigs.ROLES:
        for bone in mapping.roles.get(role) or [""]:
            entry = entries.add()
            entry.part, entry.bone = role, bone
    found = sum(bool(chain) for chain in mapping.roles.values())
    if mapping.missing:
        return f"Found {found} of {len(rigs.ROLES)} parts; choose the bones of {', '.join(mapping.missing)}"
    labels = {one.id: one.label for one in rigs.load_presets()}
    return f"Found {found} parts of {len(rigs.ROLES)} by {labels.get(mapping.preset, 'the words in their names')}"


def add_bone(obj: Object, entry: int) -> str:
    """One more bone for the part of an entry of the bone map."""
    entries: Any = obj.maquette_bones  # type: ignore[attr-defined]
    if not 0 <= entry < len(entries):
        raise BadInput(f"The bone map of {obj.name} has no entry {entry}.", "Find the bones first.")
    part = entries[entry].part
    made = entries.add()
    made.part = part
    entries.move(len(entries) - 1, entry + 1)
    return f"Added a bone to {part}"


def retarget(properties: Any, scene: Scene, report: Callable[[float], object]) -> tuple[str, str]:
    """Carry out `maquette.retarget`. Returns the line that says what was done, and the one that says where the target
    does not follow, "" where it does. Raises BadInput."""
    ends = [bpy.data.objects.get(name) for name in (properties.source, properties.target)]
    for obj, name, what in zip(ends, (properties.source, properties.target), ("source", "target"), strict=True):
        if obj is None or obj.type != "ARMATURE":
            raise BadInput(
                f"The {what} {name!r} is not an armature." if name else f"No {what} is chosen.",
                "Choose an armature for it.",
            )
    source, target = ends
    assert source is not None and target is not None
    if source == target:
        raise BadInput("Source and target are the same armature.", "Choose another target.")
    if target.library is not None:
        raise BadInput(f"The armature {target.name} is linked from another file.", "Make a library override of it.")
    maps = [
        bone_map(obj, given) for obj, given in ((source, properties.source_bones), (target, properties.target_bones))
    ]
    frames = {
        "ACTION": lambda: reading.action_frames(source),
        "SCENE": lambda: list(range(scene.frame_start, scene.frame_end + 1)),
        "CURRENT": lambda: [scene.frame_current],
    }[properties.frames]()
    with transaction():
        made = retargeting.retarget(
            source, maps[0], target, maps[1], frames, _options(properties),
            scene=scene, name=f"{target.name}.{source.name}", report=report,
        )  # fmt: skip
    moved = f"{len(frames)} frames" if len(frames) > 1 else "the pose"
    done = f"Retargeted {moved} of {source.name} onto {target.name}, in the action {made.action.name}"
    unlike = _unlike(target, made)
    return f"{done}. {unlike}" if unlike else done, unlike


def _options(properties: Any) -> retargeting.Options:
    names = [one.name for one in fields(retargeting.Options)]
    return retargeting.Options(**{name: getattr(properties, name) for name in names})


def _unlike(target: Object, made: retargeting.Retargeted) -> str:
    """What the target does otherwise than it was asked, in one line."""
    said = []
    if made.astray:
        worst = ", ".join(f"{one.bone} by {one.degrees:.0f} degrees at frame {one.frame}" for one in made.astray[:4])
        more = f", and {len(made.astray) - 4} more bones" if len(made.astray) > 4 else ""
        said.append(f"{target.name} does not follow: {worst}{more}. Constraints or drivers of these bones hold them")
    if made.bent:
        parts = ", ".join(role.replace(".L", " left").replace(".R", " right") for role in made.bent)
        said.append(f"{target.name} bends aside where its IK has a hinge, so that FK and IK differ: {parts}")
    if made.without_root:
        said.append(f"{target.name} has no root bone above its hips, which carry the motion")
    return ". ".join(said)


def bone_map(obj: Object, given: str = "") -> rigs.Mapping:
    """The bone map typed in as JSON, else the one kept on the armature, else the one that its names tell."""
    if given.strip():
        return _checked(obj, _parsed(given))
    entries: Any = obj.maquette_bones  # type: ignore[attr-defined]
    kept: dict[str, tuple[str, ...]] = {}
    for entry in entries:
        if entry.bone:
            kept[entry.part] = (*kept.get(entry.part, ()), entry.bone)
    return _checked(obj, kept) if kept else rigs.map_bones(_bone_names(obj))


def _checked(obj: Object, roles: dict[str, tuple[str, ...]]) -> rigs.Mapping:
    """A mapping of bones that exist, with what is known of the control rig whose bones they are."""
    names = set(_bone_names(obj))
    unknown = [bone for chain in roles.values() for bone in chain if bone not in names]
    if unknown:
        raise BadInput(f"The armature {obj.name} has no bone called {unknown[0]!r}.", "Correct the bone map.")
    strange = [role for role in roles if role not in rigs.ROLES]
    if strange:
        raise BadInput(f"There is no part of the body called {strange[0]!r}.", f"Parts are: {', '.join(rigs.ROLES)}.")
    return replace(rigs.map_bones(names), roles=roles, preset="")


def _parsed(text: str) -> dict[str, tuple[str, ...]]:
    try:
        content = json.loads(text)
        return {role: (chain,) if isinstance(chain, str) else tuple(map(str, chain)) for role, chain in content.items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise BadInput(
            f"The bone map {text!r} cannot be read.", 'Write it as {"hips": ["Hips"], "upper_arm.L": ["LeftArm"], ...}.'
        ) from error


def _bone_names(obj: Object) -> list[str]:
    return [bone.name for bone in obj.data.bones]  # type: ignore[union-attr]


def save_pose(obj: Object, name: str, scene: Scene) -> str:
    """The armature's pose as a pose asset of this file."""
    with transaction():
        made = pose_asset.save_pose(obj, name or f"{obj.name} pose", scene)
    return f"Saved the pose as the asset {made.name}"


def suggested_file(name: str, kind: str, context: Any) -> str:
    """A path beside the .blend, or in the home folder, named after the object."""
    obj = bpy.data.objects.get(name) or context.view_layer.objects.active
    folder = Path(bpy.data.filepath).parent if bpy.data.filepath else Path.home()
    return str(folder / f"{bpy.path.clean_name(obj.name if obj else 'person')}{FORMATS[kind][0]}")


def with_ending(filepath: str, kind: str) -> str:
    """The path with the format's own ending, in place of another format's."""
    path = Path(filepath)
    if not path.name or path.suffix.lower() in FORMATS[kind]:
        return filepath
    return str(path.with_suffix(FORMATS[kind][0]) if format_of(path) else f"{path}{FORMATS[kind][0]}")


def format_of(path: Path) -> str | None:
    """The format that a file's ending names."""
    return next((kind for kind, endings in FORMATS.items() if path.suffix.lower() in endings), None)


def _file(properties: Any) -> tuple[Path, str]:
    """The file and its format: what its ending names, else what is chosen. Raises BadInput where the two differ."""
    given = properties.filepath
    if not given or given.endswith(("/", os.sep)):
        raise BadInput("No file is chosen.", "Give the path of the file to write.")
    if given.startswith("//") and not bpy.data.filepath:
        raise BadInput(
            f"{given} is relative to the .blend file, which is not saved yet.",
            "Save the .blend file, or give the whole path.",
        )
    path, chosen = Path(bpy.path.abspath(given)), properties.format
    named, asked = format_of(path), properties.properties.is_property_set("format")
    known = ", ".join(endings[0] for endings in FORMATS.values())
    if named and asked and named != chosen:
        wanted = FORMATS[chosen][0]
        raise BadInput(f"{path.name} is not a {chosen} file.", f"End its name in {wanted}, or leave the format out.")
    if not named and not asked and path.suffix[1:].isalpha():
        raise BadInput(f"{path.name} ends in no format that can be written.", f"End its name in {known}.")
    return (path, named) if named else (Path(f"{path}{FORMATS[chosen][0]}"), chosen)


def _exported(properties: Any, context: Any) -> list[Object]:
    """Armatures, and meshes without one: those that were asked for. Raises BadInput."""
    if properties.objects == "ACTIVE" or properties.armature:
        obj = bpy.data.objects.get(properties.armature) if properties.armature else context.view_layer.objects.active
        if obj is None:
            raise BadInput(f"There is no object called {properties.armature!r}.", _CHOOSE)
        found = [obj]
    elif properties.objects == "SELECTED":
        found = [obj for obj in context.view_layer.objects if obj.select_get(view_layer=context.view_layer)]
        found = [obj for obj in found if obj.type in {"ARMATURE", "MESH"}]
    else:
        found = [obj for obj in context.scene.objects if obj.type == "MESH" and roles.HEIGHT in obj]
    return list(dict.fromkeys((obj.type == "MESH" and obj.find_armature()) or obj for obj in found))


def export(properties: Any, context: Any) -> str:
    """Carry out `maquette.export_person`. Raises BadInput."""
    roots = _exported(properties, context)
    path, kind = _file(properties)
    exporting.export_people(
        roots,
        path,
        kind,
        animation=properties.animation,
        overwrite=properties.overwrite,
        centimetres=properties.centimetres,
        from_zero=properties.from_zero,
        deform_only=properties.deform_only,
        max_influences=properties.max_influences,
        bones=bone_map,
        scene=context.scene,
    )
    return f"Wrote {path}"
