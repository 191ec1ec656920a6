# SPDX-License-Identifier: GPL-3.0-or-later
"""Preferences: packages, device, memory and models.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

from collections.abc import Callable
from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, FloatProperty, StringProperty

from ..installer.environment.lock_files import FEATURES, LABELS
from ..installer.models import store
from .core.choices import PACKAGE, preferences
from .library.state import TASKS
from .packages import state as package_state

#: Build of torch, by the name that its index has for it -> what the user reads.
_BUILDS = (
    ("auto", "Automatic", "The best that the graphics driver supports"),
    ("cpu", "CPU", "The smallest build, for machines without a graphics card"),
    ("cu130", "CUDA 13.0", "NVIDIA, GTX 16 and RTX 20 or newer, with a driver of 2025 or later"),
    ("cu128", "CUDA 12.8", "NVIDIA, GTX 16 and RTX 20 or newer"),
    ("cu126", "CUDA 12.6", "NVIDIA, GTX 900 to RTX 40"),
    ("rocm7.1", "ROCm 7.1", "AMD, on Linux"),
    ("rocm6.4", "ROCm 6.4", "AMD, on Linux"),
    ("xpu", "Intel XPU", "Intel Arc and Core Ultra"),
    ("registry", "Registry Default", "The package registry's build: CUDA 13 on Linux, CPU on Windows"),
)
_DEVICES = (
    ("AUTO", "Automatic", "The fastest available device"),
    ("cuda", "CUDA or ROCm", "NVIDIA or AMD graphics card"),
    ("mps", "Metal", "Apple GPU"),
    ("xpu", "XPU", "Intel graphics card"),
    ("cpu", "CPU", "Processor only"),
)


def apply_packages(chosen: Any, _context: object = None) -> None:
    """Hand the preferences of packages on to the installer."""
    from ..installer.packages.folders import set_packages_root
    from ..installer.packages.sources import Sources, set_sources

    set_packages_root(bpy.path.abspath(chosen.packages_folder) or None)
    accelerator = "" if chosen.accelerator == "auto" else chosen.accelerator
    wheels = bpy.path.abspath(chosen.wheels_folder)
    set_sources(Sources(accelerator, chosen.package_index, chosen.torch_index, wheels))
    package_state.look_again()


def apply_models(chosen: Any, _context: object = None) -> None:
    """Hand the folders of models on to the installer."""
    store.set_models_root(bpy.path.abspath(chosen.models_folder) or None)
    shared = bpy.path.abspath(chosen.shared_models)
    store.set_shared_roots([shared] if shared else [])


def apply_network(chosen: Any, _context: object = None) -> None:
    """Hand the preferences of downloads on to the installer."""
    from ..installer.net.http import Network, set_network

    set_network(Network(chosen.proxy, bpy.path.abspath(chosen.ca_file), chosen.hub, chosen.hub_token))


def _text(name: str, description: str, update: Callable[[Any, Any], None], subtype: Any = "NONE") -> Any:
    return StringProperty(name=name, description=description, subtype=subtype, update=update)


def _group(name: str) -> Any:
    return BoolProperty(name=LABELS[name], description=f"{FEATURES[name]}. Install it even if no model needs it")


class MAQUETTE_AP_preferences(bpy.types.AddonPreferences):
    bl_idname = PACKAGE

    packages_folder: _text(
        "Folder",
        "Folder for the packages; empty for the one in your user data. Several Blenders share it",
        apply_packages,
        "DIR_PATH",
    )
    accelerator: EnumProperty(
        name="PyTorch Build", description="Which build of PyTorch is installed", items=_BUILDS, update=apply_packages
    )
    package_index: _text(
        "Package Registry",
        "Address of a package registry or a mirror; empty for the one that uv or pip is configured with",
        apply_packages,
    )
    torch_index: _text(
        "PyTorch Registry",
        "Address of a mirror of PyTorch's own registry, which has the builds for graphics cards",
        apply_packages,
    )
    wheels_folder: _text(
        "Offline Folder",
        "A folder of wheels that was filled on another computer; with it, no registry is used",
        apply_packages,
        "DIR_PATH",
    )
    want_people: _group("people")
    want_detailer: _group("detailer")
    want_maps: _group("maps")
    want_licensed_body: _group("licensed-body")
    want_photogrammetry: _group("photogrammetry")
    show_sources: BoolProperty(name="Sources", description="PyTorch build, registries, and the offline folder")
    show_report: BoolProperty(name="Report", description="Versions, and what the test of the packages found")

    device: EnumProperty(name="Device", description="Device to compute on", items=_DEVICES)
    half_precision: BoolProperty(
        name="Half Precision", description="Compute in 16 bits on the graphics card: faster, with half the memory"
    )
    idle_minutes: FloatProperty(
        name="Keep Models (Minutes)",
        description="Minutes after the last job until models are removed from memory; 0 keeps them",
        default=10.0,
        min=0.0,
        soft_max=60.0,
    )
    free_before_render: BoolProperty(
        name="Free Memory Before Rendering",
        description="Remove the models from memory when a render starts, so that it has the whole graphics card",
        default=True,
    )

    models_folder: _text(
        "Folder", "Folder for downloaded models; empty for the one in your user data", apply_models, "DIR_PATH"
    )
    shared_models: _text(
        "Shared Folder",
        "A read-only folder of models, such as a studio's; models found there are not downloaded",
        apply_models,
        "DIR_PATH",
    )
    library_task: EnumProperty(
        name="Task",
        description="Task whose models are listed",
        items=[(task, name, "") for task, name in TASKS.items()],
    )
    show_network: BoolProperty(name="Network", description="Mirror, token, proxy and certificates")
    hub: _text(
        "Hub Mirror", "Address of a mirror of huggingface.co; empty for HF_ENDPOINT or the hub itself", apply_network
    )
    hub_token: _text(
        "Hub Token",
        "Access token of huggingface.co, for models that need one; empty for HF_TOKEN. Blender stores it unencrypted "
        "in its preferences",
        apply_network,
        "PASSWORD",
    )
    proxy: _text(
        "Proxy", "Address of a proxy, http://user:password@host:port; empty for the system's own", apply_network
    )
    ca_file: _text(
        "Certificates",
        "Certificates to trust (PEM), where a firewall inspects the traffic; empty for the system's own",
        apply_network,
        "FILE_PATH",
    )

    def draw(self, context: Any) -> None:
        from .library import page as library_page
        from .packages import page as packages_page

        layout = self.layout
        layout.use_property_split = True
        layout.use_property_decorate = False
        packages_page.draw(layout, self)
        layout.separator()
        for names in (("device", "half_precision"), ("idle_minutes", "free_before_render")):
            column = layout.column()
            for name in names:
                column.prop(self, name)
        layout.separator()
        library_page.draw(layout, self)


def register() -> None:
    bpy.utils.register_class(MAQUETTE_AP_preferences)
    chosen = preferences()
    if chosen is not None:
        apply_models(chosen)
        if chosen.proxy or chosen.ca_file or chosen.hub or chosen.hub_token:
            apply_network(chosen)
        apply_packages(chosen)
    package_state.start()


def unregister() -> None:
    bpy.utils.unregister_class(MAQUETTE_AP_preferences)
