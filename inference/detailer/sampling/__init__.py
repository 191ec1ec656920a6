# SPDX-License-Identifier: GPL-3.0-or-later
"""Noise schedules and samplers of diffusion models, on plain tensors: no model and no library of models is needed."""
