# SPDX-License-Identifier: GPL-3.0-or-later
"""One thread: spinning OpenMP threads on a shared machine are many times slower than one."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
