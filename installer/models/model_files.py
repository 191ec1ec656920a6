# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing, checking, repairing and deleting the files of models."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from ..net.download import RETRY_POLICY, SPARE, DownloadedFile, DownloadSpec, Progress, RetryPolicy, fetch
from ..net.errors import (
    DiskFull,
    NeedsRegistration,
    NoConnection,
    NotThere,
    NotWritable,
    Refused,
    WrongFile,
    disk_error,
)  # fmt: skip
from ..net.http import Network, chosen_network
from ..net.partial_file import part_of, partial_bytes, record_of
from ..shared.disk import fingerprint, hash_file, write_json
from ..shared.filelock import file_lock
from . import catalogue, sniff, store
from .addresses import addresses
from .catalogue import File, Model, in_words
from .library import existing, overview, own, why_not

#: What a check of a file says. PLAUSIBLE: its structure is right, but no checksum says that it is the published file.
RIGHT, PLAUSIBLE, WRONG, ABSENT = "right", "plausible", "wrong", "absent"

#: fraction from 0 to 1 and a line; raises to stop.
Report = Callable[[float, str], None]


@dataclass(frozen=True)
class Verdict:
    """What a check found."""

    file: File
    path: Path
    state: str
    why: str
    sha256: str = ""


def install(
    model: Model,
    report: Report,
    network: Network | None = None,
    retry_policy: RetryPolicy = RETRY_POLICY,
    optional: bool = False,
) -> list[Path]:
    """Download what a model lacks, on request with its optional files; returns the downloaded files.

    What only its owner hands out is asked for at the end, with `NeedsRegistration`. Several processes may do this at
    once: one downloads a file, the others wait for it. The licence has been accepted by then.
    """
    state = overview(model)
    lacking = state.to_download + (state.to_add if optional else ())
    if lacking:
        require_room(sum(max(0, file.about_bytes - partial_bytes(own(file))) for file in lacking), store.models_root())
    come: list[Path] = []
    done, total = 0, max(1, sum(file.about_bytes for file in lacking))
    for file in lacking:

        def tell(progress: Progress, file: File = file, before: int = done) -> None:
            share = progress.fraction * file.about_bytes if file.about_bytes else progress.done
            report(min(1.0, (before + share) / total), _words(file, progress))

        come.append(_install_file(file, tell, report, network, retry_policy).path)
        done += file.about_bytes
    _require_registration(model, overview(model).to_register)
    return come


def _require_registration(model: Model, files: Sequence[File]) -> None:
    if files:
        names = " and ".join(file.name for file in files)
        packed, own = [file for file in files if file.within], [file for file in files if not file.within]
        steps = [f"Download {file.within} from {file.page}, and import it as it is." for file in packed]
        if own:
            pages, it = " and ".join(dict.fromkeys(file.page for file in own)), "it" if len(own) == 1 else "them"
            steps.insert(0, f"Register at {pages}, accept the licence, download {it}, and import {it} from disk.")
        raise NeedsRegistration(f"{model.label} also needs {names}, which only its owner distributes.", " ".join(steps))


def require_room(needed: int, folder: Path, doing: str = "The download") -> None:
    """Raise `DiskFull` unless so many bytes, and some to spare, are free where `folder` lies or will lie."""
    free = shutil.disk_usage(existing(folder)).free
    if needed + SPARE > free:
        raise DiskFull(
            f"{doing} needs {in_words(needed)}, but the disk of {folder} has {in_words(free)} free.",
            "Free some space, or choose another folder for the models.",
        )


def _install_file(
    file: File, tell: Callable[[Progress], None], report: Report, network: Network | None, retry_policy: RetryPolicy
) -> DownloadedFile:
    target = own(file)
    with exclusive_access(target, report):
        if store.file_state(file) in (store.PRESENT, store.CONVERTED):  # the one that was waited for has brought it
            found = store.locate(file)
            return DownloadedFile(found, 0, "", False)
        fetched, address = _fetch(file, target, tell, network or chosen_network(), retry_policy)
        record(file, target, fetched.sha256, fetched.bytes, address, fetched.checked)
        return fetched


