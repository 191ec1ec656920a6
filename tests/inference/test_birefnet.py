# SPDX-License-Identifier: GPL-3.0-or-later
"""BiRefNet with synthetic weights, stage by stage against what the reference made with the same; and what comes of it.

golden/birefnet.npz: parts of the reference's answers for the upper part of the astronaut sample, by network and side of
its picture. The large network's weights are of 16 bits, as they are published.
"""

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import made_up
import numpy as np
import pytest
import torch
from maquette import inference
from maquette.demo.samples import sample_photo
from maquette.inference import BadModelFile, MissingModel, NothingFound, Photo, batch, cut_out
from maquette.inference.options.segment import OPTIONS
from maquette.inference.photo import Clip
from maquette.inference.registry import answering, find_model
from maquette.inference.runtime import start
from maquette.inference.segment import birefnet, birefnet_network, edges, track

FULL = pytest.mark.full
NAMES = {"small": "birefnet-lite", "tiny": "birefnet-lite", "large": "birefnet"}
FILES = {"tiny": "BiRefNet_lite", "large": "BiRefNet"}
#: A network for quick tests, of the published shape but narrow.
SMALL = birefnet_network.Backbone(24, (2, 2, 2, 2), (1, 2, 4, 8), 7)
SIZE = 240, 180


@pytest.fixture(scope="module")
def golden():
    return dict(np.load(Path(__file__).parent / "golden" / "birefnet.npz"))


@pytest.fixture(scope="module")
def pixels():
    return np.ascontiguousarray(inference.load_photo(sample_photo("astronaut")).pixels[:400])


@pytest.fixture(scope="module", autouse=True)
def _forget():
    yield
    inference.free_memory()


@pytest.fixture(scope="module")
def small(cache, tmp_path_factory):
    """A root of model files with the small network's in the place of the lite one's."""
    root = tmp_path_factory.mktemp("birefnet")
    (root / "BiRefNet_lite").mkdir()
    made = made_up.made(cache, "synth_depth2.py", ["manifest-birefnet-small.json.gz"], "model.safetensors")
    shutil.copy(made, root / "BiRefNet_lite")
    return root


@pytest.fixture
def models(small, synthetic, monkeypatch):
    """The root for a network of this size."""

    def provide(size):
        if size != "small":
            return synthetic(FILES[size] + "/")
        monkeypatch.setitem(birefnet_network.BACKBONES, "tiny", SMALL)
        return small

    return provide


def run_of(size, root, side=256):
    """A run of a network of this size, which sees smaller pictures than the published one."""
    model = find_model("segment", NAMES[size])
    return start("cpu", models_dir=root, model=replace(model, options={**model.options, "side": side}))


