# SPDX-License-Identifier: GPL-3.0-or-later
"""Metric3D in three sizes against the reference's results with the same synthetic weights, and in half precision.

    python3 -m installer run benchmarks/golden_depth.py [--only CASE ...] [--models FOLDER] [--device cuda]

Every case runs in a process of its own and prints, stage by stage, the largest difference and what is allowed, then
the most memory that the process held after loading and at the end. The weights are made where FOLDER lacks them
(giant2: 5.5 GB, once), in a temporary folder if none is named. Exit code 1 where anything is beyond its tolerance.

    small-net, giant2-net    the bare network on a picture of 196 x 336
    small-a, large-a         the node's whole way on a photo of 384 x 512, with its pictures at two resolutions
    small-half, giant2-half  the bare network on a part of that picture, in float16 against itself in float32
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from maquette import inference
from maquette.demo.samples import sample_photo
from maquette.inference.models.metric3d import kept_network
from maquette.inference.models.metric3d.network import Metric3D
from maquette.inference.photo import Photo
from maquette.inference.registry import find_model
from maquette.inference.runtime import Run, start
from numpy.typing import NDArray

TESTS = Path(__file__).resolve().parents[1] / "tests" / "inference"
#: float32 on a CPU. The noise of rounding, measured with another number of threads, is 2e-4 (giant2 9e-4) in depth,
#: whose range is 0.1 to 200, and 2e-5 (4e-5) in normals. Levels of pictures: on 1 % of the pixels.
TOKENS, DEPTH, NORMALS, LEVELS = 1e-4, 5e-3, 5e-4, 1
#: float16: largest and mean error of depth, in parts of its standard deviation over the picture; mean one of normals.
HALF_WORST, HALF_MEAN, HALF_NORMALS = 0.1, 0.02, 0.005


@dataclass(frozen=True)
class Finding:
    stage: str
    difference: float
    allowed: float

    @property
    def passed(self) -> bool:
        return self.difference <= self.allowed  # not so for NaN


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), metavar="CASE")
    parser.add_argument("--models", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        sys.exit(0 if run_case(options.case, options.models, options.device) else 1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.models or Path(temporary)
        failed = []
        for case in options.only:
            make_weights(case.split("-")[0], folder)
            command = [sys.executable, __file__, "--case", case, "--models", str(folder), "--device", options.device]
            if subprocess.run(command, check=False).returncode:
                failed.append(case)
    print(f"FAIL: {', '.join(failed)}" if failed else f"PASS: {', '.join(options.only)}")
    sys.exit(1 if failed else 0)


def make_weights(size: str, folder: Path) -> None:
    """The synthetic checkpoint of a size, where the folder has none; as a process of its own, which gives its memory
    back."""
    name = f"metric_depth_vit_{size}_800k"
    path = folder / "metric3d" / f"{name}.pth"
    if not path.exists():
        print(f"Making {path}")
        path.parent.mkdir(parents=True, exist_ok=True)
        synth = TESTS / "synth"
        command = [sys.executable, str(synth / "synth_depth.py"), str(synth / f"manifest-{name}.json.gz"), str(path)]
        subprocess.run(command, check=True)


def run_case(case: str, folder: Path, device: str) -> bool:
    """Print what a case found; whether all of it is within its tolerance."""
    size = case.split("-")[0]
    run = start(device, models_dir=folder, model=find_model("depth", f"metric3d-vit-{size}"))
    started = time.perf_counter()
    network = kept_network(run)
    print(f"\n{case}: loaded in {time.perf_counter() - started:.1f} s, {peak_gigabytes():.2f} GB at most")
    started = time.perf_counter()
    passed = True
    for finding in CASES[case](network, run, size):
        verdict = "PASS" if finding.passed else "FAIL"
        print(f"  {verdict}  {finding.stage:34} {finding.difference:9.2e}  of {finding.allowed:.0e}")
        passed &= finding.passed
    print(f"  {time.perf_counter() - started:.1f} s, {peak_gigabytes():.2f} GB at most")
    return passed


def peak_gigabytes() -> float:
    """Most memory that this process has held, mapped files included."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def bare(network: Metric3D, run: Run, size: str) -> Iterator[Finding]:
    """Strides as cut from the reference's results."""
    golden = np.load(TESTS / "golden" / f"metric3d_{size}_net.npz")
    every = 8 if network.encoder.taps else 2
    with torch.inference_mode():
        given = picture(run)
        levels = network.encoder(network.normalise(given))
        features = network.reassembly(levels, (14, 24))
        trunk = network.trunk(features)
        prediction = network(given)
    for number, level in enumerate(levels):
        name = f"tokens_{number}" if f"tokens_{number}" in golden else "tokens_0"
        yield compare(f"tokens {number}", level[0, ::12, ::every], golden[name], TOKENS)
    for number, feature in enumerate(features):
        yield compare(f"features {number}", feature[0, ::32, ::3, ::3], golden[f"t2f_{number}"], TOKENS)
    yield compare("trunk", trunk[0, ::16, ::3, ::3], golden["mono"], TOKENS)
    yield compare("depth", prediction.depth[0, ::4, ::4], golden["depth"], DEPTH)
    yield compare("confidence", prediction.confidence[0, ::4, ::4], golden["confidence"], NORMALS)
    yield compare("normals, first iteration", prediction.first_normal[0, :, ::6, ::6], golden["first_normal"], NORMALS)
    yield compare("normals, last iteration", prediction.normal[0, :, ::6, ::6], golden["normal"], NORMALS)


