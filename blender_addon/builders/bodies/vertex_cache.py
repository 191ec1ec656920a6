# SPDX-License-Identifier: GPL-3.0-or-later
"""The exact vertices of every frame: a PC2 file with a Mesh Cache modifier, or absolute shape keys."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from bpy.types import Object
from numpy.typing import NDArray

from ..files import paths, session
from . import action

#: How the vertices are kept: in a file beside the .blend, or inside it.
MODES = ("VERTEX_CACHE", "SHAPE_KEYS")


def animate(
    obj: Object,
    vertices: Callable[[int], NDArray],
    frames: NDArray,
    mode: str,
    *,
    name: str,
    folder: str | Path | None,
) -> None:
    """Let an object show these vertices, moving in a straight line where frames are missing.

    frames (T,) : of the scene, increasing.  vertices : gives those of frames[i], (V, 3) in the object's space.
    mode : "VERTEX_CACHE", a PC2 file in `folder` (by default `maquette` beside the .blend) read by a Mesh Cache
        modifier; "SHAPE_KEYS", one absolute shape key a frame inside the .blend.
    Raises BadInput where the folder cannot be written.
    """
    if mode == "VERTEX_CACHE":
        _add_point_cache(obj, vertices, frames, name, folder)
    else:
        _add_absolute_keys(obj, vertices, frames, name)


def _add_point_cache(
    obj: Object, vertices: Callable[[int], NDArray], frames: NDArray, name: str, folder: str | Path | None
) -> None:
    """A new PC2 file, played by a Mesh Cache modifier."""
    mesh: Any = obj.data

    def write(file: BinaryIO) -> None:
        count = int(frames[-1] - frames[0]) + 1
        file.write(b"POINTCACHE2\0" + struct.pack("<iiffi", 1, len(mesh.vertices), 0.0, 1.0, count))
        for frame in range(int(frames[0]), int(frames[-1]) + 1):
            file.write(_at(vertices, frames, frame).astype("<f4").tobytes())

    path = paths.new_file(paths.output_folder(folder), name, ".pc2", write)
    if folder is None:
        session.warn()
    modifier: Any = obj.modifiers.new("Mesh Cache", "MESH_CACHE")
    modifier.cache_format = "PC2"
    modifier.filepath = paths.blender_path(path)
    modifier.frame_start = float(frames[0])
    modifier.interpolation = "LINEAR"


def _add_absolute_keys(obj: Object, vertices: Callable[[int], NDArray], frames: NDArray, name: str) -> None:
    """Absolute shape keys, played by their evaluation time."""
    for index, frame in enumerate(frames):
        key = obj.shape_key_add(name=f"Frame {frame}", from_mix=False)
        key.interpolation = "KEY_LINEAR"
        key.data.foreach_set("co", np.ascontiguousarray(vertices(index), np.float32).ravel())
    keys: Any = obj.data.shape_keys  # type: ignore[union-attr]
    keys.use_relative = False
    times = np.array([block.frame for block in keys.key_blocks])
    keyed = action.new_action(keys, name)
    action.add_fcurves(keyed, keys, "eval_time", frames, times[:, None])


def _at(vertices: Callable[[int], NDArray], frames: NDArray, frame: int) -> NDArray:
    """Vertices (V, 3) of a frame, between its neighbours where it was not recovered."""
    after = int(np.searchsorted(frames, frame))
    if frames[after] == frame:
        return vertices(after)
    share = (frame - frames[after - 1]) / (frames[after] - frames[after - 1])
    return vertices(after - 1) * (1 - share) + vertices(after) * share
