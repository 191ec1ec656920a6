# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds Blender's extension with Blender's own builder, and lets every Blender's validator read it."""

from __future__ import annotations

import re
import shutil
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from ..environment import environments, uv
from ..environment.lock_files import DEFAULT_BLENDER
from ..shared.errors import NoPython, SetupError
from ..shared.paths import Paths
from ..shared.processes import stream
from ..shared.reporting import Reporter
from .manual import build_manual

#: Blender's builder inside the bpy wheel. It is a script of the standard library alone and needs no bpy.
BUILDER = "bpy/*/scripts/addons_core/bl_pkg/cli/blender_ext.py"


def build_extension(paths: Paths, reporter: Reporter, validate_with: Sequence[str] = ()) -> Path:
    """Build `out/maquette-<version>.zip`, validated by the default Blender and by those named; returns its path."""
    main = environments.ensure(paths, DEFAULT_BLENDER, reporter)
    paths.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=paths.out, prefix="extension-") as folder:
        output = _run(main, ["build", "--source-dir", str(paths.root), "--output-dir", folder])
        complaints = warnings_in(output)
        if complaints:
            raise SetupError(f"Blender's builder complains: {complaints[0]}", "Change blender_manifest.toml.")
        built = next(Path(folder).glob("*.zip"))
        _add_manual(paths, built, reporter)
        for version in [DEFAULT_BLENDER, *validate_with]:
            _validate(paths, version, built, reporter)
        # Only what every validator has accepted takes the place of an older one.
        target = paths.out / built.name
        shutil.move(str(built), str(target))
    reporter.say(f"{target.stat().st_size / 1e6:.1f} MB")
    return target


def _add_manual(paths: Paths, built: Path, reporter: Reporter) -> None:
    """Put the manual into the zip as pages, for the help buttons of the panels: it is of this very version then."""
    first = build_manual(paths, uv.ensure(paths, reporter.detail))
    with zipfile.ZipFile(built, "a", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(first.parent.rglob("*")):
            if path.is_file() and path.suffix not in {".map", ".gz"}:
                archive.write(path, Path("manual", path.relative_to(first.parent)).as_posix())


def build_repository(paths: Paths, reporter: Reporter, built: Path) -> Path:
    """A static extension repository of the zip, with its `index.json`: any web server, or a folder, from which Blender
    itself updates the add-on. Returns its folder, `out/repository`."""
    folder = paths.out / "repository"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copy2(built, folder)
    main = environments.ensure(paths, DEFAULT_BLENDER, reporter)
    _run(main, ["server-generate", "--repo-dir", str(folder), "--html"])
    return folder


def _validate(paths: Paths, version: str, archive: Path, reporter: Reporter) -> None:
    try:
        environment = environments.ensure(paths, version, reporter)
    except NoPython as error:
        reporter.say(f"Blender {version} is skipped: {error.message} {error.remedy}")
        return
    for source in (str(archive), str(paths.root)):
        complaints = warnings_in(_run(environment, ["validate", source]))
        if complaints:
            raise SetupError(f"Blender {version} complains: {complaints[0]}", "Change blender_manifest.toml.")
    reporter.say(f"Blender {version}: valid, without a warning")


def warnings_in(output: str) -> list[str]:
    """The lines in which Blender's builder or validator warns or refuses."""
    return [line.strip() for line in output.splitlines() if re.search(r"warning|error", line, re.IGNORECASE)]


def builder_script(environment: environments.Environment) -> Path:
    """Blender's builder in an environment."""
    return next(environment.packages.glob(BUILDER))


def _run(environment: environments.Environment, arguments: list[str]) -> str:
    command = [str(environment.python), str(builder_script(environment)), *arguments]
    code, output = stream(command, environment.variables(), lambda line: None)
    if code:
        lines = [line.strip() for line in output.splitlines() if line.strip()] or [f"code {code}"]
        raise SetupError(
            f"Blender {environment.blender.version} refuses the extension: {lines[-1]}", "Change blender_manifest.toml."
        )
    return output
