# SPDX-License-Identifier: GPL-3.0-or-later
"""Cutting out by clicks, a box and a rough mask, against shapes that are known; SAM 2.1 as the library computes it."""

import cv2
import numpy as np
import pytest
import torch
from maquette import inference
from maquette.inference import BadInput, NothingFound, Photo, cut_out
from maquette.inference.photo import Clip
from maquette.inference.registry import find_model
from maquette.inference.runtime import start
from maquette.inference.segment import sam2, sam2_film, track
from maquette.inference.segment.prompt import Prompt
from safetensors.torch import save_file

SIZE = 240, 180


def picture(u=120, v=95, gone=False):
    """A red blob with texture on green with texture; returns pixels and the blob."""
    random = np.random.default_rng(4)
    noise = cv2.GaussianBlur(random.normal(0, 60, (SIZE[1], SIZE[0], 3)), (0, 0), 2)
    blob = np.zeros(SIZE[::-1], np.uint8)
    if not gone:
        cv2.ellipse(blob, (u, v), (45, 30), 20, 0, 360, 1, -1)
        cv2.circle(blob, (u + 30, v - 25), 16, 1, -1)
    colours = np.where(blob[..., None] > 0, (190, 70, 60), (70, 140, 80))
    return np.clip(colours + noise, 0, 255).astype(np.uint8), blob > 0


PIXELS, BLOB = picture()


def overlap(found, truth):
    inside = found.mask > 0.5
    return (inside & truth).sum() / (inside | truth).sum()


PROMPTS = {
    "a click": {"points": [[120, 95]]},
    "clicks": {"points": [[120, 95], [150, 70], [30, 30, 0]]},
    "a box": {"box": [66, 45, 172, 135]},
    "a box drawn backwards": {"box": [172, 135, 66, 45]},
    "a rough mask": {"mask": cv2.dilate(BLOB.astype(np.uint8), np.ones((9, 9))) > 0},
    "a painted mask": {"mask": np.uint8(255) * cv2.erode(BLOB.astype(np.uint8), np.ones((9, 9)))},
}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_the_built_in_way_finds_the_shape(prompt, tmp_path):
    found = cut_out(PIXELS, models_dir=tmp_path, **prompt)
    assert overlap(found, BLOB) > 0.95 and found.model == "builtin"
    assert found.mask.shape == SIZE[::-1] and found.mask.dtype == np.float32
    assert found.mask.min() >= 0 and found.mask.max() <= 1


def test_a_click_takes_one_of_two_and_a_large_photo_is_as_sharp():
    other = np.concatenate([PIXELS, PIXELS[:, ::-1]], 1)
    found = cut_out(other, "builtin", points=[[120, 95]])
    assert overlap(found, np.concatenate([BLOB, np.zeros_like(BLOB)], 1)) > 0.95
    large = cv2.resize(PIXELS, None, fx=5, fy=5, interpolation=cv2.INTER_CUBIC)
    found = cut_out(large, "builtin", points=[[600, 475]])
    assert overlap(found, cv2.resize(BLOB.astype(np.uint8), None, fx=5, fy=5) > 0) > 0.95


def test_what_cannot_be_meant_is_told():
    wrong = [
        {},
        {"points": [[120, 95, 0]]},
        {"points": [[300, 95]]},
        {"points": [[float("nan"), 2]]},
        {"points": "here"},
        {"points": [[1, 2, 3, 4]]},
        {"box": [5, 5, 5, 90]},
        {"box": [1, 2, 3]},
        {"mask": np.ones((4, 4))},
        {"mask": np.zeros(SIZE[::-1])},
    ]
    for prompt in wrong:
        with pytest.raises(BadInput) as told:
            cut_out(PIXELS, "builtin", **prompt)
        assert told.value.remedy
    flat = np.full((100, 100, 3), 90, np.uint8)
    cut_out(flat, "builtin", points=[[50, 50]])  # anything, but no crash


def test_a_mask_from_a_file(tmp_path):
    path = tmp_path / "rough.png"
    cv2.imwrite(str(path), np.uint8(255) * BLOB)
    assert overlap(cut_out(PIXELS, "builtin", mask=path), BLOB) > 0.95


def test_followed_through_a_film_until_it_is_gone():
    steps = [(80 + 6 * number, 95 - 2 * number) for number in range(6)]
    frames = [Photo(picture(*place)[0], name=f"f{number}") for number, place in enumerate(steps)]
    frames.append(Photo(picture(gone=True)[0], name="f6"))
    clip = Clip("film", len(frames), 24.0, lambda: iter(frames))
    found = list(track.follow(clip, "builtin", points=[list(steps[0])]))
    assert [photo.name for photo, _ in found] == [photo.name for photo in frames]
    for (_, one), place in zip(found[:6], steps, strict=True):
        assert overlap(one, picture(*place)[1]) > 0.9
    last = found[6][1]
    assert isinstance(last, NothingFound) or (last.mask > 0.5).mean() < 0.02
    with pytest.raises(BadInput):
        next(track.follow(clip, "builtin"))


