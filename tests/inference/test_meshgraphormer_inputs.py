# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be asked of MeshGraphormer, and files that are not what they should be. Where the network itself does not
matter, it answers once for a right and a left hand, and every square gets that answer."""

import os
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
from maquette.demo.samples import sample_photo
from maquette.inference import BadInput, BadModelFile, Cancelled, DepthMap, MissingModel, load_photo, refine_hands
from maquette.inference.hands import meshgraphormer
from maquette.inference.hands.meshgraphormer import answers, crop
from maquette.inference.hands.meshgraphormer.crop import Crop
from maquette.inference.hands.meshgraphormer.lens import Lens, draw
from maquette.inference.hands.preview import depth_levels
from maquette.inference.registry import find_model
from maquette.inference.runtime.run import start

HAND, OTHER = (560, 330, 690, 470, "right"), (640, 400, 760, 505, "left")
NETWORK, SAMPLING, MANO = (
    "meshgraphormer/graphormer_hand_state_dict.bin",
    "meshgraphormer/mano_downsampling.npz",
    "mano/MANO_RIGHT.pkl",
)


@pytest.fixture(scope="module")
def models(synthetic):
    return synthetic("meshgraphormer", "mano")


@pytest.fixture(scope="module")
def zidane():
    return load_photo(sample_photo("zidane"))


@pytest.fixture(scope="module")
def known(zidane, models):
    """The network's answer for a hand of each side."""
    run = start("cpu", models_dir=models, model=find_model("hands", "meshgraphormer"))
    crops = [(zidane, Crop.around(box[:4], box[4])) for box in (HAND, OTHER)]
    return dict(zip(("right", "left"), answers.predict(crops, run, exact=True), strict=True))


@pytest.fixture
def refine(known, models, monkeypatch):
    """`refine_hands` with the known answers; `change` (number, answer) -> answer acts on them."""

    def call(photo, *, change=lambda number, one: one, **asked):
        def predict(crops, run, exact):
            return [change(number, known[crop.side]) for number, (_, crop) in enumerate(crops)]

        monkeypatch.setattr(meshgraphormer, "predict", predict)
        return refine_hands(photo, "meshgraphormer", device="cpu", models_dir=models, **asked)

    return call


@pytest.fixture
def files(models, tmp_path):
    """A root of its own with the three files, of which the small ones are copies."""
    for name in (NETWORK, SAMPLING, MANO):
        (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / NETWORK).symlink_to((models / NETWORK).resolve())
    for name in (SAMPLING, MANO):
        shutil.copyfile(models / name, tmp_path / name)
    return tmp_path


def ask(photo, root, **asked):
    return refine_hands(photo, "meshgraphormer", boxes=[HAND], device="cpu", models_dir=root, **asked)


@pytest.mark.parametrize("name", [NETWORK, SAMPLING, MANO])
def test_a_missing_file_is_named_and_what_remains_is_said(zidane, files, name):
    (files / name).unlink()
    with pytest.raises(MissingModel) as caught:
        ask(zidane, files)
    assert name.rsplit("/", 1)[1] in caught.value.message
    assert "built-in hands" in caught.value.remedy
    page = {NETWORK: "huggingface.co", SAMPLING: "github.com/microsoft", MANO: "Register at https://mano.is.tue.mpg.de"}
    assert page[name] in caught.value.remedy


def mirrored(content):
    content["v_template"] = content["v_template"] * (-1, 1, 1)
    return pickle.dumps(content, protocol=2)


class Hostile:
    """Makes a folder when it is unpickled."""

    path = ""

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (mirrored, "left hand"),
        (lambda content: pickle.dumps(content, protocol=2)[:200_000], "cut off|damaged"),
        (lambda content: pickle.dumps({**content, "f": Hostile()}), "nothing of it was run"),
        (lambda content: pickle.dumps({"v_template": np.zeros((778, 3))}), "not a MANO"),
        (lambda content: b"", "cut off|damaged"),
    ],
    ids=["left", "truncated", "hostile", "foreign", "empty"],
)
def test_a_mano_file_that_is_none(zidane, files, spoil, message, monkeypatch):
    monkeypatch.setattr(Hostile, "path", str(files / "was here"))
    content = pickle.loads((files / MANO).read_bytes())  # our own, made by synth_hand.py
    (files / MANO).write_bytes(spoil(content))
    with pytest.raises(BadModelFile, match=message) as caught:
        ask(zidane, files)
    assert caught.value.remedy
    assert not (files / "was here").exists()
    assert not (files / MANO).with_suffix(".npz").exists(), "nothing of it is kept"


