# SPDX-License-Identifier: GPL-3.0-or-later
"""Image passes by networks that find edges and lines. One entry a network: what it is, what it sees, what it draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..geometry.previews import network_size, padded, to_resolution
from ..models.controlnet_aux import architecture, loaded, published
from ..photo import Photo
from ..results import MapImage
from ..runtime import Run
from ..runtime.passes import outputs
from ..weights import Published
from .plain import darker_than_around, three, usual

Options = Mapping[str, Any]
Picture = Any  # NDArray[np.uint8] (h, w, 3), sides multiples of 64
#: Most pixels of the picture that a network sees; at that size the largest takes about 6 GB.
_MOST_PIXELS = 4 << 20
#: M-LSD: most lines, and the side in cells of the neighbourhood in which only the surest centre counts.
_MOST_LINES, _APART = 200, 3
#: Anyline: pixels below which one of its lines from darkness is a speck.
_SPECK = 36


@dataclass(frozen=True)
class Kind:
    """build : the network.  published : its file, from the path.  see : working picture to the network's (C, h, w).

    draw : the network's answers for one picture, that picture and the options to a map (h, w) uint8, lines bright.
    """

    build: Callable[[], nn.Module]
    see: Callable[[Picture], Tensor]
    draw: Callable[[list[Tensor], Picture, Options], NDArray[np.uint8]]
    published: Callable[[str], Published] = published


def make_batch(photos: Sequence[Photo], run: Run, options: Options) -> list[MapImage]:
    """The image passes of photos; those of one size pass the network together.

    Raises `MissingModel`, `BadModelFile`, `MissingPackages`.
    """
    assert run.model is not None
    resolution = options["resolution"]
    kind, path = KINDS[run.model.id], run.model.files[0].path
    sizes = [network_size(photo.pixels.shape, resolution, _MOST_PIXELS) for photo in photos]
    run.report(0.0, f"Loading {run.model.label}")
    network = loaded(run, kind.published(path), kind.build)
    pictures = [padded(to_resolution(photo.pixels, resolution)) for photo in photos]
    found = outputs(network, [kind.see(picture) for picture in pictures], run, "Finding lines")
    maps = []
    for picture, (height, width), answer in zip(pictures, sizes, found, strict=True):
        drawn = kind.draw(answer, picture, options)[:height, :width]
        maps.append(MapImage(three(drawn), run.model.id))
    run.report(1.0, "Map made")
    return maps


def _tensor(picture: Picture) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1).float()


def _squared(picture: Picture) -> Tensor:
    """Brought to multiples of 256, which a network of eight halvings needs; from -1 to 1."""
    rows, columns = (-(-side // 256) * 256 for side in picture.shape[:2])
    return _tensor(cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_CUBIC)) / 127.5 - 1


def _with_ones(picture: Picture) -> Tensor:
    """A fourth channel of ones, and all of them from -1 to 1, as M-LSD was trained."""
    values = _tensor(picture)
    return torch.cat([values, torch.ones_like(values[:1])]) / 127.5 - 1


def _mean_edges(outputs: list[Tensor], picture: Picture, options: Options, *, stepped: bool) -> NDArray[np.uint8]:
    """Edges of several scales, averaged (Xie and Tu 2015)."""
    size = picture.shape[1], picture.shape[0]
    scales = [cv2.resize(answer[0].numpy(), size, interpolation=cv2.INTER_LINEAR) for answer in outputs]
    edges = 1 / (1 + np.exp(-np.mean(scales, axis=0).astype(np.float64)))
    return _finished(edges, options, stepped)


def _finished(edges: NDArray, options: Options, stepped: bool) -> NDArray[np.uint8]:
    """Edges 0..1 as grey. stepped : the network's own habit of three levels, against hidden marks between them."""
    if stepped if options["safe"] is None else options["safe"]:
        edges = (edges.astype(np.float32) * 3).astype(np.int32) / np.float32(2)
    grey = (edges * 255).clip(0, 255).astype(np.uint8)
    return _scribbled(grey) if options["scribble"] else grey


