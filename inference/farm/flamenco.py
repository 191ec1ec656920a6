# SPDX-License-Identifier: GPL-3.0-or-later
"""Jobs for Flamenco, over the interface of its manager, and the job type that it needs."""

from __future__ import annotations

import json
import shlex
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .. import export
from ..errors import BadInput, MaquetteError
from . import JOB_TYPE

#: Seconds that the manager has to answer.
_PATIENCE = 15
_PLATFORMS = {"win32": "windows", "darwin": "darwin"}
_CHECK = "Check Flamenco's address in its preferences."


def job(name: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """A job as the manager takes it. settings : those of the job type; its `options` as words."""
    options: Sequence[str] = settings.get("options", ())
    return {
        "name": name,
        "type": JOB_TYPE.stem,
        "priority": 50,
        "submitter_platform": _PLATFORMS.get(sys.platform, "linux"),
        "settings": {**settings, "options": shlex.join(options)},
        "metadata": {"made_by": "maquette"},
    }


def submit(manager: str, request: Mapping[str, Any]) -> str:
    """Send a job; returns its name. Raises `MaquetteError` where the manager is away or does not know the job type."""
    known = _asked(manager, "jobs/types").get("job_types", [])
    if JOB_TYPE.stem not in [one.get("name") for one in known]:
        raise BadInput(
            "This Flamenco has no job type maquette.",
            f"Copy {JOB_TYPE.name} (Save Job Type) into the folder scripts beside flamenco-manager.",
        )
    return str(_asked(manager, "jobs", request).get("name", request["name"]))


def save_job_type(target: Path, *, overwrite: bool = False) -> Path:
    """Write the job type as a file, or into a folder; returns the file. Raises `BadInput`."""
    file = target / JOB_TYPE.name if target.is_dir() else target
    if file.exists() and not overwrite:
        raise BadInput(f"{file} exists.", "Choose another folder, or overwrite it.")
    export.save_with(file, lambda stream: stream.write(JOB_TYPE.read_bytes()))
    return file


def _asked(manager: str, path: str, content: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The manager's answer."""
    address = f"{manager.rstrip('/')}/api/v3/{path}"
    if not address.startswith(("http://", "https://")):
        raise BadInput(f"{manager!r} is no address of Flamenco's manager.", _CHECK)
    body = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:
            return json.loads(answer.read())
    except urllib.error.HTTPError as error:
        said = error.read(500).decode(errors="replace").strip()
        raise MaquetteError(
            f"Flamenco refuses the job: {said or error}", "Change it, or ask who runs the farm."
        ) from error
    except (OSError, ValueError) as error:
        raise MaquetteError(f"Flamenco at {manager} does not answer: {error}.", _CHECK) from error