def test_sampling_files_that_are_none(zidane, files, monkeypatch):
    monkeypatch.setattr(Hostile, "path", str(files / "was here"))
    whole = (files / SAMPLING).read_bytes()
    for bad in (whole[:5000], b"no archive"):
        (files / SAMPLING).write_bytes(bad)
        with pytest.raises(BadModelFile, match="cut off or damaged"):
            ask(zidane, files)
    for hostile in (True, False):
        boxed = np.empty(1, object)
        boxed[0] = Hostile() if hostile else np.zeros((3, 3))
        np.savez(files / SAMPLING, A=boxed, D=boxed)
        with pytest.raises(BadModelFile, match="nothing of it was run" if hostile else "coarse mesh"):
            ask(zidane, files)
    assert not (files / "was here").exists()


def test_a_replaced_file_is_taken_up(zidane, files, refine):
    ask(zidane, files)
    (files / MANO).write_bytes(b"no longer")
    with pytest.raises(BadModelFile):
        ask(zidane, files)


@pytest.mark.parametrize(
    "box",
    [
        (10, 10, 10, 60, "left"),
        (1300, 10, 1400, 60, "left"),
        (60, 60, 10, 10, "left"),
        (0, 0, 50, 50, "both"),
        (0, 0, 50, 50, "Left"),
        (0, 0, 50, 50),
        (np.nan, 0, 50, 50, "right"),
        (-np.inf, 0, np.inf, 50, "right"),
        "left",
    ],
)
def test_boxes_that_are_none_are_refused(zidane, box, refine):
    with pytest.raises(BadInput, match="box"):
        refine(zidane, boxes=[HAND, box])


@pytest.mark.parametrize(
    "change",
    [
        {"mask_type": "outline"},
        {"mask_bbox_padding": 101},
        {"mask_bbox_padding": -1},
        {"mask_expand": 16385},
        {"mask_expand": 2.5},
        {"resolution": -1},
        {"resolution": 20000},
        {"detect_thr": 0},
        {"detect_thr": np.nan},
        {"presence_thr": 1.5},
        {"presence_thr": "sure"},
    ],
)
def test_parameters_out_of_range_are_refused(zidane, refine, change):
    with pytest.raises(BadInput):
        refine(zidane, boxes=[HAND], **change)


@pytest.mark.parametrize("mask_expand", [-16384, 16384])
def test_the_limits_of_the_parameters_are_allowed(zidane, refine, mask_expand):
    maps = refine(zidane, boxes=[HAND], mask_expand=mask_expand, mask_bbox_padding=100, resolution=33)
    assert maps.preview.shape == (33, 59, 3)
    assert maps.mask.all() if mask_expand > 0 else not maps.mask.any()


def test_no_hands_give_black_pictures(zidane, refine):
    maps = refine(zidane, boxes=[])
    assert maps.hands == () and not maps.depth.any() and not maps.mask.any() and not maps.preview.any()
    assert not maps.identity.any() and maps.preview.shape == (512, 910, 3)


@pytest.mark.parametrize("shape", [(8, 8), (50, 10_000), (10_000, 50), (301, 223)])
def test_photos_of_any_shape(refine, shape):
    height, width = shape
    photo = np.full((height, width, 3), 90, np.uint8)
    maps = refine(photo, boxes=[(0, 0, width, height, "right"), (1, 1, width / 2, height / 2, "left")], resolution=0)
    assert maps.mask.shape == maps.depth.shape == shape and maps.preview.shape == (*shape, 3)
    assert maps.depth.any() and np.isfinite(maps.depth).all()


def test_a_hand_cut_by_the_border(zidane, refine):
    boxes = [(-60, 300, 60, 400, "left"), (1250, 650, 1400, 800, "right")]
    maps = refine(zidane, boxes=boxes, mask_type="tight_bboxes", mask_expand=0)
    assert [hand.side for hand in maps.hands] == ["left", "right"]
    expected = np.zeros((720, 1280), bool)
    expected[300:401, :61] = True
    expected[650:, 1250:] = True
    assert np.array_equal(maps.mask > 0, expected)
    assert maps.camera.project(maps.hands[0].vertices)[:, 0].min() < 0, "the mesh goes on outside"
    assert maps.hands[0].depth.any()
    for hand in maps.hands:
        assert np.isfinite(hand.depth).all()
        x0, y0, x1, y1 = hand.box
        assert 0 <= x0 < x1 <= 1280 and 0 <= y0 < y1 <= 720


def test_a_huge_box_is_the_photo_and_a_tiny_one_takes_nothing_with_it(zidane, refine):
    maps = refine(zidane, boxes=[(-1e9, -1e9, 1e9, 1e9, "right"), (500, 300, 501, 301, "left"), HAND])
    assert len(maps.hands) >= 2 and maps.hands[-1].landmark_box == HAND[:4]


