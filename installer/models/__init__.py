# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of models, and their files."""
