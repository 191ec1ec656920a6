# SPDX-License-Identifier: GPL-3.0-or-later
"""The packages of an installed Blender: in the user's data, whole or not there, never Blender's own."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from maquette.installer.environment.uv import Uv
from maquette.installer.packages import manager, wheel_records

sys.path.insert(0, str(Path(__file__).parent))
from mini_registry import MODULES, PACKAGES, PYTHON, Registry, lock, make_checkout

INSTALLER = Path(manager.__file__).parents[1]

#: Stands for Blender's Python: nothing but the standard library.
BARE = getattr(sys, "_base_executable", sys.executable)

#: Prefix of a program that runs in the Blender whose extension is installed in the current folder.
IN_BLENDER = (
    "import sys, json; sys.path[:] = [p for p in sys.path if 'site-packages' not in p]; sys.path.insert(0, '.');"
    "from installer.packages import manager as packages, folders as package_folders, status as package_status;"
)


@dataclass
class Machine:
    """A user's data, an extension whose locks ask for a small registry, and the command line."""

    root: Path
    data: Path
    registry: Registry
    variables: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "installer", "packages", *arguments, "--python", BARE]
        pipe = subprocess.PIPE
        env = {**os.environ, **self.variables}
        return subprocess.Popen(
            command, cwd=self.root, env=env, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )

    def call(self, *arguments: str) -> tuple[int, str, str]:
        child = self.start(*arguments)
        output, errors = child.communicate(timeout=120)
        return child.returncode, output, errors

    def install(self, *features: str) -> list[Path]:
        code, output, errors = self.call("install", "--json", *(["--features", *features] if features else []))
        assert code == 0, errors
        return [Path(path) for path in json.loads(output)["folders"]]

    def states(self) -> dict[str, str]:
        code, output, errors = self.call("status", "--json")
        assert code in (0, 3, 4), errors
        return {group["feature"]: group["state"] for group in json.loads(output)["groups"]}

    def blender(self, code: str) -> str:
        """What a program prints in a Blender that starts now."""
        done = subprocess.run(
            [BARE, "-S", "-c", IN_BLENDER + code],
            cwd=self.root,
            env={**os.environ, **self.variables},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def forget_downloads(self) -> None:
        shutil.rmtree(self.variables["UV_CACHE_DIR"], ignore_errors=True)

    def contents(self) -> set[str]:
        return {path.name for path in self.data.iterdir()} - {"install.lock"}


def require(root: Path, megabytes: int) -> None:
    """Let every group ask for so much room on the disk; the stand-ins need next to none."""
    code = root / "installer" / "packages" / "sizes.py"
    text = re.sub(r": \((\d+), \d+\),", rf": (\1, {megabytes}),", code.read_text("utf-8"))
    code.write_text(text, "utf-8")


@pytest.fixture
def machine(tmp_path: Path, tool: Uv) -> Iterator[Machine]:
    files = tmp_path / "files"
    files.mkdir()
    registry = Registry(files)
    root, data = tmp_path / "the extension", tmp_path / "user data, größer"
    make_checkout(root, INSTALLER, registry)
    require(root, 1)
    variables = {
        "UV_DEFAULT_INDEX": registry.index,
        "UV_TORCH_BACKEND": "registry",
        "UV_HTTP_RETRIES": "0",
        "UV_CACHE_DIR": str(tmp_path / "cache"),
        "MAQUETTE_PACKAGES": str(data),
        **dict.fromkeys(("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"), str(tmp_path / "home")),
        "PATH": os.pathsep.join([str(tool.path.parent), *([] if os.name == "nt" else ["/usr/bin", "/bin"])]),
    }
    yield Machine(root, data, registry, variables)
    registry.close()


def test_they_are_installed_once_and_without_what_is_blenders(machine: Machine) -> None:
    assert machine.states()["core"] == "not installed"
    (folder,) = machine.install()
    assert folder.parent == machine.data
    assert folder.name.startswith(f"cp{PYTHON.replace('.', '')}-core-registry-")
    present = {path.name for path in folder.iterdir()}
    assert {"torch", "cv2", "scipy", "PIL", "safetensors"} <= present
    assert not present & {"numpy", "bpy", "pytest", "ultralytics", ".cache"}
    assert machine.states()["core"] == "ready"
    assert machine.contents() == {folder.name}, "downloads and what was half-built are gone"
    machine.registry.requests.clear()
    assert machine.install() == [folder]
    assert not machine.registry.requests


def test_a_group_is_added_without_downloading_the_core_again(machine: Machine) -> None:
    (core,) = machine.install()
    machine.registry.requests.clear()
    assert machine.install("people")[0] == core
    assert [Path(path).name.split("-")[0] for path in machine.registry.downloads()] == ["ultralytics"]
    assert machine.states()["people"] == "ready"
    code = "packages.activate(); import torch, ultralytics; print(torch.__file__); print(ultralytics.__file__)"
    torch, ultralytics = machine.blender(code).splitlines()
    assert torch.startswith(str(core)) and f"cp{PYTHON.replace('.', '')}-people-" in ultralytics


def test_what_blender_has_itself_wins(machine: Machine) -> None:
    (core,) = machine.install()
    (core / "json.py").write_text("raise ImportError('shadowed')")
    code = "assert packages.activate() and packages.activate(); sys.modules.pop('json'); import json, torch;"
    assert machine.blender(f"{code} print(sys.path.count({str(core)!r}), json.__name__)") == "1 json"


def test_the_proof_is_kept(machine: Machine) -> None:
    (core,) = machine.install()
    stamp = json.loads((core / "maquette-packages.json").read_text())
    assert stamp["proof"]["versions"]["torch"] == "2.11.0"
    assert stamp["proof"]["device"] == "cpu" and stamp["proof"]["products"][0]["right"]
    assert stamp["packages"]["opencv-python"] == "4.11.0.86"
    code, output, _ = machine.call("status")
    assert code == 0 and "torch 2.11.0 on the processor" in output


def test_packages_that_do_not_load_are_not_kept(machine: Machine) -> None:
    machine.registry.publish("torch", code="raise ImportError('libcudart.so.13: cannot open shared object file')")
    lock(machine.root, machine.registry)
    code, _, errors = machine.call("install")
    assert code == 1 and "torch needs the system library libcudart.so.13" in errors
    assert machine.states()["core"] == "not installed"
    assert not [name for name in machine.contents() if name.startswith((".building", "cp3"))]


def test_a_registry_that_slips_numpy_in_is_refused(machine: Machine) -> None:
    code = machine.root / "installer" / "packages" / "features.py"
    code.write_text(code.read_text().replace("without=BLENDERS_OWN", "without=()"))
    lock_file = machine.root / "installer" / "locks" / f"python{PYTHON}.txt"
    (hash_,) = (machine.root / "installer/locks/blenders.json").read_text().split('"numpy": ["')[1].split('"')[:1]
    lock_file.write_text(lock_file.read_text() + f"numpy==1.26.4 \\\n    --hash={hash_}\n    # via -r locks/core.in\n")
    code, _, errors = machine.call("install")
    assert code == 1 and "bring numpy, which belongs to Blender" in errors
    assert machine.states()["core"] == "not installed"


# interrupted


def test_a_stopped_one_goes_on_where_it_ended(machine: Machine) -> None:
    machine.registry.delay = 0.3
    machine.variables["UV_CONCURRENT_DOWNLOADS"] = "1"
    child = machine.start("install")
    while len(machine.registry.downloads()) < 3:
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert child.returncode == 130
    assert machine.contents() == set(), "nothing half-built is left"
    here = set(machine.registry.downloads()[:2])
    machine.registry.delay = 0.0
    machine.registry.requests.clear()
    machine.install()
    assert len(here) == 2 and not set(machine.registry.downloads()) & here


@pytest.mark.parametrize("piece", [1500, pytest.param(600, marks=pytest.mark.full)])
def test_a_broken_connection_goes_on_in_the_middle_of_a_file(machine: Machine, piece: int) -> None:
    machine.registry.cut = piece
    machine.variables.update(UV_HTTP_RETRIES="4", UV_INTERNAL__TEST_NO_HTTP_RETRY_DELAY="1")
    machine.install()
    assert machine.registry.ranges and all(asked != "bytes=0-" for asked in machine.registry.ranges)


@pytest.mark.skipif(os.name == "nt", reason="kills a process group")
@pytest.mark.parametrize("moments", [3, pytest.param(10, marks=pytest.mark.full)])
def test_killed_at_any_moment_the_next_start_repairs(machine: Machine, moments: int) -> None:
    machine.registry.delay = 0.05
    chance = random.Random(7)
    machine.install("people")
    shutil.rmtree(machine.data)
    machine.forget_downloads()
    started = time.monotonic()
    machine.install("people")
    whole = time.monotonic() - started
    killed = 0
    for _ in range(30):
        shutil.rmtree(machine.data)
        machine.forget_downloads()
        child = machine.start("install", "--features", "people")
        time.sleep(whole * chance.random())
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            killed += 1
        child.communicate()
        folders = machine.install("people")
        assert [wheel_records.damaged(folder) for folder in folders] == [[], []]
        assert machine.contents() == {folder.name for folder in folders}
        if killed == moments:
            break
    assert killed == moments
    assert machine.call("verify")[0] == 0


def test_what_a_killed_one_left_goes_at_the_next_start(machine: Machine) -> None:
    machine.data.mkdir()
    left = machine.data / ".building-x"
    (left / "torch").mkdir(parents=True)
    unfinished = machine.data / "cp311-core-cpu-0123456789ab"
    unfinished.mkdir()
    mine = machine.data / "holiday photos"
    mine.mkdir()
    machine.blender("package_folders.tidy()")
    assert not left.exists() and not unfinished.exists() and mine.exists()


# two at once


def test_two_at_once_install_once(machine: Machine) -> None:
    machine.registry.delay = 0.2
    children = [machine.start("install") for _ in range(3)]
    ended = [child.communicate(timeout=120) for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], ended
    assert sum("Another set-up (process" in errors for _, errors in ended) == 2
    assert len(machine.registry.downloads()) == len(set(machine.registry.downloads()))


def test_while_one_installs_the_other_says_so(machine: Machine) -> None:
    machine.registry.delay = 0.5
    child = machine.start("install")
    while not machine.registry.downloads():
        time.sleep(0.01)
    assert machine.states()["core"] == "installing"
    assert machine.blender("print(package_folders.tidy())") == "[]"
    child.communicate(timeout=60)
    assert child.returncode == 0 and machine.states()["core"] == "ready"


# another version


def upgrade(machine: Machine) -> None:
    """Let the extension ask for another version of one package."""
    machine.registry.publish("scipy", "1.16.0", "__version__ = '1.16.0'\n")
    lock(machine.root, machine.registry, scipy="1.16.0")


def test_an_upgrade_downloads_what_has_changed_and_leaves_the_old_one_alone(machine: Machine) -> None:
    (old,) = machine.install()
    upgrade(machine)
    assert machine.states()["core"] == "outdated"
    machine.registry.requests.clear()
    (new,) = machine.install()
    assert [Path(path).name for path in machine.registry.downloads()] == ["scipy-1.16.0-py3-none-any.whl"]
    assert new != old and (old / "torch" / "__init__.py").exists()
    assert (new / "torch" / "__init__.py").stat().st_ino == (old / "torch" / "__init__.py").stat().st_ino
    assert machine.blender("package_folders.tidy(); packages.activate(); import scipy; print(scipy.__version__)")
    assert not old.exists() and machine.states()["core"] == "ready"


def test_a_group_that_has_not_changed_stays(machine: Machine) -> None:
    _, people = machine.install("people")
    upgrade(machine)
    assert machine.states() == {"core": "outdated", "people": "ready"}
    assert machine.install("people")[1] == people


def test_a_running_blender_keeps_what_it_has_loaded(machine: Machine) -> None:
    (old,) = machine.install()
    running = subprocess.Popen(
        [BARE, "-S", "-c", IN_BLENDER + "packages.activate(); import torch; print(1, flush=True); input();"
         "print(package_status.of_process().state); packages.activate(); import scipy; print(scipy.__version__)"],
        cwd=machine.root, env={**os.environ, **machine.variables}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert running.stdout is not None and running.stdout.readline() == "1\n"
    machine.call("install", "--anew")
    (new,) = machine.install()
    assert new != old
    assert machine.blender("print(package_folders.tidy())") == "[]", "it is in use"
    output, _ = running.communicate("\n", timeout=60)
    assert output.splitlines() == ["waiting for restart", "1.15.3"]
    assert machine.blender("print(package_folders.tidy())") == f"['{old.name}']"


def test_what_another_installation_of_maquette_wants_is_kept(machine: Machine, tmp_path: Path) -> None:
    (old,) = machine.install()
    other = tmp_path / "another Blender's extension"
    shutil.copytree(machine.root, other)
    env = {**os.environ, **machine.variables}
    command = [BARE, "-S", "-c", IN_BLENDER + "print(packages.activate())"]
    assert subprocess.check_output(command, cwd=other, env=env, text=True) == "True\n"
    upgrade(machine)
    machine.install()
    assert machine.blender("print(package_folders.tidy())") == "[]"
    shutil.rmtree(other)
    assert machine.blender("print(package_folders.tidy())") == f"['{old.name}']"


# damage and removal


def test_damage_is_found_and_repaired_by_fetching_that_package_alone(machine: Machine) -> None:
    (core,) = machine.install()
    for how in ("lost", "altered", "cut"):
        file = core / "scipy" / "data.txt"
        if how == "lost":
            file.unlink()
            assert machine.states()["core"] == "broken"
        else:
            text = file.read_text()
            file.write_text(text[:10] if how == "cut" else text.replace("d", "D"))
        code, output, _ = machine.call("verify")
        assert code == 4 and ("missing" if how == "lost" else "damaged: scipy") in output
        machine.registry.requests.clear()
        code, output, errors = machine.call("repair", "--json")
        assert code == 0, errors
        (repaired,) = json.loads(output)["folders"]
        core = Path(repaired)
        assert [Path(path).name.split("-")[0] for path in machine.registry.downloads()] == ["scipy"]
        assert machine.call("verify")[0] == 0 and machine.contents() == {core.name}
        assert (core / "scipy" / "data.txt").read_text() == "data" * 100


def test_a_lost_file_is_repaired_by_installing_again(machine: Machine) -> None:
    (core,) = machine.install()
    (core / "torch" / "__init__.py").unlink()
    (new,) = machine.install()
    assert machine.call("verify")[0] == 0 and machine.contents() == {new.name}


def test_removing_gives_the_disk_back(machine: Machine) -> None:
    machine.install("people")
    code, output, _ = machine.call("remove", "--features", "people", "--json")
    assert code == 0 and json.loads(output)["later"] == 0
    assert machine.states() == {"core": "ready", "people": "not installed"}
    assert machine.call("remove")[0] == 0
    assert machine.contents() == set()
    assert machine.call("status")[0] == 3
    assert machine.call("verify")[0] == 3


def test_what_is_in_use_is_removed_when_nobody_uses_it(machine: Machine) -> None:
    (core,) = machine.install()
    code = "packages.activate(); import torch; print(packages.remove().later >= 0, package_status.of_process().state)"
    assert machine.blender(f"{code}; import scipy") == "True not installed", "what is loaded goes on working"
    assert core.exists() and machine.states()["core"] == "not installed"
    machine.blender("package_folders.tidy()")
    assert not core.exists()


# what is not as it should be


def one_sentence(code: int, _output: str, errors: str, words: str) -> None:
    assert code == 1, errors
    assert "Traceback" not in errors
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert words in line
    assert errors.rstrip().splitlines()[-1] != line, "the remedy is missing"


def test_no_network(machine: Machine) -> None:
    machine.variables["UV_DEFAULT_INDEX"] = "http://127.0.0.1:9/simple"
    one_sentence(*machine.call("install"), words="The package registry cannot be reached.")


def test_a_file_that_is_not_what_the_lock_says(machine: Machine) -> None:
    wheel = machine.registry.wheels["torch"]
    wheel.write_bytes(wheel.read_bytes() + b"\0")
    one_sentence(*machine.call("install"), words="differs from the one in the lock file")
    assert machine.states()["core"] == "not installed"


def test_a_full_disk(machine: Machine) -> None:
    require(machine.root, 10**9)
    one_sentence(*machine.call("install"), words="MB, but the disk of")


@pytest.mark.skipif(os.name == "nt", reason="the stand-in of uv is a shell script")
def test_a_disk_that_fills_up_while_files_come(machine: Machine, tmp_path: Path) -> None:
    real = shutil.which("uv", path=machine.variables["PATH"])
    full = "echo 'error: Failed to extract archive\n  cause: No space left on device (os error 28)'; exit 2"
    stand_in = tmp_path / "bin" / "uv"
    stand_in.parent.mkdir()
    stand_in.write_text(f'#!/bin/sh\ncase "$2" in install) {full};; esac\nexec {real} "$@"\n')
    stand_in.chmod(0o755)
    machine.variables["PATH"] = os.pathsep.join([str(stand_in.parent), machine.variables["PATH"]])
    one_sentence(*machine.call("install"), words="The disk is full.")
    assert machine.states()["core"] == "not installed"


def test_a_folder_that_cannot_be_written(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    machine.variables["MAQUETTE_PACKAGES"] = str(tmp_path / "file" / "packages")
    one_sentence(*machine.call("install"), words="cannot be written")
    assert machine.states()["core"] == "not installed"


def test_a_path_of_200_letters(machine: Machine, tmp_path: Path) -> None:
    start = str(tmp_path / "ä very long päth")
    folder = Path(start, "x" * max(20, 200 - len(start)))
    machine.variables["MAQUETTE_PACKAGES"] = str(folder)
    machine.data = folder
    assert len(str(folder)) >= 200
    machine.install("people")
    assert machine.call("verify")[0] == 0


def test_a_clock_that_is_wrong(machine: Machine) -> None:
    """Which folder is the newest is not read from the clock."""
    (old,) = machine.install()
    machine.blender("packages.activate()")
    for path in [old, *old.rglob("*")]:
        os.utime(path, (4e9, 4e9))
    machine.call("install", "--anew")
    (new,) = machine.install()
    assert machine.blender("packages.activate(); import torch; print(torch.__file__)").startswith(str(new))


def test_a_python_without_a_lock(machine: Machine) -> None:
    locks = machine.root / "installer" / "locks"
    (locks / f"python{PYTHON}.txt").rename(locks / "python3.99.txt")
    one_sentence(*machine.call("install"), words=f"There are no packages for Python {PYTHON}.")
    assert machine.blender("print(packages.activate(), package_status.of_process().state)") == "False unsupported"


def test_a_program_that_is_no_python(machine: Machine) -> None:
    machine.variables["PYTHON"] = "x"
    child = subprocess.run(
        [sys.executable, "-m", "installer", "packages", "--python", "/nowhere/python"],
        cwd=machine.root,
        env={**os.environ, **machine.variables},
        capture_output=True,
        text=True,
    )
    one_sentence(child.returncode, child.stdout, child.stderr, words="does not run")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("install", "--features", "nothing"), "Unknown package group: nothing"),
        (("install", "--index", "not an address"), "not an address is not the address of a package registry"),
        (("install", "--wheels", "/no/such/folder"), "There is no folder"),
        (("status", "--blender", "9.9"), "Blender 9.9 is not supported here"),
        (("install", "--folder", "l" * 300), "path is too long for this system"),
    ],
)
def test_a_refusal_is_told_to_programs_too(machine: Machine, arguments: tuple[str, ...], said: str) -> None:
    command = [sys.executable, "-m", "installer", "packages", *arguments, "--json"]
    python = [] if "--blender" in arguments else ["--python", BARE]
    env = {**os.environ, **machine.variables}
    done = subprocess.run([*command, *python], cwd=machine.root, env=env, capture_output=True, text=True, timeout=60)
    told = json.loads(done.stdout)
    assert done.returncode == 1 and said in told["error"] and told["remedy"].endswith(".")
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_build_of_torch_that_does_not_exist(machine: Machine) -> None:
    code, _, errors = machine.call("install", "--accelerator", "fastest")
    assert code == 2 and "no build of PyTorch called fastest" in errors


