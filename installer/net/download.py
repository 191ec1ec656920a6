# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloads one file: resumed after any break, checked before it gets its name, stopped at any moment.

The downloaded part lies in `NAME.part`, with what is known of it in `NAME.part.json`; both are there until the file is
whole and checked, and only then does it get its name, in one step. After a kill or a power cut the next start continues
behind the last bytes that are known to be on the disk.
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

from ..shared.disk import is_web_page
from ..shared.errors import SetupError
from ..shared.reporting import Pace
from .connection import Answer, BadRedirect, Connection, is_weak, number
from .errors import Busy, DiskFull, NoConnection, WrongFile, certificate_error, disk_error, status_error
from .http import Network, chosen_network
from .partial_file import OnDisk, Partial, on_disk

#: Bytes that must stay free on the disk.
SPARE = 64 << 20


@dataclass(frozen=True)
class RetryPolicy:
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


RETRY_POLICY = RetryPolicy()


@dataclass(frozen=True)
class DownloadSpec:
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
class DownloadedFile:
    """A file that is whole and has its name. checked : it was compared with a published hash, not only recorded."""

    path: Path
    bytes: int
    sha256: str
    checked: bool


class _Retry(Exception):
    """An attempt that failed for a reason that may pass; `wait` is what the server asks for, in seconds."""

    def __init__(self, reason: str, wait: float = 0.0, busy: bool = False) -> None:
        super().__init__(reason)
        self.wait, self.busy = wait, busy


