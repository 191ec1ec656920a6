# SPDX-License-Identifier: GPL-3.0-or-later
"""SMPL, SMPL+H and SMPL-X from files of made-up numbers in the published layouts: read without running anything, posed
by smplx, and the same as smplx's own classes pose them from the same numbers."""

import os
import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
import torch
from maquette.inference import BadInput, BadModelFile, MissingModel, MissingPackages
from maquette.inference.geometry.rotations import rotation_matrices
from maquette.inference.geometry.skinning import pose_body
from maquette.inference.weights import smpl
from maquette.inference.weights.smpl import FLIP, load_arrays, load_body

#: Vertices and faces of the made-up bodies; the published ones have a hundred times as many.
VERTICES, FACES = 70, 120
KINDS = ("smpl", "smplh", "smplx")


class Calls:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.fixture(autouse=True)
def small(monkeypatch):
    for kind, family in smpl.FAMILY.items():
        monkeypatch.setitem(smpl.FAMILY, kind, replace(family, vertices=VERTICES, faces=FACES))


def published(kind, shapes=None):
    """Numbers as such a file has them. shapes : directions of shape, where they are not the fewest."""
    family, random = smpl.FAMILY[kind], np.random.default_rng(7)
    joints = len(family.joint_names)
    regressor = random.random((joints, VERTICES)) * (random.random((joints, VERTICES)) < 0.2) + 1e-3
    regressor /= regressor.sum(1, keepdims=True)
    template = random.normal(0, 0.3, (VERTICES, 3))
    # Head above the pelvis, left hip on the left: what tells the axes.
    template += np.linalg.pinv(regressor) @ _places(joints)
    weights = random.random((VERTICES, joints)) ** 8
    parents = np.array([2**32 - 1, *(random.integers(0, joint) for joint in range(1, joints))])
    return {
        "v_template": template,
        "f": random.integers(0, VERTICES, (FACES, 3)).astype(np.uint32),
        "shapedirs": random.normal(0, 0.02, (VERTICES, 3, shapes or family.shapes)),
        "posedirs": random.normal(0, 0.01, (VERTICES, 3, 9 * (joints - 1))),
        "J_regressor": regressor if kind == "smplx" else scipy.sparse.csc_matrix(regressor),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.stack([parents, np.arange(joints)]),
    }


def _places(joints):
    places = np.zeros((joints, 3))
    places[15, 1], places[1, 0] = 6.0, 3.0
    return places


def write(root, kind, content, gender="neutral", npz=False):
    path = root / smpl.FAMILY[kind].path.format(gender.upper())
    path.parent.mkdir(exist_ok=True)
    if npz:
        path = path.with_suffix(".npz")
        np.savez(path, **content)
    else:
        path.write_bytes(pickle.dumps(content, 2))
    return path


def pose_of(body, count=3):
    random = np.random.default_rng(3)
    rotations = random.normal(0, 0.3, (count, len(body.parents), 4)) + np.array([1.5, 0, 0, 0])
    rotations /= np.linalg.norm(rotations, axis=-1, keepdims=True)
    return random.normal(0, 1, (count, len(body.shape_blend_shapes))), rotations, random.normal(0, 1, (count, 3))


@pytest.mark.parametrize("kind", KINDS)
def test_names_licence_and_arrays(tmp_path, kind):
    content = published(kind)
    write(tmp_path, kind, content)
    licensed = load_body(kind, tmp_path)
    body, family = licensed.body, smpl.FAMILY[kind]
    assert body.name == family.name and body.licence == f"{family.name} licence (Max Planck Society): " + (
        "non-commercial scientific research only"
    )
    count = {"smpl": 24, "smplh": 52, "smplx": 55}[kind]
    assert len(body.joint_names) == count == len(set(body.joint_names)) and body.parents[0] == -1
    np.testing.assert_array_equal(body.parents[1:], content["kintree_table"][0, 1:])
    np.testing.assert_allclose(body.vertices, content["v_template"] * FLIP, rtol=1e-6)
    np.testing.assert_allclose(body.skin_weights.sum(1), 1, rtol=1e-5)
    assert body.shape_blend_shapes.shape == ({"smpl": 10, "smplh": 10, "smplx": 20}[kind], VERTICES, 3)
    assert body.pose_blend_shapes.shape == (9 * (count - 1), VERTICES, 3)
    np.testing.assert_allclose(licensed.joint_regressor @ body.vertices, body.joints, atol=1e-5)
    at = dict(zip(body.joint_names, body.joints, strict=True))
    assert at["head"][1] < at["pelvis"][1] and at["left_hip"][0] > at["pelvis"][0]


