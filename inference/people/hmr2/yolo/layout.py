# SPDX-License-Identifier: GPL-3.0-or-later
"""The layout in a YOLO file, a table of layers by name, checked before ultralytics sees it.

The package looks the names up among everything it knows, and evaluates some of the values. So only the names of
layers that its published detectors have are let through, and numbers of a sensible size.
"""

from __future__ import annotations

import re
from typing import Any

#: Layers of ultralytics' published detectors, versions 3 to 26.
_LAYERS = {
    "A2C2f", "ADown", "AConv", "Bottleneck", "C2", "C2PSA", "C2f", "C2fCIB", "C3", "C3Ghost", "C3k2", "CBFuse",
    "CBLinear", "Concat", "Conv", "DWConv", "ELAN1", "GhostConv", "PSA", "RepConv", "RepNCSPELAN4", "SCDown", "SPP",
    "SPPELAN", "SPPF", "nn.ConvTranspose2d", "nn.Identity", "nn.MaxPool2d", "nn.Upsample", "nn.ZeroPad2d",
}  # fmt: skip
#: The last layer: boxes, and of those with a number of prototypes masks too.
_HEADS = {"Detect", "Segment", "Segment26", "v10Detect"}
#: Text among the arguments of a layer.
_WORDS = {"nc", "nearest", "None", "True", "False"}
_ACTIVATION = re.compile(r"(torch\.)?nn\.(ELU|GELU|Hardswish|LeakyReLU|Mish|ReLU|ReLU6|SELU|SiLU)\([0-9.]{0,8}\)")
#: The largest number, and the most layers and repetitions: several times what the largest published detector has.
_LARGEST, _MOST_LAYERS, _MOST_REPEATS = 4096, 200, 64


class UnknownLayer(ValueError):
    """A layer that detectors do not have; the message is its name."""


def checked_layout(saved: Any) -> dict[str, Any]:
    """The layout in a file as a new dictionary of plain values, from which ultralytics may build a network.

    Raises `UnknownLayer` and ValueError for what is not in the layouts of published detectors.
    """
    if type(saved) is not dict:
        raise ValueError("no layout")
    layout: dict[str, Any] = {"nc": _number(saved["nc"], 1, whole=True)}
    layout["backbone"], layout["head"] = ([_row(row) for row in saved[part]] for part in ("backbone", "head"))
    rows = layout["backbone"] + layout["head"]
    if not 2 <= len(rows) <= _MOST_LAYERS or not layout["head"]:
        raise ValueError("no layers")
    for row in rows[:-1]:
        if row[2] not in _LAYERS:
            raise UnknownLayer(row[2])
    if rows[-1][2] not in _HEADS:
        raise UnknownLayer(rows[-1][2])
    if saved.get("activation"):
        if type(saved["activation"]) is not str or not _ACTIVATION.fullmatch(saved["activation"]):
            raise ValueError("an activation that is not one of torch's")
        layout["activation"] = saved["activation"]
    if saved.get("scales"):
        scale = saved.get("scale") or next(iter(saved["scales"]))
        if type(scale) is not str:
            raise ValueError("a scale without a name")
        layout["scale"], layout["scales"] = scale, {scale: [_number(value, 0) for value in saved["scales"][scale]]}
    for name in ("depth_multiple", "width_multiple", "reg_max"):
        if saved.get(name) is not None:
            layout[name] = _number(saved[name], 0, whole=name == "reg_max")
    return layout | {"end2end": bool(saved.get("end2end"))}


def _row(row: Any) -> list[Any]:
    """One layer: which layers it takes, how often it is repeated, its name and its arguments."""
    sources, repeats, name, arguments = row
    single = type(sources) is int
    taken = [_number(source, -_MOST_LAYERS, whole=True) for source in ([sources] if single else sources)]
    if type(name) is not str or not 1 <= _number(repeats, 1, whole=True) <= _MOST_REPEATS:
        raise ValueError("a layer without a name")
    name = "nn.Identity" if name == "Silence" else name  # as version 9 called it at first
    if name.startswith("nn.") and (repeats > 1 or any(type(value) is int and value > 8 for value in arguments[1:])):
        raise ValueError("a layer that makes pictures too large")
    return [taken[0] if single else taken, repeats, name, [_argument(value, 2) for value in arguments]]


def _argument(value: Any, depth: int) -> Any:
    if value is None or type(value) is bool or (type(value) is str and value in _WORDS):
        return value
    if type(value) in (list, tuple) and depth and len(value) <= _MOST_LAYERS:
        return [_argument(item, depth - 1) for item in value]
    return _number(value, -1)


def _number(value: Any, least: int, whole: bool = False) -> Any:
    if type(value) not in ((int,) if whole else (int, float)) or not least <= value <= _LARGEST:
        raise ValueError("a number that no layout has")
    return value
