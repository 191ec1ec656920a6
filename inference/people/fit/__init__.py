# SPDX-License-Identifier: GPL-3.0-or-later
"""Fitting the body to what is seen of a person, or of all the frames of one: skeleton, prior, observations, solver."""
