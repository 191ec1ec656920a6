# SPDX-License-Identifier: GPL-3.0-or-later
"""Image passes of a real photo through the operator: images, what acts on which pass, and what is refused."""

from __future__ import annotations

import bpy
import numpy as np
import pytest
from maquette import inference
from maquette.blender_addon.builders.images import image as images
from maquette.blender_addon.core import jobs, roles
from maquette.blender_addon.tasks.preprocessors import TASK
from maquette.blender_addon.tasks.preprocessors.settings import TYPED
from maquette.demo.samples import sample_photo
from maquette.installer.models import catalogue

pytestmark = pytest.mark.usefixtures("addon")


@pytest.fixture(scope="module")
def wall(tmp_path_factory) -> str:
    from PIL import Image

    path = tmp_path_factory.mktemp("Mauer") / "wall.png"
    with Image.open(sample_photo("brick")) as photo:
        photo.crop((0, 0, 120, 80)).save(path)
    return str(path)


def made(path: str, **options) -> np.ndarray:
    """The new image's pixels (h, w, 3), 0..255."""
    assert bpy.ops.maquette.make_map(filepath=path, **options) == {"FINISHED"}
    line = jobs.outcome().line
    assert line.startswith("Made the image ")
    return np.rint(images.image_array(bpy.data.images[line.removeprefix("Made the image ")])[..., :3] * 255)


def test_the_image_is_what_inference_makes(wall) -> None:
    expected = inference.make_map(wall, "canny", resolution=64, thresholds=(40, 90)).image
    np.testing.assert_array_equal(made(wall, resolution=64, edge_low=40, edge_high=90), expected)
    image = bpy.data.images["wall.canny"]
    assert image.packed_file and image[roles.ROLE] == "map" and image[roles.LICENCE] == "GPL-3.0-or-later"
    assert image.colorspace_settings.name == "sRGB" and expected.std() > 1


def test_each_call_makes_an_image_of_its_own(wall) -> None:
    one, other = (made(wall, model="content-shuffle", resolution=0, seed=seed) for seed in (1, 2))
    assert one.shape == other.shape == (80, 120, 3) and (one != other).any()
    assert {"wall.content-shuffle", "wall.content-shuffle.001"} <= set(bpy.data.images.keys())


def test_an_open_image(wall) -> None:
    photo = bpy.data.images.load(wall)
    assert bpy.ops.maquette.make_map(image=photo.name, model="lineart-standard", resolution=0, blur=3) == {"FINISHED"}
    expected = inference.make_map(wall, "lineart-standard", resolution=0, thresholds=(3, 8)).image
    name = jobs.outcome().line.removeprefix("Made the image ")
    np.testing.assert_array_equal(np.rint(images.image_array(bpy.data.images[name])[..., :3] * 255), expected)


def test_what_acts_on_which_pass_is_known() -> None:
    passes = {model.id for model in catalogue.models("maps")}
    assert {model for option in TASK.settings for model in option.models} <= passes
    assert {name for pair in TYPED.values() for name in pair} <= set(TASK.settings.names)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "hed"}, "ControlNetHED.pth"),
        ({"edge_low": 200, "edge_high": 100}, "must not exceed"),
    ],
)
def test_what_is_refused_leaves_nothing(wall, monkeypatch, tmp_path, options, said) -> None:
    monkeypatch.setenv("MAQUETTE_MODELS", str(tmp_path))
    before = len(bpy.data.images)
    with pytest.raises(RuntimeError, match=said):
        bpy.ops.maquette.make_map(filepath=wall, **options)
    assert len(bpy.data.images) == before


class Drawn:
    """Stands where Blender's layout does, and notes what is drawn."""

    def __init__(self, shown: list[str]) -> None:
        self.shown = shown

    def prop(self, settings, name: str, **_) -> None:
        assert name in settings.bl_rna.properties
        self.shown.append(name)

    def operator(self, name: str, **_):
        self.button = bpy.context.window_manager.operator_properties_last(name)
        return self.button

    def column(self, **_):
        return self

    row = column


@pytest.mark.parametrize("model", [model.id for model in catalogue.models("maps")])
def test_the_panel_shows_what_acts(model) -> None:
    (panel,) = TASK.panels
    settings = bpy.context.scene.maquette
    settings.maps.model, settings.maps.edge_low = model, 33
    layout = Drawn([])
    type("Panel", (panel,), {"task": TASK})().draw_into(layout, settings)
    expected = {"model", "resolution", *TYPED.get(model, ())}
    expected |= {"safe"} if model in {"hed", "pidinet"} else set()
    expected |= {"scribble"} if model in {"hed", "pidinet", "teed"} else set()
    expected |= {"seed"} if model == "content-shuffle" else set()
    assert set(layout.shown) == expected
    assert layout.button.model == model and layout.button.edge_low == 33
