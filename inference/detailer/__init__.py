# SPDX-License-Identifier: GPL-3.0-or-later
"""Repaint what is under a mask in more detail."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, Union

from .. import runtime
from ..errors import Cancelled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..photo import PhotoLike
    from ..results import DepthMap, Detailed, HandMaps, NormalMap
    from ..runtime.run import ProgressCallback
    from .job import Engine


@dataclass(frozen=True)
class Checkpoint:
    """A diffusion model on the disk.

    path : a diffusers folder, or one .safetensors file of Stable Diffusion 1.5 or XL, made for inpainting or not.
    config : a diffusers folder that tells the shape of a single file's networks; None takes the one that ships.
    loras : (file, strength) of each LoRA.  controlnet : folder or .safetensors file of a ControlNet, or None.
    """

    path: str | PathLike[str]
    config: str | PathLike[str] | None = None
    loras: Sequence[tuple[str | PathLike[str], float]] = ()
    controlnet: str | PathLike[str] | None = None


#: "builtin", a diffusers folder, a checkpoint file, a `Checkpoint`, or an object with `repaint` (see job.Engine).
ModelLike = Union[str, "PathLike[str]", Checkpoint, "Engine"]


def detail_mask(
    photo: PhotoLike,
    mask: NDArray | HandMaps | str | PathLike[str],
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
    prompt: str = "",
    negative_prompt: str = "",
    control: NDArray | DepthMap | NormalMap | HandMaps | None = None,
    compatibility: bool = False,
    device: str | None = None,
    precision: str | None = None,
    progress: ProgressCallback = None,
    models_dir: str | PathLike[str] | None = None,
) -> Detailed:
    """Cut out each part of a mask with its surroundings, enlarge it, repaint it, and lay it back over the photo.

    Parameters
    ----------
    photo : `Photo`, array (H, W, 3 or 4) of uint8 or of floats, or path. Floats and alpha come back as they were
        outside the mask.
    mask : (H, W) of bool, uint8 or float 0..1, a path, or `HandMaps`; white is repainted. Each connected part is
        worked on for itself.
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
    inpaint_model : accepted for the reference's sake; what a model was made for is read from the model.
    contour_fill : fill holes of the mask.
    control : picture for a ControlNet, (H, W, 3), or the depth, normals or hands of the same photo.
    compatibility : the reference's own arithmetic, its defects included.

    Returns `Detailed`; without a part to work on, the photo unchanged. A `Cancelled` that `progress` raises carries
    what was finished as its attribute `finished`. Raises `MaquetteError` with a remedy.
    """
    from . import request

    run = runtime.start(device, precision, progress, models_dir)
    with run.computing():
        job = request.checked(
            photo,
            mask,
            run,
            control=control,
            compatibility=compatibility,
            guide_size=guide_size,
            guide_size_for=guide_size_for,
            max_size=max_size,
            mask_mode=mask_mode,
            seed=seed,
            steps=steps,
            cfg=cfg,
            sampler=sampler,
            scheduler=scheduler,
            denoise=denoise,
            feather=feather,
            crop_factor=crop_factor,
            drop_size=drop_size,
            refiner_ratio=refiner_ratio,
            batch_size=batch_size,
            cycle=cycle,
            hook=hook,
            inpaint_model=inpaint_model,
            noise_mask_feather=noise_mask_feather,
            contour_fill=contour_fill,
            prompt=prompt,
            negative_prompt=negative_prompt,
        )
        finished: Detailed | None = None
        try:
            for so_far in job.steps(model, refiner):
                finished = so_far
        except Cancelled as cancelled:
            cancelled.finished = finished
            raise
    assert finished is not None  # the loop yields what there is before it works on anything
    return finished
