# SPDX-License-Identifier: GPL-3.0-or-later
"""What a request will do and take, before it runs. No torch."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any

from ...installer.models import store
from ..runtime.run import Run
from . import request
from .blending import GRID
from .checkpoint import Checkpoint
from .diffusion.heads import Footprint, values_of
from .diffusion.transformer_file import footprint
from .engines import check_model, filling, find_model, ignored_by, is_native
from .sampling.masked import calls_per_step

#: float32 numbers that the networks hold at their peak, measured with Stable Diffusion 1.5 at 256 to 768 pixels: of the
#: UNet for a latent pixel, 320 channels wide; of the VAE's decoder for a pixel, 128 channels wide.
_UNET_FLOATS, _UNET_WIDTH = 16_000, 320
_VAE_FLOATS, _VAE_WIDTH = 1_100, 128
#: Side of a tile of the VAE in pixels.
TILE = 512
#: Bytes per pixel of "builtin": the crop, its pyramid, and the places that it is filled from.
_BUILTIN_BYTES = 400
#: Values of LaMa's weights, and its bytes per pixel.
_LAMA_VALUES, _LAMA_BYTES = 51_000_000, 1_600


@dataclass(frozen=True)
class PlannedSegment:
    """One part of the mask.

    box, crop : pixels (x0, y0, x1, y1) of the photo.  work, latent : width and height at which the model sees the crop,
    and of its latent.  scale : work pixels per photo pixel.  calls : of the networks, for one picture.  memory : bytes
    beside the weights.  skipped : why it is left out, or "".
    """

    box: tuple[int, int, int, int]
    crop: tuple[int, int, int, int]
    work: tuple[int, int] = (0, 0)
    latent: tuple[int, int] = (0, 0)
    scale: float = 1.0
    calls: int = 0
    memory: int = 0
    skipped: str = ""


@dataclass(frozen=True)
class Plan:
    """segments : in the order of the work, those left out first.  weights : bytes of the networks on the device.
    memory : bytes at the peak, weights included; an estimate.  calls : of the networks, over all pictures and cycles.
    available : free bytes, None if unknown.  notes : what the artist should know, a sentence each.
    """

    segments: tuple[PlannedSegment, ...]
    weights: int
    memory: int
    calls: int
    available: int | None
    notes: tuple[str, ...]


def planned(photo: Any, mask: Any, model: Any, given: Mapping[str, Any]) -> Plan:
    """given : the parameters of `detail_mask` by name. Raises `MaquetteError`."""
    device = given["device"] or "cpu"
    root = given["models_dir"]
    run = Run(device, "float32", store.models_root() if root is None else Path(fspath(root)).expanduser())
    job = request.checked(photo, mask, run, given)
    # The CPU always computes in float32; without a named device, half precision is assumed to be possible.
    size = 2 if given["precision"] == "float16" and given["device"] != "cpu" else 4
    native = is_native(model)
    refiner = None if native else given["refiner"]
    models = [_footprint(model, run)] + ([] if refiner is None else [_footprint(refiner, run)])
    known = [one for one in models if one is not None]
    ignored = ignored_by(model, run)
    per_step = 1 if "sampler" in ignored else calls_per_step(job.settings.sampler)
    segments = _segments(job, known, native, per_step, given["tiling"], size)
    numbers = max((one.largest for one in known), default=0) if given["offload"] else sum(o.parameters for o in known)
    weights = numbers * size + (0 if given["offload"] else sum(one.packed for one in known))
    memory = weights + max((one.memory for one in segments), default=0)
    calls = sum(one.calls for one in segments) * job.batch_size
    available = _available(given["device"])
    notes = [*request.unused(given, native, ignored), *_notes(segments, job, native)]
    if available is not None and memory > available:
        notes.append(_too_much(memory, available, weights, known, given))
    return Plan(tuple(segments), weights, memory, calls, available, tuple(notes))


def _footprint(model: Any, run: Run) -> Footprint | None:
    """None for "builtin", and for an object, of which nothing is known."""
    check_model(model)
    if filling(model) == "lama":
        find_model(model, run)
        return Footprint(_LAMA_VALUES, _LAMA_VALUES, 0, 0)
    if isinstance(model, (str, bytes, PathLike, Checkpoint)) and not filling(model):
        found = find_model(model, run)
        networks = footprint(Path(found.path), found.config)
        more = 0 if found.controlnet is None else values_of(Path(found.controlnet))
        return replace(networks, parameters=networks.parameters + more, largest=max(networks.largest, more))
    return None


def _segments(
    job: request.Job, models: list[Footprint], native: bool, per_step: int, tiled: bool, size: int
) -> list[PlannedSegment]:
    """per_step : calls a step.  size : bytes per number."""
    kept, dropped = job.segments(native)
    segments = [PlannedSegment(one.box, one.crop, skipped=reason) for one, reason in dropped]
    # Guidance is two calls in one: the prompt's and the negative one's.
    guided = 1 if job.settings.cfg == 1 else 2
    diffusion = bool(models) and not native
    calls = job.settings.steps * job.settings.cycles * per_step if diffusion else 0
    for segment in kept:
        fit = job.fitted(segment, native)
        width, height = fit.work
        latent = (width // GRID, height // GRID) if diffusion else (0, 0)
        memory = max((_bytes(one, width, height, guided, tiled, size) for one in models), default=0)
        memory = memory or width * height * (_LAMA_BYTES if models else _BUILTIN_BYTES)
        segments.append(PlannedSegment(segment.box, fit.segment.crop, fit.work, latent, fit.scale, calls, memory))
    return segments


def _too_much(memory: int, available: int, weights: int, models: list[Footprint], given: Mapping[str, Any]) -> str:
    """A sentence that says what helps."""
    ways = []
    if weights < available and not any(one.family and one.family.area for one in models):
        ways.append("lower max_size")
    if weights < available and not given["tiling"]:
        ways.append("switch on tiling")
    if not given["offload"] and given["device"] != "cpu":
        ways.append("switch on offload")
    if weights > available:
        ways.append("choose a smaller or quantised (GGUF) model")
    amounts = f"about {memory / 1e9:.1f} GB of memory, and {available / 1e9:.1f} GB are free"
    return f"This needs {amounts}: {', or '.join(ways or ['close other programs'])}."


def _bytes(model: Footprint, width: int, height: int, guided: int, tiled: bool, size: int) -> int:
    family = model.family
    if family is not None and family.area:  # its own size, of the crop's shape
        share = (family.area / (width * height)) ** 0.5
        width, height = round(width * share), round(height * share)
    pixels = min(width, TILE) * min(height, TILE) if tiled else width * height
    if family is not None:
        pictures = family.pictures * (family.guided if guided > 1 else 1)
        tokens = width * height / model.token**2 * pictures
        return int(max(family.per_pixel * pixels * model.vae, family.per_token * tokens * model.unet) * size)
    decoder = _VAE_FLOATS * pixels * model.vae / _VAE_WIDTH
    unet = _UNET_FLOATS * (width // GRID) * (height // GRID) * guided * model.unet / _UNET_WIDTH
    return int(max(decoder, unet)) * size


def _notes(segments: list[PlannedSegment], job: request.Job, native: bool) -> list[str]:
    notes, done = [], [one for one in segments if not one.skipped]
    if not done:
        notes.append("There is nothing to do: no part of the mask is large enough.")
    if len(done) < len(segments):
        notes.append(f"{len(segments) - len(done)} of {len(segments)} parts left out as too small.")
    smaller = [one for one in done if one.scale < 1 - 1e-6]
    if smaller:
        notes.append(f"{_parts(smaller)} smaller than in the photo, because of max_size.")
    if job.layout.guide_by_box and not native:
        least = min(int(job.layout.guide_size), int(job.layout.max_size)) - GRID
        short = {one: min(one.box[2] - one.box[0], one.box[3] - one.box[1]) for one in done}
        capped = [one for one in done if one.scale >= 1 and short[one] * one.scale < least]
        if capped:
            notes.append(f"{_parts(capped)} below guide_size, because the crop would exceed max_size.")
    return notes


def _parts(segments: list[PlannedSegment]) -> str:
    return "1 part is worked on" if len(segments) == 1 else f"{len(segments)} parts are worked on"


def _available(device: str | None) -> int | None:
    """Bytes that are free on the device; of an accelerator only once something else has loaded torch."""
    torch = sys.modules.get("torch")
    if torch is not None and device != "cpu" and torch.cuda.is_available():
        return int(torch.cuda.mem_get_info(device)[0])
    return _free_memory() if device in (None, "cpu") else None


def _free_memory() -> int | None:
    """Bytes of main memory that programs may still take; only Linux says so without a package."""
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, ValueError, KeyError, IndexError):
        return None
