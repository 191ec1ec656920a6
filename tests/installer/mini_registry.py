# SPDX-License-Identifier: GPL-3.0-or-later
"""A package registry on this machine with stand-ins of a few kilobytes, and a checkout whose locks ask for them.

The set-up under test is the real one with the real uv; only what it installs is small.
"""

import hashlib
import http.server
import json
import shutil
import sys
import threading
import time
import zipfile
from pathlib import Path

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"

#: Stand-ins with just what the probe of an environment asks them for.
MODULES = {
    "bpy": "class app:\n    version_string = '4.5.15'\n",
    "numpy": "__version__ = '1.26.4'\n",
    "torch": (
        "__version__ = '2.11.0'\n"
        "class cuda:\n    is_available = staticmethod(lambda: False)\n"
        "class backends: pass\n"
        "class ones:\n    def __init__(self, *size): pass\n"
        "    def __matmul__(self, other): return self\n    def numpy(self): return 0\n"
    ),
    "cv2": "__version__ = '4.11.0'\n",
    "scipy": "__version__ = '1.15.3'\n",
    "PIL": "",
    "safetensors": "",
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


def write_wheel(folder: Path, module: str) -> Path:
    """A wheel of one module."""
    name, version, _ = PACKAGES[module]
    stem = f"{name.replace('-', '_')}-{version}"
    path = folder / f"{stem}-py3-none-any.whl"
    files = {
        f"{module}/__init__.py": MODULES[module],
        f"{module}/data.txt": "data" * 100,
        f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,{len(text)}\n" for file, text in files.items())
    with zipfile.ZipFile(path, "w") as wheel:
        for file, text in {**files, f"{stem}.dist-info/RECORD": record}.items():
            wheel.writestr(file, text)
    return path


def sha256(path: Path) -> str:
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()


class Registry:
    """Serves a folder of wheels as an index; `delay` seconds before each file, `requests` are written down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.delay = 0.0
        self.requests: list[str] = []
        self.wheels = {PACKAGES[module][0]: write_wheel(folder, module) for module in PACKAGES}
        registry = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.requests.append(self.path)
                parts = self.path.strip("/").split("/")
                body = registry.answer(parts)
                self.send_response(200 if body is not None else 404)
                self.send_header("Content-Type", "text/html" if parts[0] == "simple" else "application/octet-stream")
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.index = f"http://127.0.0.1:{self._server.server_port}/simple"

    def answer(self, parts: list[str]) -> bytes | None:
        if parts[0] == "simple" and parts[-1] in self.wheels:
            name = self.wheels[parts[-1]].name
            return f'<a href="/files/{name}">{name}</a>'.encode()
        file = self.folder / parts[-1]
        if parts[0] == "files" and file.exists():
            time.sleep(self.delay)
            return file.read_bytes()
        return None

    def downloads(self) -> list[str]:
        return [path for path in self.requests if path.startswith("/files/")]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def make_checkout(root: Path, installer: Path, registry: Registry) -> None:
    """A checkout with the installer's code and lock files that ask for the stand-ins, for the Python that runs this."""
    shutil.copytree(installer, root / "installer", ignore=shutil.ignore_patterns("__pycache__"))
    (root / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "maquette"\nversion = "0.1.0"\n'
    )
    (root / "backend.py").write_text(BACKEND)
    lock = ""
    hashes = {}
    for name, version, group in PACKAGES.values():
        if group is None:
            hashes[name] = [sha256(registry.wheels[name])]
        else:
            lock += f"{name}=={version} \\\n    --hash={sha256(registry.wheels[name])}\n    # via -r locks/{group}.in\n"
    locks = root / "installer" / "locks"
    (locks / f"python{PYTHON}.txt").write_text(lock)
    entry = {"python": PYTHON, "bpy": "4.5.15", "numpy": "1.26.4", "hashes": hashes}
    (locks / "blenders.json").write_text(json.dumps({"4.5": entry}))
