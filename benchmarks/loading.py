# SPDX-License-Identifier: GPL-3.0-or-later
"""Seconds and memory of loading Metric3D's weights, beside building the network and `torch.load`.

    python3 -m installer run benchmarks/loading.py [--size small] [--only first later] [--models FOLDER]

    plain   the usual sequence: build with initial weights, read the whole file, load_state_dict
    first   the published file is converted to safetensors, and the network takes the result
    later   only the converted file is mapped

Each way has a process of its own; every weight is read once at the end, as computing would. Peak: the most memory that
the process held beyond its imports, pages of mapped files included. Private: what it holds at the end, beyond its
imports, that the system cannot take back or share with another process. The weights are synthetic, made where FOLDER
lacks them (giant2: 5.5 GB; the usual sequence then takes 11 GB of memory and can be left out with --only). Compare
rows of one run: other work on the machine slows all. Linux only (/proc).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from maquette.inference.models.metric3d import checkpoint
from maquette.inference.models.metric3d.encoder import BACKBONES
from maquette.inference.models.metric3d.network import Metric3D
from maquette.inference.runtime import start
from maquette.inference.weights import load_network
from shared import make_weights

WAYS = ("plain", "first", "later")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("small", "large", "giant2"), default="small")
    parser.add_argument("--models", type=Path, help="holds metric3d/metric_depth_vit_<size>_800k.pth, or will")
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS), help="in this order")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.way:
        print(json.dumps(measure(options.way, options.size, options.models)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_weights(options.size, options.models or folder)
        source = published_file(options.models or folder, options.size)
        link = published_file(folder, options.size)  # so that the conversion is not kept
        if link != source:
            link.parent.mkdir(parents=True)
            link.symlink_to(source.resolve())
        rows = [run_way(way, options.size, folder) for way in options.only]
        size = source.stat().st_size
    print(f"{source.name}, {size / 1e9:.2f} GB")
    print("way      seconds   peak GB   of the file   private GB")
    for way, row in zip(options.only, rows, strict=True):
        share = row["peak"] / size
        print(f"{way:6} {row['seconds']:9.2f} {row['peak'] / 1e9:9.2f} {share:13.2f} {row['private'] / 1e9:12.2f}")
    if options.json:
        options.json.write_text(json.dumps(dict(zip(options.only, rows, strict=True)), indent=1), "utf-8")


def published_file(folder: Path, size: str) -> Path:
    return folder / "metric3d" / f"metric_depth_vit_{size}_800k.pth"


def run_way(way: str, size: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--way", way, "--size", size, "--models", str(folder)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def measure(way: str, size: str, folder: Path) -> dict[str, float]:
    """Seconds, peak memory beyond the imports and private memory at the end, bytes."""
    backbone = BACKBONES[f"vit-{size}"]
    published = checkpoint.published(str(published_file(Path(), size)), taps=bool(backbone.taps))
    run = start("cpu", models_dir=folder)
    before, private = memory("VmRSS"), memory("RssAnon")
    Path("/proc/self/clear_refs").write_text("5", "ascii")  # the peak begins anew
    started = time.perf_counter()
    if way == "plain":
        network = Metric3D(backbone)
        content = torch.load(published_file(folder, size), map_location="cpu", weights_only=True)
        network.load_state_dict(published.convert(content["model_state_dict"]))
        network.eval()
        del content
    else:
        network = load_network(run, published, lambda: Metric3D(backbone))
    for tensor in network.parameters():
        tensor.sum()
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "peak": memory("VmHWM") - before, "private": memory("RssAnon") - private}


def memory(field: str) -> int:
    """A line of the process's status, bytes."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


if __name__ == "__main__":
    main()
