# SPDX-License-Identifier: GPL-3.0-or-later
"""The pages of the manual: from a panel's header, and from *Online Manual* in the context menu of every setting.

The manual comes with the extension, so that it is that of this version and needs no network.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bpy.types import UILayout

#: In the zip beside the code; in a checkout where `python3 -m installer manual` has built it.
FOLDERS = (Path(__file__).parents[3] / "manual", Path(__file__).parents[3] / "out" / "manual")
FIRST = "window.html"
#: Task -> page and heading.
PAGES = {
    "people": "people.html",
    "depth": "depth.html",
    "normals": "depth.html#parameters-of-normals",
    "hands": "hands.html",
    "scene": "camera.html#scene-from-photo",
    "photogrammetry": "camera.html#cameras-from-several-photos",
    "segment": "masks.html#cutting-out-anything",
    "calibrate": "camera.html#the-scale",
    "maps": "maps.html",
    "rigs": "rigs.html",
    "motion": "rigs.html",
    "detail": "detailer.html",
    "farm": "pipelines.html",
}


@cache
def folder() -> Path | None:
    """Where the manual lies; None in a checkout that has not built it."""
    return next((found for found in FOLDERS if (found / FIRST).is_file()), None)


def draw_help(layout: UILayout, task: str) -> None:
    """A button that opens the task's page in the browser."""
    found = folder()
    if found is not None:
        page = layout.operator("wm.url_open", text="", icon="QUESTION")
        page.url = f"{found.as_uri()}/{PAGES.get(task, FIRST)}"  # type: ignore[attr-defined]


def addresses() -> tuple[str, tuple[tuple[str, str], ...]]:
    """As Blender asks for it: the manual's address, and pattern of a setting or operator -> page."""
    found = folder()
    if found is None:
        return "", ()
    rows = [(f"bpy.types.maquette_pg_{task}.*", page) for task, page in PAGES.items()]
    named = {"recover_people": "people", "estimate_depth": "depth", "estimate_normals": "normals"}
    named |= {"refine_hands": "hands", "reconstruct_scene": "scene", "cut_out": "segment", "retarget": "rigs"}
    named |= {"reconstruct_photos": "photogrammetry"}
    named |= {"make_map": "maps", "detail_mask": "detail", "calibrate_*": "calibrate"}
    rows += [(f"bpy.ops.maquette.{operator}*", PAGES[task]) for operator, task in named.items()]
    rows += [("bpy.*.maquette*", FIRST)]
    return f"{found.as_uri()}/", tuple(rows)
