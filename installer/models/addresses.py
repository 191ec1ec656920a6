# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the files of the catalogue can be had, in turn, and whether they still lie there."""

from __future__ import annotations

import http.client
import re
import urllib.error
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from ..net.connection import BadRedirect, Connection
from ..net.errors import status_error
from ..net.http import HUB, Network, chosen_network
from .catalogue import File, in_words

#: What an address says. CHANGED: another size or hash.  CLOSED: only after signing in.  NO_ANSWER: nobody answers.
SAME, MOVED, CHANGED, CLOSED, NO_ANSWER = "same", "moved", "changed", "closed", "no answer"


@dataclass(frozen=True)
class AddressCheck:
    """What one address of a file answers. why : in words, "" where all is as published."""

    file: File
    address: str
    state: str
    why: str


def addresses(file: File, network: Network) -> list[str]:
    """Where a file is asked for, one after the other: its pinned revision, the newest one (the checksum or the content
    still decides), its other addresses. A mirror takes the model hub's place, and may hold any file under its path
    below the models' folder, so that a copy of such a folder is a mirror of everything."""
    newest = re.sub(r"/resolve/[0-9a-f]{40}/", "/resolve/main/", file.url)
    published = [url for url in dict.fromkeys((file.url, newest, *file.mirrors)) if url]
    on_hub = [network.address(url) for url in published if url.startswith(f"{HUB}/")]
    copied = [f"{network.hub_address}/{quote(file.path)}"] if network.hub_address != HUB and published else []
    return on_hub + copied + [url for url in published if not url.startswith(f"{HUB}/")]


def check(file: File, network: Network | None = None, patience: float = 20.0) -> list[AddressCheck]:
    """Ask every address of a file for its size and hash. Only headers and one byte are received."""
    network = network or chosen_network()
    return [
        AddressCheck(file, address, *_ask(file, address, network, patience)) for address in addresses(file, network)
    ]


def _ask(
    file: File, address: str, network: Network, patience: float, tick: Callable[[], None] = lambda: None
) -> tuple[str, str]:
    headers = {"User-Agent": "Maquette", "Accept": "*/*", "Accept-Encoding": "identity", "Range": "bytes=0-0"}
    try:
        with closing(Connection(network, address, headers, patience, tick)) as connection:
            answer = connection.answer()
    except BadRedirect as error:
        return MOVED, str(error)
    except urllib.error.URLError as error:
        return NO_ANSWER, f"{urlsplit(address).hostname}: {error.reason}"
    except (http.client.HTTPException, OSError, UnicodeError) as error:
        return NO_ANSWER, f"{urlsplit(address).hostname}: {error}"
    if answer.status not in (200, 206):
        error = status_error(answer.status, answer.server, file.name, file.page, bool(network.headers(address)))
        state = MOVED if answer.status in (404, 410) else CLOSED if answer.status in (401, 403, 407) else NO_ANSWER
        return state, error.message if error else f"{answer.server} answers with {answer.status}"
    if answer.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
        return MOVED, f"{answer.server} sends a web page instead of {file.name}"
    total = answer.content_range[1] if answer.status == 206 else answer.length
    if file.sha256 and answer.hub_sha256 not in ("", file.sha256):
        return CHANGED, f"its checksum is {answer.hub_sha256}, published was {file.sha256}"
    if file.bytes and total not in (None, -1, file.bytes):
        return CHANGED, f"it has {total:,} bytes, published were {file.bytes:,}"
    if (
        not file.bytes
        and file.about_mb
        and total
        and total > 0
        and not 0.9 < total / file.about_bytes < 1.1
        and total > 2_000_000
    ):
        return CHANGED, f"it has {in_words(total)} instead of {file.size}"
    return SAME, ""
