# SPDX-License-Identifier: GPL-3.0-or-later
"""Photo in, arrays out: metric depth, normals, hands, people and detail, without Blender.

Importing this package imports neither torch nor bpy; a task imports what it needs when it is first called.
"""

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
from .people import recover_people
from .photo import Clip, Photo, load_clip, load_photo
from .preprocessors import make_map
from .results import Body, DepthMap, Detailed, DetailedSegment, Hand, HandMaps, MapImage, NormalMap, People, Person
from .runtime import free_memory

__all__ = [
    "BadInput",
    "BadModelFile",
    "Body",
    "Camera",
    "Cancelled",
    "Checkpoint",
    "Clip",
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
    "UnknownModel",
    "detail_mask",
    "estimate_depth",
    "estimate_normals",
    "free_memory",
    "load_clip",
    "load_photo",
    "make_map",
    "recover_people",
    "refine_hands",
]
