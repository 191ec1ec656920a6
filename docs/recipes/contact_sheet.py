# SPDX-License-Identifier: GPL-3.0-or-later
"""A contact sheet of a folder: every photo with the skeletons of its people, and how many were found. Without Blender.

    python3 -m installer run docs/recipes/contact_sheet.py PHOTOS SHEET.jpg [COLUMNS]

Green frames show people, red ones none; a photo that cannot be read is a grey field with the reason on the terminal.
"""

import sys
from pathlib import Path

import numpy as np
from maquette import inference
from maquette.inference.people import skeleton_picture
from PIL import Image

FIELD = 320
EDGE = 6


def field(photo, people) -> np.ndarray:
    """A photo with its skeletons, in the middle of a square field (FIELD, FIELD, 3) uint8 with a coloured edge."""
    count = len(people.frames[0]) if people else 0
    sheet = np.empty((FIELD, FIELD, 3), np.uint8)
    sheet[:] = (60, 160, 60) if count else (180, 50, 50)
    inner = FIELD - 2 * EDGE
    drawn = skeleton_picture(people, 0, layout="coco_18", background=photo.pixels) if count else photo.pixels
    picture = Image.fromarray(drawn)
    picture.thumbnail((inner, inner))
    sheet[EDGE:-EDGE, EDGE:-EDGE] = 24
    top, left = (FIELD - picture.height) // 2, (FIELD - picture.width) // 2
    sheet[top : top + picture.height, left : left + picture.width] = picture
    return sheet


def main(folder: str, output: str, columns: str = "5") -> list[int]:
    counts, fields = [], []
    files = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
    for file in files:
        try:
            photo = inference.load_photo(file)
            people = inference.recover_people(photo)
        except inference.MaquetteError as error:
            print(f"{file.name}: {error}")
            counts.append(-1)
            fields.append(np.full((FIELD, FIELD, 3), 90, np.uint8))
            continue
        counts.append(len(people.frames[0]))
        fields.append(field(photo, people))
        print(f"{file.name}: {counts[-1]}")
    wide = min(int(columns), len(fields))
    blank = [np.full((FIELD, FIELD, 3), 24, np.uint8)] * (-len(fields) % wide)
    rows = [np.hstack((fields + blank)[start : start + wide]) for start in range(0, len(fields), wide)]
    Image.fromarray(np.vstack(rows)).save(output, quality=88)
    return counts


if __name__ == "__main__":
    main(*sys.argv[1:])
