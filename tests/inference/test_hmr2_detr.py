# SPDX-License-Identifier: GPL-3.0-or-later
"""RT-DETR detectors: the network that a file's tensors describe, and its boxes, against the library's own loader,
network and processor. Small networks of random weights, in files with the published names."""

import re

import numpy as np
import pytest
import torch
from maquette.inference import BadModelFile, MissingModel, Photo, recover_people, runtime
from maquette.inference.people.hmr2 import detectors, detr
from maquette.inference.people.hmr2.find import Thresholds
from maquette.inference.shipped import search
from safetensors.torch import save_file
from transformers import (
    RTDetrConfig,
    RTDetrForObjectDetection,
    RTDetrImageProcessor,
    RTDetrResNetConfig,
    RTDetrV2Config,
    RTDetrV2ForObjectDetection,
)

#: The library's names -> those of the published files.
HISTORIC = (
    (r"self_attn\.o_proj\.", "self_attn.out_proj."),
    (r"\.mlp\.(fc[12])\.", r".\1."),
    (r"encoder\.aifi\.", "encoder.encoder."),
)


def _library(kind: str):
    """A small network: "v1", "v2" with plain blocks, or "deep" with bottlenecks."""
    torch.manual_seed(5)
    deep = kind == "deep"
    backbone = RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[32, 64, 96, 128] if deep else [8, 16, 24, 32],
        depths=[1, 2, 1, 1],
        layer_type="bottleneck" if deep else "basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    sizes = {
        "backbone_config": backbone,
        "encoder_in_channels": [64, 96, 128] if deep else [16, 24, 32],
        "encoder_hidden_dim": 32,
        "encoder_ffn_dim": 40,
        "hidden_expansion": 0.5 if deep else 1.0,
        "d_model": 64 if deep else 32,
        "decoder_in_channels": [32, 32, 32],
        "decoder_ffn_dim": 48,
        "decoder_layers": 2,
        "decoder_n_points": 3,
        "num_labels": 7,
        "num_queries": 40,
    }
    made = RTDetrForObjectDetection(RTDetrConfig(**sizes)) if kind == "v1" else None
    network = made or RTDetrV2ForObjectDetection(RTDetrV2Config(**sizes))
    with torch.no_grad():
        for value in network.parameters():
            if value.dim() > 1:
                value.normal_(0, 1.2 / value[0].numel() ** 0.5)
        for value in (*network.model.decoder.class_embed.parameters(), network.model.enc_score_head.bias):
            value.mul_(0.5)
    return network.eval()


def _write(network, path):
    """As files are published: what the network holds twice is there once, under its older names."""
    tensors = network.state_dict()
    twins = {f"model.decoder.{name}" for name in tensors}
    tensors = {name: tensor for name, tensor in tensors.items() if name not in twins}
    for pattern, old in HISTORIC:
        tensors = {re.sub(pattern, old, name): tensor for name, tensor in tensors.items()}
    save_file({name: tensor.clone().contiguous() for name, tensor in tensors.items()}, path)
    return path


@pytest.fixture(scope="module")
def picture():
    random = np.random.default_rng(3)
    return (random.random((6, 8, 3)) * 255).astype(np.uint8).repeat(30, 0).repeat(40, 1)


@pytest.mark.parametrize("kind", ["v1", "v2", "deep"])
def test_people_are_those_of_the_library(tmp_path, picture, kind, monkeypatch):
    library = _library(kind)
    path = _write(library, tmp_path / "mine.safetensors")
    inputs = RTDetrImageProcessor()(images=[picture], return_tensors="pt")
    queries = library.config.num_queries
    monkeypatch.setattr(detr, "_network", lambda shapes, make=detr._network: _with_queries(make(shapes), queries))
    with torch.inference_mode():
        answer = library(**inputs)
    scores, boxes = torch.sigmoid(answer.logits[0, :, 0]), answer.pred_boxes[0]
    order = torch.argsort(scores, descending=True)
    corners = torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], 1).clamp(0, 1)
    expected = (corners[order] * torch.tensor([320, 180, 320, 180])).numpy()
    run = runtime.start("cpu")
    (found,) = detr.detr_finder(path, run, Thresholds(0.0, 1.0))([Photo(picture, None, "p")], run)
    assert len(found) == queries
    np.testing.assert_allclose([one.score for one in found], scores[order].numpy(), atol=1e-4)
    apart = np.abs(np.array([one.box for one in found])[:, None] - expected[None]).max(-1)
    assert apart.min(0).max() < 0.1 and apart.min(1).max() < 0.1
    assert np.ptp(expected, axis=0).min() > 5 and found[0].score > found[-1].score, "they differ"


def _with_queries(network, queries):
    """The number of queries is no tensor's: files of the published sizes have 300."""
    network.config.num_queries = queries
    return network


def test_thresholds_drop_the_unsure_and_the_overlapping(tmp_path, picture):
    run = runtime.start("cpu")
    path = _write(_library("v2"), tmp_path / "mine.safetensors")
    photos = [Photo(picture, None, "a"), Photo(picture[:, :200].copy(), None, "b")]
    every = detr.detr_finder(path, run, Thresholds(0.0, 1.0))(photos, run)
    assert [len(found) for found in every] == [300, 300]
    middle = every[0][150].score
    (sure, _) = detr.detr_finder(path, run, Thresholds(middle, 1.0))(photos, run)
    assert len(sure) == 151
    (apart, _) = detr.detr_finder(path, run, Thresholds(0.0, 0.1))(photos, run)
    assert 0 < len(apart) < 300
    for one in every[1]:
        assert one.box[0] >= 0 and one.box[2] <= 200 and one.box[3] <= 180


def test_a_file_that_is_none_is_refused(tmp_path):
    run = runtime.start("cpu")
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(BadModelFile, match="not an RT-DETR"):
        detr.detr_finder(path, run, Thresholds())
    network = _library("v2")
    network.model.decoder.layers[1].mlp.fc2 = torch.nn.Linear(48, 31)
    with pytest.raises(BadModelFile, match="not an RT-DETR"):
        detr.detr_finder(_write(network, path), run, Thresholds())


def test_it_finds_the_built_in_people(tmp_path, monkeypatch, picture):
    folder = tmp_path / "detectors"
    folder.mkdir()
    _write(_library("v2"), folder / "mine.safetensors")
    assert detectors.detector_file(tmp_path).name == "mine.safetensors"
    assert detectors.detector_file(tmp_path, "mine.safetensors") == folder / "mine.safetensors"
    (folder / "rtdetr").mkdir()
    published = _write(_library("v2"), folder / "rtdetr" / "model.safetensors")
    assert detectors.detector_file(tmp_path, "rtdetr") == published
    with pytest.raises(MissingModel):
        detectors.detector_file(tmp_path, "other")
    asked: list[int] = []

    def find(pyramid, run, boxes=None, **_):
        asked.append(len(boxes))
        return []

    monkeypatch.setattr(search, "find_people", find)
    photo = Photo(picture, None, "p")
    recover_people(photo, device="cpu", detector=str(folder / "mine.safetensors"), det_iou_thresh=0.1)
    assert asked and asked[0] > 0, "its boxes are those that the pose network reads"