def test_fractions_of_pixels_are_cut_off(zidane, refine):
    exact, fraction = refine(zidane, boxes=[HAND]), refine(zidane, boxes=[(560.9, 330.2, 690.7, 470.99, "right")])
    assert np.array_equal(exact.mask, fraction.mask) and np.array_equal(exact.depth, fraction.depth)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda one: replace(one, camera=np.array([np.nan, 0, 0], np.float32)),
        lambda one: replace(one, vertices=one.vertices * np.float32(np.inf)),
        lambda one: replace(one, camera=np.array([-7.0, 0, 0], np.float32)),
        lambda one: replace(one, camera=np.array([7.0, 50, 0], np.float32)),
        lambda one: replace(one, camera=np.zeros(3, np.float32)),
        lambda one: replace(one, faces=np.ascontiguousarray(one.faces[:, ::-1])),
    ],
    ids=["not a number", "infinite", "behind", "beside", "no scale", "inside out"],
)
def test_a_hand_that_cannot_be_drawn_does_not_take_the_others_with_it(zidane, refine, spoil):
    alone = refine(zidane, boxes=[OTHER])
    maps = refine(zidane, boxes=[HAND, OTHER], change=lambda number, one: one if number else spoil(one))
    assert maps.hands[-1].side == "left"
    if len(maps.hands) == 1:
        assert np.array_equal(maps.mask, alone.mask) and np.array_equal(maps.preview, alone.preview)
    else:  # an open hand turned inside out shows the far side of its inside
        assert np.isfinite(maps.depth).all()


def test_a_flat_hand_has_a_level_and_no_division_by_nothing(zidane, refine):
    def flat(number, one):
        vertices = one.vertices * np.array([1, 1, 0], np.float32)
        # Every face to the camera.
        a, b, c = vertices[one.faces].transpose(1, 0, 2)
        away = np.cross(b - a, c - a)[:, 2] > 0
        return replace(one, vertices=vertices, faces=np.where(away[:, None], one.faces[:, ::-1], one.faces))

    maps = refine(zidane, boxes=[HAND], change=flat, resolution=0)
    assert set(np.unique(maps.preview)) <= {0, *range(50, 256)} and maps.preview.any()
    assert np.isfinite(maps.depth).all()
    assert np.array_equal(depth_levels(np.full((2, 2), 0.7)), np.full((2, 2), 255))


def test_a_thousand_hands(zidane, refine):
    rng = np.random.default_rng(3)
    corners = rng.integers((0, 0), (1200, 650), (1000, 2))
    boxes = [(x, y, x + 24, y + 24, "left" if n % 2 else "right") for n, (x, y) in enumerate(corners.tolist())]
    maps = refine(zidane, boxes=boxes, mask_type="tight_bboxes", mask_expand=0)
    assert len(maps.hands) == 1000
    assert maps.identity.max() > 900 and np.array_equal(maps.identity > 0, maps.depth > 0)


def test_progress_and_cancelling(zidane, models):
    heard = []
    refine_hands(
        zidane,
        "meshgraphormer",
        boxes=[HAND, OTHER],
        device="cpu",
        models_dir=models,
        progress=lambda fraction, message: heard.append(fraction),
    )
    assert heard == sorted(heard) and len(heard) > 12 and heard[0] >= 0 and heard[-1] <= 1

    def stop(fraction, message):
        if fraction > 0.4:
            raise Cancelled

    with pytest.raises(Cancelled):
        refine_hands(zidane, "meshgraphormer", boxes=[HAND], device="cpu", models_dir=models, progress=stop)


def test_scenes_that_do_not_fit_are_refused(zidane, refine):
    depth = np.full((720, 1280), 2.0, np.float32)
    scene = DepthMap(depth, depth > 0, None, zidane.camera_or_default(), True, zidane.pixels)
    with pytest.raises(BadInput, match="without metres"):
        refine(zidane, boxes=[HAND], scene_depth=replace(scene, metric=False))
    with pytest.raises(BadInput, match="not of this photo"):
        refine(zidane, boxes=[HAND], scene_depth=replace(scene, depth=depth[::2, ::2]))
    empty = replace(scene, valid=np.zeros_like(scene.valid))
    plain = refine(zidane, boxes=[HAND])
    assert np.array_equal(refine(zidane, boxes=[HAND], scene_depth=empty).depth, plain.depth)


def test_very_large_squares_are_reduced_and_stay_in_place(known):
    photo = np.zeros((400, 600, 3), np.uint8)
    photo[100:300, 200:400] = 200
    big = Crop.around((-2000, -2200, 2600, 2600), "right")
    assert big.size > crop.LARGEST
    seen = crop.picture(photo, big).astype(float)
    rows, columns = np.nonzero(seen[..., 0] > seen.max() / 2)
    scale = big.size / 224
    assert rows.mean() == pytest.approx((200 - big.top) / scale, abs=1)
    assert columns.mean() == pytest.approx((300 - big.left) / scale, abs=1)
    lens = Lens.of(big, known["right"].camera)
    drawn = draw(known["right"].vertices, known["right"].faces, lens, big, (400, 600))
    assert drawn.z.shape == (400, 600) and (drawn.left, drawn.top) == (0, 0)
