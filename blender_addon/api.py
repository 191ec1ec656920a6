# SPDX-License-Identifier: GPL-3.0-or-later
"""For scripts inside Blender: every task as a function that returns what it made, and raises errors of their own kind.

Each runs its operator to the end and takes that operator's properties by name, datablocks in place of their names:
`maquette.recover_people` becomes `recover_people(photo, rig="MIXAMO")`. Errors are `NothingFound`, `BadInput`,
`MissingModel` and the others of `inference.errors`, with `message` and `remedy`. Main thread only. See docs/python.md.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import bpy

from .core import jobs, last_result, photo_links, roles

if TYPE_CHECKING:
    import numpy as np
    from bpy.types import Action, Collection, Image, Material, NlaStrip, Object, Scene
    from numpy.typing import NDArray

    #: A file (photo, movie, numbered pictures), or an image that is open in Blender.
    Photo = str | os.PathLike[str] | Image


@dataclass(frozen=True)
class PersonObjects:
    """One recovered person in the scene.

    rig : the armature, None for bodies without one.  body : the mesh.  action : what moves rig or body, or None.
    track_id : of the person in the photo or clip.  frames : first and last, of the scene.
    score, box : of the detection; the box (x0, y0, x1, y1) in pixels, in the first frame.
    camera : the matched camera of the photo, or None.  photo : the digest of its pixels.
    """

    rig: Object | None
    body: Object
    action: Action | None
    track_id: int
    frames: tuple[int, int]
    score: float
    box: tuple[float, ...]
    camera: Object | None
    photo: str
    collection: Collection | None


@dataclass(frozen=True)
class Made:
    """What an operator has made. line : what it says at the end.  camera : the photo's matched camera, or None."""

    line: str
    objects: tuple[Object, ...] = ()
    images: tuple[Image, ...] = ()
    materials: tuple[Material, ...] = ()
    actions: tuple[Action, ...] = ()
    collections: tuple[Collection, ...] = ()

    @property
    def people(self) -> tuple[PersonObjects, ...]:
        """The persons among the objects, by their track ids."""
        return _people(self.objects)

    @property
    def camera(self) -> Object | None:
        found = (photo_links.matched_camera_of(obj) for obj in self.objects)
        return next((camera for camera in found if camera is not None), None)


class Joints(NamedTuple):
    """names : J bones.  frames : (T,) of the scene.  places : (T, J, 3) of their heads in Blender's world."""

    names: tuple[str, ...]
    frames: tuple[int, ...]
    places: NDArray[np.float64]


def run(operator: str, **properties: Any) -> Made:
    """Run `bpy.ops.maquette.<operator>` to its end. Raises MaquetteError of the kind that went wrong."""
    context: Any = bpy.context
    scene = context.scene
    given = {name: _plain(value) for name, value in properties.items()}
    scene.pop(last_result.LAST, None)
    jobs.remember(None)
    operators: Any = bpy.ops
    try:
        getattr(operators.maquette, operator)(**given)
    except RuntimeError:
        outcome = jobs.outcome()
        error = outcome.error() if outcome is not None else None
        if error is None:
            raise
        raise error from None
    outcome = jobs.outcome()
    return last_made(scene) or Made(outcome.line if outcome else "")


def last_made(scene: Scene | None = None) -> Made | None:
    """What the last operator has made in the scene, clicked or scripted; None where nothing was run."""
    context: Any = bpy.context
    told = last_result.read(scene or context.scene)
    kinds = ("objects", "images", "materials", "actions", "collections")
    return Made(told["line"], *(tuple(told["made"].get(kind, ())) for kind in kinds)) if told else None


def people(scene: Scene | None = None) -> tuple[PersonObjects, ...]:
    """All recovered people of the scene, found by what is written on them."""
    context: Any = bpy.context
    return _people((scene or context.scene).objects)


def joints(rig: Object, frames: Iterable[int] | None = None) -> Joints:
    """Where the joints of an armature are in Blender's world, under everything that acts on it.

    frames : by default those of its action, else the current one.
    """
    from .builders.bodies import reading

    context: Any = bpy.context
    wanted = tuple(reading.action_frames(rig) if frames is None else frames)
    poses = reading.read_poses(rig, wanted, context.scene)
    return Joints(tuple(bone.name for bone in rig.data.bones), wanted, poses[..., :3, 3])  # type: ignore[union-attr]


def recover_people(photo: Photo, **options: Any) -> Made:
    """The people of a photo or clip as bodies: `.people` has rig, body, action, track id, frames and camera of each."""
    return _of_photo("recover_people", photo, options)


def solve_people_again(rig: Object, **options: Any) -> Made:
    """The clip of a recovered person, with all its people, solved again without the networks, in the objects that are
    there. options : `smoothing`, `plant`, `hands`, floor, lens; what is not given stays as it was."""
    return run("solve_people_again", armature=rig, **options)


def estimate_depth(photo: Photo, **options: Any) -> Made:
    """Depth as a relief, displaced grid or image, as the options say."""
    return _of_photo("estimate_depth", photo, options)


def estimate_normals(photo: Photo, **options: Any) -> Made:
    """Normals as an image, in a material, or on a surface."""
    return _of_photo("estimate_normals", photo, options)


