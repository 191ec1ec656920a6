# SPDX-License-Identifier: GPL-3.0-or-later
"""Cutting out in Blender: masks as every other mask, the card on the floor, clips, and the prompts."""

from __future__ import annotations

import json
from types import SimpleNamespace

import bpy
import cv2
import numpy as np
import pytest
from maquette.blender_addon.builders.camera import matched
from maquette.blender_addon.builders.images import image as images
from maquette.blender_addon.builders.surfaces import meshes
from maquette.blender_addon.core import jobs, roles
from maquette.blender_addon.tasks.segment import pick
from maquette.blender_addon.tasks.shared import picking
from maquette.inference.photo import as_photo

pytestmark = pytest.mark.usefixtures("addon")

WIDTH, HEIGHT = 160, 120


def picture(u: int) -> tuple[np.ndarray, np.ndarray]:
    """A red disc on green, low in the picture."""
    noise = cv2.GaussianBlur(np.random.default_rng(4).normal(0, 50, (HEIGHT, WIDTH, 3)), (0, 0), 2)
    disc = np.zeros((HEIGHT, WIDTH), np.uint8)
    cv2.circle(disc, (u, 80), 22, 1, -1)
    red, green = np.add(np.roll(noise, u, 1), (190, 70, 60)), np.add(noise, (70, 140, 80))
    return np.clip(np.where(disc[..., None] > 0, red, green), 0, 255), disc > 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("discs")
    for number in range(3):
        cv2.imwrite(str(root / f"disc_{number + 1:02d}.png"), picture(60 + 8 * number)[0][..., ::-1])
    return root


@pytest.fixture
def photo(folder) -> str:
    return str(folder / "disc_01.png")


CLICK = json.dumps([[60, 80, 1]])


def overlap(name: str, u: int = 60) -> float:
    found, disc = images.image_array(bpy.data.images[name])[..., 0] > 0.5, picture(u)[1]
    return (found & disc).sum() / (found | disc).sum()


def line() -> str:
    outcome = jobs.outcome()
    assert outcome is not None
    return outcome.line


def test_a_click_a_box_and_a_painted_mask(photo) -> None:
    bpy.ops.maquette.cut_out(filepath=photo, points=CLICK)
    assert overlap("disc_01.mask") > 0.93 and line().startswith("Made the image disc_01.mask. Model: Colours and edges")
    assert bpy.data.images["disc_01.mask"][roles.ROLE] == "mask"
    bpy.ops.maquette.cut_out(filepath=photo, box="[34, 54, 88, 106]")
    assert overlap("disc_01.mask.001") > 0.93
    with pytest.raises(RuntimeError, match="Nothing says what is to be cut out"):
        bpy.ops.maquette.cut_out(filepath=photo)
    rough = images.mask_image("rough", cv2.dilate(picture(60)[1].astype(np.float32), np.ones((7, 7))))
    bpy.context.scene.tool_settings.image_paint.canvas = rough
    bpy.ops.maquette.cut_out(filepath=photo)
    assert overlap("disc_01.mask.002") > 0.93
    with pytest.raises(RuntimeError, match="no image called"):
        bpy.ops.maquette.cut_out(filepath=photo, mask="gone")


def test_a_card_stands_on_the_floor_and_matches_the_photo(photo) -> None:
    bpy.ops.maquette.cut_out(filepath=photo, points=CLICK, card=True)
    card, camera = bpy.data.objects["disc_01.card"], bpy.context.scene.camera
    assert card.parent == camera and line().startswith("Made the image disc_01.mask and the card disc_01.card")
    world = np.array(card.matrix_world)
    places = meshes.positions(card.data) @ world[:3, :3].T + world[:3, 3]
    assert abs(places[:, 2].min()) < 0.02, "its lower edge is on the floor"
    seen = matched.intrinsics_of(camera, WIDTH, HEIGHT)
    local = meshes.positions(card.data) * (1, -1, -1)
    pixels = seen.project(local.astype(float))
    uvs = np.empty(8, np.float32)
    card.data.uv_layers[0].uv.foreach_get("vector", uvs)
    np.testing.assert_allclose(pixels / (WIDTH, HEIGHT), uvs.reshape(4, 2) * (1, -1) + (0, 1), atol=1e-4)
    assert pixels[:, 0].min() < 38 and pixels[:, 0].max() > 82
    links = {link.to_socket.name: link.from_node.image.name for link in card.active_material.node_tree.links
             if link.from_node.type == "TEX_IMAGE"}  # fmt: skip
    assert links["Alpha"] == "disc_01.mask" and links["Base Color"].startswith("disc_01.colours")
    mask, colours = (images.image_array(bpy.data.images[links[name]])[..., :3] for name in ("Alpha", "Base Color"))
    soft = (mask[..., 0] > 0.1) & (mask[..., 0] < 0.5)
    assert soft.any() and (colours[soft][:, 0] > colours[soft][:, 1]).mean() > 0.9, "red at its rim, not green"


