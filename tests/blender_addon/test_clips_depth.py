# SPDX-License-Identifier: GPL-3.0-or-later
"""Depth and normals of whole clips through the operators: numbered pictures, and a relief that follows."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import bpy
import numpy as np
import pytest
from maquette import inference
from maquette.blender_addon.builders.images import image
from maquette.blender_addon.builders.masks import mask_sequence
from maquette.blender_addon.builders.surfaces import live, meshes, relief
from maquette.blender_addon.core import axes, jobs
from maquette.blender_addon.work import clip_maps
from maquette.blender_addon.work.scratch import Scratch
from maquette.demo.samples import sample_photo
from maquette.inference.camera import Camera
from maquette.inference.errors import BadInput
from maquette.inference.photo.exr import read_exr
from maquette.inference.results import DepthMap

pytestmark = pytest.mark.usefixtures("addon")

CAMERA = Camera(150.0, 150.0, 84.0, 57.0, 160, 120)
START = 5


@pytest.fixture(scope="module")
def shot(tmp_path_factory) -> str:
    """Four frames of a material photo that slides past, numbered from 7 on."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("a clip")
    with Image.open(sample_photo("brick")) as photo:
        for number in range(4):
            photo.crop((8 * number, 0, 8 * number + 96, 64)).save(folder / f"shot_{number + 7:03d}.png")
    return str(folder / "shot_###.png")


@pytest.fixture(scope="module")
def street(tmp_path_factory) -> str:
    """Two frames of a street with people."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("people")
    with Image.open(sample_photo("bus")) as photo:
        for number in range(2):
            photo.crop((0, 380 + 8 * number, 300, 900 + 8 * number)).resize((150, 260)).save(
                folder / f"street_{number + 1}.png"
            )
    return str(folder / "street_#.png")


@pytest.fixture
def saved(tmp_path):
    """The folder of a .blend that has been saved."""
    folder = tmp_path / "my scène"
    folder.mkdir()
    bpy.ops.wm.save_as_mainfile(filepath=str(folder / "scene.blend"))
    return folder


def depths() -> list[np.ndarray]:
    """A waving wall with a steep floor, a board that slides across it, and a sky without depth."""
    rows, columns = np.mgrid[:120, :160]
    made = []
    for number in range(4):
        depth = (3 + 0.1 * np.sin(columns / 20)).astype(np.float32)
        depth[70:] = np.minimum(depth[70:], 1.5 * 150 / (rows[70:] + 0.5 - 57))
        depth[30:60, 40 + 10 * number : 80 + 10 * number] = 2
        depth[:15] = 0
        made.append(depth)
    return made


def sequence_of(arrays: list[np.ndarray], folder: Path) -> bpy.types.Image:
    scratch = Scratch(folder)
    files = [scratch.write(f"{number}.exr", array) for number, array in enumerate(arrays)]
    return mask_sequence.sequence_image(files, name="street.depth", folder=folder, start_frame=START)


def at_frame(obj: bpy.types.Object, frame: int) -> tuple[np.ndarray, int]:
    """Vertices (V, 3) in the object's space after its modifiers, and the number of faces."""
    bpy.context.scene.frame_set(frame)
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    return meshes.positions(mesh), len(mesh.polygons)


def test_a_relief_follows_the_depth_of_every_frame(tmp_path) -> None:
    """Vertices lie at the depth of their own pixel, and the same ones are left out as of a photo's relief."""
    arrays = depths()
    obj = live.live_relief(CAMERA, sequence_of(arrays, tmp_path), name="street", resolution=None)
    for frame, index in ((START, 0), (START + 1, 1), (START + 3, 3), (1, 0), (START + 9, 3)):
        points, faces = at_frame(obj, frame)
        points = points * [1, -1, -1]  # the photo's axes
        depth = arrays[index]
        columns, rows = (points[:, :2] / points[:, 2:] * 150 + [84, 57]).astype(int).T
        np.testing.assert_array_equal(points[:, 2], depth[rows, columns])
        still = relief.relief_mesh(
            DepthMap(depth, depth > 0, None, CAMERA, True, depth), name="still", resolution=None, grazing=85.0
        )
        assert faces == len(still.data.polygons) and len(points) == len(still.data.vertices)