def test_joints_are_called_as_smplx_calls_them():
    names = pytest.importorskip("smplx.joint_names")
    published_names = [name.removesuffix("_smplhf") for name in names.JOINT_NAMES[:55]]
    assert list(smpl.FAMILY["smplx"].joint_names) == published_names
    assert list(smpl.FAMILY["smplh"].joint_names) == names.SMPLH_JOINT_NAMES[:52]
    assert list(smpl.FAMILY["smpl"].joint_names) == [*names.SMPLH_JOINT_NAMES[:22], "left_hand", "right_hand"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shapes", [None, "many"])
def test_it_is_posed_as_smplx_own_classes_do(tmp_path, monkeypatch, kind, shapes):
    """Those read the arrays from an object or, SMPL-X, from a file without objects; nowhere is anything unpickled."""
    package = pytest.importorskip("smplx")
    models = sys.modules["smplx.body_models"]
    names = models.VERTEX_IDS["smplx"]
    for known in ("smplh", "smplx"):
        monkeypatch.setitem(models.VERTEX_IDS, known, dict.fromkeys(names, 0))
    content = published(kind, shapes and (400 if kind == "smplx" else 300))
    write(tmp_path, kind, content)
    licensed = load_body(kind, tmp_path)
    monkeypatch.setattr(models.pickle, "load", lambda *_args, **_named: pytest.fail("something was unpickled"))
    shape, rotations, translation = pose_of(licensed.body)
    vertices, joints = licensed.pose(shape, rotations, translation)
    assert vertices.shape == (3, VERTICES, 3) and joints.shape == (3, len(licensed.body.parents), 3)
    assert vertices.dtype == joints.dtype == np.float32

    matrices = rotation_matrices(rotations) * FLIP  # R F for the root; F R F for the others
    matrices[:, 1:] *= FLIP[:, None]
    plain = content | {"J_regressor": np.asarray(scipy.sparse.csc_matrix(content["J_regressor"]).todense())}
    hands = {f"hands_{part}{side}": np.zeros((45, 45) if part == "components" else 45)
             for part in ("components", "mean") for side in "lr"}  # fmt: skip
    options = {"use_pca": False, "flat_hand_mean": True, "num_betas": 10}
    torch_of = {name: torch.from_numpy(matrices[:, span].astype(np.float32)) for name, span in _spans(kind).items()}
    torch_of["betas"] = torch.from_numpy(shape[:, :10].astype(np.float32))
    if kind == "smplx":
        face = {"lmk_faces_idx": np.zeros(51, int), "lmk_bary_coords": np.ones((51, 3)) / 3}
        np.savez(tmp_path / "plain.npz", **plain, **hands, **face)
        model = package.SMPLXLayer(str(tmp_path / "plain.npz"), **options)
        torch_of["expression"] = torch.from_numpy(shape[:, 10:].astype(np.float32))
    else:
        kinds = {"smpl": package.SMPLLayer, "smplh": package.SMPLHLayer}
        struct = type("Struct", (), plain | hands)
        model = kinds[kind](model_path="", data_struct=struct, vertex_ids=dict.fromkeys(names, 0), **options)
    with torch.no_grad():
        theirs = model(**torch_of, pose2rot=False)
    root = licensed.body.joints[0] + shape @ licensed.body.joint_blend_shapes[:, 0]
    moved = (translation + root - root * FLIP)[:, None]  # about the root, which rests where F has brought it
    np.testing.assert_allclose(vertices, theirs.vertices.numpy() + moved, atol=2e-5)
    np.testing.assert_allclose(joints, theirs.joints.numpy()[:, : joints.shape[1]] + moved, atol=2e-5)


def _spans(kind):
    spans = {"global_orient": slice(0, 1), "body_pose": slice(1, 24 if kind == "smpl" else 22)}
    if kind == "smplh":
        spans |= {"left_hand_pose": slice(22, 37), "right_hand_pose": slice(37, 52)}
    if kind == "smplx":
        spans |= {
            name: slice(22 + number, 23 + number) for number, name in enumerate(("jaw_pose", "leye_pose", "reye_pose"))
        }
        spans |= {"left_hand_pose": slice(25, 40), "right_hand_pose": slice(40, 55)}
    return spans


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_posed_as_any_other_body(tmp_path, kind):
    write(tmp_path, kind, published(kind))
    licensed = load_body(kind, tmp_path)
    shape, rotations, translation = pose_of(licensed.body)
    for ours, other in zip(licensed.pose(shape, rotations, translation),
                           pose_body(licensed.body, shape, rotations, translation), strict=True):  # fmt: skip
        np.testing.assert_allclose(ours, other, atol=2e-5)
    single = licensed.pose(shape[0], rotations[0], translation[0])
    assert [part.shape for part in single] == [(VERTICES, 3), (len(licensed.body.parents), 3)]
    np.testing.assert_allclose(single[0], licensed.pose(shape, rotations, translation)[0][0], atol=1e-6)


@pytest.mark.parametrize(("kind", "shapes"), [("smpl", 300), ("smplh", 16), ("smplx", 400)])
def test_files_with_more_directions_of_shape_give_the_first_of_each_kind(tmp_path, kind, shapes):
    content = published(kind, shapes)
    write(tmp_path, kind, content)
    chosen = [*range(10), *(range(300, 310) if kind == "smplx" else ())]
    expected = np.moveaxis(content["shapedirs"][..., chosen], 2, 0) * FLIP
    np.testing.assert_allclose(load_body(kind, tmp_path).body.shape_blend_shapes, expected, rtol=1e-6)


@pytest.mark.parametrize("gender", ["female", "male"])
def test_every_gender_has_a_file_of_its_own(tmp_path, gender):
    write(tmp_path, "smplh", published("smplh"), gender)
    assert load_body("smplh", tmp_path, gender).body.name == "SMPL+H"
    assert sorted(path.name for path in (tmp_path / "smplh").iterdir()) == [
        f"SMPLH_{gender.upper()}.npz", f"SMPLH_{gender.upper()}.pkl",
    ]  # fmt: skip
    with pytest.raises(MissingModel, match="SMPLH_NEUTRAL") as raised:
        load_body("smplh", tmp_path)
    assert "https://mano.is.tue.mpg.de" in raised.value.remedy
    for wrong in (("smply", "neutral"), ("smpl", "other")):
        with pytest.raises(BadInput, match="no licensed body"):
            load_body(wrong[0], tmp_path, wrong[1])


def test_smplx_as_an_npz_with_its_dictionaries(tmp_path):
    """The published file has members that numpy pickles; they are not needed, and stay unread."""
    trap = tmp_path / "trap"
    content = published("smplx")
    names = np.array({"left_hand": 3}, object), np.array([Calls(os.mkdir, str(trap))], object)
    write(tmp_path, "smplx", content | {"joint2num": names[0], "part2num": names[1]}, npz=True)
    np.testing.assert_allclose(load_body("smplx", tmp_path).body.vertices, content["v_template"] * FLIP, rtol=1e-6)
    hostile = np.array([[Calls(os.mkdir, str(trap))] * VERTICES] * 55, object)
    write(tmp_path, "smplx", content | {"J_regressor": hostile}, npz=True)
    with pytest.raises(BadModelFile, match="no 'J_regressor'"):
        load_body("smplx", tmp_path)
    assert not trap.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_hostile_is_run(tmp_path, kind):
    trap = tmp_path / "trap"
    for attack in (Calls(os.mkdir, str(trap)), Calls(eval, f"__import__('os').mkdir({str(trap)!r})")):
        for name in ("v_template", "hands_meanl"):
            write(tmp_path, kind, published(kind) | {name: attack})
            with pytest.raises(BadModelFile, match="nothing of it was run"):
                load_body(kind, tmp_path)
    assert not trap.exists()


@pytest.mark.parametrize(
    ("kind", "other"), [("smpl", "smplh"), ("smplh", "smpl"), ("smplh", "smplx"), ("smplx", "smplh")]
)
def test_a_body_of_another_kind_is_refused(tmp_path, kind, other):
    write(tmp_path, kind, published(other))
    with pytest.raises(BadModelFile, match=f"not a {smpl.FAMILY[kind].name.replace('+', '.')} body"):
        load_body(kind, tmp_path)


def test_without_smplx_the_file_is_read_but_not_posed(tmp_path, monkeypatch):
    write(tmp_path, "smplx", published("smplx"))
    for name in [name for name in sys.modules if name.partition(".")[0] == "smplx"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "smplx", None)
    with pytest.raises(MissingPackages) as raised:
        load_body("smplx", tmp_path)
    assert raised.value.arguments == {"features": "licensed-body"}
    assert load_arrays("smplx", tmp_path).parents.shape == (55,)
