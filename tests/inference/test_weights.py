# SPDX-License-Identifier: GPL-3.0-or-later
"""Published files: read without running anything, checked, converted once, and named when they are something else."""

import os
import pickle
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from maquette.inference import BadModelFile, MissingModel
from maquette.inference.runtime import start
from maquette.inference.weights import Published, load_network
from maquette.inference.weights.checkpoint import read_tensors
from maquette.inference.weights.convert import write_tensors
from maquette.installer.models import store
from maquette.installer.shared.disk import fingerprint
from torch import nn

FILE = "tiny/tiny.pth"


class Tiny(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.norm = nn.Linear(3, 4), nn.BatchNorm1d(4)

    def forward(self, x):
        return self.norm(self.first(x))


def renamed(tensors):
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items() if name != "unused"}


PUBLISHED = Published(FILE, renamed, ("model_state_dict",))


@pytest.fixture
def state():
    torch.manual_seed(0)
    return {f"module.{name}": tensor for name, tensor in Tiny().state_dict().items()} | {"unused": torch.zeros(9)}


@pytest.fixture
def root(tmp_path, state):
    (tmp_path / "tiny").mkdir()
    torch.save({"model_state_dict": state, "max_iter": 3}, tmp_path / FILE)
    return tmp_path


def load(root, published=PUBLISHED):
    return load_network(start("cpu", models_dir=root), published, Tiny)


def same(network, state):
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, state[f"module.{name}"], rtol=0, atol=0)


def test_the_published_weights_arrive(root, state):
    network = load(root)
    same(network, state)
    assert not network.training and not any(tensor.requires_grad for tensor in network.parameters())


def test_converted_once_and_the_original_is_not_needed_again(root, state):
    load(root)
    converted = root / "tiny" / "tiny.safetensors"
    written = converted.stat().st_mtime_ns
    load(root)
    assert converted.stat().st_mtime_ns == written
    (root / FILE).unlink()
    same(load(root), state)
    assert sorted(path.name for path in (root / "tiny").iterdir()) == ["tiny.safetensors"]


def test_a_replaced_file_is_converted_again(root, state):
    load(root)
    changed = {name: tensor + 1 for name, tensor in state.items()}
    torch.save({"model_state_dict": changed}, root / FILE)
    same(load(root), changed)


def test_the_state_dict_itself_and_a_training_file_are_read(root, state):
    torch.save(state, root / FILE)
    same(load(root), state)


def test_a_folder_that_cannot_be_written_keeps_the_result_elsewhere(root, state, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "user_data", lambda: tmp_path / "user")
    beside = root / "tiny" / "tiny.safetensors"
    beside.mkdir()  # nothing can be put under this name
    same(load(root), state)
    kept = list((tmp_path / "user" / "converted").glob("*tiny.safetensors"))
    assert len(kept) == 1
    same(load(root), state)


def test_a_shared_folder_is_only_read(root, state, tmp_path, monkeypatch):
    """A studio's store: converted once into the user's data, and what the studio has converted itself is used."""
    monkeypatch.setattr(store, "user_data", lambda: tmp_path / "user")
    monkeypatch.setenv("MAQUETTE_MODELS", f"{tmp_path / 'own'}{os.pathsep}{root}")
    same(load(None), state)
    assert [path.name for path in (root / "tiny").iterdir()] == ["tiny.pth"] and not (tmp_path / "own").exists()
    (kept,) = (tmp_path / "user" / "converted").iterdir()
    written = kept.stat().st_mtime_ns
    same(load(None), state)
    assert kept.stat().st_mtime_ns == written
    kept.unlink()
    with monkeypatch.context() as keepers:
        keepers.setenv("MAQUETTE_MODELS", str(root))
        load(None)
    same(load(None), state)
    assert not kept.exists()


def test_weights_are_mapped_not_copied(root):
    network = load(root)
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("only Linux tells what is mapped where")
    spans = [line.split()[0].split("-") for line in maps.read_text().splitlines() if "tiny.safetensors" in line]
    for tensor in network.parameters():
        assert any(int(low, 16) <= tensor.data_ptr() < int(high, 16) for low, high in spans)


