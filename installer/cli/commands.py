# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands of `python3 -m installer`, one function each."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from ..environment import environments
from ..environment.lock_files import DEFAULT_BLENDER
from ..shared.errors import SetupError, explain
from ..shared.paths import Paths, default_paths, make_writable
from ..shared.reporting import Reporter, show
from . import models as models_cli
from . import packages as packages_cli

EXAMPLES = """examples:
  python3 -m installer demo                          set up and show what it does, into out/demo
  python3 -m installer test --all                    the test-suite, on every Blender
  python3 -m installer test --fast                   two minutes of it, for while you work
  python3 -m installer test -- tests/inference -x    one folder of it; what follows -- goes to pytest
  python3 -m installer run -m maquette.inference     the command line for arrays, without Blender
  python3 -m installer run --blender 5.2 script.py   a script of your own with bpy 5.2
"""


def main(arguments: Sequence[str]) -> int:
    """Parse and carry out one command; returns the exit code (0 done, 1 failed, 130 stopped by Ctrl-C)."""
    reporter = Reporter()
    options, rest = _parse(arguments)
    signal.signal(signal.SIGTERM, _stopped)
    try:
        return options.command(default_paths(), reporter, options, rest)
    except SetupError as error:
        return _tell(reporter, options, error)
    except KeyboardInterrupt:
        reporter.say("\nStopped. Run the same command to continue.")
        return 130
    except BrokenPipeError:  # whoever reads our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    except OSError as error:
        known = explain(f"{error} os error {error.errno}", "The set-up")
        return _tell(reporter, options, SetupError(f"{known.message} ({error})", known.remedy))
    return 1


def _tell(reporter: Reporter, options: argparse.Namespace, error: SetupError) -> int:
    """Say what is wrong; where JSON was asked for, to the program that reads it as well."""
    reporter.say(f"\nerror: {error.message}\n{error.remedy}")
    plain = {"error": error.message, "remedy": error.remedy, "kind": type(error).__name__}
    return show((plain, (), error.exit_code), getattr(options, "json", False))


def _stopped(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options of the command, and what is handed on to the program that it starts."""
    parser = argparse.ArgumentParser(
        prog="python3 -m installer",
        description="Sets up what a command needs, then carries it out.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, function: object, summary: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=summary, description=summary)
        sub.set_defaults(command=function, name=name)
        return sub

    demo = add("demo", _demo, "run the main job on real photographs; the results go to out/demo")
    demo.add_argument("--output", default=None, help="another folder for the results")
    test = add("test", _test, "run the tests; what follows -- goes to pytest")
    test.add_argument(
        "--blender", nargs="+", default=[], metavar="VERSION", help="the Blender-facing ones on these too"
    )
    test.add_argument("--all", action="store_true", help="the Blender-facing ones on every Blender")
    test.add_argument("--quick", action="store_true", help="without the checks by ruff and pyright")
    tier = test.add_mutually_exclusive_group()
    tier.add_argument(
        "--fast", dest="tier", action="store_const", const="fast", help="only what takes two minutes, without networks"
    )
    tier.add_argument(
        "--full", dest="tier", action="store_const", const="full", help="full-size networks and every package group too"
    )
    test.set_defaults(tier="daily")
    run = add("run", _run, "start the environment's Python with the arguments that follow")
    run.add_argument("--blender", default=DEFAULT_BLENDER, metavar="VERSION", help=f"default {DEFAULT_BLENDER}")
    doctor = add("doctor", _doctor, "report what is installed, what is missing and how to get it")
    doctor.add_argument("--json", action="store_true", help="as JSON")
    extension = add("extension", _extension, "build Blender's extension into out/ and validate it")
    extension.add_argument("--blender", nargs="+", default=[], metavar="VERSION", help="validate with these too")
    extension.add_argument("--all", action="store_true", help="validate with every Blender")
    extension.add_argument(
        "--repository", action="store_true", help="also make out/repository, from which Blender updates the extension"
    )
    packages = add(
        "packages", packages_cli.run, "install, show, verify, repair or remove an installed Blender's packages"
    )
    packages_cli.add_arguments(packages)
    models = add("models", models_cli.run, "list, install, verify, repair, import or delete model files")
    models_cli.add_arguments(models)
    add("manual", _manual, "build docs/ as a site into out/manual, every link looked up")
    lock = add("lock", _lock, "rebuild the lock files (for developers)")
    lock.add_argument("--upgrade", action="store_true", help="take the newest versions that fit, not those of the lock")

    given, rest = _split(list(arguments))
    return parser.parse_args(given), rest


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Our own arguments, and those of the program: after `run` and its options, or else after `--`."""
    if arguments[:1] == ["run"]:
        own = 1
        while own < len(arguments) and arguments[own].startswith(("--blender", "-h", "--help")):
            own += 2 if arguments[own] == "--blender" else 1
        rest = arguments[own:]
        return arguments[:own], rest[1:] if rest[:1] == ["--"] else rest
    cut = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:cut], arguments[cut + 1 :]


