# SPDX-License-Identifier: GPL-3.0-or-later
"""What a second run replaces, where results lie, and how a click's result is shown."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from maquette.blender_addon.core import jobs
from maquette.blender_addon.tasks import TASKS
from maquette.blender_addon.tasks.shared import earlier, finish, operator, photo_operators, shown
from maquette.blender_addon.tasks.shared.gather import focal_of
from maquette.blender_addon.tasks.shared.settings import COMMON
from maquette.blender_addon.ui import job_display
from maquette.demo.samples import sample_photo
from maquette.inference import load_photo

pytestmark = pytest.mark.usefixtures("addon")


@pytest.fixture
def bricks(tmp_path) -> str:
    from PIL import Image

    with Image.open(sample_photo("brick")) as photo:
        photo.crop((0, 0, 96, 64)).save(tmp_path / "brick.png")
    return str(tmp_path / "brick.png")


def grid(path: str, **options) -> None:
    bpy.ops.maquette.estimate_depth(filepath=path, model="relief", mesh_resolution=32, **options)


def names() -> dict[str, list[str]]:
    return {kind: sorted(one.name for one in getattr(bpy.data, kind)) for kind in ("objects", "meshes", "images")}


def test_a_second_run_takes_the_place_of_the_first(bricks) -> None:
    grid(bricks)
    before = names()
    old = bpy.data.objects["brick.grid"]
    old.location = 1, 2, 3
    follower = bpy.data.objects.new("follower", None)
    follower.parent = old
    bpy.context.view_layer.objects.active = old  # as after a click
    grid(bricks, replace=True, strength=0.3)
    new = bpy.data.objects["brick.grid"]
    assert names() == {**before, "objects": ["brick.grid", "follower"]}
    assert new.modifiers[0].strength == pytest.approx(0.3) and tuple(new.location) == (1, 2, 3)
    assert follower.parent == new
    grid(bricks)
    assert "brick.grid.001" in bpy.data.objects, "a script asks for it"


def test_what_the_artist_uses_or_has_painted_on_stays(bricks) -> None:
    grid(bricks, output="IMAGE")
    own = bpy.data.textures.new("own", "IMAGE")
    own.image = kept = bpy.data.images["brick.depth"]
    grid(bricks, output="IMAGE", replace=True)
    assert own.image == kept and kept.name == "brick.depth.001"
    new = bpy.data.images["brick.depth"]
    new.pixels[0] = 0.5
    new.update()
    assert new.is_dirty
    grid(bricks, output="IMAGE", replace=True)
    assert new.name == "brick.depth" and len([one for one in bpy.data.images if "brick.depth" in one.name]) == 3


def test_a_failing_second_run_leaves_the_first_as_it_was(bricks, monkeypatch) -> None:
    grid(bricks)
    before = names()
    monkeypatch.setattr(finish, "_linked", lambda *_: 1 / 0)
    with pytest.raises(RuntimeError, match="division"):
        grid(bricks, replace=True)
    assert names() == before


def test_bodies_hide_the_relief_that_they_would_stand_in() -> None:
    photo = str(sample_photo("astronaut"))
    bpy.ops.maquette.estimate_depth(filepath=photo, mesh_resolution=32)
    bpy.ops.maquette.recover_people(filepath=photo, replace=True)
    relief = bpy.data.objects["astronaut.relief"]
    assert relief.hide_get() and relief.hide_render and "astronaut.relief is hidden" in jobs.outcome().line
    own = bpy.data.collections["astronaut"]
    assert {obj.name for obj in own.objects} == {"astronaut.relief", "astronaut.camera"}
    assert [one.name for one in own.children] == ["astronaut.people"]
    assert not bpy.context.scene.collection.objects and len(bpy.context.scene.collection.children) == 1
    bpy.ops.maquette.reconstruct_scene(filepath=photo, replace=True)
    seen = [
        obj.name for obj in bpy.context.view_layer.objects if obj.visible_get() and obj.type in {"MESH", "ARMATURE"}
    ]
    assert len(seen) == 4 and not {"astronaut.person.1.rig", "astronaut.person.1.body"} & set(seen), "one of each"
    shown.show([relief], bpy.context)
    assert relief.visible_get() and relief.select_get() and bpy.context.view_layer.objects.active == relief


@pytest.fixture
def clicked(monkeypatch):
    """What is run is built as after a click."""
    real = finish.finish
    monkeypatch.setattr(finish, "finish", partial(real))
    monkeypatch.setattr(finish, "finish", lambda *args, **values: real(*args, **{**values, "clicked": True}))


def test_a_click_stands_its_result_beside_the_cube_and_selects_it(bricks, clicked) -> None:
    bpy.ops.mesh.primitive_cube_add(size=2)
    cube = bpy.context.object
    grid(bricks)
    made = bpy.data.objects["brick.grid"]
    assert made.select_get() and not cube.select_get() and bpy.context.view_layer.objects.active == made
    assert made.location.x - 1 > 1
    bpy.ops.maquette.estimate_depth(filepath=str(sample_photo("astronaut")), mesh_resolution=32)
    camera = bpy.data.objects["astronaut.camera"]
    assert camera.location.x - 2 > made.location.x + 1, "neither in the cube nor in what another photo made"
    bpy.ops.maquette.recover_people(filepath=str(sample_photo("astronaut")))
    rig = bpy.context.view_layer.objects.active
    assert rig.type == "ARMATURE" and abs(rig.location.x - camera.location.x) < 1


def test_the_status_bar_tells_for_a_minute_what_was_made(bricks, monkeypatch) -> None:
    """Where the sidebar is closed, and no editor is in sight in which a picture could be opened."""
    told: list[str] = []
    row = SimpleNamespace(label=lambda **given: told.append(given["text"]), operator=lambda *_, **__: SimpleNamespace())
    bar = SimpleNamespace(layout=SimpleNamespace(row=lambda: row))
    grid(bricks, output="IMAGE")
    job_display.draw_in_status_bar(bar, None)
    assert told == ["Made the image brick.depth"]
    clock = job_display.time.monotonic() + 61
    monkeypatch.setattr(job_display.time, "monotonic", lambda: clock)
    job_display.draw_in_status_bar(bar, None)
    monkeypatch.undo()
    bpy.data.images.remove(bpy.data.images["brick.depth"])
    job_display.draw_in_status_bar(bar, None)
    assert len(told) == 1, "neither later, nor of what has been undone"


def test_what_is_undone_is_not_spoken_of_though_its_objects_are_those_of_the_run_before(bricks) -> None:
    bpy.ops.ed.undo_push(message="Before")
    grid(bricks)
    bpy.ops.maquette.estimate_depth(filepath=bricks, model="relief", grid_width=1.5, mesh_resolution=16, replace=True)
    assert job_display.current(bricks) == jobs.outcome()
    bpy.ops.ed.undo()
    assert "brick.grid" in bpy.data.objects and job_display.current(bricks) is None
    bpy.ops.ed.redo()
    assert job_display.current(bricks) == jobs.outcome()


def test_a_dropped_photo_is_chosen_and_every_sidebar_says_so(bricks, monkeypatch) -> None:
    drawn: list[None] = []
    monkeypatch.setattr(photo_operators, "redraw_tabs", lambda: drawn.append(None))
    handler = bpy.types.MAQUETTE_FH_photos
    assert handler.bl_import_operator == "maquette.drop_photo" and ".mp4" in handler.bl_file_extensions
    assert bpy.ops.maquette.drop_photo.get_rna_type().name == "Use in Maquette"
    bpy.ops.maquette.drop_photo(filepath=bricks)
    settings = bpy.context.scene.maquette
    assert settings.source == "IMAGE" and settings.image.filepath == bricks and drawn


def test_what_was_clicked_and_drawn_on_a_photo_is_not_taken_for_the_next() -> None:
    settings, photos = bpy.context.scene.maquette, [bpy.data.images.new(name, 8, 8) for name in ("one", "two")]
    settings.segment.points = "[[9, 9, 1]]"  # by a script, before a photo is chosen
    settings.image = photos[0]
    settings.calibrate.lines_x, settings.detail.mask = "[[0, 0, 9, 9]]", "IMAGE"
    settings.image = photos[0]
    assert (settings.segment.points, settings.calibrate.lines_x) == ("[[9, 9, 1]]", "[[0, 0, 9, 9]]")
    settings.image = photos[1]
    assert settings.segment.points == settings.calibrate.lines_x == "" and settings.detail.mask == "IMAGE"


def test_a_picture_that_is_shown_has_changed_more_often_than_any_before_it() -> None:
    """Wherever it lies in memory, an editor does not take it for one that is gone."""
    changed = dict.fromkeys((-1, -2, -3), 0)

    def show(number: int) -> int:
        def update() -> None:
            changed[number] += 1

        shown._draw_afresh(SimpleNamespace(session_uid=number, update=update))
        return changed[number]

    counts = [show(number) for number in (-1, -2, -1, -3)]
    assert counts == sorted(set(counts))


def test_nothing_is_selected_while_the_artist_edits(bricks, clicked) -> None:
    bpy.ops.mesh.primitive_cube_add(size=2)
    cube = bpy.context.object
    bpy.ops.object.mode_set(mode="EDIT")
    grid(bricks)
    assert bpy.context.view_layer.objects.active == cube and cube.mode == "EDIT"


def test_runs_of_other_tasks_and_photos_are_left_alone(bricks) -> None:
    grid(bricks)
    bpy.ops.maquette.make_map(filepath=bricks, model="canny", replace=True)
    bpy.ops.maquette.make_map(filepath=bricks, model="canny", replace=True)
    made = [one.name for one in bpy.data.images if earlier.RUN in one]
    assert sorted(made) == ["brick.canny", "brick.depth"] and "brick.grid" in bpy.data.objects
    assert np.array(bpy.data.images["brick.canny"].size).all()


def test_masks_come_without_bodies_and_a_lost_object_takes_nothing_with_it() -> None:
    photo = str(sample_photo("astronaut"))
    bpy.ops.maquette.recover_people(filepath=photo, bodies="NONE", masks="IMAGE")
    assert not [obj for obj in bpy.data.objects if obj.type in {"MESH", "ARMATURE"}]
    assert [one.name for one in bpy.data.images if one.get("maquette_role") == "mask"]
    bpy.ops.mesh.primitive_cube_add(size=2)
    bpy.context.object.name = "wall"
    real, jobs.run = jobs.run, lambda job, on_progress=None: queued.append(job) or ""
    queued: list = []
    try:
        bpy.ops.maquette.recover_people(filepath=photo, masks="ATTRIBUTE")
    finally:
        jobs.run = real
    bpy.data.objects.remove(bpy.data.objects["wall"])
    jobs.run(queued[0])
    assert "wall is gone" in jobs.outcome().line and [obj for obj in bpy.data.objects if obj.type == "ARMATURE"]


def test_a_surface_built_in_another_way_hides_the_first() -> None:
    surface = partial(bpy.ops.maquette.estimate_depth, filepath=str(sample_photo("astronaut")), replace=True)
    surface(output="RELIEF", mesh_resolution=32)
    surface(output="GRID", mesh_resolution=32)
    assert bpy.data.objects["astronaut.relief"].hide_get() and "astronaut.relief is hidden" in jobs.outcome().line
    assert not bpy.data.objects["astronaut.grid"].hide_get()


def test_built_again_in_another_way_nothing_of_the_first_way_stays_but_what_the_artist_uses() -> None:
    people = partial(bpy.ops.maquette.recover_people, filepath=str(sample_photo("astronaut")), replace=True)

    def made() -> set[str]:
        return {one.name for kind in (bpy.data.objects, bpy.data.images) for one in kind if earlier.RUN in one}

    people(masks="IMAGE")
    people(masks="GREASE_PENCIL")
    first = made()
    assert {"astronaut.outline", "astronaut.person.1.mask"} < first, "another click adds"
    people(masks="NONE", ask=True)
    bodies = {"astronaut.person.1.body", "astronaut.person.1.rig"}
    assert made() == bodies and "~" not in "".join(names()["objects"])
    people(bodies="NONE", masks="GREASE_PENCIL", ask=True)
    assert made() == {"astronaut.outline"} and not [one for one in bpy.data.collections if "person" in one.name]
    follower = bpy.data.objects.new("follower", None)
    follower.parent = bpy.data.objects["astronaut.outline"]
    people(ask=True)
    assert made() == {"astronaut.outline", *bodies} and follower.parent.name == "astronaut.outline"


def test_a_menu_gives_what_the_panels_button_gives(bricks) -> None:
    settings, tasks = bpy.context.scene.maquette, {task.name: task for task in TASKS}
    settings.source, settings.filepath, settings.depth.strength, settings.lens_mm = "FILE", bricks, 0.7, 35.0
    settings.detail.denoise = 0.25

    def filled(name: str) -> SimpleNamespace:
        task = tasks[name]
        given = SimpleNamespace(**dict.fromkeys((*task.settings.names, *COMMON.names)))
        operator.fill(given, settings, task)
        return given

    depth = filled("depth")
    assert (depth.strength, depth.filepath, depth.image) == (pytest.approx(0.7), bricks, "")
    assert depth.replace and depth.lens_mm == 35.0
    assert filled("detail").denoise == 1.0, "what fills leaves no ghost of the old picture"
    settings.detail.model = "somebody's.safetensors"
    assert filled("detail").denoise == 0.25


def test_a_lens_in_millimetres_is_one_on_full_frame(bricks) -> None:
    given = SimpleNamespace(fx=0.0, fy=0.0, camera="", lens_mm=72.0)
    camera = focal_of(given).applied_to(load_photo(bricks)).camera
    assert camera.fx == pytest.approx(2 * 96) and camera.fy == pytest.approx(2 * 96)


def test_a_line_cut_short_shows_that_there_is_more():
    assert job_display.opening("Recovered 5 people. Somebody more may be there") == "Recovered 5 people …"
    assert job_display.opening("Recovered 5 people") == "Recovered 5 people"
