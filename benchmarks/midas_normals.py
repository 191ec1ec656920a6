# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds and memory of MiDaS normals beside the reference node's own sequence of steps.

    python3 -m installer run benchmarks/midas_normals.py --models FOLDER [--photos 10] [--device cuda]

The node's sequence is this project's network used as the node uses its own: at every call the network is built with
initial weights, the published file is read, attention is an explicit matrix, one photo passes at a time, and an 8-bit
picture is all that comes out. Both get the same photos, the same file (the published one or a synthetic one of its
layout, below FOLDER) and a process of their own. Compare columns of one run: other work on the machine slows both.
Imports, and converting the published file once, are in neither.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from maquette import inference
from maquette.demo.samples import sample_photo
from maquette.inference import batch
from maquette.inference.geometry.previews import preview_size
from maquette.inference.models.midas.checkpoint import published
from maquette.inference.models.midas.network import Midas
from maquette.inference.models.midas.picture import node_picture, working_picture
from maquette.inference.runtime import start
from numpy.typing import NDArray
from shared import peak_gigabytes

Pixels = NDArray[np.uint8]
Way = Callable[[Sequence[Pixels], argparse.Namespace], list[Pixels]]

_FILE = "midas/dpt_hybrid-midas-501f0c75.pt"
#: The node's defaults.
_A, _BACKGROUND = 2 * math.pi, 0.1
#: Pixels by which each photo is shifted against the last: none is remembered from the one before.
_SHIFT = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--photos", type=int, default=10)
    parser.add_argument("--resolution", type=int, default=512)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(WAYS[options.way], options)))
        return
    maquette(photos(1), options)  # converts the file
    names = ("models", "photos", "resolution", "device")
    given = [f"--{name}={getattr(options, name)}" for name in names]
    figures = {}
    for way in WAYS:
        command = [sys.executable, __file__, f"--way={way}", *given]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        figures[way] = json.loads(done.stdout.splitlines()[-1])
    print(f"MiDaS at {options.resolution} on {options.device}".ljust(36) + "maquette        node       ratio")
    for name, ours in figures["maquette"].items():
        nodes = figures["node"][name]
        print(f"{name:32}{ours:12.2f}{nodes:12.2f}{nodes / ours:12.1f}")


def measure(way: Way, options: argparse.Namespace) -> dict[str, float]:
    """Seconds, and the most memory that the process held."""
    pictures = photos(options.photos + 2)
    seconds = []
    for some in (pictures[:1], pictures[1:2], pictures[2:]):
        started = time.perf_counter()
        made = way(some, options)
        seconds.append(time.perf_counter() - started)
        assert len(made) == len(some)
    names = ("first call, s", "next call, another photo, s", f"{options.photos} photos, s")
    return {**dict(zip(names, seconds, strict=True)), "most memory, GB": peak_gigabytes()}


def photos(count: int) -> list[Pixels]:
    astronaut = inference.load_photo(sample_photo("astronaut")).pixels
    return [np.ascontiguousarray(np.roll(astronaut[:384], _SHIFT * number, 1)) for number in range(count)]


def maquette(pictures: Sequence[Pixels], options: argparse.Namespace) -> list[Pixels]:
    where = {"resolution": options.resolution, "models_dir": options.models, "device": options.device}
    return [result.preview for result in batch.estimate_normals(pictures, "midas", **where)]


def node(pictures: Sequence[Pixels], options: argparse.Namespace) -> list[Pixels]:
    start(options.device)
    return [_node_picture(pixels, options) for pixels in pictures]


def _node_picture(pixels: Pixels, options: argparse.Namespace) -> Pixels:
    network = Midas()
    tensors = torch.load(options.models / _FILE, map_location="cpu", weights_only=True)
    network.load_state_dict(published(_FILE).convert(tensors))
    for block in network.encoder.vit.blocks:
        block.attn.fused_attn = False
    network = network.to(options.device).eval()
    picture = torch.from_numpy(working_picture(pixels, options.resolution)).to(options.device)
    with torch.inference_mode():
        inverse = network(picture.float().div(127.5).sub(1).permute(2, 0, 1)[None])[0].cpu().numpy()
    rows, columns = preview_size(*pixels.shape[:2], options.resolution)
    return node_picture(inverse, _A, _BACKGROUND)[:rows, :columns]


WAYS: dict[str, Way] = {"maquette": maquette, "node": node}

if __name__ == "__main__":
    main()
