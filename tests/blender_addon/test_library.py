# SPDX-License-Identifier: GPL-3.0-or-later
"""The library of models in Blender: one operator for each thing, errors with the button that mends them."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import maquette
import pytest
from maquette.blender_addon.core import jobs, remembered
from maquette.blender_addon.core.remembered import forget
from maquette.blender_addon.library import choice, operators, page, state
from maquette.blender_addon.ui import job_display
from maquette.inference.errors import MissingModel
from maquette.installer.models import catalogue, library, licences, store
from maquette.installer.net import http
from maquette.installer.shared.errors import SetupError

sys.path.insert(0, str(Path(__file__).parents[1] / "installer"))
import faulty_server as faults
from test_library import FREE, root, server  # noqa: F401  fixtures


@pytest.fixture(scope="module", autouse=True)
def made_of_the_real_catalogue():
    """Menus list the catalogue that is there when they are first imported, not the one of these tests."""
    maquette.register()
    maquette.unregister()


@pytest.fixture(autouse=True)
def registered(root):  # noqa: F811
    maquette.register()
    forget()
    yield
    maquette.unregister()
    http.set_network(None)


@pytest.fixture
def online(monkeypatch):
    monkeypatch.setattr(operators, "require_online", lambda instead="": None)


def state_of(name: str) -> str:
    return library.overview(library.by_id(name)).state


class TestInstall:
    def test_from_a_script_to_its_end(self, root, online) -> None:  # noqa: F811
        assert bpy.ops.maquette.install_model(model="free") == {"FINISHED"}
        assert (root / "free/one.safetensors").read_bytes() == FREE
        outcome = jobs.outcome()
        assert outcome is not None and outcome.line == "Installed Free" and not outcome.failed
        bpy.ops.maquette.install_model(file="free/one.safetensors")
        assert jobs.outcome().line == "Free is already installed"

    def test_without_leave_to_use_the_network(self, server, monkeypatch) -> None:  # noqa: F811
        monkeypatch.setattr("maquette.blender_addon.core.online.is_online", lambda: False)
        with pytest.raises(RuntimeError, match="not allowed to use the network"):
            bpy.ops.maquette.install_model(model="free")
        outcome = jobs.outcome()
        assert outcome is not None and "import them from disk" in outcome.remedy
        assert outcome.operator == "maquette.allow_online" and not server.requests

    def test_a_non_commercial_licence_is_accepted_once(self, online, server) -> None:  # noqa: F811
        with pytest.raises(RuntimeError, match="may not be used commercially"):
            bpy.ops.maquette.install_model(model="research")
        outcome = jobs.outcome()
        assert outcome is not None and not server.requests
        assert (outcome.operator, outcome.arguments) == ("maquette.install_model", (("model", "research"),))
        with pytest.raises(RuntimeError, match=r"BODY\.pkl"):
            bpy.ops.maquette.install_model(model="research", accept=True)
        assert not licences.is_needed(library.by_id("research"))
        assert "https://example.org/register" in jobs.outcome().remedy

    def test_a_download_that_fails_is_one_sentence(self, online, server) -> None:  # noqa: F811
        server.always["/free/resolve/main/one.safetensors"] = faults.status(404)
        with pytest.raises(RuntimeError, match=r"has no one\.safetensors"):
            bpy.ops.maquette.install_model(model="free")

    def test_an_unknown_model(self) -> None:
        with pytest.raises(RuntimeError, match="Unknown model: nothing"):
            bpy.ops.maquette.install_model(model="nothing")

    def test_it_does_not_keep_a_photo_waiting(self, online, server) -> None:  # noqa: F811
        """Downloads have a thread of their own, and can be stopped alone."""
        server.always["/free/resolve/main/one.safetensors"] = faults.stalls(1000)
        download = jobs.submit(operators.MAQUETTE_OT_install_model.job(_called(model="free")))
        while download.state is jobs.State.WAITING:
            time.sleep(0.01)
        photo = jobs.submit(jobs.Job("Photo", lambda report: "seen", lambda result: str(result)))
        assert photo.wait(20)
        while download.state is jobs.State.WAITING:  # its thread may begin later
            time.sleep(0.01)
        assert download.state is jobs.State.RUNNING
        jobs.pump()
        assert photo.state is jobs.State.DONE
        bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
        assert not download.cancelled, "opening another file stops what would be built into this one only"
        bpy.ops.maquette.cancel_library()
        assert download.wait(20) and download.state is jobs.State.CANCELLED
        jobs.pump()
        assert not jobs.active()


def _called(**named: Any) -> Any:
    """An operator as Blender would make it, without Blender."""
    made = SimpleNamespace(model="", file="", accept=False, optional=False)
    made.__dict__.update(named)
    made.chosen = lambda: operators.MAQUETTE_OT_install_model.chosen(made)
    return made


class TestKeeping:
    def test_verify_repair_and_delete(self, root, online) -> None:  # noqa: F811
        bpy.ops.maquette.install_model(model="free")
        bpy.ops.maquette.verify_models()
        assert jobs.outcome().line == "2 of 2 files match their checksums"
        (root / "free/one.safetensors").write_bytes(FREE[:-1] + b"?")
        with pytest.raises(RuntimeError, match="published checksum"):
            bpy.ops.maquette.verify_models(model="free")
        outcome = jobs.outcome()
        assert (outcome.operator, outcome.arguments) == ("maquette.repair_model", (("model", "free"),))
        bpy.ops.maquette.repair_model(model="free")
        assert (root / "free/one.safetensors").read_bytes() == FREE
        assert jobs.outcome().line == "Free: 1 file downloaded again"
        bpy.ops.maquette.delete_model(model="free")
        assert state_of("free") == library.NOT_INSTALLED and not (root / "free").exists()

    def test_import(self, root, tmp_path) -> None:  # noqa: F811
        (tmp_path / "one.safetensors").write_bytes(FREE)
        (tmp_path / "other.pth").write_bytes(b"<html>")
        bpy.ops.maquette.import_models(filepath=str(tmp_path) + "/")
        assert (root / "free/one.safetensors").read_bytes() == FREE
        assert jobs.outcome().line == "Imported one.safetensors; skipped 1 other file"
        with pytest.raises(RuntimeError, match="web page"):
            bpy.ops.maquette.import_models(filepath=str(tmp_path / "other.pth"))


class TestRemedies:
    def test_a_missing_file_leads_to_its_model(self) -> None:
        error = MissingModel("It is missing.", "Get it.", "maquette.install_model", {"file": "free/one.safetensors"})
        outcome = jobs.Outcome.of(error)
        layout = Recorder()
        job_display.draw_remedy(layout, outcome)
        (button,) = layout.operators()
        assert button.name == "maquette.install_model" and button.file == "free/one.safetensors"
        assert button.text == "Install Free..."
        assert layout.operator_context == "INVOKE_DEFAULT", "a popup would install without asking"

    def test_the_real_error_of_a_missing_model(self, photo, monkeypatch) -> None:
        monkeypatch.undo()  # the real catalogue, and no models
        monkeypatch.setenv("MAQUETTE_MODELS", "/nowhere")
        from maquette.inference import estimate_normals

        with pytest.raises(MissingModel) as caught:
            estimate_normals(photo, "midas")
        assert caught.value.operator == "maquette.install_model"
        model = operators._named("", caught.value.arguments["file"])
        assert model is not None and model.id == "midas"


class Recorder:
    """Stands where Blender has a layout: keeps what is drawn into it."""

    def __init__(self, drawn: list | None = None) -> None:
        self.__dict__["drawn"] = [] if drawn is None else drawn

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            item = SimpleNamespace(kind=name, name=arguments[0] if arguments else "", text=named.get("text"))
            self.drawn.append(item)
            return item if name == "operator" else Recorder(self.drawn)

        return call

    def operators(self) -> list[Any]:
        return [item for item in self.drawn if item.kind == "operator"]

    def texts(self) -> str:
        return " | ".join(str(item.text) for item in self.drawn if item.text)


def drawn_model(name: str) -> Recorder:
    forget()
    layout = Recorder()
    page._draw_model(layout, library.by_id(name), 80)  # type: ignore[arg-type]
    return layout


class TestPage:
    def test_every_state_has_its_words_and_buttons(self, root, online) -> None:  # noqa: F811
        def buttons(layout: Recorder) -> list[str]:
            return [button.name.removeprefix("maquette.") for button in layout.operators()]

        assert buttons(drawn_model("ships")) == []
        new = drawn_model("free")
        assert buttons(new) == ["install_model"] and "MIT" in new.texts()
        bpy.ops.maquette.install_model(model="free")
        assert buttons(drawn_model("free")) == ["verify_models", "delete_model"]
        (root / "free/one.safetensors").write_bytes(b"")
        damaged = drawn_model("free")
        assert buttons(damaged) == ["repair_model", "delete_model"] and "damaged" in damaged.texts()
        research = drawn_model("research")
        assert buttons(research) == ["wm.url_open", "install_model"]
        assert "no commercial use" in research.texts() and "BODY.pkl is only available" in research.texts()
        assert research.operators()[0].url == "https://example.org/register"

    def test_the_packages_that_a_model_needs(self, monkeypatch) -> None:
        model = replace(library.by_id("free"), packages="detailer")
        monkeypatch.setattr(state, "importable", lambda group: False)
        forget()
        assert state.missing_groups(model) == ["detailer"] and not state.missing_groups(library.by_id("free"))

        def unknown(group: str) -> bool:
            raise SetupError("There are no packages for this Python.", "Use another.")

        monkeypatch.setattr(state, "importable", unknown)
        forget()
        assert state.missing_groups(model) == ["detailer"], "the page is drawn all the same"
        monkeypatch.setattr(state, "importable", lambda group: True)
        forget()
        assert not state.missing_groups(model)

    def test_an_installed_model_offers_the_packages_that_it_lacks(self, online, monkeypatch) -> None:
        """Not before: whoever installs no such model needs no such packages."""
        models = [replace(model, packages="detailer") if model.id == "free" else model for model in catalogue.models()]
        monkeypatch.setattr(catalogue, "models", lambda task=None: tuple(models))
        monkeypatch.setattr(state, "importable", lambda group: False)
        forget()
        assert state.needed_groups() == set() and "Needs more packages" not in drawn_model("free").texts()
        bpy.ops.maquette.install_model(model="free")
        drawn = drawn_model("free")
        assert state.needed_groups() == {"detailer"} and "Needs more packages: Stable Diffusion" in drawn.texts()
        assert drawn.operators()[0].name == "maquette.install_packages" and drawn.operators()[0].features == "detailer"

    def test_a_detector_on_the_disk_needs_its_packages(self, root, monkeypatch) -> None:  # noqa: F811
        model = library.by_id("research")
        file = replace(model.files[0], path="yolo/person.pt", packages="people", sha256="", bytes=0)
        models = (*catalogue.models(), replace(model, id="tracked", files=(), optional=(file,)))
        monkeypatch.setattr(catalogue, "models", lambda task=None: models)
        forget()
        assert state.groups_of(models[-1]) == []
        (root / "yolo").mkdir(parents=True)
        (root / "yolo/person.pt").write_bytes(b"layers")
        forget()
        assert state.groups_of(models[-1]) == ["people"]

    def test_an_error_offers_the_packages_that_it_asks_for(self) -> None:
        jobs.remember(
            jobs.Outcome("Missing.", True, "Install it.", "maquette.install_packages", (("features", "maps"),))
        )
        assert state.needed_groups() == {"maps"}
        jobs.remember(None)
        assert state.needed_groups() == set()

    def test_the_dialog_shows_size_licence_and_page(self) -> None:
        layout = Recorder()
        page.draw_install(layout, SimpleNamespace(), library.by_id("research"))  # type: ignore[arg-type]
        said = layout.texts()
        assert "to download" in said and "Non-commercial" in said and "only available from its owner" in said
        assert any(item.kind == "prop" for item in layout.drawn), "the licence is to be accepted"

    def test_the_sidebar_offers_what_is_missing(self, online) -> None:
        def drawn(model: str) -> Recorder:
            forget()
            layout = Recorder()
            choice.draw_choice(layout, SimpleNamespace(model=model), "depth")  # type: ignore[arg-type]
            return layout

        (button,) = drawn("free").operators()
        assert button.text.startswith("Install Free (") and button.model == "depth/free"
        assert not drawn("ships").operators()
        bpy.ops.maquette.install_model(model="free")
        assert not drawn("free").operators()

    def test_a_slow_disk_is_not_asked_at_every_redraw(self, monkeypatch) -> None:
        asked = []
        look = library.overview
        monkeypatch.setattr(library, "overview", lambda model: asked.append(model) or look(model))
        for _ in range(20):
            state.overview(library.by_id("free"))
        assert len(asked) == 1
        known = remembered._answers["depth", "free"]
        remembered._answers["depth", "free"] = (time.monotonic() - 60, *known[1:])
        state.overview(library.by_id("free"))
        assert len(asked) == 2
        jobs.remember(jobs.Outcome("Deleted"))
        state.overview(library.by_id("free"))
        assert len(asked) == 3, "a job may have changed it"

    def test_every_task_has_a_menu_of_models(self) -> None:
        tasks = {model.task for model in catalogue.models()}
        for task in tasks & set(state.TASKS):
            assert hasattr(bpy.types, f"MAQUETTE_MT_{task}_models")
        assert store.models_root()


def test_automatic_offers_the_smallest_better_model_until_one_is_there(monkeypatch) -> None:
    def model(name: str, auto: int, megabytes: int = 0) -> SimpleNamespace:
        return SimpleNamespace(id=name, auto=auto, files=[SimpleNamespace(about_bytes=megabytes)] * bool(megabytes))

    models: Any = [model("ships", 30), model("large", 50, 900), model("small", 40, 70), model("named", 0, 5)]
    there = {"ships"}
    monkeypatch.setattr(
        choice,
        "overview",
        lambda one: SimpleNamespace(state=library.SHIPS if one.id in there else library.NOT_INSTALLED),
    )
    offered: Any = choice.better(models)
    assert offered.id == "small"
    there.add("named")
    assert choice.better(models) is offered
    there.add("small")
    assert choice.better(models) is None
    assert choice.better(models[:1]) is None
