# SPDX-License-Identifier: GPL-3.0-or-later
"""Grids, reliefs and displacement; where a photo's pixels lie on a mesh."""