def test_an_unknown_group(machine: Machine) -> None:
    one_sentence(*machine.call("install", "--features", "music"), words="Unknown package group: music")


# the cache of an installed Blender


def install_in_blender(machine: Machine) -> Path:
    machine.variables.pop("UV_CACHE_DIR", None)
    code = f"print(*packages.install({BARE!r}, callbacks=packages.InstallCallbacks(lambda line: None)))"
    return Path(machine.blender(code))


def test_the_cache_lies_beside_the_folders_and_holds_only_what_they_share(machine: Machine) -> None:
    old = install_in_blender(machine)
    cache = machine.data / "cache"
    assert old.parent == machine.data and machine.contents() == {old.name, "cache"}

    def cached() -> list[str]:
        return sorted(path.parent.name for path in cache.glob("archive-v*/*/scipy-*/METADATA"))

    assert cached() == ["scipy-1.15.3.dist-info"]
    upgrade(machine)
    machine.registry.requests.clear()
    new = install_in_blender(machine)
    assert [Path(path).name for path in machine.registry.downloads()] == ["scipy-1.16.0-py3-none-any.whl"]
    assert cached() == ["scipy-1.15.3.dist-info", "scipy-1.16.0.dist-info"]
    assert machine.blender("print(package_folders.tidy())") == f"['{old.name}']"
    assert cached() == ["scipy-1.16.0.dist-info"]
    shutil.rmtree(new)
    machine.blender("package_folders.drop_unshared()")
    assert cached() == []
    assert install_in_blender(machine) == new, "what is gone from the cache is fetched again"
    machine.blender("packages.remove()")
    assert machine.contents() == set()


