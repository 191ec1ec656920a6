# SPDX-License-Identifier: GPL-3.0-or-later
"""Procedural materials: surfaces of a place, and cloth that takes its colour from the mesh."""

from __future__ import annotations

import math
from typing import Any

import bpy


def surface(
    name: str, colour: Any, pattern: str, *, scale: float = 10.0, roughness: float = 0.75
) -> bpy.types.Material:
    """A material for the place: `colour` broken up by a pattern of the size 1 / `scale` metres."""
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    tree: Any = material.node_tree
    nodes, links = tree.nodes, tree.links
    shader = nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = roughness
    dark = tuple(0.55 * channel for channel in colour)
    light = tuple(min(1.0, 1.25 * channel) for channel in colour)
    if pattern == "plain":
        shader.inputs["Base Color"].default_value = (*colour, 1)
        return material
    place = nodes.new("ShaderNodeTexCoord")
    mapping = nodes.new("ShaderNodeMapping")
    links.new(place.outputs["Object"], mapping.inputs["Vector"])
    if pattern in ("bricks", "tiles", "planks"):
        texture = nodes.new("ShaderNodeTexBrick")
        texture.inputs["Color1"].default_value = (*colour, 1)
        texture.inputs["Color2"].default_value = (*(0.8 * c for c in light), 1)
        texture.inputs["Mortar"].default_value = (*dark, 1)
        texture.inputs["Scale"].default_value = scale
        texture.inputs["Mortar Size"].default_value = {"bricks": 0.02, "tiles": 0.012, "planks": 0.008}[pattern]
        if pattern != "bricks":
            texture.offset = 0.0 if pattern == "tiles" else 0.37
            texture.inputs["Brick Width"].default_value = 1.0 if pattern == "tiles" else 3.0
            texture.inputs["Row Height"].default_value = 1.0 if pattern == "tiles" else 0.5
        if name in ("bricks", "wall", "shutter", "crate", "oak"):
            mapping.inputs["Rotation"].default_value = (math.radians(90), 0, 0)  # bricks run along x and z
        output = texture.outputs["Color"]
    elif pattern == "checks":
        texture = nodes.new("ShaderNodeTexChecker")
        texture.inputs["Color1"].default_value = (*light, 1)
        texture.inputs["Color2"].default_value = (*dark, 1)
        texture.inputs["Scale"].default_value = scale
        output = texture.outputs["Color"]
    else:
        texture = nodes.new("ShaderNodeTexNoise")
        texture.inputs["Scale"].default_value = scale if pattern == "noise" else scale * 0.5
        texture.inputs["Detail"].default_value = 6.0
        ramp = nodes.new("ShaderNodeValToRGB")
        ramp.color_ramp.elements[0].position, ramp.color_ramp.elements[1].position = 0.3, 0.7
        ramp.color_ramp.elements[0].color = (*dark, 1)
        ramp.color_ramp.elements[1].color = (*light, 1)
        links.new(texture.outputs["Fac"], ramp.inputs["Fac"])
        output = ramp.outputs["Color"]
    links.new(mapping.outputs["Vector"], texture.inputs["Vector"])
    links.new(output, shader.inputs["Base Color"])
    return material


def cloth_material(cloth: str) -> bpy.types.Material:
    """A material that takes its colour from the mesh's `colour` attribute; made once a scene."""
    known = bpy.data.materials.get(f"cloth {cloth}")
    if known is not None:
        return known
    material = bpy.data.materials.new(f"cloth {cloth}")
    material.use_nodes = True
    tree: Any = material.node_tree
    nodes, links = tree.nodes, tree.links
    shader = nodes["Principled BSDF"]
    shader.inputs["Roughness"].default_value = {"skin": 0.5, "leather": 0.35, "hair": 0.55}.get(cloth, 0.85)
    colour = nodes.new("ShaderNodeAttribute")
    colour.attribute_name = "colour"
    place = nodes.new("ShaderNodeAttribute")
    place.attribute_name = "rest"
    if cloth == "stripes":
        texture = nodes.new("ShaderNodeTexWave")
        texture.bands_direction = "Y"
        texture.inputs["Scale"].default_value = 7.0
        texture.inputs["Distortion"].default_value = 0.6
    elif cloth == "checks":
        texture = nodes.new("ShaderNodeTexChecker")
        texture.inputs["Scale"].default_value = 22.0
    else:
        texture = nodes.new("ShaderNodeTexNoise")
        texture.inputs["Scale"].default_value = {"skin": 30.0, "hair": 140.0, "denim": 60.0}.get(cloth, 9.0)
        texture.inputs["Detail"].default_value = 5.0
    links.new(place.outputs["Vector"], texture.inputs["Vector"])
    low = {"stripes": 0.25, "checks": 0.4, "skin": 0.85, "hair": 0.5, "denim": 0.6}.get(cloth, 0.75)
    spread = nodes.new("ShaderNodeMapRange")
    spread.inputs["To Min"].default_value = low
    spread.inputs["To Max"].default_value = 1.12
    links.new(texture.outputs["Fac"], spread.inputs["Value"])
    mix = nodes.new("ShaderNodeVectorMath")
    mix.operation = "SCALE"
    links.new(colour.outputs["Color"], mix.inputs[0])
    links.new(spread.outputs["Result"], mix.inputs["Scale"])
    links.new(mix.outputs["Vector"], shader.inputs["Base Color"])
    if cloth not in ("skin", "leather"):
        bump = nodes.new("ShaderNodeBump")
        folds = nodes.new("ShaderNodeTexNoise")
        folds.inputs["Scale"].default_value = 90.0 if cloth == "hair" else 11.0
        folds.inputs["Detail"].default_value = 3.0
        links.new(place.outputs["Vector"], folds.inputs["Vector"])
        bump.inputs["Strength"].default_value = 0.35
        bump.inputs["Distance"].default_value = 0.02
        links.new(folds.outputs["Fac"], bump.inputs["Height"])
        links.new(bump.outputs["Normal"], shader.inputs["Normal"])
    return material
