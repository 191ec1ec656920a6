# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks as Grease Pencil, splines, attributes and sequences."""
