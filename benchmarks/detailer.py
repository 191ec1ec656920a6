# SPDX-License-Identifier: GPL-3.0-or-later
"""Time and memory of detailing beside plain inpainting by diffusers: the same random networks, size, steps and prompt.

    python3 -m installer run benchmarks/detailer.py [--size 512] [--steps 4] [--width 96] [--device cpu] [--kind KIND]

The networks have the layers of Stable Diffusion 1.5's, `width` instead of 320 channels wide (320 is the real size: 4 GB
in float32); SDXL's have fewer layers (`width` a multiple of 160); those of the other kinds (flux2-klein, z-image,
qwen-image-edit) are those of the tests, a few channels wide, or with `--wide` some hundred. The ways take turns in one
process, which tells their seconds (of the processor, on the CPU); each runs once more in a process of its own, which
tells its highest memory above what it held when the networks were loaded, and the most that it held at all. The last
rows are the parts of detailing that need no network: filling, cutting and pasting.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from shared import peak_gigabytes, tiny_pipeline

#: What is measured, in the order in which the ways take turns.
WAYS = ("diffusers", "detailer", "detailer, tiled")
KINDS = ("sd15", "sdxl", "flux2-klein", "z-image", "qwen-image-edit")


def build(folder: Path, width: int, family: str = "sd15") -> None:
    """A Stable Diffusion inpainting pipeline with random weights as a diffusers folder; XL's with fewer layers."""
    import torch
    from maquette.inference.detailer.diffusion.heads import Kind
    from maquette.inference.detailer.diffusion.published import config_folder

    diffusers, transformers = _untyped("diffusers"), _untyped("transformers")
    torch.manual_seed(0)
    share, large = width / 320, family == "sdxl"
    with config_folder(Kind(family, 9, "epsilon")) as config:
        unet = dict(diffusers.UNet2DConditionModel.load_config(config / "unet"))
        unet["block_out_channels"] = [width * level for level in ((1, 2, 4) if large else (1, 2, 4, 4))]
        unet |= {"transformer_layers_per_block": [1, 1, 2]} if large else {}
        vae = dict(diffusers.AutoencoderKL.load_config(config / "vae"))
        vae["block_out_channels"] = [max(32, round(part * share / 32) * 32) for part in vae["block_out_channels"]]
        parts: dict[str, Any] = {}
        for end in ("", "_2") if large else ("",):
            text = transformers.CLIPTextConfig.from_pretrained(config / f"text_encoder{end}")
            text.num_hidden_layers = min(text.num_hidden_layers, 4 if large else 12)
            kind = transformers.CLIPTextModelWithProjection if end else transformers.CLIPTextModel
            parts |= {f"text_encoder{end}": kind(text)}
            parts |= {f"tokenizer{end}": transformers.CLIPTokenizer.from_pretrained(config / f"tokenizer{end}")}
        plain = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        pipeline = diffusers.StableDiffusionXLInpaintPipeline if large else diffusers.StableDiffusionInpaintPipeline
        pipeline(
            vae=diffusers.AutoencoderKL.from_config(vae),
            unet=diffusers.UNet2DConditionModel.from_config(unet),
            scheduler=diffusers.EulerDiscreteScheduler.from_pretrained(config / "scheduler"),
            **parts,
            **({"add_watermarker": False} if large else plain),
        ).save_pretrained(folder)


def _untyped(name: str) -> Any:
    """A package whose annotations do not hold for what it makes."""
    return importlib.import_module(name)


class Peak:
    """The most memory that a block of work takes above what there was before, in bytes: of a GPU, torch's own count;
    else of the process, looked at every 5 ms."""

    def __init__(self, device: str) -> None:
        self._device = device

    def __enter__(self) -> Peak:
        if self._device != "cpu":
            import torch

            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        self._before = self._most = self._held()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.bytes = max(self._most, self._held(highest=True)) - self._before

    def _look(self) -> None:
        while not self._done.wait(0.005):
            self._most = max(self._most, self._held())

    def _held(self, highest: bool = False) -> int:
        if self._device == "cpu":
            return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
        import torch

        return torch.cuda.max_memory_allocated() if highest else torch.cuda.memory_allocated()


