# SPDX-License-Identifier: GPL-3.0-or-later
"""The shapes of the published networks and CLIP's vocabulary, which a single checkpoint file does not hold.

See LICENCES.md for where the files beside this one come from.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from ..heads import Kind

HERE = Path(__file__).parent
#: Positions of CLIP's text encoders, and its start and end tokens.
POSITIONS, START, END = 77, "<|startoftext|>", "<|endoftext|>"
#: What pads a prompt: the end token for the first text encoder, token 0 for the second.
_PADDING = {"tokenizer": END, "tokenizer_2": "!"}


@contextmanager
def config_folder(kind: Kind) -> Iterator[Path]:
    """A diffusers folder without weights, with the shapes of a single file's networks; gone after the context."""
    content = json.loads((HERE / f"{kind.family}.json").read_text("utf-8"))
    content["unet"]["in_channels"] = kind.channels
    content["scheduler"]["prediction_type"] = kind.prediction
    with tempfile.TemporaryDirectory(prefix="maquette-") as name:
        folder = Path(name)
        (folder / "model_index.json").write_text(json.dumps(content.pop("model_index")), "utf-8")
        for part, settings in content.items():
            (folder / part).mkdir()
            file = "scheduler_config.json" if part == "scheduler" else "config.json"
            (folder / part / file).write_text(json.dumps(settings), "utf-8")
        for encoder in [part for part in content if part.startswith("text_encoder")]:
            write_tokenizer(folder, encoder.replace("text_encoder", "tokenizer"))
        yield folder


def write_tokenizer(folder: Path, name: str) -> None:
    """Write CLIP's tokenizer, as transformers reads it, into `folder`/`name` ("tokenizer" or "tokenizer_2")."""
    target = folder / name
    target.mkdir(parents=True)
    (target / "vocab.json").write_text(json.dumps(vocabulary()), "utf-8")
    (target / "merges.txt").write_text((HERE / "clip_merges.txt").read_text("utf-8"), "utf-8", newline="\n")
    marks = {"bos_token": START, "eos_token": END, "unk_token": END, "pad_token": _PADDING[name]}
    settings = {"tokenizer_class": "CLIPTokenizer", "model_max_length": POSITIONS, "do_lower_case": True, **marks}
    (target / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    (target / "special_tokens_map.json").write_text(json.dumps(marks), "utf-8")


@lru_cache(maxsize=1)
def vocabulary() -> dict[str, int]:
    """Word part -> number, 49,408 of them (Radford et al. 2021, section 2.4)."""
    # Each byte has a printable sign: itself where it is one, else the next free code point from 256 on.
    signs = [*range(33, 127), *range(161, 173), *range(174, 256)]
    signs += range(256, 256 + 256 - len(signs))
    letters = [chr(sign) for sign in signs]
    merges = (HERE / "clip_merges.txt").read_text("utf-8").splitlines()[1:]
    words = [*letters, *(letter + "</w>" for letter in letters), *(merge.replace(" ", "") for merge in merges)]
    return {word: number for number, word in enumerate([*words, START, END])}
