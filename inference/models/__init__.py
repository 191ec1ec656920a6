# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks that more than one task uses."""
