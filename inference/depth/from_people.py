# SPDX-License-Identifier: GPL-3.0-or-later
"""Metric depth where there are people: the z-buffer of the bodies fitted to them, completed inside their masks.

The fitted body is a mannequin; relief that is shallower than clothes are is smoothed away. Where the photo shows more
of a person than the body covers (a coat, hair, a bag), the surface goes on from the nearest body depth and rounds off
towards the outline. Elsewhere nothing is known and nothing is claimed: `valid` is False on the floor and on the
background.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ..camera import Camera
from ..errors import NothingFound
from ..geometry.normals_from_depth import normals_from_depth
from ..geometry.previews import depth_preview
from ..geometry.rasteriser import rasterise
from ..geometry.resample import spread
from ..options.people import OPTIONS as PEOPLE_OPTIONS
from ..photo import Clip, Photo, as_clip
from ..registry import model_module
from ..results import Body, DepthMap, Person
from ..runtime import Run

#: Confidence of a joint below which its limb is the fit's invention.
_SUPPORTED = 0.1
#: Cosine between surface and line of sight below which a body's rim is left to what covers it.
_FACING = 0.6
#: Metres: radius of the widest edge of what a mask shows beyond the body, and how far such a part may reach.
_ROUNDING, _REACH = 0.12, 0.5
#: Metres: how far relief is smoothed along the surface, and how deep it may be to go; deeper steps are limbs.
_SMOOTHED, _SHALLOW = 0.05, 0.012


def estimate(photo: Photo, run: Run, options: Mapping[str, Any]) -> DepthMap:
    """Metres along z of the people in a photo. Raises `NothingFound` where there is nobody."""
    camera = photo.camera_or_default(options["fx"], options["fy"])
    clip = as_clip(replace(photo, camera=camera))
    people = model_module("people", "builtin").recover(clip, run.part(0.0, 0.85), PEOPLE_OPTIONS.defaults())
    return _depth(people.frames[0], people.body, camera, run.part(0.85, 1.0), options)


def estimate_film(clip: Clip, run: Run, options: Mapping[str, Any]) -> Callable[[int, Run], DepthMap]:
    """The people of a film are followed through it, which is quicker than to look for them in every frame and keeps
    their build; returns what gives the depth of a frame as `estimate` does."""

    def frames() -> Iterator[Photo]:
        return (replace(photo, camera=photo.camera_or_default(options["fx"], options["fy"])) for photo in clip)

    film = Clip(clip.name, len(clip), clip.fps, frames, clip.notes)
    people, seen = model_module("people", "builtin").follow(film, run, PEOPLE_OPTIONS.defaults())

    def of_frame(number: int, run: Run) -> DepthMap:
        return _depth(seen(number), people.body, people.cameras[number], run, options)

    return of_frame


def _depth(persons: tuple[Person, ...], body: Body, camera: Camera, run: Run, options: Mapping[str, Any]) -> DepthMap:
    if not persons:
        raise NothingFound(
            "There is nobody in the photo, and the built-in depth comes from people.",
            "Choose a photo of people, or the model auto, relief (the surface of a material) or MoGe-2 (any photo).",
            "maquette.install_model",
            {"model": "depth/moge-2-small"},
        )
    depth = softened(people_depth(persons, body, camera, run.part(0.0, 0.65)), camera)
    valid = depth > 0
    normals, _ = normals_from_depth(depth, valid, camera)
    run.report(1.0, "Depth ready")
    return DepthMap(depth, valid, normals, camera, True, depth_preview(depth, valid, options["resolution"]))


def people_depth(persons: tuple[Person, ...], body: Body, camera: Camera, run: Run) -> NDArray[np.float32]:
    """Depth (H, W) float32 of all persons, the nearest at each pixel, 0 where there is none.

    Limbs that the photo does not support are left out: an unseen arm would stand before the chest it hangs behind.
    """
    depth = np.zeros((camera.height, camera.width), np.float32)
    for number, person in enumerate(persons):
        run.report(number / len(persons), "Rendering the bodies")
        # Culled, because where a limb is left out the body is open and would show its back from inside.
        drawn, _ = rasterise(person.vertices, supported_faces(person, body), camera, cull=True)
        mask = drawn > 0 if person.mask is None else person.mask > 0.5
        window = _window(mask)
        if window is None:
            continue
        person_depth = complete(drawn[window], mask[window], camera.cropped(*window))
        nearer = (person_depth > 0) & ((depth[window] == 0) | (person_depth < depth[window]))
        depth[window][nearer] = person_depth[nearer]
    return depth


def supported_faces(person: Person, body: Body) -> NDArray[np.int32]:
    """The faces (F, 3) of the body whose joints the photo supports; all of them where it supports none."""
    confidence = body.skin_weights @ person.confidence
    supported = confidence[body.faces].mean(1) > _SUPPORTED
    return body.faces[supported] if supported.any() else body.faces


def complete(body: NDArray[np.float32], mask: NDArray[np.bool_], camera: Camera) -> NDArray[np.float32]:
    """One person's depth (H, W) inside the mask, from the depth of the fitted body (H, W; 0 where there is none).

    The part of the body that faces the viewer is kept. From there the surface goes on, bending away along a circle from
    its slope there to the line of sight at the mask's outline; the body's rim shows where it is nearer.
    """
    seen = mask & (body > 0)
    if not seen.any():
        return np.zeros_like(body)
    normals, known = normals_from_depth(body, body > 0, camera)
    rays = camera.rays()
    cosine = -(normals * rays).sum(-1) / np.linalg.norm(rays, axis=-1)
    core = seen & known & (cosine > _FACING)
    core = core if core.any() else seen
    from_core = cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 5)
    to_outline = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1, "edge"), cv2.DIST_L2, 5)[1:-1, 1:-1]
    cover = extend(body, core)
    metres = cover * (2 / (camera.fx + camera.fy))  # of a pixel at that depth
    start = math.sqrt(1 - _FACING**2)  # sine of the angle by which the surface has already turned away
    band = np.maximum(from_core + to_outline, 1e-6)
    radius = np.minimum(band * metres / (1 - start), _ROUNDING)
    turned = start + (1 - start) * from_core / band
    cover += radius * (_FACING - np.sqrt(np.maximum(1 - turned**2, 0)))
    cover[~mask | (from_core * metres > _REACH)] = 0
    depth = np.where(seen & ((cover == 0) | (body < cover)), body, cover)
    depth[core] = body[core]
    return depth


def softened(depth: NDArray[np.float32], camera: Camera) -> NDArray[np.float32]:
    """Depth (H, W; 0 where there is none) without shallow relief, by twice the guided filter (He et al. 2010) over
    itself: a line through what is near, flat where that varies little."""
    valid = depth > 0
    if not valid.any():
        return depth
    middle = float(np.median(depth[valid]))
    size = 2 * max(1, round(_SMOOTHED * (camera.fx + camera.fy) / 2 / middle)) + 1
    known = valid.astype(np.float64)

    def mean(values: NDArray) -> NDArray[np.float64]:
        added = cv2.boxFilter(
            np.stack([values * known, known], -1), -1, (size, size), normalize=False, borderType=cv2.BORDER_CONSTANT
        )
        return added[..., 0] / np.maximum(added[..., 1], 1)

    smooth = (depth - middle).astype(np.float64)
    for _ in range(2):
        average = mean(smooth)
        variance = np.maximum(mean(smooth**2) - average**2, 0)
        slope = variance / (variance + _SHALLOW**2)
        smooth = mean(slope) * smooth + mean((1 - slope) * average)
    return np.where(valid, np.maximum(smooth + middle, 0.01), 0).astype(np.float32)


def extend(values: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Continue the known values (H, W) smoothly over the whole picture."""
    return np.where(known, values, spread(values * known, known.astype(np.float32))).astype(np.float32)


def _window(mask: NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """The rows and columns that the mask needs, None where it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if len(rows) == 0:
        return None
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
