# SPDX-License-Identifier: GPL-3.0-or-later
"""The matched camera, its scale, lengths measured in it, and the scene's frames."""
