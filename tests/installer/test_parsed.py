# SPDX-License-Identifier: GPL-3.0-or-later
"""What a TOML file says is parsed once, and again when it has changed or what was kept is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
from maquette.installer.models import catalogue, parsed, store


def test_it_is_parsed_once_and_again_when_it_has_changed(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(store, "user_data", lambda: tmp_path / "user")
    file = tmp_path / "one.toml"
    file.write_text('name = "first"\n[[many]]\nx = 0.5\n', "utf-8")
    assert parsed.read_toml(file) == {"name": "first", "many": [{"x": 0.5}]}
    (kept,) = (tmp_path / "user" / "parsed").iterdir()
    kept.write_text('{"name": "kept"}', "utf-8")
    assert parsed.read_toml(file) == {"name": "kept"}
    kept.write_text("{", "utf-8")
    assert parsed.read_toml(file)["name"] == "first"
    file.write_text('name = "second"\n', "utf-8")
    assert parsed.read_toml(file) == {"name": "second"}
    assert len(list((tmp_path / "user" / "parsed").iterdir())) == 1
    file.write_text("name =", "utf-8")
    with pytest.raises(ValueError):
        parsed.read_toml(file)


def test_without_a_place_for_it_it_is_parsed_each_time(tmp_path, monkeypatch) -> None:
    (tmp_path / "user").write_text("a file where a folder should be")
    monkeypatch.setattr(store, "user_data", lambda: tmp_path / "user")
    file = tmp_path / "one.toml"
    file.write_text("x = 1\n", "utf-8")
    assert parsed.read_toml(file) == parsed.read_toml(file) == {"x": 1}


def test_the_catalogue_is_the_same_either_way(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(store, "user_data", lambda: tmp_path)
    path = Path(str(catalogue.__file__)).with_name("catalogue.toml")
    parsed.read_toml(path)
    assert catalogue.entries(parsed.read_toml(path)) == catalogue.read(path.read_text("utf-8"))
