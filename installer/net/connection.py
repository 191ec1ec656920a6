# SPDX-License-Identifier: GPL-3.0-or-later
"""One HTTP request, read by a thread of its own: whoever waits for its bytes can stop at any moment, even while a name
is looked up or a server says nothing."""

from __future__ import annotations

import queue
import string
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from .http import Network, host, opener

#: Bytes that are handed on at once, and how many such blocks may wait for the disk.
BLOCK, WAITING = 1 << 18, 16
#: Redirects that are followed.
REDIRECTS = 8
#: Seconds between two looks at whether the caller wants to stop.
TICK = 0.1


class Stalled(OSError):
    """Nothing, or next to nothing, was received for too long."""


class BadRedirect(Exception):
    """A redirect that must not be followed, or that leads nowhere."""


@dataclass(frozen=True)
class Answer:
    """How a server answers.

    address : where the redirects led.  hub_sha256 : the file's hash as the model hub states it, or "".
    """

    status: int
    headers: Message
    address: str
    hub_sha256: str = ""

    @property
    def server(self) -> str:
        return urlsplit(self.address).hostname or self.address

    @property
    def content_range(self) -> tuple[int | None, int | None]:
        """First byte and whole length of `Content-Range: bytes 5-9/10`; None for what it does not say."""
        unit, _, rest = self.headers.get("Content-Range", "").partition(" ")
        span, _, total = rest.partition("/")
        first = span.partition("-")[0]
        if unit != "bytes":
            return None, None
        return number(first), number(total)

    @property
    def length(self) -> int:
        """Bytes that follow, as the server says; -1 where it does not."""
        length = number(self.headers.get("Content-Length", ""))
        return -1 if length is None or self.headers.get("Transfer-Encoding") else length

    @property
    def validator(self) -> str:
        """What tells this version of the file from another: a strong ETag, else the date of its last change, else a
        weak ETag, which a server cannot be asked for but which can be compared."""
        etag = self.headers.get("ETag", "")
        return etag if etag and not is_weak(etag) else self.headers.get("Last-Modified", "") or etag


class Connection:
    """A GET request. `answer` and `blocks` raise what the reading thread met, `Stalled`, and what `tick` raises."""

    def __init__(
        self, network: Network, address: str, headers: dict[str, str], stall: float, tick: Callable[[], None]
    ) -> None:
        self._box: queue.Queue[Any] = queue.Queue(WAITING)
        self._left = threading.Event()
        self._stall, self._tick = stall, tick
        # A daemon: a name server that never answers must not keep Blender from ending.
        thread = threading.Thread(
            target=self._read, args=(network, address, headers), name="maquette-download", daemon=True
        )
        thread.start()

    def answer(self) -> Answer:
        """Status and headers after the redirects."""
        return self._next(self._stall * 2)  # a slow proxy, then a slow server

    def blocks(self) -> Iterator[bytes]:
        """The body as it comes."""
        while (block := self._next(self._stall)) is not None:
            yield block

    def close(self) -> None:
        """Let the thread end, at its next block or when its socket times out."""
        self._left.set()

    def _next(self, patience: float) -> Any:
        deadline = time.monotonic() + patience
        while True:
            self._tick()
            try:
                item = self._box.get(timeout=TICK)
            except queue.Empty:
                if time.monotonic() > deadline:
                    raise Stalled(f"nothing received for {patience:.0f} s") from None
                continue
            if isinstance(item, BaseException):
                raise item
            return item

    def _put(self, item: Any) -> bool:
        while not self._left.is_set():
            try:
                self._box.put(item, timeout=1.0)
            except queue.Full:
                continue
            return True
        return False

    def _read(self, network: Network, address: str, headers: dict[str, str]) -> None:
        try:
            response, answer = _opened(network, address, headers, self._stall)
            with response:
                if not self._put(answer):
                    return
                while block := response.read1(BLOCK):
                    if not self._put(block):
                        return
            self._put(None)
        except BaseException as error:  # for the one who waits; a thread has nobody else to tell
            self._put(error)


def _opened(network: Network, address: str, headers: dict[str, str], timeout: float) -> tuple[Any, Answer]:
    """The response at the end of the redirects. The token goes to the hub only, never along with a redirect."""
    director, hub_sha256 = opener(network), ""
    for _ in range(REDIRECTS):
        asked = {**headers, **network.headers(address)}
        response = director.open(urllib.request.Request(address, headers=asked), timeout=timeout)
        if host(address) == host(network.hub_address):
            hub_sha256 = _sha256(response.headers.get("X-Linked-Etag", "")) or hub_sha256
        location = response.headers.get("Location")
        if response.status not in (301, 302, 303, 307, 308) or not location:
            return response, Answer(response.status, response.headers, address, hub_sha256)
        response.close()
        target = _target(address, location)
        if urlsplit(target).scheme not in ("http", "https") or (
            address.startswith("https:") and not target.startswith("https:")
        ):
            raise BadRedirect(f"{urlsplit(address).hostname} redirects to {target[:80]}, which is unsafe")
        address = target
    raise BadRedirect(f"{urlsplit(address).hostname} redirects in a circle")


def _target(address: str, location: str) -> str:
    """Where a redirect leads. What a server forgets to escape, a browser does for it, and so do we."""
    try:
        target = urljoin(address, quote(location, safe=string.punctuation, encoding="iso-8859-1"))
        host(target)
    except ValueError as error:
        raise BadRedirect(
            f"{urlsplit(address).hostname} redirects to {location[:80]}, which is not an address"
        ) from error
    return target


def is_weak(validator: str) -> bool:
    return validator.startswith("W/")


def number(text: str) -> int | None:
    """A number of bytes or seconds in a header; None for anything else."""
    text = text.strip()
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 20 else None


def _sha256(etag: str) -> str:
    """The hub names its large files by their SHA-256."""
    text = etag.strip().strip('"').lower()
    return text if len(text) == 64 and all(letter in "0123456789abcdef" for letter in text) else ""