def whole(network: Metric3D, run: Run, size: str) -> Iterator[Finding]:
    """The photo's way through the public functions; the stages are seen by hooks."""
    golden = np.load(TESTS / "golden" / f"metric3d_{size}_a.npz")
    seen: dict[str, Any] = {}
    changes: list[NDArray] = []
    hooks = [
        module.register_forward_hook(lambda *hooked, stage=stage: seen.update({stage: hooked[1:]}))
        for stage, module in network.named_modules()
        if stage in ("", "encoder", "reassembly", "trunk")
    ] + [
        head.register_forward_hook(lambda *hooked: changes.append(hooked[2][0, :, ::14, ::14].cpu().numpy()))
        for head in (network.refinement.depth, network.refinement.normal)
    ]
    name = f"metric3d-vit-{size}"
    common = {"models_dir": run.models_dir, "device": run.device}
    photo = Photo(inference.load_photo(sample_photo("astronaut")).pixels[:384])
    pictures = {}
    for resolution in (512, 256):
        pictures["depth", resolution] = inference.estimate_depth(photo, name, resolution=resolution, **common).preview
        pictures["normal", resolution] = inference.estimate_normals(
            photo, name, resolution=resolution, **common
        ).preview
    for hook in hooks:
        hook.remove()
    yield from _stages(seen, changes, golden, {"small": (96, 14), "large": (97, 64)}[size])
    prediction = seen[""][1]
    yield compare("depth", prediction.depth[0, ::8, ::8], golden["depth"], DEPTH)
    yield compare("confidence", prediction.confidence[0, ::8, ::8], golden["confidence"], NORMALS)
    yield compare(
        "normals, first iteration", prediction.first_normal[0, :, ::12, ::12], golden["first_normal"], NORMALS
    )
    yield compare("normals, last iteration", prediction.normal[0, :, ::12, ::12], golden["normal"], NORMALS)
    for (kind, resolution), found in pictures.items():
        found = found[::4, ::4, 0] if kind == "depth" else found[::4, ::4]
        levels = np.abs(found.astype(int) - golden[f"{kind}_{resolution}"])
        yield Finding(f"{kind} picture at {resolution}, levels", float(levels.max()), LEVELS)
        yield Finding(f"{kind} picture at {resolution}, pixels", float((levels > 0).mean()), 0.01)


def _stages(seen: dict[str, Any], changes: list[NDArray], golden: dict, strides: tuple[int, int]) -> Iterator[Finding]:
    (given, *_), levels = seen["encoder"]
    patches, channels = strides
    yield compare("network's picture", given[0, :, ::16, ::16], golden["picture"], 1e-6)
    yield compare("class token and registers", levels[0][0, :5], golden["special"], TOKENS)
    yield compare("patches", levels[0][0, 5::patches, ::2], golden["patches"], TOKENS)
    for number, feature in enumerate(seen["reassembly"][1]):
        every = 32 if channels == 14 else 128
        yield compare(f"features {number}", feature[0, ::every, ::8, ::8], golden[f"t2f_{number}"], TOKENS)
    yield compare("trunk", seen["trunk"][1][0, ::channels, ::7, ::7], golden["mono"], TOKENS)
    turns = np.array([np.concatenate(pair) for pair in zip(changes[::2], changes[1::2], strict=True)])
    yield compare("changes of all iterations", turns, golden["flow"], TOKENS)


def half(network: Metric3D, run: Run, size: str) -> Iterator[Finding]:
    """As computed on a device in half precision: weights and features float16, the state and the result float32."""
    given = picture(run)[:, 28:140, 84:252].contiguous()  # a CPU is slow in float16
    with torch.inference_mode():
        exact = network(given)
        rounded = network.to(torch.float16)(given)
    error = (rounded.depth - exact.depth).abs() / exact.depth.std()
    yield Finding("depth, largest error in its spread", float(error.max()), HALF_WORST)
    yield Finding("depth, mean error in its spread", float(error.mean()), HALF_MEAN)
    change = (rounded.normal - exact.normal)[:, :3].abs()
    yield Finding("normals, mean error", float(change.mean()), HALF_NORMALS)


def picture(run: Run) -> torch.Tensor:
    """The picture (1, 196, 336, 3) of the bare network."""
    pixels = inference.load_photo(sample_photo("astronaut")).pixels[:384]
    shrunk = np.asarray(cv2.resize(pixels, (336, 196), interpolation=cv2.INTER_AREA), np.uint8)
    return torch.from_numpy(shrunk)[None].to(run.torch_device)


def compare(stage: str, found: torch.Tensor | NDArray, expected: NDArray, allowed: float) -> Finding:
    array = found.float().cpu().numpy() if isinstance(found, torch.Tensor) else found
    if array.shape != expected.shape:
        raise ValueError(f"{stage}: {array.shape} instead of {expected.shape}")
    return Finding(stage, float(np.abs(array - expected).max()), allowed)


CASES: dict[str, Callable[[Metric3D, Run, str], Iterator[Finding]]] = {
    "small-net": bare,
    "small-a": whole,
    "small-half": half,
    "large-a": whole,
    "giant2-net": bare,
    "giant2-half": half,
}

if __name__ == "__main__":
    main()
