# SPDX-License-Identifier: GPL-3.0-or-later
"""The worker's part of detailing."""
