# SPDX-License-Identifier: GPL-3.0-or-later
"""A package registry on this machine with stand-ins of a few kilobytes, and a checkout whose locks ask for them.

The set-up under test is the real one with the real uv; only what it installs is small.
"""

import base64
import hashlib
import http.server
import json
import shutil
import sys
import threading
import time
import urllib.parse
import zipfile
from pathlib import Path

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"

#: Stand-ins with just what the probe of an environment and the proof of the packages ask them for.
MODULES = {
    "bpy": "class app:\n    version_string = '4.5.15'\n",
    "numpy": "__version__ = '1.26.4'\n",
    "torch": (
        "__version__ = '2.11.0'\n"
        "float16 = float32 = None\n"
        "class Tensor:\n"
        "    def __getattr__(self, name):\n"
        "        if name.startswith('__'): raise AttributeError(name)\n"
        "        return lambda *arguments: self\n"
        "    def __matmul__(self, other): return self\n"
        "    def __sub__(self, other): return self\n"
        "    def __truediv__(self, other): return self\n"
        "    def __float__(self): return 0.0\n"
        "def arange(*size, dtype=None): return Tensor()\n"
        "def ones(*size): return Tensor()\n"
        "from_numpy = ones\n"
        "class cuda:\n    is_available = staticmethod(lambda: False)\n"
        "class version: cuda = None\n"
        "class backends: pass\n"
    ),
    "cv2": "__version__ = '4.11.0'\n",
    "scipy": "__version__ = '1.15.3'\n",
    "PIL": "",
    "safetensors": "",
    "ultralytics": "__version__ = '8.4.190'\n",
    "pytest": "import sys\nsys.exit(0)\n",
}

#: Module -> distribution, version, who wants it.
PACKAGES = {
    "bpy": ("bpy", "4.5.15", None),
    "numpy": ("numpy", "1.26.4", None),
    "torch": ("torch", "2.11.0", "core"),
    "cv2": ("opencv-python", "4.11.0.86", "core"),
    "scipy": ("scipy", "1.15.3", "core"),
    "PIL": ("pillow", "13.0.0", "core"),
    "safetensors": ("safetensors", "0.8.0", "core"),
    "ultralytics": ("ultralytics", "8.4.190", "people"),
    "pytest": ("pytest", "9.2.0", "test"),
}

#: Lets the checkout be installed without setuptools.
BACKEND = """
import zipfile
from pathlib import Path

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    name, info = "maquette-0.1.0-py3-none-any.whl", "maquette-0.1.0.dist-info/"
    with zipfile.ZipFile(Path(wheel_directory, name), "w") as wheel:
        wheel.writestr("maquette_path.pth", str(Path(__file__).parent))
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: maquette\\nVersion: 0.1.0\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
"""


def write_wheel(folder: Path, module: str, version: str = "", code: str = "", needs: tuple[str, ...] = ()) -> Path:
    """A wheel of one module, in its usual version and with its usual code unless told otherwise."""
    name, usual, _ = PACKAGES.get(module, (module.replace("_", "-"), "1.0", None))
    stem = f"{name.replace('-', '_')}-{version or usual}"
    path = folder / f"{stem}-py3-none-any.whl"
    files = {
        f"{module}/__init__.py": code or MODULES.get(module, ""),
        f"{module}/data.txt": "data" * 100,
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version or usual}\n"
        + "".join(f"Requires-Dist: {other}\n" for other in needs),
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},{_recorded(text)},{len(text)}\n" for file, text in files.items())
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in {**files, f"{stem}.dist-info/RECORD": record}.items():
            wheel.writestr(file, text)
    return path


