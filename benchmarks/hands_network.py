# SPDX-License-Identifier: GPL-3.0-or-later
"""MeshGraphormer's time and memory a hand, beside the sequence of steps of the reference node, in one run.

    python benchmarks/hands_network.py MODELS [--device cpu] [--threads 1] [--repeats 3] [--json FILE]

MODELS is a root of model files with those of MeshGraphormer; the tests make one with made-up weights. The reference's
sequence: the whole checkpoint read by torch.load, the backbone with its normalisations (timm holds it), attention as
explicit products, one hand after the other, and one ray for every pixel of the square. trimesh casts those rays with an
r-tree and a loop over them where rtree is installed; here they are cast by numpy for all pairs of ray and triangle
whose boxes meet, which is faster, so the ratio is rather too small than too large. Each side runs in a process of its
own, warm once, then `--repeats` times; seconds are the shortest.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import numpy as np
import torch
from maquette.demo.samples import sample_photo
from maquette.inference import load_photo, refine_hands
from maquette.inference.hands.meshgraphormer import answers, transformer
from maquette.inference.hands.meshgraphormer.checkpoint import PUBLISHED, converted
from maquette.inference.hands.meshgraphormer.crop import Crop, picture
from maquette.inference.hands.meshgraphormer.lens import Lens
from maquette.inference.hands.meshgraphormer.template import load_template
from maquette.inference.runtime.run import start

#: Two squares of the photo "zidane", of 224 and 192 pixels.
BOXES = [(560, 330, 690, 470, "right"), (640, 400, 760, 505, "left")]


class ReferenceBackbone(torch.nn.Module):
    """HRNet as published, with its normalisations."""

    def __init__(self) -> None:
        super().__init__()
        import timm

        self.network = timm.create_model("hrnet_w64", pretrained=False)

    def forward(self, pictures: torch.Tensor, _tick: object) -> tuple[torch.Tensor, torch.Tensor]:
        net: Any = self.network  # timm's classes declare less than they have
        x = net.act2(net.bn2(net.conv2(net.act1(net.bn1(net.conv1(pictures))))))
        branches = net.stages(x)
        first = net.incre_modules[0](branches[0])
        for step, reduce, branch in zip(net.incre_modules[1:], net.downsamp_modules, branches[1:], strict=True):
            first = step(branch) + reduce(first)
        return net.final_layer(first).mean((2, 3)), first.flatten(2).transpose(1, 2)


def explicit_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    scores = query @ key.transpose(-1, -2) / query.shape[-1] ** 0.5
    return torch.softmax(scores + torch.zeros_like(scores), -1) @ value  # with its additive mask, all zero


def reference_network(models: Path, device: str) -> torch.nn.Module:
    """Built and filled as the reference does: made with random weights, then overwritten."""
    network = transformer.MeshGraphormer()
    network.backbone = ReferenceBackbone()  # type: ignore[assignment]
    content = torch.load(models / PUBLISHED.path, map_location="cpu", weights_only=True)
    state = {name: tensor for name, tensor in converted(content).items() if not name.startswith("backbone.")}
    state |= {
        f"backbone.network.{name[9:]}": tensor for name, tensor in content.items() if name.startswith("backbone.")
    }
    network.load_state_dict(state)
    return network.eval().requires_grad_(False).to(device)


def cast_rays(vertices: np.ndarray, faces: np.ndarray, focal: float, size: int) -> np.ndarray:
    """z (size, size) of the first triangle that the ray through each pixel meets, nan where it meets none.

    vertices : (V, 3) relative to the camera.
    """
    corners = vertices[faces].astype(np.float64)
    seen = corners[..., :2] / corners[..., 2:] * focal + size / 2
    low, high = seen.min(1), seen.max(1)
    first = np.clip(np.floor(low - 0.5), 0, size).astype(int)
    count = np.clip(np.ceil(high + 0.5), 0, size).astype(int) - first
    pairs = count.prod(1)
    face = np.repeat(np.arange(len(faces)), pairs)
    number = np.arange(len(face)) - np.repeat(np.cumsum(pairs) - pairs, pairs)
    x, y = first[face, 0] + number % count[face, 0], first[face, 1] + number // count[face, 0]
    ray = np.column_stack([(x + 0.5 - size / 2) / focal, (y + 0.5 - size / 2) / focal, np.ones(len(x))])
    a, b, c = corners[face].transpose(1, 0, 2)
    normal = np.cross(b - a, c - a)
    facing = (normal * ray).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        point = ray * ((normal * a).sum(1) / facing)[:, None]
    # Barycentric coordinates of the point in its triangle.
    e0, e1, e2 = b - a, c - a, point - a
    d00, d01, d11 = (e0 * e0).sum(1), (e0 * e1).sum(1), (e1 * e1).sum(1)
    d20, d21 = (e2 * e0).sum(1), (e2 * e1).sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        v = (d11 * d20 - d01 * d21) / (d00 * d11 - d01 * d01)
        w = (d00 * d21 - d01 * d20) / (d00 * d11 - d01 * d01)
    hit = (v >= 0) & (w >= 0) & (v + w <= 1)
    pixel, depth, front = (y * size + x)[hit], point[hit, 2], facing[hit] <= 0
    order = np.lexsort((depth, pixel))
    pixel, at = np.unique(pixel[order], return_index=True)
    nearest = order[at]
    z = np.full(size * size, np.nan)
    z[pixel] = np.where(front[nearest], depth[nearest], np.nan)
    return z.reshape(size, size)


def trimesh_rays(vertices: np.ndarray, faces: np.ndarray, focal: float, size: int) -> np.ndarray:
    """`cast_rays` by trimesh with its r-tree, as the reference calls it."""
    import trimesh

    mesh = trimesh.Trimesh(vertices, faces)
    caster = trimesh.ray.ray_triangle.RayMeshIntersector(mesh)
    across = (np.arange(size) + 0.5 - size / 2) / focal
    x, y = np.meshgrid(across, across)
    rays = np.column_stack([x.ravel(), y.ravel(), np.ones(size * size)])
    places, ray, face = caster.intersects_location(np.zeros_like(rays), rays, multiple_hits=False)
    z = np.full(size * size, np.nan)
    front = (mesh.face_normals[face] * rays[ray]).sum(1) <= 0
    z[ray[front]] = places[front, 2]
    return z.reshape(size, size)


def reference(models: Path, device: str, repeats: int) -> dict[str, object]:
    photo, run = load_photo(sample_photo("zidane")), start(device, models_dir=models)
    begun = time.perf_counter()
    network = reference_network(models, device)
    load = time.perf_counter() - begun
    template = load_template(models)
    points, adjacency = (torch.from_numpy(array).to(device) for array in (template.points, template.adjacency))
    transformer.functional.scaled_dot_product_attention = explicit_attention
    try:
        import rtree  # noqa: F401

        caster = trimesh_rays
    except ImportError:
        caster = cast_rays

    def hand(box: tuple) -> tuple[np.ndarray, float]:
        crop = Crop.around(box[:4], box[4])
        seen = answers._normalised(picture(photo.pixels, crop)[None], run, torch.float32).contiguous()
        with torch.no_grad():
            camera, _, vertices = network(seen, points, adjacency)
        camera, vertices = camera[0].cpu().numpy(), vertices[0].cpu().numpy()
        after_network = time.process_time()
        lens = Lens.of(Crop(crop.box, "right", crop.left, crop.top, crop.size), camera)
        z = caster(vertices - lens.translation, template.faces, lens.focal, crop.size)
        return z, time.process_time() - after_network

    def all_hands() -> tuple[int, float]:
        drawn = [hand(box) for box in BOXES]
        return int(sum(np.isfinite(z).sum() for z, _ in drawn)), sum(rays for _, rays in drawn)

    return {"load": load, "rays": caster.__name__, **_measured(all_hands, repeats)}


def ours(models: Path, device: str, repeats: int) -> dict[str, object]:
    photo = load_photo(sample_photo("zidane"))
    asked = {"boxes": BOXES, "mask_expand": 0, "resolution": 0, "device": device, "models_dir": models}
    refine_hands(photo, "meshgraphormer", **asked)  # converts, the first time
    from maquette.inference.runtime import free_memory

    free_memory()
    begun = time.perf_counter()
    answers.ready(start(device, models_dir=models))
    load = time.perf_counter() - begun

    def all_hands() -> tuple[int, float]:
        maps = refine_hands(photo, "meshgraphormer", **asked)
        return int(sum((hand.depth > 0).sum() for hand in maps.hands)), 0.0

    return {"load": load, **_measured(all_hands, repeats)}


def _measured(work, repeats: int) -> dict[str, object]:
    """Seconds a hand, of the clock and of the processor, the shortest of `repeats`; peak memory in MB."""
    pixels, _ = work()
    clock, processor, rays = [], [], []
    for _ in range(repeats):
        begun, used = time.perf_counter(), time.process_time()
        pixels, cast = work()
        clock.append((time.perf_counter() - begun) / len(BOXES))
        processor.append((time.process_time() - used) / len(BOXES))
        rays.append(cast / len(BOXES))
    seconds = {"clock": min(clock), "processor": min(processor), "casting": min(rays)}
    return {**seconds, "pixels": pixels, "peak_mb": _peak()}


def _peak() -> int:
    import resource  # not on Windows

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, help="root of the model files")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", choices=("ours", "reference"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.side:
        work = ours if given.side == "ours" else reference
        print(json.dumps(work(given.models, given.device, given.repeats)))
        return
    found = {}
    for side in ("reference", "ours"):
        command = [sys.executable, __file__, *sys.argv[1:], "--side", side]
        found[side] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])
        one = found[side]
        print(
            f"{side:10} load {one['load']:5.1f} s   a hand {one['clock']:5.2f} s (processor {one['processor']:5.2f}, "
            f"of it casting rays {one['casting']:5.2f})   peak {one['peak_mb']} MB   drawn {one['pixels']} pixels"
        )
    for what in ("clock", "processor", "load"):
        print(f"{what}: {found['reference'][what] / found['ours'][what]:.1f} times faster")
    print(f"rays cast by {found['reference']['rays']}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
