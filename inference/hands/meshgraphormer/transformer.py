# SPDX-License-Identifier: GPL-3.0-or-later
"""Mesh Graphormer: transformer blocks over the tokens of joints, coarse vertices and picture cells, with graph
convolutions over the neighbouring vertices in the last block.

Lin et al., "Mesh Graphormer", ICCV 2021, section 3. The layers are BERT's, normalised after each step (Devlin et al.,
2019); the graph block is that of Kolotouros et al., "Convolutional Mesh Regression", CVPR 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from . import backbone

#: Tokens: joints, then coarse vertices, then cells of the picture.  VERTICES : of the whole mesh.
JOINTS, COARSE, VERTICES = 21, 195, 778
TOKENS = JOINTS + COARSE + backbone.CELLS
_HEADS, _LAYERS, _GRAPH_WIDTH, _CAMERA_WIDTH = 4, 4, 32, 150
#: Features of a token at each step: coming in, within the block, going out.
_WIDTHS = ((3 + backbone.VECTOR, 1024, 512), (512, 256, 128), (128, 64, 3))
_EPSILON = 1e-12


class MeshGraphormer(nn.Module):
    """Pictures of hands -> camera, joints and vertices. All metres, relative to the wrist of the mean hand."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = backbone.HRNet()
        self.cell = nn.Linear(backbone.CHANNELS, _WIDTHS[0][0])
        self.blocks = nn.ModuleList(
            _Block(*widths, graph=number == len(_WIDTHS) - 1) for number, widths in enumerate(_WIDTHS)
        )
        self.upsampling = nn.Linear(COARSE, VERTICES)
        self.camera_token = nn.Linear(3, 1)
        self.camera_hidden = nn.Linear(JOINTS + COARSE, _CAMERA_WIDTH)
        self.camera = nn.Linear(_CAMERA_WIDTH, 3)

    def forward(self, pictures: Tensor, template: Tensor, adjacency: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Camera (B, 3): scale and shift; tokens (B, 216, 3): joints and coarse vertices; vertices (B, 778, 3).

        pictures : (B, 3, 224, 224) of right hands, normalised.  template : (216, 3) joints and coarse vertices of the
        mean hand.  adjacency : (195, 195), rows sum to 1.
        """
        vector, cells = self.backbone(pictures)
        count = len(pictures)
        points = torch.cat([template.expand(count, -1, -1), vector[:, None].expand(-1, len(template), -1)], -1)
        tokens = torch.cat([points, self.cell(cells)], 1)
        for block in self.blocks:
            tokens = block(tokens, adjacency)
        tokens = tokens[:, : JOINTS + COARSE]
        vertices = self.upsampling(tokens[:, JOINTS:].transpose(1, 2)).transpose(1, 2)
        camera = self.camera(self.camera_hidden(self.camera_token(tokens)[..., 0]))
        return camera, tokens, vertices


class _Block(nn.Module):
    """Transformer layers at one width; what comes out is added to what came in, brought to the same width."""

    def __init__(self, width_in: int, width: int, width_out: int, *, graph: bool) -> None:
        super().__init__()
        self.embedding = nn.Linear(width_in, width)
        self.positions = nn.Parameter(torch.empty(TOKENS, width))
        self.layers = nn.ModuleList(_Layer(width, graph=graph) for _ in range(_LAYERS))
        self.head = nn.Linear(width, width_out)
        self.residual = nn.Linear(width_in, width_out)

    def forward(self, tokens: Tensor, adjacency: Tensor) -> Tensor:
        x = self.embedding(tokens) + self.positions
        for layer in self.layers:
            x = layer(x, adjacency)
        return self.head(x) + self.residual(tokens)


class _Layer(nn.Module):
    def __init__(self, width: int, *, graph: bool) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.attended = nn.Linear(width, width)
        self.attended_norm = nn.LayerNorm(width, _EPSILON)
        self.graph = _GraphBlock(width) if graph else None
        self.hidden = nn.Linear(width, 2 * width)
        self.output = nn.Linear(2 * width, width)
        self.output_norm = nn.LayerNorm(width, _EPSILON)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        query, key, value = (
            step(x).unflatten(-1, (_HEADS, -1)).transpose(1, 2) for step in (self.query, self.key, self.value)
        )
        attended = functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x = self.attended_norm(self.attended(attended) + x)
        if self.graph is not None:
            joints, vertices, cells = x.split((JOINTS, COARSE, x.shape[1] - JOINTS - COARSE), 1)
            x = torch.cat([joints, self.graph(vertices, adjacency), cells], 1)
        return self.output_norm(self.output(functional.gelu(self.hidden(x))) + x)


class _GraphBlock(nn.Module):
    """One graph convolution between two layers that act on each vertex alone, added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(width, _EPSILON)
        self.narrow = nn.Linear(width, _GRAPH_WIDTH)
        self.norm_narrow = nn.LayerNorm(_GRAPH_WIDTH, _EPSILON)
        self.mix = nn.Linear(_GRAPH_WIDTH, _GRAPH_WIDTH, bias=False)
        self.mix_bias = nn.Parameter(torch.empty(_GRAPH_WIDTH))
        self.norm_mixed = nn.LayerNorm(_GRAPH_WIDTH, _EPSILON)
        self.widen = nn.Linear(_GRAPH_WIDTH, width)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        y = self.narrow(functional.relu(self.norm_in(x)))
        y = adjacency @ self.mix(functional.relu(self.norm_narrow(y))) + self.mix_bias
        return x + self.widen(functional.relu(self.norm_mixed(y)))
