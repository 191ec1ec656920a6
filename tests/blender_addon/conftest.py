# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests inside Blender (the `bpy` module): an empty factory scene before each, and helpers to see what was built."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

import maquette  # noqa: E402
from maquette.blender_addon.builders.bodies.body import BodyOptions, build_people  # noqa: E402
from maquette.blender_addon.builders.images import image  # noqa: E402
from maquette.blender_addon.builders.surfaces import meshes  # noqa: E402
from maquette.blender_addon.core import axes, transaction  # noqa: E402
from maquette.inference.camera import Camera  # noqa: E402
from maquette.inference.photo import Photo  # noqa: E402
from maquette.inference.results import DepthMap, People, Person  # noqa: E402
from maquette.installer.environment.lock_files import DEFAULT_BLENDER  # noqa: E402

sys.path.insert(0, str(Path(__file__).parent))
from answers import Answers  # noqa: E402

VERSION = ".".join(map(str, bpy.app.version[:2]))

_exit_status = 0


def pytest_sessionfinish(session, exitstatus):
    global _exit_status
    _exit_status = int(exitstatus)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    """bpy 4.2 and 4.5 may crash while Python shuts down after a render; all results have been reported by now."""
    if "bpy" in sys.modules:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(_exit_status)


class _Window:
    """The module's window, which is given no scene that it has."""

    @property
    def scene(self):
        return bpy.context.window.scene

    @scene.setter
    def scene(self, scene):
        if scene != self.scene:
            bpy.context.window.scene = scene


class _Context:
    window = _Window()

    def __getattr__(self, name):
        return getattr(bpy.context, name)


class _Module:
    context = _Context()

    def __getattr__(self, name):
        return getattr(bpy, name)


@pytest.fixture(scope="session", autouse=True)
def steady_exporter():
    """4.2's glTF exporter gives the window the scene that it shows; after some hundred tests the module, which has no
    real window, crashes of it in every other run."""
    with pytest.MonkeyPatch.context() as patch:
        if VERSION == "4.2":
            for name in ("gltf2_blender_gather", "gltf2_blender_gather_tree"):
                exporter = importlib.import_module(f"io_scene_gltf2.blender.exp.{name}")
                patch.setattr(exporter, "bpy", _Module())
        yield


@pytest.fixture(scope="session")
def answers():
    """Of the models that ship, where a run names a folder for them; see answers.py."""
    folder = os.environ.get("MAQUETTE_ANSWERS")
    with pytest.MonkeyPatch.context() as patch:
        found = Answers(Path(folder), writes=VERSION == DEFAULT_BLENDER) if folder else None
        if found:
            found.install(patch.setattr)
        yield found


@pytest.fixture(autouse=True)
def computing(request, answers):
    """Tests marked `computes` are answered by nobody, and in the full tier none of the default Blender's."""
    if answers is not None:
        everything = answers.writes and request.config.getoption("full")
        answers.computing = everything or request.node.get_closest_marker("computes") is not None


@pytest.fixture(autouse=True)
def empty_scene():
    """A new, empty file with factory settings."""
    bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
    yield


@pytest.fixture(scope="module")
def addon():
    """The add-on, registered for the tests of a module."""
    maquette.register()
    yield
    maquette.unregister()


@pytest.fixture
def reopened(tmp_path):
    """A function that saves the file, empties Blender, and opens the file again."""

    def reopen(name: str = "saved.blend") -> None:
        path = str(tmp_path / name)
        bpy.ops.wm.save_as_mainfile(filepath=path)
        bpy.ops.wm.read_homefile(use_factory_startup=True, use_empty=True)
        bpy.ops.wm.open_mainfile(filepath=path)

    return reopen


