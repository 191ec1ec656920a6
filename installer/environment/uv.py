# SPDX-License-Identifier: GPL-3.0-or-later
"""uv, the tool that installs packages: the one on PATH if it is recent enough, else fetched from the registry."""

from __future__ import annotations

import hashlib
import io
import os
import platform
import re
import shutil
import sys
import tempfile
import urllib.parse
import zipfile
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from ..net.connection import BadRedirect, Connection
from ..net.download import DownloadSpec, fetch
from ..net.http import chosen_network
from ..packages.sources import NO_CHOICE, Sources
from ..shared.disk import whole_file
from ..shared.errors import SetupError, explain
from ..shared.paths import Paths
from ..shared.processes import ask, clean_environment, stream
from .package_index import pip_options, pips, uv_settings

#: Fetched when there is none; its files' hashes are in locks/uv.txt.
UV_VERSION = "0.13.8"

#: The oldest on PATH that will do.
MINIMUM = (0, 10, 0)

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
    version: tuple[int, ...]
    settings: dict[str, str] = field(default_factory=dict)

    def using(self, sources: Sources) -> Uv:
        """The same uv with packages from these sources."""
        return replace(self, settings={**self.settings, **sources.variables()})

    def environment(self, changes: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a uv process."""
        env = clean_environment(self.settings)
        for name in _UNWANTED:
            env.pop(name, None)
        env.update(changes or {})
        return env


def version_of(program: Path) -> tuple[int, ...] | None:
    """The version a uv gives of itself, or None where it does not run."""
    answer = ask([str(program), "--version"])
    match = re.match(r"uv (\d+)\.(\d+)\.(\d+)", answer or "")
    return tuple(int(part) for part in match.groups()) if match else None


def find(paths: Paths) -> Uv | None:
    """The uv to use, if it is already here: ours, or one on PATH that is recent enough."""
    ours = fetched_path(paths)
    on_path = shutil.which("uv")
    for program in [ours, *([Path(on_path)] if on_path else [])]:
        version = version_of(program) if program.exists() else None
        if version and version >= MINIMUM:
            return Uv(program, version, _settings(paths))
    return None


def fetched_path(paths: Paths) -> Path:
    return paths.home / f"uv-{UV_VERSION}" / ("uv.exe" if os.name == "nt" else "uv")


def _settings(paths: Paths) -> dict[str, str]:
    settings = dict(uv_settings())
    for name, folder in (("UV_CACHE_DIR", paths.cache), ("UV_PYTHON_INSTALL_DIR", paths.home / "python")):
        if not os.environ.get(name):
            settings[name] = str(folder)
    settings.update(UV_NO_PROGRESS="1", NO_COLOR="1", UV_NO_ENV_FILE="1")
    return {**settings, **network_variables()}


def ensure(paths: Paths, say: Callable[[str], None], sources: Sources = NO_CHOICE) -> Uv:
    """Find uv, or take it from a folder of wheels or, with or without pip, from the registry, and check its hash."""
    found = find(paths)
    if found:
        return found
    paths.home.mkdir(parents=True, exist_ok=True)
    if sources.folder is not None:
        wheel = _from_folder(sources.folder)
    else:
        say(f"fetching uv {UV_VERSION} (about 25 MB)")
        with tempfile.TemporaryDirectory(dir=paths.home, prefix="uv-download-") as folder:
            wheel = _with_pip(paths, sources, Path(folder)) or _from_index(sources, Path(folder))
    if hashlib.sha256(wheel).hexdigest() not in known_hashes(paths):
        raise explain("hash mismatch", "Fetching uv")
    target = fetched_path(paths)
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        member = next(name for name in archive.namelist() if re.search(r"\.data/scripts/uv(\.exe)?$", name))
        with whole_file(target) as partial:
            partial.write_bytes(archive.read(member))
            partial.chmod(0o755)
    version = version_of(target)
    if version is None:
        raise SetupError("The fetched uv does not run on this machine.", "Install uv by hand and put it on PATH.")
    return Uv(target, version, _settings(paths))


def known_hashes(paths: Paths) -> list[str]:
    return re.findall(r"--hash=sha256:([0-9a-f]{64})", (paths.locks / "uv.txt").read_text("utf-8"))


def _from_folder(folder: Path) -> bytes:
    name = wheel_for_this_system([path.name for path in folder.glob("uv-*.whl")], where=f"The folder {folder}")
    return (folder / name).read_bytes()


def _with_pip(paths: Paths, sources: Sources, folder: Path) -> bytes | None:
    """The wheel by a pip, which knows its user's registry, proxy and certificates; None where there is no pip."""
    pip = next((pip for pip in pips() if ask([*pip, "--version"], env=dict(os.environ)) is not None), None)
    if pip is None:
        return None
    command = [*pip, "download", "--no-deps", "--only-binary", ":all:", "--require-hashes", "--no-cache-dir"]
    command += ["--progress-bar", "off", "-r", str(paths.locks / "uv.txt"), "-d", str(folder)]
    env = {**os.environ, "PIP_USER": "0", "PIP_REQUIRE_VIRTUALENV": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    env.update(network_variables())
    if sources.index:
        env["PIP_INDEX_URL"] = sources.index
    code, output = stream(command, env, lambda line: None)
    wheels = sorted(folder.glob("uv-*.whl"))
    if code or not wheels:
        raise explain(output, "Fetching uv with pip")
    return wheels[0].read_bytes()


def _from_index(sources: Sources, folder: Path) -> bytes:
    """The wheel without pip, from the registry that is configured: its page of uv names the files."""
    index = sources.index or os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL")
    index = index or pip_options("", os.environ).get("index-url")
    if not index:
        raise SetupError(
            "There is neither uv nor pip on this machine.",
            "Install one of them (on Debian and Ubuntu: sudo apt-get install python3-pip), or name a package registry "
            "in UV_DEFAULT_INDEX, and run the same command again.",
        )
    address = index.rstrip("/") + "/uv/"
    try:
        with closing(Connection(chosen_network(), address, {"Accept": "text/html"}, 30.0, lambda: None)) as connection:
            status = connection.answer().status
            page = b"".join(connection.blocks()).decode("utf-8", "replace")
    except (OSError, BadRedirect) as error:
        raise explain(f"urlopen error {error}", "Fetching uv") from error
    links = re.findall(r"""href=["']([^"']+)["']""", page) if status == 200 else []
    named = {urllib.parse.unquote(urllib.parse.urlsplit(link).path.rsplit("/", 1)[-1]): link for link in links}
    name = wheel_for_this_system(list(named))
    spec = DownloadSpec(urllib.parse.urljoin(address, named[name].partition("#")[0]), page=address)
    return fetch(spec, folder / name).path.read_bytes()


def wheel_for_this_system(
    names: list[str],
    system: str = sys.platform,
    machine: str = platform.machine(),
    libc: str | None = None,
    where: str = "The registry",
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
        f"{where} has no uv {UV_VERSION} for this system ({system}, {machine}).",
        "Install uv by hand and put it on PATH, then run the same command again.",
    )


def network_variables() -> dict[str, str]:
    """The variables by which uv and pip use the proxy and the certificates that were chosen."""
    network = chosen_network()
    found: dict[str, str] = {}
    if network.proxy:
        found = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"), network.proxy)
    if network.ca_file:
        found.update(SSL_CERT_FILE=network.ca_file, PIP_CERT=network.ca_file)
    elif sys.platform in ("win32", "darwin") and not os.environ.get("SSL_CERT_FILE"):
        found.update(UV_SYSTEM_CERTS="1", UV_NATIVE_TLS="1")  # where an organisation's own certificates are
    return found
