# SPDX-License-Identifier: GPL-3.0-or-later
"""People found by a detector of the user's that the library transformers knows (D-FINE, RF-DETR, RT-DETR, DETR and
their kin): its folder as published, with `config.json` and `preprocessor_config.json` beside `model.safetensors`.

The library builds the network and makes its pictures; descriptions are read, no code of a model's page is run, and
no hub is asked.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ...errors import BadModelFile
from ...runtime.device import missing_package
from ...runtime.memory import keep
from ...runtime.offline import offline
from .find import Detection, Finder, Thresholds, apart

if TYPE_CHECKING:
    from ...photo import Photo
    from ...runtime.run import Run

#: Kinds of networks, as `config.json` names them.
KINDS = (
    "conditional_detr", "d_fine", "dab_detr", "deformable_detr", "detr", "lw_detr", "rf_detr", "rt_detr", "rt_detr_v2",
)  # fmt: skip
DESCRIPTION, PICTURES = "config.json", "preprocessor_config.json"


def is_described(path: Path) -> bool:
    """Whether the folder of this file says what it is."""
    return all((path.parent / name).is_file() for name in (DESCRIPTION, PICTURES))


def described_finder(path: Path, run: Run, thresholds: Thresholds) -> Finder:
    """A finder with the detector whose weights are `path`. Raises `BadModelFile` and `MissingPackages`."""
    stat = path.stat()
    state = (path, stat.st_mtime_ns, stat.st_size)
    network, processor, person = keep(("described", state, run.device), lambda: _load(path, run.torch_device))

    def find(photos: Sequence[Photo], part: Run) -> list[list[Detection]]:
        part.report(0.0, "Looking for people")
        seen = processor(images=[photo.pixels for photo in photos], return_tensors="pt").to(run.torch_device)
        with torch.inference_mode():
            answer = network(**seen)
        sizes = [photo.pixels.shape[:2] for photo in photos]
        least = thresholds.confidence
        every = processor.post_process_object_detection(answer, threshold=least, target_sizes=sizes)
        return [_people(one, person, *photo.size, thresholds) for one, photo in zip(every, photos, strict=True)]

    return find


def _people(answer: dict[str, Any], person: int, width: int, height: int, thresholds: Thresholds) -> list[Detection]:
    """The people of a photo, the surest first. answer : scores (Q,), labels (Q,) and boxes (Q, 4) in pixels."""
    mine = answer["labels"] == person
    scores, boxes = (answer[name][mine].float().cpu().numpy() for name in ("scores", "boxes"))
    order = (-scores).argsort(kind="stable")
    return apart(scores[order], boxes[order].clip(0, [width, height, width, height]), thresholds.overlap)


def _load(path: Path, device: torch.device) -> tuple[Any, Any, int]:
    """The network, what makes its pictures, and the number of people among its classes."""
    try:
        import transformers
    except ImportError as error:
        raise missing_package(error.name, error, "maps") from error
    folder = path.parent
    try:
        kind = json.loads((folder / DESCRIPTION).read_text("utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise _bad(f"{folder / DESCRIPTION} cannot be read") from error
    if kind not in KINDS:
        raise _bad(f"{folder} holds a model of the kind {kind!r}, which finds no people here")
    common: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    strict = {"use_safetensors": True, "output_loading_info": True, "ignore_mismatched_sizes": True}  # refused below
    try:
        with offline("transformers"):
            config = transformers.AutoConfig.from_pretrained(folder, **common)
            config.use_pretrained_backbone = False  # its weights are in the file
            network, told = transformers.AutoModelForObjectDetection.from_pretrained(
                folder, config=config, dtype=torch.float32, **strict, **common
            )
            processor = transformers.AutoImageProcessor.from_pretrained(folder, **common)
    except Exception as error:  # the library raises what it likes over a damaged file
        raise _bad(f"{path} cannot be loaded: {str(error).splitlines()[0][:200]}") from error
    people = [int(number) for number, label in (config.id2label or {}).items() if str(label).lower() == "person"]
    if lost := [*told["missing_keys"], *told["mismatched_keys"]]:
        raise _bad(f"{path} does not belong to the {DESCRIPTION} beside it ({lost[0]} is not in it)")
    if not people:
        raise _bad(f"{path} has no people among its classes")
    return network.to(device).eval().requires_grad_(False), processor, people[0]


def _bad(what: str) -> BadModelFile:
    return BadModelFile(
        f"{what}.", "Download all files of the detector's page into one folder again, or choose the detector 'builtin'."
    )
