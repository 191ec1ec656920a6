# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that packages are installed from: which ones this Python gets, and how they come, with resume and progress.

uv says which files they are and installs them, but starts a file anew when a connection breaks; torch alone is half a
gigabyte. So they are fetched here, by the downloader of the models, and uv installs them from the disk. What cannot be
fetched this way (a registry that wants a login) is left for uv to fetch.
"""

from __future__ import annotations

import re
import tempfile
import time
import urllib.parse
import urllib.request
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from ..environment.lock_files import BLENDERS_OWN, Pin
from ..environment.torch_build import TorchBuild, index_options
from ..environment.uv import Uv
from ..net.download import Progress, Wanted, fetch
from ..net.errors import Busy, DiskFull, NoConnection, NotThere, NotWritable, Refused, WrongFile
from ..net.http import chosen_network, opener
from ..shared.errors import SetupError, explain
from ..shared.processes import stream
from .sources import FIND_HERE, Sources

#: Files that are asked for their size at once, and seconds for an answer.
_ASKED, _PATIENCE = 8, 20.0

#: Half seconds over which the speed is measured.
_MARKS = 10


@dataclass(frozen=True)
class Wheel:
    """A package's file. url : "" where uv has to find it.  bytes : 0 where the registry does not say."""

    package: str
    version: str
    url: str = ""
    sha256: str = ""
    bytes: int = 0

    @property
    def name(self) -> str:
        return urllib.parse.unquote(urllib.parse.urlsplit(self.url).path.rpartition("/")[2])

    def requirement(self) -> str:
        """In pip's format; a version's local part is matched too."""
        return f"{self.package}=={self.version}" + (f" --hash=sha256:{self.sha256}" if self.sha256 else "") + "\n"


@dataclass(frozen=True)
class Loading:
    """How far all the files of an installation are. speed : bytes a second."""

    done: int
    total: int
    speed: float
    name: str
    message: str

    def __str__(self) -> str:
        text = f"{self.done / 1e6:,.0f} of {self.total / 1e6:,.0f} MB"
        if self.message.startswith("Trying"):
            return f"{text}, {self.message[0].lower()}{self.message[1:]}"
        return f"{text}, {self.speed / 1e6:.1f} MB/s, {self.name}"


def resolve(uv: Uv, python: str, pins: Sequence[Pin], build: TorchBuild, sources: Sources) -> list[Wheel]:
    """The files that this Python gets, from the lock and, for another build of torch, from torch's index.

    Raises SetupError where the registry lacks one or is out of reach.
    """
    locked, separate = build.locked(pins), build.separate(pins)
    options = ["--generate-hashes", *(FIND_HERE if sources.folder else ())]
    text = "".join(pin.requirement() for pin in locked)
    found = _compiled(uv, python, text, ["--no-deps", *options], sources.folder)
    allowed = {pin.name: pin.hashes for pin in locked}
    for wheel in found:
        if wheel.sha256 and f"sha256:{wheel.sha256}" not in allowed[wheel.package]:
            raise explain("hash mismatch", "Reading the registry")
    if separate:
        here = {pin.name for pin in pins} - {pin.name for pin in pins if pin not in locked}
        options += index_options(build, sources)
        found += _compiled(uv, python, "\n".join(separate) + "\n", options, sources.folder, here | BLENDERS_OWN)
    return found


def _compiled(
    uv: Uv,
    python: str,
    requirements: str,
    options: list[str],
    folder: Path | None,
    excluded: Iterable[str] = (),
) -> list[Wheel]:
    """uv's answer about requirements, for this Python and this system alone."""
    if not requirements:
        return []
    with tempfile.TemporaryDirectory() as scratch:
        result, wanted, without = (Path(scratch, name) for name in ("pylock.toml", "wanted.txt", "excluded.txt"))
        wanted.write_text(requirements, "utf-8")
        without.write_text("".join(f"{name}\n" for name in sorted(excluded)), "utf-8")
        command = [str(uv.path), "pip", "compile", "--format", "pylock.toml", "--no-header", "--only-binary", ":all:"]
        command += ["--python", python, "--output-file", str(result), str(wanted), *options]
        if excluded:
            command += ["--no-config", "--excludes", str(without)]
        code, output = stream(command, uv.environment(), lambda line: None, folder=folder)
        if code:
            raise explain(output, "Asking the registry")
        return parse(result.read_text("utf-8"))


def parse(pylock: str) -> list[Wheel]:
    """The wheels in a pylock.toml as uv writes it for one Python (tomllib came with Python 3.11 only)."""
    found = []
    for block in pylock.split("[[packages]]")[1:]:
        name = re.search(r'^name = "(.+?)"$', block, re.MULTILINE)
        version = re.search(r'^version = "(.+?)"$', block, re.MULTILINE)
        if name is None or version is None:
            raise SetupError("uv's answer cannot be read.", "Remove the uv on PATH, or install version 0.9 or newer.")
        _, _, wheels = block.partition("\nwheels = [")
        entries = re.findall(r"\{(.*?\.whl.*?hashes = \{.*?\}).*?\}", wheels)
        wheel = Wheel(name[1], version[1])
        if len(entries) == 1:  # where the registry offers several that fit, uv knows best
            wheel = _of_entry(wheel, entries[0])
        found.append(wheel)
    return found


