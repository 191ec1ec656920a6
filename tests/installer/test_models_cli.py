# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m installer models` as a script or a render farm calls it: JSON, exit codes, nobody there to be asked."""

import io
import json
import sys
from pathlib import Path

import pytest
from maquette.installer.cli import commands, doctor
from maquette.installer.cli import models as models_cli
from maquette.installer.models import library, store
from maquette.installer.net import http

sys.path.insert(0, str(Path(__file__).parent))
import faulty_server as faults
from test_library import FREE, RESEARCH, root, server  # noqa: F401  fixtures


@pytest.fixture(autouse=True)
def no_network_chosen():
    yield
    http.set_network(None)


def models(*arguments: str) -> int:
    return commands.main(["models", *arguments])


def answer(capsys):
    return json.loads(capsys.readouterr().out)


def test_the_list_says_what_is_installed(root, capsys) -> None:  # noqa: F811
    assert models("list", "--json") == models_cli.DONE
    listed = {(entry["task"], entry["id"]): entry for entry in answer(capsys)}
    assert {key: entry["state"] for key, entry in listed.items()} == {
        ("depth", "ships"): "ships",
        ("depth", "free"): "not installed",
        ("normals", "free"): "not installed",
        ("hands", "research"): "not installed",
        ("people", "more"): "not installed",
    }
    research = listed["hands", "research"]
    assert not research["commercial"] and not research["licence_accepted"]
    assert research["register_at"] == ["https://example.org/register"]
    assert models("install", "free", "--yes") == models_cli.DONE
    capsys.readouterr()
    assert models("list", "--installed", "--task", "depth") == models_cli.DONE
    shown = capsys.readouterr().out
    assert "free" in shown and "installed" in shown and "research" not in shown
    assert models("list", "--task", "colours") == models_cli.FAILED


def test_show_is_a_question_with_an_exit_code(root, capsys) -> None:  # noqa: F811
    assert models("show", "free", "--json") == models_cli.NOT_WHOLE
    (entry,) = answer(capsys)
    assert entry["files"][0]["location"] == str(root / "free/one.safetensors") and entry["download_bytes"] > 0
    models("install", "free", "--yes")
    assert models("show", "free", "ships") == models_cli.DONE
    shown = capsys.readouterr().out
    assert "MIT" in shown and str(root) in shown
    assert models("show", "nothing", "--json") == models_cli.FAILED
    assert answer(capsys)["kind"] == "SetupError"


class TestInstall:
    def test_nothing_is_downloaded_unasked(self, root, capsys, server, monkeypatch) -> None:  # noqa: F811
        monkeypatch.setattr(sys, "stdin", io.StringIO(""))
        assert models("install", "free") == models_cli.NOT_ALLOWED
        said = capsys.readouterr().err
        assert "MB, into" in said and "licence: MIT; commercial use: yes" in said and "--yes" in said
        assert not server.requests

    @pytest.mark.parametrize(("typed", "code"), [("y\n", 0), ("no\n", 4), ("\n", 4)])
    def test_somebody_is_asked(self, root, capsys, monkeypatch, typed, code) -> None:  # noqa: F811
        terminal = io.StringIO(typed)
        terminal.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr(sys, "stdin", terminal)
        assert models("install", "free") == code
        assert library.overview(library.by_id("free")).state == ("installed" if code == 0 else "not installed")

    def test_the_result_as_json(self, root, capsys) -> None:  # noqa: F811
        assert models("install", "free", "--yes", "--json") == models_cli.DONE
        result = answer(capsys)
        assert result["downloaded"] == [str(root / "free/one.safetensors"), str(root / "free/two.safetensors")]
        assert result["installed"][0]["state"] == "installed"

    def test_a_non_commercial_licence_is_accepted_once(self, root, capsys, server, monkeypatch) -> None:  # noqa: F811
        monkeypatch.setattr(sys, "stdin", io.StringIO(""))
        assert models("install", "research", "--yes") == models_cli.NOT_ALLOWED
        assert "--accept-licence" in capsys.readouterr().err and not server.requests
        assert models("install", "research", "--yes", "--accept-licence", "--json") == models_cli.FAILED
        assert answer(capsys)["kind"] == "NeedsRegistration"
        assert (root / "research/net.safetensors").read_bytes() == RESEARCH
        assert models("install", "research", "--yes") == models_cli.FAILED, "the answer was kept"

    def test_optional_files(self, root, capsys) -> None:  # noqa: F811
        assert models("install", "more", "--yes") == models_cli.DONE
        assert models("install", "more", "--yes", "--optional", "--json") == models_cli.DONE
        assert answer(capsys)["downloaded"] == [str(root / "more/four.safetensors")]

    def test_a_mirror_and_a_proxy(self, root, server, capsys, monkeypatch) -> None:  # noqa: F811
        seen = []
        monkeypatch.setattr(models_cli.model_files, "install", lambda *_, **__: seen.append(http.chosen_network()))
        monkeypatch.setattr(
            models_cli, "_bring", lambda reporter, options, bring, said: bring(None, None) or ((), (), 0)
        )
        models("install", "free", "--mirror", "https://mirror.example.org", "--proxy", "http://proxy:8080")
        assert seen[0].hub_address == "https://mirror.example.org" and seen[0].proxy == "http://proxy:8080"


