# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads one file: resumed after any break, checked before it gets its name, stopped at any moment.

What has come lies in `NAME.part`, with what is known of it in `NAME.part.json`; both are there until the file is whole
and checked, and only then does it get its name, in one step. After a kill or a power cut the next start goes on behind
the last bytes that are known to be on the disk.
"""

from __future__ import annotations

import http.client
import shutil
import ssl
import time
import urllib.error
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..shared.errors import SetupError
from ..shared.reporting import Pace
from .connection import Answer, BadRedirect, Connection, is_weak, number
from .errors import Busy, DiskFull, NoConnection, WrongFile, certificate_error, disk_error, status_error
from .http import Network, chosen_network
from .partial_file import OnDisk, Partial

#: Bytes that must stay free on the disk.
SPARE = 64 << 20


@dataclass(frozen=True)
class Patience:
    """How long is waited, in seconds.

    tries : attempts in a row without a new byte.  pause : before the second one, doubled each time up to `longest`.
    stall : without a byte, or at under `slowest` bytes a second for twice as long, a connection is given up.
    retry_after : the longest wait that a server may ask for.
    """

    tries: int = 6
    pause: float = 1.0
    longest: float = 30.0
    stall: float = 30.0
    slowest: float = 1000.0
    retry_after: float = 180.0


PATIENCE = Patience()


@dataclass(frozen=True)
class Wanted:
    """A published file.

    url : its public address.  bytes, sha256 : 0 and "" where they are not published.
    page : where its owner describes it or hands it out, for error messages.
    check : raises `WrongFile` where the content cannot be this file; called before it gets its name.
    """

    url: str
    bytes: int = 0
    sha256: str = ""
    page: str = ""
    check: Callable[[Path], None] | None = None


@dataclass(frozen=True)
class Progress:
    """Where a download stands. total : 0 while it is not known.  speed : bytes a second over the last seconds."""

    done: int
    total: int
    speed: float
    message: str

    @property
    def fraction(self) -> float:
        return min(1.0, self.done / self.total) if self.total else 0.0


@dataclass(frozen=True)
class Fetched:
    """A file that is whole and has its name. checked : it was compared with a published hash, not only recorded."""

    path: Path
    bytes: int
    sha256: str
    checked: bool


class _Again(Exception):
    """An attempt that failed for a reason that may pass; `wait` is what the server asks for, in seconds."""

    def __init__(self, reason: str, wait: float = 0.0, busy: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.busy = wait, busy


def fetch(
    wanted: Wanted,
    target: Path,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    network: Network | None = None,
    patience: Patience = PATIENCE,
) -> Fetched:
    """Download a file to `target`, replacing what lies there, and only with the right bytes.

    The caller sees to it that nobody else downloads to the same name. `on_progress` is called several times a second
    from the caller's own thread, also while nothing comes; what it raises stops the download at once and keeps what
    has come. Raises the errors of `transfer_errors`.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        download = _Download(wanted, target, on_progress, network or chosen_network(), patience)
        try:
            return download.run()
        finally:
            download.partial.close()
    except OSError as error:
        raise disk_error(error, target) from error


