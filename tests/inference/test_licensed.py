# SPDX-License-Identifier: GPL-3.0-or-later
"""Licensed pickles: what body models hold is read, whoever wrote it; nothing else is made, and nothing is run."""

import os
import pickle
import pickletools
import shutil
import sys
import types

import numpy as np
import pytest
import scipy.sparse
from maquette.inference import BadModelFile, MissingModel
from maquette.inference.weights import licensed
from maquette.inference.weights.mano import PATH, load_mano
from maquette.inference.weights.pickles import read_licensed, read_object_arrays
from maquette.installer.models import store


@pytest.fixture
def root(tmp_path, synthetic, monkeypatch):
    monkeypatch.setattr(store, "user_data", lambda: tmp_path / "user")
    (tmp_path / "mano").mkdir()
    shutil.copyfile(synthetic(PATH) / PATH, tmp_path / PATH)
    return tmp_path


@pytest.fixture
def published(root):
    with (root / PATH).open("rb") as file:
        return pickle.load(file)


def write(root, content, protocol=2):
    (root / PATH).write_bytes(pickle.dumps(content, protocol))


def test_the_users_file_is_read_and_kept_plainly(root, published):
    mano = load_mano(root)
    np.testing.assert_array_equal(mano.vertices, published["v_template"])
    np.testing.assert_allclose(mano.joint_regressor, published["J_regressor"].toarray())
    assert mano.parents[0] == -1
    (root / PATH).unlink()
    again = load_mano(root)
    np.testing.assert_array_equal(again.pose_blend_shapes, mano.pose_blend_shapes)
    with np.load(root / "mano" / "MANO_RIGHT.npz", allow_pickle=False) as plain:
        assert set(plain.files) >= {"vertices", "faces", "hands_mean"} and "non-commercial" in str(plain["licence"])


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_every_protocol_and_kind_of_sparse_matrix(root, published, protocol):
    for kind in (scipy.sparse.csr_matrix, scipy.sparse.coo_matrix, scipy.sparse.csc_matrix):
        write(root, published | {"J_regressor": kind(published["J_regressor"])}, protocol)
        np.testing.assert_allclose(load_mano(root).joint_regressor, published["J_regressor"].toarray())


def test_objects_of_chumpy_become_their_arrays(root, published, monkeypatch):
    """The official file holds them; the library itself is never needed."""
    library, module = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")

    class Ch:
        pass

    Ch.__module__, Ch.__qualname__, module.Ch, library.ch = "chumpy.ch", "Ch", Ch, module
    monkeypatch.setitem(sys.modules, "chumpy", library)
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    held = Ch()
    held.__dict__.update(x=published["shapedirs"], dterms="x")
    write(root, published | {"shapedirs": held})
    monkeypatch.delitem(sys.modules, "chumpy.ch")
    monkeypatch.delitem(sys.modules, "chumpy")
    np.testing.assert_array_equal(load_mano(root).shape_blend_shapes, published["shapedirs"])


def test_a_left_hand_is_refused(root, published):
    mirrored = published["v_template"] * [-1, 1, 1]
    write(root, published | {"v_template": mirrored, "f": published["f"][:, ::-1]})
    with pytest.raises(BadModelFile, match="left hand"):
        load_mano(root)
    assert not (root / "mano" / "MANO_RIGHT.npz").exists()


def test_without_the_file_it_says_where_to_register(tmp_path):
    with pytest.raises(MissingModel, match="MANO_RIGHT") as raised:
        load_mano(tmp_path)
    assert "mano.is.tue.mpg.de" in raised.value.remedy and "Register" in raised.value.remedy
    assert "non-commercial" in raised.value.remedy and "4 MB" in raised.value.remedy


@pytest.mark.parametrize("share", [0.0, 0.1, 0.9, 0.999])
def test_a_file_cut_off(root, share):
    content = (root / PATH).read_bytes()
    (root / PATH).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BadModelFile, match="cut off or damaged"):
        load_mano(root)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"v_template": np.zeros((6890, 3))}, "v_template is"),
        ({"hands_mean": np.full(45, np.nan)}, "not finite"),
        ({"f": np.full((1538, 3), 900, np.uint32)}, "vertices that do not exist"),
    ],
)
def test_another_model_is_refused(root, published, change, said):
    write(root, published | change)
    with pytest.raises(BadModelFile, match=said):
        load_mano(root)


def test_no_dictionary_and_no_hand(root):
    for content in ([1, 2], {"betas": np.zeros(3)}):
        write(root, content)
        with pytest.raises(BadModelFile):
            load_mano(root)


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def test_nothing_hostile_is_run(root, published, tmp_path):
    trap = tmp_path / "trap"
    for attack in (
        Calls(os.mkdir, str(trap)),
        Calls(eval, f"__import__('os').mkdir({str(trap)!r})"),
        Calls(getattr, Calls(__import__, "os"), "mkdir"),
        Calls(np.load, str(trap)),
        Calls(bytearray, 1 << 40),
        types.SimpleNamespace(x=1),
    ):
        write(root, published | {"v_template": attack})
        with pytest.raises(BadModelFile, match="nothing of it was run"):
            load_mano(root)
    assert not trap.exists()


