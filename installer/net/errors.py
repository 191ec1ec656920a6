# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes wrong between a server and the disk: one sentence each, and its remedy."""

from __future__ import annotations

import errno
import time
from pathlib import Path
from typing import TYPE_CHECKING

from ..shared.errors import SetupError

if TYPE_CHECKING:
    import ssl


class NoConnection(SetupError):
    """The server cannot be reached, or breaks off again and again."""


class NotTrusted(SetupError):
    """The server's certificate is refused."""


class Refused(SetupError):
    """The server does not hand the file out (401, 403, 407)."""


class NotThere(SetupError):
    """The server has no such file (404, 410)."""


class Busy(SetupError):
    """The server is overloaded, or counts too many requests (429, 503)."""


class WrongFile(SetupError):
    """What the server or the user gave is not the published file."""


class DiskFull(SetupError):
    """There is too little room on the disk."""


class NotWritable(SetupError):
    """The folder or the file cannot be written or read."""


class LicenceNeeded(SetupError):
    """A licence has to be accepted, or a confirmation given, first."""

    exit_code = 4


class NeedsRegistration(SetupError):
    """A file that only its owner hands out, after registration."""


class Stopped(Exception):
    """The work was stopped on request; the downloaded part is kept for the next time."""


def disk_error(error: OSError, path: Path) -> SetupError:
    """The sentence for an operation on the disk that failed."""
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", -1)) or getattr(error, "winerror", 0) in (39, 112):
        return DiskFull(
            f"The disk of {path.parent} is full.",
            "Free some space, or choose another folder for the models; the downloaded part is kept.",
        )
    if error.errno == errno.EFBIG:
        return DiskFull(
            f"The file system of {path.parent} takes no files as large as this one (FAT32 ends at 4 GB).",
            "Choose a folder for the models on another disk.",
        )
    if error.errno == errno.ENAMETOOLONG or getattr(error, "winerror", 0) == 206:
        return NotWritable(
            f"The path {path} is too long for this system.", "Choose a folder for the models with a shorter path."
        )
    return NotWritable(
        f"{path} cannot be used ({error.strerror or error}).",
        "Make its folder readable and writable for you, or choose another folder for the models.",
    )


def certificate_error(error: ssl.SSLCertVerificationError, server: str) -> SetupError:
    """The sentence for a certificate that is refused; a clock that is wrong is the usual reason for some of them."""
    if error.verify_code in (9, 10):  # not yet valid, expired
        today = time.strftime("%d %B %Y, %H:%M")
        return NotTrusted(
            f"The certificate of {server} is not valid at this computer's time ({today}).",
            "Set the computer's clock if it is wrong; otherwise the server's certificate has expired: try again later.",
        )
    return NotTrusted(
        f"The certificate of {server} is not trusted ({error.verify_message}).",
        "If a proxy or firewall inspects the traffic, choose your organisation's certificates (CA file) in the "
        "preferences or in SSL_CERT_FILE.",
    )


def status_error(status: int, server: str, name: str, page: str, with_token: bool) -> SetupError | None:
    """The error for an answer that will not change when it is asked for again; None where it may."""
    if status in (401, 403):
        remedy = f"Open {page}, sign in and accept its conditions" if page else "Ask the server's owner for access"
        token = "check the access token" if with_token else "enter your access token (HF_TOKEN or the preferences)"
        return Refused(
            f"{server} does not give public access to {name} ({status}).",
            f"{remedy}; then {token}, or download it with your browser and import it from disk.",
        )
    if status == 407:
        return Refused(
            "The proxy asks for a user name and a password (407).",
            "Write them into the proxy's address: http://user:password@proxy:port.",
        )
    if status in (404, 410):
        return NotThere(
            f"{server} has no {name} ({status}).",
            f"Look for it on {page or 'its page'} and import it from disk, or try another mirror.",
        )
    if status in (408, 416, 421, 425, 429) or status >= 500:
        return None
    return Refused(
        f"{server} answers with {status} instead of {name}.", "Try another mirror, or import the file from disk."
    )
