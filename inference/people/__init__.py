# SPDX-License-Identifier: GPL-3.0-or-later
"""The people of photos and clips: pose, shape and place of a parametric body."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import count
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import runtime
from ..errors import BadInput
from ..options.people import OPTIONS
from ..photo import Clip, PhotoLike, as_clip
from ..registry import find_model, model_module
from ..runtime.device import require_torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..results import People
    from ..runtime.run import ProgressCallback
    from .clip.measured import Measured


def recover_people(
    photos: PhotoLike | Clip | Iterable[PhotoLike],
    model: str = "auto",
    *,
    det_confidence_thresh: float = 0.25,
    det_iou_thresh: float = 0.7,
    det_batch_size: int = 10,
    hmr_batch_size: int = 8,
    refine: bool = False,
    boxes: Sequence[Sequence[tuple[float, float, float, float]]] | None = None,
    track: bool = True,
    smoothing: float = 1.0,
    plant: float = 1.0,
    capture_fps: float = 0.0,
    body: str = "mannequin",
    smpl_body: str = "smpl",
    hands: str = "full",
    mask_prompts: bool = False,
    masks: Sequence | None = None,
    camera_motion: str = "auto",
    camera_poses: NDArray | Sequence | str | PathLike[str] | None = None,
    floor_height: float = 0.0,
    floor_pitch: float = 0.0,
    floor_roll: float = 0.0,
    detector: str | PathLike[str] | None = None,
    device: str | None = None,
    precision: str | None = None,
    progress: ProgressCallback = None,
    models_dir: str | PathLike[str] | None = None,
) -> People:
    """Recover the people of one photo, of many photos, or of a clip.

    Parameters
    ----------
    model : "auto" (the best one installed whose results are free), "builtin", or another of docs/models.md.
    photos : one photo (`Photo`, array (H, W, 3) uint8 sRGB, or path of a photo, movie, folder or printf pattern),
        a `Clip`, or an iterable of photos.
    det_confidence_thresh : people scored below it are dropped.
    det_iou_thresh : of two detections that overlap more than this, the weaker one is dropped.
    det_batch_size, hmr_batch_size : photos and people that pass through a network at once.
    refine : spend more steps on fitting the body to the picture.
    boxes : per photo, the people's (x0, y0, x1, y1); bypasses the detector.
    track : keep one identity and one body shape per person over the frames of a clip, and smooth its motion.
    smoothing : of a tracked clip: 0 gives every frame's own pose, above 1 the motion is calmer than usual.
    plant : of a tracked clip: 1 holds planted feet in place, 0 leaves them to slide.
    capture_fps : of a tracked clip in slow motion or time lapse: the frames a second that were filmed, by which its
        motion is smoothed and planted; 0 takes those that it plays. The result plays as the clip does.
    body : of the built-in people: "mannequin", a smooth figure without anatomical detail, or "anatomical".
    smpl_body : of HMR 2.0's people: "smpl", which has no fingers, or "smplh" or "smplx" (SMPL+H, SMPL-X), which have
        them and show what the hand networks see; each is a file of the user's own.
    hands : "full" looks at each hand by itself, for wrists, forearms and fingers; "none" leaves wrists to the body's
        network, and relaxes fingers (SAM 3D Body reads them too, in one pass instead of three).
    mask_prompts : of SAM 3D Body: the network is shown the mask that the detector draws of each person.
    masks : of SAM 3D Body: per photo, a mask (H, W) of each person in `boxes`, or None; shown to the network.
    camera_motion : of a tracked clip: "auto" follows the background, "still" takes the camera to stand still, "scene"
        has it move as `camera_poses`.
    camera_poses : (T, 4, 4) world from camera for each frame, metres; z is up and the floor at 0, the camera looks
        along -z with y up, as Blender's do. Or a file of them: .npy, .npz, .json (a list, or NeRF's transforms).
    floor_height, floor_pitch, floor_roll : of a tracked clip: how much higher (metres), and how much steeper away from
        the camera and to the right (radians), the floor is than was found; it turns below the people.
    detector : what finds people: "builtin", the name of a YOLO file (.pt) in the model files' folder yolo, of an
        RT-DETR file (.safetensors) in detectors or of a folder there (D-FINE, RF-DETR and others), or a path. None
        takes the built-in one; "hmr2" takes the first file there is of those that the reference offers, else any.

    Returns `People`; a photo without a person gives an empty frame. Raises `MaquetteError` with a remedy.
    """
    options = OPTIONS.checked(locals())
    require_torch()
    run = runtime.start(device, precision, progress, models_dir)
    chosen = find_model("people", model, run.models_dir)
    module, run = model_module("people", chosen.id), replace(run, model=chosen)
    clip = as_clip(photos)
    options = _with_poses(options, len(clip), options["track"] and clip.fps is not None and len(clip) > 1)
    with run.computing():
        people = _told(module.recover(clip, run, options), chosen.id)
    return people if people.fps is not None else _numbered_apart(people)


def measure_people(
    clip: PhotoLike | Clip,
    model: str = "auto",
    *,
    frames: tuple[int, int] | None = None,
    det_confidence_thresh: float = 0.25,
    det_iou_thresh: float = 0.7,
    det_batch_size: int = 10,
    hmr_batch_size: int = 8,
    refine: bool = False,
    boxes: Sequence[Sequence[tuple[float, float, float, float]]] | None = None,
    hands: str = "full",
    mask_prompts: bool = False,
    detector: str | PathLike[str] | None = None,
    device: str | None = None,
    precision: str | None = None,
    progress: ProgressCallback = None,
    models_dir: str | PathLike[str] | None = None,
) -> Measured:
    """What the networks say of a clip, or of its frames `frames[0]` to `frames[1] - 1`, from 0; for `solve_people`.

    The other keywords are those of `recover_people`, whose answer is that of `solve_people(measure_people(clip))`.
    `people.clip.measured.save` and `load` keep it in a file, `merge` makes one of the parts of a clip.
    """
    options = OPTIONS.checked({**_DEFAULTS, **locals()})
    require_torch()
    run = runtime.start(device, precision, progress, models_dir)
    chosen = find_model("people", model, run.models_dir)
    module, run = model_module("people", chosen.id), replace(run, model=chosen)
    film = as_clip(clip)
    if len(film) < 2 or film.fps is None:
        raise BadInput(f"{film.name} is not a clip.", "Give a movie, or numbered pictures.")
    if frames is not None and not 0 <= frames[0] < frames[1] <= len(film):
        raise BadInput(f"{film.name} has {len(film)} frames, not {frames}.", "Measure frames that it has.")
    with run.computing():
        return module.measure(film, run, options, frames)


def solve_people(
    measured: Measured | str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    refine: bool = False,
    hmr_batch_size: int = 8,
    smoothing: float = 1.0,
    plant: float = 1.0,
    capture_fps: float = 0.0,
    body: str = "mannequin",
    smpl_body: str = "smpl",
    hands: str = "full",
    camera_motion: str = "auto",
    camera_poses: NDArray | Sequence | str | PathLike[str] | None = None,
    floor_height: float = 0.0,
    floor_pitch: float = 0.0,
    floor_roll: float = 0.0,
    fx: float | None = None,
    fy: float | None = None,
    device: str | None = None,
    progress: ProgressCallback = None,
    models_dir: str | PathLike[str] | None = None,
) -> People:
    """The people of what was measured, without the clip and without networks: in seconds, again and again.

    measured : `measure_people`'s answer, a file of one, a folder of the parts of a clip, or a list of them.
    fx, fy : another focal length than the clip was measured with, pixels; not of SAM 3D Body, which was shown the lens.
    The other keywords are those of `recover_people`. Raises `BadInput` for parts that are no whole clip.
    """
    from .clip import measured as files

    options = OPTIONS.checked({**_DEFAULTS, **locals()})
    require_torch()
    if not isinstance(measured, files.Measured):
        given = [measured] if isinstance(measured, (str, PathLike)) else measured
        measured = files.merge([file for one in given for file in files.files_in(Path(one))])
    if measured.start:
        raise BadInput(
            f"Of {measured.name} only frames {measured.start + 1} to {measured.stop} were measured.",
            "Merge them with those before, or cut the clip first.",
        )
    run = runtime.start(device or "cpu", None, progress, models_dir)
    chosen = find_model("people", measured.model, run.models_dir)
    module, run = model_module("people", chosen.id), replace(run, model=chosen)
    options = _with_poses(options, measured.count)
    if fx or fy:
        measured = measured.with_focal(fx, fy)
    with run.computing():
        return _told(module.solve(measured, run, options), chosen.id)


def _with_poses(options: dict[str, Any], count: int, tracked: bool = True) -> dict[str, Any]:
    """The options with the poses of a given camera, read and checked."""
    if options["camera_motion"] != "scene" and options["camera_poses"] is None:
        return options
    from .clip.given import with_poses

    return with_poses(options, count, tracked=tracked)


#: The options that `measure_people` or `solve_people` does not have.
_DEFAULTS = {option.name: option.default for option in OPTIONS}


def _told(people: People, model: str) -> People:
    """People with the name of what recovered them, and what is to be known of all of them together."""
    from .turned import turned_notes

    return replace(people, model=model, notes=(*people.notes, *turned_notes(people)))


def _numbered_apart(people: People) -> People:
    """Photos that do not form a clip show different people: no two of them have the same number."""
    numbers = count()
    frames = [tuple(replace(person, track_id=next(numbers)) for person in persons) for persons in people.frames]
    return replace(people, frames=tuple(frames)) if len(frames) > 1 else people


def skeleton_picture(
    people: People, frame: int = 0, *, layout: str = "body_25", background: NDArray | None = None
) -> NDArray:
    """The skeletons of a frame's people as OpenPose paints them, (H, W, 3) uint8: a picture for ControlNet.

    layout : "body_25" as the reference, with feet; "coco_18" as most ControlNets were taught it.
    background : (H, W, 3) uint8 to paint over; black where it is None.
    Raises `BadInput` for a frame that does not exist.
    """
    from .openpose import draw

    return draw(people, frame, layout, background)