def test_verify_and_repair(root, capsys, server) -> None:  # noqa: F811
    assert models("verify") == models_cli.DONE and "No model" in capsys.readouterr().out
    models("install", "free", "--yes")
    capsys.readouterr()
    assert models("verify", "--json") == models_cli.DONE
    assert {entry["state"] for entry in answer(capsys)} == {"right"}
    (root / "free/one.safetensors").write_bytes(FREE[:-1] + b"?")
    assert models("verify", "free", "--json") == models_cli.NOT_WHOLE
    assert [entry["state"] for entry in answer(capsys)] == ["wrong", "right"]
    server.requests.clear()
    assert models("repair", "free", "--yes") == models_cli.DONE
    assert [path for path, _ in server.requests] == ["/free/resolve/main/one.safetensors"]
    assert models("verify") == models_cli.DONE


def test_import_and_delete(root, tmp_path, capsys, monkeypatch) -> None:  # noqa: F811
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "one.safetensors").write_bytes(FREE)
    assert models("import", str(tmp_path / "downloads"), "--json") == models_cli.DONE
    assert [entry["path"] for entry in answer(capsys)["taken"]] == ["free/one.safetensors"]
    assert models("import", str(tmp_path / "nowhere"), "--json") == models_cli.FAILED
    assert answer(capsys)["kind"] == "WrongFile"
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    assert models("delete", "free") == models_cli.NOT_ALLOWED
    assert (root / "free/one.safetensors").exists()
    capsys.readouterr()
    assert models("delete", "free", "--yes", "--json") == models_cli.DONE
    assert str(root / "free/one.safetensors") in answer(capsys)["deleted"]
    assert not (root / "free").exists()


def test_where(root, capsys, tmp_path, monkeypatch) -> None:  # noqa: F811
    monkeypatch.setenv("MAQUETTE_MODELS", f"{root}{models_cli.os.pathsep}{tmp_path / 'share'}")
    assert models("where", "--json") == models_cli.DONE
    roots = answer(capsys)["roots"]
    assert [(entry["folder"], entry["own"]) for entry in roots] == [
        (str(root), True),
        (str(tmp_path / "share"), False),
    ]
    assert roots[0]["free_mb"] > 0 and store.models_root() == root


def test_a_download_that_fails_says_why_and_keeps_what_came(root, capsys, server) -> None:  # noqa: F811
    server.always["/free/resolve/main/one.safetensors"] = faults.status(404)
    assert models("install", "free", "--yes", "--json") == models_cli.FAILED
    result = answer(capsys)
    assert result["kind"] == "NotThere" and "one.safetensors" in result["error"] and result["remedy"]


def test_doctor_tells_of_models(root, server) -> None:  # noqa: F811
    models("install", "free", "--yes")
    (root / "research").mkdir()
    (root / "research/net.safetensors").write_bytes(b"")
    report = doctor._models()
    assert report["installed"] == ["free"] and report["damaged"] == ["research"] and not report["shared"]
    assert "          -> python3 -m installer models repair research" in list(doctor._model_lines(report))