def refine_hands(photo: Photo, **options: Any) -> Made:
    """Hands as meshes and maps."""
    return _of_photo("refine_hands", photo, options)


def reconstruct_scene(photo: Photo, **options: Any) -> Made:
    """The whole photo in one collection: camera, floor, what is behind the people, and the people, in one measure."""
    return _of_photo("reconstruct_scene", photo, options)


def reconstruct_photos(photos: Photo, **options: Any) -> Made:
    """The cameras of a film, or of the photos of a folder, of one place, and a cloud of its points."""
    return _of_photo("reconstruct_photos", photos, options)


def cut_out(photo: Photo, **options: Any) -> Made:
    """One thing cut out: its mask, and a card of it."""
    return _of_photo("cut_out", photo, options)


def make_map(photo: Photo, **options: Any) -> Made:
    """An image pass: lines, edges, or shuffled content."""
    return _of_photo("make_map", photo, options)


def detail_mask(photo: Photo, **options: Any) -> Made:
    """What lies under a mask, repainted."""
    return _of_photo("detail_mask", photo, options)


def calibrate_lens(photo: Photo, **options: Any) -> Made:
    """The photo's matched camera by straight lines, drawn (`lines_x`, `lines_y`, `lines_z`) or found."""
    return _of_photo("calibrate_lens", photo, options)


def calibrate_distance(photo: Photo, **options: Any) -> Made:
    """All that was built of a photo rescaled, so that a known length is right."""
    return _of_photo("calibrate_distance", photo, options)


def retarget(source: Object, target: Object, **options: Any) -> Action:
    """The target's new action, which shows what the source does. Where bones could not follow, the action has the
    custom property `maquette_astray`: bone -> [degrees, frame] of the worst."""
    run("retarget", source=source, target=target, **options)
    return _action(target)


def save_pose(rig: Object, name: str = "") -> Action:
    """The pose of an armature as a pose asset."""
    return run("save_pose", armature=rig, name=name).actions[-1]


def export_person(file: str | os.PathLike[str], objects: Object | str = "ACTIVE", **options: Any) -> Path:
    """Write a file whose ending names the format. objects : an armature or mesh, "SELECTED", or "PEOPLE" for all."""
    named = {"objects": objects} if isinstance(objects, str) else {"armature": objects}
    run("export_person", filepath=file, **named, **options)
    return Path(bpy.path.abspath(os.fspath(file)))


def reduce_keys(rig: Object, tolerance: float = 5.0) -> Action:
    """Only the keys that keep every joint within `tolerance` millimetres."""
    run("reduce_keys", armature=rig, tolerance=tolerance)
    return _action(rig)


def smooth_motion(rig: Object, **options: Any) -> Action:
    """A smoothed range of the action: `first`, `last`, `width` in frames."""
    run("smooth_motion", armature=rig, **options)
    return _action(rig)


def make_loop(rig: Object, **options: Any) -> Action:
    """A new action that repeats for ever: `first`, `last`, `blend`, `find`."""
    run("make_loop", armature=rig, **options)
    return _action(rig)


def move_root(rig: Object, to: str = "IN_PLACE", **options: Any) -> Action:
    """The way over the ground left out ("IN_PLACE"), or moved "ROOT" or "OBJECT": `steady`, `turn`."""
    run("move_root", armature=rig, to=to, **options)
    return _action(rig)


def push_to_nla(rig: Object, **options: Any) -> NlaStrip:
    """The action as a strip: `repeat`, `start`."""
    run("push_to_nla", armature=rig, **options)
    data: Any = rig.animation_data
    return data.nla_tracks[-1].strips[-1]


def join_tracks(rig: Object, other: Object) -> Action:
    """The motion of two armatures that show one person, on the first of them."""
    run("join_tracks", armature=rig, other=other)
    return _action(rig)


def _of_photo(operator: str, photo: Photo, options: dict[str, Any]) -> Made:
    return run(operator, **{"image" if isinstance(photo, bpy.types.Image) else "filepath": photo}, **options)


def _plain(value: Any) -> Any:
    """A value as properties take it: datablocks by their names, paths as text."""
    if isinstance(value, bpy.types.ID):
        return value.name
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def _action(obj: Object) -> Action:
    data: Any = obj.animation_data
    return data.action


def _people(objects: Iterable[Object]) -> tuple[PersonObjects, ...]:
    bodies = [obj for obj in objects if obj.type == "MESH" and roles.TRACK in obj]
    return tuple(sorted(map(_person, bodies), key=lambda person: (person.photo, person.track_id)))


def _person(body: Any) -> PersonObjects:
    from .builders.bodies import action

    rig = action.controls_of(body)
    movers: Sequence[Any] = (rig,) if rig else (body.data.shape_keys, body)
    moved = (one.animation_data for one in movers if one is not None)
    return PersonObjects(
        rig,
        body,
        next((data.action for data in moved if data is not None), None),
        body[roles.TRACK],
        tuple(body[roles.FRAMES]),
        body[roles.SCORE],
        tuple(body[roles.BOX]),
        photo_links.matched_camera_of(body),
        str(body.get(roles.PHOTO, "")),
        next(iter(body.users_collection), None),
    )