def test_a_moving_relief_coincides_with_the_photos_relief_in_the_world(tmp_path, photo, world, evaluated) -> None:
    from maquette.blender_addon.builders.camera import matched

    arrays = depths()
    eye = matched.matched_camera(CAMERA, image.photo_image(photo), world)
    options = {"camera_object": eye, "resolution": 40, "tear": 0.04, "grazing": 85.0}
    moving = live.live_relief(CAMERA, sequence_of(arrays, tmp_path), name="moving", **options)
    depth = arrays[2]
    still = relief.relief_mesh(DepthMap(depth, depth > 0, None, CAMERA, True, depth), name="still", **options)
    seen, wanted = evaluated(moving, START + 2), evaluated(still)
    distance = np.linalg.norm(seen[:, None] - wanted[None], axis=-1).min(0)
    assert distance.max() < 1e-5


def test_a_whole_mesh_is_cut_only_where_nothing_is(tmp_path) -> None:
    arrays = depths()
    obj = live.live_relief(
        CAMERA, sequence_of(arrays, tmp_path), name="street", resolution=None, tear=None, grazing=90.0
    )
    assert at_frame(obj, START)[1] == 104 * 159


def test_depth_of_a_clip_becomes_a_grid_that_follows(shot, saved) -> None:
    assert bpy.ops.maquette.estimate_depth(
        filepath=shot, model="relief", frames="CLIP", start_frame=START, mesh_resolution=48, strength=0.5
    ) == {"FINISHED"}
    assert "4 frames" in jobs.outcome().line
    sequence = bpy.data.images["shot.depth"]
    assert sequence.source == "SEQUENCE" and sequence.colorspace_settings.name == "Non-Color"
    assert sequence.filepath.startswith("//maquette/")
    folder = Path(bpy.path.abspath(sequence.filepath)).parent
    files = sorted(folder.iterdir())
    assert [int(file.stem.rpartition(".")[2]) for file in files] == [5, 6, 7, 8]
    assert list((saved / "maquette").iterdir()) == [folder], "nothing else is left there"
    obj = bpy.data.objects["shot.grid"]
    for frame in (START, START + 3):
        heights = read_exr(files[frame - START].read_bytes())["Y"]
        points, _ = at_frame(obj, frame)
        columns = np.floor((points[:, 0] / 2 + 0.5) * 96).astype(int)
        rows = np.floor((0.5 - points[:, 1] / 2 * 96 / 64) * 64).astype(int)
        np.testing.assert_allclose(points[:, 2], 0.5 * heights[rows, columns], atol=1e-6)
    scene = bpy.context.scene
    assert (scene.frame_start, scene.frame_end, scene.render.fps) == (5, 8, 24)
    texture = next(node for node in obj.active_material.node_tree.nodes if node.type == "TEX_IMAGE")
    user = texture.image_user
    assert (user.frame_start, user.frame_offset, user.frame_duration, user.use_cyclic) == (5, 6, 4, False)


def test_the_heights_of_a_first_frame_are_those_of_the_photo(shot, saved) -> None:
    bpy.ops.maquette.estimate_depth(filepath=shot, model="relief", frames="CLIP", output="IMAGE")
    file = Path(bpy.path.abspath(bpy.data.images["shot.depth"].filepath))
    alone = inference.estimate_depth(shot.replace("###", "007"), "relief")
    np.testing.assert_allclose(read_exr(file.read_bytes())["Y"], alone.depth, atol=1e-5)


def test_normals_of_a_clip_play_in_the_material(street, saved) -> None:
    bpy.ops.mesh.primitive_plane_add(size=2)
    plane = bpy.context.object
    bpy.ops.maquette.estimate_normals(
        filepath=street, model="builtin", frames="CLIP", start_frame=START, output="MATERIAL"
    )
    texture = next(node for node in plane.active_material.node_tree.nodes if node.type == "TEX_IMAGE")
    user = texture.image_user
    assert texture.image.source == "SEQUENCE" and user.use_auto_refresh and not user.use_cyclic
    assert (user.frame_start, user.frame_offset, user.frame_duration) == (START, START - 1, 2)


