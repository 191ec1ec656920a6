# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks that ship answer as the published ones do (golden file from LiteRT and TensorFlow.js, by
`tools/shipped/golden.py`)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from maquette.demo.samples import sample_photo
from maquette.inference import MaquetteError, free_memory
from maquette.inference.runtime.memory import kept_models
from maquette.inference.shipped import crops, detect, networks
from PIL import Image

GOLDEN = np.load(Path(__file__).parent / "golden" / "networks.npz")
#: What pose_landmark's rounded weights may lead from the published answers, in the mean of the landmarks that are seen
#: and of the mask: pixels of the crop (0.24 when this was written, 0.0002 by the float16 weights), metres (0.008),
#: share of the mask (0.015); and at most: of what the heat maps show (0.04), of how well a landmark is seen (0.07).
POSE_PIXELS, POSE_METRES, POSE_MASK, POSE_HEAT, POSE_SEEN = 0.5, 0.016, 0.03, 0.1, 0.15


def _photo(name: str) -> np.ndarray:
    return np.asarray(Image.open(sample_photo(name)).convert("RGB"))


def _input(name: str) -> torch.Tensor:
    crops = {
        "people_detection": ("astronaut", np.s_[::2, ::2]),
        "pose_landmark": ("astronaut", np.s_[::2, ::2]),
        "palm_detection": ("zidane", np.s_[260:644:2, 896:1280:2]),
        "hand_landmark": ("zidane", np.s_[330:554, 970:1194]),
    }
    photo, cut = crops[name]
    picture = _photo(photo)[cut].astype(np.float32) / 255
    picture = picture * 2 - 1 if name == "people_detection" else picture
    return torch.from_numpy(picture.transpose(2, 0, 1)[None].copy())


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -50, 50)))


def _output(name: str) -> list[np.ndarray]:
    return [output.numpy() for output in networks.load_network(name)(_input(name))]


@pytest.mark.parametrize("name", ["people_detection", "pose_landmark", "palm_detection", "hand_landmark"])
def test_what_is_made_faster_for_the_cpu_answers_as_it_does_without(name):
    plain = networks.Network(networks.ASSETS / f"{name}.npz")(_input(name))
    for packed, one in zip(_output(name), plain, strict=True):
        assert np.abs(packed - one.numpy()).max() < 1e-3 * max(1.0, np.abs(packed).max())


def test_the_palm_detector_answers_as_published():
    boxes, logits = _output("palm_detection")
    assert np.abs(logits[:, ::7] - GOLDEN["palm_detection_1"]).max() < 1e-3
    assert np.abs(boxes[:, ::7] - GOLDEN["palm_detection_0"]).max() < 0.01  # pixels of the crop
    assert logits.max() > 0.5, "the crop shows a hand, so this is no comparison of nothing with nothing"


def test_the_people_detector_answers_as_published_but_for_its_rounded_weights():
    maps = _output("people_detection")
    for number, value in enumerate(maps):
        golden = GOLDEN[f"people_detection_{number}"]
        assert np.abs(value[:, ::8, ::8] - golden).mean() < 0.1 * np.abs(golden).mean()
    (one,) = detect._read([value[0] for value in maps], crops.View(0, 0, 1, (256, 256)), 0.5)
    people = GOLDEN["people_detection_people"][0]
    top, left, bottom, right, _ = 256 * people[51:]
    assert np.abs(one.centre + one.size / 2 - (right, bottom)).max() < 0.02 * 256
    assert np.abs(one.centre - one.size / 2 - (left, top)).max() < 0.02 * 256
    seen = people[2:51:3] > 0.5
    assert np.linalg.norm(one.keypoints - 256 * people[:51].reshape(17, 3)[:, 1::-1], axis=1)[seen].max() < 0.05 * 256


def test_pose_landmarks_answer_as_published_but_for_their_rounded_weights():
    rows, score, mask, heat, world = _output("pose_landmark")
    golden = [GOLDEN[f"pose_landmark_{number}"] for number in range(5)]
    points, published = (one.reshape(39, 5) for one in (rows, golden[0]))
    visible, certain = (_sigmoid(one[:, 3:]).prod(1) for one in (points, published))
    seen = certain > 0.5
    assert seen.sum() > 12, "head, shoulders and hips of a half figure"
    assert np.abs(points - published)[seen, :2].mean() < POSE_PIXELS
    assert np.abs(visible - certain).max() < POSE_SEEN
    assert np.abs(world - golden[4]).reshape(39, 3)[seen].mean() < POSE_METRES
    assert np.abs(_sigmoid(mask[:, ::8, ::8]) - _sigmoid(golden[2])).mean() < POSE_MASK
    assert np.abs(_sigmoid(heat[:, ::8, ::8]) - _sigmoid(golden[3])).max() < POSE_HEAT
    assert abs(score[0, 0] - golden[1][0, 0]) < 1e-4 and score[0, 0] > 0.9


def test_hand_landmarks_answer_as_published():
    rows, score, right, world = _output("hand_landmark")
    assert np.abs(rows - GOLDEN["hand_landmark_0"]).max() < 0.01
    assert abs(score[0, 0] - GOLDEN["hand_landmark_1"][0, 0]) < 1e-5 and score[0, 0] > 0.5
    assert abs(right[0, 0] - GOLDEN["hand_landmark_2"][0, 0]) < 1e-5
    assert np.abs(world - GOLDEN["hand_landmark_3"]).max() < 1e-5


def test_a_batch_answers_as_its_pictures_do_alone():
    network = networks.load_network("hand_landmark")
    picture = _input("hand_landmark")
    alone = [network(one) for one in (picture, picture.flip(3))]
    together = network(torch.cat([picture, picture.flip(3)]))
    for number in range(4):
        assert torch.allclose(together[number], torch.cat([one[number] for one in alone]), atol=2e-3)


def test_outputs_that_are_not_wanted_are_left_out():
    network = networks.load_network("pose_landmark")
    every = network(_input("pose_landmark"))
    some = network(_input("pose_landmark"), (0, 4))
    assert len(some) == 2
    assert torch.equal(some[0], every[0]) and torch.equal(some[1], every[4])


def test_networks_stay_in_memory_until_it_is_freed():
    free_memory()
    network = networks.load_network("palm_detection")
    assert networks.load_network("palm_detection") is network
    assert ("builtin", "palm_detection", "cpu") in kept_models()
    free_memory()
    assert networks.load_network("palm_detection") is not network


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(MaquetteError, match=r"missing.*Install Maquette again"):
        networks.Network(tmp_path / "pose_landmark.npz")


def test_weights_come_back_from_their_sparse_storage():
    _, weights = networks.read_network(networks.ASSETS / "hand_landmark.npz")
    sparse = [weight for weight in weights.values() if weight.dim() == 4 and (weight == 0).float().mean() > 0.5]
    assert sparse, "the hand network's file holds sparse weights"
    assert all(torch.isfinite(weight).all() and weight.abs().sum() > 0 for weight in sparse)