def test_a_model_with_a_memory_follows_by_it(monkeypatch):
    """Its first cut-out begins, further frames need no prompts; what is out of sight is told, and may come back."""
    asked = []

    class Memory:
        def __init__(self, photo, found, run):
            asked.append((photo.name, found.model, run.model.id))

        def next(self, photo, options):
            asked.append((photo.name, options["resolution"], options["edges"]))
            if photo.name == "f1":
                raise NothingFound("It is out of sight.")
            return "cut"

    monkeypatch.setattr(sam2_film, "Follower", Memory)
    monkeypatch.setattr(sam2, "cut_out", lambda photo, run, options: cut_out(photo, "builtin", points=[[120, 95]]))
    frames = [Photo(PIXELS, name=f"f{number}") for number in range(3)]
    clip = Clip("film", 3, 24.0, lambda: iter(frames))
    found = [one for _, one in track.follow(clip, "sam2.1-small", points=[[120, 95]], resolution=64, device="cpu")]
    assert asked == [("f0", "sam2.1-small", "sam2.1-small"), ("f1", 64, "model"), ("f2", 64, "model")]
    assert overlap(found[0], BLOB) > 0.95 and isinstance(found[1], NothingFound) and found[2] == "cut"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A file with the published names, the memory's among them, and random weights."""
    from transformers import Sam2VideoConfig, Sam2VideoModel

    root = tmp_path_factory.mktemp("sam")
    torch.manual_seed(0)
    path = root / find_model("segment", "sam2.1-tiny").files[0].path
    path.parent.mkdir()
    network = Sam2VideoModel(Sam2VideoConfig())
    save_file({name: tensor.contiguous().clone() for name, tensor in network.state_dict().items()}, path)
    yield root
    inference.free_memory()


@pytest.mark.full
def test_sam_sees_photo_and_prompt_as_the_library_does(tiny):
    """Photo, points and box reach the network where its own processor puts them."""
    from transformers import Sam2ImageProcessor, Sam2Processor

    root = tiny
    run = start("cpu", models_dir=root, model=find_model("segment", "sam2.1-tiny"))
    network = sam2._kept(run)
    processor = Sam2Processor(Sam2ImageProcessor())
    half = 0.5 * SIZE[0] / sam2.SIDE, 0.5 * SIZE[1] / sam2.SIDE  # it counts from the middle of the first pixel
    places = np.array([[120, 95], [30, 30], [66, 45], [172, 135]]) - half
    asked = {"input_points": [[places[:2].tolist()]], "input_labels": [[[1, 0]]]}
    asked["input_boxes"] = [[places[2:].ravel().tolist()]]
    given = processor(images=PIXELS, return_tensors="pt", **asked)
    given.pop("original_sizes")
    with torch.inference_mode():
        expected = network(**given, multimask_output=False)
    options = {"points": [[120, 95, 1], [30, 30, 0]], "box": [66, 45, 172, 135], "mask": None}
    prompt = Prompt.of(Photo(PIXELS), options)
    found, score = sam2._masks(network, sam2._features(network, PIXELS, run), prompt, SIZE, run)
    wanted = expected.pred_masks[0, 0, 0].numpy()
    assert np.abs(found - wanted).max() < 0.08 * wanted.std()
    assert np.abs(found - wanted).mean() < 0.015 * wanted.std()  # they enlarge the photo in whole levels
    assert score == pytest.approx(float(expected.iou_scores[0, 0, 0].clamp(0, 1)), abs=0.01)
    rough = Prompt.of(Photo(PIXELS), {"points": None, "box": None, "mask": BLOB})
    assert np.isfinite(sam2._masks(network, sam2._features(network, PIXELS, run), rough, SIZE, run)[0]).all()


@pytest.mark.full
def test_sam_follows_a_film_as_the_library_does(tiny):
    """Frame by frame, forgetting what is old, as it does with the whole film in memory; a mask begins."""
    from transformers import Sam2VideoInferenceSession

    films = [Photo(picture(80 + 12 * number, 95)[0]) for number in range(3)]
    run = start("cpu", models_dir=tiny, model=find_model("segment", "sam2.1-tiny"))
    first = cut_out(films[0], "builtin", points=[[80, 95]])
    follower = sam2_film.Follower(films[0], first, run)
    ours = [follower._seen(film) for film in films[1:]]
    network = follower._network
    frames = torch.stack([torch.from_numpy(sam2.picture(film.pixels)).permute(2, 0, 1) for film in films])
    session = Sam2VideoInferenceSession(frames, *SIZE[::-1], dtype=torch.float32)
    mask = cv2.resize(first.mask, (sam2.SIDE, sam2.SIDE)) > 0.5
    session.add_mask_inputs(session.obj_id_to_idx(1), 0, torch.from_numpy(mask)[None, None])
    session.obj_with_new_inputs = [1]
    with torch.inference_mode():
        whole = list(network.propagate_in_video_iterator(session, start_frame_idx=0))
    for (logits, score), wanted in zip(ours, whole[1:], strict=True):
        np.testing.assert_allclose(logits, wanted.pred_masks[0, 0], atol=1e-3 * float(wanted.pred_masks.abs().max()))
        assert score == pytest.approx(float(wanted.object_score_logits), abs=1e-3)
    kept = follower._session
    assert all(not one.numel() for one in kept.processed_frames.values())


def test_the_published_names_fit_the_network():
    """Files hold the network for films: what of it is no memory is the one that is used, to the last tensor."""
    from transformers import Sam2VideoConfig, Sam2VideoModel

    for size, megabytes in (("tiny", 155.9), ("small", 184.3)):
        with torch.device("meta"):
            backbone = {"backbone_config": sam2.Sam2HieraDetConfig(**sam2.SIZES[size])}
            published = Sam2VideoModel(Sam2VideoConfig(vision_config=sam2.Sam2VisionConfig(**backbone))).state_dict()
            ours = sam2.build(size).state_dict()
            film = sam2_film.build(size)
        assert sum(4 * one.numel() for one in published.values()) / 1e6 == pytest.approx(megabytes, abs=0.1)
        kept = sam2._without_memory(published)
        assert {name: one.shape for name, one in kept.items()} == {name: one.shape for name, one in ours.items()}
        computed = dict(film.named_buffers()).keys() - published.keys()
        assert film.state_dict().keys() == published.keys()
        assert computed and not any(film.get_buffer(name).is_meta for name in computed)
