# SPDX-License-Identifier: GPL-3.0-or-later
"""The catalogue of models: every entry is whole, and what lies on the disk is told without opening it."""

import csv
import re
from pathlib import Path

import pytest
from maquette.installer.environment.lock_files import CORE, FEATURES
from maquette.installer.models import catalogue, model_files, store, table

ROOT = Path(__file__).parents[2]

MODEL = """
[[model]]
id = "a"
task = "depth"
label = "A"
code = "depth.a"
licence = "MIT"
commercial = true
gated = false
memory_mb = 1
files = ["a/a.pth"]
"""
FILE = """
[[file]]
path = "a/a.pth"
licence = "MIT"
page = "https://example.org"
"""


def test_every_entry_is_whole() -> None:
    for model in catalogue.models():
        assert model.label and model.licence and len(model.label) <= 32
        assert (ROOT / "inference" / model.code.replace(".", "/")).with_suffix(".py").exists() or (
            ROOT / "inference" / model.code.replace(".", "/") / "__init__.py"
        ).exists()
        assert model.gated == any(file.gated for file in model.files)
        assert model.packages in (CORE, *FEATURES)
    needed = {file.path for model in catalogue.models() for file in model.everything}
    assert needed == {file.path for file in catalogue.files()}
    for file in catalogue.files():
        assert file.page.startswith("https://") and file.size
        assert bool(file.url) != file.gated
        assert not file.url or file.url.rpartition("/")[2] == file.path.rpartition("/")[2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MODEL, "which no .*file.* describes"),
        (MODEL + MODEL + FILE, "listed twice"),
        (MODEL + FILE + FILE, "listed twice"),
        (MODEL + FILE + "colour = 1", "colour"),
        (FILE.replace("a/a.pth", "../a.pth"), "outside"),
        (MODEL.replace('label = "A"', "") + FILE, "label"),
    ],
)
def test_a_wrong_entry_is_named(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        catalogue.read(text)


def test_what_lies_on_the_disk(tmp_path: Path) -> None:
    (model,), (file,) = catalogue.read(MODEL + FILE)
    path = store.locate(file, tmp_path)
    assert path == tmp_path / "a" / "a.pth"
    assert store.file_state(file, tmp_path) == store.MISSING and not store.is_installed(model, tmp_path)
    path.parent.mkdir()
    path.write_bytes(b"")
    assert store.file_state(file, tmp_path) == store.BAD_SIZE
    path.write_bytes(b"weights")
    assert store.file_state(file, tmp_path) == store.PRESENT and store.is_installed(model, tmp_path)
    path.rename(path.with_suffix(".safetensors"))
    assert store.file_state(file, tmp_path) == store.CONVERTED and store.is_installed(model, tmp_path)
    _, (sized,) = catalogue.read(FILE + "bytes = 9")
    path.write_bytes(b"another form of it")  # put there by hand
    assert store.file_state(sized, tmp_path) == store.PRESENT
    model_files.record(sized, path, "0" * 64, 18, "imported", False)
    assert store.file_state(sized, tmp_path) == store.PRESENT
    path.write_bytes(b"cut off since")
    assert store.file_state(sized, tmp_path) == store.BAD_SIZE


def test_what_ships_is_always_installed(tmp_path: Path) -> None:
    for model in catalogue.models():
        if model.id == "builtin":
            assert store.is_installed(model, tmp_path / "nowhere")


@pytest.mark.parametrize(("size", "words"), [(5_510_974_091, "5.5 GB"), (150_109_995, "150 MB"), (176_509, "177 kB")])
def test_sizes_in_words(size: int, words: str) -> None:
    assert catalogue.File("a", "MIT", "https://example.org", bytes=size).size == words
    assert catalogue.File("a", "MIT", "https://example.org", about_mb=493).size == "about 493 MB"


def test_the_documents_print_the_catalogue() -> None:
    assert table.tables() in (ROOT / "docs" / "models.md").read_text("utf-8"), "installer models list --markdown"


def _facts() -> dict[str, dict[str, str]]:
    """What public sources say of the catalogue's files, by address (of the newest revision)."""
    with (Path(__file__).parent / "data" / "catalogue_facts.tsv").open(encoding="utf-8", newline="") as file:
        return {row["url"]: row for row in reversed(list(csv.DictReader(file, delimiter="\t")))}


#: Files whose hash or length only one source gives, or of which several forms are right.
WEAK = ("rtdetr", "zoedepth-kitti/", "depth-anything-v2-large", "mlsd", "res101", "yolov8s", "epoch=35", "dpt-large")


@pytest.mark.parametrize("file", [file for file in catalogue.files() if file.url], ids=lambda file: file.path)
def test_addresses_lengths_and_checksums_are_those_of_the_facts(file: catalogue.File) -> None:
    facts = _facts()[re.sub(r"/resolve/[0-9a-f]{40}/", "/resolve/main/", file.url)]
    if any(weak in file.path for weak in WEAK):
        assert not file.sha256 and not file.bytes
        assert not facts["bytes"] or file.about_bytes == pytest.approx(int(facts["bytes"]), rel=0.06)
    else:
        assert file.sha256 == facts["sha256"] and str(file.bytes or "") == facts["bytes"]
    revision = re.search(r"\b[0-9a-f]{40}\b", facts["source"])
    assert revision is None or revision[0] in file.url


def test_commercial_use_has_three_states_and_licences_lead_to_where_they_were_read() -> None:
    by_id = {model.id: model for model in catalogue.models()}
    assert {by_id[name].commercial for name in ("metric3d-vit-small", "metric3d-vit-large", "pidinet")} == {"ask"}
    assert by_id["leres"].commercial is False and "Adobe" in by_id["leres"].licence
    assert by_id["sdxl"].commercial is True and not by_id["sdxl"].restriction
    for model in catalogue.models():
        assert model.commercial in (True, False, "ask")
        assert bool(model.licence_pages) == bool(model.files)
