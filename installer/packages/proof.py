# SPDX-License-Identifier: GPL-3.0-or-later
"""Proves in a child process that installed packages work in a Blender's Python: they load, beside Blender's own numpy,
and the device multiplies matrices, in half precision where it is a graphics card.

The report is plain data, kept with the packages: versions, device, and what went wrong in words.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..environment.lock_files import BLENDERS_OWN
from ..shared.errors import SetupError
from ..shared.processes import clean_environment, stream

#: Seconds; the first import after a download is slow where a virus scanner reads every file.
PATIENCE = 600.0

#: Importing must neither ask the network nor install or configure anything.
_QUIET = {
    "PYTHONIOENCODING": "utf-8",
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "HF_HUB_OFFLINE": "1",
}

_CHILD = r"""
import importlib.machinery, importlib.util, json, os, sys, time
folders, modules = json.loads(sys.argv[1])
report = {"python": sys.version.split()[0], "executable": sys.executable, "versions": {}, "errors": []}

def version(name):
    try:
        module = importlib.import_module(name)
    except BaseException as error:
        report["errors"].append({"module": name, "kind": type(error).__name__, "missing": getattr(error, "name", None),
                                 "error": str(error)[:2000]})
        return None
    report["versions"][name] = str(getattr(module, "__version__", "?"))
    return module

numpy = version("numpy") if importlib.util.find_spec("numpy") else None
own = numpy and numpy.__file__
if importlib.util.find_spec("torch"):  # this Python has its own; what is proved is ours
    sys.path[0:0] = folders
else:
    sys.path.extend(folders)
import_started = time.perf_counter()
torch = version("torch")
report["import_seconds"] = round(time.perf_counter() - import_started, 2)
if numpy is not None:  # a Python that is not Blender's has none, and almost everything needs it
    for name in modules:
        version(name)
found = importlib.machinery.PathFinder.find_spec("numpy")
report["numpy"] = {"version": numpy and numpy.__version__, "file": own,
                   "untouched": (found.origin if found else None) == own}

def multiply(device, half):
    started = time.perf_counter()
    size = 256
    left = torch.arange(size * size, dtype=torch.float32).reshape(size, size).remainder(7) / 7
    right = left.t().contiguous()
    kind = torch.float16 if half else torch.float32
    got = (left.to(device, kind) @ right.to(device, kind)).float().cpu()
    error = float((got - left @ right).abs().max() / (left @ right).abs().max())
    return {"device": device, "type": "float16" if half else "float32", "relative_error": error,
            "seconds": round(time.perf_counter() - started, 3), "right": error < (0.01 if half else 1e-5)}

if torch is not None:
    if numpy is not None:
        try:
            torch.from_numpy(numpy.ones(3, numpy.float32)).numpy()
        except Exception as error:
            report["errors"].append({"module": "torch", "kind": "numpy", "missing": None, "error": str(error)[:2000]})
    report["cuda"], report["rocm"] = torch.version.cuda, getattr(torch.version, "hip", None)
    devices = ["cpu"]
    report["names"] = {}
    for kind in ("cuda", "xpu"):
        backend = getattr(torch, kind, None)
        try:
            for number in range(backend.device_count() if backend is not None and backend.is_available() else 0):
                devices.append(f"{kind}:{number}" if number else kind)
                report["names"][devices[-1]] = backend.get_device_name(number)
        except Exception as error:
            report["errors"].append({"module": kind, "kind": type(error).__name__, "missing": None,
                                     "error": str(error)[:2000]})
    if getattr(torch.backends, "mps", None) and torch.backends.mps.is_available():
        devices.append("mps")
    report["products"] = []
    for device in devices:
        try:
            report["products"].append(multiply(device, device != "cpu"))
        except Exception as error:
            report["products"].append({"device": device, "right": False, "error": str(error)[:2000]})
    right = [product["device"] for product in report["products"] if product["right"]]
    report["devices"] = right
    report["device"] = next((device for device in right if device != "cpu"), "cpu")
