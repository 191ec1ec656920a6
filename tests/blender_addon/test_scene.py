# SPDX-License-Identifier: GPL-3.0-or-later
"""One press, one scene: what is in the collection, in one measure; a known set's depth stands in for a model."""

from __future__ import annotations

from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from maquette import inference
from maquette.blender_addon.builders.images import image as images
from maquette.blender_addon.builders.surfaces import meshes
from maquette.blender_addon.core import axes, jobs, roles
from maquette.demo.samples import sample_photo
from maquette.inference import scene
from maquette.inference.geometry.rasteriser import rasterise
from PIL import Image

pytestmark = pytest.mark.usefixtures("addon")


@pytest.fixture(scope="module")
def street(tmp_path_factory) -> str:
    """A man who stands in the street, by himself."""
    path = tmp_path_factory.mktemp("scene") / "street.png"
    with Image.open(sample_photo("bus")) as photo:
        photo.crop((0, 380, 300, 900)).resize((150, 260)).save(path)
    return str(path)


@pytest.fixture(scope="module")
def known(street) -> SimpleNamespace:
    """All as they are recovered, and a floor under the man's feet with a wall behind them, 10 % too large."""
    people = inference.recover_people(street)
    persons, camera = people.frames[0], people.camera
    height = float(np.percentile(persons[0].vertices[:, 1], 99.5))
    rays = camera.rays()
    with np.errstate(divide="ignore"):
        floor = np.where(rays[..., 1] > 0, height / rays[..., 1], np.inf)
    wall = 2 * max(person.vertices[:, 2].max() for person in persons)
    depth = np.minimum(floor, wall).astype(np.float32)
    drawn = [rasterise(person.vertices, people.body.faces, camera)[0] for person in persons]
    for one in drawn:
        depth = np.where((one > 0) & (one < depth), one, depth)
    man = (drawn[0] > 0) & (depth == drawn[0])
    return SimpleNamespace(depth=depth * np.float32(1.1), man=man, count=len(scene.seen(people)[0].frames[0]))


def test_one_collection_in_one_measure(street, known) -> None:
    images.new_image("known", np.repeat(known.depth[..., None], 4, -1), is_float=True, is_data=True)
    assert bpy.ops.maquette.reconstruct_scene(filepath=street, scene_depth="known") == {"FINISHED"}
    collection = bpy.data.collections["street.scene"]
    camera, relief = bpy.context.scene.camera, bpy.data.objects["street.relief"]
    inside = set(collection.all_objects)
    assert {camera, relief} < inside and camera.name not in bpy.context.scene.collection.objects
    bodies = [obj for obj in inside if roles.TRACK in obj and obj.type == "MESH"]
    assert len(bodies) == known.count and [one.name for one in collection.children] == ["street.people"]
    assert not [obj for obj in inside if obj.name.endswith(".floor")], "the relief shows the floor already"
    world = np.array(relief.matrix_world)
    places = meshes.positions(relief.data) @ world[:3, :3].T + world[:3, 3]
    low = places[np.abs(places[:, 2]) < 0.05 * camera.matrix_world.translation.z]
    assert len(low) > 0.1 * len(places), "the relief's floor is at height 0"
    body = min(bodies, key=lambda obj: obj[roles.TRACK])
    seen = body.evaluated_get(bpy.context.evaluated_depsgraph_get())
    own = np.array(seen.matrix_world)
    feet = meshes.positions(seen.data) @ own[:3, :3].T + own[:3, 3]
    assert abs(np.percentile(feet[:, 2], 0.5)) < 0.08
    background = relief.active_material.node_tree.nodes
    assert next(node.image.name for node in background if node.type == "TEX_IMAGE") == "street.background"
    mask = images.image_array(bpy.data.images["street.person.1.mask"])[..., 0]
    depth = images.image_array(bpy.data.images["street.depth"])[..., 0]
    assert mask.mean() > 0.02 and (mask > 0.5)[known.man].mean() > 0.95
    assert (depth[known.man] > known.depth[known.man]).mean() > 0.95, "what is behind him"
    outcome = jobs.outcome()
    assert outcome is not None and outcome.line.startswith("Built street.scene: ") and "To agree" in outcome.line
    assert "Model:" not in outcome.line and outcome.operator != "maquette.install_model"


def test_people_alone_stand_on_a_floor_and_the_rest_is_said_to_be_missing(street) -> None:
    bpy.ops.maquette.reconstruct_scene(filepath=street, person_masks=False)
    floor = bpy.data.objects["street.floor"]
    assert np.abs(meshes.positions(floor.data)[:, 2]).max() == 0 and "street.relief" not in bpy.data.objects
    outcome = jobs.outcome()
    assert outcome is not None and "Everything but the people was left out" in outcome.line
    assert (outcome.operator, dict(outcome.arguments)) == ("maquette.install_model", {"model": "depth/moge-2-small"})
    backdrop = bpy.data.objects["street.backdrop"]
    places = meshes.positions(backdrop.data)
    bodies = [obj for obj in bpy.data.objects if roles.TRACK in obj and obj.type == "MESH"]
    world = np.array(backdrop.matrix_world)
    lowest = (places @ world[:3, :3].T + world[:3, 3])[:, 2].min()
    assert bodies and lowest > -0.05, "it ends at the floor"
    nodes = backdrop.active_material.node_tree.nodes
    assert next(node.image.name for node in nodes if node.type == "TEX_IMAGE") == "street.background"
    assert axes.world_from_camera_of(bpy.context.scene.camera)[2, 3] > 0.3
    with pytest.raises(RuntimeError, match="not a float image"):
        bpy.ops.maquette.reconstruct_scene(filepath=street, scene_depth="gone")


def test_a_photo_of_nobody_stands_as_a_backdrop_and_offers_a_model() -> None:
    bpy.ops.maquette.reconstruct_scene(filepath=str(sample_photo("brick")))
    outcome = jobs.outcome()
    assert outcome is not None and "Everything but the camera was left out" in outcome.line
    assert outcome.operator == "maquette.install_model" and not outcome.failed
    backdrop, camera = bpy.data.objects["brick.backdrop"], bpy.context.scene.camera
    assert backdrop.parent == camera and {backdrop, camera} == set(bpy.data.collections["brick.scene"].objects)
    # seen from the camera it fills the photo's frame
    corners = meshes.positions(backdrop.data)
    assert np.ptp(corners[:, 0]) / -corners[0, 2] == pytest.approx(
        camera.data.sensor_width / camera.data.lens, rel=1e-3
    )
