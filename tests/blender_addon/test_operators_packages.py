# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing packages from inside Blender: the operators, and what the page shows in every state."""

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bpy
import maquette
import pytest
from maquette.blender_addon.core import jobs
from maquette.blender_addon.packages import operators as packages_work
from maquette.blender_addon.packages import page as packages_page
from maquette.blender_addon.packages import state as work
from maquette.blender_addon.preferences import apply_packages
from maquette.inference import Cancelled
from maquette.inference.runtime.device import missing_package
from maquette.installer.environment.accelerator import CPU, CUDA, Accelerator
from maquette.installer.environment.lock_files import FEATURES
from maquette.installer.packages import folders, manager
from maquette.installer.packages import status as package_status
from maquette.installer.packages.sources import Sources, chosen_sources, set_sources
from maquette.installer.packages.status import Group, Status
from maquette.installer.shared.errors import SetupError
from maquette.installer.shared.reporting import DownloadState


@pytest.fixture(autouse=True)
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MAQUETTE_PACKAGES", str(tmp_path / "packages"))
    monkeypatch.setattr(manager.store, "user_data", lambda: tmp_path)
    maquette.register()
    yield
    maquette.unregister()
    set_sources(None)
    folders.set_packages_root(None)
    work.look_again()


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maquette.blender_addon.core.online.is_online", lambda: True)
    monkeypatch.setattr(packages_page, "is_online", lambda: True)


