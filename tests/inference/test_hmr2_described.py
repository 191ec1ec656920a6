# SPDX-License-Identifier: GPL-3.0-or-later
"""Detectors whose folder says what they are: small networks of random weights as their pages publish them, against
the library's own network and processor."""

import json

import numpy as np
import pytest
import torch
from maquette.inference import BadModelFile, Photo, runtime
from maquette.inference.people.hmr2 import described, detectors
from maquette.inference.people.hmr2.find import Thresholds
from transformers import (
    DFineConfig,
    DFineForObjectDetection,
    HGNetV2Config,
    RfDetrConfig,
    RfDetrForObjectDetection,
    RTDetrImageProcessor,
)

NAMES = {0: "tree", 1: "person", 2: "dog"}


def _d_fine():
    backbone = HGNetV2Config(
        stem_channels=[3, 8, 8],
        stage_in_channels=[8, 16, 24, 32],
        stage_mid_channels=[8, 8, 8, 8],
        stage_out_channels=[16, 24, 32, 48],
        stage_num_blocks=[1, 1, 1, 1],
        stage_numb_of_layers=[1, 1, 1, 1],
        hidden_sizes=[16, 24, 32, 48],
        out_indices=[2, 3, 4],
    )
    return DFineForObjectDetection(
        DFineConfig(
            backbone_config=backbone,
            encoder_in_channels=[24, 32, 48],
            encoder_hidden_dim=32,
            encoder_ffn_dim=40,
            d_model=32,
            decoder_in_channels=[32, 32, 32],
            decoder_ffn_dim=48,
            decoder_layers=2,
            decoder_n_points=[2, 2, 2],
            num_queries=30,
            id2label=NAMES,
        )
    )


def _rf_detr():
    backbone = {
        "model_type": "rf_detr_dinov2",
        "hidden_size": 24,
        "num_attention_heads": 2,
        "num_hidden_layers": 4,
        "num_windows": 2,
        "patch_size": 14,
        "image_size": 112,
        "out_features": ["stage2", "stage4"],
    }
    return RfDetrForObjectDetection(
        RfDetrConfig(
            backbone_config=backbone,
            d_model=32,
            decoder_ffn_dim=48,
            decoder_layers=2,
            decoder_cross_attention_heads=4,
            decoder_self_attention_heads=4,
            decoder_n_points=2,
            num_queries=30,
            group_detr=1,
            id2label=NAMES,
        )
    )


def _write(network, folder, side):
    with torch.no_grad():
        for name, value in network.named_parameters():  # scores and boxes that differ
            value.normal_(0, 1.2 / value[0].numel() ** 0.5 if value.dim() > 1 else 0.5)
            if "class_embed" in name and len(value) == 3:  # as much a tree as a person, and never a dog
                value.copy_(value[[1, 1, 2]] if value.dim() > 1 else torch.tensor([1.0, 1.0, -9.0]))
    folder.mkdir(parents=True)
    network.save_pretrained(folder)
    RTDetrImageProcessor(size={"height": side, "width": side}).save_pretrained(folder)
    return folder / "model.safetensors"


@pytest.fixture(scope="module")
def picture():
    random = np.random.default_rng(3)
    return (random.random((6, 8, 3)) * 255).astype(np.uint8).repeat(30, 0).repeat(40, 1)


@pytest.mark.parametrize(("make", "side"), [(_d_fine, 128), (_rf_detr, 112)])
def test_people_are_those_of_the_library(tmp_path, picture, make, side, monkeypatch):
    torch.manual_seed(4)
    network = make().eval()
    path = _write(network, tmp_path / "detectors" / "mine", side)
    assert detectors.detector_file(tmp_path, "mine") == path
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("a connection"))
    run = runtime.start("cpu")
    photos = [Photo(picture, None, "a"), Photo(picture[:, :200].copy(), None, "b")]
    found = detectors.file_finder(path, run, Thresholds(0.0, 1.0))(photos, run)
    inputs = RTDetrImageProcessor(size={"height": side, "width": side})(images=[picture], return_tensors="pt")
    with torch.inference_mode():
        answer = network(**inputs)
    scores = torch.sigmoid(answer.logits[0]).flatten()
    best = torch.argsort(scores, descending=True)[: len(answer.logits[0])]
    mine = best[best % 3 == 1]
    middles, sizes = answer.pred_boxes[0, mine // 3].split(2, -1)
    corners = torch.cat([middles - sizes / 2, middles + sizes / 2], -1).clamp(0, 1) * torch.tensor([320, 180, 320, 180])
    large = (corners[:, 2:] - corners[:, :2] >= 1).all(-1)
    assert len(found[0]) == large.sum() > 3
    np.testing.assert_allclose([one.score for one in found[0]], scores[mine[large]].numpy(), atol=1e-5)
    np.testing.assert_allclose([one.box for one in found[0]], corners[large].numpy(), atol=1e-2)
    boxes = np.array([one.box for one in found[1]])
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 200 and boxes[:, 3].max() <= 180
    middle = (found[0][2].score + found[0][3].score) / 2
    (sure, _) = detectors.file_finder(path, run, Thresholds(middle, 1.0))(photos, run)
    assert len(sure) == 3


def test_what_does_not_belong_together_is_refused(tmp_path):
    run = runtime.start("cpu")
    path = _write(_d_fine(), tmp_path / "mine", 64)
    file = path.parent / "config.json"
    config = json.loads(file.read_text())
    for change, sentence in (
        ({"decoder_ffn_dim": 24}, "does not belong to the config.json"),
        ({"id2label": {"0": "tree", "1": "cat", "2": "dog"}}, "no people among its classes"),
        ({"model_type": "bert"}, "finds no people here"),
    ):
        file.write_text(json.dumps(config | change))
        with pytest.raises(BadModelFile, match=sentence):
            described.described_finder(path, run, Thresholds())
    file.write_text("{")
    with pytest.raises(BadModelFile, match="cannot be read"):
        described.described_finder(path, run, Thresholds())
    file.write_text(json.dumps(config))
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(BadModelFile, match="cannot be loaded"):
        described.described_finder(path, run, Thresholds())