def work_of(way: str, folder: Path, size: int, steps: int, device: str) -> Callable[[], object]:
    """One way, after a run that warms up."""
    photo = np.random.default_rng(0).random((size, size, 3)).astype(np.float32)
    mask = np.zeros((size, size), np.float32)
    mask[size // 4 : -size // 4, size // 4 : -size // 4] = 1
    work = (plain if way == "diffusers" else detailed)(folder, photo, mask, steps, device, way)
    work()
    return work


def seconds_of(folder: Path, size: int, steps: int, device: str, runs: int) -> dict[str, float]:
    """Way -> the median of its seconds; the ways take turns in one process."""
    # On the CPU, seconds of the processor: those of the clock tell more of the machine's other work.
    clock = time.process_time if device == "cpu" else time.perf_counter
    works = {way: work_of(way, folder, size, steps, device) for way in WAYS}
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(runs):
        for way, work in works.items():
            start = clock()
            work()
            found[way].append(clock() - start)
    return {way: statistics.median(each) for way, each in found.items()}


def memory_of(way: str, folder: Path, size: int, steps: int, device: str) -> dict[str, float]:
    """Bytes at the highest above what was held when the networks were loaded, and at the highest in all."""
    work = work_of(way, folder, size, steps, device)
    with Peak(device) as peak:
        work()
    return {"bytes": peak.bytes, "peak": peak_gigabytes() * 2**30}


def plain(folder: Path, photo: np.ndarray, mask: np.ndarray, steps: int, device: str, way: str) -> Callable[[], object]:
    """The pipeline as diffusers documents it, all of the picture at once."""
    import torch
    from maquette.inference.detailer.diffusion.families import family_of
    from maquette.inference.detailer.diffusion.heads import class_name

    family = family_of(class_name(folder))
    plainly = "StableDiffusionXLInpaintPipeline" if "XL" in class_name(folder) else "StableDiffusionInpaintPipeline"
    kind = plainly if family is None else family.pipeline
    pipeline = getattr(_untyped("diffusers"), kind).from_pretrained(folder, local_files_only=True).to(device)
    pipeline.set_progress_bar_config(disable=True)
    if family is not None:
        return _plain_flow(pipeline, family, photo, mask, steps)
    given = {"image": torch.from_numpy(photo).permute(2, 0, 1)[None], "mask_image": torch.from_numpy(mask)[None, None]}
    side = len(photo)
    return lambda: pipeline(
        "a wall", height=side, width=side, num_inference_steps=steps, strength=1.0, guidance_scale=8.0,
        generator=torch.Generator().manual_seed(0), output_type="np", **given,
    )  # fmt: skip


def _plain_flow(pipeline: Any, family: Any, photo: np.ndarray, mask: np.ndarray, steps: int) -> Callable[[], object]:
    import torch
    from PIL import Image

    picture, hole = (Image.fromarray((one * 255 + 0.5).astype(np.uint8)) for one in (photo, mask))
    given = {"image": picture, "mask_image": hole, "strength": 1.0, "num_inference_steps": steps, "output_type": "np"}
    given[family.guidance] = 1.0 if pipeline.config.get("is_distilled") else 8.0
    given |= {"negative_prompt": " "} if family.negative else {}
    return lambda: pipeline(prompt="a wall", generator=torch.Generator().manual_seed(0), **given)


def detailed(
    folder: Path, photo: np.ndarray, mask: np.ndarray, steps: int, device: str, way: str
) -> Callable[[], object]:
    """The same picture as one segment whose crop is all of it."""
    from maquette.inference import detail_mask

    given: dict[str, Any] = {
        "guide_size": len(photo) / 2,
        "crop_factor": 2.0,
        "max_size": len(photo),
        "tiling": "tiled" in way,
    }
    return lambda: detail_mask(
        photo, mask, folder, prompt="a wall", steps=steps, denoise=1.0, device=device, **given
    )  # fmt: skip


def without_network(size: int, runs: int) -> dict[str, float]:
    """Seconds of filling a hole, and of everything around an engine that does nothing."""
    from maquette.demo.samples import sample_photo
    from maquette.inference import detail_mask, load_photo

    class Nothing:
        def repaint(self, crop: np.ndarray, noise_mask: object, *, seed: int, settings: object) -> np.ndarray:
            return crop

    photo = load_photo(sample_photo("gravel")).pixels[:size, :size]
    rows, columns = np.mgrid[: len(photo), : len(photo)]
    middle = len(photo) / 2
    hole = np.hypot(rows - middle, columns - middle) < len(photo) / 8
    found = {}
    for name, engine in (("filling", "builtin"), ("cutting and pasting", Nothing())):
        seconds = []
        for _ in range(runs + 1):
            start = time.process_time()
            detail_mask(photo, hole, engine, denoise=1.0, device="cpu")
            seconds.append(time.process_time() - start)
        found[name] = statistics.median(seconds[1:])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--width", type=int, default=96, help="channels of the UNet's first level, a multiple of 32")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--kind", choices=KINDS, default="sd15")
    parser.add_argument("--wide", action="store_true", help="networks of some hundred channels")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    given = options.folder, options.size, options.steps, options.device
    if options.way:
        answer = memory_of(options.way, *given) if options.way in WAYS else seconds_of(*given, options.runs)
        print(json.dumps(answer))
        return

    def child(way: str) -> dict[str, float]:
        words = [sys.executable, __file__, *sys.argv[1:], "--way", way, "--folder", name]
        # What is freed goes back at once: kept for later, it differed by a tenth from run to run. It costs seconds.
        freed = {} if way == "seconds" else {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
        done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ, **freed})
        lines = done.stdout.splitlines()
        return json.loads(lines[-1])

    with tempfile.TemporaryDirectory() as name:
        if options.kind.startswith("sd"):
            build(Path(name), options.width, options.kind)
        else:
            name = tiny_pipeline(options.kind, name, wide=options.wide)
        seconds = child("seconds")
        table = {way: {"seconds": seconds[way], **child(way)} for way in WAYS}
    first = table[WAYS[0]]
    print(f"{'':22}{'seconds':>9}{'ratio':>7}{'MiB':>8}{'ratio':>7}{'in all':>8}{'ratio':>7}")
    for way, row in table.items():
        print(
            f"{way:22}{row['seconds']:9.2f}{row['seconds'] / first['seconds']:7.2f}"
            f"{row['bytes'] / 2**20:8.0f}{row['bytes'] / first['bytes']:7.2f}"
            f"{row['peak'] / 2**20:8.0f}{row['peak'] / first['peak']:7.2f}"
        )
    rest = without_network(options.size, options.runs)
    for name, seconds in rest.items():
        print(f"{name:22}{seconds:9.2f}")
    if options.json:
        options.json.write_text(json.dumps({"options": vars(options), "ways": table, "rest": rest}, default=str))


if __name__ == "__main__":
    main()