@pytest.mark.parametrize("size", ["small", pytest.param("tiny", marks=FULL), pytest.param("large", marks=FULL)])
@torch.inference_mode()
def test_every_stage_agrees_with_the_reference(size, golden, pixels, models):
    network = birefnet._kept(run_of(size, models(size)), 256)
    seen = birefnet.picture(pixels, 256)
    kept = {}
    watched = {"deepest": network.squeeze_module}
    watched |= {f"block{number}": network.decoder.get_submodule(f"decoder_block{number}") for number in (1, 2, 3, 4)}
    for name, module in watched.items():
        module.register_forward_hook(lambda _module, _given, found, name=name: kept.update({name: found}))
    kept |= {f"stage{number}": level for number, level in enumerate(network.bb(seen[None]).feature_maps)}
    answer = network(seen[None])[0, 0]
    close(golden, f"{size}_256_picture", seen[:, ::8, ::8], 1e-6)
    for name, level in kept.items():
        wanted = golden[f"{size}_256_{name}"]
        steps = [max(1, side // 8) for side in level.shape[1:]]
        if name.startswith("stage"):
            steps = [steps[0], *[max(1, 8 >> int(name[-1]))] * 2]
        found = level[0, :: steps[0], :: steps[1], :: steps[2]]
        close(golden, f"{size}_256_{name}", found, 2e-5 * np.abs(wanted).max())
    close(golden, f"{size}_256_answer", answer[::2, ::2], 1e-4)
    wanted = golden[f"{size}_256_answer"]
    np.testing.assert_allclose(answer[::2, ::2].sigmoid(), 1 / (1 + np.exp(-wanted)), rtol=0, atol=1e-5)


def close(golden, name, found, tolerance):
    np.testing.assert_allclose(np.asarray(found), golden[name], rtol=0, atol=tolerance, err_msg=name)


@FULL
def test_the_main_thing_of_a_photo_at_the_published_size(golden, pixels, cache, tmp_path):
    """Through the public function, without a word of what is wanted; and chosen by itself, where it is installed."""
    said = []
    made_up.provide(tmp_path, ("BiRefNet_lite/",), cache)  # a root in which no other is installed
    options = {"models_dir": tmp_path, "device": "cpu"}
    found = cut_out(pixels, progress=lambda _, message: said.append(message), **options)
    assert found.model == "birefnet-lite" and found.mask.shape == pixels.shape[:2]
    wanted = 1 / (1 + np.exp(-golden["tiny_1024_answer"]))
    network = birefnet._kept(run_of("tiny", options["models_dir"], 1024), 1024)
    with torch.inference_mode():
        answer = network(birefnet.picture(pixels, 1024)[None])[0, 0].sigmoid().numpy()
    np.testing.assert_allclose(answer[::16, ::16], wanted, rtol=0, atol=1e-5)
    small = cv2.resize(answer, pixels.shape[1::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(found.mask, small, rtol=0, atol=1e-6)
    assert any("takes about" in one and "GB of memory" in one for one in said)


def test_the_files_have_the_published_lengths_and_names():
    """Every tensor of the file is used or known to be of no use; the header is as safetensors writes it."""
    for size, bytes_each, published in (("tiny", 4, 177_634_392), ("large", 2, 444_473_596)):
        with torch.device("meta"):
            ours = birefnet_network.BiRefNet(birefnet_network.BACKBONES[size]).state_dict()
        file = find_model("segment", NAMES[size]).files[0]
        used = sum(one.numel() * (bytes_each if one.is_floating_point() else 8) for one in ours.values())
        # beside it: what training asks for, places inside windows (int64), and the header
        window, depths = birefnet_network.BACKBONES[size].window, sum(birefnet_network.BACKBONES[size].depths)
        assert file.bytes == published
        assert 0 < published - used - 8 * depths * window**4 < 0.003 * published
        assert {one.device.type for one in ours.values()} == {"meta"}


DAMAGE = {
    "cut": (lambda content: content[: len(content) // 2], "cut off or damaged"),
    "a web page": (lambda _content: b"<html>busy</html>", "is a web page"),
    "of another size": (bytes, "another size of this model|not the published file"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_wrong_file_is_one_sentence(damage, small, tmp_path, pixels):
    change, said = DAMAGE[damage]
    file = tmp_path / "BiRefNet_lite" / "model.safetensors"
    file.parent.mkdir()
    file.write_bytes(change((small / "BiRefNet_lite" / "model.safetensors").read_bytes()))
    with pytest.raises(BadModelFile, match=said) as told:
        cut_out(pixels, "birefnet-lite", models_dir=tmp_path, device="cpu")
    assert told.value.remedy


def scene():
    """A fur ball before a gradient: photo, and how much of each pixel is the ball."""
    random = np.random.default_rng(2)
    alpha = np.zeros(SIZE[::-1], np.float32)
    cv2.circle(alpha, (120, 95), 40, 1.0, -1)
    for angle in random.uniform(0, 2 * np.pi, 260):
        turned = [(36, angle), (50, angle + 0.1)]
        ends = [16 * np.array([120 + r * np.cos(turn), 95 + r * np.sin(turn)]) for r, turn in turned]
        cv2.line(alpha, *(np.rint(end).astype(int) for end in ends), 1.0, 1, cv2.LINE_AA, 4)
    alpha = cv2.GaussianBlur(alpha, (0, 0), 0.7)
    back = np.linspace((30, 140, 60), (60, 200, 90), SIZE[0])[None].repeat(SIZE[1], 0)
    return (alpha[..., None] * (200, 60, 50) + (1 - alpha[..., None]) * back).astype(np.uint8), alpha


PHOTO, ALPHA = scene()


@pytest.fixture
def fine(monkeypatch):
    """A network of edges that knows the scene, in the place of the published one; returns what it was shown."""
    shown = []

    def matte(pixels, run):
        shown.append(pixels.shape[:2])
        result = cv2.matchTemplate(PHOTO, pixels, cv2.TM_SQDIFF)
        row, column = np.unravel_index(result.argmin(), result.shape)
        return ALPHA[row : row + pixels.shape[0], column : column + pixels.shape[1]].copy()

    monkeypatch.setattr(birefnet, "matte", matte)
    monkeypatch.setattr(edges, "usable", lambda model, root: model.id == "birefnet-lite")
    return shown


def test_fine_edges_of_what_clicks_mean(fine, tmp_path):
    """Another model says what, this one draws the edges; named, or asked for as edges."""
    click = {"points": [[120, 95]], "models_dir": tmp_path, "device": "cpu"}
    coarse = np.abs(cut_out(PHOTO, "builtin", **click).mask - ALPHA).mean()
    for given in ({"model": "birefnet-lite"}, {"model": "builtin", "edges": "fine"}):
        found = cut_out(PHOTO, **given, **click)
        assert np.abs(found.mask - ALPHA).mean() < 0.15 * coarse and not found.notes
        assert found.model == given["model"] and ((found.mask > 0.1) & (found.mask < 0.9)).sum() > 300
    assert fine and all(height < SIZE[1] and width < SIZE[0] for height, width in fine), "it sees what is around alone"


def test_a_box_is_looked_into_and_nothing_is_said(fine, tmp_path):
    given = {"models_dir": tmp_path, "device": "cpu"}
    whole = cut_out(PHOTO, "birefnet-lite", **given)
    np.testing.assert_array_equal(whole.mask, ALPHA)
    boxed = cut_out(PHOTO, "birefnet-lite", box=[66, 41, 174, 149], **given)
    np.testing.assert_array_equal(boxed.mask, ALPHA)
    assert fine == [SIZE[::-1], (130, 130)]
    half = cut_out(PHOTO, "birefnet-lite", box=[20, 41, 120, 149], **given)
    assert not half.mask[:, 131:].any() and half.mask[95, 100] > 0.99
    with pytest.raises(NothingFound, match="main thing"):
        cut_out(PHOTO, "birefnet-lite", box=[2, 2, 40, 30], **given)


def test_another_main_thing_leaves_the_outline_and_is_told(fine, tmp_path, monkeypatch):
    monkeypatch.setattr(birefnet, "matte", lambda pixels, run: np.zeros(pixels.shape[:2], np.float32))
    given = {"points": [[120, 95]], "models_dir": tmp_path, "device": "cpu"}
    found, own = cut_out(PHOTO, "builtin", edges="fine", **given), cut_out(PHOTO, "builtin", **given)
    np.testing.assert_array_equal(found.mask, own.mask)
    assert len(found.notes) == 1 and "outline's own" in found.notes[0]


def test_what_is_not_installed_is_offered(tmp_path):
    with pytest.raises(MissingModel) as told:
        cut_out(PHOTO, "builtin", points=[[120, 95]], edges="fine", models_dir=tmp_path)
    assert told.value.operator == "maquette.install_model"
    assert told.value.arguments == {"file": "BiRefNet_lite/model.safetensors"}


def test_every_frame_of_a_film_by_itself_where_nothing_is_said(fine, tmp_path, monkeypatch):
    empty = np.full_like(PHOTO, 90)
    frames = [Photo(PHOTO, name="f0"), Photo(empty, name="f1"), Photo(PHOTO, name="f2")]
    clip = Clip("film", 3, 24.0, lambda: iter(frames))
    matte = birefnet.matte
    monkeypatch.setattr(birefnet, "matte", lambda pixels, run: matte(pixels, run) * bool(pixels.std() > 5))
    found = [one for _, one in track.follow(clip, "birefnet-lite", models_dir=tmp_path, device="cpu")]
    np.testing.assert_array_equal(found[0].mask, ALPHA)
    np.testing.assert_array_equal(found[2].mask, ALPHA)
    assert isinstance(found[1], NothingFound)


def test_automatic_takes_it_only_where_nothing_is_said(small):
    """With clicks the order is as it was: a click answers in a tenth of a second."""
    order = [model.id for model in answering("segment", "auto", small)]
    assert order == ["builtin", "birefnet-lite"] and OPTIONS["edges"].default == "model"
    prompts = ({}, {"points": [[1, 2]]})
    asked = [batch._asked("segment", "auto", {"models_dir": small, **given}).models for given in prompts]
    assert [[model.id for model in models] for models in asked] == [["birefnet-lite"], ["builtin"]]


def test_a_thing_laid_on_another_colour_has_no_halo():
    """At soft edges its own colours: over grey, what differs from the ball's colour laid there is small."""
    own = edges.foreground(PHOTO, ALPHA)
    alpha = ALPHA[..., None]
    wanted = alpha * (200, 60, 50) + (1 - alpha) * 128
    soft = (ALPHA > 0.05) & (ALPHA < 0.95)
    before, after = (np.abs(alpha * one + (1 - alpha) * 128 - wanted)[soft].mean() for one in (PHOTO, own))
    assert before > 12 and after < 1.0
    assert own.dtype == np.uint8 and (own[ALPHA > 0.99] == PHOTO[ALPHA > 0.99]).all()
    for flat in (np.zeros_like(ALPHA), np.ones_like(ALPHA), np.full_like(ALPHA, 0.5)):
        assert np.isfinite(edges.foreground(PHOTO, flat).astype(float)).all()