def test_soft_edges_reach_the_card_the_mask_and_the_points(photo, monkeypatch) -> None:
    """Of a model that needs no click, what it says of each pixel; and what it notes is told."""
    import maquette.inference
    from maquette.inference.results import CutOut

    alpha = np.clip(1.5 - np.hypot(*(np.indices((HEIGHT, WIDTH)) - np.array([80, 60])[:, None, None])) / 40, 0, 1)
    alpha = alpha.astype(np.float32)
    monkeypatch.setattr(
        maquette.inference, "cut_out",
        lambda photo, model, **_: CutOut(alpha, 1, photo.camera_or_default(), alpha, model, ("It is soft.",)),
        raising=False,
    )  # fmt: skip
    bpy.context.scene.tool_settings.image_paint.canvas = bpy.data.images.new("another", 8, 8)
    bpy.ops.maquette.cut_out(filepath=photo, model="birefnet", card=True)
    assert line().endswith(". It is soft")
    mask = next(one for one in bpy.data.images if one.name.startswith("disc_01.mask"))
    np.testing.assert_allclose(images.image_array(mask)[..., 0], alpha, atol=1 / 255)
    card = next(one for one in bpy.data.objects if one.name.startswith("disc_01.card"))
    uvs = np.empty(8, np.float32)
    card.data.uv_layers[0].uv.foreach_get("vector", uvs)
    assert uvs[::2].min() * WIDTH < 60 - 58, "the card holds what is soft too"
    bpy.ops.mesh.primitive_plane_add(size=2, location=(0, 3, 0.4), rotation=(np.pi / 2, 0, 0))
    bpy.ops.mesh.subdivide(number_cuts=20) if bpy.ops.mesh.subdivide.poll() else None
    plane = bpy.context.object
    bpy.ops.maquette.cut_out(filepath=photo, model="birefnet", masks="ATTRIBUTE")
    values = np.array([one.value for one in plane.data.attributes["disc_01.mask"].data])
    assert ((values > 0) & (values < 1)).any()


def test_masks_go_where_all_masks_go(photo) -> None:
    bpy.ops.mesh.primitive_plane_add(size=2)
    plane = bpy.context.object
    bpy.ops.maquette.cut_out(filepath=photo, points=CLICK, masks="PAINT_SLOT")
    assert "paint layer" in line() and plane.name in line()
    bpy.ops.maquette.cut_out(filepath=photo, points=CLICK, masks="GREASE_PENCIL")
    assert "outline" in line()


def test_a_clip_is_followed(folder, tmp_path) -> None:
    bpy.ops.wm.save_as_mainfile(filepath=str(tmp_path / "scene.blend"))
    options = {"filepath": str(folder / "disc_##.png"), "points": CLICK, "frames": "CLIP", "start_frame": 5}
    with pytest.raises(RuntimeError, match="image sequence"):
        bpy.ops.maquette.cut_out(**options, masks="PAINT_SLOT")
    bpy.ops.maquette.cut_out(**options, card=True)
    files = sorted(tmp_path.rglob("*.png"))
    assert [file.name[-8:] for file in files] == ["0005.png", "0006.png", "0007.png"]
    for number, file in enumerate(files):
        found, disc = cv2.imread(str(file), 0) > 127, picture(60 + 8 * number)[1]
        assert (found & disc).sum() / (found | disc).sum() > 0.9
    assert "the sequence disc.mask and the card disc.card" in line()
    mask = bpy.data.images["disc.mask"]
    assert mask.source == "SEQUENCE" and bpy.data.objects["disc.card"].active_material is not None


def test_clicks_and_boxes_are_written_down() -> None:
    settings = SimpleNamespace(points="", box="")
    pick.marked(settings, (10.04, 20), (11, 21), wanted=True)
    pick.marked(settings, (30, 40), (30, 40), wanted=False)
    pick.marked(settings, (5, 6), (50, 60), wanted=True)
    assert json.loads(settings.points) == [[10.0, 20, 1], [30, 40, 0]] and json.loads(settings.box) == [5, 6, 50, 60]


def test_clicks_in_a_viewport_that_does_not_look_through_the_photos_camera_open_the_photo(monkeypatch) -> None:
    """It is not to be seen there. The clicking starts in its editor."""
    photo = bpy.data.images.new("photo", 8, 8)
    bpy.context.scene.maquette.image = photo
    opened = []
    monkeypatch.setattr(pick, "open_image", lambda image, scene, then: opened.append((image, then)))
    monkeypatch.setattr(pick, "bpy", SimpleNamespace(app=SimpleNamespace(background=False), data=bpy.data))
    clicked = SimpleNamespace(camera="")
    view = SimpleNamespace(region_3d=SimpleNamespace(view_perspective="PERSP"))
    context = SimpleNamespace(area=SimpleNamespace(type="VIEW_3D"), scene=bpy.context.scene, space_data=view)
    assert pick.MAQUETTE_OT_pick_segment.invoke(clicked, context, None) == {"FINISHED"}
    assert opened == [(photo, "pick_segment")]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_clicks_on_a_photo_that_blender_shows_turned_are_those_of_the_upright_one(tmp_path, orientation) -> None:
    from PIL import Image

    stored = Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 14, 3), np.uint8))
    stored.getexif()[0x0112] = orientation
    stored.save(tmp_path / "phone.png", exif=stored.getexif())
    shown, photo = bpy.data.images.load(str(tmp_path / "phone.png")), as_photo(tmp_path / "phone.png")
    assert tuple(shown.size) == (14, 9)
    u, v = picking.photo_pixel(shown, (3.5 / 14, 1 - 2.5 / 9))
    assert photo.pixels[int(v), int(u)].tolist() == list(stored.getpixel((3, 2)))
    assert picking.shown_place(shown, (u, v)) == pytest.approx((3.5 / 14, 1 - 2.5 / 9))
    height, width = photo.pixels.shape[:2]
    assert picking.upright_place(shown, (3.5 / 14, 1 - 2.5 / 9)) == pytest.approx((u / width, 1 - v / height))
    shown.pixels[0] = 1.0  # painted on, it is read as it is shown
    assert picking.photo_pixel(shown, (3.5 / 14, 1 - 2.5 / 9)) == pytest.approx((3.5, 2.5))
