# SPDX-License-Identifier: GPL-3.0-or-later
"""Many inputs into files: what was given becomes jobs of one file each, and every job an outcome, never the end."""
