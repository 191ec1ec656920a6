# SPDX-License-Identifier: GPL-3.0-or-later
"""The models that ship with the extension and need no download."""
