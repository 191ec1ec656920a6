# SPDX-License-Identifier: GPL-3.0-or-later
"""Photo in, arrays out: metric depth, normals, hands, people and detail, without Blender.

Importing this package imports nothing but itself, not even numpy: a public name brings its module in when it is first
used, and a task what it needs when it is first called. So Blender can read `inference.options` while it starts.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .camera import Camera
    from .depth import estimate_depth
    from .detailer import Checkpoint, detail_mask
    from .errors import (
        BadInput,
        BadModelFile,
        Cancelled,
        MaquetteError,
        MissingModel,
        MissingPackages,
        NothingFound,
        OutOfMemory,
        UnknownModel,
    )
    from .hands import refine_hands
    from .normals import estimate_normals
    from .people import measure_people, recover_people, solve_people
    from .photo import Clip, Photo, load_clip, load_photo
    from .photogrammetry import reconstruct_photos
    from .preprocessors import make_map
    from .results import (
        Body,
        CutOut,
        DepthMap,
        Detailed,
        DetailedSegment,
        Hand,
        HandMaps,
        MapImage,
        NormalMap,
        People,
        Person,
        Reconstruction,
    )
    from .runtime import free_memory
    from .scene import reconstruct_scene
    from .segment import cut_out

__all__ = [
    "BadInput",
    "BadModelFile",
    "Body",
    "Camera",
    "Cancelled",
    "Checkpoint",
    "Clip",
    "CutOut",
    "DepthMap",
    "Detailed",
    "DetailedSegment",
    "Hand",
    "HandMaps",
    "MapImage",
    "MaquetteError",
    "MissingModel",
    "MissingPackages",
    "NormalMap",
    "NothingFound",
    "OutOfMemory",
    "People",
    "Person",
    "Photo",
    "Reconstruction",
    "UnknownModel",
    "cut_out",
    "detail_mask",
    "estimate_depth",
    "estimate_normals",
    "free_memory",
    "load_clip",
    "load_photo",
    "make_map",
    "measure_people",
    "reconstruct_photos",
    "reconstruct_scene",
    "recover_people",
    "refine_hands",
    "solve_people",
]

#: Module -> the public names that it defines.
_NAMES = {
    "camera": "Camera",
    "depth": "estimate_depth",
    "detailer": "Checkpoint detail_mask",
    "errors": "BadInput BadModelFile Cancelled MaquetteError MissingModel MissingPackages NothingFound OutOfMemory "
    "UnknownModel",
    "hands": "refine_hands",
    "normals": "estimate_normals",
    "people": "measure_people recover_people solve_people",
    "photo": "Clip Photo load_clip load_photo",
    "photogrammetry": "reconstruct_photos",
    "preprocessors": "make_map",
    "results": "Body CutOut DepthMap Detailed DetailedSegment Hand HandMaps MapImage NormalMap People Person "
    "Reconstruction",
    "runtime": "free_memory",
    "scene": "reconstruct_scene",
    "segment": "cut_out",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name in _NAMES:
        return import_module("." + name, __name__)
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module("." + _MODULE_OF[name], __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*__all__, *_NAMES})
