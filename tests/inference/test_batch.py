# SPDX-License-Identifier: GPL-3.0-or-later
"""Many photos: in their order, the same as one by one, streamed, and with errors that say which."""

import numpy as np
import pytest
from maquette import inference
from maquette.demo.samples import sample_photo
from maquette.inference import batch
from maquette.inference.photo import EDGES_EVERY, LOOKED_AT, Clip, Photo

BRICKS = inference.load_photo(sample_photo("brick")).pixels[:96, :128]


def photos(count):
    return [Photo(np.roll(BRICKS, 7 * number, axis=1), name=f"shot{number}") for number in range(count)]


def test_the_same_as_one_by_one():
    together = list(batch.estimate_depth(photos(3), "relief", resolution=64))
    alone = [inference.estimate_depth(photo, "relief", resolution=64) for photo in photos(3)]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.depth, other.depth)
        np.testing.assert_array_equal(one.preview, other.preview)
    assert not np.array_equal(together[0].depth, together[1].depth)


def test_a_long_clip_streams():
    read, few = [], photos(6)

    def frames():
        for number in range(200):
            read.append(number)
            yield few[number % 6]

    results = batch.estimate_depth(Clip("clip", 200, 24.0, frames), "relief", resolution=64)
    assert read == []
    next(results)
    assert len(read) <= LOOKED_AT * EDGES_EVERY * 24 + batch.BATCH_SIZE, "straight edges are looked for at first"


def test_progress_runs_once_from_start_to_end():
    told = []
    list(batch.estimate_depth(photos(3), "relief", resolution=64, progress=lambda *said: told.append(said)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares) and shares[0] >= 0 and shares[-1] <= 1
    assert [text for _, text in told if text.startswith("Photo")] == [f"Photo {number} of 3" for number in (1, 2, 3)]


def test_an_error_says_which_photo(tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    results = batch.estimate_depth([photos(1)[0], broken], "relief", resolution=64)
    next(results)
    with pytest.raises(inference.BadInput, match=r"Photo 2: .*broken\.png"):
        next(results)


def test_cancelling_stops_at_once():
    def stop(share, text):
        if "2 of" in text:
            raise inference.Cancelled

    results = batch.estimate_depth(photos(3), "relief", resolution=64, progress=stop)
    next(results)
    with pytest.raises(inference.Cancelled):
        next(results)


@pytest.mark.parametrize("size", [0, -1, 1.5, True])
def test_a_batch_size_that_is_none(size):
    with pytest.raises(inference.BadInput, match="batch_size must be a whole number"):
        batch.estimate_depth(photos(1), "relief", batch_size=size)


def test_an_unknown_model_is_named_before_anything_is_read():
    with pytest.raises(inference.UnknownModel):
        batch.estimate_normals(iter(()), "nothing")


def test_nothing_to_work_on():
    with pytest.raises(inference.BadInput, match="no photo"):
        batch.estimate_depth([], "relief")
