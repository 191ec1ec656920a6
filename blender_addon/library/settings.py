# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the preferences that says where model files lie and how they are fetched.

Blender reads properties from annotations, so this module has no `from __future__ import annotations`.
"""

from typing import Any

import bpy
from bpy.props import BoolProperty, EnumProperty, StringProperty

from ...installer.models import catalogue, store

#: What can be done about a model where Blender may not use the network.
IMPORT_INSTEAD = "download the files on another computer and import them from disk"
#: Task -> its name on the page.
TASKS = {task: task.capitalize() for task in dict.fromkeys(model.task for model in catalogue.models())}


def _apply_folders(preferences: Any, _context: object) -> None:
    store.set_models_root(bpy.path.abspath(preferences.models_folder) or None)
    shared = bpy.path.abspath(preferences.shared_models)
    store.set_shared_roots([shared] if shared else [])


def _apply_network(preferences: Any, _context: object) -> None:
    from ...installer.net.http import Network, set_network

    ca_file = bpy.path.abspath(preferences.ca_file)
    set_network(Network(preferences.proxy, ca_file, preferences.hub, preferences.hub_token))


class LibrarySettings:
    """Properties of the preferences."""

    models_folder: StringProperty(
        name="Folder",
        description="Folder that models are downloaded to; empty for the one in your user data",
        subtype="DIR_PATH",
        update=_apply_folders,
    )
    shared_models: StringProperty(
        name="Shared Folder",
        description="A folder of models that is only read, such as a studio's; what lies there is not downloaded",
        subtype="DIR_PATH",
        update=_apply_folders,
    )
    proxy: StringProperty(
        name="Proxy",
        description="Address of a proxy, http://user:password@host:port; empty for the system's own",
        update=_apply_network,
    )
    ca_file: StringProperty(
        name="Certificates",
        description="Certificates to trust (PEM), where a firewall inspects the traffic; empty for the system's own",
        subtype="FILE_PATH",
        update=_apply_network,
    )
    hub: StringProperty(
        name="Hub Mirror",
        description="Address of a mirror of huggingface.co; empty for the hub itself, or what HF_ENDPOINT names",
        update=_apply_network,
    )
    hub_token: StringProperty(
        name="Hub Token",
        description="Access token of huggingface.co for models that need one; empty for HF_TOKEN. Blender keeps it in "
        "its preferences, readable for programs of yours",
        subtype="PASSWORD",
        update=_apply_network,
    )
    library_task: EnumProperty(
        name="Task", description="Whose models are shown", items=[(task, name, "") for task, name in TASKS.items()]
    )
    show_network: BoolProperty(name="Network", description="Mirror, token, proxy and certificates")


def apply(preferences: Any) -> None:
    """Take over what was chosen in an earlier session."""
    _apply_folders(preferences, None)
    if preferences.proxy or preferences.ca_file or preferences.hub or preferences.hub_token:
        _apply_network(preferences, None)