def test_large_weights_are_mapped_at_aligned_addresses(tmp_path):
    path = tmp_path / "odd.safetensors"
    tensors = {
        "a": torch.zeros(3),
        "b": torch.ones(64, 64),
        "c": torch.zeros(5, dtype=torch.int64),
        "d": torch.ones(16),
    }
    write_tensors(path, tensors, {}, lambda share, text: None)
    read = read_tensors(path)
    assert read["b"].data_ptr() % 64 == 0 and read["d"].data_ptr() % 64 == 0
    for name, tensor in tensors.items():
        torch.testing.assert_close(read[name], tensor)


def test_a_missing_file_says_where_it_goes(tmp_path):
    """At once: what builds the network is not even imported."""
    with pytest.raises(MissingModel, match=r"tiny\.pth") as raised:
        load_network(start("cpu", models_dir=tmp_path), PUBLISHED, lambda: pytest.fail("the network was built"))
    assert raised.value.operator == "maquette.open_preferences"


@dataclass
class Wrong:
    name: str
    content: bytes
    said: str


def _zip_of(names):
    import io

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


WRONG = [
    Wrong("empty", b"", "empty"),
    Wrong("a web page", b"<!DOCTYPE html><html>404</html>", "web page"),
    Wrong("a pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "pointer"),
    Wrong("an archive", _zip_of(["word/document.xml"]), "archive of something else"),
    Wrong("TorchScript", _zip_of(["model/code/__torch__.py", "model/data.pkl"]), "TorchScript"),
    Wrong("noise", np.random.default_rng(0).bytes(4096), "cut off or damaged"),
    Wrong("a number", pickle.dumps(7), "damaged|no named tensors|contains code"),
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.name)
def test_what_is_no_checkpoint_is_named(root, wrong):
    (root / FILE).write_bytes(wrong.content)
    with pytest.raises(BadModelFile, match=wrong.said) as raised:
        load(root)
    assert str(root / FILE) in raised.value.message and raised.value.remedy
    assert [path.name for path in (root / "tiny").iterdir()] == ["tiny.pth"]


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_a_file_cut_off(root, share):
    content = (root / FILE).read_bytes()
    (root / FILE).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BadModelFile, match="cut off or damaged"):
        load(root)


def test_a_key_too_few_too_many_or_of_another_size(root, state):
    lacking = {name: tensor for name, tensor in state.items() if "first.bias" not in name}
    for content, said in (
        (lacking, "lacks 'first.bias'"),
        (state | {"module.extra": torch.zeros(1)}, "holds 'extra', which this model does not have"),
        (state | {"module.first.weight": torch.zeros(8, 3)}, "another size"),
        ({"pretrained.model.x": torch.zeros(1)}, "seems to be one of MiDaS"),
        ({"weights": {"depth_model.x": torch.zeros(1)}, 3: {4: 5}}, "seems to be one of Metric3D"),
    ):
        torch.save(content, root / FILE)
        with pytest.raises(BadModelFile, match=said):
            load(root)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(root, state, value):
    state["module.first.bias"][1] = value
    torch.save(state, root / FILE)
    with pytest.raises(BadModelFile, match=r"first\.bias contain NaN"):
        load(root)
    assert [path.name for path in (root / "tiny").iterdir()] == ["tiny.pth"]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda weight: weight.double() * 1e300,
        lambda weight: weight.to(torch.int64),
        lambda weight: weight.to(torch.complex64),
        lambda weight: weight.to_sparse(),
    ],
)
def test_weights_of_a_type_that_is_not_published(root, state, wrong):
    state["module.first.weight"] = wrong(state["module.first.weight"] + 1)
    torch.save(state, root / FILE)
    with pytest.raises(BadModelFile, match=r"tiny\.pth.*first\.weight"):
        load(root)
    assert [path.name for path in (root / "tiny").iterdir()] == ["tiny.pth"]


