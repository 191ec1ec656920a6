# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a movie takes to read, beside OpenCV, which turns no frame upright and knows no BT.709.

    python3 -m installer run benchmarks/movies.py [FILE ...]

Without a file, clips of moving noise are made: 1080p H.264 of 8 and 10 bits. Frames are read one by one by both, in
turn, in one run; the figure is the ratio of the two.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from maquette.inference.photo.movie import Movie

REPEATS = 3


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(name) for name in sys.argv[1:]] or [
            make(Path(folder, "h264.mp4"), "libx264", "yuv420p"),
            make(Path(folder, "h265-10bit.mp4"), "libx265", "yuv420p10le"),
        ]
        print(
            f"{'file':<20} {'frames':>6} {'open':>7} {'ours':>8} {'OpenCV':>8} {'ratio':>6}   (milliseconds; a frame)"
        )
        for file in files:
            opening, movie = timed(lambda file=file: Movie(file))
            ours = min(timed(lambda movie=movie: sum(1 for _ in movie.frames()))[0] for _ in range(REPEATS))
            theirs = min(timed(lambda file=file: with_opencv(file))[0] for _ in range(REPEATS))
            a_frame = 1000 / movie.length
            print(
                f"{file.name:<20} {movie.length:>6} {1000 * opening:>7.0f} {ours * a_frame:>8.2f} "
                f"{theirs * a_frame:>8.2f} {ours / theirs:>6.2f}"
            )


def make(path: Path, codec: str, pix_fmt: str) -> Path:
    """60 frames of 1920 x 1080 in which a soft noise moves."""
    noise = np.random.default_rng(0).integers(0, 255, (1080, 1920, 3), np.uint8)
    noise = np.asarray(cv2.GaussianBlur(noise, (0, 0), 5), np.uint8)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, pix_fmt
        for index in range(60):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.roll(noise, 4 * index, 1)), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def with_opencv(file: Path) -> int:
    capture, count = cv2.VideoCapture(str(file)), 0
    while capture.read()[0]:
        count += 1
    return count


def timed(work: Callable):
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


if __name__ == "__main__":
    main()
