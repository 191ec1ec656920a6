# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole network: squares of bodies or of right hands -> parameters of MHR, a camera, 70 keypoints, hand boxes.

Modules bear the published names; those of hands end in `_hand`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..mhr import JointState, Rig
from .backbone import GRID, KINDS, SIDE, Kind, Seen
from .decoder import Decoder, Mlp, fourier
from .pose import GLOBAL, NUMBERS, Head, Numbers

BODY, HAND = "", "_hand"
KEYPOINTS = 70
#: Of the keypoints: the hips, whose middle the others are seen from, and those of a right hand with its wrist.
_HIPS, _RIGHT_HAND = [9, 10], slice(21, 42)
#: The camera's scale of a hand's square is so many times as large as it is written.
_HAND_SCALE = 10.0
#: Frequencies of a viewing ray's features, up to `_HIGHEST`.
_RAY_FREQUENCIES, _HIGHEST = 16, 32.0
_TINY, _NEAREST = 1e-8, 1e-5
#: From the body's axes to the camera's.
FLIP = (1.0, -1.0, -1.0)
#: The label of a prompt that says nothing.
NOTHING = -2


@dataclass(frozen=True)
class Size:
    """token, inner, layers : of what asks.  vertices : of the body.  nonhand : parameters that hands say nothing of."""

    kind: Kind = field(default_factory=lambda: KINDS["dinov3"])
    token: int = 1024
    inner: int = 512
    layers: int = 6
    vertices: int = 18439
    nonhand: int = 145


class Squares(NamedTuple):
    """B people as the network sees them.

    pictures (B, 3, 512, 512), normalised.  masks (B, 512, 512) 0 or 1, or None; masked (B,) bool: who has one.
    affine (B, 2, 3), from the photo's pixels to the square's.  lens (B, 3, 3) of the photo.
    centre (B, 2), side (B,) of the square in the photo.
    """

    pictures: Tensor
    affine: Tensor
    lens: Tensor
    centre: Tensor
    side: Tensor
    masks: Tensor | None = None
    masked: Tensor | None = None

    @property
    def condition(self) -> Tensor:
        """(B, 3): where the square lies before the camera, and how large it is."""
        focal = self.lens[:, :1, 0]
        return torch.cat([(self.centre - self.lens[:, :2, 2]) / focal, self.side[:, None] / focal], 1)

    def rays(self, first: int = 0, columns: int = SIDE) -> Tensor:
        """(B, 2, 512, columns): x / z and y / z of the viewing ray through each pixel of the square."""
        x = torch.arange(first, first + columns, device=self.affine.device, dtype=torch.float32)
        y = torch.arange(SIDE, device=self.affine.device, dtype=torch.float32)
        places = torch.stack(torch.meshgrid(x, y, indexing="xy"))[None]
        scale = self.affine[:, [0, 1], [0, 1]][:, :, None, None]
        pixels = (places - self.affine[:, :, 2, None, None]) / scale
        centre, focal = self.lens[:, :2, 2], self.lens[:, [0, 1], [0, 1]]
        return (pixels - centre[:, :, None, None]) / focal[:, :, None, None]


class Context(NamedTuple):
    """What of a square is asked: features (B, C, 32, columns) and the code of where they lie (1, C, 32, columns)."""

    features: Tensor
    places: Tensor


class Estimate(NamedTuple):
    """What the network says of B people.

    raw (B, 519), camera (B, 3) : with their beginnings.  parameters (B, 204), whole (B, 3), body (B, 133) : of MHR.
    keypoints (B, 70, 3) metres, in the camera's axes from the body's origin.  place (B, 3) of that, metres.
    pixels (B, 70, 2) of the photo.  seen (B, 70, 2) from -0.5 to 0.5 of the square.  depth (B, 70).
    """

    raw: Tensor
    camera: Tensor
    parameters: Tensor
    whole: Tensor
    body: Tensor
    keypoints: Tensor
    place: Tensor
    pixels: Tensor
    seen: Tensor
    depth: Tensor

    @property
    def numbers(self) -> Numbers:
        return Numbers.of(self.raw)