def test_a_stopped_installation_is_shown_as_begun(machine: Machine) -> None:
    install_in_blender(machine)
    code = "print(package_status.of_process(True).kept_mb)"
    assert machine.blender(code) == "0"
    (folder,) = machine.data.glob("cp3*")
    shutil.rmtree(folder)
    (machine.data / "cache" / "archive-v0" / "large").write_bytes(b"x" * 5_700_000)
    assert machine.blender(code) == "3"


# without a registry, and beside others


def test_a_folder_of_wheels_needs_no_registry(machine: Machine, tmp_path: Path) -> None:
    wheels = tmp_path / "carried here"
    shutil.copytree(machine.registry.folder, wheels)
    machine.variables["UV_DEFAULT_INDEX"] = "http://127.0.0.1:9/simple"
    code, _, errors = machine.call("install", "--features", "people", "--wheels", str(wheels))
    assert code == 0, errors
    assert machine.states() == {"core": "ready", "people": "ready"}
    assert not machine.registry.requests


def test_a_folder_of_wheels_that_lacks_one(machine: Machine, tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    one_sentence(*machine.call("install", "--wheels", str(wheels)), words="has no build of a package")
    one_sentence(*machine.call("install", "--wheels", str(tmp_path / "none")), words="There is no folder")


def test_another_build_of_torch_comes_from_its_own_index_with_its_libraries(machine: Machine) -> None:
    mirror = machine.registry.publish_build("cu128")
    code, output, errors = machine.call("install", "--accelerator", "cu128", "--torch-index", mirror, "--json")
    assert code == 0, errors
    (core,) = json.loads(output)["folders"]
    assert "-core-cu128-" in core
    stamp = json.loads(Path(core, "maquette-packages.json").read_text())
    assert stamp["packages"]["torch"] == "2.11.0+cu128" and stamp["packages"]["nvidia-cublas-cu12"] == "12.8"
    assert "numpy" not in stamp["packages"] and stamp["proof"]["versions"]["torch"] == "2.11.0+cu128"
    machine.registry.requests.clear()
    machine.call("install", "--accelerator", "registry")
    assert [Path(path).name.split("-")[0] for path in machine.registry.downloads()] == ["torch"], "the rest is linked"
    assert [name.split("-")[2] for name in machine.contents()] == ["registry"]


def test_an_index_of_torch_that_is_out_of_reach_is_told_and_replaced(machine: Machine) -> None:
    code, output, errors = machine.call("install", "--accelerator", "cu128", "--torch-index", "http://127.0.0.1:9/whl")
    assert code == 0 and "out of reach: taking the registry's build of torch" in errors
    assert "-core-registry-" in output


@pytest.mark.parametrize(
    ("version", "vision", "state"),
    [("2.8.0", "0.23.0", "ready"), ("1.13.1", None, "unfit"), ("2.8.0", "0.26.0", "unfit")],
)
def test_a_torch_of_another_add_on(
    machine: Machine, tmp_path: Path, version: str, vision: str | None, state: str
) -> None:
    (core,) = machine.install()
    other = tmp_path / "another add-on"
    for name, number in (("torch", version), ("torchvision", vision)):
        if number:
            (other / name).mkdir(parents=True)
            for file in ("__init__.py", "version.py"):
                (other / name / file).write_text(f"__version__ = '{number}'\n")
    code = f"sys.path.append({str(other)!r}); import torch; packages.activate(); status = package_status.of_process();"
    found = machine.blender(code + "print(status.state); print(status.groups[0].detail); print(torch.__file__)")
    told, detail, file = found.splitlines()
    assert told == state and file.startswith(str(other)), "another add-on's torch is never put aside"
    if state == "unfit":
        assert str(other) in detail and "Switch off the add-on" in detail
    else:
        assert machine.blender(code + "import scipy; print(scipy.__file__)").startswith(str(core))


def test_the_stand_ins_are_complete() -> None:
    assert MODULES.keys() == PACKAGES.keys()
