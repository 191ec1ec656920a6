# SPDX-License-Identifier: GPL-3.0-or-later
"""What several benchmarks need."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

_MADE_UP = Path(__file__).resolve().parents[1] / "tests" / "made_up.py"


def make_weights(size: str, folder: Path) -> None:
    """Metric3D's made-up checkpoint of a size, where the folder has none."""
    subprocess.run([sys.executable, str(_MADE_UP), str(folder), f"metric3d/metric_depth_vit_{size}"], check=True)


def peak_gigabytes() -> float:
    """Most memory that this process has held, mapped files included."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def tiny_pipeline(kind: str, folder: str, *, wide: bool = False) -> str:
    """The folder of a made-up painting model with a pipeline of its own, a few channels wide, or some hundred."""
    script = _MADE_UP.parent / "inference" / "synth" / "tiny_flow_pipelines.py"
    subprocess.run([sys.executable, str(script), kind, folder, *["wide"] * wide], check=True)
    return f"{folder}/{kind}"
