# SPDX-License-Identifier: GPL-3.0-or-later
"""What a proof says: the faults that users meet, each as one sentence with its remedy."""

import platform
from pathlib import Path
from typing import Any

import pytest
from maquette.installer.packages import features, proof
from maquette.installer.shared.errors import SetupError

LOCKS = Path(proof.__file__).parents[1] / "locks"


def report(**changed: Any) -> dict[str, Any]:
    good = {"numpy": {"version": "1.24.3", "untouched": True}, "errors": [], "devices": ["cpu"], "device": "cpu"}
    return good | changed


def failed(module: str, error: str, kind: str = "ImportError", missing: str | None = None) -> dict[str, Any]:
    return report(errors=[{"module": module, "kind": kind, "missing": missing, "error": error}])


@pytest.mark.parametrize(
    ("found", "words", "remedy"),
    [
        (report(numpy={"version": "2.0", "untouched": False}), "take the place of Blender's own numpy", "registry"),
        (failed("torch", "[WinError 126] The module c10.dll"), "cannot load one of its libraries", "Redistributable"),
        (failed("cv2", "DLL load failed while importing cv2"), "cannot load one of its libraries", "Redistributable"),
        (failed("torch", "[WinError 1114] routine failed"), "does not start on this Windows", "graphics driver"),
        (failed("cv2", "libGL.so.1: cannot open shared object file"), "system library libGL.so.1", "holds libGL.so.1"),
        (failed("scipy", "module compiled against ABI 2 but this numpy is 1"), "does not fit this Blender", "4.2"),
        (failed("timm", "No module named 'yaml'", missing="yaml"), "the module yaml is missing", "Repair"),
        (failed("diffusers", "The 'requests' distribution metadata was not found"), "has no requests", "Blender's own"),
        (report(devices=["cuda"]), "gives wrong results on this processor", "another accelerator"),
    ],
)
def test_every_fault_has_its_sentence(found: dict[str, Any], words: str, remedy: str) -> None:
    with pytest.raises(SetupError) as caught:
        proof.judge(found)
    assert words in caught.value.message and remedy in caught.value.remedy


def test_a_good_one_passes() -> None:
    proof.judge(report())


def test_a_card_that_does_not_compute_is_told_and_no_error() -> None:
    broken = {"device": "cuda", "right": False, "error": "no kernel image is available"}
    assert "no kernel image" in proof.slower_than_hoped(report(products=[broken]), "cu128")
    assert "torch finds none" in proof.slower_than_hoped(report(products=[]), "cu128")
    assert proof.slower_than_hoped(report(), "cpu") == proof.slower_than_hoped(report(device="cuda"), "cu128") == ""


def test_a_python_that_dies_is_one_sentence() -> None:
    with pytest.raises(SetupError, match="Python ended while it loaded the packages"):
        proof.prove("/bin/false" if Path("/bin/false").exists() else "where", [], [])


@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_the_groups_do_not_overlap_with_the_core(python: str) -> None:
    groups = {feature: features.pins_of(LOCKS, python, feature) for feature in features.offered(LOCKS, python)}
    core = {pin.name for pin in groups.pop("core")}
    assert {"torch", "opencv-python"} <= core
    for feature, pins in groups.items():
        assert pins and not core & {pin.name for pin in pins}, feature
        assert not {"numpy", "requests", "opencv-python-headless", "matplotlib"} & {pin.name for pin in pins}


@pytest.mark.parametrize(
    ("module", "feature"),
    [("torch", "core"), ("cv2", "core"), ("PIL.Image", "core"), ("ultralytics.nn.tasks", "people"),
     ("diffusers", "detailer"), ("smplx", "licensed-body"), ("something_else", "core"), ("", "core")],
)  # fmt: skip
def test_a_module_leads_to_its_group(module: str, feature: str) -> None:
    assert features.feature_of(module) == feature


def test_pins_of_other_systems_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features.sys, "platform", "win32")
    monkeypatch.setattr(platform, "machine", lambda: "AMD64")
    assert features.applies("sys_platform == 'win32'") and not features.applies("sys_platform == 'linux'")
    assert features.applies("platform_machine == 'x86_64' or platform_machine == 'AMD64'")
    assert not features.applies("platform_machine == 'AMD64' and sys_platform != 'win32'")
    assert features.applies("python_full_version < '3.12'") and features.applies("")
