# SPDX-License-Identifier: GPL-3.0-or-later
"""The set-up from end to end on a small registry: first, second, interrupted, damaged, doubled and impossible ones."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from maquette.installer.environment import environments
from maquette.installer.environment.uv import Uv

sys.path.insert(0, str(Path(__file__).parent))
from mini_registry import Registry, make_checkout

INSTALLER = Path(environments.__file__).parents[1]


@dataclass
class Checkout:
    """A small checkout, the registry it installs from, and the command line in it."""

    root: Path
    registry: Registry
    variables: dict[str, str]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "installer", *arguments],
            cwd=self.root,
            env={**os.environ, **self.variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if arguments[-1:] != ("--json",) else None,
            text=True,
            start_new_session=True,
        )

    def call(self, *arguments: str) -> tuple[int, str]:
        child = self.start(*arguments)
        output, _ = child.communicate(timeout=120)
        return child.returncode, output

    @property
    def folder(self) -> Path:
        (folder,) = (self.root / ".maquette" / "env").iterdir()
        return folder

    @property
    def packages(self) -> Path:
        return next(self.folder.glob("[Ll]ib/**/site-packages"))


def require(root: Path, megabytes: int) -> None:
    """Let an environment ask for so much room on the disk; the stand-ins need next to none."""
    code = root / "installer" / "environment" / "environments.py"
    text = re.sub(r'"(cuda|plain|second Python|same Python)": \d+', rf'"\1": {megabytes}', code.read_text("utf-8"))
    code.write_text(text, "utf-8")


@pytest.fixture
def checkout(tmp_path: Path, tool: Uv) -> Iterator[Checkout]:
    root = tmp_path / "a folder, größer"
    files = tmp_path / "files"
    files.mkdir()
    registry = Registry(files)
    make_checkout(root, INSTALLER, registry)
    require(root, 1)
    variables = {
        "UV_DEFAULT_INDEX": registry.index,
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "UV_TORCH_BACKEND": "registry",
        "UV_HTTP_RETRIES": "0",
        "PATH": os.pathsep.join([str(tool.path.parent), *([] if os.name == "nt" else ["/usr/bin", "/bin"])]),
    }
    yield Checkout(root, registry, variables)
    registry.close()


def assert_works(checkout: Checkout) -> str:
    code, output = checkout.call("run", "-c", "import bpy, torch; print('it runs', torch.__version__)")
    assert code == 0 and "it runs 2.11.0" in output, output
    return output


def test_a_first_set_up_speaks_and_a_second_does_nothing(checkout: Checkout) -> None:
    first = assert_works(checkout)
    for words in ("[1/5]", "4 more to come", "[5/5]", "9 packages to install", "Blender 4.5 is set up"):
        assert words in first
    assert json.loads((checkout.folder / environments.STAMP).read_text())["found"]["numpy"] == "1.26.4"
    checkout.registry.requests.clear()
    assert assert_works(checkout) == "it runs 2.11.0\n"
    assert not checkout.registry.requests


def test_the_exit_code_and_the_arguments_of_a_program_are_its_own(checkout: Checkout) -> None:
    assert_works(checkout)
    code, output = checkout.call("run", "-c", "import sys; print(sys.argv[1:]); sys.exit(7)", "--blender", "--", "-x")
    assert (code, output) == (7, "['--blender', '--', '-x']\n")


@pytest.mark.skipif(os.name == "nt", reason="kills a process group")
@pytest.mark.parametrize("moment", ["environment", "download", "stamp"])
def test_a_killed_set_up_is_repaired_by_the_next(checkout: Checkout, moment: str) -> None:
    checkout.registry.delay = 0.5 if moment == "download" else 0.0
    child = checkout.start("run", "-c", "pass")
    deadline = time.monotonic() + 60
    env = checkout.root / ".maquette" / "env"
    while time.monotonic() < deadline:
        if moment == "environment" and any(env.glob("*/pyvenv.cfg")):
            break
        if moment == "download" and checkout.registry.downloads():
            break
        if moment == "stamp" and any(env.glob("*/[Ll]ib/**/maquette-*.dist-info/METADATA")):
            break
        time.sleep(0.005)
    os.killpg(child.pid, signal.SIGKILL)
    child.communicate()
    assert not (checkout.folder / environments.STAMP).exists()
    checkout.registry.delay = 0.0
    assert "its set-up was interrupted" in assert_works(checkout)


def test_a_damaged_environment_is_rebuilt(checkout: Checkout) -> None:
    assert_works(checkout)
    for lost in ("torch/data.txt", "torch", "cut stamp", "python"):
        if lost == "cut stamp":
            stamp = checkout.folder / environments.STAMP
            stamp.write_text(stamp.read_text()[:40])
            words = "its set-up was interrupted"
        elif lost == "python":
            for program in (*checkout.folder.glob("bin/python*"), *checkout.folder.glob("Scripts/python.exe")):
                program.unlink()
            words = "its Python is gone"
        else:
            path = checkout.packages / lost
            for file in [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]:
                file.unlink()
            words = "of its files are missing"
        assert words in assert_works(checkout), lost
        assert (checkout.packages / "torch" / "data.txt").exists(), lost


def test_two_set_ups_at_once_end_well(checkout: Checkout) -> None:
    checkout.registry.delay = 0.3
    children = [checkout.start("run", "-c", "import torch; print('it runs')") for _ in range(3)]
    outputs = [child.communicate(timeout=120)[0] for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], outputs
    assert all("it runs" in output for output in outputs)
    assert sum("is set up (" in output for output in outputs) == 1
    assert sum("Another set-up (process " in output for output in outputs) == 2
    assert len(checkout.registry.downloads()) == len(set(checkout.registry.downloads()))


def test_another_lock_gives_another_environment_and_the_old_one_goes_after_a_day(checkout: Checkout) -> None:
    assert_works(checkout)
    old = checkout.folder
    lock = checkout.root / "installer" / "locks" / f"python{sys.version_info[0]}.{sys.version_info[1]}.txt"
    lock.write_text(lock.read_text() + "# changed\n")
    assert_works(checkout)
    assert old.exists()
    long_ago = time.time() - 2 * 24 * 3600
    os.utime(old / environments.STAMP, (long_ago, long_ago))
    lock.write_text(lock.read_text() + "# changed again\n")
    assert_works(checkout)
    assert not old.exists()
    assert len(list((checkout.root / ".maquette" / "env").iterdir())) == 2


def one_sentence(code: int, output: str, words: str) -> None:
    assert code == 1
    assert "Traceback" not in output
    (line,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert words in line
    assert output.rstrip().splitlines()[-1] != line, "the remedy is missing"


def test_no_network(checkout: Checkout) -> None:
    checkout.variables["UV_DEFAULT_INDEX"] = "http://127.0.0.1:9/simple"
    one_sentence(*checkout.call("run", "-c", "pass"), "The package registry cannot be reached.")


def test_a_file_that_is_not_what_the_lock_says(checkout: Checkout) -> None:
    wheel = checkout.registry.wheels["torch"]
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    one_sentence(*checkout.call("run", "-c", "pass"), "differs from the one in the lock file")


def test_no_room(checkout: Checkout) -> None:
    require(checkout.root, 10**9)
    one_sentence(*checkout.call("run", "-c", "pass"), "needs about 1,000,000,000 MB, but the disk of")


def test_a_folder_that_cannot_be_written(checkout: Checkout) -> None:
    (checkout.root / "file").touch()
    checkout.variables["MAQUETTE_HOME"] = str(checkout.root / "file" / "inside")
    one_sentence(*checkout.call("run", "-c", "pass"), "cannot be written")


def test_no_fitting_python(checkout: Checkout) -> None:
    locks = checkout.root / "installer" / "locks"
    lock = next(locks.glob(f"python{sys.version_info[0]}.{sys.version_info[1]}.txt"))
    lock.rename(locks / "python3.99.txt")
    table = locks / "blenders.json"
    table.write_text(table.read_text().replace(f'"{sys.version_info[0]}.{sys.version_info[1]}"', '"3.99"'))
    checkout.variables["UV_PYTHON_DOWNLOADS"] = "never"
    one_sentence(*checkout.call("run", "-c", "pass"), "There is no Python 3.99 on this machine")


def test_an_unknown_blender(checkout: Checkout) -> None:
    one_sentence(*checkout.call("run", "--blender", "2.79", "-c", "pass"), "Blender 2.79 is not supported here.")


def test_the_doctor_names_what_is_there_and_what_is_missing(checkout: Checkout) -> None:
    code, output = checkout.call("doctor", "--json")
    report = json.loads(output)
    assert code == 0
    assert report["environments"]["4.5"]["state"] == "not set up yet"
    assert report["environments"]["4.5"]["remedy"].startswith("python3 -m installer run --blender 4.5")
    assert not list((checkout.root / ".maquette").glob("env/*")), "the doctor installs nothing"
    assert_works(checkout)
    code, output = checkout.call("doctor")
    for words in ("Blender 4.5  ready", "torch 2.11.0", "devices: cpu"):
        assert words in output, output
    assert code == 0
    (checkout.packages / "torch" / "__init__.py").write_text("cut")
    code, output = checkout.call("doctor")
    assert code == 1 and "damaged: torch" in output
