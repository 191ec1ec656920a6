# SPDX-License-Identifier: GPL-3.0-or-later
"""The scripts of docs/recipes, run as they stand, on small photos with what ships."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import bpy
import maquette
import numpy as np
import pytest
from maquette.blender_addon import api
from maquette.demo.samples import sample_photo
from PIL import Image

pytestmark = pytest.mark.usefixtures("addon")

RECIPES = Path(maquette.__file__).parent / "docs" / "recipes"


def recipe(name: str):
    spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """A folder with a person, a photo of nobody and a file that is no photo."""
    folder = tmp_path_factory.mktemp("photos")
    with Image.open(sample_photo("astronaut")) as photo:
        photo.save(folder / "astronaut.png")
    Image.fromarray(np.full((96, 128, 3), 90, np.uint8)).save(folder / "wall.png")
    (folder / "notes.jpg").write_text("no picture")
    (folder / "notes.txt").write_text("nothing")
    return folder


def test_an_asset_library(photos, tmp_path, capsys) -> None:
    library = tmp_path / "library" / "people.blend"
    (photos / "notes.jpg").unlink()
    assert recipe("asset_library").main(str(photos), str(library)) == 1
    assert "wall.png: No person was found in the photo." in capsys.readouterr().out
    bpy.ops.wm.open_mainfile(filepath=str(library))
    (asset,) = (one for one in bpy.data.collections if one.asset_data)
    people = api.people()
    assert asset.name.startswith("astronaut") and people[0].rig.name in asset.all_objects
    assert asset.asset_data.tags[0].name == "astronaut" and asset.asset_data.license
    assert asset.asset_data.catalog_id in (library.parent / "blender_assets.cats.txt").read_text("utf-8")
    assert asset.preview is not None and max(asset.preview.image_size) > 0
    (photos / "notes.jpg").write_text("no picture")


def test_a_retargeted_action(tmp_path) -> None:
    """Of a photo, which is a clip of one frame: clips have tests of their own."""
    character = tmp_path / "hero.blend"
    armature = bpy.data.armatures.new("Hero")
    hero = bpy.data.objects.new("Hero", armature)
    bpy.context.scene.collection.objects.link(hero)
    made = api.recover_people(sample_photo("astronaut"), rig="MIXAMO")
    hero.data = made.people[0].rig.data.copy()
    bpy.data.batch_remove([*made.objects])
    bpy.ops.wm.save_as_mainfile(filepath=str(character))
    output = tmp_path / "moved.blend"
    name = recipe("retargeted_action").main(str(sample_photo("astronaut")), "Hero", str(output), str(character))
    bpy.ops.wm.open_mainfile(filepath=str(output))
    assert bpy.data.objects["Hero"].animation_data.action == bpy.data.actions[name]
    assert bpy.data.actions[name].use_fake_user and [obj.name for obj in bpy.data.objects] == ["Hero"]


def test_a_contact_sheet(photos, tmp_path) -> None:
    script = recipe("contact_sheet")
    sheet = tmp_path / "sheet.jpg"
    assert script.main(str(photos), str(sheet), "2") == [1, -1, 0]
    with Image.open(sheet) as made:
        assert made.size == (2 * script.FIELD, 2 * script.FIELD)
        pixels = np.asarray(made, np.int32)
    edge = script.EDGE // 2
    found, unread, nobody = (
        pixels[row * script.FIELD + edge, column * script.FIELD + edge] for row, column in ((0, 0), (0, 1), (1, 0))
    )
    assert found[1] > found[0] and nobody[0] > nobody[1] and abs(unread - 90).max() < 12
