# SPDX-License-Identifier: GPL-3.0-or-later
"""Metric3D v2: its network, and the pass that depth and normals share."""
