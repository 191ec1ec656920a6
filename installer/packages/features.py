# SPDX-License-Identifier: GPL-3.0-or-later
"""The groups of packages that an installed Blender can have: what each is made of, and which one a module belongs to.

Every group but the core holds only what it adds to the core, so that it can be added and taken away by itself.
"""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from ..environment.lock_files import BLENDERS_OWN, CORE, FEATURES, Pin, lock_file, normalised, read_lock, select
from ..shared.errors import SetupError

#: The name that a package is imported by, where it is not its own.
_MODULES = {"opencv-python": "cv2", "openexr": "OpenEXR", "pillow": "PIL", "pyyaml": "yaml", "scikit-image": "skimage"}


def locks_folder() -> Path:
    """The lock files that came with this code."""
    return Path(__file__).parents[1] / "locks"


def this_python() -> str:
    """The version of the Python that runs this, as "3.11"."""
    return "{}.{}".format(*sys.version_info)


@lru_cache(maxsize=4)
def _locked(path: Path, _changed: float) -> tuple[Pin, ...]:
    return tuple(read_lock(path))


def locked(locks: Path, python: str) -> tuple[Pin, ...]:
    """All pins for a Python ("3.11"). SetupError where there is no lock for it."""
    path = lock_file(locks, python)
    if not path.exists():
        raise SetupError(
            f"There are no packages for Python {python}.",
            "Use Blender 4.2 or later, as blender.org or a distribution with Python 3.11, 3.13 or 3.14 has it.",
        )
    return _locked(path, path.stat().st_mtime)


def pins_of(locks: Path, python: str, feature: str) -> list[Pin]:
    """What a group adds: everything it needs without what belongs to Blender and, but for the core, to the core."""
    pins = [pin for pin in locked(locks, python) if applies(pin.marker)]
    core = select(pins, [CORE], without=BLENDERS_OWN)
    if feature == CORE:
        return core
    in_core = {pin.name for pin in core}
    return [pin for pin in select(pins, [CORE, feature], without=BLENDERS_OWN) if pin.name not in in_core]


def applies(marker: str) -> bool:
    """Whether a pin's marker is for this system, as far as the system decides it ("" is for all)."""
    if not marker or "(" in marker:
        return True
    return any(all(map(_holds, part.split(" and "))) for part in marker.split(" or "))


def _holds(term: str) -> bool:
    """One comparison of a marker; what the system does not decide (a Python's version) counts as held."""
    import platform

    match = re.match(r"^\s*(\w+) (==|!=) '([^']*)'\s*$", term)
    names = {"sys_platform": sys.platform, "platform_machine": platform.machine(), "platform_system": platform.system()}
    if match is None or match[1] not in names:
        return True
    return (names[match[1]] == match[3]) == (match[2] == "==")


def offered(locks: Path, python: str) -> list[str]:
    """The groups that hold anything."""
    return [feature for feature in FEATURES if pins_of(locks, python, feature)]


def modules_of(locks: Path, python: str, feature: str) -> list[str]:
    """The modules that a group is asked for by: those of the packages that it names itself."""
    wanted = f"group:{feature}"
    return [module_of(pin.name) for pin in locked(locks, python) if wanted in pin.wanted_by]


def module_of(package: str) -> str:
    return _MODULES.get(package, package.replace("-", "_"))


def importable(feature: str) -> bool:
    """Whether this process finds the modules of a group; imports none of them."""
    return all(_found(module) for module in modules_of(locks_folder(), this_python(), feature))


def _found(module: str) -> bool:
    try:
        return module in sys.modules or find_spec(module) is not None
    except (ImportError, ValueError):  # half-imported, or with a broken parent
        return False


def feature_of(module: str, preferred: str = "") -> str:
    """The group that brings a module ("ultralytics.nn" -> "people"); the core for what none of them names. Of several
    that bring it, `preferred` if it is one of them."""
    name = module.partition(".")[0]
    try:
        features = {feature: _names(feature) for feature in FEATURES}
    except SetupError:
        return CORE
    bringing = [feature for feature, names in features.items() if normalised(name) in names]
    return preferred if preferred in bringing else (bringing or [CORE])[0]


@lru_cache(maxsize=8)
def _names(feature: str) -> frozenset[str]:
    pins = pins_of(locks_folder(), this_python(), feature)
    return frozenset(normalised(module_of(pin.name)) for pin in pins)
