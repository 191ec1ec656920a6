# SPDX-License-Identifier: GPL-3.0-or-later
"""The address at which scripts know the OpenEXR files: `from maquette.inference import exr`."""

from .photo.exr import *  # noqa: F403
