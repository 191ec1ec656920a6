# SPDX-License-Identifier: GPL-3.0-or-later
"""Which package registry is used: uv's own settings first, else what pip is configured with."""

from __future__ import annotations

import ast
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from ..shared.processes import ask

_UV_CHOICES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL", "UV_NO_INDEX", "UV_CONFIG_FILE")

#: pip's option -> uv's variable.
_TRANSLATION = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "trusted-host": "UV_INSECURE_HOST",
}


def uv_settings(environ: Mapping[str, str] | None = None, pip_config: str | None = None) -> dict[str, str]:
    """Variables that let uv use the registry that pip is configured with; empty where uv has its own choice.

    pip_config : the output of `pip config list`; asked from this Python's pip when None.
    """
    environ = os.environ if environ is None else environ
    if any(environ.get(name) for name in _UV_CHOICES) or _uv_configuration(environ):
        return {}
    options = pip_options(_ask_pip() if pip_config is None else pip_config, environ)
    settings = {
        variable: _reachable(options[option])
        for option, variable in _TRANSLATION.items()
        if _reachable(options.get(option, ""))
    }
    if "UV_INDEX" in settings:
        # pip weighs all its indexes alike; uv would stop at the first that knows the name. The hashes keep this safe.
        settings["UV_INDEX_STRATEGY"] = "unsafe-best-match"
    certificates = options.get("cert", "")
    if certificates and Path(certificates).exists() and not environ.get("SSL_CERT_FILE"):
        settings["SSL_CERT_FILE"] = certificates
    return settings


def pip_options(pip_config: str, environ: Mapping[str, str]) -> dict[str, str]:
    """pip's options by name: the environment over `install` over `global`; a list becomes words."""
    found: dict[str, str] = {}
    for section in ("global", "install"):
        for line in pip_config.splitlines():
            key, _, value = line.partition("=")
            place, _, name = key.strip().rpartition(".")
            if place == section:
                found[name.replace("_", "-")] = " ".join(_unquoted(value).split())
    for name in (*_TRANSLATION, "cert"):
        value = environ.get(f"PIP_{name.upper().replace('-', '_')}", "")
        if value:
            found[name] = value
    return found


def _unquoted(value: str) -> str:
    try:
        return str(ast.literal_eval(value.strip()))
    except (SyntaxError, ValueError):
        return value.strip()


def _reachable(words: str) -> str:
    """Without the folders that are not there: pip passes over them, uv stops."""
    kept = []
    for word in words.split():
        local = Path(word[7:] if word.startswith("file://") else word)
        remote = "://" in word and not word.startswith("file://")
        if remote or not local.is_absolute() or local.exists():
            kept.append(word)
    return " ".join(kept)


def pips() -> Iterator[list[str]]:
    """The commands that may start a pip: this Python's, the one that Python brings to be installed, those on PATH."""
    yield [sys.executable, "-m", "pip"]
    bundle = find_spec("ensurepip")
    if bundle and bundle.origin:
        for wheel in Path(bundle.origin).parent.glob("_bundled/pip-*.whl"):
            yield [sys.executable, str(wheel / "pip")]
    yield from ([program] for program in map(shutil.which, ("pip3", "pip")) if program)


def _ask_pip() -> str:
    """pip's configuration, by any pip: most of it is the user's and the machine's."""
    answers = (ask([*pip, "config", "list"], env=dict(os.environ)) for pip in pips())
    return next((answer for answer in answers if answer is not None), "")


def _uv_configuration(environ: Mapping[str, str]) -> bool:
    """Whether this user or machine has a configuration file for uv."""
    if os.name == "nt":
        folders = [Path(environ[name]) for name in ("APPDATA", "PROGRAMDATA") if environ.get(name)]
    else:
        home = Path(environ.get("HOME", "/"))
        folders = [Path(environ.get("XDG_CONFIG_HOME") or home / ".config"), Path("/etc")]
    return any((folder / "uv" / "uv.toml").is_file() for folder in folders)
