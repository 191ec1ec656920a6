# SPDX-License-Identifier: GPL-3.0-or-later
"""TOML files that are read while Blender starts. Parsing them takes longer than all else then, so what they say is kept
as JSON in the user's cache, under a name that follows from the file, its size and its time."""

from __future__ import annotations

import json
import os
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..shared.disk import whole_file


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file says. Raises ValueError where it is none."""
    from . import store  # which reads the catalogue by this

    found = path.stat()
    where = f"{path.stem}-{zlib.crc32(os.fsencode(path)):08x}-"  # several Blenders have Maquette each
    kept = store.user_data() / "parsed" / f"{where}{found.st_size}-{found.st_mtime_ns}.json"
    with suppress(OSError, ValueError):
        return json.loads(kept.read_text("utf-8"))
    import tomllib

    content = tomllib.loads(path.read_text("utf-8"))
    with suppress(OSError, TypeError):  # no place for it, or dates, which JSON has not
        text = json.dumps(content)
        kept.parent.mkdir(parents=True, exist_ok=True)
        for older in kept.parent.glob(f"{where}*.json"):
            older.unlink(missing_ok=True)
        with whole_file(kept) as part:
            part.write_text(text, "utf-8")
    return content
