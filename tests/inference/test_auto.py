# SPDX-License-Identifier: GPL-3.0-or-later
"""The model "auto": the best one installed, then the built-in ways in turn, and the result says who answered."""

from dataclasses import replace

import numpy as np
import pytest
from maquette import inference
from maquette.demo.samples import sample_photo
from maquette.inference import batch
from maquette.inference.depth import from_people, relief
from maquette.inference.errors import NothingFound
from maquette.inference.photo import Clip, Photo
from maquette.inference.registry import answering, find_model
from maquette.installer.models import catalogue

BRICKS = inference.load_photo(sample_photo("brick")).pixels[:96, :128]


def installed(root, *models):
    for task, name in models:
        for file in find_model(task, name).files:
            path = root / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"there")
    return root


def names(task, root):
    return [model.id for model in answering(task, "auto", root)]


def test_the_best_installed_model_comes_first(tmp_path):
    assert names("depth", tmp_path) == ["builtin", "relief"]
    installed(tmp_path, ("depth", "da3-small"), ("depth", "da3-metric"))
    assert names("depth", tmp_path) == ["da3-metric", "builtin", "da3-small", "relief"]
    installed(tmp_path, ("depth", "moge-2-small"))
    assert names("depth", tmp_path)[0] == names("normals", tmp_path)[0] == "moge-2-small"
    installed(tmp_path, ("depth", "moge-2-large"))
    assert names("depth", tmp_path)[:2] == ["moge-2-large", "moge-2-small"]
    assert [model.id for model in answering("depth", "relief", tmp_path)] == ["relief"]


def test_nobody_is_bound_by_a_licence_unasked(tmp_path):
    assert all(model.commercial is True for model in catalogue.models() if model.auto)
    installed(tmp_path, ("depth", "metric3d-vit-large"), ("hands", "meshgraphormer"), ("people", "hmr2"))
    assert names("depth", tmp_path)[0] == names("hands", tmp_path)[0] == names("people", tmp_path)[0] == "builtin"
    with pytest.raises(inference.UnknownModel):
        answering("maps", "auto", tmp_path)


def test_a_photo_without_people_gets_its_relief(tmp_path):
    found = inference.estimate_depth(BRICKS, models_dir=tmp_path)
    assert found.model == "relief" and not found.metric
    np.testing.assert_array_equal(found.depth, inference.estimate_depth(BRICKS, "relief").depth)
    with pytest.raises(NothingFound) as told:
        inference.estimate_depth(BRICKS, "builtin")
    assert told.value.operator == "maquette.install_model" and told.value.arguments == {"model": "depth/moge-2-small"}


@pytest.fixture
def people_at(monkeypatch):
    """Lets the built-in depth find people in the frames of these names alone, with a depth of 2 m."""

    def found(*with_people):
        def estimate(photo, run, options):
            if photo.name not in with_people:
                raise NothingFound("There is nobody in the photo.", "Choose another.")
            made = relief.estimate(photo, run, options)
            return replace(made, metric=True, depth=np.full_like(made.depth, 2))

        monkeypatch.setattr(from_people, "estimate", estimate)
        monkeypatch.delattr(from_people, "estimate_film", raising=False)

    return found


def frames():
    return [Photo(BRICKS, name=f"f{number}") for number in range(4)]


def test_a_film_is_answered_by_one_model(people_at, tmp_path):
    clip = Clip("clip", 4, 24.0, lambda: iter(frames()))
    people_at("f2")
    pairs = list(batch.each("depth", clip, models_dir=tmp_path))
    assert [photo.name for photo, _ in pairs] == ["f0", "f1", "f2", "f3"]
    assert [isinstance(result, NothingFound) for _, result in pairs] == [True, True, False, True]
    assert pairs[2][1].model == "builtin"
    people_at()
    assert [found.model for found in batch.estimate_depth(clip, models_dir=tmp_path)] == ["relief"] * 4


def test_photos_of_a_list_are_each_answered_for_themselves(people_at, tmp_path):
    people_at("f1")
    found = list(batch.estimate_depth(frames(), models_dir=tmp_path))
    assert [one.model for one in found] == ["relief", "builtin", "relief", "relief"]
    assert [one.metric for one in found] == [False, True, False, False]


def test_hands_and_people_say_who_answered(tmp_path):
    assert inference.refine_hands(BRICKS, models_dir=tmp_path).model == "builtin"
    assert inference.recover_people(BRICKS, models_dir=tmp_path).model == "builtin"
