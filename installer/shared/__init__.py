# SPDX-License-Identifier: GPL-3.0-or-later
"""What every room of the installer uses: paths, reporting, processes, locks, errors."""
