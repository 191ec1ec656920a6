# SPDX-License-Identifier: GPL-3.0-or-later
"""Which lens a result was seen through: in the closing line, on what was built, on the matched camera, in the panel."""

from __future__ import annotations

import bpy
import pytest
from maquette.blender_addon.builders.camera import matched
from maquette.blender_addon.builders.images import image
from maquette.blender_addon.core import jobs, roles, transaction
from maquette.blender_addon.tasks.shared.chosen import matched_camera
from maquette.demo.samples import sample_photo
from maquette.inference.camera import Camera
from PIL import Image

pytestmark = pytest.mark.usefixtures("addon")


@pytest.fixture(scope="session")
def astronaut(tmp_path_factory) -> str:
    """The photo, with EXIF data that say 28 mm."""
    path, exif = tmp_path_factory.mktemp("lens") / "astronaut.jpg", Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 28
    with Image.open(sample_photo("astronaut")) as photo:
        photo.convert("RGB").save(path, quality=95, exif=exif)
    return str(path)


def depth(path: str, **options) -> str:
    bpy.ops.maquette.estimate_depth(filepath=path, mesh_resolution=64, **options)
    return jobs.outcome().line


def test_a_photo_says_its_lens_itself(astronaut):
    line = depth(astronaut)
    assert "Lens: 28 mm from EXIF" in line and "The render is 512 x 512 now" in line
    made = bpy.context.scene.camera
    assert made[roles.LENS] == "exif" and made[roles.LENS_TEXT] == "28 mm from EXIF"
    assert bpy.data.objects["astronaut.relief"][roles.LENS] == "exif"
    assert bpy.data.images["astronaut.depth"][roles.LENS] == "exif"
    settings = bpy.context.scene.maquette
    settings.source, settings.filepath = "FILE", astronaut
    assert matched_camera(settings) == made
    settings.filepath = astronaut + ".other"
    assert matched_camera(settings) is None


def test_a_scene_of_other_units_is_told(astronaut):
    assert "Unit Scale" not in depth(astronaut, output="IMAGE")
    bpy.context.scene.unit_settings.scale_length = 0.01
    assert "A metre is one unit long, which the scene's Unit Scale shows as 0.01 m" in depth(astronaut)
    bpy.context.scene.unit_settings.system = "NONE"
    assert "Unit Scale" not in depth(astronaut, output="IMAGE")


def test_a_guess_says_what_to_do_and_gives_way_to_a_lens_that_is_known(evaluated):
    photo = str(sample_photo("astronaut"))
    assert "Lens: 55° guessed; choose a camera or type the focal length" in depth(photo)
    made = bpy.context.scene.camera
    assert made[roles.LENS] == "default"
    line = depth(photo, fx=800.0)
    assert "Lens: 56.2 mm as given" in line and "keeps its own" not in line and "The render" not in line
    assert made[roles.LENS] == "given" and matched.intrinsics_of(made, 512, 512).fx == pytest.approx(800)
    assert bpy.data.objects["astronaut.relief"][roles.LENS] == "default"
    # A new guess does not take it back, and says that it does not match.
    assert "keeps its own lens" in depth(photo)
    assert made[roles.LENS] == "given" and matched.intrinsics_of(made, 512, 512).fx == pytest.approx(800)
    # Nor does anything take the place of what the artist has set.
    made.data.lens = 90
    assert "keeps its own lens" in depth(photo, fx=700.0)
    assert made.data.lens == 90


def test_a_camera_of_the_scene_is_named_and_pixels_that_are_not_square_are_told():
    photo = str(sample_photo("astronaut"))
    own = bpy.data.objects.new("Own", bpy.data.cameras.new("Own"))
    own.data.lens, own.data.shift_x = 50, 0.1
    bpy.context.scene.collection.objects.link(own)
    bpy.context.scene.camera = own
    line = depth(photo, camera="Own")
    assert "Lens: 50 mm from the scene's camera" in line and "The render" not in line
    made = bpy.data.objects["astronaut.camera"]
    intrinsics = matched.intrinsics_of(made, 512, 512)
    assert (intrinsics.fx, intrinsics.cx) == pytest.approx((50 / 36 * 512, 256 - 51.2))
    render = bpy.context.scene.render
    assert (render.resolution_x, render.pixel_aspect_x) == (1920, 1)
    line = depth(photo, fx=600.0, fy=900.0)
    assert "pixel aspect differs from the render's; turn on Match Render Size" in line and render.pixel_aspect_x == 1
    line = depth(photo, fx=600.0, fy=900.0, match_render=True)
    assert "The render is 512 x 512 now, pixels 1.5 to 1" in line and render.pixel_aspect_x == 1.5


def test_a_job_that_fails_gives_the_old_lens_back(photo):
    picture = image.photo_image(photo)
    made = matched.matched_camera(Camera.default(160, 120), picture)
    with pytest.raises(RuntimeError), transaction.transaction():
        matched.matched_camera(photo.camera, picture)
        assert made[roles.LENS] == "given"
        raise RuntimeError
    assert made[roles.LENS] == "default"
    assert matched.intrinsics_of(made, 160, 120).fx == pytest.approx(Camera.default(160, 120).fx)
