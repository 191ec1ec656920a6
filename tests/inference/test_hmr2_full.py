# SPDX-License-Identifier: GPL-3.0-or-later
"""HMR 2.0 at its full size, 2.7 GB of made-up weights, against the reference's results with the same: two photos with
four people pass through `recover_people` with the reference's lens and boxes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from maquette.demo.samples import sample_photo
from maquette.inference import Camera, Photo, free_memory, load_photo, recover_people
from maquette.inference.geometry.rotations import rotation_matrices
from maquette.inference.people.hmr2.body import to_opencv_rotations

pytestmark = pytest.mark.full

#: Largest differences: turns (elements of matrices), shape and camera (coefficients), metres on the body, pixels of
#: keypoints by the square's side, and the share of the distance. float16: seen on a GPU, with room.
FULL = {"turns": 1e-4, "shape": 1e-4, "camera": 1e-4, "body": 1e-4, "keypoints": 1e-4, "distance": 1e-4}
HALF = {"turns": 3e-2, "shape": 5e-2, "camera": 1e-2, "body": 3e-2, "keypoints": 1e-2, "distance": 1e-2}


@pytest.fixture(scope="module")
def golden():
    with np.load(Path(__file__).parent / "golden" / "hmr2.npz") as content:
        return dict(content)


@pytest.fixture(scope="module")
def models(synthetic):
    yield synthetic("hmr2", "smpl")
    free_memory()


@pytest.mark.parametrize("name", ["bus", "zidane"])
@pytest.mark.parametrize(
    "device, precision, allowed", [("cpu", "float32", FULL), ("cuda", "float32", FULL), ("cuda", "float16", HALF)]
)
def test_the_numbers_are_the_references(golden, models, name, device, precision, allowed):
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")

    def of(part):
        return golden[f"{name}_{part}"]

    def worst(pairs):
        return max(float(np.abs(np.asarray(ours, np.float64) - theirs).max()) for ours, theirs in pairs)

    photo = load_photo(sample_photo(name))
    (width, height), focal = photo.size, float(of("focal"))
    seen = Photo(photo.pixels, Camera(focal, focal, width / 2, height / 2, width, height), name)
    people = recover_people(
        seen, "hmr2", boxes=of("boxes").tolist(), hands="none", device=device, precision=precision, models_dir=models
    )
    persons = people.frames[0]
    places, sizes = of("translation").astype(np.float64), of("box_size")
    centres = (of("boxes")[:, :2] + of("boxes")[:, 2:]) / 2
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
    assert differences.keys() == allowed.keys()
    assert all(difference <= allowed[stage] for stage, difference in differences.items()), differences