def test_an_array_too_large_for_any_memory(root, published):
    """A few bytes of a pickle can ask for terabytes."""
    hostile = pickletools.optimize(pickle.dumps(published | {"v_template": np.zeros(3)}, 2))
    (root / PATH).write_bytes(hostile.replace(b"K\x03\x85", b"\x8a\x06\x00\x00\x00\x00\x00\x40\x85", 1))
    with pytest.raises(BadModelFile):
        load_mano(root)


def test_sparse_matrices_that_numpy_pickled(synthetic, tmp_path):
    name = "meshgraphormer/mano_downsampling.npz"
    source = synthetic(name) / name
    found = read_object_arrays(source, ("A", "D"))
    with np.load(source, allow_pickle=True, encoding="latin1") as expected:
        for name in ("A", "D"):
            for ours, theirs in zip(found[name], expected[name], strict=True):
                np.testing.assert_array_equal(ours, theirs.toarray())
    broken = tmp_path / "broken.npz"
    broken.write_bytes(source.read_bytes()[:5000])
    with pytest.raises(BadModelFile):
        read_object_arrays(broken, ("A",))
    np.savez(tmp_path / "hostile.npz", A=np.array([Calls(os.mkdir, str(tmp_path / "trap"))], object))
    with pytest.raises(BadModelFile, match="nothing of it was run"):
        read_object_arrays(tmp_path / "hostile.npz", ("A",))
    assert not (tmp_path / "trap").exists()


def test_an_npz_of_arrays(tmp_path):
    path = tmp_path / "plain.npz"
    np.savez(path, a=np.arange(3))
    np.testing.assert_array_equal(read_licensed(path)["a"], [0, 1, 2])


def test_a_replaced_file_is_read_again_and_another_programs_npz_stays(root, published):
    load_mano(root)
    write(root, published | {"hands_mean": np.full(45, 0.25)})
    assert load_mano(root).hands_mean[0] == 0.25
    (root / PATH).unlink()
    assert load_mano(root).hands_mean[0] == 0.25
    plain = (root / PATH).with_suffix(".npz")
    np.savez(plain, **{name: value for name, value in published.items() if name != "J_regressor"},
             J_regressor=published["J_regressor"].toarray())  # fmt: skip
    theirs = plain.read_bytes()
    np.testing.assert_allclose(load_mano(root).hands_mean, published["hands_mean"])
    write(root, published)
    load_mano(root)
    assert plain.read_bytes() == theirs
    plain.rename(root / PATH)  # the arrays under the published name
    np.testing.assert_array_equal(load_mano(root).vertices, published["v_template"])


def test_a_folder_that_cannot_be_written(root, published):
    (root / PATH).with_suffix(".npz").mkdir()
    np.testing.assert_array_equal(load_mano(root).vertices, published["v_template"])
    assert sorted(path.name for path in (root / "mano").iterdir()) == ["MANO_RIGHT.npz", "MANO_RIGHT.pkl"]
    assert [path.name.endswith("-MANO_RIGHT.npz") for path in (root / "user" / "converted").iterdir()] == [True]


def test_a_shared_folder_is_only_read(root, published, monkeypatch):
    """What is made of its file is kept in the user's data, and used from there."""
    monkeypatch.setenv("MAQUETTE_MODELS", f"{root / 'own'}{os.pathsep}{root}")
    np.testing.assert_array_equal(load_mano(store.models_root()).vertices, published["v_template"])
    assert [path.name for path in (root / "mano").iterdir()] == ["MANO_RIGHT.pkl"] and not (root / "own").exists()
    monkeypatch.setattr(licensed.Licensed, "_from_any", lambda *_: pytest.fail("it was read again"))
    np.testing.assert_array_equal(load_mano(store.models_root()).vertices, published["v_template"])


def test_a_sparse_matrix_that_claims_to_be_vast(root, published):
    vast = scipy.sparse.coo_matrix(([1.0], ([0], [0])), shape=(1 << 30, 1 << 30))
    write(root, published | {"J_regressor": vast})
    with pytest.raises(BadModelFile, match="nothing of it was run"):
        load_mano(root)


def test_a_body_with_arrays_of_chumpy_is_read(tmp_path, monkeypatch):
    """In SMPL's own file arrays are objects, some of them parts of others."""
    library = {name: types.ModuleType(name) for name in ("chumpy", "chumpy.ch", "chumpy.reordering")}
    held, part = type("Ch", (), {}), type("Select", (), {})
    for kind, module in ((held, "chumpy.ch"), (part, "chumpy.reordering")):
        kind.__module__ = module
        setattr(library[module], kind.__name__, kind)
    for name, module in library.items():
        monkeypatch.setitem(sys.modules, name, module)
    whole, selected = held(), part()
    whole.__dict__.update(x=np.arange(6890 * 3.0).reshape(6890, 3))
    selected.__dict__.update(a=whole, idxs=np.arange(6), preferred_shape=(2, 3))
    tree = np.array([[2**32 - 1, 0], [0, 1]], np.int64)
    path = tmp_path / "SMPL_NEUTRAL.pkl"
    path.write_bytes(pickle.dumps({"v_template": whole, "J": selected, "kintree_table": tree}, 2))
    for name in library:
        monkeypatch.delitem(sys.modules, name)
    content = read_licensed(path)
    assert content["v_template"].shape == (6890, 3)
    np.testing.assert_array_equal(content["J"], np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(content["kintree_table"], tree)
