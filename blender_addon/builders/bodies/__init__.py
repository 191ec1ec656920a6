# SPDX-License-Identifier: GPL-3.0-or-later
"""Armatures, skins, actions, caches and rigs."""
