# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m installer COMMAND`: the whole set-up is inside each command. Runs on plain Python 3.9."""

import sys

if sys.version_info < (3, 9):
    sys.exit("This needs Python 3.9 or newer. Start it with a newer one, for example: python3.11 -m installer demo")

from .cli.commands import main

sys.exit(main(sys.argv[1:]))