def test_a_relief_of_people_follows_them_before_the_clips_camera(street, saved) -> None:
    bpy.ops.maquette.estimate_depth(filepath=street, model="builtin", frames="CLIP", start_frame=START)
    scene, obj = bpy.context.scene, bpy.data.objects["street.relief"]
    assert obj.parent == scene.camera and "2 frames" in jobs.outcome().line
    background = scene.camera.data.background_images[0]
    assert background.image.source == "SEQUENCE"
    assert (background.image_user.frame_start, background.image_user.frame_duration) == (START, 2)
    folder = Path(bpy.path.abspath(bpy.data.images["street.depth"].filepath)).parent
    for number, file in enumerate(sorted(folder.iterdir())):
        depth = read_exr(file.read_bytes())["Y"]
        points, faces = at_frame(obj, START + number)
        assert (depth > 0).sum() >= len(points) > 1000 and faces > 1000
        assert set(np.unique(-points[:, 2])) <= set(np.unique(depth))


def test_a_taken_name_gets_a_number(shot, saved) -> None:
    own = saved / "maquette" / "shot.depth"
    own.mkdir(parents=True)
    (own / "mine.txt").write_text("mine")
    bpy.ops.maquette.estimate_depth(filepath=shot, model="relief", frames="CLIP", output="IMAGE")
    assert [file.name for file in own.iterdir()] == ["mine.txt"]
    assert (saved / "maquette" / "shot.depth.001").is_dir()


def test_without_a_folder_a_clip_is_refused_at_once(shot) -> None:
    with pytest.raises(RuntimeError, match="needs a folder"):
        bpy.ops.maquette.estimate_depth(filepath=shot, model="relief", frames="CLIP")


def test_cancelling_in_the_middle_leaves_nothing(shot, saved, blocks) -> None:
    seen, before = [], blocks()
    second = threading.Event()

    def progress(_fraction, message):
        seen.append(message)
        if message.startswith("Frame 3 of 4"):
            second.set()
            for job in jobs.active():
                job.cancel()

    report, jobs.Job.report = jobs.Job.report, lambda job, *told: (progress(*told), report(job, *told))[1]
    try:
        with pytest.raises(inference.errors.Cancelled):
            bpy_run(shot)
    finally:
        jobs.Job.report = report
    assert second.is_set() and any(message.startswith("Frame 2 of 4") for message in seen)
    assert not (saved / "maquette").exists() and blocks() == before


def bpy_run(shot: str) -> None:
    """The operator's own way of a script, without Blender's wrapper that turns the cancel into a RuntimeError."""
    from maquette.blender_addon.tasks.depth.settings import BUILD
    from maquette.blender_addon.work.depth import DepthWork
    from maquette.blender_addon.work.item import ClipSpan, Target
    from maquette.blender_addon.work.source import Source

    item = DepthWork(
        task="depth",
        source=Source("shot", shot, is_clip=True),
        target=Target("Scene"),
        model="relief",
        options={"resolution": 64},
        build=SimpleNamespace(**{**BUILD.defaults(), "output": "IMAGE"}),
        clip=ClipSpan(1),
        directory=str(Path(bpy.data.filepath).parent / "maquette"),
    )
    jobs.run(jobs.Job("Depth", item.run))


def test_a_frame_of_another_size_is_named(tmp_path, saved) -> None:
    from PIL import Image

    for number, size in enumerate(((40, 30), (40, 30), (30, 40))):
        Image.fromarray(np.zeros((*size[::-1], 3), np.uint8)).save(tmp_path / f"odd_{number}.png")
    with pytest.raises(RuntimeError, match="Frame 3 of the clip has 30 x 40 pixels"):
        bpy.ops.maquette.estimate_depth(filepath=str(tmp_path / "odd_#.png"), model="relief", frames="CLIP")
    assert not (saved / "maquette").exists()