def test_a_folder_under_the_name_of_the_file(root):
    (root / FILE).unlink()
    (root / FILE).mkdir()
    with pytest.raises(BadModelFile, match="is a folder"):
        load(root)


def test_a_name_that_is_none_is_of_no_known_use(root, state):
    torch.save(state | {7: torch.zeros(2)}, root / FILE)
    with pytest.raises(BadModelFile, match="holds '7', which this model does not have"):
        load(root)


def test_a_file_with_a_few_bytes_changed_is_damaged(root, state):
    whole = (root / FILE).read_bytes()
    values = state["module.first.weight"].numpy().tobytes()
    (root / FILE).write_bytes(whole.replace(values, values[:-4] + bytes(4)))
    with pytest.raises(BadModelFile, match="checksums"):
        load(root)
    assert [path.name for path in (root / "tiny").iterdir()] == ["tiny.pth"]


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("objects", [False, True])
@pytest.mark.parametrize("legacy", [False, True])
def test_nothing_in_a_file_is_run(root, state, tmp_path, objects, legacy):
    """A file that is known to hold objects is read around them; any other is refused."""
    trap = tmp_path / "trap"
    torch.save(
        {"state_dict": state, "hyper_parameters": Hostile(trap)},
        root / FILE,
        _use_new_zipfile_serialization=not legacy,
    )
    published = Published(FILE, renamed, ("state_dict",), objects=objects)
    if objects:
        same(load(root, published), state)
    else:
        with pytest.raises(BadModelFile, match="contains code"):
            load(root, published)
    assert not trap.exists()


def test_another_model_of_the_same_program_reports_progress_and_can_be_stopped(root):
    from maquette.inference import Cancelled

    def stop(share, text):
        raise Cancelled

    with pytest.raises(Cancelled):
        load_network(start("cpu", progress=stop, models_dir=root), PUBLISHED, Tiny)
    assert [path.name for path in (root / "tiny").iterdir()] == ["tiny.pth"]


def test_every_type_is_written_as_the_format_says(tmp_path):
    tensors = {
        "half": torch.arange(5, dtype=torch.float16),
        "brain": torch.arange(3, dtype=torch.bfloat16),
        "whole": torch.arange(4).reshape(2, 2),
        "truth": torch.tensor([True, False]),
        "single": torch.tensor(3.0),
        "none": torch.zeros(0, 3),
    }
    path = tmp_path / "all.safetensors"
    write_tensors(path, tensors, {"made": "here"}, lambda share, text: None)
    assert struct.unpack("<Q", path.read_bytes()[:8])[0] % 64 == 56
    for name, tensor in read_tensors(path).items():
        torch.testing.assert_close(tensor, tensors[name])


