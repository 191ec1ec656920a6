# SPDX-License-Identifier: GPL-3.0-or-later
"""What exists, where it comes from and where it lies. Standard library only."""
