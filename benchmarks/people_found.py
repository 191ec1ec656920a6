# SPDX-License-Identifier: GPL-3.0-or-later
"""How many of the random people are found, how many are invented, and how well the found ones are posed.

    python benchmarks/people_found.py [--seed 1] [--count 160] [--part 0 --parts 1] [--random .maquette/random]

The truth comes from `people_random.py`. A person is found where the joints J in the picture are, in the median, nearer
to the recovered ones than a fifth of the person's extent; each person is found once, and who is left over is invented.
Counted are people of more than 80 pixels of whom three quarters are in view ("whole"), those of whom less, but three
tenths, are ("part"), and the others ("rest"). PA: see `people_score.py`; the lens is guessed. With `--parts` several
processes share the pictures; each keeps its rows in `--file`, and `--sum FILE ...` adds them up.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from maquette import inference
from maquette.inference.shipped.body import load_body
from truth.measure import similarity_errors
from truth.record import BODY_JOINTS, camera_of, load

HERE = Path(__file__).resolve().parent
NEAR = 0.2


def score(path: Path) -> dict[str, Any]:
    """One picture: kinds of all people and of the found ones, how many are invented, PA and processor seconds."""
    truth = load(path)
    photo = inference.load_photo(path.with_suffix(".jpg"))
    begin = time.process_time()
    people = inference.recover_people(photo, device="cpu")
    seconds = time.process_time() - begin
    names = load_body().joint_names
    which = [names.index(name) for name in BODY_JOINTS]
    camera = camera_of(truth)
    mine = [people.cameras[0].project(one.joints[which].astype(np.float64)) for one in people.frames[0]]
    pairs = []
    for number, joints in enumerate(truth["joints"]):
        places = camera.project(joints[which].astype(np.float64))
        inside = ((places > 0) & (places < [camera.width, camera.height])).all(1)
        extent = np.ptp(places, axis=0).max()
        apart = [float(np.median(np.linalg.norm(one - places, axis=1)[inside])) / extent for one in mine]
        pairs += [(value, index, number) for index, value in enumerate(apart) if value < NEAR]
    found: dict[int, int] = {}
    for _, index, number in sorted(pairs):
        if number not in found and index not in found.values():
            found[number] = index
    kinds = [
        ("whole" if share > 0.75 else "part" if share > 0.3 else "rest") if tall > 80 else "rest"
        for share, tall in zip(truth["in_view"], truth["tall"], strict=True)
    ]
    pa = []
    for number, index in found.items():
        if kinds[number] == "whole":
            recovered, true = people.frames[0][index].joints[which], truth["joints"][number][which]
            pa.append(float(similarity_errors(recovered.astype(np.float64), true.astype(np.float64)).mean()))
    arrangement = str(truth["arrangement"])
    return {
        "name": path.stem,
        "all": [[kind, arrangement] for kind in kinds],
        "found": [[kinds[number], arrangement] for number in found],
        "invented": len(mine) - len(found),
        "told": len(people.notes),
        "pa": pa,
        "seconds": seconds,
    }


def table(rows: list[dict[str, Any]]) -> str:
    every = Counter(kind for row in rows for kind, _ in row["all"])
    found = Counter(kind for row in rows for kind, _ in row["found"])
    lines = [f"{len(rows)} pictures"]
    lines += [f"{kind}: {found[kind]} of {every[kind]} ({found[kind] / max(every[kind], 1):.1%})" for kind in every]
    for name in sorted({name for row in rows for _, name in row["all"]}):
        both = [sum(entry == ["whole", name] for row in rows for entry in row[key]) for key in ("found", "all")]
        lines.append(f"    {name}: {both[0]} of {both[1]}")
    total = sum(len(row["found"]) + row["invented"] for row in rows)
    pa = np.concatenate([row["pa"] for row in rows])
    lines += [
        f"invented: {sum(row['invented'] for row in rows)} of {total}",
        f"PA of the whole ones, mean (median): {1000 * pa.mean():.0f} ({1000 * np.median(pa):.0f}) mm",
        f"processor seconds a person: {sum(row['seconds'] for row in rows) / max(total, 1):.2f}",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="Count the random people that are found.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=160)
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--random", type=Path, default=HERE.parent / ".maquette" / "random")
    parser.add_argument("--file", type=Path)
    parser.add_argument("--sum", type=Path, nargs="*")
    options = parser.parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for file in options.sum or ():
        rows += json.loads(file.read_text("utf-8"))
    if options.sum is None:
        paths = sorted((options.random / str(options.seed)).glob("*.npz"))
        for path in paths[options.part : options.count : options.parts]:
            row = score(path)
            rows.append(row)
            print(f"{path.stem}: {len(row['found'])} of {len(row['all'])}, {row['invented']} invented", flush=True)
            if options.file is not None:
                options.file.write_text(json.dumps(rows), "utf-8")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
