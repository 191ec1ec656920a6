# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers that one Blender's tests leave for the others': only to the very same question, and with the same content."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maquette import inference
from maquette.inference import Camera, Clip, Photo
from maquette.inference.people import blazepose_anny

sys.path.insert(0, str(Path(__file__).parent))
from answers import Answers, digest

PHOTO = Photo(np.full((48, 64, 3), 90, np.uint8), Camera(50, 50, 32, 24, 64, 48), "grey")
CLIP = Clip("clip", 2, 24.0, lambda: iter([PHOTO, PHOTO]))


@pytest.mark.parametrize(
    "other",
    [
        replace(PHOTO, pixels=np.pad(PHOTO.pixels[:-1], ((0, 1), (0, 0), (0, 0)))),
        replace(PHOTO, pixels=PHOTO.pixels.reshape(64, 48, 3), camera=None),
        replace(PHOTO, camera=None),
        replace(PHOTO, camera=Camera(50, 51, 32, 24, 64, 48)),
        replace(PHOTO, name="gray"),
        CLIP,
        Clip("clip", 2, 25.0, lambda: iter([PHOTO, PHOTO])),
        Clip("clip", 1, 24.0, lambda: iter([PHOTO])),
        [PHOTO],
        {"boxes": None},
        {"boxes": [(1, 2, 3, 4)]},
        {"boxes": [(1, 2, 3, 4.5)]},
        {"boxes": "None"},
        True,
        1,
        1.0,
    ],
)
def test_what_differs_has_another_digest(other) -> None:
    assert digest(other) == digest(other) != digest(PHOTO)
    others = [PHOTO, CLIP, [PHOTO, PHOTO], {"boxes": [(1, 2, 3, 5)]}, "1", 0]
    assert digest(other) not in {digest(one) for one in others if one is not other}


def test_what_has_no_digest_is_refused() -> None:
    with pytest.raises(TypeError):
        digest(object())


def test_all_read_what_one_wrote_unless_they_compute(tmp_path, monkeypatch) -> None:
    asked: list[int] = []
    real = blazepose_anny.recover

    def counted(clip, run, options):
        asked.append(1)
        return real(clip, run, options)

    counted.__module__ = real.__module__

    def people(answers: Answers, **options) -> inference.results.People:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(blazepose_anny, "recover", counted)
            answers.install(patch.setattr)
            return inference.recover_people(PHOTO, boxes=[[(10, 5, 50, 45)]], device="cpu", **options)

    first, other = Answers(tmp_path, writes=True), Answers(tmp_path, writes=False)
    made = people(first)
    assert len(asked) == 1 and len(list(tmp_path.iterdir())) == 1
    again = people(other)
    assert len(asked) == 1 and again.body is made.body
    assert digest(again.frames) == digest(made.frames) and made.frames[0]
    people(other, refine=True)
    other.computing = True
    people(other)
    people(first)
    assert len(asked) == 3
    first.computing = True
    people(first)
    assert len(asked) == 4 and len(list(tmp_path.iterdir())) == 1
