# SPDX-License-Identifier: GPL-3.0-or-later
"""Where packages come from, as preferences, the command line or the environment say. The network's own settings (proxy,
certificates) are in `network`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from ..shared.errors import SetupError

#: Let the driver decide which build of torch is taken.
AUTO = "auto"


@dataclass(frozen=True)
class Sources:
    """What is chosen; "" takes what the environment says.

    accelerator : the build of torch by uv's name ("cpu", "cu128", "rocm6.4", "xpu"), "registry" for the registry's own.
    index : address of the package registry or its mirror.  torch_index : of a mirror of torch's own index, below which
    each build has a folder.  wheels : a folder of wheels; with it no registry is asked.
    """

    accelerator: str = ""
    index: str = ""
    torch_index: str = ""
    wheels: str = ""

    @property
    def folder(self) -> Path | None:
        """The folder of wheels to install from without a network, or None."""
        name = self.wheels or os.environ.get("MAQUETTE_WHEELS", "")
        if not name:
            return None
        folder = Path(name).expanduser().absolute()
        if not folder.is_dir():
            raise SetupError(f"There is no folder {folder}.", "Choose the folder that holds the downloaded wheels.")
        return folder

    def variables(self) -> dict[str, str]:
        """uv's variables for them."""
        if self.folder is not None:
            return {"UV_NO_INDEX": "1", "UV_FIND_LINKS": "", "UV_OFFLINE": "1"}  # the folder itself: FIND_HERE
        if self.index and "://" not in self.index and not Path(self.index).is_dir():
            message = f"{self.index} is not the address of a package registry."
            raise SetupError(message, "Write it as https://pypi.example.org/simple.")
        return {"UV_DEFAULT_INDEX": self.index} if self.index else {}


#: All as the environment says.
NO_CHOICE = Sources()

#: uv takes a comma or a space in a folder's name for the end of it; so it is started in the folder.
FIND_HERE = ("--find-links", ".")

_chosen = NO_CHOICE


def set_sources(sources: Sources | None) -> None:
    """Let preferences choose; None goes back to the environment."""
    global _chosen
    _chosen = sources or NO_CHOICE


def chosen_sources() -> Sources:
    return _chosen
