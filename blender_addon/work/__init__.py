# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests: everything that one task needs to know, gathered on the main thread and safe to read on the worker.

One file a task. Nothing here imports bpy. Datablocks are named, never referenced: they are looked up again when the
job has ended.
"""

from .common import Focal, Inferred, Request, Source, Target, parsed_boxes
from .depth import DepthBuild, DepthRequest
from .detail import DetailBuild, DetailInferred, DetailRequest, Picture
from .hands import HandBuild, HandsRequest
from .masks import MaskBuild
from .normals import NormalsRequest
from .people import PeopleRequest

__all__ = [
    "DepthBuild",
    "DepthRequest",
    "DetailBuild",
    "DetailInferred",
    "DetailRequest",
    "Focal",
    "HandBuild",
    "HandsRequest",
    "Inferred",
    "MaskBuild",
    "NormalsRequest",
    "PeopleRequest",
    "Picture",
    "Request",
    "Source",
    "Target",
    "parsed_boxes",
]
