# SPDX-License-Identifier: GPL-3.0-or-later
"""What every room needs: jobs, differences between Blenders, undo, axes, marks on what was built."""