def _of_entry(wheel: Wheel, entry: str) -> Wheel:
    url = re.search(r'\burl = "(https?://.+?)"', entry)
    sha256 = re.search(r'sha256 = "([0-9a-f]{64})"', entry)
    size = re.search(r"\bsize = (\d+)", entry)
    if url is None or sha256 is None:
        return wheel
    return Wheel(wheel.package, wheel.version, url[1], sha256[1], int(size[1]) if size else 0)


def with_sizes(wheels: Sequence[Wheel], should_cancel: Callable[[], None]) -> list[Wheel]:
    """The same with the sizes that the registry had left out, as its file server says."""
    pool = ThreadPoolExecutor(_ASKED)
    try:
        asked = {wheel.url: pool.submit(_size, wheel.url) for wheel in wheels if wheel.url and not wheel.bytes}
        while not all(size.done() for size in asked.values()):
            should_cancel()
            time.sleep(0.05)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return [replace(wheel, bytes=asked[wheel.url].result()) if wheel.url in asked else wheel for wheel in wheels]


def _size(url: str) -> int:
    try:
        request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "Maquette"})
        with opener(chosen_network()).open(request, timeout=_PATIENCE) as answer:
            return int(answer.headers.get("Content-Length") or 0) if answer.status == 200 else 0
    except (OSError, ValueError, SetupError):
        return 0


def load(wheels: Sequence[Wheel], folder: Path, tell: Callable[[Loading], None]) -> None:
    """Fetch the files into a folder; those that are there already stay, parts of files are completed. What `tell`
    raises stops it and keeps what has come. Raises SetupError where the network fails."""
    folder.mkdir(parents=True, exist_ok=True)
    here = {wheel for wheel in wheels if wheel.url and (folder / wheel.name).exists()}
    for wheel in here:
        if wheel.bytes and (folder / wheel.name).stat().st_size != wheel.bytes:
            (folder / wheel.name).unlink()
    progress = _Progress(wheels, tell)
    for wheel in sorted((wheel for wheel in wheels if wheel.url), key=lambda wheel: wheel.bytes):
        target = folder / wheel.name
        if not target.exists():
            _load(wheel, target, progress)
        progress.before += target.stat().st_size if target.exists() else 0


class _Progress:
    """How far all files are together. The speed is that of the last seconds, over the files that came in them."""

    def __init__(self, wheels: Sequence[Wheel], tell: Callable[[Loading], None]) -> None:
        self.sizes: dict[str, int] = {wheel.package: wheel.bytes for wheel in wheels}
        self.before = 0
        self._tell = tell
        self._marks: deque[tuple[float, int]] = deque([(time.monotonic(), 0)], _MARKS)

    def __call__(self, wheel: Wheel, progress: Progress) -> None:
        self.sizes[wheel.package] = max(self.sizes[wheel.package], progress.total)
        now, done = time.monotonic(), self.before + progress.done
        if progress.message != "Downloading":  # bytes that were here already
            self._marks.clear()
            self._marks.append((now, done))
        elif now - self._marks[-1][0] > 0.5:
            self._marks.append((now, done))
        since, then = self._marks[0]
        speed = (done - then) / (now - since) if now - since > 0.2 else 0.0
        self._tell(Loading(done, sum(self.sizes.values()), speed, wheel.package, progress.message))


def _load(wheel: Wheel, target: Path, progress: _Progress) -> None:
    try:
        fetch(Wanted(wheel.url, wheel.bytes, wheel.sha256, wheel.url), target, lambda now: progress(wheel, now))
    except (Refused, NotThere):
        return  # uv may have a login for the registry; if not, its own error says more
    except WrongFile as error:
        raise explain("hash mismatch", "Downloading") from error
    except (DiskFull, NotWritable) as error:
        raise SetupError(
            error.message,
            "Free some space, or choose another folder for the packages (in the preferences, or in "
            "MAQUETTE_PACKAGES); what has come is kept.",
        ) from error
    except (NoConnection, Busy) as error:
        raise SetupError(
            error.message, "Check the network and the proxy, then press Install again: it goes on where it ended."
        ) from error


def missing(wheels: Sequence[Wheel], folder: Path) -> list[Wheel]:
    """Those that uv has to fetch itself."""
    return [wheel for wheel in wheels if not wheel.url or not (folder / wheel.name).exists()]


def clear(folder: Path, wheels: Sequence[Wheel] | None = None) -> None:
    """Remove downloaded files: these, or with their parts all of them."""
    if not folder.is_dir():
        return
    names = None if wheels is None else {wheel.name for wheel in wheels if wheel.url}
    for path in folder.iterdir():
        if names is None or path.name in names:
            path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()
