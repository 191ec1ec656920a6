# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages, labels and tooltips as a native speaker would write them."""

import ast
import re
from pathlib import Path

import maquette
import pytest

ROOT = Path(str(maquette.__file__)).parent
#: "X is no Y" (but not "there is no Y"), and words that nobody says.
ODD = re.compile(r"(?<![Tt]here )\b(?:is|are) no(?:ne)? (?!longer\b|more\b)|(?<!--)\banew\b|\bminded\b|\btold\b")
ROOMS = ("hands", "people", "preprocessors", "options", "depth/__init__.py", "normals/__init__.py", "batch.py")
ROOMS += ("registry.py", "__init__.py", "__main__.py", "detailer")


def strings_of(path):
    """(line, text) of every string of a file that is not a docstring."""
    tree = ast.parse(path.read_text("utf-8"))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    bodies = [node.body[0] for node in ast.walk(tree) if isinstance(node, documented) and node.body]
    docstrings = {id(first.value) for first in bodies if isinstance(first, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def every_string_of(path):
    """(line, text) of every string, docstrings too, without names in back quotes."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, re.sub(r"`[^`]*`", "", node.value)


def odd(path, texts):
    return [f"{path.relative_to(ROOT)}:{line} {text!r}" for line, text in texts if ODD.search(text)]


@pytest.mark.parametrize("room", ROOMS)
def test_no_message_or_label_is_odd(room):
    files = [ROOT / "inference" / room] if room.endswith(".py") else sorted((ROOT / "inference" / room).rglob("*.py"))
    assert files
    assert not [line for path in files for line in odd(path, strings_of(path))]


@pytest.mark.parametrize("floor", ["installer", "blender_addon"])
def test_no_string_or_docstring_is_odd(floor):
    files = sorted((ROOT / floor).rglob("*.py"))
    assert len(files) > 40
    assert not [line for path in files for line in odd(path, every_string_of(path))]


@pytest.mark.parametrize(
    "text",
    ["a.txt is no picture", "Points are no body", "are none ", "Make it anew", "is minded", "They are told"],
)
def test_what_is_odd(text):
    assert ODD.search(text)


@pytest.mark.parametrize(
    "text", ["There is no photo", "there are no packages", "It is no longer there", "is not a folder", "--anew"]
)
def test_what_is_not(text):
    assert not ODD.search(text)
