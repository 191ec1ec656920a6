# SPDX-License-Identifier: GPL-3.0-or-later
"""One declaration a setting: what Blender's properties are made of it, and what comes back of them."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace

import bpy
import pytest
from maquette.blender_addon import tasks
from maquette.blender_addon.core.bpy_settings import Name, Vector, chosen, properties_of, typed
from maquette.blender_addon.tasks import TASKS
from maquette.inference import options as declared
from maquette.inference.errors import BadInput
from maquette.inference.options import Choice, Number, Options, Switch, Text, Value, people
from maquette.inference.options.common import boxes_from

pytestmark = pytest.mark.usefixtures("addon")

OPTIONS = Options(
    Number("share", 0.2, "Share", "A share", 0.0, 1.0, unit="FACTOR"),
    Number("count", 3, "Count", "A count", 1, 2**64 - 1, soft_high=10),
    Number("focal", None, "Focal", "Pixels; 0 takes the photo's", 0.0, above=True),
    Number("sure", 0.5, "Sure", "Above 0", 0.0, 1.0, soft_low=0.01, above=True),
    Choice("kind", "b", "Kind", "A kind", (("a", "A", "The first"), ("b", "B", "The second"))),
    Switch("maybe", None, "Maybe", "As the model decides"),
    Text("words", "", "Words", "Some words"),
    Name("place", None, "Place", "A path", kind="FILE_PATH"),
    Vector("colour", (0.1, 0.2, 0.3, 1.0), "Colour", "A colour", 0.0, 1.0, size=4, kind="COLOR"),
    Value("boxes", None, "Boxes", "Boxes", "a list", parse=boxes_from),
    Value("hook", None, "Hook", "An object", "an object", blender=False),
)


@pytest.fixture(scope="module")
def group():
    made = type("MAQUETTE_PG_made", (bpy.types.PropertyGroup,), {"__annotations__": properties_of(OPTIONS)})
    bpy.utils.register_class(made)
    bpy.types.Scene.made = bpy.props.PointerProperty(type=made)
    yield
    del bpy.types.Scene.made
    bpy.utils.unregister_class(made)


def test_a_property_has_what_is_declared(group) -> None:
    properties = bpy.context.scene.made.bl_rna.properties
    share, count, sure, colour = (properties[name] for name in ("share", "count", "sure", "colour"))
    assert (share.name, share.description, share.subtype, share.hard_max) == ("Share", "A share", "FACTOR", 1.0)
    assert (count.type, count.default, count.hard_min, count.hard_max, count.soft_max) == ("INT", 3, 1, 2**31 - 1, 10)
    assert sure.hard_min == pytest.approx(0.01), "properties have no open limits"
    assert [item.identifier for item in properties["kind"].enum_items] == ["a", "b"] and properties[
        "kind"
    ].default == "b"
    assert properties["place"].subtype == "FILE_PATH" and colour.array_length == 4 and colour.subtype == "COLOR"
    assert "hook" not in properties


def test_untouched_properties_give_the_defaults_exactly(group) -> None:
    expected = {name: value for name, value in OPTIONS.defaults().items() if name != "hook"}
    assert chosen(OPTIONS, bpy.context.scene.made) == expected


def test_what_was_typed_comes_back(group) -> None:
    settings = bpy.context.scene.made
    settings.share, settings.focal, settings.maybe, settings.boxes = 0.7, 512.3, True, " [[1, 2, 3, 4]] "
    given = chosen(OPTIONS, settings)
    assert (given["share"], given["focal"], given["maybe"], given["boxes"]) == (0.7, 512.3, True, [[1, 2, 3, 4]])
    settings.boxes = "1, 2"
    with pytest.raises(BadInput, match="cannot be read"):
        chosen(OPTIONS, settings)


@pytest.mark.parametrize("number", [0.2, 0.04, 1e-7, 123456.0, math.pi, -0.3])
def test_the_shortest_number_of_32_bits(number) -> None:
    import struct

    (held,) = struct.unpack("f", struct.pack("f", number))
    assert typed(held) == pytest.approx(number, rel=1e-7) and len(repr(typed(held))) <= len(repr(held))


def test_every_folder_is_a_task_with_its_settings() -> None:
    folders = {path.parent.name for path in Path(tasks.__path__[0]).glob("*/__init__.py")} - {"shared"}
    assert len(TASKS) == len(folders) and len({task.order for task in TASKS}) == len(TASKS)
    for task in TASKS:
        assert hasattr(bpy.context.scene.maquette, task.name), task.name
        assert all(option.label and option.help for option in task.settings), task.name


def test_every_parameter_of_a_model_is_a_setting_or_says_why_not() -> None:
    """An option that is made a property by its declaration is a setting of the task, under the same name."""
    from importlib import import_module

    modules = {"depth": "depth", "normals": "normals", "hands": "hands", "people": "people", "maps": "preprocessors"}
    for task in TASKS:
        if task.name in modules:
            options = import_module(f"{declared.__name__}.{modules[task.name]}").OPTIONS
            assert {option.name for option in options if option.blender} - {"fx", "fy"} <= set(task.settings.names)


def test_the_panel_leaves_out_what_does_not_act_on_the_model() -> None:
    recovering = next(task for task in TASKS if task.name == "people")
    detail = next(task for task in TASKS if task.name == "detail")
    assert recovering.acts("detector", "hmr2") and recovering.acts("detector", "builtin")
    assert detail.acts("cfg", "/my/model.safetensors") and not detail.acts("cfg", "builtin")
    assert detail.acts("feather", "builtin")


def test_what_does_nothing_is_kept_for_scripts_and_drawn_in_no_panel() -> None:
    assert not [path for path in Path(tasks.__path__[0]).rglob("panel.py") if '"rand_seed"' in path.read_text("utf-8")]
    assert "rand_seed" in bpy.context.scene.maquette.hands.bl_rna.properties


def test_a_work_item_is_what_the_operator_was_told() -> None:
    declared_properties = bpy.ops.maquette.recover_people.get_rna_type().properties
    properties = {
        prop.identifier: tuple(prop.default_array) if getattr(prop, "is_array", False) else prop.default
        for prop in declared_properties
        if not prop.is_readonly
    }
    code = next(task for task in TASKS if task.name == "people").code()
    bpy.data.images.new("photo", 8, 8)
    item = code.work(SimpleNamespace(**{**properties, "image": "photo", "smoothing": 0.3}), bpy.context)
    assert item.options == {**people.OPTIONS.defaults(), "smoothing": 0.3}
    assert item.build.rig == "OWN" and item.clip is None and item.device is None
