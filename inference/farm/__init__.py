# SPDX-License-Identifier: GPL-3.0-or-later
"""Farms: what their managers are given, so that many machines do parts of one job."""

from __future__ import annotations

from pathlib import Path

#: The job type for Flamenco.
JOB_TYPE = Path(__file__).with_name("maquette.js")
