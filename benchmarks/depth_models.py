# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds and memory of Metric3D beside the reference node's own sequence of steps.

    python3 -m installer run benchmarks/depth_models.py [--size small] [--photos 10] [--models FOLDER] [--device cuda]

The node's sequence is this project's network used as the node uses its own: at every call the network is built with
initial weights, the published file is read, attention is an explicit matrix, every iteration is enlarged to the
picture's size, and 8-bit pictures are all that comes out; depth and normals are two calls. Both get the same photos,
the same weights (synthetic ones, made where FOLDER lacks them) and a process of their own. Compare columns of one
run: other work on the machine slows both. Imports, and converting the published file once, are in neither.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from maquette import inference
from maquette.demo.samples import sample_photo
from maquette.inference.models.metric3d import checkpoint, picture
from maquette.inference.models.metric3d.encoder import BACKBONES
from maquette.inference.models.metric3d.network import Metric3D
from maquette.inference.models.metric3d.refinement import upsampled
from maquette.inference.runtime import start
from numpy.typing import NDArray
from shared import make_weights, peak_gigabytes

#: Pixels by which each photo is shifted against the last: none is remembered from the one before.
_SHIFT = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["small", "large", "giant2"], default="small")
    parser.add_argument("--photos", type=int, default=10)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(WAYS[options.way], options)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        options.models = options.models or Path(temporary)
        make_weights(options.size, options.models)
        inference.estimate_depth(photos(1)[0], f"metric3d-vit-{options.size}", models_dir=options.models)  # converts
        given = [f"--{name}={getattr(options, name)}" for name in ("size", "photos", "models", "device")]
        figures = {
            way: json.loads(subprocess.run([sys.executable, __file__, f"--way={way}", *given], check=True,
                                           capture_output=True, text=True).stdout.splitlines()[-1])
            for way in WAYS
        }  # fmt: skip
    print(f"vit-{options.size} on {options.device}".ljust(40) + "".join(f"{way:>12}" for way in figures))
    for name in figures["maquette"]:
        print(name.ljust(40) + "".join(f"{figures[way][name]:12.2f}" for way in figures))


def measure(way: Callable, options: argparse.Namespace) -> dict[str, float]:
    """Seconds, and the most memory that the process held."""
    depth, normals = way(options)
    pictures = photos(options.photos + 2)
    seconds = []
    for task in (depth, depth, normals):  # the first, the same again with another photo, its normals
        started = time.perf_counter()
        task(pictures[min(len(seconds), 1)])
        seconds.append(time.perf_counter() - started)
    started = time.perf_counter()
    for photo in pictures[2:]:
        depth(photo)
        normals(photo)
    ten = time.perf_counter() - started
    return {
        "first call: depth, s": seconds[0],
        "next call: depth of another photo, s": seconds[1],
        "next call: normals of that photo, s": seconds[2],
        f"depth and normals of {options.photos} photos, s": ten,
        "most memory, GB": peak_gigabytes(),
    }


def photos(count: int) -> list[NDArray[np.uint8]]:
    astronaut = inference.load_photo(sample_photo("astronaut")).pixels
    return [np.ascontiguousarray(np.roll(astronaut[:384], _SHIFT * number, 1)) for number in range(count)]


def maquette(options: argparse.Namespace) -> tuple[Callable, Callable]:
    name, common = f"metric3d-vit-{options.size}", {"models_dir": options.models, "device": options.device}
    return (
        lambda photo: inference.estimate_depth(photo, name, **common),
        lambda photo: inference.estimate_normals(photo, name, **common),
    )


def node(options: argparse.Namespace) -> tuple[Callable, Callable]:
    def both(photo: NDArray[np.uint8]) -> None:
        network = rebuilt(options)
        with torch.inference_mode():
            prediction = network(torch.from_numpy(picture.network_picture(photo))[None].to(options.device))
            again = torch.zeros(1, 6, 154, 266), torch.zeros(1, 144, 154, 266)
            for _ in range(network.refinement.iterations - 2):
                upsampled(*(tensor.to(options.device) for tensor in again))
        rows, columns = picture.Placement.of(*photo.shape[:2]).area
        picture.depth_preview(prediction.depth[0, rows, columns].cpu().numpy(), photo.shape[:2], 512)
        normals = prediction.first_normal[0, :3, rows, columns].permute(1, 2, 0).cpu().numpy()
        picture.normal_preview(normals, photo.shape[:2], 512)

    return both, both


def rebuilt(options: argparse.Namespace) -> Metric3D:
    """A network as the node makes it for every call."""
    start(options.device)
    backbone = BACKBONES[f"vit-{options.size}"]
    file = options.models / "metric3d" / f"metric_depth_vit_{options.size}_800k.pth"
    network = Metric3D(backbone)
    tensors = torch.load(file, map_location="cpu", weights_only=True)["model_state_dict"]
    network.load_state_dict(checkpoint.published("", taps=bool(backbone.taps)).convert(tensors))
    for block in network.encoder.vit.blocks:
        block.attn.fused_attn = False
    return network.to(options.device).eval()


WAYS = {"maquette": maquette, "node": node}

if __name__ == "__main__":
    main()
