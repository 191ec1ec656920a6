# SPDX-License-Identifier: GPL-3.0-or-later
"""Results as files that other programs read: npz (every array), OpenEXR (floats), PNG (pictures, masks), GLB (meshes).

A file appears whole or not at all: it is written beside its place under another name and then renamed.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from .camera import Camera, y_up
from .errors import BadInput, NothingFound
from .geometry import relief_grid
from .photo import Photo, exr
from .photo.colour import quantised
from .photo.encode import png
from .results import SURFACE_BYTES, Body, CutOut, DepthMap, HandMaps, MapImage, NormalMap, People, Person
from .runtime.device import missing_package
from .runtime.files import not_written, save_with

Result = CutOut | DepthMap | NormalMap | HandMaps | MapImage | People
#: Suffix -> what it holds.
FORMATS = (".npz", ".exr", ".png", ".glb")
#: Attribute of a depth's OpenEXR file that says what it counts in: metres or heights.
_UNIT = "maquette.unit"


def check_output(path: Path, *, overwrite: bool) -> None:
    """Raise `BadInput` where the file could not be written at the end; called before the work starts."""
    if path.suffix.lower() not in FORMATS:
        raise BadInput(f"{path} is not a type of file that can be written.", f"End the name in {', '.join(FORMATS)}.")
    if path.is_dir():
        raise BadInput(f"{path} is a folder.", "Give the name of a file in it.")
    if path.exists() and not overwrite:
        raise BadInput(f"{path} exists.", "Choose another name, or add --overwrite.")
    if not path.parent.is_dir():
        raise BadInput(f"There is no folder {path.parent}.", "Make it first, or choose another.")
    try:  # asking for permissions does not tell: a disk may be mounted read-only, or the user be root
        TemporaryFile(dir=path.parent).close()
    except OSError as error:
        raise not_written(path, error) from error


def save(path: Path, result: Result, photo: Photo, *, picture: str = "preview", bits: int = 8, frame: int = 0) -> None:
    """Write a result in the format of the suffix.

    picture : what a PNG shows, "preview" or "mask".  bits : 8 or 16, of a mask.
    frame : of a clip, the one whose bodies a GLB, or whose mask a PNG, holds.
    Raises `BadInput` where the result has nothing of that format, or the file cannot be written.
    """
    save_with(path, _writer(path.suffix.lower(), result, photo, picture, bits, frame))


def _writer(
    suffix: str, result: Result, photo: Photo, picture: str, bits: int, frame: int
) -> Callable[[BinaryIO], object]:
    """What writes the file; everything that can be wrong with the request is raised here, before a file is made."""
    if suffix == ".npz":
        arrays = arrays_of(result)
        return lambda file: np.savez_compressed(file, **arrays)
    if suffix == ".exr":
        floats, texts = floats_of(result), None
        if isinstance(result, DepthMap):
            texts = {_UNIT: "metres" if result.metric else "heights"}
        return lambda file: exr.write_exr(file, floats, texts)
    data = png(picture_of(result, picture, bits, frame)) if suffix == ".png" else _glb(result, photo, frame)
    return lambda file: file.write(data)


def read_depth(path: Path, camera: Camera) -> DepthMap:
    """A depth map that `save` wrote as .npz or .exr; an .exr has the depths alone, seen by this camera.

    Raises `BadInput`.
    """
    try:
        if path.suffix.lower() == ".exr" and path.exists():
            unit, channels = exr.read_texts(path)[_UNIT], exr.read_exr(path)
            empty = np.zeros((0, 0, 3), np.uint8)
            return DepthMap(channels["Y"], channels["Y"] > 0, None, camera, unit == "metres", empty)
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        fx, fy, cx, cy, width, height = arrays["camera"].tolist()
        own = Camera(fx, fy, cx, cy, int(width), int(height), str(arrays["camera_source"]))
        return DepthMap(
            arrays["depth"], arrays["valid"], arrays.get("normals"), own, bool(arrays["metric"]), arrays["preview"],
            arrays.get("confidence"), str(arrays["model"]),
        )  # fmt: skip
    except FileNotFoundError as error:
        raise BadInput(f"There is no {path}.", "Make that part too, then merge again with --continue.") from error
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise BadInput(f"{path} is broken, or holds no depths of this version.", "Make it again.") from error


def arrays_of(result: Result) -> dict[str, NDArray]:
    """Every array of a result under its own name; per hand or person stacked along the first axis."""
    kind = _KINDS[type(result)]
    fields = {name: np.asarray(value) for name in kind.arrays if (value := getattr(result, name)) is not None}
    return {**fields, **kind.more(result)}


def amass_of(
    people: People, track_id: int | None = None, *, joints: Literal["own", "smplx"] = "own"
) -> dict[str, NDArray]:
    """One person's motion under the names of AMASS (Mahmood et al. 2019), which readers of SMPL motions know.

    track_id : whose; None for the first. Metres, z up, the ground at z = 0; turns as axis times angle, relative to the
    parent, in the axes of a body that rests with y up; `trans` is added after skinning. The people of a clip have one
    shape; of photos it is the mean. Beside AMASS's own names: `frames`, `joint_names`, `camera_to_world`, `licence`.
    joints : "own", the body's, or "smplx", SMPL-X's 55 whatever the body, its parts also under their own names
    (`root_orient`, `pose_body` ...). Only a body of SMPL-X has its shape: others are shown by the average adult, whose
    pelvis is put where legs of its length stand on the same ground.
    Raises `BadInput` where there is no such person.
    """
    from .people.clip.ground import world_from_camera
    from .people.clip.motion import in_first_camera

    if joints not in ("own", "smplx"):
        raise BadInput(f"joints must be own or smplx, not {joints!r}.", "Change it or leave it out.")
    people = in_first_camera(people)
    tracks = people.tracks()
    chosen = min(tracks, default=None) if track_id is None else track_id
    if not isinstance(chosen, (int, np.integer)) or chosen not in tracks:
        raise BadInput(f"There is no person {'' if track_id is None else track_id} to save.", "Choose one of tracks().")
    frames, persons = zip(*tracks[chosen], strict=True)
    world = world_from_camera(people)
    shape = np.mean([person.shape for person in persons], axis=0, dtype=np.float64)
    moved = (_own_joints if joints == "own" else _smplx_joints)(people.body, persons, shape, world)
    rate = np.array(0.0 if people.fps is None else people.fps)
    return {
        **moved,
        "gender": np.array("neutral"),
        "mocap_framerate": rate,
        "mocap_frame_rate": rate,
        "frames": np.array(frames, np.int32),
        "camera_to_world": world,
        "licence": np.array(people.body.licence),
    }


#: From camera axes to those of a body that rests with y up.
_FLIP = np.array([1.0, -1.0, -1.0])


def _own_joints(body: Body, persons: Sequence[Person], shape: NDArray, world: NDArray) -> dict[str, NDArray]:
    from .geometry.rotations import quaternions_of, rotation_matrices, to_rotation_vector

    turns = rotation_matrices(np.stack([person.rotations for person in persons]).astype(np.float64)) * _FLIP
    turns[:, 1:] *= _FLIP[:, None]
    turns[:, 0] = world[:3, :3] @ turns[:, 0]
    root = body.joints[0] + shape @ body.joint_blend_shapes[:, 0]
    places = np.stack([person.joints[0] for person in persons]).astype(np.float64)
    return {
        "poses": to_rotation_vector(quaternions_of(turns)).reshape(len(persons), -1),
        "trans": places @ world[:3, :3].T + world[:3, 3] - root * _FLIP,
        "betas": shape,
        "surface_model_type": np.array(body.name.lower()),
        "joint_names": np.array(body.joint_names),
    }


def _smplx_joints(body: Body, persons: Sequence[Person], shape: NDArray, world: NDArray) -> dict[str, NDArray]:
    from .geometry.rotations import rotation_matrices
    from .geometry.skinning import chain, rest_pose
    from .rigs import Rig, map_bones
    from .rigs.smplx import Z_UP, smplx_arrays

    upright = Z_UP * _FLIP
    rest = np.tile(np.eye(4), (len(body.parents), 1, 1))
    own = body.joints + np.tensordot(shape, body.joint_blend_shapes, 1)
    rest[:, :3, 3] = own @ upright.T
    rest[:, 2, 3] -= (rest_pose(body, shape)[0] @ upright.T)[:, 2].min()
    turns = rotation_matrices(np.stack([person.rotations for person in persons]).astype(np.float64))
    nowhere = np.zeros((len(persons), 3))
    turned, _ = chain(body.parents, np.broadcast_to(own, (len(persons), *own.shape)), turns, nowhere)
    poses = np.tile(np.eye(4), (*turns.shape[:2], 1, 1))
    poses[..., :3, :3] = world[:3, :3] @ turned @ upright.T
    poses[..., :3, 3] = np.stack([person.joints for person in persons]) @ world[:3, :3].T + world[:3, 3]
    mapping = map_bones(body.joint_names).checked(body.name)
    source = Rig(body.joint_names, body.parents.astype(np.int64), rest, mapping.roles)
    licensed = mapping.preset == "smpl"
    arrays = smplx_arrays(source, poses, own[0] * _FLIP if licensed else None)
    return {**arrays, **({"betas": shape} if len(body.joint_names) == len(arrays["joint_names"]) else {})}


def save_amass(
    path: str | PathLike[str],
    people: People,
    track_id: int | None = None,
    *,
    joints: Literal["own", "smplx"] = "own",
    overwrite: bool = False,
) -> None:
    """Write `amass_of` as an .npz. Raises `BadInput`, also for a file that exists."""
    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise BadInput(f"{path} is not an .npz file.", "End the name in .npz.")
    check_output(path, overwrite=overwrite)
    arrays = amass_of(people, track_id, joints=joints)
    save_with(path, lambda file: np.savez_compressed(file, **arrays))


def world_joints(people: People) -> dict[int, tuple[NDArray[np.int32], NDArray[np.float64]]]:
    """Track id -> the frames (T,) of a person, from 0, and the places (T, J, 3) of `people.body.joint_names` in metres
    with z up, on the ground under a camera at the origin that looks along +y: Blender's world, as the add-on builds it
    unless the matched camera was moved."""
    from .people.clip.ground import world_from_camera
    from .people.clip.motion import in_first_camera

    world, people = world_from_camera(people), in_first_camera(people)
    return {
        track_id: (
            np.array([frame for frame, _ in track], np.int32),
            np.stack([person.joints for _, person in track]) @ world[:3, :3].T + world[:3, 3],
        )
        for track_id, track in people.tracks().items()
    }


def floats_of(result: Result) -> NDArray:
    """What an OpenEXR file holds: depth (H, W), 0 where not known, or normals (H, W, 3) in camera axes as R, G, B."""
    return getattr(result, _part_of(result, "floats"))


def picture_of(result: Result, picture: str, bits: int, frame: int = 0) -> NDArray:
    """The 8-bit preview (h, w, 3) uint8, or the mask (H, W) uint8 or uint16, of a result; people have masks only."""
    if picture == "preview" and not isinstance(result, People):
        return result.preview
    return quantised(_part_of(result, "mask")(result, frame), bits)


def meshes_of(result: Result, photo: Photo, frame: int = 0) -> dict[str, Any]:
    """Name -> trimesh mesh in glTF axes, metres. A depth map gives its torn relief with the photo as texture."""
    make = _part_of(result, "meshes")
    try:
        import trimesh
    except ImportError as error:
        raise missing_package("trimesh", error) from error
    return make(trimesh, result, photo, frame)


def _glb(result: Result, photo: Photo, frame: int) -> bytes:
    meshes = meshes_of(result, photo, frame)
    if not meshes:
        raise NothingFound("There is nobody in the photo to make a mesh of.", "Choose another photo.")
    import trimesh

    scene = trimesh.Scene()
    for name, mesh in meshes.items():
        scene.add_geometry(mesh, node_name=name, geom_name=name)
    return scene.export(file_type="glb")  # type: ignore[return-value]


def _frame(people: People, frame: int) -> int:
    if not 0 <= frame < len(people.frames):
        raise BadInput(f"There is no frame {frame}; the clip has {len(people.frames)}, from 0.", "Choose one of them.")
    return frame


def _camera_arrays(*cameras: Camera) -> dict[str, NDArray]:
    rows = [(c.fx, c.fy, c.cx, c.cy, c.width, c.height) for c in cameras]
    sources = [camera.source for camera in cameras]
    single = len(cameras) == 1
    return {
        "camera": np.array(rows[0] if single else rows, np.float64),
        "camera_source": np.array(sources[0] if single else sources),
    }


def _stacked(items: list[Any], names: tuple[str, ...], prefix: str = "") -> dict[str, NDArray]:
    return {prefix + name: np.array([getattr(item, name) for item in items]) for name in names}


def _map_arrays(result: DepthMap | NormalMap | CutOut) -> dict[str, NDArray]:
    return _camera_arrays(result.camera)


def _hand_arrays(result: HandMaps) -> dict[str, NDArray]:
    names = ("side", "score", "box", "vertices", "faces", "joints", "keypoints_2d", "depth", "mask")
    return {**_stacked(list(result.hands), names, "hand_"), **_camera_arrays(result.camera)}


def left_out(result: Result) -> tuple[str, ...]:
    """What is to be said of what an npz does not have: the surfaces of long clips, which follow from the poses."""
    poses = sum(map(len, result.frames)) if isinstance(result, People) else 0
    if not isinstance(result, People) or poses * result.body.vertices.nbytes <= SURFACE_BYTES:
        return ()
    how = "geometry.skinning.pose_body makes them of shape, rotations and translation"
    return (f"The surfaces of {poses:,} poses are left out of the file ({how})",)


def _people_arrays(people: People) -> dict[str, NDArray]:
    """One row a person and frame; `frame` says which. Masks are 0..255 and left out where the photos differ in size;
    see also `left_out`."""
    rows = [(index, person) for index, persons in enumerate(people.frames) for person in persons]
    persons = [person for _, person in rows]
    names = ["track_id", "box", "score", "joints", "keypoints_2d", "rotations", "shape"]
    names += [] if left_out(people) else ["vertices"]
    arrays = {
        "frame": np.array([index for index, _ in rows], np.int32),
        **_stacked(persons, (*names, "translation", "confidence", "guessed")),
        **_camera_arrays(*people.cameras),
        "fps": np.array(np.nan if people.fps is None else people.fps),
        "model": np.array(people.model),
    }
    arrays |= {name: value for name in ("world", "travel") if (value := getattr(people, name)) is not None}
    for name in ("keypoints_3d", "crop_camera", "offsets", "correctives"):
        if persons and all(getattr(person, name) is not None for person in persons):
            arrays |= _stacked(persons, (name,))
    masks = [quantised(person.mask) for person in persons if person.mask is not None]
    if masks and len(masks) == len(persons) and len({mask.shape for mask in masks}) == 1:
        arrays["mask"] = np.stack(masks)
    for name in sorted({name for person in persons for name in person.attributes}):
        arrays[f"attribute_{name}"] = np.array([person.attributes.get(name, np.nan) for person in persons])
    for name in persons[0].parameters if persons else ():
        if all(name in person.parameters for person in persons):
            arrays[f"parameter_{name}"] = np.array([person.parameters[name] for person in persons])
    body = {f"body_{name}": np.array(value) for name, value in vars(people.body).items() if value is not None}
    return {**arrays, **body}


def _relief_mesh(trimesh: Any, result: DepthMap, photo: Photo, _frame: int) -> dict[str, Any]:
    from PIL import Image

    if result.metric:
        surface = relief_grid.unprojected(result)
    else:
        surface = relief_grid.lifted(result, relief_grid.RELIEF_HEIGHT)
    if len(surface.quads) == 0:
        raise NothingFound("The depth map has no valid surface.", "Choose another photo.")
    triangles = np.concatenate([surface.quads[:, [0, 1, 2]], surface.quads[:, [0, 2, 3]]])
    material = trimesh.visual.material.PBRMaterial(
        name=photo.name, baseColorTexture=Image.fromarray(photo.pixels), metallicFactor=0.0, roughnessFactor=1.0
    )
    visual = trimesh.visual.TextureVisuals(uv=surface.uvs, material=material)
    return {"relief": trimesh.Trimesh(y_up(surface.vertices), triangles, visual=visual, process=False)}


def _hand_meshes(trimesh: Any, result: HandMaps, _photo: Photo, _frame: int) -> dict[str, Any]:
    return {
        f"{hand.side}_hand_{index}": trimesh.Trimesh(y_up(hand.vertices), hand.faces, process=False)
        for index, hand in enumerate(result.hands)
    }


def _body_meshes(trimesh: Any, result: People, _photo: Photo, frame: int) -> dict[str, Any]:
    return {
        f"person_{person.track_id}": trimesh.Trimesh(y_up(person.vertices), result.body.faces, process=False)
        for person in result.frames[_frame(result, frame)]
    }


def _people_mask(result: People, frame: int) -> NDArray:
    camera = result.cameras[_frame(result, frame)]
    masks = [person.mask for person in result.frames[frame] if person.mask is not None]
    return np.max(masks, 0) if masks else np.zeros((camera.height, camera.width), np.float32)


def _valid(result: DepthMap | NormalMap, _frame: int) -> NDArray:
    return result.valid.astype(np.float32)


@dataclass(frozen=True)
class _Kind:
    """What can be saved of a kind of result; None where it has nothing of the sort.

    name, formats : for the sentence that says so.  arrays : names of fields.  more : further arrays.
    floats : name of a field.  mask : of a result and a frame.  meshes : of trimesh, a result, the photo and a frame.
    """

    name: str
    formats: str
    arrays: tuple[str, ...] = ()
    more: Callable[[Any], dict[str, NDArray]] = lambda _: {}
    floats: str | None = None
    mask: Callable[[Any, int], NDArray] | None = None
    meshes: Callable[[Any, Any, Photo, int], dict[str, Any]] | None = None


_DEPTH_ARRAYS = ("depth", "valid", "preview", "normals", "confidence", "metric", "model")
_ALL = ".npz, .exr, .png or .glb"
_HAND_ARRAYS, _NORMAL_ARRAYS = ("depth", "mask", "preview", "model"), ("normals", "valid", "preview", "model")
_KINDS = {
    DepthMap: _Kind("Depth", _ALL, _DEPTH_ARRAYS, _map_arrays, "depth", _valid, _relief_mesh),
    NormalMap: _Kind("A normal map", ".npz, .exr or .png", _NORMAL_ARRAYS, _map_arrays, "normals", _valid),
    MapImage: _Kind("An image pass", ".npz or .png", ("image", "model")),
    CutOut: _Kind(
        "A cut-out",
        ".npz, .exr or .png",
        ("mask", "preview", "score", "model"),
        _map_arrays,
        "mask",
        lambda found, _: found.mask,
    ),
    HandMaps: _Kind("The hands", _ALL, _HAND_ARRAYS, _hand_arrays, "depth", lambda hands, _: hands.mask, _hand_meshes),
    People: _Kind("The people", ".npz, .png or .glb", more=_people_arrays, mask=_people_mask, meshes=_body_meshes),
}


def _part_of(result: Result, part: Literal["floats", "mask", "meshes"]) -> Any:
    """What a kind of result has under this name. Raises `BadInput` where it has nothing."""
    kind = _KINDS[type(result)]
    value = getattr(kind, part)
    if value is None:
        raise BadInput(f"{kind.name} has no {part}.", f"Save it as {kind.formats}.")
    return value