def _start(environment: environments.Environment, arguments: Sequence[str]) -> int:
    """Run the environment's Python in this terminal; a signal's death becomes the shell's code for it."""
    code = subprocess.call([str(environment.python), *arguments], env=environment.variables())
    return 128 - code if code < 0 else code


def _demo(paths: Paths, reporter: Reporter, options: argparse.Namespace, rest: list[str]) -> int:
    environment = environments.ensure(paths, DEFAULT_BLENDER, reporter)
    output = options.output or str(paths.out / "demo")
    return _start(environment, ["-m", "maquette.demo", "--output", output, *rest])


def _run(paths: Paths, reporter: Reporter, options: argparse.Namespace, rest: list[str]) -> int:
    environment = environments.ensure(paths, options.blender, reporter)
    return _start(environment, rest)


def _test(paths: Paths, reporter: Reporter, options: argparse.Namespace, rest: list[str]) -> int:
    from .testing import run_tests

    return run_tests(paths, reporter, chosen(paths, options), options.quick, rest, options.tier)


def _doctor(paths: Paths, reporter: Reporter, options: argparse.Namespace, rest: list[str]) -> int:
    from .doctor import answer, examine

    return show(answer(examine(paths, reporter)), options.json)


def _extension(paths: Paths, reporter: Reporter, options: argparse.Namespace, rest: list[str]) -> int:
    from .extension import build_extension, build_repository

    built = build_extension(paths, reporter, chosen(paths, options))
    print(build_repository(paths, reporter, built) if options.repository else built)
    return 0


def _manual(paths: Paths, reporter: Reporter, options: argparse.Namespace, rest: list[str]) -> int:
    from ..environment import uv
    from .manual import build_manual

    make_writable(paths)
    print(build_manual(paths, uv.ensure(paths, reporter.detail)))
    return 0


def _lock(paths: Paths, reporter: Reporter, options: argparse.Namespace, rest: list[str]) -> int:
    from ..environment import uv
    from ..environment.relock import relock

    make_writable(paths)
    for path in relock(paths, uv.ensure(paths, reporter.detail), reporter.detail, options.upgrade):
        print(os.path.relpath(path, paths.root))
    return 0


def chosen(paths: Paths, options: argparse.Namespace) -> list[str]:
    """The Blenders of --blender or --all besides the default one, in the order of the table."""
    from ..environment.lock_files import blender, blenders

    named = (
        list(blenders(paths.locks)) if options.all else [blender(paths.locks, name).version for name in options.blender]
    )
    return [version for version in dict.fromkeys(named) if version != DEFAULT_BLENDER]


if sys.platform == "win32":  # the messages hold names of files in any language
    for _stream in (sys.stdout, sys.stderr):
        if hasattr(_stream, "reconfigure"):
            _stream.reconfigure(encoding="utf-8", errors="replace")
