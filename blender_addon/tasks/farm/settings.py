# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings of jobs for a farm."""

from __future__ import annotations

from typing import Any

import bpy

from ....inference.options import Choice, Number, Options, Text
from ...core.bpy_settings import Name

# fmt: off
SETTINGS = Options(
    Choice("task", "depth", "Task", "What is made, with the settings of its panel", (
        ("depth", "Depth", "A depth map of every frame"),
        ("normals", "Normals", "Surface normals of every frame"),
        ("hands", "Hands", "Depth, mask and meshes of the hands of every frame"),
        ("maps", "Image Pass", "Edges or lines of every frame"),
        ("people", "People", "The people of the whole clip, in one task"),
    )),
    Text("frames", "", "Frames", "Frames by the clip's own numbers, such as 1-300; empty does all in one task"),
    Number("chunk_size", 50, "Chunk Size", "Frames of a task", 1, soft_high=500),
    Name("folder", "", "Output", "Folder of the results, which all workers can reach", kind="DIR_PATH"),
    Choice("format", "exr", "Format", "Format of the files", (
        ("exr", "OpenEXR", "Depth or normals as floats"),
        ("npz", "NumPy", "Every array of the result"),
        ("png", "PNG", "The 8-bit preview"),
        ("glb", "glTF Binary", "Surfaces, hands or bodies"),
        ("blend", "Blender", "What the task builds, in a .blend file"),
        ("fbx", "FBX", "Rigs of people"),
        ("usdc", "USD", "Rigs of people"),
    )),
)
# fmt: on


def flamenco_manager() -> str | None:
    """The address of the manager in the preferences of Flamenco's add-on; None where that is not enabled."""
    context: Any = bpy.context
    enabled = [addon for name, addon in context.preferences.addons.items() if name.rpartition(".")[2] == "flamenco"]
    return str(getattr(enabled[0].preferences, "manager_url", "")) if enabled else None
