# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job on real photographs, as `python3 -m installer demo` runs it."""
