# SPDX-License-Identifier: GPL-3.0-or-later
"""Published model files: read safely, checked key by key, converted once, and held in memory once."""

from .load import Published, Rules, load_network, missing, rename, state_dict

__all__ = ["Published", "Rules", "load_network", "missing", "rename", "state_dict"]
