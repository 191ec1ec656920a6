# SPDX-License-Identifier: GPL-3.0-or-later
"""Pictures and meshes that tasks share: sizes, previews, rotations, rasteriser, skinning, relief grids, mask shapes."""
