# SPDX-License-Identifier: GPL-3.0-or-later
"""Images: photos, float maps, pictures that hold their settings."""