def test_a_clip_without_people_is_no_clip_of_empty_frames(shot, saved) -> None:
    with pytest.raises(RuntimeError, match="No frame of the clip"):
        bpy.ops.maquette.estimate_depth(filepath=shot, model="builtin", frames="CLIP")
    assert not (saved / "maquette").exists()


def test_a_bright_spot_does_not_move_the_other_heights() -> None:
    """Each frame scaled by itself, and a spot that comes into view and halves everything else."""
    wall = np.random.default_rng(0).uniform(0.2, 0.9, (40, 60)).astype(np.float32)
    valid = np.ones_like(wall, bool)
    steady = clip_maps.ScaleStabilizer()
    for _ in range(24):
        np.testing.assert_allclose(steady(wall, valid), wall, atol=1e-5)
    spotted = 0.5 * wall
    spotted[:5, :5] = 1
    assert np.abs(steady(spotted, valid) - wall)[6:].mean() < 0.1 * np.abs(spotted - wall)[6:].mean()


def test_the_scratch_goes_with_what_refers_to_it(tmp_path) -> None:
    scratch = Scratch(tmp_path / "new" / "folder")
    scratch.write("a.exr", np.zeros((4, 4), np.float32))
    del scratch
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine").mkdir()
    scratch = Scratch(tmp_path / "mine" / "new")
    (tmp_path / "mine" / "new" / "theirs.txt").write_text("theirs")
    scratch.discard()
    assert [file.name for file in (tmp_path / "mine" / "new").iterdir()] == ["theirs.txt"]


def test_a_scratch_in_a_file_is_refused(tmp_path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(BadInput, match="cannot be written"):
        Scratch(tmp_path / "file")


def test_axes_of_a_moving_relief_are_the_cameras(tmp_path) -> None:
    """Without a camera it stands where the default camera would see it: level, looking along +y."""
    obj = live.live_relief(CAMERA, sequence_of(depths(), tmp_path), name="street", resolution=20)
    bpy.context.view_layer.update()
    np.testing.assert_allclose(np.array(obj.matrix_world), axes.camera_matrix(None), atol=1e-6)


def test_limits_of_a_moving_relief(tmp_path) -> None:
    """Beyond 2.5 m there is the board alone, in every frame; a piece smaller than it goes too."""
    options = {"resolution": None, "max_distance": 2.5}
    arrays = [np.where(np.arange(120)[:, None] < 65, depth, 0) for depth in depths()]
    obj = live.live_relief(CAMERA, sequence_of(arrays, tmp_path), name="street", **options)
    for frame in (START, START + 3):
        assert at_frame(obj, frame)[1] == 29 * 39
    gone = live.live_relief(CAMERA, sequence_of(arrays, tmp_path), name="none", specks=29 * 39 + 1, **options)
    assert at_frame(gone, START)[1] == 0


def test_metres_of_a_clip_stand_out_of_one_wall_in_the_material(street, saved) -> None:
    """All frames before the farthest point of the first, so that the wall stays where it is."""
    bpy.ops.mesh.primitive_plane_add(size=2)
    plane = bpy.context.object
    bpy.ops.maquette.estimate_depth(filepath=street, frames="CLIP", start_frame=START, output="MATERIAL")
    texture = next(node for node in plane.active_material.node_tree.nodes if node.type == "TEX_IMAGE")
    assert texture.image.name == "street.height" and texture.image.source == "SEQUENCE"
    folder = Path(bpy.path.abspath(texture.image.filepath)).parent
    first, second = (read_exr(file.read_bytes())["Y"] for file in sorted(folder.iterdir()))
    alone, _ = inference.batch.estimate_depth(street, "builtin")
    wanted = np.where(alone.valid, alone.depth[alone.valid].max() - alone.depth, 0)
    np.testing.assert_allclose(first, wanted, atol=1e-4)
    assert second.min() == 0 and second.max() > 0
