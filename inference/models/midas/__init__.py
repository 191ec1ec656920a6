# SPDX-License-Identifier: GPL-3.0-or-later
"""MiDaS (DPT-Hybrid): its network, and what it sees."""
