# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkout's environments: one for each Blender, from the committed lock files."""