def test_identity_tells_files_apart(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    content = bytearray(np.random.default_rng(1).bytes(3 << 20))
    one.write_bytes(content)
    content[-5] ^= 1
    other.write_bytes(content)
    assert fingerprint(one) != fingerprint(other)


def test_settings_of_a_training_program_are_read_around(root, state):
    """Old counters of numpy, and what Lightning and argparse keep: none of it is made, the tensors arrive."""
    import argparse
    import collections

    content = {
        "model_state_dict": state,
        "hyper_parameters": argparse.Namespace(size=3),
        "best": np.float64(0.5),
        "loops": collections.defaultdict(dict, {"epoch": {1, 2}}),
    }
    for zipped in (True, False):
        torch.save(content, root / FILE, _use_new_zipfile_serialization=zipped)
        same(load(root), state)


def test_a_file_of_the_users_under_the_converted_name_stays(root, state, tmp_path, monkeypatch):
    """Mirrors give the published tensors out as safetensors; such a file is used where the other is not there."""
    from maquette.installer.models import store
    from safetensors.torch import save_file

    monkeypatch.setattr(store, "user_data", lambda: tmp_path / "user")
    beside = root / "tiny" / "tiny.safetensors"
    save_file(state, beside)
    theirs = beside.read_bytes()
    same(load(root), state)
    assert beside.read_bytes() == theirs
    (root / FILE).unlink()
    same(load(root), state)
    assert beside.read_bytes() == theirs
    save_file(state | {"module.first.bias": torch.full((4,), float("nan"))}, beside)
    with pytest.raises(BadModelFile, match=r"first\.bias contain NaN"):
        load(root)


def test_a_disk_without_room_loads_without_keeping(root, state, tmp_path, monkeypatch):
    from maquette.inference.weights import load as loading

    monkeypatch.setattr(store, "user_data", lambda: tmp_path / "user")
    full = type("Usage", (), {"free": 10})
    monkeypatch.setattr(loading, "disk_usage", lambda path: full)
    said = []
    network = load_network(
        start("cpu", progress=lambda share, text: said.append(text), models_dir=root), PUBLISHED, Tiny
    )
    same(network, state)
    assert sum("could not be saved" in text for text in said) == 1
    assert [path.name for path in root.rglob("*") if path.is_file()] == ["tiny.pth"]
    state["module.first.bias"][1] = float("nan")
    torch.save(state, root / FILE)
    with pytest.raises(BadModelFile, match="contain NaN"):
        load(root)


def test_a_damaged_conversion_is_made_again(root, state):
    load(root)
    converted = root / "tiny" / "tiny.safetensors"
    converted.write_bytes(converted.read_bytes()[:-20])
    same(load(root), state)
    converted.write_bytes(converted.read_bytes()[:-20])
    (root / FILE).unlink()
    with pytest.raises(BadModelFile, match="cut off or damaged"):
        load(root)


def test_a_later_layout_is_converted_again(root, state):
    load(root)
    later = Published(FILE, lambda tensors: {**renamed(tensors), "norm.bias": torch.ones(4)}, ("model_state_dict",), 2)
    assert load(root, later).norm.bias.tolist() == [1, 1, 1, 1]


def test_two_at_once_convert_one_file(root, state):
    """The lock and the names are those of two Blenders: each load opens its own files."""
    from concurrent.futures import ThreadPoolExecutor
    from threading import Barrier

    together = Barrier(4)

    def load_with_others(_):
        together.wait()
        return load(root)

    with ThreadPoolExecutor(4) as pool:
        for network in pool.map(load_with_others, range(4)):
            same(network, state)
    assert sorted(path.name for path in (root / "tiny").iterdir()) == ["tiny.pth", "tiny.safetensors"]


def test_who_is_cancelled_while_waiting_leaves_the_others_work(root, state, monkeypatch):
    from maquette.inference import Cancelled
    from maquette.inference.weights import load as loading
    from maquette.inference.weights.load import _alone

    monkeypatch.setattr(loading, "gettempdir", lambda: str(root))
    other = root / "tiny" / "tiny.safetensors.0-other.part"
    other.write_bytes(b"half")

    def stop(share, text):
        if "Another program" in text:
            raise Cancelled

    with _alone(root / "tiny" / "tiny.safetensors", start("cpu")), pytest.raises(Cancelled):
        load_network(start("cpu", progress=stop, models_dir=root), PUBLISHED, Tiny)
    assert other.read_bytes() == b"half"
    same(load(root), state)


def test_two_threads_load_one_network(root, state):
    from concurrent.futures import ThreadPoolExecutor

    from maquette.inference.runtime import memory

    built = []

    def build():
        built.append(1)
        return load(root)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: memory.keep(("tiny", str(root)), build), range(2))
    assert first is second and len(built) == 1
    same(first, state)


def test_memory_that_runs_out_while_loading_is_one_clear_error(root):
    from maquette.inference import OutOfMemory

    published = Published(FILE, lambda tensors: {"first.weight": torch.empty(1 << 60)}, ("model_state_dict",))
    with pytest.raises(OutOfMemory, match="Out of memory"):
        load(root, published)
