# SPDX-License-Identifier: GPL-3.0-or-later
"""Scripts get what was made, find it again, and see errors of their own kind."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import maquette
import numpy as np
import pytest
from maquette import inference
from maquette.blender_addon import api
from maquette.demo.samples import sample_photo
from maquette.inference import export
from PIL import Image

pytestmark = pytest.mark.usefixtures("addon")


def test_people_of_a_photo_come_as_objects(reopened) -> None:
    photo = sample_photo("astronaut")
    made = api.recover_people(photo, rig="MIXAMO", start_frame=7)
    (person,) = made.people
    assert person.rig.type == "ARMATURE" and person.body.find_armature() == person.rig
    assert person.action == person.rig.animation_data.action and person.action in made.actions
    assert person.frames == (7, 7) and person.track_id == 0 and 0 < person.score <= 1
    assert person.camera == made.camera and person.camera.type == "CAMERA"
    assert person.photo == inference.load_photo(photo).digest and person.collection in made.collections
    x0, y0, x1, y1 = person.box
    assert 0 <= x0 < x1 <= 512 and 0 <= y0 < y1 <= 600
    assert made.line.startswith("Recovered 1 person") and api.last_made() == made
    people = inference.recover_people(photo)
    names, frames, places = api.joints(person.rig, [7])
    assert frames == (7,) and places.shape == (1, len(names), 3)
    mine = places[0, names.index("mixamorig:LeftHand")]
    theirs = people.body.joint_names.index("wrist.L")
    np.testing.assert_allclose(mine, export.world_joints(people)[0][1][0, theirs], atol=2e-2)
    told = (person.rig.name, person.box)
    reopened()
    (again,) = api.people()
    assert (again.rig.name, again.box) == told and again.action["maquette_track"] == 0
    assert api.last_made().people == (again,)


def test_errors_keep_their_kind(tmp_path) -> None:
    empty = tmp_path / "nothing.png"
    Image.fromarray(np.full((96, 96, 3), 90, np.uint8)).save(empty)
    with pytest.raises(inference.NothingFound, match="No person") as caught:
        api.recover_people(empty)
    assert caught.value.remedy
    with pytest.raises(inference.BadInput, match="does not exist"):
        api.estimate_depth(tmp_path / "gone.png")
    with pytest.raises(inference.BadInput, match="No source is chosen"):
        api.run("retarget")
    with pytest.raises(TypeError):  # Blender's own
        api.run("recover_people", colour="blue")
    assert api.last_made() is None


def test_motion_from_capture_to_file(recovered, tmp_path) -> None:
    (walker, _), (hero, _) = recovered(tracks=(0, 1), frames=range(6))
    first, second = api.people()
    assert [first.rig, second.rig] == [walker, hero] and [first.track_id, second.track_id] == [0, 1]
    assert first.frames == (3, 8) and first.score == pytest.approx(0.9) and first.box == (0, 0, 9, 9)
    before = hero.animation_data.action
    action = api.retarget(walker, hero, placement="WORLD")
    assert action == hero.animation_data.action != before and api.last_made().actions == (action,)
    truth = api.joints(hero)
    assert truth.frames == tuple(range(3, 9))
    assert api.reduce_keys(hero, 2.0) == action
    assert np.linalg.norm(api.joints(hero, truth.frames).places - truth.places, axis=-1).max() < 0.0021
    assert api.smooth_motion(hero, width=0.5) == action
    loop = api.make_loop(hero, blend=2, find=False)
    assert loop.name == f"{action.name}.loop" and api.move_root(hero) == loop
    file = api.export_person(tmp_path / "hero.glb", hero)
    assert file.read_bytes().startswith(b"glTF")
    assert api.export_person(tmp_path / "all.fbx", "PEOPLE").exists()
    assert api.push_to_nla(hero, repeat=2).action == loop
    assert api.save_pose(walker, "Standing").asset_data is not None


def test_every_task_and_operator_has_its_function() -> None:
    """What an operator of a task can do, a function of that name does; those of panels need none."""
    from maquette.blender_addon.tasks import TASKS

    named = {task.operator for task in TASKS if task.operator}
    classes = [cls for task in TASKS if task.name in ("motion", "calibrate") for cls in task.operators]
    named |= {cls.bl_idname.split(".")[1] for cls in classes}
    for name in named - {"pick_point", "draw_lines"}:
        assert getattr(api, name).__doc__, name


def test_the_examples_of_the_docs_name_what_is_there() -> None:
    text = (Path(str(maquette.__file__)).parent / "docs" / "python.md").read_text("utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.S)
    assert len(blocks) == 2
    for block in blocks:
        for node in ast.walk(ast.parse(block)):
            if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
                continue
            if node.value.id in ("api", "export"):
                assert callable(getattr({"api": api, "export": export}[node.value.id], node.attr))
            assert node.value.id != "person" or node.attr in api.PersonObjects.__dataclass_fields__
    for name in re.findall(r"^\| (`.*?`) \|", text, re.M):
        for function in re.findall(r"`(\w+)[(`]", name):
            assert hasattr(api, function) or function.startswith("maquette_") or function == "confidence"
