# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the preferences that says which packages are installed, where they lie and where they come from.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ...installer.environment.lock_files import FEATURES
from ...installer.packages.features import CORE
from .state import look_again

#: Group -> its name on the page.
LABELS = {
    CORE: "Core",
    "people": "People",
    "detailer": "Detailer",
    "maps": "Further Maps",
    "licensed-body": "Licensed Bodies",
}

#: Build of torch, by the name that its index has for it -> what the user reads.
ACCELERATORS = (
    ("auto", "Automatic", "What the graphics driver can run"),
    ("cpu", "Processor", "The smallest build, for machines without a graphics card"),
    ("cu130", "CUDA 13.0", "NVIDIA, GTX 16 and RTX 20 or newer, with a driver of 2025 or later"),
    ("cu128", "CUDA 12.8", "NVIDIA, GTX 16 and RTX 20 or newer"),
    ("cu126", "CUDA 12.6", "NVIDIA, GTX 900 to RTX 40"),
    ("rocm7.1", "ROCm 7.1", "AMD, under Linux"),
    ("rocm6.4", "ROCm 6.4", "AMD, under Linux"),
    ("xpu", "Intel XPU", "Intel Arc and Core Ultra"),
    ("registry", "Registry's Own", "What the registry has: CUDA 13 under Linux, the processor's build under Windows"),
)


def _apply(preferences: Any, _context: object) -> None:
    from ...installer.packages.folders import set_packages_root
    from ...installer.packages.sources import Sources, set_sources

    set_packages_root(bpy.path.abspath(preferences.packages_folder) or None)
    accelerator = "" if preferences.accelerator == "auto" else preferences.accelerator
    wheels = bpy.path.abspath(preferences.wheels_folder)
    set_sources(Sources(accelerator, preferences.package_index, preferences.torch_index, wheels))
    look_again()


class PackageSettings:
    """Properties of the preferences."""

    packages_folder: StringProperty(
        name="Folder",
        description="Folder that the packages are installed to; empty for the one in your user data. Several Blenders "
        "share it",
        subtype="DIR_PATH",
        update=_apply,
    )
    accelerator: EnumProperty(
        name="Build for", description="Which build of PyTorch is installed", items=ACCELERATORS, update=_apply
    )
    package_index: StringProperty(
        name="Registry",
        description="Address of a package registry or a mirror of it; empty for PyPI, or what pip is configured with",
        update=_apply,
    )
    torch_index: StringProperty(
        name="PyTorch's Registry",
        description="Address of a mirror of download.pytorch.org/whl, where PyTorch's builds for graphics cards are",
        update=_apply,
    )
    wheels_folder: StringProperty(
        name="Offline Folder",
        description="A folder of wheels that was filled on another computer; with it, no registry is asked",
        subtype="DIR_PATH",
        update=_apply,
    )
    want_people: BoolProperty(name=LABELS["people"], description=FEATURES["people"])
    want_detailer: BoolProperty(name=LABELS["detailer"], description=FEATURES["detailer"])
    want_maps: BoolProperty(name=LABELS["maps"], description=FEATURES["maps"])
    want_licensed_body: BoolProperty(name=LABELS["licensed-body"], description=FEATURES["licensed-body"])
    show_sources: BoolProperty(name="Sources", description="Build of PyTorch, registries, and the offline folder")
    show_report: BoolProperty(name="Report", description="What the packages were found to do on this machine")


def wanted(preferences: Any) -> list[str]:
    """The groups that are ticked; the core always is."""
    return [CORE, *(feature for feature in FEATURES if feature != CORE and getattr(preferences, property_of(feature)))]


def property_of(feature: str) -> str:
    return f"want_{feature.replace('-', '_')}"


def apply(preferences: Any) -> None:
    """Take over what was chosen in an earlier session."""
    _apply(preferences, None)
