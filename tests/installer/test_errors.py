# SPDX-License-Identifier: GPL-3.0-or-later
"""What tools say becomes one sentence and a remedy. The texts are what uv, pip and Python really print."""

import pytest
from maquette.installer.shared.errors import explain

TEXTS = {
    "error: Failed to fetch: https://host/simple/torch/\n  cause: error sending request for url\n"
    "  cause: client error (Connect)\n  cause: dns error": "cannot be reached",
    "error: Request failed after 3 retries\n  cause: operation timed out": "cannot be reached",
    "<urlopen error [Errno 111] Connection refused>": "cannot be reached",
    "Network connectivity is disabled, but the requested data wasn't found in the cache": "cannot be reached",
    "error: Failed to extract archive\n  cause: failed to write to file\n"
    "  cause: No space left on device (os error 28)": "disk is full",
    "[Errno 28] No space left on device os error 28": "disk is full",
    "error: failed to create directory `/x/.cache`: Permission denied (os error 13)": "cannot be written",
    "[Errno 30] Read-only file system: '/x' os error 30": "cannot be written",
    "error: Hash mismatch for `torch==2.11.0`\n\nExpected:\n  sha256:00\n\nComputed:\n  sha256:01": "differs",
    "THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE. hashes do not match": "differs from the one",
    "  cause: invalid peer certificate: UnknownIssuer": "certificate is not trusted",
    "error: Failed to fetch: `https://host/uv/`\n  cause: HTTP status client error (401 Unauthorized)": "refuses",
    "error: Distribution `torch==2.11.0` can't be installed because it doesn't have a source distribution or wheel "
    "for the current platform": "no build of a package",
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(Connection refused)'\n"
    "ERROR: No matching distribution found for uv==0.13.8": "cannot be reached",
    "ERROR: No matching distribution found for uv==0.13.8": "no build of a package",
}


@pytest.mark.parametrize("text", TEXTS)
def test_known_failures(text: str) -> None:
    error = explain(text, "Installing")
    assert TEXTS[text] in error.message
    assert error.message.endswith(".") and error.message.count(". ") == 0
    assert error.remedy


def test_an_unknown_failure_keeps_the_tools_own_words() -> None:
    error = explain("Resolved 3 packages\nerror: the moon is in the way\nhint: wait\n", "Installing the packages")
    assert error.message == "Installing the packages failed: error: the moon is in the way"
    assert "Run the same command again" in error.remedy
