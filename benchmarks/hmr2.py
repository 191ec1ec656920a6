# SPDX-License-Identifier: GPL-3.0-or-later
"""HMR 2.0's people per second, beside the sequence of steps of the reference node, in one run.

    python benchmarks/hmr2.py MODELS [--device cpu] [--threads 2] [--people 8] [--repeats 2] [--json FILE]

MODELS is a root of model files with those of HMR 2.0; `tests/made_up.py MODELS hmr2 smpl` makes one with made-up
weights. Photos of one to three people, boxes given, so that the detector, which is the user's, is not part of
it. The reference's sequence: the whole photo copied and, for large people, blurred in float64 once for each of them; a
batch never holds people of two photos; attention as explicit products; the body by smplx for each batch.
Both sides take turns in one process with one network's weights, warm once, then `--repeats` times; the shortest time
counts, of the clock and of the processor (which other work on the machine disturbs less). Ours makes masks besides.
`--batch` are the people in the network at once.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import cv2
import numpy as np
import torch
from maquette.demo.samples import sample_photo
from maquette.inference import Photo, load_photo, recover_people
from maquette.inference.geometry.rotations_torch import orthonormal
from maquette.inference.models.vit import Block
from maquette.inference.people.hmr2 import answers
from maquette.inference.people.hmr2.body import Template
from maquette.inference.people.hmr2.crops import SIDE, Crop
from maquette.inference.people.hmr2.network import HMR2
from maquette.inference.registry import find_model
from maquette.inference.runtime.run import Run, start
from maquette.inference.weights.smpl import evaluator
from scipy import ndimage

BOXES = {
    "bus": [(48, 398, 246, 904), (669, 392, 810, 877), (222, 405, 344, 858)],
    "zidane": [(123, 197, 1111, 711)],
}


def reference_square(pixels: np.ndarray, crop: Crop) -> np.ndarray:
    """The whole photo copied, and blurred where it is reduced."""
    image: np.ndarray = pixels[..., ::-1].copy()
    reduction = crop.size / SIDE / 2
    if reduction > 1.1:
        sigma = (reduction - 1) / 2
        image = ndimage.gaussian_filter(image.astype(np.float64), (sigma, sigma, 0), mode="nearest")
    square = cv2.warpAffine(image, crop.matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)[..., ::-1]
    mean, spread = 255 * np.array([0.485, 0.456, 0.406]), 255 * np.array([0.229, 0.224, 0.225])
    return ((square - mean) / spread).transpose(2, 0, 1).astype(np.float32)


def explicit_block(block: Block, x: torch.Tensor) -> torch.Tensor:
    batch, count, width = x.shape
    query, key, value = block.qkv(block.norm1(x)).reshape(batch, count, 3, block.heads, -1).permute(2, 0, 3, 1, 4)
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-2, -1)
    seen = scores.softmax(-1) @ value
    x = x + block.proj(seen.transpose(1, 2).reshape(batch, count, width))
    return x + block.fc2(torch.nn.functional.gelu(block.fc1(block.norm2(x))))


def body_tensors(template: Template, device: torch.device) -> list[torch.Tensor]:
    """What smplx's skinning takes after shape and pose."""
    body = template.body
    assert body.pose_blend_shapes is not None
    arrays = (
        body.vertices,
        np.moveaxis(body.shape_blend_shapes, 0, 2),
        body.pose_blend_shapes.reshape(len(body.pose_blend_shapes), -1),
        template.joint_regressor,
        body.parents.astype(np.int64),
        body.skin_weights,
    )
    return [torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays]


def reference(
    photos: Sequence[Photo], boxes: Sequence[Sequence[Any]], net: HMR2, run: Run, batch: int, tensors: Any
) -> int:
    """Photo by photo, the people of each in batches of their own."""
    found = 0
    for photo, some in zip(photos, boxes, strict=True):
        for first in range(0, len(some), batch):
            squares = [reference_square(photo.pixels, Crop.around(box)) for box in some[first : first + batch]]
            pictures = torch.from_numpy(np.stack(squares)).to(run.torch_device)[:, :, :, 32:224]
            with torch.no_grad():
                answer = net(pictures)
                vertices, _ = evaluator()(answer.shape, orthonormal(answer.turns), *tensors, pose2rot=False)
            found += len(vertices.cpu().numpy())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--people", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = (["bus", "zidane"] * options.people)[: max(1, options.people // 2)]
    photos = [load_photo(sample_photo(name)) for name in names]
    boxes = [BOXES[name] for name in names]
    count = sum(map(len, boxes))
    run = start(options.device, models_dir=options.models, model=find_model("people", "hmr2"))
    answers.ready(run)
    net, template = answers._network(run), answers.template(run)
    tensors = body_tensors(template, run.torch_device)
    rows = []
    for batch in options.batch:
        sides = (
            lambda: ours_of(photos, boxes, options, batch),  # noqa: B023  # called at once
            lambda: with_explicit_attention(lambda: reference(photos, boxes, net, run, batch, tensors)),  # noqa: B023
        )
        ours, theirs = timed(sides, options.repeats)
        seconds = {"ours": [part / count for part in ours], "reference": [part / count for part in theirs]}
        rows.append({"batch": batch, **seconds})
        print(
            f"batch {batch:2}: seconds a person, of the processor in brackets: ours {ours[0] / count:.2f} "
            f"({ours[1] / count:.2f}), the reference's sequence {theirs[0] / count:.2f} ({theirs[1] / count:.2f}); "
            f"{theirs[0] / ours[0]:.2f} ({theirs[1] / ours[1]:.2f}) times as fast",
            flush=True,
        )
    if options.json:
        options.json.write_text(
            json.dumps({"device": options.device, "people": count, "rows": rows}, indent=1), "utf-8"
        )


def ours_of(photos: Sequence[Photo], boxes: Sequence[Any], options: argparse.Namespace, batch: int) -> None:
    where: dict[str, Any] = {"device": options.device, "models_dir": options.models}
    recover_people(photos, "hmr2", boxes=boxes, hmr_batch_size=batch, **where)


def with_explicit_attention(work: Callable[[], object]) -> None:
    forward = Block.forward
    Block.forward = explicit_block  # type: ignore[method-assign]
    try:
        work()
    finally:
        Block.forward = forward  # type: ignore[method-assign]


def timed(sides: Sequence[Callable[[], object]], repeats: int) -> list[tuple[float, float]]:
    """The shortest seconds of the clock, and of the processor, of each side; they take turns."""
    taken: list[list[tuple[float, float]]] = [[] for _ in sides]
    for _ in range(1 + repeats):
        for side, own in zip(sides, taken, strict=True):
            started, computed = time.perf_counter(), time.process_time()
            side()
            own.append((time.perf_counter() - started, time.process_time() - computed))
    return [(min(clock for clock, _ in own[1:]), min(processor for _, processor in own[1:])) for own in taken]


if __name__ == "__main__":
    main()
