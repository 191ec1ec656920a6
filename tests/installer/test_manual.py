# SPDX-License-Identifier: GPL-3.0-or-later
"""docs/: every link leads somewhere, every page is in the site, and the refusals it explains are the code's own."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from maquette.installer.cli import manual
from maquette.installer.environment import lock_files
from maquette.installer.environment.uv import Uv
from maquette.installer.shared.errors import SetupError
from maquette.installer.shared.paths import default_paths

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
]
ERRORS = {"MaquetteError", "BadInput", "NothingFound", "UnknownModel", "MissingModel", "BadModelFile", "SetupError"}
ERRORS |= {"MissingPackages", "OutOfMemory", "NoPython"}


def anchors(page: Path) -> set[str]:
    """Of a page's headings, as GitHub and MkDocs make them."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", page.read_text("utf-8"), flags=re.DOTALL), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", title).strip().lower() for title in titles)
    return {re.sub(r"[^\w\- ]", "", title).replace(" ", "-") for title in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_every_page_and_only_pages_are_in_the_site() -> None:
    listed = re.findall(r"([\w-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    assert sorted(listed) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))


def test_a_picture_is_used_somewhere_or_gone() -> None:
    text = "".join(page.read_text("utf-8") for page in PAGES)
    assert not [path.name for path in (ROOT / "docs" / "pictures").iterdir() if f"pictures/{path.name}" not in text]


def test_search_of_pages_on_a_disk_asks_no_other_server() -> None:
    """The plugin brings a script of another server, where none of this name is given."""
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    ours = re.search(r"polyfills: \[(\S*iframe-worker\S*)\]", text)
    assert ours and (ROOT / "docs" / ours[1]).is_file() and "offline]" in text


def refusals() -> set[tuple[str, str]]:
    """(message, remedy) of every error of the product, … in the place of what is only known when it is raised."""
    found = set()
    for floor in ("installer", "inference", "blender_addon"):
        for path in (ROOT / floor).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ERRORS and len(node.args) > 1:
                    found.add((_text(node.args[0]), _text(node.args[1])))
    return found


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else "…"


def test_the_sentences_of_the_troubleshooting_page_are_the_products() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")
    rows = re.findall(r"^\| (?!it says|---)(.+?) \| (.+?) \|$", page, re.MULTILINE)
    known = refusals()
    assert len(rows) > 30
    gone = [row for row in rows if row not in known and (row[0], "…") not in known]
    assert not gone, "docs/troubleshooting.md quotes what the code no longer says"


def test_a_site_that_cannot_be_built_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    started: list[list[str]] = []

    def stream(command, env, line):
        started.append(command)
        return 1, "Doc file 'a.md' contains a link 'b.md'"

    monkeypatch.setattr(manual, "stream", stream)
    with pytest.raises(SetupError, match=r"link 'b\.md'"):
        manual.build_manual(default_paths(), Uv(tmp_path / "uv", (1, 0, 0)))
    assert "--strict" in started[0] and str(ROOT / "mkdocs.yml") in started[0]


def test_the_manual_is_locked_by_itself() -> None:
    """A change to what builds the site builds no environment again."""
    pins = lock_files.read_lock(ROOT / "installer" / "locks" / f"{lock_files.MANUAL}.txt")
    assert {"mkdocs", "mkdocs-material"} <= {pin.name for pin in pins} and all(pin.hashes for pin in pins)
    assert {pin.name for pin in lock_files.select(pins, [lock_files.MANUAL])} == {pin.name for pin in pins}
