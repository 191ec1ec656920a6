# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages, found: pyproject.toml can list them or find them, but not find them under this folder's other name."""

from setuptools import find_packages, setup

FLOORS = ["installer*", "inference*", "blender_addon*", "demo*"]

setup(
    package_dir={"maquette": "."},
    packages=["maquette", *(f"maquette.{name}" for name in find_packages(include=FLOORS))],
)
