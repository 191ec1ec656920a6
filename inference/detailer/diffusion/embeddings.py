# SPDX-License-Identifier: GPL-3.0-or-later
"""Textual inversions: words that a file teaches the text encoders, each as one or several vectors of their own.

The files of all programs are known: one tensor under any name (diffusers), under "emb_params", within "string_to_param"
(the original), or one an encoder, "clip_l" and "clip_g" (SDXL). Pickles are read without running anything in them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from ...errors import BadModelFile, MissingModel
from ...weights.checkpoint import read_tensors

#: Names of tensors in files for two encoders -> the encoder.
_OF_ENCODER = {"clip_l": "text_encoder", "clip_g": "text_encoder_2"}


@torch.no_grad()
def add_embedding(pipeline: Any, file: Path, learned: dict[str, dict[str, list[int]]]) -> None:
    """Append a file's vectors to the encoders' tables; its name without ending is the word.

    learned : encoder -> word -> its tokens, which is added to. Raises `MissingModel` and `BadModelFile`.
    """
    if not file.is_file():
        raise MissingModel(f"There is no embedding at {file}.", "Choose a textual inversion.")
    vectors = {
        name: tensor for name, tensor in read_tensors(file, ("string_to_param",)).items() if tensor.ndim in (1, 2)
    }
    encoders = {name: getattr(pipeline, name, None) for name in ("text_encoder", "text_encoder_2")}
    encoders = {name: encoder for name, encoder in encoders.items() if encoder is not None}
    chosen: dict[str, Tensor] = {}
    for name, tensor in vectors.items():
        width = tensor.shape[-1]
        fitting = [one for one, encoder in encoders.items() if encoder.config.hidden_size == width]
        chosen.update(dict.fromkeys([one for one in fitting if _OF_ENCODER.get(name, one) == one], tensor))
    if len(chosen) < len(encoders) or len(vectors) not in (1, len(encoders)):
        raise BadModelFile(
            f"{file} is not a textual inversion for this model: it holds {len(vectors)} of them, as wide as "
            f"{', '.join(str(tensor.shape[-1]) for tensor in vectors.values()) or 'nothing'}.",
            "Choose one that was made for this model.",
        )
    for name, tensor in chosen.items():
        if not torch.isfinite(tensor).all():
            raise BadModelFile(f"{file} holds values that are not finite.", "Download it again.")
        whole = getattr(encoders[name], "text_model", encoders[name])
        table = encoders[name].get_input_embeddings()
        rows = tensor.detach().reshape(-1, tensor.shape[-1]).to(table.weight)
        first = len(table.weight)
        table.weight = Parameter(torch.cat([table.weight, rows]), requires_grad=False)
        # Older files say that a prompt ends at its highest number, which is a learned word's now.
        tokenizer = getattr(pipeline, name.replace("text_encoder", "tokenizer"))
        whole.eos_token_id = tokenizer.eos_token_id
        learned.setdefault(name, {})[file.stem.lower()] = list(range(first, first + len(rows)))
