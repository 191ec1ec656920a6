# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of HMR 2.0 and SMPL: missing, of another model, damaged, hostile. Nothing in them is ever run."""

import os
import pickle
import shutil
import sys
import types

import numpy as np
import pytest
import torch
from maquette.inference import BadModelFile, MissingModel, MissingPackages, Photo, recover_people
from maquette.inference.people.hmr2 import checkpoint
from maquette.inference.people.hmr2.body import J19, load_template
from maquette.inference.runtime import free_memory
from maquette.inference.weights.smpl import PATH as SMPL
from maquette.inference.weights.smpl import load_arrays

PHOTO = Photo(np.zeros((64, 48, 3), np.uint8))


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.fixture
def root(small_hmr2, tmp_path, frozen):
    """A root of one's own, whose files may be changed."""
    for path in (checkpoint.PATH, J19, SMPL):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        shutil.copyfile(small_hmr2 / path, tmp_path / path)
    free_memory()
    return tmp_path


@pytest.fixture
def published(root):
    with (root / SMPL).open("rb") as file:
        return pickle.load(file)


def recover(root):
    return recover_people(PHOTO, "hmr2", boxes=[(5, 5, 40, 60)], device="cpu", models_dir=root)


def test_everything_is_converted_once_and_the_originals_may_go(root):
    first = recover(root).frames[0][0]
    for path in (checkpoint.PATH, SMPL):
        (root / path).unlink()
    free_memory()
    np.testing.assert_array_equal(recover(root).frames[0][0].vertices, first.vertices)
    with np.load((root / SMPL).with_suffix(".npz"), allow_pickle=False) as plain:
        assert "non-commercial" in str(plain["licence"])


@pytest.mark.parametrize(
    ("path", "said"),
    [(checkpoint.PATH, "huggingface.co"), (J19, "huggingface.co"), (SMPL, "Register at https://smpl.is.tue.mpg.de")],
)
def test_a_missing_file_says_where_it_is_to_be_had(root, path, said):
    (root / path).unlink()
    with pytest.raises(MissingModel) as raised:
        recover(root)
    assert str(root / path) in raised.value.message
    assert said in raised.value.remedy and "built-in people" in raised.value.remedy


def test_without_smplx_its_group_is_named(root, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "smplx"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "smplx", None)
    with pytest.raises(MissingPackages, match="smplx") as raised:
        recover(root)
    assert raised.value.arguments == {"features": "licensed-body"} and raised.value.operator
    assert "--features licensed-body" in raised.value.remedy and "built-in people" in raised.value.remedy


@pytest.mark.parametrize("path", [checkpoint.PATH, J19, SMPL])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_a_file_cut_off(root, path, share):
    content = (root / path).read_bytes()
    (root / path).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(BadModelFile, match=r"cut off or damaged|empty"):
        recover(root)


def test_a_web_page_and_a_checkpoint_of_another_model(root):
    (root / checkpoint.PATH).write_bytes(b"<!DOCTYPE html>" + b" " * 100)
    with pytest.raises(BadModelFile, match="web page"):
        recover(root)
    torch.save({"state_dict": {"trans_encoder.0.weight": torch.zeros(3)}}, root / checkpoint.PATH)
    with pytest.raises(BadModelFile, match="MeshGraphormer"):
        recover(root)


def test_a_checkpoint_that_lacks_a_layer_or_holds_one_too_many_or_is_not_finite(root, small_hmr2):
    content = torch.load(small_hmr2 / checkpoint.PATH, weights_only=False, pickle_module=_with_stand_ins())
    state = content["state_dict"]
    for change, said in (
        ({"smpl_head.decpose.weight": None}, "lacks"),
        ({"backbone.blocks.9.norm1.weight": torch.ones(64)}, "this model does not have"),
        ({"smpl_head.deccam.weight": torch.zeros(3, 50)}, "another size"),
        ({"smpl_head.deccam.weight": torch.full((3, 48), torch.nan)}, "contain NaN"),
    ):
        changed = {name: tensor for name, tensor in (state | change).items() if tensor is not None}
        torch.save({"state_dict": changed}, root / checkpoint.PATH)
        with pytest.raises(BadModelFile, match=said):
            recover(root)
    assert not (root / checkpoint.PATH).with_suffix(".safetensors").exists()


