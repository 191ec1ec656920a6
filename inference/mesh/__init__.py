# SPDX-License-Identifier: GPL-3.0-or-later
"""Meshes: the z-buffer rasteriser and linear blend skinning, shared by depth, hands and people."""
