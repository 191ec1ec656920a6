# SPDX-License-Identifier: GPL-3.0-or-later
"""Takes model files from the disk into the library: a file, a folder, or the archive that an owner hands out.

A file is recognised by its content (`sniff`). Where contents leave several possibilities (networks of one shape trained
on different things, bodies of different sexes) its name and folders decide among them; a name alone is never enough.
What comes is copied: the user's own files stay as and where they are.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from ..net.errors import DiskFull, WrongFile, disk_error
from ..net.partial_file import forget, part_of
from ..shared.disk import READ, fingerprint, hash_file, move_into_place
from . import catalogue, sniff, store
from .catalogue import File
from .library import own
from .model_files import Report, exclusive_access, is_our_conversion, record, require_room

#: Files of a folder that are looked at.
MOST = 20_000
#: Endings of model files inside archives, whose members have to be unpacked to be looked at.
_ENDINGS = (".pkl", ".npz", ".pth", ".pt", ".bin", ".ckpt", ".safetensors")
#: What reading a damaged archive can raise; RuntimeError: it asks for a password.
_DAMAGED = (
    zipfile.BadZipFile, zipfile.LargeZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, EOFError,
    RuntimeError, NotImplementedError,
)  # fmt: skip
_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.xz", ".tar.bz2")


@dataclass(frozen=True)
class ImportedFile:
    """A file that was recognised. source : where it lay.  path : where it lies now."""

    source: str
    file: File
    path: Path


@dataclass(frozen=True)
class Refusal:
    """What looked like a model and was not taken. remedy : a sentence, where there is a better one than the usual."""

    source: str
    why: str
    remedy: str = "Download it again from its page and import it unchanged."


@dataclass
class ImportResult:
    """What an import did.

    taken : copied.  known : in the library already.  refused : what looked like a model and is not one.
    seen : how many files were looked at.
    """

    taken: list[ImportedFile] = field(default_factory=list)
    known: list[ImportedFile] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    seen: int = 0


def import_from(source: Path, report: Report, path: str = "", replace: bool = False) -> ImportResult:
    """Copy every model file among `source` (a file, a folder or an archive) into the user's own root.

    path : take the file as this one of the catalogue, where it could be several.  replace : also where another file of
    that name is there already. Raises `WrongFile` where nothing is a model's file, and the errors of the disk.
    """
    source = source.expanduser().absolute()
    work = _Import(report, path, replace)
    outcome = work.outcome
    try:
        if not (source.is_file() or source.is_dir()):
            raise WrongFile(f"There is no file or folder {source}.", "Choose a file or a folder that exists.")
        for candidate in _candidates(source):
            outcome.seen += 1
            report(0.0, f"Looking at {candidate.name}")
            try:
                if candidate.name.lower().endswith(_ARCHIVES):
                    work.archive(candidate)
                else:
                    work.file(candidate, str(candidate), candidate)
            except OSError as error:
                if candidate == source or isinstance(disk_error(error, source), DiskFull):
                    raise
                outcome.refused.append(Refusal(str(candidate), f"it cannot be read ({error.strerror or error})"))
    except OSError as error:
        raise disk_error(error, source) from error
    if not outcome.taken and not outcome.known:
        raise _nothing(source, outcome)
    return outcome


def _nothing(source: Path, outcome: ImportResult) -> WrongFile:
    if not outcome.refused:
        return WrongFile(
            f"Nothing in {source} is a file of a known model ({outcome.seen} files were looked at).",
            "Choose the folder, the file or the archive that was downloaded from the model's page, unchanged.",
        )
    first = outcome.refused[0]
    more = f" (and {len(outcome.refused) - 1} more)" if len(outcome.refused) > 1 else ""
    name = first.source[len(str(source if source.is_dir() else source.parent)) :].strip(os.sep)
    return WrongFile(f"{name} cannot be taken: {first.why}{more}.", first.remedy)


def _candidates(source: Path) -> Iterator[Path]:
    """The file itself, or all files of a folder, without hidden ones and links to folders."""
    if not source.is_dir():
        yield source
        return
    count = 0
    for folder, below, names in os.walk(source):
        below[:] = sorted(name for name in below if not name.startswith("."))
        for name in sorted(names):
            count += 1
            if count > MOST:
                raise WrongFile(f"{source} holds more than {MOST:,} files.", "Choose the folder of the models itself.")
            path = Path(folder, name)
            if not name.startswith(".") and path.is_file():
                yield path


@dataclass
class _Import:
    """One import under way. as_path, replace : as `import_from` takes them."""

    report: Report
    as_path: str
    replace: bool
    outcome: ImportResult = field(default_factory=ImportResult)

    def file(self, path: Path, shown: str, named: Path) -> None:
        """Take one file; `named` is its name and folders, which are not those of a file unpacked from an archive."""
        contents = sniff.look(path)
        refused = self.outcome.refused
        try:
            file = self._file_of(path, named, contents)
        except WrongFile as error:
            refused.append(Refusal(shown, error.message.rstrip("."), error.remedy))
            return
        if file is not None:
            self._take(path, shown, file, own(file))
        elif (plain := _converted_copy(path, named)) is not None:
            self._take(path, shown, plain, store.converted(own(plain)) or own(plain))
        elif contents.damage and (contents.kind != sniff.OTHER or named.suffix in _ENDINGS):
            refused.append(Refusal(shown, contents.damage))
        elif contents.kind in (sniff.TORCH, sniff.SAFETENSORS, sniff.PICKLE) or named.suffix in _ENDINGS:
            refused.append(Refusal(shown, "it is not a file of a known model"))

    def _take(self, path: Path, shown: str, file: File, target: Path) -> None:
        present = store.locate(file) if target == own(file) else target
        if present.is_file() and present.stat().st_size:
            if present.samefile(path) or fingerprint(present) == fingerprint(path):
                self.outcome.known.append(ImportedFile(shown, file, present))
                return
            if present == target and not self.replace:
                why = f"the library already has another {target.name}; delete that one first"
                self.outcome.refused.append(Refusal(shown, why))
                return
        with exclusive_access(target, self.report):
            sha256, size = self._copy(path, target)
            if target == own(file):
                record(file, target, sha256, size, "imported", sha256 == file.sha256)
            if file.reported and Path(shown) == path:  # whose licence asks to be kept beside it
                for text in path.parent.glob("LICENSE*"):
                    if text.is_file() and not (target.parent / text.name).exists():
                        self._copy(text, target.parent / text.name)
        self.outcome.taken.append(ImportedFile(shown, file, target))

    def _copy(self, path: Path, target: Path) -> tuple[str, int]:
        """Copy a file under its published name in one step; SHA-256 and length of what was copied."""
        size = path.stat().st_size
        require_room(size, target.parent, f"Copying {target.name}")
        target.parent.mkdir(parents=True, exist_ok=True)
        forget(target)
        digest, done = hashlib.sha256(), 0
        try:
            with path.open("rb") as source, part_of(target).open("wb") as copy:
                for block in self._blocks(source, size, f"Copying {target.name}"):
                    copy.write(block)
                    digest.update(block)
                    done += len(block)
                copy.flush()
                os.fsync(copy.fileno())
            move_into_place(part_of(target), target)
        finally:
            with suppress(OSError):
                forget(target)
        return digest.hexdigest(), done

    def _blocks(self, source: IO[bytes], size: int, doing: str) -> Iterator[bytes]:
        """What a stream holds, with a report after each block has been dealt with."""
        done = 0
        while block := source.read(READ):
            done += len(block)
            yield block
            self.report(done / max(size, 1), f"{doing}: {done / 1e6:,.0f} of {size / 1e6:,.0f} MB")

    def _file_of(self, path: Path, named: Path, contents: sniff.Contents) -> File | None:
        """The catalogue's file that this is; None for none of them. Raises `WrongFile` where it could be several."""
        if contents.damage:
            return None
        size = path.stat().st_size
        fitting = [file for file in catalogue.files() if sniff.matches(file, contents, size, named.name)]
        if self.as_path:
            return next((file for file in fitting if file.path == self.as_path), None)
        hashed = [file for file in fitting if file.sha256]
        if hashed:
            sha256 = hash_file(path, lambda done: self.report(done / max(size, 1), f"Checking {named.name}"))
            right = [file for file in hashed if file.sha256 == sha256]
            # Another form of a published file is taken by its content; one of the same length is damaged or a forgery.
            fitting = right or [file for file in fitting if not file.sha256 or file.bytes != size]
        alone = [file for file in fitting if len(fitting) == 1 and file.sha256 and file.bytes == size]
        fitting = [file for file in fitting if not _contradicts(file, named)]
        # Every such folder holds a config.json: its own names have to say whose it is.
        fitting = [file for file in fitting if not file.inside or file in alone or _lies_in(file, named)]
        if len(fitting) > 1:
            hinted = _hinted(fitting, named)
            if len(hinted) != 1:
                choices = ", ".join(file.path for file in hinted or fitting)
                raise WrongFile(
                    f"it could be any of: {choices}.",
                    "Put it into a folder of the right one's name and import that, or name it with --as in a shell.",
                )
            fitting = hinted
        return fitting[0] if fitting else None

    def archive(self, archive: Path) -> None:
        """Look at the members that could be models. Each is unpacked under a name of ours, never under its own."""
        if zipfile.is_zipfile(archive) and sniff.look(archive).kind != sniff.OTHER:
            self.file(archive, str(archive), archive)
            return
        largest = max(file.about_bytes for file in catalogue.files()) * 1.2
        unpacked = store.models_root() / ".importing" / f"{os.getpid()}.part"
        unpacked.parent.mkdir(parents=True, exist_ok=True)
        try:
            for name, size, stream in _members(archive):
                if not name.lower().endswith(_ENDINGS) or size > largest:
                    continue
                self.outcome.seen += 1
                self.report(0.0, f"Unpacking {PurePosixPath(name).name}")
                self._unpack(stream, unpacked, size)
                named = Path(archive.stem, *(part for part in PurePosixPath(name).parts if part not in ("/", "..")))
                self.file(unpacked, f"{archive} ({name})", named)
        except (*_DAMAGED, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:  # of the disk; a damaged stream's have none
                raise
            self.outcome.refused.append(Refusal(str(archive), f"the archive is damaged or locked ({error})"))
        finally:
            with suppress(OSError):
                unpacked.unlink(missing_ok=True)
                unpacked.parent.rmdir()

    def _unpack(self, stream: IO[bytes], target: Path, size: int) -> None:
        """Write a member to the disk, as long as it says it is and no longer."""
        require_room(size, target.parent, "Unpacking")
        done = 0
        with target.open("wb") as file:
            for block in self._blocks(stream, size, "Unpacking"):
                done += len(block)
                if done > size:
                    raise zipfile.BadZipFile("a member is longer than it says")
                file.write(block)


def _hinted(files: list[File], named: Path) -> list[File]:
    """Those of several alike that the name or a folder of a file speaks for."""
    words = {word.lower() for part in (*named.parts, named.stem) for word in (part, *part.split("--"))}
    hints = {file: _hints(file) for file in files}
    common = set.intersection(*hints.values())
    return [file for file in files if not words.isdisjoint(hints[file] - common)]


def _lies_in(file: File, named: Path) -> bool:
    """Whether a file lies where it does in the folder that it is a part of, and one of its folders is called so."""
    inside = PurePosixPath(file.inside).parts
    above = {word.lower() for part in named.parts[: -len(inside)] for word in (part, *part.split("--"))}
    return named.parts[-len(inside) :] == inside and not above.isdisjoint(_hints(file))


def _hints(file: File) -> set[str]:
    path, page = PurePosixPath(file.path), file.page.rstrip("/").rpartition("/")[2]
    if file.inside:
        return {PurePosixPath(file.folder).name.lower(), page.lower()}
    return {hint.lower() for hint in (path.parent.name, path.stem, page)}


#: Bodies and hands that only their names tell apart here; the inference looks at a hand's shape when it loads one.
_VARIANTS = {
    "neutral": ("neutral", "_n_"), "female": ("female", "_f_"), "male": ("male", "_m_"), "left": ("left",),
    "right": ("right",),
}  # fmt: skip


def _variant(name: str) -> str:
    lowered = name.lower()
    return next((variant for variant, marks in _VARIANTS.items() if any(mark in lowered for mark in marks)), "")


def _contradicts(file: File, named: Path) -> bool:
    """Whether the name of a body or hand says that it is another one."""
    spec, found = _variant(file.name), _variant(named.name)
    return bool(spec and found and spec != found)


def _converted_copy(path: Path, named: Path) -> File | None:
    """The file that Maquette made this converted copy of, on another machine; its name and folder tell."""
    for file in catalogue.files():
        plain = store.converted(Path(file.path))
        if plain is not None and named.parts[-len(plain.parts) :] == plain.parts and is_our_conversion(path):
            return file
    return None


def _members(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    """Name, length and content of every plain file in an archive."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                if not entry.is_dir():
                    with opened.open(entry) as stream:
                        yield entry.filename, entry.file_size, stream
        return
    _check_gzip(archive)
    with tarfile.open(archive, "r|*") as tape:
        for member in tape:
            stream = tape.extractfile(member) if member.isfile() else None
            if stream is not None:
                yield member.name, member.size, stream


def _check_gzip(archive: Path) -> None:
    """Read a .tar.gz to its end: its checksum stands there, and `tarfile` does not look at it."""
    with archive.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            return
    with gzip.open(archive) as stream:
        while stream.read(READ):
            pass
