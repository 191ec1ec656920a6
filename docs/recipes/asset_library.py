# SPDX-License-Identifier: GPL-3.0-or-later
"""A folder of photos becomes an asset library: of each photo its people as an asset, the photo as preview.

    blender --background --python asset_library.py -- PHOTOS LIBRARY.blend
    python3 -m installer run docs/recipes/asset_library.py PHOTOS LIBRARY.blend

Name the folder of LIBRARY.blend under Preferences > File Paths > Asset Libraries. Photos without people are left out,
and said.
"""

import importlib
import sys
import uuid
from pathlib import Path

import bpy

PICTURES = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".heic"}


def addon():
    """The add-on: installed in this Blender, or beside bpy as the package `maquette`."""
    names = [addon.module for addon in bpy.context.preferences.addons]
    installed = next((name for name in names if name.endswith(".maquette")), "maquette")
    package = importlib.import_module(installed)
    if not hasattr(bpy.types.Scene, "maquette"):
        package.register()
    return importlib.import_module(f"{installed}.blender_addon.api"), importlib.import_module(f"{installed}.inference")


def catalog(folder: Path) -> str:
    """The id of the catalog "People", in the file that Blender reads beside the library."""
    identifier = str(uuid.uuid5(uuid.NAMESPACE_URL, "maquette/people"))
    file = folder / "blender_assets.cats.txt"
    if not file.exists():
        file.write_text("VERSION 1\n", "utf-8")
    if identifier not in file.read_text("utf-8"):
        with file.open("a", encoding="utf-8") as lines:
            lines.write(f"{identifier}:People:People\n")
    return identifier


def main(photos: str, library: str) -> int:
    api, inference = addon()
    bpy.ops.wm.read_homefile(use_empty=True)
    target = Path(library).absolute()
    target.parent.mkdir(parents=True, exist_ok=True)
    found = 0
    for photo in sorted(path for path in Path(photos).absolute().iterdir() if path.suffix.lower() in PICTURES):
        try:
            made = api.recover_people(photo, rig="MIXAMO")
        except inference.NothingFound as nothing:
            print(f"{photo.name}: {nothing.message}")
            continue
        collection = max(made.collections, key=lambda one: len(one.all_objects))
        collection.asset_mark()
        asset = collection.asset_data
        asset.catalog_id = catalog(target.parent)
        asset.description, asset.license = made.line, str(made.people[0].body["maquette_licence"])
        asset.tags.new(photo.stem)
        with bpy.context.temp_override(id=collection):
            bpy.ops.ed.lib_id_load_custom_preview(filepath=str(photo))
        found += 1
        print(f"{photo.name}: {made.line}")
    bpy.ops.wm.save_as_mainfile(filepath=str(target))
    return found


if __name__ == "__main__":
    arguments = sys.argv[sys.argv.index("--") + 1 :] if "--" in sys.argv else sys.argv[1:]
    print(f"{main(*arguments)} photos became assets")
