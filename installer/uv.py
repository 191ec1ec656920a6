# SPDX-License-Identifier: GPL-3.0-or-later
"""uv, the tool that installs packages: the one on PATH if it is recent enough, else fetched from the registry."""

from __future__ import annotations

import hashlib
import io
import os
import platform
import re
import shutil
import ssl
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from .errors import SetupError, explain
from .place import Place
from .processes import ask, clean_environment, stream
from .registry import pip_options, uv_settings

#: Fetched when there is none; its files' hashes are in locks/uv.txt.
UV_VERSION = "0.13.8"

#: The oldest on PATH that will do.
MINIMUM = (0, 9, 0)

#: Where Python's packages come from when nothing is configured.
PUBLIC_INDEX = "https://pypi.org/simple"

#: Settings of uv that would change what is installed; a lock must give the same everywhere.
_UNWANTED = (
    "UV_TORCH_BACKEND",
    "UV_CONSTRAINT",
    "UV_OVERRIDE",
    "UV_EXCLUDE",
    "UV_EXCLUDE_NEWER",
    "UV_REQUIRE_HASHES",
    "UV_PYTHON",
    "UV_SYSTEM_PYTHON",
    "UV_PROJECT",
    "UV_WORKING_DIRECTORY",
    "UV_RESOLUTION",
    "UV_PRERELEASE",
)


