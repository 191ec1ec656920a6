# SPDX-License-Identifier: GPL-3.0-or-later
"""The sidebar tab "Maquette", one file a task, the same in the 3D viewport and the image editor."""

import bpy

from ..library.page import CLASSES as MENUS
from ..tasks.calibrate.panel import CalibratePanel
from ..tasks.depth.panel import DepthPanel, DepthSettingsPanel
from ..tasks.detail.panel import DetailComparePanel, DetailModelPanel, DetailPanel, DetailSettingsPanel
from ..tasks.hands.panel import HandsPanel, HandsSettingsPanel
from ..tasks.maps.panel import MapsPanel
from ..tasks.normals.panel import NormalsPanel, NormalsSettingsPanel
from ..tasks.people.panel import PeoplePanel, PeopleSettingsPanel
from ..tasks.rigs.panel import BoneMapPanel, MAQUETTE_UL_bones, PosePanel, RigsPanel
from ..tasks.shared.memory_panel import MemoryPanel
from ..tasks.shared.photo_panel import PhotoOptionsPanel, PhotoPanel

_PANELS = (
    PhotoPanel,
    PhotoOptionsPanel,
    CalibratePanel,
    DepthPanel,
    DepthSettingsPanel,
    NormalsPanel,
    NormalsSettingsPanel,
    HandsPanel,
    HandsSettingsPanel,
    PeoplePanel,
    PeopleSettingsPanel,
    RigsPanel,
    BoneMapPanel,
    PosePanel,
    DetailPanel,
    DetailComparePanel,
    DetailSettingsPanel,
    DetailModelPanel,
    MapsPanel,
    MemoryPanel,
)


def panel_classes(space: str, prefix: str) -> list[type]:
    """All panels as classes for one editor."""
    classes = []
    for panel in _PANELS:
        attributes = {"bl_space_type": space, "bl_idname": f"{prefix}_{panel.__name__}"}
        parent = getattr(panel, "parent", None)
        if parent is not None:
            attributes["bl_parent_id"] = f"{prefix}_{parent.__name__}"
        classes.append(type(f"{prefix}_{panel.__name__}", (panel, bpy.types.Panel), attributes))
    return classes


CLASSES = (
    MAQUETTE_UL_bones,
    *MENUS,
    *panel_classes("VIEW_3D", "MAQUETTE_PT_view3d"),
    *panel_classes("IMAGE_EDITOR", "MAQUETTE_PT_image"),
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)


def unregister() -> None:
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