def _fetch(
    file: File, target: Path, tell: Callable[[Progress], None], network: Network, retry_policy: RetryPolicy
) -> tuple[DownloadedFile, str]:
    """Download a file from the first of its addresses that has it; also returns that address."""
    first, silent = None, set()
    for address in addresses(file, network):
        if urlsplit(address).hostname in silent:
            continue
        try:
            return fetch(download_spec(file, address), target, tell, network, retry_policy), address
        except (NotThere, Refused, WrongFile, NoConnection) as error:
            if partial_bytes(target):  # kept for the next attempt at the same address
                raise
            first = first or error
            if isinstance(error, NoConnection):
                silent.add(urlsplit(address).hostname)
    assert first is not None  # a file without an address is never downloaded
    raise first


def download_spec(file: File, address: str = "") -> DownloadSpec:
    """What to download for a file of the catalogue, from one of its addresses, and how to know it."""

    def check(path: Path) -> None:
        reason = sniff.check(file, path)
        if reason:
            raise WrongFile(
                f"What the server sends as {file.name} is not that file: {reason}.",
                f"Choose another mirror, or get it from {file.page} and import it from disk.",
            )

    return DownloadSpec(address or file.url, file.bytes, file.sha256, file.page, check)


def _words(file: File, progress: Progress) -> str:
    """The name, megabytes, speed and the time that is left."""
    if progress.message != "Downloading":
        return f"{file.name}: {progress.message}"
    of = f" of {progress.total / 1e6:,.0f}" if progress.total else ""
    line = f"{file.name}: {progress.done / 1e6:,.0f}{of} MB"
    if progress.speed:
        line += f", {progress.speed / 1e6:,.1f} MB/s"
        seconds = (progress.total - progress.done) / progress.speed if progress.total else 0
        if seconds > 90:
            line += f", {seconds / 60:.0f} min left"
        elif seconds > 1:
            line += f", {seconds:.0f} s left"
    return line


@contextmanager
def exclusive_access(target: Path, report: Report) -> Iterator[None]:
    """While this is held, nobody else changes the file or its partial one. The lock stays behind, in a hidden folder
    of the root: removing it would let a third process in beside the second."""
    root = store.models_root()
    try:
        name = hashlib.sha256(str(target.relative_to(root)).encode()).hexdigest()[:16]
        lock = root / ".locks" / f"{name}.lock"
        lock.parent.mkdir(parents=True, exist_ok=True)
        waiting = "Another Maquette is using this file; waiting for it to finish"
        with file_lock(lock, lambda line: report(0.0, waiting), 0.2, lambda: report(0.0, waiting)):
            yield
    except OSError as error:
        raise disk_error(error, target) from error


def record(file: File, path: Path, sha256: str, size: int, source: str, checked: bool) -> None:
    """Keep what a file was when it came, so that a later check can tell whether it still is."""
    content = {"file": file.path, "bytes": size, "sha256": sha256, "from": source, "published checksum": checked}
    try:
        write_json(store.note_of(path), content)
    except OSError as error:
        raise disk_error(error, path) from error


def verify(file: File, report: Report) -> Verdict:
    """Read a file from beginning to end, and compare it with the published or the recorded checksum."""
    path, state = store.locate(file), store.file_state(file)
    try:
        if state == store.CONVERTED:
            plain = store.converted(path)
            assert plain is not None
            damage = sniff.look(plain).damage
            return Verdict(file, plain, WRONG if damage else PLAUSIBLE, damage and f"{plain.name}: {damage}")
        if state in (store.MISSING, store.PARTIAL):
            return Verdict(file, path, ABSENT, why_not(file, path, state))
        return _verify_bytes(file, path, report)
    except OSError as error:
        raise disk_error(error, path) from error


