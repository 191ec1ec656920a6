# SPDX-License-Identifier: GPL-3.0-or-later
"""What the headers of the tasks' panels have: presets of all their settings, and the page of the manual."""

import re
from pathlib import Path

import bpy
import maquette
import pytest
from maquette.blender_addon.tasks import TASKS
from maquette.blender_addon.tasks.shared import manual

pytestmark = pytest.mark.usefixtures("addon")

KEPT = [task for task in TASKS if task.kept]


@pytest.fixture
def user_folder(tmp_path, monkeypatch):
    """Blender's folder of the user's scripts, an empty one."""
    usual = bpy.utils.user_resource

    def user_resource(kind, *, path="", create=False):
        if kind != "SCRIPTS":
            return usual(kind, path=path, create=create)
        (tmp_path / path).mkdir(parents=True, exist_ok=True)
        return str(tmp_path / path)

    monkeypatch.setattr(bpy.utils, "user_resource", user_resource)
    monkeypatch.setattr(bpy.utils, "preset_find", lambda name, folder, display_name=False, ext=".py": next(
        (str(path) for path in (tmp_path / "presets" / folder).glob(f"*{ext}") if path.stem.lower() == name.lower()), ""
    ))  # fmt: skip
    return tmp_path


def touched(group, name: str):
    """Another value than the one that a setting has."""
    declared = group.bl_rna.properties[name]
    value = getattr(group, name)
    if declared.type == "ENUM":
        return next((item.identifier for item in declared.enum_items if item.identifier != value), value)
    if declared.type == "BOOLEAN":
        return not value
    if declared.type in {"INT", "FLOAT"} and not declared.is_array:
        step = 1 if declared.type == "INT" else 0.25
        return value + step if value + step <= declared.hard_max else value - step
    return "kept" if declared.type == "STRING" else value


@pytest.mark.parametrize("task", KEPT, ids=lambda task: task.name)
def test_a_preset_brings_back_what_was_set(task, user_folder) -> None:
    group = getattr(bpy.context.scene.maquette, task.name)
    names = [option.name for option in task.settings if option.blender]
    for name in names:
        setattr(group, name, touched(group, name))
    kept = {name: getattr(group, name) for name in names}
    assert bpy.ops.maquette.save_preset(name="Mine", task=task.name) == {"FINISHED"}
    (file,) = (user_folder / "presets" / "maquette" / task.name).glob("*.py")
    for name in names:
        group.property_unset(name)
    bpy.ops.script.execute_preset(filepath=str(file), menu_idname=task.presets.__name__)
    lost = {name for name in names if getattr(group, name) != kept[name]} - {"mask_colour"}
    assert lost <= {"boxes", "points", "box", "mask", "scene_depth", "folder", "part", "bone"}, "of one photo or file"
    assert len(names) - len(lost) >= 2
    assert bpy.ops.maquette.save_preset(name=file.stem, task=task.name, remove_name=True) == {"FINISHED"}
    assert not file.exists()


def headings(page: str) -> set[str]:
    text = (Path(maquette.__file__).parent / "docs" / f"{page}.md").read_text("utf-8")
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_every_task_has_a_page_of_the_manual() -> None:
    assert set(manual.PAGES) == {task.name for task in TASKS}
    for address in (*manual.PAGES.values(), manual.FIRST):
        page, _, heading = address.partition(".html")
        assert not heading or heading[1:] in headings(page)
        assert headings(page)


def test_blenders_own_entry_in_the_context_menu_finds_the_page(tmp_path, monkeypatch) -> None:
    from bl_operators.wm import WM_OT_doc_view_manual as viewed

    (tmp_path / manual.FIRST).touch()
    monkeypatch.setattr(manual, "FOLDERS", (tmp_path / "none", tmp_path))
    manual.folder.cache_clear()
    try:
        found = {
            name: viewed._lookup_rna_url(name, verbose=False)
            for name in (
                "bpy.types.MAQUETTE_PG_people.rig",
                "bpy.ops.maquette.estimate_depth",
                "bpy.types.MAQUETTE_PG_settings.fx",
            )
        }
    finally:
        manual.folder.cache_clear()
    assert list(found.values()) == [
        f"{tmp_path.as_uri()}/{page}" for page in ("people.html", "depth.html", "window.html")
    ]


def test_a_checkout_without_a_built_manual_has_no_links(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(manual, "FOLDERS", (tmp_path,))
    manual.folder.cache_clear()
    try:
        assert manual.folder() is None and manual.addresses() == ("", ())
    finally:
        manual.folder.cache_clear()