def _recorded(text: str) -> str:
    """A file's hash as RECORD writes it; none for an empty file."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def sha256(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


class Registry:
    """Serves a folder of wheels as an index. `delay` seconds before each file; with `cut`, the connection breaks after
    so many bytes of a file; `requests` (and what they ask for: `ranges`) are written down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.delay = 0.0
        self.cut = 0
        self.requests: list[str] = []
        self.ranges: list[str] = []
        self.wheels: dict[str, Path] = {}
        self.published: dict[str, str] = {}
        self.builds: dict[tuple[str, str], Path] = {}
        for module in PACKAGES:
            self.publish(module)
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                self.respond(registry.answer(self.parts))

            def do_GET(self) -> None:
                registry.requests.append(self.path)
                body = registry.answer(self.parts)
                if self.path.endswith(".whl") and body is not None:
                    time.sleep(registry.delay)
                    asked = self.headers.get("Range", "")
                    start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
                    if asked:
                        registry.ranges.append(asked)
                    self.respond(body, start)
                    self.wfile.write(body[start : start + registry.cut] if registry.cut else body[start:])
                    self.close_connection = True
                else:
                    self.respond(body)
                    self.wfile.write(body or b"")

            @property
            def parts(self) -> list[str]:
                return urllib.parse.unquote(self.path).strip("/").split("/")

            def respond(self, body: bytes | None, start: int = 0) -> None:
                length = len(body or b"")
                self.send_response(404 if body is None else 206 if start else 200)
                kind = "text/html" if self.parts[0] in ("simple", "whl") else "application/octet-stream"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(length - start))
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("ETag", f'"{hash(body)}"')
                if start:
                    self.send_header("Content-Range", f"bytes {start}-{length - 1}/{length}")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        self.index = f"http://127.0.0.1:{self._server.server_port}/simple"

    def publish(self, module: str, version: str = "", code: str = "") -> None:
        """Offer a module's wheel in place of the one before."""
        wheel = write_wheel(self.folder, module, version, code)
        self.wheels[PACKAGES[module][0]] = wheel
        self.published[wheel.name] = sha256(wheel).replace(":", "=")

    def publish_build(self, backend: str) -> str:
        """Offer a build of torch on an index of its own, with a library that only this build needs; returns the
        address."""
        code = MODULES["torch"].replace("'2.11.0'", f"'2.11.0+{backend}'")
        needs = ("nvidia-cublas-cu12==12.8", "scipy", "numpy")
        for module, version in (("torch", f"2.11.0+{backend}"), ("nvidia_cublas_cu12", "12.8")):
            wheel = write_wheel(
                self.folder, module, version, code if module == "torch" else "x = 1", needs if module == "torch" else ()
            )
            self.builds[backend, module.replace("_", "-")] = wheel
            self.published[wheel.name] = sha256(wheel).replace(":", "=")
        return self.index.removesuffix("/simple") + "/whl"

    def answer(self, parts: list[str]) -> bytes | None:
        if parts[0] == "whl":
            build = self.builds.get((parts[1], parts[-1]))
            return self.link(build) if build else None
        if parts[0] == "simple" and parts[-1] in self.wheels:
            return self.link(self.wheels[parts[-1]])
        if parts[0] == "files" and parts[-1].endswith(".metadata"):
            with zipfile.ZipFile(self.folder / parts[-1].removesuffix(".metadata")) as wheel:
                return wheel.read(next(name for name in wheel.namelist() if name.endswith("/METADATA")))
        file = self.folder / parts[-1]
        if parts[0] == "files" and file.exists():
            return file.read_bytes()
        return None

    def link(self, wheel: Path) -> bytes:
        """A page of the index with one file."""
        link = f"/files/{wheel.name.replace('+', '%2B')}#{self.published[wheel.name]}"
        return f'<a href="{link}" data-core-metadata="true">{wheel.name}</a>'.encode()

    def downloads(self) -> list[str]:
        return [path for path in self.requests if path.startswith("/files/") and path.endswith(".whl")]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def make_checkout(root: Path, installer: Path, registry: Registry) -> None:
    """A checkout with the installer's code (and what is compiled of it, which spares every start some time) and lock
    files that ask for the stand-ins, for the Python that runs this."""
    shutil.copytree(installer, root / "installer")
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "maquette"\nversion = "0.1.0"\n'
    )
    (root / "backend.py").write_text(BACKEND)
    lock(root, registry)
    hashes = {name: [sha256(registry.wheels[name])] for name, _, group in PACKAGES.values() if group is None}
    entry = {"python": PYTHON, "bpy": "4.5.15", "numpy": "1.26.4", "hashes": hashes}
    (root / "installer" / "locks" / "blenders.json").write_text(json.dumps({"4.5": entry}))


def lock(root: Path, registry: Registry, **versions: str) -> None:
    """Write a checkout's lock file, with `versions` (by module) in place of the usual ones."""
    text = ""
    for module, (name, usual, group) in PACKAGES.items():
        if group is not None:
            pin = f"{name}=={versions.get(module, usual)}"
            text += f"{pin} \\\n    --hash={sha256(registry.wheels[name])}\n    # via -r locks/{group}.in\n"
    (root / "installer" / "locks" / f"python{PYTHON}.txt").write_text(text)
