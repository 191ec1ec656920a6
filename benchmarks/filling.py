# SPDX-License-Identifier: GPL-3.0-or-later
"""Ten holes filled without diffusion, as a picture: with the holes, filled, and as they were.

    python3 -m installer run benchmarks/filling.py --output filling.jpg [--model builtin|lama] [--beside builtin]

`--beside` adds another model's row, `--before` that of an earlier picture. Printed is how far each filling is from what
was there, in 8-bit levels of the mean (its light), and as the share of its contrast: 1 is right, less is too smooth.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

#: Name -> (photo of scikit-image, left, top, side of the square, and the hole's ellipse or box within it, in shares).
HOLES = {
    "grass": ("grass.png", 100, 100, 192, "ellipse", (0.3, 0.3, 0.7, 0.7)),
    "wall": ("brick.png", 120, 140, 256, "ellipse", (0.35, 0.3, 0.7, 0.65)),
    "eye": ("astronaut.png", 120, 20, 192, "ellipse", (0.62, 0.3, 0.85, 0.6)),
    "face's edge": ("astronaut.png", 120, 20, 192, "ellipse", (0.64, 0.56, 0.86, 0.8)),
    "cloth": ("astronaut.png", 300, 330, 160, "ellipse", (0.3, 0.3, 0.65, 0.65)),
    "text": ("page.png", 60, 40, 128, "box", (0.3, 0.35, 0.75, 0.6)),
    "sky": ("rocket.jpg", 20, 20, 192, "ellipse", (0.25, 0.3, 0.7, 0.75)),
    "rocket": ("rocket.jpg", 250, 120, 192, "box", (0.4, 0.4, 0.62, 0.6)),
    "cup": ("coffee.png", 160, 60, 256, "ellipse", (0.05, 0.4, 0.3, 0.62)),
    "fur": ("chelsea.png", 200, 120, 160, "ellipse", (0.3, 0.3, 0.7, 0.65)),
}
_SIDE = 160


def hole_of(name: str) -> tuple[np.ndarray, np.ndarray]:
    """The square cut (h, w, 3) uint8, and the mask (h, w) bool."""
    file, left, top, side, kind, (x0, y0, x1, y1) = HOLES[name]
    spec = find_spec("skimage")
    assert spec is not None and spec.submodule_search_locations
    with Image.open(Path(spec.submodule_search_locations[0]) / "data" / file) as picture:
        whole = np.asarray(picture.convert("RGB"))
    cut = whole[top : top + side, left : left + side]
    mask = Image.new("L", (cut.shape[1], cut.shape[0]))
    box = [x0 * cut.shape[1], y0 * cut.shape[0], x1 * cut.shape[1], y1 * cut.shape[0]]
    getattr(ImageDraw.Draw(mask), "ellipse" if kind == "ellipse" else "rectangle")(box, fill=255)
    return cut, np.asarray(mask) > 0


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", default="builtin")
    parser.add_argument("--beside")
    parser.add_argument("--before", type=Path)
    options = parser.parse_args()
    from maquette.inference import detail_mask

    models = [options.model] + ([options.beside] if options.beside else [])
    width, earlier = _SIDE * len(HOLES), int(options.before is not None)
    sheet = Image.new("RGB", (width, _SIDE * (2 + len(models) + earlier)), "white")
    if earlier:
        with Image.open(options.before) as before:
            sheet.paste(before.crop((0, _SIDE, width, 2 * _SIDE)), (0, _SIDE))
    for column, name in enumerate(HOLES):
        photo, mask = hole_of(name)
        rows = [np.where(mask[..., None], (255, 0, 255), photo).astype(np.uint8)]
        for model in models:
            found = detail_mask(photo, mask, model, denoise=1.0, feather=2, crop_factor=3.0, device="cpu").image[0]
            rows.append((found * 255 + 0.5).astype(np.uint8))
            filled, was = rows[-1][mask].astype(float), photo[mask].astype(float)
            light, contrast = np.abs(filled.mean(0) - was.mean(0)).max(), filled.std() / max(was.std(), 1e-6)
            print(f"{name:12} {model:8} light {light:5.1f} levels, contrast {contrast:4.2f}")
        for row, pixels in enumerate([*rows, photo]):
            row += earlier if row else 0
            sheet.paste(
                Image.fromarray(pixels).resize((_SIDE, _SIDE), Image.Resampling.LANCZOS), (column * _SIDE, row * _SIDE)
            )
    sheet.save(options.output, quality=80)


if __name__ == "__main__":
    main()
