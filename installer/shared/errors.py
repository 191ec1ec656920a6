# SPDX-License-Identifier: GPL-3.0-or-later
"""The one error of the set-up: what is wrong in a sentence, and the remedy."""

from __future__ import annotations

import re


class SetupError(Exception):
    """A set-up that cannot go on, for a reason the user can act on.

    message : one sentence that says what is wrong.  remedy : one sentence that says what to do.
    exit_code : of a command that ends with it.
    """

    exit_code = 1

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message} {remedy}")
        self.message = message
        self.remedy = remedy


class NoPython(SetupError):
    """The Python that a Blender needs is neither here nor to be had."""


#: What uv, pip and the operating system say -> what it means, and what to do. The first match counts.
_KNOWN = (
    (
        r"no space left on device|disk quota exceeded|not enough space on the disk|os error (28|112|122)\b",
        "The disk is full.",
        "Free some space and run the same command again; what is downloaded already is kept.",
    ),
    (
        r"permission denied|read-only file system|access is denied|os error (13|30)\b",
        "A folder that the set-up writes to cannot be written.",
        "Make it writable, or name another place for the packages in MAQUETTE_HOME, and run the same command again.",
    ),
    (
        r"file name too long|os error (36|63|206)\b",
        "A folder's path is too long for this system.",
        "Choose a folder with a shorter path and run the same command again.",
    ),
    (
        r"hash mismatch|hashes? .{0,40}do(es)? not match",
        "The registry served a file that differs from the one in the lock file.",
        "Run the same command again; if it happens again, the registry (or a proxy) alters packages: use another one.",
    ),
    (
        r"certificate|unknownissuer|ssl(error|:)",
        "The registry's certificate is not trusted.",
        "Point SSL_CERT_FILE at your organisation's certificates, or set UV_SYSTEM_CERTS=1, and run it again.",
    ),
    (
        r"\b(401|403|407)\b.{0,40}(unauthori[sz]ed|forbidden|proxy)|status code 40[137]\b",
        "The package registry refuses the request.",
        "Check the user name and password in the registry's address or in your .netrc, and run it again.",
    ),
    (
        r"dns error|error sending request|failed to fetch|connection (refused|reset|aborted|broken)|timed? ?out|"
        r"client error \(connect\)|network is unreachable|name or service not known|urlopen error|"
        r"newconnectionerror|failed to download|network connectivity is disabled|unreachable|could not connect",
        "The package registry cannot be reached.",
        "Connect this machine to the network, or name a registry that it can reach in UV_DEFAULT_INDEX, and run the "
        "same command again; what is downloaded already is kept.",
    ),
    (
        r"no solution found|no wheels? with a matching|no matching distribution|unsatisfiable|"
        r"can't be installed because it doesn't have",
        "The registry has no build of a package for this computer.",
        "See docs/installing.md for the systems that are supported, or use a registry with all of PyPI's files.",
    ),
)


def explain(output: str, doing: str) -> SetupError:
    """Turn the raw output of a failed tool into one sentence and a remedy."""
    lowered = output.lower()
    for pattern, message, remedy in _KNOWN:
        if re.search(pattern, lowered):
            return SetupError(message, remedy)
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"(error|fatal|×)", line, re.IGNORECASE)]
    last = (errors or lines or ["it gave no reason"])[-1]
    return SetupError(f"{doing} failed: {last[:300]}", "Run the same command again; an unfinished set-up is repaired.")
