# SPDX-License-Identifier: GPL-3.0-or-later
"""HMR 2.0 at its full size against the reference's results with the same synthetic weights.

    python3 -m installer run benchmarks/golden_people.py [--models FOLDER] [--device cuda] [--threads 2]

Two photos with four people pass through `recover_people` with the reference's lens and boxes; on a GPU once more in
float16. Printed, stage by stage: the largest difference and what is allowed; then seconds, and the most memory that the
process held. The checkpoint (2.7 GB) is made where FOLDER lacks it, in a temporary folder if none is named. Exit code 1
where anything is beyond its tolerance.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from maquette.demo.samples import sample_photo
from maquette.inference import Camera, Photo, load_photo, recover_people
from maquette.inference.geometry.rotations import rotation_matrices
from maquette.inference.people.hmr2.body import J19, to_opencv_rotations
from maquette.inference.people.hmr2.checkpoint import PATH
from maquette.inference.weights.smpl import PATH as SMPL

TESTS = Path(__file__).resolve().parents[1] / "tests" / "inference"
PHOTOS = ("bus", "zidane")
#: Turns (elements of matrices), shape and camera (coefficients), metres on the body, pixels of keypoints by the
#: square's side, and the share of the distance. float16: seen on a GPU, with room.
FULL = {"turns": 1e-4, "shape": 1e-4, "camera": 1e-4, "body": 1e-4, "keypoints": 1e-4, "distance": 1e-4}
HALF = {"turns": 3e-2, "shape": 5e-2, "camera": 1e-2, "body": 3e-2, "keypoints": 1e-2, "distance": 1e-2}


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
    parser.add_argument("--models", type=Path)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.models or Path(temporary)
        make_models(folder)
        precisions = ("float32",) if options.device == "cpu" else ("float32", "float16")
        passed = [run(folder, options.device, precision) for precision in precisions]
    print("PASS" if all(passed) else "FAIL")
    sys.exit(0 if all(passed) else 1)


def make_models(folder: Path) -> None:
    """The synthetic checkpoint and bodies, where the folder lacks them; in processes that give their memory back."""
    synth = TESTS / "synth"
    if not (folder / PATH).exists():
        print(f"Making {folder / PATH}")
        (folder / PATH).parent.mkdir(parents=True, exist_ok=True)
        manifest = synth / "manifest-hmr2.json.gz"
        command = [sys.executable, str(synth / "synth_weights.py"), "hmr2", str(manifest), str(folder / PATH)]
        subprocess.run(command, check=True, cwd=synth)
    if not (folder / SMPL).exists() or not (folder / J19).exists():
        subprocess.run([sys.executable, str(synth / "synth_body.py"), str(folder / "body")], check=True, cwd=synth)
        for name, target in (("SMPL_NEUTRAL.pkl", SMPL), ("SMPL_to_J19.pkl", J19)):
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            (folder / "body" / name).replace(folder / target)


def run(folder: Path, device: str, precision: str) -> bool:
    """Whether all stages of both photos are within their tolerances."""
    allowed = FULL if precision == "float32" else HALF
    passed = True
    with np.load(TESTS / "golden" / "hmr2.npz") as content:
        golden = dict(content)
    for name in PHOTOS:
        photo = load_photo(sample_photo(name))
        width, height = photo.size
        focal = float(golden[f"{name}_focal"])
        seen = Photo(photo.pixels, Camera(focal, focal, width / 2, height / 2, width, height), name)
        started = time.perf_counter()
        options: dict[str, Any] = {"device": device, "precision": precision, "models_dir": folder}
        people = recover_people(seen, "hmr2", boxes=golden[f"{name}_boxes"].tolist(), **options)
        seconds = time.perf_counter() - started
        for finding in compare(people.frames[0], golden, name, allowed):
            passed &= finding.passed
            mark = "ok  " if finding.passed else "FAIL"
            print(f"{mark} {precision} {name:7} {finding.stage:10} {finding.difference:.2e} of {finding.allowed:.0e}")
        print(f"     {len(people.frames[0])} people in {seconds:.1f} s, loading among it where it is the first")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"     most memory held: {memory:.1f} GiB, the mapped weights among it")
    return passed


def compare(persons: Any, golden: dict[str, Any], name: str, allowed: dict[str, float]) -> Iterator[Finding]:
    def worst(pairs: Any) -> float:
        return max(float(np.abs(np.asarray(ours, np.float64) - theirs).max()) for ours, theirs in pairs)

    def of(part: str) -> Any:
        return golden[f"{name}_{part}"]

    places = of("translation").astype(np.float64)
    sizes, centres = of("box_size"), (of("boxes")[:, :2] + of("boxes")[:, 2:]) / 2
    turns = rotation_matrices(to_opencv_rotations(of("matrices")).astype(np.float64))
    differences = {
        "turns": worst(
            (rotation_matrices(p.rotations.astype(np.float64)), t) for p, t in zip(persons, turns, strict=True)
        ),
        "shape": worst(zip((p.shape for p in persons), of("shape"), strict=True)),
        "camera": worst(zip((p.crop_camera for p in persons), of("camera"), strict=True)),
        "body": worst(
            (p.vertices[::16] - p.keypoints_3d[8] + k[8], v)
            for p, k, v in zip(persons, of("keypoints_3d"), of("vertices"), strict=True)
        ),
        "keypoints": worst(
            ((p.keypoints_2d - centre) / size, k)
            for p, centre, size, k in zip(persons, centres, sizes, of("keypoints_2d"), strict=True)
        ),
        "distance": worst(
            ((p.keypoints_3d[8] - k[8])[2] / place[2], 1.0)
            for p, k, place in zip(persons, of("keypoints_3d"), places, strict=True)
        ),
    }
    for stage, difference in differences.items():
        yield Finding(stage, difference, allowed[stage])


if __name__ == "__main__":
    main()