class TestOperators:
    def test_without_leave_to_use_the_network(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("maquette.blender_addon.core.online.is_online", lambda: False)
        with pytest.raises(RuntimeError, match="not allowed to use the network"):
            bpy.ops.maquette.install_packages()
        outcome = jobs.outcome()
        assert outcome is not None and "offline folder" in outcome.remedy
        assert outcome.operator == "maquette.allow_online"

    def test_an_offline_folder_needs_no_network(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("maquette.blender_addon.core.online.is_online", lambda: False)
        asked: list[Any] = []
        monkeypatch.setattr(manager, "install", lambda *arguments, **named: asked.append((arguments, named)) or [])
        set_sources(Sources(wheels=str(tmp_path)))
        assert bpy.ops.maquette.install_packages(features="people detailer", anew=True) == {"FINISHED"}
        ((_, features, _), named) = asked[0]
        assert features == ["core", "people", "detailer"] and named == {"anew": True}
        assert jobs.outcome().line == "Installed the packages"  # type: ignore[union-attr]

    def test_progress_is_told_and_cancelling_stops_at_once(self, online: None, monkeypatch: pytest.MonkeyPatch) -> None:
        def install(python: str, features: list[str], callbacks: manager.InstallCallbacks, anew: bool) -> None:
            callbacks.line("This machine computes on: the processor")
            assert callbacks.loading is not None
            callbacks.loading(DownloadState(500_000_000, 2_000_000_000, 25e6, "torch"))
            started = time.monotonic()
            while time.monotonic() - started < 30:
                callbacks.tick()
                time.sleep(0.01)

        monkeypatch.setattr(manager, "install", install)
        told: list[tuple[float, str]] = []

        def on_progress(fraction: float, message: str) -> None:
            told.append((fraction, message))
            if "torch" in message:
                job.cancel()

        job = jobs.Job(
            "Install Packages", lambda report: install("", [], packages_work._watch(report), False), None, "library"
        )
        with pytest.raises(Cancelled):
            jobs.run(job, on_progress)
        assert told[-1][1] == "500 of 2,000 MB, 25.0 MB/s, torch" and 0.2 < told[-1][0] < 0.3

    def test_an_error_of_the_set_up_keeps_its_remedy(self, online: None, monkeypatch: pytest.MonkeyPatch) -> None:
        def install(*_arguments: Any, **_named: Any) -> None:
            raise SetupError("The disk is full.", "Free some space.")

        monkeypatch.setattr(manager, "install", install)
        with pytest.raises(RuntimeError, match=r"The disk is full\. Free some space\."):
            bpy.ops.maquette.install_packages()
        outcome = jobs.outcome()
        assert outcome is not None and outcome.failed and outcome.operator == "maquette.open_preferences"

    def test_damage_offers_the_repair(self, online: None, monkeypatch: pytest.MonkeyPatch) -> None:
        found = {"core": "damaged: scipy", "people": ""}
        monkeypatch.setattr(manager, "verify", lambda *arguments: found)
        with pytest.raises(RuntimeError, match="core is damaged: scipy"):
            bpy.ops.maquette.verify_packages()
        assert jobs.outcome().operator == "maquette.repair_packages"  # type: ignore[union-attr]
        found["core"] = ""
        bpy.ops.maquette.verify_packages()
        assert jobs.outcome().line == "The packages are intact and working"  # type: ignore[union-attr]

    def test_removing_says_what_it_gave_back(self) -> None:
        bpy.ops.maquette.remove_packages()
        assert jobs.outcome().line == "Removed the packages: 0 MB freed"  # type: ignore[union-attr]

    def test_a_missing_package_leads_to_its_group(self) -> None:
        error = missing_package("diffusers", ModuleNotFoundError("No module named 'diffusers'"))
        assert (error.operator, error.arguments) == ("maquette.install_packages", {"features": "detailer"})
        properties = bpy.ops.maquette.install_packages.get_rna_type().properties
        assert set(error.arguments) <= set(properties.keys())
        absent = ModuleNotFoundError("No module named 'transformers'")
        assert missing_package("transformers", absent, "maps").arguments == {"features": "maps"}  # two groups bring it
        assert missing_package("diffusers", absent, "maps").arguments == {"features": "detailer"}


class Chosen(SimpleNamespace):
    """Preferences as they are delivered."""

    def __init__(self, **changed: Any) -> None:
        names = (work.property_of(feature) for feature in FEATURES if feature != "core")
        plain: dict[str, Any] = dict.fromkeys((*names, "show_sources", "show_report"), False)
        super().__init__(**(plain | {"wheels_folder": ""} | changed))


class Recorder:
    """Stands where Blender has a layout: keeps what is drawn into it."""

    def __init__(self, drawn: list[Any] | None = None) -> None:
        self.__dict__["drawn"] = [] if drawn is None else drawn

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            first = arguments[-1] if arguments else ""
            item = SimpleNamespace(kind=name, name=first, text=named.get("text"), layout=self)
            self.drawn.append(item)
            return item if name == "operator" else Recorder(self.drawn)

        return call

    def buttons(self) -> list[str]:
        return [item.text for item in self.drawn if item.kind == "operator" and item.text]

    def texts(self) -> str:
        return " | ".join(str(item.text) for item in self.drawn if item.text)


READY = Group("core", package_status.READY, "torch 2.11.0 on a card, half precision", "/x", 5100, "cu128")


def drawn(monkeypatch: pytest.MonkeyPatch, core: Group, kept_mb: int = 0, **changed: Any) -> Recorder:
    status = Status("3.11", "/the/place", 40_000, [core, Group("people", package_status.NOT_INSTALLED)], kept_mb)
    monkeypatch.setattr(work, "status", lambda: status)
    monkeypatch.setattr(work, "look", lambda: None)
    monkeypatch.setattr(work.machine, "device", Accelerator(CUDA, "a card", "12.8", (8, 9), 16_000))
    monkeypatch.setattr(work.machine, "backend", "cu128")
    layout = Recorder()
    packages_page.draw(layout, Chosen(**changed))  # type: ignore[arg-type]
    return layout


class TestPage:
    def test_before_anything_is_installed(self, online: None, monkeypatch: pytest.MonkeyPatch) -> None:
        page = drawn(monkeypatch, Group("core", package_status.NOT_INSTALLED))
        assert page.buttons() == ["Install Packages"]
        for words in ("a card, driver for CUDA 12.8", "CUDA 12.8", "to download", "40.0 GB free", "/the/place"):
            assert words in page.texts()

    def test_a_group_that_is_ticked_is_added_alone(self, online: None, monkeypatch: pytest.MonkeyPatch) -> None:
        page = drawn(monkeypatch, READY, want_people=True)
        assert page.buttons() == ["Add Packages", "Verify", "Change Build", "Remove (5.1 GB)"]
        (add,) = [item for item in page.drawn if item.text == "Add Packages"]
        assert add.features == "people" and "2 MB to download" in page.texts()

    def test_a_group_is_offered_only_where_it_is_needed(self, online: None, monkeypatch: pytest.MonkeyPatch) -> None:
        page = drawn(monkeypatch, READY)
        assert "Person Detectors" not in page.texts() and page.buttons() == [
            "Verify",
            "Change Build",
            "Remove (5.1 GB)",
        ]
        error = missing_package("ultralytics", ModuleNotFoundError("No module named 'ultralytics'"))
        jobs.remember(jobs.Outcome.of(error))
        page = drawn(monkeypatch, READY)
        (add,) = [item for item in page.drawn if item.text == "Add Packages"]
        assert "Person Detectors (YOLO)" in page.texts() and add.features == "people"
        monkeypatch.setattr(work, "needed_groups", lambda: {"people"})
        assert work.wanted(Chosen()) == ["core", "people"]

    @pytest.mark.parametrize(
        ("state", "words", "buttons"),
        [
            (package_status.READY, "Ready: torch 2.11.0 on a card", ["Verify", "Change Build", "Remove (5.1 GB)"]),
            (package_status.RESTART, "Restart Blender", ["Verify", "Remove (5.1 GB)"]),
            (package_status.OUTDATED, "another version of Maquette", ["Update Packages"]),
            (package_status.INSTALLING, "Another Blender is installing them", []),
            (package_status.UNFIT, "Another add-on's packages are in the way", []),
            (package_status.UNSUPPORTED, "not supported", []),
        ],
    )
    def test_every_state(
        self, online: None, monkeypatch: pytest.MonkeyPatch, state: str, words: str, buttons: list[str]
    ) -> None:
        page = drawn(monkeypatch, Group("core", state, READY.detail, "/x", 5100, "cu128"))
        assert words in page.texts() and page.buttons() == buttons

    def test_damage_is_repaired(self, online: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(work.machine, "damaged", ("core",))
        page = drawn(monkeypatch, READY)
        assert page.buttons() == ["Repair", "Verify", "Remove (5.1 GB)"] and "files are missing" in page.texts()

    def test_an_unfinished_download_is_taken_up(self, online: None, monkeypatch: pytest.MonkeyPatch) -> None:
        page = drawn(monkeypatch, Group("core", package_status.NOT_INSTALLED), kept_mb=700)
        assert page.buttons() == ["Resume Installing Packages"] and "700 MB already downloaded" in page.texts()

    def test_offline(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("maquette.blender_addon.core.online.is_online", lambda: False)
        monkeypatch.setattr(packages_page, "is_online", lambda: False)
        page = drawn(monkeypatch, Group("core", package_status.NOT_INSTALLED))
        assert "Blender is offline" in page.texts()
        assert any(item.kind == "prop" and item.name == "wheels_folder" for item in page.drawn)
        page = drawn(monkeypatch, Group("core", package_status.UNSUPPORTED))
        assert "Blender is offline" not in page.texts(), "no network would help there"

    def test_the_report(self, online: None, monkeypatch: pytest.MonkeyPatch) -> None:
        proof = {
            "versions": {"torch": "2.11.0"},
            "numpy": {"version": "1.24.3"},
            "names": {"cuda": "a card"},
            "products": [
                {"device": "cuda", "type": "float16", "right": True, "relative_error": 4e-4},
                {"device": "xpu", "right": False, "error": "no kernel"},
            ],
        }
        group = Group("core", package_status.READY, "", "/x", 5100, "cu128", proof)
        shown = drawn(monkeypatch, group, show_report=True).texts()
        assert "numpy 1.24.3 is unchanged" in shown and "a card: test product in float16" in shown
        assert "xpu: no kernel" in shown

    def test_the_real_state_of_this_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        status = package_status.of_process()
        assert status.state == package_status.PROVIDED and work.ready()
        monkeypatch.setattr(work.machine, "device", Accelerator(CPU))
        layout = Recorder()
        packages_page.draw_install(layout, ["core", "people"])  # type: ignore[arg-type]
        assert "Core, Person Detectors (YOLO)" in layout.texts()


def test_the_preferences_choose_folder_and_sources(tmp_path: Path) -> None:
    chosen = SimpleNamespace(
        packages_folder=str(tmp_path / "here"),
        accelerator="cu126",
        package_index="https://mirror.example/simple",
        torch_index="",
        wheels_folder="",
    )
    apply_packages(chosen)
    assert folders.packages_root() == tmp_path / "here"
    assert chosen_sources() == Sources("cu126", "https://mirror.example/simple")