class Surface:
    """MHR with the keypoints of a head on it: of the vertices only those that keypoints need."""

    def __init__(self, rig: Rig, mapping: Tensor) -> None:
        count = len(rig.base)
        used = torch.nonzero(mapping[:, :count].any(0)).flatten()
        few = len(used) < count // 2
        self.rig = rig.part(used) if few else rig
        self.weights = torch.cat([mapping[:, used], mapping[:, count:]], 1) if few else mapping

    def keypoints(self, shape: Tensor, parameters: Tensor) -> Tensor:
        """(B, 70, 3) metres in the camera's axes, from the body's origin."""
        vertices, state = self.rig.posed(shape, parameters)
        return keypoints_of(self.weights, vertices, state)


def keypoints_of(weights: Tensor, vertices: Tensor, state: JointState) -> Tensor:
    """Keypoints (B, 70, 3) of vertices (B, V, 3) and joints, as `Surface.keypoints`."""
    points = torch.cat([vertices, state.places.float()], 1) / 100
    return weights @ points * torch.tensor(FLIP, device=points.device)


class _Norm2d(nn.LayerNorm):
    """Normalises the channels of (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, 1e-6)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class _Boxes(nn.Module):
    """Tokens -> centre x, centre y, width, height, 0..1 of the square."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 4)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in list(self.layers)[:-1]:
            x = torch.relu(layer(x))
        return torch.sigmoid(self.layers[-1](x))


class _Rays(nn.Module):
    """Adds to features what direction each looks in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width + 3 * (1 + 2 * _RAY_FREQUENCIES), width, 1, bias=False)
        self.norm = _Norm2d(width)

    def forward(self, features: Tensor, rays: Tensor) -> Tensor:
        small = functional.interpolate(
            rays,
            scale_factor=1 / 16,
            mode="bilinear",
            align_corners=False,
            antialias=True,
            recompute_scale_factor=False,
        )
        direction = torch.cat([small, torch.ones_like(small[:, :1])], 1)
        steps = torch.linspace(1, _HIGHEST, _RAY_FREQUENCIES, device=rays.device)
        angles = torch.pi * (direction[:, :, None] * steps[:, None, None]).flatten(1, 2)
        return self.norm(self.conv(torch.cat([features, direction, angles.sin(), angles.cos()], 1)))


class _Code(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.empty(2, width // 2))

    def forward(self, points: Tensor) -> Tensor:
        return fourier(points, self.positional_encoding_gaussian_matrix)  # type: ignore[arg-type]


class _Prompts(nn.Module):
    """Codes of points and masks that somebody gives."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pe_layer = _Code(width)
        self.point_embeddings = nn.ModuleList(nn.Embedding(1, width) for _ in range(KEYPOINTS))
        self.invalid_point_embed, self.no_mask_embed = nn.Embedding(1, width), nn.Embedding(1, width)
        steps: list[nn.Module] = []
        for before, after in ((1, 4), (4, 16), (16, 64), (64, 256)):
            steps += [nn.Conv2d(before, after, 2, 2), _Norm2d(after), nn.GELU()]
        self.mask_downscaling = nn.Sequential(*steps, nn.Conv2d(256, width, 1))

    def forward(self, points: Tensor) -> Tensor:
        """(B, P, width) of points (B, P, 3): x and y, 0..1, and which keypoint, or `NOTHING`."""
        labels = points[..., 2].long()
        table = torch.cat([one.weight for one in self.point_embeddings])  # type: ignore[misc]
        known = self.pe_layer(points[..., :2]) + table[labels.clamp(min=0)]
        return torch.where(labels[..., None] < 0, self.invalid_point_embed.weight, known)

    def masks(self, masks: Tensor | None, masked: Tensor | None) -> Tensor:
        """(B or 1, width, 32, 32), or (1, width, 1, 1), to add to features."""
        nothing = self.no_mask_embed.weight[:, :, None, None]
        if masks is None:
            return nothing
        seen = self.mask_downscaling(masks[:, None])
        return seen if masked is None else torch.where(masked[:, None, None, None], seen, nothing)