class _Download:
    """The state of one download."""

    def __init__(
        self,
        wanted: Wanted,
        target: Path,
        on_progress: Callable[[Progress], None],
        network: Network,
        patience: Patience,
    ) -> None:
        self.wanted, self.target, self.network, self.patience = wanted, target, network, patience
        self.on_progress = on_progress
        self.partial = Partial(target, wanted.url)
        self.message = "Looking at what has come already"
        self.pace = Pace()

    def run(self) -> Fetched:
        """Attempt after attempt, until the file is whole or it is of no use to go on."""
        self.partial.take_up(self.wanted.bytes, self._tell)
        self.pace = Pace()
        failures, best, damaged = 0, self.partial.have, False
        while True:
            try:
                if not self._is_whole():
                    self._attempt()
            except _Again as again:
                failures = 1 if self.partial.have > best else failures + 1
                best = max(best, self.partial.have)
                if failures >= self.patience.tries:
                    raise self._given_up(again) from again.__cause__
                self._pause(max(again.wait, self._backoff(failures)), str(again))
                continue
            try:
                return self._finished()
            except WrongFile:
                self.partial.drop()
                if damaged:
                    raise
                damaged, best = True, 0
                self.message = "The file came damaged: starting over"

    # one attempt

    def _attempt(self) -> None:
        address = self.network.address(self.wanted.url)
        headers = {"User-Agent": "Maquette", "Accept": "*/*", "Accept-Encoding": "identity"}
        known = self.partial.record
        if self.partial.have and not (known.validator or known.sha256 or self.wanted.sha256):
            self.partial.drop()  # nothing would tell if the rest were another version's
        if self.partial.have:
            headers["Range"] = f"bytes={self.partial.have}-"
            if known.validator and not is_weak(known.validator):
                headers["If-Range"] = known.validator
        try:
            with closing(Connection(self.network, address, headers, self.patience.stall, self._tell)) as connection:
                answer = connection.answer()
                if self._accept(answer, bool(self.network.headers(address))):
                    self._receive(connection)
        except BadRedirect as error:
            raise WrongFile(f"{error}.", "Choose another mirror, or import the file from disk.") from error
        except OnDisk:
            raise
        except urllib.error.URLError as error:
            raise self._network_error(error.reason, address) from error
        except (http.client.HTTPException, OSError, UnicodeError) as error:
            raise self._network_error(error, address) from error

    def _network_error(self, reason: Any, address: str) -> Exception:
        server = urlsplit(address).hostname or "the server"
        if isinstance(reason, ssl.SSLCertVerificationError):
            return certificate_error(reason, server)
        if "Tunnel connection failed: 407" in str(reason):
            return status_error(407, server, self.target.name, "", False) or _Again(str(reason))
        return _Again(f"{server}: {reason}")

    def _accept(self, answer: Answer, with_token: bool) -> bool:
        """Whether bytes follow that belong behind those that have come. Raises for every other answer."""
        status = answer.status
        if status not in (200, 206):
            if status == 416 and self.partial.have:
                return self._accept_end(answer)
            error = status_error(status, answer.server, self.target.name, self.wanted.page, with_token)
            if error is not None:
                raise error
            reason = f"{answer.server} answers with {status}"
            raise _Again(reason, _retry_after(answer), busy=status in (429, 503))
        if answer.headers.get("Content-Encoding", "identity") not in ("", "identity"):
            raise _Again(f"{answer.server} sends the file packed")
        total = self._continued(answer) if status == 206 else answer.length
        self._check_promise(answer, total)
        if status == 200 and self.partial.have:  # no Range here, or the file has changed
            self.partial.drop()
        self._check_room(total)
        self.partial.note(validator=answer.validator, length=total, sha256=answer.hub_sha256)
        return True

    def _continued(self, answer: Answer) -> int:
        """The whole length by an answer that goes on where we are (206)."""
        first, total = answer.content_range
        known = self.partial.record
        same = answer.hub_sha256 == known.sha256 if answer.hub_sha256 else answer.validator == known.validator
        same = same or not self.partial.have
        if first != self.partial.have or not same or (known.length >= 0 and total not in (None, known.length)):
            self.partial.drop()
            raise _Again(f"{answer.server} goes on with another part or another file")
        return known.length if total is None else total

    def _accept_end(self, answer: Answer) -> bool:
        """416: either all has come already, or the partial file is longer than the published one."""
        total = answer.content_range[1]
        if total == self.partial.have and self.partial.record.length in (-1, total):
            self.partial.note(length=total)
            return False
        self.partial.drop()
        raise _Again(f"{answer.server} has a shorter file")

    def _check_promise(self, answer: Answer, total: int) -> None:
        """Refuse before the download what cannot be the file."""
        name = self.target.name
        page = self.wanted.page or "its page"
        if answer.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise WrongFile(
                f"{answer.server} sends a web page instead of {name}.",
                f"Open {page} in your browser: it may ask you to sign in or to accept a licence. Then import the file.",
            )
        if self.wanted.bytes and total >= 0 and total != self.wanted.bytes:
            raise WrongFile(
                f"{answer.server} offers {total:,} bytes as {name}, which has {self.wanted.bytes:,}.",
                f"Choose another mirror, or get the file from {page} and import it from disk.",
            )
        if self.wanted.sha256 and answer.hub_sha256 and answer.hub_sha256 != self.wanted.sha256:
            raise WrongFile(
                f"{name} has been changed on {answer.server} since this version of Maquette was made.",
                "Look for a newer version of Maquette, or import the earlier file from disk.",
            )

    def _check_room(self, total: int) -> None:
        left = max(total, self.wanted.bytes) - self.partial.have
        try:
            free = shutil.disk_usage(self.target.parent).free
        except OSError as error:
            raise OnDisk(error.errno, error.strerror) from error
        if left + SPARE > free:
            raise DiskFull(
                f"{self.target.name} needs {left / 1e6:,.0f} MB more, but the disk of {self.target.parent} has "
                f"{free / 1e6:,.0f} MB free.",
                "Free some space, or choose another folder for the models; what has come is kept.",
            )

    def _receive(self, connection: Connection) -> None:
        total = self.partial.record.length
        self.message = "Downloading"
        slow_since, slow_from = time.monotonic(), self.partial.have
        for block in connection.blocks():
            if self.partial.have == 0:
                self._check_head(block)
            self.partial.write(block)
            self._tell()
            if (seconds := time.monotonic() - slow_since) > 2 * self.patience.stall:
                if self.partial.have - slow_from < self.patience.slowest * seconds:
                    raise _Again(f"next to nothing came for {seconds:.0f} s")
                slow_since, slow_from = time.monotonic(), self.partial.have
            if 0 <= total < self.partial.have:
                self.partial.drop()
                raise _Again("more comes than was announced")
            if self.wanted.bytes and self.partial.have > self.wanted.bytes:
                self.partial.drop()
                raise WrongFile(
                    f"The server sends more than the {self.wanted.bytes:,} bytes of {self.target.name}.",
                    "Choose another mirror, or import the file from disk.",
                )
        if total >= 0 and self.partial.have < total:
            raise _Again(f"the connection broke off at {self.partial.have / 1e6:,.1f} of {total / 1e6:,.1f} MB")
        if not self.partial.have and total:
            raise _Again("the connection broke off before the file")
        if total < 0:  # the server never said, so the end of the connection is the end of the file
            self.partial.note(length=self.partial.have)

    def _check_head(self, block: bytes) -> None:
        head = block[:64].lstrip().lower()
        if head.startswith((b"<!doctype", b"<html", b"<?xml", b'{"error')):
            raise WrongFile(
                f"The server sends a web page instead of {self.target.name}.",
                f"Open {self.wanted.page or 'its page'} in your browser: it may ask you to sign in or to accept a "
                "licence. Then import the file.",
            )

    # between the attempts

    def _backoff(self, failures: int) -> float:
        return min(self.patience.longest, self.patience.pause * 2 ** (failures - 1))

    def _pause(self, seconds: float, reason: str) -> None:
        if seconds > self.patience.retry_after:
            minutes = max(1, round(seconds / 60))
            message = f"{reason} and asks to come back in {minutes} minutes."
            raise Busy(message, "Try again then; what has come is kept.")
        self.partial.sync()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.message = f"Trying again in {left:.0f} s ({reason})"
            self._tell()
            time.sleep(min(0.1, left))
        self.message = "Connecting again"

    def _given_up(self, again: _Again) -> SetupError:
        kept = f"{self.partial.have / 1e6:,.0f} MB have come and are kept. " if self.partial.have else ""
        if again.busy:
            return Busy(f"{again}.", f"{kept}Try again later, or choose a mirror.")
        return NoConnection(
            f"{self.target.name} cannot be downloaded ({again}).",
            f"{kept}Check the network, the proxy and the mirror in the preferences, and try again; or import the file "
            "from disk.",
        )

    def _tell(self) -> None:
        total = max(self.partial.record.length, self.wanted.bytes, 0)
        self.on_progress(Progress(self.partial.have, total, self.pace.at(self.partial.have), self.message))

    # the end

    def _is_whole(self) -> bool:
        return 0 <= self.partial.record.length == self.partial.have

    def _finished(self) -> Fetched:
        """Check the whole file, and give it its name."""
        self.partial.sync()
        self.message = "Checking"
        self._tell()
        sha256 = self.partial.digest.hexdigest()
        published = self.wanted.sha256 or self.partial.record.sha256
        if self.wanted.bytes and self.partial.have != self.wanted.bytes:
            self._wrong(f"has {self.partial.have:,} bytes instead of {self.wanted.bytes:,}")
        if published and sha256 != published:
            self._wrong("does not have the published checksum")
        if not self.partial.have:
            self._wrong("is empty")
        if self.wanted.check is not None:
            self.wanted.check(self.partial.path)
        self.partial.settle()
        return Fetched(self.target, self.partial.have, sha256, bool(published))

    def _wrong(self, what: str) -> None:
        raise WrongFile(
            f"{self.target.name} {what}: the server, or something on the way, sends a wrong file.",
            "Choose another mirror, or import the file from disk; nothing wrong was kept.",
        )


def _retry_after(answer: Answer) -> float:
    """Seconds that the server asks to wait. A date is compared with the server's own, as our clock may be wrong."""
    text = answer.headers.get("Retry-After", "").strip()
    if (seconds := number(text)) is not None:
        return float(seconds)
    try:
        until = parsedate_to_datetime(text)
        return max(0.0, (until - parsedate_to_datetime(answer.headers.get("Date", ""))).total_seconds())
    except (TypeError, ValueError, IndexError):
        return 0.0
