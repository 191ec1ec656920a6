# SPDX-License-Identifier: GPL-3.0-or-later
"""Repaint what is under a mask in more detail."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Union

from .. import runtime
from ..errors import Cancelled
from ..options.common import RUN_NAMES
from ..options.detail import OPTIONS
from .checkpoint import Checkpoint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..photo import PhotoLike
    from ..results import DepthMap, Detailed, HandMaps, NormalMap, People
    from ..runtime.run import ProgressCallback
    from .engines import Repainter
    from .planning import Plan


#: "builtin", a diffusers folder, a checkpoint file, a `Checkpoint`, or an object with `repaint` (`engines.Repainter`).
ModelLike = Union[str, "PathLike[str]", Checkpoint, "Repainter"]


def detail_mask(
    photo: PhotoLike,
    mask: NDArray | HandMaps | People | str | PathLike[str] | None,
    model: ModelLike = "builtin",
    *,
    guide_size: float = 384,
    guide_size_for: Literal["bbox", "crop_region"] = "bbox",
    max_size: float = 1024,
    mask_mode: bool = True,
    seed: int = 0,
    steps: int = 20,
    cfg: float = 8.0,
    sampler: str = "euler",
    scheduler: str = "normal",
    denoise: float = 0.5,
    feather: int = 5,
    crop_factor: float = 3.0,
    drop_size: int = 10,
    refiner: ModelLike | None = None,
    refiner_ratio: float = 0.2,
    batch_size: int = 1,
    cycle: int = 1,
    hook: Any = None,
    inpaint_model: bool = False,
    noise_mask_feather: int = 20,
    contour_fill: bool = True,
    bbox_fill: bool = False,
    combined: bool = False,
    fill: Literal["original", "grey", "surroundings", "noise"] = "original",
    match_colours: bool = False,
    grain: float = 0.0,
    prompt: str = "",
    negative_prompt: str = "",
    clip_skip: int = 0,
    control: NDArray | DepthMap | NormalMap | HandMaps | None = None,
    control_strength: float = 1.0,
    control_start: float = 0.0,
    control_end: float = 1.0,
    linear: bool | None = None,
    compatibility: bool = False,
    tiling: bool = False,
    offload: bool = False,
    device: str | None = None,
    precision: str | None = None,
    progress: ProgressCallback = None,
    models_dir: str | PathLike[str] | None = None,
) -> Detailed:
    """Cut out each part of a mask with its surroundings, enlarge it, repaint it, and lay it back over the photo.

    Parameters
    ----------
    photo : `Photo`, array (H, W, 3 or 4) of uint8, uint16 or floats, or path. Floats, 16 bits and alpha come back as
        they were outside the mask.  linear : its floats are linear light; None takes files of floats so.
    mask : (H, W) of bool, uint8, uint16 or float 0..1, a path, `HandMaps` or `People`; white is repainted. Each
        connected part is worked on for itself. None: nothing is.
    model : see `ModelLike`. "builtin" fills the part from its surroundings without a network.
    guide_size : length in pixels, 64..16384, to which the shorter side of the part's box (or of the crop, by
        `guide_size_for`) is enlarged to work on it.  max_size : most of the crop's longer side, 64..16384.
    mask_mode : repaint only under the mask; otherwise all of the crop, of which the mask is pasted.
    seed : 0..2^64-1.  steps : 1..10000, all of which are run.  cfg : 0..100, how strictly the prompt is followed.
    sampler, scheduler : see `sampling.masked.SAMPLERS` and `sampling.schedules.SCHEDULES`.
    denoise : 0.0001..1, how far a part may depart from what is there.
    feather : 0..100 pixels over which the part fades into the photo.  noise_mask_feather : 0..100, the same for what is
        painted; above 0, grey parts of the mask are painted later than white ones.
    crop_factor : 1..10, size of the crop in sizes of the part.  drop_size : 1..16384, smaller parts are left out.
    refiner : a second model for the last `refiner_ratio` (0..1) of the steps.
    batch_size : 1..100 pictures, each from a seed of its own.  cycle : 1..10 passes over each part.
    hook : an object with any of the methods in `hooks.Hook`.
    inpaint_model : in compatibility mode, the mask is cut as the picture is. What a model was made for is read from it.
    contour_fill, bbox_fill : fill holes of the mask, or the box of each part.  combined : all parts as one.
    fill : what the model finds under the mask before it paints.
    match_colours : lead the colours and light of what was painted back to those around it, where the model shifted
        them.  grain : 0..1, how much of the photo's grain is added where what was painted lacks it.
    prompt, negative_prompt : of any length; `(word:1.2)` weighs a word, `(word)` by 1.1.
    clip_skip : 0..22, layers at the end of the text encoders that are left out; 1 is what other programs call 2.
    control : picture for a ControlNet, (H, W, 3), or the depth, normals or hands of the same photo; it acts with
        `control_strength` 0..10 from the share `control_start` of the steps to `control_end`.
    compatibility : the reference's own arithmetic, its defects included.
    tiling : pictures go through the VAE in tiles; otherwise only when memory runs out.
    offload : only the network that works lies on the device.

    Returns `Detailed`; without a part to work on, the photo unchanged. A `Cancelled` that `progress` raises carries
    what was finished as its attribute `finished`. Raises `MaquetteError` with a remedy.
    """
    given = dict(locals())
    from . import request
    from .engines import engine_for, ignored_by, refiner_for

    run = runtime.start(device, precision, progress, models_dir)
    with run.computing():
        job = request.checked(photo, mask, run, given)
        engine = engine_for(model, run, offload=offload)
        for note in request.unused(given, engine.native, ignored_by(model, run)):
            job.settings.state.note(note)
        if refiner is not None and not engine.native:
            job = job.refined_by(refiner_for(refiner, engine, run, offload=offload))
        finished: Detailed | None = None
        try:
            for so_far in job.steps(engine):
                finished = so_far
        except Cancelled as cancelled:
            cancelled.finished = finished
            raise
    assert finished is not None  # the loop yields what there is before it works on anything
    return finished


def plan(
    photo: PhotoLike,
    mask: NDArray | HandMaps | People | str | PathLike[str] | None,
    model: ModelLike = "builtin",
    **parameters: Any,
) -> Plan:
    """What `detail_mask` would do with the same arguments: its parts, their sizes, the calls of the networks and the
    memory. Reads no more of a model than the heads of its files, and needs no torch. Raises `MaquetteError`.
    """
    from .planning import planned

    defaults = {**OPTIONS.defaults(), **dict.fromkeys(RUN_NAMES)}
    unknown = [name for name in parameters if name not in defaults]
    if unknown:
        raise TypeError(f"plan() got an unexpected keyword argument {unknown[0]!r}")
    return planned(photo, mask, model, {**defaults, **parameters})