def _with_stand_ins():
    """The small checkpoint holds settings of a class that is not installed."""
    library = types.ModuleType("yacs.config")
    library.CfgNode = type("CfgNode", (dict,), {})
    sys.modules.setdefault("yacs", types.ModuleType("yacs"))
    sys.modules.setdefault("yacs.config", library)
    return pickle


@pytest.mark.parametrize("path", [checkpoint.PATH, J19, SMPL])
def test_nothing_hostile_is_run(root, path, published, tmp_path):
    trap = tmp_path / "trap"
    for attack in (
        Calls(os.mkdir, str(trap)),
        Calls(eval, f"__import__('os').mkdir({str(trap)!r})"),
        Calls(getattr, Calls(__import__, "os"), "mkdir"),
    ):
        if path == checkpoint.PATH:
            torch.save({"state_dict": {"backbone.x": attack}, "hyper_parameters": attack}, root / path)
        else:
            content = attack if path == J19 else published | {"v_template": attack}
            (root / path).write_bytes(pickle.dumps(content))
        with pytest.raises(BadModelFile):
            recover(root)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"v_template": np.zeros((778, 3))}, "v_template is"),
        ({"weights": np.full((6890, 24), np.nan)}, "not finite"),
        ({"f": np.full((13776, 3), 7000, np.uint32)}, "vertices that do not exist"),
        ({"kintree_table": np.array([[-1, *[23] * 23], list(range(24))])}, "joints without a parent"),
        ({"J_regressor": None}, "no 'J_regressor'"),
    ],
)
def test_another_body_is_refused(root, published, change, said):
    changed = {name: value for name, value in (published | change).items() if value is not None}
    (root / SMPL).write_bytes(pickle.dumps(changed, 2))
    with pytest.raises(BadModelFile, match=said):
        load_arrays("smpl", root)
    assert not (root / SMPL).with_suffix(".npz").exists()


def test_a_body_in_other_axes_is_refused(root, published):
    turned = published["v_template"] * [1, -1, -1]
    (root / SMPL).write_bytes(pickle.dumps(published | {"v_template": turned}, 2))
    with pytest.raises(BadModelFile, match="not in SMPL's axes"):
        load_arrays("smpl", root)


def test_every_way_in_which_smpl_is_handed_out(root, published, monkeypatch):
    """Three hundred directions of shape; objects of chumpy, which is never needed; plain arrays in an .npz."""
    plain = load_arrays("smpl", root)
    many = np.concatenate([published["shapedirs"], np.ones((6890, 3, 290))], 2)
    (root / SMPL).write_bytes(pickle.dumps(published | {"shapedirs": many}, 2))
    np.testing.assert_array_equal(load_arrays("smpl", root).shape_blend_shapes, plain.shape_blend_shapes)

    library, module = types.ModuleType("chumpy"), types.ModuleType("chumpy.ch")
    held = type("Ch", (), {"__module__": "chumpy.ch", "__qualname__": "Ch"})
    module.Ch, library.ch = held, module
    monkeypatch.setitem(sys.modules, "chumpy", library)
    monkeypatch.setitem(sys.modules, "chumpy.ch", module)
    ours = published.copy()
    for name in ("v_template", "weights", "posedirs", "shapedirs"):
        ours[name] = held()
        ours[name].__dict__.update(x=published[name], dterms="x")
    (root / SMPL).write_bytes(pickle.dumps(ours, 2))
    monkeypatch.delitem(sys.modules, "chumpy.ch")
    monkeypatch.delitem(sys.modules, "chumpy")
    np.testing.assert_array_equal(load_arrays("smpl", root).pose_blend_shapes, plain.pose_blend_shapes)

    (root / SMPL).unlink()
    arrays = published | {"J_regressor": published["J_regressor"].toarray()}
    np.savez((root / SMPL).with_suffix(".npz"), **arrays)
    np.testing.assert_allclose(load_arrays("smpl", root).joint_regressor, plain.joint_regressor)


def test_keypoints_of_another_table_are_refused(root):
    for table, said in (
        (np.zeros((17, 6890)), "not a table"),
        ([1, 2], "not a table"),
        (np.full((19, 6890), np.inf), "finite"),
    ):
        (root / J19).write_bytes(pickle.dumps(table))
        with pytest.raises(BadModelFile, match=said):
            load_template(root)
