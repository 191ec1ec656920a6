# SPDX-License-Identifier: GPL-3.0-or-later
"""`python3 -m installer manual`: docs/ as a site, by MkDocs, which lies in an environment of its own in uv's cache.

Every link, anchor and picture is looked up; one that leads nowhere fails the build, and so the test command's check.
"""

from __future__ import annotations

import sys
from pathlib import Path

from ..environment import uv
from ..environment.lock_files import MANUAL
from ..shared.errors import SetupError
from ..shared.paths import Paths
from ..shared.processes import stream

#: Stills what MkDocs' theme has to say of MkDocs.
_QUIET = {"NO_MKDOCS_2_WARNING": "1"}


def build_manual(paths: Paths, tool: uv.Uv) -> Path:
    """Build `out/manual`; returns its first page. SetupError names every link that leads nowhere."""
    site = paths.out / "manual"
    command = [str(tool.path), "run", "--no-project", "--isolated", "--no-config", "--python", sys.executable]
    command += ["--with-requirements", str(paths.locks / f"{MANUAL}.txt"), "python", "-m", "mkdocs", "build"]
    command += ["--strict", "--quiet", "--clean", "-f", str(paths.root / "mkdocs.yml"), "-d", str(site)]
    code, output = stream(command, tool.environment(_QUIET), lambda line: None)
    if code:
        raise SetupError(f"The manual cannot be built:\n{output.strip()}", "Mend what is named above.")
    return site / "index.html"
