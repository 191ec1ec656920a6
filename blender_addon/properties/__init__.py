# SPDX-License-Identifier: GPL-3.0-or-later
"""The properties of every request, written once, one file a task: operators take them, the scene remembers them.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

import bpy
from bpy.props import CollectionProperty, EnumProperty, PointerProperty, StringProperty

from ..tasks.calibrate.settings import CalibrateSettings
from ..tasks.depth.settings import DepthSettings
from ..tasks.detail.settings import DetailSettings
from ..tasks.hands.settings import HandsSettings
from ..tasks.maps.settings import MapsSettings
from ..tasks.normals.settings import NormalsSettings
from ..tasks.people.settings import PeopleSettings
from ..tasks.rigs.settings import MAQUETTE_PG_bone, MAQUETTE_PG_rigs
from ..tasks.shared.mask_settings import MaskSettings
from ..tasks.shared.settings import Common, PhotoInput, names

__all__ = [
    "CalibrateSettings",
    "Common",
    "DepthSettings",
    "DetailSettings",
    "HandsSettings",
    "MapsSettings",
    "MaskSettings",
    "NormalsSettings",
    "PeopleSettings",
    "PhotoInput",
    "names",
]


class MAQUETTE_PG_depth(DepthSettings, bpy.types.PropertyGroup):
    """Depth settings of a scene."""


class MAQUETTE_PG_normals(NormalsSettings, bpy.types.PropertyGroup):
    """Normals settings of a scene."""


class MAQUETTE_PG_hands(HandsSettings, bpy.types.PropertyGroup):
    """Hands settings of a scene."""


class MAQUETTE_PG_maps(MapsSettings, bpy.types.PropertyGroup):
    """Settings of a scene for image passes."""


class MAQUETTE_PG_detail(DetailSettings, bpy.types.PropertyGroup):
    """Detail settings of a scene."""


class MAQUETTE_PG_people(PeopleSettings, bpy.types.PropertyGroup):
    """People settings of a scene."""


class MAQUETTE_PG_calibrate(CalibrateSettings, bpy.types.PropertyGroup):
    """Settings of a scene for rescaling a photo."""


def _is_camera(_settings, candidate: bpy.types.Object) -> bool:
    return candidate.type == "CAMERA"


class MAQUETTE_PG_settings(Common, bpy.types.PropertyGroup):
    """What the panel shows: the chosen photo, and one group of settings a task."""

    source: EnumProperty(
        name="Photo",
        description="Where the photo comes from",
        items=[
            ("IMAGE", "Image", "An image, image sequence or movie that is open in Blender"),
            ("FILE", "File", "A file on disk: photo, movie, or numbered pictures"),
        ],
    )
    image: PointerProperty(name="Photo", description="Photo, image sequence or movie to work on", type=bpy.types.Image)
    filepath: StringProperty(
        name="File",
        description="Photo, movie, or numbered pictures (shot_%04d.png) to work on",
        subtype="FILE_PATH",
    )
    camera: PointerProperty(
        name="Camera",
        description="Camera that the photo was taken with, for its focal length; the photo's own is used without",
        type=bpy.types.Object,
        poll=_is_camera,
    )
    depth: PointerProperty(type=MAQUETTE_PG_depth)
    normals: PointerProperty(type=MAQUETTE_PG_normals)
    hands: PointerProperty(type=MAQUETTE_PG_hands)
    people: PointerProperty(type=MAQUETTE_PG_people)
    maps: PointerProperty(type=MAQUETTE_PG_maps)
    rigs: PointerProperty(type=MAQUETTE_PG_rigs)
    calibrate: PointerProperty(type=MAQUETTE_PG_calibrate)
    detail: PointerProperty(type=MAQUETTE_PG_detail)


CLASSES = (
    MAQUETTE_PG_bone,
    MAQUETTE_PG_rigs,
    MAQUETTE_PG_calibrate,
    MAQUETTE_PG_depth,
    MAQUETTE_PG_normals,
    MAQUETTE_PG_hands,
    MAQUETTE_PG_people,
    MAQUETTE_PG_maps,
    MAQUETTE_PG_detail,
    MAQUETTE_PG_settings,
)


def register() -> None:
    for cls in CLASSES:
        bpy.utils.register_class(cls)
    bpy.types.Scene.maquette = PointerProperty(type=MAQUETTE_PG_settings)  # type: ignore[attr-defined]
    bpy.types.Object.maquette_bones = CollectionProperty(  # type: ignore[attr-defined]
        type=MAQUETTE_PG_bone, name="Bone Map", description="Which bone of an armature is which part of the body"
    )


def unregister() -> None:
    del bpy.types.Object.maquette_bones  # type: ignore[attr-defined]
    del bpy.types.Scene.maquette  # type: ignore[attr-defined]
    for cls in reversed(CLASSES):
        bpy.utils.unregister_class(cls)