class SAM3DBody(nn.Module):
    """See `look` and `ask`."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.size = size
        width, token = size.kind.width, size.token
        self.seen = Seen(size.kind)
        for end in (BODY, HAND):
            parts = {
                "decoder": Decoder(token, width, size.inner, size.layers),
                "head_pose": Head(Mlp(token, token, NUMBERS), size.vertices + 127, size.nonhand),
                "head_camera": nn.ModuleDict({"proj": Mlp(token, token, 3)}),
                "init_pose": nn.Embedding(1, NUMBERS),
                "init_camera": nn.Embedding(1, 3),
                "init_to_token_mhr": nn.Linear(3 + NUMBERS + 3, token),
                "prev_to_token_mhr": nn.Linear(NUMBERS + 3, token),
                "ray_cond_emb": _Rays(width),
                "keypoint_embedding": nn.Embedding(KEYPOINTS, token),
                "keypoint3d_embedding": nn.Embedding(KEYPOINTS, token),
                "keypoint_posemb_linear": Mlp(2, token, token),
                "keypoint3d_posemb_linear": Mlp(3, token, token),
                "keypoint_feat_linear": nn.Linear(width, token),
            }
            for name, part in parts.items():
                self.add_module(name + end, part)
        self.prompt_encoder, self.prompt_to_token = _Prompts(width), nn.Linear(width, token)
        self.hand_pe_layer = _Code(width)
        self.hand_box_embedding, self.bbox_embed = nn.Embedding(2, token), _Boxes(token)

    def part(self, name: str, end: str) -> Any:
        """The module of bodies or of hands."""
        return getattr(self, name + end)

    def look(self, squares: Squares) -> Tensor:
        """The features (B, width, 32, columns) of squares, with what their masks add: all that is slow."""
        masks = self.prompt_encoder.masks(squares.masks, squares.masked)
        if masks.shape[-1] == GRID:
            masks = masks[..., self._columns(1)]
        return self.seen(squares.pictures) + masks

    def context(self, features: Tensor, squares: Squares, end: str) -> Context:
        """The features with the directions that they are seen in."""
        columns = self._columns(16)
        with_rays = self.part("ray_cond_emb", end)(features, squares.rays(columns.start, columns.stop - columns.start))
        centres = (torch.arange(GRID, device=features.device) + 0.5) / GRID
        places = torch.stack(torch.meshgrid(centres, centres, indexing="xy"), -1)[:, self._columns(1)]
        code = (self.hand_pe_layer if end else self.prompt_encoder.pe_layer)(places)
        return Context(with_rays, code.permute(2, 0, 1)[None])

    def ask(
        self, context: Context, squares: Squares, surface: Surface, end: str = BODY, prompts: Tensor | None = None,
        before: Tensor | None = None,
    ) -> tuple[Estimate, Tensor]:  # fmt: skip
        """What squares show, and the boxes (B, 2, 4) of the left and the right hand, see `_Boxes`.

        prompts (B, P, 3) : keypoints that are known.  before (B, 522) : an earlier answer, see `answered`.
        """
        count = len(context.features)
        start = [self.part(name, end).weight.expand(count, -1) for name in ("init_pose", "init_camera")]
        told = torch.cat(start, 1) if before is None else before
        if prompts is None:
            prompts = context.features.new_tensor([0.0, 0.0, NOTHING]).expand(count, 1, 3)
        known = self.prompt_to_token(self.prompt_encoder(prompts))
        pose = self.part("init_to_token_mhr", end)(torch.cat([squares.condition, *start], 1))
        previous = self.part("prev_to_token_mhr", end)(told)
        tables = ("keypoint_embedding", "keypoint3d_embedding")
        constant = [self.hand_box_embedding.weight, *(self.part(name, end).weight for name in tables)]
        tokens = torch.cat(
            [pose[:, None], previous[:, None], known, *(one.expand(count, -1, -1) for one in constant)], 1
        )
        code = torch.zeros_like(tokens)
        first = 2 + known.shape[1]
        code[:, 1:first] = tokens[:, 1:first]

        def between(normal: Tensor, tokens: Tensor, code: Tensor) -> tuple[Estimate, Tensor, Tensor]:
            estimate = self._estimate(normal[:, 0], squares, surface, end)
            return estimate, *self._told(estimate, tokens, code, first + 2, context, end)

        tokens, estimate = self.part("decoder", end)(tokens, code, *context, between)
        return estimate, self.bbox_embed(tokens[:, first : first + 2])

    def _columns(self, step: int) -> slice:
        kind = self.size.kind
        return slice(kind.first * step, (kind.first + kind.columns) * step)

    def _estimate(self, token: Tensor, squares: Squares, surface: Surface, end: str) -> Estimate:
        head: Head = self.part("head_pose", end)
        raw = head.proj(token) + self.part("init_pose", end).weight
        camera = self.part("head_camera", end)["proj"](token) + self.part("init_camera", end).weight
        numbers = Numbers.of(raw)
        parameters, whole, body = (head.of_hand if end else head.of_body)(numbers)
        points = surface.keypoints(numbers.shape, parameters)
        if end:  # of a hand's square only the hand
            alone = torch.zeros_like(points)
            alone[:, _RIGHT_HAND] = points[:, _RIGHT_HAND]
            points = alone
        place = placed(camera, squares, _HAND_SCALE if end else 1.0)
        pixels, depth = projected(points + place[:, None], squares.lens)
        affine = squares.affine
        seen = (pixels * affine[:, None, [0, 1], [0, 1]] + affine[:, None, :, 2]) / SIDE - 0.5
        return Estimate(raw, camera, parameters, whole, body, points, place, pixels, seen, depth)

    def _told(
        self, estimate: Estimate, tokens: Tensor, code: Tensor, first: int, context: Context, end: str
    ) -> tuple[Tensor, Tensor]:
        """Tokens and codes of keypoints, from the `first` on, told where the keypoints lie."""
        flat, solid = slice(first, first + KEYPOINTS), slice(first + KEYPOINTS, first + 2 * KEYPOINTS)
        seen, points = estimate.seen, estimate.keypoints
        inside = ((seen.abs() <= 0.5).all(-1) & (estimate.depth >= _NEAREST))[..., None]
        wide = seen.new_tensor([GRID / self.size.kind.columns, 1.0])
        looked = functional.grid_sample(context.features, (2 * seen * wide)[:, :, None], align_corners=False)
        added = self.part("keypoint_feat_linear", end)(looked[..., 0].transpose(1, 2) * inside)
        tokens, code = tokens.clone(), code.clone()
        tokens[:, flat] += added
        code[:, flat] = self.part("keypoint_posemb_linear", end)(seen) * inside
        middle = points[:, _HIPS].mean(1, keepdim=True)
        code[:, solid] = self.part("keypoint3d_posemb_linear", end)(points - middle)
        return tokens, code


def answered(estimate: Estimate) -> Tensor:
    """(B, 522) an answer as a later question takes it: without a face."""
    return torch.cat([*estimate.numbers, estimate.camera], 1)


def placed(camera: Tensor, squares: Squares, scale: float = 1.0) -> Tensor:
    """The place (B, 3) in metres of a body whose camera in the square is (B, 3): scale and shift."""
    factor, x, y = (-camera[:, 0], camera[:, 1], -camera[:, 2])
    size = squares.side * factor * scale + _TINY
    aside = 2 * (squares.centre - squares.lens[:, :2, 2]) / size[:, None]
    return torch.stack([x + aside[:, 0], y + aside[:, 1], 2 * squares.lens[:, 0, 0] / size], 1)


def projected(points: Tensor, lens: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels (B, K, 2) and depths (B, K) of points (B, K, 3) before lenses (B, 3, 3)."""
    depth = points[..., 2]
    return points[..., :2] / depth[..., None] * lens[:, None, [0, 1], [0, 1]] + lens[:, None, :2, 2], depth


__all__ = ["BODY", "GLOBAL", "HAND", "SAM3DBody", "Size", "Squares", "Surface"]
