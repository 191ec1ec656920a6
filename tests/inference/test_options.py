# SPDX-License-Identifier: GPL-3.0-or-later
"""The one declaration of every parameter, and that nothing drifts from it."""

from __future__ import annotations

import argparse
import inspect
import math
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from maquette import inference
from maquette.inference import BadInput
from maquette.inference.__main__ import TASKS as _TASKS
from maquette.inference.__main__ import _parser
from maquette.inference.detailer.fill.masked_content import FILLINGS
from maquette.inference.detailer.sampling.masked import SAMPLERS
from maquette.inference.detailer.sampling.schedules import SCHEDULES
from maquette.inference.options import (
    Choice,
    Number,
    Option,
    Options,
    Switch,
    Text,
    Value,
    common,
    depth,
    detail,
    hands,
    normals,
    people,
    preprocessors,
)
from maquette.inference.options.__main__ import updated
from maquette.installer.models import catalogue

DOCS = Path(str(inference.__file__)).parents[1] / "docs"
TASKS = {
    "depth": (depth.OPTIONS, inference.estimate_depth),
    "normals": (normals.OPTIONS, inference.estimate_normals),
    "hands": (hands.OPTIONS, inference.refine_hands),
    "people": (people.OPTIONS, inference.recover_people),
    "maps": (preprocessors.OPTIONS, inference.make_map),
    "detailer": (detail.OPTIONS, inference.detail_mask),
}
EVERY = [(task, option) for task, (options, _) in TASKS.items() for option in options]


def test_reading_the_declaration_imports_no_package():
    """Blender reads it while it starts."""
    code = (
        "import sys; from maquette.inference import options\n"
        "from maquette.inference.options import common, depth, detail, hands, normals, people, preprocessors\n"
        "print([name for name in ('numpy', 'cv2', 'scipy', 'torch', 'bpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", inference.__all__)
def test_every_public_name_comes_from_its_module(name):
    value = getattr(inference, name)
    assert value.__name__ == name
    module = import_module(value.__module__)
    assert getattr(module, name) is value
    assert name in dir(inference)


def test_a_name_that_is_not_public_is_missing():
    with pytest.raises(AttributeError, match="no attribute 'estimate_weather'"):
        inference.estimate_weather  # noqa: B018


@pytest.mark.parametrize("task", TASKS)
def test_the_signature_has_the_declared_names_and_defaults(task):
    options, function = TASKS[task]
    keywords = {
        name: one.default
        for name, one in inspect.signature(function).parameters.items()
        if one.kind is one.KEYWORD_ONLY and name not in common.RUN_NAMES
    }
    assert tuple(keywords) == options.names
    assert keywords == options.defaults()


@pytest.mark.parametrize(("task", "option"), EVERY, ids=lambda one: getattr(one, "name", one))
def test_every_option_is_complete(task, option):
    assert option.label and option.help, option
    assert not option.help.endswith("."), "Blender adds the full stop"
    assert set(option.models) <= {model.id for model in catalogue.models(task)} | {"diffusion", "auto"}
    assert option.checked(option.default) == option.default
    if isinstance(option, Number) and option.default is not None:
        least = option.low if option.soft_low is None else option.soft_low
        most = option.high if option.soft_high is None else option.soft_high
        assert option.low <= least <= option.default <= most <= option.high
        assert isinstance(option.default, int if option.whole else float)


def test_what_may_be_chosen_is_what_there_is():
    choices = {option.name: option.ids for option in detail.OPTIONS if isinstance(option, Choice)}
    assert choices["sampler"] == tuple(SAMPLERS)
    assert choices["scheduler"] == tuple(SCHEDULES)
    assert choices["fill"] == tuple(FILLINGS)


SHARE = Number("share", 0.5, "Share", "A share", low=0.0, high=1.0)
COUNT = Number("count", 3, "Count", "A count", low=1)
FOCAL = Number("focal", None, "Focal", "A length", low=0.0, above=True)
KIND = Choice("kind", "a", "Kind", "A kind", items=(("a", "A", ""), ("b", "B", "")))
SAFE = Switch("safe", None, "Safe", "Whether it is safe")
FILE = Text("file", None, "File", "A file", path=True)
WORDS = Text("words", "", "Words", "Some words")
BOX = Value("box", None, "Box", "A box", check=tuple, parse=lambda texts: [float(text) for text in texts], nargs=2)