def _verify_bytes(file: File, path: Path, report: Report) -> Verdict:
    size = path.stat().st_size
    reason = sniff.check(file, path)
    if reason:
        return Verdict(file, path, WRONG, f"{file.name}: {reason}")

    def tell(done: int) -> None:
        report(done / max(size, 1), f"Checking {file.name}: {done / 1e6:,.0f} of {size / 1e6:,.0f} MB")

    sha256 = hash_file(path, tell)
    known = store.recorded(path).get("sha256")
    if file.sha256 == sha256:
        return Verdict(file, path, RIGHT, "", sha256)
    if known:
        whose = "the published" if known == file.sha256 else "its recorded"
        words = "" if known == sha256 else f"{file.name} does not match {whose} checksum"
        return Verdict(file, path, WRONG if words else RIGHT, words, sha256)
    if file.sha256 and file.bytes in (0, size) and not file.reported:
        return Verdict(file, path, WRONG, f"{file.name} does not match the published checksum", sha256)
    if store.models_root() in path.parents:
        record(file, path, sha256, size, "found", False)
    form = "another form of the published file" if file.sha256 else "no checksum is published"
    form = "its checksum is not the one that others report" if file.reported else form
    return Verdict(file, path, PLAUSIBLE, f"not verified: {form}", sha256)


def repair(
    model: Model, report: Report, network: Network | None = None, retry_policy: RetryPolicy = RETRY_POLICY
) -> list[Path]:
    """Check every file of a model, remove what is wrong, and download what is missing; returns what was downloaded.

    A wrong file that only its owner hands out is not removed but renamed to NAME.wrong.
    """
    for file in model.everything:
        verdict = verify(file, report)
        if verdict.state != WRONG:
            continue
        if store.models_root() not in verdict.path.parents:
            raise NotWritable(
                f"{verdict.why}, and lies in a shared folder ({verdict.path.parent}).",
                "Ask the one who keeps that folder to replace it.",
            )
        with exclusive_access(own(file), report):
            _remove_converted(own(file))
            store.note_of(own(file)).unlink(missing_ok=True)
            if file.url:
                own(file).unlink(missing_ok=True)
            elif own(file).exists():
                own(file).replace(own(file).with_name(f"{file.name}.wrong"))
    return install(model, report, network, retry_policy)


def deletable(model: Model) -> list[Path]:
    """Everything in the user's own root that deleting a model removes: its files, what was made of them, and unfinished
    downloads; not what another installed model needs too. A folder that leads out of the root is left alone."""
    return [path for file in model.everything for path in _deletable(model, file)]


def _deletable(model: Model, file: File) -> list[Path]:
    target = own(file)
    others = (other for other in catalogue.models() if other.id != model.id and file in other.everything)
    if not _inside(target) or any(store.is_installed(other) for other in others):
        return []
    plain = store.converted(target)
    belonging = [target, *([plain] if plain else []), store.note_of(target), part_of(target), record_of(target)]
    return [path for path in belonging if path.is_file() or path.is_symlink()] + _converted_elsewhere(target)


def delete(model: Model, report: Report) -> list[Path]:
    """Delete the files of a model; returns those that are gone."""
    going = {file: _deletable(model, file) for file in model.everything}  # before the first goes: others may need it
    gone: list[Path] = []
    for file, paths in going.items():
        with exclusive_access(own(file), report):
            for path in paths:
                path.unlink(missing_ok=True)
                gone.append(path)
            folder = own(file).parent
            if paths and folder != store.models_root() and not any(folder.iterdir()):
                folder.rmdir()
    return gone


def _inside(path: Path) -> bool:
    """Whether a path's folder is in the root, with every link followed."""
    root = store.models_root().resolve()
    folder = path.parent.resolve()
    return folder == root or root in folder.parents


def _converted_elsewhere(target: Path) -> list[Path]:
    """Copies that the inference keeps in the user's data where it could not write beside the file."""
    plain = store.converted(target)
    if plain is None or not target.is_file():
        return []
    copy = store.conversion_elsewhere(target, fingerprint(target))
    return [copy] if copy.is_file() else []


def _remove_converted(target: Path) -> None:
    """Remove what was made of a file, unless it was made by somebody else."""
    plain = store.converted(target)
    if plain is not None and is_our_conversion(plain):
        plain.unlink()
    for copy in _converted_elsewhere(target):
        copy.unlink()


def is_our_conversion(plain: Path) -> bool:
    """Whether a converted file was written by Maquette: it says what it was made from."""
    try:
        if plain.suffix == ".npz":
            with zipfile.ZipFile(plain) as archive:
                return "made_from.npy" in archive.namelist()
        with plain.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            header = json.loads(file.read(min(length, 1 << 28)))
        return "maquette" in header.get("__metadata__", {})
    except (OSError, ValueError, struct.error, zipfile.BadZipFile, AttributeError):
        return False
