# SPDX-License-Identifier: GPL-3.0-or-later
"""Prompts of any length with weights, as text encoders see them.

`(word)` has the weight 1.1, multiplied by 1.1 for each further pair of parentheses, `(word:1.3)` has the weight 1.3;
`\\(` and `\\)` are parentheses themselves. A text encoder sees 75 tokens at once: longer prompts are cut into pieces,
not inside a short word, and the pieces' embeddings are joined. A weight moves a token's embedding away from (or
towards) that of the empty prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...errors import BadInput

_STEP = 1.1
#: A word of more tokens than this may be split between two pieces.
_LONG_WORD = 8
_SIGNS = re.compile(r"\\[()]|[()]|[^()\\]+|\\")
_WEIGHT = re.compile(r":\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*$")


@dataclass
class _Part:
    """fixed : its weight was given as a number."""

    text: str
    weight: float = 1.0
    fixed: bool = False


@dataclass(frozen=True)
class Piece:
    """What an encoder sees at once, start and end included. weights : of each token."""

    tokens: list[int]
    weights: list[float]


@dataclass(frozen=True)
class Encoded:
    """embeddings : (1, 77 * pieces, C).  pooled : (1, C) of the first piece, None for an encoder without."""

    embeddings: Tensor
    pooled: Tensor | None


def weighted(prompt: str) -> list[tuple[str, float]]:
    """Stretches of a prompt, each with its weight. An unmatched parenthesis is an ordinary character."""
    parts: list[_Part] = []
    opened: list[int] = []
    text = ""
    for sign in _SIGNS.findall(prompt):
        if sign == ")" and opened:
            # A number just before the parenthesis is its weight.
            number = _WEIGHT.search(text)
            if number:
                parts[-1].text = text[: number.start()]
            parts[opened[-1]].text = ""
            for part in parts[opened.pop() :]:
                if not part.fixed:
                    part.weight *= float(number[1]) if number else _STEP
                    part.fixed = number is not None
            text = ""
            continue
        if sign == "(":
            opened.append(len(parts))
        text = "" if sign in ("(", ")") else sign.removeprefix("\\") if len(sign) == 2 else sign
        parts.append(_Part(text or sign))
    joined: list[tuple[str, float]] = []
    for part in parts:
        if joined and joined[-1][1] == part.weight:
            joined.append((joined.pop()[0] + part.text, part.weight))
        elif part.text:
            joined.append((part.text, part.weight))
    return joined or [("", 1.0)]


def pieces(
    prompt: str, tokenizer: Any, positions: int = 77, learned: Mapping[str, list[int]] | None = None
) -> list[Piece]:
    """The prompt as an encoder with so many positions sees it, at least one piece. learned : word -> its tokens."""
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    padding = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else end
    room = positions - 2
    filled: list[list[tuple[int, float]]] = [[]]
    for text, weight in weighted(prompt):
        for word in _words(text, learned or {}):
            own = (learned or {}).get(word.lower())
            tokens = own or tokenizer(word, add_special_tokens=False, truncation=False, verbose=False).input_ids
            if len(filled[-1]) + len(tokens) > room and len(tokens) <= (room if own else _LONG_WORD):
                filled.append([])
            for token in tokens:
                if len(filled[-1]) == room:
                    filled.append([])
                filled[-1].append((token, weight))
    result = []
    for part in filled:
        rest = room - len(part)
        # The end token follows the words at once; the rest is padding.
        tokens = [start, *(token for token, _ in part), end, *[padding] * rest]
        result.append(Piece(tokens, [1.0, *(weight for _, weight in part), *[1.0] * (rest + 1)]))
    return result


def _words(text: str, learned: Mapping[str, list[int]]) -> list[str]:
    """Words of a prompt; learned ones stand for themselves also before a comma, and behind "embedding:"."""
    if not learned:
        return text.split()
    names = "|".join(re.escape(name) for name in sorted(learned, key=len, reverse=True))
    apart = re.sub(rf"(?<![\w-])(?:embedding:)?({names})(?![\w-])", r" \1 ", text, flags=re.IGNORECASE)
    return apart.split()


def encode(
    prompt: str,
    tokenizer: Any,
    encoder: Any,
    *,
    penultimate: bool,
    skip: int = 0,
    learned: Mapping[str, list[int]] | None = None,
) -> Encoded:
    """penultimate : use the last but one layer's output (SDXL), otherwise the last one's, normalised (SD 1.5).
    skip : so many layers before it. Raises `BadInput` where the encoder has no more."""
    positions = encoder.config.max_position_embeddings
    parts = pieces(prompt, tokenizer, positions, learned)
    if skip >= encoder.config.num_hidden_layers:
        raise BadInput(
            f"Clip Skip leaves out {skip} layers of a text encoder of {encoder.config.num_hidden_layers}.",
            "Lower it: 1 is what other programs call 2.",
        )
    weights = torch.tensor([part.weights for part in parts])
    rows = [part.tokens for part in parts]
    plain = bool((weights == 1).all())
    if not plain:
        rows.append(pieces("", tokenizer, positions)[0].tokens)
    answer = encoder(torch.tensor(rows, device=encoder.device), output_hidden_states=penultimate or skip > 0)
    if penultimate:
        hidden = answer.hidden_states[-2 - skip]
    elif skip:
        whole = getattr(encoder, "text_model", encoder)
        hidden = whole.final_layer_norm(answer.hidden_states[-1 - skip])
    else:
        hidden = answer.last_hidden_state
    if not plain:
        empty = hidden[-1:]
        weights = weights.to(hidden.device, hidden.dtype)[..., None]
        hidden = empty + (hidden[:-1] - empty) * weights
    pooled = getattr(answer, "text_embeds", None)
    return Encoded(hidden.reshape(1, -1, hidden.shape[-1]), None if pooled is None else pooled[:1])
