# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the tables of parameters into the pages of a folder, between `<!-- parameters: TASK -->` and `<!-- end -->`.

python -m maquette.inference.options docs
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from . import depth, detail, hands, normals, people, preprocessors, segment

TASKS = {
    "depth": depth.OPTIONS,
    "normals": normals.OPTIONS,
    "hands": hands.OPTIONS,
    "people": people.OPTIONS,
    "maps": preprocessors.OPTIONS,
    "detail": detail.OPTIONS,
    "segment": segment.OPTIONS,
}
_TABLE = re.compile(r"(<!-- parameters: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(text: str) -> str:
    """A page with its tables as they are declared."""
    return _TABLE.sub(lambda found: found[1] + TASKS[found[2]].table() + found[3], text)


if __name__ == "__main__":
    for page in Path(sys.argv[1]).glob("*.md"):
        page.write_text(updated(page.read_text("utf-8")), "utf-8")
