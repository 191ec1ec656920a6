# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line in the `bpy` module, where there is no `blender --command`."""

import os
import sys

from .. import register
from . import command

register()
code = command(sys.argv[1:])
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)  # the bpy module of some versions crashes or hangs while Python ends