@dataclass(frozen=True)
class Uv:
    """A uv that works, and the variables it is started with (its cache in our folder, the registry in use)."""

    path: Path
    version: Tuple[int, ...]
    settings: Dict[str, str] = field(default_factory=dict)

    def environment(self, changes: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
        """The environment of a uv process."""
        env = clean_environment(self.settings)
        for name in _UNWANTED:
            env.pop(name, None)
        env.update(changes or {})
        return env


def version_of(program: Path) -> Optional[Tuple[int, ...]]:
    """The version a uv gives of itself, or None where it does not run."""
    answer = ask([str(program), "--version"])
    match = re.match(r"uv (\d+)\.(\d+)\.(\d+)", answer or "")
    return tuple(int(part) for part in match.groups()) if match else None


def find(place: Place) -> Optional[Uv]:
    """The uv to use, if it is already here: ours, or one on PATH that is recent enough."""
    ours = fetched_path(place)
    on_path = shutil.which("uv")
    for program in [ours, *([Path(on_path)] if on_path else [])]:
        version = version_of(program) if program.exists() else None
        if version and version >= MINIMUM:
            return Uv(program, version, _settings(place))
    return None


def fetched_path(place: Place) -> Path:
    return place.home / f"uv-{UV_VERSION}" / ("uv.exe" if os.name == "nt" else "uv")


def _settings(place: Place) -> Dict[str, str]:
    settings = dict(uv_settings())
    for name, folder in (("UV_CACHE_DIR", place.cache), ("UV_PYTHON_INSTALL_DIR", place.home / "python")):
        if not os.environ.get(name):
            settings[name] = str(folder)
    settings.update(UV_NO_PROGRESS="1", NO_COLOR="1", UV_NO_ENV_FILE="1")
    return settings


def ensure(place: Place, say: Callable[[str], None]) -> Uv:
    """Find uv, or fetch it with pip, or without pip straight from the registry, and check its hash."""
    found = find(place)
    if found:
        return found
    say(f"fetching uv {UV_VERSION} (about 25 MB)")
    wheel = _with_pip(place) or _from_index(place, say)
    target = fetched_path(place)
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        member = next(name for name in archive.namelist() if re.search(r"\.data/scripts/uv(\.exe)?$", name))
        partial = target.with_name(f"{target.name}.{os.getpid()}")
        partial.write_bytes(archive.read(member))
    partial.chmod(0o755)
    partial.replace(target)
    version = version_of(target)
    if version is None:
        raise SetupError("The fetched uv does not run on this machine.", "Install uv by hand and put it on PATH.")
    return Uv(target, version, _settings(place))


def known_hashes(place: Place) -> List[str]:
    return re.findall(r"--hash=sha256:([0-9a-f]{64})", (place.locks / "uv.txt").read_text("utf-8"))


def _with_pip(place: Place) -> Optional[bytes]:
    """The wheel by this Python's pip, which knows its user's registry, proxy and certificates; None without pip."""
    if ask([sys.executable, "-m", "pip", "--version"], env=dict(os.environ)) is None:
        return None
    with tempfile.TemporaryDirectory(dir=place.home, prefix="uv-download-") as folder:
        command = [sys.executable, "-m", "pip"]
        command += ["download", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-cache-dir"]
        command += ["--progress-bar", "off", "-r", str(place.locks / "uv.txt"), "-d", folder]
        env = {**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        code, output = stream(command, env, lambda line: None)
        wheels = sorted(Path(folder).glob("uv-*.whl"))
        if code or not wheels:
            raise explain(output, "Fetching uv with pip")
        return wheels[0].read_bytes()


def _from_index(place: Place, say: Callable[[str], None]) -> bytes:
    """The wheel without pip: read the registry's page of uv, take this system's wheel, check its hash."""
    index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL")
    index = index or pip_options("", os.environ).get("index-url") or PUBLIC_INDEX
    page_address = index.rstrip("/") + "/uv/"
    try:
        page = _read(page_address, say).decode("utf-8", "replace")
        links = re.findall(r"""href=["']([^"']+)["']""", page)
        named = {urllib.parse.unquote(urllib.parse.urlsplit(link).path.rsplit("/", 1)[-1]): link for link in links}
        name = wheel_for_this_system(list(named))
        wheel = _read(urllib.parse.urljoin(page_address, named[name]), say)
    except (OSError, urllib.error.URLError) as error:
        raise explain(f"urlopen error {error}", "Fetching uv") from error
    if hashlib.sha256(wheel).hexdigest() not in known_hashes(place):
        raise explain("hash mismatch", "Fetching uv")
    return wheel


def wheel_for_this_system(
    names: List[str], system: str = sys.platform, machine: str = platform.machine(), libc: Optional[str] = None
) -> str:
    """Among a registry's file names, uv's wheel for a system."""
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine.lower(), machine.lower())
    libc = platform.libc_ver()[0] if libc is None else libc
    if system == "win32":
        tag = "win_arm64" if machine == "aarch64" else "win_amd64"
    elif system == "darwin":
        tag = "macosx_.*_arm64" if machine == "aarch64" else "macosx_.*_x86_64"
    else:
        tag = f"{'manylinux' if libc == 'glibc' else 'musllinux'}_.*_{machine}"
    pattern = re.compile(rf"uv-{re.escape(UV_VERSION)}-py3-none-.*{tag}.*\.whl$")
    for name in names:
        if pattern.match(name):
            return name
    raise SetupError(
        f"The registry has no uv {UV_VERSION} for this system ({system}, {machine}).",
        "Install uv by hand and put it on PATH, then run the same command again.",
    )


def _read(address: str, say: Callable[[str], None]) -> bytes:
    certificates = os.environ.get("SSL_CERT_FILE") or os.environ.get("PIP_CERT")
    context = ssl.create_default_context(cafile=certificates if certificates and Path(certificates).exists() else None)
    handlers = [urllib.request.HTTPSHandler(context=context)]
    request = urllib.request.Request(address, headers={"Accept": "text/html, */*;q=0.1"})
    with urllib.request.build_opener(*handlers).open(request, timeout=30) as answer:
        total = int(answer.headers.get("Content-Length") or 0)
        parts: List[bytes] = []
        come = told = 0
        while block := answer.read(1 << 20):
            parts.append(block)
            come += len(block)
            if total > 8e6 and come - told > total / 4:
                told = come
                say(f"{come / 1e6:.0f} of {total / 1e6:.0f} MB")
        return b"".join(parts)
