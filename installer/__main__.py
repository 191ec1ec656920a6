# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m installer COMMAND`: every command sets up what it needs. Needs Python 3.11.

This file has to be readable for any older Python 3, so that its user gets a sentence instead of a traceback.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036
    sys.exit(
        "error: Maquette needs Python 3.11 or newer; this is Python {}.{}.\n"
        "Start it with a newer one, for example: python3.11 -m installer demo".format(*sys.version_info)
    )

from .cli.commands import main

sys.exit(main(sys.argv[1:]))
