# SPDX-License-Identifier: GPL-3.0-or-later
"""Reader of catalogue.toml: every model, its licence, and the files it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from .parsed import read_toml


@dataclass(frozen=True)
class File:
    """A published file, under its own name.

    path : below the root of the model files.  url : where it can be downloaded, "" where only its `page` gives it out.
    mirrors : other public addresses of the same file.
    bytes, sha256 : of the published file, where independent sources agree; else 0 and "", and its content tells.
    reported : both are known from third parties alone: a file of another length or checksum is not refused.
        about_mb : its rough size, where only that is known.
    page : the page that describes it or, where `gated`, on which its owner hands it out after registration.
    within : the archive on that page in which everybody finds it, without registration; "" for none.
    licence_page : where the licence was read, "" for `page`.  further_licences : the pages of others that apply too.
    packages : the group of packages that reads it, where it is not the one of its model.
    holds, lacks : names of arrays that tell it from other files, with their shapes where names are not enough
        ("cls_token 1x1x384").
    inside : its path below the folder that it is a part of ("vae/config.json"), "" where it stands alone.
    """

    path: str
    licence: str
    page: str
    url: str = ""
    bytes: int = 0
    sha256: str = ""
    gated: bool = False
    within: str = ""
    about_mb: int = 0
    packages: str = ""
    holds: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    reported: bool = False
    mirrors: tuple[str, ...] = ()
    licence_page: str = ""
    further_licences: tuple[str, ...] = ()
    inside: str = ""

    @property
    def folder(self) -> str:
        """The folder of the files that belong together, below the root; "" where it stands alone."""
        return self.path.removesuffix(self.inside).rstrip("/") if self.inside else ""

    @property
    def name(self) -> str:
        """Its published name."""
        return self.path.rpartition("/")[2]

    @property
    def about_bytes(self) -> int:
        """Its bytes, or roughly; 0 where nothing is known."""
        return self.bytes or self.about_mb * 1_000_000

    @property
    def size(self) -> str:
        """Its size in words, "" where it is not known."""
        if self.bytes:
            return in_words(self.bytes)
        text = "text" if self.path.endswith((".json", ".txt", ".jinja")) else ""
        return f"about {in_words(self.about_mb * 1e6)}" if self.about_mb else text


def in_words(count: float) -> str:
    """So many bytes as an artist reads them."""
    megabytes = count / 1e6
    if megabytes >= 1000:
        return f"{megabytes / 1000:.1f} GB"
    return f"{megabytes:.0f} MB" if megabytes >= 1 else f"{megabytes * 1000:.0f} kB"


@dataclass(frozen=True)
class Model:
    """One entry of the catalogue.

    code : the module under `inference` that runs it.  memory_mb : weights in memory, float32.
    commercial : whether its results may be used commercially; "ask": its authors want to be asked first.
    ask_first : its licence has to be accepted although it allows commercial use.
    files : what it needs on the disk; none for what ships.  optional : what it can use beside that.
    options : what tells apart models that share their code.
    packages : the group of packages that it needs.  note : what else it needs, in a sentence.
    auto : how good it is for any photo where it is installed, among those that "auto" chooses from; 0 leaves it to be
        named. Only what may be used commercially has one: nobody is bound by a licence that they did not choose.
    same_as : the model that this is another name of, which scripts may go on using and menus do not show.
    """

    id: str
    task: str
    label: str
    code: str
    licence: str
    commercial: bool | Literal["ask"]
    gated: bool
    memory_mb: int
    files: tuple[File, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict, hash=False)
    packages: str = "core"
    note: str = ""
    optional: tuple[File, ...] = ()
    auto: int = 0
    same_as: str = ""
    ask_first: bool = False

    @property
    def restriction_first(self) -> str:
        """What has to be accepted before it is installed, as a sentence without its end; "" for nothing."""
        if self.commercial is False:
            return f"{self.label} may not be used commercially"
        return f"{self.label} comes with conditions" if self.ask_first else ""

    @property
    def size(self) -> str:
        """The size of its files in words, "" for what ships."""
        if not self.files:
            return ""
        rough = "about " if any(not file.bytes and file.size != "text" for file in self.files) else ""
        return rough + in_words(sum(file.about_bytes for file in self.files))

    @property
    def restriction(self) -> str:
        """What its licence says against commercial use, in words; "" for nothing."""
        return {True: "", False: "no commercial use", "ask": "ask its authors before commercial use"}[self.commercial]

    @property
    def licence_pages(self) -> tuple[str, ...]:
        """Where its licences were read; none for what ships."""
        pages = [page for file in self.files for page in (file.licence_page or file.page, *file.further_licences)]
        return tuple(dict.fromkeys(pages))

    @property
    def everything(self) -> tuple[File, ...]:
        """The files that it needs and those that it can use."""
        return self.files + self.optional

    @property
    def pages(self) -> tuple[str, ...]:
        """Where the user has to register for files that nobody else may hand out."""
        return tuple(dict.fromkeys(file.page for file in self.files if file.gated))


@lru_cache(maxsize=1)
def _content() -> tuple[tuple[Model, ...], tuple[File, ...]]:
    return entries(read_toml(Path(__file__).with_name("catalogue.toml")))


def read(text: str) -> tuple[tuple[Model, ...], tuple[File, ...]]:
    """The models and files of a catalogue. ValueError names an entry that is wrong."""
    import tomllib

    return entries(tomllib.loads(text))


def entries(content: Mapping[str, Any]) -> tuple[tuple[Model, ...], tuple[File, ...]]:
    """The same of a catalogue that has been parsed."""
    files: dict[str, File] = {}
    for entry in content.get("file", ()):
        file = _made(File, entry, "path")
        if file.path in files or file.path.startswith("/") or ".." in file.path.split("/"):
            raise ValueError(f"the file {file.path} is listed twice, or lies outside the root")
        files[file.path] = file
    folders = {folder["path"]: _folder(folder) for folder in content.get("folder", ())}
    files |= {file.path: file for inside in folders.values() for file in inside}
    models: dict[tuple[str, str], Model] = {}
    for entry in content.get("model", ()):
        named = {kind: entry[kind] for kind in ("files", "optional") if kind in entry}
        if "folder" in entry:
            inside = folders.get(entry["folder"])
            if inside is None:
                raise ValueError(f"the model {entry.get('id')} needs {entry['folder']}, which no [[folder]] describes")
            named["files"] = [file.path for file in inside]
            entry = {key: value for key, value in entry.items() if key != "folder"}
        unknown = [path for paths in named.values() for path in paths if path not in files]
        if unknown:
            raise ValueError(f"the model {entry.get('id')} needs {unknown[0]}, which no [[file]] describes")
        model = _made(Model, {**entry, **{kind: [files[path] for path in named[kind]] for kind in named}}, "id")
        if (model.task, model.id) in models:
            raise ValueError(f"the model {model.id} is listed twice for {model.task}")
        models[model.task, model.id] = model
    return tuple(models.values()), tuple(files.values())


def _folder(entry: Mapping[str, Any]) -> list[File]:
    """The files of a folder that is used whole. url : where they lie.  files : of each its path in it and, where they
    are known, its bytes and SHA-256."""
    common = {key: value for key, value in entry.items() if key not in ("path", "url", "files")}
    made = []
    for line in entry["files"]:
        inside, *known = line.split()
        size, sha256 = known or ("0", "")
        place = {"path": f"{entry['path']}/{inside}", "url": f"{entry['url']}/{inside}", "inside": inside}
        made.append(_made(File, {**common, **place, "bytes": int(size), "sha256": sha256}, "path"))
    return made


def _made(kind: type, entry: Mapping[str, object], name: str) -> Any:
    try:
        return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()})
    except TypeError as error:  # a field too few or unknown
        raise ValueError(f"the entry {entry.get(name)}: {error}") from error


def models(task: str | None = None) -> tuple[Model, ...]:
    """All models, or those of one task, in the order in which they are offered."""
    return tuple(model for model in _content()[0] if task in (None, model.task))


def files() -> tuple[File, ...]:
    """All published files."""
    return _content()[1]
