# SPDX-License-Identifier: GPL-3.0-or-later
"""The one reader of pickles: nothing that a pickle names is imported, made, called or changed."""

import collections
import contextlib
import io
import os
import pickle
import struct
import sys
import types
from typing import Any

import pytest
from maquette.installer.models import safe_pickle
from maquette.installer.models.safe_pickle import PickledObject, Refused, SafeUnpickler


class Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.called = function, arguments

    def __reduce__(self) -> Any:
        return self.called


class Thing:
    def __init__(self, **held: Any) -> None:
        self.__dict__.update(held)


class Slotted:
    __slots__ = ("first", "second")


def read(data: bytes, reader: type[SafeUnpickler] = SafeUnpickler) -> Any:
    return reader(io.BytesIO(data)).load()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_arrive_as_they_are(protocol: int) -> None:
    plain = {"a": [1, 2.5, None, True], (1, "b"): b"bytes", "set": {1}, "frozen": frozenset("x"), "big": 1 << 70}
    plain["ordered"] = collections.OrderedDict(x=1)
    assert read(pickle.dumps(plain, protocol)) == plain


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_objects_stay_names_arguments_and_attributes(protocol: int) -> None:
    thing = read(pickle.dumps(Thing(x=[1], inner=Thing()), protocol))
    assert type(thing).__mro__[1] is PickledObject and thing.name == "Thing" and thing.module == __name__
    assert thing.attributes["x"] == [1] and thing.attributes["inner"].attributes == {}
    call = read(pickle.dumps(Calls(os.path.join, "a", "b"), protocol))
    assert call.name == "join" and call.arguments == ("a", "b")
    if protocol >= 2:
        slotted = Slotted()
        slotted.first, slotted.second = 1, 2
        assert read(pickle.dumps(slotted, protocol)).attributes == {"first": 1, "second": 2}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_run_or_imported(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, protocol: int) -> None:
    trap = tmp_path / "trap"
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "never_imported.py").write_text(f"open({str(trap)!r}, 'w')")
    attacks = [
        pickle.dumps(Calls(os.mkdir, str(trap)), protocol),
        pickle.dumps(Calls(eval, f"__import__('os').mkdir({str(trap)!r})"), protocol),
        pickle.dumps({"a": Calls(getattr, Calls(__import__, "os"), "mkdir"), Calls(exec, "1"): 2}, protocol),
        b"cnever_imported\nanything\n.",
        b"(S'1'\ninever_imported\nanything\n.",  # protocol 0's way of making an instance
        b"\x80\x02cbuiltins\nexec\n\x8c\x01xR.",
    ]
    for attack in attacks:
        read(attack)
    assert not trap.exists() and "never_imported" not in sys.modules


def test_what_a_reader_lets_through_is_real_and_cannot_be_changed() -> None:
    def add(first: int, second: int = 1) -> int:
        return first + second

    class Reader(SafeUnpickler):
        def resolve(self, module: str, name: str) -> Any:
            if name == "refused":
                raise Refused(f"{module}.{name}")
            return add if name == "add" else None

    assert read(b"cmine\nadd\n(I2\nI3\ntR.", Reader) == 5
    with pytest.raises(Refused, match=r"theirs\.refused"):
        read(b"ctheirs\nrefused\n.", Reader)
    # "Set add's default to 100": state for the function itself, which would outlive the file.
    change = b"cmine\nadd\n(N}S'__defaults__'\n(I100\ntstb."
    with pytest.raises(Refused, match="a change of add"):
        read(change, Reader)
    with pytest.raises(Refused, match="a change of OrderedDict"):
        read(b"ccollections\nOrderedDict\n(N}S'items'\nNstb.")
    assert add(1) == 2 and collections.OrderedDict.items is not None


@pytest.mark.parametrize(
    "greedy",
    [
        b"\x80\x02Nr\xff\xff\xff\xff.",  # Python's reader in C makes room for the memo it names: 32 GB
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 50) + b"x.",
        b"\x80\x04\x96" + struct.pack("<Q", 1 << 50) + b"x.",
        pickle.dumps(Calls(bytearray, 1 << 50)),
        pickle.dumps(Calls(range, 1 << 50)),
    ],
)
def test_few_bytes_do_not_ask_for_much_memory(greedy: bytes) -> None:
    with contextlib.suppress(pickle.UnpicklingError, EOFError, OverflowError):
        read(greedy)


def test_references_to_storage_outside_stay_references() -> None:
    assert isinstance(read(b"\x80\x02X\x01\x00\x00\x00aQ."), PickledObject)


def test_as_a_module_it_is_what_torch_asks_for() -> None:
    module = safe_pickle.as_pickle_module(SafeUnpickler)
    assert isinstance(module, types.SimpleNamespace)
    assert module.load(io.BytesIO(pickle.dumps([1])), encoding="latin1") == [1] and module.Unpickler is SafeUnpickler


def test_it_is_the_only_reader_of_pickles() -> None:
    """Outside of it, no file of the product unpickles: neither by Python's module nor by numpy's or torch's own. But
    `apart` reads what a process and its own child write for each other in a folder that is theirs alone."""
    root = safe_pickle.__file__.rpartition("installer")[0]
    found = []
    for folder in ("installer", "inference", "blender_addon"):
        for path in sorted(__import__("pathlib").Path(root, folder).rglob("*.py")):
            text = path.read_text("utf-8")
            signs = ("pickle.load", "pickle.Unpickler", "pickle._Unpickler", "allow_pickle=True", "dill", "joblib.load")
            found += [(path.name, sign) for sign in signs if sign in text]
            found += [(path.name, "torch.load") for line in text.splitlines() if "torch.load(" in line and
                      "pickle_module=module" not in line and "weights_only=True" not in line]  # fmt: skip
    own = ("apart.py", "pickle.load")
    assert set(found) == {("safe_pickle.py", "pickle._Unpickler"), ("sniff.py", "dill"), own}
