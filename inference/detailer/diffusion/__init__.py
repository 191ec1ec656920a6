# SPDX-License-Identifier: GPL-3.0-or-later
"""Stable Diffusion 1.5 and XL as an engine of the detailer; diffusers loads and holds the networks."""