print("PROOF" + json.dumps(report), flush=True)
os._exit(0)
"""


def prove(
    python: str, folders: Sequence[Path], modules: Sequence[str], on_tick: Callable[[], None] = lambda: None
) -> dict[str, Any]:
    """The child's report. `modules` are imported besides torch. Raises SetupError where torch or one of them does not
    load, where numpy is another one than before, or where the processor cannot multiply."""
    others = [name for name in modules if name != "torch"]
    command = [python, "-c", _CHILD, json.dumps([list(map(str, folders)), others])]
    with tempfile.TemporaryDirectory() as scratch:
        env = clean_environment({**_QUIET, "YOLO_CONFIG_DIR": scratch})
        code, output = stream(command, env, lambda line: None, on_tick, PATIENCE)
    lines = [line for line in output.splitlines() if line.startswith("PROOF")]
    if not lines:
        last = ([line for line in output.splitlines() if line.strip()] or [f"code {code}"])[-1]
        raise SetupError(
            f"Python ended while it loaded the packages ({last[:200]}).",
            "Press Repair; if that does not help, choose another accelerator, and send the report of the doctor.",
        )
    report = json.loads(lines[-1][len("PROOF") :])
    judge(report)
    return report


def judge(report: dict[str, Any]) -> None:
    """Raise the SetupError that a report calls for."""
    if not report["numpy"]["untouched"]:
        raise SetupError(
            "The packages would take the place of Blender's own numpy.",
            "Press Repair; if that keeps happening, the registry alters packages: use another one.",
        )
    for error in report["errors"]:
        raise _import_error(error)
    if "cpu" not in report.get("devices", ["cpu"]):
        raise SetupError(
            "PyTorch loads, but gives wrong results on this processor.",
            "Choose another accelerator in the preferences and press Repair.",
        )


def _import_error(error: dict[str, Any]) -> SetupError:
    module, text = error["module"], " ".join(error["error"].split())
    if "WinError 126" in text or "WinError 127" in text or "DLL load failed" in text:
        return SetupError(
            f"{module} cannot load one of its libraries: {text[:300]}",
            "Install Microsoft's Visual C++ Redistributable (aka.ms/vs/17/release/vc_redist.x64.exe) and press Repair; "
            "a virus scanner may also have taken a file away.",
        )
    if "WinError 1114" in text or "WinError 193" in text:
        return SetupError(
            f"A library of {module} does not start on this Windows: {text[:300]}",
            "Update the graphics driver, or choose the processor as accelerator, and press Repair.",
        )
    if ".so" in text and "cannot open shared object file" in text:
        library = text.split(":")[0]
        return SetupError(
            f"{module} needs the system library {library}, which is not on this machine.",
            f"Install the package of your system that holds {library}, and press Repair.",
        )
    if error["kind"] == "numpy" or ("numpy" in text.lower() and "compiled" in text.lower()):
        return SetupError(
            f"{module} does not fit this Blender's numpy: {text[:300]}", "Use a Blender of the versions 4.2 to 5.2."
        )
    own = next((name for name in sorted(BLENDERS_OWN) if re.search(rf"['\"]{name}['\"]", text)), None)
    if own and ("No module named" in text or "metadata" in text):
        return SetupError(
            f"This Python has no {own}, which Blender brings itself and {module} needs.",
            f"Give Blender's own Python program, or install {own} for this one as your system does it.",
        )
    missing = error.get("missing")
    what = f"the module {missing} is missing" if missing and "No module named" in text else text[:300]
    return SetupError(f"{module} does not load: {what}.", "Press Repair: it fetches what is missing or damaged.")


def slower_than_hoped(report: dict[str, Any], backend: str) -> str:
    """What to tell the user where torch was chosen for a graphics card and computes on the processor; "" otherwise."""
    if backend in ("cpu", "registry", "") or report.get("device") != "cpu":
        return ""
    failed = [product for product in report.get("products", []) if not product["right"]]
    reason = " ".join(failed[0].get("error", "its results are wrong").split())[:200] if failed else "torch finds none"
    return f"The graphics card cannot be used ({reason}); the processor computes."
