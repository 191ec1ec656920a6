# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that more than one task uses."""

from __future__ import annotations

from typing import Any

#: Mean and standard deviation of ImageNet's colours, RGB 0..1, by which most networks' pictures are normalised.
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def transformer(name: str, **sizes: Any) -> Any:
    """timm's vision transformer of that name, without weights and without a head.

    sizes : in place of the model's own.
    Its attention is torch's own (scaled_dot_product_attention), whatever timm's environment variable says.
    """
    import timm

    made: Any = timm.create_model(name, pretrained=False, num_classes=0, **sizes)
    for block in made.blocks:
        block.attn.fused_attn = True
    return made
