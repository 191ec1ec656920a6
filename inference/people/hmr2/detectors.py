# SPDX-License-Identifier: GPL-3.0-or-later
"""Which detector of the user's finds the people: YOLO files by ultralytics, RT-DETR and its kin by transformers."""

from __future__ import annotations

from pathlib import Path

from ....installer.models import store
from ...errors import MissingModel
from ...runtime.run import Run
from . import yolo
from .find import Finder, Thresholds

#: The folders of the detectors, and what their files are called there.
FOLDERS = {"yolo": ("*.pt",), "detectors": ("*.safetensors", "*/*.safetensors")}
#: Those that the reference offers, its default first.
KNOWN = ("person_yolov8m-seg.pt", "person_yolov8s-seg.pt", "yolov8x.pt", "yolov9c.pt", "yolov9e.pt")
#: The name of the networks that ship, in the place of a file's.
BUILTIN = "builtin"


def detector_file(models_dir: Path, chosen: str | None = None) -> Path | None:
    """The detector to use: the first of `KNOWN` that is there, else any other file of a kind, else None.

    chosen : "builtin" for None, or the name or the path of a file. Raises `MissingModel` where there is none.
    """
    if chosen == BUILTIN:
        return None
    if chosen is not None:
        path = Path(chosen)
        if path.name == chosen:
            names = (f"yolo/{chosen}", f"detectors/{chosen}", f"detectors/{chosen}/model.safetensors")
            places = [store.find(name, models_dir) for name in names]
            path = next((place for place in places if place.is_file()), places[0])
        if not path.is_file():
            raise MissingModel(
                f"There is no detector {path}.", f"Put it there, or choose {BUILTIN!r}.", "maquette.open_preferences"
            )
        return path
    known = (store.find(f"yolo/{name}", models_dir) for name in KNOWN)
    roots = store.search_path() if models_dir == store.models_root() else (models_dir,)
    kinds = [(folder, pattern) for folder, patterns in FOLDERS.items() for pattern in patterns]
    others = (path for folder, pattern in kinds for root in roots for path in sorted((root / folder).glob(pattern)))
    return next((path for path in (*known, *others) if path.is_file()), None)


def file_finder(path: Path, run: Run, thresholds: Thresholds) -> Finder:
    """A finder with the detector of a file. Raises `BadModelFile` and `MissingPackages`."""
    if path.suffix == ".safetensors":
        from .described import described_finder, is_described
        from .detr import detr_finder

        return (described_finder if is_described(path) else detr_finder)(path, run, thresholds)
    return yolo.yolo_finder(path, run, thresholds)