@pytest.mark.parametrize(
    ("option", "value", "taken"),
    [
        (SHARE, 1, 1.0),
        (SHARE, np.float32(0.5), 0.5),
        (SHARE, np.int64(0), 0.0),
        (COUNT, np.int64(7), 7),
        (COUNT, 10**30, 10**30),
        (FOCAL, None, None),
        (FOCAL, 1e-9, 1e-9),
        (KIND, "b", "b"),
        (SAFE, None, None),
        (SAFE, np.True_, True),
        (SAFE, 0, False),
        (FILE, Path("a.pt"), Path("a.pt")),
        (FILE, None, None),
        (WORDS, "two words", "two words"),
        (BOX, [1, 2], (1, 2)),
    ],
)
def test_a_value_in_range_is_taken(option, value, taken):
    checked = option.checked(value)
    assert checked == taken
    assert type(checked) is type(taken)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        (SHARE, 1.5, "share must be a number from 0 to 1, not 1.5."),
        (SHARE, -0.1, "share must be a number from 0 to 1"),
        (SHARE, math.nan, "share must be a number from 0 to 1"),
        (SHARE, True, "share must be a number from 0 to 1, not True."),
        (SHARE, "0.5", "share must be a number from 0 to 1, not '0.5'."),
        (SHARE, np.zeros(2), "share must be a number"),
        (SHARE, None, "share must be a number from 0 to 1, not None."),
        (COUNT, 2.5, "count must be a whole number of at least 1, not 2.5."),
        (COUNT, 0, "count must be a whole number of at least 1, not 0."),
        (FOCAL, 0, "focal must be a number above 0, not 0."),
        (FOCAL, math.inf, "focal must be a number above 0, not inf."),
        (FOCAL, 10**400, "focal must be a number above 0"),
        (KIND, "c", "kind must be one of a, b, not 'c'."),
        (KIND, ["a"], "kind must be one of a, b"),
        (SAFE, 2, "safe must be True or False, not 2."),
        (SAFE, "yes", "safe must be True or False"),
        (SAFE, np.ones(3, bool), "safe must be True or False"),
        (FILE, 3, "file must be a name or path, not 3."),
        (WORDS, None, "words must be text, not None."),
    ],
)
def test_a_value_out_of_range_is_named(option, value, message):
    with pytest.raises(BadInput) as caught:
        option.checked(value)
    assert caught.value.message.startswith(message)
    assert caught.value.remedy


def test_checked_fills_in_the_defaults_and_leaves_other_names():
    assert Options(SHARE, KIND).checked({"kind": "b", "photo": object()}) == {"share": 0.5, "kind": "b"}


def test_options_of_a_model():
    options = Options(SHARE, Number("steps", 1, "Steps", "Steps", models=("sdxl",)))
    assert options.for_model("builtin").names == ("share",)
    assert options.for_model("sdxl").names == ("share", "steps")


def test_every_checkpoint_is_a_diffusion_model():
    builtin, other = (set(detail.OPTIONS.for_model(name).names) for name in ("builtin", "some/model.safetensors"))
    assert other == set(detail.OPTIONS.names)
    assert {"prompt", "steps", "control"} == {"prompt", "steps", "control", "feather", "seed"} & (other - builtin)


COMMAND_LINE = {action.dest: action for action in _parser()._actions}["task"].choices


@pytest.mark.parametrize(
    ("command", "options"),
    [(name, task.options) for name, task in _TASKS.items()] + [("detail", detail.OPTIONS)],
    ids=[*_TASKS, "detail"],
)
def test_the_command_line_has_every_option(command, options):
    actions = {action.dest: action for action in COMMAND_LINE[command]._actions}
    for option in (*options, *common.RUN):
        assert (option.name in actions) == option.cli, option.name
        if option.cli:
            action = actions[option.name]
            assert action.option_strings[0] == "--" + option.name.replace("_", "-")
            assert action.default is None, "what is not typed is left to the declaration"
            assert action.choices == option.arguments.get("choices")


@pytest.mark.parametrize("page", sorted(DOCS.glob("*.md")), ids=lambda page: page.stem)
def test_the_tables_in_docs_are_the_declaration(page):
    text = page.read_text("utf-8")
    assert updated(text) == text, "run: python -m maquette.inference.options docs"


def test_every_task_has_its_table():
    pages = "".join(page.read_text("utf-8") for page in DOCS.glob("*.md"))
    assert all(options.table() in pages for options, _ in TASKS.values())


def test_boxes_are_typed_as_json():
    for options in (people.OPTIONS, hands.OPTIONS):
        assert options["boxes"].parsed("[[1, 2, 3.5, 4]]") == [[1, 2, 3.5, 4]]
        for text in ("1 2 3 4", '{"box": 1}', "7", ""):
            with pytest.raises(BadInput, match="cannot be read"):
                options["boxes"].parsed(text)


def test_the_command_line_gives_only_what_was_typed():
    options = Options(SHARE, COUNT, KIND, SAFE, FILE, BOX, Option("hook", None, "Hook", "A hook", cli=False))
    parser = argparse.ArgumentParser()
    options.add_to(parser)
    assert options.chosen(parser.parse_args([])) == {}
    typed = ["--share", "0.25", "--count", "2", "--kind", "b", "--no-safe", "--file", "x", "--box", "1", "2"]
    expected = {"share": 0.25, "count": 2, "kind": "b", "safe": False, "file": "x", "box": [1.0, 2.0]}
    assert options.chosen(parser.parse_args(typed)) == expected
    assert "a share; default: 0.5" in parser.format_help()


def test_the_table_says_what_may_be_given():
    lines = Options(SHARE, FOCAL, KIND, WORDS).table().splitlines()
    assert lines[2:] == [
        "| `share` | 0.5 | from 0 to 1 | A share |",
        "| `focal` | automatic | above 0 | A length |",
        "| `kind` | `a` | `a`, `b` | A kind |",
        "| `words` | none | text | Some words |",
    ]