@pytest.fixture(scope="session")
def photo() -> Photo:
    """160 x 120 pixels, no two corners alike, a camera with its principal point off the middle."""
    rows, columns = np.mgrid[:120, :160]
    pixels = np.stack([columns * 255 // 159, rows * 255 // 119, (rows * columns) % 256], axis=-1).astype(np.uint8)
    return Photo(pixels, Camera(150.0, 150.0, 84.0, 57.0, 160, 120), "street")


@pytest.fixture(scope="session")
def depth_map(photo) -> DepthMap:
    """A waving wall 3 m away, a board at 2 m in front of it, the top 20 rows without depth."""
    columns = np.arange(160)
    depth = np.broadcast_to(3 + 0.1 * np.sin(columns / 20), (120, 160)).astype(np.float32)
    depth[40:80, 50:90] = 2
    valid = np.ones((120, 160), bool)
    valid[:20] = False
    return DepthMap(np.where(valid, depth, 0), valid, None, photo.camera, True, photo.pixels)


@pytest.fixture(scope="session")
def world() -> np.ndarray:
    """A world that is turned and moved against the camera: z up, the camera looking somewhat down."""
    turn, tilt = 0.4, -0.2
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    matrix = np.eye(4)
    matrix[:3, :3] = about_z @ about_x @ axes.Z_UP[:3, :3]
    matrix[:3, 3] = 1.0, -2.0, 1.7
    return matrix


@pytest.fixture(scope="session")
def body():
    from maquette.inference.shipped.body import load_body

    return load_body()


@pytest.fixture(scope="session")
def make_track(body):
    """A function: frame numbers -> a track of one person who turns round while every joint swings."""
    from maquette.inference.geometry.skinning import pose_body
    from maquette.inference.shipped.body import ATTRIBUTES, shape_from_attributes

    def make(frames=(0,), seed: int = 0, track_id: int = 0) -> list[tuple[int, Person]]:
        random = np.random.default_rng(seed)
        count = len(body.parents)
        attributes = {name: average + random.uniform(-0.2, 0.2) for name, average in ATTRIBUTES.items()}
        shape = shape_from_attributes(attributes)
        swing, phase = random.normal(0, 0.25, (count, 3)), random.uniform(0, 6, (count, 1))
        track = []
        for frame in frames:
            turns = swing * np.sin(frame / 5 + phase) + 1e-6
            turns[0] = 0.2, 2.9 + 0.15 * frame, 0.1  # past half a turn, where quaternions change sign
            angle = np.linalg.norm(turns, axis=1, keepdims=True)
            rotations = np.concatenate([np.cos(angle / 2), turns / angle * np.sin(angle / 2)], 1).astype(np.float32)
            rotations *= np.sign(rotations[:, :1])  # as recovered: w >= 0
            translation = np.array([0.3 * seed + 0.02 * frame, 0.4, 4], np.float32)
            vertices, joints = pose_body(body, shape, rotations, translation)
            confidence = np.linspace(0, 1, count).astype(np.float32)
            person = Person(
                track_id, (0, 0, 9, 9), 0.9, None, vertices, joints, np.zeros((1, 2), np.float32), rotations, shape,
                translation, confidence, attributes,
            )  # fmt: skip
            track.append((frame, person))
        return track

    return make


@pytest.fixture
def recovered(body, make_track, world):
    """A function: rig, frames, name, track ids -> [(armature, mesh), ...] of people who walk and turn, from frame 3."""

    def make(rig: str = "OWN", frames=range(8), name: str = "street", tracks=(0,)):
        found = [make_track(frames, seed=number, track_id=track) for number, track in enumerate(tracks)]
        rows = tuple(tuple(track[row][1] for track in found) for row in range(len(frames)))
        camera = Camera(500.0, 500.0, 320.0, 240.0, 640, 480)
        people = People(rows, body, camera, (camera,) * len(rows), 25.0)
        options = BodyOptions(rig=rig, start_frame=3, world_from_camera=world)
        meshes = [
            next(obj for obj in one.objects if obj.type == "MESH") for one in build_people(people, options, name=name)
        ]
        return [(mesh.find_armature(), mesh) for mesh in meshes]

    return make


def _evaluated(obj, frame: int | None = None) -> np.ndarray:
    """World positions (V, 3) of an object's vertices after its modifiers, at a frame."""
    if frame is not None:
        bpy.context.scene.frame_set(frame)
    seen = obj.evaluated_get(bpy.context.evaluated_depsgraph_get())
    positions = meshes.positions(seen.to_mesh())
    seen.to_mesh_clear()
    return axes.transform(np.array(seen.matrix_world), positions)


def _blocks() -> dict[str, set[str]]:
    """The names of all datablocks that builders make."""
    return {kind: {block.name for block in getattr(bpy.data, kind)} for kind in transaction.KINDS}


def _rendered(camera_object, width: int, height: int, samples: int = 4) -> np.ndarray:
    """The scene (H, W, 3) in linear light as Cycles renders it from a camera."""
    scene = bpy.context.scene
    scene.camera = camera_object
    scene.render.engine = "CYCLES"
    scene.cycles.samples, scene.cycles.use_denoising, scene.cycles.device = samples, False, "CPU"
    scene.render.threads_mode, scene.render.threads = "FIXED", 1
    scene.render.resolution_x, scene.render.resolution_y, scene.render.resolution_percentage = width, height, 100
    scene.render.film_transparent = True
    scene.view_settings.view_transform = "Raw"
    scene.render.image_settings.file_format = "OPEN_EXR"
    scene.render.filepath = str(Path(bpy.app.tempdir) / "rendered.exr")
    bpy.ops.render.render(write_still=True)
    picture = bpy.data.images.load(scene.render.filepath)
    pixels = image.image_array(picture)[..., :3].copy()
    bpy.data.images.remove(picture)
    return pixels


@pytest.fixture(scope="session")
def evaluated():
    """A function: object, frame -> world positions (V, 3) of its vertices after all modifiers."""
    return _evaluated


@pytest.fixture(scope="session")
def blocks():
    """A function: -> the names of all datablocks that builders make, by kind."""
    return _blocks


@pytest.fixture(scope="session")
def rendered():
    """A function: camera, width, height -> the picture (H, W, 3) that Cycles renders, linear."""
    return _rendered
