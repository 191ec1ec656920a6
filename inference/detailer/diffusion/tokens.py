# SPDX-License-Identifier: GPL-3.0-or-later
"""Prompts of any length with weights, as text encoders see them.

`(word)` weighs 1.1, each further pair of parentheses 1.1 more, `(word:1.3)` what it says; `\\(` and `\\)` are the signs
themselves. A text encoder sees 75 word parts at once: longer prompts are cut into pieces, not inside a short word, and
the pieces' encodings are joined. A weight moves a word part's encoding away from (or towards) that of the empty prompt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

_STEP = 1.1
#: A word of more parts than this may be cut over two pieces.
_LONG_WORD = 8
_SIGNS = re.compile(r"\\[()]|[()]|[^()\\]+|\\")
_WEIGHT = re.compile(r":\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*$")


@dataclass(frozen=True)
class Piece:
    """What an encoder sees at once, start and end included. weights : of each of its tokens."""

    tokens: list[int]
    weights: list[float]


@dataclass(frozen=True)
class Encoded:
    """embeddings : (1, 77 * pieces, C).  pooled : (1, C) of the first piece, None for an encoder without."""

    embeddings: Tensor
    pooled: Tensor | None


def weighted(prompt: str) -> list[tuple[str, float]]:
    """Stretches of a prompt, each with its weight. Parentheses that have no counterpart are signs like any other."""
    signs = _SIGNS.findall(prompt)
    partner = _partners(signs)
    joined: list[tuple[str, float]] = []
    for text, weight in _stretches(signs, partner, 0, len(signs), 1.0):
        if joined and joined[-1][1] == weight:
            text = joined.pop()[0] + text
        joined.append((text, weight))
    return joined or [("", 1.0)]


def _partners(signs: list[str]) -> dict[int, int]:
    """Place of each opening parenthesis -> of the one that closes it."""
    partner, open_ones = {}, []
    for place, sign in enumerate(signs):
        if sign == "(":
            open_ones.append(place)
        elif sign == ")" and open_ones:
            partner[open_ones.pop()] = place
    return partner


def _stretches(
    signs: list[str], partner: dict[int, int], start: int, end: int, weight: float
) -> Iterator[tuple[str, float]]:
    place = start
    while place < end:
        close = partner.get(place)
        if close is None:
            yield signs[place].removeprefix("\\") if len(signs[place]) == 2 else signs[place], weight
            place += 1
            continue
        last = signs[close - 1] if close - 1 > place and close - 1 not in partner.values() else ""
        said = _WEIGHT.search(last)
        inner = list(signs[place + 1 : close])
        if said:
            inner[-1] = last[: said.start()]
        shifted = {a - place - 1: b - place - 1 for a, b in partner.items() if place < a < close}
        yield from _stretches(inner, shifted, 0, len(inner), float(said[1]) if said else weight * _STEP)
        place = close + 1


def pieces(prompt: str, tokenizer: Any, positions: int = 77) -> list[Piece]:
    """The prompt as an encoder of so many positions sees it, at least one piece."""
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end
    room = positions - 2
    filled: list[list[tuple[int, float]]] = [[]]
    for text, weight in weighted(prompt):
        for word in text.split():
            tokens = tokenizer(word, add_special_tokens=False, truncation=False, verbose=False).input_ids
            if len(filled[-1]) + len(tokens) > room and len(tokens) <= _LONG_WORD:
                filled.append([])
            for token in tokens:
                if len(filled[-1]) == room:
                    filled.append([])
                filled[-1].append((token, weight))
    result = []
    for part in filled:
        rest = room - len(part)
        # The end mark follows the words at once; what comes after it only fills up.
        tokens = [start, *(token for token, _ in part), end, *[padding] * rest]
        result.append(Piece(tokens, [1.0, *(weight for _, weight in part), *[1.0] * (rest + 1)]))
    return result


def encode(prompt: str, tokenizer: Any, encoder: Any, *, penultimate: bool) -> Encoded:
    """penultimate : take the last but one layer's output (SDXL), else the last one's, normalised (SD 1.5)."""
    positions = encoder.config.max_position_embeddings
    parts = pieces(prompt, tokenizer, positions)
    weights = torch.tensor([part.weights for part in parts])
    rows = [part.tokens for part in parts]
    plain = bool((weights == 1).all())
    if not plain:
        rows.append(pieces("", tokenizer, positions)[0].tokens)
    answer = encoder(torch.tensor(rows, device=encoder.device), output_hidden_states=penultimate)
    hidden = answer.hidden_states[-2] if penultimate else answer.last_hidden_state
    if not plain:
        empty = hidden[-1:]
        weights = weights.to(hidden.device, hidden.dtype)[..., None]
        hidden = empty + (hidden[:-1] - empty) * weights
    pooled = getattr(answer, "text_embeds", None)
    return Encoded(hidden.reshape(1, -1, hidden.shape[-1]), None if pooled is None else pooled[:1])
