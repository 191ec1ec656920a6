# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes `clip.mp4`: the built-in body, dressed, walks through a yard. Rendered with Cycles, 2.5 seconds at 24 fps.

    python demo/make_clip.py [--output demo/clip.mp4] [--frames FOLDER]

Needs the environment of bpy 4.5 and the helpers of `benchmarks/truth`. Frames that lie in the folder are kept, so an
interrupted run goes on where it stopped. The walk has planted feet, so what is recovered from the clip can be judged.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "benchmarks"))

from people_truth import figure_of  # noqa: E402  # pyright: ignore[reportMissingImports]
from truth.dress import Tailor  # noqa: E402  # pyright: ignore[reportMissingImports]
from truth.places import build  # noqa: E402  # pyright: ignore[reportMissingImports]
from truth.record import stand_in_walk  # noqa: E402  # pyright: ignore[reportMissingImports]
from truth.stage import Stage  # noqa: E402  # pyright: ignore[reportMissingImports]
from truth.walk import Gait, walk  # noqa: E402  # pyright: ignore[reportMissingImports]

WIDTH, HEIGHT, FPS, FRAMES, SAMPLES = 512, 416, 24, 60, 12
OUTFIT = {
    "shirt": (0.50, 0.09, 0.06),
    "sleeve": 0.42,
    "trousers": (0.035, 0.055, 0.11),
    "shoes": (0.55, 0.53, 0.50),
    "hair": (0.05, 0.025, 0.012),
}


def make(output: Path, frames: Path) -> None:
    """Render the frames and write the movie."""
    stage = Stage(WIDTH, HEIGHT, SAMPLES, seed=3)
    build(stage, "yard", (34.0, 215.0))
    stage.camera((-0.3, -6.2, 1.3), (-0.05, 0.0, 0.88), 780.0)
    figure, _ = figure_of(1.76, {"gender": 0.1, "muscle": 0.58, "weight": 0.48})
    # Towards the camera and to the right: seen three-quarter, in the picture from the first frame to the last.
    motion = walk(figure, Gait(speed=1.15, cadence=0.93), FRAMES, FPS, start=0.05)
    tailor = Tailor(figure, OUTFIT)
    items = []
    for frame in range(FRAMES):
        person = stand_in_walk(figure, motion, frame, (-1.1, 1.0), 44.0)
        pieces = tailor.dressed(person.vertices)
        items = items or stage.person(pieces)
        stage.move_person(items, pieces)
        path = frames / f"{frame:04d}.png"
        if not path.exists():
            stage.render(path)
        print(f"{frame + 1}/{FRAMES}", flush=True)
    stage.encode(sorted(frames.glob("*.png")), output, FPS, gamma=0.68)


def main() -> int:
    parser = argparse.ArgumentParser(description="Render the walking clip of the demo.")
    parser.add_argument("--output", type=Path, default=HERE / "clip.mp4")
    parser.add_argument("--frames", type=Path, help="folder for the frames; a temporary one if left out")
    options = parser.parse_args()
    if options.frames is not None:
        options.frames.mkdir(parents=True, exist_ok=True)
        make(options.output, options.frames)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        make(options.output, Path(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main())