def fetch(
    spec: DownloadSpec,
    target: Path,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    network: Network | None = None,
    retry_policy: RetryPolicy = RETRY_POLICY,
) -> DownloadedFile:
    """Download a file to `target`, replacing what lies there, and only with the right bytes.

    The caller sees to it that nobody else downloads to the same name. `on_progress` is called several times a second
    from the caller's own thread, also while nothing comes; what it raises stops the download at once and keeps
    the downloaded part. Raises the errors of `net.errors`.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        download = _Download(spec, target, on_progress, network or chosen_network(), retry_policy)
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
        spec: DownloadSpec,
        target: Path,
        on_progress: Callable[[Progress], None],
        network: Network,
        retry_policy: RetryPolicy,
    ) -> None:
        self.spec, self.target, self.network, self.retry_policy = spec, target, network, retry_policy
        self.on_progress = on_progress
        self.partial = Partial(target, spec.url)
        self.message = "Checking what is already downloaded"
        self.pace = Pace()

    def run(self) -> DownloadedFile:
        """Attempt after attempt, until the file is whole or it is of no use to go on."""
        self.partial.take_up(self.spec.bytes, self._tell)
        self.pace = Pace()
        failures, best, damaged = 0, self.partial.have, False
        while True:
            try:
                if not self._is_whole():
                    self._attempt()
            except _Retry as retry:
                failures = 1 if self.partial.have > best else failures + 1
                best = max(best, self.partial.have)
                if failures >= self.retry_policy.tries:
                    raise self._given_up(retry) from retry.__cause__
                policy = self.retry_policy
                backoff = min(policy.longest, policy.pause * 2 ** (failures - 1))
                self._pause(max(retry.wait, backoff), str(retry))
                continue
            try:
                return self._finished()
            except WrongFile:
                self.partial.drop()
                if damaged:
                    raise
                damaged, best = True, 0
                self.message = "The file arrived damaged: starting over"

    # one attempt

    def _attempt(self) -> None:
        address = self.network.address(self.spec.url)
        headers = {"User-Agent": "Maquette", "Accept": "*/*", "Accept-Encoding": "identity"}
        known = self.partial.record
        if self.partial.have and not (known.validator or known.sha256 or self.spec.sha256):
            self.partial.drop()  # nothing would tell if the rest were another version's
        if self.partial.have:
            headers["Range"] = f"bytes={self.partial.have}-"
            if known.validator and not is_weak(known.validator):
                headers["If-Range"] = known.validator
        try:
            with closing(Connection(self.network, address, headers, self.retry_policy.stall, self._tell)) as connection:
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
            return status_error(407, server, self.target.name, "", False) or _Retry(str(reason))
        return _Retry(f"{server}: {reason}")

    def _accept(self, answer: Answer, with_token: bool) -> bool:
        """Whether the bytes that follow continue those already here. Raises for every other answer."""
        status = answer.status
        if status not in (200, 206):
            if status == 416 and self.partial.have:
                return self._accept_end(answer)
            error = status_error(status, answer.server, self.target.name, self.spec.page, with_token)
            if error is not None:
                raise error
            reason = f"{answer.server} answers with {status}"
            raise _Retry(reason, _retry_after(answer), busy=status in (429, 503))
        if answer.headers.get("Content-Encoding", "identity") not in ("", "identity"):
            raise _Retry(f"{answer.server} sends the file packed")
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
            raise _Retry(f"{answer.server} resumes at another position or with another file")
        return known.length if total is None else total

    def _accept_end(self, answer: Answer) -> bool:
        """416: either everything is here already, or the partial file is longer than the published one."""
        total = answer.content_range[1]
        if total == self.partial.have and self.partial.record.length in (-1, total):
            self.partial.note(length=total)
            return False
        self.partial.drop()
        raise _Retry(f"{answer.server} has a shorter file")

    def _check_promise(self, answer: Answer, total: int) -> None:
        """Refuse before the download what cannot be the file."""
        name = self.target.name
        if answer.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise self._web_page(answer.server)
        if self.spec.bytes and total >= 0 and total != self.spec.bytes:
            raise WrongFile(
                f"{answer.server} offers {total:,} bytes as {name}, which has {self.spec.bytes:,}.",
                f"Choose another mirror, or get the file from {self.spec.page or 'its page'} and import it from disk.",
            )
        if self.spec.sha256 and answer.hub_sha256 and answer.hub_sha256 != self.spec.sha256:
            raise WrongFile(
                f"{name} has been changed on {answer.server} since this version of Maquette was made.",
                "Look for a newer version of Maquette, or import the earlier file from disk.",
            )

    def _check_room(self, total: int) -> None:
        left = max(total, self.spec.bytes) - self.partial.have
        with on_disk():
            free = shutil.disk_usage(self.target.parent).free
        if left + SPARE > free:
            raise DiskFull(
                f"{self.target.name} needs {left / 1e6:,.0f} MB more, but the disk of {self.target.parent} has "
                f"{free / 1e6:,.0f} MB free.",
                "Free some space, or choose another folder for the models; the downloaded part is kept.",
            )

    def _receive(self, connection: Connection) -> None:
        total = self.partial.record.length
        self.message = "Downloading"
        slow_since, slow_from = time.monotonic(), self.partial.have
        for block in connection.blocks():
            if self.partial.have == 0 and is_web_page(block):
                raise self._web_page("The server")
            self.partial.write(block)
            self._tell()
            if (seconds := time.monotonic() - slow_since) > 2 * self.retry_policy.stall:
                if self.partial.have - slow_from < self.retry_policy.slowest * seconds:
                    raise _Retry(f"next to nothing received for {seconds:.0f} s")
                slow_since, slow_from = time.monotonic(), self.partial.have
            if 0 <= total < self.partial.have:
                self.partial.drop()
                raise _Retry("more data than announced")
            if self.spec.bytes and self.partial.have > self.spec.bytes:
                self.partial.drop()
                raise WrongFile(
                    f"The server sends more than the {self.spec.bytes:,} bytes of {self.target.name}.",
                    "Choose another mirror, or import the file from disk.",
                )
        if total >= 0 and self.partial.have < total:
            raise _Retry(f"the connection broke off at {self.partial.have / 1e6:,.1f} of {total / 1e6:,.1f} MB")
        if not self.partial.have and total:
            raise _Retry("the connection broke off before the file")
        if total < 0:  # the server never said, so the end of the connection is the end of the file
            self.partial.note(length=self.partial.have)

    def _web_page(self, server: str) -> WrongFile:
        return WrongFile(
            f"{server} sends a web page instead of {self.target.name}.",
            f"Open {self.spec.page or 'its page'} in your browser: it may ask you to sign in or to accept a licence. "
            "Then import the file.",
        )

    # between the attempts

    def _pause(self, seconds: float, reason: str) -> None:
        if seconds > self.retry_policy.retry_after:
            minutes = max(1, round(seconds / 60))
            message = f"{reason} and asks to retry in {minutes} minutes."
            raise Busy(message, "Try again then; the downloaded part is kept.")
        self.partial.sync()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.message = f"Trying again in {left:.0f} s ({reason})"
            self._tell()
            time.sleep(min(0.1, left))
        self.message = "Connecting again"

    def _given_up(self, retry: _Retry) -> SetupError:
        kept = f"{self.partial.have / 1e6:,.0f} MB are downloaded and kept. " if self.partial.have else ""
        if retry.busy:
            return Busy(f"{retry}.", f"{kept}Try again later, or choose a mirror.")
        return NoConnection(
            f"{self.target.name} cannot be downloaded ({retry}).",
            f"{kept}Check the network, the proxy and the mirror in the preferences, and try again; or import the file "
            "from disk.",
        )

    def _tell(self) -> None:
        total = max(self.partial.record.length, self.spec.bytes, 0)
        self.on_progress(Progress(self.partial.have, total, self.pace.at(self.partial.have), self.message))

    # the end

    def _is_whole(self) -> bool:
        return 0 <= self.partial.record.length == self.partial.have

    def _finished(self) -> DownloadedFile:
        """Check the whole file, and give it its name."""
        self.partial.sync()
        self.message = "Checking"
        self._tell()
        sha256 = self.partial.digest.hexdigest()
        published = self.spec.sha256 or self.partial.record.sha256
        if self.spec.bytes and self.partial.have != self.spec.bytes:
            self._wrong(f"has {self.partial.have:,} bytes instead of {self.spec.bytes:,}")
        if published and sha256 != published:
            self._wrong("does not have the published checksum")
        if not self.partial.have:
            self._wrong("is empty")
        if self.spec.check is not None:
            self.spec.check(self.partial.path)
        self.partial.move_into_place()
        return DownloadedFile(self.target, self.partial.have, sha256, bool(published))

    def _wrong(self, what: str) -> None:
        raise WrongFile(
            f"{self.target.name} {what}: the server, or something on the way, sends a wrong file.",
            "Choose another mirror, or import the file from disk; the wrong file was not kept.",
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
