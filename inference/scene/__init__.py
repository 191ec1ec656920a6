# SPDX-License-Identifier: GPL-3.0-or-later
"""One scene of one photo: camera, floor, what is behind the people, and the people on that floor, in one measure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import runtime
from ..camera import Camera
from ..depth import estimate_depth
from ..people import recover_people
from ..photo import as_photo
from ..registry import answering
from ..results import DepthMap, People
from ..runtime.device import require_torch

if TYPE_CHECKING:
    from ..photo import Photo, PhotoLike
    from ..runtime.run import ProgressCallback, Run


#: How many of a person's joints are looked at, and their confidence from which on it is one.
_BEST, _SUPPORTED = 5, 0.25


@dataclass(frozen=True)
class Scene:
    """What a photo shows, in metres that agree.

    camera : its lens.  world_from_camera : (4, 4) float64 to a world with z up and the floor at z = 0.
    depth : of everything but the people, with the holes behind them filled; None where nothing measures it.
    picture : (H, W, 3) uint8, the photo with the people painted out, None where there are none.
    people : on the floor, with their hands; nobody in its frame where there is none.
    masks : (H, W) bool of each person.  notes : what was left out and why, and by how much the scales were moved.
    depth_scale : what the scene's metres were multiplied by.  person_scales : the same of each person.
    """

    camera: Camera
    world_from_camera: NDArray[np.float64]
    depth: DepthMap | None
    picture: NDArray[np.uint8] | None
    people: People
    masks: tuple[NDArray[np.bool_], ...]
    notes: tuple[str, ...]
    depth_scale: float = 1.0
    person_scales: tuple[float, ...] = ()

    @property
    def model(self) -> str:
        """What measured the scene, "" where nothing did."""
        return self.depth.model if self.depth is not None else ""


def reconstruct_scene(
    photo: PhotoLike,
    model: str = "auto",
    *,
    people_model: str = "auto",
    scene_depth: DepthMap | NDArray | str | PathLike[str] | None = None,
    device: str | None = None,
    precision: str | None = None,
    progress: ProgressCallback = None,
    models_dir: str | PathLike[str] | None = None,
) -> Scene:
    """Everything of a photo in one scene.

    Parameters
    ----------
    photo : `Photo`, array (H, W, 3) uint8 sRGB, or path.
    model : of depth; "auto" takes the best one installed that measures any photo in metres. Without one the scene
        itself is left out.
    people_model : see `recover_people`.
    scene_depth : metres of the photo, where they are known: see `refine_hands`. `model` is not asked then.

    Raises `MaquetteError`. Where there is neither a person nor a model that measures the rest, the camera is left.
    """
    from ..hands.scene import scene_of

    require_torch()
    run = runtime.start(device, precision, progress, models_dir)
    where: dict[str, Any] = {"device": device, "precision": precision, "models_dir": models_dir}
    photo = as_photo(photo)
    depth = scene_of(photo, scene_depth)
    if depth is None and _measures(model, run):
        depth = estimate_depth(photo, model, resolution=0, progress=run.part(0.0, 0.4).report, **where)
    if depth is not None:
        photo = replace(photo, camera=depth.camera)  # one lens for all
    people, unseen = seen(recover_people(photo, people_model, progress=run.part(0.4, 0.8).report, **where))
    made = _together(photo, depth, people, run.part(0.8, 1.0))
    return replace(made, notes=(*made.notes, *unseen))


def seen(people: People) -> tuple[People, tuple[str, ...]]:
    """Those whose best joints the photo supports, and what is to be said of the others: an animal's face, or a light,
    may be taken for somebody, but no limb of a body fits it."""
    kept = tuple(one for one in people.frames[0] if np.sort(one.confidence)[-_BEST:].mean() > _SUPPORTED)
    lost = len(people.frames[0]) - len(kept)
    if people.model != "builtin" or not lost:  # other models judge otherwise
        return people, ()
    what = "What may be a person" if lost == 1 else f"What may be {lost} people"
    return replace(people, frames=(kept, *people.frames[1:])), (f"{what} was left out: no body fits the photo there",)


def _measures(model: str, run: Run) -> bool:
    """Whether what answers for this name measures more than people."""
    first = answering("depth", model, run.models_dir)[0]
    return bool(first.options.get("metres", True)) and first.id != "builtin"


def _together(photo: Photo, depth: DepthMap | None, people: People, run: Run) -> Scene:
    """The parts brought to one measure."""
    from . import agree, background

    run.report(0.0, "Bringing people and scene together")
    found = agree.agreed(people, depth)
    notes = list(found.notes)
    masks = background.person_masks(found.people)
    left = None if depth is None else replace(depth, depth=depth.depth * np.float32(found.depth_scale))
    picture = None
    if masks:
        run.report(0.3, "Filling what people hide")
        left, hidden = (None, background.hidden_by(masks)) if left is None else background.without(left, masks)
        picture = background.painted_out(photo, hidden, run)
    if depth is None:
        what = "Everything but the people was left out" if masks else "Everything but the camera was left out"
        notes.append(f"{what}: no installed model measures it; MoGe-2 small (MIT) would")
    if not people.frames[0]:
        notes.append("There is nobody in the photo")
    camera = depth.camera if depth is not None else people.camera
    run.report(1.0, "Scene ready")
    return Scene(
        camera,
        found.world_from_camera,
        left,
        picture,
        found.people,
        masks,
        (*notes, *people.notes),
        found.depth_scale,
        found.person_scales,
    )