def _scribbled(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Only the ridges of the edges, drawn with a broad pen."""
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 3.0)
    ridges = np.zeros(grey.shape, bool)
    for direction in ([[0, 0, 0], [1, 1, 1], [0, 0, 0]], [[0, 1, 0]] * 3, np.eye(3), np.eye(3)[::-1]):
        ridges |= cv2.dilate(smooth, np.array(direction, np.uint8)) == smooth
    drawn = (ridges & (smooth > 127)).astype(np.uint8) * np.uint8(255)
    return (cv2.GaussianBlur(drawn, (0, 0), 3.0) > 4).astype(np.uint8) * np.uint8(255)


def _drawn_bright(outputs: list[Tensor], _picture: Picture, _options: Options) -> NDArray[np.uint8]:
    """Dark strokes on white paper, 0..1, turned round."""
    return np.subtract(np.uint8(255), (outputs[0][0].numpy() * 255).clip(0, 255).astype(np.uint8))


def _anime_bright(outputs: list[Tensor], picture: Picture, _options: Options) -> NDArray[np.uint8]:
    size = picture.shape[1], picture.shape[0]
    strokes = cv2.resize(outputs[0][0].numpy() * 127.5 + 127.5, size, interpolation=cv2.INTER_CUBIC)
    return np.subtract(np.uint8(255), strokes.clip(0, 255).astype(np.uint8))


def _straight(outputs: list[Tensor], picture: Picture, options: Options) -> NDArray[np.uint8]:
    """Straight lines of M-LSD (Gu et al. 2022): centres, and from each the way to both ends, in halves of a pixel."""
    least_score, least_length = options["thresholds"] or usual("mlsd")
    centre, ways = outputs[0][0].sigmoid(), outputs[0][1:5]
    best = nn.functional.max_pool2d(centre[None], _APART, stride=1, padding=_APART // 2)[0]
    scores, indices = (centre * (best == centre)).flatten().topk(min(_MOST_LINES, centre.numel()))
    rows, columns = indices // centre.shape[1], indices % centre.shape[1]
    start, end = ways[:2, rows, columns], ways[2:, rows, columns]
    known = (scores > least_score) & ((start - end).norm(dim=0) > least_length)
    place = torch.stack([columns, rows])
    ends = 2 * torch.stack([place + start, place + end], 2)[:, known]
    drawn = np.zeros(picture.shape[:2], np.uint8)
    for line in ends.permute(1, 2, 0).numpy().astype(np.int32):
        cv2.line(drawn, tuple(line[0].tolist()), tuple(line[1].tolist()), (255,), 1)
    return drawn


def _any_line(outputs: list[Tensor], picture: Picture, options: Options) -> NDArray[np.uint8]:
    """Edges of the network and, laid over them, lines from darkness without specks (MistoLine's Anyline)."""
    edges = _mean_edges(outputs, picture, options, stepped=True)
    blur, threshold = options["thresholds"] or usual("anyline")
    lines = darker_than_around(picture, blur, threshold)
    count, labels, found, _ = cv2.connectedComponentsWithStats((lines > 0).astype(np.uint8), connectivity=4)
    large = np.append(False, found[1:count, cv2.CC_STAT_AREA] >= _SPECK)[np.asarray(labels, np.intp)]
    share = 1 - (1 - lines / 255.0) * (1 - edges / 255.0)
    return np.where(large, (share * 255).astype(np.uint8), edges)


def _network(module: str, name: str, *arguments: Any, **more: Any) -> Callable[[], nn.Module]:
    """What builds a network of controlnet-aux."""
    return lambda: architecture(module, name)(*arguments, **more)


_INSTANCE_NORM = partial(nn.InstanceNorm2d, affine=False, track_running_stats=False)
_LINEART = Kind(_network("lineart", "Generator", 3, 1, 3), lambda picture: _tensor(picture) / 255, _drawn_bright)
_TEED = Kind(_network("teed.ted", "TED"), _tensor, partial(_mean_edges, stepped=True))
KINDS: dict[str, Kind] = {
    "hed": Kind(_network("hed", "ControlNetHED_Apache2"), _tensor, partial(_mean_edges, stepped=False)),
    "pidinet": Kind(
        _network("pidi.model", "pidinet"),
        lambda picture: _tensor(picture[..., ::-1]) / 255,
        lambda outputs, _picture, options: _finished(outputs[-1][0].numpy(), options, False),
        lambda path: published(path, "state_dict"),
    ),
    "teed": _TEED,
    "anyline": replace(_TEED, draw=_any_line),
    "lineart": _LINEART,
    "lineart-coarse": _LINEART,
    "lineart-anime": Kind(
        _network("lineart_anime", "UnetGenerator", 3, 1, 8, 64, norm_layer=_INSTANCE_NORM), _squared, _anime_bright
    ),
    "mlsd": Kind(_network("mlsd.models.mbv2_mlsd_large", "MobileV2_MLSD_Large"), _with_ones, _straight),
}
